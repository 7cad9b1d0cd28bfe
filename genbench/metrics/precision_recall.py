"""`precision`, `recall`, `density`, `coverage`: which samples lie among the reference and the
reverse, by balls that reach to the k-th neighbour.

A row's ball has the squared distance to the k-th nearest other row of its own set as squared
radius. A point on its surface lies inside with strict = 0 (<=: Kynkäänniemi et al., ADM, NVIDIA,
torch-fidelity) and outside with strict = 1 (<: prdc, dgm-eval, StudioGAN): equal on continuous
data, not on sets with copies. A row is no neighbour of itself, by index, so identical sets
give 1 under <=.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import COUNT, FLAG, Measure, Metric
from genbench.api.metric_inputs import Arrays, Side, Sighting
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals, nearest_neighbours

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

K = 5  # Naeem et al.; Kynkäänniemi et al. take 3
# a copy of a row's k-th neighbour lies exactly on its ball: the rule decides such ties, not the
# rounding of a distance
SURFACE = 1e-9


def precision(arrays: Arrays, *, k: float = K, strict: float = 0) -> float:
    """The share of samples [n, d] inside any ball of the reference [m, d], 0 to 1; k < m.

    Kynkäänniemi et al. (2019), eq. 1 and 2; their k is 3.

    torch-fidelity before 0.4.0 gave this number the name of recall, and the reverse. ADM compares
    squared distances in float16, NVIDIA rounds features and radii to float16: about 1e-3 off.
    """
    return float((_inside(arrays, int(k), strict).reference > 0).mean())


def precision_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, k: float = K, strict: float = 0
) -> Array:
    """precision without each block of one side, float64 [B];
    without a block of the reference the other balls grow.
    """
    return _share_left_out(arrays, blocks, side, "reference", int(k), strict)


def recall(arrays: Arrays, *, k: float = K, strict: float = 0) -> float:
    """The share of the reference [m, d] inside any ball of the samples [n, d], 0 to 1; k < n.

    Kynkäänniemi et al. (2019), eq. 1 and 2; their k is 3.
    """
    return float((_inside(arrays, int(k), strict).samples > 0).mean())


def recall_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, k: float = K, strict: float = 0
) -> Array:
    """recall without each block of one side, float64 [B]; without a block of the samples the
    other balls grow.
    """
    return _share_left_out(arrays, blocks, side, "samples", int(k), strict)


def density(arrays: Arrays, *, k: float = K, strict: float = 0) -> float:
    """The mean number of balls of the reference [m, d] that a sample [n, d] lies in, over k:
    0 to m / k, expectation 1 for equal distributions.

    Naeem et al. (2020), eq. 4. Identical sets give (k + 1) / k, as each row lies in its own ball;
    their code (<) 1.
    """
    return float(_inside(arrays, int(k), strict).reference.mean()) / int(k)


def density_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, k: float = K, strict: float = 0
) -> Array:
    """density without each block of one side, float64 [B]."""
    if side == "samples":
        return statistics_blocks.means_without(
            _inside(arrays, int(k), strict).reference.astype(np.float64), blocks
        ) / int(k)
    return _undefined(
        blocks, int(k), _without(arrays, side, blocks, int(k), strict).inside.mean(0) / int(k)
    )


def coverage(arrays: Arrays, *, k: float = K, strict: float = 0) -> float:
    """The share of the reference's balls [m, d] that hold any sample [n, d], 0 to 1; k < m.

    Naeem et al. (2020), eq. 5; expectation 1 - 2^-k at n = m.
    """
    return float((_inside(arrays, int(k), strict).held > 0).mean())


def coverage_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, k: float = K, strict: float = 0
) -> Array:
    """coverage without each block of one side, float64 [B]."""
    held = _without(arrays, side, blocks, int(k), strict).held > 0
    if side == "samples":
        return held.mean(0)
    return _undefined(
        blocks,
        int(k),
        held.sum(0) / np.maximum(len(blocks) - statistics_blocks.sizes_of(blocks), 1),
    )


def _share_left_out(
    arrays: Arrays, blocks: Array, side: Side, balls: Side, k: int, strict: float
) -> Array:
    """The share of the other side's rows that lie inside any ball,
    without each block of one side.
    """
    if side != balls:
        inside = _inside(arrays, k, strict)
        return statistics_blocks.means_without(
            ((inside.reference if balls == "reference" else inside.samples) > 0).astype(np.float64),
            blocks,
        )
    return _undefined(blocks, k, (_without(arrays, side, blocks, k, strict).inside > 0).mean(0))


def _undefined(blocks: Array, k: int, values: Array) -> Array:
    """NaN where too few rows are left for a k-th neighbour."""
    return np.where(len(blocks) - statistics_blocks.sizes_of(blocks) > k, values, np.nan)


# Radii


def _reach(squares: Array, strict: float) -> Array:
    """Up to which squared distance a ball holds a point; -1, which holds nothing,
    for an open ball of radius 0.
    """
    if not strict:
        return squares * (1 + SURFACE)
    return np.where(squares > 0, squares * (1 - SURFACE), -1.0)


def _near(arrays: Arrays, side: Side, k: int) -> tuple[Array, Array]:
    """The squared distances and places of the 2k nearest other rows,
    so that k are left without a block; the same for every k up to K.
    """
    count = min(2 * max(k, K), max(len(arrays[side]) - 1, k))
    return arrays.once(
        ("near", side, count), lambda: nearest_neighbours.nearest_others(arrays[side], count)
    )


# Balls


@dataclass(frozen=True)
class _Inside:
    """How many balls hold a point, and how many points a ball."""

    reference: Array  # balls of the reference that hold each sample, int64 [n]
    samples: Array  # balls of the samples that hold each row of the reference, int64 [m]
    held: Array  # samples in each ball of the reference, int64 [m]


def _inside(arrays: Arrays, k: int, strict: float) -> _Inside:
    def make() -> _Inside:
        x, y = arrays["samples"], arrays["reference"]
        reach_x, reach_y = (
            _reach(_near(arrays, side, k)[0][:, k - 1], strict) for side in ("samples", "reference")
        )
        found = _Inside(*(np.zeros(size, dtype=np.int64) for size in (len(x), len(y), len(y))))
        for i, j, squares in nearest_neighbours.close(x, y, reach_x, reach_y):
            of_reference, of_samples = squares <= reach_y[j], squares <= reach_x[i]
            _add(found.reference, i[of_reference])
            _add(found.held, j[of_reference])
            _add(found.samples, j[of_samples])
        return found

    return arrays.once(("inside", k, bool(strict)), make)


@dataclass(frozen=True)
class _Without:
    """The same without each block of one side, whose balls grow."""

    # balls of that side that hold each row of the other, int64 [rows of the other, B]
    inside: Array
    held: Array  # samples in each ball of the reference, int64 [m, B]


def _without(arrays: Arrays, side: Side, blocks: Array, k: int, strict: float) -> _Without:
    def make() -> _Without:
        x = arrays[side]
        reach = _reach(
            nearest_neighbours.outside(x, x, _near(arrays, side, k), blocks, k, others=True)[0],
            strict,
        )
        reach[np.arange(len(blocks)), blocks] = -1.0
        return (
            _reference_without(arrays, reach)
            if side == "reference"
            else _samples_without(arrays, reach, blocks, k, strict)
        )

    return arrays.once(("without", side, k, bool(strict), blocks.tobytes()), make)


def _reference_without(arrays: Arrays, reach: Array) -> _Without:
    x, y = arrays["samples"], arrays["reference"]
    inside, held = (np.zeros((reach.shape[1], size), dtype=np.int64) for size in (len(x), len(y)))
    for i, j, squares in nearest_neighbours.close(x, y, np.full(len(x), -1.0), reach.max(1)):
        for b in range(len(inside)):
            hits = squares <= reach[j, b]
            _add(inside[b], i[hits])
            _add(held[b], j[hits])
    return _Without(inside.T, held.T)


def _samples_without(
    arrays: Arrays, reach: Array, blocks: Array, k: int, strict: float
) -> _Without:
    x, y = arrays["samples"], arrays["reference"]
    fixed = _reach(_near(arrays, "reference", k)[0][:, k - 1], strict)
    inside, by_block = (np.zeros((reach.shape[1], len(y)), dtype=np.int64) for _ in range(2))
    for i, j, squares in nearest_neighbours.close(x, y, reach.max(1), fixed):
        for b in range(len(inside)):
            _add(inside[b], j[squares <= reach[i, b]])
        hits = squares <= fixed[j]
        _add(by_block.ravel(), blocks[i[hits]] * len(y) + j[hits])
    return _Without(inside.T, (by_block.sum(0) - by_block).T)


def _add(counts: Array, places: Array) -> None:
    """One more at each place."""
    if len(places):
        counts += np.bincount(places, minlength=len(counts))


def too_wide(seen: Sighting) -> tuple[str, ...]:
    """Samples shield each other, so the jackknife is conservative, 1.3 to 1.7 times,
    at every n and d (tests/bench/coverage.md); or there are few hits.
    """
    return confidence_intervals.few_hits(seen.value, seen.n) or ("interval too wide",)


PRECISION = Metric(
    name="precision",
    title="share of samples among the reference",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="wilson",
    value=precision,
    left_out=precision_left_out,
    paper="Kynkäänniemi et al. 2019, arXiv:1904.06991",
    smallest_n=K + 1,
    properties=frozenset(
        {"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}
    ),
    flags=lambda seen: (
        *confidence_intervals.few_counts(seen.value, seen.n),
        *confidence_intervals.wide_of_reference(),
    ),
    allowed={"k": COUNT, "strict": FLAG},
)

RECALL = Metric(
    name="recall",
    title="share of the reference among the samples",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=recall,
    left_out=recall_left_out,
    paper="Kynkäänniemi et al. 2019, arXiv:1904.06991",
    smallest_n=K + 1,
    properties=frozenset(
        {"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}
    ),
    flags=too_wide,
    allowed={"k": COUNT, "strict": FLAG},
)

DENSITY = Metric(
    name="density",
    title="how densely samples lie among the reference",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, float("inf")),
    interval="mean",
    value=density,
    left_out=density_left_out,
    paper="Naeem et al. 2020, arXiv:2002.09797",
    smallest_n=K + 1,
    properties=frozenset({"order_invariant", "rotation_invariant", "scale_invariant"}),
    flags=lambda seen: confidence_intervals.wide_of_reference(),
    allowed={"k": COUNT, "strict": FLAG},
)

COVERAGE = Metric(
    name="coverage",
    title="share of the reference with a sample near",
    needs=("samples", "reference"),
    better="higher",
    range=(0.0, 1.0),
    interval="jackknife",
    value=coverage,
    left_out=coverage_left_out,
    paper="Naeem et al. 2020, arXiv:2002.09797",
    smallest_n=K + 1,
    properties=frozenset(
        {"order_invariant", "rotation_invariant", "scale_invariant", "one_on_identical"}
    ),
    flags=too_wide,
    allowed={"k": COUNT, "strict": FLAG},
)

# The published names: NVIDIA's and torch-fidelity's precision and recall, Naeem et al.'s density
# and coverage in Inception's space (StudioGAN)
PUBLISHED_PRECISION = Measure(
    "precision",
    "vgg16.fc2",
    constants={"k": 3, "strict": 0},
    name="precision",
    title="precision (k = 3, VGG16)",
)
PUBLISHED_RECALL = Measure(
    "recall",
    "vgg16.fc2",
    constants={"k": 3, "strict": 0},
    name="recall",
    title="recall (k = 3, VGG16)",
)
PUBLISHED_DENSITY = Measure(
    "density",
    "inception-tf1.pool",
    constants={"k": 5, "strict": 1},
    name="density",
    title="density (k = 5, Inception)",
)
PUBLISHED_COVERAGE = Measure(
    "coverage",
    "inception-tf1.pool",
    constants={"k": 5, "strict": 1},
    name="coverage",
    title="coverage (k = 5, Inception)",
)
