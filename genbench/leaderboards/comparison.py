"""Runs of different models side by side: what shares a protocol in one block,
its differences with intervals, its ranks, its cost.

Numbers of two blocks were taken with two rulers and are never set against each other. In a block
methods of three trainings and more are compared over their trainings, and runs of one training each
over their samples; one with the other never, since a single training says nothing of a method.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import NotComparable, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np, scipy_stats
from genbench.leaderboards.entries import COST, Entry, entry_of, number
from genbench.leaderboards.methods import ENOUGH, Method, methods_of, of_trainings, training_of
from genbench.leaderboards.ranking import direction, metrics_of
from genbench.runs.records.comparability import BOUGHT, apart, interval_of, short
from genbench.runs.records.record import Record, Score
from genbench.statistics import confidence_intervals, rank_ranges

Row = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """What stands in a block: a run, or a method with its trainings."""

    name: str
    entry: Entry  # the run; of a method the first
    method: Method | None = None

    @property
    def competes(self) -> bool:
        return bool(self.entry.record.plan["competitor"])

    @property
    def trainings(self) -> int:
        """How many trainings it stands for; 0 for a generator without weights."""
        return (
            len(self.method.trainings)
            if self.method
            else int(training_of(self.entry.record.plan) != "")
        )

    def estimate(self, metric: str, part: str = "all") -> confidence_intervals.Estimate | None:
        """A number with what a comparison needs; None where it has none."""
        if self.method:
            values = self.method.values(metric)
            return of_trainings(values) if len(values) >= ENOUGH and part == "all" else None
        score = score_of(self.entry, metric, part)
        sizes = (score.sizes or self.entry.record.plan["block_sizes"]) if score else ()
        if score is None or not score.left_out:
            return None
        return confidence_intervals.estimate(
            number(score.value), score.left_out, sizes, interval_of(self.entry.record, score)
        )


@dataclass(frozen=True)
class Block:
    """Entries that share a protocol: one data set, n, label policy, real images,
    extractors and formulas.
    """

    entries: tuple[Entry, ...]
    units: tuple[Unit, ...]
    metrics: tuple[str, ...]

    @property
    def heading(self) -> dict[str, Any]:
        first = self.entries[0]
        name = next(iter(first.record.plan["protocols"]))
        labels = (
            first.record.plan["identity"]["conditions"].get("labels", "")
            or first.protocol["labels"]
        )
        return {
            "protocol": name,
            "dataset": first.protocol["dataset"],
            "n": int(first.record.plan["identity"]["n"]),
            "labels": labels,
        }


def score_of(entry: Entry, metric: str, part: str) -> Score | None:
    return next(
        (
            one
            for one in entry.record.scores
            if (one.metric, one.part, one.status) == (metric, part, "ok")
        ),
        None,
    )


def drawn_as(entry: Entry) -> str:
    """A word for the seeds and labels that a run drew; a generator that does not take seeds has one
    of its own, since nothing of its draws is shared.
    """
    plan = entry.record.plan
    mine = "" if plan.get("seeding", "per image") == "per image" else entry.id
    return digest(
        [
            plan["identity"]["first_seed"],
            plan["identity"]["n"],
            plan["identity"]["conditions"].get("labels", ""),
            mine,
        ]
    )


def blocks(
    runs: Sequence[Record], metrics: Sequence[str] = (), *, by: str = "method"
) -> list[Block]:
    """The runs' numbers in blocks that share a protocol; by "checkpoint" every run
    stands for itself.

    UserError for an unknown number.
    """
    entries = {
        one.id: one
        for run in runs
        for name, protocol in run.plan["protocols"].items()
        for one in [entry_of(run, name, protocol)]
    }
    return blocks_of(list(entries.values()), metrics, by=by)


def blocks_of(
    entries: Sequence[Entry], metrics: Sequence[str] = (), *, by: str = "method"
) -> list[Block]:
    """The same of entries."""
    found = grouped(entries)
    known = list(dict.fromkeys(name for entry in entries for name in metrics_of([entry])))
    for name in metrics:
        if name not in known:
            raise UserError(f"--metrics {name}: {choices(name, known)}")
    there = [
        {name for name in metrics_of(one) if any(entry.score(name) for entry in one)}
        for one in found
    ]
    chosen = [
        [name for name in metrics_of(one) if name in has and (not metrics or name in metrics)]
        for one, has in zip(found, there, strict=True)
    ]
    return [
        Block(tuple(one), tuple(_ordered(one, _units(one, by), names[0])), tuple(names))
        for one, names in zip(found, chosen, strict=True)
        if names
    ]


def grouped(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries in groups in which any two may be set against each other."""
    found: list[list[Entry]] = []
    for entry in entries:
        home = next(
            (one for one in found if not any(kept_apart(other, entry) for other in one)), None
        )
        if home is None:
            found.append([entry])
        else:
            home.append(entry)
    return found


