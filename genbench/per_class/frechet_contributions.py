"""Which class carries the Fréchet distance: each class's part of it, exact;
its share with an interval of both sides' errors; and what real images have.

With T the linear map that takes the reference's Gaussian to the samples', the distance is the mean
over the reference's rows y of |(y - m_r) - T (y - m_r) + m_r - m_g|^2, T R T = S. On the
reference's side a class that was dropped shows: what must move is charged to the images that have
nothing near.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util import thread_pool
from genbench._util.lazy_imports import linalg, np
from genbench.statistics import confidence_intervals, jackknife, matrix_sqrt
from genbench.statistics import moments as stats

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

# rows that are brought into float64 at once: 16 MB, which the allocator keeps for the next; above
# 32 MB every page would be new
AT_ONCE = 1024
BLOCKS = 10  # of a side, for the errors
# features, from which errors and the line of real images are taken in float32, and real images
# are split once
WIDE = 256
SPLITS = 5  # of real against real
ROWS_AT_ONCE = 64  # of a product [d, d]
# times as many rows as features, from which the map's first derivative says how it moves
ENOUGH = 2


@dataclass(frozen=True)
class Carried:
    """Each class's part of the distance, float64 [C], the total to which they add up,
    and the 95 % interval of each share, NaN where there is none.
    """

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
    """The map T = B diag(q) B^T between two Gaussians, from the reference's to the samples';
    covariances by n.
    """

    ours: stats.Moments
    theirs: stats.Moments
    basis: Array  # B = A^-1 U [d, d], of the factor A^T A = R
    back: Array  # A^T U [d, d], the inverse of B's transpose
    roots: Array  # q [d], of the eigenvalues of A S A^T = U diag(q^2) U^T


def moments(rows: Array, places: Array | None = None, kind: Any = np.float64) -> stats.Moments:
    """Moments in float64 of rows [n, d] of any precision, or of those at some places,
    some thousands at a time: no copy of all of them is made.

    kind: the precision in which these are centred and multiplied.
    """
    places = np.arange(len(rows)) if places is None else places
    pieces = _at_once(places)
    mean = sum(rows[of].sum(0, dtype=np.float64) for of in pieces) / len(places)
    scatter, memory = np.zeros((len(mean), len(mean)), kind), np.empty((AT_ONCE, len(mean)), kind)
    syrk = linalg.blas.dsyrk if kind == np.float64 else linalg.blas.ssyrk
    for of in pieces:  # into the upper triangle
        syrk(
            1.0,
            _centred(rows[of], mean, memory).T,
            beta=1.0,
            c=scatter.T,
            lower=True,
            overwrite_c=True,
        )
    return stats.Moments(len(places), mean, (scatter + np.triu(scatter, 1).T).astype(np.float64))


def _at_once(places: Array) -> list[Array]:
    return [places[at : at + AT_ONCE] for at in range(0, len(places), AT_ONCE)]


def _centred(rows: Array, mean: Array, memory: Array) -> Array:
    """rows - mean, in the memory and the precision that are given:
    a new array for each of a hundred pieces costs as much as the sums.
    """
    return np.subtract(rows, mean, out=memory[: len(rows)], casting="same_kind")


def transport(ours: stats.Moments, theirs: stats.Moments) -> Transport | None:
    """The map from the second Gaussian to the first; None where the second's covariance
    is singular.
    """
    factor = matrix_sqrt.factor_of(stats.covariance(theirs, 0))
    if len(factor) < len(ours.mean):
        return None
    inner, turn = linalg.eigh(
        factor @ stats.covariance(ours, 0) @ factor.T,
        driver="evd",
        check_finite=False,
        overwrite_a=True,
    )
    noise = inner[-1] * len(inner) * np.finfo(np.float64).eps
    basis = linalg.solve_triangular(factor, turn, check_finite=False)
    return Transport(
        ours, theirs, basis, factor.T @ turn, np.sqrt(np.where(inner > noise, inner, 0.0))
    )


def stays(through: Transport) -> tuple[Array, Array]:
    """(I - T [d, d], m_r - m_g [d]): a row of the reference y is moved by (y - m_r) (I - T) + m_r -
    m_g, which is its cost.
    """
    return np.eye(len(through.roots)) - (
        through.basis * through.roots
    ) @ through.basis.T, through.theirs.mean - through.ours.mean


def parts(
    through: Transport | None,
    reference: Array,
    labels: Array,
    classes: int,
    places: Array | None = None,
    kind: Any = np.float64,
) -> tuple[Array, float]:
    """What each class of the reference adds to the Fréchet distance, float64 [C], and the total,
    to which they add up exactly; NaN without a map.

    reference [m, d], labels int64 [m]; or those at some places. kind: the precision of the costs.
    """
    if through is None:
        return np.full(classes, np.nan), np.nan
    places = np.arange(len(reference)) if places is None else places
    found, (stay, apart) = np.zeros(classes), stays(through)
    stay, memory = stay.astype(kind), np.empty((2, AT_ONCE, len(stay)), kind)
    for of in _at_once(places):
        moved = np.matmul(
            _centred(reference[of], through.theirs.mean, memory[0]), stay, out=memory[1, : len(of)]
        )
        moved += apart
        found += np.bincount(labels[of], np.einsum("ij,ij->i", moved, moved), classes) / len(places)
    return found, float(found.sum())


def carried(
    samples: Array,
    given: Array,
    reference: Array,
    labels: Array,
    classes: int,
    known: tuple[stats.Moments, stats.Moments] | None = None,
) -> Carried:
    """The classes' parts of the Fréchet distance of samples [n, d] (their labels `given`, int64
    [n]) and the reference [m, d] (labels int64 [m]).

    known: the moments of both, where they were taken before. NaN where the reference has no more
    rows than features.
    Intervals: the delete-group jackknife of both sides with t of its groups, each leave-out by the
    first derivative of T, which solves dT R T + T R dT = dS - T dR T; from ENOUGH times as many
    rows as features on each side on. They are of the share at these sizes: the part of a distance
    that small samples add is spread over all classes, and draws every share towards the
    class's frequency.
    """
    nothing = np.full(classes, np.nan)
    enough = len(reference) > reference.shape[1] and len(samples) > 1
    ours, theirs = known or (moments(samples), moments(reference)) if enough else (None, None)
    through = transport(ours, theirs) if ours and theirs else None
    if (
        through is None
        or min(len(samples), len(reference)) < ENOUGH * reference.shape[1]
        or not through.roots.all()
    ):
        return Carried(*parts(through, reference, labels, classes), nothing, nothing)
    blocks = blocks_of(given), blocks_of(labels)
    found, without = left_outs(through, (samples, reference), blocks, labels, classes)
    total = float(found.sum())
    if total <= 0:
        return Carried(found, total, nothing, nothing)
    errors = []
    for own, of in zip(without, blocks, strict=True):
        shares = own / np.nansum(own, axis=0)
        errors.append(
            [
                jackknife.jackknife(one, np.bincount(of), value)
                for one, value in zip(shares, found / total, strict=True)
            ]
        )
    bounds = [
        confidence_intervals.t_interval(value, float(np.hypot(*both)), BLOCKS)
        for value, *both in zip(found / total, *errors, strict=True)
    ]
    low, high = np.array(bounds).T
    return Carried(found, total, np.maximum(low, 0.0), np.minimum(high, 1.0))


def blocks_of(labels: Array) -> Array:
    """A block for each row, int64 [n]: rows in the order of their classes take the BLOCKS in turn,
    so that each block has its part of every class.
    """
    found = np.empty(len(labels), dtype=np.int64)
    found[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % BLOCKS
    return found


def left_outs(
    through: Transport,
    rows: tuple[Array, Array],
    blocks: tuple[Array, Array],
    labels: Array,
    classes: int,
) -> tuple[Array, tuple[Array, Array]]:
    """The classes' parts, float64 [C], and what they are without each block of the samples and of
    the reference, float64 [C, B] twice.

    rows, blocks: of samples and reference. In the coordinates f = (y - m_r) B the change of the map
    is X = +-dS / (q_i + q_j), element by element (+ for the samples, - for the reference), and that
    of a class's part -2 <X, sum of f^T e B> / m, with the costs e. As e B = f W + (m_r - m_g) B,
    that is <X W^T, sum of f^T f> and a term of the sum of f. Where a mean moves, all costs move
    with it. Of a block of the reference the rows go too, and each class keeps its weight.
    """
    kind: Any = np.float64 if rows[1].shape[1] <= WIDE else np.float32
    (stay, apart), d = stays(through), len(through.roots)
    turns = through.back, through.basis * through.roots
    aside = (through.back.T @ stay @ through.basis).T.astype(kind), apart @ through.basis
    changes: list[Array] = [
        np.empty((2 * BLOCKS, min(ROWS_AT_ONCE, d - at) * (d - at)), kind)
        for at in range(0, d, ROWS_AT_ONCE)
    ]
    sides = zip(
        rows,
        blocks,
        (through.ours.mean, through.theirs.mean),
        turns,
        (slice(BLOCKS), slice(BLOCKS, None)),
        strict=True,
    )
    (shift, along), (their_shift, their_along) = (
        _changes(
            through.roots,
            (own, of),
            (mean, turn.astype(kind)),
            aside,
            [some[at] for some in changes],
        )
        for own, of, mean, turn, at in sides
    )
    # what is added to all costs, [2 B, d]
    moved_by = np.concatenate([shift, -(their_shift @ turns[1]) @ through.basis.T])
    along = np.concatenate([along, their_along])
    stay, apart, basis = (of.astype(kind) for of in (stay, apart, through.basis))

    def taken(members: list[tuple[int, Array]]) -> list[tuple[int, Array, Array]]:
        """Of each class (or a part of it) its costs by block [B],
        and its answer to every change [2 B].
        """
        places = np.concatenate([of for _, of in members])
        centred = _centred(rows[1][places], through.theirs.mean, np.empty((len(places), d), kind))
        f, moved = centred @ basis, centred @ stay
        moved += apart
        squares = np.einsum("ij,ij->i", moved, moved)
        ends = np.cumsum([len(of) for _, of in members])
        own = [slice(end - len(of), end) for end, (_, of) in zip(ends, members, strict=True)]
        answers = np.stack([f[one].sum(0, dtype=np.float64) for one in own]) @ along.T
        memory = np.empty(len(own) * ROWS_AT_ONCE * d, kind)
        # few rows of the products at a time: they stay in the cache
        for at, some in zip(range(0, d, ROWS_AT_ONCE), changes, strict=True):
            products = memory[: len(own) * some.shape[1]].reshape(len(own), -1, d - at)
            for one, out in zip(own, products, strict=True):
                np.matmul(f[one, at : at + ROWS_AT_ONCE].T, f[one, at:], out=out)
            answers += products.reshape(len(own), -1) @ some.T
        answers[:, :BLOCKS] *= -1
        answers += np.stack([moved[one].sum(0, dtype=np.float64) for one in own]) @ moved_by.T
        return [
            (c, np.bincount(blocks[1][of], squares[one], BLOCKS), answer)
            for (c, of), one, answer in zip(members, own, answers, strict=True)
        ]

    costs, answers = np.zeros((classes, BLOCKS)), np.zeros((classes, 2 * BLOCKS))
    for piece in thread_pool.each(taken, _pieces(labels, classes)):
        for c, squares, answer in piece:
            costs[c] += squares
            answers[c] += answer
    answers *= 2 / len(labels)
    found = costs.sum(1) / len(labels)
    counts = np.bincount(labels * BLOCKS + blocks[1], minlength=classes * BLOCKS).reshape(
        classes, BLOCKS
    )
    there, left = counts.sum(1, keepdims=True), counts.sum(1, keepdims=True) - counts
    kept = (
        np.divide(
            costs.sum(1, keepdims=True) - costs,
            left,
            out=np.full_like(costs, np.nan),
            where=left > 0,
        )
        * there
        / len(labels)
    )
    kept[there[:, 0] == 0] = 0.0
    return found, (found[:, None] + answers[:, :BLOCKS], kept + answers[:, BLOCKS:])


def _changes(
    roots: Array,
    side: tuple[Array, Array],
    into: tuple[Array, Array],
    aside: tuple[Array, Array],
    found: list[Array],
) -> tuple[Array, Array]:
    """X W^T but for its sign, without each block of a side, into `found`;
    what the mean loses, with the other sign, and X ((m_r - m_g) B), each [B, d].

    found: some rows of a triangle at a time, [B, rows columns], whose product with a symmetric
    matrix is that of X W^T.
    side: rows and blocks. into: the side's mean, and what takes its centred rows to the map's
    coordinates, in which their covariance is diag(q^2). aside: W^T, (m_r - m_g) B.
    """
    (rows, blocks), (mean, turn), (weights, along) = side, into, aside
    d = len(roots)
    some_rows = [slice(at, min(at + ROWS_AT_ONCE, d)) for at in range(0, d, ROWS_AT_ONCE)]

    def without(b: int) -> tuple[Array, Array]:
        places = np.flatnonzero(blocks == b)
        left = len(rows) - len(places)
        centred = _centred(rows[places], mean, np.empty((len(places), d), turn.dtype))
        shift, turned = centred.sum(0, dtype=np.float64) / left, centred @ turn
        lost, change = shift @ turn, turned.T @ turned
        change[np.diag_indices(d)] -= roots**2 * len(places)
        for own in some_rows:  # a few at a time: what stands between stays in the cache
            change[own] = (change[own] / -left - np.outer(lost[own], lost)) / (
                roots[own, None] + roots
            )
        moved, change = change @ along, change @ weights
        for own, some in zip(some_rows, found, strict=True):
            part = change[own, own.start :] + change[own.start :, own].T
            part[:, : len(part)] = np.triu(part[:, : len(part)])
            part[np.diag_indices(len(part))] /= 2
            some[b] = part.reshape(-1)
        return shift, moved

    shifts, moved = zip(*thread_pool.each(without, range(BLOCKS)), strict=True)
    return np.stack(shifts), np.stack(moved)


def _pieces(labels: Array, classes: int) -> list[list[tuple[int, Array]]]:
    """The classes with the places of their rows, some classes together, large ones in parts:
    about AT_ONCE rows to a piece.
    """
    found: list[list[tuple[int, Array]]] = [[]]
    order = np.argsort(labels, kind="stable")
    for c, of in enumerate(np.split(order, np.cumsum(np.bincount(labels, minlength=classes))[:-1])):
        for at in range(0, len(of), AT_ONCE):
            part = of[at : at + AT_ONCE]
            if sum(len(one) for _, one in found[-1]) + len(part) > AT_ONCE:
                found.append([])
            found[-1].append((c, part))
    return [piece for piece in found if piece]


def real(pool: Array, labels: Array, sizes: tuple[Array, Array], seed: int) -> Array:
    """Each class's median share of real against real, float64 [C], from disjoint parts of a pool
    [p, d] (labels int64 [p]) of the sizes int64 [C] of both sides; NaN where a class has too few.
    """
    count, (n, m) = len(sizes[0]), sizes
    if (np.bincount(labels, minlength=count) < n + m).any():
        return np.full(count, np.nan)
    wide = pool.shape[1] > WIDE
    kind: Any = np.float32 if wide else np.float64
    rng, found = np.random.default_rng(seed), []
    for _ in range(1 if wide else SPLITS):
        members = [rng.permutation(np.flatnonzero(labels == c)) for c in range(count)]
        x, y = (
            np.concatenate(part)
            for part in zip(
                *((of[: n[c]], of[n[c] : n[c] + m[c]]) for c, of in enumerate(members)), strict=True
            )
        )
        through = (
            transport(moments(pool, x, kind), moments(pool, y, kind))
            if len(y) > pool.shape[1]
            else None
        )
        own, whole = parts(through, pool, labels, count, y, kind)
        found.append(own / whole)
    return np.asarray(np.median(found, axis=0))
