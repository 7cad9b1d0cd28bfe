"""`genbench export` of numbers: each form is what its reader reads, with interval and n,
and no name does harm.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from helpers.places import ROOT

from genbench.cli.commands.export import RESULTS
from genbench.leaderboards import entries, export_results
from genbench.runs.records import record

BOARD = ROOT / "leaderboards" / "digits"
ENTRY = next(entry for entry in entries.entries(BOARD) if entry.label == "ddpm")
SCORES = {one.metric: one for one in ENTRY.record.scores}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "x\r\n::error file=a::b",
    "\x1b[31mred\x9b31m",
    "=cmd|' /C calc'!A0",
    "a | b](http://x) **",
    "\\input{x} $ % _",
    '": {x: 1}\n- y',
]


@pytest.fixture
def entry(here):
    path = here / "entry.json"
    record.write(path, ENTRY.record)
    return path


def hostile(path, name):
    """The entry with a stranger's word wherever a stranger has one."""
    old = ENTRY.record
    protocol = {**old.plan["protocols"]["digits"], "dataset": name}
    identity = {**old.plan["identity"], "generator": name, "conditions": {"labels": name}}
    scores = tuple(replace(one, flags=(name,)) for one in old.scores)
    record.write(
        path,
        replace(
            old,
            plan={
                **old.plan,
                "label": name,
                "identity": identity,
                "protocols": {"digits": protocol},
            },
            scores=scores,
        ),
    )


def test_the_forms_are_the_commands():
    assert set(export_results.FORMS) == set(RESULTS)


def test_hugging_face_reads_a_list_with_ids_value_date_source_and_notes(cli, entry):
    """As YAML by its usual reader: every number of the entry to the last digit,
    the interval and n in the notes; a small number stays a number.
    """
    small = replace(ENTRY.record.scores[0], value=1e-05, low=0.0, high=2e-05)
    record.write(entry, replace(ENTRY.record, scores=(small, *ENTRY.record.scores[1:])))
    status, out, _ = cli(
        "export",
        entry,
        "--to",
        "hf-results",
        "--dataset-id",
        "me/digits",
        "--source-url",
        "https://example.org/run.json",
    )
    assert status == 0
    rows = yaml.safe_load(out)
    assert {row["dataset"]["id"] for row in rows} == {"me/digits"}
    assert [row["value"] for row in rows] == [
        1e-05,
        *(one.value for one in ENTRY.record.scores[1:]),
    ]
    kd = next(row for row in rows if row["dataset"]["task_id"] == "digits/kd_digits")
    assert kd["date"] == ENTRY.record.created[:10]
    assert kd["source"] == {
        "url": "https://example.org/run.json",
        "name": f"genbench run {ENTRY.record.id}",
    }
    assert kd["notes"].startswith(
        f"95 % interval {SCORES['kd_digits'].low:.6g} to {SCORES['kd_digits'].high:.6g}; n = 870; "
        "lower is better"
    )


def test_github_action_benchmark_has_an_array_to_each_direction(cli, entry):
    """Printed as one object, written as the two files that its tools read."""
    told = json.loads(cli("export", entry, "--to", "gha-benchmark")[1])
    assert {one["unit"] for one in told["customSmallerIsBetter"]} == {"fd_digits", "kd_digits"}
    assert len(told["customBiggerIsBetter"]) == 6
    assert all(
        set(one) == {"name", "unit", "value", "range", "extra"}
        for array in told.values()
        for one in array
    )
    status, out, _ = cli("export", entry, "--to", "gha-benchmark", "--out", "bench")
    assert (status, out.count("tool: ")) == (0, 2)
    for tool, array in told.items():
        assert json.loads((Path("bench") / f"{tool}.json").read_text()) == array


def test_bencher_has_value_and_bounds(cli, entry):
    told = json.loads(cli("export", entry, "--to", "bmf")[1])
    assert told == {
        "digits / ddpm / digits": {
            name: {"value": one.value, "lower_value": one.low, "upper_value": one.high}
            for name, one in SCORES.items()
        }
    }


def test_csv_and_card_and_latex_have_every_number(cli, entry):
    rows = list(csv.DictReader(io.StringIO(cli("export", entry, "--to", "csv")[1])))
    assert {row["metric"]: float(row["value"]) for row in rows} == {
        name: one.value for name, one in SCORES.items()
    }
    assert rows[0]["flags"] == ""
    card = cli("export", entry, "--to", "model-card")[1]
    latex = cli("export", entry, "--to", "latex")[1]
    for name in SCORES:
        assert name in card
        assert name.replace("_", r"\_") in latex


def test_a_number_that_is_none_is_not_exported(cli, entry):
    """Skipped, failed and undefined have no value; a run of nothing else is refused."""
    skipped = tuple(
        replace(one, status="skipped", value=None, low=None, high=None, reason="x")
        for one in ENTRY.record.scores
    )
    record.write(entry, replace(ENTRY.record, scores=(*ENTRY.record.scores[:1], *skipped[1:])))
    assert len(yaml.safe_load(cli("export", entry, "--to", "hf-results")[1])) == 1
    record.write(entry, replace(ENTRY.record, scores=skipped))
    assert cli("export", entry, "--to", "hf-results")[0] == 2


def test_what_is_there_is_not_written_over(cli, entry):
    assert cli("export", entry, "--to", "hf-results", "--out", ".eval_results/digits.yaml")[0] == 0
    assert Path(".eval_results/digits.yaml").read_text().startswith("- dataset:")
    status, _, err = cli(
        "export", entry, "--to", "hf-results", "--out", ".eval_results/digits.yaml"
    )
    assert (status, "exists already" in err) == (2, True)


def test_words_of_numbers_do_not_go_with_samples(cli, entry):
    assert cli("export", entry, "--to", "zip", "--dataset-id", "me/x")[0] == 2
    assert cli("export", entry, "--to", "model-card", "--source-url", "javascript:alert(1)")[0] == 2


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", RESULTS)
def test_hostile_names_do_no_harm(cli, entry, form, name):
    """No form has a control character, a workflow command at a line's beginning, a formula, a tag,
    a torn table or a second key.
    """
    hostile(entry, name)
    status, out, err = cli("export", entry, "--to", form, "--dataset-id", name)
    assert status == 0, err
    assert all(c == "\n" or c.isprintable() for c in out)
    assert not re.search(r"^\s*(::|##\[)", out, re.MULTILINE)
    if form == "hf-results":
        rows = yaml.safe_load(out)
        assert len(rows) == len(SCORES)
        assert all(set(row) == {"dataset", "value", "date", "source", "notes"} for row in rows)
    if form in ("gha-benchmark", "bmf"):
        assert json.loads(out)
    if form == "csv":
        assert not any(
            cell[:1] in ("=", "@") for row in csv.reader(io.StringIO(out)) for cell in row
        )
    if form == "model-card":
        assert "<" not in out
        assert not re.search(r"(?<!\\)\]\(", out)
        table = re.search(r"(?:^\|.*\n)+", out, re.MULTILINE)[0]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    if form == "latex":
        assert not re.search(r"\\input|(?<!\\)%", out)
