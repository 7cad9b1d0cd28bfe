"""`genbench sweep --tune`: options searched for on one half of the real images,
measured on the other with fresh seeds.

Whoever chooses the best of thirty trials has chosen its luck too, of its seeds and of the images it
was held against. Neither is there a second time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench._util.checksummed_files import Damaged, read_json, write_json
from genbench._util.console import complain, tell
from genbench._util.did_you_mean import choices
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import optuna
from genbench.api import _registry as registry
from genbench.data.subsets import HALVES
from genbench.generators import options
from genbench.generators.description import Description
from genbench.generators.seeded_noise import LARGEST_SEED
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.records.record import Plan, Record
from genbench.runs.run import execute

SEARCHED, MEASURED = HALVES  # the half that trials see, and the other
DIGITS = 6  # of a number drawn from a range: what a person would type again


@dataclass(frozen=True)
class Range:
    """Every number from low to high, or every whole one."""

    low: float
    high: float
    whole: bool


Space = Mapping[str, Range | list[str]]  # option -> a range, or the words to choose from


@dataclass(frozen=True)
class Search:
    """What is searched, and how: the words of a run without its options, a number, the space,
    and the options that stay.
    """

    request: Request
    description: Description
    metric: str  # its name on boards
    better: str
    space: Space
    fixed: tuple[str, ...]
    trials: int
    identity: str = ""  # what trials are known by: everything that decides them

    @property
    def plain(self) -> dict[str, Any]:
        """The search as the record says it."""
        space = {
            name: [one.low, one.high] if isinstance(one, Range) else {"of": one}
            for name, one in self.space.items()
        }
        return {
            "metric": self.metric,
            "half": f"{self.request.dataset}-{SEARCHED}",
            "seed": self.request.seed,
            "options": space,
        }


def search_of(request: Request, description: Description, metric: str, trials: int) -> Search:
    """The search that the words ask for; UserError for an unknown number or option,
    an impossible range, or nothing to search.
    """
    if trials < 1:
        raise UserError(f"--trials {trials}: at least 1")
    if metric == "all" or "," in metric:
        raise UserError(f"--tune {clean(metric)}: name one number (genbench metrics)")
    space, fixed = space_of(request.options, description)
    request = replace(request, options=())
    draft = Search(request, description, metric, "lower", space, fixed, trials)
    # every choice, and both ends of every range, can be an option's value
    for name, one in space.items():
        ends = [word_of(one, end) for end in (one.low, one.high)] if isinstance(one, Range) else one
        options.chosen([f"{name}={word}" for word in ends], description.options, description.name)
    plan = settle(on_half(draft, (), SEARCHED), description)
    name, row = number_named(plan, metric)
    found = replace(draft, metric=name, better=row.better)
    return replace(
        found,
        identity=digest(
            [
                found.plain,
                plan.identity,
                {key: one["measures"] for key, one in plan.protocols.items()},
            ]
        )[:16],
    )


def space_of(
    words: Sequence[str], description: Description
) -> tuple[dict[str, Range | list[str]], tuple[str, ...]]:
    """The ranges `name=low:high` and choices `name=a,b,c` among words of -o, and the other words;
    UserError where nothing is left to search.
    """
    space: dict[str, Range | list[str]] = {}
    fixed: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not all(part.strip() for part in text.split(",")):
            raise UserError(
                f"-o {clean(word)}: write it as name=low:high, name=value,value,... or name=value"
            )
        if name not in description.options:
            raise UserError(
                f"{description.name} has no option {clean(name)!r}: "
                f"{choices(name, description.options)}"
            )
        if name in space or any(one.startswith(f"{name}=") for one in fixed):
            raise UserError(f"-o {clean(name)} is named twice")
        kind, parts = description.options[name].kind, [part.strip() for part in text.split(",")]
        if ":" in text and kind in (int, float):
            space[name] = _range(name, text, kind is int)
        elif len(parts) > 1:
            space[name] = parts
        else:
            fixed.append(word)
    if not space:
        raise UserError(
            "--tune has nothing to search: give an option a range, -o truncation=0.5:1.0, "
            "or values, -o steps=10,20,50"
        )
    return space, tuple(fixed)


def _range(name: str, text: str, whole: bool) -> Range:
    low, _, high = text.partition(":")
    try:
        found = (
            Range(int(low), int(high), whole) if whole else Range(float(low), float(high), whole)
        )
    except ValueError:
        raise UserError(
            f"-o {clean(name)}={clean(text)}: a range is two {'whole ' * whole}numbers, low:high"
        ) from None
    if not (math.isfinite(found.low) and math.isfinite(found.high) and found.low < found.high):
        raise UserError(f"-o {clean(name)}={clean(text)}: a range is low:high, low below high")
    return found


def word_of(one: Range, value: float) -> str:
    return str(int(value)) if one.whole else f"{value:.{DIGITS}g}"


def number_named(plan: Plan, word: str) -> tuple[str, Any]:
    """The name on boards of the number that --tune means, and its metric's row."""
    for protocol in plan.protocols.values():
        for measure in protocol["measures"]:
            if word in (measure["name"], measure["metric"]) and not measure["skip"]:
                return str(measure["name"]), registry.find("metrics", measure["metric"])
    raise AssertionError("a number that was named is taken, or refused by the plan")


