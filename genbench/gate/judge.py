"""The regression gate: a candidate's record beside a baseline's, number by number, and one verdict.

Comparable first: protocol, real images, extractors, formulas, n, seeds, labels must be equal;
model, code and machine are the treatment, and are listed. Then paired by seed through the
leave-one-block-out values that records carry. DESIGN: the gate; statistics:
genbench.statistics.noninferiority.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import NotComparable, UserError
from genbench._util.formatting import clean
from genbench.api import _registry as registry
from genbench.gate.config import LOOKS, CostRule, Gate, Rule
from genbench.gate.results import Checked, CostFinding, Finding
from genbench.runs.records.comparability import (
    BOUGHT,
    interval_of,
    otherwise,
    pairing,
    treatment,
    treatment_digest,
)
from genbench.runs.records.record import RATERS, Record, Score
from genbench.statistics import noninferiority
from genbench.statistics.confidence_intervals import Estimate, estimate
from genbench.statistics.rank_ranges import holm

SMALL = 10  # a Fréchet distance is judged from so many samples per dimension
INSTEAD = "in place of"
TURNED = (
    "with the bias of this n taken out the verdict would be another: it is one of n, "
    "not of the models"
)
# the same on every machine
EVERYWHERE = ("checkpoint_bytes", "parameters", "evaluations_per_image")
WORDS = {"previous": "the baseline", "anchor": "the anchor"}


@dataclass(frozen=True)
class Side:
    """What the rules of one baseline are judged with."""

    candidate: Record
    baseline: Record
    against: str
    gate: Gate
    paired: bool
    alpha: float


def check(
    candidate: Record,
    baselines: Mapping[str, Record],
    gate: Gate,
    today: datetime.date,
    *,
    unpaired: bool = False,
) -> Checked:
    """A candidate against its baselines {previous, anchor};
    NotComparable where they were not measured alike.
    """
    taken = max(int(one.plan.get("looks", 1)) for one in (candidate, *baselines.values()))
    look = min(max(gate.looks, taken), LOOKS)
    alpha = noninferiority.pocock(gate.alpha, look)
    remarks = (
        [f"look {taken} of {look}: each is judged at {alpha:.3g} (Pocock)"] if look > 1 else []
    )
    if taken > gate.looks:
        remarks.append(
            f"the gate declared {gate.looks}: an earlier look had the whole level, "
            f"so together they have more; write looks = {look} before the first"
        )
    findings: list[Finding] = []
    costs: list[CostFinding] = []
    for against, baseline in baselines.items():
        paired, said = pairing(candidate, baseline, WORDS[against], unpaired=unpaired)
        remarks += [said] if said else []
        side = Side(candidate, baseline, against, gate, paired, alpha)
        findings += [
            one for rule in _rules(candidate, baseline, gate) for one in _found(side, *rule)
        ]
        remarks += _classless(candidate, baseline, WORDS[against])
        costs += [
            _cost(rule, candidate, baseline, gate) for rule in gate.costs if against == "previous"
        ]
    accepted, expired = _accepted(
        _settled(findings, gate, alpha), treatment_digest(candidate), today
    )
    return Checked(
        candidate, baselines, gate, tuple(accepted), tuple(costs),
        tuple(treatment(candidate, next(iter(baselines.values())))),
        tuple(dict.fromkeys([*remarks, *expired, *_uncorrelated(accepted)])), look, alpha,
    )  # fmt: skip


def _rules(
    candidate: Record, baseline: Record, gate: Gate
) -> Iterator[tuple[Rule, Score | None, Score | None]]:
    """Each rule with the two scores that it is about; None where a side lacks it."""
    ours, theirs = (
        {(s.protocol, s.metric, s.part): s for s in one.scores} for one in (candidate, baseline)
    )
    common = [name for name in candidate.plan["protocols"] if name in baseline.plan["protocols"]]
    # one class before every class
    for rule in sorted(gate.rules, key=lambda one: one.part == "class") or tuple(
        _usual(candidate, baseline, common)
    ):
        if rule.protocol and rule.protocol not in common:
            raise UserError(
                f"the gate's rule for {rule.metric} names the protocol {clean(rule.protocol)}: "
                f"{choices(rule.protocol, common)}"
            )
        wanted = (
            [rule.protocol]
            if rule.protocol
            else [
                name
                for name in common
                if (name, rule.metric, "all") in ours or (name, rule.metric, "all") in theirs
            ]
        )
        for protocol in wanted or common[:1]:
            keys = [(protocol, rule.metric, rule.part)]
            if rule.part == "class":
                keys = [
                    key
                    for key in {**ours, **theirs}
                    if key[:2] == (protocol, rule.metric) and key[2].startswith("class ")
                ] or keys
            for key in keys:
                yield replace(rule, protocol=protocol, part=key[2]), ours.get(key), theirs.get(key)


def _usual(candidate: Record, baseline: Record, common: Sequence[str]) -> Iterator[Rule]:
    """Without rules of one's own: the first number of each of the baseline's protocols fails,
    whatever became of it, and all others of both sides warn.
    """
    for protocol in common:
        first = next(
            (
                m["name"]
                for m in baseline.plan["protocols"][protocol]["measures"]
                if not m.get("skip")
            ),
            "",
        )
        scores = [
            (one, s)
            for one in (baseline, candidate)
            for s in one.scores
            if (s.protocol, s.status) == (protocol, "ok") and s.method != RATERS
        ]
        for name in dict.fromkeys([first, *(s.metric for _, s in scores)]):
            yield Rule(name, protocol=protocol, level="fail" if name == first else "warn")
            sides = [side for side, s in scores if s.metric == name and s.part.startswith("class ")]
            if candidate in sides and baseline in sides:
                yield Rule(name, "class", protocol, level="warn")


def _classless(candidate: Record, baseline: Record, name: str) -> list[str]:
    """That classes cannot be judged since one side alone has numbers of them."""
    ours, theirs = (
        any(s.part.startswith("class ") for s in one.scores) for one in (candidate, baseline)
    )
    if ours == theirs:
        return []
    return [
        (
            f"classes are not judged: {name if ours else 'the candidate'} has no numbers of them; "
            "genbench baseline save, where the run's folder is, writes them"
        )
    ]


def _found(side: Side, rule: Rule, score: Score | None, base: Score | None) -> list[Finding]:
    """What a rule finds; where a Fréchet distance has too few samples, it is shown,
    and the kernel distance of the same features judged in its place.
    """
    one = _judged(side, rule, score, base)
    if one.verdict != "SHOWN" or score is None:
        return [one]
    if rule.part != "all":
        return [replace(one, verdict="INCONCLUSIVE") if rule.level == "fail" else one]
    measures = side.candidate.plan["protocols"][rule.protocol]["measures"]
    features = next(m["features"] for m in measures if m["name"] == rule.metric)
    name = next(
        (
            m["name"]
            for m in measures
            if m["metric"] == "kd" and m["features"] == features and not m.get("skip")
        ),
        "",
    )
    ours, theirs = (
        next(
            (
                s
                for s in of.scores
                if (s.protocol, s.metric, s.part) == (rule.protocol, name, "all")
            ),
            None,
        )
        for of in (side.candidate, side.baseline)
    )
    if not name:
        return [
            replace(
                one,
                verdict="INCONCLUSIVE",
                why=(
                    f"{one.why}, but it was not measured: genbench run ... "
                    f"--metrics {rule.metric},kd"
                ),
            )
        ]
    instead = _judged(side, replace(rule, metric=name, margin=None), ours, theirs)
    return [
        replace(one, level="warn"),
        replace(instead, why=instead.why or f"{INSTEAD} {rule.metric}, which has too few samples"),
    ]


def _judged(side: Side, rule: Rule, score: Score | None, base: Score | None) -> Finding:
    candidate, baseline, gate, against = side.candidate, side.baseline, side.gate, side.against
    blank = Finding(
        rule.protocol,
        rule.metric,
        rule.part,
        against,
        rule.level,
        "MISSING",
        alpha=side.alpha,
        accept=rule.accept,
    )
    lacking = _lacking(score, base, WORDS[against])
    if lacking or score is None or base is None:
        return replace(
            blank, why=lacking, level=rule.level if gate.if_missing == "fail" else "warn"
        )
    measure, other = (_measure(one, rule.protocol, rule.metric) for one in (candidate, baseline))
    apart = otherwise(other, measure)
    if apart == ["formula"]:
        raise NotComparable(
            f"not comparable with {WORDS[against]}: {rule.metric} was taken by another formula "
            "there; measure it again with this genbench"
        )
    if apart:
        raise NotComparable(
            f"not comparable with {WORDS[against]}: {rule.metric} was taken otherwise there "
            f"({', '.join(apart)})"
        )
    row = _row(measure["metric"])
    kind = noninferiority.kind_of(row.range)
    values = {
        "kind": kind,
        "better": score.better,
        "baseline": base.value,
        "candidate": score.value,
        "n": score.n,
    }
    values |= {"width": row.range[1]} if kind == "share" else {}
    blank = replace(blank, **values)  # type: ignore[arg-type]
    if why := _too_few(rule, row, measure, score, gate):
        return replace(blank, verdict="SHOWN", why=why)
    ours, theirs = _estimate(score, candidate), _estimate(base, baseline)
    if min(len(ours.left_out), len(theirs.left_out)) < 2:
        return replace(
            blank,
            verdict="INCONCLUSIVE",
            why="it has no leave-one-block-out values, so its error is not known",
        )
    of = noninferiority.change(
        ours,
        theirs,
        score.better,
        kind,
        paired=side.paired and (ours.sizes, ours.scheme) == (theirs.sizes, theirs.scheme),
    )
    if of is None:
        return replace(
            blank,
            verdict="INCONCLUSIVE",
            why="a ratio of numbers that are not positive does not exist",
        )
    margin = margin_of(rule.margin, gate, row, base)
    return replace(
        blank,
        change=of,
        margin=margin,
        p=of.p(),
        verdict=noninferiority.verdict(of, margin, side.alpha),
    )


def _estimate(score: Score, of: Record) -> Estimate:
    assert score.value is not None, "an ok score has a value"
    sizes = (score.sizes or of.plan["block_sizes"]) if score.left_out else ()
    return estimate(score.value, score.left_out, sizes, interval_of(of, score))


def margin_of(own: float | None, gate: Gate, row: Any, base: Score) -> float:
    """What a change may be, in its own units: ln(1 + 5 %), points of the range,
    or a kernel distance; own: the rule's, before the gate's.
    """
    kind = noninferiority.kind_of(row.range)
    share = (
        {"ratio": gate.margin, "share": gate.margin_share, "kernel": gate.margin_kernel}[kind]
        if own is None
        else own
    )
    if kind == "kernel":
        return noninferiority.kernel_margin(base.value or 0.0, base.real, base.real_high, share)
    return math.log1p(share) if kind == "ratio" else share * (row.range[1] - row.range[0])


def _lacking(score: Score | None, base: Score | None, name: str) -> str:
    for one, where in ((score, "the candidate"), (base, name)):
        if one is None:
            return (
                f"{where} has not got it: genbench run with the same words and "
                "--metrics measures it"
            )
        if one.status != "ok":
            return f"{where} has none: {one.status}, {clean(one.reason)}"
    return ""


def _measure(found: Record, protocol: str, metric: str) -> Mapping[str, Any]:
    measures = found.plan["protocols"][protocol]["measures"]
    return next((dict(one) for one in measures if one["name"] == metric), {"metric": metric})


def _row(metric: str) -> Any:
    try:
        return registry.find("metrics", metric)
    except UserError as error:
        raise NotComparable(f"{error}; name the file that has it: --with FILE.py") from None


def width_of(measure: Mapping[str, Any]) -> int:
    """The dimensions of a measure's features; 0 where its extractor is not on the shelf."""
    extractor, _, output = str(measure.get("features", "")).partition(".")
    try:
        return int(registry.find("extractors", extractor).outputs[output])
    except (UserError, KeyError):
        return 0


