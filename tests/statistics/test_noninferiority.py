"""The gate's statistics: bounds that hold, verdicts by their definitions, levels of repeated looks,
what n would settle it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from genbench.statistics.confidence_intervals import estimate
from genbench.statistics.noninferiority import (
    Change,
    benjamini_hochberg,
    change,
    detectable,
    halves,
    kernel_margin,
    kind_of,
    needed,
    pocock,
    settling,
    verdict,
)

BLOCKS = 20


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def means(values):
    """A mean over 20 blocks of equal size as an estimate."""
    sums, sizes = values.reshape(BLOCKS, -1).sum(1), np.full(BLOCKS, len(values) // BLOCKS)
    return estimate(values.mean(), (sums.sum() - sums) / (len(values) - sizes), sizes)


def pair(rng, n, shift, shared):
    """Two models' values per sample: what seeds share, and noise of their own."""
    common = rng.normal(size=n) * math.sqrt(shared)
    own = rng.normal(size=(2, n)) * math.sqrt(1 - shared)
    return means(5 + shift + common + own[0]), means(5 + common + own[1])


@pytest.mark.parametrize(("paired", "shared"), [(True, 0.9), (True, 0.0), (False, 0.0)])
@pytest.mark.parametrize("kind", ["ratio", "kernel"])
def test_an_unchanged_model_fails_in_five_of_a_hundred(paired, shared, kind, rng):
    """With a margin of 0 an unchanged model is shown worse in 5 % of 1,000 comparisons,
    paired or not (three standard errors of that share).
    """
    found = [
        verdict(change(*pair(rng, 400, 0.0, shared), "lower", kind, paired=paired), 0.0)
        for _ in range(1000)
    ]
    assert 0.05 - 0.021 < found.count("FAIL") / 1000 < 0.05 + 0.021


def test_a_model_at_the_margin_passes_in_five_of_a_hundred(rng):
    """A true change equal to the margin passes in 5 % (the level of the bound),
    and one of twice the margin is failed where it is seen.
    """
    margin = math.log(5.1 / 5)
    found = [
        verdict(change(*pair(rng, 2000, 0.1, 0.9), "lower", "ratio", paired=True), margin)
        for _ in range(600)
    ]
    assert found.count("PASS") / 600 < 0.05 + 0.027
    worse = [
        verdict(change(*pair(rng, 2000, 0.2, 0.9), "lower", "ratio", paired=True), margin)
        for _ in range(100)
    ]
    assert worse.count("FAIL") >= 98


def test_pairing_narrows_by_what_seeds_share(rng):
    """At a correlation of 0.9 the paired error is sqrt(1 - 0.9) of the unpaired one,
    and the correlation is told.
    """
    ours, theirs = pair(rng, 20_000, 0.0, 0.9)
    paired, apart = (change(ours, theirs, "lower", "kernel", paired=how) for how in (True, False))
    assert paired.correlation == pytest.approx(0.9, abs=0.12)
    assert paired.se / apart.se == pytest.approx(math.sqrt(1 - paired.correlation), rel=0.25)


def test_more_is_worse_whatever_the_number(rng):
    """A distance that rises, a score that falls and a share that falls are changes for the worse,
    in their own units.
    """
    low, high = means(rng.normal(2, 0.01, 400)), means(rng.normal(3, 0.01, 400))
    assert change(high, low, "lower", "ratio", paired=True).value == pytest.approx(
        math.log(1.5), abs=0.01
    )
    assert change(low, high, "higher", "ratio", paired=True).value == pytest.approx(
        math.log(1.5), abs=0.01
    )
    assert change(low, high, "higher", "share", paired=True).value == pytest.approx(1.0, abs=0.01)
    assert change(high, low, "higher", "kernel", paired=False).value == pytest.approx(
        -1.0, abs=0.01
    )


def test_identical_runs_pass_with_no_margin_at_all(rng):
    """The same numbers on both sides are no change: PASS at margin 0, correlation 1."""
    one = means(rng.normal(5, 1, 400))
    found = change(one, one, "lower", "ratio", paired=True)
    assert (found.value, found.se, found.correlation, verdict(found, 0.0)) == (
        0.0,
        0.0,
        1.0,
        "PASS",
    )


def test_a_ratio_of_what_may_be_negative_does_not_exist(rng):
    """A distance of 0 or below has no logarithm, and no number is made up for it."""
    assert (
        change(
            means(rng.normal(-1, 1, 400)),
            means(rng.normal(5, 1, 400)),
            "lower",
            "ratio",
            paired=True,
        )
        is None
    )


def test_shares_without_a_miss_are_not_certain():
    """100 of 100 against 100 of 100, unpaired: no block moves,
    yet Newcombe's bound leaves 2.6 points, so a margin of one point does not pass.
    """
    sure = estimate(1.0, [1.0] * BLOCKS, [5] * BLOCKS)
    found = change(sure, sure, "higher", "share", paired=False)
    assert found.bounds()[1] == pytest.approx(1 - 100 / (100 + stats.norm.ppf(0.95) ** 2), abs=1e-9)
    assert verdict(found, 0.01) == "INCONCLUSIVE"


def test_without_an_error_nothing_is_told():
    """A number without leave-outs has no bounds: neither PASS nor FAIL, and no n to name."""
    found = Change(0.5, math.nan, 19.0, paired=True)
    assert (verdict(found, 0.05), settling(found, 0.05, 100)) == ("INCONCLUSIVE", None)


def test_the_kind_is_the_ranges():
    """Bounded numbers are shares, those that may be negative kernel distances, the rest ratios."""
    assert [
        kind_of(bounds)
        for bounds in ((0, 1), (0, 100), (-math.inf, math.inf), (0, math.inf), (1, math.inf))
    ] == [
        "share",
        "share",
        "kernel",
        "ratio",
        "ratio",
    ]


