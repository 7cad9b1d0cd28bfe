"""Which rows are near: the nearest rows of each row, and all pairs within reach;
exact, in bounded memory.

Pure functions of float64 arrays.

Products are taken in float32, tile by tile: they cost half, and give a lower bound of every squared
distance. Only pairs whose bound is small enough are measured, in float64 and from the differences
themselves. So equal rows have distance 0, rules with <= hold for them, and no result rests on a
digit of float32. Where the bounds leave too many pairs (collapsed sets, groups far apart), products
in float64 take their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, torch

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

    Array = ndarray[Any, Any]

TILE = 1024  # rows and columns of a matrix of distances that are held at once: 4 MB
PANEL = 4 * TILE  # columns that are held in float32, whatever the number of rows
SOME = 128  # rows that are brought into float32 at once
# rows kept beyond those asked for, as their order by bounds is not their order by distance
SPARE = 6
# more pairs of a tile than that to be measured: products in float64 are cheaper than differences
DENSE = 2**15
TIES = 64  # the same for bounds by products in float64
FLOOR = 1e-30  # what underflow can take from a sum of products of numbers below 1


def nearest(x: Array, y: Array, count: int) -> tuple[Array, Array]:
    """The `count` rows of y [m, d] nearest to each row of x [n, d]:
    squared distances float64 [n, count], nearest first, and their places int64.

    UserError where y has fewer rows than that.
    """
    if not 1 <= count <= len(y):
        raise UserError(
            f"{len(y)} rows hold no {count} nearest ones: take more rows or a smaller k"
        )
    frame = _frame(x, y)
    best = _Best(len(x), min(count + SPARE, len(y)))
    for rows, columns, tile in _bounds(x, y, frame):
        best.offer(rows, columns, tile)
    return _measured(x, y, best, count, frame, others=False)


def nearest_others(x: Array, count: int) -> tuple[Array, Array]:
    """As nearest(x, x, count) without each row itself, which is left out by index, not by distance:
    a duplicate is a neighbour.

    UserError if count >= n.

    Each distance is taken once and used for both its rows.
    """
    if not 1 <= count < len(x):
        raise UserError(
            f"{len(x)} rows have no {count}-th neighbour each: take more rows or a smaller k"
        )
    frame = _frame(x, x)
    best = _Best(len(x), min(count + SPARE, len(x) - 1))
    for rows, columns, tile in _bounds(x, x, frame, half=True):
        if rows == columns:
            tile.fill_diagonal_(np.inf)
        else:
            best.offer(columns, rows, tile.T)
        best.offer(rows, columns, tile)
    return _measured(x, x, best, count, frame, others=True)


def outside(
    x: Array, y: Array, found: tuple[Array, Array], blocks: Array, k: int, *, others: bool
) -> tuple[Array, Array]:
    """The k-th nearest row of y to each row of x outside of each block of y:
    squared distances float64 [n, B], infinite where fewer are left, and places.

    found: what nearest(x, y, ..), or nearest_others(x, ..) with others = True and y = x, gave for k
    or more; rows that have too few of these outside of a block are searched again. blocks int64
    [m]. With others, a row's own block may hold anything, and places are only for the rows of
    other blocks.
    """
    squares, places = found
    owners = blocks[places]
    far, where = (
        np.full((len(x), blocks.max() + 1), np.inf),
        np.zeros((len(x), blocks.max() + 1), np.int64),
    )
    for b in range(far.shape[1]):
        enough = np.cumsum(owners != b, axis=1) == k
        rows = np.flatnonzero(enough.any(1))
        at = enough[rows].argmax(1)
        far[rows, b], where[rows, b] = squares[rows, at], places[rows, at]
        missing, left = ~enough.any(1), np.flatnonzero(blocks != b)
        if others:
            missing &= blocks != b
        # a row is the nearest to itself, or a copy at the same distance is
        if missing.any() and len(left) >= k + others:
            again = nearest(x[missing], y[left], k + others)
            far[missing, b], where[missing, b] = again[0][:, -1], left[again[1][:, -1]]
    return far, where


def close(
    x: Array, y: Array, reach_x: Array, reach_y: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """All pairs (i, j) of rows of x [n, d] and y [m, d] with squared distance <= reach_x[i] or <=
    reach_y[j]: (i, j, squared distance), tile by tile.

    reach_x float64 [n], reach_y float64 [m]; a negative reach holds nothing.
    """
    frame = _frame(x, y)
    near_x, near_y = (torch.from_numpy(frame.within(reach)) for reach in (reach_x, reach_y))
    for rows, columns, tile in _bounds(x, y, frame):
        near = tile <= torch.maximum(near_x[rows, None], near_y[columns])
        i, j = np.divmod(np.flatnonzero(near.numpy()), near.shape[1])
        if len(i) > DENSE:
            i, j, squares = _dense(x[rows], y[columns], reach_x[rows], reach_y[columns], frame)
            i, j = i + rows.start, j + columns.start
        else:
            i, j = i + rows.start, j + columns.start
            squares = paired(x, y, i, j)
        kept = squares <= np.maximum(reach_x[i], reach_y[j])
        yield i[kept], j[kept], squares[kept]


def _dense(
    x: Array, y: Array, reach_x: Array, reach_y: Array, frame: _Frame
) -> tuple[Array, Array, Array]:
    """As a tile of `close`, by products in float64; measured from differences where those leave few
    pairs (groups far apart).
    """
    squares = squared_distances(x, y, frame.centre)
    lost_x, lost_y = (
        (x.shape[1] + 16) * 2.0**-53 * ((of - frame.centre) ** 2).sum(1) for of in (x, y)
    )
    i, j = np.nonzero(
        (squares - lost_y <= (reach_x + lost_x)[:, None])
        | (squares - lost_x[:, None] <= reach_y + lost_y)
    )
    return i, j, paired(x, y, i, j) if len(i) <= DENSE else squares[i, j]


def paired(x: Array, y: Array, i: Array, j: Array) -> Array:
    """The squared distance of row i of x [n, d] to row j of y [m, d], float64 [pairs],
    from the differences: exactly 0 for equal rows.
    """
    found = np.empty(len(i))
    at_once = max(1, 2**18 // x.shape[1])
    for start in range(0, len(i), at_once):
        these = slice(start, start + at_once)
        apart = x[i[these]]
        apart -= y[j[these]]
        np.einsum("ij,ij->i", apart, apart, out=found[these])
    return found


def squared_distances(x: Array, y: Array, centre: Array) -> Array:
    """All squared distances of x [n, d] to y [m, d], float64 [n, m],
    as |x|^2 - 2 x.y + |y|^2 about a centre; below the rounding of that sum exactly 0.
    """
    x, y = x - centre, y - centre
    size = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)
    squares = x @ y.T
    squares *= -2
    squares += size
    size *= 1e-13
    squares[squares < size] = 0.0
    return squares


# Bounds


@dataclass(frozen=True)
class _Frame:
    """Where rows are moved to and by how much they shrink, so that float32 holds them:
    no number is larger than 1.
    """

    centre: Array
    scale: float

    def within(self, squares: Array) -> Array:
        """Squared distances as float32 of the frame, rounded up."""
        return (np.asarray(squares) * self.scale**2 * (1 + 2**-22)).astype(np.float32)


def _frame(x: Array, y: Array) -> _Frame:
    """About the median of some rows of y: a mean would follow an outlier,
    and take the others' digits with it.
    """
    centre = np.median(y[:: max(1, len(y) // 256)], axis=0)
    widest = max(float(np.maximum(of.max(0) - centre, centre - of.min(0)).max()) for of in (x, y))
    return _Frame(centre, 1 / widest if widest > 0 else 1.0)


def _bounds(
    x: Array, y: Array, frame: _Frame, *, half: bool = False
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Lower bounds of the squared distances in the frame: rows, columns, float32 [rows, columns],
    tile by tile; half: on and above the diagonal only.

    (1 - c) (|x|^2 + |y|^2) - 2 x.y in one product of width d + 2, with c = 2 (d + 18) 2^-24: a sum
    of d + 2 products is off by at most (d + 2) 2^-24 of the sum of their sizes, in any order
    (Higham 2002, eq. 3.5), which is at most 2 (|x|^2 + |y|^2); the rounding of the rows and of the
    norms is in it.
    """
    for start in range(0, len(y), PANEL):
        right = _single(y[start : start + PANEL], frame)
        stop = start + len(right)
        for rows in _tiles(0, stop if half else len(x)):
            left = _single(x[rows], frame)
            left[:, :-2] *= -2
            left[:, -2:] = left[:, -2:].flip(1)
            for columns in _tiles(max(start, rows.start) if half else start, stop):
                yield rows, columns, left @ right[columns.start - start : columns.stop - start].T


