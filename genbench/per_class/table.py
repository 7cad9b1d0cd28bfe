"""The table of classes: every number of each class with its interval and beside real images,
and flags by exact tests, one family for a run.

Pure: from rows of features, labels and what a classifier sees, to plain rows. Reading a run stands
in from_run.py, showing in render.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util import thread_pool
from genbench._util.console import progress
from genbench._util.lazy_imports import np, scipy_stats
from genbench.per_class import (
    aggregates,
    class_intervals,
    class_shares,
    counts,
    frechet_contributions,
    group_metrics,
    pairwise,
)
from genbench.per_class.inputs import Sides, number, of_class, put
from genbench.per_class.label_classifier import Reader
from genbench.statistics import permutation_tests, rank_ranges

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.statistics import moments

    Array = ndarray[Any, Any]

LEVEL = 0.05  # of the family, by Holm
LARGEST = 1000  # rows of a class and side in statistics of all pairs: the first so many
SHOWN = 10  # samples of a class whose places are kept, for a page of pictures


@dataclass(frozen=True)
class Table:
    """Rows by class; `over`: what is said over classes; `tests`: how many tests are in the family;
    null: each class's largest z under permutations.
    """

    rows: tuple[dict[str, Any], ...]
    over: Mapping[str, Any]
    tests: int
    null: Mapping[int, Array]
    places: Mapping[int, list[int]]  # of each class's first samples in the run

    def by_chance(self, z: float) -> float:
        """How many classes would be expected at z or above,
        were every class's samples real images.
        """
        return float(sum((found >= z).mean() for found in self.null.values()))


def table(sides: Sides) -> Table:
    """Every class's row, in the order of the labels."""
    count = len(sides.names)
    group = {c: name for name, members in sides.groups.items() for c in members}
    both = [
        (rows, labels, group_metrics.of_groups(rows, labels, sides.groups))
        for rows, labels in _sides(sides)
    ]
    total, shares = _carried(
        sides,
        (
            group_metrics.whole(both[0][0], both[0][2]),
            group_metrics.whole(both[1][0], both[1][2]),
        ),
    )
    groups = group_metrics.pooled(
        both, (sides.pool, sides.pool_labels), {**sides.groups, **sides.pools}, sides.seed
    )
    del both
    rows: list[dict[str, Any]] = []
    tests: list[tuple[int, str, float]] = []
    null: dict[int, Array] = {}
    with progress("classes", count, "classes") as done:
        for c, (row, own, z) in enumerate(
            thread_pool.each(functools.partial(_row, sides), range(count))
        ):
            row |= {"group": group.get(c), **shares[c]}
            row["notes"] += _lacking(row)
            rows.append(row)
            tests += [(c, name, p) for name, p in own.items()]
            null |= {c: z} if z is not None else {}
            done(1)
    _flagged(rows, tests, sides)
    places = {c: np.flatnonzero(sides.labels == c)[:SHOWN].tolist() for c in range(count)}
    return Table(
        tuple(rows), {**_over(sides, rows, total), "groups": groups}, len(tests), null, places
    )


def _sides(sides: Sides) -> list[tuple[Array, Array]]:
    return [(sides.samples, sides.labels), (sides.reference, sides.reference_labels)]


def _lacking(row: dict[str, Any]) -> list[str]:
    """What is said where a share of the Fréchet distance has no value, or no interval."""
    if row["fd_share"] is None:
        return ["fd_share: needs more reference images than features"]
    return (
        []
        if row["fd_share_low"] is not None
        else [
            (
                f"fd_share: an interval needs {frechet_contributions.ENOUGH} times as many "
                "samples and images as features"
            )
        ]
    )


