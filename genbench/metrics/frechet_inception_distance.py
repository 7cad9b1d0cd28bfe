"""`fd`: the Fréchet distance of two Gaussians fitted to features,
FID where the features are Inception's; what it tends to as n grows; `mifd`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import COUNT, FLAG, SEED, Measure, Metric
from genbench.api.metric_inputs import Arrays, Side, Sighting
from genbench.metrics import _streaming as large_runs
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals, frechet_distance, moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def fd(arrays: Arrays, *, divisor: float = 1) -> float:
    """|mu_x - mu_y|^2 + tr(S + C - 2 (S C)^1/2), 0 to infinity, 0 for equal moments.

    samples [n, d], reference [m, d], float64, n, m >= 2.

    Heusel et al. (2017), eq. 6. divisor: covariances are divided by n - divisor; 1 in the original
    and most codes, 0 in NVIDIA's StyleGAN2-ADA and 3. Other codes differ: scipy.linalg.sqrtm with
    1e-6 added to singular covariances (original, clean-fid), eigenvalues of S C (torch-fidelity;
    1e-6 off when singular, means in float32), and the resize before the extractor. Singular
    covariances are taken as they are here: nothing is added.
    What moves it most is the sample size: the expectation falls with 1/n towards the
    population's distance.
    Without rows of the reference its moments are enough (arrays.instead); without rows of the
    samples, those of each block.
    """
    if "samples" not in arrays:
        return _streamed(arrays, int(divisor))[0]
    return frechet_distance.distance(arrays["samples"], _fitted(arrays, "reference", int(divisor)))


def fd_left_out(arrays: Arrays, blocks: Array, side: Side, *, divisor: float = 1) -> Array:
    """fd without each block of one side, float64 [B]; of the samples' side only,
    where the reference is known by its moments.

    The distance is symmetric, so one side moves and the other stays: gaussians.distances_without.
    """
    if side not in arrays:
        return _streamed(arrays, int(divisor))[1]
    still = _fitted(arrays, "reference" if side == "samples" else "samples", int(divisor))
    if "samples" not in arrays:
        return _with_little_memory(
            arrays[side], still, [blocks == b for b in range(int(blocks.max()) + 1)]
        )
    return frechet_distance.distances_without(
        *frechet_distance.projected(arrays[side], still), still, blocks, int(blocks.max()) + 1
    )


def fd_infinity(
    arrays: Arrays, *, points: float = 15, seed: float = 0, divisor: float = 1
) -> float:
    """The Fréchet distance extrapolated to n -> infinity samples, -infinity to infinity:
    it may lie below 0.

    The reference stays as it is, with its m.

    Chong & Forsyth (2020), section 3: fd of random subsets of `points` sizes from max(n / 10, 2),
    at most 5,000, to n, fitted by a line in 1/n; its value at 0. Sizes and subsets (numpy's
    default_rng, choice without replacement, size by size) as in dgm-eval, which leaves the seed
    open; the authors' own code shuffles instead. The line holds for n well above d. Needs points +
    1 products and eigenvalue problems of width d.
    """
    return _extrapolated(arrays, _random_subsets(arrays, int(points), int(seed)), int(divisor))


def fd_infinity_left_out(
    arrays: Arrays,
    blocks: Array,
    side: Side,
    *,
    points: float = 15,
    seed: float = 0,
    divisor: float = 1,
) -> Array:
    """fd_infinity without each block of one side, float64 [B]:
    subsets are drawn once over all n, and a block's members are taken out of them.

    That is points * B eigenvalue problems of width d, and no exact way is known round them: at d =
    2,048, 15 points and 20 blocks take about 300 times half a second on two cores (a first-order
    shortcut was 3 to 50 % off). At d = 64 it takes a second.
    """
    return _extrapolated_without(
        arrays, blocks, side, _random_subsets(arrays, int(points), int(seed)), int(divisor)
    )


def fd_extrapolated(arrays: Arrays, *, divisor: float = 1) -> float:
    """As fd_infinity, from two sizes: all n samples and the two halves of them,
    first and second by index; -infinity to infinity.

    Three distances instead of 15, and no seed. Samples in the order of their indices are balanced
    in each half; samples sorted by class are not, and would be extrapolated wrongly.
    """
    return _extrapolated(arrays, _halves(arrays), int(divisor))


def fd_extrapolated_left_out(
    arrays: Arrays, blocks: Array, side: Side, *, divisor: float = 1
) -> Array:
    """fd_extrapolated without each block of one side, float64 [B];
    a block's members are taken out of their half.
    """
    return _extrapolated_without(arrays, blocks, side, _halves(arrays), int(divisor))


def mifd(arrays: Arrays, *, eps: float = 0.1, over: str = "samples", divisor: float = 1) -> float:
    """fd / (D + 1e-14), D = the mean cosine distance 1 - |cos| to the nearest row of the other set
    where that is below eps, else 1; 0 to infinity.

    Bai et al. (2021), section 4; the reference is the training set it is meant to find copies of.
    over: whose rows the mean is over. "samples": to their nearest reference row, as in the paper
    and in Kaggle's code; "reference" as in torchmetrics, whose two sets are exchanged. Rows of
    length 0 do not count. An fd below 1e-8 gives 0 (torchmetrics). It jumps by a factor of 1 / eps
    where D passes eps, and no interval covers that.
    """
    near, counts = _nearest(arrays, over)
    return float(
        _informed(np.array(fd(arrays, divisor=divisor)), (near * counts).sum() / counts.sum(), eps)
    )


def mifd_left_out(
    arrays: Arrays,
    blocks: Array,
    side: Side,
    *,
    eps: float = 0.1,
    over: str = "samples",
    divisor: float = 1,
) -> Array:
    """mifd without each block of one side, float64 [B]."""
    near, counts = _nearest(arrays, over)
    if side == over:
        means = statistics_blocks.sums_without(
            near * counts, blocks
        ) / statistics_blocks.sums_without(counts, blocks)
    else:
        own = _nearest_by_block(
            arrays[over], arrays[side], [blocks == b for b in range(blocks.max() + 1)]
        )
        means = np.array(
            [
                (np.delete(own, b, 1).min(1, initial=np.inf) * counts).sum() / counts.sum()
                for b in range(own.shape[1])
            ]
        )
    return _informed(fd_left_out(arrays, blocks, side, divisor=divisor), means, eps)


# The Gaussian that stays


def _fitted(arrays: Arrays, side: Side, lost: int) -> frechet_distance.Gaussian:
    """Fitted to the rows of a side, or made from the moments that stand for them."""

    def make() -> frechet_distance.Gaussian:
        if side in arrays:
            return frechet_distance.fit(arrays[side], lost)
        if side == "samples":
            return frechet_distance.of_moments(_streamed(arrays, lost)[2], lost, own=lost)
        return frechet_distance.of_moments(arrays.instead("moments", side), lost)

    return arrays.once(("fitted", side, lost), make)


def _streamed(arrays: Arrays, lost: int) -> tuple[float, Array, moments.Moments]:
    """fd, fd without each block of the samples, and the moments of all of them;
    those of the blocks, 32 MB each at a width of 2,048, are not kept.
    """

    def make() -> tuple[float, Array, moments.Moments]:
        blocks = arrays.instead("blocks", "samples")()
        return (
            *frechet_distance.distances_of_moments(blocks, _fitted(arrays, "reference", lost)),
            moments.merge_all(blocks),
        )

    return arrays.once(("streamed", "samples", lost), make)


def _with_little_memory(x: Array, still: frechet_distance.Gaussian, members: list[Array]) -> Array:
    """The distance without each block's members: by moments of the blocks,
    or from the other rows each time, whichever is less to hold.
    """
    if large_runs.streams(FD, *x.shape[::-1]):
        return frechet_distance.distances_of_moments(
            [moments.moments(x[of]) for of in members], still
        )[1]
    return np.array([frechet_distance.distance(x[~of], still) for of in members])


# Extrapolation


def _random_subsets(arrays: Arrays, points: int, seed: int) -> list[Array]:
    """Rows of the samples, int64, drawn at each size."""
    rng, n = np.random.default_rng(seed), len(arrays["samples"])
    sizes = np.linspace(min(5000, max(n / 10, 2)), n, points).astype(np.int64)
    return [rng.choice(n, size, replace=False) for size in sizes]


def _halves(arrays: Arrays) -> list[Array]:
    every = np.arange(len(arrays["samples"]))
    return [every, *np.split(every, [len(every) // 2])]


def _extrapolated(arrays: Arrays, subsets: list[Array], lost: int) -> float:
    still = _fitted(arrays, "reference", lost)
    values = [frechet_distance.distance(arrays["samples"][of], still) for of in subsets]
    return float(
        _at_infinity(np.array([[len(of)] for of in subsets]), np.array(values)[:, None])[0]
    )


def _extrapolated_without(
    arrays: Arrays, blocks: Array, side: Side, subsets: list[Array], lost: int
) -> Array:
    count = int(blocks.max()) + 1
    if side == "samples":
        still = _fitted(arrays, "reference", lost)
        x, projected = frechet_distance.projected(arrays["samples"], still)
        values = [
            frechet_distance.distances_without(x[of], projected[of], still, blocks[of], count)
            for of in subsets
        ]
        return _at_infinity(
            np.array([len(of) - np.bincount(blocks[of], minlength=count) for of in subsets]),
            np.array(values),
        )
    fits = (frechet_distance.fit(arrays["samples"][of], lost) for of in subsets)
    values = [
        frechet_distance.distances_without(
            *frechet_distance.projected(arrays["reference"], still), still, blocks, count
        )
        for still in fits
    ]
    return _at_infinity(np.array([[len(of)] * count for of in subsets]), np.array(values))


def _at_infinity(counts: Array, values: Array) -> Array:
    """The value at 1/count = 0 of the least-squares line through each column, float64 [B];
    counts, values [points, B].

    Points without a value (fewer than two rows) do not count; NaN where one size is left.
    """
    there = np.isfinite(values)
    number = np.maximum(there.sum(0), 1)
    x = np.where(there, 1 / np.maximum(counts, 1), 0.0)
    y = np.where(there, values, 0.0)
    mean_x, mean_y = x.sum(0) / number, y.sum(0) / number
    x = np.where(there, x - mean_x, 0.0)
    spread = (x * x).sum(0)
    return np.where(
        spread > 0, mean_y - mean_x * (x * y).sum(0) / np.where(spread > 0, spread, 1.0), np.nan
    )


# Memorisation


def _nearest(arrays: Arrays, over: str) -> tuple[Array, Array]:
    """For each row of one side its cosine distance 1 - |cos| to the nearest row of the other,
    and whether it counts (1, or 0 for a row of length 0).
    """
    assert over in ("samples", "reference"), f"over is {over!r}, allowed are samples and reference"
    x, y = (arrays[over], arrays["reference" if over == "samples" else "samples"])
    near = arrays.once(
        ("nearest by angle", over),
        lambda: _nearest_by_block(x, y, [np.ones(len(y), dtype=bool)])[:, 0],
    )
    return near, (x != 0).any(1).astype(np.float64)


def _nearest_by_block(x: Array, y: Array, members: list[Array]) -> Array:
    """The smallest 1 - |cos| of each row of x [n, d] within each block of y [m, d], float64 [n, B];
    infinity where a block has no row of a length.
    """
    x, y = (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        for rows in (x, y)
    )
    members = [np.flatnonzero(of & (y != 0).any(1)) for of in members]
    near = np.empty((len(x), len(members)))
    for start in range(0, len(x), at_once := max(1, moments.CHUNK // len(y))):
        rows = slice(start, start + at_once)
        angle = np.maximum(1 - np.abs(x[rows] @ y.T), 0.0)
        near[rows] = np.stack([angle[:, of].min(1, initial=np.inf) for of in members], 1)
    return near


def _informed(distance: Array, nearest: Array, eps: float) -> Array:
    return np.where(
        distance > 1e-8,
        distance / (np.where(nearest < eps, nearest, 1.0) + 1e-14),
        np.where(np.isnan(distance), np.nan, 0.0),
    )


def known_failings(seen: Sighting) -> tuple[str, ...]:
    """Below n = 2d intervals are too wide (twice at n = d/2),
    and a collapsed model can score better than a faithful one; and see wide_near_real.
    """
    return (
        ("small sample",)
        if seen.n < 2 * seen.d
        else confidence_intervals.wide_near_real(seen.value, seen.real_high)
    )


def line_failings(seen: Sighting) -> tuple[str, ...]:
    """The line through 1/n bends where its smallest subset, a tenth of n, lies below 2d;
    below n = 5d its interval is 2 to 4 times too wide everywhere.
    """
    small = ("small sample",) if max(min(5000, seen.n // 10), 2) < 2 * seen.d else ()
    return small or (("interval too wide",) if seen.n < 5 * seen.d else known_failings(seen))


def halves_failings(seen: Sighting) -> tuple[str, ...]:
    """The line through all and two halves: below n = 5d its interval is 2 to 4 times too wide,
    near real data and far from it.
    """
    return ("interval too wide",) if 2 * seen.d <= seen.n < 5 * seen.d else known_failings(seen)


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
    falls=1.0,
    properties=frozenset(
        {"symmetric", "order_invariant", "rotation_invariant", "zero_on_identical"}
    ),
    from_moments=True,
    streams=True,
    flags=known_failings,
    allowed={"divisor": FLAG},
)

FD_INFINITY = Metric(
    name="fd_infinity",
    title="Fréchet distance extrapolated to infinitely many samples, from 15 sizes",
    needs=("samples", "reference"),
    better="lower",
    range=(-float("inf"), float("inf")),
    interval="jackknife",
    value=fd_infinity,
    left_out=fd_infinity_left_out,
    paper="Chong & Forsyth 2020, arXiv:1911.07023",
    smallest_n=20,
    seeded=True,
    properties=frozenset({"rotation_invariant"}),
    from_moments=True,
    flags=line_failings,
    allowed={"points": COUNT[1:], "seed": SEED, "divisor": FLAG},
)

FD_EXTRAPOLATED = Metric(
    name="fd_extrapolated",
    title="Fréchet distance extrapolated to infinitely many samples, from all and from halves",
    needs=("samples", "reference"),
    better="lower",
    range=(-float("inf"), float("inf")),
    interval="jackknife",
    value=fd_extrapolated,
    left_out=fd_extrapolated_left_out,
    paper="Chong & Forsyth 2020, arXiv:1911.07023",
    smallest_n=8,
    seeded=True,  # not by a seed, but by index: a half that loses a block stays a half
    properties=frozenset({"rotation_invariant"}),
    from_moments=True,
    flags=halves_failings,
    allowed={"divisor": FLAG},
)

MIFD = Metric(
    name="mifd",
    title=(
        "Fréchet distance over the cosine distance to the nearest real features, "
        "where these are close"
    ),
    needs=("samples", "reference"),
    better="lower",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=mifd,
    left_out=mifd_left_out,
    paper="Bai et al. 2021, arXiv:2106.03062",
    properties=frozenset({"order_invariant", "rotation_invariant", "zero_on_identical"}),
    flags=known_failings,
    allowed={"over": ("samples", "reference"), "divisor": FLAG},
)

FID = Measure(
    "fd", "inception-tf1.pool", name="fid", title="FID: Fréchet distance of Inception's features"
)
SFID = Measure(
    "fd",
    "inception-tf1.spatial",
    name="sfid",
    title="sFID: Fréchet distance of Inception's spatial features",
)
FD_DINOV2 = Measure(
    "fd", "dinov2-vit-l-14.cls", name="fd_dinov2", title="Fréchet distance of DINOv2's features"
)
FD_CLIP = Measure(
    "fd", "clip-vit-b-32.embedding", name="fd_clip", title="Fréchet distance of CLIP's features"
)
FID_INFINITY = Measure(
    "fd_infinity",
    "inception-tf1.pool",
    name="fid_infinity",
    title="FID extrapolated to infinitely many samples",
)
MIFID = Measure(
    "mifd",
    "inception-tf1.pool",
    name="mifid",
    title="MiFID: FID over the cosine distance to the nearest real features, where these are close",
)
