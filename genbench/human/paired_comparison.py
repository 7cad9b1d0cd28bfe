"""Comparisons of pairs, and agreement of ratings, through evalica. Pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import evalica, np, pd

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

MISSING = 'genbench human needs pip install "genbench[human]"'
LIMIT, CLOSE = 10_000, 1e-9  # of the iterations


def pairs_of(models: int) -> list[tuple[int, int]]:
    """The pairs of models, in the order of `strengths`' kinds."""
    return list(itertools.combinations(range(models), 2))


def strengths(counts: Array, models: int) -> Array:
    """[draws, 2 pairs] -> [draws, pairs + models]: P(a > b) of each pair by Bradley and Terry
    (1952), then each model's mean of P over the others.

    Kind 2k: the first of pair k won; 2k + 1: the second. One tie is added to each pair that was
    compared (half a win to each), so that a model that always won is strong and not infinitely
    strong; two models' P is (wins + 0.5) / (n + 1). NaN where the pairs do not connect the models.
    """
    pairs = pairs_of(models)
    found = np.full((len(counts), len(pairs) + models), np.nan)
    for row, of in zip(found, counts, strict=True):
        compared = [k for k in range(len(pairs)) if of[2 * k] + of[2 * k + 1] > 0]
        if connected([pairs[k] for k in compared], models):
            power = _powers(of, [(k, *pairs[k]) for k in compared], models)
            chance = power[:, None] / (power[:, None] + power[None])
            row[: len(pairs)] = [chance[a, b] for a, b in pairs]
            row[len(pairs) :] = (chance.sum(1) - 0.5) / (models - 1)
    return found


def _powers(of: Array, compared: Sequence[tuple[int, int, int]], models: int) -> Array:
    """The models' strengths [models]."""
    x, y, won, weight = [], [], [], []
    for k, a, b in compared:
        x += [a, a, a]
        y += [b, b, b]
        won += [evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw]
        weight += [float(of[2 * k]), float(of[2 * k + 1]), 1.0]
    result = evalica.bradley_terry(
        x, y, won, index=pd.Index(range(models)), weights=weight, tolerance=CLOSE, limit=LIMIT
    )
    return result.scores.sort_index().to_numpy()


def connected(pairs: Sequence[tuple[int, int]], models: int) -> bool:
    """Whether every model was compared with every other, be it through third ones."""
    seen, rim = {0}, [0]
    while rim:
        at = rim.pop()
        near = {b if a == at else a for a, b in pairs if at in (a, b)} - seen
        seen |= near
        rim += sorted(near)
    return len(seen) == models


def agreement(raters: Array, items: Array, points: Array) -> float:
    """Krippendorff's alpha of ratings, ordinal: 1 for raters who agree, 0 by chance;
    NaN where no item has two raters, or all points are one.
    """
    table = pd.DataFrame({"rater": raters, "item": items, "points": points}).pivot_table(
        index="rater", columns="item", values="points", aggfunc="first"
    )
    table = table.loc[:, table.notna().sum() >= 2]
    if table.empty or len(np.unique(table.to_numpy()[table.notna().to_numpy()])) < 2:
        return float("nan")
    return float(evalica.alpha(table, distance="ordinal").alpha)


def present() -> None:
    """UserError where evalica is missing."""
    try:
        evalica.Winner  # noqa: B018 - the first attribute read imports it
    except ImportError:
        raise UserError(MISSING) from None
