"""The strategies for the tail: what each class gets of a training, by seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench._util.errors import UserError
from genbench.generators.training.long_tail_sampling import MODES, Tail, draws, dropped

COUNTS = (120, 60, 30, 12, 3)
LABELS = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS)))


def drawn(tail, steps=400, size=15, seed=0):
    """Every step's positions."""
    return list(draws(LABELS, COUNTS, tail, steps, size, torch.Generator().manual_seed(seed)))


def per_class(steps):
    return torch.bincount(LABELS[torch.cat(steps)], minlength=5).tolist()


TAILS = [
    Tail(),
    Tail("drop"),
    Tail("oversample", power=0.5),
    Tail("staged"),
    Tail("staged", stages="curriculum"),
]


@pytest.mark.parametrize("tail", TAILS, ids=lambda t: f"{t.mode} {t.stages}")
def test_a_seed_decides_the_draws_and_their_number(tail):
    """As many steps as were asked for, the same for a seed, others for another."""
    one, again, other = drawn(tail), drawn(tail), drawn(tail, seed=1)
    assert len(one) == 400
    assert all(map(torch.equal, one, again))
    assert not all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


def test_natural_draws_every_image_once_an_epoch():
    """225 images in batches of 20 are 12 steps, the last one smaller."""
    steps = drawn(Tail(), 36, 20)
    assert [len(step) for step in steps[:12]] == [20] * 11 + [5]
    for at in (0, 12, 24):
        assert sorted(torch.cat(steps[at : at + 12]).tolist()) == list(range(225))


def test_natural_is_the_order_that_it_has_always_been():
    """The committed weights were trained on permutations of torch's generator, one an epoch:
    that stays.
    """
    generator = torch.Generator().manual_seed(0)
    expected = [
        chosen for _ in range(3) for chosen in torch.randperm(225, generator=generator).split(20)
    ]
    assert all(map(torch.equal, drawn(Tail(), 36, 20), expected))


def test_drop_leaves_out_the_small_classes_alone():
    """Classes below the count get nothing, the others every image as often;
    at a count of 1 it is the natural order.
    """
    found = per_class(drawn(Tail("drop", min_count=30), 210, 10))
    assert found == [1200, 600, 300, 0, 0]
    assert dropped(COUNTS, Tail("drop", min_count=30)) == (3, 4)
    assert dropped(COUNTS, Tail(min_count=30)) == ()
    assert all(map(torch.equal, drawn(Tail("drop", min_count=1)), drawn(Tail())))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.5])
def test_oversample_draws_classes_by_the_power_of_their_counts(power):
    """A class's share is n_c^(1-q) of the sum, within 4 standard errors of 60,000 draws,
    and its images are drawn alike.
    """
    steps = drawn(Tail("oversample", power=power), 600, 100)
    share = np.array(COUNTS, dtype=float) ** (1 - power)
    share /= share.sum()
    n = 60_000
    assert np.abs(np.array(per_class(steps)) / n - share).max() < 4 * np.sqrt(0.25 / n)
    images = torch.bincount(torch.cat(steps), minlength=225).numpy()
    for label in range(5):
        own = images[LABELS.numpy() == label]
        expected = own.sum() / len(own)
        # chi-square
        assert np.square(own - expected).sum() / expected < len(own) + 6 * np.sqrt(2 * len(own))


def test_deferred_is_natural_and_then_class_aware():
    """Four fifths of the steps are the natural ones; in the last fifth every class gets the same,
    and every image of a class as often.
    """
    steps = drawn(Tail("staged"), 500, 15)
    assert all(map(torch.equal, steps[:400], drawn(Tail(), 400)))
    late = steps[400:]
    assert per_class(late) == [300] * 5
    images = torch.bincount(torch.cat(late), minlength=225)
    for label in range(5):
        own = images[label == LABELS]
        assert own.max() - own.min() <= 1


def test_the_curriculum_goes_from_head_to_tail():
    """A third of the steps each among the many, the many and medium, and all."""
    steps = drawn(Tail("staged", stages="curriculum"), 300, 5)
    first, second, third = (per_class(steps[at : at + 100]) for at in (0, 100, 200))
    assert [bool(x) for x in first] == [True, False, False, False, False]
    assert [bool(x) for x in second] == [True, True, True, False, False]
    assert all(third)


def test_a_class_without_images_is_never_drawn():
    """A class of which the training split has nothing breaks no strategy."""
    labels, counts = torch.tensor([0, 0, 2, 2, 2]), (2, 0, 3)
    for tail in (
        Tail("oversample", power=1.0),
        Tail("oversample", power=2.0),
        Tail("staged"),
        Tail(),
    ):
        found = torch.cat(
            list(draws(labels, counts, tail, 20, 4, torch.Generator().manual_seed(0)))
        )
        assert set(found.tolist()) == set(range(5))


WRONG = [
    ({"mode": "cut"}, f"--tail cut: the known are {', '.join(MODES)}"),
    ({"mode": "drop", "min_count": 0}, "--min-count 0"),
    ({"mode": "oversample", "power": 3.0}, "--power 3.0"),
    ({"mode": "oversample", "power": float("nan")}, "--power nan"),
    ({"mode": "staged", "stages": "late"}, "--stages late"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_words_are_refused_in_a_line(words, line):
    """A strategy that is none, or a number out of range, is one line."""
    with pytest.raises(UserError) as error:
        Tail(**words)
    assert line.partition(":")[0] in str(error.value)


def test_dropping_every_class_is_refused():
    """A count that no class reaches leaves nothing to train on."""
    with pytest.raises(
        UserError, match="--min-count 121 leaves no class: the largest has 120 images"
    ):
        drawn(Tail("drop", min_count=121))
