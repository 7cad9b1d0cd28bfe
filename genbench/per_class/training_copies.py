"""Distances of a class's samples to its training images, and which samples are near copies.

Pure functions of float64 arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.statistics.nearest_neighbours import squared_distances

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def nearest_to(x: Array, train: Array) -> tuple[Array, Array]:
    """The distance of each row of x [n, d] to the nearest row of train [t, d], float64 [n],
    and its place int64 [n].
    """
    squares = squared_distances(x, train, train.mean(0))
    place = squares.argmin(1)
    return np.sqrt(squares[np.arange(len(x)), place]), place


def copies(distance: Array, place: Array, train: Array, typical: float) -> Array:
    """Which rows are near copies: closer to their nearest training row than half of that one's
    distance to its own nearest other.

    bool [n].

    distance, place: what nearest_to gave. typical: a distance between training images, where the
    class has one alone. A class that is merely narrow has no near copies; half is ours, as
    published thresholds belong to one extractor (Carlini et al. 2023; Somepalli et al. 2023).
    """
    if len(train) < 2:
        return distance < typical / 2
    squares = squared_distances(train, train, train.mean(0))
    np.fill_diagonal(squares, np.inf)
    return distance < np.sqrt(squares.min(1))[place] / 2
