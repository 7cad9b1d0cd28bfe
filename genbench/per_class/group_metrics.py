"""Groups of classes: the samples of many, medium and few together against their real images
(FID-FS, KID-FS), with both sides' errors.

Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.per_class.class_intervals import (
    BLOCKS,
    DRAWS,
    SPLITS,
    Line,
    blocks_of,
    in_proportion,
    line_of,
)
from genbench.per_class.frechet_contributions import moments
from genbench.statistics import (
    confidence_intervals,
    frechet_distance,
    jackknife,
    kernels,
    matrix_sqrt,
)
from genbench.statistics import moments as stats

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

FEWEST = 50  # rows of a side of a group, below which no number of it is told
POOLED = 4000  # rows of a group in its kernel distance, which looks at all pairs
# features, above which a group's fd has a value alone: its leave-outs and splits would take minutes
WIDE = 256
NOTHING = (math.nan,) * 3


def of_groups(
    rows: Array, labels: Array, groups: Mapping[str, Sequence[int]]
) -> dict[str, stats.Moments]:
    """The moments of each group's rows, where they are more than the features,
    so that moments are enough for a distance.
    """
    members = {name: np.flatnonzero(np.isin(labels, of)) for name, of in groups.items()}
    return {
        name: moments(rows, places)
        for name, places in members.items()
        if len(places) > rows.shape[1]
    }


def whole(rows: Array, parts: Mapping[str, stats.Moments]) -> stats.Moments:
    """The moments of all rows: of its parts' where they hold every row."""
    return (
        stats.merge_all(list(parts.values()))
        if sum(of.count for of in parts.values()) == len(rows)
        else moments(rows)
    )


def distance(x: Array, y: Array) -> float:
    """The Fréchet distance of rows [n, d] and [m, d], two at least;
    from moments where both covariances are of full rank, so that no copy is held.
    """
    found = None if min(len(x), len(y)) <= x.shape[1] else between(moments(x), moments(y))
    return (
        frechet_distance.distance(x.astype(np.float64), frechet_distance.fit(y.astype(np.float64)))
        if found is None
        else found
    )


def between(ours: stats.Moments, theirs: stats.Moments) -> float | None:
    """The Fréchet distance of moments, the second's covariance of full rank;
    None where it is not.
    """
    covariance, factor = stats.covariance(ours), matrix_sqrt.factor_of(stats.covariance(theirs))
    if len(factor) < len(covariance):
        return None
    apart = float(((ours.mean - theirs.mean) ** 2).sum())
    return float(
        apart
        + covariance.trace()
        + (factor * factor).sum()
        - 2 * matrix_sqrt.trace_of_product_root(covariance, factor)
    )


