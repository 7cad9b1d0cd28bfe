"""Precision, recall, density and coverage against prdc and torch-fidelity themselves,
on the same features; PRD against the constants of its own test.
"""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import prdc
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import prc_features_to_metric

from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.statistics import nearest_neighbours

NAMES = ("precision", "recall", "density", "coverage")


def ours(samples: np.ndarray, reference: np.ndarray, k: int, strict: int) -> dict[str, float]:
    arrays = Arrays(
        {"samples": samples.astype(np.float64), "reference": reference.astype(np.float64)}
    )
    return {
        name: registry.find("metrics", name).value(arrays, k=k, strict=strict) for name in NAMES
    }


def theirs(samples: np.ndarray, reference: np.ndarray, k: int) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        return prdc.compute_prdc(reference.astype(np.float64), samples.astype(np.float64), k)


def fidelity(
    samples: np.ndarray, reference: np.ndarray, k: int, dtype: torch.dtype = torch.float64
) -> tuple[float, float]:
    sides = (torch.from_numpy(side).to(dtype) for side in (samples, reference))
    found = prc_features_to_metric(
        *sides, prc_neighborhood=k, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    return found["precision"], found["recall"]


@pytest.fixture(scope="module")
def seeded() -> tuple[np.ndarray, np.ndarray]:
    """The two sets on which the peers' constants were measured."""
    rng = np.random.RandomState(0)
    x = rng.randn(1000, 64).astype(np.float32)
    return x, (rng.randn(1000, 64) * 1.1 + 0.1).astype(np.float32)


@pytest.mark.parametrize("strict", [0, 1])
def test_constants(seeded, strict):
    """The published figures of the two rules on seeded arrays, for k = 3 and 5; reals x,
    fakes y.
    """
    x, y = seeded
    assert tuple(ours(y, x, 5, strict).values()) == pytest.approx(
        (0.351, 0.930, 0.2132, 0.601), abs=1e-12
    )
    assert tuple(ours(y, x, 3, strict).values()) == pytest.approx(
        (0.251, 0.883, 0.195333, 0.407), abs=5e-7
    )


@pytest.mark.parametrize(
    ("n", "m", "d"), [(900, 700, 2048), (300, 1100, 64), (200, 200, 3), (7, 9, 2)]
)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_equal_to_prdc(n, m, d, k):
    """All four are prdc's exactly, under its rule <, whatever the sizes."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)), 1.05 * rng.normal(size=(m, d)) + 0.02
    assert ours(x, y, k, 1) == pytest.approx(theirs(x, y, k), abs=1e-15, rel=1e-14)


def test_equal_to_torch_fidelity(seeded):
    """Precision and recall are torch-fidelity's, with k = 3 and <=,
    where its first input is the generated one (since 0.4.0).
    """
    x, y = seeded
    found = ours(y, x, 3, 0)
    # it takes the mean in float32
    assert fidelity(y, x, 3) == pytest.approx((found["precision"], found["recall"]), abs=1e-7)
    assert fidelity(y, x, 3, torch.float32) == pytest.approx(
        (found["precision"], found["recall"]), abs=1e-7
    )


def test_which_one_is_precision():
    """Samples in the middle of a wide reference are precise and recall little:
    torch-fidelity's own test of its convention.
    """
    torch.manual_seed(42)
    samples, reference = 0.1 * torch.randn(200, 16), 3 * torch.randn(200, 16)
    found = ours(samples.numpy(), reference.numpy(), 3, 0)
    assert found["precision"] > 0.8
    assert found["recall"] < 0.3
    assert fidelity(samples.numpy(), reference.numpy(), 3) == pytest.approx(
        (found["precision"], found["recall"]), abs=1e-7
    )


def test_the_rule_on_the_surface_decides_copies():
    """Equal rows: <= holds them and < does not, as prdc gives 0 for a collapsed pair of sets;
    identical sets give 1 under <=.
    """
    one = np.ones((40, 6))
    assert set(ours(one, one, 5, 1).values()) == {0.0} == set(theirs(one, one, 5).values())
    found = ours(one, one, 5, 0)
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)
    x = np.random.default_rng(0).normal(size=(80, 6))
    same = ours(x, x.copy(), 5, 0)
    assert (same["precision"], same["recall"], same["density"], same["coverage"]) == (
        1.0,
        1.0,
        6 / 5,
        1.0,
    )


@pytest.mark.shared
def test_real_inception_features(shared_data):
    """Every pair of the five classes of real Inception features (n below the dimension):
    prdc's four exactly, torch-fidelity's two.
    """
    with np.load(shared_data / "flowers-inception-pool3.npz") as stored:
        features, labels = stored["features"].astype(np.float32), stored["labels"]
    classes = [features[labels == c] for c in np.unique(labels)]
    assert len(classes) == 5
    for a, b in itertools.combinations(range(5), 2):
        x, y = classes[a], classes[b]
        assert ours(x, y, 5, 1) == pytest.approx(theirs(x, y, 5), abs=1e-15, rel=1e-14), (a, b)
        found = ours(x, y, 3, 0)
        assert fidelity(x, y, 3) == pytest.approx(
            (found["precision"], found["recall"]), abs=1e-7
        ), (a, b)


@pytest.mark.shared
def test_real_inception_features_in_halves(shared_data):
    """One half of real Inception features against the other, n near the dimension:
    prdc's four exactly, torch-fidelity's two.
    """
    with np.load(shared_data / "flowers-inception-pool3.npz") as stored:
        features = stored["features"].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(features))
    x, y = features[order[::2]], features[order[1::2]]
    assert ours(x, y, 5, 1) == pytest.approx(theirs(x, y, 5), abs=1e-15, rel=1e-14)
    found = ours(x, y, 3, 0)
    assert fidelity(x, y, 3) == pytest.approx((found["precision"], found["recall"]), abs=1e-7)


# The search behind them


def sets(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(310, 7)), 1.1 * rng.normal(size=(270, 7))
    far = 1e3 * np.eye(4, 7)
    if kind == "groups far apart":
        return 1e-3 * x + far[np.arange(310) % 4], 1e-3 * y + far[np.arange(270) % 4]
    if kind == "whole numbers":
        return np.round(x), np.round(y)
    if kind == "one far outlier and copies":
        x[0], x[1:50] = 1e20, y[:49]
    return (np.ones_like(x), y) if kind == "all equal" else (x, y)


@pytest.mark.parametrize("tile", [32, 1024])
@pytest.mark.parametrize(
    "kind",
    ["ordinary", "groups far apart", "whole numbers", "one far outlier and copies", "all equal"],
)
def test_the_nearest_and_the_close_are_exact(monkeypatch, kind, tile):
    """Nearest rows and pairs within reach equal those of all distances in float64,
    also where float32 cannot tell rows apart, in one tile and in many.
    """
    monkeypatch.setattr(nearest_neighbours, "TILE", tile)
    x, y = sets(kind)
    whole, own = cdist(x, y, "sqeuclidean"), cdist(x, x, "sqeuclidean")
    np.fill_diagonal(own, np.inf)
    for count in (1, 5, 16):
        for all_of_them, (squares, places) in (
            (whole, nearest_neighbours.nearest(x, y, count)),
            (own, nearest_neighbours.nearest_others(x, count)),
        ):
            np.testing.assert_allclose(squares, np.sort(all_of_them, 1)[:, :count], rtol=1e-9)
            np.testing.assert_allclose(
                np.take_along_axis(all_of_them, places, 1), squares, rtol=1e-9
            )
            assert all(len(set(row)) == count for row in places.tolist())
    reach = [np.sort(cdist(of, of, "sqeuclidean"), 1)[:, 3] * (1 + 1e-9) for of in (x, y)]
    found = np.zeros(whole.shape, dtype=int)
    for i, j, squares in nearest_neighbours.close(x, y, *reach):
        found[i, j] += 1
        np.testing.assert_allclose(squares, whole[i, j], rtol=1e-9)
    np.testing.assert_array_equal(found, (whole <= reach[0][:, None]) | (whole <= reach[1]))


# PRD


def curve(samples: list[float], reference: list[float]) -> tuple[np.ndarray, np.ndarray]:
    prd_curve = vars(
        __import__(registry.find("metrics", "f8").value.__module__, fromlist=["prd_curve"])
    )["prd_curve"]
    return prd_curve(np.array(samples), np.array(reference), 11)


def test_prd_constants():
    """The curves of compare_gan's own test, from shares in clusters, at 11 angles."""
    precision, recall = curve([0.5, 0.5], [1, 0])
    assert (precision[5], recall[5], precision[10], recall[1]) == pytest.approx((0.5, 0.5, 0.5, 1))
    precision, recall = curve([1, 0], [0.5, 0.5])
    assert (precision[5], recall[5], precision[10], recall[1]) == pytest.approx((0.5, 0.5, 1, 0.5))
    assert not np.any(curve([0, 1], [1, 0]))
    precision, recall = curve([1, 0], [1, 0])
    assert (precision[5], recall[5]) == pytest.approx((1, 1))


def test_prd_tells_lost_modes_from_invented_ones():
    """Of four modes two are lost: F_8 falls with the recall and F_1/8 stays; two are invented:
    the reverse.
    """
    rng = np.random.default_rng(0)
    four, two = (
        rng.normal(size=(400, 5)) + 30 * np.eye(4, 5)[np.arange(400) % modes] for modes in (4, 2)
    )
    f8, f1_8 = (registry.find("metrics", name) for name in ("f8", "f1_8"))
    lost, invented = (
        Arrays({"samples": two, "reference": four}),
        Arrays({"samples": four, "reference": two}),
    )
    assert f8.value(lost, clusters=4) == pytest.approx(0.504, abs=0.02)
    assert f1_8.value(lost, clusters=4) == pytest.approx(0.985, abs=0.02)
    assert f8.value(invented, clusters=4) == pytest.approx(f1_8.value(lost, clusters=4), abs=0.02)
    assert f1_8.value(invented, clusters=4) == pytest.approx(f8.value(lost, clusters=4), abs=0.02)
