"""The classification accuracy score: what a network learns of samples alone,
and what the command says of it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from genbench._util.errors import UserError
from genbench.per_class import classification_accuracy_score


def striped(rng, n, classes=2, side=8):
    """Images whose class is the direction of their stripes, with noise."""
    labels = np.arange(n) % classes
    images = rng.integers(0, 100, (n, 3, side, side))
    images[labels == 0, :, ::2] += 120
    images[labels == 1, :, :, ::2] += 120
    return images.astype(np.uint8), labels.astype(np.int64)


@pytest.fixture
def short(monkeypatch):
    """Few epochs: the networks of these tests learn within a second."""
    monkeypatch.setattr(classification_accuracy_score, "EPOCHS", 4)


def test_samples_that_say_nothing_of_their_class_teach_nothing(short):
    """Of faithful samples a network learns to tell real images apart;
    of samples with shuffled labels it does not; both by group and by class.
    """
    rng = np.random.default_rng(0)
    good, test = striped(rng, 384), striped(rng, 100)
    bad = (good[0], rng.permutation(good[1]))
    found = classification_accuracy_score.score(
        {"samples": good, "real": bad}, test, 2, {"many": (0,), "few": (1,), "none": ()}, seeds=2
    )
    one, other = found["sets"]["samples"], found["sets"]["real"]
    assert one["accuracy"] > 0.95
    assert other["accuracy"] < 0.8
    assert one["low"] <= one["accuracy"] <= one["high"] <= 1
    assert set(one["by_group"]) == {"many", "few"}
    assert np.mean(list(one["by_group"].values())) == pytest.approx(one["accuracy"])
    assert found["steps"] == 4 * 384 // 128
    assert found["test"] == 100


def test_the_same_seed_teaches_the_same(short):
    """Two trainings of one seed name the same images, another seed draws another network;
    the caller's random state stays.
    """
    import torch

    given = striped(np.random.default_rng(0), 128)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (
        classification_accuracy_score.trained(*given, 2, seed, 3).state_dict()["0.weight"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_interval_holds_the_seeds_and_the_test_images():
    """With one seed it is Wilson's of the test images alone; seeds that disagree widen it;
    it stays within 0 to 1.
    """
    low, high = classification_accuracy_score._interval(np.array([0.9]), 100)
    wide_low, wide_high = classification_accuracy_score._interval(np.array([0.85, 0.95]), 100)
    assert 0.82 < low < 0.84
    assert 0.94 < high < 0.95
    assert (wide_low, wide_high) == (
        pytest.approx(0.9 - np.hypot(0.9 - low, 12.706 * 0.05), abs=1e-3),
        1.0,
    )


def test_a_long_tail_is_filled_up_to_its_largest_class():
    """Of each class as many samples are added as it lacks, the first of them,
    and no more than there are.
    """
    real = np.zeros((6, 3, 2, 2), np.uint8), np.array([0, 0, 0, 0, 1, 1])
    samples = (
        np.arange(1, 8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8),
        np.array([0, 1, 2, 1, 2, 1, 0]),
    )
    images, labels = classification_accuracy_score.filled(real, samples)
    assert images[:, 0, 0, 0].tolist() == [0] * 6 + [2, 4, 3, 5]
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_one_class_cannot_be_trained_on(short):
    images, labels = striped(np.random.default_rng(0), 20)
    with pytest.raises(UserError, match="the set samples has 20 images of 1 classes"):
        classification_accuracy_score.score(
            {"samples": (images, labels * 0)}, (images, labels), 2, {}, 1
        )


def test_the_command_puts_real_sets_beside_the_samples(monkeypatch, here, cli):
    """--cas trains on the samples, on the long-tailed training images and on all of them,
    and says so in words and in classes.json.
    """
    monkeypatch.setattr(classification_accuracy_score, "EPOCHS", 1)
    cli(
        "run",
        "--plugin",
        "noise",
        "--dataset",
        "digits",
        "--imbalance",
        "50",
        "--n",
        "100",
        "--metrics",
        "kd",
        "--out",
        "other",
    )
    cli(
        "run",
        "--plugin",
        "real",
        "--dataset",
        "digits",
        "--imbalance",
        "50",
        "--n",
        "300",
        "--metrics",
        "kd",
    )
    (labelled, unlabelled) = (str(*Path(folder).glob("*")) for folder in ("runs", "other"))
    with monkeypatch.context() as never:
        # nobody trains for minutes before the second run is refused
        never.setattr(classification_accuracy_score, "score", None)
        status, _, err = cli("classes", labelled, unlabelled, "--cas", "1")
    assert status == 2
    assert f"the run {Path(unlabelled).name} has no labels of its own" in err
    status, out, err = cli("classes", "--cas", "1")
    assert status == 0, err
    assert "trained on samples (300)" in out
    assert "trained on real (239)" in out
    assert "trained on real, balanced (870)" in out
    (left,) = Path("runs").glob("*/classes.json")
    found = json.loads(left.read_text())["over"]["cas"]
    assert found["split"] == "heldout"
    assert found["test"] == 870
    assert {name: one["n"] for name, one in found["sets"].items()} == {
        "samples": 300,
        "real": 239,
        "real, filled up with samples": 509,
        "real, balanced": 870,
    }
    assert all(set(one["by_group"]) == {"many", "medium", "few"} for one in found["sets"].values())
