"""What a shard computes and what a protocol makes of it:
sums, latent pairs, whole batches, part of a reference, repeats, rounding, statistics files.
"""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

import genbench
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.api.validation import source_of
from genbench.features.extraction import AT_ONCE, network, rows_of, sums_of, sums_of_rows
from genbench.features.reference_cache import Real
from genbench.generators import generator, load, seeded_noise
from genbench.io.weights import find
from genbench.runs.scoring import prepare_inputs
from genbench.statistics import moments as stats

OWN = """
from genbench.api import torch
from genbench.api import Extractor, Measure, Pairs, Protocol

def load(device):
    def extract(images):
        rows = images.float().mean((1, 3)) / 255
        return {"rows": rows, "wide": rows}
    return extract

STRIPES = Extractor(
    name="stripes", title="means of rows", outputs={"rows": 32, "wide": 0}, size=32, resize="none", weights=None, trained_on="nothing", load=load,
)

def measure(metric, name, **rest):
    return Measure(metric, "digits.pool", "heldout", name=name, **rest)

FIRST = Protocol(
    name="first", title="t", dataset="any", n=100, labels="balanced", quantise="round",
    measures=(
        measure("fd", "fd"), measure("fd", "fd_batch", batch=40), measure("fd", "fd_few", reference_n=200), measure("fd", "fd_half", precision="float16"),
        measure("fd", "fd_mirrored", mirrored=True), Measure("diversity", "stripes.rows", name="rows"), Measure("diversity", "stripes.wide", name="wide"),
        Measure("path_length", "stripes.rows", name="path", pairs=Pairs(epsilon=0.01)),
    ),
)
PAIRS = Protocol(
    name="pairs", title="t", dataset="any", n=100, labels="balanced", quantise="round",
    measures=(
        Measure("path_length", "stripes.rows", name="few", pairs=Pairs(epsilon=0.01), samples_n=45),
        Measure("path_length", "stripes.rows", name="every", pairs=Pairs(epsilon=0.01)),
    ),
)
SECOND = Protocol(name="second", title="t", dataset="any", n=50, labels="balanced", quantise="round", measures=(measure("fd", "fd"),), repeats=2, reducer="min")
THIRD = Protocol(
    name="third", title="t", dataset="any", n=100, labels="balanced", quantise="none",
    measures=(measure("fd", "fd"), Measure("diversity", "stripes.rows", name="rows")),
)
"""  # noqa: E501


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of rows: an extractor with a wide output, protocols that differ in one thing each."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def record(own, tmp_path):
    """record(protocols, ...) -> the record of 100 samples of the vae."""
    registry.add_file(own)

    def made(*protocols, plugin="vae", **rest):
        return genbench.evaluate(plugin, protocols=protocols, out=tmp_path / "runs", **rest)

    return made


@pytest.fixture
def scores(record):
    def made(*protocols, **rest):
        found = record(*protocols, **rest).scores
        assert not [score for score in found if score.status != "ok" and score.part == "all"]
        return {(score.protocol, score.metric): score for score in found if score.part == "all"}

    return made


@pytest.fixture
def features(tmp_path, scores):
    """pool float64 [100, 64] of the run's samples and of the held-out images, computed here."""
    dataset = registry.find("datasets", "digits")
    row = registry.find("extractors", "digits")
    net = network("digits", "cpu", str(find(row.weights, source_of(row.load).parent, {}).path))
    real = torch.cat([images for images, _ in dataset.open("heldout")])
    return lambda images: net(images)["pool"].double().numpy(), real


