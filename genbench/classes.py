"""The table of classes: every number of each class with its interval and beside real images, and flags by exact tests, one family for a run.

Pure: from rows of features, labels and what a classifier sees, to plain rows. Reading a run stands in classes_read.py, showing in classes_shown.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genbench import classes_copies, classes_over, classes_pairs, classes_shares, classes_within, intervals, permutations, stats, threads
from genbench.classes_labels import Reader
from genbench.lazy import np, scipy_stats
from genbench.say import progress

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

LEVEL = 0.05  # of the family, by Holm
LARGEST = 1000  # rows of a class and side in statistics of all pairs: the first so many
SHOWN = 10  # samples of a class whose places are kept, for a page of pictures
REAL_SPLITS, REAL_WIDEST = 5, 256  # of the classes' parts of the whole distance, which needs roots of the width of the features: not of wider ones
Bounded = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Sides:
    """What a table is made of: samples float32 or float64 [n, d] with labels int64 [n] (asked for, or read), real images alike, and what is known of them.

    pool: real images whose roles are exchangeable, for real against real. train: of the training split, where the reference is another; its images are then
    what a copy is a copy of. expected: the shares that are asked for, float64 [C]; None for those of the reference.
    """

    samples: Array
    labels: Array
    reference: Array
    reference_labels: Array
    pool: Array
    pool_labels: Array
    names: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    train_counts: tuple[int, ...]
    conditional: bool = True
    reader: Reader | None = None
    expected: Array | None = None
    expected_se: Array | None = None  # of shares that a recogniser should see, which its confusion foretells with an error
    train: tuple[Array, Array] | None = None
    diversity: Mapping[int, Bounded] = field(default_factory=dict)
    diversity_real: Mapping[int, classes_within.Line] = field(default_factory=dict)
    pools: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # a user's own groups of classes, beside many, medium and few
    notes: tuple[str, ...] = ()  # what is said of every class
    seed: int = 0
    permutations: int = permutations.COUNT


@dataclass(frozen=True)
class Table:
    """Rows by class; `over`: what is said over classes; `tests`: how many tests are in the family; null: each class's largest z under permutations."""

    rows: tuple[dict[str, Any], ...]
    over: Mapping[str, Any]
    tests: int
    null: Mapping[int, Array]
    places: Mapping[int, list[int]]  # of each class's first samples in the run

    def by_chance(self, z: float) -> float:
        """How many classes would be expected at z or above, were every class's samples real images."""
        return float(sum((found >= z).mean() for found in self.null.values()))


def table(sides: Sides) -> Table:
    """Every class's row, in the order of the labels."""
    count = len(sides.names)
    group = {c: name for name, members in sides.groups.items() for c in members}
    both = [(rows, labels, classes_over.of_groups(rows, labels, sides.groups)) for rows, labels in _sides(sides)]
    carried, total, carried_real = _carried(sides, (classes_over.whole(both[0][0], both[0][2]), classes_over.whole(both[1][0], both[1][2])))
    groups = classes_over.pooled(both, {**sides.groups, **sides.pools})
    del both
    rows: list[dict[str, Any]] = []
    tests: list[tuple[int, str, float]] = []
    null: dict[int, Array] = {}
    with progress("classes", count, "classes") as done:
        for c, (row, own, z) in enumerate(threads.each(functools.partial(_row, sides), range(count))):
            row |= {"group": group.get(c), "fd_share": _number(carried[c] / total), "fd_share_real": _number(carried_real[c])}
            row["notes"] += ["fd_share: needs more reference images than features"] if row["fd_share"] is None else []
            rows.append(row)
            tests += [(c, name, p) for name, p in own.items()]
            null |= {c: z} if z is not None else {}
            done(1)
    _flagged(rows, tests, sides)
    places = {c: np.flatnonzero(sides.labels == c)[:SHOWN].tolist() for c in range(count)}
    return Table(tuple(rows), {**_over(sides, rows, total), "groups": groups}, len(tests), null, places)


def _sides(sides: Sides) -> list[tuple[Array, Array]]:
    return [(sides.samples, sides.labels), (sides.reference, sides.reference_labels)]


