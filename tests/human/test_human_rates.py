"""The statistics of raters: known cases by hand, closed cases, a foreign implementation,
and how often the intervals hold what they say.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from genbench.human import detection_rates, paired_comparison
from genbench.human.rater_exclusion import RULES, Answered, judged, streak
from genbench.human.trial_order import Pool, Trial, catches, largest, split, trials_of


def counts(*kinds):
    return np.array([kinds], dtype=np.float64)


def test_detection_by_hand():
    """80 of 100 fakes told and 30 of 100 reals blamed: errors .2 and .3,
    d' = z(80.5/101) - z(30.5/101) = 0.831 + 0.519, c = -0.156.
    """
    fooled, blamed, error, dprime, criterion = detection_rates.detection(counts(80, 20, 30, 70))[0]
    assert (fooled, blamed, error) == pytest.approx((0.2, 0.3, 0.25))
    assert dprime == pytest.approx(0.8311 + 0.5187, abs=1e-3)
    assert criterion == pytest.approx(
        -(stats.norm.ppf(80.5 / 101) + stats.norm.ppf(30.5 / 101)) / 2
    )


def test_answering_real_always_is_an_error_of_half_and_no_sensitivity():
    """Whoever always says real errs on all fakes and no real:
    error .5 looks like a perfect model, d' 0 and a criterion far above 0 tell.
    """
    fooled, blamed, error, dprime, criterion = detection_rates.detection(counts(0, 50, 0, 50))[0]
    assert (fooled, blamed, error, dprime) == (1, 0, 0.5, 0)
    assert criterion > 2


def test_a_number_that_was_not_asked_is_none():
    """Without fakes there is no error on fakes and no d'; without reals no error on reals."""
    assert np.isnan(detection_rates.detection(counts(0, 0, 3, 7))[0]).tolist() == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert np.isnan(detection_rates.detection(counts(3, 7, 0, 0))[0]).tolist() == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_the_spread_of_independent_answers_is_the_binomial_one():
    """Where raters and items are all alike, the two-way variance is about that of independent
    answers, not two or three times it.
    """
    rng = np.random.default_rng(1)
    n = 4000
    of = detection_rates.Answers(
        (rng.random(n) < 0.3).astype(int), rng.integers(0, 40, n), rng.integers(0, 400, n), 2
    )
    got = detection_rates.spread(detection_rates.share, of)
    assert got.se[0] == pytest.approx(math.sqrt(0.21 / n), rel=0.35)
    assert (got.raters, got.freedom) == (40, 39)


def test_the_spread_of_raters_who_differ_is_that_of_raters():
    """Ten raters who always say one thing, each a thousand times, are ten answers."""
    said = np.array([1, 0, 0, 1, 1, 0, 1, 1, 0, 1])
    of = detection_rates.Answers(
        np.repeat(said, 1000), np.repeat(np.arange(10), 1000), np.arange(10_000), 2
    )
    got = detection_rates.spread(detection_rates.share, of)
    assert got.se[0] == pytest.approx(math.sqrt(0.24 / 9), rel=0.1)


def test_one_rater_says_nothing_of_others():
    """With one rater and no items there is no error, with items that of the items;
    the count of raters says so.
    """
    kinds, rater = np.array([0, 1] * 20), np.zeros(40, dtype=int)
    assert np.isnan(
        detection_rates.spread(
            detection_rates.share, detection_rates.Answers(kinds, rater, None, 2)
        ).se[0]
    )
    with_items = detection_rates.spread(
        detection_rates.share, detection_rates.Answers(kinds, rater, np.arange(40), 2)
    )
    assert (with_items.raters, with_items.se[0]) == (1, pytest.approx(0.08, abs=0.01))


def test_a_share_of_none_or_all_still_has_an_interval():
    """At 0 and 1 the interval is Wilson's of the answers at the raters' t, within 0 to 1;
    with two raters it says nothing.
    """
    low, high = detection_rates.share_interval(0.0, 0.0, 9, 200)
    assert (low, 0.015 < high < 0.05) == (0, True)
    assert detection_rates.share_interval(0.4, 0.3, 1, 200) == (0.0, 1.0)
    assert all(map(math.isnan, detection_rates.share_interval(0.4, math.nan, 9, 200)))


