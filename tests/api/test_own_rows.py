"""Rows of one's own in a file, on real colour images with a published network."""

from __future__ import annotations

import json

import pytest
from helpers.places import TESTS

OWN = TESTS / "plugins" / "cifar10.py"


@pytest.mark.shared
def test_real_images_through_a_users_own_rows_score_as_real(shared_data, cli, here, monkeypatch):
    """CIFAR-10 test images held against others of the same set, all rows from --with:
    no difference is shown, and the network's published accuracy is met.
    """
    monkeypatch.setenv("GENBENCH_TEST_DATA", str(shared_data))
    status, out, err = cli(
        "run", "--plugin", f"{OWN}:First", "--with", OWN, "--dataset", "cifar10-5k", "--json"
    )
    assert status == 0, err
    scores = {s["metric"]: s for s in json.loads(out)["scores"]}
    assert scores["fd_resnet20"]["value"] <= scores["fd_resnet20"]["real_high"] * 1.2
    # balanced labels on both sides put real data a little below 0, so real data is what it is
    # held against
    kd = scores["kd_resnet20"]
    assert abs(kd["value"] - kd["real"]) < 3 * (kd["se"] + kd["se_reference"])
    # on the whole test set, as published
    assert (
        scores["label_accuracy_resnet20"]["low"]
        <= 0.9173
        <= scores["label_accuracy_resnet20"]["high"]
    )


@pytest.mark.shared
def test_noise_scores_far_from_real_in_the_same_rows(shared_data, cli, here, monkeypatch):
    """Uniform noise is more than ten times as far from the real images as real images are."""
    monkeypatch.setenv("GENBENCH_TEST_DATA", str(shared_data))
    status, out, err = cli(
        "run",
        "--plugin",
        "noise",
        "--with",
        OWN,
        "--dataset",
        "cifar10-5k",
        "--metrics",
        "fd",
        "--json",
    )
    assert status == 0, err
    (score,) = json.loads(out)["scores"]
    assert score["low"] > 10 * score["real_high"]
