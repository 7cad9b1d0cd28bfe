"""Errors that end a command in one line, each with its exit status, and near misses of names.

UserError              exit 2   usage error: an argument or a file is wrong
├── NotComparable      exit 3   the things named cannot be compared, or one is missing
└── RunFailed          exit 5   the run failed; finished shards and the record are kept
    └── PluginFailed   exit 5   a plugin raised or returned an invalid value; has its traceback
"""

from __future__ import annotations

from genbench._util import exit_codes


class UserError(Exception):
    """What the user said or gave is wrong. One line: what came, what is allowed, the remedy."""

    status = exit_codes.USAGE


class NotComparable(UserError):
    """The things named cannot be compared, or one of them is missing."""

    status = exit_codes.NOT_COMPARABLE


class RunFailed(UserError):
    """The run failed; what was finished is kept."""

    status = exit_codes.RUN_FAILED


class PluginFailed(RunFailed):
    """A plugin raised or returned rubbish.

    `trace` is the plugin's own traceback, or ""; `image`, the place of the wrong image in the
    call, if one is.
    """

    def __init__(self, line: str, trace: str = "", image: int | None = None) -> None:
        super().__init__(line)
        self.trace = trace
        self.image = image