def _single(x: Array, frame: _Frame) -> Tensor:
    """Rows of x [n, d] in the frame, each followed by 1 and (1 - c) |x|^2: float32 [n, d + 2]."""
    d = x.shape[1]
    found = torch.empty(len(x), d + 2)
    found[:, d] = 1.0
    for at in range(0, len(x), SOME):
        moved = torch.from_numpy(x[at : at + SOME] - frame.centre).mul_(frame.scale)
        found[at : at + SOME, :d] = moved
        found[at : at + SOME, d + 1] = (
            moved.square_().sum(1).mul_(1 - (d + 18) * 2.0**-23).sub_(FLOOR)
        )
    return found


def _tiles(start: int, stop: int) -> Iterator[slice]:
    return (slice(at, min(at + TILE, stop)) for at in range(start, stop, TILE))


# The nearest so far


class _Best:
    """The `kept` smallest bounds seen of each row, in no order, and the places of their columns."""

    def __init__(self, n: int, kept: int) -> None:
        self.low = torch.full((n, kept), np.inf)
        self.place = torch.zeros((n, kept), dtype=torch.int64)

    def offer(self, rows: slice, columns: slice, tile: Tensor) -> None:
        """Takes in the bounds of a tile, float32 [rows, columns]."""
        kept = self.low.shape[1]
        new, at = tile.contiguous().topk(min(kept, tile.shape[1]), largest=False, sorted=False)
        low, place = (
            torch.cat([self.low[rows], new], 1),
            torch.cat([self.place[rows], at + columns.start], 1),
        )
        self.low[rows], order = low.topk(kept, largest=False, sorted=False)
        self.place[rows] = place.gather(1, order)