def on_half(search: Search, point: Sequence[str], half: str) -> Request:
    """The run of a point on one half: trials take one number under the search's seeds."""
    return replace(
        search.request,
        dataset=f"{search.request.dataset}-{half}",
        options=(*search.fixed, *point),
        metrics=(search.metric,),
    )


def searched(search: Search, out: Path, notes: Path) -> list[dict[str, Any]]:
    """Every trial in order: {"options", "value", "run", "reason"};
    those that the file of notes holds are taken over, so that a stopped search goes on.

    Optuna's sampler of trees of Parzen estimators (Bergstra et al. 2011), seeded. It is asked and
    told again from the first trial on: the same numbers lead it the same way, and it is then where
    it was stopped.
    """
    known = _known(notes, search)
    study, done = _study(search), []
    for place in range(1, search.trials + 1):
        trial = study.ask()
        point = tuple(
            f"{name}={_suggested(trial, name, one)}" for name, one in search.space.items()
        )
        if point not in known:
            tell(f"{place} of {search.trials}: {' '.join(point)}")
            known[point] = {"options": list(point), **_tried(search, point, out)}
        done.append(known[point])
        value = known[point]["value"]
        study.tell(trial, value, state=None if value is not None else optuna.trial.TrialState.FAIL)
        write_json(
            notes, {**search.plain, "identity": search.identity, "trials": list(known.values())}
        )
    return done


def _study(search: Search) -> Any:
    try:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    except ImportError:
        raise UserError('--tune needs Optuna: pip install "genbench[tune]"') from None
    return optuna.create_study(
        direction="minimize" if search.better == "lower" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=search.request.seed),
    )


def _suggested(trial: Any, name: str, one: Range | list[str]) -> str:
    if isinstance(one, list):
        return str(trial.suggest_categorical(name, one))
    return word_of(
        one,
        trial.suggest_int(name, one.low, one.high)
        if one.whole
        else trial.suggest_float(name, one.low, one.high),
    )


def _known(notes: Path, search: Search) -> dict[tuple[str, ...], dict[str, Any]]:
    """The trials of an earlier call with the same words, by their options."""
    try:
        content = read_json(notes)
        return (
            {tuple(one["options"]): one for one in content["trials"]}
            if content["identity"] == search.identity
            else {}
        )
    except FileNotFoundError:
        return {}
    except (Damaged, KeyError, TypeError) as error:
        complain(f"{notes}: {error}; searching from the start, with the runs that are there")
        return {}


def _tried(search: Search, point: Sequence[str], out: Path) -> dict[str, Any]:
    """The number of one point, or why it has none: a trial that fails does not end the search."""
    request = on_half(search, point, SEARCHED)
    plan = settle(request, search.description)
    try:
        found = execute(plan, search.description, request, out)
    except RunFailed as error:
        return {"value": None, "run": plan.id, "reason": clean(str(error))}
    score = next(one for one in found.scores if one.metric == search.metric and one.part == "all")
    return {
        "value": score.value if score.status == "ok" else None,
        "run": plan.id,
        "reason": score.reason,
    }


def tuned(search: Search, metrics: tuple[str, ...], out: Path, notes: Path) -> Record:
    """Search, then run the best point on the other half with seeds that no trial had;
    its record says what it was chosen by.
    """
    trials = searched(search, out, notes)
    there = [one for one in trials if one["value"] is not None]
    if not there:
        raise RunFailed(
            f"none of {len(trials)} trials has a value of {search.metric}: {trials[0]['reason']}"
        )
    best = (min if search.better == "lower" else max)(there, key=lambda one: float(one["value"]))
    seed = search.request.seed + 1 if search.request.seed < LARGEST_SEED else 0
    request = replace(on_half(search, best["options"], MEASURED), seed=seed, metrics=metrics)
    different = len({tuple(one["options"]) for one in trials})
    said = {
        **search.plain,
        "trials": len(trials),
        "different": different,
        "failed": len(trials) - len(there),
        "chosen": best["options"],
        "best": best["value"],
    }
    tell(
        f"the best of {len(trials)} trials: {' '.join(best['options'])}, {search.metric} "
        f"{best['value']:.4g}; now on the other half, seed {seed}"
    )
    return execute(
        replace(settle(request, search.description), tuned=said), search.description, request, out
    )


def notes_of(search: Search, root: Path) -> Path:
    """Where a search keeps its trials."""
    return root / f"tuned-{search.identity}.json"
