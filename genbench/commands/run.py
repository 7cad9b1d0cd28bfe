"""`genbench run`: draw samples from a generator, measure them, write the record and enter the leaderboard."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from genbench.placing import data_options


@click.command()
@click.option("--plugin", "-p", required=True, metavar="NAME|FILE.py", help="The generator: a name (genbench plugins) or a file, FILE.py:Class.")
@click.option("--dataset", "-d", default="digits", show_default=True, help="The real images: a name (genbench datasets), or a path.")
@click.option("--imbalance", default="", metavar="RATIO", help="The train split cut to a long tail: 100, as in cifar10-lt.")
@click.option("--class-order", default="", metavar="ORDER", help="Which class is its head: index, reversed, size, or a seed.")
@click.option("--imbalance-kind", default="", metavar="KIND", help="exp (the default) or step.")
@click.option("--protocol", "protocols", multiple=True, help="How numbers are taken (genbench protocols); may be repeated. Default: the data set's.")
@click.option("--metrics", multiple=True, help="Only these numbers, by comma or repeated; 'all' for every number there is (genbench metrics).")
@click.option("--n", type=int, help="How many samples. Default: the protocol's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Range of seeds: sample i has seed S * 2^20 + i.")
@click.option("--seeds", default="", metavar="FIRST-LAST", help="The seeds themselves, as papers name them: 50000-99999.")
@click.option("--labels", default="", metavar="POLICY", help="balanced, iid or training. Default: the protocol's.")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the generator (genbench plugins NAME).")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights of the generator. Default: its own for this data set.")
@click.option("--weights", multiple=True, metavar="NAME=PATH", help="Weights of an extractor, from this file (genbench weights).")
@click.option("--reference", type=click.Path(path_type=Path), metavar="FILE.npz", help="Published statistics (mu, sigma) in place of the real images.")
@click.option("--batch-size", type=int, default=50, show_default=True, help="Images to a call; the same results to 1e-6.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--feature-precision", default="float32", show_default=True, metavar="WORD", help="tf32, bfloat16, float16: quicker features, no board.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of run folders.")
@click.option("--leaderboards", default="leaderboards", show_default=True, help="The folder of boards; 'none' enters no board.")
@click.option("--save-samples", is_flag=True, help="Keep the images even beyond 1 GB.")
@click.option("--with", "with_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE.py", help="A file with rows of your own.")
@click.option("--fresh", is_flag=True, help="Do the run again, whatever is there.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, draw nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.option("--quiet", is_flag=True, help="No progress and no remarks on standard error.")
@data_options
def command(
    plugin: str, out: Path, leaderboards: str, with_files: tuple[Path, ...], fresh: bool, dry_run: bool, as_json: bool, quiet: bool, **words: Any
) -> None:
    """Draw samples, measure them, write record and leaderboard.

    \b
    genbench run --plugin ddpm --dataset digits
    genbench run --plugin file.py --dataset digits --n 200
    genbench run --plugin ddpm -o steps=10 --seed 1

    The same command again goes on where it was stopped; finished, it prints the result at once.
    """
    from genbench import longtail, shelves
    from genbench.generator import locate
    from genbench.plan import Request, settle
    from genbench.run import constructed
    from genbench.say import UserError

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        shelves.add_file(file)
    for name in ("protocols", "metrics", "weights"):
        parts = tuple(part.strip() for word in words[name] for part in word.split(",") if part.strip())
        if words[name] and not parts:
            raise UserError(f"--{name.removesuffix('s') if name == 'protocols' else name} names nothing: leave it out for the default")
        words[name] = parts
    words["dataset"] = longtail.worded(words["dataset"], *[words.pop(name) for name in ("imbalance", "class_order", "imbalance_kind")])
    request = Request(**words)
    description = locate(plugin)
    plan = settle(request, description)
    if dry_run:
        constructed(description, request, plan.device)  # what the constructor refuses is refused here too
        show_plan(plan, out, as_json)
        return
    go(plan, description, request, out, None if leaderboards == "none" else Path(leaderboards), fresh, as_json)


def go(plan: Any, description: Any, request: Any, out: Path, root: Path | None, fresh: bool, as_json: bool) -> None:
    """Execute the plan, enter the boards, print the answer."""
    from genbench import boards, standings
    from genbench.files import folder_to_write
    from genbench.run import execute, failed
    from genbench.say import answer, tell

    if root is not None:
        folder_to_write(root, "--leaderboards")
    found = execute(plan, description, request, out, fresh=fresh)
    whole = all(score.status != "failed" for score in found.scores)
    entered = boards.enter(found, root) if root is not None and whole else []
    tell(f"run {found.id}: {found.folder}" + "".join(f" · board {root}/{name}" for name in entered))
    answer(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if as_json else standings.result(found, root))
    failed(found)


def show_plan(plan: Any, out: Path, as_json: bool) -> None:
    """What would be done."""
    from dataclasses import asdict

    from genbench.say import answer, fields

    plain = asdict(plan)
    if as_json:
        answer(json.dumps({"id": plan.id, **plain}, indent=1, ensure_ascii=False))
        return
    measures = {f"protocol {name}": ", ".join(m["name"] for m in protocol["measures"]) for name, protocol in plain.pop("protocols").items()}
    answer(fields({"run": out / plan.id, **plain.pop("identity"), **plain, **measures}))
