"""`genbench compare`: models side by side with the intervals of their differences;
or one model under several rulers or seeds.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

FORMATS = ("table", "markdown", "latex", "csv", "json", "html")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--metrics", multiple=True, help="Only these numbers, by comma or repeated.")
@click.option(
    "--by",
    type=click.Choice(["method", "checkpoint"]),
    default="method",
    show_default=True,
    help="checkpoint: every run for itself.",
)
@click.option("--format", "how", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the answer there instead of printing it.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="The first block's trade-off plane: a point to a run, with its bars.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
def command(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    by: str,
    how: str,
    as_json: bool,
    to: Path | None,
    picture: Path | None,
    out: Path,
) -> None:
    """Set runs against each other: differences with intervals, rank ranges, classes, cost.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest. Runs of
    the same seeds are paired seed by seed. What does not share a protocol stands in blocks of its
    own; exit 3 where nothing can be compared. Three trainings of one method and more are a method.

    Runs of one model: how far its numbers lie apart between protocols, and between disjoint seeds,
    beside the standard error that each run claims.

    \b
    genbench compare 84d53cec 1d185d63
    genbench compare leaderboards/digits/entries/*.json --format latex
    genbench run --plugin ddpm --protocol pytorch-fid --protocol clean --protocol torch-fidelity
    genbench compare
    """
    from genbench._util.atomic_write import write
    from genbench._util.errors import NotComparable, UserError
    from genbench.leaderboards import comparison, comparison_tables, protocols_side_by_side
    from genbench.per_class.record_scores import with_classes
    from genbench.runs.records.find import find

    try:
        named = [find(word, out) for word in runs] or [find(None, out)]
    except UserError as error:
        raise NotComparable(str(error)) from None
    chosen = tuple(part.strip() for word in metrics for part in word.split(",") if part.strip())
    if protocols_side_by_side.of_one_model(named):
        if metrics or picture:
            raise UserError(
                "--metrics and --picture are for several models; runs of one model are shown with "
                "all their numbers"
            )
        if how not in ("table", "json"):
            raise UserError(f"--format {how}: runs of one model are shown as table or json")
        found = protocols_side_by_side.readings(named)
        said(
            json.dumps(protocols_side_by_side.as_plain(found), indent=1, ensure_ascii=False)
            if as_json or how == "json"
            else protocols_side_by_side.as_table(found),
            to,
        )
        return
    blocks = comparison.blocks([with_classes(one) for one in named], chosen, by=by)
    comparison.refuse(blocks)
    if picture:
        write(picture, comparison_tables.picture(blocks[0]))
    said(comparison_tables.shown(blocks, "json" if as_json else how), to)


def said(text: str, to: Path | None) -> None:
    """Print an answer, or write it to a file and say where."""
    from genbench._util.atomic_write import write
    from genbench._util.console import answer

    if to is None:
        answer(text)
        return
    write(to, (text if text.endswith("\n") else text + "\n").encode())
    answer(f"{to}")
