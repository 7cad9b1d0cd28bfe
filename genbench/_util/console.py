"""What people are told: errors with their remedy, near misses, numbers with intervals, tables,
progress.

    UserError              exit 2   the user's words or files are wrong
    ├── NotComparable      exit 3   the things named cannot be compared, or one is missing
    └── RunFailed          exit 5   the run failed; finished shards and the record are kept
        └── PluginFailed   exit 5   a plugin raised or returned rubbish; carries its own traceback

Nothing is printed except through this file: answers go to standard output, everything else to
standard error.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# of genbench; pyproject.toml and CITATION.cff say the same (tests/test_packaging.py)
VERSION = "0.1.0"


class UserError(Exception):
    """What the user said or gave is wrong. One line: what came, what is allowed, the remedy."""

    status = 2


class NotComparable(UserError):
    """The things named cannot be compared, or one of them is missing."""

    status = 3


class RunFailed(UserError):
    """The run failed; what was finished is kept."""

    status = 5


class PluginFailed(RunFailed):
    """A plugin raised or returned rubbish.

    `trace` is the plugin's own traceback, or ""; `image`, the place of the wrong image in the
    call, if one is.
    """

    def __init__(self, line: str, trace: str = "", image: int | None = None) -> None:
        super().__init__(line)
        self.trace = trace
        self.image = image


def choices(word: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: its near misses, then the known ones.

    >>> choices("ddmp", ["ddpm", "vae"])
    'did you mean ddpm? Known: ddpm, vae'
    """
    import difflib  # only where something was misspelt

    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    return (f"did you mean {' or '.join(near)}? " if near else "") + (
        "Known: " + ", ".join(names) if names else "There is none"
    )


def number(value: float, spread: float) -> str:
    """A value in as many digits as its spread (half an interval, or 0 for none) bears:
    two significant digits of the spread.

    >>> number(0.28345, 0.0312), number(32.118, 1.9), number(1234.5, 120.0), number(0.5, 0.0),
    number(-0.00001234, 0.00002)
    ('0.283', '32.1', '1234', '0.5', '-0.000012')
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


def answer(text: str) -> None:
    """Print the answer of a command to standard output."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        # a full disk behind a redirect, or a stream that a plugin closed
        if isinstance(error, BrokenPipeError):
            raise
        raise RunFailed(
            f"could not write the answer to standard output: {error}; the record is kept, "
            "`genbench show` prints it"
        ) from error


def tell(text: str) -> None:
    """One line to standard error: progress, warnings, where things lie. Silent under --quiet."""
    if not os.environ.get("GENBENCH_QUIET"):
        complain(clean(text))


def complain(text: str) -> None:
    """One line to standard error that --quiet does not silence:
    errors, and damage that was repaired.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _Aside(io.TextIOBase):
    """Where a stranger's prints go: standard error, since standard output is the answer;
    closing it closes nothing.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """While strangers' code runs (plugins, metrics, files of --with) what it prints,
    from Python or below it, goes to standard error.
    """
    with contextlib.redirect_stdout(_Aside()):
        try:
            kept = os.dup(1)
        except OSError:  # standard output is closed already
            yield
            return
        try:
            with contextlib.suppress(OSError):
                os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


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


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Any]:
    """A progress display on standard error; yields a function `done(count)` that adds to it.

    On a terminal a bar (rich: it heeds NO_COLOR and the width); elsewhere one line every ten
    seconds with the rate and the time left.
    """
    if os.environ.get("GENBENCH_QUIET"):
        yield lambda count: None
        return
    if sys.stderr.isatty() and not os.environ.get("CI"):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total, rate="")
            began = time.monotonic()

            def advance(count: int) -> None:
                finished = bar.tasks[task].completed + count
                bar.update(
                    task,
                    advance=count,
                    rate=f"{finished / max(time.monotonic() - began, 1e-9):.1f} {unit}/s",
                )

            yield advance
        return
    state = {"done": 0, "began": time.monotonic(), "told": time.monotonic()}

    def count_up(count: int) -> None:
        state["done"] += count
        now = time.monotonic()
        if now - state["told"] >= 10:
            rate = state["done"] / (now - state["began"])
            state["told"] = now
            tell(
                f"{what}: {state['done']:g} of {total}, {rate:.1f} {unit}/s, "
                f"{(total - state['done']) / rate:.0f} s left"
            )

    yield count_up
