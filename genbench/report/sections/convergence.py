"""How a distance falls with n: the value at parts of the run against 1/n,
and where the line meets 1/n = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import plus_minus
from genbench._util.lazy_imports import np
from genbench.api.report_section import Section
from genbench.report.run_data import reasons
from genbench.report.svg_plots import FAINT, INK, marker
from genbench.runs.planning.shard_outputs import one_repeat, width_of
from genbench.statistics import confidence_intervals, jackknife

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

METRICS = ("fd", "kd")
GROUPS = (5, 4, 2, 1)  # how many disjoint parts the blocks of a run are put into
# multiplications: the intercept gets an interval, which takes 20 times the work, where
# it stays below
MOST = 10**12
TEMPLATE = """
<p class="quiet">Small points: disjoint parts of the run, made of its own blocks; large: \
their mean. The line is fitted to the means, in 1/n. A Fréchet
distance falls with n, by an amount that
depends on the generator: distances at different n are not to be compared. \
A kernel distance has no such bias; where every class comes equally often it
still rises with n by an offset that is about the same for
every generator and for real images. The reference stays whole throughout, \
and so does its part of the bias.</p>
<div class="figures plots">
{% for one in plots %}<figure><p class="title">{{ one.title }}</p>{{ one.svg }}<figcaption>\
{{ one.says }}</figcaption></figure>{% endfor %}
</div>
{% for line in lacks %}<p class="reason">Not shown: {{ line }}</p>{% endfor %}
"""


@dataclass(frozen=True)
class Line:
    """Values at parts of a run: sizes and values of each part,
    and the line a + b / n with the intercept's interval (NaN where it was not taken).
    """

    sizes: tuple[float, ...]  # of each group of parts
    parts: tuple[tuple[float, ...], ...]  # values of its disjoint parts
    intercept: float
    slope: float
    low: float
    high: float

    @property
    def means(self) -> tuple[float, ...]:
        return tuple(float(np.mean(one)) for one in self.parts)


def render(report: Any) -> Any:
    """A plot for each of the two kinds of distance, with a line for each run."""
    plots, lacks = [], []
    for kind in METRICS:
        lines, name = {}, ""
        for run in report.runs:
            try:
                name, lines[run] = _of(run, kind)
            except UserError as error:
                lacks.append((run, f"{kind}: {run.why(error)}"))
        if lines:
            plots.append(_plot(report, lines, name))
    return (
        report.html(TEMPLATE, plots=plots, lacks=reasons(lacks))
        if plots
        else "; ".join(reasons(lacks))
    )


def _of(run: Any, kind: str) -> tuple[str, Line]:
    """The first measure of a metric that is taken of all samples at once."""
    for name, under in run.plan.protocols.items():
        for measure in under["measures"]:
            if (
                measure["metric"] == kind
                and not measure["skip"]
                and int(under.get("repeats", 1)) == 1
            ):
                return measure["name"], _measured(run, name, measure)
    raise UserError("the run has no such number over single repeats")


def _measured(run: Any, name: str, measure: Any) -> Line:
    width, constants = width_of(measure), dict(measure["constants"])
    n = one_repeat(measure, int(run.plan.protocols[name]["repeats"]), run.plan.n)
    # multiplications of one value
    once = n * width**2 if measure["metric"] == "fd" else n**2 * width
    if sum(GROUPS) * once > MOST:
        raise UserError(
            f"its {n} samples of {width} features would take long to part; genbench run --metrics "
            "fd_infinity,kid measures what a line would show"
        )
    metric, given = run.given(name, measure)

    def value(rows: Array) -> float:
        return float(metric.value(given.arrays.keep("samples", rows), **constants))

    return fitted(
        given.blocks["samples"],
        value,
        2 * width if measure["metric"] == "fd" else 2,
        20 * sum(GROUPS) * once <= MOST,
    )


def fitted(blocks: Array, value: Callable[[Array], float], least: int, bounded: bool) -> Line:
    """The line of a value over parts of blocks int64 [n]; of parts smaller than `least`
    none is taken.

    UserError where two sizes do not remain.
    """
    count = int(blocks.max()) + 1
    groups = [
        [[b for b in range(count) if b % k == part] for part in range(k)]
        for k in GROUPS
        if k <= count // 2 or k == 1
    ]
    groups = [
        one for one in groups if min(int(np.isin(blocks, part).sum()) for part in one) >= least
    ]
    if len(groups) < 2:
        raise UserError(f"{len(blocks)} samples cannot be parted: a part needs at least {least}")
    whole = _taken(blocks, value, groups, None)
    sizes = tuple(float(np.mean([np.isin(blocks, part).sum() for part in one])) for one in groups)
    slope, intercept = _line(sizes, whole)
    low = high = math.nan
    if bounded:
        without = [
            _line(_less(sizes, groups, blocks, b), _taken(blocks, value, groups, b))[1]
            for b in range(count)
        ]
        se = jackknife.jackknife(np.array(without), np.bincount(blocks, minlength=count), intercept)
        low, high = confidence_intervals.t_interval(intercept, se, count)
    return Line(sizes, tuple(map(tuple, whole)), intercept, slope, low, high)


def _taken(
    blocks: Array,
    value: Callable[[Array], float],
    groups: list[list[list[int]]],
    left_out: int | None,
) -> list[list[float]]:
    return [
        [value(np.isin(blocks, [b for b in part if b != left_out])) for part in one]
        for one in groups
    ]


def _less(
    sizes: tuple[float, ...], groups: list[list[list[int]]], blocks: Array, b: int
) -> tuple[float, ...]:
    """The mean sizes of the parts without a block."""
    return tuple(
        size - float((blocks == b).sum()) / len(one)
        for size, one in zip(sizes, groups, strict=True)
    )


def _line(sizes: tuple[float, ...], values: list[list[float]]) -> tuple[float, float]:
    """(slope, intercept) of the means against 1/n; each size weighs as many samples as the others,
    since all of them hold the whole run.
    """
    slope, intercept = np.polyfit(
        [1 / n for n in sizes], [float(np.mean(one)) for one in values], 1
    )
    return float(slope), float(intercept)


def _plot(report: Any, lines: dict[Any, Line], name: str) -> dict[str, Any]:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.grid(color=FAINT)
        for run, line in lines.items():
            across = [1 / n for n in line.sizes]
            for x, parts in zip(across, line.parts, strict=True):
                axes.plot(
                    [x] * len(parts),
                    parts,
                    linestyle="none",
                    marker=".",
                    markersize=3.5,
                    color=run.colour,
                    alpha=0.55,
                )
            axes.plot(
                across,
                line.means,
                linestyle="none",
                marker=marker(run.place),
                markersize=6,
                color=run.colour,
                label=run.letter if len(lines) > 1 else None,
            )
            axes.plot(
                [0, max(across)],
                [line.intercept, line.intercept + line.slope * max(across)],
                color=run.colour,
                linewidth=1.2,
            )
            if not math.isnan(line.low):
                axes.errorbar(
                    [0],
                    [line.intercept],
                    yerr=[[line.intercept - line.low], [line.high - line.intercept]],
                    color=run.colour,
                    capsize=3,
                    elinewidth=1.2,
                )
        ticks = sorted({1 / n for line in lines.values() for n in line.sizes})[:6]
        axes.set_xticks([0, *ticks], ["∞", *(f"{1 / tick:.0f}" for tick in ticks)])
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set_xlabel("n, on a scale of 1/n")
        axes.set_ylabel(name)
        if len(lines) > 1:
            axes.legend()

    return {
        "title": f"{name} against 1/n",
        "svg": report.plot(draw, f"{name} at parts of each run against 1/n. {_says(lines)}"),
        "says": _says(lines),
    }


def _says(lines: dict[Any, Line]) -> str:
    """The intercepts; one without an interval is no number, and is not said."""
    told = []
    for run, line in lines.items():
        whole = f"{run.name}: " if len(lines) > 1 else ""
        end = (
            "no interval of the intercept was taken, and so none is said"
            if math.isnan(line.low)
            else f"{plus_minus(line.intercept, line.low, line.high)} at n → ∞"
        )
        told.append(f"{whole}{line.means[-1]:.3g} at n = {line.sizes[-1]:.0f}, {end}")
    return "; ".join(told) + "."


ROW = Section("convergence", "Convergence in n", 62, render)
