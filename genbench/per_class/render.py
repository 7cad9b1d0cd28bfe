"""The table of classes in words: for a terminal, several runs side by side, as CSV,
and as plain data.
"""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from genbench._util.formatting import cell_of_csv, clean, number, plus_minus, table
from genbench.per_class import aggregates, group_metrics
from genbench.per_class import table as classes
from genbench.per_class.plots import shortened
from genbench.per_class.table import Table

SHOWN = {"kd": "kd", "spread_ratio": "spread", "accuracy": "accuracy"}
WIDTH = 80
NAMED = 20  # classes that are listed after a flag
NESTED = ("confusion", "tests", "flags", "notes")


def as_rows(found: Table, by: str = "class", worst: int = 0) -> list[dict[str, Any]]:
    """Rows as plain data, the keys of --json and the columns of classes.csv:
    the worst first, all of them for 0.
    """
    rows = classes.ordered(found.rows, by)
    return rows[:worst] if worst else rows


def as_csv(found: Table) -> str:
    """A line to a class; flags and notes joined by "; ", tests and the confusion's row as JSON;
    nothing where there is no number.
    """
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
    return cell_of_csv(value) if isinstance(value, str) else repr(value)


def as_text(named: Sequence[tuple[str, Table]], by: str, worst: int) -> str:
    """The table that is printed: one run with its intervals,
    several side by side in the order of the first; then what is said over classes.

    named: each run's words, which stand above what is said of it, and its table; all of the
    same classes.
    """
    shown = as_rows(named[0][1], by, worst)
    body = _one(shown) if len(named) == 1 else _several([found for _, found in named], shown)
    headings = [
        clean(words) if len(named) == 1 else f"{at}  {clean(words)}"
        for at, (words, _) in enumerate(named, 1)
    ]
    return "\n\n".join(
        [
            body,
            *(
                "\n".join([heading, *_over(found, by, worst)])
                for heading, (_, found) in zip(headings, named, strict=True)
            ),
        ]
    )


def _one(rows: Sequence[Mapping[str, Any]]) -> str:
    """What fits a terminal of 80 columns; many flags go on below.

    The rest is in --json and classes.csv.

    Where nothing was asked for by label, shares say what accuracies would.
    """
    told = "accuracy" if any(row["accuracy"] is not None for row in rows) else "share"
    headings = ["class", "train", "n", "kd", "spread", told, "z"]
    lines = table(
        headings,
        [
            [name_of(row), _whole(row["train_count"]), str(row["n"]), *_numbers(row, told)]
            for row in rows
        ],
    ).splitlines()
    below = max(map(len, lines)) + 2
    flags = ["flags", *(", ".join(row["flags"]) for row in rows)]
    told_all = [line.ljust(below) + flag for line, flag in zip(lines, flags, strict=True)]
    return "\n".join(
        textwrap.fill(
            line, max(WIDTH, below + 20), subsequent_indent=" " * below, break_on_hyphens=False
        )
        for line in told_all
    )


def _numbers(row: Mapping[str, Any], told: str) -> list[str]:
    return [_with(row, "kd"), _with(row, "spread_ratio"), _bare(row[told], 3), _bare(row["z"], 1)]


def _several(tables: Sequence[Table], shown: Sequence[Mapping[str, Any]]) -> str:
    """For each run kd, spread, accuracy, z and flags of the same classes."""
    headings = ["class", "train"]
    for at, _ in enumerate(tables, 1):
        headings += [f"kd {at}", f"spread {at}", f"acc. {at}", f"z {at}", f"flags {at}"]
    lines = []
    for row in shown:
        line = [name_of(row), _whole(row["train_count"])]
        for found in tables:
            own = found.rows[row["class"]]
            line += [
                _with(own, "kd"),
                _bare(own["spread_ratio"], 2),
                _bare(own["accuracy"], 2),
                _bare(own["z"], 2),
                ", ".join(own["flags"]),
            ]
        lines.append(line)
    return table(headings, lines)


def _over(found: Table, by: str, worst: int) -> list[str]:
    """What is said over classes, in lines."""
    over, lines = found.over, []
    for name, word in SHOWN.items():
        of = over["numbers"][name]
        if of["macro"] is not None:
            mean = (
                f"{word}: mean over {_of_classes(of['classes'])} "
                f"{_bounded(of, 'macro', ends='')}{_beside(of['real'])}"
            )
            if of["classes"] > aggregates.WORST:
                mean += f", worst five {of['worst_mean']:.4g} ({_named(found, of['worst'])})"
            lines += textwrap.wrap(mean, WIDTH, subsequent_indent="  ")
    lines += [
        textwrap.fill(line, WIDTH, subsequent_indent="  ")
        for line in (*_distances(found), *(_group(*of) for of in over["groups"].items()))
    ]
    for name, group in over.get("attributes", {}).items():
        share = (
            f"share {group['share']:.3g} ({group['share_low']:.3g} to {group['share_high']:.3g})"
        )
        if "share_real" in group:
            share += (
                f", real {group['share_real']:.3g} ({group['share_real_low']:.3g} to "
                f"{group['share_real_high']:.3g}), {_numbers_of(group)}"
            )
        lines += textwrap.wrap(
            f"{clean(name)} (n {group['n']}): {share}", WIDTH, subsequent_indent="  "
        )
    if over["gini"] is not None:
        lines.append(f"Gini of shares {over['gini']:.3f}")
    lines += _taught(over["cas"]) if "cas" in over else []
    if found.over.get("dropped"):
        lines += textwrap.wrap(
            f"left out of the training (--tail drop): {_named(found, over['dropped'])}",
            WIDTH,
            subsequent_indent="  ",
        )
    lines.append(
        f"missing classes: {_named(found, over['missing']) or 'none shown'}"
        + (f" ({over['missing_note']})" if over["missing_note"] else "")
    )
    told = [f"{flag}: {_named(found, of)}" for flag, of in over["flagged"].items()]
    lines.append(
        "flags (Holm at 5 % over " + f"{found.tests} tests): " + ("; ".join(told) or "none")
    )
    if worst and by == "z":
        last = [row["z"] for row in classes.ordered(found.rows, by)[:worst] if row["z"] is not None]
        if last:
            lines.append(
                f"worst {min(worst, len(found.rows))}: {found.by_chance(last[-1]):.2g} classes "
                f"would stand at z {last[-1]:.2f} or above by chance"
            )
    return lines


