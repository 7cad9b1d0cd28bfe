"""Runs against each other: rank ranges, and differences with intervals, pair by pair where that can be."""

from __future__ import annotations

import statistics
from typing import Any

from genbench import verdicts
from genbench.say import plus_minus
from genbench.section import Section
from genbench.standings import ARROW, direction, metrics_of, rank_text, ranks

MOST = 4  # runs of which every pair is shown; of more, each against the first
TEMPLATE = """
<p class="quiet"><b>Rank</b>: a simultaneous 95 % range; "1-2" means that another run may be ahead. <b>Differences</b> are of the left run less the right
one, ± half a 95 % interval. One is <b>shown</b> where its
p, corrected by Holm over all pairs of the number, is at most 0.05; then the better run stands below.</p>
{% for name, table in tables.items() %}
{% for note in table.notes %}<p class="reason">{{ note }}.</p>{% endfor %}
{% if table.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Comparison under {{ name }}"><table class="sortable"><caption>Protocol {{ name }}</caption>
<thead><tr><th scope="col">Number</th>{% if table.ranked %}{% for run in table.runs %}<th scope="col">Rank {{ run.letter }}</th>{% endfor %}{% endif %}
{% for pair in table.pairs %}<th scope="col">{{ pair }}</th>{% endfor %}</tr></thead><tbody>
{% for row in table.rows %}<tr><th scope="row" data-value="{{ loop.index }}">{{ row.metric }}</th>
{% if table.ranked %}{% for text in row.ranks %}<td>{{ text }}</td>{% endfor %}{% endif %}
{% for cell in row.cells %}<td data-value="{{ cell.value if cell else '' }}">{% if cell %}
<span class="{{ 'best' if cell.better else '' }}">{{ cell.text }}</span>
<small class="quiet">{{ cell.better or 'not shown' }}, {{ cell.p }}</small>{% else %}–{% endif %}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p class="quiet">{{ table.pairing }}</p>
{% endif %}
{% endfor %}
"""


def render(report: Any) -> Any:
    """A table for each protocol that two runs share; numbers of different rulers are not set against each other."""
    if len(report.runs) < 2:
        return "there is one run; name several and they stand against each other"
    names = [name for run in report.runs for name in run.entries]
    shared = [name for name in dict.fromkeys(names) if sum(name in run.entries for run in report.runs) > 1]
    if not shared:
        return "no two of the runs share a protocol, so no number of one can be held against one of another"
    return report.html(TEMPLATE, tables={name: _table([run for run in report.runs if name in run.entries], name) for name in shared})


def _table(runs: list[Any], name: str) -> dict[str, Any]:
    found = verdicts.side_by_side([run.entries[name] for run in runs])
    metrics = [metric for metric in metrics_of(found) if sum(entry.score(metric) is not None for entry in found) > 1]
    differences = {metric: {(one.a, one.b): one for one in verdicts.apart(found, metric)} for metric in metrics}
    count = len(runs)
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count) if count <= MOST or a == 0]
    of = {metric: ranks(found, metric) for metric in metrics}
    rows = [
        {
            "metric": f"{metric} {ARROW[direction(found, metric)]}",
            "ranks": [rank_text(of[metric].get(entry.id)) for entry in found],
            "cells": [_cell(runs, differences[metric].get(pair)) for pair in pairs],
        }
        for metric in metrics
    ]
    named = [f"{runs[a].letter} − {runs[b].letter}" for a, b in pairs]
    taken = [one for own in differences.values() for one in own.values()]
    ranked = sum(entry.ranked for entry in found) > 1
    return {"notes": _notes(runs, found), "runs": runs, "ranked": ranked, "pairs": named, "rows": rows, "pairing": _pairing(taken)}


def _notes(runs: list[Any], found: list[Any]) -> list[str]:
    """What keeps runs from being compared or ranked."""
    foreign = [run.name for run, entry in zip(runs, found, strict=True) if not entry.current]
    unfit = [run.name for run, entry in zip(runs, found, strict=True) if entry.current and not entry.ranked]
    notes = [f"{', '.join(foreign)}: another reference, extractor or formula than {runs[0].name}'s, and so not compared"] if foreign else []
    notes += [f"{', '.join(unfit)}: off the protocol's n or labels, or a line of reference, and so not ranked"] if unfit else []
    sizes = sorted({run.n for run in runs})
    return notes + ([f"The runs have different n ({', '.join(map(str, sizes))}), by which distances move"] if len(sizes) > 1 else [])


def _cell(runs: list[Any], one: verdicts.Apart | None) -> dict[str, Any] | None:
    if one is None:
        return None
    better = "" if one.better is None else f"{runs[one.better].letter} better"
    return {"value": one.value, "text": plus_minus(one.value, one.low, one.high), "better": better, "p": "p < 0.001" if one.p < 0.001 else f"p = {one.p:.3f}"}


def _pairing(taken: list[verdicts.Apart]) -> str:
    """Whether differences were taken pair by pair, and what that bought."""
    paired = [one for one in taken if one.paired]
    if not paired:
        return "The runs share no blocks of equal sizes: differences are unpaired, their errors added in squares."
    known = [one.r for one in paired if one.r is not None]
    words = f"{len(paired)} of {len(taken)} differences are paired, block by block"
    if not known:
        return f"{words}."
    few = sum(r < verdicts.HELPS for r in known)
    words += f"; the correlation of the leave-outs is {statistics.median(known):.2f} in the median ({min(known):.2f} to {max(known):.2f})"
    return f"{words}. Below {verdicts.HELPS}, in {few} of {len(known)}, pairing bought nothing."


ROW = Section("comparison", "Comparison", 30, render)
