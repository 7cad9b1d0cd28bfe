"""Real digits as a generator, with faults planted in single classes:
what the table of classes is tried on, in tests and benchmarks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

import genbench
from genbench.api._registry import find
from genbench.data.long_tail import groups
from genbench.features.reference_cache import features_of
from genbench.per_class.inputs import Sides
from genbench.per_class.label_classifier import recogniser

CLASSES = 10


@cache
def digits():
    """{split: (pool [m, 64], logits [m, 10], labels [m])} of train and heldout."""
    file = str(Path(genbench.__file__).parent / "features" / "extractors" / "digits.safetensors")
    found = {}
    for split in ("train", "heldout"):
        features = features_of(
            find("datasets", "digits"), split, "digits", ["pool", "logits"], "cpu", file
        )
        labels = np.concatenate(
            [labels.numpy() for _, labels in find("datasets", "digits").open(split)]
        )
        found[split] = features["pool"], features["logits"], labels
    return found


def halves(seed):
    """Held-out digits in two disjoint halves of equal classes, as places int64:
    those that stand for samples, and the reference.
    """
    labels, rng = digits()["heldout"][2], np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(labels == c)) for c in range(CLASSES)]
    return np.concatenate([part[: len(part) // 2] for part in parts]), np.concatenate(
        [part[len(part) // 2 :] for part in parts]
    )


def kernel_distance(x, y):
    """The unbiased squared kernel distance of rows [n, d] and [m, d], by its definition."""
    (xx, yy), xy = (
        (np.asarray(of @ of.T / of.shape[1] + 1) ** 3 for of in (x, y)),
        (x @ y.T / x.shape[1] + 1) ** 3,
    )
    n, m = xy.shape
    return float(
        (xx.sum() - np.trace(xx)) / (n * (n - 1))
        + (yy.sum() - np.trace(yy)) / (m * (m - 1))
        - 2 * xy.mean()
    )


def sides(samples, logits, labels, reference, **changes):
    """A table's sides of samples' pool, logits and labels,
    against held-out digits at the places `reference`.
    """
    pool, real_logits, real_labels = digits()["heldout"]
    train = digits()["train"]
    counts = tuple(np.bincount(train[2]).tolist())
    made = Sides(
        samples=samples,
        labels=labels,
        reference=pool[reference],
        reference_labels=real_labels[reference],
        pool=pool,
        pool_labels=real_labels,
        names=tuple("0123456789"),
        groups=groups(counts).of,
        train_counts=counts,
        reader=recogniser(
            "digits", logits, real_logits[reference], real_labels[reference], CLASSES
        ),
        train=(train[0], train[2]),
    )
    return replace(made, **changes)


def real(seed, **changes):
    """The null: half of the held-out digits in the place of samples,
    the other half as the reference.
    """
    ours, theirs = halves(seed)
    pool, logits, labels = digits()["heldout"]
    return sides(pool[ours], logits[ours], labels[ours], theirs, **changes)
