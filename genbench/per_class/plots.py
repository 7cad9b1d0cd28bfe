"""Pictures of classes: bars with intervals and the real line by training counts, the counts behind,
groups shaded; a page of samples.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import mpl_agg, mpl_figure, np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import ndarray

    Array = ndarray[Any, Any]

# number -> its axis, and the flag that is its own
PANELS = {
    "accuracy": ("label accuracy", "label"),
    "kd": ("kernel distance", "distance"),
    "spread_ratio": ("spread, generated / real", "spread"),
    "nearest_ratio": ("nearest train, generated / real", "memorised"),
}
SHADES = {"many": "#eaf3ea", "medium": "#fdf6e3", "few": "#fbeaea"}
BAR, FLAGGED, REAL, COUNTS = "#4477aa", "#cc3311", "#222222", "#e4e4e4"
# of a page: pixels between images and least of a row, and most letters of a name
GAP, LEAST, DPI, LETTERS = 2, 32, 100, 24
WIDEST = 60  # classes that get a name below their bar


def picture(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """A PNG of the rows, the class with most training images first;
    only panels of which a class has a number.
    """
    ordered = sorted(rows, key=lambda row: (-(row["train_count"] or 0), row["class"]))
    panels = [name for name in PANELS if any(row[name] is not None for row in ordered)] or ["kd"]
    across = min(4 + 0.32 * len(ordered), 22)
    ticks = [shortened(row["name"]) for row in ordered] if len(ordered) <= WIDEST else []
    upright = len(ticks) <= 12 and sum(map(len, ticks)) < 8 * across
    heading = textwrap.wrap(title, int(12 * across))
    tall = (
        1.9 * len(panels)
        + 0.6
        + 0.15 * len(heading)
        + (0 if upright else 0.08 * max(map(len, ticks), default=0))
    )
    figure = mpl_figure.Figure(figsize=(across, tall), dpi=110, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for one, name in zip(axes, panels, strict=True):
        _panel(one, ordered, name)
    axes[0].set_title("\n".join(heading), fontsize=9, loc="left", pad=16, parse_math=False)
    _names_of_groups(axes[0], ordered)
    axes[-1].set_xticks(
        range(len(ticks)), ticks, rotation=0 if upright else 90, fontsize=8, parse_math=False
    )
    says = (
        "classes by training images (grey: how many); red bars: flagged; black: "
        "real images against real ones, 95 %"
    )
    axes[-1].set_xlabel(textwrap.fill(says, int(16 * across)), fontsize=8)
    return _png(figure)


def page(named: Sequence[tuple[str, Array]], columns: int) -> bytes:
    """A PNG of rows of images uint8 [n <= columns, 3, h, w], each row's name at its left;
    small images are enlarged by whole pixels, none is smoothed.
    """
    h, w = named[0][1].shape[2:]
    times = -(-LEAST // h)
    high, wide = h * times + GAP, w * times + GAP
    names = [shortened(name) for name, _ in named]
    margin = 12 + 8 * max(map(len, names))
    sheet = np.full((len(named) * high, margin + columns * wide, 3), 255, dtype=np.uint8)
    for row, (_, images) in enumerate(named):
        for column, image in enumerate(images):
            top, left = row * high, margin + column * wide
            sheet[top : top + h * times, left : left + w * times] = (
                image.transpose(1, 2, 0).repeat(times, 0).repeat(times, 1)
            )
    tall, across = sheet.shape[:2]
    figure = mpl_figure.Figure(figsize=(across / DPI, tall / DPI), dpi=DPI)
    figure.figimage(sheet, resize=False)
    for row, name in enumerate(names):
        figure.text(
            (margin - 6) / across,
            1 - (row * high + h * times / 2) / tall,
            name,
            fontsize=9,
            ha="right",
            va="center",
            parse_math=False,
        )
    return _png(figure)


def _png(figure: Any) -> bytes:
    """A figure as PNG; letters that the font has not are boxes, of which nobody is warned:
    the table has the names.
    """
    canvas: Any = mpl_agg.FigureCanvasAgg(figure)
    with io.BytesIO() as buffer, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        canvas.print_png(buffer)
        return buffer.getvalue()


def shortened(name: str) -> str:
    """A name of at most LETTERS letters."""
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def _names_of_groups(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Above the first panel, over the shade of each group, its name."""
    for name in dict.fromkeys(row["group"] for row in rows if row["group"]):
        places = [place for place, row in enumerate(rows) if row["group"] == name]
        axes.text(
            (places[0] + places[-1]) / 2,
            1.01,
            name,
            fontsize=7,
            ha="center",
            va="bottom",
            transform=axes.get_xaxis_transform(),
        )


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    places = np.arange(len(rows))
    _behind(axes, rows)
    values = np.array([math.nan if row[name] is None else row[name] for row in rows])
    low, high = (
        np.array(
            [math.nan if row[f"{name}_{end}"] is None else row[f"{name}_{end}"] for row in rows]
        )
        for end in ("low", "high")
    )
    base = 1.0 if name.endswith("_ratio") else 0.0
    colours = [FLAGGED if PANELS[name][1] in row["flags"] else BAR for row in rows]
    axes.bar(places, values - base, bottom=base, color=colours, width=0.7, zorder=2)
    around = np.clip(np.nan_to_num(np.array([values - low, high - values])), 0, None)
    axes.errorbar(
        places, values, yerr=around, fmt="none", ecolor="#555555", elinewidth=1, capsize=2, zorder=3
    )
    _real(axes, rows, name)
    axes.axhline(base, color="#888888", linewidth=0.6, zorder=1)
    axes.set_ylabel(PANELS[name][0], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.01)


def _real(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """What real images score: the median as a line, 95 % as a band."""
    for place, row in enumerate(rows):
        if row[f"{name}_real"] is not None:
            axes.hlines(
                row[f"{name}_real"], place - 0.42, place + 0.42, color=REAL, linewidth=1.2, zorder=4
            )
        if row[f"{name}_real_low"] is not None:
            axes.fill_between(
                [place - 0.42, place + 0.42],
                row[f"{name}_real_low"],
                row[f"{name}_real_high"],
                color=REAL,
                alpha=0.18,
                linewidth=0,
                zorder=4,
            )


def _behind(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """On an axis of their own behind the bars: groups as shades, training counts as grey steps,
    and the names of classes that are missing.
    """
    behind = axes.twinx()
    counts = [row["train_count"] or 0 for row in rows]
    for place, row in enumerate(rows):
        behind.axvspan(
            place - 0.5,
            place + 0.5,
            color=SHADES.get(row["group"], "#ffffff"),
            linewidth=0,
            zorder=0,
        )
        if "missing" in row["flags"]:
            behind.text(
                place,
                0.5,
                "missing",
                rotation=90,
                color=FLAGGED,
                fontsize=7,
                ha="center",
                va="center",
                transform=behind.get_xaxis_transform(),
            )
    behind.bar(range(len(rows)), counts, color=COUNTS, width=0.98, zorder=1)
    behind.set_ylim(0, max(*counts, 1) * 1.5)
    behind.set_ylabel("training images", fontsize=6, color="#999999")
    behind.tick_params(labelsize=6, colors="#999999")
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
