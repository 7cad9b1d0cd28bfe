"""Format numbers with their intervals, tables and lists as text, and remove control characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def number(value: float, spread: float) -> str:
    """A value in as many digits as its spread (half an interval, or 0 for none) bears:
    two significant digits of the spread.

    >>> number(0.28345, 0.0312), number(32.118, 1.9), number(1234.5, 120.0)
    ('0.283', '32.1', '1234')
    >>> number(0.5, 0.0), number(-0.00001234, 0.00002)
    ('0.5', '-0.000012')
    """
    import math

    if not math.isfinite(value):
        return str(value)
    if spread <= 0 or not math.isfinite(spread):
        return f"{value:.4g}"
    decimals = min(max(0, 1 - math.floor(math.log10(float(f"{spread:.1e}")))), 12)  # 0.0996 is 0.10
    return f"{value:z.{decimals}f}"  # z: no -0.00


def plus_minus(value: float, low: float, high: float) -> str:
    """A value with its half interval, "0.283 ± 0.031"; with both sides where they differ by more
    than a fifth, "0.99 +0.01 −0.02".

    >>> plus_minus(0.2834, 0.252, 0.315), plus_minus(0.99, 0.97, 1.0)
    ('0.283 ± 0.032', '0.990 +0.010 −0.020')
    """
    below, above = value - low, high - value
    half = (high - low) / 2
    if abs(above - below) <= 0.2 * half:
        return f"{number(value, half)} ± {number(half, half)}"
    return f"{number(value, half)} +{number(above, half)} −{number(below, half)}"


def clean(text: str) -> str:
    """Names from strangers (classes, labels, files) without control characters,
    so that no terminal or log obeys them.
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def cell_of_csv(text: str) -> str:
    """A stranger's words that no spreadsheet takes for a formula."""
    # the wide ones are taken for them in the east
    return f"'{clean(text)}" if text.startswith(tuple("=+-@＝＋－＠")) else clean(text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A plain aligned table: the first `left` columns flush left, the others flush right;
    wide characters are not expected.

    The same text on a terminal, in a pipe and in README, so that a test can compare them.
    """
    cells = [[clean(c) for c in headings], *([clean(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            c.ljust(w) if i < left else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()

    return "\n".join([line(cells[0]), *(line(row) for row in cells[1:])])


def listing(rows: Iterable[tuple[str, str]]) -> str:
    """Names and what they are, aligned, for the commands that list."""
    pairs = [(clean(a), clean(b)) for a, b in rows]
    width = max((len(a) for a, _ in pairs), default=0)
    return "\n".join(f"{a.ljust(width)}  {b}".rstrip() for a, b in pairs)


def fields(values: Mapping[str, Any]) -> str:
    """What is known of one thing, a field a line, for the commands that show one."""
    return listing(
        (key, str(value)) for key, value in values.items() if value not in (None, "", (), [], {})
    )
