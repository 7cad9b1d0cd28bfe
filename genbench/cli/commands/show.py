"""`genbench show`: a finished run again."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--leaderboards",
    type=click.Path(path_type=Path),
    default=Path("leaderboards"),
    show_default=True,
    help="The folder of boards.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def command(run: str | None, out: Path, leaderboards: Path, as_json: bool) -> None:
    """Show a finished run again.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest.
    """
    from genbench._util.console import answer
    from genbench.leaderboards import tables
    from genbench.runs.records.find import find

    found = find(run, out)
    answer(
        json.dumps(found.to_json(), indent=1, ensure_ascii=False)
        if as_json
        else tables.result(found, leaderboards)
    )
