"""A finished run's numbers in the forms that others read:
Hugging Face's .eval_results, a model card, github-action-benchmark, Bencher, CSV, LaTeX.

Most of them have no place for an interval or n, and a number without them is none: they stand
in the notes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.errors import UserError
from genbench._util.formatting import cell_of_csv, clean, plus_minus
from genbench._util.lazy_imports import pd
from genbench.leaderboards.entries import Entry, entry_of, number
from genbench.leaderboards.tables import ARROW, escaped, markdown
from genbench.runs.records.record import Record, Score

# github-action-benchmark's tools, each of which wants a file of its own
BETTER = {"lower": "customSmallerIsBetter", "higher": "customBiggerIsBetter"}
LONGEST = {"benchmark": 1024, "measure": 64}  # letters of a name that Bencher takes
# that LaTeX's fonts lack
SIGNS = {"±": r"$\pm$", "−": "$-$", "–": "--", "↓": r"$\downarrow$", "↑": r"$\uparrow$"}


@dataclass(frozen=True)
class Named:
    """What others call the data set, and where the whole record can be read;
    "" for the record's own name, and nowhere.
    """

    dataset: str = ""
    url: str = ""


@dataclass(frozen=True)
class Result:
    """One number of a run under one protocol."""

    entry: Entry
    protocol: str
    score: Score

    @property
    def dataset(self) -> str:
        return clean(str(self.entry.protocol["dataset"]))

    @property
    def label(self) -> str:
        return clean(self.entry.label)

    @property
    def half(self) -> float:
        return (number(self.score.high) - number(self.score.low)) / 2

    def notes(self) -> str:
        """What the number is worth, in a line."""
        plan, score = self.entry.record.plan, self.score
        said = [
            f"95 % interval {score.low:.6g} to {score.high:.6g}",
            f"n = {score.n}",
            f"{score.better} is better",
            (
                f"genbench {self.entry.record.genbench}, protocol {self.protocol}, "
                f"labels {plan['identity']['conditions'].get('labels', 'none')}"
            ),
        ]
        if score.real is not None and score.real_high is not None:
            said.append(
                f"real images score {score.real:.4g}, 95 % of them up to {score.real_high:.4g}"
            )
        said += (
            []
            if self.entry.protocol["fits"] and self.entry.protocol.get("board", True)
            else ["ruler only: not as the protocol asks"]
        )
        said += [self.entry.tuned] if self.entry.tuned else []
        return clean("; ".join([*said, *score.flags]))


def results_of(found: Record) -> list[Result]:
    """Every number of a run that there is; UserError where there is none."""
    entries = [
        entry_of(found, name, protocol) for name, protocol in found.plan["protocols"].items()
    ]
    rows = [
        Result(entry, one.protocol, one)
        for entry in entries
        for one in entry.record.scores
        if (one.part, one.status) == ("all", "ok")
    ]
    if not rows:
        raise UserError(
            f"the run {found.id} has no number to export: genbench show {found.id} says why"
        )
    return rows


def _hugging_face(rows: list[Result], named: Named) -> str:
    """A list in YAML, of values as JSON writes them,
    which every reader of YAML takes as they are.
    """
    return "".join(
        f"- {line}\n" if not place else f"  {line}\n"
        for row in rows
        for place, line in enumerate(_fields(row, named))
    )


def _fields(row: Result, named: Named) -> Iterator[str]:
    found = row.entry.record
    yield "dataset:"
    yield f"  id: {_quoted(named.dataset or row.dataset)}"
    yield f"  task_id: {_quoted(f'{row.protocol}/{row.score.metric}')}"
    value = repr(number(row.score.value))
    # YAML 1.1 takes 1e-05 for a word
    yield f"value: {value if '.' in value else value.replace('e', '.0e')}"
    yield f"date: {_quoted(found.created[:10])}"
    yield "source:"
    yield from ([f"  url: {_quoted(named.url)}"] if named.url else [])
    yield f"  name: {_quoted(f'genbench run {found.id}')}"
    yield f"notes: {_quoted(row.notes())}"


def _quoted(text: str) -> str:
    return json.dumps(clean(text), ensure_ascii=False)


def _card(rows: list[Result], named: Named) -> str:
    """A block for a model card: the numbers beside what real images score,
    and what they are worth.
    """
    found, first = rows[0].entry.record, rows[0]
    cells = [
        {"metric": f"{one.score.metric} {ARROW[one.score.better]}", **_cells(one)} for one in rows
    ]
    where = f"[the record]({_address(named.url)})" if named.url else f"run `{found.id}`"
    worth = (
        f"{escaped(first.label)}, seeds from {found.plan['identity']['first_seed']}; "
        "± is half a 95 % interval over the samples against this reference, real the median of "
        f"real images against real images. Measured {escaped(found.created[:10])} by genbench "
        f"{escaped(found.genbench)}: {where}."
    )
    lines = [
        f"## Evaluation on {escaped(named.dataset or first.dataset)}",
        markdown(pd.DataFrame(cells)),
        worth,
    ]
    return "\n\n".join(lines) + "\n"


def _address(url: str) -> str:
    """An address that ends no link; only the web's."""
    if not url.startswith(("https://", "http://")):
        raise UserError(f"--source-url {clean(url)}: an address that begins with https://")
    return "".join(
        c if c.isalnum() or c in "-._~:/?#@!$&*+,;=%" else "%" + c.encode().hex("%").upper()
        for c in clean(url)
    )