def _too_few(rule: Rule, row: Any, measure: Mapping[str, Any], score: Score, gate: Gate) -> str:
    """Why a number is shown and not judged, or ""."""
    if rule.part.startswith("class ") and score.n < gate.min_class:
        return f"{score.n} samples of the class; it is judged from {gate.min_class} (min_class)"
    width = width_of(measure) if row.name == "fd" else 0
    if row.name == "fd" and not width:
        raise NotComparable(
            f"how many dimensions {rule.metric} has is not known here; name the file with its "
            "extractor: --with FILE.py"
        )
    if score.n < SMALL * width:
        return (
            f"{score.n} samples in {width} dimensions: judged from {SMALL * width}; "
            "below that its bias is the model's own, and kd stands in"
        )
    return ""


def _settled(findings: Sequence[Finding], gate: Gate, alpha: float) -> list[Finding]:
    """Each number once, with its verdict after the adjustments:
    Holm's over what fails, Benjamini and Hochberg's over what warns.
    """
    ordered = sorted(findings, key=lambda one: (one.level != "fail", one.why.startswith(INSTEAD)))
    found = list(
        {
            (one.protocol, one.metric, one.part, one.against): one for one in reversed(ordered)
        }.values()
    )[::-1]
    for level, adjust, limit in (
        ("fail", holm, alpha),
        ("warn", noninferiority.benjamini_hochberg, gate.discoveries),
    ):
        places = [i for i, one in enumerate(found) if one.level == level and one.change is not None]
        for i, p in zip(
            places, adjust([of.p() for i in places if (of := found[i].change)]), strict=True
        ):
            judged = found[i].change
            assert judged is not None, "places are of those that have one"
            told = noninferiority.verdict(judged, found[i].margin, alpha, 0.0 if p < limit else 1.0)
            turned = told == "INCONCLUSIVE" and (
                p < limit or judged.bounds(alpha)[1] <= found[i].margin
            )
            found[i] = replace(
                found[i], p=float(p), verdict=told, why=found[i].why or (TURNED if turned else "")
            )
    return found


