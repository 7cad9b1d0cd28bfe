"""Arithmetic that metrics share: moments of blocks, traces of matrix roots, kernel sums.

Pure functions of float64 arrays.

Leave-outs are always made by merging what stays, never by subtracting what goes: a block that holds
an outlier would take the others' digits with it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.lazy import linalg, np, torch

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Kernel = Callable[[Array, Array], Array]  # [n, d], [m, d] -> [n, m]

MERGED_AT_ONCE = 128  # rows of a scatter
EPS = 2.0**-52  # of float64
CHUNK = 2**22  # elements of an n by m matrix that are held at once (32 MB)


# Blocks


def sizes_of(blocks: Array) -> Array:
    """The number of rows in each block, int64 [B]. blocks int64 [n], numbered 0 .. B-1."""
    return np.bincount(blocks)


def sums_without(values: Array, blocks: Array) -> Array:
    """The sum of all rows but those of one block, float64 [B] or [B, d], for each block.

    values [n] or [n, d].
    """
    own = np.eye(blocks.max() + 1)
    return (1.0 - own) @ (own[blocks].T @ values)


def means_without(values: Array, blocks: Array) -> Array:
    """The mean of all rows but those of one block, float64 [B] or [B, d], for each block;
    NaN where nothing is left.

    values [n] or [n, d].
    """
    left = len(values) - sizes_of(blocks)
    left = np.where(left > 0, left, np.nan)
    return sums_without(values, blocks) / left.reshape(-1, *[1] * (values.ndim - 1))


# Moments


@dataclass(frozen=True)
class Moments:
    """Count, mean [d] and scatter = sum of (x - mean)(x - mean)^T: [d, d], or its diagonal [d]."""

    count: int
    mean: Array
    scatter: Array


def moments(x: Array) -> Moments:
    """Moments of the rows of x, float64 [n, d], n >= 1; the scatter is a matrix.

    Two passes: exact where the mean is much larger than the deviation.
    """
    mean = x.mean(0)
    centred = x - mean
    return Moments(len(x), mean, centred.T @ centred)


def diagonal_moments(x: Array) -> Moments:
    """Moments of the rows of x, float64 [n, d], n >= 1, with only the diagonal of the scatter."""
    mean = x.mean(0)
    centred = x - mean
    return Moments(len(x), mean, np.einsum("ij,ij->j", centred, centred))


def merge(a: Moments, b: Moments, out: Array | None = None) -> Moments:
    """The moments of two sets together; Chan, Golub & LeVeque (1979),
    "Updating formulae and a pairwise algorithm", eq. 2.1.

    out: where the scatter goes, which may be a's own. A scatter of width 2,048 has 32 MB, so that
    no second one is made on the way.
    """
    count = a.count + b.count
    delta = b.mean - a.mean
    scatter = np.add(a.scatter, b.scatter, out=out)
    for rows in (slice(at, at + MERGED_AT_ONCE) for at in range(0, len(delta), MERGED_AT_ONCE)):
        square = np.outer(delta[rows], delta) if scatter.ndim == 2 else delta[rows] ** 2
        scatter[rows] += square * (a.count * b.count / count)
    return Moments(count, a.mean + delta * (b.count / count), scatter)


def merge_all(parts: Sequence[Moments]) -> Moments:
    """The moments of all parts together, merged in their order."""
    whole = parts[0]
    for place, part in enumerate(parts[1:]):
        whole = merge(whole, part, out=whole.scatter if place else None)  # not into the first part
    return whole


def without_each(parts: Sequence[Moments]) -> Iterator[Moments]:
    """The moments of all parts but one, for each part in order; at least two parts.

    By halving: B log B merges, and only log B results held at once (a scatter of width
    2,048 has 32 MB).
    """
    assert len(parts) >= 2, "one part has no others"
    return _halved(parts, 0, len(parts), ())


def _halved(
    parts: Sequence[Moments], low: int, high: int, outside: tuple[Moments, ...]
) -> Iterator[Moments]:
    """Of the parts low .. high, with all others merged into a few."""
    # a function within without_each would refer to itself, and keep the parts
    if high - low == 1:
        yield outside[0]
        return
    middle = (low + high) // 2
    yield from _halved(parts, low, middle, (merge_all([*outside, *parts[middle:high]]),))
    yield from _halved(parts, middle, high, (merge_all([*outside, *parts[low:middle]]),))


def covariance(of: Moments, lost: int = 1) -> Array:
    """The scatter divided by count - lost: lost = 1 is the unbiased covariance (np.cov, FID),
    0 the maximum likelihood one.

    float64, as the scatter.
    """
    assert of.count > lost, f"{of.count} rows have no covariance with divisor n - {lost}"
    return of.scatter / (of.count - lost)


# Roots of matrices


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


# Kernels


def _rows_at_once(m: int) -> int:
    return max(1, CHUNK // max(m, 1))


def polynomial(x: Array, y: Array) -> Array:
    """(x.y / d + 1)^3, float64 [n, m], of rows x [n, d] and y [m, d];
    Bińkowski et al. (2018), section 4.
    """
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


def kernel_sums(x: Array, y: Array, kernel: Kernel) -> tuple[Array, Array]:
    """Sums of kernel(x_i, y_j) over j, float64 [n], and over i, float64 [m], in bounded memory."""
    over_y, over_x = np.empty(len(x)), np.zeros(len(y))
    for start in range(0, len(x), _rows_at_once(len(y))):
        k = kernel(x[start : start + _rows_at_once(len(y))], y)
        over_y[start : start + len(k)] = k.sum(1)
        over_x += k.sum(0)
    return over_y, over_x


def kernel_sums_by_blocks(x: Array, blocks: Array, kernel: Kernel) -> Array:
    """Sums of kernel(x_i, x_j), i != j, by the pair of blocks that i and j lie in: float64 [B, B].

    x [n, d], blocks int64 [n].
    """
    member = np.eye(blocks.max() + 1)[blocks]
    within, above = np.zeros((2, member.shape[1], member.shape[1]))
    for start in range(0, len(x), _rows_at_once(len(x))):
        stop = min(start + _rows_at_once(len(x)), len(x))
        k = kernel(x[start:stop], x[start:])
        here = np.arange(stop - start)
        k[here, here] = 0.0
        own = member[start:stop]
        within += own.T @ (k[:, : len(own)] @ own)
        # pairs that are met once, and count for both
        above += own.T @ (k[:, len(own) :] @ member[stop:])
    return within + above + above.T
