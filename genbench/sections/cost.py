"""What a sample costs on the machine that drew it."""

from __future__ import annotations

from typing import Any

from genbench.section import Section

TEMPLATE = """
<p class="quiet">Measured once, on the machine of the run, while it ran; nothing is ranked by it.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Cost"><table class="sortable">
<thead><tr><th scope="col">Run</th>{% for heading in headings %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead><tbody>
{% for run, cells in rows %}<tr><th scope="row" data-value="{{ run.place }}">{% if runs|length > 1 %}<span class="swatch" style="background: {{ run.colour }}"></span>{% endif %}{{ run.name }}</th>
{% for value, text in cells %}<td data-value="{{ value if value is not none else '' }}">{{ text }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
"""


def _plain(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


COLUMNS = {
    "images_per_second": ("Images/s, sampling", _plain),
    "images_per_second_whole": ("Images/s, with features", _plain),
    "latency_p50_seconds": ("One image, median", _seconds),
    "latency_p95_seconds": ("95 %", _seconds),
    "evaluations_per_image": ("Evaluations/image", _plain),
    "parameters": ("Parameters", _plain),
    "checkpoint_bytes": ("Checkpoint", _bytes),
    "peak_memory_bytes": ("Peak memory", _bytes),
    "peak_gpu_memory_bytes": ("Peak GPU memory", _bytes),
}


def render(report: Any) -> Any:
    """A row for each run; columns of which a run has a number."""
    held = {key: column for key, column in COLUMNS.items() if any(_number(run, key) is not None for run in report.runs)}
    if not held:
        return "no run measured what it cost"
    rows = [(run, [_cell(run, key, said) for key, (_, said) in held.items()] + [(None, _where(run))]) for run in report.runs]
    return report.html(TEMPLATE, headings=[*(title for title, _ in held.values()), "Where"], rows=rows)


def _number(run: Any, key: str) -> float | None:
    value = run.record.cost.get(key)
    return float(value) if isinstance(value, int | float) else None


def _cell(run: Any, key: str, said: Any) -> tuple[float | None, str]:
    value = _number(run, key)
    return value, "–" if value is None else said(value)


def _where(run: Any) -> str:
    return ", ".join(str(one) for one in (run.record.cost.get("device"), run.record.environment.get("device"), run.record.cost.get("dtype")) if one)


ROW = Section("cost", "Cost", 90, render)
