"""What is said over classes: groups pooled, means and extremes, which class carries the Fréchet distance, intra-class FID by convention. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench import gaussians, stats
from genbench.lazy import np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

WORST = 5
AT_ONCE = 4096  # rows that are brought into float64 at once
FEWEST = 50  # rows of a side of a group, below which no number of it is told
POOLED = 4000  # rows of a group in its kernel distance, which looks at all pairs
LARGEST = 5000  # of a class's samples, in two conventions of intra-class FID


@dataclass(frozen=True)
class Convention:
    """How a paper's code takes an intra-class FID: against which images, and with how many samples of each class (0: as many as there are images)."""

    title: str
    against: str  # "reference" or "train"
    samples: int


CONVENTIONS: Mapping[str, Convention] = {
    "miyato": Convention("Miyato & Koyama 2018: 5,000 samples of each class against all its training images", "train", LARGEST),
    "studiogan": Convention("StudioGAN -iFID: as many samples of each class as it has reference images", "reference", 0),
    "noisytwins": Convention("NoisyTwins -ifid: 5,000 samples of each class against its reference images", "reference", LARGEST),
}


def kernel_distance(x: Array, y: Array) -> float:
    """The unbiased squared kernel distance of rows [n, d] and [m, d], n and m >= 2, in bounded memory."""
    within = [stats.kernel_sums(of, of, stats.polynomial)[0].sum() - (((of * of).sum(1) / of.shape[1] + 1) ** 3).sum() for of in (x, y)]
    across = stats.kernel_sums(x, y, stats.polynomial)[0].sum()
    n, m = len(x), len(y)
    return float(within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * across / (n * m))


def moments(rows: Array, places: Array | None = None) -> stats.Moments:
    """Moments in float64 of rows [n, d] of any precision, or of those at some places, some thousands at a time: no copy of all of them is made."""
    places = np.arange(len(rows)) if places is None else places
    return stats.merge_all([stats.moments(rows[places[at : at + AT_ONCE]].astype(np.float64)) for at in range(0, len(places), AT_ONCE)])


def of_groups(rows: Array, labels: Array, groups: Mapping[str, Sequence[int]]) -> dict[str, stats.Moments]:
    """The moments of each group's rows, where they are more than the features, so that moments are enough for a distance."""
    members = {name: np.flatnonzero(np.isin(labels, of)) for name, of in groups.items()}
    return {name: moments(rows, places) for name, places in members.items() if len(places) > rows.shape[1]}


def whole(rows: Array, parts: Mapping[str, stats.Moments]) -> stats.Moments:
    """The moments of all rows: of its parts' where they hold every row."""
    return stats.merge_all(list(parts.values())) if sum(of.count for of in parts.values()) == len(rows) else moments(rows)


def distance(x: Array, y: Array) -> float:
    """The Fréchet distance of rows [n, d] and [m, d], two at least; from moments where both covariances are of full rank, so that no copy is held."""
    found = None if min(len(x), len(y)) <= x.shape[1] else between(moments(x), moments(y))
    return gaussians.distance(x.astype(np.float64), gaussians.fit(y.astype(np.float64))) if found is None else found


def between(ours: stats.Moments, theirs: stats.Moments) -> float | None:
    """The Fréchet distance of moments, the second's covariance of full rank; None where it is not."""
    covariance, factor = stats.covariance(ours), stats.factor_of(stats.covariance(theirs))
    if len(factor) < len(covariance):
        return None
    apart = float(((ours.mean - theirs.mean) ** 2).sum())
    return float(apart + covariance.trace() + (factor * factor).sum() - 2 * stats.trace_of_product_root(covariance, factor))


