"""The pictures of a run: the grid of its samples, and those that lie closest to training images
beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import write
from genbench._util.lazy_imports import np
from genbench.api.dataset import Dataset
from genbench.data.image_grid import grid_png
from genbench.runs.sampling import read_shards, shards
from genbench.runs.scoring.score import Closest
from genbench.statistics.blocks import rank_in_class

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.runs.records.record import Plan

COLUMNS = 10  # of the grid of samples: seeds


def drawn(plan: Plan, folder: Path, dataset: Dataset, closest: Closest | None) -> None:
    """Write samples.png and, where a metric looked for copies, nearest.png."""
    write(folder / "samples.png", samples_png(plan, folder))
    if closest:
        write(folder / "nearest.png", nearest_png(plan, folder, dataset, closest))


def samples_png(plan: Plan, folder: Path) -> bytes:
    """The grid of samples: row = class, column = seed, the first ten of each;
    an unconditional run in reading order.
    """
    labels = shards.labels_for(plan)
    if labels is None:
        return grid_png(
            read_shards.images_at(plan, folder, list(range(min(plan.n, COLUMNS**2)))), COLUMNS
        )
    rank = rank_in_class(labels)
    shown = np.flatnonzero(rank < COLUMNS)
    columns = int(rank[shown].max()) + 1
    found = read_shards.images_at(plan, folder, shown.tolist())
    sheet = np.full(
        (plan.identity["conditions"]["classes"] * columns, *found.shape[1:]), 255, dtype=np.uint8
    )
    sheet[labels[shown] * columns + rank[shown]] = found
    return grid_png(sheet, columns)


def nearest_png(plan: Plan, folder: Path, dataset: Dataset, closest: Closest) -> bytes:
    """Samples above their nearest training images, the closest pair first;
    of two sizes, both from the upper left.
    """
    wanted: dict[int, ndarray[Any, Any]] = {}
    at = 0
    for images, _ in dataset.open(closest.split):
        wanted |= {
            place: images[place - at].numpy()
            for place in closest.train.tolist()
            if at <= place < at + len(images)
        }
        at += len(images)
    rows = [
        *read_shards.images_at(plan, folder, closest.samples.tolist()),
        *(wanted[place] for place in closest.train.tolist()),
    ]
    sheet = np.full(
        (len(rows), 3, *np.max([row.shape[1:] for row in rows], 0)), 255, dtype=np.uint8
    )
    for place, row in zip(sheet, rows, strict=True):
        place[:, : row.shape[1], : row.shape[2]] = row
    return grid_png(sheet, len(closest.samples))
