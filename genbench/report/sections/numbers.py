"""Every number with its interval, beside what real images score."""

from __future__ import annotations

from typing import Any

from genbench._util.formatting import plus_minus
from genbench.api import _registry as registry
from genbench.api.report_section import Section
from genbench.leaderboards.tables import ARROW
from genbench.leaderboards.versus_real import against_real

WIDE, TALL = 150, 13  # of a picture of intervals: its width, and the height of a run's line
TEMPLATE = """
<p class="quiet">Value ± half a 95 % interval over the generator's samples, \
against this reference. ↓ lower is better, ↑ higher. <b>Real</b>: real images
against real images of the same
sizes, the median; <b>95 %</b>: their 95 % point. In the pictures the grey band lies between these \
two.</p>
{% for name, table in tables.items() %}
<div class="scroll" tabindex="0" role="region" aria-label="Numbers under {{ name }}">
<table class="sortable">
<caption>Protocol {{ name }}</caption>
<thead><tr><th scope="col">Number</th>
{% for run in table.runs %}<th scope="col">{{ report.badge(run) }}</th>{% endfor %}
<th scope="col" data-plain>Interval</th><th scope="col">Real</th><th scope="col">95 %</th>
<th scope="col">n</th>{% if runs|length == 1 %}<th scope="col" class="words">Against real</th>\
{% endif %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr><th scope="row" data-value="{{ loop.index }}">{{ row.metric }} {{ row.arrow }}<small>\
{{ row.title }}</small></th>
{% for cell in row.cells %}<td data-value="{{ cell.value if cell.value is not none else '' }}">
{{ cell.text }}{% if cell.marks %}<sup>{{ cell.marks }}</sup>{% endif %}</td>{% endfor %}
<td>{% if row.glyph %}<svg class="glyph" viewBox="0 0 {{ wide }} {{ row.glyph.tall }}" role="img" \
aria-label="{{ row.glyph.alt }}">
{% if row.glyph.band %}<rect x="{{ row.glyph.band[0] }}" y="0" width="{{ row.glyph.band[1] }}" \
height="{{ row.glyph.tall }}" fill="var(--faint)"/>
<line x1="{{ row.glyph.real }}" x2="{{ row.glyph.real }}" y1="0" y2="{{ row.glyph.tall }}" \
stroke="var(--shade)" stroke-width="1.5"/>{% endif %}
{% for bar in row.glyph.bars %}<line x1="{{ bar.low }}" x2="{{ bar.high }}" y1="{{ bar.y }}" \
y2="{{ bar.y }}" stroke="{{ bar.colour }}" stroke-width="2"/>
<circle cx="{{ bar.value }}" cy="{{ bar.y }}" r="3.6" fill="{{ bar.colour }}"/>{% endfor %}
</svg>{% endif %}</td>
<td data-value="{{ row.real if row.real is not none else '' }}">\
{{ '%#.3g'|format(row.real) if row.real is not none else '–' }}</td>
<td data-value="{{ row.high if row.high is not none else '' }}">\
{{ '%#.3g'|format(row.high) if row.high is not none else '–' }}</td><td>{{ row.n }}</td>
{% if runs|length == 1 %}<td class="words" \
data-value="{{ row.verdict.chip if row.verdict else '' }}">
{% if row.verdict %}<span class="chip {{ row.verdict.kind }}">{{ row.verdict.chip }}</span>\
{% endif %}</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
{% if table.notes %}<ol class="notes">{% for letter, words in table.notes %}<li><sup>{{ letter }}\
</sup> {{ words }}</li>{% endfor %}</ol>{% endif %}
{% endfor %}
"""


def render(report: Any) -> Any:
    """A table for each protocol, a column for each run that has it."""
    names = list(
        dict.fromkeys(name for run in report.runs for name in run.record.plan["protocols"])
    )
    return report.html(
        TEMPLATE,
        wide=WIDE,
        tables={
            name: _table([run for run in report.runs if name in run.record.plan["protocols"]], name)
            for name in names
        },
    )


def _table(runs: list[Any], name: str) -> dict[str, Any]:
    """Rows by number in the order of the measures, with notes lettered by their words."""
    notes: dict[str, str] = {}
    rows = []
    scores = [{one.metric: one for one in run.scores(name)} for run in runs]
    measures = {
        one["name"]: one for run in runs for one in run.record.plan["protocols"][name]["measures"]
    }
    for metric in dict.fromkeys([*measures, *(key for own in scores for key in own)]):
        held = [own.get(metric) for own in scores]
        there = [(run, one) for run, one in zip(runs, held, strict=True) if one is not None]
        if not there:
            continue
        good = [(run, one) for run, one in there if one.status == "ok"]
        told = [one for _, one in good] or [one for _, one in there]
        real = next((one for one in told if one.real is not None), None)
        row = {
            "metric": metric,
            "arrow": ARROW[told[0].better],
            "title": _title(measures.get(metric, {})),
            "cells": [_cell(one, notes) for one in held],
            "real": real.real if real else None,
            "high": real.real_high if real else None,
            "n": ", ".join(dict.fromkeys(str(one.n) for one in told)),
            "glyph": _glyph(good, real),
            "verdict": against_real(told[0], measures.get(metric, {}))
            if good and len(runs) == 1
            else None,
        }
        rows.append(row)
    return {
        "runs": runs,
        "rows": rows,
        "notes": [(letter, words) for words, letter in notes.items()],
    }


def _title(measure: Any) -> str:
    """What the number is, from its own row or its metric's."""
    if measure.get("title"):
        return str(measure["title"])
    metric = measure.get("metric", "")
    return (
        str(registry.find("metrics", metric).title)
        if metric in registry.standing("metrics")
        else ""
    )


def _cell(score: Any, notes: dict[str, str]) -> dict[str, Any]:
    """A number for people; what is flagged, or no number, has letters of notes below."""
    if score is None:
        return {"text": "–", "value": None, "marks": ""}

    def marked(words: str) -> str:
        return notes.setdefault(words, _letter(len(notes)))

    if score.status != "ok":
        return {
            "text": score.status,
            "value": None,
            "marks": marked(f"{score.metric} {score.status}: {score.reason}"),
        }
    return {
        "text": plus_minus(score.value, score.low, score.high),
        "value": score.value,
        "marks": " ".join(map(marked, score.flags)),
    }


def _letter(place: int) -> str:
    return chr(ord("a") + place % 26) * (place // 26 + 1)


def _glyph(good: list[tuple[Any, Any]], real: Any) -> dict[str, Any] | None:
    """Where the intervals lie on the row's own scale."""
    if not good:
        return None
    ends = [value for _, one in good for value in (one.low, one.high)] + (
        [real.real, real.real_high] if real and real.real_high is not None else []
    )
    low, wide = min(ends), max(ends) - min(ends)

    def at(value: float) -> float:
        return round(6 + (WIDE - 12) * (value - low) / wide, 2) if wide > 0 else WIDE / 2

    bars = [
        {
            "low": at(one.low),
            "high": at(one.high),
            "value": at(one.value),
            "y": TALL * (place + 0.5),
            "colour": run.paint,
        }
        for place, (run, one) in enumerate(good)
    ]
    found: dict[str, Any] = {
        "tall": TALL * len(good),
        "bars": bars,
        "band": None,
        "alt": "The intervals of the row on one scale; the numbers stand beside",
    }
    if real and real.real_high is not None:
        left, right = sorted((at(real.real), at(real.real_high)))
        found |= {"band": (left, round(max(right - left, 1.0), 2)), "real": at(real.real)}
    return found


ROW = Section("numbers", "Numbers", 20, render)
