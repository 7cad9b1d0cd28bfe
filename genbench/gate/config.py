"""What a gate asks for: `gate.toml`, read and refused in one line where it is wrong.

alpha = 0.05                     # one-sided, of each look
looks = 1                        # how often the numbers may be looked at while samples are added (genbench extend)
margin = "5 %"                   # of distances and scores
margin_share = "1 %"             # points of precision, recall, accuracy
margin_kernel = "10 %"           # of a kernel distance's baseline, or twice the sd of real against real
inconclusive = "fail"            # fail: exit 4; warn or pass: exit 0
if_missing = "fail"              # fail: exit 3; warn
anchor = "baselines/anchor.json" # besides the previous state a fixed one, so that small steps
do not add up
min_class = 50                   # samples from which a class is judged
discoveries = "10 %"             # of what warns: at most so many false ones among them (Benjamini and Hochberg)

[[rule]]                   # without rules: the first number of each protocol fails, the others warn
metric = "fd_digits"
margin = "3 %"
level = "fail"             # or warn
accept = { until = 2026-12-31, reason = "new sampler", digest = "1f2e..." }

[[cost]]                         # only between equal devices
metric = "images_per_second"
tolerance = "20 %"
"""  # noqa: E501

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.io import toml

LARGEST = 2**20  # bytes of a file
LEVELS = ("fail", "warn")
LOOKS = 20
COSTS = {  # what may be judged, and whether more of it is better
    "images_per_second": True,
    "images_per_second_whole": True,
    "latency_p50_seconds": False,
    "latency_p95_seconds": False,
    "peak_memory_bytes": False,
    "peak_gpu_memory_bytes": False,
    "checkpoint_bytes": False,
    "parameters": False,
    "evaluations_per_image": False,
}


@dataclass(frozen=True)
class Acceptance:
    """A regression that somebody took on: of this model alone, until this day."""

    until: datetime.date
    reason: str
    digest: str


@dataclass(frozen=True)
class Rule:
    """A number that is judged."""

    metric: str
    part: str = "all"  # all, class (every class), or one: "class 3"
    protocol: str = ""  # "": every protocol that has it
    margin: float | None = None  # None: the gate's, by the kind of number
    level: Literal["fail", "warn"] = "fail"
    accept: Acceptance | None = None


@dataclass(frozen=True)
class CostRule:
    """A cost, and the share by which it may grow (or a rate fall)."""

    metric: str
    tolerance: float
    level: Literal["fail", "warn"] = "fail"


@dataclass(frozen=True)
class Gate:
    """A whole gate; without rules, those that `genbench check` takes for granted."""

    alpha: float = 0.05
    looks: int = 1
    margin: float = 0.05
    margin_share: float = 0.01
    margin_kernel: float = 0.10
    inconclusive: Literal["fail", "warn", "pass"] = "fail"
    if_missing: Literal["fail", "warn"] = "fail"
    anchor: str = ""
    min_class: int = 50
    discoveries: float = 0.1  # Benjamini-Hochberg's q of what only warns
    rules: tuple[Rule, ...] = ()
    costs: tuple[CostRule, ...] = field(default=())


class Wrong(Exception):
    """What is wrong with a file, without its name."""


def read(path: Path) -> Gate:
    """The gate in a file; UserError naming the file, the rule and the key for whatever is wrong."""
    shown = clean(str(path))
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"--gate {shown} is larger than a megabyte; it is no gate")
        return gate_of(toml.loads(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"--gate {shown}: there is no such file") from None
    except (OSError, ValueError, Wrong) as error:
        raise UserError(f"--gate {shown}: {clean(str(error))}") from None


def gate_of(content: Mapping[str, Any]) -> Gate:
    """A gate from plain data; Wrong."""
    readers = {
        "alpha": _share_below_half,
        "looks": _looks,
        "margin": share,
        "margin_share": share,
        "margin_kernel": share,
        "inconclusive": _one_of("fail", "warn", "pass"),
        "if_missing": _one_of(*LEVELS),
        "anchor": _text,
        "min_class": _count,
        "discoveries": _share_below_half,
        "rule": _tables(
            {
                "metric": _text,
                "part": _text,
                "protocol": _text,
                "margin": share,
                "level": _one_of(*LEVELS),
                "accept": _acceptance,
            },
            Rule,
        ),
        "cost": _tables(
            {"metric": _one_of(*COSTS), "tolerance": share, "level": _one_of(*LEVELS)}, CostRule
        ),
    }
    found = _read(content, readers, "")
    rules = found.pop("rule", ())
    seen = [(one.metric, one.part, one.protocol) for one in rules]
    if twice := next((one for one in seen if seen.count(one) > 1), None):
        raise Wrong(f"two rules are about {' '.join(filter(None, twice))}: one number has one rule")
    return Gate(rules=rules, costs=found.pop("cost", ()), **found)


def _read(content: Mapping[str, Any], readers: Mapping[str, Any], where: str) -> dict[str, Any]:
    if unknown := [key for key in content if key not in readers]:
        raise Wrong(f"{where}no key {unknown[0]!r}: {choices(unknown[0], readers)}")
    found = {}
    for key, value in content.items():
        try:
            found[key] = readers[key](value)
        except (ValueError, TypeError) as error:
            raise Wrong(f"{where}{key} = {value!r}: {error}") from None
    return found


def _tables(readers: Mapping[str, Any], kind: type[Rule] | type[CostRule]) -> Any:
    def read_all(value: Any) -> tuple[Any, ...]:
        if not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
            raise ValueError("write it as a table, [[rule]] or [[cost]]")
        made = []
        for place, one in enumerate(value, 1):
            read_one = _read(one, readers, f"{'rule' if kind is Rule else 'cost'} {place}: ")
            if missing := [
                key
                for key in ("metric", *(["tolerance"] if kind is CostRule else []))
                if key not in read_one
            ]:
                raise Wrong(f"{'rule' if kind is Rule else 'cost'} {place} names no {missing[0]}")
            made.append(kind(**read_one))
        return tuple(made)

    return read_all


def share(value: Any) -> float:
    """0.05, or "5 %"; not negative and finite."""
    text = str(value).strip()
    number = float(text.removesuffix("%").strip()) / 100 if text.endswith("%") else float(text)
    if isinstance(value, bool) or not 0 <= number < 100:
        raise ValueError('a share from 0 up: 0.05, or "5 %"')
    return number


def _share_below_half(value: Any) -> float:
    found = share(value)
    if not 0 < found < 0.5:
        raise ValueError("between 0 and 0.5")
    return found


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
        raise ValueError("a whole number from 1 up")
    return value


def _looks(value: Any) -> int:
    found = _count(value)
    if found > LOOKS:
        raise ValueError(f"at most {LOOKS}")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text, in quotes")
    return value


def _one_of(*words: str) -> Any:
    def read_word(value: Any) -> str:
        if value not in words:
            raise ValueError(choices(str(value), words))
        return str(value)

    return read_word


def _acceptance(value: Any) -> Acceptance:
    if not isinstance(value, dict) or set(value) != {"until", "reason", "digest"}:
        raise ValueError(
            'write { until = 2026-12-31, reason = "...", digest = "..." }; '
            "check.json has the digest"
        )
    until = value["until"]
    if not isinstance(until, datetime.date) or isinstance(until, datetime.datetime):
        raise ValueError("until is a date: 2026-12-31, without quotes")
    return Acceptance(until, _text(value["reason"]), _text(value["digest"]))
