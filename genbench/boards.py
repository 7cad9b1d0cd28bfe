"""Leaderboards: entries/<id>.json are the truth, table.csv and README.md are rewritten from them.

A board is a data set and a protocol. An entry is a run's record cut to that protocol; fifty processes may enter at once. Ranks are simultaneous 95 %
ranges over the competitors that fit the protocol; lines of reference and runs off the protocol stand unranked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import intervals, record
from genbench.files import Damaged, digest, folder_to_write, locked, write
from genbench.lazy import pd
from genbench.record import Record, Score
from genbench.say import UserError, choices, clean, complain, plus_minus, table

if TYPE_CHECKING:
    from pandas import DataFrame

SAME = 1e-3  # two measurements of one thing on two processors agree to this, relative to the value or its standard error
ARROW = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Entry:
    """One run on one board."""

    id: str
    record: Record

    @property
    def label(self) -> str:
        return str(self.record.plan["label"])

    @property
    def protocol(self) -> Mapping[str, Any]:
        return dict(next(iter(self.record.plan["protocols"].values())))

    @property
    def ranked(self) -> bool:
        return bool(self.record.plan["competitor"] and self.protocol["fits"])

    def score(self, metric: str) -> Score | None:
        return next((one for one in self.record.scores if one.metric == metric and one.status == "ok"), None)


def board_name(dataset: str, protocol: str) -> str:
    return dataset if dataset == protocol else f"{dataset}-{protocol}"


def enter(found: Record, root: Path) -> list[str]:
    """Enter a record on one board per protocol; the boards' names. Entries are whole before the table is rewritten, under the board's lock."""
    names = []
    for name, protocol in found.plan["protocols"].items():
        entry = _entry(found, name, protocol)
        board = folder_to_write(root / board_name(protocol["dataset"], name), "--leaderboards")
        path = folder_to_write(board / "entries", "--leaderboards") / f"{entry.id}.json"
        if not _agrees(path, entry.record):
            grid = Path(found.folder) / "samples.png"
            if grid.is_file():
                write(path.with_suffix(".png"), grid.read_bytes())
            record.write(path, entry.record)
        with locked(board / ".lock", f"another genbench writes {board}; waiting for it"):
            _rewrite(board)
        names.append(board.name)
    return names


def _entry(found: Record, name: str, protocol: Mapping[str, Any]) -> Entry:
    own = replace(found, plan={**found.plan, "protocols": {name: protocol}}, scores=tuple(s for s in found.scores if s.protocol == name))
    return Entry(digest([found.id, name, protocol["splits"], protocol["extractors"]])[:16], own)


def _agrees(path: Path, ours: Record) -> bool:
    """Whether an entry says the same already: then it is left untouched, and running README's command in a checkout changes nothing."""
    try:
        theirs = {one.metric: one for one in record.read(path).scores}
    except FileNotFoundError:
        return False
    except Damaged as error:
        complain(f"damaged entry: {error}; writing it again")
        return False
    return set(theirs) == {one.metric for one in ours.scores} and all(_same(one, theirs[one.metric]) for one in ours.scores)


def _same(a: Score, b: Score) -> bool:
    if a.status != b.status or a.value is None or b.value is None:
        return a.status == b.status
    return abs(a.value - b.value) <= SAME * max(abs(a.value), a.se or 0.0)


def boards(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.glob("*") if (folder / "entries").is_dir())


def entries(board: Path, *, every: bool = False) -> list[Entry]:
    """The entries of a board, the newest per label unless every one is asked for; a damaged one is named and left out."""
    found = []
    for path in sorted((board / "entries").glob("*.json")):
        try:
            found.append(Entry(path.stem, record.read(path)))
        except (Damaged, UserError) as error:
            complain(f"damaged entry left out: {error}")
    if every:
        return found
    newest: dict[str, Entry] = {}
    for entry in sorted(found, key=lambda e: (e.record.created, e.id)):
        newest[entry.label] = entry
    return list(newest.values())


def metrics_of(found: Sequence[Entry]) -> list[str]:
    """The board's metrics, in the order of the protocol's measures, those of single entries after."""
    ordered = [measure["name"] for entry in found for measure in entry.protocol["measures"]]
    return list(dict.fromkeys(ordered))


def direction(found: Sequence[Entry], metric: str) -> str:
    return next(one.better for entry in found for one in entry.record.scores if one.metric == metric)


