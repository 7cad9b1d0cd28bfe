"""The cost of a sample: what a run measures of it, where it is shown,
and that none of it is made up.
"""

from __future__ import annotations

import json
import time

import pytest
import torch

from genbench.cli.main import main
from genbench.generators.generator import construct
from genbench.generators.load import locate
from genbench.leaderboards import entries, ranking, tables
from genbench.runs.run import evaluate
from genbench.runs.sampling import cost as costs

SLEEPER = """
import time, torch, genbench

@genbench.hookimpl
def sample(n, seeds):
    time.sleep(0.01 * n)
    return (genbench.uniform(seeds, (3, 8, 8)) * 255).to(torch.uint8)
"""
MEASURED = (
    "seconds_per_image",
    "images_per_second",
    "images_per_second_whole",
    "latency_p50_seconds",
    "latency_p95_seconds",
    "peak_memory_bytes",
)


@pytest.fixture
def sleeper(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    return str(tmp_path / "sleeper.py")


def test_a_run_measures_what_a_sample_costs(tmp_path, sleeper):
    """A hundredth of a second an image: alone and in batches,
    and the whole with features is slower; the call that draws nothing keeps it.
    """
    first = evaluate(sleeper, n=60, metrics=("kd",), out=tmp_path)
    cost = first.cost
    assert all(cost[key] > 0 for key in MEASURED)
    assert 0.0095 < cost["seconds_per_image"] < 0.1
    assert 0.0095 < cost["latency_p50_seconds"] <= cost["latency_p95_seconds"]
    assert cost["seconds_per_image"] == pytest.approx(1 / cost["images_per_second"], rel=1e-3)
    assert cost["images_per_second_whole"] < cost["images_per_second"]
    assert (cost["device"], cost["batch_size"], cost["images_drawn"]) == ("cpu", 50, 60)
    again = evaluate(sleeper, n=60, metrics=("kd", "precision"), out=tmp_path).cost
    assert {key: again[key] for key in MEASURED[:5]} == {key: cost[key] for key in MEASURED[:5]}


def test_a_network_says_its_size_and_type(tmp_path):
    """dcgan: the bytes of its checkpoint, its parameters, evaluations and precision."""
    cost = evaluate("dcgan", n=40, metrics=("kd",), out=tmp_path).cost
    generator = construct(locate("dcgan"), {}, None, "cpu", None)
    assert cost["parameters"] == generator.cost()["parameters"]
    assert cost["evaluations_per_image"] == 1
    assert cost["checkpoint_bytes"] > 4 * cost["parameters"]
    assert cost["dtype"] == "float32"


def test_the_bytes_of_a_folder_are_those_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "y").write_bytes(b"123")
    assert (costs.size(tmp_path), costs.size(tmp_path / "y"), costs.size(None)) == (8, 3, None)


def test_the_types_of_a_mixed_network_are_both_named(tmp_path):
    (tmp_path / "mixed.py").write_text(
        "import torch, genbench\n\nclass Mixed:\n    def __init__(self):\n"
        "        self.a, self.b = torch.nn.Linear(2, 2).half(), torch.nn.Linear(2, 2)\n\n"
        "    @genbench.hookimpl\n"
        "    def sample(self, n):\n        return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)\n"
    )
    assert (
        costs.precision(construct(locate(str(tmp_path / "mixed.py")), {}, None, "cpu", None))
        == "float16, float32"
    )
    assert costs.precision(construct(locate("noise"), {}, None, "cpu", None)) is None


def test_a_generator_that_cannot_draw_one_has_no_latency(tmp_path, capsys):
    """The run stands, and the reason is said."""
    (tmp_path / "pairs.py").write_text(
        SLEEPER.replace("    time.sleep(0.01 * n)\n", "    assert n > 1, 'batch norm'\n")
    )
    cost = evaluate(
        str(tmp_path / "pairs.py"), n=40, metrics=("kd",), out=tmp_path, batch_size=2
    ).cost
    assert (cost["latency_p50_seconds"], cost["latency_p95_seconds"]) == (None, None)
    assert cost["seconds_per_image"] > 0
    assert "no latency of one image" in capsys.readouterr().err


def test_latency_is_bounded(monkeypatch, sleeper):
    """A slow generator is asked for three images and one before them, no more."""
    monkeypatch.setattr(costs, "PATIENCE", 0.001)
    generator, calls = construct(locate(sleeper), {}, None, "cpu", None), []
    draw = generator.draw
    monkeypatch.setattr(
        generator, "draw", lambda *args: calls.append(time.monotonic()) or draw(*args)
    )
    found = costs.latency(generator, 0, None, "round")
    assert len(calls) == 4
    assert 0.0095 < found["latency_p50_seconds"] < 0.2


def test_cost_is_a_column_of_the_board(tmp_path, sleeper, capsys):
    """Seconds per image for people, everything for programs; nothing of it is ranked."""
    words = [
        "--n",
        "40",
        "--metrics",
        "kd",
        "--out",
        str(tmp_path / "runs"),
        "--leaderboards",
        str(tmp_path / "boards"),
    ]
    assert main(["run", "--plugin", sleeper, *words]) == 0
    (entry,) = entries.entries(tmp_path / "boards" / "digits")
    shown = tables.people([entry], "kd_digits")
    assert float(shown[tables.SECONDS][0]) == pytest.approx(
        entry.record.cost["seconds_per_image"], rel=0.1
    )
    capsys.readouterr()
    assert (
        main(
            [
                "leaderboard",
                "digits",
                "--leaderboards",
                str(tmp_path / "boards"),
                "--format",
                "json",
            ]
        )
        == 0
    )
    (row,) = json.loads(capsys.readouterr().out)
    assert {"seconds", *costs.DRAWN[1:3]} - set(row) == {"seconds"}
    assert row["latency_p50_seconds"] == entry.record.cost["latency_p50_seconds"]
    assert row["device"] == "cpu"
    assert ranking.metrics_of([entry]) == ["kd_digits"]


def test_an_entry_from_before_has_an_empty_cell(tmp_path, sleeper):
    """A record without a rate stands beside one that has it."""
    from dataclasses import replace

    found = evaluate(sleeper, n=40, metrics=("kd",), out=tmp_path)
    old = replace(found, id="0" * 16, cost={}, plan={**found.plan, "label": "old"})
    both = [
        entries.entry_of(one, "digits", found.plan["protocols"]["digits"]) for one in (found, old)
    ]
    shown = tables.people(both, "kd_digits").set_index("generator")[tables.SECONDS]
    assert shown.tolist().count("") == 1
    assert tables.SECONDS not in tables.people(both[1:], "kd_digits").columns


def test_memory_counts_the_largest_moment():
    """A tensor of 100 MB raises the peak by no less than that."""
    generator = construct(locate("noise"), {}, None, "cpu", None)
    before = costs.cost(generator, costs.Clock({"sample": 1.0}, 1), {}, None, {})[
        "peak_memory_bytes"
    ]
    torch.ones(before // 4 + 25_000_000)
    assert (
        costs.cost(generator, costs.Clock({"sample": 1.0}, 1), {}, None, {})["peak_memory_bytes"]
        > before
    )