def pooled(sides: Sequence[tuple[Array, Array, Mapping[str, stats.Moments]]], groups: Mapping[str, Sequence[int]]) -> dict[str, dict[str, Any]]:
    """{group: {"classes", "n", "m", "d", "fd", "small_sample", "kd", "kd_rows"}}: a group's samples together against its real images.

    That is FID-FS and KID-FS, one number, no mean.
    sides: samples and reference, each (rows [n, d], labels [n], what of_groups gave). kd: of at most POOLED rows of each side, evenly through them. None
    where a side has fewer than two rows; a group without a class is absent. small_sample: a side has fewer than 2 d rows, of which fd says more than of the
    group.
    """
    found, d = {}, sides[0][0].shape[1]
    for name, members in groups.items():
        if not members:
            continue
        places = [np.flatnonzero(np.isin(labels, members)) for _, labels, _ in sides]
        n, m = map(len, places)
        numbers: dict[str, Any] = {"fd": None, "kd": None, "kd_rows": 0}
        if min(n, m) >= 2:
            some = [rows[of[:: -(-len(of) // POOLED)]].astype(np.float64) for (rows, _, _), of in zip(sides, places, strict=True)]
            known = [parts[name] for _, _, parts in sides if name in parts]
            fd = between(*known) if len(known) == 2 else None
            fd = distance(*(rows[of] for (rows, _, _), of in zip(sides, places, strict=True))) if fd is None else fd
            numbers = {"fd": fd, "kd": kernel_distance(some[0], some[1]), "kd_rows": len(some[0])}
        found[name] = {"classes": [int(one) for one in members], "n": n, "m": m, "d": d, "small_sample": min(n, m) < 2 * d, **numbers}
    return found


def carried(samples: Array, reference: Array, labels: Array, classes: int, known: tuple[stats.Moments, stats.Moments] | None = None) -> tuple[Array, float]:
    """What each class of the reference adds to the Fréchet distance, float64 [C], and the total, to which they add up exactly; covariances by n.

    With T the linear map that takes the reference's Gaussian to the samples', the distance is the mean over the reference's rows y of
    |(y - m_r) - T (y - m_r) + m_r - m_g|^2, T = R^-1/2 (R^1/2 S R^1/2)^1/2 R^-1/2. On this side a class that was dropped shows: what must move is charged
    to the images that have nothing near. reference [m, d] with more rows than d, labels int64 [m]; NaN where its covariance is singular. known: the moments
    of both, where they were taken before.
    """
    nothing = np.full(classes, math.nan), math.nan
    if len(reference) <= reference.shape[1] or len(samples) < 2:
        return nothing
    ours, theirs = known or (moments(samples), moments(reference))
    squares, vectors = np.linalg.eigh(stats.covariance(theirs, 0))
    if squares[0] <= squares[-1] * len(squares) * np.finfo(np.float64).eps:
        return nothing
    half, inverse = (vectors * np.sqrt(squares)) @ vectors.T, (vectors / np.sqrt(squares)) @ vectors.T
    move = np.eye(len(squares)) - inverse @ stats.root(half @ stats.covariance(ours, 0) @ half) @ inverse
    parts = np.zeros(classes)
    for at in range(0, len(reference), AT_ONCE):
        costs = (((reference[at : at + AT_ONCE] - theirs.mean) @ move + (theirs.mean - ours.mean)) ** 2).sum(1)
        parts += np.bincount(labels[at : at + AT_ONCE], costs, classes) / len(reference)
    return parts, float(parts.sum())


def intra(samples: Array, labels: Array, real: Mapping[str, tuple[Array, Array]], convention: str) -> dict[str, Any]:
    """Intra-class FID as one of CONVENTIONS: {"mean", "std", "classes", "n", "m", "as_published"}; None where no class has two rows on each side.

    real: {"reference" or "train": (rows [m, d], labels int64 [m])}. n, m: of the smallest class; as_published: whether each class has the convention's
    number of samples. All conventions carry the small-sample bias, which rewards collapse: they are here to be compared with papers.
    """
    how = CONVENTIONS[convention]
    blank = {"convention": how.title, "mean": None, "std": None, "classes": 0, "n": 0, "m": 0, "as_published": False}
    if how.against not in real:
        return blank
    rows, of = real[how.against]
    values, sizes = [], []
    for c in np.unique(of):
        y = rows[of == c]
        x = samples[labels == c][: how.samples or len(y)]
        if min(len(x), len(y)) >= 2:
            values.append(distance(x, y))
            sizes.append((len(x), len(y)))
    if not values:
        return blank
    wanted = all(n == (how.samples or m) for n, m in sizes) and len(values) == len(np.unique(of))
    smallest = {"n": min(n for n, _ in sizes), "m": min(m for _, m in sizes)}
    return {**blank, **smallest, "mean": float(np.mean(values)), "std": float(np.std(values)), "classes": len(values), "as_published": wanted}


def across(values: Sequence[float | None], better: str) -> dict[str, Any]:
    """{"macro", "deviation", "worst_mean", "worst", "classes"} of a number by class; None (missing) classes are counted out, never as 0.

    worst: the places of the five worst. better: "lower", "higher", or "one" for a ratio whose best is 1.
    """
    there = [(place, value) for place, value in enumerate(values) if value is not None and math.isfinite(value)]
    if not there:
        return {"macro": None, "deviation": None, "worst_mean": None, "worst": [], "classes": 0}
    worst = sorted(there, key=lambda one: -badness(one[1], better))[:WORST]
    numbers = np.array([value for _, value in there])
    return {
        "macro": float(numbers.mean()),
        "deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        "worst_mean": float(np.mean([value for _, value in worst])),
        "worst": [place for place, _ in worst],
        "classes": len(numbers),
    }


def badness(value: float, better: str) -> float:
    """How bad a number is, larger is worse: better is "lower", "higher", or "one" for a ratio whose best is 1."""
    if better == "one":
        return abs(math.log(value)) if value > 0 else math.inf
    return value if better == "lower" else -value
