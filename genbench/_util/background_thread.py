"""Work done behind the main thread, in order: a shard is copied,
hashed and written while the next one is drawn.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch

if TYPE_CHECKING:
    from numpy import ndarray

MOST = 2  # calls that wait: each holds a shard's images and features


class Behind:
    """A thread for calls, one after the other: `put` waits while more than MOST are unfinished,
    and raises what an earlier one raised.

    When the body ends all of them are done, where it ended early too: what was put was
    finished work.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "genbench-behind")
        self._waiting: deque[Future[None]] = deque()

    def put(self, call: Callable[[], None]) -> None:
        # first: what an earlier one raises shall not cost this one
        self._waiting.append(self._pool.submit(call))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > MOST):
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Wait for all that was put."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
            wait(self._waiting)
        finally:
            self._pool.shutdown(cancel_futures=True)


@functools.cache
def _stream(device: str) -> torch.cuda.Stream:
    return torch.cuda.Stream(device=device)


def fetched(tensors: Mapping[str, torch.Tensor]) -> dict[str, ndarray[Any, Any]]:
    """Finished tensors as arrays: those of a GPU copied to pinned memory by a stream of its own,
    beside what it computes meanwhile.
    """
    found = {}
    waiting = []
    for name, tensor in tensors.items():
        if tensor.device.type != "cuda":
            found[name] = np.asarray(tensor.numpy())
            continue
        stream = _stream(str(tensor.device))
        with torch.cuda.stream(stream):
            held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            found[name] = np.asarray(held.copy_(tensor, non_blocking=True).numpy())
        waiting.append(stream)
    for stream in waiting:
        stream.synchronize()
    return found
