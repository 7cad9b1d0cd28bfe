"""`kd`, `kd_subsets`: kernel distances (squared maximum mean discrepancies) of features,
KID where they are Inception's; `mmd`: CMMD's, with a Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.metric import COUNT, FLAG, SEED, Measure, Metric
from genbench.api.metric_inputs import Arrays, Side
from genbench.statistics import confidence_intervals, kernels, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Kernel = Callable[[Array, Array], Array]


def gaussian(sigma: float) -> Kernel:
    """The kernel exp(-|x - y|^2 / (2 sigma^2)), float64 [n, m], of rows x [n, d] and y [m, d]."""

    def kernel(x: Array, y: Array) -> Array:
        k = x @ y.T
        k *= -2
        k += (x * x).sum(1)[:, None]
        k += (y * y).sum(1)
        k /= -2 * sigma**2
        return np.exp(np.minimum(k, 0.0, out=k), out=k)

    return kernel


def kd(arrays: Arrays) -> float:
    """Mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over all pairs of different samples.

    samples [n, d], reference [m, d], float64, n, m >= 2.

    Equally many of each class on both sides (balanced labels) put it a little below 0 for equal
    distributions: two samples of one set are then less often of one class than two of different
    sets. What real data scores has the same offset.

    Gretton et al. (2012), eq. 3 (the unbiased U-statistic); Bińkowski et al. (2018) for the kernel.
    Expectation 0 for equal distributions at every n, so it may be negative and is never clipped.
    Other codes take means over random subsets of 1,000 (kd_subsets): the same expectation, a larger
    variance; and some print 1,000 times the value.
    """
    return _mmd2(_all_pairs(arrays))


def kd_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """kd without each block of one side, float64 [B]; NaN where fewer than two rows are left.

    It shares the kernel's sums with kd.
    """
    return _mmd2_without(_all_pairs(arrays), blocks, side)


def kd_subsets(
    arrays: Arrays,
    *,
    subsets: float = 100,
    size: float = 1000,
    seed: float = 2020,
    shrink: float = 1,
    sigma: float = 0,
    first: str = "samples",
) -> float:
    """The mean of kd over random subsets of `size` rows of each side, without replacement:
    KID as most codes take it.

    float64; unbiased as kd.

    Bińkowski et al. (2018). numpy's RandomState(seed), of each subset the samples first and the
    reference then, as torch-fidelity (in float32); first = "reference": the other way round.
    clean-fid draws unseeded, from numpy's global state. shrink = 1: size is at most n and m
    (clean-fid, dgm-eval); 0: fewer rows are refused (torch-fidelity). sigma above 0: a Gaussian
    kernel of that width instead of the polynomial.
    """
    return float(
        np.mean(
            [
                _mmd2(one)
                for one in _subsets(
                    arrays, int(subsets), int(size), int(seed), shrink != 0, sigma, first
                )
            ]
        )
    )


def kd_subsets_left_out(
    arrays: Arrays,
    blocks: Array,
    side: Side,
    *,
    subsets: float = 100,
    size: float = 1000,
    seed: float = 2020,
    shrink: float = 1,
    sigma: float = 0,
    first: str = "samples",
) -> Array:
    """kd_subsets without each block of one side, float64 [B]:
    subsets are drawn once over all rows, and a block's members are taken out of them.
    """
    drawn = _subsets(arrays, int(subsets), int(size), int(seed), shrink != 0, sigma, first)
    return np.mean([_mmd2_without(one, blocks, side) for one in drawn], axis=0)


def mmd(arrays: Arrays, *, sigma: float = 10) -> float:
    """1,000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)), each row with itself included,
    0 to 2,000; 0 for equal sets.

    samples [n, d], reference [m, d].

    Jayasumana et al. (2024), eq. 3: rows of length 1, a Gaussian kernel with sigma 10. With CLIP's
    features this is CMMD; the published code has float32. Each row's pair with itself makes it too
    large by about 1/n + 1/m of what the kernel spreads: mmd_unbiased leaves that out.
    """
    return 1000 * _mmd2(_of_unit_rows(arrays, sigma), biased=True)


def mmd_left_out(arrays: Arrays, blocks: Array, side: Side, *, sigma: float = 10) -> Array:
    """mmd without each block of one side, float64 [B]."""
    return 1000 * _mmd2_without(_of_unit_rows(arrays, sigma), blocks, side, biased=True)


def mmd_unbiased(arrays: Arrays, *, sigma: float = 10) -> float:
    """mmd without the pairs of a row with itself, -2,000 to 2,000:
    expectation 0 for equal distributions at every n.

    Gretton et al. (2012), eq. 3.
    """
    return 1000 * _mmd2(_of_unit_rows(arrays, sigma))


def mmd_unbiased_left_out(arrays: Arrays, blocks: Array, side: Side, *, sigma: float = 10) -> Array:
    """mmd_unbiased without each block of one side, float64 [B]."""
    return 1000 * _mmd2_without(_of_unit_rows(arrays, sigma), blocks, side)


# Sums of kernels


@dataclass(frozen=True)
class _Sums:
    """What two sets need for every value and leave-out: per row,
    kernels summed over the other rows of its own set, and over the other set.
    """

    kernel: Kernel
    arrays: Arrays
    # which of the samples and of the reference; indices, not copies: a hundred subsets of both
    # would take 3 GB
    rows: tuple[Any, Any]
    within: tuple[Array, Array]
    across: tuple[Array, Array]


def _sums(
    arrays: Arrays, kernel: Kernel, rows: tuple[Any, Any] = (slice(None), slice(None))
) -> _Sums:
    x, y = arrays["samples"][rows[0]], arrays["reference"][rows[1]]
    # _Sums is kept within `arrays`, and would refer back to it
    own = Arrays({"samples": arrays["samples"], "reference": arrays["reference"]})
    return _Sums(
        kernel,
        own,
        rows,
        (kernel_sums_within(x, kernel), kernel_sums_within(y, kernel)),
        kernels.kernel_sums(x, y, kernel),
    )


def _all_pairs(arrays: Arrays) -> _Sums:
    return arrays.once("kernel sums", lambda: _sums(arrays, kernels.polynomial))


def _of_unit_rows(arrays: Arrays, sigma: float) -> _Sums:
    def unit(x: Array) -> Array:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)

    sides = ("samples", "reference")
    return arrays.once(
        ("kernel sums", sigma),
        lambda: _sums(Arrays({side: unit(arrays[side]) for side in sides}), gaussian(sigma)),
    )


def _subsets(
    arrays: Arrays, subsets: int, size: int, seed: int, shrink: bool, sigma: float, first: str
) -> list[_Sums]:
    """Each subset's sums."""
    sides = ("reference", "samples") if first == "reference" else ("samples", "reference")
    fewest = min(len(arrays[side]) for side in sides)
    if size > fewest and not shrink:
        raise UserError(
            f"subsets of {size} need as many rows on each side, and there are {fewest}: "
            "more samples, or the constant shrink = 1"
        )

    def draw() -> list[_Sums]:
        rng, found = np.random.RandomState(seed), []
        # are in every subset, so that one subset says what many do
        all_rows = len(arrays["samples"]) == len(arrays["reference"]) <= size
        for _ in range(1 if all_rows else subsets):
            rows = {
                side: rng.choice(len(arrays[side]), min(size, fewest), replace=False)
                for side in sides
            }
            found.append(
                _sums(
                    arrays,
                    gaussian(sigma) if sigma > 0 else kernels.polynomial,
                    (rows["samples"], rows["reference"]),
                )
            )
        return found

    return arrays.once(("kernel sums of subsets", subsets, size, seed, sigma, first), draw)


