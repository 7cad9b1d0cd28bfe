"""The answers of a study as the statistics want them: which raters count,
and each question's answers by kind, rater and item.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genbench._util.errors import UserError
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np
from genbench.human.detection_rates import (
    FAKE_AS_FAKE,
    FAKE_AS_REAL,
    REAL_AS_FAKE,
    REAL_AS_REAL,
    Answers,
)
from genbench.human.rater_exclusion import Answered, Judged, judged
from genbench.human.store import Store
from genbench.human.study_kinds import KINDS, REAL

ANSWERS = """SELECT a.rater, a.trial, t.item, p.model, COALESCE(q.model, ''), i.stratum, \
i.expected, t.catch, t.question, a.pressed, a.answer, a.reaction_ms
    FROM answers a JOIN trials t ON t.rater = a.rater AND t.trial = a.trial JOIN items i ON i.item \
= t.item
    JOIN pictures p ON p.blind = i.first LEFT JOIN pictures q ON q.blind = i.second ORDER BY \
a.rater, a.trial"""


@dataclass(frozen=True)
class Summary:
    """One rater's answers to one model of a study that was made elsewhere:
    how many were shown and answered wrongly, and seconds.
    """

    rater: str
    model: str
    fakes: int
    wrong_fakes: int
    reals: int
    wrong_reals: int
    fakes_seconds: float
    reals_seconds: float


@dataclass(frozen=True)
class Study:
    """What was answered.

    answers: by those who joined here; summaries: of a study made elsewhere.
    """

    design: Mapping[str, Any]
    answers: tuple[Answered, ...]
    judged: tuple[Judged, ...]  # every rater who joined
    withdrawn: int = 0
    summaries: tuple[Summary, ...] = ()
    points: tuple[int, ...] = field(default=())  # of each question of a rating

    @property
    def models(self) -> list[str]:
        return [one["name"] for one in self.design["models"]]

    @property
    def counted(self) -> frozenset[int]:
        """The raters that the rule leaves."""
        return frozenset(one.rater for one in self.judged if not one.reasons)

    @property
    def raters(self) -> frozenset[int]:
        return frozenset(one.rater for one in self.judged if one.answers)


def read(store: Store) -> Study:
    """A study's answers and what is known of its raters."""
    design = store.about["design"]
    if digest({key: value for key, value in design.items() if key != "digest"}) != design["digest"]:
        raise UserError(
            f"{store.path}: the design was changed after it was registered as "
            f"{design['digest'][:12]}; its results would not be those of any design"
        )
    answers = tuple(Answered(*row) for row in store.rows(ANSWERS))
    points = (
        () if KINDS[design["kind"]].keys else tuple(one["points"] for one in design["questions"])
    )
    by_rater = {
        rater: list(own) for rater, own in itertools.groupby(answers, lambda one: one.rater)
    }
    of_trials = dict(store.rows("SELECT rater, COUNT(*) FROM trials GROUP BY rater"))
    ruled = [
        judged(by_rater[rater], of_trials[rater], points, design["exclusion"])
        for rater in sorted(by_rater)
    ]
    idle = [
        Judged(rater, 0, None, None, 0.0, 0, ("unfinished",))
        for (rater,) in store.rows("SELECT rater FROM raters")
        if rater not in by_rater
    ]
    summaries = tuple(
        Summary(*row) for row in store.rows("SELECT * FROM summaries ORDER BY rater, model")
    )
    return Study(
        design, answers, (*ruled, *idle), int(store.about.get("withdrawn", 0)), summaries, points
    )


def detections(study: Study, raters: Collection[int]) -> dict[str, Answers]:
    """Of each model: its fakes and the reals that its raters saw,
    as fake or real (human_rates.detection).
    """
    if study.summaries:
        return {
            model: _unfolded([one for one in study.summaries if one.model == model])
            for model in study.models
        }
    used = [one for one in study.answers if not one.catch and one.rater in raters]
    found = {}
    for model in study.models:
        own = [one for one in used if one.first in (model, REAL)]
        kinds = [_kind(one.first == REAL, one.answer == REAL) for one in own]
        found[model] = _answers(kinds, own, 4)
    return found


def _kind(real: bool, as_real: bool) -> int:
    return (
        (REAL_AS_REAL if as_real else REAL_AS_FAKE)
        if real
        else (FAKE_AS_REAL if as_real else FAKE_AS_FAKE)
    )


def fooled(study: Study, raters: Collection[int]) -> dict[str, Answers]:
    """Of each model's pairs with real pictures: kind 0, the real one was told;
    1, the generated one was taken for it.
    """
    found = {}
    for model in study.models:
        own = [
            one
            for one in study.answers
            if not one.catch and one.rater in raters and one.second == model
        ]
        found[model] = _answers([int(one.answer == "second") for one in own], own, 2)
    return found


def preferences(study: Study, raters: Collection[int]) -> tuple[list[str], Answers]:
    """The models, real among them, and the answers by pair and winner (human_pairs.strengths)."""
    names = [REAL, *study.models]
    pairs = {pair: k for k, pair in enumerate(itertools.combinations(names, 2))}
    own = [one for one in study.answers if not one.catch and one.rater in raters]
    kinds = [2 * pairs[one.first, one.second] + (one.answer == "second") for one in own]
    return names, _answers(kinds, own, 2 * len(pairs))


def ratings(study: Study, raters: Collection[int], question: int) -> dict[str, Answers]:
    """Of each model, and of the real pictures, the points that were given, less one."""
    found = {}
    for model in [*study.models, REAL]:
        own = [
            one
            for one in study.answers
            if not one.catch
            and one.rater in raters
            and (one.first, one.question) == (model, question)
        ]
        found[model] = _answers([int(one.answer) - 1 for one in own], own, study.points[question])
    return found


def _answers(kinds: Sequence[int], own: Sequence[Answered], count: int) -> Answers:
    return Answers(
        np.asarray(kinds, dtype=np.int64),
        np.asarray([one.rater for one in own], dtype=np.int64),
        np.asarray([one.item for one in own], dtype=np.int64),
        count,
    )


def _unfolded(summaries: Sequence[Summary]) -> Answers:
    """Sums by rater as answers, without items."""
    counts = np.array(
        [
            [s.fakes - s.wrong_fakes, s.wrong_fakes, s.wrong_reals, s.reals - s.wrong_reals]
            for s in summaries
        ],
        dtype=np.int64,
    ).reshape(-1, 4)
    raters = np.repeat(np.arange(len(counts)), counts.sum(1))
    return Answers(np.repeat(np.tile(np.arange(4), len(counts)), counts.ravel()), raters, None, 4)
