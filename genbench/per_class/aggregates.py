"""What is said over classes: means and extremes, intra-class FID by convention. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util import thread_pool
from genbench._util.lazy_imports import np
from genbench.per_class.group_metrics import distance

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

WORST = 5
LARGEST = 5000  # of a class's samples, in two conventions of intra-class FID


@dataclass(frozen=True)
class Convention:
    """How a paper's code takes an intra-class FID: against which images,
    and with how many samples of each class (0: as many as there are images).
    """

    title: str
    against: str  # "reference" or "train"
    samples: int


CONVENTIONS: Mapping[str, Convention] = {
    "miyato": Convention(
        "Miyato & Koyama 2018: 5,000 samples of each class against all its training images",
        "train",
        LARGEST,
    ),
    "studiogan": Convention(
        "StudioGAN -iFID: as many samples of each class as it has reference images", "reference", 0
    ),
    "noisytwins": Convention(
        "NoisyTwins -ifid: 5,000 samples of each class against its reference images",
        "reference",
        LARGEST,
    ),
}


def intra(
    samples: Array, labels: Array, real: Mapping[str, tuple[Array, Array]]
) -> dict[str, dict[str, Any]]:
    """Intra-class FID in each of CONVENTIONS: {"mean", "std", "classes", "n", "m", "as_published"};
    None where no class has two rows on each side.

    real: {"reference" or "train": (rows [m, d], labels int64 [m])}. n, m: of the smallest class;
    as_published: whether each class has the convention's number of samples. All conventions carry
    the small-sample bias, which rewards collapse: they are here to be compared with papers.
    """
    there = np.bincount(labels, minlength=1 + max(int(of.max()) for _, of in real.values()))
    sizes: dict[str, dict[int, tuple[int, int]]] = {}  # of each class, by convention
    for name, how in CONVENTIONS.items():
        counts = np.bincount(real[how.against][1]).tolist() if how.against in real else []
        sizes[name] = {
            c: (min(int(there[c]), how.samples or m), m) for c, m in enumerate(counts) if m
        }
    wanted = {
        (how.against, c, n)
        for name, how in CONVENTIONS.items()
        for c, (n, m) in sizes[name].items()
        if min(n, m) >= 2
    }

    def taken(one: tuple[str, int, int]) -> float:
        against, c, n = one
        rows, of = real[against]
        return distance(samples[np.flatnonzero(labels == c)[:n]], rows[of == c])

    values = dict(zip(pieces := sorted(wanted), thread_pool.each(taken, pieces), strict=True))
    return {name: _convention(how, sizes[name], values) for name, how in CONVENTIONS.items()}


def _convention(
    how: Convention,
    sizes: Mapping[int, tuple[int, int]],
    values: Mapping[tuple[str, int, int], float],
) -> dict[str, Any]:
    own = {c: values[how.against, c, n] for c, (n, m) in sizes.items() if min(n, m) >= 2}
    if not own:
        return {
            "convention": how.title,
            "mean": None,
            "std": None,
            "classes": 0,
            "n": 0,
            "m": 0,
            "as_published": False,
        }
    of = list(own.values())
    return {
        "convention": how.title,
        "mean": float(np.mean(of)),
        "std": float(np.std(of)),
        "classes": len(own),
        "n": min(sizes[c][0] for c in own),
        "m": min(sizes[c][1] for c in own),
        "as_published": len(own) == len(sizes)
        and all(n == (how.samples or m) for n, m in sizes.values()),
    }


def across(rows: Sequence[Mapping[str, Any]], name: str, better: str) -> dict[str, Any]:
    """{"macro", "low", "high", "real", "deviation", "worst_mean", "worst", "classes"} of a number
    of the rows; missing classes are counted out, never as 0.

    low, high: 95 % of the macro mean, the classes' own halves added in squares, since each class
    has samples and images of its own; real: the mean of what real images score; both over the
    classes that have a number, None where one of them lacks it. worst: the places of the five
    worst. better: "lower", "higher", or "one" for a ratio whose best is 1.
    """
    there = [
        (place, float(row[name]))
        for place, row in enumerate(rows)
        if row[name] is not None and math.isfinite(row[name])
    ]
    if not there:
        return {
            "macro": None,
            "low": None,
            "high": None,
            "real": None,
            "deviation": None,
            "worst_mean": None,
            "worst": [],
            "classes": 0,
        }
    worst = sorted(there, key=lambda one: -badness(one[1], better))[:WORST]
    numbers = np.array([value for _, value in there])
    below, above, real = (
        _column([rows[place] for place, _ in there], f"{name}_{end}")
        for end in ("low", "high", "real")
    )
    macro = float(numbers.mean())
    return {
        "macro": macro,
        "low": None
        if below is None
        else macro - float(np.sqrt(((numbers - below) ** 2).sum())) / len(numbers),
        "high": None
        if above is None
        else macro + float(np.sqrt(((above - numbers) ** 2).sum())) / len(numbers),
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
    """How bad a number is, larger is worse: better is "lower", "higher",
    or "one" for a ratio whose best is 1.
    """
    if better == "one":
        return abs(math.log(value)) if value > 0 else math.inf
    return value if better == "lower" else -value
