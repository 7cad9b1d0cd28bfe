"""Call a plugin's code: its prints go to standard error, its failures carry its own traceback."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import pluggy

from genbench._util.console import aside
from genbench._util.errors import PluginFailed, UserError
from genbench._util.formatting import clean


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _calling(name: str, what: str) -> Iterator[None]:
    """Run a stranger's code: its prints to standard error,
    its failures with its name in front and its own traceback.
    """
    there = _is_open(1)
    try:
        with aside():
            yield
            if there and not _is_open(1):
                raise PluginFailed(
                    f"{name}: {what} closed standard output, which carries the answer; "
                    "finished shards are kept"
                )
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise PluginFailed(
            f"{name}: {what} exited ({error.code}); a plugin returns images or raises"
        ) from error
    except BaseException as error:
        # GeneratorExit and the like are no way for a plugin to end the run unheard
        raise PluginFailed(
            f"{name}: {what} raised {type(error).__name__}: {_text_of(error)}", _own_trace(error)
        ) from error


def _text_of(error: BaseException) -> str:
    try:
        return clean(" ".join(str(error).split()))
    except Exception:  # an exception whose own text raises
        return "(no text)"


def _own_trace(error: BaseException) -> str:
    """The plugin's part of a traceback: from its first frame on."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    ours = (
        str(Path(__file__).parents[1]),
        str(Path(pluggy.__file__).parent),
        "importlib",
        str(Path(contextlib.__file__)),
    )
    theirs = next(
        (i for i, f in enumerate(frames) if not any(o in f.filename for o in ours)), len(frames)
    )
    own = list(frames[theirs:]) or list(frames[-1:])
    return "".join(
        [
            "Traceback (most recent call last):\n",
            *traceback.format_list(own),
            *traceback.format_exception_only(error),
        ]
    )
