"""Files of earlier versions are read by today's code, number by number;
a schema that goes up brings an example of the one before it.

tests/data/records: schema-K*.json are records, each the first of its shape on the committed boards,
cut to three numbers and sealed anew; human-K.sql is a study, as text; shard-K.safetensors a shard's
features. An example is never changed, and never removed.
"""

from __future__ import annotations

import sqlite3

import pytest
from helpers.places import TESTS

from genbench._util.atomic_write import write
from genbench._util.checksummed_files import read_arrays
from genbench.human import answers as human_read
from genbench.human import results, store
from genbench.leaderboards import entries, write_board
from genbench.runs.records import record
from genbench.runs.sampling.shards import Shard

EXAMPLES = TESTS / "data" / "records"
#: Record -> its first number (value, low, high), and what came into records with it.
RECORDS = {
    "schema-1-2026-11-21-first": (1.1205398129543767, 0.9827019818883681, 1.2583776440203853, ""),
    "schema-1-2026-11-21-protocols": (
        1.1205398178143753,
        0.9827019947727813,
        1.2583776408559693,
        "protocols.board",
    ),
    "schema-1-2026-11-21-formulas": (
        1.1205398146830419,
        0.9827019845094589,
        1.2583776448566248,
        "dataset",
    ),
    "schema-1-2026-11-28-tuned": (
        1.12053657839256,
        0.9826978766787964,
        1.2583752801063237,
        "plan.tuned",
    ),
    "schema-1-2026-11-28-shards": (
        1.12053657839256,
        0.9826978766787964,
        1.2583752801063237,
        "shards",
    ),
    "schema-2-2026-12-01-versions": (
        1.12053657839256,
        0.9826978766787964,
        1.2583752801063237,
        "plan.protocols.measures.interval",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_then_has_its_numbers_today(name):
    """Value and interval to the last digit, twenty leave-outs,
    and nothing lacking that showing and comparing need.
    """
    value, low, high, _ = RECORDS[name]
    found = record.read(EXAMPLES / f"{name}.json")
    first = found.scores[0]
    assert (
        first.metric,
        first.value,
        first.low,
        first.high,
        len(first.left_out),
        first.status,
    ) == ("fd_digits", value, low, high, 20, "ok")
    assert (
        found.plan["label"],
        len(found.scores),
        record.lacking(found),
        record.plan_of(found).n,
    ) == ("vae", 3, "", 870)


def test_records_of_all_times_stand_on_one_board_and_are_shown(tmp_path, cli):
    """Entered one after the other they are one label, of which the newest stands (the last agrees
    with it, under the same entry id, and leaves it as it is); `genbench show` prints the oldest.
    """
    for name in RECORDS:
        write_board.enter(record.read(EXAMPLES / f"{name}.json"), tmp_path)
    found = entries.entries(tmp_path / "digits")
    assert [(one.label, one.record.created[:10]) for one in found] == [("vae", "2026-11-28")]
    status, out, _ = cli("show", EXAMPLES / "schema-1-2026-11-21-first.json")
    assert (status, "1.12 ± 0.14" in out) == (0, True)


def test_every_schema_has_its_example():
    """Records, studies and shards: an example of each schema number up to today's,
    and no record here that no line of RECORDS speaks of.
    """
    names = {path.name for path in EXAMPLES.iterdir()}
    assert {f"schema-{k}.json" for k in range(1, record.SCHEMA + 1)} | {
        f"human-{k}.sql" for k in range(1, store.SCHEMA + 1)
    } <= names
    assert {path.stem for path in EXAMPLES.glob("schema-*-*-*.json")} == set(RECORDS)


@pytest.mark.parametrize("schema", range(1, store.SCHEMA + 1))
def test_a_study_of_then_is_counted_today(schema, tmp_path):
    """Every answer of the one rater, who told real from fake each time."""
    with sqlite3.connect(":memory:") as base:
        base.executescript((EXAMPLES / f"human-{schema}.sql").read_text())
        write(tmp_path / "study.db", base.serialize())
    base.close()
    study = human_read.read(store.Store(tmp_path / "study.db"))
    answers = human_read.detections(study, [1])
    assert list(answers) == ["noise"]
    assert results.found(study)["raters"]


def test_a_shard_of_then_is_read_today():
    """Arrays, their sum to the last digit, and what the file says of itself."""
    arrays, said = read_arrays(EXAMPLES / "shard-1.safetensors")
    assert (list(arrays), arrays["pool"].shape, float(arrays["pool"].sum())) == (
        ["pool"],
        (3, 64),
        7.995105743408203,
    )
    assert (said["shard"], said["quantise"], said["images"][:8]) == (
        Shard(0, 0, arrays["pool"][:, 0]).name,
        "round",
        "b67754d3",
    )
