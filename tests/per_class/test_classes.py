"""The numbers of the table of classes against direct formulas, peers and loops."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.planted_classes import halves, kernel_distance, real
from PIL import Image
from scipy import stats as scipy_stats

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.per_class import (
    aggregates,
    class_intervals,
    class_shares,
    compute_from_run,
    diversity,
    frechet_contributions,
    group_metrics,
    label_classifier,
    pairwise,
    plots,
    render,
    training_copies,
)
from genbench.per_class.table import ordered, table
from genbench.runs.records.record import Score
from genbench.statistics import frechet_distance, jackknife, moments


def _two(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 1.2 + 0.2
    return x, y, pairwise.pairs(np.concatenate([x, y])), np.arange(n), np.arange(n, n + m)


# Shares


def test_jeffreys_is_the_beta_law_and_covers():
    """Quantiles of Beta(x + 1/2, n - x + 1/2); at n = 200 and a share of 0.005,
    where Wald covers 63 %, it covers more than 93 % of counts.
    """
    assert class_shares.jeffreys(3, 20) == pytest.approx(scipy_stats.beta(3.5, 17.5).interval(0.95))
    chances = scipy_stats.binom.pmf(np.arange(201), 200, 0.005)
    covers = [
        low <= 0.005 <= high for low, high in (class_shares.jeffreys(x, 200) for x in range(201))
    ]
    assert chances[covers].sum() == pytest.approx(0.981, abs=0.002)  # LONGTAIL's table


@pytest.mark.parametrize(
    ("side", "named"), [("less", "less"), ("greater", "greater"), ("both", "two-sided")]
)
def test_exact_tests_are_scipys(side, named):
    """Fisher's and the binomial test as scipy has them."""
    for a, n, b, m in [(3, 20, 9, 18), (0, 7, 5, 9), (12, 12, 3, 9), (5, 10, 5, 10)]:
        assert class_shares.fisher(a, n, b, m, side) == pytest.approx(
            scipy_stats.fisher_exact([[a, n - a], [b, m - b]], alternative=named)[1]
        )
    assert class_shares.binomial(3, 40, 0.2) == pytest.approx(
        scipy_stats.binomtest(3, 40, 0.2).pvalue
    )


