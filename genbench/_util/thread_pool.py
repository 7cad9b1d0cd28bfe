"""Independent pieces of work, a piece a thread: numpy and LAPACK let go of the interpreter,
and small matrices gain nothing from more threads each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from genbench._util.lazy_imports import threadpoolctl, torch

Piece = TypeVar("Piece")
Done = TypeVar("Done")


def each(work: Callable[[Piece], Done], pieces: Iterable[Piece]) -> Iterator[Done]:
    """work(piece) of every piece, in their order, on as many threads as torch has;
    within a piece every library has one, so that no sum depends on how many.
    """
    threads = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        torch.set_num_threads(1)
        try:
            yield from pool.map(work, pieces)
        finally:
            torch.set_num_threads(threads)
            pool.shutdown(cancel_futures=True)