def kept_apart(a: Entry, b: Entry) -> list[tuple[str, Any, Any]]:
    """What keeps two entries apart: (field, of the first, of the second)."""
    (name, other), data = (
        (next(iter(one.record.plan["protocols"])) for one in (a, b)),
        [one.protocol["dataset"] for one in (a, b)],
    )
    if name != other or data[0] != data[1]:
        return [
            field
            for field in (("protocol", name, other), ("data set", *data))
            if field[1] != field[2]
        ]
    return apart(a.record.plan, b.record.plan, name)


def _ordered(entries: Sequence[Entry], units: Iterable[Unit], metric: str) -> list[Unit]:
    """Best first by the first number, so that a difference is that of the better one
    less the other.
    """
    sign = 1 if direction(entries, metric) == "lower" else -1
    return sorted(
        units, key=lambda unit: sign * found.value if (found := unit.estimate(metric)) else math.inf
    )


def _units(entries: Sequence[Entry], by: str) -> Iterator[Unit]:
    """Methods of enough trainings, and every other run; names that two have are told apart by
    seed and id.
    """
    methods = methods_of(entries, ENOUGH) if by == "method" else []
    yield from (Unit(one.name, one.entries[0], one) for one in methods)
    taken = {entry.id for one in methods for entry in one.entries}
    rest = [entry for entry in entries if entry.id not in taken]
    names = [*(one.name for one in methods), *(entry.label for entry in rest)]
    for entry in rest:
        first, run = entry.record.plan["identity"]["first_seed"], entry.record.id
        again = [other for other in rest if other.label == entry.label]
        seeds = (
            len({other.record.plan["identity"]["first_seed"] for other in again}) == len(again) > 1
        )
        yield Unit(
            entry.label
            if names.count(entry.label) == 1
            else f"{entry.label} {f'seeds from {first}' if seeds else run[:8]}",
            entry,
        )


def why_not(a: Unit, b: Unit) -> str:
    """Why two of a block cannot be set against each other; "" where they can."""
    if bool(a.method) == bool(b.method):
        return ""
    one = b if a.method else a
    return (
        f"{one.name} is {'one training' if one.trainings else 'no training'}, no method of {ENOUGH}"
    )


def differences(block: Block, metric: str, part: str = "all") -> list[Row]:
    """A row to every pair of a block: the first less the second, 95 % interval, p,
    p adjusted over the block's pairs (Holm), who is shown better.
    """
    pairs = [pair for pair in itertools.combinations(block.units, 2) if not why_not(*pair)]
    ranked = [
        row
        for a, b in pairs
        if a.competes and b.competes and (row := _difference(a, b, metric, part))
    ]
    beside = [
        row
        for a, b in pairs
        if not (a.competes and b.competes) and (row := _difference(a, b, metric, part))
    ]
    for family in (ranked, beside):  # lines of reference take nothing from the competitors' level
        _judge(family, direction(block.entries, metric))
    return ranked + beside


