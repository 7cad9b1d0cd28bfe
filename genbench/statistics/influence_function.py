"""What each sample adds to a Fréchet distance, to first order (its influence function):
which samples cost most, and which became worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import linalg, np
from genbench.statistics import matrix_sqrt, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def influence(rows: Array, held: Array, of: Array | None = None) -> Array:
    """ψ of each row of samples [n, d] against a reference [m, d], float64 [n];
    its mean over the samples is 0.

    of: other rows [k, d] in place of the samples, each as if it were one of them.

    ψ(x) = 2 (μ − m)·(x − μ) + (x − μ)ᵀ (I − T) (x − μ) − tr((I − T) S), where T = C^½ (C^½ S
    C^½)^−½ C^½ takes the Gaussian of the samples (μ, S) to that of the reference (m, C). Fewer
    samples than about two to a dimension have no such influence: S has no inverse on their span.
    """
    ours, theirs = moments.moments(rows), moments.moments(held)
    s = moments.covariance(ours)
    half = matrix_sqrt.root(moments.covariance(theirs))
    squares, vectors = linalg.eigh(half @ s @ half)
    inverse = np.where(
        squares > squares[-1] * 1e-12, 1 / np.sqrt(np.maximum(squares, squares[-1] * 1e-12)), 0.0
    )
    stays = np.eye(len(s)) - half @ (vectors * inverse) @ vectors.T @ half
    centred = (rows if of is None else of) - ours.mean
    found = 2 * centred @ (ours.mean - theirs.mean) + ((centred @ stays) * centred).sum(1)
    return np.asarray(found - np.trace(stays @ s))
