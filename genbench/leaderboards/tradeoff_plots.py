"""What a grid of options trades: the combinations of values,
and the picture of one number against another with interval bars.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import mpl_agg, mpl_figure
from genbench.leaderboards.entries import Entry, number
from genbench.leaderboards.ranking import direction, metrics_of
from genbench.runs.records.record import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COST = "seconds per image"
LINES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
MARKERS = "osD^v"
WIDE = 20  # times from the least to the most of an axis that is drawn by decades
Bounded = tuple[float, float, float]  # value, low, high


def pairs_of(found: Sequence[Entry]) -> list[tuple[str, str]]:
    """Which numbers a board shows against each other, (across, up):
    distance against recall, precision against recall, quality against cost.
    """
    names = [name for name in metrics_of(found) if any(entry.score(name) for entry in found)]
    kinds = {
        measure["name"]: measure["metric"]
        for entry in found
        for measure in entry.protocol["measures"]
    }
    distance = next(
        (name for name in names if direction(found, name) == "lower"), next(iter(names), "")
    )
    precision, recall = (
        next((name for name in names if kinds.get(name) == kind), "")
        for kind in ("precision", "recall")
    )
    wanted = [(recall, distance), (recall, precision), (COST, distance)]
    return [pair for pair in wanted if all(pair)]


def picture(found: Sequence[Entry], swept: Sequence[str], title: str) -> bytes:
    """A PNG of a board's entries: a line for each combination of the other options,
    its points in the order of the values of the first one swept.
    """
    pairs = pairs_of(found)
    figure = mpl_figure.Figure(figsize=(4.4 * len(pairs), 4.2), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    lines = _lines(found, swept)
    for axes, pair in zip(panels, pairs, strict=True):
        for colour, (name, entries) in zip(itertools.cycle(LINES), lines.items(), strict=False):
            _line(axes, entries, pair, swept[0], colour, name)
        _dressed(axes, found, pair)
    if len(lines) > 1:
        panels[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    with io.BytesIO() as buffer:
        canvas: Any = mpl_agg.FigureCanvasAgg(figure)
        canvas.print_png(buffer)
        return buffer.getvalue()


def plane(found: Sequence[Entry], names: Sequence[str], title: str) -> bytes:
    """A PNG of entries against each other, a named point with interval bars to each."""
    pairs = pairs_of(found)
    figure = mpl_figure.Figure(
        figsize=(4.4 * len(pairs), 4.2 + 0.16 * len(names)), dpi=110, layout="constrained"
    )
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, pair in zip(panels, pairs, strict=True):
        there: list[Bounded] = []
        for place, (entry, name) in enumerate(zip(found, names, strict=True)):
            across, up = _point(entry, pair[0]), _point(entry, pair[1])
            if across and up:
                bars = [[[side[0] - side[1]], [side[2] - side[0]]] for side in (across, up)]
                look = {
                    "color": LINES[place % len(LINES)],
                    "marker": MARKERS[place // len(LINES) % len(MARKERS)],
                    "label": name,
                }
                there.append(up)
                axes.errorbar(
                    [across[0]],
                    [up[0]],
                    xerr=bars[0],
                    yerr=bars[1],
                    markersize=5,
                    linestyle="none",
                    elinewidth=0.8,
                    capsize=2,
                    **look,
                )
        _dressed(axes, found, pair)
        if (
            there
            and min(low for _, low, _ in there) > 0
            and max(high for *_, high in there) > WIDE * min(low for _, low, _ in there)
        ):
            axes.set_yscale("log")
    handles, labels = panels[-1].get_legend_handles_labels()
    for text in figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=7
    ).get_texts():
        text.set_parse_math(False)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left", parse_math=False)
    with io.BytesIO() as buffer:
        canvas: Any = mpl_agg.FigureCanvasAgg(figure)
        canvas.print_png(buffer)
        return buffer.getvalue()


def _options(entry: Entry) -> Mapping[str, Any]:
    return dict(entry.record.plan["identity"]["options"])


def _lines(found: Sequence[Entry], swept: Sequence[str]) -> dict[str, list[Entry]]:
    """Entries by the values of every option but the first;
    numbers in their order, other values as they came.
    """
    lines: dict[str, list[Entry]] = {}
    for entry in found:
        lines.setdefault(
            ", ".join(f"{name}={_options(entry)[name]}" for name in swept[1:]), []
        ).append(entry)
    for entries in lines.values():
        if all(isinstance(_options(entry)[swept[0]], int | float) for entry in entries):
            entries.sort(key=lambda entry: float(_options(entry)[swept[0]]))
    return lines


def _point(entry: Entry, name: str) -> Bounded | None:
    """A number with its interval; cost is measured once, without one."""
    if name == COST:
        rate = entry.record.cost.get("images_per_second")
        return (1 / rate, 1 / rate, 1 / rate) if rate else None
    score: Score | None = entry.score(name)
    return (number(score.value), number(score.low), number(score.high)) if score else None


def _line(
    axes: Axes, entries: Sequence[Entry], pair: tuple[str, str], first: str, colour: str, name: str
) -> None:
    there = [
        (entry, x, y)
        for entry in entries
        if (x := _point(entry, pair[0])) and (y := _point(entry, pair[1]))
    ]
    across, up = [x for _, x, _ in there], [y for _, _, y in there]
    bars = [
        [[value - low for value, low, _ in side], [high - value for value, _, high in side]]
        for side in (across, up)
    ]
    axes.errorbar(
        [x[0] for x in across], [y[0] for y in up], xerr=bars[0], yerr=bars[1], marker="o",
        markersize=4, linewidth=1, elinewidth=0.8, capsize=2, color=colour, label=name or None,
    )  # fmt: skip
    for entry, x, y in there:
        axes.annotate(
            f"{first}={_options(entry)[first]}",
            (x[0], y[0]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=6.5,
            color=colour,
        )


def _dressed(axes: Axes, found: Sequence[Entry], pair: tuple[str, str]) -> None:
    """Names with the better direction, and what real images score as dashed lines."""
    for name, label, line in (
        (pair[0], axes.set_xlabel, axes.axvline),
        (pair[1], axes.set_ylabel, axes.axhline),
    ):
        if name == COST:
            label(f"{COST}, on this machine", fontsize=8)
            axes.set_xscale("log")
            ticks: Any = axes.get_xaxis()
            least, most = axes.get_xlim()
            ticks.get_major_locator().set_params(
                subs=(1,) if most > 10 * WIDE * least else (1, 2, 5)
            )
            ticks.set_major_formatter("{x:g}")
            axes.minorticks_off()
            continue
        label(f"{name} ({direction(found, name)} is better; dashed: real images)", fontsize=8)
        real = next(
            (
                score.real
                for entry in found
                if (score := entry.score(name)) and score.real is not None
            ),
            None,
        )
        if real is not None:
            line(real, color="#888888", linewidth=0.8, linestyle="--", zorder=0)
    axes.tick_params(labelsize=7)
    axes.margins(0.12)
