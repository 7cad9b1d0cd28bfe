"""A run's drawn shards read back: a probe over the whole run, single images, and what the files say of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.lazy import np
from genbench.probes import Probe, kept_images, probes_of
from genbench.say import RunFailed
from genbench.shards import Shard, parts, path_of, read_probe, run_blocks, shards_of

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan


def gather(plan: Plan, folder: Path, probe: Probe, first: int | None = None) -> ndarray[Any, Any]:
    """A probe's array over the whole run, float64: row i for sample i (of pairs, of the first so many), or sums by block [B, C, d + 2].

    first: rows of the first so many samples alone.
    """
    if probe.sums:
        sums: dict[int, ndarray[Any, Any]] = {}
        for shard, array, _ in parts(plan, folder, probe):
            sums[shard.block] = sums[shard.block] + array if shard.block in sums else array
        return np.stack([sums[block] for block in sorted(sums)])
    found = [(shard.indices[: len(rows)], rows) for shard, rows in rows_by_shard(plan, folder, probe, first)]
    order = np.argsort(np.concatenate([indices for indices, _ in found]))
    return np.concatenate([rows for _, rows in found])[order].astype(np.float64)


def rows_by_shard(plan: Plan, folder: Path, probe: Probe, first: int | None = None) -> Iterator[tuple[Shard, ndarray[Any, Any]]]:
    """Shard by shard, in ascending order, the rows of its samples; of the first so many samples of the run alone."""
    wanted = (lambda shard: True) if first is None else (lambda shard: shard.indices[0] < first)
    for shard, array, _ in parts(plan, folder, probe, wanted):
        count = probe.wanted(shard.indices)
        yield shard, array[: count if first is None else min(count, int((shard.indices < first).sum()))]


def images_at(plan: Plan, folder: Path, indices: list[int]) -> ndarray[Any, Any]:
    """Kept images uint8 [k, 3, H, W] of these samples, reading only the shards that hold them."""
    found: dict[int, ndarray[Any, Any]] = {}
    for shard in shards_of(run_blocks(plan)):
        if wanted := set(shard.indices.tolist()).intersection(indices):
            if (kept := read_probe(folder, shard, kept_images(plan))) is None:
                raise RunFailed(f"{path_of(folder, shard, 'images')} is lost; without {folder / 'run.json'} genbench run with the same words draws it again")
            found |= {int(i): kept[0]["images"][k] for k, i in enumerate(shard.indices) if int(i) in wanted}
    return np.stack([found[i].round().clip(0, 255).astype(np.uint8) for i in indices])


def told(plan: Plan, folder: Path) -> dict[str, dict[str, str]]:
    """What the file of each shard says of its images: `images`, their SHA-256, `sketch` and `quantised`, how they became 8 bits."""
    probe = min((one for one in probes_of(plan).values() if one.of_images), key=lambda one: one.name == "images", default=None)
    return {shard.name: found[1] for shard in shards_of(run_blocks(plan)) if probe and (found := read_probe(folder, shard, probe))}
