"""`ct`: the data-copying test of Meehan, Chaudhuri & Dasgupta:
are samples nearer to the training images than held-out images are?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import linalg, np, scipy_stats, sklearn_cluster
from genbench.api.metric import COUNT, Metric
from genbench.api.metric_inputs import Arrays, Side
from genbench.statistics import nearest_neighbours

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

WIDTH, CELLS, STARTS, FEWEST = 64, 3, 10, 20


def ct(arrays: Arrays, *, cells: float = CELLS) -> float:
    """Below 0 where samples copy, about 0 where they are as far from the training images as
    held-out ones, above 0 where they are farther; unbounded.

    samples [n, d], train [t, d], reference [m, d], the held-out images. Meehan et al. (2020),
    section 4.1, with the settings of dgm-eval: features wider than 64 are projected to the first 64
    principal components of the training images; k-means of these makes 3 cells (in another order of
    the images, maybe others); in each the ranks of the distances to the nearest training image of
    the cell are compared (Mann & Whitney) as a z-score; cells with more than 20 samples enter,
    weighted by their share of held-out images. NaN where no such cell has one. dgm-eval leaves
    k-means and PCA unseeded; here the seed is 0 and PCA exact. A cell without held-out images ends
    dgm-eval; here it has no weight. A z-score grows with the root of n.
    """
    return _score(_distances(arrays, int(cells)))


def ct_left_out(arrays: Arrays, blocks: Array, side: Side, *, cells: float = CELLS) -> Array:
    """ct without each block of one side, float64 [B]; without a block of the training images cells
    and distances are found again.
    """
    if side == "train":
        return np.array(
            [ct(arrays.keep("train", blocks != b), cells=cells) for b in range(blocks.max() + 1)]
        )
    found = _distances(arrays, int(cells))
    return np.array([_score(found.keep(side, blocks != b)) for b in range(blocks.max() + 1)])


@dataclass(frozen=True)
class _Distances:
    """Cell and squared distance to the nearest training image of the cell,
    of each sample [n] and each held-out image [m]; -1: of no cell.
    """

    cells: int
    sample_cells: Array
    samples: Array
    held_cells: Array
    held: Array

    def keep(self, side: Side, rows: Array) -> _Distances:
        if side == "samples":
            return _Distances(
                self.cells, self.sample_cells[rows], self.samples[rows], self.held_cells, self.held
            )
        return _Distances(
            self.cells, self.sample_cells, self.samples, self.held_cells[rows], self.held[rows]
        )


def _distances(arrays: Arrays, cells: int) -> _Distances:
    def make() -> _Distances:
        train, samples, held = _projected(arrays["train"], arrays["samples"], arrays["reference"])
        means = sklearn_cluster.KMeans(n_clusters=cells, n_init=STARTS, random_state=0).fit(train)
        return _Distances(cells, *_in_cells(means, train, samples), *_in_cells(means, train, held))

    return arrays.once(("ct", cells), make)


def _projected(train: Array, *others: Array) -> list[Array]:
    """Rows in the first 64 principal components of the training images,
    or about their mean where they are not wider.
    """
    centre = train.mean(0)
    if train.shape[1] <= WIDTH:
        return [rows - centre for rows in (train, *others)]
    moved = train - centre
    d = train.shape[1]
    axes = linalg.eigh(moved.T @ moved, subset_by_index=[d - WIDTH, d - 1])[1]
    return [moved @ axes, *((rows - centre) @ axes for rows in others)]


def _in_cells(means: Any, train: Array, rows: Array) -> tuple[Array, Array]:
    own, found = means.predict(train), means.predict(rows).astype(np.int64)
    squares = np.zeros(len(rows))
    for cell in np.unique(found):
        here = found == cell
        squares[here] = nearest_neighbours.nearest(rows[here], train[own == cell], 1)[0][:, 0]
    return found, squares


def _score(of: _Distances) -> float:
    """Meehan et al. (2020), eq. 3: z-scores of cells,
    weighted by their share of held-out images.
    """
    drawn = np.bincount(of.sample_cells, minlength=of.cells)
    share = np.bincount(of.held_cells, minlength=of.cells) * (drawn > FEWEST)
    scores = [
        _z(of.samples[of.sample_cells == c], of.held[of.held_cells == c]) if share[c] else 0.0
        for c in range(of.cells)
    ]
    return float(share @ scores / share.sum()) if share.sum() else float("nan")


def _z(samples: Array, held: Array) -> float:
    """Mann & Whitney's U of the samples' distances against the held-out ones',
    as a z-score with the continuity correction of the original.
    """
    n, m = len(samples), len(held)
    u = scipy_stats.rankdata(np.concatenate([samples, held]))[:n].sum() - n * (n + 1) / 2
    return float((u - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


CT = Metric(
    name="ct",
    title="C_T: z-score of distances to training images against those of held-out ones",
    needs=("samples", "train", "reference"),
    better="higher",
    range=(-float("inf"), float("inf")),
    interval="jackknife",
    value=ct,
    left_out=ct_left_out,
    paper="Meehan, Chaudhuri & Dasgupta 2020, arXiv:2004.05675",
    smallest_n=CELLS * FEWEST + 1,  # so that one cell holds more than FEWEST
    experimental=True,
    properties=frozenset({"rotation_invariant", "scale_invariant"}),
    # 0.87 to 0.94 covered there (tests/bench/coverage.md)
    flags=lambda seen: ("interval too narrow",) if seen.n < 5 * seen.d else (),
    allowed={"cells": COUNT},
)
