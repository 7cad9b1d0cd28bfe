"""`genbench selftest`: every anchor holds here, what is missing is said, what is wrong is found,
and the published numbers are put together rightly.
"""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from genbench.features.extraction import network
from genbench.selftest import published_results, reference_values, selftest
from genbench.selftest.reference_values import Anchor, NotRun

RIGHT = Anchor("right", "0.33", lambda: 1 / 3, "arithmetic")
WRONG = Anchor("wrong", "0.34", lambda: 1 / 3, "arithmetic")


def gone():
    raise NotRun("weights missing")


GONE = Anchor("gone", "1.5", gone, "elsewhere")


# The anchors themselves


@pytest.mark.parametrize("anchor", reference_values.FORMULAS, ids=lambda anchor: anchor.name)
def test_arithmetic_is_that_of_the_published_codes(anchor):
    """Each metric gives the published code's answer on the seeded arrays,
    to the digits that were printed.
    """
    check = selftest.measured(anchor)
    assert check.status == "pass", check


@pytest.mark.parametrize("anchor", list(reference_values.pixels()), ids=lambda anchor: anchor.name)
def test_resizes_are_those_of_the_published_codes(anchor):
    """Each resize gives the published code's grey levels on the seeded image,
    to the digits that were printed.
    """
    check = selftest.measured(anchor)
    assert check.status == "pass", check


def test_the_seeded_data_are_the_ones_that_were_measured():
    """Two pixels and the mean of the image, the last draw of the stream,
    are those told with the anchors.
    """
    image = reference_values.seeded()["image"]
    assert image[0, 0].tolist() == [83, 147, 118]
    assert image[31, 31].tolist() == [251, 156, 22]
    assert image.mean() == pytest.approx(126.353516, abs=5e-7)


def test_every_anchor_has_its_own_name_and_a_source():
    """No two checks share a name, and each says who printed its value."""
    every = [
        *reference_values.FORMULAS,
        *reference_values.pixels(),
        *published_results.CIFAR10,
        *published_results.adm_suite(),
    ]
    names = [one.name for one in every]
    assert len(names) == len(set(names))
    assert all(one.source and 0 < one.tolerance < 0.2 for one in every)


def test_the_tolerance_is_half_a_unit_of_the_last_digit():
    """A printed value bounds what may differ from it; a stated tolerance goes before."""
    assert RIGHT.tolerance == 0.005
    assert Anchor("x", "3.0", float, "").tolerance == 0.05
    assert Anchor("x", "3.0", float, "", 1e-4).tolerance == 1e-4


# The verdicts


def test_a_value_outside_the_tolerance_fails_and_one_inside_passes():
    """1/3 is 0.33 and is not 0.34."""
    assert selftest.measured(RIGHT).status == "pass"
    assert selftest.measured(WRONG).status == "FAIL"
    assert selftest.measured(WRONG).difference == pytest.approx(1 / 3 - 0.34)


