"""`fd`: the Fréchet distance of two Gaussians fitted to features; FID where the features and the protocol are Inception's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench import intervals, stats
from genbench.arrays import Arrays, Side, Sighting
from genbench.lazy import np
from genbench.rows import Metric

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def fd(arrays: Arrays) -> float:
    """|mu_x - mu_y|^2 + tr(S + C - 2 (S C)^1/2), 0 to infinity, 0 for equal moments. samples [n, d], reference [m, d], float64, n, m >= 2.

    Heusel et al. (2017), eq. 6; covariances divided by n - 1 as in the original code. Other codes differ: scipy.linalg.sqrtm with 1e-6 added to
    singular covariances (original, clean-fid), eigenvalues of S C (torch-fidelity; 1e-6 off when singular), and the resize before the extractor.
    What moves it most is the sample size: the expectation falls with 1/n towards the population's distance.
    """
    x, y = arrays["samples"], arrays["reference"]
    mean, a = y.mean(0), _factor(arrays, "reference")
    return _distance(stats.diagonal_moments(x - mean), float((a * a).sum()), _term((x - mean) @ a.T))


def fd_left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
    """fd without each block of one side, float64 [B].

    The distance is symmetric, so one side moves and the other stays. With A^T A = the covariance that stays, tr (S C)^1/2 = tr (A S A^T)^1/2: rows are
    multiplied by A once, and each leave-out costs a merge of moments and eigenvalues, without a product of matrices or an eigenvector.
    """
    still: Side = "reference" if side == "samples" else "samples"
    a = _factor(arrays, still)
    x = arrays[side] - arrays[still].mean(0)
    projected, trace = x @ a.T, float((a * a).sum())
    members = [blocks == b for b in range(blocks.max() + 1)]
    if min(len(x) - stats.sizes_of(blocks)) < 2:
        return np.array([_distance(stats.diagonal_moments(x[~of]), trace, _term(projected[~of])) if (~of).sum() > 1 else np.nan for of in members])
    rest = stats.without_each([stats.diagonal_moments(x[of]) for of in members])
    return np.array([_distance(one, trace, term) for one, term in zip(rest, _terms(projected, members), strict=True)])


def _factor(arrays: Arrays, side: Side) -> Array:
    return arrays.once(("factor", side), lambda: stats.factor(arrays[side]))


def _distance(moving: stats.Moments, trace: float, term: float) -> float:
    """moving: moments about the other side's mean; trace of the other side's covariance; tr (S C)^1/2."""
    return float((moving.mean**2).sum() + stats.covariance(moving).sum() + trace - 2 * term)


def _term(projected: Array) -> float:
    """tr (A S A^T)^1/2 from the rows times A^T, float64 [n, a]: eigenvalues, or the nuclear norm where rows are fewer than columns."""
    if len(projected) < projected.shape[1]:
        return stats.nuclear_norm((projected - projected.mean(0)) / np.sqrt(len(projected) - 1))
    return stats.trace_of_root(stats.covariance(stats.moments(projected)))


def _terms(projected: Array, members: list[Array]) -> list[float]:
    """_term without each block; from moments merged, where none of them falls below the width."""
    if len(projected) - max(int(of.sum()) for of in members) < projected.shape[1]:
        return [_term(projected[~of]) for of in members]
    return [stats.trace_of_root(stats.covariance(rest)) for rest in stats.without_each([stats.moments(projected[of]) for of in members])]


def known_failings(seen: Sighting) -> tuple[str, ...]:
    """Below n = 2d intervals are too wide (twice at n = d/2), and a collapsed model can score better than a faithful one; and see wide_near_real."""
    return ("small sample",) if seen.n < 2 * seen.d else intervals.wide_near_real(seen.value, seen.real_high)


FD = Metric(
    name="fd",
    title="Fréchet distance of features",
    needs=("samples", "reference"),
    better="lower",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=fd,
    left_out=fd_left_out,
    paper="Heusel et al. 2017, arXiv:1706.08500",
    properties=frozenset({"symmetric", "order_invariant", "rotation_invariant", "zero_on_identical"}),
    flags=known_failings,
)
