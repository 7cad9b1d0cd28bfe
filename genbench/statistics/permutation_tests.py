"""Permutation tests of two samples from the pairs of their pooled rows:
which arrangements, their statistics, and p where few or none are as extreme.

Under the null hypothesis that both samples come from one distribution, every division of the pooled
rows into sets of these sizes is as likely as the one at hand; nothing is assumed of the
distribution, and the sizes may differ. Pure functions of float64 arrays.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

COUNT = 1999  # permutations; with the arrangement at hand 2,000
ENOUGH = 10  # permutations as extreme as what was seen: with fewer, p comes from the tail's fit
TAIL = 250  # the largest statistics that the tail is fitted to
HEAVIEST = 0.5  # the largest shape of the tail that is believed


@functools.lru_cache(maxsize=4)
def arrangements(n: int, m: int, count: int = COUNT, seed: int = 0) -> Array:
    """Which of n + m pooled rows form the first set: float64 [1 + count, n + m] of 0 and 1,
    each row with n ones; row 0 is the arrangement at hand.

    Those of the last sizes are kept, since classes of one size share them: within a class they are
    as random as any.
    """
    rng = np.random.default_rng([seed, n, m])
    chosen = np.zeros((1 + count, n + m))
    chosen[0, :n] = 1.0
    order = np.argpartition(rng.random((count, n + m), dtype=np.float32), n - 1, axis=1)[:, :n]
    np.put_along_axis(chosen[1:], order, 1.0, axis=1)
    chosen.setflags(write=False)
    return chosen


def means(pairs: Array, chosen: Array) -> tuple[Array, Array, Array]:
    """The mean of a symmetric function of pairs, float64 [N, N], within the first set,
    within the rest, and between them, each float64 [B].

    chosen [B, N] of 0 and 1. A row is no pair with itself: the diagonal is left out.
    """
    n = chosen[0].sum()
    m = chosen.shape[1] - n
    diagonal = np.diagonal(pairs)
    products = chosen @ pairs
    inside = np.einsum("bi,bi->b", products, chosen) - chosen @ diagonal
    across = products.sum(1) - chosen @ diagonal - inside
    outside = pairs.sum() - diagonal.sum() - inside - 2 * across
    return inside / (n * (n - 1)), outside / (m * (m - 1)), across / (n * m)


def kernel_distances(kernel: Array, chosen: Array) -> Array:
    """The unbiased squared kernel distance of the two sets, float64 [B]:
    mean within + mean within - 2 mean between.

    kernel [N, N].
    """
    first, rest, between = means(kernel, chosen)
    return first + rest - 2 * between


def log_spreads(squares: Array, chosen: Array) -> Array:
    """log of the first set's trace of covariance over the rest's, float64 [B],
    from squared distances [N, N]: their mean within a set is twice its trace.

    A set that is one point has a trace of 1e-12 of the pooled rows' here, so that the
    number is finite.
    """
    first, rest, between = means(squares, chosen)
    least = 1e-12 * max(float((first + rest + between).max()), 1e-300)
    return np.log(np.maximum(first, least) / np.maximum(rest, least))


def standardised(found: Array) -> Array:
    """(value - mean) / deviation over the permutations, float64 [1 + count];
    found[0] is the value at hand.

    All 0 where no permutation differs.
    """
    centre, width = found[1:].mean(), found[1:].std()
    scale = max(1.0, float(np.abs(found).max()))
    return np.zeros_like(found) if width <= 1e-14 * scale else (found - centre) / width


def p_value(found: Array) -> float:
    """The one-sided p of found[0] among found[1:], large values being extreme; float64 [1 + count].

    (1 + as extreme) / (1 + count) while that rests on at least ENOUGH permutations. With fewer, the
    generalised Pareto tail of the largest TAIL (Knijnenburg et al. 2009, "Fewer permutations, more
    accurate P-values"), by probability-weighted moments (Hosking & Wallis 1987), its shape held in
    0 .. HEAVIEST: a negative one would have an end, beyond which p were 0. Never above the exact p,
    nor below 1e-300.
    """
    value, null = found[0], found[1:]
    scale = max(1.0, float(np.abs(found).max()))
    beyond = int((null >= value - 1e-12 * scale).sum())
    exact = (1 + beyond) / (1 + len(null))
    if beyond >= ENOUGH:
        return exact
    kept = min(TAIL, len(null) // 4)
    ordered = np.sort(null)[::-1]
    threshold = float(ordered[kept - 1 : kept + 1].mean())
    return max(
        min(
            exact,
            kept / len(null) * _survival(float(value) - threshold, ordered[:kept] - threshold),
        ),
        1e-300,
    )


def _survival(value: float, excess: Array) -> float:
    """P(excess > value) of the generalised Pareto law fitted to excess [k], sorted downwards."""
    first = float(excess.mean())
    if value <= 0 or first <= 0:
        return 1.0
    ranks = (np.arange(len(excess)) + 0.65) / len(excess)  # of the survival function, largest first
    second = float((excess * ranks).mean())
    shape = (
        min(max(2 - first / (first - 2 * second), 0.0), HEAVIEST)
        if first > 2 * second
        else HEAVIEST
    )
    width = first * (1 - shape)
    return (
        math.exp(-value / width)
        if shape < 1e-6
        else float((1 + shape * value / width) ** (-1 / shape))
    )


def least_p(n: int, m: int) -> float:
    """The smallest p that a permutation test of n against m rows can give:
    one over the number of arrangements.
    """
    return 1 / math.comb(n + m, n) if n and m else 1.0
