"""Diversity and path length: the one pass equals every pair, leave-outs equal calls,
trimming is the peers' own, and planted faults are seen.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.features.extraction import AHEAD, ahead_of, ahead_of_rows
from genbench.statistics import blocks as statistics_blocks

CLASSES = 4
SUMS = ("diversity", "diversity_within", "stability")
KEY = "perceptual_path_length"


def metric(name):
    return registry.find("metrics", name)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def sums(x, labels, blocks):
    """By block and class the sum of rows, of their squared lengths, and the count:
    float64 [B, C, d + 2], row by row.
    """
    found = np.zeros((blocks.max() + 1, labels.max() + 1, x.shape[1] + 2))
    for row, label, block in zip(x, labels, blocks, strict=True):
        found[block, label] += np.concatenate([row, [row @ row, 1]])
    return Arrays({"sums": found})


def drawn(rng, n=90, d=7):
    """Rows around a centre per class, far from the origin, with a class of unequal size;
    their labels and blocks.
    """
    labels = np.minimum(np.arange(n) % 5, CLASSES - 1)
    return (
        30 + 2 * rng.normal(size=(CLASSES, d))[labels] + rng.normal(size=(n, d)),
        labels,
        statistics_blocks.blocks_of(labels),
    )


def mean_of_pairs(x, wanted):
    """The mean of |x_i - x_j|^2 over the pairs i < j that are wanted, one after the other."""
    return np.mean(
        [
            ((x[i] - x[j]) ** 2).sum()
            for i, j in itertools.combinations(range(len(x)), 2)
            if wanted(i, j)
        ]
    )


def slowly(x, labels):
    """What the three metrics of sums are by their words."""
    within = np.mean(
        [
            mean_of_pairs(x[labels == c], lambda i, j: True)
            for c in np.unique(labels)
            if (labels == c).sum() > 1
        ]
    )
    across = mean_of_pairs(x, lambda i, j: labels[i] != labels[j])
    return {
        "diversity": mean_of_pairs(x, lambda i, j: True),
        "diversity_within": within,
        "stability": within / across,
    }


@pytest.mark.parametrize("name", SUMS)
def test_one_pass_equals_all_pairs(rng, name):
    """From sums alone each metric is what its words say over every pair,
    overall and (a class's own sums) per class.
    """
    x, labels, blocks = drawn(rng)
    assert metric(name).value(sums(x, labels, blocks)) == pytest.approx(
        slowly(x, labels)[name], rel=1e-10
    )
    if metric(name).per_class:
        for c in range(CLASSES):
            own = Arrays({"sums": sums(x, labels, blocks)["sums"][:, c : c + 1]})
            assert metric(name).value(own) == pytest.approx(
                mean_of_pairs(x[labels == c], lambda i, j: True), rel=1e-10
            )


@pytest.mark.parametrize("columns", [2**20, 100])
@pytest.mark.parametrize("name", SUMS)
def test_leave_outs_equal_calls_of_value(rng, name, columns, monkeypatch):
    """left_out is the value of the sums, and of the rows, without each block,
    however many columns are held at once, and with two rows of sums to a block.
    """
    monkeypatch.setattr("genbench.metrics.lpips_diversity.COLUMNS", columns)
    x, labels, blocks = drawn(rng)
    given = sums(x, labels, blocks)
    every = np.arange(blocks.max() + 1)
    found = metric(name).left_out(given, every, "samples")
    np.testing.assert_allclose(
        found, [metric(name).value(given.keep("samples", every != b)) for b in every], rtol=1e-12
    )
    np.testing.assert_allclose(
        found[3], slowly(x[blocks != 3], labels[blocks != 3])[name], rtol=1e-9
    )
    pairs = metric(name).left_out(given, every // 2, "samples")
    np.testing.assert_allclose(
        pairs[1], slowly(x[blocks // 2 != 1], labels[blocks // 2 != 1])[name], rtol=1e-9
    )


def test_wide_sums_are_added_in_pieces(rng):
    """Millions of columns cost no more memory than the sums themselves:
    what is held beside them is a share of it.
    """
    import tracemalloc

    wide = Arrays(
        {
            "sums": np.concatenate(
                [
                    rng.normal(size=(20, 1, 400_000)),
                    np.full((20, 1, 1), 2e5),
                    np.full((20, 1, 1), 9.0),
                ],
                2,
            )
        }
    )
    tracemalloc.start()
    value = metric("diversity").value(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    total = wide["sums"][:, 0, :-2].sum(0)
    assert value == pytest.approx(2 * (180 * 4e6 - total @ total) / (180 * 179), rel=1e-12)
    assert peak < wide["sums"].nbytes / 2


@pytest.mark.parametrize("name", SUMS)
def test_equal_samples_and_few_samples(rng, name):
    """Equal samples have diversity exactly 0; where no pair is left the value is NaN, not 0;
    and without classes there is no within.
    """
    same = np.tile(rng.normal(size=7), (40, 1))
    labels, blocks = np.arange(40) % CLASSES, statistics_blocks.blocks_of(np.arange(40) % CLASSES)
    value = metric(name).value(sums(same, labels, blocks))
    assert np.isnan(value) if name == "stability" else value == 0
    assert np.isnan(metric(name).value(sums(same[:1], labels[:1], blocks[:1])))
    assert np.isnan(metric(name).value(sums(same, np.zeros(40, dtype=int), blocks))) == (
        name != "diversity"
    )


# Planted faults


def good(rng, n=400):
    labels = np.arange(n) % CLASSES
    return 4 * np.eye(CLASSES, 6)[labels] + rng.normal(size=(n, 6)), labels


def values(x, labels):
    given = {
        "ahead": ahead_of_rows(x, labels),
        "labels": labels,
        **sums(x, labels, statistics_blocks.blocks_of(labels)),
    }
    return {
        name: metric(name).value(Arrays({need: given[need] for need in metric(name).needs}))
        for name in (*SUMS, "diversity_bicyclegan", "diversity_starganv2")
    }


def test_a_class_that_collapses_is_seen_within_and_hardly_overall(rng):
    """One image for one class of four: a quarter is gone within classes, a fifth from stability, a
    twelfth overall: |x - x'|^2 is 12 within and 44 across, and becomes 0 in that class and 38 from
    it to others.
    """
    x, labels = good(rng)
    before, bad = values(x, labels), x.copy()
    bad[labels == 0] = x[labels == 0].mean(0)
    after = values(bad, labels)
    shares = {name: after[name] / before[name] for name in after}
    expected = {
        "diversity_within": 9 / 12,
        "stability": (9 / 41) / (12 / 44),
        "diversity_bicyclegan": 9 / 12,
        "diversity_starganv2": 9 / 12,
        "diversity": 33 / 36,
    }
    assert shares == pytest.approx(expected, abs=0.04)


def test_classes_that_fall_together_are_seen_overall_and_not_within(rng):
    """Every class at one place: the same within, less overall, and stability rises to 1."""
    x, labels = good(rng)
    before, after = values(x, labels), values(x - 4 * np.eye(CLASSES, 6)[labels], labels)
    assert after["diversity_within"] == pytest.approx(before["diversity_within"], rel=1e-9)
    assert after["diversity"] < 0.5 * before["diversity"]
    assert before["stability"] < 0.4
    assert after["stability"] == pytest.approx(1, abs=0.05)


# Samples of pairs


def test_sampled_pairs_are_what_the_papers_say(rng):
    """BicycleGAN: consecutive outputs of a class.

    StarGAN v2: groups of ten, all pairs; a last group of two counts, of one does not.
    """
    labels = np.repeat([0, 1, 2], [22, 11, 1])
    x = rng.normal(size=(34, 3))
    by_class = [x[labels == c] for c in range(3)]
    given = Arrays({"ahead": ahead_of_rows(x, labels), "labels": labels})
    consecutive = [
        np.mean([((of[k] - of[k + 1]) ** 2).sum() for k in range(len(of) - 1)])
        for of in by_class[:2]
    ]
    assert metric("diversity_bicyclegan").value(given) == pytest.approx(
        np.mean(consecutive), rel=1e-12
    )
    groups = [[by_class[0][:10], by_class[0][10:20], by_class[0][20:]], [by_class[1][:10]]]
    expected = np.mean(
        [np.mean([mean_of_pairs(group, lambda i, j: True) for group in of]) for of in groups]
    )
    assert metric("diversity_starganv2").value(given) == pytest.approx(expected, rel=1e-12)
    # another order of classes, the same within each
    another = np.concatenate([np.flatnonzero(labels == c) for c in (1, 2, 0)])
    for name in ("diversity_bicyclegan", "diversity_starganv2"):
        assert metric(name).value(given.keep("samples", another)) == pytest.approx(
            metric(name).value(given), rel=1e-12
        )


@pytest.mark.parametrize("left_out", range(20))
def test_leaving_samples_out_pairs_the_others_anew(rng, left_out):
    """Distances to the next ten of a class are all that is needed of rows without a block:
    the same numbers as of the rows that stay.
    """
    labels = np.repeat([0, 1], [45, 33])
    x = rng.normal(size=(78, 3))
    stay = statistics_blocks.blocks_of(labels) != left_out
    kept = Arrays({"ahead": ahead_of_rows(x, labels), "labels": labels}).keep("samples", stay)
    fresh = Arrays({"ahead": ahead_of_rows(x[stay], labels[stay]), "labels": labels[stay]})
    for name in ("diversity_bicyclegan", "diversity_starganv2"):
        assert metric(name).value(kept) == pytest.approx(metric(name).value(fresh), rel=1e-12)


def test_pairs_out_of_reach_are_left_aside(rng):
    """With every other sample left out a pair of a group may be farther apart than distances were
    kept: the mean is of those that are known.
    """
    x, labels, stay = rng.normal(size=(40, 3)), np.zeros(40, dtype=int), np.arange(40) % 2 == 0
    given = Arrays({"ahead": ahead_of_rows(x, labels), "labels": labels}).keep("samples", stay)
    groups = [x[stay][:10], x[stay][10:]]
    expected = np.mean(
        [mean_of_pairs(group, lambda i, j: 2 * (j - i) <= AHEAD) for group in groups]
    )
    assert metric("diversity_starganv2").value(given) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 7, 11, 1000])
def test_distances_within_classes_do_not_depend_on_how_rows_come(rng, at_once):
    """However many rows are asked for at once: each once, in the order of its class,
    and each distance that of its pair, 0 beyond the last.
    """
    labels = rng.integers(3, size=50)
    x, asked = rng.normal(size=(50, 4)), []

    def features(places):
        asked.append(places)
        return x[places]

    found = ahead_of(labels, features, at_once)
    assert max(map(len, asked)) <= at_once
    np.testing.assert_array_equal(np.concatenate(asked), np.argsort(labels, kind="stable"))
    for label in range(3):
        members = np.flatnonzero(labels == label)
        for place, i in enumerate(members):
            expected = [((x[i] - x[j]) ** 2).sum() for j in members[place + 1 : place + 1 + AHEAD]]
            np.testing.assert_allclose(
                found[i], [place, *expected, *[0.0] * (AHEAD - len(expected))], rtol=1e-12
            )


def test_sampled_pairs_have_the_expectation_of_all_pairs_and_a_larger_variance(rng):
    """Over 400 draws of one class the three means agree; consecutive pairs vary more than
    all pairs do.
    """
    found = np.array(
        [
            [one["diversity"], one["diversity_bicyclegan"], one["diversity_starganv2"]]
            for one in (values(rng.normal(size=(60, 8)), np.zeros(60, int)) for _ in range(400))
        ]
    )
    np.testing.assert_allclose(found.mean(0), 16, rtol=0.02)
    assert found[:, 1].var() > 1.2 * found[:, 0].var()


# Path length


def as_torch_fidelity(pairs, monkeypatch):
    """torch-fidelity's own perceptual_path_length over these distances:
    a generator and a similarity that hand them over.
    """
    from torch_fidelity import metric_ppl
    from torch_fidelity.generative_model_base import GenerativeModelBase

    class Model(GenerativeModelBase):
        z_size, z_type, num_classes = 1, "normal", 0

        def forward(self, z):
            return z

    original = np.percentile
    # numpy 2.4 removed the old word
    monkeypatch.setattr(
        np, "percentile", lambda a, q, interpolation: original(a, q, method=interpolation)
    )
    left = iter(torch.from_numpy(pairs).split(64))
    monkeypatch.setattr(
        metric_ppl, "create_sample_similarity", lambda *_, **__: lambda a, b: next(left) * 1e-4**2
    )
    monkeypatch.setattr(metric_ppl, "prepare_input_from_descriptor", lambda *_, **__: Model())
    monkeypatch.setattr(
        metric_ppl,
        "prepare_input_descriptor_from_input_id",
        lambda *_, **__: {"input_model_num_samples": len(pairs), "input_model_num_classes": 0},
    )
    return metric_ppl.calculate_ppl(1, verbose=False, cuda=False, batch_size=64)[f"{KEY}_mean"]


@pytest.mark.parametrize("n", [1, 2, 60, 101, 1000, 10_001])
def test_trimming_is_torch_fidelitys(rng, n, monkeypatch):
    """The trimmed mean is torch-fidelity's own, ties included."""
    pairs = np.round(np.exp(2 * rng.normal(size=n)), 1)
    assert metric("path_length").value(Arrays({"pairs": pairs})) == pytest.approx(
        as_torch_fidelity(pairs, monkeypatch), rel=1e-12
    )


@pytest.mark.parametrize(("lower", "upper"), [(1, 99), (5, 90), (0, 100)])
@pytest.mark.parametrize("n", [2, 61, 1001])
def test_trimming_by_numpys_percentiles(rng, n, lower, upper):
    """Rule "higher" is numpy's percentiles rounded apart, "lower" torch.quantile's both rounded
    downwards (torchmetrics), "none" the mean of all.
    """
    pairs = np.exp(rng.normal(size=n))
    given, value = Arrays({"pairs": pairs}), metric("path_length").value
    low, high = (
        np.percentile(pairs, lower, method="lower"),
        np.percentile(pairs, upper, method="higher"),
    )
    assert value(given, lower=lower, upper=upper) == pytest.approx(
        pairs[(low <= pairs) & (pairs <= high)].mean(), rel=1e-12
    )
    tensor = torch.from_numpy(pairs)
    ends = [torch.quantile(tensor, q / 100, interpolation="lower") for q in (lower, upper)]
    assert value(given, lower=lower, upper=upper, rule="lower") == pytest.approx(
        tensor[(tensor >= ends[0]) & (tensor <= ends[1])].mean().item(), rel=1e-12
    )
    assert value(given, rule="none") == pytest.approx(pairs.mean(), rel=1e-12)


def test_an_unknown_rule_is_refused():
    """A rule that is none of the three is refused with the three."""
    with pytest.raises(ValueError, match="higher, lower and none"):
        metric("path_length").value(Arrays({"pairs": np.ones(5)}), rule="upper")


def test_published_names():
    """lpips_diversity, its two companions and ppl stand on the shelf under those names,
    with float images at epsilon 1e-4.
    """
    measures = registry.every("measures")
    lpips = (
        "lpips_diversity",
        "lpips_diversity_within",
        "lpips_stability",
        "lpips_diversity_bicyclegan",
        "lpips_diversity_starganv2",
    )
    assert {measures[name].features for name in lpips} == {"lpips-alex.phi"}
    assert {
        name: measures[name].features
        for name in ("lpips_diversity", "lpips_diversity_within", "lpips_stability", "ppl")
    } == {
        "lpips_diversity": "lpips-alex.phi",
        "lpips_diversity_within": "lpips-alex.phi",
        "lpips_stability": "lpips-alex.phi",
        "ppl": "lpips-vgg.phi",
    }
    pairs = measures["ppl"].pairs
    assert (pairs.space, pairs.path, pairs.where, pairs.epsilon, pairs.size, pairs.levels) == (
        "z",
        "lerp",
        "end",
        1e-4,
        64,
        "float",
    )
