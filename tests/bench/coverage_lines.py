"""The lines of the coverage benchmark: what the draws of one metric in one cell say,
and whether what fails is flagged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from coverage_populations import ABOUT, Cell

from genbench.api import Metric, Sighting
from genbench.statistics.confidence_intervals import few_blocks, t_interval
from genbench.statistics.rank_ranges import rank_ranges

BOARD, BOARDS = 5, 200
DEAR = "too dear"  # for the time that there was
FEWEST, FEW = 30, 100  # draws: below the first nothing is said; below the second only what is plain


@dataclass(frozen=True)
class Drawn:
    """One draw of one metric: its interval, the error of the reference's side (NaN: not asked for),
    leave-outs as an Estimate.
    """

    se: float
    low: float
    high: float
    se_reference: float
    estimate: Any  # intervals.Estimate
    width: int  # what a Sighting holds as d

    @property
    def value(self) -> float:
        return float(self.estimate.value)


@dataclass
class Found:
    """What was found of one metric in one cell: draws against the cell's fixed reference,
    draws of both sides, or why there are none.
    """

    draws: list[Drawn] = field(default_factory=list)
    both: list[Drawn] = field(default_factory=list)
    why: str = ""


@dataclass(frozen=True)
class Line:
    """The figures of one metric in one cell. NaN: there is none."""

    draws: int
    covered: float
    ratio: float
    excluded: float
    apart: float
    verdict: str
    flags: dict[str, float]  # share of draws that raised it

    @property
    def fails(self) -> bool:
        return self.verdict in ("too narrow", "too wide")

    @property
    def unflagged(self) -> bool:
        return self.fails and max(self.flags.values(), default=0.0) < 0.5


def line_of(row: Metric, cell: Cell, found: Found, real: Sequence[Drawn]) -> Line:
    """real: draws of both sides with the reference's distribution,
    which stand for real against real.
    """
    draws = [
        one
        for one in found.draws
        if math.isfinite(one.value) and math.isfinite(one.low) and math.isfinite(one.high)
    ]
    if len(draws) < 2:
        return Line(
            len(draws),
            math.nan,
            math.nan,
            math.nan,
            math.nan,
            found.why or ("no interval" if len(found.draws) > 1 else DEAR),
            {},
        )
    values = np.array([one.value for one in draws])
    real_high = float(np.quantile([one.value for one in real], 0.95)) if len(real) >= 5 else None
    raised = Counter(flag for one in draws for flag in _flags(row, cell.n, one, real_high))
    if len(draws) < len(found.draws):
        raised["no interval"] = len(found.draws) - len(draws)
    covered = float(np.mean([one.low <= values.mean() <= one.high for one in draws]))
    ratio = (
        float(np.mean([one.se for one in draws]) / values.std(ddof=1))
        if np.ptp(values) > 1e-12
        else math.nan
    )
    excluded = _excluded(found.both)
    apart = _apart(row, draws) if cell.family == "digits" else math.nan
    shares = {flag: count / len(found.draws) for flag, count in raised.items()}
    return Line(
        len(draws),
        covered,
        ratio,
        excluded,
        apart,
        _verdict(len(draws), len(found.both), covered, ratio, excluded),
        shares,
    )


def _flags(row: Metric, n: int, one: Drawn, real_high: float | None) -> tuple[str, ...]:
    return (
        *few_blocks(row.interval, one.estimate.groups),
        *row.flags(Sighting(n, one.width, one.value, real_high)),
    )


def _excluded(both: Sequence[Drawn]) -> float:
    """How often value -+ t hypot(se, se_reference) excludes the mean under equality;
    both sides drawn each time.
    """
    sure = [
        one
        for one in both
        if math.isfinite(one.value) and math.isfinite(one.se) and math.isfinite(one.se_reference)
    ]
    if len(sure) < 2:
        return math.nan
    null = float(np.mean([one.value for one in sure]))
    ends = [
        t_interval(one.value, math.hypot(one.se, one.se_reference), one.estimate.groups)
        for one in sure
    ]
    return float(np.mean([not low <= null <= high for low, high in ends]))


def _apart(row: Metric, draws: Sequence[Drawn]) -> float:
    """The share of boards of five equal models whose rank ranges (Holm, paired) separate
    any two.
    """
    boards = [draws[at : at + BOARD] for at in range(0, len(draws) - BOARD + 1, BOARD)][:BOARDS]
    nothing = [(1, BOARD)] * BOARD
    return (
        float(
            np.mean(
                [
                    rank_ranges([one.estimate for one in board], row.better) != nothing
                    for board in boards
                ]
            )
        )
        if boards
        else math.nan
    )


def _verdict(draws: int, both: int, covered: float, ratio: float, excluded: float) -> str:
    """Against the limits; with a question mark where two standard errors of the benchmark reach
    back to them.
    """
    if draws < FEWEST:
        return "few draws"
    if math.isnan(ratio):
        return "never moves"
    slack = (
        2 * (0.05 * 0.95 / draws) ** 0.5,
        2 * ratio / (2 * (draws - 1)) ** 0.5,
        2 * (0.05 * 0.95 / max(both, 1)) ** 0.5,
    )
    narrow = (0.93 - covered, 0.9 - ratio, excluded - 0.07)
    wide = (covered - 0.97, ratio - 1.15, 0.03 - excluded)
    for name, by in (("too narrow", narrow), ("too wide", wide)):
        if any(over > error for over, error in zip(by, slack, strict=True)):
            return name
    if draws < FEW:
        return "few draws"
    return next(
        (
            f"{name}?"
            for name, by in (("too narrow", narrow), ("too wide", wide))
            if any(over > 0 for over in by)
        ),
        "right",
    )


# Tables


def _number(x: float, form: str) -> str:
    return "–" if math.isnan(x) else format(x, form)


def table(
    names: Sequence[str], columns: Sequence[tuple[Cell, dict[str, Line]]], methods: dict[str, str]
) -> str:
    """One population: a line for each metric, a column for each n."""
    heads = [f"n = {cell.n} ({cell.n / cell.d:.3g} d)" for cell, _ in columns]
    lines = [["metric", "method", *heads, "verdict", "flags (of draws)"]]
    lines.append(["---"] * len(lines[0]))
    for name in names:
        seen = [(cell, lines_of[name]) for cell, lines_of in columns]
        verdicts = [f"**{line.verdict}**" if line.unflagged else line.verdict for _, line in seen]
        flags = [
            f"{flag} ({', '.join(_shares(flag, seen))})"
            for flag in dict.fromkeys(flag for _, line in seen for flag in line.flags)
        ]
        same = verdicts[:1] if len(set(verdicts)) == 1 else verdicts
        lines.append(
            [
                name,
                methods[name],
                *(_cell(line) for _, line in seen),
                " / ".join(same),
                "; ".join(flags) or "–",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shares(flag: str, seen: Sequence[tuple[Cell, Line]]) -> Iterator[str]:
    for _, line in seen:
        yield f"{line.flags.get(flag, 0):.0%}" if line.draws else "–"


def _cell(line: Line) -> str:
    if line.draws < 2:
        return "–"
    figures = [
        _number(line.covered, ".3f"),
        _number(line.ratio, ".2f"),
        _number(line.excluded, ".3f"),
    ]
    figures += [_number(line.apart, ".3f")] if not math.isnan(line.apart) else []
    return f"{' · '.join(figures)} · {line.draws}"


def summary(names: Sequence[str], tables: dict[str, list[tuple[Cell, dict[str, Line]]]]) -> str:
    """A line for each metric over all cells: how many are right, and what fails without a flag."""
    kinds = ("right", "too wide", "too narrow", "in doubt")
    lines = [["metric", *kinds, "else", "fails without a flag"], ["---"] * (len(kinds) + 3)]
    for name in names:
        seen = [(cell, of[name]) for columns in tables.values() for cell, of in columns]
        counts = Counter(
            "in doubt"
            if line.verdict.endswith("?") or line.verdict == "few draws"
            else line.verdict
            for _, line in seen
        )
        rest = ", ".join(
            f"{verdict} {count}" for verdict, count in counts.items() if verdict not in kinds
        )
        bare = ", ".join(
            f"{cell.name} n = {cell.n} ({line.verdict})" for cell, line in seen if line.unflagged
        )
        lines.append([name, *(str(counts[kind]) for kind in kinds), rest or "–", bare or "–"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def about(cell: Cell) -> str:
    return (
        f"{cell.name}: {ABOUT[cell.family]}; "
        f"{ABOUT.get(cell.kind, f'samples of the shipped generator {cell.kind}, drawn again')}"
    )
