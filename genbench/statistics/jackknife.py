"""Compute the delete-group jackknife's standard error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def jackknife(left_out: Array, sizes: Array, value: float) -> float:
    """The standard error of `value` by the delete-group jackknife with groups of unequal sizes;
    NaN with fewer than two groups.

    left_out float64 [B]: the value without each group; sizes [B] > 0: the members of each group.
    Busing, Meijer & van der Leeden (1999), "Delete-m jackknife for unequal m", eq. 3 to 5:
    pseudo-values p_j = h_j value - (h_j - 1) left_out_j with h_j = n / m_j. Equal sizes give the
    ordinary (B-1)/B sum (left_out_j - mean)^2, where `value` cancels. It does not cancel otherwise:
    leave-outs of a biased number, such as a Fréchet distance, differ because their sizes differ,
    and the pseudo-values take just that out.
    """
    left_out, sizes = np.asarray(left_out, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    assert left_out.shape == sizes.shape
    assert (sizes > 0).all()
    if len(sizes) < 2:
        return math.nan
    h = sizes.sum() / sizes
    # p_j less their centre, with the value taken out so that nothing cancels
    change = left_out - value
    off = ((1 - 1 / h) * change).sum() - (h - 1) * change
    return float(np.sqrt((off**2 / (h - 1)).mean()))