def _row(sides: Sides, c: int) -> tuple[dict[str, Any], dict[str, float], Array | None]:
    """A class's row, its tests {statistic: p}, and its largest z of each permutation."""
    x, y = (
        of_class(sides.samples, sides.labels, c),
        of_class(sides.reference, sides.reference_labels, c),
    )
    row: dict[str, Any] = {
        "class": c,
        "name": sides.names[c],
        "train_count": sides.train_counts[c] if sides.train_counts else None,
    }
    row |= {"n": len(x), "m": len(y), "notes": list(sides.notes), "dropped": c in sides.dropped}
    tests = counts.counted(sides, c, row)
    put(row, "diversity", sides.diversity.get(c, (math.nan,) * 3), sides.diversity_real.get(c))
    row["notes"] += (
        []
        if c in sides.diversity
        else ["diversity: the run has no LPIPS by class: --metrics lpips_diversity"]
    )
    tests |= counts.copied(sides, c, x, y, row)
    if max(len(x), len(y)) > LARGEST:
        row["notes"].append(f"distances: of the first {LARGEST} on each side")
    x, y = x[:LARGEST], y[:LARGEST]
    if min(len(x), len(y)) < 2:
        for name in pairwise.STATISTICS:
            put(row, name, (math.nan,) * 3)
        row |= {"kd_relative": None, "fd_bias": None, "z": None, "real_n": None, "real_m": None}
        row["notes"].append(f"distances: {len(x)} samples and {len(y)} real images are too few")
        return row, tests, None
    of = pairwise.pairs(np.concatenate([x, y]))
    lines = class_intervals.real_lines(
        of_class(sides.pool, sides.pool_labels, c)[: 2 * LARGEST], len(x), len(y), sides.seed
    )
    for name, found in class_intervals.bounded(of, len(x)).items():
        # a value without an interval is no number: of two rows the distance may be anything
        put(row, name, found if math.isfinite(found[1]) else (math.nan,) * 3, lines.get(name))
    if row["kd"] is None:
        row["notes"].append(
            f"distances: no interval, and so no number, of {len(x)} samples and "
            f"{len(y)} real images"
        )
    line = lines.get("fd")
    row |= {"real_n": line and line.n, "real_m": line and line.m}
    if line and (line.n, line.m) != (len(x), len(y)):
        row["notes"].append(f"real: {line.n} against {line.m} images, fewer than these")
    real_mean = pairwise.mean_within(of.kernel, np.arange(len(x), len(of.rows)))
    row["kd_relative"] = (
        number(row["kd"] / real_mean) if row["kd"] is not None and real_mean > 0 else None
    )
    # as much from real images at these sizes as from the samples: the number says more of n than
    # of the class
    row["fd_bias"] = (
        None
        if line is None or row["fd"] is None
        else bool(line.median >= row["fd"] / 2 or (row["fd_low"] or -math.inf) <= line.high)
    )
    more, z = _permuted(sides, of, len(x), row)
    return row, tests | more, z


def _permuted(
    sides: Sides, of: pairwise.Pairs, n: int, row: dict[str, Any]
) -> tuple[dict[str, float], Array]:
    """The permutation tests of a class: {"distance", "spread": p},
    and the larger z of the two for each permutation; sets the row's z.
    """
    chosen = permutation_tests.arrangements(n, len(of.rows) - n, sides.permutations, sides.seed)
    distance = permutation_tests.standardised(permutation_tests.kernel_distances(of.kernel, chosen))
    spread = np.abs(
        permutation_tests.standardised(permutation_tests.log_spreads(of.squares, chosen))
    )
    row["z"], row["z_distance"], row["z_spread"] = (
        float(max(distance[0], spread[0])),
        float(distance[0]),
        float(spread[0]),
    )
    return {
        "distance": permutation_tests.p_value(distance),
        "spread": permutation_tests.p_value(spread),
    }, np.maximum(distance, spread)[1:].astype(np.float32)