def test_what_is_missing_is_no_failure_and_what_raises_is():
    """Missing weights are said; an exception and a NaN are failures with their reason,
    and keep no other check from being made.
    """
    assert selftest.measured(GONE).status == "not run: weights missing"
    assert not selftest.measured(GONE).failed
    broken = selftest.measured(Anchor("x", "1.0", lambda: 1 / 0, ""))
    assert broken.status == "FAIL: ZeroDivisionError: division by zero"
    assert selftest.measured(Anchor("x", "1.0", lambda: math.nan, "")).status == "FAIL: it is nan"


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Only a few checks: few(anchor, ...) sets them; no board, no data."""

    def only(*found):
        monkeypatch.setattr(reference_values, "FORMULAS", found)
        monkeypatch.setattr(reference_values, "pixels", lambda: iter(()))
        monkeypatch.setattr(selftest, "committed", lambda: None)
        monkeypatch.delenv("GENBENCH_DATA", raising=False)
        monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path))

    return only


def test_the_command_passes_when_nothing_failed(cli, few):
    """Exit 0 with passes and things not run: without weights and data every published number is
    said to be not run.
    """
    few(RIGHT, GONE)
    status, out, err = cli("selftest")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].split() == ["what", "expected", "measured", "difference", "allowed", "status"]
    assert any(
        line.split() == ["right", "0.33", "0.3333333333", "0.0033", "0.005", "pass"]
        for line in lines
    )
    assert any(
        line.startswith("IS of the training images ") and line.endswith("not run: weights missing")
        for line in lines
    )
    assert lines[-1].startswith("1 pass, 0 fail, ")


def test_the_command_fails_when_one_failed(cli, few):
    """Exit 5, FAIL in its line, and below the table why a check gave no number."""
    few(RIGHT, WRONG, Anchor("broken", "1.0", lambda: 1 / 0, "arithmetic"))
    status, out, _ = cli("selftest")
    assert status == 5
    assert any(line.startswith("wrong ") and line.endswith("FAIL") for line in out.splitlines())
    assert "broken: ZeroDivisionError: division by zero" in out
    assert "1 pass, 2 fail" in out


def test_the_command_speaks_json(cli, few):
    """One object with a list of checks, each with every field,
    and None where nothing was measured.
    """
    few(RIGHT, GONE)
    status, out, _ = cli("selftest", "--json")
    checks = json.loads(out)["checks"]
    assert status == 0
    assert {tuple(one) for one in checks} == {
        ("name", "expected", "measured", "difference", "tolerance", "status", "source")
    }
    assert [one["measured"] for one in checks[:2]] == [pytest.approx(1 / 3), None]


# The shipped models


def test_a_shipped_model_gives_the_committed_board_again(tmp_path):
    """Every number of the vae on the committed board is measured again to 1e-3,
    and the three shipped models have a row each number.
    """
    found = list(selftest.digits(selftest.committed() / "digits", tmp_path))
    models = {one.name.split(", ")[1] for one in found}
    assert models == set(selftest.SHIPPED)
    checks = [selftest.measured(one) for one in found if ", vae, " in one.name]
    assert len(checks) >= 8
    assert {one.status for one in checks} == {"pass"}, checks


def test_a_board_that_says_something_else_is_found_out(tmp_path, monkeypatch):
    """A number that differs by more than 1e-3 of itself fails."""
    found = next(
        one
        for one in selftest.digits(selftest.committed() / "digits", tmp_path)
        if one.name == "digits, vae, fd_digits"
    )
    monkeypatch.setattr(
        selftest, "_run", lambda name, folder: {"fd_digits": found.expected * 1.002}
    )
    assert selftest.measured(found).status == "FAIL"


# The published numbers of real data, on made-up features: what is chosen, in which order, and
# by which code


@pytest.fixture
def made_up(monkeypatch):
    """Features that depend on split, extractor and output alone, in place of those of real images:
    made_up(split, extractor, output).
    """
    count = {"train": 50_000, "heldout": 10_000, "noisy": 5000}

    @cache
    def features(split, extractor, output):
        rng = np.random.default_rng([*split.encode(), *extractor.encode(), *output.encode()])
        return (
            rng.normal(loc=0.1 * (split == "train"), size=(count[split], 16))
            .astype(np.float32)
            .astype(np.float64)
        )

    monkeypatch.setattr(
        published_results,
        "_features",
        lambda data, split, extractor, output: features(split, extractor, output),
    )
    return features


def of_name(name):
    return next(one for one in published_results.CIFAR10 if one.name == name).measure()


def chosen(rows, count):
    """The rows as torch-fidelity's tests choose them, written out:
    drawn by seed 2020, then in the order of the files' names.
    """
    return torch.from_numpy(
        rows[sorted(np.random.RandomState(2020).choice(len(rows), count, replace=False))]
    )


def peer_fid(a, b):
    return fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), False
    )["frechet_inception_distance"]


def test_fid_of_cifar10_is_torch_fidelitys_of_the_same_features(made_up):
    """All training against all test images, and 5,000 of each by its choice."""
    train, test = (made_up(split, "inception-tf1", "pool") for split in ("train", "heldout"))
    assert of_name("FID of training and test images") == pytest.approx(
        peer_fid(torch.from_numpy(train), torch.from_numpy(test)), rel=1e-10
    )
    assert of_name("FID of 5,000 and 5,000") == pytest.approx(
        peer_fid(chosen(train, 5000), chosen(test, 5000)), rel=1e-10
    )


def test_is_of_cifar10_is_torch_fidelitys_of_the_same_logits(made_up):
    """Ten splits after its shuffle by seed 2020, of all and of 100 images."""
    logits = made_up("train", "inception-tf1", "logits_unbiased")
    constants = {"feat_extractor": None, "splits": 10, "shuffle": True, "rng_seed": 2020}
    for name, rows in (
        ("IS of the training images", torch.from_numpy(logits)),
        ("IS of 100 images", chosen(logits, 100)),
    ):
        peer = isc_features_to_metric(
            rows, **{key: value for key, value in constants.items() if key != "feat_extractor"}
        )
        assert of_name(name) == pytest.approx(peer["inception_score_mean"], rel=1e-10)


def test_kid_of_noisy_images_is_torch_fidelitys_of_the_same_features(made_up):
    """The noisy images as samples and 5,000 training images by its choice as the reference,
    100 subsets of 1,000.
    """
    noisy, train = (
        made_up("noisy", "inception-tf1", "pool"),
        made_up("train", "inception-tf1", "pool"),
    )
    peer = kid_features_to_metric(
        torch.from_numpy(noisy),
        chosen(train, 5000),
        kid_subsets=100,
        kid_subset_size=1000,
        rng_seed=2020,
        verbose=False,
    )
    assert of_name("KID of noisy images") == pytest.approx(
        peer["kernel_inception_distance_mean"], rel=1e-9
    )


def test_noise_is_drawn_after_the_choice_and_wraps_around():
    """torch-fidelity's noise: in the order of the draw, added in float32,
    cut to whole numbers that wrap around; then sorted by index.
    """
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3)).astype(np.uint8)
    rng = np.random.RandomState(2020)
    slow = {}
    for i in rng.choice(40, 10, replace=False):
        image = images[i].astype(np.float32)
        image += rng.randn(4, 4, 3) * 64
        slow[i] = np.trunc(image).astype(np.int64) % 256
    np.testing.assert_array_equal(
        published_results.noisy(images, 10), np.stack([slow[i] for i in sorted(slow)])
    )


def test_the_adm_suite_takes_moments_from_the_file_and_rows_from_its_images(tmp_path, monkeypatch):
    """FID and sFID are held against mu, sigma and mu_s, sigma_s of the reference's file,
    not against its images; recall against its images.
    """
    rng = np.random.default_rng(5)
    reference, samples = (
        "VIRTUAL_imagenet256_labeled.npz",
        "admnet_guided_upsampled_imagenet256.npz",
    )
    moments = {"mu": np.ones(8), "sigma": 2 * np.eye(8), "mu_s": np.zeros(6), "sigma_s": np.eye(6)}
    np.savez(tmp_path / reference, arr_0=np.zeros((5, 8, 8, 3), np.uint8), **moments)
    np.savez(tmp_path / samples, arr_0=np.full((3, 8, 8, 3), 7, np.uint8))
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path))
    rows = {
        "pool": rng.normal(size=(400, 8)),
        "spatial": rng.normal(size=(400, 6)),
        "logits_unbiased": rng.normal(size=(400, 10)),
    }
    monkeypatch.setattr(
        published_results,
        "_features",
        lambda data, split, extractor, output: rows[output][
            : 40 if data().splits["train"] == 5 else 400
        ],
    )
    found = {
        one.name: one.measure()
        for one in published_results.adm_suite()
        if one.name.startswith("ADM 256")
    }
    for name, output, mean, variance in (("fid", "pool", 1.0, 2.0), ("sfid", "spatial", 0.0, 1.0)):
        own = np.linalg.eigvalsh(np.cov(rows[output].T))
        exact = ((rows[output].mean(0) - mean) ** 2).sum() + (
            own + variance - 2 * np.sqrt(own * variance)
        ).sum()
        assert found[f"ADM 256, {name}"] == pytest.approx(exact, rel=1e-10)
    # all 40 reference rows are among the samples
    assert found["ADM 256, precision"] < 1 == found["ADM 256, recall"]


def test_features_of_cifar10_are_the_networks_of_its_images_in_their_order(monkeypatch, tmp_path):
    """Images go through the extractor as they are, whichever split;
    $GENBENCH_DATA without the files is data missing, not a failure.
    """
    images = {
        train: np.random.default_rng(train).integers(0, 256, (6000, 8, 8, 3)).astype(np.uint8)
        for train in (True, False)
    }
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path))
    with pytest.raises(NotRun, match="data missing"):
        published_results._cifar10(tmp_path, True)
    monkeypatch.setattr(
        published_results,
        "_cifar10",
        lambda folder, train: (images[train], np.zeros(6000, dtype=np.int64)),
    )
    published_results._features.cache_clear()
    found = {
        split: published_results._features(published_results._cifar10_row, split, "digits", "pool")
        for split in ("train", "heldout", "noisy")
    }
    published_results._features.cache_clear()
    eyes = network("digits", "cpu", published_results._weights("digits"))
    for split, of in (
        ("train", images[True]),
        ("heldout", images[False]),
        ("noisy", published_results.noisy(images[False], 5000)),
    ):
        assert len(found[split]) == len(of)
        some = torch.from_numpy(of[[0, 7, -1]].transpose(0, 3, 1, 2).copy())
        np.testing.assert_allclose(
            found[split][[0, 7, -1]], eyes(some)["pool"], rtol=1e-4, atol=1e-5
        )
