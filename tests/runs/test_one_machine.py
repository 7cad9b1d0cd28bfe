"""One machine: a writer behind the drawing, batches that fit into memory,
and where the time went.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import genbench
from genbench._util.background_thread import MOST, Behind
from genbench._util.errors import PluginFailed, RunFailed
from genbench.runs import time_profile
from genbench.runs.sampling import memory, write_shards

TIGHT = """
from pathlib import Path
import torch, genbench

LARGEST, LATER = {largest}, {later}
calls = 0

@genbench.hookimpl
def sample(n, seeds, labels):
    global calls
    calls += 1
    if n > LARGEST and calls > LATER:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return (genbench.uniform(seeds, (3, 32, 32)) * 200 + n).to(torch.uint8)  # the number of images in a call can be seen in each
"""  # noqa: E501


@pytest.fixture
def tight(tmp_path, monkeypatch):
    """A generator of which more than so many at once do not fit, from a call on."""

    def made(largest, later=0):
        monkeypatch.setenv("GENBENCH_QUIET", "1")
        path = tmp_path / "tight.py"
        path.write_text(TIGHT.format(largest=largest, later=later))
        return path

    return made


def files(record):
    return {
        path.name: path.read_bytes() for path in Path(record.folder).glob("shards/*.safetensors")
    }


def drawn(path, out, **words):
    return genbench.evaluate(path, out=path.parent / out, **{"metrics": ("fd",), "n": 200, **words})


# Batches that fit


@pytest.mark.parametrize(
    ("largest", "wanted", "words"), [(4, 2, {}), (5, 5, {"shard_timeout": 100.0})]
)
def test_a_batch_that_does_not_fit_is_halved(tight, capfd, largest, wanted, words):
    """At a batch that does not fit the whole run is drawn at half of it;
    that is told, and every file is that of a run which was asked for that size.
    """
    found = drawn(tight(largest), "short", **words)
    said = capfd.readouterr().err
    assert found.plan["batch_size"] == wanted
    assert json.loads((Path(found.folder) / "plan.json").read_text())["batch_size"] == wanted
    assert f"going on at {wanted}, which the plan says from now on" in said
    assert "out of memory at a batch of 50: going on at 5, " in said
    if spent := found.cost["seconds"].get("workers"):  # of both tries
        assert found.cost["seconds_whole"] - sum(found.cost["seconds"].values()) < spent / 2
    asked = drawn(tight(largest), "asked", batch_size=wanted)
    assert len(files(asked)) == 40
    assert [one.value for one in asked.scores] == [one.value for one in found.scores]
    assert files(asked) == files(found)


def test_what_was_drawn_at_the_larger_batch_is_drawn_again(tight, capfd):
    """Memory runs short after seven shards of ten: they go,
    so that no run has images of two batch sizes; smaller shards would have stayed.
    """
    found = drawn(tight(largest=5, later=7), "late", batch_size=10)
    said = capfd.readouterr().err
    assert "out of memory at a batch of 10: going on at 5" in said
    assert "14 files of shards that were drawn 10 at a time are made again" in said
    assert files(found) == files(drawn(tight(largest=5, later=7), "asked", batch_size=5))
    again = drawn(tight(largest=5), "late", batch_size=10, metrics=("fd", "kd"))
    assert again.plan["batch_size"] == 5  # the stored one


def test_one_image_that_does_not_fit_ends_the_run(tight, cli, here):
    status, _, err = cli(
        "run", "--plugin", tight(largest=0), "--n", 40, "--out", "runs", "--leaderboards", "none"
    )
    assert status == 5
    assert err.splitlines()[-1] == (
        "genbench: tight: sample raised OutOfMemoryError: CUDA out of memory. "
        "Tried to allocate 2.00 GiB"
    )


def test_a_share_does_not_change_its_batch_alone(tight, cli, here):
    """Other machines draw at the size that they were told."""
    status, _, err = cli(
        "run", "--plugin", tight(largest=4), "--n", 200, "--shard", "1/2", "--out", "runs"
    )
    assert status == 5
    assert err.splitlines()[-1].endswith(
        "use the same words with a smaller --batch-size than 50 on every machine"
    )
    status, out, err = cli(
        "run",
        "--plugin",
        tight(largest=4),
        "--n",
        200,
        "--shard",
        "1/2",
        "--batch-size",
        4,
        "--out",
        "runs",
    )
    assert (status, "share 1/2 is drawn" in out) == (0, True), err
    late = (
        "run",
        "--plugin",
        tight(largest=4, later=5),
        "--n",
        200,
        "--shard",
        "1/2",
        "--out",
        "runs",
    )
    assert (
        cli(*late)[2]
        .splitlines()[-1]
        .endswith("than 50 on every machine, and another --out: some are drawn")
    )
    status, _, err = cli(
        "run",
        "--plugin",
        tight(largest=4),
        "--n",
        200,
        "--shard",
        "1/2",
        "--batch-size",
        "auto",
        "--out",
        "runs",
    )
    assert (status, err.count("\n")) == (2, 1)


def test_memory_that_runs_short_is_noticed_and_nothing_else():
    for error in (
        torch.OutOfMemoryError("x"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ):
        with pytest.raises(memory.OutOfMemory, match="sample raised"), memory.noticed():
            raise PluginFailed("sample raised") from error
    with pytest.raises(PluginFailed) as caught, memory.noticed():
        raise PluginFailed("sample raised") from RuntimeError("shapes differ")
    assert not isinstance(caught.value, memory.OutOfMemory)


@pytest.mark.parametrize(
    ("each", "cap", "wanted"),
    [(10, 1000, 50), (10, 420, 32), (10, 419, 16), (500, 1000, 1), (2000, 1000, 1), (0, 1000, 50)],
)
def test_the_largest_batch_below_a_cap(each, cap, wanted):
    """Of so many bytes an image beside 100 that are in use,
    none is drawn beyond the cap but a single one.
    """
    asked = []

    def peak(batch):
        asked.append(batch)
        return 100 + each * batch

    assert memory.largest(peak, 100, cap, 50) == wanted
    assert all(100 + each * batch <= cap for batch in asked[1:])


def test_a_batch_that_raises_is_too_large():
    def peak(batch):
        if batch > 8:
            raise memory.OutOfMemory("")
        return 0

    assert memory.largest(peak, 0, 1000, 50) == 8


@pytest.mark.parametrize(("word", "size"), [("auto", 8), ("5", 5), (None, 50)])
def test_where_nothing_was_drawn_only_a_search_takes_what_was_settled(word, size, tight, tmp_path):
    """Another machine may have just begun: what it found holds;
    a size that is named holds until there is a shard.
    """
    path = tight(largest=50)
    found = drawn(path, "runs", n=40, batch_size=8)
    for left in [*Path(found.folder).glob("shards/*"), Path(found.folder, "run.json")]:
        left.unlink()
    assert (
        drawn(path, "runs", n=40, **({"batch_size": word} if word else {})).plan["batch_size"]
        == size
    )


def test_a_run_finds_its_batch_size(tight, cli):
    """--batch-size auto: as many as the generator can draw at once, in the plan,
    and the same files as a run that was told the number.
    """
    words = ("run", "--n", 2000, "--metrics", "fd", "--leaderboards", "none", "--json")
    path = tight(largest=20)
    status, out, err = cli(
        *words, "--plugin", path, "--out", path.parent / "auto", "--batch-size", "auto"
    )
    assert status == 0, err
    found = json.loads(out)
    assert found["plan"]["batch_size"] == 16
    assert found["cost"]["seconds"]["batch"] > 0
    status, out, err = cli(
        *words, "--plugin", path, "--out", path.parent / "told", "--batch-size", 16
    )
    assert json.loads(out)["scores"] == found["scores"]
    status, _, err = cli(
        *words, "--plugin", path, "--out", path.parent / "none", "--batch-size", "many"
    )
    assert (status, err.strip()) == (
        2,
        "genbench: --batch-size many: a whole number, at least 1, or auto",
    )
    status, _, err = cli(*words, "--plugin", path, "--out", path.parent / "none", "--memory-cap", 2)
    assert (status, err.count("\n")) == (2, 1)


# The thread that writes


def test_what_is_put_is_done_in_order_and_at_the_end():
    done = []
    with Behind() as behind:
        for k in range(20):
            behind.put(lambda k=k: done.append((k, threading.current_thread().name)))
    assert [k for k, _ in done] == list(range(20))
    assert {name for _, name in done} != {threading.current_thread().name}


def test_no_more_than_a_few_wait():
    """A slow disk holds the drawing up before memory fills."""
    gate, begun = threading.Event(), []
    with Behind() as behind:
        for k in range(MOST):
            behind.put(lambda k=k: (begun.append(k), gate.wait(10)))
        blocked = threading.Thread(target=behind.put, args=(lambda: None,))
        blocked.start()
        blocked.join(0.2)
        assert blocked.is_alive()
        gate.set()
        blocked.join(10)
    assert begun == list(range(MOST))


def test_what_goes_wrong_behind_is_heard_and_the_rest_is_finished():
    """The error comes at the next put; what was put before it, and what waits,
    is done all the same.
    """
    done = []

    def full():
        raise RunFailed("disk full")

    def put(*calls, end=None):
        with Behind() as behind:
            for call in calls:
                behind.put(call)
            if end:
                raise end

    with pytest.raises(RunFailed, match="disk full"):
        put(lambda: done.append(1), full, *(lambda k=k: done.append(k) for k in range(2, 10)))
    assert done[:1] == [1]
    assert len(done) <= 1 + MOST + 1
    with pytest.raises(KeyboardInterrupt):
        put(lambda: (time.sleep(0.1), done.append("kept")), end=KeyboardInterrupt)
    assert done[-1] == "kept"


def test_a_shard_that_cannot_be_written_ends_the_run(tight, monkeypatch):
    """The k-th write fails behind the drawing: the run says so, keeps the others,
    and the same words finish it to the same bytes.
    """
    path, real, writes = tight(largest=50), write_shards.write_arrays, []

    def failing(*words):
        writes.append(1)
        if len(writes) == 5:
            raise RunFailed("could not write: no space left on device")
        real(*words)

    monkeypatch.setattr(write_shards, "write_arrays", failing)
    with pytest.raises(RunFailed, match="no space left"):
        drawn(path, "full")
    (run,) = (path.parent / "full").iterdir()
    kept = {one.name: one.read_bytes() for one in run.glob("shards/*.safetensors")}
    assert 4 <= len(kept) < 40
    assert not list(run.rglob(".*.tmp"))
    monkeypatch.setattr(write_shards, "write_arrays", real)
    whole = files(drawn(path, "full"))
    assert kept.items() <= whole.items()
    assert whole == files(drawn(path, "other"))


# Where the time went


def test_a_run_says_where_its_time_went(tight, cli):
    """The stages add up to the whole, from the start of the process, and the longest is named;
    with --json the same numbers stand under cost.
    """
    path = tight(largest=50)
    words = (
        "run",
        "--plugin",
        path,
        "--n",
        100,
        "--metrics",
        "fd",
        "--leaderboards",
        "none",
        "--out",
        path.parent / "runs",
        "--profile",
    )
    status, out, err = cli(*words)
    assert status == 0, err
    record = json.loads(next((path.parent / "runs").glob("*/run.json")).read_text())
    cost = record["cost"]
    assert sum(cost["seconds"].values()) <= cost["seconds_whole"]
    assert cost["seconds"]["start"] <= cost["first_sample_seconds"] <= cost["seconds_whole"]
    assert cost["seconds_behind"]["write"] > 0
    longest = max(time_profile.table_rows(cost), key=lambda row: row[1])[0]
    assert f"bottleneck: {longest}, " in out
    assert {"start", "load", "reference", "sample", "features", "wait", "scoring", "whole"} <= {
        line.split()[0] for line in out.splitlines() if line.strip()
    }
    shares = [
        float(line.split("%")[0].split()[-1])
        for line in out.splitlines()
        if "%" in line and line.split()[0] in (*time_profile.STAGES,)
    ]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_a_record_of_before_has_no_profile():
    assert "--fresh" in time_profile.text({"seconds": {"sample": 1.0}})


# One pass for all


ROWS = """
import torch
from genbench.api import Extractor, Measure, Protocol


