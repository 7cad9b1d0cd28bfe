"""What may be said of runs: each number against real images, and the differences between runs, with the errors of both sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from genbench import intervals, shelves
from genbench.lazy import np, scipy_stats
from genbench.record import Score
from genbench.standings import Entry, number

T19 = 2.093  # the 97.5 % point of t with 19 degrees of freedom
HELPS = 0.3  # correlation of leave-outs below which pairing bought nothing

Kind = Literal["same", "worse", "beyond", "none"]
CHIPS: Mapping[str, str] = {"same": "no difference shown", "worse": "differs from real", "beyond": "beyond real", "none": "no statement"}


@dataclass(frozen=True)
class Verdict:
    """What a number says against real images, and why."""

    kind: Kind
    words: str

    @property
    def chip(self) -> str:
        return CHIPS[self.kind]


def against_real(score: Score, measure: Mapping[str, Any]) -> Verdict:
    """A number (ok) beside what real images score at these sizes."""
    if score.real is None or score.real_high is None:
        return Verdict("none", "real images have no such number here")
    width = _width(measure)
    if measure.get("metric") == "fd" and width and score.n < 2 * width:
        return Verdict("none", f"{score.n} samples are fewer than twice the {width} features: a collapsed model could score better than a faithful one")
    value, low, high = number(score.value), number(score.low), number(score.high)
    gap = (1 if score.better == "lower" else -1) * (score.real - value)  # above 0: on the better side of real images
    near = abs((high if score.better == "lower" else low) - value) if gap > 0 else abs((low if score.better == "lower" else high) - value)
    shown = abs(gap) > max(near, T19 * math.hypot(score.se or 0.0, score.se_reference or 0.0))
    if gap > 0 and shown:
        return Verdict(
            "beyond", "it lies on the better side of real images by more than both errors: it draws what is typical and leaves out what is rare, or copies"
        )
    if score.better == "lower":
        over = value > score.real_high
        words = "it lies above 95 % of real sets of these sizes" if over else f"95 % of real sets of these sizes lie below {score.real_high:.3g}"
        return Verdict("worse", words) if over else Verdict("same", f"{words}; that is not the same as being real")
    if gap < 0 and shown:
        return Verdict("worse", f"real sets of these sizes score {score.real:.3g}, which lies outside the errors of both sides")
    return Verdict("same", "the median of real sets lies within the errors of both sides; that is not the same as being real")


def _width(measure: Mapping[str, Any]) -> int:
    """How wide a measure's features are; 0 where the record does not say them, or nobody knows the extractor any more."""
    extractor, _, output = str(measure.get("features", "")).partition(".")
    if extractor not in shelves.standing("extractors"):
        return 0
    return int(shelves.find("extractors", extractor).outputs.get(output, 0))


@dataclass(frozen=True)
class Apart:
    """a - b in one number: value, its 95 % interval, p by Holm over all pairs of this number, whether pairs were taken, and what pairing bought (r)."""

    a: int
    b: int
    value: float
    low: float
    high: float
    p: float
    paired: bool
    r: float | None
    better: int | None  # the place of the run that is shown better


def side_by_side(found: Sequence[Entry]) -> list[Entry]:
    """Entries of one protocol, those that were measured with another ruler than the first one marked so: they are not ranked."""
    return [replace(one, current=one.comparable(found[0])) for one in found]


def apart(found: Sequence[Entry], metric: str) -> list[Apart]:
    """Every pair of runs that have a number and the ruler of the first, in the order of the runs."""
    there = [(place, entry, score) for place, entry in enumerate(found) if entry.current and (score := entry.score(metric)) and score.left_out]
    pairs = [(one, other) for at, one in enumerate(there) for other in there[at + 1 :]]
    taken = [(one, other, intervals.difference(_estimate(*one[1:]), _estimate(*other[1:]))) for one, other in pairs]
    adjusted = intervals.holm([difference.p for *_, difference in taken]).tolist() if taken else []
    return [_apart(one, other, difference, p) for (one, other, difference), p in zip(taken, adjusted, strict=True)]


def _estimate(entry: Entry, score: Score) -> intervals.Estimate:
    return intervals.estimate(number(score.value), score.left_out, score.sizes or entry.record.plan["block_sizes"])


def _apart(one: Any, other: Any, difference: intervals.Difference, p: float) -> Apart:
    half = float(scipy_stats.t.ppf(0.975, difference.freedom)) * difference.se if difference.freedom >= 1 else math.nan
    lower = one[2].better == "lower"
    ahead = (one[0] if (difference.value < 0) == lower else other[0]) if p <= 0.05 else None
    r = _correlation(one[2].left_out, other[2].left_out) if difference.paired else None
    value = difference.value
    return Apart(one[0], other[0], value, value - half, value + half, p, difference.paired, r, ahead)


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < 3 or np.std(a) == 0 or np.std(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