def test_the_kernel_margin_is_the_larger_of_two():
    """A tenth of the baseline's distance to real data, or two standard deviations of real
    against real.
    """
    assert kernel_margin(1.0, 0.0, 0.016449, 0.1) == pytest.approx(0.1)
    assert kernel_margin(0.01, 0.0, 0.016449, 0.1) == pytest.approx(0.02)
    assert kernel_margin(0.5, None, None, 0.1) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("looks", "nominal"), [(1, 0.025), (2, 0.0147), (3, 0.01105), (4, 0.0091), (5, 0.0079)]
)
def test_repeated_looks_are_pococks(looks, nominal):
    """Pocock's (1977) nominal levels for a whole of 2.5 % on one side, as tables have them doubled:
    0.0294, 0.0221, 0.0182, 0.0158.
    """
    assert pocock(0.025, looks) == pytest.approx(nominal, abs=5e-5)


def test_two_looks_keep_the_level(rng):
    """Looking at 400 samples and again at 800, each at Pocock's level,
    fails an unchanged model in 5 % (margin 0; 1,500 comparisons, three errors).
    """
    level, failed = pocock(0.05, 2), 0
    for _ in range(1500):
        values = rng.normal(5, 1, (2, 800))
        looks = [
            change(means(values[0, :n]), means(values[1, :n]), "lower", "kernel", paired=True)
            for n in (400, 800)
        ]
        failed += any(verdict(one, 0.0, level) == "FAIL" for one in looks)
    assert abs(failed / 1500 - 0.05) < 0.0169


def test_the_n_that_settles_it_settles_it(rng):
    """An unchanged model whose verdict is open passes in about 80 % of cases at the n
    that was named.
    """
    margin = 0.05
    first = change(*pair(rng, 400, 0.0, 0.5), "lower", "kernel", paired=True)
    n = settling(Change(0.0, first.se, 19.0, paired=True), margin, 400)
    n -= n % BLOCKS
    passed = sum(
        verdict(change(*pair(rng, n, 0.0, 0.5), "lower", "kernel", paired=True), margin) == "PASS"
        for _ in range(200)
    )
    assert 0.55 < passed / 200 < 0.93  # the standard error of 400 is itself an estimate


def test_samples_needed_are_the_tables():
    """ECOSYSTEM B4's table: sd 1 % at 50,000, margin 2 %: 154,600 fresh, 15,500 at r = 0.9;
    sd 0.5 %, 1 %: 154,600.
    """
    assert needed(math.sqrt(50_000) * 0.01, 0.02) == pytest.approx(154_600, rel=1e-3)
    assert needed(math.sqrt(50_000) * 0.01, 0.02, 0.9) == pytest.approx(15_500, rel=4e-3)
    assert needed(math.sqrt(50_000) * 0.005, 0.01) == pytest.approx(154_600, rel=1e-3)


def test_the_smallest_change_is_found_in_eighty_of_a_hundred(rng):
    """A model worse by `detectable` is shown worse in about 80 % of comparisons."""
    se = change(*pair(rng, 4000, 0.0, 0.5), "lower", "kernel", paired=True)
    least = detectable(Change(0.0, math.sqrt(2 * 0.5 / 4000), 19.0, paired=True))
    found = sum(
        verdict(change(*pair(rng, 4000, least, 0.5), "lower", "kernel", paired=True), 0.0) == "FAIL"
        for _ in range(400)
    )
    assert se.se == pytest.approx(math.sqrt(2 * 0.5 / 4000), rel=0.5)
    assert abs(found / 400 - 0.8) < 0.08


def test_halves_of_one_run_agree(rng):
    """A/A over a run's own blocks fails about 5 % of splits at margin 0."""
    one = means(rng.normal(5, 1, 4000))
    found = [
        verdict(of, 0.0)
        for of in halves(one.left_out, one.sizes, one.value, "ratio", "lower", 2000, 0)
    ]
    assert 0.02 < found.count("FAIL") / 2000 < 0.08


def test_discoveries_are_adjusted_upwards():
    """Benjamini and Hochberg's adjusted p of a textbook's four; none for none."""
    assert benjamini_hochberg([0.01, 0.02, 0.03, 0.5]).tolist() == pytest.approx(
        [0.04, 0.04, 0.04, 0.5]
    )
    assert len(benjamini_hochberg([])) == 0


@pytest.mark.parametrize(
    ("n", "said"), [(100, "INCONCLUSIVE"), (280, "INCONCLUSIVE"), (300, "PASS")]
)
def test_shares_that_agree_in_every_block_are_bounded_by_their_n(n, said):
    """No disagreement among n pairs excludes 3 / n and no less:
    a point of margin takes 299 samples, which is what is advised.
    """
    told = np.ones(n)
    told[::4] = 0
    found = change(means(told), means(told), "higher", "share", paired=True)
    assert found.bounds()[1] == pytest.approx(stats.binomtest(0, n).proportion_ci(0.9).high)
    assert verdict(found, 0.01) == said
    assert settling(found, 0.01, n) == 299


def test_a_verdict_that_the_bias_of_this_n_makes_is_not_given():
    """A change shown at this n and gone or turned without its bias says nothing of the models;
    nor does a PASS that would then be beyond the margin.
    """
    assert [
        verdict(Change(0.1, 0.01, 19.0, paired=True, corrected=without), 0.05)
        for without in (0.1, 0.01, -0.02)
    ] == ["FAIL", "FAIL", "INCONCLUSIVE"]
    assert [
        verdict(Change(0.0, 0.01, 19.0, paired=True, corrected=without), 0.05)
        for without in (0.0, 0.04, 0.07)
    ] == ["PASS", "PASS", "INCONCLUSIVE"]
