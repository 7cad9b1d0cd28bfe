"""The long tail: every class with its interval, beside real images and its training images,
and which are flagged by tests.
"""

from __future__ import annotations

from typing import Any

from genbench._util.checksummed_files import Damaged, read_json
from genbench._util.errors import UserError
from genbench._util.formatting import plus_minus
from genbench._util.lazy_imports import np
from genbench.api.report_section import Section
from genbench.per_class import compute_from_run
from genbench.report.run_data import reasons
from genbench.report.svg_plots import FAINT, INK, marker

# of a run whose table is made here, where `genbench classes` has made none
LARGEST_N, LARGEST_C = 20_000, 100
LISTED, NAMED = 60, 24  # rows of a table in the page, and classes that get a name below a plot
PANELS = {
    "kd": "kernel distance ↓",
    "spread_ratio": "spread, generated / real",
    "accuracy": "label accuracy ↑",
    "share": "share of the samples",
    "nearest_ratio": "nearest training image, generated / real",
}
TEMPLATE = """
<p class="quiet">Classes from head to tail. Grey bars: training images (right axis). Points: \
the class with its 95 % interval; crossed points are flagged.
Black lines: real images against real ones, the median.
Flags come from exact tests of all classes as one family, by Holm at 5 %: \
of runs of real images 5 % have any flag.</p>
{% if runs|length > 1 %}<p>{% for run in same %}{{ report.badge(run) }}\
{{ '' if loop.last else ',' }} {% endfor %}</p>{% endif %}
<div class="figures plots">{% for one in plots %}<figure><p class="title">{{ one.title }}</p>\
{{ one.svg }}</figure>{% endfor %}</div>
{% for one in found %}
<details{% if loop.first %} open{% endif %}><summary>{{ report.badge(one.run) }}: {{ one.words }}\
</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Classes of {{ one.run.name }}">\
<table class="sortable">
<thead><tr><th scope="col">Class</th><th scope="col">Training images</th><th scope="col">n</th>\
<th scope="col">kd ↓</th><th scope="col">real</th>
<th scope="col">Spread</th><th scope="col">{{ one.told }}</th><th scope="col">z</th>\
<th scope="col" class="words">Flags</th></tr></thead><tbody>
{% for row in one.rows %}
<tr><th scope="row" data-value="{{ row.place }}">{{ row.name }}</th><td>{{ row.train }}</td><td>\
{{ row.n }}</td>
{% for value, text in row.cells %}<td data-value="{{ value if value is not none else '' }}">\
{{ text }}</td>{% endfor %}
<td class="words">{{ row.flags }}</td></tr>
{% endfor %}</tbody></table></div>
{% if one.left_out %}<p class="quiet">{{ one.left_out }}</p>{% endif %}
{% if one.groups %}<div class="scroll" tabindex="0" role="region" \
aria-label="Groups of {{ one.run.name }}"><table>
<thead><tr><th scope="col">Group</th><th scope="col">Classes</th><th scope="col">n</th>\
<th scope="col">fd ↓</th><th scope="col">real</th><th scope="col">kd
↓</th><th scope="col">real</th></tr></thead>
<tbody>{% for row in one.groups %}<tr><th scope="row">{{ row[0] }}</th>{% for text in row[1:] %}\
<td>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody>
</table></div>{% endif %}
</details>
{% endfor %}
{% for line in lacks %}<p class="reason">Not shown: {{ line }}</p>{% endfor %}
"""


def render(report: Any) -> Any:
    """The plots of all runs together where they have the same classes, and a table for each."""
    tables, lacks = {}, []
    for run in report.runs:
        try:
            tables[run] = _table(run)
        except UserError as error:
            lacks.append((run, run.why(error)))
    if not tables:
        return "; ".join(reasons(lacks))
    first = next(iter(tables.values()))["classes"]
    same = {
        run: one["classes"]
        for run, one in tables.items()
        if [row["name"] for row in one["classes"]] == [row["name"] for row in first]
    }
    plots = [
        _panel(report, same, name)
        for name in PANELS
        if any(row.get(name) is not None for rows in same.values() for row in rows)
        and _wanted(name, same)
    ]
    found = [_shown(run, one) for run, one in tables.items()]
    return report.html(TEMPLATE, same=same, plots=plots, found=found, lacks=reasons(lacks))


def _wanted(name: str, same: dict[Any, Any]) -> bool:
    """Shares are shown where nothing was asked for by label, accuracies where something was."""
    asked = any(row.get("accuracy") is not None for rows in same.values() for row in rows)
    return {"share": not asked, "accuracy": asked}.get(name, True)


def _table(run: Any) -> dict[str, Any]:
    """What `genbench classes` left in the run's folder, or the same made now where that is cheap:
    {"classes": rows, "over": .., "tests": ..}.
    """
    try:
        found = read_json(run.folder / "classes.json")
        if found["over"]["n"] == run.n:
            return found
    except (FileNotFoundError, Damaged, KeyError, TypeError):
        pass
    if len(run.classes) < 2:
        raise UserError(f"the data set {run.dataset.name} has one class")
    if run.n > LARGEST_N or len(run.classes) > LARGEST_C:
        raise UserError(
            f"no table of its {len(run.classes)} classes has been made: genbench classes "
            f"{run.record.id[:8]}, then the report again"
        )
    run.has_shards()
    made = compute_from_run.table_of(run.record)
    return {"classes": list(made.rows), "over": dict(made.over), "tests": made.tests}


