"""Planted faults: each makes the metrics meant for it worse,
and leaves those alone that are meant for another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from genbench.api import _registry as registry
from genbench.api.metric import Metric
from genbench.api.metric_inputs import RECONSTRUCTED, Arrays
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.statistics.blocks import blocks_of

ROWS: dict[str, Metric] = registry.every("metrics")
Data = dict[str, np.ndarray]
N, CLASSES = 400, 4


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def real(rng: np.random.Generator, n: int = N, d: int = 6) -> np.ndarray:
    """Four well separated modes in turn."""
    return rng.normal(size=(n, d)) + 12 * np.eye(CLASSES, d)[np.arange(n) % CLASSES]


def faultless(rng: np.random.Generator) -> Data:
    labels = np.arange(N) % CLASSES
    logits = {
        need: 8 * np.eye(CLASSES)[labels] + rng.normal(size=(N, CLASSES))
        for need in ("logits", "reference_logits")
    }
    other = np.random.default_rng(4)  # its own, so that the other sides are what they were
    rebuilt = {"originals": real(other), "between": 0.5 + other.random(N)}
    rebuilt["reconstructions"] = rebuilt["originals"] + 0.1 * other.normal(size=(N, 6))
    return {
        "samples": real(rng),
        "reference": real(rng),
        "train": real(rng),
        **logits,
        "labels": labels,
        "pairs": rng.lognormal(size=N),
        **rebuilt,
        "prompts": other.uniform(0.2, 0.4, (N, 1)),
    }


def elsewhere(rng: np.random.Generator, of: Data) -> Data:
    """Samples that have nothing to do with the reference, and that the recogniser knows
    nothing about.
    """
    return {**of, "samples": of["samples"] + 60, "logits": np.zeros_like(of["logits"])}


def collapsed(rng: np.random.Generator, of: Data) -> Data:
    """All samples from the first mode; the recogniser is certain."""
    return {
        **of,
        "samples": real(rng, CLASSES * N)[::CLASSES],
        "logits": of["logits"][np.zeros(N, dtype=int)],
    }


def with_outliers(rng: np.random.Generator, of: Data) -> Data:
    """Three in ten samples far from anything, the same number of the faultless ones still there."""
    far = 40 * rng.normal(size=(172, 6)) + 200
    more = {
        need: np.concatenate([of[need], of[need][: len(far)]])
        for need in ("logits", "labels", "pairs")
    }
    return {**of, **more, "samples": np.concatenate([of["samples"], far])}


def mislabelled(rng: np.random.Generator, of: Data) -> Data:
    """Good samples, but half of them of another label than the one asked for."""
    return {
        **of,
        "labels": np.where(np.arange(N) < N // 2, (of["labels"] + 1) % CLASSES, of["labels"]),
    }


def blurred(rng: np.random.Generator, of: Data) -> Data:
    """Samples that lie between the modes, and that the recogniser is unsure of."""
    return {
        **of,
        "samples": (of["samples"] + real(rng)[rng.permutation(N)]) / 2,
        "logits": of["logits"] / 8,
    }


def memorised(rng: np.random.Generator, of: Data) -> Data:
    """The training images themselves, given out as samples."""
    return {**of, "samples": of["train"][rng.permutation(N)]}


def repeated(rng: np.random.Generator, of: Data) -> Data:
    """One sample of each class, given out a hundred times."""
    few = np.arange(N) % CLASSES
    return {**of, **{need: of[need][few] for need in ("samples", "logits", "labels", "pairs")}}


def jumping(rng: np.random.Generator, of: Data) -> Data:
    """Latents close by whose images lie four times as far apart."""
    return {**of, "pairs": 16 * of["pairs"]}


def farther(rng: np.random.Generator, of: Data) -> Data:
    """Reconstructions twice as far from their originals, and drawn together."""
    return {**of, "between": 2 * of["between"], "reconstructions": of["originals"] / 2}


def less_alike(rng: np.random.Generator, of: Data) -> Data:
    """The same where a larger number between the two is the better one."""
    return {**of, "between": of["between"] / 2}


def off_topic(rng: np.random.Generator, of: Data) -> Data:
    """Images farther from their prompts."""
    return {**of, "prompts": of["prompts"] - 0.1}


#: Fault -> metrics that must get worse, metrics that must not.
FAULTS: dict[Callable[[np.random.Generator, Data], Data], tuple[str, str]] = {
    collapsed: ("fd kd is recall coverage diversity top1_histogram_gap", "precision duplicates"),
    with_outliers: ("fd kd precision density", "coverage"),
    mislabelled: ("label_accuracy", "fd kd is precision recall density coverage"),
    blurred: ("fd kd is precision density", ""),
    memorised: ("authpct nearest_train", "fd kd precision density duplicates"),
    repeated: ("fd kd recall coverage diversity diversity_within duplicates", "is label_accuracy"),
}


def value(row: Metric, of: Data) -> float:
    sums = {
        "sums": sums_of_rows(of["samples"], blocks_of(of["labels"]), of["labels"]),
        "ahead": ahead_of_rows(of["samples"], of["labels"]),
    }
    return row.value(
        Arrays({need: array for need, array in {**of, **sums}.items() if need in row.needs})
    )


def worsening(row: Metric, good: Data, bad: Data) -> float:
    """How much worse the row finds the second."""
    return (value(row, bad) - value(row, good)) * (1 if row.better == "lower" else -1)


def meant_for(row: Metric) -> tuple[Callable[[np.random.Generator, Data], Data], ...]:
    """The faults of which a row must see one, by what it needs.

    A training split is there to find copies of it; reconstructions, what they lose; prompts, images
    of something else; a reference or a recogniser, what is not of its kind (or, where they say how
    alike real images are, sameness); latent pairs, jumps; samples alone, sameness.
    """
    if "train" in row.needs:
        return (memorised,)
    if RECONSTRUCTED & set(row.needs):
        return farther, less_alike
    if "prompts" in row.needs:
        return (off_topic,)
    if {"reference", "reference_logits", "logits"} & set(row.needs):
        return elsewhere, repeated
    return (jumping,) if "pairs" in row.needs else (repeated,)


@pytest.mark.parametrize("name", ROWS)
def test_every_metric_sees_the_fault_that_its_needs_are_there_for(rng, name):
    """A row finds what it is there to find worse, in its own direction."""
    row, of = ROWS[name], faultless(rng)
    assert max(worsening(row, of, fault(rng, of)) for fault in meant_for(row)) > 0.02


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_are_seen_by_the_metrics_meant_for_them(rng, fault):
    """Collapse lowers recall and coverage and not precision, outliers precision and not coverage,
    wrong labels only the accuracy of labels.
    """
    of = faultless(rng)
    bad = fault(rng, of)
    seen, unseen = (names.split() for names in FAULTS[fault])
    for name in seen:
        assert worsening(ROWS[name], of, bad) > 0.1, name
    for name in unseen:
        assert worsening(ROWS[name], of, bad) < 0.1, name
