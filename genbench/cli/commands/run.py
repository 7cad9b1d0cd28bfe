"""`genbench run`: draw samples from a generator, measure them,
write the record and enter the leaderboard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from genbench.cli.shared_options import data_options, prompt_options


@click.command()
@click.option(
    "--plugin",
    "-p",
    multiple=True,
    metavar="NAME|FILE.py",
    help="The generator: a name (genbench plugins) or a file, FILE.py:Class; or several.",
)
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Several runs: plugins, data sets, options; words given here go before.",
)
@click.option(
    "--dataset",
    "-d",
    default="digits",
    show_default=True,
    help="The real images: a name (genbench datasets), or a path.",
)
@click.option(
    "--imbalance",
    default="",
    metavar="RATIO",
    help="The train split cut to a long tail: 100, as in cifar10-lt.",
)
@click.option(
    "--class-order",
    default="",
    metavar="ORDER",
    help="Which class is its head: index, reversed, size, or a seed.",
)
@click.option("--imbalance-kind", default="", metavar="KIND", help="exp (the default) or step.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    help="How numbers are taken (genbench protocols); may be repeated. Default: the data set's.",
)
@click.option(
    "--metrics",
    multiple=True,
    help=(
        "Only these numbers, by comma or repeated; 'all' for every number there is "
        "(genbench metrics)."
    ),
)
@click.option("--n", type=int, help="How many samples. Default: the protocol's.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Range of seeds: sample i has seed S * 2^20 + i.",
)
@click.option(
    "--seeds",
    default="",
    metavar="FIRST-LAST",
    help="The seeds themselves, as papers name them: 50000-99999.",
)
@click.option(
    "--labels",
    default="",
    metavar="POLICY",
    help="balanced, iid or training. Default: the protocol's.",
)
@prompt_options
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the generator (genbench plugins NAME).",
)
@click.option(
    "--checkpoint",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Weights. Default: its own for this data set. Several: a method.",
)
@click.option(
    "--method",
    default="",
    metavar="NAME",
    help="What the checkpoints are trainings of. Default, of several: the plugin with its options.",
)
@click.option(
    "--trust",
    default="",
    metavar="SHA256",
    help="Run the program in the checkpoint with this SHA-256 (TorchScript).",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Weights of an extractor, from this file (genbench weights).",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Published statistics (mu, sigma) in place of the real images.",
)
@click.option(
    "--batch-size",
    default="50",
    show_default=True,
    help="Images to a call, the same results to 1e-6; auto: as many as fit.",
)
@click.option(
    "--memory-cap",
    type=float,
    metavar="GB",
    help="With --batch-size auto: what may be in use, of the GPU where there is one.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--workers",
    type=int,
    help=(
        "Processes that draw, each with a GPU of its own where there are several. Default: 1; "
        "of --on: all there are."
    ),
)
@click.option(
    "--on",
    default="",
    metavar="ENGINE",
    help="Who draws: local, ray, ray://host:port, slurm (docs/scale.md).",
)
@click.option("--partition", default="", metavar="NAME", help="SLURM's partition, with --on slurm.")
@click.option(
    "--on-option",
    "on_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the engine: time=60, cpus=4, account=NAME.",
)
@click.option(
    "--shard-timeout",
    type=float,
    metavar="SECONDS",
    help="Give a shard up that takes longer, and draw the others.",
)
@click.option(
    "--feature-precision",
    default="float32",
    show_default=True,
    metavar="WORD",
    help="tf32, bfloat16, float16: quicker features, no board.",
)
@click.option(
    "--shard",
    default="",
    metavar="K/N",
    help="Draw the K-th of N shares and stop; auto: by torchrun's or SLURM's variables.",
)
@click.option(
    "--out",
    default="runs",
    show_default=True,
    help="The folder of run folders, or a URL of it: s3://bucket/runs.",
)
@click.option(
    "--leaderboards",
    default="leaderboards",
    show_default=True,
    help="The folder of boards; 'none' enters no board.",
)
@click.option("--save-samples", is_flag=True, help="Keep the images even beyond 1 GB.")
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--fresh", is_flag=True, help="Do the run again, whatever is there.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, draw nothing.")
@click.option(
    "--profile", is_flag=True, help="After the result: where the time went, stage by stage."
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.option("--quiet", is_flag=True, help="No progress and no remarks on standard error.")
@data_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    plugin: tuple[str, ...],
    suite: Path | None,
    out: str,
    leaderboards: str,
    with_files: tuple[Path, ...],
    fresh: bool,
    dry_run: bool,
    profile: bool,
    as_json: bool,
    quiet: bool,
    **words: Any,
) -> None:
    """Draw samples, measure them, write record and leaderboard.

    \b
    genbench run --plugin ddpm --dataset digits
    genbench run --plugin file.py --dataset digits --n 200
    genbench run --plugin ddpm -o steps=10 --seed 1
    genbench run --plugin ddpm --plugin dcgan
    genbench run --suite table2.toml
    genbench run --plugin ddpm --checkpoint seed0.safetensors --checkpoint seed1.safetensors --checkpoint seed2.safetensors

    Several checkpoints are trainings of one method: a run for each, and the method's mean, spread
    between trainings and t interval.

    The same command again goes on where it was stopped; finished, it prints the result at once.
    """  # noqa: E501
    from genbench._util.errors import UserError
    from genbench.api import _registry as registry
    from genbench.runs.planning import suite as suites
    from genbench.runs.sampling.setup import constructed

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        registry.add_file(file)
    if bool(plugin) == bool(suite):
        raise UserError(
            "--plugin and --suite: give one of them"
            if suite
            else (
                "which generator? --plugin NAME (genbench plugins), --plugin FILE.py, "
                "or --suite FILE.toml"
            )
        )
    said = {
        name
        for name in words
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    wanted = suites.read(suite) if suite else [{"plugin": one} for one in plugin]
    jobs = [
        one
        for each in wanted
        for one in jobs_of(
            words | {name: value for name, value in each.items() if name not in said}
        )
    ]  # all that is wrong is heard now
    if words["shard"] and not dry_run:
        draw_shares(jobs, out)
        return
    if not dry_run:
        go(
            jobs,
            out,
            None if leaderboards == "none" else Path(leaderboards),
            fresh,
            as_json,
            profile=profile,
        )
        return
    for plan, description, request in jobs:
        # what the constructor refuses is refused here too
        constructed(description, request, plan.device)
        show_plan(plan, out, as_json)


def jobs_of(words: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    """A job for each checkpoint; of several each says which method it is a training of."""
    from dataclasses import replace

    from genbench.leaderboards.methods import named, same_recipe

    given = words.get("checkpoint") or ()
    paths = [given] if isinstance(given, str | Path) else list(given) or [None]
    jobs = [job({**words, "checkpoint": path}) for path in paths]
    if len(jobs) == 1:
        return jobs
    same_recipe([plan for plan, _, _ in jobs])
    return [
        (replace(plan, method=plan.method or named(plan.label)), description, request)
        for plan, description, request in jobs
    ]


def job(words: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(plan, description, request) of one run's words."""
    from genbench._util.errors import UserError
    from genbench.cli import shared_options
    from genbench.data import long_tail
    from genbench.generators.load import locate
    from genbench.runs.planning.plan import settle
    from genbench.runs.planning.request import Request

    words = dict(words)
    description = locate(words["plugin"])
    for name in ("protocols", "metrics", "weights"):
        parts = tuple(
            part.strip() for word in words[name] for part in word.split(",") if part.strip()
        )
        if words[name] and not parts:
            raise UserError(
                f"--{name.removesuffix('s') if name == 'protocols' else name} names nothing: "
                "leave it out for the default"
            )
        words[name] = parts
    words["shard"] = (
        shared_options.share() if words.get("shard") == "auto" else words.get("shard", "")
    )
    words |= {
        name: Path(words[name])
        for name in ("checkpoint", "reference", "prompts")
        if words[name] is not None
    }
    words["dataset"] = long_tail.worded(
        words["dataset"],
        *[words.pop(name) for name in ("imbalance", "class_order", "imbalance_kind")],
    )
    request = Request(**words)
    return settle(request, description), description, request


