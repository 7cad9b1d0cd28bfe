"""Batches decoded by torch's DataLoader: in order, by worker processes where there is
much to decode.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import torch

BATCH = 100
LARGEST_BATCH = 2**24  # bytes
MANY = 2000  # images from which starting workers costs less than they save
VARIABLE = "GENBENCH_WORKERS"  # how many processes decode images; 0: this one
MOST = 8


def workers(count: int) -> int:
    """How many processes decode `count` images: $GENBENCH_WORKERS,
    else as many as there are processors for where there are many images.
    """
    word = os.environ.get(VARIABLE, "")
    if word and not (word.isdigit() and int(word) < 1000):
        raise UserError(f"${VARIABLE} is {clean(word)!r}: a number of processes, 0 for none")
    return (
        int(word)
        if word
        else min(len(os.sched_getaffinity(0)), MOST)
        if count >= MANY and hasattr(os, "sched_getaffinity")
        else 0
    )


@dataclass(frozen=True)
class _Parts:
    """What a worker runs: read(range) for the k-th batch; what it refuses comes back as its line,
    since an exception would come with its traceback.
    """

    read: Callable[[range], Any]
    count: int
    size: int

    def __len__(self) -> int:
        return (self.count + self.size - 1) // self.size

    def __getitem__(self, at: int) -> Any:
        try:
            return self.read(range(at * self.size, min((at + 1) * self.size, self.count)))
        except UserError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


def at_once(height: int, width: int) -> int:
    """How many images of this size go into a batch: BATCH, fewer of large ones,
    so that what waits between processes stays small.
    """
    return max(1, min(BATCH, LARGEST_BATCH // (3 * height * width)))


def loaded(read: Callable[[range], Any], count: int, size: int = BATCH) -> Iterator[Any]:
    """read(range) for the ranges of `size` places that make up 0 .. count - 1, in order;
    at most two batches to a worker wait.
    """
    by = workers(count)
    parts: Any = _Parts(read, count, size)
    with warnings.catch_warnings():
        # fork beside torch's threads, and more workers than processors when they were asked for:
        # both are meant
        warnings.simplefilter("ignore")
        batches: Any = (
            torch.utils.data.DataLoader(
                parts, batch_size=None, num_workers=by, collate_fn=_as_it_is
            )
            if by
            else map(parts.__getitem__, range(len(parts)))
        )
        for found in batches:
            if isinstance(found, UserError):
                raise found
            yield found