def _ordered(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: (-(row["train_count"] or 0), row["class"]))


def _shown(run: Any, one: Any) -> dict[str, Any]:
    rows, over = _ordered(one["classes"]), one["over"]
    asked = any(row["accuracy"] is not None for row in rows)
    flagged = [place for place, row in enumerate(rows) if row["flags"]]
    kept = (
        sorted({*flagged[:LISTED], *(round(at) for at in np.linspace(0, len(rows) - 1, LISTED))})
        if len(rows) > LISTED
        else range(len(rows))
    )
    named = len(flagged) or "none"
    return {
        "run": run,
        "rows": [_row(rows[place], place, asked) for place in kept],
        "told": "Accuracy" if asked else "Share",
        "words": (
            f"{named} of {len(rows)} classes flagged in {one['tests']} tests; "
            f"features {over['features']} against {over['reference']}"
        ),
        "left_out": (
            f"{len(kept)} of {len(rows)} classes are listed: flagged ones, and others evenly from "
            "head to tail; classes.csv has all."
        )
        if len(kept) < len(rows)
        else "",
        "groups": [_group(name, of) for name, of in over["groups"].items()]
        if len(over.get("groups", {})) > 1
        else [],
    }


def _row(row: Any, place: int, asked: bool) -> dict[str, Any]:
    told = "accuracy" if asked else "share"
    cells = [
        (row["kd"], _bounded(row, "kd")),
        (row["kd_real"], _bare(row["kd_real"])),
        (row["spread_ratio"], _bounded(row, "spread_ratio")),
    ]
    cells += [(row[told], _bare(row[told])), (row["z"], _bare(row["z"]))]
    train = row["train_count"] if row["train_count"] is not None else "–"
    name = (
        str(row["class"]) if row["name"] == str(row["class"]) else f"{row['class']} {row['name']}"
    )
    return {
        "place": place,
        "name": name,
        "train": train,
        "n": row["n"],
        "cells": cells,
        "flags": ", ".join(row["flags"]),
    }


def _bounded(row: Any, name: str) -> str:
    value, low, high = (row.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    return "–" if value is None or low is None or high is None else plus_minus(value, low, high)


def _bare(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _group(name: str, of: Any) -> list[str]:
    bounds = [
        _bounded(of, "fd"),
        _bare(of.get("fd_real")),
        _bounded(of, "kd"),
        _bare(of.get("kd_real")),
    ]
    return [name, str(len(of["classes"])), str(of["n"]), *bounds]


def _panel(report: Any, runs: dict[Any, Any], name: str) -> dict[str, Any]:
    """One number of every class, runs beside each other within a class."""
    order = {run: _ordered(rows) for run, rows in runs.items()}
    first = next(iter(order.values()))
    counts = [row["train_count"] or 0 for row in first]
    wide = min(4.6 + max(0, len(first) - 12) * 0.16, 9.5)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        behind = axes.twinx()
        behind.grid(visible=False)
        behind.bar(range(len(first)), counts, color=FAINT, width=0.9)
        behind.set_ylim(0, max(*counts, 1) * 1.6)
        behind.tick_params(labelsize=8)
        axes.set_zorder(behind.get_zorder() + 1)
        axes.grid(visible=False, axis="x")
        axes.grid(color=FAINT, axis="y")
        for at, (run, rows) in enumerate(order.items()):
            _points(axes, run, rows, name, (at + 1) / (len(order) + 1) - 0.5)
        for place, row in enumerate(first):
            if row.get(f"{name}_real") is not None:
                axes.hlines(
                    row[f"{name}_real"], place - 0.42, place + 0.42, color=INK, linewidth=1.3
                )
        names = [_short(row["name"]) for row in first] if len(first) <= NAMED else []
        turned = 90 if sum(map(len, names)) > 10 * wide else 0
        axes.set_xticks(range(len(names)), names, rotation=turned)
        axes.margins(x=0.02)

    told = "; ".join(
        f"{run.name}: " + ", ".join(f"{row['name']} {_bare(row[name])}" for row in rows[:NAMED])
        for run, rows in order.items()
    )
    return {
        "title": PANELS[name],
        "svg": report.plot(
            draw, f"{PANELS[name]} of each class from head to tail. {told}", (wide, 2.7)
        ),
    }


def _points(axes: Any, run: Any, rows: Any, name: str, shift: float) -> None:
    """A run's classes; those that are flagged are crossed."""
    there = [(place + shift, row) for place, row in enumerate(rows) if row[name] is not None]
    bars = [
        [
            max(0.0, row[name] - _end(row, name, "low")),
            max(0.0, _end(row, name, "high") - row[name]),
        ]
        for _, row in there
    ]
    style = {
        "color": run.colour,
        "linestyle": "none",
        "marker": marker(run.place),
        "markersize": 4,
        "elinewidth": 1.1,
    }
    axes.errorbar(
        [at for at, _ in there],
        [row[name] for _, row in there],
        yerr=np.array(bars).T if bars else None,
        **style,
    )
    crossed = [(at, row[name]) for at, row in there if row["flags"]]
    axes.plot(
        [at for at, _ in crossed],
        [value for _, value in crossed],
        linestyle="none",
        marker="x",
        markersize=8,
        color=INK,
        markeredgewidth=1,
    )


def _end(row: Any, name: str, end: str) -> float:
    return float(row[name] if row.get(f"{name}_{end}") is None else row[f"{name}_{end}"])


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


ROW = Section("classes", "Long tail", 50, render)