def load(device):
    def features(images):
        assert len(images) == 8, "a call is full"
        flat = images.float().flatten(1)
        return {"left": flat[:, :6], "right": flat[:, -6:]}

    return features


EDGES = Extractor("edges", "edges", {"left": 6, "right": 6}, 32, "none", None, "nothing", load)
SHARED = dict(title="", dataset="digits", n=100, labels="balanced", quantise="round")
ONE = Protocol(name="one", measures=(Measure("kd", "edges.left", "heldout"), Measure("fd", "digits.pool", "heldout")), **SHARED)
TWO = Protocol(name="two", measures=(Measure("kd", "edges.right", "train", mirrored=True), Measure("kd", "digits.logits", "heldout")), **SHARED)
"""  # noqa: E501


def test_protocols_and_extractors_share_one_pass(tmp_path, monkeypatch):
    """Two protocols, two extractors, two outputs of each: every real split is read once, and each
    sample goes through each extractor once; the rows are those of the images taken one call at a
    time, whatever the batches in which a set hands them out.
    """
    from genbench.api import _registry as registry
    from genbench.data.user_datasets import dataset_of
    from genbench.features import reference_cache as features_reference
    from genbench.features.extraction import rows_of
    from genbench.generators.load import locate
    from genbench.runs.planning.plan import settle
    from genbench.runs.planning.request import Request
    from genbench.runs.sampling import setup
    from genbench.runs.scoring import reference_features

    monkeypatch.setenv("GENBENCH_QUIET", "1")
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "_with", [])
    (tmp_path / "rows.py").write_text(ROWS)
    registry.add_file(tmp_path / "rows.py")
    plan = settle(Request(protocols=("one", "two"), plugin="noise"), locate("noise"))
    digits, opened = dataset_of("digits"), []

    def pieces(split):
        opened.append(split)
        for images, labels in digits.open(split):
            yield from zip(images.split(37), labels.split(37), strict=True)

    loaded = setup.networks(plan)
    found = reference_features.real_features(plan, replace(digits, open=pieces), loaded)
    assert sorted(opened) == sorted(digits.splits)
    images, labels = (torch.cat(parts) for parts in zip(*digits.open("train"), strict=True))
    wanted = [
        rows_of(loaded["edges"], turned, ["right"])["right"] for turned in (images, images.flip(3))
    ]
    assert torch.equal(
        torch.from_numpy(
            found["two"]["train"].features["edges.right" + features_reference.MIRRORED]
        ),
        torch.cat(wanted).double(),
    )
    assert torch.equal(
        torch.from_numpy(found["one"]["train"].features["digits.pool"]),
        rows_of(loaded["digits"], images, ["pool"])["pool"].double(),
    )
    assert set(found["two"]["heldout"].features) == {"edges.right", "digits.logits"}
    assert torch.equal(torch.from_numpy(found["one"]["train"].labels), labels)
    again = reference_features.real_features(
        plan, replace(digits, open=pieces), loaded
    )  # from the cache
    assert len(opened) == len(digits.splits)
    assert all(
        (
            again["one"][split].features["edges.left"] == found["one"][split].features["edges.left"]
        ).all()
        for split in digits.splits
    )

    passes = []
    monkeypatch.setattr(
        write_shards,
        "rows_of",
        lambda network, images, outputs, texts: (
            passes.append((len(images), sorted(outputs))) or rows_of(network, images, outputs)
        ),
    )
    genbench.evaluate("noise", protocols=("one", "two"), n=100, out=tmp_path / "runs")
    assert sorted(passes) == sorted([(5, ["left", "right"]), (5, ["logits", "pool"])] * 20)


# Memory


FAULTS = """
import contextlib, resource, sys
import torch
from genbench._util import malloc as heap

ARRAY, LARGE = 2**24, 2**28  # of 64 MiB, and of more than the body can leave on the heap's lists

def faults(elements):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(elements)[:ARRAY].fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

faults(ARRAY)
without = faults(ARRAY)
with heap.kept():
    faults(ARRAY)
    within = faults(ARRAY)
    held = resident()
print(without, within, held - resident(), faults(LARGE))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="glibc's heap alone is kept",
)
def test_freed_memory_stays_while_the_body_runs_and_goes_at_its_end():
    """Ten arrays of 64 MiB one after the other cost no new page within the body;
    after it the memory is given back, and a large array is mapped anew.
    """
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    without, within, given_back, after = map(int, done.stdout.split())
    assert within < without / 20
    assert after > without / 2
    assert given_back > 2**25
