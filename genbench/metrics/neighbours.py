"""`precision`, `recall`, `density`, `coverage`: which samples lie among the reference and the reverse, by balls that reach to the k-th neighbour.

A row's ball has the squared distance to the k-th nearest other row of its own set as squared radius; a point on its surface lies inside (<=, as
Kynkäänniemi et al.'s code; the prdc package takes <, equal on continuous data). A row is no neighbour of itself, by index, so identical sets give 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench import intervals, stats
from genbench.arrays import Arrays, Side, Sighting
from genbench.lazy import np
from genbench.rows import Metric

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

K = 5  # Naeem et al.; Kynkäänniemi et al. take 3
SURFACE = 1 + 1e-9  # a copy of a row's k-th neighbour lies exactly on its ball: the rule decides such ties, not the rounding of a distance


def precision(arrays: Arrays, *, k: float = K) -> float:
    """The share of samples [n, d] inside any ball of the reference [m, d], 0 to 1; k < m. Kynkäänniemi et al. (2019), eq. 1 and 2; their k is 3."""
    return float((_inside(arrays, "reference", int(k)) > 0).mean())


def precision_left_out(arrays: Arrays, blocks: Array, side: Side, *, k: float = K) -> Array:
    """precision without each block of one side, float64 [B]; without a block of the reference the other balls grow."""
    return _share_left_out(arrays, blocks, side, "reference", int(k))


def recall(arrays: Arrays, *, k: float = K) -> float:
    """The share of the reference [m, d] inside any ball of the samples [n, d], 0 to 1; k < n. Kynkäänniemi et al. (2019), eq. 1 and 2; their k is 3."""
    return float((_inside(arrays, "samples", int(k)) > 0).mean())


def recall_left_out(arrays: Arrays, blocks: Array, side: Side, *, k: float = K) -> Array:
    """recall without each block of one side, float64 [B]; without a block of the samples the other balls grow."""
    return _share_left_out(arrays, blocks, side, "samples", int(k))


def density(arrays: Arrays, *, k: float = K) -> float:
    """The mean number of balls of the reference [m, d] that a sample [n, d] lies in, over k: 0 to m / k, expectation 1 for equal distributions.

    Naeem et al. (2020), eq. 4. Identical sets give (k + 1) / k, as each row lies in its own ball.
    """
    return float(_inside(arrays, "reference", int(k)).mean()) / int(k)


def density_left_out(arrays: Arrays, blocks: Array, side: Side, *, k: float = K) -> Array:
    """density without each block of one side, float64 [B]."""
    if side == "samples":
        return stats.means_without(_inside(arrays, "reference", int(k)).astype(np.float64), blocks) / int(k)
    return _undefined(len(blocks), blocks, int(k), _inside_without(arrays, "reference", blocks, int(k)).mean(0) / int(k))


def coverage(arrays: Arrays, *, k: float = K) -> float:
    """The share of the reference's balls [m, d] that hold any sample [n, d], 0 to 1; k < m. Naeem et al. (2020), eq. 5; expectation 1 - 2^-k at n = m."""
    return float((_nearest(arrays) <= _radii(arrays, "reference", int(k))).mean())


def coverage_left_out(arrays: Arrays, blocks: Array, side: Side, *, k: float = K) -> Array:
    """coverage without each block of one side, float64 [B]."""
    if side == "samples":
        nearest = stats.nearest_without(arrays["reference"], arrays["samples"], blocks)
        return (nearest <= _radii(arrays, "reference", int(k))[:, None]).mean(0)
    held = _nearest(arrays)[:, None] <= _radii_without(arrays, "reference", blocks, int(k))
    return _undefined(len(blocks), blocks, int(k), held.sum(0) / np.maximum(len(blocks) - stats.sizes_of(blocks), 1))


def _share_left_out(arrays: Arrays, blocks: Array, side: Side, balls: Side, k: int) -> Array:
    """The share of the other side's rows that lie inside any ball, without each block of one side."""
    if side != balls:
        return stats.means_without((_inside(arrays, balls, k) > 0).astype(np.float64), blocks)
    return _undefined(len(blocks), blocks, k, (_inside_without(arrays, balls, blocks, k) > 0).mean(0))


