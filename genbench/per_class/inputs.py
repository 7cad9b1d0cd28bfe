"""What a table of classes is made of, and how a number of a class stands in its row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.per_class.class_intervals import Line
from genbench.per_class.label_classifier import Reader
from genbench.statistics import permutation_tests

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

Bounded = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Sides:
    """What a table is made of: samples float32 or float64 [n, d] with labels int64 [n] (asked for,
    or read), real images alike, and what is known of them.

    pool: real images whose roles are exchangeable, for real against real. train: of the training
    split, where the reference is another; its images are then what a copy is a copy of. expected:
    the shares that are asked for, float64 [C]; None for those of the reference.
    """

    samples: Array
    labels: Array
    reference: Array
    reference_labels: Array
    pool: Array
    pool_labels: Array
    names: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    train_counts: tuple[int, ...]
    conditional: bool = True
    reader: Reader | None = None
    expected: Array | None = None
    # of shares that a recogniser should see, which its confusion foretells with an error
    expected_se: Array | None = None
    train: tuple[Array, Array] | None = None
    diversity: Mapping[int, Bounded] = field(default_factory=dict)
    diversity_real: Mapping[int, Line] = field(default_factory=dict)
    # a user's own groups of classes, beside many, medium and few
    pools: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is said of every class
    dropped: tuple[int, ...] = ()  # classes that the training left out
    seed: int = 0
    permutations: int = permutation_tests.COUNT


def of_class(rows: Array, labels: Array, c: int) -> Array:
    """The rows of a class in float64 [n_c, d]."""
    return np.asarray(rows[labels == c], dtype=np.float64)


def number(value: float) -> float | None:
    """Plain data of a number: None for what is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


def put(row: dict[str, Any], name: str, found: Bounded, line: Line | None = None) -> None:
    """A number, its interval, and what real images score, as keys of a row."""
    row |= dict(zip((name, f"{name}_low", f"{name}_high"), map(number, found), strict=True))
    row |= {
        f"{name}_real": line and line.median,
        f"{name}_real_low": line and line.low,
        f"{name}_real_high": line and line.high,
    }
