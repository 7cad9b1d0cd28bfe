"""`genbench extend`: more samples for a finished run, and the look counted."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.shared_options import data_options


@click.command()
@click.argument("run", required=False)
@click.option("--n", type=int, required=True, help="How many samples in all.")
@click.option(
    "--plugin",
    "-p",
    default="",
    metavar="NAME|FILE.py",
    help="The generator, where the record's word does not find it here.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Its weights, where they are not its own for this data set; the hash must agree.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Weights of an extractor, from this file (genbench weights).",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of prompts, where the run had one.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--leaderboards",
    default="leaderboards",
    show_default=True,
    help="The folder of boards; 'none' enters no board.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@data_options
def command(
    run: str | None,
    n: int,
    plugin: str,
    checkpoint: Path | None,
    weights: tuple[str, ...],
    prompts: Path | None,
    device: str,
    out: Path,
    leaderboards: str,
    as_json: bool,
) -> None:
    """Add samples to a finished run, with the seeds after those that it used.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest. The
    record counts the look: `genbench check` then judges each look more strictly; the gate should
    declare the looks beforehand.

    \b
    genbench check --baseline main          # INCONCLUSIVE; about n = 1,740 would settle it
    genbench extend baselines/main.json --n 1740 && genbench baseline save --force
    genbench extend CANDIDATE --n 1740 && genbench check --baseline main
    """
    import json

    from genbench._util.console import answer
    from genbench.leaderboards import tables, write_board
    from genbench.runs import extend
    from genbench.runs.records.find import find
    from genbench.runs.records.record import plan_of
    from genbench.runs.run import execute, failed

    found = find(run, out)
    words = {
        "plugin": plugin,
        "checkpoint": checkpoint,
        "weights": weights,
        "prompts": prompts,
        "device": device,
    }
    plan, description, request = extend.longer(found, n, words)
    if (Path(found.folder) / "shards").is_dir():
        extend.take_over(plan_of(found), plan, Path(found.folder), out)
    done = execute(plan, description, request, out)
    root = None if leaderboards == "none" else Path(leaderboards)
    if root is not None and all(score.status != "failed" for score in done.scores):
        write_board.enter(done, root)
    answer(
        json.dumps(done.to_json(), indent=1, ensure_ascii=False)
        if as_json
        else tables.result(done, root)
    )
    failed(done)
