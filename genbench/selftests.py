"""What proves an installation: every expected value measured again, as (name, expected, measured, difference, tolerance, status, source).

Without network: the published codes' answers on seeded arrays, and the shipped digits models against the committed board. With published weights and data
at hand also the published numbers of real data; what is missing is said and is no failure.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import files as installed_files
from pathlib import Path
from typing import Any

from genbench import anchors, reproductions, standings
from genbench.anchors import Anchor, NotRun
from genbench.run import evaluate
from genbench.say import UserError, clean, table

SHIPPED = ("dcgan", "vae", "ddpm")
SAME = 1e-3  # two measurements of one thing on two machines agree to this, relative to the value or its standard error


@dataclass(frozen=True)
class Check:
    """An expected value and what was measured; status "pass", "FAIL", with the reason where nothing came, or "not run: what is missing"."""

    name: str
    expected: float
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
    for anchor in (*anchors.ARITHMETIC, *anchors.pixels()):
        yield measured(anchor)
    with tempfile.TemporaryDirectory(prefix="genbench-selftest-") as folder:
        for anchor in digits(Path(folder)):
            yield measured(anchor)
    for anchor in (*reproductions.CIFAR10, *reproductions.adm_suite()):
        yield measured(anchor)


def measured(anchor: Anchor) -> Check:
    """An anchor's value taken here. Whatever goes wrong in it is this check's failure and keeps no other from being made."""
    told = functools.partial(Check, name=anchor.name, expected=anchor.expected, tolerance=anchor.tolerance, source=anchor.source)
    try:
        value = anchor.measure()
    except NotRun as missing:
        return told(measured=None, difference=None, status=f"not run: {missing}")
    except UserError as error:
        return told(measured=None, difference=None, status=f"FAIL: {clean(str(error))}")
    except Exception as error:
        return told(measured=None, difference=None, status=f"FAIL: {type(error).__name__}: {clean(str(error))}")
    difference = value - anchor.expected
    return told(measured=value, difference=difference, status="pass" if abs(difference) <= anchor.tolerance else "FAIL")


# The shipped models against the committed board


def committed() -> Path | None:
    """The folder of the boards that this version was released with: in a checkout beside the package, in an installation among its files."""
    beside = Path(__file__).parent.parent / "leaderboards"
    if (beside / "digits" / "entries").is_dir():
        return beside
    of = [Path(str(file.locate())) for file in installed_files("genbench") or [] if file.match("leaderboards/digits/entries/*.json")]
    return of[0].parents[2] if of else None


def digits(folder: Path) -> Iterator[Anchor]:
    """A row per number of each shipped model on the committed board; the runs are done in `folder`, when the first number of each is measured."""
    board = committed()
    known = {entry.label: entry for entry in standings.entries(board / "digits")} if board else {}
    for name in SHIPPED:
        if name not in known:
            yield Anchor(f"digits, {name}", "nan", _no_entry, "the committed board", 0.0)
            continue
        for score in known[name].record.scores:
            if score.value is not None:
                delta = SAME * max(abs(score.value), score.se or 0.0)
                measure = functools.partial(_again, name, score.metric, folder)
                yield Anchor(f"digits, {name}, {score.metric}", repr(score.value), measure, f"leaderboards/digits/entries/{known[name].id}.json", delta)


def _no_entry() -> float:
    raise NotRun("board missing")


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
    """The checks as a table, and below it how many of each kind there were."""
    rows = [[one.name, _number(one.expected), _number(one.measured), _number(one.difference, 2), _number(one.tolerance, 2), one.status] for one in found]
    count = {word: sum(one.status.startswith(word) for one in found) for word in ("pass", "FAIL", "not run")}
    said = f"{count['pass']} pass, {count['FAIL']} fail" + (f", {count['not run']} not run" if count["not run"] else "")
    return f"{table(['what', 'expected', 'measured', 'difference', 'allowed', 'status'], _aligned(rows))}\n\n{said}"


def _aligned(rows: list[list[str]]) -> list[list[str]]:
    """The last column flush left in a table whose numbers stand flush right."""
    width = max((len(row[-1]) for row in rows), default=0)
    return [[*row[:-1], row[-1].ljust(width)] for row in rows]


def _number(value: float | None, digits: int = 10) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def plain(found: list[Check]) -> dict[str, list[dict[str, Any]]]:
    """The checks for programs."""
    return {"checks": [asdict(one) for one in found]}
