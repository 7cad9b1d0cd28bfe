"""Laws over every metric on the shelf, chosen by the row's own fields: a new row is tested the moment it exists, and so is what it does not claim."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from genbench import shelves
from genbench.arrays import NEEDS, Arrays, Sighting
from genbench.draws import blocks_of
from genbench.rows import PROPERTIES, Metric

ROWS: dict[str, Metric] = shelves.every("metrics")
Data = dict[str, np.ndarray]
SIDES = [(name, side) for name, row in ROWS.items() if row.left_out for side in sorted({NEEDS[need] for need in row.needs})]
CLASSES = 4


def data(rng: np.random.Generator, n: int = 90, m: int = 70, d: int = 5) -> Data:
    """Samples a little off the reference in place and width, logits that are right more often than not."""
    labels = np.arange(n) % CLASSES
    logits = rng.normal(size=(n, CLASSES)) + 2 * np.eye(CLASSES)[labels]
    return {"samples": 0.7 * rng.normal(size=(n, d)) + 0.4, "reference": rng.normal(size=(m, d)), "logits": logits, "labels": labels}


def value(row: Metric, of: Data) -> float:
    return row.value(Arrays({need: of[need] for need in row.needs}))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(params=ROWS)
def row(request) -> Metric:
    return ROWS[request.param]


# Leave-outs

LAYOUTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "two halves": lambda labels, x: np.arange(len(labels)) % 2,
    "twenty by class": lambda labels, x: blocks_of(labels),
    "seven unequal": lambda labels, x: np.minimum(np.arange(len(labels)) % 11, 6),
    "neighbours together": lambda labels, x: np.argsort(np.argsort(x[:, 0])) // 12,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [5, 100])
@pytest.mark.parametrize(("name", "side"), SIDES)
def test_leave_outs_equal_calls_of_value(rng, name, side, layout, width):
    """A row's left_out is its value without each block, on either side, with blocks of any size, above and below n = d, with duplicates."""
    row = ROWS[name]
    of = data(rng, d=width)
    of["samples"][:20] = of["reference"][5:25]  # copies lie on the surface of balls
    of["samples"][30] = of["samples"][31] = of["reference"][5] = of["reference"][7]
    arrays = Arrays({need: of[need] for need in row.needs})
    rows = len(of[side])
    blocks = LAYOUTS[layout](np.arange(rows) % CLASSES, of[side])
    slow = [row.value(arrays.keep(side, blocks != b)) for b in range(blocks.max() + 1)]
    np.testing.assert_allclose(row.left_out(arrays, blocks, side), slow, rtol=0, atol=1e-9)


def test_leave_outs_are_independent_of_what_was_asked_before(rng, row):
    """What metrics share on one Arrays does not change any of them: all rows at once give what each gives alone."""
    of = data(rng)
    shared = Arrays(of)
    blocks = blocks_of(of["labels"])
    for other in ROWS.values():
        other.value(shared)
        if other.left_out:
            other.left_out(shared, blocks, "samples")
    assert row.value(shared) == value(row, of)


# Properties


def turned(rng: np.random.Generator, of: Data) -> Data:
    """Features and logits, each rotated about the origin by one rotation for both sides."""
    turn = {d: np.linalg.qr(rng.normal(size=(d, d)))[0] for d in {of[need].shape[1] for need in ("samples", "logits")}}
    return {need: array if need == "labels" else array @ turn[array.shape[1]] for need, array in of.items()}


def shuffled(rng: np.random.Generator, of: Data) -> Data:
    """Both sides in another order; what belongs to one sample stays together."""
    order = {side: rng.permutation(len(of[side])) for side in ("samples", "reference")}
    return {need: array[order[NEEDS[need]]] for need, array in of.items()}


def changes(name: str, rng: np.random.Generator, of: Data) -> Data:
    """The data after what should change nothing if the property holds."""
    if name == "symmetric":
        return {**of, "samples": of["reference"], "reference": of["samples"]}
    if name == "scale_invariant":
        return {need: array if need == "labels" else 3 * array for need, array in of.items()}
    return turned(rng, of) if name == "rotation_invariant" else shuffled(rng, of)


def means(row: Metric, rng: np.random.Generator, n: int, m: int, draws: int = 900) -> tuple[float, float]:
    """The mean over draws of a row's value with n samples and m of the reference, and its standard error.

    Two cubes that overlap in part: balls that shrink with more rows reach less far beyond an edge (between Gaussians that hardly changes their number).
    """

    def draw() -> Data:
        cubes = {"samples": rng.random((n, 3)) + np.eye(3)[0] / 2, "reference": rng.random((m, 3))}
        return {**cubes, "logits": 2 * rng.normal(size=(n, CLASSES)), "labels": np.arange(n) % CLASSES}

    found = [value(row, draw()) for _ in range(draws)]
    return float(np.mean(found)), float(np.std(found) / np.sqrt(draws))