def _judge(rows: Sequence[Row], better: str) -> None:
    """Each row's p adjusted over all of them (Holm), and who is shown better at 5 %."""
    sign = 1 if better == "lower" else -1
    for row, p in zip(rows, rank_ranges.holm([row["p"] for row in rows]), strict=True):
        row["p_adjusted"] = float(p)
        row["better"] = (
            ""
            if p > 1 - confidence_intervals.LEVEL
            else row["first"]
            if sign * row["difference"] < 0
            else row["second"]
        )


def _difference(a: Unit, b: Unit, metric: str, part: str) -> Row | None:
    x, y = a.estimate(metric, part), b.estimate(metric, part)
    if x is None or y is None:
        return None
    # then nothing of what they drew is shared, whatever the sizes of their blocks
    alone = drawn_as(a.entry) != drawn_as(b.entry)
    found = confidence_intervals.difference(
        *(replace(one, left_out=(), sizes=()) if alone else one for one in (x, y))
    )
    low, high = bounds(found)
    near = {
        "first": a.name,
        "second": b.name,
        "metric": metric,
        "part": part,
        "first_value": x.value,
        "second_value": y.value,
    }
    tests = {
        "difference": found.value,
        "low": low,
        "high": high,
        "se": found.se,
        "p": found.p,
        "freedom": found.freedom,
        "paired": found.paired,
    }
    alike = _correlation(x, y) if found.paired else math.nan
    return near | tests | {"correlation": alike, "how": _how(a, b, found.paired, alike)}


def bounds(found: confidence_intervals.Difference) -> tuple[float, float]:
    """The 95 % interval of a difference by t with its degrees of freedom;
    (NaN, NaN) where there is no error.
    """
    if math.isnan(found.se) or found.freedom < 1:
        return math.nan, math.nan
    half = (
        float(scipy_stats.t.ppf((1 + confidence_intervals.LEVEL) / 2, found.freedom)) * found.se
        if found.se
        else 0.0
    )
    return found.value - half, found.value + half


def _correlation(x: confidence_intervals.Estimate, y: confidence_intervals.Estimate) -> float:
    """Of the leave-outs of two runs, block by block."""
    one, other = (np.asarray(side.left_out) - side.value for side in (x, y))
    scale = float(np.std(one) * np.std(other))
    return (
        float(np.mean((one - one.mean()) * (other - other.mean())) / scale)
        if scale > 0
        else math.nan
    )


def _how(a: Unit, b: Unit, paired: bool, alike: float) -> str:
    """How a difference was taken, in words."""
    if a.method and b.method:
        return f"Welch over {a.trainings} and {b.trainings} trainings"
    if paired:
        return (
            "paired by seed"
            + ("" if math.isnan(alike) else f", r = {alike:.2f}")
            + (", which brings nothing" if alike < BOUGHT else "")
        )
    x, y = a.entry.record.plan, b.entry.record.plan
    if "per call" in (x.get("seeding"), y.get("seeding")):
        return f"unpaired: {(a if x.get('seeding') == 'per call' else b).name} takes no seeds"
    other = ["seeds"] * (x["identity"]["first_seed"] != y["identity"]["first_seed"])
    other += ["labels"] * (
        x["identity"]["conditions"].get("labels") != y["identity"]["conditions"].get("labels")
    )
    return f"unpaired: other {' and '.join(other) or 'blocks'}"


def ranks(block: Block, metric: str) -> dict[str, tuple[int, int]]:
    """{unit: (best, worst) rank}: 1 + the number shown better ... K - the number shown worse,
    over a block's methods where it has any, else its runs.

    Simultaneous 95 % ranges, as intervals.rank_ranges; which pairs are taken seed by seed is known
    here alone. Lines of reference have none.
    """
    methods = any(unit.method for unit in block.units)
    running = [
        unit.name
        for unit in block.units
        if unit.competes and bool(unit.method) == methods and unit.estimate(metric)
    ]
    told = [
        row
        for row in differences(block, metric)
        if row["first"] in running and row["second"] in running and row["better"]
    ]
    ahead = {
        name: sum(name in (row["first"], row["second"]) and row["better"] != name for row in told)
        for name in running
    }
    behind = {name: sum(row["better"] == name for row in told) for name in running}
    return {name: (1 + ahead[name], len(running) - behind[name]) for name in running}


