"""The exit status of every command."""

from __future__ import annotations

import signal

DONE = 0  # and every rule passed
REGRESSION = 1  # `genbench check` found a regression
USAGE = 2  # an argument or a file is wrong: one line, with the remedy
NOT_COMPARABLE = 3  # the things named cannot be compared, or one is missing
INCONCLUSIVE = 4  # `genbench check` could not decide
RUN_FAILED = 5  # a plugin raised, a metric failed, the disk is full; finished shards are kept
INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143}  # the same command resumes the run
