"""Batches that fit into memory: one that does not is noticed,
and the largest that does is found by doubling.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from genbench._util.errors import PluginFailed
from genbench._util.lazy_imports import torch

# of the memory that is free, which a run may take unless it is told how much
SHARE = {"cpu": 0.5, "cuda": 0.9}


class OutOfMemory(PluginFailed):
    """A generator's call did not fit into memory."""


def ran_out(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that memory was short."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(
            word in str(error) for word in ("out of memory", "can't allocate memory")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def noticed() -> Iterator[None]:
    """Calls of a generator: those for which memory is short raise OutOfMemory,
    which holds on to nothing of theirs.
    """
    short = None
    try:
        yield
    except PluginFailed as error:
        if not ran_out(error):
            raise
        short = OutOfMemory(str(error), error.trace)
    # out of the except clause: an exception being handled keeps its frames, and with them what they
    # hold on the GPU
    if short:
        release()
        raise short


def release() -> None:
    """Give back what torch keeps for later allocations."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def largest(peak: Callable[[int], int], base: int, cap: int, most: int) -> int:
    """The largest batch, a power of two or `most`, that stays below a cap in bytes; 1 at the least.

    peak(batch): the bytes in use at the most while one is drawn; base: in use before. Doubled while
    twice of what a batch took still fits: what does not grow with the batch is counted twice, so
    the prediction errs to the safe side.
    """
    batch, used = 1, peak(1) - base
    while batch < most and base + 2 * used <= cap:
        try:
            used = max(used, peak(min(2 * batch, most)) - base)
        except OutOfMemory:
            break
        batch = min(2 * batch, most)
    return batch


def in_use(device: str) -> int:
    """Bytes in use now: of the GPU by torch, or of memory by this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.memory_allocated())
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return most_used(device)


def most_used(device: str) -> int:
    """Bytes in use at the most so far."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def allowed(device: str) -> int:
    """Bytes that a run may have in use unless it is told: what it has,
    and a share of what is free.
    """
    if device.startswith("cuda"):
        return in_use(device) + int(SHARE["cuda"] * torch.cuda.mem_get_info()[0])
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return in_use(device) + int(SHARE["cpu"] * free)
