"""Which class carries the Fréchet distance: each class's part of it, exact; its share with an interval of both sides' errors; and what real images have.

With T the linear map that takes the reference's Gaussian to the samples', the distance is the mean over the reference's rows y of
|(y - m_r) - T (y - m_r) + m_r - m_g|^2, T R T = S. On the reference's side a class that was dropped shows: what must move is charged to the images that have
nothing near.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench import intervals, stats, threads
from genbench.lazy import linalg, np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

AT_ONCE = 4096  # rows that are brought into float64 at once
BLOCKS = 10  # of a side, for the errors
WIDE = 256  # features, from which errors and the line of real images are taken in float32, and real images are split once
SPLITS = 5  # of real against real
ROWS_AT_ONCE = 64  # of a product [d, d]
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


def moments(rows: Array, places: Array | None = None, kind: Any = np.float64) -> stats.Moments:
    """Moments in float64 of rows [n, d] of any precision, or of those at some places, some thousands at a time: no copy of all of them is made.

    kind: the precision of the products of these thousands.
    """
    places = np.arange(len(rows)) if places is None else places
    found = (stats.moments(rows[places[at : at + AT_ONCE]].astype(kind)) for at in range(0, len(places), AT_ONCE))
    return functools.reduce(stats.merge, (stats.Moments(one.count, one.mean.astype(np.float64), one.scatter.astype(np.float64)) for one in found))


def transport(ours: stats.Moments, theirs: stats.Moments) -> Transport | None:
    """The map from the second Gaussian to the first; None where the second's covariance is singular."""
    squares, vectors = linalg.eigh(stats.covariance(theirs, 0), driver="evd", check_finite=False)
    if squares[0] <= squares[-1] * len(squares) * np.finfo(np.float64).eps:
        return None
    half = (vectors * np.sqrt(squares)) @ vectors.T
    inner, turn = linalg.eigh(half @ stats.covariance(ours, 0) @ half, driver="evd", check_finite=False)
    noise = inner[-1] * len(inner) * np.finfo(np.float64).eps
    return Transport(ours, theirs, (vectors / np.sqrt(squares)) @ (vectors.T @ turn), half @ turn, np.sqrt(np.where(inner > noise, inner, 0.0)))


def stays(through: Transport) -> tuple[Array, Array]:
    """(I - T [d, d], m_r - m_g [d]): a row of the reference y is moved by (y - m_r) (I - T) + m_r - m_g, which is its cost."""
    return np.eye(len(through.roots)) - (through.basis * through.roots) @ through.basis.T, through.theirs.mean - through.ours.mean


def parts(through: Transport | None, reference: Array, labels: Array, classes: int, places: Array | None = None, kind: Any = np.float64) -> tuple[Array, float]:
    """What each class of the reference adds to the Fréchet distance, float64 [C], and the total, to which they add up exactly; NaN without a map.

    reference [m, d], labels int64 [m]; or those at some places. kind: the precision of the costs.
    """
    if through is None:
        return np.full(classes, np.nan), np.nan
    places = np.arange(len(reference)) if places is None else places
    found, (stay, apart) = np.zeros(classes), stays(through)
    stay = stay.astype(kind)
    for at in range(0, len(places), AT_ONCE):
        of = places[at : at + AT_ONCE]
        moved = (reference[of] - through.theirs.mean).astype(kind) @ stay + apart
        found += np.bincount(labels[of], (moved * moved).sum(1), classes) / len(places)
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
    blocks = blocks_of(given), blocks_of(labels)
    found, without = left_outs(through, (samples, reference), blocks, labels, classes)
    total = float(found.sum())
    if total <= 0:
        return Carried(found, total, nothing, nothing)
    errors = []
    for own, of in zip(without, blocks, strict=True):
        shares = own / np.nansum(own, axis=0)
        errors.append([intervals.jackknife(one, np.bincount(of), value) for one, value in zip(shares, found / total, strict=True)])
    bounds = [intervals.t_interval(value, float(np.hypot(*both)), BLOCKS) for value, *both in zip(found / total, *errors, strict=True)]
    low, high = np.array(bounds).T
    return Carried(found, total, np.maximum(low, 0.0), np.minimum(high, 1.0))


