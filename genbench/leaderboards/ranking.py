"""Order the entries of a board and compute the rank range of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench.leaderboards.entries import Entry, number
from genbench.runs.records.comparability import interval_of
from genbench.runs.records.record import RATERS, Score
from genbench.statistics import confidence_intervals, rank_ranges


def metrics_of(found: Sequence[Entry]) -> list[str]:
    """The board's metrics that any entry has, in the order of the protocol's measures,
    those of single entries after.
    """
    ordered = [
        measure["name"]
        for entry in found
        for measure in entry.protocol["measures"]
        if not measure.get("skip")
    ]
    asked = [
        score.metric
        for entry in found
        for score in entry.record.scores
        if score.method == RATERS and score.part == "all"
    ]
    return list(dict.fromkeys(ordered + asked))


def direction(found: Sequence[Entry], metric: str) -> str:
    return next(
        one.better for entry in found for one in entry.record.scores if one.metric == metric
    )


def ranks(found: Sequence[Entry], metric: str) -> dict[str, tuple[int, int]]:
    """{entry id: (best, worst) rank} by a metric: simultaneous 95 % ranges over the ranked entries
    that have it.
    """
    running = [
        (entry, score)
        for entry in found
        if entry.ranked and (score := entry.score(metric)) is not None and score.method != RATERS
    ]
    if not running:
        return {}
    estimates = [_estimate(entry, score) for entry, score in running]
    ranges = rank_ranges.rank_ranges(
        estimates, "lower" if direction(found, metric) == "lower" else "higher"
    )
    return {entry.id: pair for (entry, _), pair in zip(running, ranges, strict=True)}


def _estimate(entry: Entry, score: Score) -> confidence_intervals.Estimate:
    sizes = score.sizes or entry.record.plan["block_sizes"]
    return confidence_intervals.estimate(
        number(score.value), score.left_out, sizes, interval_of(entry.record, score)
    )


def ordered(found: Sequence[Entry], metric: str) -> list[Entry]:
    """Best first by a metric's value, those without it last;
    lines of reference stand where their value puts them.
    """
    sign = 1 if direction(found, metric) == "lower" else -1

    def place(entry: Entry) -> tuple[float, str]:
        score = entry.score(metric)
        return (math.inf if score is None else sign * number(score.value), entry.label)

    return sorted(found, key=place)


def sorting(found: Sequence[Entry], metric: str | None) -> str:
    names = metrics_of(found)
    if metric is not None and metric not in names:
        raise UserError(f"--sort {metric}: {choices(metric, names)}")
    return metric or names[0]
