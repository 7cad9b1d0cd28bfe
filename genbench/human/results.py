"""What a study of raters found: numbers with intervals, with and without the raters that its rule
excludes, and differences between models.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from genbench._util.lazy_imports import np
from genbench.human import answers as human_read
from genbench.human import detection_rates, paired_comparison
from genbench.human.answers import Study
from genbench.human.detection_rates import DETECTION, Answers, Spread
from genbench.statistics.rank_ranges import holm

SHARES = ("error_fakes", "error_reals", "error", "fooled", "preference")
ONE_RATER = "one rater: nothing is known of others"
FEW = "few raters: the interval is a guess"
Row = dict[str, Any]


def found(study: Study) -> dict[str, Any]:
    """Everything, as plain data: about the raters, and the numbers as registered (by the rule) and
    of all raters.
    """
    reasons = Counter(why for one in study.judged for why in one.reasons)
    raters = {
        "joined": len(study.judged) or len({one.rater for one in study.summaries}),
        "counted": len(study.counted) or len({one.rater for one in study.summaries}),
        "excluded": dict(sorted(reasons.items())),
        "withdrawn": study.withdrawn,
        "planned": study.design.get("raters"),
    }
    numbers = {"registered": of(study, study.counted), "all": of(study, study.raters)}
    if study.summaries:
        del numbers["all"]
    repeats = [one.repeats_agree for one in study.judged if one.repeats_agree is not None]
    return {
        "kind": study.design["kind"],
        "digest": study.design["digest"],
        "raters": raters,
        "repeats_agree": sum(repeats) / len(repeats) if repeats else None,
        **numbers,
        "judged": [one.__dict__ for one in study.judged],
    }


def of(study: Study, raters: Collection[int]) -> dict[str, Any]:
    """The numbers of these raters: {"numbers": rows, "differences": rows, "notes": lines}."""
    got = KINDS[study.design["kind"]](study, raters)
    return {**got, "ranks": ranks(got["differences"])}


def ranks(differences: Sequence[Row]) -> dict[str, dict[str, tuple[int, int]]]:
    """{number: {model: (best, worst)}}: simultaneous rank ranges,
    1 + those shown better ... K - those shown worse; more is better in every one of them.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for number in dict.fromkeys(row["number"] for row in differences):
        own = [row for row in differences if row["number"] == number]
        names = list(dict.fromkeys(name for row in own for name in (row["model"], row["than"])))
        centre = 0.5 if number == "preferred" else 0.0
        won = [
            (row["model"], row["than"])[:: 1 if row["value"] > centre else -1]
            for row in own
            if row["p_holm"] <= 0.05
        ]
        found[number] = {
            name: (
                1 + sum(worse == name for _, worse in won),
                len(names) - sum(better == name for better, _ in won),
            )
            for name in names
        }
    return found


def _detection(study: Study, raters: Collection[int]) -> dict[str, Any]:
    by = human_read.detections(study, raters)
    rows = [
        row
        for model, answers in by.items()
        for row in _rows(model, DETECTION, detection_rates.detection, answers)
    ]
    return {
        "numbers": rows,
        "differences": _differences(by, detection_rates.detection, 0, "error_fakes"),
        "notes": [],
    }


def _fooled(study: Study, raters: Collection[int]) -> dict[str, Any]:
    by = human_read.fooled(study, raters)
    rows = [
        row
        for model, answers in by.items()
        for row in _rows(model, ("fooled",), detection_rates.share, answers)
    ]
    return {
        "numbers": rows,
        "differences": _differences(by, detection_rates.share, 0, "fooled"),
        "notes": [],
    }


def _rating(study: Study, raters: Collection[int]) -> dict[str, Any]:
    rows, differences, notes = [], [], []
    for k, question in enumerate(study.design["questions"]):
        by = human_read.ratings(study, raters, k)
        name = f"rating_{question['name']}"
        rows += [
            row
            for model, answers in by.items()
            for row in _rows(model, (name,), detection_rates.mean, answers)
        ]
        differences += _differences(by, detection_rates.mean, 0, name)
        given = [
            one
            for one in study.answers
            if not one.catch and one.rater in raters and one.question == k
        ]
        if given:
            columns = (
                [one.rater for one in given],
                [one.item for one in given],
                [int(one.answer) for one in given],
            )
            alpha = paired_comparison.agreement(*map(np.asarray, columns))
            said = (
                "cannot be had: no picture has two raters"
                if math.isnan(alpha)
                else f"{alpha:.2f} (ordinal)"
            )
            notes.append(f"Krippendorff's alpha of {question['name']} over raters: {said}")
    return {"numbers": rows, "differences": differences, "notes": notes}


