"""Rows of one's own that are a little wrong, and runs of a few samples:
one line each, or a flag on the number, and never a number that looks sound.
"""

from __future__ import annotations

import inspect
import json
import re

import pytest
from helpers.places import TESTS

from genbench.api import _registry as registry
from genbench.api.metric import Measure
from genbench.api.validation import RowError
from genbench.runs.planning.measures import is_allowed

OLD = TESTS / "data" / "records" / "schema-1.json"
OWN = """
from genbench.api import Measure, Protocol

ROW = Protocol(
    name="own", title="t", dataset="any", n=40, labels="balanced", quantise="round", measures=(Measure({measure}, name="mine"),),
)
"""  # noqa: E501
LEAST = """
import torch, genbench

@genbench.hookimpl
def sample(n):
    return torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8)
"""
BEYOND = """
from genbench.api import Metric, Measure, Protocol

def beyond(arrays):
    return 1.5 + 0.01 * float(arrays["samples"].std())

METRIC = Metric(name="beyond", title="t", needs=("samples",), better="higher", range=(0, 1), interval="jackknife", value=beyond, paper="none")
"""  # noqa: E501


def refusal(cli, here, measure):
    (here / "own.py").write_text(OWN.format(measure=measure))
    status, out, err = cli(
        "run",
        "--plugin",
        "noise",
        "--with",
        "own.py",
        "--protocol",
        "own",
        "--leaderboards",
        "none",
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("measure", "line"),
    [
        (
            '"precision", "digits.pool", "heldout", {"k": 0}',
            "the constant k of precision is 0, allowed are whole numbers from 1 to",
        ),
        (
            '"precision", "digits.pool", "heldout", {"k": 2.5}',
            "the constant k of precision is 2.5, allowed are whole numbers from 1 to",
        ),
        (
            '"precision", "digits.pool", "heldout", {"k": "3"}',
            "the constant k of precision is '3', allowed are whole numbers from 1 to",
        ),
        (
            '"recall", "digits.pool", "heldout", {"strict": 2}',
            "the constant strict of recall is 2, allowed are 0, 1",
        ),
        (
            '"fd", "digits.pool", "heldout", {"divisor": 7}',
            "the constant divisor of fd is 7, allowed are 0, 1",
        ),
        (
            '"is", "digits.logits", "", {"splits": 0}',
            "the constant splits of is is 0, allowed are whole numbers from 1 to",
        ),
        (
            '"kd_subsets", "digits.pool", "heldout", {"first": "train"}',
            "the constant first of kd_subsets is 'train', allowed are 'samples', 'reference'",
        ),
        (
            '"fd", "digits.pool", "heldout", samples_n=1',
            "samples_n 1, reference_n 0, batch 0: each a whole number, at least 2, or 0 for all",
        ),
    ],
)
def test_a_constant_that_cannot_be_is_refused(cli, here, measure, line):
    """At once, in one line with what came and what is allowed."""
    assert line in refusal(cli, here, measure)


def test_every_built_in_constant_is_allowed_what_it_is():
    """What a row allows are constants of its metric, their defaults are allowed,
    and so is what every protocol and every published number says.
    """
    metrics = registry.every("metrics")
    for row in metrics.values():
        known = {
            name: one.default
            for name, one in list(inspect.signature(row.value).parameters.items())[1:]
        }
        assert set(row.allowed) <= set(known), row.name
        assert all(is_allowed(known[name], values) for name, values in row.allowed.items()), (
            row.name
        )
    measures = [
        measure
        for protocol in registry.every("protocols").values()
        for measure in protocol.measures
    ]
    for measure in [*measures, *registry.every("measures").values()]:
        allowed = metrics[measure.metric].allowed
        assert all(
            is_allowed(value, allowed[name])
            for name, value in measure.constants.items()
            if name in allowed
        ), measure.name


def test_what_a_constant_may_be_is_shown(cli):
    """`genbench metrics NAME` says it, as text and as JSON."""
    assert "k 1 to 2147483647" in cli("metrics", "precision")[1]
    assert json.loads(cli("metrics", "fd", "--json")[1])["allowed"] == {"divisor": [0, 1]}


def test_fewer_samples_than_a_metric_needs_are_said_so(cli, here):
    """Of a run of 40 the first four, with the five nearest:
    skipped with both figures, and a run of nothing else says so.
    """
    (here / "own.py").write_text(
        OWN.format(measure='"precision", "digits.pool", "heldout", {"k": 5}, samples_n=4')
    )
    status, out, _ = cli(
        "run",
        "--plugin",
        "noise",
        "--with",
        "own.py",
        "--protocol",
        "own",
        "--leaderboards",
        "none",
    )
    assert status == 0
    assert (
        "mine skipped: needs at least 7 samples, and takes the first 4 alone: another samples_n"
        in out
    )


def test_a_row_of_one_sample_is_refused_where_it_stands():
    """A Measure names the metric in its refusal where it has no name yet."""
    with pytest.raises(RowError, match=re.escape("Measure 'fd': samples_n 1")):
        Measure("fd", "digits.pool", samples_n=1)


def test_a_value_outside_its_range_is_flagged(cli, here):
    """A stranger's metric whose range ends at 1 and whose value is above."""
    (here / "beyond.py").write_text(BEYOND)
    words = (
        "run",
        "--plugin",
        "noise",
        "--n",
        "40",
        "--with",
        "beyond.py",
        "--metrics",
        "beyond,precision",
        "--json",
        "--leaderboards",
        "none",
    )
    status, out, err = cli(*words)
    assert status == 0, err
    flags = {score["metric"]: score["flags"] for score in json.loads(out)["scores"]}
    assert "outside its range" in flags["beyond_digits"]
    assert "outside its range" not in flags["precision_digits"]


@pytest.mark.parametrize("n", [2, 3])
def test_an_inception_score_of_two_has_no_interval(cli, here, n):
    """Two samples without one are one sample, which scores 1 whatever it is:
    skipped with its reason; three have an interval of some width.
    """
    (here / "own.py").write_text(LEAST)
    status, out, err = cli(
        "run", "--plugin", "own.py", "--n", n, "--metrics", "is", "--json", "--leaderboards", "none"
    )
    assert status == 0, err
    (score,) = json.loads(out)["scores"]
    if n == 2:
        assert (score["status"], score["reason"]) == (
            "skipped",
            "needs at least 3 samples, the run has 2: --n 3",
        )
    else:
        assert score["status"] == "ok"
        assert score["high"] > score["low"]


@pytest.mark.parametrize(("command", "status"), [("show", 2), ("compare", 3)])
def test_a_fragment_of_a_record_is_said_so(cli, command, status):
    """A record that can be read and says too little: what it lacks and how to have it made,
    in one line.
    """
    found, out, err = cli(command, OLD)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert (
        f"{OLD} is an incomplete record: it lacks plan.competitor, plan.quantise, "
        "plan.identity.generator and 8 more; genbench run --fresh"
    ) in err


def test_a_run_does_not_go_on_from_a_fragment(cli, here):
    """A run.json that says too little is no traceback of the next run:
    the line names --fresh, which does it again.
    """
    words = ("run", "--plugin", "noise", "--n", "40", "--metrics", "fd", "--leaderboards", "none")
    assert cli(*words)[0] == 0
    (path,) = here.glob("runs/*/run.json")
    path.write_text(OLD.read_text())
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert "is an incomplete record: it lacks plan.competitor" in err
    assert "genbench run --fresh does the run again" in err
    assert cli(*words, "--fresh")[0] == 0
