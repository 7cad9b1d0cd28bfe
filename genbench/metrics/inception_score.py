"""`is`, `label_accuracy`, `top1_histogram_gap`: what a classifier's logits say about samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.metric import COUNT, FLAG, SEED, Measure, Metric
from genbench.api.metric_inputs import Arrays, Side, Sighting
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def inception_score(
    arrays: Arrays, *, splits: float = 1, shuffle: float = -1, block: float = 0, chunk: float = 0
) -> float:
    """exp(mean over x of KL(p(y|x) || p(y))), 1 to the number of classes;
    the mean over splits of the samples.

    logits float64 [n, C].

    Salimans et al. (2016), section 4, where splits = 10; here 1, as smaller splits only add bias
    (Barratt & Sharma 2018). What codes differ in, besides the logits (with the classifier's bias or
    without): shuffle, the seed of numpy's RandomState that permutes the samples first
    (torch-fidelity: 2020; -1, not at all: the original, ADM, NVIDIA), and where splits begin: at i
    n // splits (torch-fidelity, NVIDIA); chunk = 1: at multiples of ceil(n / splits), so that there
    may be fewer (torchmetrics); block = 5000: at its multiples, a short last one with the weight of
    the others (ADM).
    """
    rows, split = (
        _rows(arrays),
        _split_of(len(arrays["logits"]), int(splits), int(shuffle), int(block), chunk != 0),
    )
    return float(np.mean([_score(rows[split == s].mean(0)) for s in np.unique(split)]))


def inception_score_left_out(
    arrays: Arrays,
    blocks: Array,
    side: Side,
    *,
    splits: float = 1,
    shuffle: float = -1,
    block: float = 0,
    chunk: float = 0,
) -> Array:
    """The score without each block, float64 [B].

    Splits are drawn once over all n: leaving a block out takes its members out of their splits.
    """
    assert side == "samples", "there is no reference"
    rows, split = (
        _rows(arrays),
        _split_of(len(arrays["logits"]), int(splits), int(shuffle), int(block), chunk != 0),
    )
    scores = []
    for inside in (split == s for s in np.unique(split)):
        # a split that a block takes whole is not there
        left = statistics_blocks.sums_without(inside.astype(np.float64), blocks)
        means = (
            statistics_blocks.sums_without(rows * inside[:, None], blocks)
            / np.maximum(left, 1)[:, None]
        )
        scores.append(np.where(left > 0, _score(means), np.nan))
    return np.nanmean(scores, axis=0)


def top1_histogram_gap(arrays: Arrays) -> float:
    """Half the sum over classes of |share of samples - share of the reference| that the recogniser
    takes for it: 0 for equal histograms to 1.

    logits [n, C], reference_logits [m, C], float64. A guard, not a quality: distances in a
    classifier's space can be lowered by matching its top classes alone (Kynkäänniemi et al. 2023,
    section 3), so a model whose distance is far better than its gap deserves a look. Above 0 for
    equal distributions, by about (2 C (1/n + 1/m) / pi)^1/2 / 2 with C even classes.
    """
    return float(
        np.abs(_shares(arrays, "samples").mean(0) - _shares(arrays, "reference").mean(0)).sum() / 2
    )


def top1_histogram_gap_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """top1_histogram_gap without each block of one side, float64 [B]."""
    still: Side = "reference" if side == "samples" else "samples"
    return (
        np.abs(
            statistics_blocks.means_without(_shares(arrays, side), blocks)
            - _shares(arrays, still).mean(0)
        ).sum(1)
        / 2
    )


def _shares(arrays: Arrays, side: Side) -> Array:
    """1 at each row's largest logit, float64 [rows, C]."""
    logits = arrays["logits" if side == "samples" else "reference_logits"]
    return (np.arange(logits.shape[1]) == logits.argmax(1)[:, None]).astype(np.float64)


def label_accuracy(arrays: Arrays) -> float:
    """The share of samples whose largest logit is that of the label asked for, 0 to 1.

    logits float64 [n, C], labels int64 [n].

    Ravuri & Vinyals (2019) ask the same of a classifier trained on samples; here the classifier is
    the recogniser of the data set.
    """
    return float(_hits(arrays).mean())


def label_accuracy_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """label_accuracy without each block, float64 [B]."""
    assert side == "samples", "there is no reference"
    return statistics_blocks.means_without(_hits(arrays), blocks)


