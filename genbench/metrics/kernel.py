"""`kd`: the kernel distance (squared maximum mean discrepancy) of features; KID where the features and the protocol are Inception's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench import intervals, stats
from genbench.arrays import Arrays, Side
from genbench.lazy import np
from genbench.rows import Metric

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def polynomial(x: Array, y: Array) -> Array:
    """(x.y / d + 1)^3, float64 [n, m], of rows x [n, d] and y [m, d]; Bińkowski et al. (2018), section 4."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


def kd(arrays: Arrays) -> float:
    """Mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over all pairs of different samples. samples [n, d], reference [m, d], float64, n, m >= 2.

    Equally many of each class on both sides (balanced labels) put it a little below 0 for equal distributions: two samples of one set are then less often
    of one class than two of different sets. What real data scores has the same offset.

    Gretton et al. (2012), eq. 3 (the unbiased U-statistic); Bińkowski et al. (2018) for the kernel. Expectation 0 for equal distributions at every n,
    so it may be negative and is never clipped. Other codes take means over random subsets of 1,000 (torch-fidelity, clean-fid): the same expectation,
    a larger variance; and some print 1,000 times the value.
    """
    x, y = arrays["samples"], arrays["reference"]
    return _mean_within(x) + _mean_within(y) - 2 * float(_cross(arrays)[0].mean()) / len(y)


def kd_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """kd without each block of one side, float64 [B], from kernel sums by pairs of blocks; NaN where fewer than two rows are left."""
    still: Side = "reference" if side == "samples" else "samples"
    sums = stats.kernel_sums_by_blocks(arrays[side], blocks, polynomial)
    left = len(arrays[side]) - stats.sizes_of(blocks).astype(np.float64)
    pairs = np.where(left > 1, left * (left - 1), np.nan)
    within = np.array([np.delete(np.delete(sums, b, 0), b, 1).sum() for b in range(len(sums))]) / pairs
    cross = stats.means_without(_cross(arrays)[0 if side == "samples" else 1], blocks) / len(arrays[still])
    return within + _mean_within(arrays[still]) - 2 * cross


def _cross(arrays: Arrays) -> tuple[Array, Array]:
    return arrays.once("kernel between", lambda: stats.kernel_sums(arrays["samples"], arrays["reference"], polynomial))


def _mean_within(x: Array) -> float:
    """The mean of k(x_i, x_j) over i != j."""
    return float(stats.kernel_sums_by_blocks(x, np.zeros(len(x), dtype=np.int64), polynomial)[0, 0]) / (len(x) * (len(x) - 1))


KD = Metric(
    name="kd",
    title="kernel distance of features (cubic polynomial kernel, unbiased)",
    needs=("samples", "reference"),
    better="lower",
    range=(-float("inf"), float("inf")),
    interval="jackknife",
    value=kd,
    left_out=kd_left_out,
    paper="Bińkowski et al. 2018, arXiv:1801.01401",
    properties=frozenset({"symmetric", "order_invariant", "rotation_invariant", "unbiased"}),
    flags=lambda seen: intervals.wide_near_real(seen.value, seen.real_high),
)
