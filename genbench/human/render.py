"""The results of a study as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genbench._util.formatting import clean, plus_minus, table

HEADINGS = {
    "error_fakes": "fakes taken for real",
    "error_reals": "reals taken for fake",
    "error": "error",
    "dprime": "d'",
    "criterion": "criterion c",
    "fooled": "fake taken for the real one",
    "preference": "mean P(preferred)",
}
SHOWN = 15  # differences: the pairs of six


def as_text(path: str, found: Mapping[str, Any]) -> str:
    """A table of the raters that count, one of all where they differ,
    and the differences that are shown.
    """
    raters = found["raters"]
    excluded = [f"{why} {count}" for why, count in raters["excluded"].items()]
    left = raters["joined"] - raters["counted"]
    planned = f" (planned {raters['planned']})" if raters.get("planned") else ""
    parts = [
        f"{clean(path)} · {found['kind']} · design {found['digest'][:12]}\n"
        f"raters: {raters['joined']} joined{planned}, {raters['counted']} counted, {left} excluded"
        + (f": {', '.join(excluded)}" if excluded else "")
        + (f"; {raters['withdrawn']} withdrew" if raters["withdrawn"] else "")
    ]
    if found["repeats_agree"] is not None:
        parts[0] += f"\nexact repeats answered as before: {found['repeats_agree']:.0%}"
    parts += (
        _block("as registered", found["registered"])
        if found["registered"]["numbers"]
        else ["as registered: no rater counts yet"]
    )
    if left and found.get("all", {}).get("numbers"):
        parts += _block("without exclusions", found["all"])
    return "\n\n".join(parts)


def _block(title: str, numbers: Mapping[str, Any]) -> list[str]:
    rows = numbers["numbers"]
    names = list(dict.fromkeys(row["number"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    by = {(row["model"], row["number"]): row for row in rows}
    models.sort(
        key=lambda model: -by[model, names[0]]["value"] if (model, names[0]) in by else math.inf
    )
    ranks = numbers["ranks"]
    headings = [
        title,
        *map(_heading, names),
        *(f"rank by {_heading(name)}" if len(ranks) > 1 else "rank" for name in ranks),
        "raters",
        "answers",
    ]
    cells = []
    for model in models:
        own = [by.get((model, name)) for name in names]
        there = [row for row in own if row]
        places = [
            rank_text(tuple(by_model[model])) if model in by_model else "–"
            for by_model in ranks.values()
        ]
        cells.append(
            [
                model,
                *(_cell(row) for row in own),
                *places,
                str(there[0]["raters"]),
                str(max(row["answers"] for row in there)),
            ]
        )
    found = [table(headings, cells)]
    notes = [*numbers["notes"], *sorted({f"* {flag}" for row in rows for flag in row["flags"]})]
    found += ["\n".join(map(clean, notes))] if notes else []
    return found + _compared(numbers["differences"])


def _compared(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    found = []
    for name in dict.fromkeys(row["number"] for row in rows):
        ordered = sorted(
            (row for row in rows if row["number"] == name), key=lambda row: row["p_holm"]
        )
        cells = [
            [
                f"{row['model']} : {row['than']}",
                _cell(row),
                "yes" if row["p_holm"] <= 0.05 else "no",
            ]
            for row in ordered
        ]
        heading = (
            "P(left is preferred)" if name == "preferred" else f"difference of {_heading(name)}"
        )
        if len(ordered) <= SHOWN:  # of more the ranks are easier to read, and --json has all
            found.append(table(["pair", heading, "shown (Holm)"], cells))
    return found


def rank_text(pair: tuple[int, ...]) -> str:
    return "-".join(map(str, dict.fromkeys(pair)))


def _heading(name: str) -> str:
    return HEADINGS.get(name, name.replace("rating_", "rating: "))


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or not math.isfinite(row["value"]):
        return "–"
    if not (math.isfinite(row["low"]) and math.isfinite(row["high"])):
        return f"{row['value']:.3g} (no interval)"
    return plus_minus(row["value"], row["low"], row["high"]) + ("*" if row.get("flags") else "")
