"""Whether a candidate is worse than a baseline by more than is allowed:
the change, its bounds, one of three verdicts, the n that would settle it.

The burden is turned round: not "no difference was shown" but "a difference beyond the margin is
excluded" passes (non-inferiority). Pure functions. A change is oriented so that more is worse:
ln(candidate / baseline) of a distance, ln(baseline / candidate) of a score, plain differences of
shares and of numbers that may be 0 or negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.lazy_imports import np, scipy_optimize, scipy_stats
from genbench.statistics.confidence_intervals import Estimate, wilson
from genbench.statistics.jackknife import jackknife

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

ALPHA = 0.05  # one-sided
POWER = 0.8
REAL_SDS = 2.0  # a kernel distance may move by so many standard deviations of real against real
SHARES = ((0, 1), (0, 100))  # ranges, of shares and of per cent
P95 = 1.6449  # of the normal law, in standard deviations

Kind = Literal["ratio", "share", "kernel"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Change:
    """How much worse the candidate is: value, standard error, degrees of freedom;
    the correlation of the blocks where they are paired.

    `value` is the change at this n, of the values as boards show them, and what is judged.
    `corrected` is the same with the bias taken out that each model has at this n; it stands beside,
    since its own error is larger than a jackknife says: judged by it, an unchanged model failed in
    9 % of fresh pairs, not 5 (tests/bench/gate_power.md). Where that bias is large against the
    change, a Fréchet distance is not judged at all; where the corrected change would have the other
    verdict, neither is given.
    """

    value: float
    se: float
    freedom: float
    paired: bool
    corrected: float | None = None
    correlation: float | None = None
    # a bound of two shares by their counts, where a jackknife of counts of 0 has nothing to go by
    high_at_least: float = -math.inf

    def bounds(self, alpha: float = ALPHA) -> tuple[float, float]:
        """The one-sided bounds at alpha, L and U; (-inf, inf) without an error."""
        if math.isnan(self.se) or self.freedom < 1:
            return -math.inf, math.inf
        half = float(scipy_stats.t.ppf(1 - alpha, self.freedom)) * self.se
        return self.value - half, max(self.value + half, self.high_at_least)

    def p(self) -> float:
        """The one-sided p of "it is not worse at all"."""
        if math.isnan(self.se) or self.freedom < 1:
            return 1.0
        if self.se == 0:
            return 0.0 if self.value > 0 else 1.0
        return float(scipy_stats.t.sf(self.value / self.se, self.freedom))


def kind_of(bounds: tuple[float, float]) -> Kind:
    """How a number of this range is compared."""
    if bounds in SHARES:
        return "share"
    return "kernel" if bounds[0] < 0 else "ratio"


def change(
    candidate: Estimate,
    baseline: Estimate,
    better: Literal["lower", "higher"],
    kind: Kind,
    *,
    paired: bool,
) -> Change | None:
    """The change between two estimates with leave-outs over blocks;
    None where a ratio of numbers that are not positive is asked for.

    Paired: the jackknife of the change itself, so that what both share (seeds, labels, reference)
    cancels; of two shares whose blocks all agree, that no sample of n was told otherwise (Clopper &
    Pearson: about 3 / n). Unpaired: errors add in squares (Welch), and of two shares Newcombe's
    bound (1998, method 10) stands beside, since counts of 0 have no error.
    """
    if (
        kind == "ratio"
        and min(candidate.value, baseline.value, *candidate.left_out, *baseline.left_out) <= 0
    ):
        return None
    scale = math.log if kind == "ratio" else float
    sign = 1 if better == "lower" else -1
    ours, theirs = (
        [sign * scale(one) for one in (side.value, *side.left_out)]
        for side in (candidate, baseline)
    )
    value = ours[0] - theirs[0]
    if paired:
        sizes = np.asarray(candidate.sizes)
        moved = np.subtract(ours, theirs)
        se, without = (
            jackknife(moved[1:], sizes, float(moved[0])),
            corrected(moved[1:], sizes, float(moved[0])),
        )
        least = (
            value + none_of(int(sizes.sum()))
            if kind == "share" and se == 0 and max(candidate.value, baseline.value) <= 1
            else -math.inf
        )
        return Change(
            value,
            se,
            len(sizes) - 1.0,
            paired=True,
            corrected=without,
            correlation=_correlation(ours[1:], theirs[1:]),
            high_at_least=least,
        )
    (a, se_a), (b, se_b) = (
        _side(np.asarray(values), side) for values, side in ((ours, candidate), (theirs, baseline))
    )
    spread = sum(
        se**4 / (side.groups - 1)
        for se, side in ((se_a, candidate), (se_b, baseline))
        if side.groups > 1
    )
    freedom = (
        (se_a**2 + se_b**2) ** 2 / spread
        if spread > 0
        else max(candidate.groups + baseline.groups - 2.0, 1.0)
    )
    least = _newcombe(candidate, baseline, better) if kind == "share" else -math.inf
    return Change(
        value, math.hypot(se_a, se_b), freedom, paired=False, corrected=a - b, high_at_least=least
    )


def corrected(left_out: Array, sizes: Array, value: float) -> float:
    """The bias-corrected value by the delete-group jackknife with groups of unequal sizes:
    the mean of Busing's pseudo-values, weighted as they are.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    return (
        float(
            len(sizes) * value
            - ((1 - sizes / sizes.sum()) * np.asarray(left_out, dtype=np.float64)).sum()
        )
        if len(sizes) > 1
        else value
    )


