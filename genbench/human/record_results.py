"""The numbers of people in the records of the runs that they judged, and so on boards:
rows of method `raters`, n the raters that counted, never ranked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.human.study_kinds import REAL
from genbench.leaderboards import write_board
from genbench.runs.records import find, record
from genbench.runs.records.record import RATERS, Record, Score

#: A number of the results -> its name in the record, which direction is better, and what real
#: pictures score by it.
NAMES = {
    "error_fakes": ("human_error_rate", "higher"),
    "dprime": ("human_dprime", "lower"),
    "fooled": ("human_fooled_rate", "higher"),
    "preference": ("human_preference", "higher"),
}


def scores(found: Mapping[str, Any], model: str, protocol: str) -> list[Score]:
    """A model's rows of the results as registered."""
    rows = found["registered"]["numbers"]
    made = []
    for row in rows:
        name, better = NAMES.get(
            row["number"],
            (f"human_{row['number']}" if row["number"].startswith("rating_") else "", "higher"),
        )
        if (
            row["model"] != model
            or not name
            or not all(math.isfinite(row[key]) for key in ("value", "low", "high"))
        ):
            continue
        real = _real(rows, row["number"], model)
        made.append(
            Score(
                protocol,
                name,
                value=row["value"],
                se=row["se"] if math.isfinite(row["se"]) else None,
                low=row["low"],
                high=row["high"],
                method=RATERS,
                n=row["raters"],
                real=real,
                flags=(f"study {found['digest'][:12]}", f"{row['raters']} raters", *row["flags"]),
                better="lower" if better == "lower" else "higher",
            )
        )
    return made


def _real(rows: Sequence[Mapping[str, Any]], number: str, model: str) -> float | None:
    """What real pictures score: reals that were called real, no difference, half of the pairs,
    or their own rating.
    """
    own = {(row["model"], row["number"]): row["value"] for row in rows}
    if number == "error_fakes":
        return 1 - own[model, "error_reals"] if (model, "error_reals") in own else None
    return {"dprime": 0.0, "fooled": 0.5}.get(number, own.get((REAL, number)))


def enter(
    design: Mapping[str, Any], found: Mapping[str, Any], out: Path, leaderboards: Path | None
) -> list[str]:
    """Write the study's numbers into the run's record of each model,
    in place of those of an earlier study, and on its boards; lines that say so.
    """
    if not found["registered"]["numbers"]:
        raise UserError("no rater counts yet, so there is nothing to record")
    told = []
    for model in design["models"]:
        if not model["run"]:
            raise UserError(
                "a study that was made elsewhere has no runs here; --record is for studies of "
                "genbench human new"
            )
        run = find.find(model["run"], out)
        protocol = next(iter(run.plan["protocols"]))
        new = scores(found, model["name"], protocol)
        written = _written(run, new)
        names = write_board.enter(written, leaderboards) if leaderboards else []
        told.append(
            (
                f"{clean(model['name'])}: {', '.join(one.metric for one in new) or 'nothing'} "
                f"-> {run.folder}"
            )
            + (f", {', '.join(names)}" if names else "")
        )
    return told


def _written(run: Record, new: Sequence[Score]) -> Record:
    again = {one.metric for one in new}
    kept = tuple(one for one in run.scores if one.method != RATERS or one.metric not in again)
    return record.write(Path(run.folder) / "run.json", replace(run, scores=(*kept, *new)))