def _undefined(n: int, blocks: Array, k: int, values: Array) -> Array:
    """NaN where too few rows are left for a k-th neighbour."""
    return np.where(n - stats.sizes_of(blocks) > k, values, np.nan)


def _radii(arrays: Arrays, side: Side, k: int) -> Array:
    """Squared radii of a side's balls, float64 [rows]."""
    return arrays.once(("radii", side, k), lambda: SURFACE * stats.kth_nearest(arrays[side], k))


def _radii_without(arrays: Arrays, side: Side, blocks: Array, k: int) -> Array:
    """Squared radii without each block, float64 [rows, B]; -1, which holds nothing, for the block's own balls."""

    def make() -> Array:
        radii = SURFACE * stats.kth_nearest_without(arrays[side], blocks, k)
        radii[np.arange(len(blocks)), blocks] = -1.0
        return radii

    return arrays.once(("radii without", side, k, blocks.tobytes()), make)


def _others(balls: Side) -> Side:
    return "samples" if balls == "reference" else "reference"


def _inside(arrays: Arrays, balls: Side, k: int) -> Array:
    """In how many balls of one side each row of the other lies, int64 [rows of the other]."""
    return arrays.once(("inside", balls, k), lambda: _counts(arrays[_others(balls)], arrays[balls], _radii(arrays, balls, k)[:, None])[:, 0])


def _inside_without(arrays: Arrays, balls: Side, blocks: Array, k: int) -> Array:
    """_inside without each block of the balls' side, int64 [rows of the other, B]."""
    make = lambda: _counts(arrays[_others(balls)], arrays[balls], _radii_without(arrays, balls, blocks, k))  # noqa: E731
    return arrays.once(("inside without", balls, k, blocks.tobytes()), make)


def _counts(points: Array, centres: Array, radii: Array) -> Array:
    """How many balls each point lies in, int64 [n, B], for each column of squared radii [m, B]."""
    found = np.empty((len(points), radii.shape[1]), dtype=np.int64)
    for rows, squares in stats.squared_distances(points, centres):
        for b in range(radii.shape[1]):
            found[rows, b] = np.count_nonzero(squares <= radii[:, b], axis=1)
    return found


def _nearest(arrays: Arrays) -> Array:
    """The squared distance of each row of the reference to the nearest sample, float64 [m]."""

    def make() -> Array:
        return np.concatenate([squares.min(1) for _, squares in stats.squared_distances(arrays["reference"], arrays["samples"])])

    return arrays.once("nearest sample", make)


def too_wide(seen: Sighting) -> tuple[str, ...]:
    """Samples shield each other, so the jackknife is conservative: 1.3 to 1.6 times at n = 870, d = 64 (tests/bench/coverage.md); flagged at every n and d."""
    return ("interval too wide",)


PRECISION = Metric(
    name="precision",
    title="share of samples among the reference",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="wilson",
    value=precision,
    left_out=precision_left_out,
    paper="Kynkäänniemi et al. 2019, arXiv:1904.06991",
    smallest_n=K + 1,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}),
    flags=lambda seen: intervals.few_counts(seen.value, seen.n),
)

RECALL = Metric(
    name="recall",
    title="share of the reference among the samples",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=recall,
    left_out=recall_left_out,
    paper="Kynkäänniemi et al. 2019, arXiv:1904.06991",
    smallest_n=K + 1,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}),
    flags=too_wide,
)

DENSITY = Metric(
    name="density",
    title="how densely samples lie among the reference",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, float("inf")),
    interval="mean",
    value=density,
    left_out=density_left_out,
    paper="Naeem et al. 2020, arXiv:2002.09797",
    smallest_n=K + 1,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
)

COVERAGE = Metric(
    name="coverage",
    title="share of the reference with a sample near",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=coverage,
    left_out=coverage_left_out,
    paper="Naeem et al. 2020, arXiv:2002.09797",
    smallest_n=K + 1,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}),
    flags=too_wide,
)