@pytest.mark.parametrize(
    ("raters", "items", "spread_raters", "spread_items"),
    [(10, 100, 0.6, 0.6), (25, 40, 0.3, 1.0), (8, 400, 0.0, 0.0)],
)
def test_intervals_hold_what_they_say(raters, items, spread_raters, spread_items):
    """In 120 studies with raters and pictures drawn anew, the intervals of the error rate and of d'
    hold the truth in 88 % or more.
    """
    rng = np.random.default_rng(raters)

    def chance(base, *effects):
        return 1 / (1 + np.exp(-(base + sum(effects))))

    def truth(base):
        return chance(
            base, *(s * rng.normal(size=400_000) for s in (spread_raters, spread_items))
        ).mean()

    true = truth(-0.5), truth(-1.0)
    true_dprime = stats.norm.ppf(1 - true[0]) - stats.norm.ppf(true[1])
    inside = np.zeros(2)
    for _ in range(120):
        parts = []
        for real, base in enumerate((-0.5, -1.0)):
            own, of_item = rng.normal(0, spread_raters, raters), rng.normal(0, spread_items, items)
            rater = np.repeat(np.arange(raters), 40)
            item = (rater * 40 + np.tile(np.arange(40), raters)) % items
            wrong = rng.random(len(rater)) < chance(base, own[rater], of_item[item])
            kinds = (
                np.where(wrong, detection_rates.REAL_AS_FAKE, detection_rates.REAL_AS_REAL)
                if real
                else np.where(wrong, 1, 0)
            )
            parts.append((kinds, rater, item + real * items))
        of = detection_rates.Answers(
            *(np.concatenate(part) for part in zip(*parts, strict=True)), 4
        )
        got = detection_rates.spread(detection_rates.detection, of, draws=200)
        low, high = detection_rates.share_interval(
            got.value[0], got.se[0], got.freedom, 40 * raters
        )
        inside[0] += low <= true[0] <= high
        low, high = detection_rates.plain_interval(got.value[3], got.se[3], got.freedom)
        inside[1] += low <= true_dprime <= high
    assert (inside / 120 >= 0.88).all(), inside / 120


def test_bradley_and_terry_of_two_models_is_closed():
    """Two models, 30 wins to 10: P = (30 + .5) / (40 + 1), and both means follow from it."""
    got = paired_comparison.strengths(counts(30, 10), 2)[0]
    assert got == pytest.approx([30.5 / 41, 30.5 / 41, 10.5 / 41])


def test_bradley_and_terry_is_the_maximum_of_the_likelihood():
    """Four models: the strengths through evalica maximise the likelihood with a tie added to each
    pair, as a general optimiser finds it.
    """
    rng = np.random.default_rng(3)
    of = rng.integers(1, 20, 12).astype(float)
    pairs = paired_comparison.pairs_of(4)

    def loss(free):
        power = np.concatenate([[0.0], free])
        return -sum(
            (of[2 * k] + 0.5) * stats.logistic.logcdf(power[a] - power[b])
            + (of[2 * k + 1] + 0.5) * stats.logistic.logcdf(power[b] - power[a])
            for k, (a, b) in enumerate(pairs)
        )

    power = np.concatenate([[0.0], optimize.minimize(loss, np.zeros(3), tol=1e-12).x])
    assert paired_comparison.strengths(of[None], 4)[0][:6] == pytest.approx(
        [1 / (1 + np.exp(power[b] - power[a])) for a, b in pairs], abs=1e-4
    )


def test_swapping_the_sides_turns_preferences_round():
    """Winners and losers exchanged, every P becomes 1 - P."""
    of = np.array([[5.0, 9, 0, 4, 7, 7]])
    turned = of.reshape(1, 3, 2)[:, :, ::-1].reshape(1, 6)
    assert paired_comparison.strengths(of, 3) == pytest.approx(
        1 - paired_comparison.strengths(turned, 3), abs=1e-6
    )


def test_models_that_were_never_compared_have_no_strength():
    """Two pairs of four models that nothing connects: no number,
    where a library would have given one.
    """
    of = np.zeros((1, 12))
    of[0, [0, 1, 10, 11]] = 5  # models 0 and 1; 2 and 3
    assert np.isnan(paired_comparison.strengths(of, 4)).all()


def test_agreement_is_krippendorffs():
    """Alpha 1 of raters who agree, about 0 of dice, none where no picture has two raters."""
    raters, items = np.repeat(np.arange(4), 30), np.tile(np.arange(30), 4)
    points = np.random.default_rng(0).integers(1, 6, 30)
    assert paired_comparison.agreement(raters, items, np.tile(points, 4)) == pytest.approx(1)
    assert (
        abs(
            paired_comparison.agreement(raters, items, np.random.default_rng(1).integers(1, 6, 120))
        )
        < 0.15
    )
    assert math.isnan(paired_comparison.agreement(np.arange(5), np.arange(5), np.arange(5)))


