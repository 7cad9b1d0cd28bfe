"""What a sample costs on the machine that drew it."""

from __future__ import annotations

from typing import Any

from genbench.api.report_section import Section

TEMPLATE = """
<p class="quiet">Measured once, on the machine of the run, while it ran; \
nothing is ranked by it.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Cost"><table>
<thead><tr><th scope="col">Cost</th>{% for run in runs %}<th scope="col">{{ report.badge(run) }}\
</th>{% endfor %}</tr></thead><tbody>
{% for title, cells in rows %}<tr><th scope="row">{{ title }}</th>{% for text in cells %}<td>\
{{ text }}</td>{% endfor %}</tr>
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


ROWS = {
    "images_per_second": ("Images per second, sampling alone", _plain),
    "images_per_second_whole": ("Images per second, with features and files", _plain),
    "latency_p50_seconds": ("One image alone, median", _seconds),
    "latency_p95_seconds": ("One image alone, 95 %", _seconds),
    "evaluations_per_image": ("Network evaluations per image", _plain),
    "parameters": ("Parameters", _plain),
    "checkpoint_bytes": ("Checkpoint", _bytes),
    "peak_memory_bytes": ("Peak memory", _bytes),
    "peak_gpu_memory_bytes": ("Peak memory of the GPU", _bytes),
}


def render(report: Any) -> Any:
    """A column for each run; rows of which a run has a number."""
    held = {
        key: row
        for key, row in ROWS.items()
        if any(_number(run, key) is not None for run in report.runs)
    }
    if not held:
        return "no run measured what it cost"
    rows = [
        (title, [_text(run, key, said) for run in report.runs])
        for key, (title, said) in held.items()
    ]
    return report.html(TEMPLATE, rows=[*rows, ("Where", [_where(run) for run in report.runs])])


def _number(run: Any, key: str) -> float | None:
    value = run.record.cost.get(key)
    return float(value) if isinstance(value, int | float) else None


def _text(run: Any, key: str, said: Any) -> str:
    value = _number(run, key)
    return "–" if value is None else str(said(value))


def _where(run: Any) -> str:
    return ", ".join(
        str(one)
        for one in (
            run.record.cost.get("device"),
            run.record.environment.get("device"),
            run.record.cost.get("dtype"),
        )
        if one
    )


ROW = Section("cost", "Cost", 90, render)
