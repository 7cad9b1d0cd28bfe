"""Numbers that others report, beside a board's own and never ranked with them:
a protocol's published ones, and reported.csv in the board's folder.

generator,metric,value,source
DDPM,fid,3.17,"Ho et al. 2020, table 1"
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import complain
from genbench._util.formatting import cell_of_csv, clean
from genbench._util.lazy_imports import pd
from genbench.api import _registry as registry
from genbench.api.protocol import Protocol, Published

if TYPE_CHECKING:
    from pandas import DataFrame

WORDS = "Reported by others, as they say by this protocol; not measured here, and not ranked:"
FILE = "reported.csv"
COLUMNS = ("generator", "metric", "value", "source")
LARGEST = 2**20  # characters
# columns of a board that are no numbers of it
TAKEN = (
    "rank",
    "generator",
    "source",
    "ranked",
    "reported",
    "n",
    "checkpoint",
    "created",
    "run",
    "entry",
)


def beside(board: Path, dataset: str, protocol: str) -> list[Published]:
    """The published numbers of a board's protocol for its data set, then those of its reported.csv;
    what is wrong there is named and left out.
    """
    known = registry.standing("protocols")
    row: Protocol | None = registry.find("protocols", protocol) if protocol in known else None
    published = [one for one in row.published if one.dataset == dataset] if row else []
    path = board / FILE
    return [*published, *(_own(path, dataset) if path.is_file() else ())]


def _own(path: Path, dataset: str) -> Iterator[Published]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"it is longer than {LARGEST} characters")
        reader = csv.DictReader(text.splitlines())
        if not reader.fieldnames or {*reader.fieldnames} != {*COLUMNS}:
            raise ValueError(f"its first line must be {','.join(COLUMNS)}")
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:  # UnicodeDecodeError is a ValueError
        complain(f"left out: {clean(str(path))}: {clean(str(error))}")
        return
    for line, row in rows:
        try:
            yield _row(row, dataset)
        except ValueError as error:
            complain(f"left out: {clean(str(path))}, line {line}: {clean(str(error))}")


def _row(row: dict[str, str | None], dataset: str) -> Published:
    if None in row or any(not (row[name] or "").strip() for name in COLUMNS):
        raise ValueError(f"wanted are {len(COLUMNS)} fields, none of them empty")
    generator, metric, value, source = ((row[name] or "").strip() for name in COLUMNS)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", metric) or metric in TAKEN:
        raise ValueError(f"{metric} is no name of a metric")
    if not math.isfinite(float(value)):
        raise ValueError(f"{value} is no finite number")
    return Published(dataset, generator, metric, float(value), source)


def for_people(others: Sequence[Published], headings: Mapping[str, str]) -> DataFrame:
    """A row for each generator and source; the board's numbers first,
    in its order and by its headings, those that it has not after.
    """
    there = dict.fromkeys(one.metric for one in others)
    columns = {name: heading for name, heading in headings.items() if name in there} | {
        name: name for name in there if name not in headings
    }
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in others:
        start = {
            "rank": "reported",
            "generator": clean(one.model),
            "source": clean(one.source),
            **dict.fromkeys(columns.values(), "–"),
        }
        rows.setdefault((one.model, one.source), start)[columns[one.metric]] = f"{one.value:.6g}"
    return pd.DataFrame(list(rows.values()))


def for_programs(others: Sequence[Published]) -> DataFrame:
    """A row for each generator and source, its numbers to the last digit."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in others:
        start = {
            "generator": cell_of_csv(one.model),
            "ranked": False,
            "reported": True,
            "source": cell_of_csv(one.source),
        }
        rows.setdefault((one.model, one.source), start)[one.metric] = one.value
    return pd.DataFrame(list(rows.values()))
