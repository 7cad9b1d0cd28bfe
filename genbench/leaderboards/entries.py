"""The entries of a board, their ranks, and the table in each format.

A board is a data set and a protocol; an entry is a run's record cut to that protocol. Ranks are
simultaneous 95 % ranges over the competitors that fit the protocol; lines of reference, runs off
the protocol and entries measured with another ruler stand unranked.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import intervals, record, reported
from genbench.alike import interval_of, one_ruler
from genbench.feature_versions import earlier
from genbench.files import Damaged, digest
from genbench.lazy import pd
from genbench.record import RATERS, Record, Score
from genbench.rows import Published
from genbench.say import UserError, cell_of_csv, choices, clean, complain, plus_minus, table

if TYPE_CHECKING:
    from pandas import DataFrame

SECONDS = "s / image"
COST = (
    "images_per_second", "images_per_second_whole", "latency_p50_seconds", "latency_p95_seconds",
    "peak_memory_bytes", "peak_gpu_memory_bytes", "checkpoint_bytes", "parameters",
    "evaluations_per_image", "dtype", "device",
)  # fmt: skip
ARROW = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Entry:
    """One run on one board."""

    id: str
    record: Record
    # measured with the reference, extractors and formulas of the board's newest entry
    current: bool = True

    @property
    def label(self) -> str:
        return str(self.record.plan["label"])

    @property
    def protocol(self) -> Mapping[str, Any]:
        return dict(next(iter(self.record.plan["protocols"].values())))

    @property
    def ranked(self) -> bool:
        return bool(self.record.plan["competitor"] and self.protocol["fits"] and self.current)

    @property
    def tuned(self) -> str:
        """By what its options were chosen, in words; "" where they were given."""
        told = self.record.plan.get("tuned")
        return (
            (
                f"tuned on {told['metric']} against {told['half']}, {told['trials']} "
                f"{told.get('of', 'trials')}"
            )
            if told
            else ""
        )

    def comparable(self, other: Entry) -> bool:
        """Whether both were measured with one ruler."""
        return one_ruler(self.protocol, other.protocol)

    def score(self, metric: str) -> Score | None:
        return next(
            (
                one
                for one in self.record.scores
                if (one.metric, one.part, one.status) == (metric, "all", "ok")
            ),
            None,
        )


def board_name(dataset: str, protocol: str) -> str:
    return dataset if dataset == protocol else f"{dataset}-{protocol}"


def entry_of(found: Record, name: str, protocol: Mapping[str, Any]) -> Entry:
    own = replace(
        found,
        plan={**found.plan, "protocols": {name: protocol}},
        scores=tuple(s for s in found.scores if s.protocol == name),
    )
    # an entry keeps the id that it was given then
    extractors = {one: earlier(identity) for one, identity in protocol["extractors"].items()}
    return Entry(digest([found.id, name, protocol["splits"], extractors])[:16], own)


def boards(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.glob("*") if (folder / "entries").is_dir())


def entries(board: Path, *, every: bool = False) -> list[Entry]:
    """The entries of a board, oldest first; a damaged one is named and left out.

    Unless every one is asked for, the newest per label, of those that fit the protocol and of those
    that do not.
    """
    found = []
    for path in sorted((board / "entries").glob("*.json")):
        try:
            entry = Entry(path.stem, record.read(path))
            entry.comparable(entry), entry.ranked, entry.record.plan["identity"]["first_seed"]
            found.append(entry)
        except (Damaged, UserError) as error:
            complain(f"damaged entry left out: {error}")
        except KeyError as error:
            complain(f"damaged entry left out: {path} lacks {error}")
    found.sort(key=lambda entry: (entry.record.created, entry.id))
    newest_ranked = next((entry for entry in reversed(found) if entry.ranked), None)
    found = [
        replace(entry, current=newest_ranked is None or entry.comparable(newest_ranked))
        for entry in found
    ]
    newest = {(entry.label, entry.protocol["fits"]): entry for entry in found}
    return found if every else list(newest.values())


def others_of(board: Path, found: Sequence[Entry]) -> list[Published]:
    """What others report by the protocol of a board."""
    name, protocol = next(iter(found[-1].record.plan["protocols"].items()))
    return reported.beside(board, protocol["dataset"], name)


def metrics_of(found: Sequence[Entry]) -> list[str]:
    """The board's metrics that any entry has, in the order of the protocol's measures,
    those of single entries after.
    """
    ordered = [
        measure["name"]
        for entry in found
        for measure in entry.protocol["measures"]
        if not measure.get("skip")
    ]
    asked = [
        score.metric
        for entry in found
        for score in entry.record.scores
        if score.method == RATERS and score.part == "all"
    ]
    return list(dict.fromkeys(ordered + asked))


def direction(found: Sequence[Entry], metric: str) -> str:
    return next(
        one.better for entry in found for one in entry.record.scores if one.metric == metric
    )


def ranks(found: Sequence[Entry], metric: str) -> dict[str, tuple[int, int]]:
    """{entry id: (best, worst) rank} by a metric: simultaneous 95 % ranges over the ranked entries
    that have it.
    """
    running = [
        (entry, score)
        for entry in found
        if entry.ranked and (score := entry.score(metric)) is not None and score.method != RATERS
    ]
    if not running:
        return {}
    estimates = [_estimate(entry, score) for entry, score in running]
    ranges = intervals.rank_ranges(
        estimates, "lower" if direction(found, metric) == "lower" else "higher"
    )
    return {entry.id: pair for (entry, _), pair in zip(running, ranges, strict=True)}


def _estimate(entry: Entry, score: Score) -> intervals.Estimate:
    sizes = score.sizes or entry.record.plan["block_sizes"]
    return intervals.estimate(
        number(score.value), score.left_out, sizes, interval_of(entry.record, score)
    )


def number(value: float | None) -> float:
    assert value is not None, "an ok score has a value"
    return value


def rank_text(pair: tuple[int, int] | None) -> str:
    return "–" if pair is None else str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"


def ordered(found: Sequence[Entry], metric: str) -> list[Entry]:
    """Best first by a metric's value, those without it last;
    lines of reference stand where their value puts them.
    """
    sign = 1 if direction(found, metric) == "lower" else -1

    def place(entry: Entry) -> tuple[float, str]:
        score = entry.score(metric)
        return (math.inf if score is None else sign * number(score.value), entry.label)

    return sorted(found, key=place)


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
        [frame.assign(reported=False).astype(object), reported.for_programs(others).astype(object)],
        ignore_index=True,
    ).convert_dtypes()


def sorting(found: Sequence[Entry], metric: str | None) -> str:
    names = metrics_of(found)
    if metric is not None and metric not in names:
        raise UserError(f"--sort {metric}: {choices(metric, names)}")
    return metric or names[0]


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
            f"{own}\n\n{before}{reported.WORDS}\n\n"
            f"{written(reported.for_people(others, headings(found, sort)))}"
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
