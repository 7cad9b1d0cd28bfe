"""The record: what was written is what is read, by this genbench and by later ones."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from helpers.places import TESTS

from genbench._util.checksummed_files import Damaged, write_json
from genbench._util.errors import RunFailed, UserError
from genbench.runs.records import find, record
from genbench.runs.records.record import Record, Score

EXAMPLES = TESTS / "data" / "records"

OK = Score(
    "digits",
    "fd_digits",
    value=1.5,
    se=0.1,
    se_reference=None,
    low=1.3,
    high=1.7,
    n=40,
    flags=("a flag",),
    left_out=(1.4, 1.6),
    real=0.1,
    real_high=0.2,
)
SKIPPED = Score(
    "digits",
    "is_digits",
    status="skipped",
    reason="needs at least 50 samples – größer",
    better="higher",
)
FOUND = Record(
    id="0123456789abcdef",
    plan={
        "label": "noise",
        "competitor": True,
        "quantise": "round",
        "identity": {
            "generator": "noise",
            "n": 40,
            "first_seed": 0,
            "conditions": {},
            "options": {},
        },
        "protocols": {
            "digits": {
                "dataset": "digits",
                "n": 40,
                "labels": "balanced",
                "fits": True,
                "splits": {},
                "real": [],
                "extractors": {},
                "measures": [],
            }
        },
    },
    scores=(OK, SKIPPED),
    environment={"python": "3.11", "cuda": None, "tf32": False},
    cost={"seconds": {"sample": 0.25}},
    created="2026-01-02T03:04:05+00:00",
    genbench="0.1.0",
)


def test_a_record_comes_back_as_it_was(tmp_path):
    """What is read is equal to what was written, in every field, value by value,
    and knows where it lies.
    """
    assert record.write(tmp_path / "run.json", FOUND) == FOUND
    again = record.read(tmp_path / "run.json")
    assert again == FOUND
    assert again.to_json() == FOUND.to_json()
    assert again.folder == str(tmp_path)
    assert again.scores[1].value is None


def test_the_keys_of_the_file_are_the_documented_ones(tmp_path):
    """run.json has the keys that record.py's docstring names, and no others."""
    record.write(tmp_path / "run.json", FOUND)
    found = json.loads((tmp_path / "run.json").read_text())
    assert set(found) == {
        "schema",
        "id",
        "genbench",
        "created",
        "plan",
        "dataset",
        "scores",
        "environment",
        "cost",
        "shards",
        "digest",
    }
    assert all(f'"{key}"' in record.__doc__ for key in found)


@pytest.mark.parametrize("schema", range(1, record.SCHEMA + 1))
def test_an_example_of_every_schema_is_read(schema):
    """The committed example of each schema, this one included,
    reads as a record of today with its numbers in place.
    """
    found = record.read(EXAMPLES / f"schema-{schema}.json")
    assert (found.schema, found.id, found.plan["label"]) == (
        record.SCHEMA,
        "0123456789abcdef",
        "noise",
    )
    assert (found.scores[0].value, found.scores[0].left_out, found.scores[1].status) == (
        1.5,
        (1.4, 1.6),
        "skipped",
    )


def test_every_schema_has_its_step():
    """From each schema before this one there is one step upwards."""
    assert set(record.UPGRADES) == set(range(1, record.SCHEMA))


