"""Write a board's table as text, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.formatting import cell_of_csv, clean, plus_minus, table
from genbench._util.lazy_imports import pd
from genbench.api.protocol import Published
from genbench.leaderboards import reported_values
from genbench.leaderboards.entries import COST, Entry, board_name, entries, entry_of, number
from genbench.leaderboards.ranking import direction, metrics_of, ordered, ranks
from genbench.runs.records.record import Record, Score

if TYPE_CHECKING:
    from pandas import DataFrame


SECONDS = "s / image"


ARROW = {"lower": "↓", "higher": "↑"}


def rank_text(pair: tuple[int, int] | None) -> str:
    return "–" if pair is None else str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"


def people(found: Sequence[Entry], sort: str) -> DataFrame:
    """The board for people: rank range by the sorting metric, label,
    value ± half interval of each metric, seconds per image.
    """
    place = ranks(found, sort)
    columns = headings(found, sort)
    rows = []
    for entry in ordered(found, sort):
        remarks = [
            remark
            for remark in ("" if entry.ranked else "not ranked", clean(entry.tuned))
            if remark
        ]
        cells = {
            "rank": rank_text(place.get(entry.id)),
            "generator": clean(entry.label) + (f" ({'; '.join(remarks)})" if remarks else ""),
        }
        seconds = {SECONDS: cost} if (cost := _seconds(entry)) or any(map(_seconds, found)) else {}
        rows.append(
            cells | {heading: cell(entry, name) for name, heading in columns.items()} | seconds
        )
    return pd.DataFrame(rows)


def _seconds(entry: Entry) -> str:
    """The seconds of an image, on the machine that drew it; "" where they were not measured."""
    rate = entry.record.cost.get("images_per_second")
    return f"{1 / rate:.2g}" if rate else ""


def cell(entry: Entry, metric: str) -> str:
    score = entry.score(metric)
    return plus_minus(number(score.value), number(score.low), number(score.high)) if score else "–"


def numbers(found: Sequence[Entry], sort: str) -> DataFrame:
    """The board for programs: a row per entry, for each metric its value, interval,
    standard errors and what real data scores.
    """
    place = ranks(found, sort)
    rows = []
    for entry in ordered(found, sort):
        low, high = place.get(entry.id, (None, None))
        plan = entry.record.plan
        row: dict[str, Any] = {
            "rank_low": low,
            "rank_high": high,
            "generator": cell_of_csv(entry.label),
            "ranked": entry.ranked,
        }
        row["n"] = plan["identity"]["n"]
        for name in metrics_of(found):
            score = entry.score(name)
            for key in ("value", "low", "high", "se", "se_reference", "real", "real_high"):
                row[name if key == "value" else f"{name}_{key}"] = (
                    getattr(score, key) if score else None
                )
        row |= {key: entry.record.cost.get(key) for key in COST}
        row |= {
            "first_seed": plan["identity"]["first_seed"],
            "checkpoint": plan["identity"]["checkpoint"],
        }
        row |= {"tuned": clean(entry.tuned)} if any(one.tuned for one in found) else {}
        row |= {"created": entry.record.created, "run": entry.record.id, "entry": entry.id}
        rows.append(row)
    return pd.DataFrame(rows).convert_dtypes()


def headings(found: Sequence[Entry], sort: str) -> dict[str, str]:
    """{metric: the heading of its column for people}, the sorting one first."""
    return {
        name: f"{name} {ARROW[direction(found, name)]}"
        for name in dict.fromkeys([sort, *metrics_of(found)])
    }


def everything(found: Sequence[Entry], sort: str, others: Sequence[Published]) -> DataFrame:
    """The board for programs, and below it what others report:
    without ranks and intervals, `reported` true, with its source.
    """
    frame = numbers(found, sort)
    if not others:
        return frame
    return pd.concat(
        [
            frame.assign(reported=False).astype(object),
            reported_values.for_programs(others).astype(object),
        ],
        ignore_index=True,
    ).convert_dtypes()


FORMATS: Mapping[str, Callable[[Sequence[Entry], str, Sequence[Published]], str]] = {
    "csv": lambda found, sort, others: str(everything(found, sort, others).to_csv(index=False)),
    "json": lambda found, sort, others: json.dumps(
        _plain(everything(found, sort, others)), indent=1, ensure_ascii=False, allow_nan=False
    ),
    "markdown": lambda found, sort, others: _blocks(found, sort, others, markdown),
    "latex": lambda found, sort, others: _blocks(
        found, sort, others, lambda frame: str(frame.to_latex(index=False, escape=True)), "% "
    ),
    "table": lambda found, sort, others: _blocks(found, sort, others, _fitting),
}


def _blocks(
    found: Sequence[Entry],
    sort: str,
    others: Sequence[Published],
    written: Callable[[DataFrame], str],
    before: str = "",
) -> str:
    """The board as a table, and what others report as one of its own."""
    own = written(people(found, sort))
    return (
        (
            f"{own}\n\n{before}{reported_values.WORDS}\n\n"
            f"{written(reported_values.for_people(others, headings(found, sort)))}"
        )
        if others
        else own
    )


def _plain(frame: DataFrame) -> list[dict[Any, Any]]:
    """The rows with None for what is missing; pandas' own to_json rounds to ten decimals,
    and a kernel distance may be all beyond them.
    """
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def markdown(frame: DataFrame) -> str:
    return str(frame.map(escaped).to_markdown(index=False, disable_numparse=True))


def escaped(text: object) -> str:
    """Words as Markdown shows them: no sign of a stranger's name ends a cell,
    begins a link or a picture, or becomes HTML.
    """
    return (
        re.sub(r"([\\`*|\[\]])", r"\\\1", clean(str(text)))
        .replace("&", "&amp;")
        .replace("<", "&lt;")
    )


def shown(found: Sequence[Entry], sort: str, how: str, others: Sequence[Published] = ()) -> str:
    """A board in one of the formats, and below it what others report."""
    return FORMATS[how](found, sort, others)


def _fitting(frame: DataFrame) -> str:
    """The table as text; on a terminal only the columns that fit its width,
    and which were left out.
    """
    columns = list(frame.columns)
    left = 3 if "source" in columns else 2  # of words
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    while True:
        text = table(columns, frame[columns].to_numpy().tolist(), left=left)
        if not width or len(columns) <= left + 1 or max(map(len, text.splitlines())) <= width:
            break
        columns.pop()
    left_out = [name for name in frame.columns if name not in columns]
    return text + (
        f"\n\nnot shown for want of width: {', '.join(left_out)}; --sort METRIC, --format csv"
        if left_out
        else ""
    )


def result(found: Record, root: Path | None) -> str:
    """A run's numbers for people: value ± half interval, what real data scores, direction,
    and the rank range on the board.
    """
    parts = []
    for name, protocol in found.plan["protocols"].items():
        board = root / board_name(protocol["dataset"], name) if root else None
        known = entries(board) if board and board.is_dir() else []
        own = entry_of(found, name, protocol)
        whole = [score for score in own.record.scores if score.part == "all"]
        rows = [
            _row(score, own.id, ranks(known, score.metric))
            for score in whole
            if score.status == "ok"
        ]
        ruler = "" if protocol["fits"] and protocol.get("board", True) else " · ruler only"
        ruler += f" · {clean(own.tuned)}" if own.tuned else ""
        heading = (
            f"{clean(own.label)} · {protocol['dataset']} · protocol {name} · "
            f"{found.plan['identity']['n']} samples{ruler}"
        )
        parts.append(f"{heading}\n\n{table(['metric', 'value', 'real', '95 %', 'rank'], rows)}")
        flagged = [clean(f"* {s.metric}: {', '.join(s.flags)}") for s in whole if s.flags]
        parts += ["\n".join(flagged)] if flagged else []
        absent = [f"{s.metric} {s.status}: {clean(s.reason)}" for s in whole if s.status != "ok"]
        parts += ["\n".join(absent)] if absent else []
    return "\n\n".join(parts)


def _row(score: Score, entry: str, place: Mapping[str, tuple[int, int]]) -> list[str]:
    real, high = ("" if one is None else f"{one:#.3g}" for one in (score.real, score.real_high))
    name = f"{score.metric} {ARROW[score.better]}{'*' if score.flags else ''}"
    rank = f"{rank_text(place[entry])} of {len(place)}" if entry in place else "–"
    return [
        name,
        plus_minus(number(score.value), number(score.low), number(score.high)),
        real,
        high,
        rank,
    ]
