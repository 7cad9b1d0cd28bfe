"""`f8`, `f1_8`: precision and recall for distributions (PRD),
by the shares of samples and reference in clusters of both together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.metric import COUNT, Metric
from genbench.api.metric_inputs import Arrays, Side

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

CLUSTERS, RUNS, ANGLES, BETA = 20, 10, 1001, 8
EDGE = 1e-10  # the curve's ends lie so far from 0 and 90 degrees
ROUNDS = 100  # of Lloyd's algorithm at most


def f8(arrays: Arrays, *, clusters: float = CLUSTERS, runs: float = RUNS) -> float:
    """The largest F_8 of the PRD curve, 0 to 1, 1 for equal shares: weighs recall.

    samples [n, d], reference [m, d], float64, n + m >= clusters.

    Sajjadi et al. (2018), section 4 and eq. 7: k-means of both sets together, curves averaged over
    runs. The original takes mini-batch k-means without a seed; ours is Lloyd's from a k-means++
    start with seed 0, 1, .. for each run: one draw of theirs. Theirs asks for n = m, as the larger
    set draws the clusters; ours goes on. CBDM takes 20 clusters a class (clusters = 20 C).
    """
    return _largest(_curve(arrays, clusters, runs), BETA)


def f1_8(arrays: Arrays, *, clusters: float = CLUSTERS, runs: float = RUNS) -> float:
    """The largest F_1/8 of the PRD curve, 0 to 1: weighs precision. As f8."""
    return _largest(_curve(arrays, clusters, runs), 1 / BETA)


def f8_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, clusters: float = CLUSTERS, runs: float = RUNS
) -> Array:
    """f8 without each block of one side, float64 [B]; clusters are found once,
    and a block takes its members out of them.
    """
    return np.array(
        [_largest(curve, BETA) for curve in _curves_without(arrays, blocks, side, clusters, runs)]
    )


def f1_8_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, clusters: float = CLUSTERS, runs: float = RUNS
) -> Array:
    """f1_8 without each block of one side, float64 [B]; as f8_left_out."""
    return np.array(
        [
            _largest(curve, 1 / BETA)
            for curve in _curves_without(arrays, blocks, side, clusters, runs)
        ]
    )


def prd_curve(samples: Array, reference: Array, angles: int = ANGLES) -> tuple[Array, Array]:
    """Precision and recall, each float64 [angles], 0 to 1, from shares in clusters [C]:
    Sajjadi et al. (2018), eq. 4 and 5, at equal angles.
    """
    slopes = np.tan(np.linspace(EDGE, np.pi / 2 - EDGE, angles))
    precision = np.minimum(slopes[:, None] * reference, samples).sum(1)
    return precision, precision / slopes


def _largest(curve: tuple[Array, Array], beta: float) -> float:
    """The largest F_beta of a curve, 0 to 1; the original's 1e-10 keeps 0 / 0 at 0."""
    precision, recall = (np.minimum(one, 1.0) for one in curve)
    return float(((1 + beta**2) * precision * recall / (beta**2 * precision + recall + EDGE)).max())


def _curve(arrays: Arrays, clusters: float, runs: float) -> tuple[Array, Array]:
    """The curve averaged over runs."""
    in_samples, in_reference = _clusters(arrays, int(clusters), int(runs))
    return _average(_shares(in_samples, clusters), _shares(in_reference, clusters))


def _curves_without(
    arrays: Arrays, blocks: Array, side: Side, clusters: float, runs: float
) -> list[tuple[Array, Array]]:
    of = dict(
        zip(("samples", "reference"), _clusters(arrays, int(clusters), int(runs)), strict=True)
    )
    kept = [{**of, side: of[side][:, blocks != b]} for b in range(blocks.max() + 1)]
    return [
        _average(_shares(one["samples"], clusters), _shares(one["reference"], clusters))
        for one in kept
    ]


def _average(samples: Array, reference: Array) -> tuple[Array, Array]:
    """The mean curve of runs, from shares [runs, C]."""
    curves = [prd_curve(*shares) for shares in zip(samples, reference, strict=True)]
    return np.mean([precision for precision, _ in curves], axis=0), np.mean(
        [recall for _, recall in curves], axis=0
    )


