"""Intervals against the formulas they come from, their edges, and what ranges of ranks may say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from genbench.statistics.confidence_intervals import (
    Estimate,
    difference,
    estimate,
    interval,
    t_interval,
    wilson,
)
from genbench.statistics.jackknife import jackknife
from genbench.statistics.rank_ranges import holm, rank_ranges


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def of_means(x: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    return (
        np.array([x[blocks != b].mean() for b in range(blocks.max() + 1)]),
        np.bincount(blocks),
        float(x.mean()),
    )


# The jackknife


def test_equal_groups_give_the_ordinary_formula(rng):
    """With equal groups the error is the root of (B-1)/B times the sum of squares,
    whatever the value.
    """
    left_out = rng.normal(size=20)
    ordinary = math.sqrt(19 / 20 * ((left_out - left_out.mean()) ** 2).sum())
    for value in (0.0, 5.0):
        assert jackknife(left_out, np.full(20, 7), value) == pytest.approx(ordinary, rel=1e-12)


def test_groups_of_one_give_the_error_of_a_mean(rng):
    """For a mean with groups of one member the jackknife is the textbook standard error."""
    x = rng.normal(size=50)
    assert jackknife(*of_means(x, np.arange(50))) == pytest.approx(
        x.std(ddof=1) / math.sqrt(50), rel=1e-12
    )


def test_unequal_groups_follow_busing_et_al(rng):
    """The variance is the mean of (pseudo-value - their centre)^2 / (h - 1), written out."""
    left_out, sizes, value = rng.normal(size=5), np.array([3, 9, 4, 4, 1]), 0.3
    n, g = sizes.sum(), 5
    centre = g * value - sum((1 - m / n) * one for m, one in zip(sizes, left_out, strict=True))
    slow = (
        sum(
            (n / m * value - (n / m - 1) * one - centre) ** 2 / (n / m - 1)
            for m, one in zip(sizes, left_out, strict=True)
        )
        / g
    )
    assert jackknife(left_out, sizes, value) == pytest.approx(math.sqrt(slow), rel=1e-12)


def test_a_bias_in_1_over_n_is_not_taken_for_spread():
    """Leave-outs that differ only because groups of unequal size leave a biased number with unequal
    n have no error (to second order).
    """
    sizes = np.array([50] * 7 + [40] * 13)
    n = sizes.sum()
    assert jackknife(1 + 100 / (n - sizes), sizes, 1 + 100 / n) == pytest.approx(0, abs=1e-10)


def test_unequal_groups_are_right_on_average(rng):
    """The mean squared error over 2,000 draws of a mean in groups of 2 to 60 is the true variance,
    to 10 %.
    """
    blocks = np.repeat(np.arange(6), [2, 60, 10, 10, 30, 8])
    found = [jackknife(*of_means(x, blocks)) ** 2 for x in rng.normal(size=(2000, len(blocks)))]
    assert np.mean(found) == pytest.approx(1 / len(blocks), rel=0.1)


def test_edges_of_the_jackknife():
    """Fewer than two groups have no error (NaN), equal leave-outs have an error of 0,
    and an undefined leave-out makes the error NaN.
    """
    assert math.isnan(jackknife(np.array([1.0]), np.array([5]), 1.0))
    assert math.isnan(jackknife(np.array([]), np.array([]), 1.0))
    assert jackknife(np.full(4, 2.0), np.array([1, 2, 3, 4]), 2.0) == 0
    assert math.isnan(jackknife(np.array([1.0, math.nan]), np.array([1, 1]), 1.0))


# Intervals


def test_t_interval_has_the_quantile_of_its_groups():
    """20 groups take t(19) = 2.0930 errors to each side; without an error there is no interval,
    with an error of 0 it is a point.
    """
    low, high = t_interval(1.0, 0.1, 20)
    assert (low, high) == pytest.approx((1 - 0.20930, 1 + 0.20930), abs=1e-5)
    assert all(
        math.isnan(end) for end in (*t_interval(1.0, math.nan, 20), *t_interval(1.0, 0.1, 1))
    )
    assert t_interval(1.0, 0.0, 20) == (1.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (433, 870), (1, 870)])
def test_wilson_against_scipy(hits, n):
    """scipy's Wilson interval is the same, and holds the share at 0 and 1 too."""
    theirs = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    low, high = wilson(hits / n, n)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= hits / n <= high <= 1
    assert high > low


