"""Faults planted in single classes of real digits: each named by the table, and nothing else; and the null."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_classes import CLASSES, digits, halves, real, sides

from genbench import classes_over, gaussians
from genbench.classes import table

SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    monkeypatch.setattr("genbench.classes_within.SPLITS", 2)  # real lines are no part of a flag


def _drawn(seed):
    ours, theirs = halves(seed)
    pool, logits, labels = digits()["heldout"]
    return pool[ours].copy(), logits[ours].copy(), labels[ours].copy(), theirs


def _flags(found):
    return {row["class"]: sorted(row["flags"]) for row in found.rows if row["flags"]}


def _copied(pool, logits, labels, of, sources):
    """The samples of class `of` replaced by so many of its training images, in turn."""
    train = digits()["train"]
    places = np.flatnonzero(labels == of)
    taken = np.flatnonzero(train[2] == of)[:sources][np.arange(len(places)) % sources]
    pool[places], logits[places] = train[0][taken], train[1][taken]


@pytest.mark.parametrize("seed", SEEDS)
def test_real_digits_are_not_flagged(seed):
    """The null, twice (tests/bench/classes_null.md has many draws)."""
    assert _flags(table(real(seed))) == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_repeated_image_is_named(seed):
    """Class 3 as one held-out image: its distance and its spread, no other class."""
    pool, logits, labels, theirs = _drawn(seed)
    places = np.flatnonzero(labels == 3)
    pool[places], logits[places] = pool[places[0]], logits[places[0]]
    assert _flags(table(sides(pool, logits, labels, theirs))) == {3: ["distance", "spread"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_swapped_labels_are_named_and_the_whole_does_not_see_them(seed):
    """5 and 8 under each other's label: both classes' accuracy and distance; the distance over all is the same to the last bit."""
    pool, logits, labels, theirs = _drawn(seed)
    swapped = np.where(labels == 5, 8, np.where(labels == 8, 5, labels))
    right, wrong = (table(sides(pool, logits, of, theirs)) for of in (labels, swapped))
    assert _flags(wrong) == {5: ["distance", "label"], 8: ["distance", "label"]}
    assert wrong.over["fd_total"] == right.over["fd_total"]
    for c in set(range(CLASSES)) - {5, 8}:  # the others at their numbers exactly
        assert wrong.rows[c]["fd"] == right.rows[c]["fd"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shrunken_class_is_named(seed):
    """Class 4 with half its variance about its mean: its spread, and no copying."""
    pool, logits, labels, theirs = _drawn(seed)
    inside = labels == 4
    pool[inside] = pool[inside].mean(0) + np.sqrt(0.5) * (pool[inside] - pool[inside].mean(0))
    assert _flags(table(sides(pool, logits, labels, theirs))) == {4: ["spread"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_memorised_tail_is_named(seed):
    """Classes 7, 8 and 9 as copies of 4, 2 and 1 training images, as many as a tail of imbalance 50 has: copied, and too narrow; no other class."""
    pool, logits, labels, theirs = _drawn(seed)
    for of, sources in ((7, 4), (8, 2), (9, 1)):
        _copied(pool, logits, labels, of, sources)
    rows, _, of = digits()["train"]
    kept = np.concatenate([np.flatnonzero(of == c)[: {7: 4, 8: 2, 9: 1}.get(c)] for c in range(CLASSES)])
    found = _flags(table(sides(pool, logits, labels, theirs, train=(rows[kept], of[kept]))))
    assert set(found) == {7, 8, 9}
    assert all("memorised" in flags for flags in found.values())


def test_copies_of_twenty_images_are_no_other_fault():
    """A class of 20 training images again and again has the right distance and spread: only the copying is named."""
    pool, logits, labels, theirs = _drawn(0)
    _copied(pool, logits, labels, 8, 20)
    assert _flags(table(sides(pool, logits, labels, theirs))) == {8: ["memorised"]}


def test_a_dropped_class_is_missing_where_the_samples_suffice_to_say_so():
    """Without class 7: of 783 samples it is missing; of 387 there are too few to call; no other class, and it carries most of the whole distance."""
    pool, logits, labels, theirs = _drawn(0)
    few = table(sides(pool[labels != 7], logits[labels != 7], labels[labels != 7], theirs))
    assert _flags(few) == {7: ["too few samples"]}
    assert max(few.rows, key=lambda row: row["fd_share"])["class"] == 7
    pool, logits, labels = digits()["heldout"]
    kept = labels != 7
    many = table(sides(pool[kept], logits[kept], labels[kept], theirs))
    assert _flags(many) == {7: ["missing"]}
    assert many.over["missing"] == [7]


def test_a_class_that_is_drawn_half_as_often_is_named_without_labels():
    """Unlabelled samples, class 2 at a quarter of its share: its share, by the labels that the recogniser gives, and nothing else."""
    pool, logits, labels, theirs = _drawn(0)
    kept = (labels != 2) | (np.cumsum(labels == 2) % 4 == 0)
    whole = sides(pool[kept], logits[kept], labels[kept], theirs)
    reader = whole.reader
    found = table(replace(whole, labels=reader.samples, reference_labels=reader.reference, conditional=False))
    assert {c: flags for c, flags in _flags(found).items() if flags != ["too few samples"]} == {2: ["share"]}


def test_frechet_rewards_collapse_and_the_table_does_not():
    """At 5 and 10 samples a shrunken class has the smaller Fréchet distance; its spread is half at every n, and its kernel distance larger from 20 on."""
    pool, _, labels = digits()["heldout"]
    rng = np.random.default_rng(0)
    differences = {n: [] for n in (5, 10, 40)}
    for _ in range(12):
        c = int(rng.integers(CLASSES))
        members = rng.permutation(np.flatnonzero(labels == c))
        for n, kept in differences.items():
            x, y = pool[members[:n]], pool[members[40:]]
            narrow = x.mean(0) + np.sqrt(0.5) * (x - x.mean(0))
            distance = [gaussians.distance(of, gaussians.fit(y)) for of in (narrow, x)]
            kernel = [classes_over.kernel_distance(of, y) for of in (narrow, x)]
            kept.append((distance[0] - distance[1], kernel[0] - kernel[1]))
    assert np.mean(differences[5], 0)[0] < 0
    assert np.mean(differences[10], 0)[0] < 0
    assert np.mean(differences[40], 0)[1] > 0