def _of_class(rows: Array, labels: Array, c: int) -> Array:
    return np.asarray(rows[labels == c], dtype=np.float64)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _put(row: dict[str, Any], name: str, found: Bounded, line: classes_within.Line | None = None) -> None:
    """A number, its interval, and what real images score, as keys of a row."""
    row |= dict(zip((name, f"{name}_low", f"{name}_high"), map(_number, found), strict=True))
    row |= {f"{name}_real": line and line.median, f"{name}_real_low": line and line.low, f"{name}_real_high": line and line.high}


def _row(sides: Sides, c: int) -> tuple[dict[str, Any], dict[str, float], Array | None]:
    """A class's row, its tests {statistic: p}, and its largest z of each permutation."""
    x, y = _of_class(sides.samples, sides.labels, c), _of_class(sides.reference, sides.reference_labels, c)
    row: dict[str, Any] = {"class": c, "name": sides.names[c], "train_count": sides.train_counts[c] if sides.train_counts else None}
    row |= {"n": len(x), "m": len(y), "notes": list(sides.notes)}
    tests = _counted(sides, c, row)
    _put(row, "diversity", sides.diversity.get(c, (math.nan,) * 3), sides.diversity_real.get(c))
    row["notes"] += [] if c in sides.diversity else ["diversity: the run has no LPIPS by class: --metrics lpips_diversity"]
    tests |= _copied(sides, c, x, y, row)
    if max(len(x), len(y)) > LARGEST:
        row["notes"].append(f"distances: of the first {LARGEST} on each side")
    x, y = x[:LARGEST], y[:LARGEST]
    if min(len(x), len(y)) < 2:
        for name in classes_pairs.STATISTICS:
            _put(row, name, (math.nan,) * 3)
        row |= {"kd_relative": None, "fd_bias": None, "z": None, "real_n": None, "real_m": None}
        row["notes"].append(f"distances: {len(x)} samples and {len(y)} real images are too few")
        return row, tests, None
    of = classes_pairs.pairs(np.concatenate([x, y]))
    lines = classes_within.real_lines(_of_class(sides.pool, sides.pool_labels, c)[: 2 * LARGEST], len(x), len(y), sides.seed)
    for name, found in classes_within.bounded(of, len(x)).items():
        _put(row, name, found, lines.get(name))
    line = lines.get("fd")
    row |= {"real_n": line and line.n, "real_m": line and line.m}
    if line and (line.n, line.m) != (len(x), len(y)):
        row["notes"].append(f"real: {line.n} against {line.m} images, fewer than these")
    real_mean = permutations.means(of.kernel, np.repeat([1.0, 0.0], [len(x), len(y)])[None])[1][0]
    row["kd_relative"] = _number(row["kd"] / real_mean) if real_mean > 0 else None
    # as much from real images at these sizes as from the samples: the number says more of n than of the class
    row["fd_bias"] = None if line is None else bool(line.median >= row["fd"] / 2 or (row["fd_low"] or -math.inf) <= line.high)
    more, z = _permuted(sides, of, len(x), row)
    return row, tests | more, z


def _permuted(sides: Sides, of: classes_pairs.Pairs, n: int, row: dict[str, Any]) -> tuple[dict[str, float], Array]:
    """The permutation tests of a class: {"distance", "spread": p}, and the larger z of the two for each permutation; sets the row's z."""
    chosen = permutations.arrangements(n, len(of.rows) - n, sides.permutations, sides.seed)
    distance = permutations.standardised(permutations.kernel_distances(of.kernel, chosen))
    spread = np.abs(permutations.standardised(permutations.log_spreads(of.squares, chosen)))
    row["z"], row["z_distance"], row["z_spread"] = float(max(distance[0], spread[0])), float(distance[0]), float(spread[0])
    return {"distance": permutations.p_value(distance), "spread": permutations.p_value(spread)}, np.maximum(distance, spread)[1:].astype(np.float32)


