"""`genbench check`: the regression gate of continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("candidate", required=False)
@click.option(
    "--baseline",
    "-b",
    default="",
    metavar="PATH|NAME|BOARD|URL",
    help="A record, a name of genbench baseline, a board, or an address.",
)
@click.option(
    "--anchor",
    default="",
    metavar="PATH|NAME|BOARD|URL",
    help="A fixed second baseline, so that small steps do not add up. Default: the gate's.",
)
@click.option(
    "--gate",
    type=click.Path(path_type=Path),
    metavar="gate.toml",
    help="Rules, margins, costs. Default: the first number fails, the others warn.",
)
@click.option(
    "--inconclusive",
    type=click.Choice(["fail", "warn", "pass"]),
    help="What an unsettled rule does: exit 4, or 0. Default: the gate's, fail.",
)
@click.option("--unpaired", is_flag=True, help="Compare runs of other seeds all the same.")
@click.option(
    "--self-test",
    is_flag=True,
    help=(
        "Of the baseline alone: its rate of false alarms, and the smallest change that it can show."
    ),
)
@click.option(
    "--to",
    default="check",
    show_default=True,
    metavar="FOLDER",
    help="Where check.json, check.md and check.xml go; 'none' writes nothing.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--baselines",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    help="The folder of saved baselines.",
)
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print check.json.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    candidate: str | None,
    with_files: tuple[Path, ...],
    as_json: bool,
    self_test: bool,
    to: str,
    **words: Any,
) -> None:
    """Is CANDIDATE worse than the baseline by more than is allowed?

    CANDIDATE is a run folder, the beginning of an id, an entry file, or nothing for the newest run.
    Exit 0: every rule passed; 1: a regression was shown; 3: not comparable, or something is
    missing; 4: neither shown nor excluded, and with how many samples it would be.

    \b
    genbench baseline save --name main
    genbench run --plugin mine.py && genbench check --baseline main
    """
    import json

    from genbench._util.console import answer
    from genbench._util.errors import UserError
    from genbench.api import _registry as registry
    from genbench.gate import false_alarm_rate, run_check

    for file in with_files:
        registry.add_file(file)
    if not words["baseline"]:
        raise UserError(
            "against what? --baseline PATH, a name of genbench baseline list, "
            "a board's folder, or an address"
        )
    if self_test:
        if candidate is not None:
            raise UserError("--self-test looks at the baseline alone: leave the candidate out")
        found = run_check.self_tested(
            words["baseline"], words["gate"], words["out"], words["baselines"]
        )
        answer(
            json.dumps(found, indent=1, ensure_ascii=False)
            if as_json
            else false_alarm_rate.text(found)
        )
        return
    checked = run_check.checked(candidate, **words)
    said = run_check.publish(
        checked, None if to == "none" else Path(to), run_check.again(candidate, words)
    )
    answer(said["json"] if as_json else said["text"])
    ctx.exit(checked.status)