def _preference(study: Study, raters: Collection[int]) -> dict[str, Any]:
    names, answers = human_read.preferences(study, raters)
    if not len(answers.kinds):
        return {"numbers": [], "differences": [], "notes": []}
    pairs = paired_comparison.pairs_of(len(names))
    got = detection_rates.spread(
        lambda counts: paired_comparison.strengths(counts, len(names)), answers, draws=300
    )
    rows = [
        _row(name, "preference", got, len(pairs) + k, got.answers) for k, name in enumerate(names)
    ]
    chances = [_row(names[a], "preferred", got, k, got.answers) for k, (a, b) in enumerate(pairs)]
    tests = [
        detection_rates.two_sided(float(got.value[k]) - 0.5, float(got.se[k]), got.freedom)
        for k in range(len(pairs))
    ]
    shown = holm(tests)
    differences = [
        {**chance, "than": names[b], "p_holm": float(p)}
        for chance, (_, b), p in zip(chances, pairs, shown, strict=True)
    ]
    lacking = (
        []
        if np.isfinite(got.value).all()
        else ["the comparisons do not connect all models, so that no strength can be had"]
    )
    return {"numbers": rows, "differences": differences, "notes": lacking}


KINDS: Mapping[str, Callable[[Study, Collection[int]], dict[str, Any]]] = {
    "real-or-fake": _detection,
    "which-is-real": _fooled,
    "which-is-better": _preference,
    "rating": _rating,
}


def _rows(
    model: str, names: tuple[str, ...], statistic: detection_rates.Statistic, answers: Answers
) -> list[Row]:
    if not len(answers.kinds):
        return []
    got = detection_rates.spread(statistic, answers)
    counts = np.bincount(answers.kinds, minlength=answers.count)
    of = {"error_fakes": int(counts[:2].sum()), "error_reals": int(counts[2:].sum())}
    return [
        _row(model, name, got, k, of.get(name, got.answers))
        for k, name in enumerate(names)
        if math.isfinite(got.value[k])
    ]


def _row(model: str, name: str, got: Spread, k: int, answers: int) -> Row:
    """One number as plain data. answers: those that it is a share or a mean of."""
    value, se = float(got.value[k]), float(got.se[k])
    if name in (*SHARES, "preferred"):
        low, high = detection_rates.share_interval(value, se, got.freedom, answers)
    else:
        low, high = detection_rates.plain_interval(value, se, got.freedom)
    flags = [ONE_RATER] if got.raters < 2 else [FEW] if got.raters < 5 else []
    return {
        "model": model,
        "number": name,
        "value": value,
        "se": se,
        "low": low,
        "high": high,
        "raters": got.raters,
        "answers": answers,
        "flags": flags,
    }


def _differences(
    by: Mapping[str, Answers], statistic: detection_rates.Statistic, number: int, name: str
) -> list[Row]:
    """Of each pair of models the difference of a number, with Holm's p over all pairs;
    raters and items that both share are resampled together.
    """
    rows: list[Row] = []
    for a, b in itertools.combinations(
        [name for name, answers in by.items() if len(answers.kinds)], 2
    ):
        both = _together(by[a], by[b])
        got = detection_rates.spread(detection_rates.gap(statistic, by[a].count, number), both)
        value, se = float(got.value[0]), float(got.se[0])
        low, high = detection_rates.plain_interval(value, se, got.freedom)
        p = detection_rates.two_sided(value, se, got.freedom)
        rows.append(
            {
                "model": a,
                "than": b,
                "number": name,
                "value": value,
                "se": se,
                "low": low,
                "high": high,
                "p": p,
            }
        )
    adjusted = holm([row["p"] for row in rows])
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def _together(a: Answers, b: Answers) -> Answers:
    """Two sets of answers as one, the kinds of the second behind those of the first;
    without items (a study made elsewhere) no rater is in both.
    """
    shift = 0 if a.items is not None else int(a.raters.max()) + 1
    items = None if a.items is None or b.items is None else np.concatenate([a.items, b.items])
    return Answers(
        np.concatenate([a.kinds, b.kinds + a.count]),
        np.concatenate([a.raters, b.raters + shift]),
        items,
        a.count + b.count,
    )


def plain(value: Any) -> Any:
    """The results as JSON has them: None for what there is not."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
