"""Compute simultaneous rank ranges from pairwise tests with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.lazy_imports import np
from genbench.statistics.confidence_intervals import LEVEL, Estimate, difference

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def holm(p: Sequence[float] | Array) -> Array:
    """Holm's (1979) adjusted p of a family of tests, float64 [tests] in the given order:
    rejected at 5 % where <= 0.05, whatever their dependence.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def rank_ranges(
    estimates: Sequence[Estimate], better: Literal["lower", "higher"], level: float = LEVEL
) -> list[tuple[int, int]]:
    """Simultaneous rank ranges, (lowest, highest) per estimate:
    1 + the number shown better ... K - the number shown worse; one estimate has (1, 1).

    "Shown" is a two-sided test of a pair's difference with Holm's adjustment over all K (K-1) / 2
    pairs, so that all true ranks lie in their ranges with probability `level`; Mohamad, van Zwet,
    Goeman & Solari (2022), "Simultaneous confidence intervals for ranks".
    """
    pairs = [(i, j) for i in range(len(estimates)) for j in range(i)]
    adjusted = holm([difference(estimates[i], estimates[j]).p for i, j in pairs])
    sign = 1 if better == "lower" else -1
    shown_better, shown_worse = [0] * len(estimates), [0] * len(estimates)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p <= 1 - level:
            first, second = (
                (i, j) if sign * estimates[i].value < sign * estimates[j].value else (j, i)
            )
            shown_better[second] += 1
            shown_worse[first] += 1
    return [
        (1 + ahead, len(estimates) - behind)
        for ahead, behind in zip(shown_better, shown_worse, strict=True)
    ]