def _side(values: Array, side: Estimate) -> tuple[float, float]:
    """The corrected value and the standard error of a value [0] with its leave-outs [1:]."""
    sizes = np.asarray(side.sizes)
    return corrected(values[1:], sizes, float(values[0])), jackknife(
        values[1:], sizes, float(values[0])
    )


def _correlation(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Of the leave-outs of both sides; 1 where they are the same numbers,
    None where one side does not move.
    """
    if list(ours) == list(theirs):
        return 1.0
    if len(ours) < 3 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(np.corrcoef(ours, theirs)[0, 1])


def _newcombe(candidate: Estimate, baseline: Estimate, better: str, alpha: float = ALPHA) -> float:
    """The upper bound of how much worse a share is, from Wilson's intervals of both (Newcombe 1998,
    method 10); -inf for what is no share of samples.
    """
    shares = [
        (side.value, sum(side.sizes))
        for side in ((candidate, baseline) if better == "lower" else (baseline, candidate))
    ]
    if not all(0 <= share <= 1 and n > 0 for share, n in shares):
        return -math.inf
    (p1, n1), (p2, n2) = shares
    above, below = wilson(p1, n1, 1 - 2 * alpha)[1], wilson(p2, n2, 1 - 2 * alpha)[0]
    return p1 - p2 + math.hypot(above - p1, p2 - below)


def none_of(n: int, alpha: float = ALPHA) -> float:
    """The upper bound of a share of which n samples show none."""
    return 1 - float(alpha ** (1 / n))


def kernel_margin(
    baseline: float, real: float | None, real_high: float | None, share: float
) -> float:
    """What a kernel distance may move by: this share of the baseline's distance to what real data
    scores, or two standard deviations of the latter.
    """
    if real is None or real_high is None:
        return share * abs(baseline)
    return max(share * abs(baseline - real), REAL_SDS * (real_high - real) / P95)


def verdict(of: Change, margin: float, alpha: float = ALPHA, p: float | None = None) -> Verdict:
    """PASS: the upper bound is within the margin.

    FAIL: it is not, and the candidate is shown worse (p, adjusted where several are judged).
    Else neither.

    Neither too where it would turn with the bias of this n taken out: then it is one of n and not
    of the models.
    """
    without = of.value if of.corrected is None else of.corrected
    if of.bounds(alpha)[1] <= margin:
        return "PASS" if without <= margin else "INCONCLUSIVE"
    return "FAIL" if (of.p() if p is None else p) < alpha and without > 0 else "INCONCLUSIVE"


def settling(
    of: Change, margin: float, n: int, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """The n at which a change of this size would be told with this power,
    whichever verdict is nearer; None without an error.
    """
    distance = max(margin - of.value, of.value)
    if of.se == 0 and of.value < margin < 1:  # shares whose blocks all agree
        return math.ceil(math.log(alpha) / math.log1p(of.value - margin))
    if not (math.isfinite(of.se) and of.se > 0 and distance > 0):
        return None
    return math.ceil(n * (_quantiles(alpha, power) * of.se / distance) ** 2)


def detectable(of: Change, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest change that would be shown with this power, at this standard error."""
    return _quantiles(alpha, power, of.freedom) * of.se


def needed(
    cv: float, margin: float, correlation: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Samples per side that show "not more than `margin` worse" where nothing changed; cv:
    sqrt(n) times the relative standard error of a run of n.
    """
    return 2 * (1 - correlation) * (cv * _quantiles(alpha, power) / margin) ** 2


def _quantiles(alpha: float, power: float, freedom: float = math.inf) -> float:
    law = scipy_stats.norm if math.isinf(freedom) else scipy_stats.t(freedom)
    return float(law.ppf(1 - alpha) + law.ppf(power))


def benjamini_hochberg(p: Sequence[float]) -> Array:
    """Benjamini & Hochberg's (1995) adjusted p, float64 [tests] in the given order."""
    return np.asarray(scipy_stats.false_discovery_control(p)) if len(p) else np.empty(0)


def pocock(alpha: float, looks: int) -> float:
    """The level of each of so many equally spaced looks at growing data that together have level
    alpha, one-sided (Pocock 1977).
    """
    if looks == 1:
        return alpha
    step = np.arange(1, looks + 1)
    correlation = np.sqrt(np.minimum.outer(step, step) / np.maximum.outer(step, step))
    law = scipy_stats.multivariate_normal(np.zeros(looks), correlation, seed=0)
    limit = scipy_optimize.brentq(
        lambda c: law.cdf(np.full(looks, c)) - (1 - alpha), -1.0, 8.0, xtol=1e-6
    )
    return float(scipy_stats.norm.sf(limit))


def halves(
    left_out: Sequence[float],
    sizes: Sequence[int],
    value: float,
    kind: Kind,
    better: Literal["lower", "higher"],
    splits: int,
    seed: int,
) -> list[Change]:
    """A/A: the changes between two halves of a run's blocks, by its pseudo-values,
    over random splits.
    """
    scale = math.log if kind == "ratio" else float
    h = np.sum(sizes) / np.asarray(sizes, dtype=np.float64)
    pseudo = (1 if better == "lower" else -1) * (
        h * scale(value) - (h - 1) * np.array([scale(one) for one in left_out])
    )
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        a, b = np.array_split(rng.permutation(pseudo), 2)
        errors = [float(side.std(ddof=1)) / math.sqrt(len(side)) for side in (a, b)]
        found.append(
            Change(float(a.mean() - b.mean()), math.hypot(*errors), len(pseudo) - 2.0, paired=False)
        )
    return found