def pooled(
    sides: Sequence[tuple[Array, Array, Mapping[str, stats.Moments]]],
    pool: tuple[Array, Array],
    groups: Mapping[str, Sequence[int]],
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{group: {"classes", "n", "m", "d", "fd", "small_sample", "kd", "kd_rows"}}:
    a group's samples together against its real images.

    That is FID-FS and KID-FS, one number, no mean. fd and kd with "_low", "_high" (95 %, both
    sides) and "_real", "_real_low", "_real_high" (real against real, of "_real_n" and "_real_m"
    images); None where there is none: fd of features wider than WIDE has a value alone.
    sides: samples and reference, each (rows [n, d], labels [n], what of_groups gave). pool: real
    images [p, d] whose roles are exchangeable, and their labels. kd: of at most POOLED rows of each
    side, evenly through them. None where a side has fewer than two rows; a group without a class is
    absent. small_sample: a side has fewer than 2 d rows, of which fd says more than of the group.
    """
    found, d = {}, sides[0][0].shape[1]
    for name, members in groups.items():
        if not members:
            continue
        # in the order of their classes, so that blocks of every twentieth row have their part of
        # each class, and none is one class of a run's turns
        places = [
            (of := np.flatnonzero(np.isin(labels, members)))[np.argsort(labels[of], kind="stable")]
            for _, labels, _ in sides
        ]
        n, m = map(len, places)
        numbers: dict[str, Any] = {**_told("fd", NOTHING), **_told("kd", NOTHING), "kd_rows": 0}
        if min(n, m) >= 2:
            x, y = (
                rows[of[:: -(-len(of) // POOLED)]].astype(np.float64)
                for (rows, _, _), of in zip(sides, places, strict=True)
            )
            real = pool[0], np.flatnonzero(np.isin(pool[1], members))
            numbers |= {
                "kd_rows": len(x),
                **_told("kd", _kernel_bounds(x, y), _kernel_line(real, len(x), len(y), seed)),
            }
            if d <= WIDE:
                ours, theirs = (
                    rows[of].astype(np.float64)
                    for (rows, _, _), of in zip(sides, places, strict=True)
                )
                numbers |= _told(
                    "fd", _frechet_bounds(ours, theirs), _frechet_line(real, n, m, seed)
                )
            else:
                known = [parts[name] for _, _, parts in sides if name in parts]
                fd = between(*known) if len(known) == 2 else None
                numbers |= {
                    "fd": distance(
                        *(rows[of] for (rows, _, _), of in zip(sides, places, strict=True))
                    )
                    if fd is None
                    else fd
                }
        found[name] = {
            "classes": [int(one) for one in members],
            "n": n,
            "m": m,
            "d": d,
            "small_sample": min(n, m) < 2 * d,
            **numbers,
        }
    return found


def _told(
    name: str, bounds: tuple[float, float, float], line: Line | None = None
) -> dict[str, float | None]:
    """A number with its interval and its line of real images, as plain data."""
    keys = (name, *(f"{name}_{end}" for end in ("low", "high", "real", "real_low", "real_high")))
    values = (*bounds, *((line.median, line.low, line.high) if line else (math.nan,) * 3))
    told: dict[str, float | None] = {
        key: float(value) if math.isfinite(value) else None
        for key, value in zip(keys, values, strict=True)
    }
    return told | {
        f"{name}_real_n": line.n if line else None,
        f"{name}_real_m": line.m if line else None,
    }


def _of_blocks(sums: Array, sizes: Array, ours: Array) -> float:
    """kd between the blocks that `ours` names, bool [B], and the others,
    from the kernel's sums by pair of blocks [B, B] and the blocks' sizes [B].
    """
    n, m = sizes[ours].sum(), sizes[~ours].sum()
    if min(n, m) < 2:
        return math.nan
    return float(
        sums[np.ix_(ours, ours)].sum() / (n * (n - 1))
        + sums[np.ix_(~ours, ~ours)].sum() / (m * (m - 1))
        - 2 * sums[np.ix_(ours, ~ours)].sum() / (n * m)
    )


def _kernel_bounds(x: Array, y: Array) -> tuple[float, float, float]:
    """kd of rows [n, d] and [m, d] with its interval: the delete-group jackknife of each side,
    added in squares.
    """
    first = min(len(x), BLOCKS)
    blocks = np.concatenate([blocks_of(len(x)), first + blocks_of(len(y))])
    sums, sizes = (
        kernels.kernel_sums_by_blocks(np.concatenate([x, y]), blocks, kernels.polynomial),
        np.bincount(blocks),
    )
    ours = np.arange(len(sizes)) < first
    value = _of_blocks(sums, sizes, ours)
    without = np.array(
        [
            _of_blocks(
                np.delete(np.delete(sums, b, 0), b, 1), np.delete(sizes, b), np.delete(ours, b)
            )
            for b in range(len(sizes))
        ]
    )
    errors = [jackknife.jackknife(without[side], sizes[side], value) for side in (ours, ~ours)]
    return value, *confidence_intervals.t_interval(
        value, math.hypot(*errors), min(first, len(sizes) - first)
    )


def _kernel_line(real: tuple[Array, Array], n: int, m: int, seed: int) -> Line | None:
    """What disjoint parts of real rows [p, d], of those at some places, score in place of n and m,
    in proportion where there are fewer.

    By splits of 2 BLOCKS random blocks.
    """
    rows, places = real
    n, m = in_proportion(len(places), n, m)
    count = min(2 * BLOCKS, n + m)
    ours = round(count * n / (n + m)) if n + m else 0
    if min(n, m) < 2 or min(ours, count - ours) < 2:
        return None
    rng = np.random.default_rng([seed, n, m])
    chosen = rows[rng.permutation(places)[: n + m]].astype(np.float64)
    blocks = np.arange(n + m) % count
    sums, sizes = (
        kernels.kernel_sums_by_blocks(chosen, blocks, kernels.polynomial),
        np.bincount(blocks),
    )
    values = [_of_blocks(sums, sizes, rng.permutation(count) < ours) for _ in range(DRAWS)]
    return line_of(values, n, m)


def _frechet_bounds(x: Array, y: Array) -> tuple[float, float, float]:
    """The Fréchet distance of rows [n, d] and [m, d] with its interval, as _kernel_bounds."""
    value, errors = frechet_distance.distance(x, frechet_distance.fit(y)), []
    for moved, still in ((x, frechet_distance.fit(y)), (y, frechet_distance.fit(x))):
        blocks = blocks_of(len(moved))
        without = frechet_distance.distances_without(
            *frechet_distance.projected(moved, still), still, blocks, int(blocks.max()) + 1
        )
        errors.append(jackknife.jackknife(without, np.bincount(blocks), value))
    return value, *confidence_intervals.t_interval(
        value, math.hypot(*errors), min(len(x), len(y), BLOCKS)
    )


def _frechet_line(real: tuple[Array, Array], n: int, m: int, seed: int) -> Line | None:
    """What disjoint parts of real rows [p, d], of those at some places, score in place of n and m,
    in proportion where there are fewer.
    """
    rows, places = real
    n, m = in_proportion(len(places), n, m)
    if min(n, m) < 2:
        return None
    rng = np.random.default_rng([seed, n, m])
    orders = (rng.permutation(places) for _ in range(SPLITS))
    return line_of([distance(rows[of[:n]], rows[of[n : n + m]]) for of in orders], n, m)
