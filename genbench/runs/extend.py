"""A run with more samples: the same words read off its record, the seeds after those used,
the shards that are there taken over, the look counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import folder_to_write
from genbench._util.checksummed_files import write_arrays
from genbench._util.console import tell
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.generators.description import Description
from genbench.generators.identity import code_of_file
from genbench.generators.load import locate
from genbench.generators.seeded_noise import LARGEST_N
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.planning.shard_outputs import probes_of
from genbench.runs.records.record import Plan, Record, plan_of
from genbench.runs.sampling.shards import path_of, read_probe, run_blocks, shards_of


def longer(found: Record, n: int, words: Mapping[str, Any]) -> tuple[Plan, Description, Request]:
    """The plan of a finished run with n samples in all; UserError where the record's words lead to
    another model, naming what differs.

    words: what a record does not hold, since it lies on one machine: plugin, checkpoint, weights,
    prompts, device.
    """
    before = plan_of(found)
    if not before.n < n <= LARGEST_N:
        raise UserError(
            f"--n {n}: the run has {before.n} samples; more than that, and at most {LARGEST_N}"
        )
    description = locate(words.get("plugin") or _plugin(before))
    request = _request(before, n, words)
    plan = settle(request, description)
    apart = [
        key
        for key, value in before.identity.items()
        if key != "n" and plan.identity.get(key) != value
    ]
    if apart:
        remedy = (
            "--checkpoint PATH"
            if "checkpoint" in apart
            else "--plugin FILE.py"
            if {"code", "generator"} & set(apart)
            else "the words of the run"
        )
        raise UserError(
            f"run {found.id} cannot be gone on with here: its {', '.join(apart)} differ from what "
            f"is found; bring the same: {remedy}"
        )
    return replace(plan, looks=before.looks + 1), description, request


def _plugin(before: Plan) -> str:
    """The word that finds the generator again."""
    if before.origin == "memory":
        raise UserError(
            "the generator was in memory: evaluate it again from Python, with a larger n"
        )
    # asked before it is imported
    if (
        before.origin.endswith(".py")
        and code_of_file(Path(before.origin)) != before.identity["code"]
    ):
        raise UserError(
            f"{clean(before.origin)} is not, or no longer, the code that drew this run; "
            "its code differs: --plugin FILE.py names another"
        )
    return before.origin if before.origin.endswith(".py") else str(before.identity["generator"])


def _request(before: Plan, n: int, words: Mapping[str, Any]) -> Request:
    first, conditions = int(before.identity["first_seed"]), before.identity["conditions"]
    seed = (
        {"seed": first // LARGEST_N}
        if first % LARGEST_N == 0
        else {"seeds": f"{first}-{first + n - 1}"}
    )
    names = dict.fromkeys(
        m["name"]
        for protocol in before.protocols.values()
        for m in protocol["measures"]
        if not m["skip"]
    )
    return Request(
        dataset=before.dataset or before.identity["dataset"],
        protocols=tuple(before.protocols),
        metrics=tuple(names),
        n=n,
        labels=conditions.get("labels", ""),
        options=tuple(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in before.identity["options"].items()
            if value is not None
        ),
        batch_size=before.batch_size,
        save_samples=before.keep_images,
        **seed,
        **{key: value for key, value in words.items() if key != "plugin" and value},
    )


def take_over(before: Plan, plan: Plan, there: Path, out: Path) -> int:
    """Copy the whole shards of a shorter run into the longer one's folder; how many files.

    A sample depends on its own seed and place alone.
    """
    folder = folder_to_write(
        folder_to_write(out, "--out") / plan.id / "shards", "the run's folder"
    ).parent
    known = {shard.name: shard for shard in shards_of(run_blocks(before))}
    taken = 0
    for shard in shards_of(run_blocks(plan)):
        if shard.name not in known or known[shard.name].indices.tolist() != shard.indices.tolist():
            continue
        for name, probe in probes_of(plan).items():
            old = probes_of(before).get(name)
            path = path_of(folder, shard, name)
            if old is None or probe.ahead or probe.first != old.first or path.exists():
                continue
            if (found := read_probe(there, shard, old)) is not None:
                arrays, meta = found
                write_arrays(path, arrays, {**meta, **probe.says})
                taken += 1
    if taken:
        tell(f"{taken} files of the run {clean(before.id)} taken over")
    return taken
