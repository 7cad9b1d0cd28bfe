"""`is` and `label_accuracy`: what a classifier's logits say about samples, without a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench import intervals, stats
from genbench.arrays import Arrays, Side, Sighting
from genbench.lazy import np
from genbench.rows import Metric

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def inception_score(arrays: Arrays, *, splits: float = 1) -> float:
    """exp(mean over x of KL(p(y|x) || p(y))), 1 to the number of classes; the mean over contiguous splits of the samples. logits float64 [n, C].

    Salimans et al. (2016), section 4, where splits = 10; here 1, as smaller splits only add bias (Barratt & Sharma 2018). Split i begins at
    i n // splits (torch-fidelity, which shuffles first, and the original, which does not).
    """
    rows, split = _rows(arrays), _split_of(len(arrays["logits"]), int(splits))
    return float(np.mean([_score(rows[split == s].mean(0)) for s in range(int(splits))]))


def inception_score_left_out(arrays: Arrays, blocks: Array, side: Side, *, splits: float = 1) -> Array:
    """The score without each block, float64 [B]. Splits are drawn once over all n: leaving a block out takes its members out of their splits."""
    assert side == "samples", "there is no reference"
    rows, split = _rows(arrays), _split_of(len(blocks), int(splits))
    inside = [(split == s).astype(np.float64) for s in range(int(splits))]
    return np.mean([_score(stats.sums_without(rows * one[:, None], blocks) / stats.sums_without(one, blocks)[:, None]) for one in inside], axis=0)


def label_accuracy(arrays: Arrays) -> float:
    """The share of samples whose largest logit is that of the label asked for, 0 to 1. logits float64 [n, C], labels int64 [n].

    Ravuri & Vinyals (2019) ask the same of a classifier trained on samples; here the classifier is the recogniser of the data set.
    """
    return float(_hits(arrays).mean())


def label_accuracy_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """label_accuracy without each block, float64 [B]."""
    assert side == "samples", "there is no reference"
    return stats.means_without(_hits(arrays), blocks)


def _hits(arrays: Arrays) -> Array:
    return (arrays["logits"].argmax(1) == arrays["labels"]).astype(np.float64)


def _split_of(n: int, splits: int) -> Array:
    """The split of each sample, int64 [n]."""
    bounds = np.arange(1, splits) * n // splits
    return np.searchsorted(bounds, np.arange(n), side="right")


def _rows(arrays: Arrays) -> Array:
    """Per sample p(y|x) and, last, its sum of p log p: float64 [n, C + 1]. Their means are all that the score needs."""
    return arrays.once("probabilities", lambda: _probabilities(arrays["logits"]))


def _probabilities(logits: Array) -> Array:
    log_p = logits - logits.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    p = np.exp(log_p)
    return np.concatenate([p, (p * log_p).sum(1, keepdims=True)], 1)


def _score(means: Array) -> Array:
    """exp(mean of sum p log p - sum p(y) log p(y)): the mean of KL(p(y|x) || p(y)), as p(y) is the mean of p(y|x). means [..., C + 1]."""
    marginal = means[..., :-1]
    entropy = -(marginal * np.log(np.where(marginal > 0, marginal, 1.0))).sum(-1)
    return np.exp(means[..., -1] + entropy)


def near_its_maximum(seen: Sighting) -> tuple[str, ...]:
    """Within a tenth of the number of classes the score is skewed: its 95 % interval was seen to cover 93 % (tests/bench/coverage.md)."""
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
    properties=frozenset({"order_invariant"}),
    flags=near_its_maximum,
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
    flags=lambda seen: intervals.few_counts(seen.value, seen.n),
)
