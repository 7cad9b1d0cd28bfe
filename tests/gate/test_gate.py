"""`genbench check` on records: what is comparable, who is judged, how verdicts add up to one,
and harmless words in every output.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import xml.etree.ElementTree as Tree

import pytest
from helpers.places import ROOT

from genbench._util.errors import NotComparable
from genbench.gate import output_formats
from genbench.gate.config import Acceptance, CostRule, Gate, Rule
from genbench.gate.judge import check
from genbench.runs.records import record
from genbench.runs.records.comparability import treatment_digest

ENTRIES = ROOT / "leaderboards/digits/entries"
TODAY = datetime.date(2026, 11, 28)
HOSTILE = (
    "</script><img src=x onerror=alert(1)>\r\n"
    "::error title=x::y\x1b[31m|`=cmd` https://x.example ##[error]"
)


@pytest.fixture(scope="module")
def base():
    """The committed entry of ddpm on digits."""
    return next(
        found
        for path in ENTRIES.glob("*.json")
        if (found := record.read(path)).plan["label"] == "ddpm"
    )


def moved(found, metric="fd_digits", by=1.0, **identity):
    """The record with one number, leave-outs included, times `by`, of another model."""
    scores = tuple(
        dataclasses.replace(s, value=s.value * by, left_out=tuple(x * by for x in s.left_out))
        if s.metric == metric
        else s
        for s in found.scores
    )
    plan = {**found.plan, "identity": {**found.plan["identity"], "checkpoint": "other", **identity}}
    return dataclasses.replace(found, plan=plan, scores=scores, id="0" * 16)


def verdict_of(checked, metric):
    return next(one.verdict for one in checked.findings if one.metric == metric)


@pytest.mark.parametrize(
    ("by", "verdict", "status"),
    [(1.0, "PASS", 0), (0.8, "PASS", 0), (1.04, "PASS", 0), (1.06, "FAIL", 1), (2.0, "FAIL", 1)],
)
def test_the_first_number_decides(base, by, verdict, status):
    """Without rules the Fréchet distance may grow by 5 %, paired:
    within it the check passes, beyond it fails.
    """
    found = check(moved(base, by=by), {"previous": base}, Gate(), TODAY)
    assert (found.verdict, found.status, verdict_of(found, "fd_digits")) == (
        verdict,
        status,
        verdict,
    )
    assert output_formats.first_line(found).startswith(f"{verdict} fd_digits digits: ")


def test_others_warn_and_do_not_decide(base):
    """Recall that halves is a warned failure: the whole passes, and the table says so."""
    found = check(moved(base, "recall_digits", 0.5), {"previous": base}, Gate(), TODAY)
    assert (found.verdict, verdict_of(found, "recall_digits")) == ("PASS", "FAIL")
    assert "FAIL (warns)  recall_digits digits" in output_formats.text(found)
    ruled = check(
        moved(base, "recall_digits", 0.5),
        {"previous": base},
        Gate(rules=(Rule("recall_digits"),)),
        TODAY,
    )
    assert ruled.status == 1


def test_the_anchor_must_pass_too(base):
    """Three steps of 4 % each pass against the step before and fail against the anchor."""
    previous = moved(base, by=1.04**2)
    found = check(moved(base, by=1.04**3), {"previous": previous, "anchor": base}, Gate(), TODAY)
    assert [one.verdict for one in found.findings if one.metric == "fd_digits"] == ["PASS", "FAIL"]
    assert "against the anchor" in output_formats.first_line(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 400}, "n: 870 there, 400 here"),
        ({"first_seed": 2**20}, "seeds: from 0 there, from 1048576 here"),
        ({"conditions": {"labels": "iid", "classes": 10}}, "conditions: "),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(base, change, said):
    """Another n, other seeds, other labels: exit 3, and the line names the field."""
    with pytest.raises(NotComparable, match=said.replace("(", r"\(")) as told:
        check(moved(base, **change), {"previous": base}, Gate(), TODAY)
    assert told.value.status == 3


@pytest.mark.parametrize("key", ["splits", "extractors", "quantise", "repeats"])
def test_another_ruler_is_named(base, key):
    """Other real images, another extractor, another quantisation: exit 3, naming what differs."""
    protocol = base.plan["protocols"]["digits"]
    other = dict.fromkeys(protocol[key], "f" * 64) if isinstance(protocol[key], dict) else "other"
    there = dataclasses.replace(
        base, plan={**base.plan, "protocols": {"digits": {**protocol, key: other}}}
    )
    with pytest.raises(NotComparable, match=f"digits.{key}"):
        check(base, {"previous": there}, Gate(), TODAY)


def test_another_formula_is_not_compared(base):
    """A number that the baseline took by other code is not held against it."""
    protocol = base.plan["protocols"]["digits"]
    measures = [{**m, "formula": "f" * 64} for m in protocol["measures"]]
    there = dataclasses.replace(
        base, plan={**base.plan, "protocols": {"digits": {**protocol, "measures": measures}}}
    )
    with pytest.raises(NotComparable, match="fd_digits was taken by another formula"):
        check(base, {"previous": there}, Gate(), TODAY)


def test_leave_outs_of_another_rule_are_compared_unpaired(base):
    """A baseline whose blocks follow another rule is compared, unpaired, and the page says why;
    how leave-outs were computed parts nothing.
    """
    protocol = base.plan["protocols"]["digits"]

    def there(**words):
        measures = [{**m, **words} for m in protocol["measures"]]
        return dataclasses.replace(
            base, plan={**base.plan, "protocols": {"digits": {**protocol, "measures": measures}}}
        )

    other = check(base, {"previous": there(interval="balanced/2")}, Gate(), TODAY)
    assert any(
        "unpaired: its leave-outs are of blocks balanced/2, here of balanced/1" in one
        for one in other.remarks
    )
    same = check(
        base, {"previous": there(leave_outs="expansion", real_vs_real="splits/2")}, Gate(), TODAY
    )
    assert not any("unpaired" in one for one in same.remarks)
    assert (other.verdict, same.verdict) == ("INCONCLUSIVE", "PASS")


def test_other_seeds_are_compared_when_asked(base):
    """--unpaired compares fresh seeds, says so, and cannot tell what pairing tells."""
    other = moved(base, by=1.10, first_seed=2**20)
    found = check(other, {"previous": base}, Gate(), TODAY, unpaired=True)
    assert (found.verdict, found.status) == ("INCONCLUSIVE", 4)
    assert any("unpaired" in one for one in found.remarks)
    assert "would settle it" in output_formats.first_line(found)
    assert (
        check(other, {"previous": base}, Gate(inconclusive="warn"), TODAY, unpaired=True).status
        == 0
    )


def test_what_is_missing_is_never_skipped(base):
    """A rule for a number that a side lacks is exit 3, or a warning where the gate says so."""
    rules = (Rule("fid"), Rule("fd_digits"))
    found = check(base, {"previous": base}, Gate(rules=rules), TODAY)
    assert (found.verdict, found.status, verdict_of(found, "fid")) == ("MISSING", 3, "MISSING")
    assert check(base, {"previous": base}, Gate(rules=rules, if_missing="warn"), TODAY).status == 0


def small(found, n=200):
    """The record as if of fewer samples than the Fréchet distance is judged from."""
    plan = {**found.plan, "identity": {**found.plan["identity"], "n": n}}
    return dataclasses.replace(
        found, plan=plan, scores=tuple(dataclasses.replace(s, n=n) for s in found.scores)
    )


def test_few_samples_are_judged_by_the_kernel_distance(base):
    """Below ten samples to a dimension the Fréchet distance is shown,
    and the kernel distance fails in its place.
    """
    ours = small(moved(moved(base, by=3.0), "kd_digits", -4.0))
    found = check(ours, {"previous": small(base)}, Gate(), TODAY)
    assert (verdict_of(found, "fd_digits"), verdict_of(found, "kd_digits"), found.status) == (
        "SHOWN",
        "FAIL",
        1,
    )
    assert "judged from 640" in output_formats.text(found)
    without = [
        dataclasses.replace(one, scores=tuple(s for s in one.scores if s.metric == "fd_digits"))
        for one in (ours, small(base))
    ]
    cut = [
        dataclasses.replace(
            one, plan={**one.plan, "protocols": {"digits": only(one.plan["protocols"]["digits"])}}
        )
        for one in without
    ]
    assert check(cut[0], {"previous": cut[1]}, Gate(), TODAY).status == 4


def only(protocol):
    return {**protocol, "measures": [m for m in protocol["measures"] if m["name"] == "fd_digits"]}


def test_an_acceptance_holds_for_one_model_until_its_day(base):
    """accept turns the failure of this model into a pass, until its day;
    of another model, or after it, the failure stands and the remark says why.
    """
    worse = moved(base, by=2.0)
    for digest, until, status in [
        (treatment_digest(worse), datetime.date(2026, 12, 1), 0),
        (treatment_digest(worse), datetime.date(2026, 11, 1), 1),
        ("another", datetime.date(2026, 12, 1), 1),
    ]:
        found = check(
            worse,
            {"previous": base},
            Gate(rules=(Rule("fd_digits", accept=Acceptance(until, "on purpose", digest)),)),
            TODAY,
        )
        assert found.status == status
        assert (found.findings[0].verdict == "ACCEPTED") == (status == 0)
        assert status == 0 or any("accept" in one for one in found.remarks)


def test_costs_are_judged_between_equal_devices(base):
    """A third slower on the same device fails a tolerance of 20 %;
    on another device it is not judged; bytes of weights always are.
    """
    rules = Gate(costs=(CostRule("images_per_second", 0.2), CostRule("checkpoint_bytes", 0.1)))
    slow = dataclasses.replace(
        base, cost={**base.cost, "images_per_second": base.cost["images_per_second"] / 1.5}
    )
    assert [one.verdict for one in check(slow, {"previous": base}, rules, TODAY).costs] == [
        "FAIL",
        "PASS",
    ]
    away = dataclasses.replace(
        slow,
        environment={**base.environment, "device": "another"},
        cost={**slow.cost, "checkpoint_bytes": 10**9},
    )
    found = check(away, {"previous": base}, rules, TODAY)
    assert [one.verdict for one in found.costs] == ["SHOWN", "FAIL"]
    assert output_formats.first_line(found).startswith("FAIL checkpoint_bytes")


def test_looks_are_counted(base):
    """A run that was extended once is judged at Pocock's level of two looks,
    and the page says so.
    """
    again = dataclasses.replace(base, plan={**base.plan, "looks": 2})
    found = check(again, {"previous": base}, Gate(), TODAY)
    assert (found.look, round(found.alpha, 4)) == (2, 0.0304)
    assert any("together they have more" in one for one in found.remarks)
    assert any("look 2 of 2" in one for one in found.remarks)


def test_failures_of_many_rules_are_adjusted(base):
    """Ten rules whose p is 2 % each are no failure after Holm."""
    from genbench.gate.judge import _settled
    from genbench.gate.results import Finding
    from genbench.statistics.noninferiority import Change

    at_two = Change(2.2 * 0.1, 0.1, 19.0, paired=True)
    one = [
        Finding(
            "digits",
            f"m{i}",
            "all",
            "previous",
            "fail",
            "FAIL",
            change=at_two,
            margin=0.05,
            p=at_two.p(),
        )
        for i in range(10)
    ]
    assert 0.01 < at_two.p() < 0.025
    assert {found.verdict for found in _settled(one, Gate(), 0.05)} == {"INCONCLUSIVE"}
    assert _settled(one[:1], Gate(), 0.05)[0].verdict == "FAIL"


@pytest.fixture
def hostile(base):
    """A failed check of a model with a hostile label, and a class of a hostile name."""
    worse = moved(base, by=2.0)
    part = dataclasses.replace(base.scores[-1], part=f"class {HOSTILE}", n=87)
    worse = dataclasses.replace(
        worse, plan={**worse.plan, "label": HOSTILE}, scores=(*worse.scores, part)
    )
    return check(
        worse, {"previous": dataclasses.replace(base, scores=(*base.scores, part))}, Gate(), TODAY
    )


def test_hostile_names_are_harmless(hostile):
    """Control characters reach no output; Markdown holds no tag and no open cell, XML parses,
    workflow lines are one command each.
    """
    text, page, lines = (
        output_formats.text(hostile),
        output_formats.markdown(hostile),
        output_formats.workflow_lines(hostile),
    )
    for said in (text, page, *lines, output_formats.junit(hostile)):
        assert not any(sign in said for sign in ("\x1b", "\r"))
    assert "<img" not in page
    assert "</script>" not in page
    assert "://x" not in page  # a link by itself
    assert "##[" not in text
    assert output_formats.written(hostile).isascii()
    assert all(
        line.count(" | ") == 7
        for line in page.splitlines()
        if line.startswith("| ") and "class" in line
    )
    assert all(
        line.startswith(("::error title=genbench check::", "::warning title=genbench check::"))
        and "\n" not in line
        for line in lines
    )
    # our own
    names = [
        case.get("name")
        for case in Tree.fromstring(output_formats.junit(hostile)).iter("testcase")  # noqa: S314
    ]
    assert len(names) == len(set(names)) == len(hostile.findings)
    # a string of JSON, which nothing runs
    assert json.loads(output_formats.written(hostile))["candidate"]["label"] == HOSTILE


def test_the_answer_of_programs_is_complete(base):
    """check.json names every rule with its change, bounds, margin, n, r and verdict,
    as numbers that JSON has.
    """
    found = json.loads(
        output_formats.written(
            check(moved(base, by=1.5), {"previous": base}, Gate(), TODAY), "genbench check -b main"
        )
    )
    first = found["rules"][0]
    assert (
        found["schema"],
        found["verdict"],
        found["exit"],
        first["metric"],
        first["against"],
    ) == (1, "FAIL", 1, "fd_digits", "previous")
    assert first["low"] <= first["change"] <= first["high"]
    assert first["margin"] == pytest.approx(0.04879, abs=1e-5)
    assert {
        "corrected",
        "correlation",
        "needed_n",
        "detectable",
        "se",
        "paired",
        "alpha",
        "n",
    } <= set(first)


def test_a_page_too_long_leaves_sections_out(base, monkeypatch):
    """Beyond GitHub's limit whole sections are left out, and named;
    the first line always stands.
    """
    monkeypatch.setattr(output_formats, "SUMMARY", 600)
    page = output_formats.markdown(check(moved(base, by=1.5), {"previous": base}, Gate(), TODAY))
    assert len(page.encode()) < 900
    assert "Left out for want of room: numbers" in page


def test_ten_annotations_at_most(base):
    """GitHub drops more than ten in silence: the tenth says how many there are besides."""
    rules = tuple(Rule(f"m{i}") for i in range(14))
    lines = output_formats.workflow_lines(check(base, {"previous": base}, Gate(rules=rules), TODAY))
    assert len(lines) == 10
    assert lines[-1].endswith("(+4 more in check.json)")


@pytest.mark.parametrize("status", ["failed", "undefined", "skipped"])
def test_a_first_number_that_is_none_is_missing(base, status):
    """Where the candidate's Fréchet distance failed, the check does not fall back on numbers that
    only warn: exit 3.
    """
    scores = tuple(
        dataclasses.replace(s, status=status, value=None, reason="x")
        if s.metric == "fd_digits"
        else s
        for s in base.scores
    )
    found = check(
        dataclasses.replace(moved(base), scores=scores), {"previous": base}, Gate(), TODAY
    )
    assert (found.verdict, found.status) == ("MISSING", 3)
    gone = tuple(s for s in base.scores if s.metric != "fd_digits")
    assert (
        check(
            dataclasses.replace(moved(base), scores=gone), {"previous": base}, Gate(), TODAY
        ).status
        == 3
    )


def with_class(found, by=1.0, n=87):
    """The record with a kernel distance of class 3."""
    kd = next(s for s in found.scores if s.metric == "kd_digits")
    part = dataclasses.replace(
        kd,
        part="class 3",
        n=n,
        value=0.1 * by,
        left_out=tuple(0.1 * by + (x - kd.value) for x in kd.left_out),
        real=0.0,
        real_high=0.01,
    )
    return dataclasses.replace(found, scores=(*found.scores, part))


def test_a_rule_for_a_class_of_few_samples_does_not_pass(base):
    """A class that must not regress and has too few samples to be judged is inconclusive;
    with enough it fails, and only warns without a rule.
    """
    rules = Gate(rules=(Rule("fd_digits"), Rule("kd_digits", "class 3")))
    assert (
        check(
            with_class(moved(base), 9.0, n=40), {"previous": with_class(base, n=40)}, rules, TODAY
        ).status
        == 4
    )
    assert (
        check(with_class(moved(base), 9.0), {"previous": with_class(base)}, rules, TODAY).status
        == 1
    )
    usual = check(with_class(moved(base), 9.0), {"previous": with_class(base)}, Gate(), TODAY)
    assert (usual.status, [one.verdict for one in usual.findings if one.part == "class 3"]) == (
        0,
        ["FAIL"],
    )
    assert any(
        "classes are not judged" in one
        for one in check(with_class(moved(base)), {"previous": base}, Gate(), TODAY).remarks
    )


def test_an_acceptance_is_of_its_own_rule(base):
    """Taking on a failure of the whole takes on no failure of a class,
    and one below ten samples to a dimension covers the kernel distance in its place.
    """
    worse = with_class(moved(base, "kd_digits", -9.0), 9.0)
    accept = Acceptance(datetime.date(2999, 1, 1), "on purpose", treatment_digest(worse))
    rules = Gate(rules=(Rule("kd_digits", accept=accept), Rule("kd_digits", "class 3")))
    found = check(worse, {"previous": with_class(base)}, rules, TODAY)
    assert {one.part: one.verdict for one in found.findings} == {
        "all": "ACCEPTED",
        "class 3": "FAIL",
    }
    few = small(moved(moved(base, by=3.0), "kd_digits", -4.0))
    found = check(
        few, {"previous": small(base)}, Gate(rules=(Rule("fd_digits", accept=accept),)), TODAY
    )
    assert found.status == 0


def test_the_users_margin_goes_before_the_stand_ins(base):
    """Where the kernel distance has a rule of its own, its margin is judged,
    also in place of a Fréchet distance of few samples.
    """
    ours = small(moved(base, "kd_digits", 0.9))
    strict = Gate(rules=(Rule("fd_digits"), Rule("kd_digits", margin=0.0)))
    judged = [
        one
        for one in check(ours, {"previous": small(base)}, strict, TODAY).findings
        if one.metric == "kd_digits"
    ]
    assert len(judged) == 1
    assert not judged[0].why


def test_other_constants_are_another_number(base):
    """Precision with another k is not held against the baseline's,
    though name and formula are the same.
    """
    protocol = base.plan["protocols"]["digits"]
    measures = [
        {**m, "constants": {"k": 10}} if m["metric"] == "precision" else m
        for m in protocol["measures"]
    ]
    there = dataclasses.replace(
        base, plan={**base.plan, "protocols": {"digits": {**protocol, "measures": measures}}}
    )
    with pytest.raises(
        NotComparable, match=r"precision_digits was taken otherwise there \(constants\)"
    ):
        check(base, {"previous": there}, Gate(), TODAY)


def test_a_cost_from_nothing_is_no_pass(base):
    """A cost that was 0 and is not any more fails; one that a side did not measure is missing,
    or a warning where the gate says so.
    """
    rule = Gate(
        costs=(CostRule("evaluations_per_image", 0.1), CostRule("peak_gpu_memory_bytes", 0.1))
    )
    there = dataclasses.replace(base, cost={**base.cost, "evaluations_per_image": 0.0})
    assert [one.verdict for one in check(base, {"previous": there}, rule, TODAY).costs] == [
        "FAIL",
        "MISSING",
    ]
