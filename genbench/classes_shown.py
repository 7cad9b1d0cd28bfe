"""The table of classes in words: for a terminal, several runs side by side, as CSV, and as plain data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from genbench import classes
from genbench.classes import Table
from genbench.say import clean, number, plus_minus, table

SHOWN = {"kd": "kd", "spread_ratio": "spread", "accuracy": "accuracy", "nearest_ratio": "nearest", "fd": "fd"}
NESTED = ("confusion", "tests", "flags", "notes")


def as_rows(found: Table, by: str = "class", worst: int = 0) -> list[dict[str, Any]]:
    """Rows as plain data, the keys of --json and the columns of classes.csv: the worst first, all of them for 0."""
    rows = classes.ordered(found.rows, by)
    return rows[:worst] if worst else rows


def as_csv(found: Table) -> str:
    """A line to a class; flags and notes joined by "; ", tests and the confusion's row as JSON; nothing where there is no number."""
    rows = as_rows(found)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with io.StringIO() as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(key, row.get(key)) for key in columns])
        return text.getvalue()


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in NESTED:
        return "; ".join(map(str, value)) if isinstance(value, list | tuple) else json.dumps(value)
    return repr(value) if isinstance(value, float) else clean(str(value))


def as_text(named: Sequence[tuple[str, Table]], by: str, worst: int) -> str:
    """The table that is printed: one run with its intervals, several side by side in the order of the first; then what is said over classes."""
    first = classes.ordered(named[0][1].rows, by)
    shown = first[:worst] if worst else first
    body = _one(shown) if len(named) == 1 else _several(named, shown)
    return "\n\n".join([body, *(_over(label if len(named) > 1 else "", found, by, worst) for label, found in named)])


def _one(rows: Sequence[Mapping[str, Any]]) -> str:
    headings = ["class", "group", "train", "n", "share", *SHOWN.values(), "real fd", "z", "p", "flags"]
    first = [[_name(row), row["group"] or "", _whole(row["train_count"]), str(row["n"]), _bare(row["share"], 3)] for row in rows]
    return table(headings, [[*start, *_numbers(row)] for start, row in zip(first, rows, strict=True)])


def _numbers(row: Mapping[str, Any]) -> list[str]:
    found = [_with(row, name) + ("*" if name == "fd" and row["fd_bias"] else "") for name in SHOWN]
    return [*found, _bare(row["fd_real"], 3), _bare(row["z"], 2), _bare(row["p"], 2), ", ".join(row["flags"])]


def _several(named: Sequence[tuple[str, Table]], shown: Sequence[Mapping[str, Any]]) -> str:
    """For each run kd, spread, accuracy, z and flags of the same classes."""
    headings = ["class", "train"]
    for at, _ in enumerate(named, 1):
        headings += [f"kd {at}", f"spread {at}", f"acc. {at}", f"z {at}", f"flags {at}"]
    lines = []
    for row in shown:
        line = [_name(row), _whole(row["train_count"])]
        for _, found in named:
            own = found.rows[row["class"]]
            line += [_with(own, "kd"), _bare(own["spread_ratio"], 2), _bare(own["accuracy"], 2), _bare(own["z"], 2), ", ".join(own["flags"])]
        lines.append(line)
    return "\n".join([*(f"{at}  {clean(label)}" for at, (label, _) in enumerate(named, 1)), "", table(headings, lines)])


def _over(label: str, found: Table, by: str, worst: int) -> str:
    over = found.over
    lines = [clean(label)] if label else []
    for name in ("kd", "spread_ratio", "accuracy"):
        of = over["numbers"][name]
        if of["macro"] is not None:
            worst_named = ", ".join(_name(found.rows[place]) for place in of["worst"])
            lines.append(f"{SHOWN[name]}: mean over {of['classes']} classes {of['macro']:.4g}, worst five {of['worst_mean']:.4g} ({worst_named})")
    for name, group in over["groups"].items():
        lines.append(f"{name} ({len(group['classes'])} classes, n {group['n']}): fd {_bare(group['fd'], 4)}, kd {_bare(group['kd'], 4)}")
    if over["gini"] is not None:
        lines.append(f"Gini of shares {over['gini']:.3f}")
    absent = ", ".join(_name(found.rows[c]) for c in over["missing"])
    lines.append(f"missing classes: {absent or 'none shown'}" + (f" ({over['missing_note']})" if over["missing_note"] else ""))
    told = [f"{flag}: {', '.join(_name(found.rows[c]) for c in of)}" for flag, of in over["flagged"].items()]
    lines.append("flags (Holm at 5 % over " + f"{found.tests} tests): " + ("; ".join(told) or "none"))
    if worst and by == "z":
        last = [row["z"] for row in classes.ordered(found.rows, by)[:worst] if row["z"] is not None]
        if last:
            lines.append(f"worst {worst}: {found.by_chance(last[-1]):.2g} classes would stand at z {last[-1]:.2f} or above by chance")
    if any(row["fd_bias"] for row in found.rows):
        lines.append("* mostly small-sample bias: real images score as much at these sizes")
    return "\n".join(lines)


def _name(row: Mapping[str, Any]) -> str:
    return str(row["class"]) if row["name"] == str(row["class"]) else f"{row['class']} {row['name']}"


def _with(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "-"
    return plus_minus(value, low, high) if low is not None and high is not None else number(value, 0.0)


def _bare(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.{digits}f}".rstrip("0").rstrip(".")


def _whole(value: int | None) -> str:
    return "-" if value is None else str(value)
