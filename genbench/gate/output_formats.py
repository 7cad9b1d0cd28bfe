"""What a gate says, to people, programs and continuous integration:
a table, check.json, check.md, JUnit XML, workflow annotations.

Names in records are strangers' words: each form has its own way to make them harmless, and all of
them stand here.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from genbench._util.formatting import clean, number, table
from genbench._util.package_version import VERSION
from genbench.gate.results import ORDER, Checked, CostFinding, Finding
from genbench.runs.records.comparability import treatment_digest
from genbench.runs.records.record import Record
from genbench.statistics import noninferiority

SCHEMA = 1
MOST = 10  # annotations of a step that GitHub shows
SUMMARY = 900_000  # bytes of a step's summary; GitHub drops all of it beyond 1 MiB
AGAINST = {"previous": "", "anchor": " against the anchor"}


def first_line(found: Checked) -> str:
    """The verdict, and the number that decided it."""
    one = found.leading
    if one is None:
        return f"{found.verdict}: no number of {clean(found.candidate.plan['label'])} was judged"
    said = sentence(one)
    return (
        f"{found.verdict} {said}"
        if one.verdict == found.verdict or found.verdict == "PASS"
        else f"{found.verdict} {_costly(found.costs)}"
    )


def sentence(one: Finding) -> str:
    """A finding in a line: fid cifar10: +6.1 % worse (90 % CI +3.9 ... +8.4), allowed +5 %,
    n = 10,000 paired, r = 0.93.
    """
    head = f"{clean(one.name)}{AGAINST[one.against]}"
    if one.change is None:
        return f"{head}: {clean(one.why) or one.verdict.lower()}"
    of = one.change
    how = "paired" if of.paired else "unpaired"
    r = f", r = {of.correlation:.2f}" if of.paired and of.correlation is not None else ""
    low, high = of.bounds(one.alpha)
    moved = (
        "no change"
        if of.value == 0
        else f"{amount(one, abs(of.value))} {'better' if of.value < 0 else 'worse'}"
    )
    why = f"; {clean(one.why)}" if one.why else ""
    interval = f"{_level(one.alpha)} CI {amount(one, low)} … {amount(one, high)}"
    return (
        f"{head}: {moved} ({interval}), allowed {amount(one, one.margin)}, n = {one.n:,} "
        f"{how}{r}{_advice(one)}{why}"
    )


def _level(alpha: float) -> str:
    return f"{100 * (1 - 2 * alpha):.4g} %"


def amount(one: Finding, value: float) -> str:
    """A change in its own unit: a share of a ratio, points, or the number's own unit."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else "+∞"
    if one.kind == "ratio":
        return f"{100 * math.expm1(min(value, 50.0)):+.1f} %"
    if one.kind == "share":
        return f"{100 * value / one.width:+.2f} pt"
    return f"{value:+.2g}"


def _advice(one: Finding) -> str:
    if one.verdict != "INCONCLUSIVE" or one.change is None:
        return ""
    n = noninferiority.settling(one.change, one.margin, one.n, one.alpha)
    return "" if n is None else f"; about n = {max(n, one.n + 1):,} would settle it"


def _costly(costs: Sequence[CostFinding]) -> str:
    worst = min(
        (one for one in costs if one.level == "fail"), key=lambda one: ORDER.index(one.verdict)
    )
    return cost_sentence(worst)


def cost_sentence(one: CostFinding) -> str:
    if one.worse is None or one.why:
        return f"{one.metric}: {clean(one.why) or 'not measured'}"
    return (
        f"{one.metric}: {one.baseline:.4g} to {one.candidate:.4g}, {100 * one.worse:+.1f} % worse, "
        f"allowed {100 * one.tolerance:+.0f} %"
    )


def text(found: Checked) -> str:
    """For people: the verdict, a line per number, costs, what differs between the two sides."""
    parts = [
        first_line(found),
        table(
            [
                "verdict",
                "number",
                "baseline",
                "candidate",
                "change",
                f"{_level(found.alpha)} interval",
                "allowed",
                "r",
            ],
            _rows(found),
            left=2,
        ),
    ]
    if found.costs:
        parts.append("\n".join(f"{_word(one)}  {cost_sentence(one)}" for one in found.costs))
    parts += ["\n".join(f"* {clean(one)}" for one in notes(found))] if notes(found) else []
    if found.treatment:
        parts.append(
            "what differs:\n"
            + "\n".join(f"  {clean(key)}: {was} -> {now}" for key, was, now in found.treatment)
        )
    # what a runner of GitHub would take for a command
    return "\n\n".join(parts).replace("##[", "# #[")


