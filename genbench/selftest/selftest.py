"""What proves an installation: every expected value measured again,
as (name, expected, measured, difference, tolerance, status, source).

Without network: the published codes' answers on seeded arrays, and the shipped digits models
against the committed board. With published weights and data at hand also the published numbers of
real data; what is missing is said and is no failure.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean, table
from genbench.api import _registry as registry
from genbench.leaderboards import entries
from genbench.runs.run import evaluate
from genbench.selftest import published_results, reference_values
from genbench.selftest.reference_values import Anchor, NotRun

SHIPPED = ("dcgan", "vae", "ddpm")
# two measurements of one thing on two machines agree to this, relative to the value or its
# standard error
SAME = 1e-3


@dataclass(frozen=True)
class Check:
    """An expected value and what was measured; status "pass", "FAIL",
    with the reason where nothing came, or "not run: what is missing".
    """

    name: str
    expected: float | None
    measured: float | None
    difference: float | None
    tolerance: float
    status: str
    source: str

    @property
    def failed(self) -> bool:
        return self.status.startswith("FAIL")


def checks() -> Iterator[Check]:
    """Every check, measured one after another, the quick ones first."""
    for anchor in (*reference_values.FORMULAS, *reference_values.pixels()):
        yield measured(anchor)
    board = committed()
    if board is None:
        yield Check(
            "digits", None, None, None, 0.0, "not run: board missing", "leaderboards/digits"
        )
    else:
        with tempfile.TemporaryDirectory(prefix="genbench-selftest-") as folder:
            for anchor in digits(board / "digits", Path(folder)):
                yield measured(anchor)
    for anchor in (*published_results.CIFAR10, *published_results.adm_suite()):
        yield measured(anchor)


def measured(anchor: Anchor) -> Check:
    """An anchor's value taken here.

    Whatever goes wrong in it is this check's failure and keeps no other from being made.
    """
    told = functools.partial(
        Check,
        name=anchor.name,
        expected=anchor.expected,
        tolerance=anchor.tolerance,
        source=anchor.source,
    )
    try:
        value = anchor.measure()
    except NotRun as missing:
        return told(measured=None, difference=None, status=f"not run: {missing}")
    except UserError as error:
        return told(measured=None, difference=None, status=f"FAIL: {clean(str(error))}")
    except Exception as error:
        return told(
            measured=None,
            difference=None,
            status=f"FAIL: {type(error).__name__}: {clean(str(error))}",
        )
    if not math.isfinite(value):
        return told(measured=None, difference=None, status=f"FAIL: it is {value}")
    difference = value - anchor.expected
    return told(
        measured=value,
        difference=difference,
        status="pass" if abs(difference) <= anchor.tolerance else "FAIL",
    )


# The shipped models against the committed board


def committed() -> Path | None:
    """The folder of the boards that this version was released with:
    among the installed packages, or, in a checkout, beside this one.
    """
    spec = importlib.util.find_spec("genbench_leaderboards")
    installed = spec.submodule_search_locations or [] if spec else []
    places = [*map(Path, installed), Path(__file__).parents[2] / "leaderboards"]
    return next((place for place in places if (place / "digits" / "entries").is_dir()), None)


def digits(board: Path, folder: Path) -> Iterator[Anchor]:
    """A row per number of each shipped model on a board; a model's run is done in `folder` when the
    first of its numbers is measured.
    """
    own = {measure.name for measure in registry.find("protocols", "digits").measures}
    for entry in entries.entries(board):
        if entry.label in SHIPPED:
            for score in entry.record.scores:
                if score.value is not None and score.metric in own:  # others were asked for by name
                    delta = SAME * max(abs(score.value), score.se or 0.0)
                    measure = functools.partial(_again, entry.label, score.metric, folder)
                    yield Anchor(
                        f"digits, {entry.label}, {score.metric}",
                        repr(score.value),
                        measure,
                        f"leaderboards/digits/entries/{entry.id}.json",
                        delta,
                    )


@functools.cache
def _run(name: str, folder: Path) -> dict[str, float | None]:
    return {score.metric: score.value for score in evaluate(name, "digits", out=folder).scores}


def _again(name: str, metric: str, folder: Path) -> float:
    value = _run(name, folder).get(metric)
    if value is None:
        raise UserError(f"the run of {name} has no {metric}")
    return value


# What is shown


def shown(found: list[Check]) -> str:
    """The checks as a table; below it why those failed that gave no number,
    and how many of each kind there were.
    """
    rows = [
        [
            one.name,
            _number(one.expected),
            _number(one.measured),
            _number(one.difference, 2),
            _number(one.tolerance, 2),
            _verdict(one),
        ]
        for one in found
    ]
    parts = [
        table(["what", "expected", "measured", "difference", "allowed", "status"], _aligned(rows))
    ]
    why = [
        f"{one.name}: {one.status.removeprefix('FAIL: ')}"
        for one in found
        if one.status.startswith("FAIL: ")
    ]
    parts += ["\n".join(why)] if why else []
    count = {
        word: sum(one.status.startswith(word) for one in found)
        for word in ("pass", "FAIL", "not run")
    }
    said = f"{count['pass']} pass, {count['FAIL']} fail" + (
        f", {count['not run']} not run" if count["not run"] else ""
    )
    return "\n\n".join([*parts, said])


def _verdict(one: Check) -> str:
    return "FAIL" if one.failed else one.status


def _aligned(rows: list[list[str]]) -> list[list[str]]:
    """The last column flush left in a table whose numbers stand flush right."""
    width = max((len(row[-1]) for row in rows), default=0)
    return [[*row[:-1], row[-1].ljust(width)] for row in rows]


def _number(value: float | None, digits: int = 10) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def plain(found: list[Check]) -> dict[str, list[dict[str, Any]]]:
    """The checks for programs."""
    return {"checks": [asdict(one) for one in found]}