def test_a_class_is_missing_by_the_published_rule():
    """The samples it takes are 599, 8,294 and 105,966; so many without one is missing,
    half of them is not, and one at its share never is.
    """
    for classes, n in ((10, 599), (100, 8294), (1000, 105_966)):
        assert class_shares.enough(classes) == n
        assert class_shares.missing(0, n, 1 / classes, classes)
        assert not class_shares.missing(0, n // 2, 1 / classes, classes)
        assert not class_shares.missing(n // classes, n, 1 / classes, classes)


def test_gini_is_the_mean_difference():
    """Half the mean absolute difference of all pairs over the mean; 0 for equal shares."""
    shares = np.random.default_rng(0).random(13)
    assert class_shares.gini(shares) == pytest.approx(
        np.abs(shares[:, None] - shares).mean() / (2 * shares.mean())
    )
    assert 0 <= class_shares.gini([0.1] * 10) < 1e-12  # and no -0.000


# One class


@pytest.mark.parametrize(("n", "m", "d"), [(60, 70, 16), (40, 30, 200), (12, 9, 64)])
def test_statistics_of_pairs_are_the_direct_ones(n, m, d):
    """Kernel distance by the U-statistic, traces of np.cov, Fréchet as frechet_distance.py has it,
    and prdc's four numbers.
    """
    prdc = pytest.importorskip("prdc")
    x, y, of, places, real_places = _two(n, m, d)
    found = pairwise.measured(of, places, real_places)

    def kernel(a, b):
        return (a @ b.T / d + 1) ** 3

    own = [(kernel(a, a).sum() - np.trace(kernel(a, a))) / (len(a) * (len(a) - 1)) for a in (x, y)]
    assert found["kd"] == pytest.approx(sum(own) - 2 * kernel(x, y).mean(), rel=1e-9)
    assert found["spread_ratio"] == pytest.approx(
        np.cov(x.T).trace() / np.cov(y.T).trace(), rel=1e-9
    )
    assert found["fd"] == pytest.approx(
        frechet_distance.distance(x, frechet_distance.fit(y)), rel=1e-9
    )
    peer = prdc.compute_prdc(y, x, pairwise.K)
    assert {name: found[name] for name in peer} == pytest.approx(
        {name: float(value) for name, value in peer.items()}
    )


@pytest.mark.parametrize(("n", "m", "d"), [(60, 70, 16), (60, 45, 200), (13, 9, 6), (8, 7, 40)])
def test_leave_outs_are_those_of_the_rows_that_stay(n, m, d):
    """The quick leave-outs of both sides equal the statistics of the rows that stay."""
    *_, of, x, y = _two(n, m, d)
    quick = class_intervals.left_outs(of, n)
    for side, size in enumerate((n, m)):
        for b in range(min(size, class_intervals.BLOCKS)):
            kept = class_intervals.blocks_of(size) != b
            slow = (
                pairwise.measured(of, x[kept], y)
                if side == 0
                else pairwise.measured(of, x, y[kept])
            )
            assert {name: quick[name][side][b] for name in slow} == pytest.approx(
                slow, rel=1e-8, abs=1e-10, nan_ok=True
            )


def test_intervals_hold_both_sides():
    """Of 60 draws of 60 samples and 15 real images, 88 % of the intervals hold the laws' kernel
    distance; those of the samples' side alone do not.
    """
    rng = np.random.default_rng(0)
    true = kernel_distance(rng.standard_normal((4000, 6)) + 0.7, rng.standard_normal((4000, 6)))
    covers, alone = 0, 0
    for _ in range(60):
        of = pairwise.pairs(
            np.concatenate([rng.standard_normal((60, 6)) + 0.7, rng.standard_normal((15, 6))])
        )
        value, low, high = class_intervals.bounded(of, 60)["kd"]
        covers += low <= true <= high
        error = jackknife.jackknife(
            class_intervals.left_outs(of, 60)["kd"][0], np.full(20, 3), value
        )
        alone += abs(value - true) <= 2.1 * error
    assert covers >= 0.88 * 60
    assert alone < 0.88 * 60


def test_one_repeated_image_has_a_spread_of_0():
    """A class that is one image: the ratio is 0, and no number is infinite or NaN but those of
    too few rows.
    """
    rng = np.random.default_rng(0)
    of = pairwise.pairs(
        np.concatenate(
            [np.repeat(rng.standard_normal((1, 8)), 30, 0), rng.standard_normal((30, 8))]
        )
    )
    found = class_intervals.bounded(of, 30)
    assert found["spread_ratio"][0] == 0.0
    assert np.isfinite([value for three in found.values() for value in three]).all()


def test_a_class_that_is_one_image_but_for_one_sample_keeps_its_interval_of_spread():
    """Without the one odd sample the ratio is 0, of which there is no logarithm:
    the interval reaches 0 and holds the value.
    """
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((1, 8)), 30, 0)
    rows[0] += 1
    value, low, high = class_intervals.bounded(
        pairwise.pairs(np.concatenate([rows, rng.standard_normal((30, 8))])), 30
    )["spread_ratio"]
    assert low == 0.0
    assert 0 < value < high < 0.3


def test_two_rows_of_a_class_give_no_number_but_its_tests(monkeypatch):
    """Of two real images a distance has no interval, and so no value;
    the class is said to have too few, and its permutation tests stand.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    whole = real(0, permutations=199)
    kept = np.ones(len(whole.reference_labels), dtype=bool)
    kept[np.flatnonzero(whole.reference_labels == 3)[2:]] = False
    reader = replace(whole.reader, reference=whole.reader.reference[kept])
    found = table(
        replace(
            whole,
            reference=whole.reference[kept],
            reference_labels=whole.reference_labels[kept],
            reader=reader,
        )
    )
    row = found.rows[3]
    assert [
        row[name] for name in ("kd", "kd_low", "fd", "spread_ratio", "kd_relative", "fd_bias")
    ] == [None] * 6
    assert (
        "distances: no interval, and so no number, of 43 samples and 2 real images" in row["notes"]
    )
    assert {"distance", "spread"} <= set(row["tests"])
    assert row["flags"] == ["too few samples"]
    assert found.over["numbers"]["kd"]["classes"] == 9


def test_real_lines_are_of_the_sizes_asked_for_or_of_fewer():
    """40 against 60 of 100 real rows are taken as they are; of 50 rows, 20 against 30;
    and the kernel distance lies around 0.
    """
    rows = np.random.default_rng(0).standard_normal((100, 8))
    whole, half = (
        class_intervals.real_lines(rows, 40, 60),
        class_intervals.real_lines(rows[:50], 40, 60),
    )
    assert (whole["kd"].n, whole["kd"].m, half["fd"].n, half["fd"].m) == (40, 60, 20, 30)
    assert whole["kd"].low < 0 < whole["kd"].high
    assert half["fd"].median > whole["fd"].median  # which is the small-sample bias
    assert class_intervals.real_lines(rows[:3], 40, 60) == {}


def test_near_copies_are_copies_and_not_narrow_classes():
    """Copies of training images with a hundredth of noise are near copies;
    rows of the same law, and of half its variance, are not.
    """
    rng = np.random.default_rng(0)
    train = rng.standard_normal((40, 32))
    for rows, least, most in (
        (train + 0.01 * rng.standard_normal(train.shape), 1.0, 1.0),
        (rng.standard_normal((200, 32)) * 0.7, 0.0, 0.02),
    ):
        share = training_copies.copies(*training_copies.nearest_to(rows, train), train, 5.0).mean()
        assert least <= share <= most
    distance, place = training_copies.nearest_to(train[:1], train[:1])
    # one training image: against the typical distance
    assert training_copies.copies(distance, place, train[:1], 5.0).all()


# Over classes


def test_the_classes_parts_add_up_to_the_distance():
    """The transport split sums to the Fréchet distance of covariances by n to 1e-9,
    and a class that was dropped carries most of it on this side.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 6
    centres = 3 * rng.standard_normal((6, 12))
    x, y = (centres[labels] + rng.standard_normal((600, 12)) for _ in range(2))
    for samples in (x, x[labels != 2]):
        found = frechet_contributions.carried(samples, labels[: len(samples)], y, labels, 6)
        assert found.parts.sum() == pytest.approx(found.total, rel=1e-12)
        assert found.total == pytest.approx(_population(samples, y), rel=1e-9)
    assert found.shares[2] > 0.5
    assert found.low[2] > np.delete(found.shares, 2).max()  # beyond the errors of both sides
    # fewer real images than features
    nothing = frechet_contributions.carried(x, labels, y[:10], labels[:10], 6)
    assert np.isnan([nothing.total, *nothing.parts, *nothing.low]).all()


def _shifted(rng, n, classes=5, d=16):
    """Rows of some classes, of which class 0 lies elsewhere among the samples, real rows,
    and the labels of both.
    """
    labels = np.arange(n) % classes
    mixed = np.random.default_rng(0)
    centres, turn = (
        mixed.standard_normal((classes, d)),
        np.eye(d) + 0.3 * mixed.standard_normal((d, d)),
    )
    return (
        (centres[labels] + rng.standard_normal((n, d)) + 0.5 * (labels == 0)[:, None]) @ turn,
        (centres[labels] + rng.standard_normal((n, d))) @ turn,
        labels,
    )


@pytest.mark.parametrize("side", ["samples", "reference"])
def test_the_maps_derivative_foretells_the_leave_outs(side):
    """The classes' parts without each tenth of a side, by the first derivative,
    differ as those of the map taken again do, up to a tenth.
    """
    x, y, labels = _shifted(np.random.default_rng(1), 4000)
    blocks, of = frechet_contributions.blocks_of(labels), np.bincount(labels) / len(labels)
    through = frechet_contributions.transport(moments.moments(x), moments.moments(y))
    found, without = frechet_contributions.left_outs(through, (x, y), (blocks, blocks), labels, 5)
    assert found.sum() == pytest.approx(frechet_contributions.parts(through, y, labels, 5)[1])
    guessed = without[side == "reference"] - found[:, None]
    assert np.bincount(blocks).tolist() == [400] * 10
    again = []
    for b in range(10):
        ours, theirs = (x[blocks != b], y) if side == "samples" else (x, y[blocks != b])
        through = frechet_contributions.transport(moments.moments(ours), moments.moments(theirs))
        told = labels if side == "samples" else labels[blocks != b]
        again.append(
            frechet_contributions.parts(through, theirs, told, 5)[0]
            / np.bincount(told)
            * len(told)
            * of
        )
    change = np.transpose(again) - found[:, None]
    apart = change - guessed
    # what all blocks have in common, the second order's, has no part in the jackknife
    assert (
        np.abs(apart - apart.mean(1, keepdims=True)).max()
        < 0.1 * np.abs(change - change.mean(1, keepdims=True)).max()
    )


def test_the_interval_of_a_share_holds_what_shares_of_these_sizes_are():
    """Of 80 draws of 160 samples against 160 real images, each class's interval holds the mean
    share in 90 % or more, and is not twice too wide.
    """
    rng = np.random.default_rng(2)
    found = [
        frechet_contributions.carried(x, of, y, of, 5)
        for x, y, of in (_shifted(rng, 160) for _ in range(80))
    ]
    shares, low, high = (
        np.array([getattr(one, name) for one in found]) for name in ("shares", "low", "high")
    )
    assert ((low <= shares.mean(0)) & (shares.mean(0) <= high)).mean(0).min() >= 0.9
    assert ((high - low).mean(0) < 2 * 2 * 2.26 * shares.std(0)).all()
    assert shares.mean(0).argmax() == 0


def test_shares_of_wide_features_are_those_of_narrow_ones(monkeypatch):
    """In float32, as features of more than 256 dimensions are taken,
    intervals are the same to a thousandth.
    """
    x, y, labels = _shifted(np.random.default_rng(3), 200)
    narrow = frechet_contributions.carried(x, labels, y, labels, 5)
    monkeypatch.setattr(frechet_contributions, "WIDE", 8)
    wide = frechet_contributions.carried(x, labels, y, labels, 5)
    np.testing.assert_allclose(wide.low, narrow.low, rtol=1e-3)
    np.testing.assert_allclose(wide.high, narrow.high, rtol=1e-3)
    real = frechet_contributions.real(y, labels, (np.full(5, 20), np.full(5, 20)), 0)
    assert real.sum() == pytest.approx(1)  # of one split


def _population(x, y):
    """The Fréchet distance of covariances by n, by scipy's square root."""
    from scipy.linalg import sqrtm

    s, c = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + c - 2 * np.real(sqrtm(s @ c)))