def holds(name: str, row: Metric, rng: np.random.Generator) -> bool:
    if name == "unbiased":  # the expectation is the same at every n and m
        small, se = means(row, rng, 12, 12)
        return all(abs(small - large) < 4 * np.hypot(se, se_large) for large, se_large in (means(row, rng, 12, 150), means(row, rng, 150, 12)))
    if name in ("zero_on_identical", "one_on_identical"):
        same = data(rng)["reference"]
        return abs(value(row, {**data(rng), "samples": same, "reference": same.copy()}) - (name == "one_on_identical")) < 1e-9
    of = data(rng)
    return abs(value(row, of) - value(row, changes(name, rng, of))) < 1e-9


COMPARES = ("symmetric", "zero_on_identical", "one_on_identical")  # say nothing of a metric without a reference


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_hold_and_their_absence_too(rng, row, name):
    """A declared property holds, and one that is not declared fails on ordinary data."""
    if name in COMPARES and "reference" not in row.needs:
        assert name not in row.properties
    else:
        assert holds(name, row, rng) == (name in row.properties)


def test_values_lie_in_their_range(rng, row):
    """Values, on close, far, equal and tiny sets, lie in the row's range, and the flags are short texts."""
    low, high = row.range
    of, tiny = data(rng), data(rng, max(row.smallest_n, 2), max(row.smallest_n, 2))
    for one in (of, tiny, {**of, "samples": of["samples"] + 100}, {**of, "samples": of["reference"]}, {**of, "logits": 1e3 * of["logits"]}):
        assert low - 1e-9 <= value(row, one) <= high + 1e-9
    assert all(flag and len(flag) < 40 for flag in row.flags(Sighting(100, 64, 0.0, 1.0)))


# Faults


def real(rng: np.random.Generator, n: int = 400, d: int = 6) -> np.ndarray:
    """Four well separated modes in turn."""
    return rng.normal(size=(n, d)) + 12 * np.eye(CLASSES, d)[np.arange(n) % CLASSES]


def faultless(rng: np.random.Generator) -> Data:
    labels = np.arange(400) % CLASSES
    return {"samples": real(rng), "reference": real(rng), "logits": 8 * np.eye(CLASSES)[labels] + rng.normal(size=(400, CLASSES)), "labels": labels}


def elsewhere(rng: np.random.Generator, of: Data) -> Data:
    """Samples that have nothing to do with the reference, and that the recogniser knows nothing about."""
    return {**of, "samples": of["samples"] + 60, "logits": np.zeros_like(of["logits"])}


def collapsed(rng: np.random.Generator, of: Data) -> Data:
    """All samples from the first mode; the recogniser is certain."""
    return {**of, "samples": real(rng, 1600)[::CLASSES], "logits": of["logits"][np.zeros(400, dtype=int)]}


def with_outliers(rng: np.random.Generator, of: Data) -> Data:
    """Three in ten samples far from anything, the same number of the faultless ones still there."""
    far = 40 * rng.normal(size=(170, 6)) + 200
    return {**of, "samples": np.concatenate([of["samples"], far])}


def mislabelled(rng: np.random.Generator, of: Data) -> Data:
    """Good samples, but half of them of another label than the one asked for."""
    return {**of, "labels": np.where(np.arange(400) < 200, (of["labels"] + 1) % CLASSES, of["labels"])}


def blurred(rng: np.random.Generator, of: Data) -> Data:
    """Samples that lie between the modes, and that the recogniser is unsure of."""
    return {**of, "samples": (of["samples"] + real(rng)[rng.permutation(400)]) / 2, "logits": of["logits"] / 8}


#: Fault -> metrics that must get worse, metrics that must not.
FAULTS: dict[Callable[[np.random.Generator, Data], Data], tuple[str, str]] = {
    collapsed: ("fd kd is recall coverage", "precision"),
    with_outliers: ("fd kd precision density", "coverage"),
    mislabelled: ("label_accuracy", "fd kd is precision recall density coverage"),
    blurred: ("fd kd is precision density", ""),
}


def worsening(row: Metric, good: Data, bad: Data) -> float:
    """How much worse the row finds the second."""
    return (value(row, bad) - value(row, good)) * (1 if row.better == "lower" else -1)


def test_every_metric_sees_samples_from_elsewhere(rng, row):
    """Every row finds samples that have nothing to do with the reference worse, in its own direction."""
    of = faultless(rng)
    assert worsening(row, of, elsewhere(rng, of)) > 0.05


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_are_seen_by_the_metrics_meant_for_them(rng, fault):
    """Collapse lowers recall and coverage and not precision, outliers precision and not coverage, wrong labels only the accuracy of labels."""
    of = faultless(rng)
    bad = fault(rng, of)
    seen, unseen = (names.split() for names in FAULTS[fault])
    for name in seen:
        assert worsening(ROWS[name], of, bad) > 0.1, name
    for name in unseen:
        assert worsening(ROWS[name], of, bad) < 0.1, name
