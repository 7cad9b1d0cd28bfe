"""A comparison on paper: tables for people as text, Markdown, LaTeX and HTML,
one tidy table as CSV, everything as JSON.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import cell_of_csv, clean, number, plus_minus, table
from genbench._util.lazy_imports import pd
from genbench.leaderboards import comparison, tradeoff_plots
from genbench.leaderboards.comparison import Block, Row
from genbench.leaderboards.export_results import SIGNS
from genbench.leaderboards.ranking import direction
from genbench.leaderboards.tables import ARROW, escaped, markdown, rank_text

if TYPE_CHECKING:
    from pandas import DataFrame

    from genbench.runs.records.record import Record

MOST = 30  # rows of differences that people are shown; the rest is in csv and json
WORST = 10  # rows of classes
# columns of words, which stand before those of numbers
WORDS = ("rank", "model", "trainings", "metric", "first", "second", "class", "method")
LEGEND = (
    "±: half a 95 % interval. Behind a value, in brackets: its rank, a simultaneous 95 % "
    "range over the block (Holm over all pairs). Differences are the first less the second, "
    "each with its own 95 % interval; p is adjusted over the block's pairs, and who is "
    "named is shown better at 5 %. One training: the numbers are those of one checkpoint, "
    "and say nothing of another training of the same method."
)
UNRANKED = "Blocks do not share a protocol; their numbers are not set against each other."
STYLE = (
    "html{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1.5em "
    "auto;max-width:72em;padding:0 1em}table{border-collapse:collapse;margin:.6em 0 "
    "1.4em;display:block;overflow-x:auto}"
    "th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8886;white-space:nowrap}th:n"
    "th-child(-n+2),td:nth-child(-n+2){text-align:left}img{max-width:100%;background:#fff}"
)
COSTS = {
    "seconds_per_image": "s / image",
    "latency_p50_seconds": "latency p50 s",
    "peak": "peak MB",
    "checkpoint": "checkpoint MB",
}
Section = tuple[str, "DataFrame"]  # its title, and its cells as text


def shown(found: Sequence[Block], how: str) -> str:
    """A comparison in one of the formats."""
    return FORMATS[how](found)


def heading(block: Block) -> str:
    said = block.heading
    return clean(
        f"protocol {said['protocol']} on {said['dataset']} · n = {said['n']} · labels "
        f"{said['labels']}"
    )


def picture(block: Block) -> bytes:
    """The runs of a block in the plane: distance against recall, precision against recall,
    distance against cost.
    """
    if not tradeoff_plots.pairs_of(block.entries):
        raise UserError(
            "--picture: these runs have no two numbers that make a plane, "
            "such as a distance and recall"
        )
    names = {unit.entry.id: clean(unit.name) for unit in block.units if not unit.method}
    return tradeoff_plots.plane(
        block.entries,
        [names.get(one.id, clean(one.label)) for one in block.entries],
        f"{heading(block)}; bars: 95 %",
    )


def sections(block: Block) -> Iterator[Section]:
    """The tables of a block for people."""
    yield "", pd.DataFrame(list(_values(block)))
    rows = [row for metric in block.metrics for row in comparison.differences(block, metric)]
    if len(rows) > MOST:
        first = comparison.differences(block, block.metrics[0])
        kept = first[: 4 * MOST]
        some = f", {len(kept)} of {len(first)} pairs" if len(kept) < len(first) else ""
        yield (
            f"differences of {block.metrics[0]}{some} (all: --metrics, --format csv)",
            pd.DataFrame(list(map(_pair, kept))),
        )
    elif rows:
        yield "differences", pd.DataFrame(list(map(_pair, rows)))
    for metric in block.metrics:
        if classes := comparison.class_differences(block, metric):
            yield (
                _of_classes(metric, classes),
                pd.DataFrame([_of_class(row) for row in classes[:WORST]]),
            )
    if methods := [row for metric in block.metrics for row in comparison.spreads(block, metric)]:
        yield (
            "methods: mean over trainings, standard deviation between them",
            pd.DataFrame(list(map(_method, methods))),
        )
    if costs := comparison.costs(block):
        yield _of_cost(costs), pd.DataFrame(list(map(_cost, costs)))


def _values(block: Block) -> Iterator[dict[str, str]]:
    """A row to a unit, best first by the first number."""
    told = {
        metric: {row["first"]: row for row in comparison.values(block, metric)}
        for metric in block.metrics
    }
    for unit in block.units:
        place = told[block.metrics[0]].get(unit.name, {})
        cells = {
            "rank": _rank(place) or "–",
            "model": clean(unit.name),
            "trainings": _trainings(unit),
        }
        yield cells | {
            f"{metric} {ARROW[direction(block.entries, metric)]}": _cell(
                told[metric].get(unit.name)
            )
            for metric in block.metrics
        }


def _trainings(unit: comparison.Unit) -> str:
    if not unit.competes:
        return "reference"
    return (
        f"{unit.trainings} trainings"
        if unit.trainings > 1
        else "one training"
        if unit.trainings
        else "no training"
    )


def _rank(row: Mapping[str, Any]) -> str:
    return rank_text((row["rank_low"], row["rank_high"])) if row.get("rank_low") is not None else ""


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    rank = _rank(row)
    return plus_minus(row["value"], row["low"], row["high"]) + (f" ({rank})" if rank else "")


def _pair(row: Row) -> dict[str, str]:
    half = (row["high"] - row["low"]) / 2
    value = number(row["difference"], half) if math.isfinite(half) else f"{row['difference']:.4g}"
    apart = f"{value} ± {number(half, half)}" if math.isfinite(half) else f"{value}, no interval"
    # of what may be negative: no share
    share = (
        f"{row['difference'] / row['second_value']:+.1%}"
        if min(row["first_value"], row["second_value"]) > 0
        else "–"
    )
    cells = {
        "metric": row["metric"],
        "first": clean(row["first"]),
        "second": clean(row["second"]),
        "difference": apart,
        "of second": share,
    }
    return cells | {
        "p": _p(row["p_adjusted"]),
        "shown better": clean(row["better"]) or "no difference shown",
        "how": row["how"],
    }


def _of_class(row: Row) -> dict[str, str]:
    cells = _pair(row)
    return {"metric": cells.pop("metric"), "class": clean(row["class"]), **cells}


def _p(p: float) -> str:
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def _of_classes(metric: str, rows: Sequence[Row]) -> str:
    told = sum(bool(row["better"]) for row in rows)
    return (
        f"{metric} by class: {told} of {len(rows)} differences shown (Holm over classes and pairs)"
    )


def _method(row: Row) -> dict[str, str]:
    of = ", ".join(f"{value:.4g}" for value in row["values"])
    spread = f"{row['sd']:.2g}"
    return {
        "metric": row["metric"],
        "method": clean(row["first"]),
        "mean": plus_minus(row["mean"], row["low"], row["high"]),
        "sd": spread,
        "of": of,
    }


def _of_cost(rows: Sequence[Row]) -> str:
    several = len({(row["machine"], row["device"]) for row in rows}) > 1
    return "cost" + (
        ", on different machines: not to be compared" if several else ", nothing is ranked by it"
    )


def _cost(row: Row) -> dict[str, str]:
    def told(value: float | None, scale: float = 1.0) -> str:
        return "–" if not value else f"{value / scale:.3g}"

    rate, peak = row["images_per_second"], row["peak_gpu_memory_bytes"] or row["peak_memory_bytes"]
    cells = {
        "seconds_per_image": told(1 / rate if rate else None),
        "latency_p50_seconds": told(row["latency_p50_seconds"]),
    }
    cells |= {"peak": told(peak, 1e6), "checkpoint": told(row["checkpoint_bytes"], 1e6)}
    more = {
        "parameters": told(row["parameters"]),
        "evaluations": told(row["evaluations_per_image"]),
        "device": clean(f"{row['device']} ({row['machine']})"),
    }
    return {
        "metric": "cost",
        "model": clean(row["first"]),
        **{COSTS[key]: value for key, value in cells.items()},
        **more,
    }


def _text(
    found: Sequence[Block], written: Callable[[DataFrame], str], line: Callable[[str], str]
) -> str:
    """Blocks one below the other."""
    parts = []
    for place, block in enumerate(found, 1):
        parts.append(line(f"block {place}: {heading(block)}" if len(found) > 1 else heading(block)))
        for title, frame in sections(block):
            parts += [line(title)] if title else []
            parts.append(written(frame))
    return "\n\n".join([*parts, *([line(UNRANKED)] if len(found) > 1 else []), line(LEGEND)])


def _plain(frame: DataFrame) -> str:
    return table(
        list(frame.columns),
        frame.to_numpy().tolist(),
        left=sum(name in WORDS for name in frame.columns),
    )


def _latex(found: Sequence[Block]) -> str:
    """Tables for booktabs; signs that LaTeX's fonts lack as mathematics."""
    text = _text(
        found,
        lambda frame: str(frame.to_latex(index=False, escape=True)),
        lambda words: f"% {words}",
    )
    for sign, words in SIGNS.items():
        text = text.replace(sign, words)
    return text