def test_pooled_groups_and_intra_fid_are_the_direct_ones(monkeypatch):
    """A group is one distance of its rows together; intra-class FID of each convention is the mean
    over classes with that convention's samples.
    """
    rng = np.random.default_rng(0)
    labels, held = np.arange(120) % 4, np.arange(80) % 4
    x, y = (
        rng.standard_normal((120, 5)) + labels[:, None],
        rng.standard_normal((80, 5)) + held[:, None],
    )
    groups = {"few": (1, 3), "none": ()}
    pool = rng.standard_normal((400, 5)) + (np.arange(400) % 4)[:, None], np.arange(400) % 4
    found = group_metrics.pooled([(x, labels, {}), (y, held, {})], pool, groups)
    known = [
        (x, labels, group_metrics.of_groups(x, labels, groups)),
        (y, held, group_metrics.of_groups(y, held, groups)),
    ]
    with monkeypatch.context() as wide:
        wide.setattr(group_metrics, "WIDE", 4)
        few = group_metrics.pooled(known, pool, groups)["few"]
    assert few["fd"] == pytest.approx(found["few"]["fd"], rel=1e-12)
    assert few["fd_low"] is None  # of wide features
    inside, real_inside = (
        np.concatenate([rows[of == c] for c in (1, 3)]) for rows, of in ((x, labels), (y, held))
    )
    assert set(found) == {"few"}
    assert found["few"]["fd"] == pytest.approx(
        frechet_distance.distance(inside, frechet_distance.fit(real_inside))
    )
    of = pairwise.pairs(np.concatenate([inside, real_inside]))
    direct = pairwise.measured(of, np.arange(len(inside)), np.arange(len(inside), len(of.rows)))
    assert found["few"]["kd"] == pytest.approx(direct["kd"], rel=1e-9)
    for name, three in class_intervals.bounded(of, len(inside)).items():
        if name in ("kd", "fd"):
            assert [
                found["few"][key] for key in (name, f"{name}_low", f"{name}_high")
            ] == pytest.approx(three, rel=1e-6)
            assert (
                found["few"][f"{name}_real_low"]
                < found["few"][f"{name}_real"]
                < found["few"][f"{name}_real_high"]
            )
    sides = {"reference": (y, held), "train": (y[:60], held[:60])}
    expected = {
        "miyato": ("train", 5000),
        "studiogan": ("reference", 20),
        "noisytwins": ("reference", 5000),
    }
    for name, (side, most) in expected.items():
        values = [
            frechet_distance.distance(
                x[labels == c][:most], frechet_distance.fit(sides[side][0][sides[side][1] == c])
            )
            for c in range(4)
        ]
        own = aggregates.intra(x, labels, sides)[name]
        assert (own["mean"], own["std"]) == pytest.approx((np.mean(values), np.std(values)))
        assert own["as_published"] == (name == "studiogan")