def _mmd2(of: _Sums, *, biased: bool = False) -> float:
    x, y = of.within
    own = _mean_within(x.sum(), len(x), biased) + _mean_within(y.sum(), len(y), biased)
    return float(own - 2 * of.across[0].mean() / len(y))


def _mmd2_without(of: _Sums, blocks: Array, side: Side, *, biased: bool = False) -> Array:
    """_mmd2 without each block, float64 [B]; blocks of all rows of the side,
    B of them even where these rows lie in fewer.
    """
    moves = 0 if side == "samples" else 1
    rows, still, count = (
        of.arrays[side][of.rows[moves]],
        of.within[1 - moves],
        int(blocks.max()) + 1,
    )
    own = blocks[of.rows[moves]]
    left = len(rows) - np.bincount(own, minlength=count)
    within = _mean_within(
        kernel_sums_without(rows, own, count, of.kernel, of.within[moves]), left, biased
    )
    member = np.eye(count)[own]
    across = (
        (1.0 - np.eye(count)) @ (member.T @ of.across[moves]) / np.maximum(left, 1) / len(still)
    )
    return np.where(
        left > 1, within + _mean_within(still.sum(), len(still), biased) - 2 * across, np.nan
    )


def _mean_within(total: Any, n: Any, biased: bool) -> Any:
    """Mean kernel within a set of n rows, from its sum over different rows; biased:
    each row with itself too, of which a Gaussian kernel is 1.
    """
    return (total + n) / np.maximum(n * n, 1) if biased else total / np.maximum(n * (n - 1), 1)


