"""Runs against each other: differences with intervals, pair by pair where that can be, and rank ranges."""

from __future__ import annotations

from typing import Any

from genbench import verdicts
from genbench.say import plus_minus
from genbench.section import Section
from genbench.standings import ARROW, direction, metrics_of, rank_text, ranks

MOST = 6  # runs of which every pair is listed; of more, each against the first
TEMPLATE = """
<p class="quiet">Differences with 95 % intervals; <b>p</b> is corrected by Holm over all pairs of a number. <b>Paired</b>: taken block by block of the same seeds and reference, so that what the runs
share cancels; r is the correlation of their leave-outs, and below 0.3 pairing bought nothing. <b>Rank</b>: a simultaneous 95 % range; "1-2" means that one of the others may be ahead.</p>
{% for name, table in tables.items() %}
<h3>Protocol {{ name }}</h3>
{% if table.apart %}<p class="reason">{{ table.apart }}</p>{% endif %}
{% if table.ranks %}
<div class="scroll" tabindex="0" role="region" aria-label="Ranks under {{ name }}"><table class="sortable"><caption>Rank ranges</caption>
<thead><tr><th scope="col">Run</th>{% for metric in table.ranks.metrics %}<th scope="col">{{ metric }}</th>{% endfor %}</tr></thead><tbody>
{% for run, cells in table.ranks.rows %}<tr><th scope="row" data-value="{{ run.place }}"><span class="swatch" style="background: {{ run.colour }}"></span>{{ run.name }}</th>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% endif %}
{% if table.rows %}
<div class="scroll" tabindex="0" role="region" aria-label="Differences under {{ name }}"><table class="sortable"><caption>Differences</caption>
<thead><tr><th scope="col">Number</th><th scope="col" class="words">Runs</th><th scope="col">Difference</th><th scope="col">p (Holm)</th><th scope="col" class="words">Shown better</th><th scope="col">Paired</th></tr></thead><tbody>
{% for row in table.rows %}<tr><th scope="row">{{ row.metric }}</th><td class="words">{{ row.pair }}</td><td data-value="{{ row.value }}">{{ row.text }}</td><td data-value="{{ row.p }}">{{ row.p_text }}</td><td class="words">{{ row.better }}</td><td data-value="{{ row.r if row.r is not none else '' }}">{{ row.paired }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% endfor %}
"""


def render(report: Any) -> Any:
    """A table of ranks and one of differences for each protocol that two runs share; numbers of different rulers are not set against each other."""
    if len(report.runs) < 2:
        return "there is one run; name several and they stand against each other"
    names = [name for name in report.runs[0].entries] + [name for run in report.runs[1:] for name in run.entries]
    shared = [name for name in dict.fromkeys(names) if sum(name in run.entries for run in report.runs) > 1]
    if not shared:
        return "no two of the runs share a protocol, so no number of one can be held against one of another"
    return report.html(TEMPLATE, tables={name: _table([run for run in report.runs if name in run.entries], name) for name in shared})


def _table(runs: list[Any], name: str) -> dict[str, Any]:
    found = verdicts.side_by_side([run.entries[name] for run in runs])
    metrics = [metric for metric in metrics_of(found) if sum(entry.score(metric) is not None for entry in found) > 1]
    foreign = [run.name for run, entry in zip(runs, found, strict=True) if not entry.current]
    unfit = [run.name for run, entry in zip(runs, found, strict=True) if entry.current and not entry.ranked]
    notes = [f"{', '.join(foreign)}: another reference, extractor or formula than {runs[0].name}'s, and so not compared"] if foreign else []
    notes += [f"{', '.join(unfit)}: off the protocol's n or labels, or a line of reference, and so not ranked"] if unfit else []
    sizes = {run.n for run in runs}
    notes += [f"the runs have different n ({', '.join(map(str, sorted(sizes)))}), by which distances move"] if len(sizes) > 1 else []
    rows = [_row(runs, metric, one) for metric in metrics for one in verdicts.apart(found, metric) if len(runs) <= MOST or one.a == 0]
    return {"apart": "; ".join(notes), "ranks": _ranks(runs, found, metrics), "rows": rows}


def _ranks(runs: list[Any], found: list[Any], metrics: list[str]) -> dict[str, Any] | None:
    if sum(entry.ranked for entry in found) < 2:
        return None
    of = {metric: ranks(found, metric) for metric in metrics}
    rows = [(run, [rank_text(of[metric].get(entry.id)) for metric in metrics]) for run, entry in zip(runs, found, strict=True)]
    return {"metrics": [f"{metric} {ARROW[direction(found, metric)]}" for metric in metrics], "rows": rows}


def _row(runs: list[Any], metric: str, one: verdicts.Apart) -> dict[str, Any]:
    paired = "no" if not one.paired else "yes" if one.r is None else f"r = {one.r:.2f}" + ("" if one.r >= verdicts.HELPS else ", bought nothing")
    return {
        "metric": metric,
        "pair": f"{runs[one.a].letter} − {runs[one.b].letter}",
        "value": one.value,
        "text": plus_minus(one.value, one.low, one.high),
        "p": one.p,
        "p_text": "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
        "better": "–" if one.better is None else runs[one.better].name,
        "r": one.r,
        "paired": paired,
    }


ROW = Section("comparison", "Comparison", 30, render)