def test_a_groups_interval_is_of_samples_and_not_of_the_turns_of_its_classes():
    """Classes that lie apart and take turns, as a run's labels do,
    give the interval of the same rows class by class: no block is one class.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    x, y = (rng.standard_normal((400, 6)) + 3 * np.eye(4, 6)[labels] for _ in range(2))
    sorted_ = np.argsort(labels, kind="stable")
    turns, ordered_ = (
        group_metrics.pooled(
            [(x[of], labels[of], {}), (y[of], labels[of], {})], (y, labels), {"all": range(4)}
        )["all"]
        for of in (np.arange(400), sorted_)
    )
    assert turns == ordered_


def test_many_splits_at_once_are_each_splits_own():
    """precision, recall, density and coverage of all splits of a small class together are those of
    each alone, to the last bit.
    """
    rng = np.random.default_rng(0)
    squares = pairwise.pairs(rng.standard_normal((40, 5))).squares
    order = np.stack([rng.permutation(40)[:30] for _ in range(6)])
    found = class_intervals._neighbour_splits(squares, order, 18)
    for s, one in enumerate(order):
        assert {name: values[s] for name, values in found.items()} == pairwise.neighbours(
            squares, one[:18], one[18:]
        )


def test_a_groups_line_is_what_splits_of_real_rows_score():
    """The kernel distance's line by random blocks has the quantiles of splits row by row,
    and both sides' sizes; fewer rows in proportion.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((600, 8))
    line = group_metrics._kernel_line((rows, np.arange(600)), 200, 100, 0)
    orders = [rng.permutation(600)[:300] for _ in range(400)]
    direct = np.quantile(
        [kernel_distance(rows[of[:200]], rows[of[200:]]) for of in orders], (0.025, 0.5, 0.975)
    )
    assert (line.n, line.m) == (200, 100)
    assert line.low < direct[1] < line.high
    assert line.high - line.low == pytest.approx(direct[2] - direct[0], rel=0.3)
    less = group_metrics._kernel_line((rows, np.arange(150)), 200, 100, 0)
    assert (less.n, less.m) == (100, 50)