def _hits(arrays: Arrays) -> Array:
    return (arrays["logits"].argmax(1) == arrays["labels"]).astype(np.float64)


def _split_of(n: int, splits: int, shuffle: int, block: int, chunk: bool) -> Array:
    """The split of each sample, int64 [n]; none is empty."""
    if not 1 <= splits <= n // 2:
        raise UserError(
            f"an Inception score over {splits} splits needs twice as many samples, "
            f"as one alone scores 1; there are {n}: --n {2 * splits}"
        )
    order = np.arange(n) if shuffle < 0 else np.random.RandomState(shuffle).permutation(n)
    step = block or (-(-n // splits) if chunk else 0)
    starts = np.arange(0, n, step) if step else np.arange(splits) * n // splits
    split = np.empty(n, dtype=np.int64)
    split[order] = np.searchsorted(starts, np.arange(n), side="right") - 1
    return split


def _rows(arrays: Arrays) -> Array:
    """Per sample p(y|x) and, last, its sum of p log p: float64 [n, C + 1].

    Their means are all that the score needs.
    """
    return arrays.once("probabilities", lambda: _probabilities(arrays["logits"]))


def _probabilities(logits: Array) -> Array:
    log_p = logits - logits.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    p = np.exp(log_p)
    return np.concatenate([p, (p * log_p).sum(1, keepdims=True)], 1)


def _score(means: Array) -> Array:
    """exp(mean of sum p log p - sum p(y) log p(y)): the mean of KL(p(y|x) || p(y)),
    as p(y) is the mean of p(y|x).

    means [..., C + 1].
    """
    marginal = means[..., :-1]
    entropy = -(marginal * np.log(np.where(marginal > 0, marginal, 1.0))).sum(-1)
    return np.exp(means[..., -1] + entropy)


def near_its_maximum(seen: Sighting) -> tuple[str, ...]:
    """Within a tenth of the number of classes the score is skewed:
    its 95 % interval was seen to cover 93 % (tests/bench/coverage.md).
    """
    return ("interval narrow near its maximum",) if seen.value > 0.9 * seen.d else ()


IS = Metric(
    name="is",
    title="Inception score by the data set's recogniser",
    needs=("logits",),
    better="higher",
    range=(1.0, float("inf")),
    interval="jackknife",
    value=inception_score,
    left_out=inception_score_left_out,
    paper="Salimans et al. 2016, arXiv:1606.03498",
    smallest_n=3,  # of two, each without the other scores 1, and that is no interval
    properties=frozenset({"order_invariant"}),
    flags=near_its_maximum,
    allowed={
        "splits": COUNT,
        "shuffle": range(-1, SEED.stop),
        "block": range(COUNT.stop),
        "chunk": FLAG,
    },
)

LABEL_ACCURACY = Metric(
    name="label_accuracy",
    title="share of samples recognised as the label asked for",
    needs=("logits", "labels"),
    better="higher",
    range=(0.0, 1.0),
    interval="wilson",
    value=label_accuracy,
    left_out=label_accuracy_left_out,
    paper="Ravuri & Vinyals 2019, arXiv:1905.10887",
    properties=frozenset({"order_invariant", "scale_invariant", "unbiased"}),
    flags=lambda seen: confidence_intervals.few_counts(seen.value, seen.n),
)

TOP1_HISTOGRAM_GAP = Metric(
    name="top1_histogram_gap",
    title="how far the histograms of recognised classes lie apart",
    needs=("logits", "reference_logits"),
    better="lower",
    range=(0.0, 1.0),
    interval="jackknife",
    value=top1_histogram_gap,
    left_out=top1_histogram_gap_left_out,
    paper="Kynkäänniemi et al. 2023, arXiv:2203.06026",
    falls=0.5,
    properties=frozenset({"symmetric", "order_invariant", "scale_invariant", "zero_on_identical"}),
    flags=lambda seen: (
        *confidence_intervals.wide_near_real(seen.value, seen.real_high),
        *confidence_intervals.few_hits(seen.value, seen.n),
    ),
)

INCEPTION_SCORE = Measure(
    "is",
    "inception-tf1.logits_unbiased",
    name="is",
    title="IS: Inception score, ten splits, shuffled",
    constants={"splits": 10, "shuffle": 2020},
)
