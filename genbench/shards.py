"""Samples to probes to one atomic file per shard and probe; which are missing.

A shard is the next 50 members of one block (500 from n = 10,000): the unit of resuming. A probe is what is computed from its images: the images
themselves (kept), or an extractor's features. Present and whole means skipped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.draws import BLOCKS, blocks_of, labels_of
from genbench.files import Damaged, read_arrays, sha256, write_arrays
from genbench.lazy import np, torch
from genbench.reference import extract
from genbench.say import RunFailed, complain, progress

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.generator import Generator
    from genbench.record import Plan


@dataclass(frozen=True)
class Shard:
    """Members `first`, first + 1, ... of a block; `indices` int64 are their places in the run."""

    block: int
    first: int
    indices: ndarray[Any, Any]

    @property
    def name(self) -> str:
        return f"b{self.block:02d}-{self.first:05d}-{len(self.indices):03d}"


@dataclass
class Clock:
    """Where the time of a run went, in seconds per stage, and how many images were drawn in it."""

    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0

    def add(self, stage: str, since: float) -> float:
        now = time.monotonic()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


def labels_for(plan: Plan) -> ndarray[Any, Any] | None:
    """The labels of the run's samples int64 [n], or None for an unconditional generator."""
    conditions = plan.identity["conditions"]
    if "labels" not in conditions:
        return None
    seeds = plan.identity["first_seed"] + np.arange(plan.n, dtype=np.int64)
    return labels_of(conditions["labels"], plan.n, conditions["classes"], seeds, conditions.get("frequencies"))


def run_blocks(plan: Plan) -> ndarray[Any, Any]:
    """The block of each sample int64 [n]; an unconditional run is one class."""
    labels = labels_for(plan)
    return blocks_of(np.zeros(plan.n, dtype=np.int64) if labels is None else labels)


def shards_of(blocks: ndarray[Any, Any]) -> list[Shard]:
    """Every shard of a run, block by block."""
    size = 50 if len(blocks) < 10_000 else 500
    members = [np.flatnonzero(blocks == block) for block in range(BLOCKS)]
    return [Shard(block, at, inside[at : at + size]) for block, inside in enumerate(members) for at in range(0, len(inside), size)]


def probes_of(plan: Plan) -> dict[str, dict[str, str]]:
    """Probe name -> what its files say of themselves; a file that says otherwise is of another time and done again."""
    common = {"run": plan.id, "quantise": plan.quantise, "device": plan.device.split(":")[0]}
    probes = {"images": common} if plan.keep_images else {}
    for protocol in plan.protocols.values():
        probes |= {name: {**common, **used} for name, used in protocol["extractors"].items()}
    return probes


def _path(folder: Path, shard: Shard, probe: str) -> Path:
    return folder / "shards" / f"{shard.name}.{probe}.safetensors"


def _read(folder: Path, shard: Shard, probe: str, says: Mapping[str, str]) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]] | None:
    """A probe's arrays and what its file says of itself (`images`: the SHA-256 of the images behind it); None where it is missing,
    damaged (named) or of another time."""
    try:
        arrays, meta = read_arrays(_path(folder, shard, probe))
    except FileNotFoundError:
        return None
    except Damaged as error:
        complain(f"damaged shard: {error}; doing it again")
        return None
    return (arrays, meta) if all(meta.get(key) == value for key, value in {**says, "shard": shard.name}.items()) else None


def draw(plan: Plan, generator: Generator, loaded: Mapping[str, Any], folder: Path, clock: Clock) -> None:
    """Compute every probe of every shard that is not there and whole."""
    probes = probes_of(plan)
    labels = labels_for(plan)
    work = [(shard, missing) for shard in shards_of(run_blocks(plan)) if (missing := _missing(folder, shard, probes))]
    with progress(f"sampling {plan.label}", sum(len(shard.indices) for shard, _ in work), "images") as done:
        for shard, missing in work:
            _draw_shard(plan, generator, loaded, folder, shard, missing, labels, clock)
            done(len(shard.indices))


