"""`genbench classes`: which classes a generator serves badly, how,
and whether that is more than chance.
"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--sort",
    "by",
    default="z",
    show_default=True,
    metavar="WORD",
    help="z, q, p, class, train_count, kd, fd, spread_ratio, accuracy, ...",
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help=(
        "Only the worst N, how many would stand there by chance, and their samples (else of five)."
    ),
)
@click.option(
    "--protocol",
    default="",
    help="Which protocol's features and reference. Default: the run's first.",
)
@click.option(
    "--rule",
    default="shots",
    show_default=True,
    help="How classes are grouped: shots, oltr, utlo, 334, thirds, gsr, gsr-sampler.",
)
@click.option(
    "--shares",
    default="training",
    show_default=True,
    help="What an unconditional run's shares are held against: training, uniform, reference.",
)
@click.option(
    "--groups",
    default="",
    metavar="FILE.csv|NAME",
    help="Groups of your own: columns class,group or sample,group; or an extractor tells them.",
)
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option(
    "--cas",
    type=click.IntRange(min=0),
    default=0,
    metavar="SEEDS",
    help=(
        "Train a ResNet on samples and on real images, and test each on real ones: "
        "20 epochs for each seed and set."
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    runs: tuple[str, ...],
    by: str,
    worst: int,
    protocol: str,
    rule: str,
    shares: str,
    groups: str,
    with_files: tuple[Path, ...],
    cas: int,
    out: Path,
    as_json: bool,
) -> None:
    """The table of classes of finished runs, the worst first.

    RUN is a run folder, the beginning of an id, or nothing for the newest; several of the same
    classes stand side by side. classes.csv, classes.png and a page of samples of the worst classes
    go into the run's folder. Of runs of real images 5 % have any flag: all tests of all classes are
    one family. With --groups NAME an image's group is the largest number of that extractor's
    output; its load may carry their names: load.classes = ("dark", "light").

    \b
    genbench run --plugin ddpm --dataset digits --imbalance 50
    genbench classes
    genbench classes --with own.py --groups NAME
    """
    from dataclasses import replace

    from genbench._util.console import answer, tell
    from genbench._util.did_you_mean import choices
    from genbench._util.errors import UserError
    from genbench.api import _registry as registry
    from genbench.per_class import classification_accuracy_of_run, compute_from_run, render
    from genbench.per_class.aggregates import WORST
    from genbench.per_class.table import ORDERS
    from genbench.runs.records.find import find

    if by not in ORDERS:
        raise UserError(f"--sort {by}: {choices(by, ORDERS)}")
    for file in with_files:
        registry.add_file(file)
    found = [find(word, out) for word in runs] or [find(None, out)]
    compute_from_run.refuse(found, protocol)
    for one in found if cas else ():
        classification_accuracy_of_run.refuse(one)
    tables = [
        compute_from_run.table_of(one, protocol=protocol, rule=rule, shares=shares, groups=groups)
        for one in found
    ]
    if cas:
        tables = [
            replace(
                made,
                over={**made.over, "cas": classification_accuracy_of_run.taught(one, cas, rule)},
            )
            for one, made in zip(found, tables, strict=True)
        ]
    for one, made in zip(found, tables, strict=True):
        tell("wrote " + ", ".join(map(str, compute_from_run.leave(one, made, by, worst or WORST))))
    if as_json:
        plain = [
            {"run": one.id, **row}
            for one, made in zip(found, tables, strict=True)
            for row in render.as_rows(made, by, worst)
        ]
        over = {
            one.id: {**made.over, "tests": made.tests}
            for one, made in zip(found, tables, strict=True)
        }
        answer(json.dumps({"classes": plain, "over": over}, indent=1, ensure_ascii=False))
        return
    named = [
        (compute_from_run.heading(one, made), made) for one, made in zip(found, tables, strict=True)
    ]
    answer(render.as_text(named, by, worst))
