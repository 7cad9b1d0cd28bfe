"""The picture of the table of classes: bars with intervals and the real line, in the order of training counts, the counts behind, groups shaded."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench.lazy import mpl_agg, mpl_figure, np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# number -> its axis, and the flag that is its own
PANELS = {
    "accuracy": ("label accuracy", "label"),
    "kd": ("kernel distance", "distance"),
    "spread_ratio": ("spread, generated / real", "spread"),
    "nearest_ratio": ("nearest train, generated / real", "memorised"),
}
SHADES = {"many": "#eaf3ea", "medium": "#fdf6e3", "few": "#fbeaea"}
BAR, FLAGGED, REAL, COUNTS = "#4477aa", "#cc3311", "#222222", "#e4e4e4"
WIDEST = 60  # classes that get a name below their bar


def picture(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """A PNG of the rows, the class with most training images first; only panels of which a class has a number."""
    ordered = sorted(rows, key=lambda row: (-(row["train_count"] or 0), row["class"]))
    panels = [name for name in PANELS if any(row[name] is not None for row in ordered)] or ["kd"]
    figure = mpl_figure.Figure(figsize=(min(4 + 0.32 * len(ordered), 22), 1.9 * len(panels) + 0.6), dpi=110, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for one, name in zip(axes, panels, strict=True):
        _panel(one, ordered, name)
    axes[0].set_title(title, fontsize=9, loc="left")
    ticks = ordered if len(ordered) <= WIDEST else []
    axes[-1].set_xticks(range(len(ticks)), [row["name"] for row in ticks], rotation=0 if len(ticks) <= 12 else 90, fontsize=8)
    axes[-1].set_xlabel("classes by training images (grey: how many); red: flagged; black: real images against real ones, 95 %", fontsize=8)
    with io.BytesIO() as buffer:
        canvas: Any = mpl_agg.FigureCanvasAgg(figure)
        canvas.print_png(buffer)
        return buffer.getvalue()


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    places = np.arange(len(rows))
    _behind(axes, rows)
    values = np.array([math.nan if row[name] is None else row[name] for row in rows])
    low, high = (np.array([math.nan if row[f"{name}_{end}"] is None else row[f"{name}_{end}"] for row in rows]) for end in ("low", "high"))
    base = 1.0 if name.endswith("_ratio") else 0.0
    colours = [FLAGGED if PANELS[name][1] in row["flags"] else BAR for row in rows]
    axes.bar(places, values - base, bottom=base, color=colours, width=0.7, zorder=2)
    around = np.clip(np.nan_to_num(np.array([values - low, high - values])), 0, None)
    axes.errorbar(places, values, yerr=around, fmt="none", ecolor="#555555", elinewidth=1, capsize=2, zorder=3)
    _real(axes, rows, name)
    axes.axhline(base, color="#888888", linewidth=0.6, zorder=1)
    axes.set_ylabel(PANELS[name][0], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.01)


def _real(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """What real images score: the median as a line, 95 % as a band; of accuracy and nearness, which have one number, that."""
    single: dict[str, list[Any]] = {"accuracy": [row.get("accuracy_real") for row in rows], "nearest_ratio": [1.0 for _ in rows]}
    for place, row in enumerate(rows):
        middle = single[name][place] if name in single else row[f"{name}_real"]
        if middle is not None:
            axes.hlines(middle, place - 0.42, place + 0.42, color=REAL, linewidth=1.2, zorder=4)
        if name not in single and row[f"{name}_real_low"] is not None:
            axes.fill_between([place - 0.42, place + 0.42], row[f"{name}_real_low"], row[f"{name}_real_high"], color=REAL, alpha=0.18, linewidth=0, zorder=4)


def _behind(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """On an axis of their own behind the bars: groups as shades, training counts as grey steps, and the names of classes that are missing."""
    behind = axes.twinx()
    counts = [row["train_count"] or 0 for row in rows]
    for place, row in enumerate(rows):
        behind.axvspan(place - 0.5, place + 0.5, color=SHADES.get(row["group"], "#ffffff"), linewidth=0, zorder=0)
        if "missing" in row["flags"]:
            behind.text(place, 0.5, "missing", rotation=90, color=FLAGGED, fontsize=7, ha="center", va="center", transform=behind.get_xaxis_transform())
    behind.bar(range(len(rows)), counts, color=COUNTS, width=0.98, zorder=1)
    behind.set_ylim(0, max(*counts, 1) * 1.5)
    behind.set_ylabel("training images", fontsize=6, color="#999999")
    behind.tick_params(labelsize=6, colors="#999999")
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
