"""Compute mean and scatter of rows, merge them, and leave blocks out.

Pure functions of float64 arrays.

Leave-outs are always made by merging what stays, never by subtracting what goes: a block that holds
an outlier would take the others' digits with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Kernel = Callable[[Array, Array], Array]  # [n, d], [m, d] -> [n, m]

MERGED_AT_ONCE = 128  # rows of a scatter
EPS = 2.0**-52  # of float64
CHUNK = 2**22  # elements of an n by m matrix that are held at once (32 MB)


# Blocks


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


# Kernels
