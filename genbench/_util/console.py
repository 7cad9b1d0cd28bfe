"""Print: answers to standard output, progress and warnings to standard error. Nothing is printed
except through this file."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from genbench._util.errors import RunFailed
from genbench._util.formatting import clean


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
