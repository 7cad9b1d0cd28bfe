"""Seeds, noise, labels and blocks: each depends on a sample's own seed or place alone,
and is distributed as it says.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from genbench.generators.seeded_noise import (
    LARGEST_N,
    LARGEST_SEED,
    first_seed,
    labels_of,
    noise,
    uniform,
)
from genbench.statistics.blocks import BLOCKS, blocks_of, rank_in_class

SEEDS = torch.arange(4000)
SHARES = (0.5, 0.3, 0.15, 0.05)
UNIFORM = [[0.16820025444030762, 0.8344265818595886], [0.3061119318008423, 0.0388948917388916]]
NOISE = [[0.9553, -1.62868], [1.49298, 0.3723]]
# standard errors; a fixed draw, so a bound that a sound generator meets and a flawed one does not
FAR = 5.0


@pytest.mark.parametrize("draw", [noise, uniform])
def test_a_seed_alone_gives_what_it_gives_among_many(draw):
    """Row i of a batch of 64 in any order equals the row drawn alone, to the bit,
    at even and odd counts.
    """
    seeds = torch.cat([torch.arange(61), torch.tensor([2**32 - 1, 2**32, 2**52 + 1])])
    for shape in ((3, 5, 5), (7,), (1,)):
        together = draw(seeds, shape, stream=3)
        alone = torch.cat([draw(seed[None], shape, stream=3) for seed in seeds])
        assert torch.equal(together, alone)
        assert torch.equal(draw(seeds.flip(0), shape, stream=3), together.flip(0))


@pytest.mark.parametrize("draw", [noise, uniform])
def test_number_j_does_not_depend_on_how_many_are_drawn(draw):
    """A longer draw of a seed begins with the shorter one, and the shape only folds it."""
    long = draw(SEEDS[:20], (301,))
    for count in (1, 2, 3, 100, 300):
        assert torch.equal(draw(SEEDS[:20], (count,)), long[:, :count])
    assert torch.equal(draw(SEEDS[:20], (7, 43)).flatten(1), long)


def test_the_numbers_are_these():
    """The first numbers of seeds 0 and 1 are what they were when the first record was written:
    a change here makes every run another run.
    """
    assert uniform(torch.tensor([0, 1]), (2,)).tolist() == UNIFORM
    assert [
        [round(x, 5) for x in row] for row in noise(torch.tensor([0, 1]), (2,)).tolist()
    ] == NOISE


def test_noise_has_a_normal_distribution():
    """Mean, variance, skewness and kurtosis lie within 5 standard errors of 0, 1, 0 and 3,
    and a Kolmogorov-Smirnov test finds nothing.
    """
    x = noise(SEEDS, (50,)).numpy().astype(np.float64).ravel()
    n = len(x)
    assert abs(x.mean()) < FAR * n**-0.5
    assert abs(x.var() - 1) < FAR * (2 / n) ** 0.5
    assert abs(stats.skew(x)) < FAR * (6 / n) ** 0.5
    assert abs(stats.kurtosis(x)) < FAR * (24 / n) ** 0.5
    assert stats.kstest(x, "norm").pvalue > 1e-4


def test_uniform_fills_its_range_evenly():
    """Every number lies in [0, 1), in steps of 2^-24; a chi-square test over 64 bins of all, and of
    each of the first positions, finds nothing.
    """
    x = uniform(SEEDS, (50,)).numpy().astype(np.float64)
    assert x.min() >= 0
    assert x.max() < 1
    assert np.array_equal(x * 2**24, np.round(x * 2**24))
    for column in (x.ravel(), *x.T[:8]):
        assert stats.chisquare(np.histogram(column, 64, (0, 1))[0]).pvalue > 1e-4


def _near_zero(a, b):
    """Whether the correlation of two arrays of equal numbers is within 5 standard errors of 0."""
    return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < FAR * a.size**-0.5


@pytest.mark.parametrize("draw", [noise, uniform])
def test_seeds_streams_and_positions_are_independent(draw):
    """Neighbouring seeds, far seeds, neighbouring streams and positions, and their squares,
    are uncorrelated, also shifted against each other.
    """
    x = draw(SEEDS, (50,)).numpy().astype(np.float64)
    others = {
        "next seed": draw(SEEDS + 1, (50,)),
        "next --seed": draw(SEEDS + first_seed(1), (50,)),
        "stream 1": draw(SEEDS, (50,), stream=1),
        "the labels' stream": draw(SEEDS, (50,), stream=-1),
        "odd seeds, stream 2": draw(SEEDS * 2 + 1, (50,), stream=2),
    }
    for name, other in others.items():
        y = other.numpy().astype(np.float64)
        assert _near_zero(x, y), name
        assert _near_zero((x - x.mean()) ** 2, (y - y.mean()) ** 2), name
    for shift in (1, 2, 7):
        assert _near_zero(x[:, :-shift], x[:, shift:]), shift
        assert _near_zero(x[:-1, :-shift], x[1:, shift:]), shift
        assert _near_zero(x[:-shift, 0], x[shift:, 0]), shift


@pytest.mark.parametrize("seed", [0, 1, 2**20, 2**32 - 1])
def test_streams_of_one_seed_are_no_mirror_of_each_other(seed):
    """Number j of stream s is not number s of stream j, and none is exactly 0:
    what seed 0 gave while stream and counter shared a multiplier.
    """
    one = torch.tensor([seed])
    table = torch.cat([uniform(one, (60,), stream=stream) for stream in range(-1, 59)]).numpy()
    assert (table > 0).all()
    for shift in range(4):
        square = table[:, shift : shift + 56][:56]
        assert _near_zero(square[np.triu_indices(56, 1)], square.T[np.triu_indices(56, 1)]), shift
    assert len(np.unique(table)) > 0.999 * table.size


def test_no_two_streams_share_their_numbers():
    """Among 200 seeds and 20 streams, no row of 8 numbers comes twice, not even shifted by a place:
    every run of 7 is another.
    """
    rows = np.concatenate(
        [uniform(SEEDS[:200], (8,), stream=stream).numpy() for stream in range(-1, 19)]
    )
    runs = np.concatenate([rows[:, :7], rows[:, 1:]])
    assert len(np.unique(runs, axis=0)) == len(runs)


@pytest.mark.parametrize("policy", ["balanced", "iid", "training"])
def test_labels_of_a_longer_run_begin_with_those_of_a_shorter(policy):
    """The label of sample i does not depend on n."""
    seeds = first_seed(3) + np.arange(1000)
    long = labels_of(policy, 1000, 4, seeds, SHARES)
    for n in (1, 7, 500):
        assert np.array_equal(labels_of(policy, n, 4, seeds[:n], SHARES), long[:n])


@pytest.mark.parametrize(("policy", "shares"), [("iid", (0.25,) * 4), ("training", SHARES)])
def test_labels_follow_their_frequencies(policy, shares):
    """iid draws the classes alike and training as often as the training set has them (chi-square),
    independent of the noise of the same seeds.
    """
    labels = labels_of(policy, 4000, 4, SEEDS.numpy(), SHARES)
    assert stats.chisquare(np.bincount(labels, minlength=4), np.array(shares) * 4000).pvalue > 1e-4
    assert _near_zero(labels, uniform(SEEDS, (1,)).numpy())


def test_balanced_labels_go_through_the_classes_in_turn():
    """Under `balanced`, sample i has label i mod C, whatever its seed."""
    assert labels_of("balanced", 7, 3, SEEDS.numpy()[:7]).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_class_that_the_training_set_lacks_is_never_asked_for():
    """A frequency of 0 gives no label, also at the end of the list,
    and frequencies whose sum is rounded below 1 give no label beyond the last.
    """
    assert set(labels_of("training", 4000, 4, SEEDS.numpy(), (0.0, 0.5, 0.5, 0.0))) == {1, 2}
    assert labels_of("training", 4000, 3, SEEDS.numpy(), (0.1, 0.2, 0.6)).max() == 2


@pytest.mark.parametrize("policy", ["balanced", "iid"])
def test_every_prefix_is_balanced_over_the_blocks(policy):
    """In every prefix and every class, two blocks differ by at most one sample;
    the blocks of a longer run begin with those of a shorter.
    """
    labels = labels_of(policy, 600, 7, SEEDS.numpy()[:600])
    blocks = blocks_of(labels)
    for n in (1, 39, 140, 333, 600):
        assert np.array_equal(blocks_of(labels[:n]), blocks[:n])
        table = np.zeros((7, BLOCKS), dtype=int)
        np.add.at(table, (labels[:n], blocks[:n]), 1)
        assert (np.ptp(table, axis=1) <= 1).all()


def test_rank_in_class_counts_earlier_ones():
    """The rank of an entry is how many of the same label came before it."""
    labels = np.array([2, 0, 2, 2, 5, 0])
    assert rank_in_class(labels).tolist() == [0, 0, 1, 2, 0, 1]


def test_ranges_of_seeds_do_not_touch():
    """--seed 0 begins at 0, and the largest run of one --seed ends right before the next begins,
    to the last one allowed.
    """
    assert first_seed(0) == 0
    assert all(
        first_seed(seed) + LARGEST_N == first_seed(seed + 1) for seed in range(LARGEST_SEED + 1)
    )