POOL = Pool(
    strata=(tuple(range(60)), tuple(range(60, 90)), tuple(range(90, 120))),
    shares=(2.0, 1.0, 1.0),
    obvious=(200, 201),
    identical=(210,),
)


def test_what_raters_see_is_seeded_balanced_and_holds_catch_trials():
    """The same number and seed give the same trials; half are of the first stratum;
    one in ten is a catch trial; half of a stratum is swapped.
    """
    shown = trials_of(POOL, 5, 3, 60)
    assert shown == trials_of(POOL, 5, 3, 60) != trials_of(POOL, 5, 4, 60)
    main = [one for one in shown if not one.catch]
    assert (len(shown), len(main)) == (60, 54)
    assert sum(one.item < 60 for one in main) == 27
    assert len({one.item for one in main}) == 54
    assert abs(sum(one.swapped for one in main) - 27) <= 2
    assert sorted({one.catch for one in shown}) == ["", "identical", "obvious", "repeat"]
    places = [k for k, one in enumerate(shown) if one.catch]
    assert max(np.diff(places)) <= 20
    for k, one in enumerate(shown):
        if one.catch == "repeat":
            assert any((b.item, b.swapped) == (one.item, not one.swapped) for b in shown[:k])


def test_every_picture_comes_up_equally_often_over_raters():
    """Over 20 raters no item of a stratum is shown more than once more often than another."""
    seen = np.bincount(
        [
            one.item
            for number in range(20)
            for one in trials_of(POOL, 1, number, 60)
            if not one.catch
        ],
        minlength=120,
    )[:120]
    for stratum in POOL.strata:
        assert np.ptp(seen[list(stratum)]) <= 1


def test_few_trials_and_few_pictures():
    """Counts of a split add up whatever the shares; a study asks for no more trials than its
    pictures bear.
    """
    assert [sum(split(total, (3, 1, 1), number)) for total in range(9) for number in range(3)] == [
        total for total in range(9) for _ in range(3)
    ]
    assert (catches(4), catches(5), catches(100)) == (0, 1, 10)
    assert largest(Pool(((1, 2, 3, 4, 5),), (1.0,), (9,)), 100) == 6
    several = trials_of(Pool(((1, 2, 3),), (1.0,), (9,), questions=2), 0, 0, 4)
    assert [(one.item, one.question) for one in several] == [
        (several[0].item, 0),
        (several[0].item, 1),
        (several[2].item, 0),
        (several[2].item, 1),
    ]
    assert isinstance(several[0], Trial)


def answered(trial, answer, *, catch="", expected="", pressed="left", ms=800.0, item=0):
    return Answered(1, trial, item, "m", "", "m", expected, catch, 0, pressed, answer, ms)


def test_the_rule_of_exclusion():
    """Catch trials wrong, too fast, one key sixteen times, not finished: each is named;
    at the rule's own numbers a rater counts.
    """
    catch = [
        answered(
            k, "fake" if k < 4 else "real", catch="obvious", expected="fake", pressed="lr"[k % 2]
        )
        for k in range(5)
    ]
    good = judged(catch, 5, ())
    assert (good.catch_accuracy, good.reasons) == (0.8, ())
    assert judged(
        [*catch, answered(5, "real", catch="obvious", expected="fake")], 6, ()
    ).reasons == ("catch trials right < 80%",)
    assert judged(
        [answered(k, "real", ms=399, pressed="lr"[k % 2]) for k in range(3)], 3, ()
    ).reasons == ("median time < 400 ms",)
    assert judged([answered(k, "real") for k in range(16)], 16, ()).reasons == (
        "one key > 15 times in a row",
    )
    assert judged([answered(k, "real") for k in range(15)], 16, ()).reasons == ("unfinished",)
    assert judged([answered(0, "real", ms=400)], 1, ()).reasons == ()
    assert RULES == {"catch_accuracy": 0.8, "median_ms": 400, "streak": 15}
    assert streak([]) == 0


def test_repeats_and_catches_of_ratings():
    """A repeat agrees within a point; noise was told where it got less than the middle
    of the scale.
    """
    shown = [
        answered(0, "4", item=1),
        answered(1, "3", item=1, catch="repeat"),
        answered(2, "2", catch="obvious"),
        answered(3, "3", catch="obvious"),
    ]
    got = judged(shown, 4, (5,))
    assert (got.repeats_agree, got.catch_accuracy) == (1.0, 0.5)
