"""How sure a number is: t and Wilson intervals, estimates, and comparisons of pairs.

The standard error is jackknife.py's, simultaneous rank ranges are rank_ranges.py's. Pure functions.

NaN means "there is no such error": fewer than two groups, or a leave-out that is undefined. It goes
through every function here: an interval of it is (NaN, NaN), and a comparison with it shows nothing
(p = 1). A standard error of 0 is a number: every leave-out agreed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.lazy_imports import np, scipy_stats
from genbench.statistics.jackknife import jackknife

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

LEVEL = 0.95
FEW_BLOCKS = 5


def t_interval(value: float, se: float, groups: int, level: float = LEVEL) -> tuple[float, float]:
    """value -+ se * the quantile of t with groups - 1 degrees of freedom;
    (NaN, NaN) where se is NaN or there are fewer than two groups.
    """
    if groups < 2 or math.isnan(se):
        return math.nan, math.nan
    half = float(scipy_stats.t.ppf((1 + level) / 2, groups - 1)) * se
    return value - half, value + half


def wilson(share: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's (1927) score interval of a share of n independent samples, within 0 to 1;
    never empty, also at shares of 0 and 1.

    (NaN, NaN) for n < 1.
    """
    if n < 1 or math.isnan(share):
        return math.nan, math.nan
    z2 = float(scipy_stats.norm.ppf((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * share * (1 - share) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    # at shares of 0 and 1 one end is the share itself, up to a rounding that must not exclude it
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def interval(
    method: Literal["jackknife", "wilson", "mean"], value: float, left_out: Array, sizes: Array
) -> tuple[float, float, float]:
    """Standard error, low and high (95 %) of a metric's value by the method that its row names.

    left_out, sizes [B].

    A plain mean ("mean") needs nothing but its leave-outs: their pseudo-values are the means
    of the blocks.
    """
    se = jackknife(left_out, sizes, value)
    if method != "wilson":
        return (se, *t_interval(value, se, len(sizes)))
    n = int(np.sum(sizes))
    return (math.sqrt(value * (1 - value) / n), *wilson(value, n))


@dataclass(frozen=True)
class Estimate:
    """A value with what a comparison needs: leave-outs and group sizes,
    or only se and groups where there are no leave-outs (both empty).
    """

    value: float
    se: float
    groups: int
    left_out: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    # the version of the rule which sample lies in which group: leave-outs of two rules are
    # never paired
    scheme: str = ""


def estimate(
    value: float, left_out: Sequence[float] | Array, sizes: Sequence[int] | Array, scheme: str = ""
) -> Estimate:
    """An Estimate from leave-outs and group sizes, both [B]."""
    se = jackknife(np.asarray(left_out), np.asarray(sizes), value)
    return Estimate(
        value,
        se,
        len(sizes),
        tuple(float(one) for one in left_out),
        tuple(int(one) for one in sizes),
        scheme,
    )


@dataclass(frozen=True)
class Difference:
    """a - b: value, standard error, two-sided p, degrees of freedom,
    and whether leave-outs were taken pair by pair.
    """

    value: float
    se: float
    p: float
    freedom: float
    paired: bool


def difference(a: Estimate, b: Estimate) -> Difference:
    """The difference of two estimates.

    Paired, where both have leave-outs over groups of the same rule and sizes: the jackknife of the
    differences with t(B-1); what the two share (seeds, labels, reference) cancels. It holds for
    independent runs too, at the price of half the degrees of freedom. Otherwise Welch's: errors
    add in squares.
    """
    value = a.value - b.value
    paired = len(a.sizes) > 0 and (a.sizes, a.scheme) == (b.sizes, b.scheme)
    if paired:
        se, freedom = (
            jackknife(np.subtract(a.left_out, b.left_out), np.asarray(a.sizes), value),
            len(a.sizes) - 1.0,
        )
    else:
        se, freedom = math.hypot(a.se, b.se), _welch(a, b)
    return Difference(value, se, _two_sided(value, se, freedom), freedom, paired)


def _welch(a: Estimate, b: Estimate) -> float:
    """Welch & Satterthwaite's degrees of freedom (Welch 1947)."""
    spread = sum(one.se**4 / (one.groups - 1) for one in (a, b) if one.groups > 1)
    return (a.se**2 + b.se**2) ** 2 / spread if spread > 0 else math.inf


def _two_sided(value: float, se: float, freedom: float) -> float:
    """The two-sided p of value / se under t; without an error (NaN) nothing is shown,
    with an error of exactly 0 any difference is.
    """
    if math.isnan(se) or math.isnan(value) or freedom < 1 or value == 0:
        return 1.0
    return 0.0 if se == 0 else float(2 * scipy_stats.t.sf(abs(value) / se, freedom))


def wide_near_real(value: float, real_high: float | None) -> tuple[str, ...]:
    """A flag for distances: within what real data scores the first-order term vanishes,
    and the jackknife counts the second-order one about twice.

    The interval is then about 1.2 times too wide (tests/bench/coverage.md), which is the safe side.
    """
    return (
        ("interval too wide near real data",)
        if real_high is not None and value <= real_high
        else ()
    )


def few_counts(share: float, n: int) -> tuple[str, ...]:
    """A flag for shares: with fewer than 5 hits, or misses, no symmetric error describes them;
    Wilson's interval holds.
    """
    return ("few counts: use the interval, not se",) if n * min(share, 1 - share) < 5 else ()


def few_hits(share: float, n: int) -> tuple[str, ...]:
    """The same for shares whose interval is a jackknife's: with so few it does not hold either."""
    return ("few counts: the interval is a guess",) if few_counts(share, n) else ()


def wide_of_reference() -> tuple[str, ...]:
    """A flag for numbers that ask for a row's nearest others:
    without a block of the reference these are others, and its error comes out too large.

    The interval of the samples holds; a comparison that adds both errors excludes equality in fewer
    than 3 % (tests/bench/coverage.md): the safe side.
    """
    return ("error of the reference too wide",)


def few_blocks(method: str, blocks: int) -> tuple[str, ...]:
    """A flag for every number whose interval comes from blocks:
    with fewer than 5 it is itself a guess.
    """
    return (
        ("few blocks: the interval is a guess",)
        if method != "wilson" and blocks < FEW_BLOCKS
        else ()
    )
