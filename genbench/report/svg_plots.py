"""Plots as SVG inside a page: its own text colour and font,
colours that colour-blind people tell apart, the same bytes for the same numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from genbench._util.formatting import clean
from genbench._util.lazy_imports import mpl, mpl_figure, mpl_svg, np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bounded = tuple[float, float, float]  # value, low, high
# Okabe & Ito's, without yellow and black, which one of two themes swallows
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT = "#010203", "#040506"  # stand for the page's own colours until the SVG is there
# the page lightens for dark
PAGE = {INK: "currentColor", FAINT: "var(--faint)"} | {
    colour: f"var(--run-{at})" for at, colour in enumerate(COLOURS, 1)
}
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def svg(
    draw: Callable[[Any], None], name: str, alt: str, size: tuple[float, float] = (4.4, 3.2)
) -> str:
    """What draw(figure) draws, as an <svg> for a page.

    name: letters that no other plot of the page has; alt: what it shows, in words.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = mpl_figure.Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        with io.BytesIO() as buffer:
            canvas: Any = mpl_svg.FigureCanvasSVG(figure)
            canvas.print_svg(
                buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
            return _dressed(buffer.getvalue().decode(), name, clean(alt), size)


def _dressed(text: str, name: str, alt: str, size: tuple[float, float]) -> str:
    """A file of matplotlib's as an element: no prologue, no styles beyond itself, ids of its own,
    the page's font and ink, an accessible name.
    """
    text = text[text.index("<svg") : text.rindex("</svg>") + 6]
    text = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL
    )
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font:\s*([\d.]+px)[^;\"]*", r"font-size: \1", text)
    for ink, own in PAGE.items():
        text = text.replace(ink, own)
    wide, tall = (72 * one for one in size)
    opening = (
        f'<svg class="plot" viewBox="0 0 {wide:g} {tall:g}" style="max-width: '
        f'{wide * 1.35:.0f}px" role="img" aria-label={quoteattr(alt)}>'
    )
    return re.sub(r"\n\s*", "\n", re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1))


def points(
    axes: Axes, across: Sequence[Bounded], up: Sequence[Bounded], named: Sequence[tuple[int, str]]
) -> None:
    """A point with its interval bars for each run, in the colour and shape of its place,
    its letter beside it.
    """
    for x, y, (place, letter) in zip(across, up, named, strict=True):
        style: dict[str, Any] = {"color": colour(place), "marker": marker(place)}
        bars = [np.clip([[one[0] - one[1]], [one[2] - one[0]]], 0, None) for one in (x, y)]
        axes.errorbar(
            [x[0]],
            [y[0]],
            xerr=bars[0],
            yerr=bars[1],
            markersize=6,
            elinewidth=1.2,
            capsize=2.5,
            linestyle="none",
            **style,
        )
        axes.annotate(
            letter,
            (x[0], y[0]),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=10,
            fontweight="bold",
            color=INK,
        )


def colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def paint(place: int) -> str:
    """The colour of a place as the page's style has it."""
    return f"var(--run-{place % len(COLOURS) + 1})"


def marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]