def _counted(sides: Sides, c: int, row: dict[str, Any]) -> dict[str, float]:
    """Share, label accuracy and the confusion's row of a class, and their exact tests."""
    reader, total, classes = sides.reader, len(sides.labels), len(sides.names)
    asked = sides.labels == c
    seen = int(asked.sum()) if reader is None else int((reader.samples == c).sum())
    real = int((sides.reference_labels == c).sum()) if reader is None else int((reader.reference == c).sum())
    expected = 1 / classes if sides.expected is None else float(sides.expected[c])
    _put(row, "share", (seen / total, *classes_shares.jeffreys(seen, total)))
    row |= {"share_real": real / len(sides.reference_labels), "share_expected": expected, "confusion": None}
    row["flags"] = ["missing"] if classes_shares.missing(min(seen, int(asked.sum())), total, expected, classes) else []
    tests: dict[str, float] = {}
    if not sides.conditional and sides.expected is not None:
        se = 0.0 if sides.expected_se is None else float(sides.expected_se[c])
        tests["share"] = classes_shares.beta_binomial(seen, total, expected, se) if se else classes_shares.binomial(seen, total, expected)
        if se > math.sqrt(expected * (1 - expected) / total):
            row["notes"].append("share: expected from so few real images that one faithful run in ten is flagged")
    elif not sides.conditional:
        tests["share"] = classes_shares.fisher(seen, total, real, len(sides.reference_labels), "both")
    if reader is None or not sides.conditional:
        _put(row, "accuracy", (math.nan,) * 3)
        row["notes"].append("accuracy: the samples' labels are the classifier's own" if reader else "accuracy: nothing tells the classes apart")
        return tests
    held = sides.reference_labels == c
    right, right_real = int((reader.samples[asked] == c).sum()), int((reader.reference[held] == c).sum())
    n, m = int(asked.sum()), int(held.sum())
    _put(row, "accuracy", (right / n if n else math.nan, *classes_shares.jeffreys(right, n)))
    row["accuracy_real"] = right_real / m if m else None
    as_seen = np.bincount(reader.samples[asked], minlength=classes)
    row["confusion"] = {str(other): as_seen[other] / n for other in np.flatnonzero(as_seen)} if n else None
    return tests | ({"label": classes_shares.fisher(right, n, right_real, m, "less")} if min(n, m) else {})


def _copied(sides: Sides, c: int, x: Array, y: Array, row: dict[str, Any]) -> dict[str, float]:
    """Distances to the nearest training image of the class, and the exact test for near copies beside held-out real images'."""
    row |= dict.fromkeys(("nearest_train", "nearest_real", "copies", "copies_real"))
    _put(row, "nearest_ratio", (math.nan,) * 3)
    train = None if sides.train is None else _of_class(*sides.train, c)
    if train is None or min(len(x), len(y), len(train)) < 1:
        row["notes"].append("nearest_train: the reference is the training split" if train is None else "nearest_train: no sample, real or training image")
        return {}
    (near, at), (near_real, at_real) = classes_copies.nearest_to(x, train), classes_copies.nearest_to(y, train)
    ours, theirs = float(near.mean()), float(near_real.mean())
    row |= {"nearest_train": ours, "nearest_real": theirs}
    if theirs > 0:
        error = math.hypot(*(of.std(ddof=1) / math.sqrt(len(of)) / of.mean() if len(of) > 1 and of.mean() > 0 else 0.0 for of in (near, near_real)))
        low, high = intervals.t_interval(0.0, error, min(len(x), len(y)))
        # real to real is 1 by definition; its error is the real images' at both sizes
        own = float(near_real.std(ddof=1)) / theirs * math.sqrt(1 / len(x) + 1 / len(y)) if len(y) > 1 else math.nan
        least, most = intervals.t_interval(0.0, own, min(len(x), len(y)))
        line = classes_within.Line(1.0, math.exp(least), math.exp(most), len(x), len(y)) if math.isfinite(least) else None
        _put(row, "nearest_ratio", (ours / theirs, ours / theirs * math.exp(low), ours / theirs * math.exp(high)), line)
    copied, copied_real = (classes_copies.copies(*of, train, theirs) for of in ((near, at), (near_real, at_real)))
    row |= {"copies": float(copied.mean()), "copies_real": float(copied_real.mean())}
    return {"memorised": classes_shares.fisher(int(copied.sum()), len(x), int(copied_real.sum()), len(y), "greater")}


