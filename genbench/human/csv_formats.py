"""Studies of real or fake in the columns of the published study of 41 models (Stein et al. 2023):
one row to a rater and model, in and out.

id, model, num_correct, err_rt, f_err_rt (fakes taken for real), r_err_rt (reals taken for fake),
r_ans_rt (share of answers "real"), and the seconds of all answers, of those to fakes and of
those to reals.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import write
from genbench._util.errors import UserError
from genbench._util.formatting import cell_of_csv, clean
from genbench._util.hashing import digest
from genbench._util.package_version import VERSION
from genbench.human.answers import Study, Summary
from genbench.human.rater_exclusion import RULES, Answered
from genbench.human.store import create
from genbench.human.study_kinds import REAL

COLUMNS = (
    "id",
    "model",
    "num_correct",
    "err_rt",
    "f_err_rt",
    "r_err_rt",
    "r_ans_rt",
    "resp_time",
    "f_resp_time",
    "r_resp_time",
)
LARGEST = 2**26  # bytes
USUAL = 200  # answers of a rater in the published study


def imported(source: Path, path: Path) -> int:
    """A study file made of a CSV file; how many rows there were."""
    rows = summaries(source)
    models = list(dict.fromkeys(one.model for one in rows))
    design: dict[str, Any] = {
        "kind": "real-or-fake",
        "questions": [{"text": "Is this picture real or generated?"}],
        "models": [{"name": name, "run": "", "label": name, "pictures": 0} for name in models],
        "imported": clean(source.name),
        "exclusion": dict(RULES),
        "genbench": VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    columns = [
        (
            s.rater,
            s.model,
            s.fakes,
            s.wrong_fakes,
            s.reals,
            s.wrong_reals,
            s.fakes_seconds,
            s.reals_seconds,
        )
        for s in rows
    ]
    create(path, {"design": {**design, "digest": digest(design)}}, {"summaries": columns})
    return len(rows)


def summaries(source: Path) -> list[Summary]:
    """The rows of a CSV file; UserError names the line that is wrong."""
    try:
        if source.stat().st_size > LARGEST:
            raise UserError(f"{source}: more than {LARGEST} bytes")
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{source}: there is no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{source} is no text in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(
            f"{source} lacks the columns {', '.join(missing)}; they are {', '.join(COLUMNS)}"
        )
    found = []
    try:
        lines = [(reader.line_num, line) for line in reader]
        usual = _usual(line for _, line in lines)
        for number, line in lines:
            found.append(_summary(line, usual, f"{source}, line {number}"))
    except csv.Error as error:
        raise UserError(f"{source}, line {reader.line_num}: {error}") from None
    twice = [
        pair
        for pair, count in Counter((one.rater, one.model) for one in found).items()
        if count > 1
    ]
    if twice:
        raise UserError(f"{source}: rater {twice[0][0]} has two rows for {twice[0][1]}")
    if not found:
        raise UserError(f"{source}: no row in it")
    return found


def _usual(lines: Iterable[Mapping[str, Any]]) -> int:
    """How many answers most raters gave: for one who was right in none,
    the file does not say it.
    """
    counts: Counter[int] = Counter()
    for line in lines:
        try:
            counts[round(float(line["num_correct"]) / (1 - float(line["err_rt"])))] += 1
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            continue
    return counts.most_common(1)[0][0] if counts else USUAL


def _summary(line: Mapping[str, Any], usual: int, where: str) -> Summary:
    values = {}
    for name in COLUMNS[2:]:
        try:
            values[name] = float(line[name])
        except (TypeError, ValueError):
            values[name] = math.nan
        most = 1.0 + 1e-9 if name.endswith("_rt") else 1e5
        if not -1e-9 <= values[name] <= most:
            raise UserError(
                f"{where}: {name} is {clean(str(line[name]))[:40]!r}, not a number from 0 to "
                f"{1 if most < 2 else 'many'}"
            )
    if not line["id"] or not line["model"]:
        raise UserError(f"{where}: without an id or a model")
    fooled, blamed, said = values["f_err_rt"], values["r_err_rt"], values["r_ans_rt"]
    whole = round(values["num_correct"] / (1 - values["err_rt"])) if values["err_rt"] < 1 else usual
    # answers "real" = fakes fooled + reals (1 - blamed); wrong ones = fakes fooled + reals blamed
    tilts = fooled + blamed - 1, fooled - blamed
    if max(map(abs, tilts)) < 1e-6:
        fakes = whole // 2
    elif abs(tilts[0]) > abs(tilts[1]):
        fakes = round(whole * (said - 1 + blamed) / tilts[0])
    else:
        fakes = round(whole * (values["err_rt"] - blamed) / tilts[1])
    if not 0 <= fakes <= whole or whole < 1:
        raise UserError(f"{where}: its rates contradict each other")
    reals = whole - fakes
    return Summary(
        clean(line["id"]), clean(line["model"]), fakes, round(fooled * fakes), reals,
        round(blamed * reals), values["f_resp_time"], values["r_resp_time"]
    )  # fmt: skip


def of_study(study: Study) -> list[Summary]:
    """One row to a rater and model, catch trials left out;
    the reals that a rater saw stand in the rows of all models.
    """
    if study.summaries:
        return list(study.summaries)
    found = []
    for rater in sorted(study.raters):
        own = [one for one in study.answers if one.rater == rater and not one.catch]
        reals = [one for one in own if one.first == REAL]
        for model in study.models:
            fakes = [one for one in own if one.first == model]
            if fakes:
                wrong = (
                    sum(one.answer == REAL for one in fakes),
                    sum(one.answer != REAL for one in reals),
                )
                found.append(
                    Summary(
                        f"rater_{rater}",
                        model,
                        len(fakes),
                        wrong[0],
                        len(reals),
                        wrong[1],
                        _seconds(fakes),
                        _seconds(reals),
                    )
                )
    return found


def _seconds(answers: Iterable[Answered]) -> float:
    return sum(one.reaction_ms for one in answers) / 1000


def exported(study: Study, path: Path) -> int:
    """Write a study's rows; how many."""
    if study.design["kind"] != "real-or-fake":
        raise UserError(
            f"these columns are of the kind real-or-fake, the study is of {study.design['kind']}: "
            "human results --json has its numbers"
        )
    if path.exists():
        raise UserError(f"{path} exists already: name another file, or remove it")
    rows = of_study(study)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in rows:
        whole, wrong = one.fakes + one.reals, one.wrong_fakes + one.wrong_reals
        rates = [
            wrong / whole,
            _share(one.wrong_fakes, one.fakes),
            _share(one.wrong_reals, one.reals),
        ]
        said = (one.wrong_fakes + one.reals - one.wrong_reals) / whole
        seconds = [
            round(value, 3)
            for value in (
                one.fakes_seconds + one.reals_seconds,
                one.fakes_seconds,
                one.reals_seconds,
            )
        ]
        writer.writerow(
            [cell_of_csv(one.rater), cell_of_csv(one.model), whole - wrong, *rates, said, *seconds]
        )
    write(path, buffer.getvalue().encode())
    return len(rows)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
