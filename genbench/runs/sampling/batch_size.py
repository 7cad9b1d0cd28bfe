"""The batch size of a run: found under a memory cap, halved where it does not fit.

Images are equal to the bit at one, which the plan says.
"""

from __future__ import annotations

from dataclasses import replace

from genbench._util.console import complain, tell
from genbench._util.lazy_imports import np
from genbench.generators.generator import PER_CALL, Generator
from genbench.runs.planning.plan import AUTO
from genbench.runs.planning.request import Request
from genbench.runs.planning.shard_outputs import PAIRS_AT_ONCE, probes_of
from genbench.runs.records.record import Plan
from genbench.runs.sampling import shards, write_shards
from genbench.runs.sampling.memory import OutOfMemory, allowed, in_use, largest, most_used, noticed


def fitted(plan: Plan, generator: Generator, request: Request) -> Plan:
    """The plan with the batch size that was found for it, where the user asked for that and no
    earlier call has found it.
    """
    if plan.batch_size != AUTO:
        return plan
    # of a shard; no call is for more
    most = len(shards.shards_of(np.zeros(plan.n, dtype=np.int64))[0].indices)
    if plan.seeding == "per call":
        return replace(plan, batch_size=PER_CALL)
    cap = int(request.memory_cap * 1e9) if request.memory_cap else allowed(plan.device)
    labels, places = shards.labels_for(plan), shards.prompt_places(plan)

    def peak(batch: int) -> int:
        indices = np.arange(batch)
        own, texts = (
            None if labels is None else labels[:batch],
            None if places is None else [plan.prompts[place] for place in places[:batch]],
        )
        with noticed():
            generator.draw(indices, plan.identity["first_seed"], own, batch, plan.quantise, texts)
        return most_used(plan.device)

    found = largest(peak, in_use(plan.device), cap, most)
    tell(f"--batch-size auto: {found}, below {cap / 1e9:.1f} GB")
    return replace(plan, batch_size=found)


def halved(work: write_shards.Work, error: OutOfMemory) -> write_shards.Work:
    """The work at half the batch size, without the shards that were drawn in other calls than it
    would draw them in; the error at a batch of 1.

    They go first and the plan is written then, so that a run that is killed between the two does
    the same again.
    """
    plan = work.plan
    parts = shards.shards_of(shards.run_blocks(plan))
    smaller = min(plan.batch_size, max(len(shard.indices) for shard in parts)) // 2
    if smaller < 1 or plan.seeding == "per call":
        raise error
    gone = 0
    for shard in parts:
        for probe in probes_of(plan).values():
            together = min(PAIRS_AT_ONCE, plan.batch_size) if probe.pairs else plan.batch_size
            path = shards.path_of(work.folder, shard, probe.name)
            if min(len(shard.indices), together) > smaller and path.exists():
                path.unlink()
                gone += 1
    again = (
        f"; {gone} files of shards that were drawn {plan.batch_size} at a time are made again"
        if gone
        else ""
    )
    complain(
        f"out of memory at a batch of {plan.batch_size}: going on at {smaller}, "
        f"which the plan says from now on{again}"
    )
    return replace(work, plan=replace(plan, batch_size=smaller))