def test_a_group_of_few_samples_shows_no_frechet_distance():
    """Below 2 d rows on a side fd is flagged and left out of the print with its reason;
    below 50 rows no number is printed; enough rows print both.
    """
    rng = np.random.default_rng(0)
    labels, held = np.repeat([0, 1, 2], [45, 110, 200]), np.repeat([0, 1, 2], [200, 200, 121])
    sides = [(rng.standard_normal((len(of), 60)), of, {}) for of in (labels, held)]
    found = group_metrics.pooled(
        sides, (sides[1][0], held), {"few": (0,), "medium": (1,), "many": (2,)}
    )
    assert {name: one["small_sample"] for name, one in found.items()} == {
        "few": True,
        "medium": True,
        "many": False,
    }
    few, medium, many = (render._group(name, one) for name, one in found.items())
    assert few == "few (1 class, n 45, m 200): too few samples"
    assert "fd left out (small sample: n or m below 2 x 60), kd " in medium
    half = (found["many"]["fd_high"] - found["many"]["fd_low"]) / 2
    assert (
        f"fd {found['many']['fd']:.1f} ± {half:.1f} (real {found['many']['fd_real']:.1f} of "
        "75 and 45), kd "
    ) in many  # fewer real images than both sides want


def test_means_over_classes_leave_missing_ones_out_and_name_the_worst():
    """None is no 0; the worst of a ratio lie far from 1 on either side."""
    values = [1.0, None, 0.25, 3.0, 1.1, 0.9, 1.0]
    rows = [
        {"x": x, "x_low": x and x - 0.3, "x_high": x and x + 0.6, "x_real": x and 1.0}
        for x in values
    ]
    found = aggregates.across(rows, "x", "one")
    assert found["classes"] == 6
    # classes are independent
    assert (found["low"], found["high"]) == pytest.approx(
        (found["macro"] - 0.3 / np.sqrt(6), found["macro"] + 0.6 / np.sqrt(6))
    )
    assert found["real"] == 1.0
    assert (
        aggregates.across(
            [*rows, {"x": 2.0, "x_low": None, "x_high": None, "x_real": None}], "x", "one"
        )["low"]
        is None
    )
    assert found["macro"] == pytest.approx(np.mean([1, 0.25, 3, 1.1, 0.9, 1]))
    assert found["worst"][:2] == [2, 3]


