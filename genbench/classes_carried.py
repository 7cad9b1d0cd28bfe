"""Which class carries the Fréchet distance: each class's part of it, exact; its share with an interval of both sides' errors; and what real images have.

With T the linear map that takes the reference's Gaussian to the samples', the distance is the mean over the reference's rows y of
|(y - m_r) - T (y - m_r) + m_r - m_g|^2, T R T = S. On the reference's side a class that was dropped shows: what must move is charged to the images that have
nothing near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench import intervals, stats, threads
from genbench.lazy import linalg, np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

AT_ONCE = 4096  # rows that are brought into float64 at once
BLOCKS = 10  # of a side, for the errors
WIDE = 256  # features, from which errors are taken in float32, and real images are split once
SPLITS = 5  # of real against real
CLASSES_AT_ONCE, ROWS_AT_ONCE = 16, 64  # of products of the width of the features
ENOUGH = 2  # times as many rows as features, from which the map's first derivative says how it moves


@dataclass(frozen=True)
class Carried:
    """Each class's part of the distance, float64 [C], the total to which they add up, and the 95 % interval of each share, NaN where there is none."""

    parts: Array
    total: float
    low: Array
    high: Array

    @property
    def shares(self) -> Array:
        """Each class's part over the total."""
        return self.parts / self.total


@dataclass(frozen=True)
class Transport:
    """The map T = B diag(q) B^T between two Gaussians, from the reference's to the samples'; covariances by n."""

    ours: stats.Moments
    theirs: stats.Moments
    basis: Array  # B = R^-1/2 U [d, d]
    back: Array  # R^1/2 U [d, d], the inverse of B's transpose
    roots: Array  # q [d], of the eigenvalues of R^1/2 S R^1/2 = U diag(q^2) U^T


def moments(rows: Array, places: Array | None = None) -> stats.Moments:
    """Moments in float64 of rows [n, d] of any precision, or of those at some places, some thousands at a time: no copy of all of them is made."""
    places = np.arange(len(rows)) if places is None else places
    return stats.merge_all([stats.moments(rows[places[at : at + AT_ONCE]].astype(np.float64)) for at in range(0, len(places), AT_ONCE)])


def transport(ours: stats.Moments, theirs: stats.Moments) -> Transport | None:
    """The map from the second Gaussian to the first; None where the second's covariance is singular."""
    squares, vectors = linalg.eigh(stats.covariance(theirs, 0), driver="evd", check_finite=False)
    if squares[0] <= squares[-1] * len(squares) * np.finfo(np.float64).eps:
        return None
    half = (vectors * np.sqrt(squares)) @ vectors.T
    inner, turn = linalg.eigh(half @ stats.covariance(ours, 0) @ half, driver="evd", check_finite=False)
    noise = inner[-1] * len(inner) * np.finfo(np.float64).eps
    return Transport(ours, theirs, (vectors / np.sqrt(squares)) @ (vectors.T @ turn), half @ turn, np.sqrt(np.where(inner > noise, inner, 0.0)))


def costs(through: Transport, reference: Array) -> Iterator[tuple[slice, Array]]:
    """How far each row of the reference [m, d] is moved: the row that is added, less what it comes to; some thousands at a time, float64 [some, d]."""
    stay = np.eye(len(through.roots)) - (through.basis * through.roots) @ through.basis.T
    for at in range(0, len(reference), AT_ONCE):
        of = slice(at, min(at + AT_ONCE, len(reference)))
        yield of, (reference[of] - through.theirs.mean) @ stay + (through.theirs.mean - through.ours.mean)


def parts(through: Transport | None, reference: Array, labels: Array, classes: int) -> tuple[Array, float]:
    """What each class of the reference adds to the Fréchet distance, float64 [C], and the total, to which they add up exactly; NaN without a map.

    reference [m, d], labels int64 [m].
    """
    if through is None:
        return np.full(classes, np.nan), np.nan
    found = np.zeros(classes)
    for of, moved in costs(through, reference):
        found += np.bincount(labels[of], (moved * moved).sum(1), classes) / len(reference)
    return found, float(found.sum())