def values(block: Block, metric: str) -> list[Row]:
    """A row to every unit that has the number: value, interval, rank range, trainings."""
    place, rows = ranks(block, metric), []
    for unit in block.units:
        best, worst = place.get(unit.name, (None, None))
        row: Row = {
            "first": unit.name,
            "metric": metric,
            "part": "all",
            "trainings": unit.trainings,
            "rank_low": best,
            "rank_high": worst,
        }
        if unit.method:
            if not unit.method.values(metric):
                continue
            found = unit.method.row(metric)
            rows += (
                [
                    row
                    | {"value": found["mean"], **{key: found[key] for key in ("sd", "low", "high")}}
                ]
                if found["trainings"] >= ENOUGH
                else []
            )
        elif score := score_of(unit.entry, metric, "all"):
            rows.append(
                row
                | {
                    key: getattr(score, key)
                    for key in ("value", "low", "high", "se", "se_reference", "real", "real_high")
                }
            )
    return rows


def spreads(block: Block, metric: str) -> list[Row]:
    """A row to every method of two trainings and more: mean, standard deviation between trainings,
    t interval, their values.
    """
    return [
        {"first": one.name, "metric": metric, **one.row(metric)}
        for one in methods_of(block.entries)
        if len(one.values(metric)) > 1
    ]


def class_differences(block: Block, metric: str) -> list[Row]:
    """Class by class, where the records have class parts: the rows of every pair,
    Holm over all of them, the smallest p first.
    """
    parts = sorted(
        {
            one.part
            for entry in block.entries
            for one in entry.record.scores
            if one.metric == metric and one.part.startswith("class ")
        },
        key=_natural,
    )
    rows = [row for part in parts for row in differences(block, metric, part)]
    _judge(rows, direction(block.entries, metric))
    for row in rows:
        row["class"] = class_name(block, row["part"])
    return sorted(rows, key=lambda row: row["p"])


def _natural(part: str) -> tuple[int, str]:
    tail = part.rpartition(" ")[2]
    return (int(tail) if tail.isdecimal() else 0, part)


def class_name(block: Block, part: str) -> str:
    """The data set's name of `class K`, where a record has them."""
    names: Sequence[str] = next(
        (one for entry in block.entries if (one := entry.record.dataset.get("classes"))), ()
    )
    _, place = part.split(" ", 1)
    return str(names[int(place)]) if place.isdecimal() and int(place) < len(names) else place


def costs(block: Block) -> list[Row]:
    """What a sample costs each run, on the machine that drew it; nothing is ranked by it."""
    entries = [(unit.name, unit.entry) for unit in block.units]
    return [
        {
            "first": name,
            **{key: entry.record.cost.get(key) for key in COST},
            "machine": _machine(entry),
        }
        for name, entry in entries
        if entry.record.cost
    ]


def _machine(entry: Entry) -> str:
    said: Mapping[str, Any] = entry.record.environment
    return f"{said.get('device') or 'unknown'}, {said.get('cpus') or '?'} processors"


def compared(found: Sequence[Block]) -> bool:
    """Whether any two stand against each other in any block."""
    return any(differences(block, metric) for block in found for metric in block.metrics)


def refuse(found: Sequence[Block]) -> None:
    """NotComparable, saying why, where no two of anything can be set against each other."""
    if compared(found):
        return
    if len(found) < 2:
        units = found[0].units if found else ()
        why = next(
            (said for pair in itertools.combinations(units, 2) if (said := why_not(*pair))), ""
        )
        raise NotComparable(
            f"nothing to compare: {why or 'no number is there twice'}"
            + ("; --by checkpoint compares runs" if why else "")
        )
    fields = kept_apart(found[0].entries[0], found[1].entries[0])
    told = [
        f"{name} ({short(one)} and {short(other)})"
        for name, one, other in fields
        if name != "formulas"
    ]
    raise NotComparable(
        "nothing to compare: no two share a protocol; they differ in "
        f"{clean(', '.join(told[:3]) or 'the formulas of their numbers')}"
    )
