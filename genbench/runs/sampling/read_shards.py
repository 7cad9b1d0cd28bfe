"""A run's drawn shards read back: a probe over the whole run, single images,
and what the files say of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import progress
from genbench._util.errors import RunFailed
from genbench._util.lazy_imports import np
from genbench.runs.planning.shard_outputs import (
    Probe,
    held_rows,
    kept_images,
    probe_name,
    probes_of,
    rounded,
)
from genbench.runs.sampling.shards import (
    Shard,
    labels_for,
    parts,
    path_of,
    read_probe,
    run_blocks,
    shards_of,
)
from genbench.statistics import moments as stats
from genbench.statistics.moments import Moments

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.runs.records.record import Plan
    from genbench.statistics.moments import Moments


def drawn(plan: Plan, folder: Path) -> Drawn:
    """What a run drew, as far as its measures need it at once;
    moments of rows that are not held are streamed when they are asked for.
    """
    probes = {name: probe for name, probe in probes_of(plan).items() if name != "images"}
    held = {name: probe.sums or held_rows(plan, probe) for name, probe in probes.items()}
    gathered = {
        name: gather(plan, folder, probes[name], None if first is True else first)
        for name, first in held.items()
        if first
    }

    def moments(measure: Mapping[str, Any], n: int) -> list[Moments]:
        return moments_by_block(plan, folder, probes[probe_name(measure)], n, measure)

    return Drawn(gathered, labels_for(plan), run_blocks(plan), moments)


def gather(
    plan: Plan, folder: Path, probe: Probe, first: int | None = None, dtype: str = "float64"
) -> ndarray[Any, Any]:
    """A probe's array over the whole run: row i for sample i (of pairs, of the first so many),
    or sums by block [B, C, d + 2].

    first: rows of the first so many samples alone.
    """
    if probe.sums:
        sums: dict[int, ndarray[Any, Any]] = {}
        for shard, array, _ in parts(plan, folder, probe):
            sums[shard.block] = sums[shard.block] + array if shard.block in sums else array
        return np.stack([sums[block] for block in sorted(sums)])
    found = np.zeros(0)
    for shard, rows in rows_by_shard(plan, folder, probe, first):
        if not len(found):
            found = np.empty((probe.wanted(np.arange(plan.n)[:first]), *rows.shape[1:]), dtype)
        found[shard.indices[: len(rows)]] = rows
    return found


def rows_by_shard(
    plan: Plan, folder: Path, probe: Probe, first: int | None = None
) -> Iterator[tuple[Shard, ndarray[Any, Any]]]:
    """Shard by shard, in ascending order, the rows of its samples;
    of the first so many samples of the run alone.
    """
    wanted = (lambda shard: True) if first is None else (lambda shard: shard.indices[0] < first)
    for shard, array, _ in parts(plan, folder, probe, wanted):
        yield (
            shard,
            array[
                : probe.wanted(
                    shard.indices if first is None else shard.indices[shard.indices < first]
                )
            ],
        )


def moments_by_block(
    plan: Plan, folder: Path, probe: Probe, first: int, measure: Mapping[str, Any]
) -> list[Moments]:
    """The moments of each block's rows among the first so many samples, float64,
    rounded as a measure takes them; NotFinite where one is no number.

    Shards are read in ascending order and merged in it, some rows at a time.
    """
    found: dict[int, Moments] = {}
    with progress(f"moments of {probe.name}", first, "samples") as done:
        for block, rows in _some_at_once(plan, folder, probe, first):
            taken = rounded(rows, measure)
            if not np.isfinite(taken).all():
                raise NotFinite
            part = stats.moments(taken)
            found[block] = (
                stats.merge(found[block], part, out=found[block].scatter)
                if block in found
                else part
            )
            done(len(rows))
    return [found[block] for block in sorted(found)]


def _some_at_once(
    plan: Plan, folder: Path, probe: Probe, first: int
) -> Iterator[tuple[int, ndarray[Any, Any]]]:
    """(block, rows [k, d]) in ascending order, of as many shards of a block together as fill
    CHUNK elements.
    """
    held: list[ndarray[Any, Any]] = []
    at = -1
    for shard, rows in rows_by_shard(plan, folder, probe, first):
        if held and (shard.block != at or sum(map(len, held)) * rows.shape[1] > stats.CHUNK):
            yield at, np.concatenate(held)
            held = []
        at = shard.block
        held.append(rows)
    if held:
        yield at, np.concatenate(held)


def images_at(plan: Plan, folder: Path, indices: list[int]) -> ndarray[Any, Any]:
    """Kept images uint8 [k, 3, H, W] of these samples, reading only the shards that hold them."""
    found: dict[int, ndarray[Any, Any]] = {}
    for shard in shards_of(run_blocks(plan)):
        if wanted := set(shard.indices.tolist()).intersection(indices):
            if (kept := read_probe(folder, shard, kept_images(plan))) is None:
                raise RunFailed(
                    f"{path_of(folder, shard, 'images')} is lost; without {folder / 'run.json'} "
                    "genbench run with the same words draws it again"
                )
            found |= {
                int(i): kept[0]["images"][k]
                for k, i in enumerate(shard.indices)
                if int(i) in wanted
            }
    return np.stack([found[i].round().clip(0, 255).astype(np.uint8) for i in indices])


def told(plan: Plan, folder: Path) -> dict[str, dict[str, str]]:
    """What the file of each shard says of its images: `images`, their SHA-256,
    `sketch` and `quantised`, how they became 8 bits.
    """
    probe = min(
        (one for one in probes_of(plan).values() if one.of_images),
        key=lambda one: one.name == "images",
        default=None,
    )
    return {
        shard.name: found[1]
        for shard in shards_of(run_blocks(plan))
        if probe and (found := read_probe(folder, shard, probe))
    }


class NotFinite(ArithmeticError):
    """Features of the samples that are streamed hold NaN or infinite values."""


@dataclass(frozen=True)
class Drawn:
    """What a run drew, by probe: rows float64 [n, d], distances of pairs (of the first so many
    samples that were asked for) or within classes, row i for sample i, or sums by block
    [B, C, d + 2]; labels int64 [n] or None, blocks int64 [n].

    moments(measure, n): of the first n samples' rows by block, where they are not held.
    """

    probes: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any] | None
    blocks: ndarray[Any, Any]
    moments: Callable[[Mapping[str, Any], int], list[Moments]] | None = None
