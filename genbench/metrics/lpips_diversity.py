"""`diversity`: how far samples lie from each other, over all pairs, within classes and across them;
and by the literature's samples of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import Measure, Metric
from genbench.api.metric_inputs import Arrays, Side, Sighting

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

COLUMNS = 2**20  # of the sums that are held at once, over all blocks and classes


# All pairs, from sums


def diversity(arrays: Arrays) -> float:
    """The mean of |x_i - x_j|^2 over all pairs of different samples, 0 or more;
    with LPIPS' phi the mean LPIPS over all pairs.

    sums float64 [B, C, d + 2]: by block and class the sum of features, the sum of their squared
    lengths, the count. 2 / (n (n - 1)) (n sum |x_i|^2 - |sum x_i|^2), twice the trace of the
    unbiased covariance: every pair in one pass, and unbiased. The literature takes samples of
    pairs, which have the same expectation and a larger variance (1.5 times for consecutive ones),
    and averages within inputs; what is called diversity differs in net, size and pairs. Rounding is
    below 1e-15 of |x|^2, so 1e-7 of it when all samples are alike to a thousandth.
    """
    return float(_diversity(*_among(arrays, _all(arrays)))[0])


def diversity_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """diversity without each block, float64 [B]. blocks int64 [rows of sums]."""
    return _diversity(*_among(arrays, _without(blocks)))


def within(arrays: Arrays) -> float:
    """diversity within each class, and the mean of that over the classes with two samples or more,
    each as much as any other; 0 or more.

    sums float64 [B, C, d + 2]. NaN where there are no classes (C = 1) or none has two samples. An
    intra-cluster LPIPS (Ojha et al. 2021) with classes in the place of clusters. One class that
    collapsed lowers it by its share of the classes, and hardly moves diversity.
    """
    return float(_within(*_inside(arrays, _all(arrays)))[0])


def within_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """within without each block, float64 [B]. blocks int64 [rows of sums]."""
    return _within(*_inside(arrays, _without(blocks)))


def stability(arrays: Arrays) -> float:
    """within over across, 0 or more: across is the mean of |x_i - x_j|^2 over all pairs of samples
    of different classes.

    sums float64 [B, C, d + 2]. 0: one image per class, however different the classes are. 1: the
    class asked for makes no difference. Real images lie in between, so hold it against theirs. NaN
    where there are no classes, none has two samples, or all samples are equal. A ratio of two
    unbiased means is itself biased: by 0.8 % at n = 12 and 0.1 % at n = 24, with four classes that
    do not differ.
    """
    return float(_stability(arrays, _all(arrays))[0])


def stability_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """stability without each block, float64 [B]. blocks int64 [rows of sums]."""
    return _stability(arrays, _without(blocks))


def _all(arrays: Arrays) -> Array:
    return np.ones((1, len(arrays["sums"])))


def _without(blocks: Array) -> Array:
    """Which rows of the sums stay when each block is left out, float64 [B, rows]."""
    return (blocks != np.arange(blocks.max() + 1)[:, None]).astype(np.float64)


def _inner(arrays: Arrays) -> tuple[Array, Array]:
    """Inner products of the sums of two rows, over all classes [R, R] and within each class
    [C, R, R]: all that a leave-out needs of d columns.
    """
    return arrays.once("inner products of sums", lambda: _products(arrays["sums"]))


def _products(sums: Array) -> tuple[Array, Array]:
    rows, classes, wide = sums.shape
    total, within = np.zeros((rows, rows)), np.zeros((classes, rows, rows))
    step = max(1, COLUMNS // (rows * classes))
    for at in range(0, wide - 2, step):
        part = np.ascontiguousarray(sums[:, :, at : min(at + step, wide - 2)].transpose(1, 0, 2))
        within += part @ part.transpose(0, 2, 1)
        whole = part.sum(0)
        total += whole @ whole.T
    return total, within


def _among(arrays: Arrays, stay: Array) -> tuple[Array, Array]:
    """The sum of |x_i - x_j|^2 over all pairs i < j of the rows that stay, and the number of pairs:
    float64 [K] each.

    stay [K, R].
    """
    squares, counts = (stay @ arrays["sums"][:, :, column].sum(1) for column in (-2, -1))
    return _spread(
        counts, squares, np.einsum("kr,rs,ks->k", stay, _inner(arrays)[0], stay)
    ), counts * (counts - 1) / 2


def _inside(arrays: Arrays, stay: Array) -> tuple[Array, Array]:
    """As _among, within each class: float64 [K, C] each."""
    squares, counts = (stay @ arrays["sums"][:, :, column] for column in (-2, -1))
    return _spread(
        counts, squares, np.einsum("kr,crs,ks->kc", stay, _inner(arrays)[1], stay)
    ), counts * (counts - 1) / 2


def _spread(counts: Array, squares: Array, of_sum: Array) -> Array:
    """n sum |x|^2 - |sum x|^2, never below 0; what is below the rounding of the first is 0,
    so that equal samples have no diversity.
    """
    first = counts * squares
    found = first - of_sum
    return np.where(found > 1e-14 * first, found, 0.0)


def _diversity(spread: Array, pairs: Array) -> Array:
    return spread / np.where(pairs > 0, pairs, np.nan)


def _within(spread: Array, pairs: Array) -> Array:
    """The mean over classes that have pairs; NaN where there is one class, or none has a pair.

    [K, C] -> [K].
    """
    has = pairs > 0
    means = np.where(has, spread, 0.0) / np.where(has, pairs, 1.0)
    enough = np.where(has.any(1) & (pairs.shape[1] > 1), has.sum(1), np.nan)
    return means.sum(1) / enough


def _stability(arrays: Arrays, stay: Array) -> Array:
    (spread, pairs), (inside, of_class) = _among(arrays, stay), _inside(arrays, stay)
    across = pairs - of_class.sum(1)
    mean = (spread - inside.sum(1)) / np.where(across > 0, across, np.nan)
    return _within(inside, of_class) / np.where(mean > 0, mean, np.nan)


# Samples of pairs, as the literature takes them


def bicyclegan(arrays: Arrays) -> float:
    """The mean of |x_k - x_k+1|^2 over consecutive samples of a class, then over classes;
    0 or more.

    ahead float64 [n, 11], labels int64 [n].

    Zhu et al. (2017), section 5, and its code: 20 outputs for each of 100 inputs, 19 consecutive
    pairs each, the mean of the 1,900. Kept are the pairs and the mean; a class stands for an input,
    with all of its samples. The original's distance is LPIPS 0.0 of AlexNet, whose input
    was not scaled.
    """
    return _mean([found.mean() for of in _by_class(arrays) if len(found := _groups(of, 2, 1))])


def starganv2(arrays: Arrays, *, outputs: float = 10) -> float:
    """The mean of |x_i - x_j|^2 over all pairs within groups of 10 outputs, then over groups,
    then over classes; 0 or more.

    ahead [n, 11], labels [n].

    Choi et al. (2020), appendix C, and its code: 10 outputs for each test image, all 45 pairs, per
    source and target domain, the mean over images and then over tasks. Kept are the groups, their
    pairs and the order of the means; each next 10 samples of a class stand for an image's outputs,
    and a class for a task (the last group may be smaller, two at least). The original's distance is
    LPIPS of AlexNet with 1e-10 added below the root.
    """
    size = int(outputs)
    return _mean(
        [found.mean() for of in _by_class(arrays) if len(found := _groups(of, size, size))]
    )


def _by_class(arrays: Arrays) -> Iterator[Array]:
    for label in np.unique(arrays["labels"]):
        yield arrays["ahead"][arrays["labels"] == label]


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _groups(ahead: Array, size: int, step: int) -> Array:
    """The mean over the pairs of each group of `size` samples of a class,
    a group at every step-th [groups]; ahead float64 [n, 1 + reach].

    A pair that lies farther apart in the class than ahead reaches, many between them left out, is
    unknown, and left aside.
    """
    i, j = np.triu_indices(size, 1)
    starts = np.arange(0, len(ahead) - 1, step)[:, None]
    there = starts + j < len(ahead)
    first, second = np.where(there, starts + i, 0), np.where(there, starts + j, 0)
    apart = (ahead[second, 0] - ahead[first, 0]).astype(np.int64)
    known = there & (apart < ahead.shape[1])
    distances = np.where(known, ahead[first, np.where(known, apart, 0)], 0.0)
    count = known.sum(1)
    return np.asarray(distances.sum(1)[count > 0] / count[count > 0])


_SPREAD = frozenset({"order_invariant", "rotation_invariant", "unbiased"})

DIVERSITY = Metric(
    name="diversity",
    title="mean squared distance over all pairs of samples",
    needs=("sums",),
    better="higher",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=diversity,
    left_out=diversity_left_out,
    paper="Zhang et al. 2018, arXiv:1801.03924; Zhu et al. 2017, arXiv:1711.11586",
    properties=_SPREAD,
    per_class=True,
)

WITHIN = Metric(
    name="diversity_within",
    title="mean squared distance over all pairs within a class, mean over classes",
    needs=("sums",),
    better="higher",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=within,
    left_out=within_left_out,
    paper="Ojha et al. 2021, arXiv:2104.06820",
    smallest_n=6,
    properties=_SPREAD,
)


def too_wide(seen: Sighting) -> tuple[str, ...]:
    """Near 1, where classes say nothing, the first-order term vanishes: 1.4 times too wide;
    below n = d 1.3 times (tests/bench/coverage.md).
    """
    return ("interval too wide",) if seen.n < seen.d or abs(seen.value - 1) < 0.05 else ()


def paired_anew(seen: Sighting) -> tuple[str, ...]:
    """What stays when a block is left out is paired anew: 1.1 to 1.8 times too wide
    (tests/bench/coverage.md).
    """
    return ("interval too wide",)


STABILITY = Metric(
    name="stability",
    title="diversity within classes over diversity across them",
    needs=("sums",),
    better="higher",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=stability,
    left_out=stability_left_out,
    paper="this program: no published code has it",
    smallest_n=6,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
    flags=too_wide,
)

BICYCLEGAN = Metric(
    name="diversity_bicyclegan",
    title="mean squared distance over consecutive samples of a class (BicycleGAN)",
    needs=("ahead", "labels"),
    better="higher",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=bicyclegan,
    paper="Zhu et al. 2017, arXiv:1711.11586",
    smallest_n=6,
    properties=frozenset({"rotation_invariant", "unbiased"}),
    flags=paired_anew,
)

STARGANV2 = Metric(
    name="diversity_starganv2",
    title="mean squared distance within groups of ten samples of a class (StarGAN v2)",
    needs=("ahead", "labels"),
    better="higher",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=starganv2,
    paper="Choi et al. 2020, arXiv:1912.01865",
    smallest_n=6,
    properties=frozenset({"rotation_invariant", "unbiased"}),
    allowed={"outputs": range(2, 11)},
    flags=paired_anew,
)

LPIPS_DIVERSITY = Measure(
    "diversity",
    "lpips-alex.phi",
    name="lpips_diversity",
    title="LPIPS diversity: mean LPIPS (AlexNet, 0.1) over all pairs of samples",
)
LPIPS_WITHIN = Measure(
    "diversity_within",
    "lpips-alex.phi",
    name="lpips_diversity_within",
    title="LPIPS diversity within classes: mean LPIPS over all pairs of a class",
)
LPIPS_STABILITY = Measure(
    "stability",
    "lpips-alex.phi",
    name="lpips_stability",
    title="LPIPS diversity within classes over that across them",
)
LPIPS_BICYCLEGAN = Measure(
    "diversity_bicyclegan",
    "lpips-alex.phi",
    name="lpips_diversity_bicyclegan",
    title="BicycleGAN's diversity: mean LPIPS of consecutive samples",
)
LPIPS_STARGANV2 = Measure(
    "diversity_starganv2",
    "lpips-alex.phi",
    name="lpips_diversity_starganv2",
    title="StarGAN v2's diversity: mean LPIPS within groups of ten",
)