def ranks(found: Sequence[Entry], metric: str) -> dict[str, tuple[int, int]]:
    """{entry id: (best, worst) rank} by a metric: simultaneous 95 % ranges over the ranked entries that have it."""
    running = [(entry, score) for entry in found if entry.ranked and (score := entry.score(metric)) is not None]
    if not running:
        return {}
    estimates = [_estimate(entry, score) for entry, score in running]
    ranges = intervals.rank_ranges(estimates, "lower" if direction(found, metric) == "lower" else "higher")
    return {entry.id: pair for (entry, _), pair in zip(running, ranges, strict=True)}


def _estimate(entry: Entry, score: Score) -> intervals.Estimate:
    return intervals.estimate(_number(score.value), score.left_out, entry.record.plan["block_sizes"])


def _number(value: float | None) -> float:
    assert value is not None, "an ok score has a value"
    return value


def rank_text(pair: tuple[int, int] | None) -> str:
    return "–" if pair is None else str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"


def ordered(found: Sequence[Entry], metric: str) -> list[Entry]:
    """Best first by a metric's value, those without it last; lines of reference stand where their value puts them."""
    sign = 1 if direction(found, metric) == "lower" else -1

    def place(entry: Entry) -> tuple[float, str]:
        score = entry.score(metric)
        return (math.inf if score is None else sign * _number(score.value), entry.label)

    return sorted(found, key=place)


def people(found: Sequence[Entry], sort: str) -> DataFrame:
    """The board for people: rank range by the sorting metric, label, value ± half interval of each metric."""
    place = ranks(found, sort)
    names = metrics_of(found)
    names = [sort, *(name for name in names if name != sort)]
    rows = []
    for entry in ordered(found, sort):
        cells = {"rank": rank_text(place.get(entry.id)), "generator": clean(entry.label) + ("" if entry.ranked else " *")}
        rows.append(cells | {f"{name} {ARROW[direction(found, name)]}": _cell(entry, name) for name in names})
    return pd.DataFrame(rows)


def _cell(entry: Entry, metric: str) -> str:
    score = entry.score(metric)
    return plus_minus(_number(score.value), _number(score.low), _number(score.high)) if score else "–"


def numbers(found: Sequence[Entry], sort: str) -> DataFrame:
    """The board for programs: a row per entry, for each metric its value, interval, standard errors and what real data scores."""
    place = ranks(found, sort)
    rows = []
    for entry in ordered(found, sort):
        low, high = place.get(entry.id, (None, None))
        plan = entry.record.plan
        row: dict[str, Any] = {"rank_low": low, "rank_high": high, "generator": _cell_of_csv(entry.label), "ranked": entry.ranked, "n": plan["identity"]["n"]}
        for name in metrics_of(found):
            score = entry.score(name)
            for key in ("value", "low", "high", "se", "se_reference", "real", "real_high"):
                row[name if key == "value" else f"{name}_{key}"] = getattr(score, key) if score else None
        row |= {key: entry.record.cost.get(key) for key in ("images_per_second", "parameters", "evaluations_per_image")}
        row |= {"first_seed": plan["identity"]["first_seed"], "checkpoint": plan["identity"]["checkpoint"], "created": entry.record.created, "run": entry.record.id, "entry": entry.id}
        rows.append(row)
    return pd.DataFrame(rows).convert_dtypes()


def _cell_of_csv(text: str) -> str:
    """A label that no spreadsheet takes for a formula."""
    return f"'{clean(text)}" if text[:1] in "=+-@" else clean(text)


def sorting(found: Sequence[Entry], metric: str | None) -> str:
    names = metrics_of(found)
    if metric is not None and metric not in names:
        raise UserError(f"--sort {metric}: {choices(metric, names)}")
    return metric or names[0]


FORMATS: Mapping[str, Callable[[Sequence[Entry], str], str]] = {
    "csv": lambda found, sort: str(numbers(found, sort).to_csv(index=False)),
    "json": lambda found, sort: str(numbers(found, sort).to_json(orient="records", indent=1)),
    "markdown": lambda found, sort: _markdown(people(found, sort)),
    "latex": lambda found, sort: str(people(found, sort).to_latex(index=False, escape=True)),
}


