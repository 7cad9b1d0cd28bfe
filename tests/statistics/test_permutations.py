"""permutations.py: arrangements, statistics of pairs against loops, p against every arrangement,
and the tail's fit against very many.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from genbench.statistics import permutation_tests


def _pooled(n, m, d=6, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n + m, d))
    rows[:n] += shift
    kernel = (rows @ rows.T / d + 1) ** 3
    return kernel, ((rows[:, None] - rows[None]) ** 2).sum(2)


def test_an_arrangement_takes_as_many_rows_as_there_are_samples():
    """Row 0 is the arrangement at hand; every other takes n of the n + m rows,
    each equally often.
    """
    chosen = permutation_tests.arrangements(7, 12, 4000, seed=3)
    assert chosen.shape == (4001, 19)
    assert chosen[0].tolist() == [1.0] * 7 + [0.0] * 12
    assert (chosen.sum(1) == 7).all()
    assert chosen[1:].mean(0) == pytest.approx(np.full(19, 7 / 19), abs=5 * np.sqrt(0.25 / 4000))


def test_means_are_those_of_a_loop_over_pairs():
    """The mean within, within the rest, and between, over all pairs of different rows."""
    kernel, _ = _pooled(4, 5)
    chosen = permutation_tests.arrangements(4, 5, 6)
    found = np.stack(permutation_tests.means(kernel, chosen), 1)
    for row, own in zip(chosen, found, strict=True):
        inside, outside = np.flatnonzero(row == 1), np.flatnonzero(row == 0)
        loops = [
            list(itertools.permutations(inside, 2)),
            list(itertools.permutations(outside, 2)),
            list(itertools.product(inside, outside)),
        ]
        assert own == pytest.approx(
            [np.mean([kernel[i, j] for i, j in pairs]) for pairs in loops], rel=1e-12
        )


def test_the_log_spread_is_that_of_the_traces_of_covariance():
    """From mean squared distances, log of one trace over the other;
    a set that is one point stays finite.
    """
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((9, 3))
    squares = ((rows[:, None] - rows[None]) ** 2).sum(2)
    found = permutation_tests.log_spreads(squares, permutation_tests.arrangements(4, 5, 2))[0]
    assert found == pytest.approx(
        np.log(np.cov(rows[:4].T).trace() / np.cov(rows[4:].T).trace()), rel=1e-12
    )
    rows[:4] = rows[0]
    squares = ((rows[:, None] - rows[None]) ** 2).sum(2)
    assert (
        -40
        < permutation_tests.log_spreads(squares, permutation_tests.arrangements(4, 5, 2))[0]
        < -20
    )


def test_p_is_the_share_of_all_arrangements():
    """4 against 5 rows have 126 arrangements: p by 20,000 random ones is the share of the 126 that
    are as extreme, within four standard errors.
    """
    kernel, _ = _pooled(4, 5, shift=0.6, seed=2)
    every = np.zeros((127, 9))
    every[0, :4] = 1
    for row, places in zip(every[1:], itertools.combinations(range(9), 4), strict=True):
        row[list(places)] = 1
    distances = permutation_tests.kernel_distances(kernel, every)
    exact = (distances[1:] >= distances[0] - 1e-9).mean()
    drawn = permutation_tests.p_value(
        permutation_tests.kernel_distances(kernel, permutation_tests.arrangements(4, 5, 20000))
    )
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20000))


def test_p_is_uniform_where_both_samples_are_of_one_law():
    """Of 400 pairs of samples of one law, 5 % have p <= 0.05 and 1 % p <= 0.01,
    within four standard errors.
    """
    found = []
    for seed in range(400):
        kernel, _ = _pooled(12, 15, seed=seed)
        found.append(
            permutation_tests.p_value(
                permutation_tests.kernel_distances(
                    kernel, permutation_tests.arrangements(12, 15, 499, seed)
                )
            )
        )
    for level in (0.05, 0.01):
        assert np.mean(np.array(found) <= level) <= level + 4 * np.sqrt(level * (1 - level) / 400)
    assert 0.4 < np.mean(found) < 0.6


@pytest.mark.parametrize("shift", [0.45, 0.6])
def test_the_tails_fit_agrees_with_very_many_permutations(shift):
    """Where 1,999 permutations have few as extreme, the fit is within a factor of three of p by
    400,000, and on the safe side of a tenth.
    """
    kernel, _ = _pooled(20, 25, d=8, shift=shift, seed=5)
    parts = [
        permutation_tests.kernel_distances(
            kernel, permutation_tests.arrangements(20, 25, 40000, seed)
        )
        for seed in range(10)
    ]
    true = np.mean([(part[1:] >= part[0]).mean() for part in parts])
    fits = [
        permutation_tests.p_value(
            permutation_tests.kernel_distances(
                kernel, permutation_tests.arrangements(20, 25, seed=seed)
            )
        )
        for seed in range(20, 28)
    ]
    assert 0 < true < 0.01, "the shift is chosen so"
    assert true / 3 < np.exp(np.mean(np.log(fits))) < true * 3


def test_no_p_is_0_and_none_of_equal_rows_is_small():
    """A value far beyond all permutations has p above 0 and below the exact one;
    where no permutation differs, p is 1 and z is 0.
    """
    kernel, _ = _pooled(20, 25, shift=9.0)
    found = permutation_tests.kernel_distances(kernel, permutation_tests.arrangements(20, 25))
    assert 0 < permutation_tests.p_value(found) < 1 / 2000
    assert permutation_tests.p_value(np.zeros(2000)) == 1.0
    assert (permutation_tests.standardised(np.full(2000, 3.0)) == 0).all()
    assert permutation_tests.least_p(3, 3) == 1 / 20
