"""Labels for samples that have none: a classifier fitted on the real images' features,
and what it gets right of images that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, sklearn_linear
from genbench.per_class.class_shares import confusion

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

FOLDS = 5
LEAST = 0.7  # of held-out images, that must be recognised for a class to be believed
MOST = 20_000  # images that a fit takes: the classes in turn
STEPS = 1000


@dataclass(frozen=True)
class Reader:
    """What tells classes apart: the class it sees in each sample int64 [n] and in each reference
    image (held out) [m], and its confusion int64 [C, C].
    """

    name: str
    samples: Array
    reference: Array
    confusion: Array  # of real images that it has not seen, row by true class
    strange: tuple[int, ...] = ()  # classes of which it was shown no image: it can never name them

    @property
    def accuracy(self) -> float:
        """The share of held-out images that it recognises."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))


def recogniser(
    name: str, logits: Array, reference_logits: Array, labels: Array, classes: int
) -> Reader:
    """The data set's own: from logits [n, C] of the samples and [m, C] of the reference,
    whose labels are int64 [m].
    """
    seen = reference_logits.argmax(1)
    return Reader(name, logits.argmax(1), seen, confusion(labels, seen, classes))


def fitted(samples: Array, reference: Array, labels: Array, classes: int) -> Reader:
    """Logistic regression on standardised features, fitted to the reference [m, d],
    labels int64 [m]; each image is read by a fit without its fold.

    UserError where a class has one image alone.
    """
    there, counts = np.unique(labels, return_counts=True)
    if len(there) < 2 or counts.min() < 2:
        raise UserError(
            "a classifier needs at least 2 real images of each of 2 classes; "
            f"class {there[counts.argmin()]} has {counts.min()}"
        )
    width = reference.std(0)
    width[width == 0] = 1.0
    x, y = (samples - reference.mean(0)) / width, (reference - reference.mean(0)) / width
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < max(2, MOST // len(there))
    seen = np.empty(len(labels), dtype=np.int64)
    for fold in range(FOLDS):
        out = rank % FOLDS == fold
        if out.any():
            seen[out] = _fit(y[kept & ~out], labels[kept & ~out]).predict(y[out])
    ours = (
        _fit(y[kept], labels[kept]).predict(x).astype(np.int64)
        if len(x)
        else np.zeros(0, dtype=np.int64)
    )
    strange = tuple(c for c in range(classes) if c not in there)
    return Reader("logistic regression", ours, seen, confusion(labels, seen, classes), strange)


def _fit(rows: Array, labels: Array) -> Any:
    import warnings

    with warnings.catch_warnings():
        # one that has not converged is judged by what it recognises
        warnings.simplefilter("ignore")
        return sklearn_linear.LogisticRegression(max_iter=STEPS, C=0.1).fit(rows, labels)


def believed(reader: Reader) -> Reader:
    """The reader, where its labels may stand for classes; UserError with its accuracy otherwise."""
    if reader.accuracy < LEAST:
        raise UserError(
            f"the samples have no labels, and {reader.name} recognises {reader.accuracy:.0%} "
            f"of held-out real images, less than {LEAST:.0%}: no per-class statistics; "
            "use an extractor that tells the classes apart"
        )
    return reader