# Labels


def test_a_fitted_classifier_reads_what_it_can_and_is_refused_where_it_cannot():
    """Well separated classes are read, each real image by a fit without it;
    noise is refused with its accuracy.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    held = np.eye(4)[labels] * 4 + rng.standard_normal((200, 4))
    found = label_classifier.fitted(np.eye(4) * 4, held, labels, 4)
    assert found.samples.tolist() == [0, 1, 2, 3]
    assert 0.85 < label_classifier.believed(found).accuracy < 1
    noise = label_classifier.fitted(np.zeros((3, 4)), rng.standard_normal((200, 4)), labels, 4)
    with pytest.raises(UserError, match=r"recognises \d\d% of held-out real images, less than 70%"):
        label_classifier.believed(noise)
    with pytest.raises(UserError, match="class 1 has 1"):
        label_classifier.fitted(held, held[:5], np.array([0, 0, 0, 0, 1]), 4)


# The table


def test_relabelling_permutes_the_table_and_nothing_else(monkeypatch):
    """With the classes renumbered, each row stands at its new place with the same numbers."""
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    whole = real(0, permutations=199, train=None)
    turn = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])  # old class -> new class
    reader = whole.reader
    confusion = np.empty_like(reader.confusion)
    confusion[np.ix_(turn, turn)] = reader.confusion
    turned = replace(
        whole,
        labels=turn[whole.labels],
        reference_labels=turn[whole.reference_labels],
        pool_labels=turn[whole.pool_labels],
        reader=replace(
            reader,
            samples=turn[reader.samples],
            reference=turn[reader.reference],
            confusion=confusion,
        ),
    )
    before, after = table(whole), table(turned)
    for row in before.rows:
        own = after.rows[turn[row["class"]]]
        for name in (
            "kd",
            "fd",
            "fd_low",
            "spread_ratio",
            "coverage",
            "accuracy",
            "share",
            "fd_share",
            "z",
            "p",
        ):
            assert own[name] == pytest.approx(row[name], rel=1e-9), name


def test_real_images_are_as_near_to_training_images_as_themselves(monkeypatch):
    """The real line of the ratio of nearest distances is 1, within an interval around it;
    where there is no ratio, there is no line.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    whole = real(0, permutations=9)
    held = (whole.reference[::2], whole.reference_labels[::2])
    for row in table(replace(whole, train=held)).rows:
        assert row["nearest_ratio_real"] == 1.0
        assert 0.5 < row["nearest_ratio_real_low"] < 1 < row["nearest_ratio_real_high"] < 2
    assert {row["nearest_ratio_real"] for row in table(replace(whole, train=None)).rows} == {None}


