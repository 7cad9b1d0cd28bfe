"""What is said over classes: means and extremes, intra-class FID by convention. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench.classes_pooled import distance
from genbench.lazy import np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

WORST = 5
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


def across(rows: Sequence[Mapping[str, Any]], name: str, better: str) -> dict[str, Any]:
    """{"macro", "low", "high", "real", "deviation", "worst_mean", "worst", "classes"} of a number of the rows; missing classes are counted out, never as 0.

    low, high: 95 % of the macro mean, the classes' own halves added in squares, since each class has samples and images of its own; real: the mean of what
    real images score; both over the classes that have a number, None where one of them lacks it. worst: the places of the five worst. better: "lower",
    "higher", or "one" for a ratio whose best is 1.
    """
    there = [(place, float(row[name])) for place, row in enumerate(rows) if row[name] is not None and math.isfinite(row[name])]
    if not there:
        return {"macro": None, "low": None, "high": None, "real": None, "deviation": None, "worst_mean": None, "worst": [], "classes": 0}
    worst = sorted(there, key=lambda one: -badness(one[1], better))[:WORST]
    numbers = np.array([value for _, value in there])
    below, above, real = (_column([rows[place] for place, _ in there], f"{name}_{end}") for end in ("low", "high", "real"))
    macro = float(numbers.mean())
    return {
        "macro": macro,
        "low": None if below is None else macro - float(np.sqrt(((numbers - below) ** 2).sum())) / len(numbers),
        "high": None if above is None else macro + float(np.sqrt(((above - numbers) ** 2).sum())) / len(numbers),
        "real": None if real is None else float(real.mean()),
        "deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        "worst_mean": float(np.mean([value for _, value in worst])),
        "worst": [place for place, _ in worst],
        "classes": len(numbers),
    }


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> Array | None:
    values = [row.get(key) for row in rows]
    return None if None in values else np.array(values, dtype=np.float64)


def badness(value: float, better: str) -> float:
    """How bad a number is, larger is worse: better is "lower", "higher", or "one" for a ratio whose best is 1."""
    if better == "one":
        return abs(math.log(value)) if value > 0 else math.inf
    return value if better == "lower" else -value