def _measured(
    x: Array, y: Array, best: _Best, count: int, frame: _Frame, *, others: bool
) -> tuple[Array, Array]:
    """The nearest rows from those with the smallest bounds:
    measured in the order of their bounds until no other can be nearer.
    """
    ordered, by = best.low.sort(1)
    low, place = ordered.numpy(), best.place.gather(1, by).numpy()
    squares = np.full(low.shape, np.inf)
    squares[:, :count] = paired(
        x, y, np.repeat(np.arange(len(x)), count), place[:, :count].ravel()
    ).reshape(len(x), count)
    rest = low <= frame.within(squares[:, :count].max(1))[:, None]
    rest[:, :count] = False
    i, j = np.nonzero(rest)
    squares[i, j] = paired(x, y, i, place[i, j])
    order = np.argsort(squares, axis=1, kind="stable")[:, :count]
    squares, place = np.take_along_axis(squares, order, 1), np.take_along_axis(place, order, 1)
    all_kept = low.shape[1] == len(y) - others
    for rows in (
        _groups(np.flatnonzero(low[:, -1] <= frame.within(squares[:, -1])), len(y))
        if not all_kept
        else ()
    ):
        squares[rows], place[rows] = _searched(x, y, rows, count, frame, others=others)
    return squares, place


def _groups(rows: Array, m: int) -> list[Array]:
    """Rows in groups whose distances to m rows are held at once."""
    return np.array_split(rows, -(-len(rows) * m // (2 * TILE**2))) if len(rows) else []


def _searched(
    x: Array, y: Array, rows: Array, count: int, frame: _Frame, *, others: bool
) -> tuple[Array, Array]:
    """The nearest rows where bounds cannot tell: by products in float64 of these rows with all of
    y, then measured, with TIES more than asked for.

    Where more than so many are equal to 1e-13 of the rows' own squared lengths, as in collapsed
    sets, any of them may stand for the others.
    """
    some = x[rows]
    squares = np.concatenate(
        [squared_distances(some, y[columns], frame.centre) for columns in _tiles(0, len(y))], axis=1
    )
    if others:
        squares[np.arange(len(rows)), rows] = np.inf
    kept = min(count + TIES, len(y) - others)
    place = np.argpartition(squares, kept - 1, axis=1)[:, :kept]
    found = paired(x, y, np.repeat(rows, kept), place.ravel()).reshape(len(rows), kept)
    order = np.argsort(found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, order, 1), np.take_along_axis(place, order, 1)
