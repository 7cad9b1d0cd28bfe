"""Uncurated samples: row = class, column = seed, the same for every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.report_section import Section
from genbench.report.run_data import reasons

if TYPE_CHECKING:
    from numpy import ndarray

ROWS, COLUMNS = 12, 10
TEMPLATE = """
<p class="quiet"><b>Uncurated</b>: the first samples of each run, in the order of their seeds, \
none left out. {{ rule }} {{ seeds }}</p>
<div class="figures">
{% for one in grids %}
<figure><p class="title">{{ report.badge(one.run) }}</p>
{% if one.reason %}<p class="reason">Not shown: {{ one.reason }}</p>
{% else %}
<div class="grid"><ul aria-hidden="true">{% for name, count in one.rows %}<li>{{ name }}
{% if count %}<small>{{ count }}</small>{% endif %}</li>{% endfor %}</ul>
{{ report.picture(one.sheet, one.alt) }}</div>
<figcaption>{{ one.caption }}</figcaption>
{% endif %}</figure>
{% endfor %}
</div>
"""


def render(report: Any) -> Any:
    """A grid for each run; one without images says why, and where none has any the section does."""
    grids = [_grid(report, run) for run in report.runs]
    if all(one["reason"] for one in grids):
        return "; ".join(reasons([(one["run"], one["reason"]) for one in grids]))
    same = len({(run.first_seed, run.labels is None) for run in report.runs}) == 1
    seeds = (
        ""
        if len(report.runs) == 1
        else "All runs have the same seeds."
        if same
        else "The runs differ in seeds or conditions: columns do not answer each other."
    )
    return report.html(TEMPLATE, grids=grids, rule=_rule(report.runs), seeds=seeds)


def _rule(runs: Any) -> str:
    classes = max((len(run.classes) for run in runs if run.labels is not None), default=0)
    told = "Row = class, column = seed." if classes else "In reading order of the seeds."
    if any(run.train_counts and len(set(run.train_counts)) > 1 for run in runs):
        told += " Classes from head to tail, beside each its training images."
    return told + (
        f" {ROWS} of {classes} classes, evenly spaced along that order, not chosen by their looks."
        if classes > ROWS
        else ""
    )


def _grid(report: Any, run: Any) -> dict[str, Any]:
    try:
        rows, places = _rows(run)
        images = run.images([place for row in places for place in row])
    except UserError as error:
        return {"run": run, "reason": run.why(error)}
    shaped = images.reshape(len(places), len(places[0]), *images.shape[1:])
    sheet = report.sheet(shaped)
    last = run.first_seed + max(max(row[: sheet.columns]) for row in places)
    alt = f"Uncurated samples of {run.label}, {sheet.rows} rows of {sheet.columns}"
    alt += f"; rows are the classes {', '.join(name for name, _ in rows)}" if rows else ""
    caption = (
        f"seeds {run.first_seed} to {last}; {_options(run)}{images.shape[3]} x {images.shape[2]} "
        "pixels, not smoothed"
    )
    return {
        "run": run,
        "reason": "",
        "rows": rows,
        "sheet": sheet,
        "alt": alt,
        "caption": caption + (f"; {sheet.note}" if sheet.note else ""),
    }


def _options(run: Any) -> str:
    chosen = run.record.plan["identity"].get("options") or {}
    return "".join(f"{name} = {value}; " for name, value in chosen.items() if value is not None)


def _rows(run: Any) -> tuple[list[tuple[str, str]], list[list[int]]]:
    """(class, training images) of each row, [] without classes,
    and the places of its samples in the run.
    """
    if run.labels is None:
        columns = min(COLUMNS, run.n)
        return [], [
            list(range(at, at + columns))
            for at in range(0, min(run.n, COLUMNS**2) - columns + 1, columns)
        ]
    order = _order(run)
    members: list[ndarray[Any, Any]] = [np.flatnonzero(run.labels == c)[:COLUMNS] for c in order]
    columns = max(1, min((len(one) for one in members if len(one)), default=1))
    held = [(c, one) for c, one in zip(order, members, strict=True) if len(one) >= columns]
    counts = run.train_counts if len(set(run.train_counts)) > 1 else ()
    rows = [(run.classes[c], f"{counts[c]} in training" if counts else "") for c, _ in held]
    return rows, [one[:columns].tolist() for _, one in held]


def _order(run: Any) -> list[int]:
    """The classes that are shown, from head to tail where training counts differ."""
    order = sorted(
        range(len(run.classes)),
        key=lambda c: (
            (-run.train_counts[c], c) if len(run.train_counts) == len(run.classes) else (0, c)
        ),
    )
    if len(order) <= ROWS:
        return order
    return [order[round(at)] for at in np.linspace(0, len(order) - 1, ROWS)]


ROW = Section("samples", "Samples", 40, render, pictures=True)