def _shares(members: Array, clusters: float) -> Array:
    """The share of each cluster in each run, float64 [runs, clusters].

    members int64 [runs, n]: the cluster of each row.
    """
    return np.stack([np.bincount(run, minlength=int(clusters)) for run in members]) / max(
        members.shape[1], 1
    )


def _clusters(arrays: Arrays, clusters: int, runs: int) -> tuple[Array, Array]:
    """The cluster of each sample and of each row of the reference in each run,
    int64 [runs, n] and [runs, m].
    """

    def make() -> tuple[Array, Array]:
        x, y = arrays["samples"], arrays["reference"]
        if len(x) + len(y) < clusters:
            raise UserError(
                f"{len(x)} samples and {len(y)} rows of the reference make no {clusters} clusters: "
                "take fewer clusters or more samples"
            )
        both = np.concatenate([x, y])
        both -= both.mean(0)
        members = np.stack([_k_means(both, clusters, seed) for seed in range(runs)])
        return members[:, : len(x)], members[:, len(x) :]

    return arrays.once(("clusters", clusters, runs), make)


def _k_means(x: Array, clusters: int, seed: int) -> Array:
    """The cluster of each row of x [n, d], int64 [n]: Lloyd (1982) from the start of Arthur &
    Vassilvitskii (2007); empty clusters stay empty.
    """
    rng, sizes = np.random.default_rng(seed), np.einsum("ij,ij->i", x, x)
    centres = x[[rng.integers(len(x))]]
    nearest = np.maximum(_apart(x, sizes, centres)[:, 0], 0)
    while len(centres) < clusters and nearest.sum() > 0:
        new = x[
            [
                np.searchsorted(
                    np.cumsum(nearest), rng.random() * nearest.sum(), side="right"
                ).clip(max=len(x) - 1)
            ]
        ]
        centres, nearest = (
            np.concatenate([centres, new]),
            np.minimum(nearest, np.maximum(_apart(x, sizes, new)[:, 0], 0)),
        )
    members = np.full(len(x), -1)
    for _ in range(ROUNDS):
        # squared distances less the row's own size
        found = (x @ (-2 * centres.T) + np.einsum("ij,ij->i", centres, centres)).argmin(1)
        if (found == members).all():
            break
        members = found
        member = np.zeros((len(centres), len(x)))
        member[members, np.arange(len(x))] = 1
        counts = member.sum(1, keepdims=True)
        centres = np.where(counts > 0, member @ x / np.maximum(counts, 1), centres)
    return members


def _apart(x: Array, sizes: Array, centres: Array) -> Array:
    """Squared distances to the centres, float64 [n, C]."""
    squares: Array = x @ (-2 * centres.T)
    squares += sizes[:, None]
    squares += np.einsum("ij,ij->i", centres, centres)
    return squares


F8 = Metric(
    name="f8",
    title="PRD: largest F_8, which weighs recall",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=f8,
    left_out=f8_left_out,
    paper="Sajjadi et al. 2018, arXiv:1806.00035",
    smallest_n=CLUSTERS,
    seeded=True,
    properties=frozenset({"rotation_invariant", "scale_invariant", "one_on_identical"}),
    # 0.8 to 1.8 times: a curve's maximum over clusters moves in steps (tests/bench/coverage.md)
    flags=lambda seen: ("the interval is a guess",),
    allowed={"clusters": COUNT, "runs": COUNT},
)

F1_8 = Metric(
    name="f1_8",
    title="PRD: largest F_1/8, which weighs precision",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=f1_8,
    left_out=f1_8_left_out,
    paper="Sajjadi et al. 2018, arXiv:1806.00035",
    smallest_n=CLUSTERS,
    seeded=True,
    properties=frozenset({"rotation_invariant", "scale_invariant", "one_on_identical"}),
    # 0.8 to 1.8 times: a curve's maximum over clusters moves in steps (tests/bench/coverage.md)
    flags=lambda seen: ("the interval is a guess",),
    allowed={"clusters": COUNT, "runs": COUNT},
)