def test_sums_of_images_and_of_rows_are_those_of_the_features():
    """Sums by class of a wide output equal the sums of its rows, whatever the calls;
    beyond the limit only those over all classes stay.
    """
    images = torch.randint(0, 256, (21, 3, 8, 8), dtype=torch.uint8)
    classes = np.arange(21) % 3

    def network(batch):
        return {"phi": batch.float().flatten(1)}

    rows = images.double().flatten(1).numpy()
    found = sums_of(network, images, "phi", classes, 3, 1)
    assert found.shape == (3, 194)
    for c in range(3):
        own = rows[classes == c]
        np.testing.assert_allclose(found[c], [*own.sum(0), (own**2).sum(), len(own)])
    np.testing.assert_allclose(sums_of_rows(rows, np.zeros(21, dtype=int), classes)[0], found)
    assert sums_of(network, images, "phi", classes, 3, 10**9).shape == (1, 194)


@pytest.mark.parametrize("n", [1, 7, 8, 50])
def test_features_are_an_images_own_to_the_last_bit(n):
    """Every call of an extractor is of one size, so that an image has the same features at every
    place of every shard, and the filling is not kept.
    """
    row = registry.find("extractors", "digits")
    net = network("digits", "cpu", str(find(row.weights, source_of(row.load).parent, {}).path))
    sizes = []

    def counting(images):
        sizes.append(len(images))
        return net(images)

    images = torch.randint(
        256, (50, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    whole = rows_of(counting, images, ["pool", "logits"])
    for at in (0, 50 - n):
        part = rows_of(counting, images[at : at + n], ["pool", "logits"])
        assert all(torch.equal(part[output], whole[output][at : at + n]) for output in whole)
    assert set(sizes) == {AT_ONCE["cpu"]}


def test_a_measure_takes_what_it_says(scores, features):
    """Whole batches, the first images of the reference, its mirror images and half precision:
    each equals the plain computation of just that.
    """
    under = scores("first")
    pool, real = features
    samples = pool(torch.from_numpy(drawn()))
    fd = registry.find("metrics", "fd")

    def value(x, y):
        return fd.value(Arrays({"samples": x, "reference": y}))

    held = pool(real)
    assert under["first", "fd"].value == pytest.approx(value(samples, held), rel=1e-6)
    assert under["first", "fd_batch"].value == pytest.approx(
        value(samples[:80], held[:840]), rel=1e-6
    )
    assert under["first", "fd_few"].value == pytest.approx(value(samples, held[:200]), rel=1e-6)
    halves = [x.astype(np.float16).astype(np.float64) for x in (samples, held)]
    # a sum in another order may round to another half
    assert under["first", "fd_half"].value == pytest.approx(value(*halves), rel=1e-5)
    both = np.concatenate([held, pool(real.flip(3))])
    assert under["first", "fd_mirrored"].value == pytest.approx(value(samples, both), rel=1e-6)
    assert under["first", "fd_half"].value != under["first", "fd"].value


def drawn():
    """The images of the run's samples, uint8 [100, 3, 32, 32]."""
    description = load.locate("vae")
    checkpoint = load.checkpoint_of(description, registry.find("datasets", "digits"), None)
    made = generator.construct(
        description, {}, checkpoint, "cpu", registry.find("datasets", "digits")
    )
    return made.draw(
        np.arange(100), seeded_noise.first_seed(0), np.arange(100) % 10, 50, "round"
    ).numpy()


def test_a_wide_output_gives_the_numbers_of_its_rows(scores):
    """The same features kept as rows and as sums: equal diversity, equal interval."""
    under = scores("first")
    rows, wide = under["first", "rows"], under["first", "wide"]
    assert wide.value == pytest.approx(rows.value, rel=1e-6)
    assert (wide.low, wide.high) == pytest.approx((rows.low, rows.high), rel=1e-6)
    stripes = torch.from_numpy(drawn()).double().mean((1, 3)).numpy() / 255
    pairs = ((stripes[:, None] - stripes[None]) ** 2).sum(2)
    assert rows.value == pytest.approx(pairs.sum() / (100 * 99), rel=1e-6)


def test_repeats_are_reduced_and_fit_only_whole(scores, features):
    """The minimum of two runs of fifty consecutive seeds; at another n one run is taken,
    as a ruler only.
    """
    pool, real = features
    samples, held = pool(torch.from_numpy(drawn())), pool(real)
    fd = registry.find("metrics", "fd")
    parts = [
        fd.value(Arrays({"samples": part, "reference": held}))
        for part in (samples[:50], samples[50:])
    ]
    assert scores("second")["second", "fd"].value == pytest.approx(min(parts), rel=1e-6)


def test_what_does_not_fit_is_a_ruler_only_and_enters_no_board(cli, here, own):
    """A second protocol of another quantisation: its numbers are there, said to be a ruler only,
    and no board is made of it.
    """
    status, out, err = cli("run", "--plugin", "vae", "--protocol", "first,third", "--with", own)
    assert status == 0, err
    assert "protocol third · 100 samples · ruler only" in out
    assert sorted(path.name for path in (here / "leaderboards").iterdir()) == ["digits-first"]
    status, out, err = cli("compare", "--json")
    assert status == 0, err
    said = json.loads(out)
    assert said["spread"]["fd"]["readings"] == 2
    assert {
        row["protocol"]: row["ruler_only"] for row in said["readings"] if row["metric"] == "fd"
    } == {"first": False, "third": True}


def test_unquantised_images_are_measured_as_they_are(scores):
    """Under a protocol that does not quantise, features are those of the plugin's floats:
    near those of 8 bits, and not equal.
    """
    rounded, exact = scores("first")["first", "rows"].value, scores("third")["third", "rows"].value
    assert exact == pytest.approx(rounded, rel=1e-2)
    assert exact != rounded


def test_asking_for_more_computes_only_what_is_missing(record, tmp_path):
    """A second call with another number in the same run computes that probe alone:
    no shard of images or of the first features is written again.
    """
    first = record("first", metrics=("fd",))
    folder = tmp_path / "runs" / first.id / "shards"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = record("first", metrics=("wide", "path"))
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert second.id == first.id
    assert {name: after[name] for name in before} == before
    assert {name.split(".", 1)[1].rsplit("-", 1)[0] for name in set(after) - set(before)} == {
        "stripes.wide.sums.safetensors",
        "stripes.rows.pairs",
    }
    assert second.cost["images_drawn"] == 100
    assert {score.metric for score in second.scores if score.part == "all"} == {
        "fd",
        "wide",
        "path",
    }


def test_only_the_pairs_that_a_measure_takes_are_rendered(record, tmp_path, monkeypatch):
    """Of samples_n = 45 paths no other is rendered; the number is that of the first 45;
    and who then asks for all has the rest rendered too.
    """
    asked = []
    pair = generator.Generator.pair

    def counted(self, indices, *rest):
        asked.extend(indices.tolist())
        return pair(self, indices, *rest)

    monkeypatch.setattr(generator.Generator, "pair", counted)
    few = record("pairs", metrics=("few",))
    assert sorted(asked) == list(range(45))
    assert few.scores[0].n == 45
    asked.clear()
    every = {score.metric: score for score in record("pairs", metrics=("few", "every")).scores}
    # 40 to 49 are one shard, whose first half was there
    assert sorted(asked) == list(range(40, 100))
    assert every["few"].value == few.scores[0].value
    asked.clear()
    # the samples 40 to 49
    next((tmp_path / "runs" / few.id / "shards").glob("b04-*.pairs-*")).unlink()
    (tmp_path / "runs" / few.id / "run.json").unlink()
    assert record("pairs", metrics=("few",)).scores == few.scores
    assert sorted(asked) == list(range(40, 45))


def test_per_class_numbers_stand_beside_the_whole(record):
    """diversity of each class is that of its own samples."""
    found = {score.part: score for score in record("first", metrics=("rows",)).scores}
    assert set(found) == {"all", *(f"class {c}" for c in range(10))}
    stripes = torch.from_numpy(drawn()).double().mean((1, 3)).numpy()[3::10] / 255
    pairs = ((stripes[:, None] - stripes[None]) ** 2).sum(2)
    assert found["class 3"].value == pytest.approx(pairs.sum() / (10 * 9), rel=1e-6)
    assert found["class 3"].n == 10


def test_a_statistics_file_stands_for_the_reference(record, cli, here):
    """fd against mean and covariance in a file equals fd against the images,
    and what needs rows says so.
    """
    status, _, err = cli(
        "reference", "digits", "--split", "heldout", "--extractor", "digits", "--to", "stats.npz"
    )
    assert status == 0, err
    whole = {score.metric: score for score in record("first", metrics=("fd",)).scores}["fd"]
    against = record("first", reference=here / "stats.npz")
    found = {score.metric: score for score in against.scores if score.part == "all"}
    assert found["fd"].value == pytest.approx(whole.value, rel=1e-6)
    assert (found["fd"].low, found["fd"].high) == pytest.approx((whole.low, whole.high), rel=1e-6)
    assert found["fd"].real is None
    assert found["fd"].se_reference is None
    with pytest.raises(genbench.UserError, match=r"stats\.npz has mean and covariance alone"):
        record("first", metrics=("precision",), reference=here / "stats.npz")


def test_a_part_of_a_sorted_reference_has_every_class():
    """Of a reference sorted by class the first images of each class are taken,
    and an image and its mirror image lie in one block.
    """
    labels = np.repeat(np.arange(4), 30)
    rows = np.arange(120, dtype=np.float64)[:, None]
    real = Real({"a.b": rows, "a.b~mirrored": np.concatenate([rows, rows])}, labels)
    measure = {
        "features": "a.b",
        "mirrored": False,
        "reference_n": 12,
        "precision": "float64",
        "batch": 0,
    }
    assert sorted(prepare_inputs._held(measure, real)[0][:, 0].tolist()) == [
        0,
        1,
        2,
        30,
        31,
        32,
        60,
        61,
        62,
        90,
        91,
        92,
    ]
    _, blocks = prepare_inputs._held({**measure, "mirrored": True, "reference_n": 0}, real)
    np.testing.assert_array_equal(blocks[:120], blocks[120:])


def test_the_divisor_of_the_samples_leaves_a_files_covariance_alone():
    """fd of rows divided by n against moments of a file: the file's covariance as it stands."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(300, 5)) + 0.2
    fd = registry.find("metrics", "fd")
    by_rows = fd.value(Arrays({"samples": x, "reference": y}), divisor=0)
    moments = stats.Moments(2, y.mean(0), np.cov(y.T, bias=True))
    by_file = fd.value(Arrays({"samples": x}, {("moments", "reference"): moments}), divisor=0)
    assert by_file == pytest.approx(by_rows, rel=1e-12)


@pytest.mark.parametrize(
    ("threads", "calls", "at_once"), [(1, 5, 0), (2, 5, 4), (2, 1, 0), (3, 7, 6)]
)
def test_calls_are_made_side_by_side_as_far_as_they_fill_the_threads(threads, calls, at_once):
    """A network that allows it has a call a thread, and what is left over one call after the other
    with all threads; one that does not, all so.
    """
    seen = []

    def network(images):
        seen.append(
            (threading.current_thread() is threading.main_thread(), torch.get_num_threads())
        )
        return {"rows": images.float().mean((2, 3)), "other": images.float().flatten(1)}

    images = torch.arange(calls * AT_ONCE["cpu"] * 12, dtype=torch.float32).view(-1, 3, 2, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        plain = rows_of(network, images, ["rows"])
        assert seen == [(True, threads)] * calls
        seen.clear()
        network.side_by_side = True
        found = rows_of(network, images, ["rows"])
        assert sorted(seen) == sorted(
            [(False, 1)] * at_once + [(True, threads)] * (calls - at_once)
        )
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found.keys() == {"rows"}
    assert torch.equal(found["rows"], plain["rows"])
