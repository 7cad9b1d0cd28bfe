"""`genbench leaderboard`: a board, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("board", required=False)
@click.option(
    "--sort", metavar="METRIC", help="Sort and rank by this number. Default: the protocol's first."
)
@click.option(
    "--format",
    "how",
    type=click.Choice(["table", "csv", "markdown", "latex", "json"]),
    default="table",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--all", "every", is_flag=True, help="Every entry, not the newest of each label alone."
)
@click.option(
    "--methods",
    is_flag=True,
    help=(
        "Methods of three trainings in place of their checkpoints, compared; "
        "with each pair's difference."
    ),
)
@click.option(
    "--leaderboards",
    type=click.Path(path_type=Path),
    default=Path("leaderboards"),
    show_default=True,
    help="The folder of boards.",
)
def command(
    board: str | None,
    sort: str | None,
    how: str,
    as_json: bool,
    every: bool,
    methods: bool,
    leaderboards: Path,
) -> None:
    """Show a board: table, csv, markdown, latex or json.

    Without BOARD the only one there is, or the list of them. Below it, never ranked: the numbers
    that the protocol's papers report, and those of reported.csv in the board's folder
    (generator,metric,value,source).
    """
    from genbench._util.console import answer
    from genbench._util.did_you_mean import choices
    from genbench._util.errors import UserError
    from genbench.leaderboards import comparison, comparison_tables, entries, ranking, tables

    names = entries.boards(leaderboards)
    if board is None and len(names) != 1:
        if not names:
            raise UserError(f"there is no board in {leaderboards}: genbench run writes one")
        answer("\n".join(names))
        return
    if board is not None and not names:
        raise UserError(f"there is no board in {leaderboards}: genbench run writes one")
    if board is not None and board not in names:
        raise UserError(f"no board {board!r} in {leaderboards}: {choices(board, names)}")
    folder = leaderboards / (board or names[0])
    found = entries.entries(folder, every=every)
    if not found:
        raise UserError(f"the board {board or names[0]} has no entries: genbench run writes one")
    if methods:
        answer(
            comparison_tables.shown(
                comparison.blocks_of(found, [sort] if sort else ()), "json" if as_json else how
            )
        )
        return
    answer(
        tables.shown(
            found,
            ranking.sorting(found, sort),
            "json" if as_json else how,
            entries.others_of(folder, found),
        )
    )