def notes(found: Checked) -> list[str]:
    """Remarks, and why numbers were not judged or not settled."""
    own = [
        f"{one.name}{AGAINST[one.against]}: {one.why}{_advice(one)}"
        for one in found.findings
        if one.why
    ]
    unsettled = [
        f"{one.name}{AGAINST[one.against]}{_advice(one)}"
        for one in found.findings
        if not one.why and one.level == "fail" and _advice(one)
    ]
    return [*found.remarks, *own, *unsettled]


def _word(one: Finding | CostFinding) -> str:
    return (
        one.verdict
        if one.level == "fail" or one.verdict in ("PASS", "SHOWN")
        else f"{one.verdict} (warns)"
    )


def _rows(found: Checked) -> Iterator[list[str]]:
    for one in found.findings:
        values = [
            "–" if value is None else number(value, abs(value) / 50 or 0.01)
            for value in (one.baseline, one.candidate)
        ]
        name = f"{one.name}{AGAINST[one.against]}"
        if one.change is None:
            yield [_word(one), name, *values, "–", "–", "–", "–"]
            continue
        low, high = one.change.bounds(one.alpha)
        r = "–" if one.change.correlation is None else f"{one.change.correlation:.2f}"
        yield [
            _word(one),
            name,
            *values,
            amount(one, one.change.value),
            f"{amount(one, low)} … {amount(one, high)}",
            amount(one, one.margin),
            r,
        ]


def plain(found: Checked, command: str = "") -> dict[str, Any]:
    """The content of check.json."""
    return {
        "schema": SCHEMA,
        "genbench": VERSION,
        "verdict": found.verdict,
        "exit": found.status,
        "line": first_line(found),
        "candidate": _side(found.candidate),
        "baselines": {name: _side(one) for name, one in found.baselines.items()},
        "alpha": found.alpha,
        "look": found.look,
        "rules": [_plain_finding(one) for one in found.findings],
        "costs": [{**asdict(one), "worse": one.worse} for one in found.costs],
        "treatment": [
            dict(zip(("field", "baseline", "candidate"), row, strict=True))
            for row in found.treatment
        ],
        "remarks": list(found.remarks),
        "command": command,
    }


def _side(found: Record) -> dict[str, Any]:
    identity = found.plan["identity"]
    return {
        "run": found.id,
        "label": found.plan["label"],
        "n": identity["n"],
        "first_seed": identity["first_seed"],
        "digest": treatment_digest(found),
    }


def _plain_finding(one: Finding) -> dict[str, Any]:
    of = one.change
    keys = (
        "protocol",
        "metric",
        "part",
        "against",
        "level",
        "verdict",
        "kind",
        "better",
        "baseline",
        "candidate",
        "n",
        "alpha",
        "p",
    )
    known = {key: getattr(one, key) for key in keys} | {
        "reason": one.why,
        "margin": None if of is None else one.margin,
    }
    if of is None:
        return known | dict.fromkeys(
            (
                "change",
                "corrected",
                "low",
                "high",
                "se",
                "paired",
                "correlation",
                "needed_n",
                "detectable",
            )
        )
    low, high = (bound if math.isfinite(bound) else None for bound in of.bounds(one.alpha))
    n = (
        noninferiority.settling(of, one.margin, one.n, one.alpha)
        if one.verdict == "INCONCLUSIVE"
        else None
    )
    finite = math.isfinite(of.se)
    return known | {
        "change": of.value, "corrected": of.corrected, "low": low, "high": high,
        "se": of.se if finite else None, "paired": of.paired, "correlation": of.correlation,
        "needed_n": n, "detectable": noninferiority.detectable(of, one.alpha) if finite else None,
    }  # fmt: skip


def written(found: Checked, command: str = "") -> str:
    # in ASCII: it is printed too
    return json.dumps(plain(found, command), indent=1, allow_nan=False) + "\n"


