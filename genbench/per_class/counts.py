"""What is counted of a class: its share, its label accuracy, its copies of training images;
with their intervals and exact tests.

Pure functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.per_class import class_shares, training_copies
from genbench.per_class.class_intervals import Line
from genbench.per_class.inputs import Sides, of_class, put
from genbench.statistics import confidence_intervals

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def counted(sides: Sides, c: int, row: dict[str, Any]) -> dict[str, float]:
    """Share, label accuracy and the confusion's row of a class, and their exact tests."""
    reader, total, classes = sides.reader, len(sides.labels), len(sides.names)
    asked = sides.labels == c
    seen = int(asked.sum()) if reader is None else int((reader.samples == c).sum())
    real = (
        int((sides.reference_labels == c).sum())
        if reader is None
        else int((reader.reference == c).sum())
    )
    expected = 1 / classes if sides.expected is None else float(sides.expected[c])
    row |= {"share_expected": expected, "confusion": None, "flags": []}
    strange = reader is not None and c in reader.strange
    least = int(asked.sum()) if strange else min(seen, int(asked.sum()))
    if class_shares.missing(least, total, expected, classes) and (sides.conditional or not strange):
        row["flags"].append("missing")
    if strange:
        for name in ("share", "accuracy"):
            put(row, name, (math.nan,) * 3)
        row["notes"].append(
            "share, accuracy: the classifier was fitted without an image of the class, "
            "and cannot name it"
        )
        return {}
    put(
        row,
        "share",
        (seen / total, *class_shares.jeffreys(seen, total)),
        _line(real, len(sides.reference_labels), total),
    )
    tests: dict[str, float] = {}
    if not sides.conditional and sides.expected is not None:
        se = 0.0 if sides.expected_se is None else float(sides.expected_se[c])
        tests["share"] = (
            class_shares.beta_binomial(seen, total, expected, se)
            if se
            else class_shares.binomial(seen, total, expected)
        )
        if se > math.sqrt(expected * (1 - expected) / total):
            row["notes"].append(
                "share: expected from so few real images that one faithful run in ten is flagged"
            )
    elif not sides.conditional:
        tests["share"] = class_shares.fisher(seen, total, real, len(sides.reference_labels), "both")
    if reader is None or not sides.conditional:
        put(row, "accuracy", (math.nan,) * 3)
        row["notes"].append(
            "accuracy: the samples' labels are the classifier's own"
            if reader
            else "accuracy: nothing tells the classes apart"
        )
        return tests
    held = sides.reference_labels == c
    right, right_real = (
        int((reader.samples[asked] == c).sum()),
        int((reader.reference[held] == c).sum()),
    )
    n, m = int(asked.sum()), int(held.sum())
    put(
        row,
        "accuracy",
        (right / n if n else math.nan, *class_shares.jeffreys(right, n)),
        _line(right_real, m, n) if m else None,
    )
    as_seen = np.bincount(reader.samples[asked], minlength=classes)
    row["confusion"] = (
        {str(other): as_seen[other] / n for other in np.flatnonzero(as_seen)} if n else None
    )
    return tests | (
        {"label": class_shares.fisher(right, n, right_real, m, "less")} if min(n, m) else {}
    )


def _line(count: int, m: int, n: int) -> Line:
    """What m real images score, and Jeffreys' interval of it:
    a share of their own, which no samples have a part in.
    """
    return Line(count / m, *class_shares.jeffreys(count, m), n, m)


def copied(sides: Sides, c: int, x: Array, y: Array, row: dict[str, Any]) -> dict[str, float]:
    """Distances to the nearest training image of the class,
    and the exact test for near copies beside held-out real images'.
    """
    row |= dict.fromkeys(("nearest_train", "nearest_real", "copies", "copies_real"))
    put(row, "nearest_ratio", (math.nan,) * 3)
    train = None if sides.train is None else of_class(*sides.train, c)
    if train is None or min(len(x), len(y), len(train)) < 1:
        row["notes"].append(
            "nearest_train: the reference is the training split"
            if train is None
            else "nearest_train: no sample, real or training image"
        )
        return {}
    distance, place = training_copies.nearest_to(np.concatenate([x, y]), train)
    near, near_real = distance[: len(x)], distance[len(x) :]
    ours, theirs = float(near.mean()), float(near_real.mean())
    row |= {"nearest_train": ours, "nearest_real": theirs}
    if theirs > 0:
        error = math.hypot(
            *(
                of.std(ddof=1) / math.sqrt(len(of)) / of.mean()
                if len(of) > 1 and of.mean() > 0
                else 0.0
                for of in (near, near_real)
            )
        )
        width = confidence_intervals.t_interval(0.0, 1.0, min(len(x), len(y)))[
            1
        ]  # in standard errors
        # real to real is 1 by definition; its error is the real images' at both sizes
        own = (
            float(near_real.std(ddof=1)) / theirs * math.sqrt(1 / len(x) + 1 / len(y))
            if len(y) > 1
            else math.nan
        )
        line = (
            Line(1.0, math.exp(-width * own), math.exp(width * own), len(x), len(y))
            if math.isfinite(width * own)
            else None
        )
        put(
            row,
            "nearest_ratio",
            (
                ours / theirs,
                ours / theirs * math.exp(-width * error),
                ours / theirs * math.exp(width * error),
            ),
            line,
        )
    copied, copied_real = np.split(training_copies.copies(distance, place, train, theirs), [len(x)])
    row |= {"copies": float(copied.mean()), "copies_real": float(copied_real.mean())}
    return {
        "memorised": class_shares.fisher(
            int(copied.sum()), len(x), int(copied_real.sum()), len(y), "greater"
        )
    }
