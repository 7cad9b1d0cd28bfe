"""Sum polynomial and other kernels over pairs of rows, whole and by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.statistics import moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Kernel = Callable[[Array, Array], Array]


def _rows_at_once(m: int) -> int:
    return max(1, moments.CHUNK // max(m, 1))


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