def test_a_page_has_each_name_left_of_its_row():
    """Twice the same bytes; ink of a name stands left of its row alone, a nameless row has none,
    and pixels are those of the images, enlarged whole.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 3, 8, 8), dtype=np.uint8)
    named = [("", images[0]), ("4 a $name$ of many more letters than fit", images[1])]
    made = plots.page(named, 4)
    assert made == plots.page(named, 4)
    sheet = np.asarray(Image.open(io.BytesIO(made)).convert("RGB"))
    left = sheet.shape[1] - 4 * 34
    assert sheet.shape[0] == 2 * 34
    assert sheet[:34, :left].min() == 255
    assert sheet[34:, :left].min() < 60
    assert (sheet[34:66:4, left : left + 32 : 4] == images[1, 0].transpose(1, 2, 0)).all()
    assert (sheet[:, left + 3 * 34 :] == 255).all()  # three images of four


def test_names_of_classes_are_letters_and_no_formulas(recwarn):
    """Dollar signs, letters that the font has not and names of a hundred letters are drawn,
    without a warning; groups have their names above.
    """
    rows = [
        dict.fromkeys(
            [
                f"{name}{end}"
                for name in plots.PANELS
                for end in ("", "_low", "_high", "_real", "_real_low", "_real_high")
            ]
        )
        | {"class": c, "name": name, "train_count": 9 - c, "flags": [], "kd": 1.0, "group": "many"}
        for c, name in enumerate(["$\\frac$", "ラベル", "x" * 100])
    ]
    with Image.open(io.BytesIO(plots.picture(rows, "of $\\frac$ · " + "x" * 200))) as made:
        assert made.size[1] < 600
    assert [str(one.message) for one in recwarn.list] == []
    assert render.name_of(rows[2]) == "2 " + "x" * 23 + "…"


def test_rows_have_their_keys_and_the_worst_stand_first(monkeypatch):
    """Every promised key is in every row; a class without a number stands first;
    chance counts classes from none to all.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    whole = real(1, permutations=199)
    keep = whole.labels != 6
    reader = replace(whole.reader, samples=whole.reader.samples[keep])
    found = table(
        replace(whole, samples=whole.samples[keep], labels=whole.labels[keep], reader=reader)
    )
    keys = (
        "class name train_count group n share share_low share_high accuracy kd kd_low kd_high "
        "kd_real kd_real_high spread_ratio fd precision recall density "
    )
    for row in found.rows:
        assert set(
            (keys + "coverage diversity nearest_train fd_share z p flags notes").split()
        ) <= set(row)
    assert ordered(found.rows, "z")[0]["class"] == 6
    assert found.rows[6]["kd"] is None
    # 387 samples do not show a class missing: 599 would
    assert found.rows[6]["flags"] == ["too few samples"]
    # Benjamini and Hochberg's is never the larger
    assert all(row["q"] is None or row["q"] <= row["p"] for row in found.rows)
    assert found.by_chance(-np.inf) == 9
    assert found.by_chance(50.0) == 0
    assert [row["z"] for row in ordered(found.rows, "z")[1:]] == sorted(
        (row["z"] for row in found.rows if row["z"] is not None), reverse=True
    )


@pytest.mark.parametrize("conditional", [True, False])
def test_a_class_that_no_real_image_taught_has_no_accuracy_and_is_not_missing(
    monkeypatch, conditional
):
    """A classifier fitted without an image of class 6 never names it:
    0 of 870 says nothing of the samples; of every other class all stays as it was.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    whole = real(0, permutations=9, conditional=conditional)
    twice = {
        "samples": np.concatenate([whole.samples] * 2),
        "labels": np.concatenate([whole.labels] * 2),
    }
    held = whole.reference_labels != 6
    reference = {
        "reference": whole.reference[held],
        "reference_labels": whole.reference_labels[held],
    }
    reader = label_classifier.fitted(twice["samples"], *reference.values(), 10)
    if not conditional:
        twice["labels"] = reader.samples
    rows = table(replace(whole, **twice, **reference, reader=reader)).rows
    assert reader.strange == (6,)
    assert [row["class"] for row in rows if row["share"] is None] == [6]
    assert (rows[6]["accuracy"], rows[6]["flags"]) == (None, ["too few samples"])
    assert not {"share", "label"} & set(rows[6]["tests"])
    assert any("cannot name it" in note for note in rows[6]["notes"])
    assert all(row["accuracy"] > 0.9 for row in rows if conditional and row["class"] != 6)
    gone = replace(
        whole, **{name: of[twice["labels"] != 6] for name, of in twice.items()}, **reference
    )
    gone = replace(gone, reader=label_classifier.fitted(gone.samples, *reference.values(), 10))
    # nobody asked for it, or it cannot be told
    assert ("missing" in table(gone).rows[6]["flags"]) == conditional


def test_lists_of_many_classes_are_cut():
    """Of 200 flagged classes the first twenty are named, and how many there are."""
    found = SimpleNamespace(rows=[{"class": c, "name": str(c)} for c in range(200)])
    assert render._named(found, range(20)) == ", ".join(map(str, range(20)))
    assert render._named(found, range(200)).endswith("18, 19, ... (200 in all)")


def test_halves_are_disjoint():
    """The null's two sides share no image."""
    ours, theirs = halves(0)
    assert not set(ours.tolist()) & set(theirs.tolist())
    assert len(ours) + len(theirs) == 870


