"""`mind`: the sliced Wasserstein distance of features, from sorted projections on
random directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch
from genbench.api.metric import COUNT, SEED, Metric
from genbench.api.metric_inputs import Arrays, Side
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def mind(arrays: Arrays, *, projections: float = 1000, seed: float = 2020) -> float:
    """3 d times the mean over random directions u of the squared 2-Wasserstein distance between u.x
    and u.y, 0 to infinity; 0 for equal sets.

    samples [n, d], reference [m, d], float64. Berthet et al. (2026), "MIND: Monge Inception
    Distance". In one dimension the distance is the integral of the squared difference of the
    quantile functions; with n = m, the mean over sorted pairs. torch-fidelity (0.5, unreleased) has
    the same directions (torch's generator with this seed, float32) and float32 projections, and
    draws subsets of the smaller size where n and m differ; here all rows count.
    """
    x, y = arrays["samples"], arrays["reference"]
    grid = _grid(len(x), len(y))
    total = sum(
        _squared(np.sort(a, 1), np.sort(b, 1), *grid)
        for a, b in _projected(x, y, int(projections), int(seed))
    )
    return 3.0 * x.shape[1] * float(total) / int(projections)


def mind_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, projections: float = 1000, seed: float = 2020
) -> Array:
    """mind without each block of one side, float64 [B]; NaN where nothing is left.

    Projections are sorted once, and a block's members taken out.
    """
    x, y = arrays[side], arrays["reference" if side == "samples" else "samples"]
    left = len(x) - statistics_blocks.sizes_of(blocks)
    grids = [_grid(n, len(y)) if n else None for n in left]
    total = np.where(left > 0, 0.0, np.nan)
    for moving, still in _projected(x, y, int(projections), int(seed)):
        order = np.argsort(moving, 1)
        a, owner, b = np.take_along_axis(moving, order, 1), blocks[order], np.sort(still, 1)
        for block, grid in enumerate(grids):
            if grid is not None:
                total[block] += _squared(a[owner != block].reshape(len(a), -1), b, *grid)
    return 3.0 * x.shape[1] * total / int(projections)


def _projected(x: Array, y: Array, projections: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Both sets on the random unit directions, some at a time:
    float64 [directions, n] and [directions, m].
    """
    directions = torch.randn(
        projections, x.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float32
    )
    u = (directions / directions.norm(dim=1, keepdim=True)).double().numpy()
    at_once = max(1, moments.CHUNK // (len(x) + len(y)))
    for start in range(0, projections, at_once):
        yield u[start : start + at_once] @ x.T, u[start : start + at_once] @ y.T


def _grid(n: int, m: int) -> tuple[Array, Array, Array]:
    """The steps of two quantile functions laid over each other:
    of each step its place among n and among m sorted values, and its width.
    """
    # in units of 1 / (n m), so that equal ends are equal
    ends = np.unique(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]))
    starts = np.concatenate([[0], ends[:-1]])
    return starts // m, starts // n, (ends - starts) / (n * m)


def _squared(a: Array, b: Array, of_a: Array, of_b: Array, width: Array) -> float:
    """The sum over directions of the squared distances; a [directions, n], b [directions, m],
    sorted.
    """
    if a.shape == b.shape:
        return float(((a - b) ** 2).sum() / a.shape[1])
    return float((((a[:, of_a] - b[:, of_b]) ** 2) @ width).sum())


MIND = Metric(
    name="mind",
    title="sliced squared Wasserstein distance of features, times 3 d",
    needs=("samples", "reference"),
    better="lower",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=mind,
    left_out=mind_left_out,
    paper="Berthet et al. 2026, arXiv:2605.06797",
    falls=1.0,
    properties=frozenset({"symmetric", "order_invariant", "zero_on_identical"}),
    experimental=True,
    flags=lambda seen: confidence_intervals.wide_near_real(seen.value, seen.real_high),
    allowed={"projections": COUNT, "seed": SEED},
)
