"""What other processes do in the tests of locks: they import it by name."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from genbench._util import cache, checksummed_files
from genbench._util.locks import locked

ROUNDS = 50


def _cached(number, path, ready, wrong):
    """Write one's own number and read whatever is there; what is read is whole and somebody's."""
    ready.wait()
    for turn in range(ROUNDS):
        cache.cache(
            path, {"a": np.full(2000, number), "b": np.array([number, turn])}, {"of": str(number)}
        )
        # Damaged, or a file that is not there, ends this process with status 1
        arrays, meta = checksummed_files.read_arrays(path)
        if len({*arrays["a"].tolist(), int(arrays["b"][0]), int(meta["of"])}) != 1:
            wrong.set()
        if number == 0 and turn == ROUNDS // 2:
            os.kill(os.getpid(), signal.SIGKILL)


def _held(path, begun):
    with locked(path, "waiting"):
        begun.set()
        time.sleep(100)
