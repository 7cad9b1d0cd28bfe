"""Find the shards that are missing or damaged: what a resumed run computes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genbench._util.console import complain
from genbench.runs.planning.shard_outputs import Probe, probes_of
from genbench.runs.sampling.shards import Shard, read_probe, run_blocks, shards_of

if TYPE_CHECKING:
    from genbench.runs.records.record import Plan


def lacking(
    plan: Plan, folder: Path, only: Collection[str] = ()
) -> list[tuple[Shard, list[Probe]]]:
    """The shards that are not there and whole, each with the probes to compute;
    of some names, or all.
    """
    probes, every = probes_of(plan), shards_of(run_blocks(plan))
    asked = [shard for shard in every if not only or shard.name in only]
    return [(shard, lacks) for shard in asked if (lacks := missing_outputs(folder, shard, probes))]


def missing_outputs(folder: Path, shard: Shard, probes: Mapping[str, Probe]) -> list[Probe]:
    """The probes of a shard to compute; all of its images' when two present ones were made from
    different images.
    """
    there = {
        name: read_probe(folder, shard, probe)
        for name, probe in probes.items()
        if not probe.ahead and probe.wanted(shard.indices)
    }
    origins = {
        found[1]["images"] for name, found in there.items() if found and probes[name].of_images
    }
    if len(origins) > 1:
        complain(
            f"shard {shard.name}: its probes were made from different images; "
            "doing all of them again"
        )
    return [
        probes[name]
        for name, found in there.items()
        if found is None or (len(origins) > 1 and probes[name].of_images)
    ]