def test_wilson_of_nothing():
    """A share of no samples has no interval."""
    assert all(math.isnan(end) for end in wilson(0.5, 0))


@pytest.mark.parametrize("method", ["jackknife", "mean", "wilson"])
def test_interval_by_a_rows_method(rng, method):
    """All methods agree on a share of many independent samples,
    to a tenth of its error in the middle.
    """
    hits, blocks = (rng.random(20_000) < 0.3).astype(float), np.arange(20_000) % 20
    left_out, sizes, share = of_means(hits, blocks)
    se, low, high = interval(method, share, left_out, sizes)
    assert low < share < high
    assert se == pytest.approx(math.sqrt(0.21 / 20_000), rel=0.5)
    assert (low + high) / 2 == pytest.approx(share, abs=se / 10)


# Comparisons


def test_pairing_takes_out_what_is_shared(rng):
    """Two runs that share most of their noise differ visibly in pairs and not at all unpaired."""
    shared, blocks = rng.normal(size=2000), np.arange(2000) % 20
    a, b = (
        estimate(value, left_out, sizes)
        for left_out, sizes, value in (
            of_means(shared + 0.01 * rng.normal(size=2000) + s, blocks) for s in (0.0, 0.01)
        )
    )
    paired = difference(b, a)
    alone = difference(b, Estimate(a.value, a.se, a.groups))
    assert paired.paired
    assert not alone.paired
    assert paired.value == alone.value
    assert paired.p < 1e-6
    assert alone.p > 0.5


def test_unpaired_difference_is_welchs(rng):
    """Without leave-outs the test is Welch's: same p as scipy's for two plain means."""
    x, y = rng.normal(size=12), 2 * rng.normal(size=30) + 1
    a, b = (
        Estimate(float(one.mean()), float(one.std(ddof=1) / math.sqrt(len(one))), len(one))
        for one in (x, y)
    )
    assert difference(a, b).p == pytest.approx(
        scipy.stats.ttest_ind(x, y, equal_var=False).pvalue, rel=1e-9
    )


def test_differences_at_the_edges():
    """No error shows nothing; an error of 0 shows any difference; equal values never differ."""
    none, exact, other = Estimate(1.0, math.nan, 1), Estimate(1.0, 0.0, 20), Estimate(2.0, 0.0, 20)
    assert difference(none, other).p == 1
    assert difference(exact, other).p == 0
    assert difference(exact, exact).p == 1


def test_holm_by_hand():
    """Holm multiplies the sorted p by m, m-1, ... and never lets an adjusted p fall below a
    smaller one's.
    """
    assert holm([0.04, 0.01, 0.03, 0.9]) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm([0.01, 0.011]) == pytest.approx([0.02, 0.02])
    assert holm([]).size == 0


def test_rank_ranges_of_clear_and_unclear_orders():
    """Separated values have one rank each, equal ones share all ranks, and one alone is first;
    the direction turns the order round.
    """
    apart = [Estimate(float(value), 0.01, 20) for value in (3, 1, 2)]
    assert rank_ranges(apart, "lower") == [(3, 3), (1, 1), (2, 2)]
    assert rank_ranges(apart, "higher") == [(1, 1), (3, 3), (2, 2)]
    assert (
        rank_ranges([Estimate(value, 1.0, 20) for value in (3.0, 3.1, 2.9)], "lower")
        == [(1, 3)] * 3
    )
    assert rank_ranges(
        [Estimate(0.0, 1.0, 20), Estimate(0.1, 1.0, 20), Estimate(9.0, 1.0, 20)], "lower"
    ) == [(1, 2), (1, 2), (3, 3)]
    assert rank_ranges(apart[:1], "lower") == [(1, 1)]
    assert rank_ranges([], "lower") == []


def test_rank_ranges_are_simultaneous(rng):
    """Five equal models are separated anywhere in at most 5 % of boards (here, of 400, at most 8
    %), paired or not.
    """
    wrong = {True: 0, False: 0}
    for _ in range(400):
        ones = [
            estimate(*(of_means(x, np.arange(200) % 20)[i] for i in (2, 0, 1)))
            for x in rng.normal(size=(5, 200))
        ]
        for paired in wrong:
            board = ones if paired else [Estimate(one.value, one.se, one.groups) for one in ones]
            wrong[paired] += rank_ranges(board, "lower") != [(1, 5)] * 5
    assert max(wrong.values()) <= 32
