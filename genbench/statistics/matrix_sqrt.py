"""Compute matrix square roots, and the trace of the root of a product of covariances."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import linalg, np, torch
from genbench.statistics.moments import EPS, covariance, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def _roots(squares: Array) -> Array:
    """Square roots of eigenvalues of a positive semidefinite matrix;
    what is below the rounding of the largest is 0.

    Such an eigenvalue is noise of either sign around 1e-16 of the largest, and its root would add
    1e-8 of the largest for every missing rank.
    """
    noise = max(float(squares.max(initial=0.0)), 0.0) * len(squares) * EPS
    return np.sqrt(np.where(squares > noise, squares, 0.0))


def root(c: Array) -> Array:
    """The symmetric root of a positive semidefinite matrix, float64 [d, d]."""
    squares, vectors = linalg.eigh(c, driver="evd", check_finite=False)
    return (vectors * _roots(squares)) @ vectors.T


def contrasts(x: Array) -> Array:
    """n - 1 rows with the scatter of the n >= 2 rows of x [n, d],
    and no direction lost to the mean: rows in general position keep full rank.

    Householder's reflection that takes (1, ..., 1) to the first axis, of which the first row, the
    mean's, is left out.
    """
    width = np.sqrt(len(x))
    return x[1:] + (x[0] - width * x.mean(0)) / (width - 1)


def factor(x: Array, lost: int = 1) -> Array:
    """A matrix A with A^T A = the covariance of the rows of x [n, d], n >= 2,
    with divisor n - lost: as factor_of, or contrasts [n - 1, d] where n < d.
    """
    if len(x) < x.shape[1]:
        found = contrasts(x)
        found /= np.sqrt(len(x) - lost)
        return found
    return factor_of(covariance(moments(x), lost))


def factor_of(c: Array) -> Array:
    """A matrix A with A^T A = c, positive semidefinite float64 [d, d]:
    upper triangular [d, d] by Cholesky; where c is singular, [rank, d] from eigenvectors.

    Cholesky is far faster than a root. Pivots below the rounding of the largest (see _roots) count
    as singular.
    """
    a, failed = linalg.lapack.dpotrf(c.T, lower=1, clean=1)
    pivots = np.diagonal(a) ** 2
    if not failed and pivots.min() > pivots.max() * len(c) * EPS:
        return a.T
    squares, vectors = linalg.eigh(c, driver="evd", check_finite=False)
    kept = (_roots(squares) > 0)[::-1]
    a = (vectors * _roots(squares)).T[::-1][kept]
    return np.triu(linalg.qr(a, mode="r", check_finite=False)[0]) if kept.all() else a


@cache
def _mkl() -> bool:
    """Whether torch's MKL is the library to take: eigenvalues at d = 2,048 took half of OpenBLAS's
    time on one processor of Intel's, 1.3 times on AMD's.
    """
    import platform  # here alone, so that listings stay fast

    known = Path("/proc/cpuinfo")
    return torch.backends.mkl.is_available() and "GenuineIntel" in (
        known.read_text() if known.exists() else platform.processor()
    )


def product(x: Array, y: Array) -> Array:
    """x y, by the library that takes the eigenvalues: where two take turns,
    each waits for the threads of the other.
    """
    return (torch.from_numpy(x) @ torch.from_numpy(y)).numpy() if _mkl() else x @ y


def _eigenvalues(c: Array) -> Array:
    """The eigenvalues of a symmetric matrix [d, d], of which the lower triangle is read,
    in rising order; LAPACK's syevd without vectors.
    """
    if len(c) >= 256 and _mkl():
        return torch.linalg.eigvalsh(torch.from_numpy(c), UPLO="L").numpy()
    return np.linalg.eigvalsh(c, UPLO="L")


def trace_of_root(c: Array, *, full_rank: bool = False) -> float:
    """The trace of the root of a positive semidefinite matrix [d, d]:
    the sum of the roots of its eigenvalues (no eigenvectors, no scipy.linalg.sqrtm).

    full_rank: no eigenvalue is 0, so that small ones are no noise. For a s a^T with a triangular
    the lower triangle, which is read, keeps the small ones: their sum for Inception's features with
    n near d was right to 4e-13; with what lies below the rounding of the largest taken as 0,
    off by 1e-4.
    """
    squares = _eigenvalues(c)
    return float(np.sqrt(np.maximum(squares, 0.0)).sum() if full_rank else _roots(squares).sum())


def trace_of_product_root(s: Array, a: Array) -> float:
    """tr (s a^T a)^1/2 for s symmetric and a upper triangular, both [d, d] of full rank,
    by the eigenvalues of a s a^T: sygst forms it quickly.
    """
    between, failed = linalg.lapack.dsygst(s.T, a.T, itype=3, lower=1)
    assert not failed
    if _mkl():
        return trace_of_root(between, full_rank=True)
    # scipy's library, as sygst; numpy has its own
    squares = linalg.eigh(
        between, driver="evd", eigvals_only=True, overwrite_a=True, check_finite=False
    )
    return float(np.sqrt(np.maximum(squares, 0.0)).sum())


def nuclear_norm(p: Array) -> float:
    """The sum of the singular values of p [n, a]; equals trace_of_root(p^T p) without squaring,
    and is cheaper where n < a.

    Wide ones by the eigenvalues of the smaller square, which is quicker, where rounding cannot
    reach 1e-9 of the sum: an eigenvalue is off by about eps * largest, its root by that over twice
    the root. Features of 600 images against 600: bound 1e-10, error 2e-13. Else LAPACK's gesdd
    without vectors.
    """
    if min(p.shape) >= 256:
        wide = p if len(p) <= p.shape[1] else p.T
        square = product(wide, wide.T)
        squares = _eigenvalues(square) if _may_keep_digits(square) else np.zeros(1)
        if squares[0] > 0:
            roots = np.sqrt(squares)
            if EPS * squares[-1] * (0.5 / roots).sum() < 1e-9 * roots.sum():
                return float(roots.sum())
    return float(np.linalg.svd(p, compute_uv=False).sum())


def _may_keep_digits(square: Array) -> bool:
    """False where nuclear_norm's bound cannot hold, long before the eigenvalues are there:
    no pivot of Cholesky's lies below the smallest eigenvalue.
    """
    try:
        least = float(np.linalg.cholesky(square).diagonal().min())
    except np.linalg.LinAlgError:
        return False
    n, trace = len(square), float(square.trace())
    return EPS * trace / n * 0.5 < least * 1e-9 * np.sqrt(n * trace)