def kernel_sums_within(x: Array, kernel: Kernel) -> Array:
    """Sums of kernel(x_i, x_j) over j != i, float64 [n], in bounded memory.

    The kernel is symmetric: each pair is computed once.
    """
    sums, side = np.zeros(len(x)), max(1, int(moments.CHUNK**0.5))
    for i in range(0, len(x), side):
        for j in range(i, len(x), side):
            k = kernel(x[i : i + side], x[j : j + side])
            if i == j:
                np.fill_diagonal(k, 0.0)
            else:
                sums[j : j + side] += k.sum(0)
            sums[i : i + side] += k.sum(1)
    return sums


def kernel_sums_without(x: Array, blocks: Array, count: int, kernel: Kernel, sums: Array) -> Array:
    """The sum of kernel(x_i, x_j), i != j, over the rows outside of each of `count` blocks,
    float64 [count]; sums: kernel_sums_within(x, kernel).

    From the sums of all rows and the pairs within blocks. That subtracts, so where it would lose
    more than three digits all pairs are summed again.
    """
    own = np.array([kernel_sums_within(x[blocks == b], kernel).sum() for b in range(count)])
    touching = 2 * np.bincount(blocks, weights=sums, minlength=count) - own
    left = sums.sum() - touching
    if (np.abs(touching) < 1e3 * np.abs(left)).all():
        return left
    pairs = kernels.kernel_sums_by_blocks(x, blocks, kernel)
    pairs = np.pad(pairs, (0, count - len(pairs)))
    return np.array([np.delete(np.delete(pairs, b, 0), b, 1).sum() for b in range(count)])


_DISTANCE = frozenset({"symmetric", "order_invariant", "rotation_invariant"})

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
    falls=1.0,
    properties=_DISTANCE | {"unbiased"},
    flags=lambda seen: confidence_intervals.wide_near_real(seen.value, seen.real_high),
)

KD_SUBSETS = Metric(
    name="kd_subsets",
    title="kernel distance of features, mean over random subsets of 1,000",
    needs=("samples", "reference"),
    better="lower",
    range=(-float("inf"), float("inf")),
    interval="jackknife",
    value=kd_subsets,
    left_out=kd_subsets_left_out,
    paper="Bińkowski et al. 2018, arXiv:1801.01401",
    seeded=True,
    falls=1.0,
    properties=frozenset({"rotation_invariant", "unbiased"}),
    flags=lambda seen: confidence_intervals.wide_near_real(seen.value, seen.real_high),
    allowed={
        "subsets": COUNT,
        "size": COUNT[1:],
        "seed": SEED,
        "shrink": FLAG,
        "first": ("samples", "reference"),
    },
)

MMD = Metric(
    name="mmd",
    title="kernel distance of directions of features (Gaussian kernel), times 1,000",
    needs=("samples", "reference"),
    better="lower",
    range=(0.0, 2000.0),
    interval="jackknife",
    value=mmd,
    left_out=mmd_left_out,
    paper="Jayasumana et al. 2024, arXiv:2401.09603",
    falls=1.0,
    properties=_DISTANCE | {"scale_invariant", "zero_on_identical"},
    flags=lambda seen: confidence_intervals.wide_near_real(seen.value, seen.real_high),
)

MMD_UNBIASED = Metric(
    name="mmd_unbiased",
    title="kernel distance of directions of features (Gaussian kernel, unbiased), times 1,000",
    needs=("samples", "reference"),
    better="lower",
    range=(-2000.0, 2000.0),
    interval="jackknife",
    value=mmd_unbiased,
    left_out=mmd_unbiased_left_out,
    paper="Gretton et al. 2012, JMLR 13:723-773",
    falls=1.0,
    properties=_DISTANCE | {"scale_invariant", "unbiased"},
    flags=lambda seen: confidence_intervals.wide_near_real(seen.value, seen.real_high),
)

KID = Measure(
    "kd_subsets",
    "inception-tf1.pool",
    name="kid",
    title="KID: kernel distance of Inception's features, mean over 100 subsets of 1,000",
)
KID_FULL = Measure(
    "kd",
    "inception-tf1.pool",
    name="kid_full",
    title="KID over all pairs: kernel distance of Inception's features",
)
CMMD = Measure(
    "mmd",
    "clip-vit-l-14-336.embedding",
    name="cmmd",
    title="CMMD: kernel distance of CLIP's features",
)
CMMD_UNBIASED = Measure(
    "mmd_unbiased",
    "clip-vit-l-14-336.embedding",
    name="cmmd_unbiased",
    title="CMMD without its bias",
)