def _markdown(frame: DataFrame) -> str:
    safe = frame.map(lambda cell: str(cell).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;"))
    return str(safe.to_markdown(index=False, disable_numparse=True))


def _rewrite(board: Path) -> None:
    """table.csv and README.md from the entries; files that would not change are left untouched."""
    found = entries(board)
    sort = sorting(found, None)
    for name, text in {"table.csv": FORMATS["csv"](found, sort), "README.md": readme(board, found, sort)}.items():
        path = board / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write(path, text.encode())


def readme(board: Path, found: Sequence[Entry], sort: str) -> str:
    """The board's page: what was measured, the table, what stands out beside real data, the grids."""
    first = found[0]
    name, protocol = next(iter(first.record.plan["protocols"].items()))
    shown = ordered(found, sort)
    parts = [
        f"# {clean(board.name)}",
        f"Data set `{protocol['dataset']}`, protocol `{name}`: n = {protocol['n']}, labels {protocol['labels']}. Rewritten from `entries/` by `genbench run`; do not edit.",
        _markdown(people(found, sort)),
        "± is half a 95 % interval over the generator's samples, against this reference. Rank: simultaneous 95 % range by the first number. "
        "Rows marked \\* are not ranked: lines of reference, and runs off the protocol's n or labels.",
        *_real_line(shown, sort),
        *_better_than_real(shown),
        *(_picture(board, entry) for entry in shown if (board / "entries" / f"{entry.id}.png").is_file()),
    ]
    return "\n\n".join(parts) + "\n"


def _real_line(found: Sequence[Entry], sort: str) -> list[str]:
    score = next((s for e in found if e.ranked and (s := e.score(sort)) and s.real is not None), None)
    if score is None or score.real is None or score.real_high is None:
        return []
    return [f"Real images against real images of the same sizes: `{sort}` {score.real:.3g} (median), 95 % of splits below {score.real_high:.3g}."]


def _better_than_real(found: Sequence[Entry]) -> list[str]:
    """A sentence for each ranked entry whose interval lies beyond what real data scores, on the better side."""
    lines = []
    for entry in found:
        for score in (s for s in entry.record.scores if entry.ranked and s.status == "ok" and s.real is not None):
            better = _number(score.high) < _number(score.real) if score.better == "lower" else _number(score.low) > _number(score.real_high)
            if better:
                lines.append(f"- `{clean(entry.label)}` lies beyond real data on `{score.metric}`: {_cell(entry, score.metric)}, real {score.real:.3g}.")
    why = (
        "Better than real data is no contradiction: a generator that draws near the centre of each class and leaves out what is rare scores well on "
        "precision, density and a classifier's certainty; recall, coverage and the distances show what it left out."
    )
    return [why + "\n\n" + "\n".join(lines)] if lines else []


def _picture(board: Path, entry: Entry) -> str:
    label = clean(entry.label).replace("[", "(").replace("]", ")")
    rows = "row = class, column = seed" if "labels" in entry.record.plan["identity"]["conditions"] else "in order of the seeds"
    return f"## {label}\n\nUncurated, {rows}, seeds from {entry.record.plan['identity']['first_seed']}.\n\n![samples of {label}](entries/{entry.id}.png)"


def shown(found: Sequence[Entry], sort: str, how: str) -> str:
    """A board in one of the formats, or as a plain table."""
    if how in FORMATS:
        return FORMATS[how](found, sort)
    frame = people(found, sort)
    return table(list(frame.columns), frame.to_numpy().tolist(), left=2)


def result(found: Record, root: Path | None) -> str:
    """A run's numbers for people: value ± half interval, what real data scores, direction, and the rank range on the board."""
    parts = []
    for name, protocol in found.plan["protocols"].items():
        board = root / board_name(protocol["dataset"], name) if root else None
        known = entries(board) if board and board.is_dir() else []
        own = _entry(found, name, protocol)
        rows = [_row(score, ranks(known, score.metric).get(own.id)) for score in own.record.scores if score.status == "ok"]
        heading = f"{clean(own.label)} · {protocol['dataset']} · protocol {name} · {found.plan['identity']['n']} samples"
        parts.append(f"{heading}\n\n{table(['metric', 'value', 'real data', 'better', 'rank'], rows)}")
        flagged = [f"{s.metric}: {', '.join(s.flags)}" for s in own.record.scores if s.flags]
        parts += [f"* {'; '.join(flagged)}"] if flagged else []
        absent = [f"{s.metric} {s.status}: {clean(s.reason)}" for s in own.record.scores if s.status != "ok"]
        parts += ["\n".join(absent)] if absent else []
    return "\n\n".join(parts)


def _row(score: Score, rank: tuple[int, int] | None) -> list[str]:
    real = "" if score.real is None else f"{score.real:.3g} (95 %: {_number(score.real_high):.3g})"
    star = "*" if score.flags else ""
    return [score.metric + star, plus_minus(_number(score.value), _number(score.low), _number(score.high)), real, score.better, rank_text(rank)]