def _missing(folder: Path, shard: Shard, probes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The probes of a shard to compute; all of them when two present ones were made from different images."""
    there = {probe: _read(folder, shard, probe, says) for probe, says in probes.items()}
    origins = {found[1]["images"] for found in there.values() if found}
    if len(origins) > 1:
        complain(f"shard {shard.name}: its probes were made from different images; doing all of them again")
    return list(probes) if len(origins) > 1 else [probe for probe, found in there.items() if found is None]


def _draw_shard(
    plan: Plan,
    generator: Generator,
    loaded: Mapping[str, Any],
    folder: Path,
    shard: Shard,
    missing: list[str],
    labels: ndarray[Any, Any] | None,
    clock: Clock,
) -> None:
    probes = probes_of(plan)
    then = time.monotonic()
    kept = _read(folder, shard, "images", probes["images"]) if "images" in probes and "images" not in missing else None
    if kept:
        images, how = torch.from_numpy(kept[0]["images"]).to(plan.device), kept[1]["quantised"]
    else:
        own = None if labels is None else labels[shard.indices]
        images = generator.draw(shard.indices, plan.identity["first_seed"], own, plan.batch_size, plan.quantise)
        clock.images, how = clock.images + len(images), generator.quantised
    _wait_for(plan.device)
    then = clock.add("sample", then)
    extracted = {probe: extract(network, images) for probe, network in loaded.items()}  # on the device: nothing is copied before features are out
    _wait_for(plan.device)
    then = clock.add("features", then)
    pixels = images.cpu().numpy()
    origin = sha256(pixels.tobytes())
    others = {p: found for p in probes if p not in missing and (found := _read(folder, shard, p, probes[p]))}
    if any(found[1]["images"] != origin for found in others.values()):
        complain(f"shard {shard.name} came out different when drawn again: {plan.label} is not reproducible here; doing all its probes again")
        missing = list(probes)
    for probe in missing:
        arrays = {"images": pixels} if probe == "images" else {output: values.cpu().numpy() for output, values in extracted[probe].items()}
        write_arrays(_path(folder, shard, probe), arrays, {**probes[probe], "shard": shard.name, "images": origin, "quantised": how})
    clock.add("write", then)


def _wait_for(device: str) -> None:
    """Until a GPU has done what it was asked, so that the clock counts each stage's own time."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def gather(plan: Plan, folder: Path, probe: str) -> dict[str, ndarray[Any, Any]]:
    """A probe's arrays over the whole run, row i for sample i; RunFailed when a shard went missing since it was drawn."""
    shards = shards_of(run_blocks(plan))
    parts = []
    for shard in shards:
        found = _read(folder, shard, probe, probes_of(plan)[probe])
        if found is None:
            raise RunFailed(f"{_path(folder, shard, probe)} went missing while it was needed; the same command draws it again")
        parts.append(found[0])
    order = np.argsort(np.concatenate([shard.indices for shard in shards]))
    return {output: np.concatenate([part[output] for part in parts])[order] for output in parts[0]}


def images_at(plan: Plan, folder: Path, indices: list[int]) -> ndarray[Any, Any]:
    """Kept images uint8 [k, 3, H, W] of these samples, reading only the shards that hold them."""
    found: dict[int, ndarray[Any, Any]] = {}
    wanted = set(indices)
    for shard in shards_of(run_blocks(plan)):
        if wanted & set(shard.indices.tolist()):
            kept = _read(folder, shard, "images", probes_of(plan)["images"])
            assert kept is not None, "called after draw"
            found |= {int(i): kept[0]["images"][k] for k, i in enumerate(shard.indices) if int(i) in wanted}
    return np.stack([found[i] for i in indices])


def quantised(plan: Plan, folder: Path) -> str:
    """How the run's images became 8 bits: by the plan's `quantise`, or by the plugin."""
    probe, says = next(iter(probes_of(plan).items()))
    found = _read(folder, shards_of(run_blocks(plan))[0], probe, says)
    return found[1]["quantised"] if found else ""
