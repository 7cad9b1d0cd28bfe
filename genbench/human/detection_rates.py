"""How sure the answers of people are: errors, d' and criterion,
and intervals that know that one rater's answers, and those to one picture, are alike.

A statistic is a function of counts: of how often each kind of answer was given, float64
[draws, kinds] -> [draws, numbers]. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, scipy_stats
from genbench.statistics.confidence_intervals import wilson

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Statistic = Callable[[Array], Array]

DRAWS = 1000
Z = 1.959963984540054  # the 97.5 % point of the normal distribution
# the kinds of answer that `detection` counts
FAKE_AS_FAKE, FAKE_AS_REAL, REAL_AS_FAKE, REAL_AS_REAL = range(4)
DETECTION = ("error_fakes", "error_reals", "error", "dprime", "criterion")


@dataclass(frozen=True)
class Answers:
    """Answers by kind [n], with the rater [n] of each and the item [n] that was shown;
    items None where that is not known.
    """

    kinds: Array
    raters: Array
    items: Array | None
    count: int  # of kinds


@dataclass(frozen=True)
class Spread:
    """Numbers [k], their standard errors [k], the degrees of freedom,
    and how many raters and answers there were.
    """

    value: Array
    se: Array
    freedom: float
    raters: int
    answers: int


def spread(statistic: Statistic, of: Answers, seed: int = 0, draws: int = DRAWS) -> Spread:
    """A statistic and its standard errors, raters and items being drawn from more of them:
    V = V(raters) + V(items) - V(answers).

    Cameron, Gelbach & Miller (2011), "Robust inference with multiway clustering", eq. 2.12, with
    each variance by a bootstrap of whole clusters; never less than that of raters or items alone.
    Resampling both at once (the pigeonhole bootstrap) counts the noise of single answers three
    times. With one rater nothing can be known of others: the variance is that of the items. NaN
    where a draw in ten has no such number.
    """
    rng = np.random.default_rng(seed)
    value = statistic(np.bincount(of.kinds, minlength=of.count)[None].astype(np.float64))[0]
    variances, sizes = [], []
    for clusters in [of.raters] + ([of.items] if of.items is not None else []):
        table = _table(clusters, of)
        if len(table) > 1:
            weights = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=draws)
            variances.append(_variance(statistic(weights @ table)) * len(table) / (len(table) - 1))
            sizes.append(len(table))
    raters = len(np.unique(of.raters))
    if not variances:
        return Spread(value, np.full_like(value, np.nan), math.nan, raters, len(of.kinds))
    whole = np.max(variances, axis=0)
    if len(variances) == 2:
        share = np.bincount(of.kinds, minlength=of.count) / len(of.kinds)
        alone = _variance(
            statistic(rng.multinomial(len(of.kinds), share, size=draws).astype(np.float64))
        )
        whole = np.maximum(whole, variances[0] + variances[1] - alone)
    return Spread(value, np.sqrt(whole), min(sizes) - 1.0, raters, len(of.kinds))


def _table(clusters: Array, of: Answers) -> Array:
    """Each cluster's counts of each kind, float64 [clusters, kinds]."""
    names, place = np.unique(clusters, return_inverse=True)
    table = np.zeros((len(names), of.count))
    np.add.at(table, (place, of.kinds), 1.0)
    return table


def _variance(drawn: Array) -> Array:
    """The variance over draws [draws, k] of each number; NaN where more than one draw in
    ten has none.
    """
    have = np.isfinite(drawn)
    count = have.sum(0)
    mean = np.where(have, drawn, 0.0).sum(0) / np.maximum(count, 1)
    found = np.where(have, (drawn - mean) ** 2, 0.0).sum(0) / np.maximum(count - 1, 1)
    return np.where(count >= 0.9 * len(drawn), found, np.nan)


def plain_interval(value: float, se: float, freedom: float) -> tuple[float, float]:
    """value -+ t se."""
    half = float(scipy_stats.t.ppf(0.975, freedom)) * se if freedom >= 1 else math.nan
    return value - half, value + half


def share_interval(share: float, se: float, freedom: float, answers: int) -> tuple[float, float]:
    """Wilson's interval of a share at the number of independent answers that would be as
    sure as these.

    n = share (1 - share) / se^2, at most the answers there are, shrunk by (z / t)^2 for few
    clusters: Korn & Graubard (1998), with Wilson's interval in place of Clopper & Pearson's. It is
    never empty, also at 0 and 1, where the answers count as independent.
    """
    if math.isnan(share) or math.isnan(se) or not freedom >= 1:
        return math.nan, math.nan
    n = share * (1 - share) / se**2 if se > 0 else math.inf
    effective = min(n, answers) * (Z / float(scipy_stats.t.ppf(0.975, freedom))) ** 2
    return wilson(share, effective) if effective >= 1 else (0.0, 1.0)  # type: ignore[arg-type]


def detection(counts: Array) -> Array:
    """[draws, 4] counts of fakes called fake and real, and of reals called fake and real ->
    [draws, 5]: DETECTION.

    The errors are plain shares, `error` the mean of both, so that it does not depend on how many of
    each were shown. With hits H (fakes called fake) and false alarms F (reals called fake), d' =
    z(H) - z(F) and c = -(z(H) + z(F)) / 2, at H = (hits + 0.5) / (fakes + 1) and likewise F: Hautus
    (1995). c below 0: inclined to say fake.
    """
    fakes, reals = counts[:, :2].sum(1), counts[:, 2:].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        fooled, blamed = counts[:, FAKE_AS_REAL] / fakes, counts[:, REAL_AS_FAKE] / reals
    hit = scipy_stats.norm.ppf((counts[:, FAKE_AS_FAKE] + 0.5) / (fakes + 1))
    alarm = scipy_stats.norm.ppf((counts[:, REAL_AS_FAKE] + 0.5) / (reals + 1))
    known = np.where((fakes > 0) & (reals > 0), 1.0, np.nan)
    return np.stack(
        [fooled, blamed, (fooled + blamed) / 2, (hit - alarm) * known, -(hit + alarm) / 2 * known],
        axis=1,
    )


def share(counts: Array) -> Array:
    """[draws, 2] counts -> [draws, 1]: the share of the second kind."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts[:, 1:2] / counts.sum(1, keepdims=True)


def mean(counts: Array) -> Array:
    """[draws, points] counts of ratings of 1, 2, ... -> [draws, 1]: their mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts @ np.arange(1.0, counts.shape[1] + 1))[:, None] / counts.sum(
            1, keepdims=True
        )


def gap(statistic: Statistic, first: int, number: int) -> Statistic:
    """The difference of one of a statistic's numbers between two sets of answers:
    the counts of the first set are the first `first` columns.
    """

    def of(counts: Array) -> Array:
        return (
            statistic(counts[:, :first])[:, number : number + 1]
            - statistic(counts[:, first:])[:, number : number + 1]
        )

    return of


def two_sided(value: float, se: float, freedom: float) -> float:
    """The p of a difference; 1 where nothing is known."""
    if not freedom >= 1 or math.isnan(se) or se <= 0:
        return 1.0
    return float(2 * scipy_stats.t.sf(abs(value) / se, freedom))