def test_expected_shares_of_unlabelled_samples_go_through_the_confusion():
    """Of shares p a recogniser sees p M; where p is the reference's own,
    none are expected but those of the reference.
    """
    whole = replace(real(0, permutations=9), conditional=False)
    confusion = np.eye(10) * 80
    confusion[3, 8] = 20
    read = replace(whole, reader=replace(whole.reader, confusion=confusion))
    counts = (50, *[10] * 9)
    assert compute_from_run._expected(read, (), "uniform", None) == (None, None)
    assert compute_from_run._expected(read, counts, "reference", None) == (None, None)
    found, errors = compute_from_run._expected(read, counts, "training", None)
    # an image more to a row, spread over ten cells
    rows = (confusion + 0.1) / (confusion + 0.1).sum(1, keepdims=True)
    assert found == pytest.approx(np.array([50, *[10] * 9]) / 140 @ rows)
    assert found[8] == pytest.approx(10 / 140 * (1 + 0.2), rel=0.01)
    variances = (
        (np.array(counts) / 140) ** 2 * rows[:, 8] * (1 - rows[:, 8]) / (confusion.sum(1) + 2)
    )
    assert errors[8] == pytest.approx(np.sqrt(variances.sum()), rel=1e-9)
    with pytest.raises(UserError, match="did you mean uniform"):
        compute_from_run._expected(read, counts, "unifrom", None)


def test_diversity_is_what_the_run_measured_class_by_class():
    """Scores of the part "class 3" with an interval are taken, of one measure alone;
    others are not.
    """
    scores = [
        Score("digits", "lpips_diversity", part, 0.3, low=0.2, high=0.4, status=status)
        for part, status in (("all", "ok"), ("class 3", "ok"))
    ]
    scores += [
        Score("digits", "lpips_diversity", "class 4", status="skipped"),
        Score("digits", "diversity_digits", "class 5", 0.3, low=0.2, high=0.4),
    ]
    first, own = diversity._by_class(SimpleNamespace(scores=scores))
    assert (first, own) == (scores[1], {3: scores[1]})


def test_the_line_of_real_diversity_is_the_mean_over_pairs_of_as_many_real_images():
    """Squared distances of an output are those of its rows;
    the line lies round the mean over all pairs, tighter for larger sets, of half the rows at most.
    """
    rows = torch.as_tensor(np.random.default_rng(0).normal(size=(60, 300)), dtype=torch.float32)
    squares = diversity.squares_of(
        lambda images: {"phi": rows[images[:, 0, 0, 0].long()]},
        torch.arange(60).view(60, 1, 1, 1).expand(60, 3, 8, 8),
        "phi",
    )
    every = torch.cdist(rows.double(), rows.double()).square()
    np.testing.assert_allclose(squares, every.numpy(), atol=1e-9)
    mean = float(every.sum() / (60 * 59))
    few, many, most = (diversity.line(squares, n) for n in (5, 25, 1000))
    for line, n in ((few, 5), (many, 25), (most, 30)):
        assert line.n == n
        assert line.low < mean < line.high
        assert line.median == pytest.approx(mean, rel=0.02)
    assert few.high - few.low > 1.5 * (many.high - many.low)


def test_real_images_of_a_class_are_the_first_of_the_splits(monkeypatch):
    """Of digits' two splits as many of each class as fit under the cap, in order,
    the second split after the first is used up.
    """
    digits = registry.find("datasets", "digits")
    held = [(images[labels == 7], labels) for images, labels in digits.open("heldout")]
    found = diversity._first(digits, ("heldout", "train"), (7, 2))
    assert sorted(found) == [2, 7]
    assert len(found[7]) == diversity.MOST
    assert torch.equal(found[7][: len(held[0][0])], held[0][0])
    monkeypatch.setattr(diversity, "HELD", 2 * 9 * held[0][0][0].numel())
    assert [len(of) for of in diversity._first(digits, ("heldout",), (7, 2)).values()] == [
        9,
        9,
    ]