def _cells(row: Result) -> dict[str, str]:
    score = row.score
    value = plus_minus(number(score.value), number(score.low), number(score.high))
    return {
        "value": value,
        "real": "–" if score.real is None else f"{score.real:.3g}",
        "n": str(score.n),
        "protocol": clean(row.protocol),
    }


def _latex(rows: list[Result], named: Named) -> str:
    """Rows for booktabs."""
    cells = [
        {
            "generator": one.label,
            "metric": f"{one.score.metric} {ARROW[one.score.better]}",
            **_cells(one),
        }
        for one in rows
    ]
    text = str(pd.DataFrame(cells).to_latex(index=False, escape=True))
    for sign, words in SIGNS.items():
        text = text.replace(sign, words)
    return text


def _csv(rows: list[Result], named: Named) -> str:
    """A tidy table."""
    told = []
    for one in rows:
        keys = (
            "metric",
            "value",
            "low",
            "high",
            "se",
            "se_reference",
            "n",
            "real",
            "real_high",
            "better",
            "method",
        )
        about = {
            "protocol": cell_of_csv(one.protocol),
            "dataset": cell_of_csv(named.dataset or one.dataset),
            "generator": cell_of_csv(one.entry.label),
        }
        ours = {
            "flags": cell_of_csv("; ".join(one.score.flags)),
            "run": one.entry.record.id,
            "created": one.entry.record.created,
        }
        told.append(about | {key: getattr(one.score, key) for key in keys} | ours)
    return str(pd.DataFrame(told).to_csv(index=False))


def _name(row: Result) -> str:
    """A number's name in a history of many: the checkpoint is what changes,
    so it is not part of it.
    """
    return (
        f"{row.dataset} / {row.entry.record.plan['identity']['generator']} / {row.protocol} / "
        f"{row.score.metric}"
    )


def _histories(rows: list[Result], named: Named) -> dict[str, list[dict[str, Any]]]:
    """{github-action-benchmark's tool: its array}."""
    found: dict[str, list[dict[str, Any]]] = {tool: [] for tool in BETTER.values()}
    for one in rows:
        told = {
            "name": clean(_name(one)),
            "unit": one.score.metric,
            "value": one.score.value,
            "range": f"± {one.half:.4g}",
        }
        found[BETTER[one.score.better]].append({**told, "extra": f"{one.label}; {one.notes()}"})
    return found


def _bencher(rows: list[Result], named: Named) -> str:
    """{benchmark: {measure: {value, lower_value, upper_value}}}."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for one in rows:
        name = clean(_name(one).rpartition(" / ")[0])[: LONGEST["benchmark"]]
        bounds = {
            "value": one.score.value,
            "lower_value": one.score.low,
            "upper_value": one.score.high,
        }
        found.setdefault(name, {})[one.score.metric[: LONGEST["measure"]]] = bounds
    return _json(found)


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMS: Mapping[str, Callable[[list[Result], Named], str]] = {
    "hf-results": _hugging_face,
    "model-card": _card,
    "gha-benchmark": lambda rows, named: _json(_histories(rows, named)),
    "bmf": _bencher,
    "csv": _csv,
    "latex": _latex,
}


def export(found: Record, form: str, out: Path | None, named: Named) -> str:
    """A run's numbers in a form, as the answer to print; with a place to write they go there,
    and the answer says where.

    github-action-benchmark wants a file for each direction: its place is a folder. UserError when
    something is there already.
    """
    rows = results_of(found)
    if named.url:
        _address(named.url)
    if out is None:
        return FORMS[form](rows, named)
    if out.exists():
        raise UserError(f"{out} exists already: --out another place, or remove it")
    if form != "gha-benchmark":
        write(out, FORMS[form](rows, named).encode())
        return f"{out}: {len(rows)} numbers of {rows[0].label}"
    folder = folder_to_write(out, "--out")
    told = {tool: one for tool, one in _histories(rows, named).items() if one}
    for tool, one in told.items():
        write(folder / f"{tool}.json", _json(one).encode())
    return "\n".join(
        f"{folder / tool}.json: {len(one)} numbers, tool: {tool}" for tool, one in told.items()
    )