def _distances(found: Table) -> list[str]:
    """What kd and fd by class need beside them: kd's scale,
    what the shares of fd add up to and who has most, and how much of fd is bias of small samples.
    """
    lines = []
    relative = aggregates.across(found.rows, "kd_relative", "lower")
    if relative["worst"]:
        worst = found.rows[relative["worst"][0]]
        lines.append(
            f"kd over the class's own real kernel mean: mean {relative['macro']:.3g}, "
            f"worst {worst['kd_relative']:.3g} ({name_of(worst)})"
        )
    total = found.over["fd_total"]
    shares = sorted(
        (row for row in found.rows if row["fd_share"] is not None), key=lambda row: -row["fd_share"]
    )[:2]
    if total is not None and shares:
        most = " and ".join(f"{row['fd_share']:.1%} ({name_of(row)})" for row in shares)
        lines.append(f"fd_share: adds up to fd {total:.4g}; the worst two: {most}")
    biased = [row["fd_bias"] for row in found.rows if row["fd_bias"] is not None]
    if any(biased):
        lines.append(
            "fd by class: mostly small-sample bias, more of n than of the class, "
            f"in {sum(biased)} of {len(biased)}"
        )
    return lines


def _group(name: str, group: Mapping[str, Any]) -> str:
    """A group's samples together; fd only of samples enough for it, and no number of very few."""
    return (
        f"{clean(name)} ({_of_classes(len(group['classes']))}, n {group['n']}, m {group['m']}): "
        f"{_numbers_of(group)}"
    )


def _numbers_of(group: Mapping[str, Any]) -> str:
    if min(group["n"], group["m"]) < group_metrics.FEWEST:
        return "too few samples"
    told = {
        name: (
            f"{name} "
            f"{_bounded(group, name)}{_beside(group.get(f'{name}_real'), _fewer(group, name))}"
        )
        for name in ("fd", "kd")
    }
    if group["small_sample"]:
        told["fd"] = f"fd left out (small sample: n or m below 2 x {group['d']})"
    return ", ".join(told.values())


def _bounded(of: Mapping[str, Any], name: str, ends: str | None = None) -> str:
    """A number with half its interval; the number alone where it has none."""
    low, high = (
        of.get(f"{name if ends is None else ends}_{end}".lstrip("_")) for end in ("low", "high")
    )
    return _bare(of[name], 4) if low is None or high is None else plus_minus(of[name], low, high)


def _beside(real: float | None, of: str = "") -> str:
    return "" if real is None else f" (real {number(real, abs(real) / 10)}{of})"


def _fewer(group: Mapping[str, Any], name: str) -> str:
    """How many real images stood for both sides, where they were fewer:
    a Fréchet distance of fewer images is larger.
    """
    n, m = group.get(f"{name}_real_n"), group.get(f"{name}_real_m")
    return (
        ""
        if n is None or name == "kd" or (n, m) == (group["n"], group["m"])
        else f" of {n} and {m}"
    )


def _taught(cas: Mapping[str, Any]) -> list[str]:
    """What the same network learns of each training set, the samples first."""
    lines = [
        (
            f"classification accuracy score ({cas['network']}, {cas['steps']} steps, "
            f"{cas['seeds']} seeds, {cas['test']} real images of {cas['split']}):"
        )
    ]
    for name, one in cas["sets"].items():
        by_group = "".join(f", {group} {share:.3f}" for group, share in one["by_group"].items())
        lines.append(
            f"  trained on {name} ({one['n']}): "
            f"{plus_minus(one['accuracy'], one['low'], one['high'])}{by_group}; "
            f"{one['seconds']:.0f} s"
        )
    return lines


def _named(found: Table, of: Sequence[int]) -> str:
    """Some classes; of many the first NAMED and how many there are."""
    names = [name_of(found.rows[c]) for c in of]
    return ", ".join(
        names if len(names) <= NAMED else [*names[:NAMED], f"... ({len(names)} in all)"]
    )


def _of_classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def name_of(row: Mapping[str, Any]) -> str:
    """A class by its number, and its name where that is another, shortened:
    classes.csv has it whole.
    """
    return (
        str(row["class"])
        if row["name"] == str(row["class"])
        else f"{row['class']} {shortened(row['name'])}"
    )


def _with(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "-"
    return (
        plus_minus(value, low, high) if low is not None and high is not None else number(value, 0.0)
    )


def _bare(value: float | None, digits: int) -> str:
    return (
        "-"
        if value is None
        else f"{value:.{digits}g}"
        if abs(value) < 1e-3 or abs(value) >= 1e4
        else f"{value:.{digits}f}".rstrip("0").rstrip(".")
    )


def _whole(value: int | None) -> str:
    return "-" if value is None else str(value)
