"""One class's samples and real images as pairs: their kernel and squared distances,
and every number that follows from them.

Pure functions.

All numbers of a class come from two matrices of its pooled rows, computed once: leave-outs, real
against real and permutations only choose among rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch
from genbench.statistics import frechet_distance, matrix_sqrt

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

NEIGHBOURS = ("precision", "recall", "density", "coverage")
STATISTICS = ("kd", "spread_ratio", "fd", *NEIGHBOURS)
K = 5  # neighbours, of precision, recall, density and coverage


@dataclass(frozen=True)
class Pairs:
    """Rows [N, d], their kernel (x.y / d + 1)^3 [N, N], and their squared distances [N, N],
    exactly 0 between equal rows.
    """

    rows: Array
    kernel: Array
    squares: Array


def pairs(rows: Array) -> Pairs:
    """The matrices of pooled rows, float64 [N, d], both from one product:
    that of the centred rows.
    """
    centre = rows.mean(0)
    centred = rows - centre
    products = centred @ centred.T
    along = rows @ centre
    kernel = (products + along[:, None] + along - centre @ centre) / rows.shape[1] + 1.0
    size = np.add.outer(*(np.diagonal(products),) * 2)
    squares = size - 2 * products
    squares[squares < 1e-13 * size] = 0.0  # as nearest.squared_distances
    return Pairs(rows, kernel * kernel * kernel, squares)


def measured(of: Pairs, x: Array, y: Array) -> dict[str, float]:
    """Every statistic of the samples at places x int64 [n] against the real images at y int64 [m];
    NaN where there are too few.

    kd: the kernel distance, an unbiased estimate of a squared MMD that may be negative.
    spread_ratio: the trace of the samples' covariance over the real images'. fd: the Fréchet
    distance. The rest as Kynkäänniemi et al. (2019) and Naeem et al. (2020), with K
    neighbours, <= the radius.
    """
    if min(len(x), len(y)) < 2:
        return dict.fromkeys(STATISTICS, math.nan)
    inside, real = mean_within(of.kernel, x), mean_within(of.kernel, y)
    ours, theirs = mean_within(of.squares, x), mean_within(of.squares, y)
    return {
        "kd": inside + real - 2 * float(of.kernel[np.ix_(x, y)].mean()),
        "spread_ratio": ours / theirs if theirs > 0 else math.nan,
        "fd": frechet(of, x, y),
        **neighbours(of.squares, x, y),
    }


def mean_within(matrix: Array, x: Array) -> float:
    """The mean over pairs of different rows of one set at places x, two at least."""
    part = matrix[np.ix_(x, x)]
    return float((part.sum() - np.trace(part)) / (len(x) * (len(x) - 1)))


def frechet(of: Pairs, x: Array, y: Array) -> float:
    """|mu_x - mu_y|^2 + tr (C_x + C_y - 2 (C_x C_y)^1/2) with covariances by n - 1,
    at least 2 rows each.

    Few rows: from squared distances alone. The mean between sets is |mu_x - mu_y|^2 plus both
    traces (by n); -1/2 of the squares, centred on both sides, is X_c Y_c^T, whose nuclear norm is
    the trace of the root.
    """
    n, m = len(x), len(y)
    if min(n, m) > of.rows.shape[1]:
        return frechet_distance.distance(of.rows[x], frechet_distance.fit(of.rows[y]))
    between = of.squares[np.ix_(x, y)]
    ours, theirs = mean_within(of.squares, x) / 2, mean_within(of.squares, y) / 2
    return apart(float(between.mean()), ours, theirs, n, m) - matrix_sqrt.nuclear_norm(
        centred(between)
    ) / math.sqrt((n - 1) * (m - 1))


def apart(between: Any, ours: Any, theirs: Any, n: Any, m: Any) -> Any:
    """|mu_x - mu_y|^2 + tr C_x + tr C_y from the mean squared distance between the sets and both
    traces (by n - 1).
    """
    return between + ours / n + theirs / m


def centred(between: Array) -> Array:
    """-2 X_c Y_c^T, float64 [..., n, m], from squared distances [..., n, m]:
    twice the matrix whose nuclear norm Fréchet takes.
    """
    found = between - between.mean(-2, keepdims=True)
    found -= found.mean(-1, keepdims=True)
    return found


def nuclear_norms(p: Array) -> Array:
    """The sum of the singular values of each matrix, float64 [B], of [B, n, m]:
    of many small ones at once, for leave-outs and real against real.

    By the eigenvalues of each square, at two thirds of the time; those below the rounding of the
    largest are the zeros of rows left out and of centring.
    """
    many = torch.from_numpy(p)
    squares = torch.linalg.eigvalsh(many @ many.mT if p.shape[1] <= p.shape[2] else many.mT @ many)
    noise = squares[:, -1:] * (squares.shape[1] * torch.finfo(squares.dtype).eps)
    return torch.where(squares > noise, squares, 0.0).sqrt().sum(-1).numpy()


def neighbours(squares: Array, x: Array, y: Array) -> dict[str, float]:
    """precision, recall, density, coverage; NaN with fewer than K + 1 rows on a side."""
    if min(len(x), len(y)) <= K:
        return dict.fromkeys(NEIGHBOURS, math.nan)
    between = squares[np.ix_(x, y)]
    of_y = between <= _reach(squares, y)
    return {
        "precision": float(of_y.any(1).mean()),
        "recall": float((between <= _reach(squares, x)[:, None]).any(0).mean()),
        "density": float(of_y.sum() / (len(x) * K)),
        "coverage": float(of_y.any(0).mean()),
    }


def _reach(squares: Array, of: Array) -> Array:
    """The squared distance of each row to its K-th nearest other, float64 [n]."""
    own = squares[np.ix_(of, of)]
    np.fill_diagonal(own, np.inf)
    return np.partition(own, K - 1, axis=1)[:, K - 1]