def _html(found: Sequence[Block]) -> str:
    """One page that requests nothing and runs nothing: the tables,
    and each block's trade-off plane.
    """
    parts = _text(
        found,
        lambda frame: str(frame.to_html(index=False, escape=True, border=0)),
        lambda words: f"<p>{html.escape(words)}</p>",
    )
    parts += "\n" + "\n".join(
        _plane(block)
        for block in found
        if len(block.units) > 1 and tradeoff_plots.pairs_of(block.entries)
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = (
        '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width">'
    )
    return (
        f'<!doctype html>\n<html lang="en">\n{head}\n<title>genbench compare</title>\n'
        f"<style>{STYLE}</style>\n<h1>genbench compare</h1>\n{parts}\n</html>\n"
    )


def _plane(block: Block) -> str:
    """A block's trade-off plane as an element of a page."""
    words = html.escape(
        f"Trade-off plane of {heading(block)}: a point to a run, with its 95 % bars", quote=True
    )
    return (
        f'<p><img alt="{words}" '
        f'src="data:image/png;base64,{base64.b64encode(picture(block)).decode()}"></p>'
    )


def methods_plain(runs: Sequence[Record]) -> list[Row]:
    """A row to every method and number of these runs: {"first", "metric", "mean", "sd", "low",
    "high", "trainings", "values"}.
    """
    found = comparison.blocks(runs)
    rows = [
        {**block.heading, **row}
        for block in found
        for metric in block.metrics
        for row in comparison.spreads(block, metric)
    ]
    return [{key: _safe(value) for key, value in row.items()} for row in rows]


def methods_text(runs: Sequence[Record]) -> str:
    """The methods of these runs for people; "" where there is none."""
    rows = methods_plain(runs)
    if not rows:
        return ""
    told = table(
        ["metric", "method", "mean over trainings", "sd", "trainings"],
        [[*list(_method(row).values())[:4], str(row["trainings"])] for row in rows],
        left=2,
    )
    return (
        f"{told}\n\n±: half the 95 % t interval of the mean over trainings; sd: between trainings, "
        "the samples' own error included."
    )


def rows_of(block: Block) -> dict[str, list[Row]]:
    """Every row of a block by kind: value, difference, class, method, cost."""

    def over(rows: Callable[[Block, str], list[Row]]) -> list[Row]:
        return [row for metric in block.metrics for row in rows(block, metric)]

    taken = [
        over(one)
        for one in (
            comparison.values,
            comparison.differences,
            comparison.class_differences,
            comparison.spreads,
        )
    ]
    return dict(zip(("value", "difference", "class", "method"), taken, strict=True)) | {
        "cost": comparison.costs(block)
    }


def _safe(value: Any) -> Any:
    """A value as JSON may hold it: no NaN, no control characters from strangers."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_safe(one) for one in value]
    return clean(value) if isinstance(value, str) else value


def _json(found: Sequence[Block]) -> str:
    told = []
    for block in found:
        rows = {
            kind: [{key: _safe(value) for key, value in row.items()} for row in own]
            for kind, own in rows_of(block).items()
        }
        runs = [
            {"label": clean(one.label), "run": one.record.id, "entry": one.id}
            for one in block.entries
        ]
        better = {metric: direction(block.entries, metric) for metric in block.metrics}
        told.append(
            {key: _safe(value) for key, value in block.heading.items()}
            | {"runs": runs, "better": better}
            | rows
        )
    return json.dumps({"blocks": told}, indent=1, ensure_ascii=False, allow_nan=False)


def _csv(found: Sequence[Block]) -> str:
    """One tidy table: block, protocol, kind of row, and what a row of that kind has."""
    rows = []
    for place, block in enumerate(found, 1):
        about = {"block": place, **block.heading}
        rows += [
            about | {"kind": kind} | row for kind, own in rows_of(block).items() for row in own
        ]
    plain = [{key: _cell_of_csv(value) for key, value in row.items()} for row in rows]
    return str(pd.DataFrame(plain).to_csv(index=False))


def _cell_of_csv(value: Any) -> Any:
    return (
        cell_of_csv(value)
        if isinstance(value, str)
        else " ".join(map(str, value))
        if isinstance(value, list)
        else value
    )


FORMATS: Mapping[str, Callable[[Sequence[Block]], str]] = {
    "table": lambda found: _text(found, _plain, str),
    "markdown": lambda found: _text(found, markdown, escaped),
    "latex": _latex,
    "html": _html,
    "csv": _csv,
    "json": _json,
}
