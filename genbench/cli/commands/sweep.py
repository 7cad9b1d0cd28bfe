"""`genbench sweep`: a generator under every combination of option values, one board,
and the picture of what they trade.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from genbench.cli.shared_options import data_options, prompt_options

PICTURE = "tradeoff.png"


@click.command()
@click.option("--plugin", "-p", required=True, metavar="NAME|FILE.py", help="The generator.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    required=True,
    metavar="NAME=A,B,C",
    help="An option and its values; several make a grid.",
)
@click.option(
    "--tune",
    default="",
    metavar="METRIC",
    help="Search the options for this number, with Optuna; ranges are written NAME=LOW:HIGH.",
)
@click.option(
    "--trials",
    type=int,
    default=20,
    show_default=True,
    help="Of --tune: how many points are tried.",
)
@click.option(
    "--dataset",
    "-d",
    default="digits",
    show_default=True,
    help="The real images: a name (genbench datasets), or a path.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    help="How numbers are taken; may be repeated. Default: the data set's.",
)
@click.option(
    "--metrics",
    multiple=True,
    help="Only these numbers, by comma or repeated; 'all' for every number there is.",
)
@click.option("--n", type=int, help="How many samples of each. Default: the protocol's.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Range of seeds, the same for every point: differences are paired.",
)
@click.option(
    "--labels",
    default="",
    metavar="POLICY",
    help="balanced, iid or training. Default: the protocol's.",
)
@prompt_options
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Weights of the generator. Default: its own for this data set.",
)
@click.option(
    "--trust",
    default="",
    metavar="SHA256",
    help="Run the program in the checkpoint with this SHA-256 (TorchScript).",
)
@click.option("--batch-size", type=int, default=50, show_default=True, help="Images to a call.")
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
    type=click.Path(path_type=Path),
    default=Path("sweeps"),
    show_default=True,
    help="The folder of the sweep's board.",
)
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the board as JSON.")
@click.option("--quiet", is_flag=True, help="No progress and no remarks on standard error.")
@data_options
def command(
    plugin: str,
    options: tuple[str, ...],
    tune: str,
    trials: int,
    out: Path,
    leaderboards: Path,
    with_files: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
    **words: Any,
) -> None:
    """Run a generator under every combination of option values, or search for the best.

    \b
    genbench sweep --plugin ddpm -o steps=5,10,50
    genbench sweep --plugin stylegan2 -o truncation=0.5,0.7,1.0 -o noise=random,none
    genbench sweep --plugin ddpm -o steps=5:50 -o eta=0:1 --tune fd_digits --trials 30

    Each point is a run of its own: the same command again goes on where it was stopped. The board
    lies in sweeps/, with tradeoff.png beside the table. --tune searches on one half of the real
    images (DATASET-even), measures the best on the other (DATASET-odd) with the next range of
    seeds, and its record says so.
    """
    from genbench.api import _registry as registry
    from genbench.experiments import option_grid
    from genbench.generators.load import locate
    from genbench.runs.planning.plan import settle
    from genbench.runs.planning.request import Request

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        registry.add_file(file)
    for name in ("protocols", "metrics"):
        words[name] = tuple(
            part.strip() for word in words[name] for part in word.split(",") if part.strip()
        )
    description = locate(plugin)
    if tune:
        search(
            Request(options=options, **words), description, tune, trials, out, leaderboards, as_json
        )
        return
    values, points = option_grid.grid(options)
    requests = [Request(options=point, **words) for point in points]
    # what is wrong with any point is heard before the first is drawn
    plans = [settle(request, description) for request in requests]
    swept = [name for name, parts in values.items() if len(parts) > 1]
    run_all(list(zip(plans, requests, strict=True)), description, swept, out, leaderboards, as_json)


def run_all(
    points: Sequence[tuple[Any, Any]],
    description: Any,
    swept: Sequence[str],
    out: Path,
    root: Path,
    as_json: bool,
) -> None:
    """Execute every point, enter its boards, draw the pictures, print the boards;
    a point that fails is named at the end, the others stand.
    """
    from genbench._util.atomic_write import folder_to_write
    from genbench._util.console import tell
    from genbench._util.errors import RunFailed
    from genbench.leaderboards import write_board
    from genbench.runs.run import execute, failed

    folder_to_write(root, "--leaderboards")
    entered: dict[str, None] = {}
    wrong = []
    for place, (plan, request) in enumerate(points, 1):
        tell(f"{place} of {len(points)}: {plan.label}")
        try:
            found = execute(plan, description, request, out)
            failed(found)
        except RunFailed as error:
            wrong.append(f"{plan.label}: {error}")
            continue
        entered |= dict.fromkeys(write_board.enter(found, root))
    runs = {plan.id for plan, _ in points}
    show([root / name for name in entered], runs, swept, as_json)
    if wrong:
        raise RunFailed(f"{len(wrong)} of {len(points)} points failed: {'; '.join(wrong)}")


def search(
    request: Any, description: Any, metric: str, trials: int, out: Path, root: Path, as_json: bool
) -> None:
    """Search the options, enter the board of the other half,
    print what the best of them scored there.
    """
    from genbench._util.atomic_write import folder_to_write
    from genbench._util.console import answer, tell
    from genbench.experiments import tune_options
    from genbench.leaderboards import tables, write_board
    from genbench.runs.run import failed

    wanted = tune_options.search_of(request, description, metric, trials)
    notes = tune_options.notes_of(wanted, folder_to_write(root, "--leaderboards"))
    found = tune_options.tuned(wanted, request.metrics, out, notes)
    entered = (
        write_board.enter(found, root)
        if all(score.status != "failed" for score in found.scores)
        else []
    )
    tell(
        f"run {found.id}: {found.folder} · trials {notes}"
        + "".join(f" · board {root}/{name}" for name in entered)
    )
    answer(
        json.dumps(found.to_json(), indent=1, ensure_ascii=False)
        if as_json
        else tables.result(found, root)
    )
    failed(found)


def show(places: Sequence[Path], runs: set[str], swept: Sequence[str], as_json: bool) -> None:
    """Each board's entries of this sweep: the table to standard output,
    the picture beside the board.
    """
    from genbench._util.atomic_write import write
    from genbench._util.console import answer, tell
    from genbench.leaderboards import entries, ranking, tables, tradeoff_plots

    told = {}
    for board in places:
        found = [entry for entry in entries.entries(board) if entry.record.id in runs]
        label = (
            f"{found[0].record.plan['identity']['generator']} on {board.name}, "
            f"n = {found[0].record.plan['identity']['n']}; bars: 95 %"
        )
        write(board / PICTURE, tradeoff_plots.picture(found, swept, label))
        tell(f"{len(found)} points: {board} · {board / PICTURE}")
        told[board.name] = tables.shown(
            found, ranking.sorting(found, None), "json" if as_json else "table"
        )
    if as_json:
        answer(
            json.dumps(
                {name: json.loads(text) for name, text in told.items()},
                indent=1,
                ensure_ascii=False,
            )
        )
    elif told:
        answer("\n\n".join(told.values()))
    else:
        answer("no board: these numbers are a ruler only (genbench show RUN)")
