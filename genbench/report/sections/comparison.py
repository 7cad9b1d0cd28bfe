"""Runs against each other: rank ranges, and differences with intervals,
pair by pair where that can be.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

from genbench._util.formatting import plus_minus
from genbench.api.report_section import Section
from genbench.leaderboards.comparison import (
    Block,
    Row,
    Unit,
    differences,
    grouped,
    kept_apart,
    ranks,
)
from genbench.leaderboards.entries import Entry
from genbench.leaderboards.ranking import direction, metrics_of
from genbench.leaderboards.tables import ARROW, rank_text
from genbench.runs.records.comparability import BOUGHT, short

MOST = 4  # runs of which every pair is shown; of more, each against the first
TEMPLATE = """
<p class="quiet"><b>Rank</b>: a simultaneous 95 % range; "1-2" means that another run may be \
ahead. <b>Differences</b> are of the left run less the right
one, ± half a 95 % interval. One is <b>shown</b> where its
p, corrected by Holm over all pairs of the number (lines of reference are a family of their own), \
is at most 0.05; then the better run stands below.</p>
{% for reason in reasons %}<p class="reason">{{ reason }}.</p>{% endfor %}
{% for table in tables %}
{% for note in table.notes %}<p class="reason">{{ note }}.</p>{% endfor %}
{% if table.rows %}
<div class="scroll" tabindex="0" role="region" \
aria-label="Comparison under {{ table.name }}, n = {{ table.n }}">
<table class="sortable"><caption>Protocol {{ table.name }}, n = {{ table.n }}</caption>
<thead><tr><th scope="col">Number</th>{% if table.ranked %}{% for run in table.runs %}\
<th scope="col">Rank {{ run.letter }}</th>{% endfor %}{% endif %}
{% for pair in table.pairs %}<th scope="col">{{ pair }}</th>{% endfor %}</tr></thead><tbody>
{% for row in table.rows %}<tr><th scope="row" data-value="{{ loop.index }}">{{ row.metric }}</th>
{% if table.ranked %}{% for text in row.ranks %}<td>{{ text }}</td>{% endfor %}{% endif %}
{% for cell in row.cells %}<td data-value="{{ cell.value if cell else '' }}">{% if cell %}
<span class="{{ 'best' if cell.better else '' }}">{{ cell.text }}</span>
<small class="quiet">{{ cell.better or 'not shown' }}, {{ cell.p }}</small>{% else %}–{% endif %}\
</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p class="quiet">{{ table.pairing }}</p>
{% endif %}
{% endfor %}
"""


def render(report: Any) -> Any:
    """A table for each set of runs that share a protocol and a ruler;
    numbers of different rulers are not set against each other.
    """
    if len(report.runs) < 2:
        return "there is one run; name several and they stand against each other"
    names = [name for run in report.runs for name in run.entries]
    shared = [
        name for name in dict.fromkeys(names) if sum(name in run.entries for run in report.runs) > 1
    ]
    if not shared:
        return (
            "no two of the runs share a protocol, so no number of one can be held against "
            "one of another"
        )
    tables, reasons = [], []
    for name in shared:
        runs = {run.entries[name].id: run for run in report.runs if name in run.entries}
        groups = grouped(run.entries[name] for run in runs.values())
        tables += [
            _table(name, [runs[entry.id] for entry in group], group)
            for group in groups
            if len(group) > 1
        ]
        named = [", ".join(runs[entry.id].name for entry in group) for group in groups]
        reasons += [
            (
                f"Protocol {name}: {own} against {named[0]}: not compared, "
                f"{_reason(groups[0][0], group[0])}"
            )
            for own, group in zip(named, groups, strict=True)
        ][1:]
    return report.html(TEMPLATE, tables=tables, reasons=reasons)


def _reason(first: Entry, entry: Entry) -> str:
    """Why an entry does not stand beside the first."""
    return f"they differ in {', '.join(f'{field} ({short(here)} and {short(there)})' for field, there, here in kept_apart(first, entry)[:3])}"  # noqa: E501


def _table(name: str, runs: list[Any], group: list[Entry]) -> dict[str, Any]:
    units = tuple(Unit(run.letter, entry) for run, entry in zip(runs, group, strict=True))
    metrics = [
        metric
        for metric in metrics_of(group)
        if sum(entry.score(metric) is not None for entry in group) > 1
    ]
    block = Block(tuple(group), units, tuple(metrics))
    taken = {
        metric: {(row["first"], row["second"]): row for row in differences(block, metric)}
        for metric in metrics
    }
    letters = [unit.name for unit in units]
    pairs = [
        (a, b)
        for at, a in enumerate(letters)
        for b in letters[at + 1 :]
        if len(letters) <= MOST or at == 0
    ]
    places = {metric: ranks(block, metric) for metric in metrics}
    rows = [
        {
            "metric": f"{metric} {ARROW[direction(group, metric)]}",
            "ranks": [rank_text(places[metric].get(letter)) for letter in letters],
            "cells": [_cell(taken[metric].get(pair)) for pair in pairs],
        }
        for metric in metrics
    ]
    unfit = [run.name for run, unit in zip(runs, units, strict=True) if not unit.competes]
    return {
        "name": name, "n": block.heading["n"], "runs": runs,
        "ranked": sum(unit.competes for unit in units) > 1,
        "pairs": [f"{a} − {b}" for a, b in pairs], "rows": rows,
        "pairing": _pairing([row for own in taken.values() for row in own.values()]),
        "notes": [f"{', '.join(unfit)}: a line of reference, and so not ranked"] if unfit else [],
    }  # fmt: skip


def _cell(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    p = row["p_adjusted"]
    better = f"{row['better']} better" if row["better"] else ""
    text = plus_minus(row["difference"], row["low"], row["high"])
    return {
        "value": row["difference"],
        "text": text,
        "better": better,
        "p": "p < 0.001" if p < 0.001 else f"p = {p:.3f}",
    }


def _pairing(taken: list[Row]) -> str:
    """Whether differences were taken pair by pair, and what that bought."""
    paired = [row for row in taken if row["paired"]]
    if not paired:
        return (
            "The runs share no seeds, or no blocks of equal sizes: differences are unpaired, "
            "their errors added in squares."
        )
    known = [row["correlation"] for row in paired if not math.isnan(row["correlation"])]
    words = f"{len(paired)} of {len(taken)} differences are paired, block by block"
    if not known:
        return f"{words}."
    few = sum(r < BOUGHT for r in known)
    words += (
        f"; the correlation of the leave-outs is {statistics.median(known):.2f} in the median "
        f"({min(known):.2f} to {max(known):.2f})"
    )
    return f"{words}. Below {BOUGHT}, in {few} of {len(known)}, pairing bought nothing."


ROW = Section("comparison", "Comparison", 30, render)
