"""Quality against cost, and precision against recall: a point for each run, with its intervals,
and where real images stand.
"""

from __future__ import annotations

import math
from typing import Any

from genbench._util.lazy_imports import mpl_ticker
from genbench.api.report_section import Section
from genbench.leaderboards.ranking import direction, metrics_of
from genbench.leaderboards.tables import ARROW
from genbench.report.svg_plots import FAINT, INK, points

FAR = 30  # times the least: from there on distances stand on a logarithmic scale
TEMPLATE = """
<p class="quiet">Points are runs{% if runs|length > 1 %}, by their letters{% endif %}; \
bars are 95 % intervals; dashed lines are real
images.{% if runs|length == 1 %} One run is one point: name several, or the points of
<code>genbench sweep</code>, for a curve.{% endif %}</p>
<div class="figures plots">
{% for one in plots %}<figure><p class="title">{{ one.title }}</p>{{ one.svg }}<figcaption>\
{{ one.says }}</figcaption></figure>{% endfor %}
</div>
{% for line in lacks %}<p class="reason">Not shown: {{ line }}</p>{% endfor %}
"""


def render(report: Any) -> Any:
    """The plots that the runs have numbers for, under the first protocol of the first run."""
    name = next(iter(report.runs[0].entries))
    runs = [run for run in report.runs if name in run.entries]
    entries = [run.entries[name] for run in runs]
    kinds = {
        one["name"]: one.get("metric") for entry in entries for one in entry.protocol["measures"]
    }
    names = [
        metric for metric in metrics_of(entries) if any(entry.score(metric) for entry in entries)
    ]
    distance = next((metric for metric in names if direction(entries, metric) == "lower"), None)
    precision, recall = (
        next((metric for metric in names if kinds.get(metric) == kind), None)
        for kind in ("precision", "recall")
    )
    plots, lacks = [], []
    if distance and any(_seconds(run) for run in runs):
        plots.append(_cost(report, runs, name, distance))
    else:
        lacks.append("quality against cost: no run measured both a distance and seconds per image")
    if precision and recall:
        plots.append(_shares(report, runs, name, precision, recall))
    else:
        lacks.append("precision against recall: no run has both numbers")
    return report.html(TEMPLATE, plots=plots, lacks=lacks) if plots else "; ".join(lacks)


def _seconds(run: Any) -> float | None:
    rate = run.record.cost.get("images_per_second")
    return 1 / rate if isinstance(rate, int | float) and rate > 0 else None


def _bounded(score: Any) -> tuple[float, float, float]:
    return score.value, score.low, score.high


def _real(runs: Any, name: str, metric: str) -> float | None:
    return next(
        (
            score.real
            for run in runs
            if (score := run.entries[name].score(metric)) and score.real is not None
        ),
        None,
    )


def _drawn(axes: Any, there: Any, across: Any, up: Any) -> None:
    points(axes, across, up, [(run.place, run.letter if len(there) > 1 else "") for run in there])
    axes.grid(color=FAINT)
    axes.margins(0.18)


def _cost(report: Any, runs: Any, name: str, metric: str) -> dict[str, Any]:
    there = [run for run in runs if _seconds(run) and run.entries[name].score(metric)]
    across = [(seconds, seconds, seconds) for run in there if (seconds := _seconds(run))]
    up = [_bounded(run.entries[name].score(metric)) for run in there]
    real = _real(there, name, metric)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        middle = [x[0] for x in across]
        # before the points: one alone leaves a logarithmic axis without a length
        axes.set_xlim(min(middle) / 4, max(middle) * 4)
        _drawn(axes, there, across, up)
        axes.xaxis.set_major_locator(mpl_ticker.LogLocator(subs=(1.0,), numticks=6))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        best = math.inf
        line = []
        for x, y in sorted((x[0], y[0]) for x, y in zip(across, up, strict=True)):
            if y < best:
                line += [(x, y)]
                best = y
        if len(line) > 1:
            axes.plot(*zip(*line, strict=True), color=INK, linewidth=0.9, alpha=0.55, zorder=1)
        if real is not None:
            axes.axhline(real, color=INK, linewidth=0.9, linestyle="--")
        ends = [value for one in up for value in one] + ([] if real is None else [real])
        if min(ends) > 0 and max(ends) > FAR * min(ends):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        else:
            axes.set_ylim(bottom=min(0.0, *ends))
        axes.set_xlabel("seconds per image")
        axes.set_ylabel(f"{metric} {ARROW['lower']}")

    machines = sorted(
        {
            (
                f"{run.record.environment.get('device') or 'unknown'}, "
                f"{run.record.cost.get('dtype') or 'dtype unknown'}"
            )
            for run in there
        }
    )
    told = "; ".join(
        f"{run.name}: {x[0]:.3g} s, {y[0]:.3g}" for run, x, y in zip(there, across, up, strict=True)
    )
    says = (
        "Sampling alone, batch of "
        f"{', '.join(sorted({str(run.record.cost.get('batch_size')) for run in there}))}, "
        f"on {' and '.join(machines)}."
    )
    says += (
        " Measured on different machines: the horizontal order says little."
        if len(machines) > 1
        else ""
    )
    says += " The thin line joins runs that no other run beats in both." if len(there) > 1 else ""
    return {
        "title": f"Quality against cost ({metric})",
        "svg": report.plot(draw, f"{metric} against seconds per image. {told}"),
        "says": says,
    }


def _shares(report: Any, runs: Any, name: str, precision: str, recall: str) -> dict[str, Any]:
    there = [
        run
        for run in runs
        if run.entries[name].score(precision) and run.entries[name].score(recall)
    ]
    across, up = (
        [_bounded(run.entries[name].score(metric)) for run in there]
        for metric in (recall, precision)
    )
    real = _real(there, name, recall), _real(there, name, precision)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _drawn(axes, there, across, up)
        for value, line in zip(real, (axes.axvline, axes.axhline), strict=True):
            if value is not None:
                line(value, color=INK, linewidth=0.9, linestyle="--")
        axes.set_xlabel(f"{recall} {ARROW['higher']}")
        axes.set_ylabel(f"{precision} {ARROW['higher']}")

    told = "; ".join(
        f"{run.name}: recall {x[0]:.3g}, precision {y[0]:.3g}"
        for run, x, y in zip(there, across, up, strict=True)
    )
    measure = next(
        one
        for run in there
        for one in run.entries[name].protocol["measures"]
        if one["name"] == precision
    )
    constants = ", ".join(
        f"{key} = {value}" for key, value in (measure.get("constants") or {}).items()
    )
    sizes = ", ".join(sorted({str(run.n) for run in there}))
    says = (
        f"n = {sizes}; features "
        f"{measure.get('features', '')}{'; ' + constants if constants else ''}. "
        "Upper right is better."
    )
    return {
        "title": "Precision against recall",
        "svg": report.plot(draw, f"{precision} against {recall}. {told}"),
        "says": says,
    }


ROW = Section("curves", "Trade-offs", 60, render)