def _flagged(rows: list[dict[str, Any]], tests: list[tuple[int, str, float]], sides: Sides) -> None:
    """Each row's flags, its tests, p (the smallest by Holm over all tests of the run), and q (by Benjamini & Hochberg, to order rows: it flags nothing)."""
    adjusted = intervals.holm([p for *_, p in tests]).tolist()
    rates = scipy_stats.false_discovery_control([p for *_, p in tests]).tolist() if tests else []
    for row in rows:
        row |= {"p": None, "q": None, "tests": {}}
    for (c, name, p), holm, rate in zip(tests, adjusted, rates, strict=True):
        row = rows[c]
        row["tests"][name] = {"p": p, "adjusted": holm}
        row |= {"p": holm if row["p"] is None else min(holm, row["p"]), "q": rate if row["q"] is None else min(rate, row["q"])}
        if holm <= LEVEL:
            row["flags"].append(name)
    for row in rows:
        absent = "missing" in row["flags"]
        unseen = row["share"] == 0 or row["n"] == 0
        # of n against m rows there are so few arrangements that no p can pass Holm's first step
        coarse = permutations.least_p(min(row["n"], LARGEST), min(row["m"], LARGEST)) * len(tests) > LEVEL
        if not absent and (coarse or (unseen and len(sides.labels) < classes_shares.enough(len(rows)))):
            row["flags"].append("too few samples")


def _carried(sides: Sides, known: tuple[stats.Moments, stats.Moments]) -> tuple[Array, float, Array]:
    """The reference's classes' parts of the whole Fréchet distance, its total, and each class's median part of real against real."""
    count = len(sides.names)
    parts, total = classes_over.carried(sides.samples, sides.reference, sides.reference_labels, count, known)
    there, n, m = (np.bincount(of, minlength=count) for of in (sides.pool_labels, sides.labels, sides.reference_labels))
    if not math.isfinite(total) or (there < n + m).any() or sides.samples.shape[1] > REAL_WIDEST:
        return parts, total, np.full(count, math.nan)
    rng, found = np.random.default_rng(sides.seed), []
    for _ in range(REAL_SPLITS):
        members = [rng.permutation(np.flatnonzero(sides.pool_labels == c)) for c in range(count)]
        x, y = (np.concatenate(part) for part in zip(*((of[: n[c]], of[n[c] : n[c] + m[c]]) for c, of in enumerate(members)), strict=True))
        own, whole = classes_over.carried(sides.pool[x], sides.pool[y], sides.pool_labels[y], count)
        found.append(own / whole)
    return parts, total, np.median(found, axis=0)


BETTER: Mapping[str, str] = {
    "kd": "lower", "fd": "lower", "spread_ratio": "one", "accuracy": "higher", "precision": "higher", "recall": "higher", "density": "higher",
    "coverage": "higher", "diversity": "higher", "nearest_ratio": "higher",
}  # fmt: skip


def _over(sides: Sides, rows: list[dict[str, Any]], total: float) -> dict[str, Any]:
    """What is said over classes."""
    real = {"reference": (sides.reference, sides.reference_labels)} | ({"train": sides.train} if sides.train else {})
    flagged: dict[str, list[int]] = {}
    for row in rows:
        for flag in row["flags"]:
            flagged.setdefault(flag, []).append(row["class"])
    enough = classes_shares.enough(len(rows))
    few = len(sides.labels) < enough
    return {
        "n": len(sides.labels),
        "numbers": {name: classes_over.across([row[name] for row in rows], better) for name, better in BETTER.items()},
        "gini": _number(classes_shares.gini([row["share"] for row in rows])),
        "missing": flagged.get("missing", []),
        "missing_note": f"too few samples to call: {enough} are needed for {len(rows)} classes" if few else "",
        "flagged": flagged,
        "intra_fid": {name: classes_over.intra(sides.samples, sides.labels, real, name) for name in classes_over.CONVENTIONS},
        "fd_total": _number(total),
        "classifier": _read_by(sides.reader),
    }


def _read_by(reader: Reader | None) -> dict[str, Any] | None:
    """The classifier as plain data, its held-out confusion included."""
    return None if reader is None else {"name": reader.name, "accuracy": reader.accuracy, "confusion": reader.confusion.tolist()}


ORDERS = ("z", "p", "q", "class", "train_count", *BETTER)


def ordered(rows: tuple[dict[str, Any], ...], by: str) -> list[dict[str, Any]]:
    """Rows by one of ORDERS, the worst first; where a row has no such number it stands first, since a class of which nothing can be said is served worst."""

    def place(row: dict[str, Any]) -> float:
        if row[by] is None:
            return -math.inf
        return float(row[by]) if by in ("class", "p", "q") else -float(row[by]) if by in ("z", "train_count") else -classes_over.badness(row[by], BETTER[by])

    return sorted(rows, key=lambda row: (place(row), row["class"]))
