"""Methods: the trainings of one recipe, with their mean, spread and t interval.

The unit of a paper is a method, not a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import cell_of_csv, clean, plus_minus
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np
from genbench.leaderboards.entries import Entry, number
from genbench.leaderboards.ranking import direction
from genbench.leaderboards.tables import headings
from genbench.statistics import confidence_intervals

if TYPE_CHECKING:
    from genbench.runs.records.record import Plan

ENOUGH = 3  # trainings of a method that is compared with another
# of what a checkpoint says of its training; its seed is chance
RECIPE = ("dataset", "steps", "batch_size", "train_counts", "tail", "augment")


@dataclass(frozen=True)
class Method:
    """One recipe and its trainings; of a training drawn under several seeds the mean
    counts once.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def trainings(self) -> dict[str, list[Entry]]:
        """The entries by training, oldest first."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(training_of(entry.record.plan), []).append(entry)
        return found

    def values(self, metric: str) -> list[float]:
        """A number of each training that has it."""
        scores = (
            [one for entry in own if (one := entry.score(metric))]
            for own in self.trainings.values()
        )
        return [float(np.mean([number(one.value) for one in own])) for own in scores if own]

    def row(self, metric: str) -> dict[str, Any]:
        """Mean over trainings, standard deviation between them,
        and the t interval of the mean (k - 1 degrees of freedom).
        """
        values = self.values(metric)
        found = of_trainings(values)
        low, high = confidence_intervals.t_interval(found.value, found.se, found.groups)
        return {
            "mean": found.value,
            "sd": found.se * math.sqrt(len(values)),
            "low": low,
            "high": high,
            "trainings": len(values),
            "values": values,
        }


def training_of(plan: Mapping[str, Any]) -> str:
    """Which training a run's weights come from: its seed where the checkpoint says it,
    else the checkpoint's hash; "" for a generator without weights.
    """
    seal = plan["identity"].get("checkpoint")
    if not seal:
        return ""
    said = plan.get("training") or {}
    return f"seed {said['seed']}" if "seed" in said else str(seal)


def recipe(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of how it was trained, its seed aside; {} where it says nothing."""
    said = plan.get("training") or {}
    return {key: said[key] for key in RECIPE if key in said} | (
        {"parent": plan["parent"]} if plan.get("parent") else {}
    )


def same_recipe(plans: Sequence[Plan]) -> None:
    """UserError unless checkpoints can be trainings of one method:
    different files, and one recipe, as far as they say how they were trained.
    """
    seals = [plan.identity["checkpoint"] for plan in plans]
    if len(set(seals)) < len(seals):
        raise UserError(
            "--checkpoint names one training twice: the same weights are no second training"
        )
    first = {key: value for key, value in recipe(asdict(plans[0])).items() if value}
    for plan in plans[1:]:
        other = recipe(asdict(plan))
        apart = [key for key, value in first.items() if other.get(key, value) != value]
        if apart:
            said = f"{apart[0]} {clean(str(first[apart[0]]))} and {clean(str(other[apart[0]]))}"
            raise UserError(
                f"--checkpoint: {plans[0].label} and {plan.label} are no trainings of one method "
                f"({said}); run each by itself"
            )


def named(label: str) -> str:
    """A label without the checkpoint at its end."""
    return label.rpartition(" [")[0] if label.endswith("]") and " [" in label else label


def key_of(plan: Mapping[str, Any]) -> str:
    """What a method is known by: the name it was given, or its training recipe,
    with generator and options; "" where neither is known.
    """
    given = str(plan.get("method") or "")
    how = recipe(plan)
    if not plan["identity"].get("checkpoint") or not (given or "steps" in how):
        return ""
    return digest([given, plan["identity"]["generator"], plan["identity"].get("options"), how])


def methods_of(entries: Sequence[Entry], least: int = 2) -> list[Method]:
    """The methods among comparable entries that have at least so many trainings,
    in the order of their first entries.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if key := key_of(entry.record.plan):
            groups.setdefault(key, []).append(entry)
    found = [
        Method(str(own[0].record.plan.get("method") or named(own[0].label)), tuple(own))
        for own in groups.values()
    ]
    return [_told_apart(one, found) for one in found if len(one.trainings) >= least]


def numbers(entries: Sequence[Entry], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """A row to every method of two trainings and more, for programs:
    `method`, `trainings`, and for each metric mean, sd, low, high.
    """
    rows = []
    for one in methods_of(entries):
        row: dict[str, Any] = {"method": cell_of_csv(one.name), "trainings": len(one.trainings)}
        for metric in metrics:
            found = one.row(metric) if len(one.values(metric)) > 1 else {}
            row |= {
                metric if key == "mean" else f"{metric}_{key}": found.get(key)
                for key in ("mean", "sd", "low", "high")
            }
        rows.append(row | {"entries": " ".join(entry.id for entry in one.entries)})
    return rows


def people(entries: Sequence[Entry], sort: str) -> list[dict[str, str]]:
    """The same for people, best first: mean ± half its t interval,
    and the standard deviation between trainings.
    """
    found = [one for one in methods_of(entries) if len(one.values(sort)) > 1]
    if not found:
        return []
    sign = 1 if direction(entries, sort) == "lower" else -1
    rows = []
    for one in sorted(found, key=lambda one: sign * float(np.mean(one.values(sort)))):
        cells = {"method": clean(one.name), "trainings": str(len(one.trainings))}
        for name, heading in headings(entries, sort).items():
            row = one.row(name) if len(one.values(name)) > 1 else None
            cells[heading] = (
                f"{plus_minus(row['mean'], row['low'], row['high'])} (sd {row['sd']:.2g})"
                if row
                else "–"
            )
        rows.append(cells)
    return rows


def _told_apart(one: Method, found: Sequence[Method]) -> Method:
    """A method whose name others have too, with what its recipe or options have of their
    own behind it.
    """
    said = [_words(other) for other in found if other.name == one.name]
    apart = [
        word
        for key, word in _words(one).items()
        if word and any(other.get(key) != word for other in said)
    ]
    name = " ".join([one.name, *apart])
    alike = sum(other == _words(one) for other in said) > 1
    return replace(one, name=f"{name} {key_of(one.entries[0].record.plan)[:6]}" if alike else name)


def _words(one: Method) -> dict[str, str]:
    """What tells a method from others of its name, a word or two for each thing;
    "" for what is usual.
    """
    plan = one.entries[0].record.plan
    how = recipe(plan)
    tail = how.get("tail") or {}
    found = {
        "dataset": str(how.get("dataset", "")),
        "steps": f"{how['steps']} steps" if "steps" in how else "",
        "batch_size": f"batch {how['batch_size']}" if "batch_size" in how else "",
        "tail": ""
        if tail.get("mode") == "natural"
        else " ".join(
            str(tail[key])
            for key in sorted(tail, key=lambda key: key != "mode")
            if key != "last_stage"
        ),
        "augment": str(how.get("augment", "")),
        "parent": f"from {str(how.get('parent', ''))[:6]}" if how.get("parent") else "",
    }
    return found | {
        f"-o {name}": f"{name}={value}"
        for name, value in plan["identity"].get("options", {}).items()
    }


def of_trainings(values: Sequence[float]) -> confidence_intervals.Estimate:
    """The mean over independent trainings of a method, its standard error sd / sqrt(k) and k
    groups; se is NaN for one training.
    """
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return confidence_intervals.Estimate(
        float(np.mean(values)), spread / math.sqrt(len(values)), len(values)
    )