def _accepted(
    findings: Sequence[Finding], digest_now: str, today: datetime.date
) -> tuple[list[Finding], list[str]]:
    """Failures that somebody took on, as such; and what is to be said of acceptances that
    do not hold.
    """
    found, remarks = [], []
    for one in findings:
        if one.verdict != "FAIL" or one.accept is None:
            found.append(one)
        elif one.accept.digest != digest_now or today > one.accept.until:
            why = (
                f"is for the model {clean(one.accept.digest)}, this one is {digest_now}"
                if one.accept.digest != digest_now
                else f"ended on {one.accept.until}"
            )
            remarks.append(f"accept of {one.metric} {why}")
            found.append(one)
        else:
            found.append(
                replace(
                    one,
                    verdict="ACCEPTED",
                    why=f"until {one.accept.until}: {clean(one.accept.reason)}",
                )
            )
    return found, remarks


def _uncorrelated(findings: Sequence[Finding]) -> list[str]:
    known = [
        (one.metric, one.change.correlation)
        for one in findings
        if one.level == "fail" and one.change and one.change.paired
    ]
    return [
        f"{metric}: the seeds correlate by {r:.2f}: pairing bought nothing"
        for metric, r in known
        if r is not None and r < BOUGHT
    ]


def _cost(rule: CostRule, candidate: Record, baseline: Record, gate: Gate) -> CostFinding:
    ours, theirs = candidate.cost.get(rule.metric), baseline.cost.get(rule.metric)
    blank = CostFinding(rule.metric, rule.level, "SHOWN", rule.tolerance, theirs, ours)
    there, here = (
        [
            one.cost.get("device"),
            *(one.environment.get(key) for key in ("device", "cpus", "threads")),
            one.cost.get("batch_size"),
            one.cost.get("workers"),
        ]
        for one in (baseline, candidate)
    )
    if there != here and rule.metric not in EVERYWHERE:
        return replace(
            blank,
            why=(
                f"not judged: measured on another device, or otherwise ({clean(str(there))}; "
                f"{clean(str(here))})"
            ),
        )
    if ours is None or theirs is None:
        why = f"{'the candidate' if ours is None else 'the baseline'} did not measure it"
        return replace(
            blank,
            verdict="MISSING",
            why=why,
            level=rule.level if gate.if_missing == "fail" else "warn",
        )
    worse = blank.worse
    within = ours <= theirs if worse is None else worse <= rule.tolerance
    return replace(blank, verdict="PASS" if within else "FAIL")