def test_an_older_file_is_upgraded_step_by_step(tmp_path, monkeypatch):
    """A file of an older schema goes through every step in turn before it is read."""
    monkeypatch.setattr(record, "SCHEMA", 3)
    monkeypatch.setattr(
        record,
        "UPGRADES",
        {
            1: lambda c: {**c, "cost": {"steps": [1]}, "schema": 2},
            2: lambda c: {**c, "cost": {"steps": [*c["cost"]["steps"], 2]}, "schema": 3},
        },
    )
    write_json(tmp_path / "run.json", {**FOUND.to_json(), "schema": 1})
    found = record.read(tmp_path / "run.json")
    assert (found.cost, found.schema) == ({"steps": [1, 2]}, 3)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"schema": record.SCHEMA + 1, "invented": 1},
            (
                f"has schema {record.SCHEMA + 1}, this genbench reads up to {record.SCHEMA}: "
                "pip install --upgrade genbench"
            ),
        ),
        ({"schema": None}, "is not a record of genbench: it has no schema number"),
        ({"schema": "1"}, "is not a record of genbench: it has no schema number"),
        ({"schema": 0}, "is not a record of genbench: it has no schema number"),
        ({"schema": -3}, "is not a record of genbench: it has no schema number"),
        ({"schema": True}, "is not a record of genbench: it has no schema number"),
        ({"invented": 1}, f"is not a record of schema {record.SCHEMA}"),
        ({"scores": [{"metric": "fd"}]}, f"is not a record of schema {record.SCHEMA}"),
        ({"scores": 3}, f"is not a record of schema {record.SCHEMA}"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(tmp_path, changes, line):
    """A sealed file of a newer schema is refused with the way out,
    and one that is no record with what it lacks; never a traceback.
    """
    path = tmp_path / "run.json"
    write_json(path, {**FOUND.to_json(), **changes})
    with pytest.raises(UserError) as caught:
        record.read(path)
    assert str(caught.value).startswith(f"{path} {line}")


def test_a_record_without_its_scores_is_refused(tmp_path):
    """A sealed file that lacks a key is no record."""
    content = FOUND.to_json()
    del content["scores"]
    write_json(tmp_path / "run.json", content)
    with pytest.raises(UserError, match="is not a record of schema"):
        record.read(tmp_path / "run.json")


def test_a_number_changed_by_hand_is_noticed(tmp_path):
    """A record whose value was edited is Damaged, not another value."""
    path = tmp_path / "run.json"
    record.write(path, FOUND)
    path.write_text(path.read_text().replace("1.5", "1.4"))
    with pytest.raises(Damaged, match="does not match its checksum"):
        record.read(path)


def test_a_disk_that_gives_back_something_else_is_found_out(tmp_path, monkeypatch):
    """What cannot be read back as it was written does not count as written."""
    monkeypatch.setattr(record, "read", lambda path: replace(FOUND, id="another"))
    with pytest.raises(RunFailed, match="reads back differently"):
        record.write(tmp_path / "run.json", FOUND)


def _runs(out):
    for place, name in enumerate(("aa11", "ab22", "cc33")):
        record.write(out / name / "run.json", replace(FOUND, id=name))
        os.utime(out / name / "run.json", (place, place))
    (out / "dd44").mkdir()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (None, "cc33"),
        ("aa", "aa11"),
        ("ab22", "ab22"),
        ("OUT/aa11", "aa11"),
        ("OUT/ab22/run.json", "ab22"),
    ],
)
def test_a_run_is_found_by_what_one_has_of_it(tmp_path, word, name):
    """A folder, a file, an id's beginning, or nothing for the newest lead to the record."""
    _runs(tmp_path)
    assert find.find(word and word.replace("OUT", str(tmp_path)), tmp_path).id == name


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("zz", "no finished run begins with zz"),
        ("/no/such", "no finished run begins with /no/such"),
        ("**", "no finished run begins with **"),
        ("[a", "no finished run begins with [a"),
        ("a\x1b", "no finished run begins with a?"),
        ("a", "several runs begin with a"),
        ("OUT/dd44", "has no finished run: give genbench run the same words again"),
    ],
)
def test_a_run_that_is_not_there_is_said_so(tmp_path, word, line):
    """An unknown beginning, an ambiguous one and an unfinished folder each have their line."""
    _runs(tmp_path)
    with pytest.raises(UserError) as caught:
        find.find(word.replace("OUT", str(tmp_path)), tmp_path)
    assert line in str(caught.value)


def test_a_damaged_run_is_named_with_its_remedy(tmp_path):
    """A run whose record was damaged is a line that says how it is made again."""
    _runs(tmp_path)
    (tmp_path / "cc33" / "run.json").write_text("{")
    with pytest.raises(UserError, match="makes it again from its shards"):
        find.find("cc", tmp_path)


def test_scores_go_into_a_table_and_a_page():
    """A record's frame has a row per score, and its page for notebooks escapes what a
    plugin says.
    """
    assert FOUND.frame()["metric"].tolist() == ["fd_digits", "is_digits"]
    assert (
        "<script>"
        not in replace(
            FOUND, scores=(replace(SKIPPED, reason="<script>alert(1)</script>"),)
        )._repr_html_()
    )
