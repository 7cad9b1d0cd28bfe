"""Runs of more samples than memory holds: what is streamed is what all rows give,
and what is taken of fewer says so.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest
from helpers.places import DOCS

import genbench
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.metrics import _streaming as large_runs
from genbench.statistics import moments

ROWS = """
import torch
from genbench.api import Extractor, Measure, Protocol


def load(device):
    def features(images):
        x = images.float() / 255
        means = torch.stack([x[..., :2].mean((1, 2, 3)), x[..., -2:].mean((1, 2, 3)), x[:, 0, :2].mean((1, 2)), x[:, 0, -2:].mean((1, 2))], 1)
        return {"of": means, "torn": torch.where(means[:, :1] > 0.5, torch.nan, means)}

    return features


EDGES = Extractor("edges", "edges", {"of": 4, "torn": 4}, 32, "none", None, "nothing", load)
PROTOCOL = Protocol(
    name="many", title="", dataset="digits", n=300, labels="balanced", quantise="round",
    measures=(
        Measure("kd", "edges.of", "heldout", name="kd"),
        Measure("fd", "edges.of", "heldout", name="fd"),
        Measure("fd", "edges.of", "heldout", name="batched", batch=50),
        Measure("fd", "edges.of", "heldout", name="rounded", precision="float16"),
        Measure("fd", "edges.of", "heldout", {"divisor": 0}, name="divided"),
        Measure("fd", "edges.of", "heldout", name="mirrored", mirrored=True),
        Measure("fd", "edges.of", "heldout", name="few_real", reference_n=700),
        Measure("fd", "edges.of", "heldout", name="more_real", reference_n=10_000),
        Measure("fd", "edges.of", "heldout", name="first", samples_n=222),
        Measure("fd_extrapolated", "edges.of", "heldout", name="line"),
        Measure("kd", "edges.of", "heldout", name="kd_batched", batch=7),
    ),
)
TORN = Protocol(
    name="torn", title="", dataset="digits", n=300, labels="balanced", quantise="round",
    measures=(Measure("fd", "edges.torn", "heldout", name="fd"), Measure("fd", "edges.of", "heldout", name="whole")),
)
"""  # noqa: E501
WIDTH, FIRST = 4, 100


@pytest.fixture
def numbers(tmp_path, monkeypatch):
    """numbers(n, protocol) -> {name: Score}, by the rows above."""
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    monkeypatch.setattr(registry, "_with", [])
    (tmp_path / "rows.py").write_text(ROWS)
    registry.add_file(tmp_path / "rows.py")

    def call(n, protocol="many", plugin="dcgan", **more):
        return {
            one.metric: one
            for one in genbench.evaluate(
                plugin, protocols=(protocol,), n=n, out=tmp_path / "runs", **more
            ).scores
        }

    return call


def as_if_large(monkeypatch):
    """As if memory held 100 rows."""
    monkeypatch.setattr(large_runs, "LARGEST", 8 * WIDTH * FIRST)
    monkeypatch.setattr(large_runs, "SAMPLE", 8 * WIDTH * FIRST)
    monkeypatch.setattr(moments, "CHUNK", 7 * WIDTH)


STREAMED = ("fd", "batched", "rounded", "divided", "mirrored", "few_real", "more_real", "first")


def test_streamed_moments_give_what_all_rows_give(numbers, monkeypatch):
    """Every part of a streamed number: value, interval, the reference's error,
    what real data scores, leave-outs, sizes and flags.
    """
    whole = numbers(300)
    as_if_large(monkeypatch)
    found = numbers(300, fresh=True)
    assert list(found) == list(whole)
    for name in STREAMED:
        for key in ("value", "se", "se_reference", "low", "high", "real", "real_high", "left_out"):
            # None: NaN
            was, now = (
                np.array(getattr(one, key), dtype=np.float64) for one in (whole[name], found[name])
            )
            assert now == pytest.approx(was, rel=1e-8, nan_ok=True), (name, key)
        for key in ("n", "sizes", "flags", "status"):
            assert getattr(found[name], key) == getattr(whole[name], key), (name, key)


def test_other_numbers_are_those_of_a_shorter_run_and_say_so(numbers, monkeypatch):
    short = numbers(FIRST)
    as_if_large(monkeypatch)
    found = numbers(300)
    for name, n, why in (
        ("kd", 100, "its cost grows with the number of pairs"),
        ("line", 100, "the features of more do not fit into memory"),
    ):
        for key in (
            "value",
            "se",
            "se_reference",
            "low",
            "high",
            "real",
            "real_high",
            "left_out",
            "n",
        ):
            assert getattr(found[name], key) == pytest.approx(
                getattr(short[name], key), rel=1e-8
            ), (name, key)
        assert f"of the first {n} of 300 samples: {why}" in found[name].flags
        assert sum(found[name].sizes) == n
    assert (
        "of the first 98 of 294 samples: its cost grows with the number of pairs"
        in found["kd_batched"].flags
    )
    assert found["kd_batched"].n == 98


def test_features_that_are_no_numbers_fail_their_own_measure_alone(numbers, monkeypatch):
    as_if_large(monkeypatch)
    found = numbers(300, "torn", "noise")  # of which half are brighter than any digit at the edge
    assert (found["fd"].status, found["whole"].status) == ("failed", "ok")
    assert (
        found["fd"].reason == "the features edges.torn of the samples hold NaN or infinite values"
    )


@pytest.mark.parametrize(
    ("metric", "width", "n", "first", "streamed"),
    [
        ("fd", 2048, 10_000, 0, False),
        ("fd", 2048, 50_000, 0, True),
        ("kd", 2048, 50_000, 0, False),
        ("precision", 2048, 50_000, 0, False),
        ("fd", 2048, 1_000_000, 0, True),
        ("fd", 64, 1_000_000, 0, True),
        ("fd", 8192, 100_000, 0, False),  # moments of 20 blocks would be more than its rows
        ("kd", 2048, 1_000_000, 16_384, False),
        ("kd", 64, 1_000_000, 50_000, False),
        ("precision", 64, 50_001, 50_000, False),
        ("is", 1008, 1_000_000, 33_288, False),
        ("label_accuracy", 10, 1_000_000, 0, False),
        ("fd_extrapolated", 2048, 1_000_000, 16_384, False),
        ("ppl", 0, 1_000_000, 0, False),
        ("diversity", 0, 1_000_000, 0, False),
    ],
)
def test_which_numbers_are_of_all_samples(metric, width, n, first, streamed):
    """The rule: as many as memory holds, 50,000 where pairs are compared;
    nothing is taken of fewer in the runs of the papers.
    """
    row = registry.find("metrics", metric.replace("ppl", "path_length"))
    assert (large_runs.first_of(row, width, n)[0], large_runs.streams(row, width, n)) == (
        first,
        streamed,
    )


def test_the_guide_says_the_rule():
    """What docs/scale.md says of it follows from the constants."""
    said = (DOCS / "scale.md").read_text()
    assert f"({large_runs.LARGEST // (8 * 2048):,} samples 2,048 wide)" in said
    assert (
        f"{large_runs.SAMPLE // 2**20} MB ({large_runs.SAMPLE // (8 * 2048):,} of width 2,048)"
        in said
    )
    assert f"the first {large_runs.PAIRED:,}, or as many as fit" in said


@pytest.mark.parametrize("name", ["fd", "kd"])
def test_what_a_number_was_made_from_goes_with_it(name):
    """No circle keeps features or moments until the garbage collector comes:
    at 50,000 by 2,048 each of a hundred splits would leave gigabytes behind.
    """
    metric = registry.find("metrics", name)
    rng = np.random.default_rng(0)

    def measured():
        held = {side: rng.normal(size=(60, 8)) for side in ("samples", "reference")}
        arrays = Arrays(held)
        metric.value(arrays)
        metric.left_out(arrays, np.arange(60) % 20, "samples")
        metric.left_out(arrays, np.arange(60) % 20, "reference")

    measured()  # imports leave circles of their own
    gc.collect()
    gc.disable()
    try:
        measured()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, np.ndarray | Arrays | moments.Moments)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
