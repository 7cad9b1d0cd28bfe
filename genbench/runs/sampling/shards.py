"""Shards, the unit of resuming: which samples lie in which, their files, and how these are read.

A shard is the next 50 members of one block (500 from n = 10,000).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.checksummed_files import Damaged, read_arrays
from genbench._util.console import complain
from genbench._util.errors import RunFailed
from genbench._util.lazy_imports import np
from genbench.data import prompts
from genbench.generators.seeded_noise import labels_of
from genbench.runs.planning.shard_outputs import Probe
from genbench.runs.records.metric_versions import agrees
from genbench.statistics.blocks import BLOCKS, blocks_of

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.runs.records.record import Plan


@dataclass(frozen=True)
class Shard:
    """Members `first`, first + 1, ... of a block; `indices` int64 are their places in the run."""

    block: int
    first: int
    indices: ndarray[Any, Any]

    @property
    def name(self) -> str:
        return f"b{self.block:02d}-{self.first:05d}-{len(self.indices):03d}"


def labels_for(plan: Plan) -> ndarray[Any, Any] | None:
    """The labels of the run's samples int64 [n], or None for an unconditional generator."""
    conditions = plan.identity["conditions"]
    if "labels" not in conditions:
        return None
    seeds = plan.identity["first_seed"] + np.arange(plan.n, dtype=np.int64)
    return labels_of(
        conditions["labels"], plan.n, conditions["classes"], seeds, conditions.get("frequencies")
    )


def prompt_places(plan: Plan) -> ndarray[Any, Any] | None:
    """The place of each sample's prompt in the run's list, int64 [n], or None without prompts:
    of class names the label, of a file one after the other.
    """
    said = plan.identity["conditions"].get("prompts")
    if said is None:
        return None
    return labels_for(plan) if "template" in said else prompts.places(plan.n, said["count"])


def prompted(plan: Plan) -> dict[str, Any]:
    """The prompts of a run, as its folder keeps them."""
    places = prompt_places(plan)
    assert places is not None, "called of a run with prompts"
    return {"prompts": list(plan.prompts), "samples": places.tolist()}


def run_blocks(plan: Plan) -> ndarray[Any, Any]:
    """The block of each sample int64 [n]; an unconditional run is one class,
    and without labels a prompt is as a class.
    """
    labels = labels_for(plan)
    if labels is None and "prompts" in plan.identity["conditions"]:
        return prompts.blocks(plan.n, plan.identity["conditions"]["prompts"]["count"], BLOCKS)
    return blocks_of(np.zeros(plan.n, dtype=np.int64) if labels is None else labels)


def shards_of(blocks: ndarray[Any, Any]) -> list[Shard]:
    """Every shard of a run, block by block."""
    size = 50 if len(blocks) < 10_000 else 500
    members = [np.flatnonzero(blocks == block) for block in range(BLOCKS)]
    return [
        Shard(block, at, inside[at : at + size])
        for block, inside in enumerate(members)
        for at in range(0, len(inside), size)
    ]


def whole_run(plan: Plan) -> Shard:
    """The whole run as a shard beyond all blocks."""
    return Shard(BLOCKS, 0, np.arange(plan.n))


def path_of(folder: Path, shard: Shard, probe: str) -> Path:
    return folder / "shards" / f"{shard.name}.{probe}.safetensors"


def read_probe(
    folder: Path, shard: Shard, probe: Probe
) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]] | None:
    """A probe's arrays and what its file says of itself (`images`: their SHA-256);
    None where it is missing, damaged (named) or of another time.
    """
    try:
        arrays, meta = read_arrays(path_of(folder, shard, probe.name))
    except FileNotFoundError:
        return None
    except Damaged as error:
        complain(f"damaged shard: {error}; doing it again")
        return None
    same = agrees(meta, {**probe.says, "shard": shard.name}, probe.extractor)
    return (
        (arrays, meta)
        if same
        and len(arrays[array_of(probe)]) >= (0 if probe.sums else probe.wanted(shard.indices))
        else None
    )


def array_of(probe: Probe) -> str:
    """The name of a probe's array in its files."""
    return probe.output or "images"


def parts(
    plan: Plan, folder: Path, probe: Probe, asked: Callable[[Shard], bool] = lambda shard: True
) -> Iterator[tuple[Shard, ndarray[Any, Any], dict[str, str]]]:
    """A probe's array of each shard that has any, and what its file says of itself;
    RunFailed when one went missing since it was drawn.
    """
    for shard in [whole_run(plan)] if probe.ahead else shards_of(run_blocks(plan)):
        if not (probe.wanted(shard.indices) and asked(shard)):
            continue
        found = read_probe(folder, shard, probe)
        if found is None:
            raise RunFailed(
                f"{path_of(folder, shard, probe.name)} went missing while it was needed; "
                "genbench run with the same words draws it again"
            )
        yield shard, found[0][array_of(probe)], found[1]