def go(
    jobs: Sequence[tuple[Any, Any, Any]],
    out: str,
    root: Path | None,
    fresh: bool,
    as_json: bool,
    *,
    profile: bool = False,
) -> None:
    """Execute each plan, enter the boards, print the answers;
    where one of several fails, the others are done all the same.
    """
    from genbench._util.atomic_write import folder_to_write
    from genbench._util.console import answer, tell
    from genbench._util.errors import RunFailed
    from genbench.io.remote_storage import whereabouts
    from genbench.leaderboards import comparison_tables, tables, write_board
    from genbench.runs import time_profile
    from genbench.runs.run import execute, failed
    from genbench.runs.sampling import cost

    if root is not None:
        folder_to_write(root, "--leaderboards")
    done, wrong = [], []
    since: float | None = cost.process_began()  # of the first: its start is the program's
    for plan, description, request in jobs:
        try:
            since, found = None, execute(plan, description, request, out, fresh=fresh, since=since)
            done.append(found)
            whole = all(score.status != "failed" for score in found.scores)
            entered = write_board.enter(found, root) if root is not None and whole else []
            tell(
                f"run {found.id}: {whereabouts(out, found.folder)}"
                + "".join(f" · board {root}/{name}" for name in entered)
            )
            if not as_json:
                answer(
                    "\n" * (len(done) > 1)
                    + tables.result(found, root)
                    + (f"\n\n{time_profile.text(found.cost)}" if profile else "")
                )
            elif len(jobs) == 1:
                answer(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
            failed(found)
        except RunFailed as error:
            if len(jobs) == 1:
                raise
            wrong.append(f"{plan.label}: {error}")
    if as_json and len(jobs) > 1:
        answer(
            json.dumps(
                {
                    "runs": [one.to_json() for one in done],
                    "methods": comparison_tables.methods_plain(done),
                },
                indent=1,
                ensure_ascii=False,
            )
        )
    elif text := comparison_tables.methods_text(done):
        answer(f"\n{text}")
    if wrong:
        raise RunFailed(f"{len(wrong)} of {len(jobs)} runs failed: {'; '.join(wrong)}")


def draw_shares(jobs: Sequence[tuple[Any, Any, Any]], out: str) -> None:
    """Draw the share of each run, and say what is to be done when all are there."""
    from genbench._util.console import answer
    from genbench.io.remote_storage import whereabouts
    from genbench.runs.run import share

    for plan, description, request in jobs:
        folder, count = share(plan, description, request, out)
        after = (
            "when all are there, in one folder or by genbench merge, the same words without "
            "--shard score it"
        )
        answer(
            f"{whereabouts(out, folder)}: share {request.shard} is drawn, {count} shards; {after}"
        )


def show_plan(plan: Any, out: str, as_json: bool) -> None:
    """What would be done."""
    from genbench._util.console import answer
    from genbench._util.formatting import fields

    plain = plan.written()
    if as_json:
        answer(json.dumps({"id": plan.id, **plain}, indent=1, ensure_ascii=False))
        return
    measures = {
        f"protocol {name}": ", ".join(m["name"] for m in protocol["measures"])
        for name, protocol in plain.pop("protocols").items()
    }
    answer(fields({"run": f"{out}/{plan.id}", **plain.pop("identity"), **plain, **measures}))
