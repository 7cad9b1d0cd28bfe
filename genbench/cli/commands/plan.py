"""`genbench plan`: how many samples a comparison needs, before anyone draws them."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", required=False)
@click.option("--metric", required=True, help="The number: fid, fd_digits, precision_digits, ...")
@click.option(
    "--margin",
    default="",
    help=(
        "What it may move by, as 2%. Default: the gate's, 5% of distances and scores, "
        "one point of shares."
    ),
)
@click.option(
    "--power",
    type=click.FloatRange(0.5, 0.999),
    default=0.8,
    show_default=True,
    help="The share of checks in which an unchanged model shall pass.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0.0001, 0.4),
    default=0.05,
    show_default=True,
    help="The one-sided level.",
)
@click.option(
    "--sd",
    default="",
    metavar="SHARE",
    help="In place of a run: the relative standard error of the number at --at samples, as 1%.",
)
@click.option(
    "--at",
    type=click.IntRange(2),
    default=50_000,
    show_default=True,
    help="The samples that --sd is of.",
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
    run: str | None,
    metric: str,
    margin: str,
    power: float,
    alpha: float,
    sd: str,
    at: int,
    out: Path,
    as_json: bool,
) -> None:
    """How many samples per side show that a number moved by no more than a margin.

    RUN, a pilot, says how much the number scatters: a run folder, the beginning of an id, an entry
    file, or nothing for the newest.

    \b
    genbench plan --metric fd_digits --margin 2%
    genbench plan --metric fid --margin 2% --sd 1% --at 50000
    """
    import json

    from genbench._util.console import answer
    from genbench.gate import sample_size
    from genbench.runs.records.find import find

    found = (
        sample_size.stated(metric, margin, sd, at, power, alpha)
        if sd
        else sample_size.of_run(find(run, out), metric, margin, power, alpha)
    )
    answer(json.dumps(found, indent=1, ensure_ascii=False) if as_json else sample_size.text(found))