def _flagged(rows: list[dict[str, Any]], tests: list[tuple[int, str, float]], sides: Sides) -> None:
    """Each row's flags, its tests, p (the smallest by Holm over all tests of the run),
    and q (by Benjamini & Hochberg, to order rows: it flags nothing).
    """
    adjusted = rank_ranges.holm([p for *_, p in tests]).tolist()
    rates = scipy_stats.false_discovery_control([p for *_, p in tests]).tolist() if tests else []
    for row in rows:
        row |= {"p": None, "q": None, "tests": {}}
    for (c, name, p), holm, rate in zip(tests, adjusted, rates, strict=True):
        row = rows[c]
        row["tests"][name] = {"p": p, "adjusted": holm}
        row |= {
            "p": holm if row["p"] is None else min(holm, row["p"]),
            "q": rate if row["q"] is None else min(rate, row["q"]),
        }
        if holm <= LEVEL:
            row["flags"].append(name)
    for row in rows:
        absent = "missing" in row["flags"]
        unseen = row["share"] == 0 or row["n"] == 0
        # of n against m rows there are so few arrangements that no p can pass Holm's first step
        coarse = (
            permutation_tests.least_p(min(row["n"], LARGEST), min(row["m"], LARGEST)) * len(tests)
            > LEVEL
        )
        if not absent and (
            coarse
            or row["kd"] is None
            or (unseen and len(sides.labels) < class_shares.enough(len(rows)))
        ):
            row["flags"].append("too few samples")


def _carried(
    sides: Sides, known: tuple[moments.Moments, moments.Moments]
) -> tuple[float, list[dict[str, Any]]]:
    """The whole Fréchet distance, and for each class its share of it as keys of its row."""
    count = len(sides.names)
    of = frechet_contributions.carried(
        sides.samples, sides.labels, sides.reference, sides.reference_labels, count, known
    )
    sizes = (
        np.bincount(sides.labels, minlength=count),
        np.bincount(sides.reference_labels, minlength=count),
    )
    real = (
        frechet_contributions.real(sides.pool, sides.pool_labels, sizes, sides.seed)
        if math.isfinite(of.total)
        else np.full(count, math.nan)
    )
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for row, *bounded, line in zip(found, of.shares, of.low, of.high, real, strict=True):
        put(row, "fd_share", (bounded[0], bounded[1], bounded[2]))
        row["fd_share_real"] = number(line)
    return of.total, found


BETTER: Mapping[str, str] = {
    "kd": "lower", "fd": "lower", "spread_ratio": "one", "accuracy": "higher",
    "precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher",
    "diversity": "higher", "nearest_ratio": "higher",
}  # fmt: skip


def _over(sides: Sides, rows: list[dict[str, Any]], total: float) -> dict[str, Any]:
    """What is said over classes."""
    real = {"reference": (sides.reference, sides.reference_labels)} | (
        {"train": sides.train} if sides.train else {}
    )
    flagged: dict[str, list[int]] = {}
    for row in rows:
        for flag in row["flags"]:
            flagged.setdefault(flag, []).append(row["class"])
    enough = class_shares.enough(len(rows))
    few = len(sides.labels) < enough
    return {
        "n": len(sides.labels),
        "numbers": {name: aggregates.across(rows, name, better) for name, better in BETTER.items()},
        "gini": number(
            class_shares.gini([row["share"] for row in rows if row["share"] is not None])
        ),
        "dropped": list(sides.dropped),
        "missing": flagged.get("missing", []),
        "missing_note": f"too few samples to call: {enough} are needed for {len(rows)} classes"
        if few
        else "",
        "flagged": flagged,
        "intra_fid": aggregates.intra(sides.samples, sides.labels, real),
        "fd_total": number(total),
        "classifier": _read_by(sides.reader),
    }


def _read_by(reader: Reader | None) -> dict[str, Any] | None:
    """The classifier as plain data, its held-out confusion included."""
    return (
        None
        if reader is None
        else {
            "name": reader.name,
            "accuracy": reader.accuracy,
            "confusion": reader.confusion.tolist(),
        }
    )


ORDERS = ("z", "p", "q", "class", "train_count", *BETTER)


def ordered(rows: tuple[dict[str, Any], ...], by: str) -> list[dict[str, Any]]:
    """Rows by one of ORDERS, the worst first; where a row has no such number it stands first,
    since a class of which nothing can be said is served worst.
    """

    def place(row: dict[str, Any]) -> float:
        if row[by] is None:
            return -math.inf
        return (
            float(row[by])
            if by in ("class", "p", "q")
            else -float(row[by])
            if by in ("z", "train_count")
            else -aggregates.badness(row[by], BETTER[by])
        )

    return sorted(rows, key=lambda row: (place(row), row["class"]))