def carried(samples: Array, given: Array, reference: Array, labels: Array, classes: int, known: tuple[stats.Moments, stats.Moments] | None = None) -> Carried:
    """The classes' parts of the Fréchet distance of samples [n, d] (their labels `given`, int64 [n]) and the reference [m, d] (labels int64 [m]).

    known: the moments of both, where they were taken before. NaN where the reference has no more rows than features.
    Intervals: the delete-group jackknife of both sides with t of its groups, each leave-out by the first derivative of T, which solves
    dT R T + T R dT = dS - T dR T; from ENOUGH times as many rows as features on each side on. They are of the share at these sizes: the part of a distance
    that small samples add is spread over all classes, and draws every share towards the class's frequency.
    """
    nothing = np.full(classes, np.nan)
    enough = len(reference) > reference.shape[1] and len(samples) > 1
    ours, theirs = known or (moments(samples), moments(reference)) if enough else (None, None)
    through = transport(ours, theirs) if ours and theirs else None
    if through is None or min(len(samples), len(reference)) < ENOUGH * reference.shape[1] or not through.roots.all():
        return Carried(*parts(through, reference, labels, classes), nothing, nothing)
    response = _Response(through, reference, labels, classes)
    found, total = response.parts, float(response.parts.sum())
    if total <= 0:
        return Carried(found, total, nothing, nothing)
    errors = []
    for without, sizes in (response.without_samples(samples, given), response.without_reference()):
        shares = (found[:, None] + without) / (total + np.nansum(without, axis=0))
        errors.append([intervals.jackknife(of, sizes, value) for of, value in zip(shares, found / total, strict=True)])
    bounds = [intervals.t_interval(value, float(np.hypot(*both)), BLOCKS) for value, *both in zip(found / total, *errors, strict=True)]
    low, high = np.array(bounds).T
    return Carried(found, total, np.maximum(low, 0.0), np.minimum(high, 1.0))