def blocks_of(labels: Array) -> Array:
    """A block for each row, int64 [n]: rows in the order of their classes take the BLOCKS in turn, so that each block has its part of every class."""
    found = np.empty(len(labels), dtype=np.int64)
    found[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % BLOCKS
    return found


def left_outs(through: Transport, rows: tuple[Array, Array], blocks: tuple[Array, Array], labels: Array, classes: int) -> tuple[Array, tuple[Array, Array]]:
    """The classes' parts, float64 [C], and what they are without each block of the samples and of the reference, float64 [C, B] twice.

    rows, blocks: of samples and reference. In the coordinates f = (y - m_r) B the change of the map is X = +-dS / (q_i + q_j), element by element (+ for the
    samples, - for the reference), and that of a class's part -2 <X, sum of f^T e B> / m, with the costs e. Where a mean moves, all costs move with it. Of a
    block of the reference the rows go too, and each class keeps its weight.
    """
    kind: Any = np.float64 if rows[1].shape[1] <= WIDE else np.float32
    scaled = through.basis * through.roots
    d = len(through.roots)
    changes: list[Array] = [np.empty((2 * BLOCKS, (min(at + ROWS_AT_ONCE, d) - at) * d), kind) for at in range(0, d, ROWS_AT_ONCE)]
    shift = _changes(through, rows[0], blocks[0], (through.ours.mean, through.back.astype(kind)), [some[:BLOCKS] for some in changes])
    their_shift = _changes(through, rows[1], blocks[1], (through.theirs.mean, scaled.astype(kind)), [some[BLOCKS:] for some in changes])
    moved_by = np.concatenate([shift, -(their_shift @ scaled) @ through.basis.T])  # what is added to all costs, [2 B, d]
    stay, apart = stays(through)
    basis = through.basis.astype(kind)

    def taken(members: list[tuple[int, Array]]) -> list[tuple[int, Array, Array]]:
        """Of each class (or a part of it) its costs by block [B], and its answer to every change [2 B]."""
        places = np.concatenate([of for _, of in members])
        centred = rows[1][places] - through.theirs.mean
        moved = centred @ stay + apart
        f, costs, squares = centred.astype(kind) @ basis, moved.astype(kind) @ basis, (moved * moved).sum(1)
        ends = np.cumsum([len(of) for _, of in members])
        own = [slice(end - len(of), end) for end, (_, of) in zip(ends, members, strict=True)]
        answers = np.zeros((len(own), 2 * BLOCKS))
        for at, some in zip(range(0, f.shape[1], ROWS_AT_ONCE), changes, strict=True):  # few rows of the products at a time: they stay in the cache
            products = np.stack([(f[one, at : at + ROWS_AT_ONCE].T @ costs[one]).reshape(-1) for one in own])
            answers += products @ some.T
        answers[:, :BLOCKS] *= -1
        answers += np.stack([moved[one].sum(0) for one in own]) @ moved_by.T
        return [(c, np.bincount(blocks[1][of], squares[one], BLOCKS), answer) for (c, of), one, answer in zip(members, own, answers, strict=True)]

    costs, answers = np.zeros((classes, BLOCKS)), np.zeros((classes, 2 * BLOCKS))
    for piece in threads.each(taken, _pieces(labels, classes)):
        for c, squares, answer in piece:
            costs[c] += squares
            answers[c] += answer
    answers *= 2 / len(labels)
    found = costs.sum(1) / len(labels)
    counts = np.bincount(labels * BLOCKS + blocks[1], minlength=classes * BLOCKS).reshape(classes, BLOCKS)
    there, left = counts.sum(1, keepdims=True), counts.sum(1, keepdims=True) - counts
    kept = np.divide(costs.sum(1, keepdims=True) - costs, left, out=np.full_like(costs, np.nan), where=left > 0) * there / len(labels)
    kept[there[:, 0] == 0] = 0.0
    return found, (found[:, None] + answers[:, :BLOCKS], kept + answers[:, BLOCKS:])


def _changes(through: Transport, rows: Array, blocks: Array, into: tuple[Array, Array], found: list[Array]) -> Array:
    """X but for its sign, without each block of a side's rows, into `found`, some rows of X at a time [B, rows d]; and what the mean loses, [B, d], with
    the other sign.

    into: the side's mean, and what takes its centred rows to the map's coordinates, in which their covariance is diag(q^2).
    """
    mean, turn = into
    roots, d = through.roots, len(through.roots)
    places, sums = np.arange(d), roots[:, None] + roots
    shifts: Array = np.empty((BLOCKS, d))
    for b in range(BLOCKS):
        centred = rows[blocks == b] - mean
        left = len(rows) - len(centred)
        shifts[b] = centred.sum(0) / left
        turned = centred.astype(turn.dtype) @ turn
        change = -(turned.T @ turned).astype(np.float64)
        change[places, places] += len(centred) * roots**2
        lost = turned.sum(0, dtype=np.float64) / left
        change = (change / left - np.outer(lost, lost)) / sums
        for at, some in zip(range(0, d, ROWS_AT_ONCE), found, strict=True):
            some[b] = change[at : at + ROWS_AT_ONCE].reshape(-1)
    return shifts


def _pieces(labels: Array, classes: int) -> list[list[tuple[int, Array]]]:
    """The classes with the places of their rows, some classes together, large ones in parts: about AT_ONCE / 8 rows to a piece."""
    most = AT_ONCE // 8
    found: list[list[tuple[int, Array]]] = [[]]
    order = np.argsort(labels, kind="stable")
    for c, of in enumerate(np.split(order, np.cumsum(np.bincount(labels, minlength=classes))[:-1])):
        for at in range(0, len(of), most):
            part = of[at : at + most]
            if sum(len(one) for _, one in found[-1]) + len(part) > most:
                found.append([])
            found[-1].append((c, part))
    return [piece for piece in found if piece]


def real(pool: Array, labels: Array, sizes: tuple[Array, Array], seed: int) -> Array:
    """Each class's median share of real against real, float64 [C], from disjoint parts of a pool [p, d] (labels int64 [p]) of the sizes int64 [C] of both
    sides; NaN where a class has too few.
    """
    count, (n, m) = len(sizes[0]), sizes
    if (np.bincount(labels, minlength=count) < n + m).any():
        return np.full(count, np.nan)
    wide = pool.shape[1] > WIDE
    kind: Any = np.float32 if wide else np.float64
    rng, found = np.random.default_rng(seed), []
    for _ in range(1 if wide else SPLITS):
        members = [rng.permutation(np.flatnonzero(labels == c)) for c in range(count)]
        x, y = (np.concatenate(part) for part in zip(*((of[: n[c]], of[n[c] : n[c] + m[c]]) for c, of in enumerate(members)), strict=True))
        through = transport(moments(pool, x, kind), moments(pool, y, kind)) if len(y) > pool.shape[1] else None
        own, whole = parts(through, pool, labels, count, y, kind)
        found.append(own / whole)
    return np.asarray(np.median(found, axis=0))
