"""`genbench reproduce`: a few shards of a finished run drawn again and compared with what
it keeps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from genbench.cli.shared_options import data_options

STATUS = {"reproduced": 0, "not reproduced": 1, "not comparable": 3}
WORDS = {
    "equal": "equal to the bit",
    "close": "within tolerance",
    "holds": "holds",
    "different": "DIFFERENT",
    "unknown": "cannot be told",
}


def _count(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    if value == "all":
        return 0
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("a number of shards, at least 1, or all")
    return int(value)


@click.command()
@click.argument("entry", required=False)
@click.option(
    "--shards",
    default="3",
    show_default=True,
    callback=_count,
    metavar="K",
    help="How many shards to draw again; all: every number too.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Which shards: drawn at random by it."
)
@click.option(
    "--plugin",
    "-p",
    default="",
    metavar="NAME|FILE.py",
    help="The generator, where the record's own is elsewhere.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Its weights, where they do not ship; their hash must be the record's.",
)
@click.option(
    "--trust",
    default="",
    metavar="SHA256",
    help="Run the program in the checkpoint with this SHA-256 (TorchScript).",
)
@click.option(
    "--device",
    default="",
    metavar="WORD",
    help="auto, cpu or cuda. Default: the record's, where it is here.",
)
@click.option(
    "--attach", is_flag=True, help="Write the verdict beside the entry, and on its board's page."
)
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
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@data_options
def command(
    entry: str | None,
    attach: bool,
    out: Path,
    leaderboards: Path,
    with_files: tuple[Path, ...],
    as_json: bool,
    **words: Any,
) -> int:
    """Draw random shards of a run again, compare them, and take its numbers again.

    ENTRY is an entry file, a run folder, the beginning of an id, or nothing for the newest run.
    Images are compared with the stored ones, or with what the entry keeps of them; on one machine
    they are equal to the bit, elsewhere within a tolerance, and the verdict says which. Where the
    run's folder is here its numbers are made again from the stored features. Exit 0: reproduced, 1:
    not, 3: cannot be compared.

    \b
    genbench reproduce leaderboards/digits/entries/1d185d63ac285cb4.json --attach
    """
    from genbench._util.console import answer, tell
    from genbench._util.errors import NotComparable, UserError
    from genbench.api import _registry as registry
    from genbench.leaderboards import write_board
    from genbench.runs import reproduce
    from genbench.runs.records.find import find

    for file in with_files:
        registry.add_file(file)
    try:
        found = find(entry, out)
    except UserError as error:
        raise NotComparable(str(error)) from None
    verdict = reproduce.reproduced(found, reproduce.Wish(**words), out)
    if attach:
        at = write_board.attach(found, verdict, leaderboards)
        if not at:
            raise UserError(
                f"--attach: no board in {leaderboards} has an entry that says what the run "
                f"{found.id} says; name the entry's file"
            )
        tell(f"the verdict stands on {', '.join(at)}")
    answer(json.dumps(verdict, indent=1, ensure_ascii=False) if as_json else shown(verdict))
    return STATUS[verdict["verdict"]]


def shown(verdict: dict[str, Any]) -> str:
    """The verdict for people: what it is first, then a line to each thing that was looked at."""
    from genbench._util.formatting import clean, table

    machine = (
        "a machine of the same kind (bits are expected)"
        if verdict["machine"] == "the same kind"
        else "another machine (a tolerance is expected)"
    )
    drawn = f"{verdict['drawn']} of {verdict['of']} shards, seed {verdict['seed']}, on {machine}"
    head = f"{verdict['verdict'].upper()} {clean(verdict['label'])} (run {verdict['run']}): {drawn}"
    rows = [[one["what"], WORDS[one["verdict"]], one["said"]] for one in verdict["checks"]]
    return "\n\n".join(
        [
            head,
            table(["what", "verdict", ""], rows, left=3),
            *(clean(note) for note in verdict["notes"]),
        ]
    )
