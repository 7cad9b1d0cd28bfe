"""Processes of this machine, each with a GPU of its own where there are several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import Any

from genbench._util.lazy_imports import torch
from genbench.api.engine import Engine, Wanted, take_gpu

PLACE = "GENBENCH_WORKER"  # of a worker among its fellows, in its environment


class Processes(ProcessPoolExecutor):
    """Spawned processes that end with this one, or when they are let go of."""

    def __init__(self, count: int, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        leash, self._hand = context.Pipe(duplex=False)
        threads = max(1, torch.get_num_threads() // count)
        super().__init__(
            count,
            context,
            initializer=_begin,
            initargs=(context.Value("i", 0), leash, device, threads),
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if not wait:
            self._hand.close()
        super().shutdown(wait, cancel_futures=cancel_futures)


def _begin(counter: Any, leash: Any, device: str, threads: int) -> None:
    """What a worker does first: it takes its place, its threads and a GPU,
    and leaves Ctrl-C to the process that it works for, with which it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with counter.get_lock():
        place, counter.value = counter.value, counter.value + 1
    os.environ[PLACE] = str(place)
    torch.set_num_threads(threads)
    take_gpu(device, place)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker"
    threading.Thread(
        target=lambda: (connection.wait([parent.sentinel, leash]), os._exit(1)), daemon=True
    ).start()


def _workers(wanted: Wanted) -> int:
    return wanted.workers or (torch.cuda.device_count() if wanted.device == "cuda" else 1)


LOCAL = Engine(
    name="local",
    title="processes of this machine, one to a GPU",
    start=lambda wanted: Processes(_workers(wanted), wanted.device),
    workers=_workers,
)