def blocks_of(labels: Array) -> Array:
    """A block for each row, int64 [n]: rows in the order of their classes take the BLOCKS in turn, so that each block has its part of every class."""
    found = np.empty(len(labels), dtype=np.int64)
    found[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % BLOCKS
    return found


class _Response:
    """How the classes' parts answer to a small change of either Gaussian: the reference's rows f = (y - m_r) B and their costs e B, in which dT is diagonal."""

    def __init__(self, through: Transport, reference: Array, labels: Array, classes: int) -> None:
        self.through, self.labels, self.classes = through, labels, classes
        self.blocks = blocks_of(labels)
        self.kind: Any = np.float64 if reference.shape[1] <= WIDE else np.float32
        basis: Array = through.basis.astype(self.kind)
        self.rows: Array = np.empty(reference.shape, self.kind)
        self.costs: Array = np.empty(reference.shape, self.kind)
        self.squares = np.empty(len(reference))
        self.pull: Array = np.zeros((classes, reference.shape[1]))  # each class's sum of costs: what its part answers to a mean
        for of, moved in costs(through, reference):
            self.rows[of] = (reference[of] - through.theirs.mean).astype(self.kind) @ basis
            self.costs[of] = moved.astype(self.kind) @ basis
            self.squares[of] = (moved * moved).sum(1)
            order = np.argsort(labels[of], kind="stable")
            present, first = np.unique(labels[of][order], return_index=True)
            self.pull[present] += np.add.reduceat(moved[order], first)
        self.parts = np.bincount(labels, self.squares, classes) / len(reference)

    def without_samples(self, samples: Array, given: Array) -> tuple[Array, Array]:
        """The change of each class's part without each block of the samples, float64 [C, B], and the blocks' sizes [B]."""
        back, mean, blocks = self.through.back.astype(self.kind), self.through.ours.mean, blocks_of(given)
        sizes = np.bincount(blocks)
        moved: Array = np.empty((BLOCKS, samples.shape[1]))

        def turned(b: int) -> Array:
            centred = samples[blocks == b] - mean
            moved[b] = centred.sum(0) / (len(samples) - sizes[b])
            return centred.astype(self.kind) @ back

        return self._answer(turned, len(samples), 1.0) + 2 / len(self.labels) * self.pull @ moved.T, sizes

    def without_reference(self) -> tuple[Array, Array]:
        """The same without each block of the reference: its rows go, each class keeps its weight, and the map changes."""
        sizes, roots = np.bincount(self.blocks), self.through.roots
        by_block = self.labels * BLOCKS + self.blocks
        own, counts = (np.bincount(by_block, weights, self.classes * BLOCKS).reshape(-1, BLOCKS) for weights in (self.squares, None))
        left = counts.sum(1, keepdims=True) - counts
        means = np.divide(own.sum(1, keepdims=True) - own, left, out=np.full_like(own, np.nan), where=left > 0)
        direct = means * counts.sum(1, keepdims=True) / len(self.labels) - self.parts[:, None]
        direct[counts.sum(1) == 0] = 0.0
        # the reference's mean moves too, and T with it: dm T = (dm B) q B^T
        sums = np.stack([self.rows[self.blocks == b].sum(0, dtype=np.float64) for b in range(BLOCKS)])
        moved = (sums / (len(self.labels) - sizes)[:, None] * roots) @ self.through.basis.T
        through_map = self._answer(lambda b: self.rows[self.blocks == b] * roots.astype(self.kind), len(self.labels), -1.0)
        return direct + through_map - 2 / len(self.labels) * self.pull @ moved.T, sizes

    def _answer(self, turned: Callable[[int], Array], n: int, sign: float) -> Array:
        """What comes of the map's own change, float64 [C, B]: -2 <X, sum of f^T e> / m with X = sign dS / (q_i + q_j).

        dS: the change of a covariance, in the map's coordinates, without a block's rows, `turned`(block) [n_b, d] of n.
        """
        roots = self.through.roots
        places, sums = np.arange(len(roots)), sign * (roots[:, None] + roots)
        changes: Array = np.empty((BLOCKS, len(roots), len(roots)), self.kind)
        for b in range(BLOCKS):
            own = turned(b)
            left, mean = n - len(own), own.sum(0, dtype=np.float64) / (n - len(own))
            change = -(own.T @ own).astype(np.float64)
            change[places, places] += len(own) * roots**2
            changes[b] = (change / left - np.outer(mean, mean)) / sums
        order = np.argsort(self.labels, kind="stable")
        of = np.split(order, np.cumsum(np.bincount(self.labels, minlength=self.classes))[:-1])
        some = [range(at, min(at + CLASSES_AT_ONCE, self.classes)) for at in range(0, self.classes, CLASSES_AT_ONCE)]
        return -2 / len(self.labels) * np.concatenate(list(threads.each(lambda classes: self._met([of[c] for c in classes], changes), some)))

    def _met(self, members: Sequence[Array], changes: Array) -> Array:
        """<X, sum of f^T e> of some classes and each change X, float64 [classes, B]; some rows of the products at a time, which stay in a processor's cache."""
        own = [(self.rows[of], self.costs[of]) for of in members]
        found: Array = np.zeros((len(own), BLOCKS))
        for at in range(0, changes.shape[1], ROWS_AT_ONCE):
            of = slice(at, at + ROWS_AT_ONCE)
            products = np.stack([(rows[:, of].T @ moved).reshape(-1) for rows, moved in own])
            found += products @ changes[:, of].reshape(BLOCKS, -1).T
        return found


def real(pool: Array, labels: Array, sizes: tuple[Array, Array], seed: int) -> Array:
    """Each class's median share of real against real, float64 [C], from disjoint parts of a pool [p, d] (labels int64 [p]) of the sizes int64 [C] of both
    sides; NaN where a class has too few.
    """
    count, (n, m) = len(sizes[0]), sizes
    if (np.bincount(labels, minlength=count) < n + m).any():
        return np.full(count, np.nan)
    rng, found = np.random.default_rng(seed), []
    for _ in range(SPLITS if pool.shape[1] <= WIDE else 1):
        members = [rng.permutation(np.flatnonzero(labels == c)) for c in range(count)]
        x, y = (np.concatenate(part) for part in zip(*((of[: n[c]], of[n[c] : n[c] + m[c]]) for c, of in enumerate(members)), strict=True))
        own, whole = parts(transport(moments(pool, x), moments(pool, y)) if len(y) > pool.shape[1] else None, pool[y], labels[y], count)
        found.append(own / whole)
    return np.asarray(np.median(found, axis=0))
