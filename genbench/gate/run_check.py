"""`genbench check` from Python: find the records, read the gate, judge,
and put the answer where people, programs and a workflow look.
"""

from __future__ import annotations

import datetime
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.console import complain, tell
from genbench._util.errors import NotComparable, UserError
from genbench._util.formatting import clean
from genbench.gate import false_alarm_rate, output_formats
from genbench.gate.baselines import baseline as baseline_of
from genbench.gate.config import Gate, read
from genbench.gate.judge import check
from genbench.gate.results import Checked
from genbench.gate.worst_samples import worsened
from genbench.per_class.record_scores import with_classes
from genbench.runs.records.find import find
from genbench.runs.records.record import Record


def checked(
    candidate: str | None,
    baseline: str,
    anchor: str,
    gate: Path | None,
    inconclusive: str | None,
    unpaired: bool,
    out: Path,
    baselines: Path,
) -> Checked:
    """Judge a candidate's record; NotComparable where it or a baseline is not there."""
    rules = _gate(gate, inconclusive)
    ours = with_classes(_candidate(candidate, out))
    sides = {"previous": with_classes(baseline_of(baseline, ours, baselines, out))}
    if word := anchor or rules.anchor:
        sides["anchor"] = with_classes(baseline_of(word, ours, baselines, out))
    if candidate is None and (ours.id, ours.created, ours.cost) == (
        sides["previous"].id,
        sides["previous"].created,
        sides["previous"].cost,
    ):
        raise NotComparable(
            f"the newest run, {ours.id}, is the baseline itself: name the candidate, "
            "or run it first"
        )
    try:
        return check(
            ours, sides, rules, datetime.datetime.now(datetime.UTC).date(), unpaired=unpaired
        )
    except STRANGE as error:
        raise NotComparable(
            f"a record holds something else than this genbench writes ({type(error).__name__}: "
            f"{clean(str(error))}): measure it again"
        ) from None


# of records that were sealed by other hands
STRANGE = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    AssertionError,
    StopIteration,
)


def _gate(path: Path | None, inconclusive: str | None) -> Gate:
    rules = read(path) if path else Gate()
    return replace(rules, inconclusive=inconclusive) if inconclusive else rules  # type: ignore[arg-type]


def _candidate(word: str | None, out: Path) -> Record:
    try:
        return find(word, out)
    except UserError as error:
        raise NotComparable(str(error)) from None


def publish(found: Checked, folder: Path | None, command: str) -> dict[str, str]:
    """Write check.json, check.md and check.xml, a step's summary and its annotations where a
    workflow runs; {"text", "json"} for standard output.
    """
    said = {
        "json": output_formats.written(found, command),
        "md": output_formats.markdown(found, command),
        "xml": output_formats.junit(found),
    }
    if folder is not None:
        place = folder_to_write(folder, "--to")
        for ending, content in said.items():
            write(place / f"check.{ending}", content.encode())
        tell(f"wrote {place}/check.json, check.md, check.xml{_pairs(found, place)}")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(summary), said["md"])
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in output_formats.workflow_lines(found):
            complain(line)
    return {**said, "text": output_formats.text(found)}


def _pairs(found: Checked, place: Path) -> str:
    """Write the picture of what became worse, unless it passed or the samples of both are not here;
    what was written, and what it shows.
    """
    made = (
        None
        if found.verdict == "PASS" or not _same_seeds(found)
        else worsened(found.candidate, found.baselines["previous"])
    )
    path = place / "worst.png"
    if made is None:
        path.unlink(missing_ok=True)  # of an earlier check
        return ""
    write(path, made[0])
    return (
        "; worst.png: the samples that became worse most, the baseline's above the candidate's, "
        f"seeds {', '.join(map(str, made[1][:8]))}, ..."
    )


def _same_seeds(found: Checked) -> bool:
    return any(
        one.change is not None and one.change.paired
        for one in found.findings
        if one.against == "previous"
    )


def _append(path: Path, page: str) -> None:
    """A step's summary is a file that others write too; without it nothing is lost."""
    try:
        before = path.read_bytes() if path.exists() else b""
        write(path, before + page.encode())
    except (OSError, UserError) as error:
        complain(f"no summary: {clean(str(error))}")


def again(candidate: str | None, words: Mapping[str, Any]) -> str:
    """The command that repeats a check."""
    usual = {
        "out": Path("runs"),
        "baselines": Path("baselines"),
        "anchor": "",
        "gate": None,
        "inconclusive": None,
        "unpaired": False,
    }
    said = [candidate] if candidate else []
    for key, value in words.items():
        if key not in usual or value != usual[key]:
            said += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return shlex.join(["genbench", "check", *said])


def self_tested(word: str, gate: Path | None, out: Path, baselines: Path) -> dict[str, Any]:
    """What `--self-test` finds of a baseline."""
    saved = baselines / f"{word}.json"
    try:
        return false_alarm_rate.of_blocks(
            _candidate(str(saved) if saved.is_file() else word, out), _gate(gate, None)
        )
    except STRANGE as error:
        raise NotComparable(
            f"--baseline {clean(word)} holds something else than this genbench writes "
            f"({type(error).__name__}: {clean(str(error))})"
        ) from None
