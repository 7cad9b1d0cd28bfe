"""The verdict in a line for each run, and the protocol that it was reached by."""

from __future__ import annotations

from typing import Any

from genbench.api.report_section import Section
from genbench.leaderboards.versus_real import against_real

TEMPLATE = """
{% for run in runs %}
{% for name, score, verdict in lines[run.place] %}
<p class="verdict">{{ report.badge(run) ~ ': ' if runs|length > 1 else '' }}{{ score.metric }} \
<strong>{{ score|interval }}</strong>
<span>{{ 'against %.3g for real images'|format(score.real) if score.real is not none else '' }}\
</span>
<span class="chip {{ verdict.kind }}">{{ verdict.chip }}</span></p>
<p class="quiet">{{ 'Why: ' ~ verdict.words ~ '. ' if runs|length == 1 else '' }}\
{{ counted[run.place, name] }}</p>
{% else %}
<p class="verdict">{{ run.name }}: no number came out</p>
{% endfor %}
{% endfor %}
{% for name, card in cards.items() %}
<h3>Protocol {{ name }}</h3>
<dl class="card">
{% for word, said in card.items() if said %}
<dt>{{ word }}</dt><dd>{{ said }}</dd>
{% endfor %}
</dl>
{% endfor %}
"""
LABELS = {
    "balanced": "every class equally often",
    "iid": "drawn",
    "training": "as often as in training",
}


def render(report: Any) -> Any:
    """A line for each run and protocol, by the protocol's first number;
    what was measured, once for each protocol.
    """
    lines, counted = {}, {}
    cards: dict[str, Any] = {}
    for run in report.runs:
        lines[run.place] = [
            (name, *found) for name, entry in run.entries.items() if (found := _first(entry))
        ]
        for name, entry in run.entries.items():
            counted[run.place, name] = _counted(entry)
            cards.setdefault(name, _card(report.runs, name, entry.protocol))
    return report.html(TEMPLATE, lines=lines, counted=counted, cards=cards)


def _measures(entry: Any) -> dict[str, Any]:
    return {one["name"]: one for one in entry.protocol["measures"]}


def _first(entry: Any) -> tuple[Any, Any] | None:
    for name, measure in _measures(entry).items():
        if score := entry.score(name):
            return score, against_real(score, measure)
    return None


def _counted(entry: Any) -> str:
    """How many of the numbers differ from what real images score."""
    found = [
        against_real(score, one)
        for name, one in _measures(entry).items()
        if (score := entry.score(name))
    ]
    told = [one for one in found if one.kind != "none"]
    if not told:
        return "No number here has a line of real images to be held against."
    worse, beyond = (sum(one.kind == kind for one in told) for kind in ("worse", "beyond"))
    more = f", {beyond} on the better side of them" if beyond else ""
    below = f"{worse or 'none'} on the worse side of real images by more than chance"
    return (
        f"Of {len(told)} numbers that real images are scored by too, {below}{more}; "
        "not corrected for their number."
    )


def _card(runs: Any, name: str, under: Any) -> dict[str, str]:
    """What decides the numbers of a protocol, in words; where runs differ, all of them."""
    own = [run for run in runs if name in run.record.plan["protocols"]]

    def each(said: Any) -> str:
        return "; ".join(dict.fromkeys(text for run in own if (text := said(run))))

    def seeds(run: Any) -> str:
        return f"{run.first_seed} to {run.first_seed + run.n - 1}"

    references = sorted(
        {
            one["reference"]
            for one in under["measures"]
            if one.get("reference") and not one.get("skip")
        }
    )
    return {
        "Data set": str(under["dataset"]),
        "Samples": each(lambda run: str(run.n)) + f" (the protocol asks for {under['n']})",
        "Seeds": each(seeds),
        "Labels": each(lambda run: _labels(run.record.plan["identity"]["conditions"])),
        "Held against": ", ".join(
            f"{split} (SHA-256 {str(under['splits'].get(split, ''))[:12]}…)" for split in references
        ),
        "Real against real": ", ".join(under["real"]) + ", pooled and split again"
        if under["real"]
        else "",
        "Features": ", ".join(
            f"{one} (weights {str(said.get('weights'))[:12]}…)"
            for one, said in under["extractors"].items()
        ),
        "Rounding to 8 bits": each(lambda run: str(run.record.plan["quantise"])),
        "Repeats": f"{under['repeats']}, of which the {under['reducer']} is reported"
        if under.get("repeats", 1) != 1
        else "",
        "Ruler only": each(lambda run: run.name if not run.entries[name].protocol["fits"] else ""),
    }


def _labels(conditions: Any) -> str:
    said = (
        [f"{conditions['labels']}: {LABELS.get(conditions['labels'], '')}"]
        if "labels" in conditions
        else []
    )
    said += ["prompts"] if "prompts" in conditions else []
    return ", ".join(said) or "none: unconditional"


ROW = Section("card", "Verdict", 10, render)
