"""The Fréchet distance of Gaussians fitted to rows: of all rows, and without each block;
what metrics built on it share.

float64 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.statistics import matrix_sqrt, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian that stays while the other moves: its mean [d],
    and A with A^T A = its covariance, of fewer rows than d where that is singular.
    """

    mean: Array
    factor: Array
    lost: int  # covariances are divided by n - lost

    @property
    def trace(self) -> float:
        """The trace of its covariance."""
        return float(np.einsum("ij,ij->", self.factor, self.factor))


def fit(x: Array, lost: int = 1) -> Gaussian:
    """The Gaussian with the moments of the rows of x [n, d], n > lost."""
    return Gaussian(x.mean(0), matrix_sqrt.factor(x, lost), lost)


def of_moments(given: moments.Moments, lost: int = 1, own: int = 1) -> Gaussian:
    """The Gaussian with these moments; own: what its covariance is divided by,
    1 of a statistics file's, which stands as it is whatever the other side's.
    """
    return Gaussian(given.mean, matrix_sqrt.factor_of(moments.covariance(given, own)), lost)


def distance(x: Array, still: Gaussian) -> float:
    """|mu_x - mu|^2 + tr(S + C - 2 (S C)^1/2) of rows x [n, d] and the Gaussian that stays,
    0 to infinity; NaN for fewer than two rows.
    """
    if len(x) < max(2, x.shape[1] + 1) or len(still.factor) < x.shape[1]:
        return _of_rows(*projected(x, still), still)
    return _of_moments(moments.moments(x - still.mean), still)


def distances_of_moments(parts: Sequence[moments.Moments], still: Gaussian) -> tuple[float, Array]:
    """distance of all parts together, and without each of them float64 [B]:
    of many more rows than they are wide, of which the moments are at hand.
    """
    about = [replace(part, mean=part.mean - still.mean) for part in parts]
    return _of_moments(moments.merge_all(about), still), np.array(
        [_of_moments(rest, still) for rest in moments.without_each(about)]
    )


def projected(x: Array, still: Gaussian) -> tuple[Array, Array]:
    """What distances_without is made from, row by row: x [n, d] from the mean that stays,
    and that times A^T [n, a].
    """
    x = x - still.mean
    return x, matrix_sqrt.product(x, still.factor.T)


def distances_without(x: Array, rows: Array, still: Gaussian, blocks: Array, count: int) -> Array:
    """distance without each of `count` blocks, float64 [count];
    NaN where fewer than two rows are left.

    x, rows: what projected gives, or some rows of it.

    With A^T A = the covariance that stays, tr (S C)^1/2 = tr (A S A^T)^1/2: rows are multiplied by
    A once, and each leave-out costs a merge of moments and eigenvalues, without a product of
    matrices or an eigenvector. A block without rows takes nothing away.
    """
    sizes = np.bincount(blocks, minlength=count)
    members = [np.flatnonzero(blocks == b) for b in range(count)]
    if len(x) - sizes.max() < _enough(rows, still):
        return np.array(
            [_of_rows(np.delete(x, of, 0), np.delete(rows, of, 0), still) for of in members]
        )
    there = [of for of in members if len(of)]
    found = np.full(count, _of_rows(x, rows, still) if len(there) < count else np.nan)
    rest = moments.without_each([moments.diagonal_moments(x[of]) for of in there])
    scatters = moments.without_each([moments.moments(rows[of]) for of in there])
    terms = (
        matrix_sqrt.trace_of_root(moments.covariance(one, still.lost), full_rank=True)
        for one in scatters
    )
    found[sizes > 0] = [_sum(one, still, term) for one, term in zip(rest, terms, strict=True)]
    return found


def _of_moments(moving: moments.Moments, still: Gaussian) -> float:
    """moving: moments about the mean that stays, of a covariance of full rank."""
    covariance, a = moments.covariance(moving, still.lost), still.factor
    if len(a) == a.shape[1]:
        term = matrix_sqrt.trace_of_product_root(covariance, a)
    else:
        term = matrix_sqrt.trace_of_root(
            matrix_sqrt.product(matrix_sqrt.product(a, covariance), a.T), full_rank=True
        )
    return float((moving.mean**2).sum() + covariance.trace() + still.trace - 2 * term)


def _of_rows(x: Array, rows: Array, still: Gaussian) -> float:
    return (
        _sum(moments.diagonal_moments(x), still, _term(rows, still)) if len(x) > 1 else float("nan")
    )


def _sum(moving: moments.Moments, still: Gaussian, term: float) -> float:
    """moving: moments about the mean that stays, with the diagonal of their scatter; term:
    tr (S C)^1/2.
    """
    return float(
        (moving.mean**2).sum()
        + moments.covariance(moving, still.lost).sum()
        + still.trace
        - 2 * term
    )


def _enough(rows: Array, still: Gaussian) -> int:
    """How many rows make eigenvalues safe: more than the width,
    twice as many where one of the Gaussians is singular.
    """
    return max(2, rows.shape[1] + 1 if rows.shape[1] == len(still.mean) else 2 * rows.shape[1])


def _term(rows: Array, still: Gaussian) -> float:
    """tr (A S A^T)^1/2 from the rows times A^T, float64 [n, a]:
    eigenvalues, or the nuclear norm where either Gaussian is singular.

    The nuclear norm squares nothing that it could lose: where a matrix is singular, or nearly, its
    many small roots keep their digits.
    """
    if len(rows) < _enough(rows, still) or rows.shape[1] < len(still.mean):
        return matrix_sqrt.nuclear_norm(
            matrix_sqrt.contrasts(rows) / np.sqrt(len(rows) - still.lost)
        )
    return matrix_sqrt.trace_of_root(
        moments.covariance(moments.moments(rows), still.lost), full_rank=True
    )
