"""What is said of one class with its uncertainty: leave-outs of both sides, intervals,
and what real images score against real images.

Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.per_class.pairwise import (
    NEIGHBOURS,
    STATISTICS,
    K,
    Pairs,
    apart,
    centred,
    frechet,
    mean_within,
    measured,
    neighbours,
    nuclear_norms,
    pairs,
)
from genbench.statistics import confidence_intervals, frechet_distance, jackknife, permutation_tests

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

BLOCKS = 20
SMALL = 2**14  # pairs of a class, up to which all leave-outs are held at once
# of real against real: for numbers that need roots or sorting, and for the others
SPLITS, DRAWS = 20, 499


def blocks_of(n: int) -> Array:
    """The block of each of n rows of a class, int64 [n]: the k-th lies in block k mod BLOCKS."""
    return np.arange(n) % BLOCKS


def left_outs(of: Pairs, n: int) -> dict[str, tuple[Array, Array]]:
    """Every statistic without each block of the samples, the first n rows, float64 [B],
    and without each of the real images, float64 [B'].

    The same as `measured` of the rows that stay, in a fraction of the time: sums by pair of blocks,
    and each row's nearest others once.
    """
    x, y = np.arange(n), np.arange(n, len(of.rows))
    ours, theirs = _sums_without(of, x, y), _sums_without(of, y, x)
    ours["spread_ratio"], theirs["spread_ratio"] = (
        _ratio(ours["moved"], ours["still"]),
        _ratio(theirs["still"], theirs["moved"]),
    )
    ours |= {"fd": _frechet_without(of, x, y, ours), **_neighbours_without(of.squares, x, y)}
    theirs |= {
        "fd": _frechet_without(of, y, x, theirs),
        **_neighbours_without(of.squares, y, x, real=True),
    }
    return {name: (ours[name], theirs[name]) for name in STATISTICS}


def _sums_without(of: Pairs, moved: Array, still: Array) -> dict[str, Array]:
    """kd, and mean squared distances within `moved`, within `still` and between them,
    without each block of `moved`; what stays is added up.
    """
    n, m = len(moved), len(still)
    member = np.eye(min(n, BLOCKS))[blocks_of(n)]
    keep = 1 - np.eye(member.shape[1])
    left = n - member.sum(0)
    found = []
    for matrix in (of.kernel, of.squares):
        sums = member.T @ (matrix[np.ix_(moved, moved)] * (1 - np.eye(n))) @ member
        within = ((keep @ sums) * keep).sum(1) / np.where(left > 1, left * (left - 1), np.nan)
        between = keep @ (member.T @ matrix[np.ix_(moved, still)].sum(1)) / (left * m)
        found.append((within, np.full(len(left), mean_within(matrix, still)), between))
    (inside, rest, across), (moved_squares, still_squares, between) = found
    return {
        "kd": inside + rest - 2 * across,
        "moved": moved_squares,
        "still": still_squares,
        "between": between,
    }


def _ratio(ours: Array, theirs: Array) -> Array:
    return np.divide(ours, theirs, out=np.full(len(ours), np.nan), where=theirs > 0)


def _frechet_without(of: Pairs, moved: Array, still: Array, sums: dict[str, Array]) -> Array:
    """The Fréchet distance without each block of `moved`, float64 [B]; sums:
    what _sums_without gave.
    """
    blocks, n, m = blocks_of(len(moved)), len(moved), len(still)
    if min(n, m) > 2 * of.rows.shape[1]:
        one = frechet_distance.fit(of.rows[still])
        return frechet_distance.distances_without(
            *frechet_distance.projected(of.rows[moved], one), one, blocks, int(blocks.max()) + 1
        )
    kept = blocks != np.arange(int(blocks.max()) + 1)[:, None]
    left = kept.sum(1)
    if n * m > SMALL:
        return np.array(
            [frechet(of, moved[own], still) if own.sum() > 1 else math.nan for own in kept]
        )
    between = of.squares[np.ix_(moved, still)]
    between = between - between.mean(1, keepdims=True)
    # rows that are left out become rows of zeros, which have no part in a nuclear norm
    many = (between - (kept @ between / left[:, None])[:, None]) * kept[:, :, None]
    norms = nuclear_norms(many) / np.sqrt(np.where(left > 1, left - 1, np.nan) * (m - 1))
    return np.asarray(apart(sums["between"], sums["moved"] / 2, sums["still"] / 2, left, m) - norms)


def _neighbours_without(
    squares: Array, moved: Array, still: Array, *, real: bool = False
) -> dict[str, Array]:
    """precision, recall, density and coverage without each block of `moved`, float64 [B]; real:
    `moved` are the real images, else the samples.
    """
    blocks = blocks_of(len(moved))
    count = int(blocks.max()) + 1
    if min(len(moved) - np.bincount(blocks).max(), len(still)) <= K:
        return {name: np.full(count, math.nan) for name in NEIGHBOURS}
    between = squares[np.ix_(moved, still)]
    reach, fixed = (
        _reach_without(squares, moved, blocks),
        _reach_without(squares, still, None)[:, 0],
    )
    kept = blocks != np.arange(count)[:, None]  # [B, n]
    mean = kept / kept.sum(1, keepdims=True)  # takes the mean over the rows that are kept
    in_still = between <= fixed  # whether a moved row lies in the ball of a row that stays, [n, m]
    # whether a row that stays lies in the ball of a moved row, [B, n, m]
    in_moved = (between <= reach.T[:, :, None]) & kept[:, :, None]
    inside, reached = mean @ in_still.any(1), in_moved.any(1).mean(1)
    if real:
        balls, covered = in_moved.sum((1, 2)) / len(still), (in_moved.any(2) * mean).sum(1)
        return {"precision": reached, "recall": inside, "density": balls / K, "coverage": covered}
    balls, covered = mean @ in_still.sum(1), (mean @ in_still > 0).mean(1)
    return {"precision": inside, "recall": reached, "density": balls / K, "coverage": covered}


def _reach_without(squares: Array, of: Array, blocks: Array | None) -> Array:
    """The squared distance of each row to its K-th nearest other outside of each block,
    float64 [n, B]; of all others, [n, 1], for blocks None.
    """
    own = squares[np.ix_(of, of)]
    np.fill_diagonal(own, np.inf)
    if blocks is None:
        return np.partition(own, K - 1, axis=1)[:, K - 1 : K]
    enough = min(K + int(np.bincount(blocks).max()), len(of) - 1)
    near = np.argpartition(own, enough - 1, axis=1)[:, :enough]
    near = np.take_along_axis(near, np.take_along_axis(own, near, 1).argsort(1), 1)
    outside = blocks[near][:, :, None] != np.arange(int(blocks.max()) + 1)
    at = (outside.cumsum(1) == K).argmax(1)  # the first place where K others are counted
    return np.take_along_axis(np.take_along_axis(own, near, 1), at, 1)


def bounded(of: Pairs, n: int) -> dict[str, tuple[float, float, float]]:
    """(value, low, high) of every statistic, the first n rows being samples:
    a 95 % interval of both sides' uncertainty.

    The delete-group jackknife of each side, added in squares, with t of the fewer groups; the
    ratio's on its logarithm; shares within 0 and 1.
    """
    sizes = n, len(of.rows) - n
    value, without = measured(of, np.arange(n), np.arange(n, len(of.rows))), left_outs(of, n)
    blocks = [np.bincount(blocks_of(size)) for size in sizes]
    width = confidence_intervals.t_interval(0.0, 1.0, min(*sizes, BLOCKS))[1]
    return {name: _interval(name, value[name], without[name], blocks, width) for name in STATISTICS}


def _interval(
    name: str, value: float, sides: tuple[Array, Array], blocks: list[Array], width: float
) -> tuple[float, float, float]:
    """(value, low, high), `width` standard errors to each side."""
    # on its logarithm, but not where the class is one image without one block: then a ratio of 0,
    # which has none, is what the interval must reach
    logarithm = name == "spread_ratio" and value > 0 and all((side > 0).all() for side in sides)
    turn = np.log if logarithm else np.asarray
    with np.errstate(divide="ignore", invalid="ignore"):
        at = float(turn(value))
        half = width * math.hypot(
            *(
                jackknife.jackknife(turn(side), own, at)
                for side, own in zip(sides, blocks, strict=True)
            )
        )
    low, high = at - half, at + half
    if logarithm:
        return value, math.exp(min(low, 700.0)), math.exp(min(high, 700.0))
    if name in ("precision", "recall", "coverage"):
        return value, max(low, 0.0), min(high, 1.0)
    return value, max(low, 0.0) if name in ("spread_ratio", "density") else low, high


@dataclass(frozen=True)
class Line:
    """What real images score against other real images of the class:
    median, 2.5 % and 97.5 % point, and how many stood for each side.
    """

    median: float
    low: float
    high: float
    n: int
    m: int


def in_proportion(there: int, n: int, m: int) -> tuple[int, int]:
    """The sizes of two disjoint sets that stand for n and m rows:
    as many, or fewer in proportion where there are less than n + m.
    """
    factor = min(1.0, there / max(n + m, 1))
    return int(n * factor), int(m * factor)


def lines_of(values: Array, n: int, m: int) -> list[Line | None]:
    """What splits of n against m real rows have scored, of each statistic float64 [K, S];
    None where one of them has no number.
    """
    low, median, high = np.quantile(values, (0.025, 0.5, 0.975), axis=1)
    return [
        Line(float(median[k]), float(low[k]), float(high[k]), n, m)
        if np.isfinite(own).all()
        else None
        for k, own in enumerate(values)
    ]


def line_of(values: Sequence[float] | Array, n: int, m: int) -> Line | None:
    """lines_of one statistic."""
    return lines_of(np.array([values]), n, m)[0]


def real_lines(rows: Array, n: int, m: int, seed: int = 0) -> dict[str, Line]:
    """{statistic: Line} of disjoint parts of a class's real rows [p, d],
    in place of n samples and m real images; fewer in proportion where p < n + m.
    """
    n, m = in_proportion(len(rows), n, m)
    if min(n, m) < 2:
        return {}
    of = pairs(rows)
    rng = np.random.default_rng([seed, len(rows), n, m])
    order = np.stack([rng.permutation(len(rows))[: n + m] for _ in range(SPLITS)])
    many = _neighbour_splits(of.squares, order, n) | {"fd": _frechet_splits(of, order, n)}
    several = n + m < len(rows)  # else every split is of the same rows
    chosen = permutation_tests.arrangements(n, m, DRAWS // SPLITS if several else DRAWS, seed)
    parts = [np.ix_(one, one) for one in order[: None if several else 1]]
    many["kd"] = np.concatenate(
        [permutation_tests.kernel_distances(of.kernel[part], chosen) for part in parts]
    )
    many["spread_ratio"] = np.exp(
        np.concatenate([permutation_tests.log_spreads(of.squares[part], chosen) for part in parts])
    )
    together = (("kd", "spread_ratio"), ("fd", *NEIGHBOURS))  # of as many draws each
    lines = (
        line
        for names in together
        for line in zip(
            names, lines_of(np.stack([many[name] for name in names]), n, m), strict=True
        )
    )
    return {name: line for name, line in lines if line}


def _neighbour_splits(squares: Array, order: Array, n: int) -> dict[str, Array]:
    """precision, recall, density and coverage of each row of places int64 [S, n + m],
    the first n against the rest: float64 [S] each.
    """
    m = order.shape[1] - n
    if min(n, m) <= K or n * m > SMALL:
        found = [neighbours(squares, one[:n], one[n:]) for one in order]
        return {name: np.array([one[name] for one in found]) for name in NEIGHBOURS}
    ours, theirs = order[:, :n], order[:, n:]
    between = squares[ours[:, :, None], theirs[:, None, :]]
    reach = []
    for places in (ours, theirs):
        own = squares[places[:, :, None], places[:, None, :]]
        own[:, np.arange(places.shape[1]), np.arange(places.shape[1])] = np.inf
        reach.append(np.partition(own, K - 1, axis=2)[:, :, K - 1])
    balls = between <= reach[1][:, None, :]
    return {
        "precision": balls.any(2).mean(1),
        "recall": (between <= reach[0][:, :, None]).any(1).mean(1),
        "density": balls.sum((1, 2)) / (n * K),
        "coverage": balls.any(1).mean(1),
    }


def _frechet_splits(of: Pairs, order: Array, n: int) -> Array:
    """The Fréchet distance of each row of places int64 [S, n + m], the first n against the rest:
    float64 [S].
    """
    m = order.shape[1] - n
    if min(n, m) > of.rows.shape[1] or n * m > SMALL:
        return np.array([frechet(of, one[:n], one[n:]) for one in order])
    ours, theirs = order[:, :n], order[:, n:]
    between = of.squares[ours[:, :, None], theirs[:, None, :]]
    x, y = (
        of.squares[own[:, :, None], own[:, None, :]].sum((1, 2)) / (2 * k * (k - 1))
        for own, k in ((ours, n), (theirs, m))
    )
    return np.asarray(
        apart(between.mean((1, 2)), x, y, n, m)
        - nuclear_norms(centred(between)) / math.sqrt((n - 1) * (m - 1))
    )