def markdown(found: Checked, command: str = "") -> str:
    """A page for a pull request or a step's summary; sections that do not fit are left out whole,
    and named.
    """
    rows = list(_rows(found))
    head = ["verdict", "number", "baseline", "candidate", "change", "interval", "allowed", "r"]
    sections = [
        ("numbers", _pipes(head, rows)),
        (
            "costs",
            "\n".join(f"- {_word(one)}: {_escaped(cost_sentence(one))}" for one in found.costs),
        ),
        ("notes", "\n".join(f"- {_escaped(one)}" for one in notes(found))),
        ("what differs", _pipes(["", "baseline", "candidate"], found.treatment)),
        ("again", f"```\n{clean(command)}\n```" if command and "```" not in command else ""),
    ]
    page, left_out = f"## genbench check: {_escaped(first_line(found))}\n", []
    for name, section in sections:
        part = f"\n### {name}\n\n{section}\n" if section else ""
        if len((page + part).encode()) > SUMMARY:
            left_out.append(name)
        else:
            page += part
    return page + (
        f"\nLeft out for want of room: {', '.join(left_out)}; check.json has them.\n"
        if left_out
        else ""
    )


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(_escaped(str(cell)) if place != 1 else cell for cell in line) + " |"
        for place, line in enumerate(lines)
    )


def _escaped(words: str) -> str:
    """Words as Markdown shows them: no sign of a stranger's name ends a cell, begins a link,
    a picture, a mention or becomes HTML.
    """
    escaped = html.escape(re.sub(r"([\\`*_|~\[\]#@])", r"\\\1", clean(words)), quote=False)
    return re.sub(
        r"(?i)(:)(//)|(www)(\.)",
        lambda found: f"{found[1] or found[3]}&#8203;{found[2] or found[4]}",
        escaped,
    )


def junit(found: Checked) -> str:
    """JUnit XML: a testcase per rule, metric, class and baseline;
    what is not settled or only shown is skipped.
    """
    import xml.etree.ElementTree as Tree

    cases = [
        (f"{one.name}{AGAINST[one.against]}", one, sentence(one)) for one in found.findings
    ] + [(one.metric, one, cost_sentence(one)) for one in found.costs]
    suite = Tree.Element("testsuite", name="genbench check", tests=str(len(cases)))
    counts = {"failure": 0, "skipped": 0}
    for name, one, said in cases:
        case = Tree.SubElement(
            suite,
            "testcase",
            classname=f"genbench.{_xml(getattr(one, 'protocol', 'cost'))}",
            name=_xml(name),
        )
        strict = one.level == "fail"
        kind = (
            "failure"
            if strict and one.verdict in ("FAIL", "MISSING")
            else ""
            if one.verdict in ("PASS", "ACCEPTED")
            else "skipped"
        )
        if kind:
            counts[kind] += 1
            Tree.SubElement(case, kind, message=_xml(f"{_word(one)} {said}"))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + Tree.tostring(suite, encoding="unicode") + "\n"
    )


def _xml(words: str) -> str:
    """Words without what XML cannot hold."""
    return re.sub("[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", clean(words))


def workflow_lines(found: Checked) -> list[str]:
    """Workflow commands of GitHub, worst first, at most ten: more are dropped there in silence."""
    told: list[tuple[int, str, str]] = []
    for one in found.findings:
        if one.verdict in ("FAIL", "MISSING", "INCONCLUSIVE"):
            told.append(
                (
                    ORDER.index(one.verdict) + (0 if one.level == "fail" else 10),
                    "error" if one.level == "fail" else "warning",
                    f"{one.verdict} {sentence(one)}",
                )
            )
    for cost in found.costs:
        if cost.verdict in ("FAIL", "MISSING"):
            told.append(
                (
                    0 if cost.level == "fail" else 10,
                    "error" if cost.level == "fail" else "warning",
                    f"{cost.verdict} {cost_sentence(cost)}",
                )
            )
    told.sort(key=lambda one: one[0])
    more = f" (+{len(told) - MOST} more in check.json)" if len(told) > MOST else ""
    shown = told[:MOST]
    return [
        (
            f"::{kind} title=genbench "
            f"check::{_command(said + (more if place == len(shown) - 1 else ''))}"
        )
        for place, (_, kind, said) in enumerate(shown)
    ]


def _command(words: str) -> str:
    """Data of a workflow command: %, CR and LF as the toolkit writes them,
    after control characters are gone.
    """
    return clean(words).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
