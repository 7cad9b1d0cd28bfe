"""`authpct`, `nearest_train`, `duplicates`: whether samples are copies of training images,
or of each other, by nearest neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import Metric
from genbench.api.metric_inputs import Arrays, Side
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals, nearest_neighbours

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

KEPT = 4  # neighbours kept of each row, so that one is left without a block
FARTHEST = 1e6  # a ratio of distances at most: the held-out image itself
SHOWN = 8  # pairs of a sample and a training image in a picture
NEAR = 0.01  # the share of real images that have so near a neighbour


def authpct(arrays: Arrays) -> float:
    """The share of samples [n, d], in %, farther from the nearest training image than that one is
    from its own nearest; 0 to 100, 0 for copies.

    train [t, d], t >= 2. Alaa et al. (2022), section 3.3, as dgm-eval (fls subtracts 50). What is
    honest lies where the held-out images lie, not at 100 and not at 50: a sample of the same
    density as the training images exceeds that distance in more than half of all cases. Samples
    that are only far from everything score 100: read it beside a metric of quality.
    """
    (apart, place), (own, _) = _to(arrays, "train"), _own(arrays, "train")
    return 100 * float((own[place[:, 0], 0] < apart[:, 0]).mean())


def authpct_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """authpct without each block of one side, float64 [B]."""
    (apart, place), (own, _) = _to(arrays, "train"), _own(arrays, "train")
    if side == "samples":
        return 100 * statistics_blocks.means_without(
            (own[place[:, 0], 0] < apart[:, 0]).astype(np.float64), blocks
        )
    apart, place = _to_without(arrays, "train", blocks)
    own = _own_without(arrays, "train", blocks)
    return np.array(
        [100 * float((own[place[:, b], b] < apart[:, b]).mean()) for b in range(own.shape[1])]
    )


def nearest_train(arrays: Arrays) -> float:
    """The median over samples [n, d] of the distance to the nearest training image over that to the
    nearest held-out one; 0 for copies, 1 is honest.

    train [t, d], reference [m, d], the held-out images. With t = m a generator that knows neither
    set better has 1, as it is as likely nearer to the one as to the other; with t > m less, about
    (m / t)^(1 / D) for features that fill D dimensions: compare with what real images score. 0 / 0
    is 1, and no ratio is above 1e6.
    The same comparison as a test of ranks is `ct`; a threshold on such a ratio is in Carlini et al.
    (2023), section 4.2.
    """
    return float(
        np.median(_ratio(_to(arrays, "train")[0][:, 0], _to(arrays, "reference")[0][:, 0]))
    )


def nearest_train_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """nearest_train without each block of one side, float64 [B]."""
    train, held = (_to(arrays, of)[0][:, 0] for of in ("train", "reference"))
    if side == "samples":
        return np.array(
            [_median(_ratio(train, held)[blocks != b]) for b in range(blocks.max() + 1)]
        )
    without = _to_without(arrays, side, blocks)[0].T
    return np.array(
        [_median(_ratio(one, held) if side == "train" else _ratio(train, one)) for one in without]
    )


def nearest_pairs(arrays: Arrays) -> tuple[Array, Array, Array]:
    """The samples whose ratio of distances is smallest, for a picture:
    their places, those of their nearest training images, and the ratios [8 at most].

    The ratio, not the distance: a plain image is near to many (Carlini et al.). Of equal ratios,
    copies above all, the nearer ones first.
    """
    (apart, place), held = _to(arrays, "train"), _to(arrays, "reference")[0][:, 0]
    ratio = _ratio(apart[:, 0], held)
    first = np.lexsort((apart[:, 0], ratio))[:SHOWN]
    return first, place[first, 0], ratio[first]


def duplicates(arrays: Arrays) -> float:
    """The share of samples [n, d] that have another one as near as only 1 % of real images have;
    0 to 1, and 0.01 is honest at every n.

    reference [m, d].

    "As near": up to the quantile 0.01 (m - 1) / (n - 1) of the reference's own nearest-neighbour
    distances. Among n images the nearest is as likely below a small distance as there are others,
    so the quantile is put where n such images would have 1 %. Exact copies always count. The
    definition is ours: published ones take a distance of pixels or a threshold of one extractor
    (Carlini et al. 2023; Somepalli et al. 2023, arXiv:2212.03860).
    """
    return _share_near(_own(arrays, "samples")[0][:, 0], _own(arrays, "reference")[0][:, 0])


def duplicates_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """duplicates without each block of one side, float64 [B]."""
    own = {of: _own(arrays, of)[0][:, 0] for of in ("samples", "reference")}
    without = _own_without(arrays, side, blocks)
    return np.array(
        [_share_near(**{**own, side: without[blocks != b, b]}) for b in range(without.shape[1])]
    )


def _share_near(samples: Array, reference: Array) -> float:
    """From squared distances of each row to the nearest other row of its side;
    NaN where fewer than two are left.
    """
    if min(len(samples), len(reference)) < 2:
        return float("nan")
    share = min(NEAR * (len(reference) - 1) / (len(samples) - 1), 1.0)
    # whose expected share is the one asked for
    near = np.quantile(np.sqrt(reference), share, method="weibull")
    return float(((samples == 0) | (np.sqrt(samples) <= near)).mean())


def _ratio(train: Array, held: Array) -> Array:
    """The ratio of distances from their squares; 0 / 0 is 1."""
    there = held > 0
    ratio = np.sqrt(np.divide(train, held, out=np.full_like(held, FARTHEST**2), where=there))
    return np.where(~there & (train == 0), 1.0, np.minimum(ratio, FARTHEST))


def _median(ratios: Array) -> float:
    return float(np.median(ratios)) if len(ratios) else float("nan")


def _to(arrays: Arrays, side: Side) -> tuple[Array, Array]:
    """From each sample to the nearest rows of a side."""
    count = min(KEPT, len(arrays[side]))
    return arrays.once(
        ("to", side), lambda: nearest_neighbours.nearest(arrays["samples"], arrays[side], count)
    )


def _own(arrays: Arrays, side: Side) -> tuple[Array, Array]:
    """From each row of a side to its nearest others."""
    count = max(1, min(KEPT, len(arrays[side]) - 1))
    return arrays.once(
        ("own", side), lambda: nearest_neighbours.nearest_others(arrays[side], count)
    )


def _to_without(arrays: Arrays, side: Side, blocks: Array) -> tuple[Array, Array]:
    make = lambda: nearest_neighbours.outside(  # noqa: E731
        arrays["samples"], arrays[side], _to(arrays, side), blocks, 1, others=False
    )
    return arrays.once(("to without", side, blocks.tobytes()), make)


def _own_without(arrays: Arrays, side: Side, blocks: Array) -> Array:
    make = lambda: nearest_neighbours.outside(  # noqa: E731
        arrays[side], arrays[side], _own(arrays, side), blocks, 1, others=True
    )[0]
    return arrays.once(("own without", side, blocks.tobytes()), make)


AUTHPCT = Metric(
    name="authpct",
    title="AuthPct: samples farther from training images than these from each other, %",
    needs=("samples", "train"),
    better="higher",
    range=(0.0, 100.0),
    # a share of independent samples, but in %, which Wilson's interval is not made for
    interval="jackknife",
    value=authpct,
    left_out=authpct_left_out,
    paper="Alaa et al. 2022, arXiv:2102.08921",
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
    flags=lambda seen: confidence_intervals.wide_of_reference(),
)

NEAREST_TRAIN = Metric(
    name="nearest_train",
    title="distance to the nearest training image over that to the nearest held-out one, median",
    needs=("samples", "train", "reference"),
    better="higher",
    range=(0.0, FARTHEST),
    interval="jackknife",
    value=nearest_train,
    left_out=nearest_train_left_out,
    closest=nearest_pairs,
    paper="the ratio: Carlini et al. 2023, arXiv:2301.13188",
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
    # a median moves in steps: 0.86 to 0.93 covered, far less among copies (tests/bench/coverage.md)
    flags=lambda seen: ("interval too narrow",),
)

DUPLICATES = Metric(
    name="duplicates",
    title="share of samples with another one nearer than 1 % of real images have",
    needs=("samples", "reference"),
    better="lower",
    range=(0.0, 1.0),
    interval="jackknife",
    value=duplicates,
    left_out=duplicates_left_out,
    paper="after Carlini et al. 2023, arXiv:2301.13188",
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
    # 1.2 to 1.8 times: samples shield each other
    flags=lambda seen: confidence_intervals.few_hits(seen.value, seen.n) or ("interval too wide",),
)
