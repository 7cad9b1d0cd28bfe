"""Which raters count: the rule that a study writes down before anybody is asked. Pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

#: Excluded are raters who were right in fewer than this share of the obvious catch trials, whose
#: median reaction is shorter, or who pressed one key more often in a row; and those who
#: did not finish.
RULES: Mapping[str, float] = {"catch_accuracy": 0.8, "median_ms": 400, "streak": 15}


@dataclass(frozen=True)
class Answered:
    """One answer with what was shown.

    first, second: models ("" noise, "real"); answer: real, fake, first, second, or points.
    """

    rater: int
    trial: int
    item: int
    first: str
    second: str
    stratum: str
    expected: str
    catch: str
    question: int
    pressed: str
    answer: str
    reaction_ms: float


@dataclass(frozen=True)
class Judged:
    """What is known of a rater, and why the rater does not count; (): counts."""

    rater: int
    answers: int
    catch_accuracy: float | None
    repeats_agree: float | None
    median_ms: float
    streak: int
    reasons: tuple[str, ...]


def judged(
    answers: Sequence[Answered],
    trials: int,
    points: Sequence[int],
    rules: Mapping[str, float] = RULES,
) -> Judged:
    """A rater by the rules.

    answers: of one rater, in order; points: of each question of a rating, () for other kinds.
    """
    catch = [_right(one, points) for one in answers if one.catch == "obvious"]
    accuracy = sum(catch) / len(catch) if catch else None
    speed = median(one.reaction_ms for one in answers) if answers else 0.0
    longest = streak([one.pressed for one in answers])
    broken = {
        "unfinished": len(answers) < trials,
        f"catch trials right < {rules['catch_accuracy']:.0%}": accuracy is not None
        and accuracy < rules["catch_accuracy"],
        f"median time < {rules['median_ms']:g} ms": bool(answers) and speed < rules["median_ms"],
        f"one key > {rules['streak']:g} times in a row": longest > rules["streak"],
    }
    rater = answers[0].rater if answers else 0
    return Judged(
        rater,
        len(answers),
        accuracy,
        _consistent(answers, points),
        speed,
        longest,
        tuple(why for why, so in broken.items() if so),
    )


def _right(one: Answered, points: Sequence[int]) -> bool:
    """Whether an obvious fake was called one; of a rating,
    whether it got less than the middle of the scale.
    """
    if points:
        return int(one.answer) < (points[one.question] + 1) / 2
    return one.answer == one.expected


def _consistent(answers: Sequence[Answered], points: Sequence[int]) -> float | None:
    """The share of exact repeats that got the answer of the first time; of ratings,
    within a point.
    """
    before = {(one.item, one.question): one.answer for one in answers if not one.catch}
    again = [
        (one.answer, before[one.item, one.question])
        for one in answers
        if one.catch == "repeat" and (one.item, one.question) in before
    ]
    if not again:
        return None
    return sum(abs(int(a) - int(b)) <= 1 if points else a == b for a, b in again) / len(again)


def streak(pressed: Sequence[str]) -> int:
    """The longest row of one key."""
    return max((len(list(group)) for _, group in itertools.groupby(pressed)), default=0)
