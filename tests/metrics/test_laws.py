"""Laws over every metric on the shelf, chosen by the row's own fields:
a new row is tested the moment it exists, and so is what it does not claim.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from genbench.api import _registry as registry
from genbench.api.metric import PROPERTIES, Metric
from genbench.api.metric_inputs import NEEDS, Arrays, Sighting
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.statistics import moments
from genbench.statistics.blocks import blocks_of

ROWS: dict[str, Metric] = registry.every("metrics")
Data = dict[str, np.ndarray]
CLASSES = 4


def sides(row: Metric) -> set[str]:
    return {NEEDS[need] for need in row.needs}


LEFT_OUT = [
    (name, side) for name, row in ROWS.items() if row.left_out for side in sorted(sides(row))
]
EXACT = [(name, side) for name, side in LEFT_OUT if not ROWS[name].seeded]
SEEDED = [(name, side) for name, side in LEFT_OUT if ROWS[name].seeded]


def data(rng: np.random.Generator, n: int = 90, m: int = 70, t: int = 80, d: int = 5) -> Data:
    """Every need: samples a little off the reference in place and width,
    logits that are right more often than not, a training split of its own.
    """
    labels = {side: np.arange(rows) % CLASSES for side, rows in (("samples", n), ("reference", m))}
    logits = {
        side: rng.normal(size=(len(of), CLASSES)) + 2 * np.eye(CLASSES)[of]
        for side, of in labels.items()
    }
    rows = {
        "samples": 0.7 * rng.normal(size=(n, d)) + 0.4,
        "reference": rng.normal(size=(m, d)),
        "train": rng.normal(size=(t, d)),
    }
    asked = {
        "logits": logits["samples"],
        "labels": labels["samples"],
        "reference_logits": logits["reference"],
        "pairs": rng.lognormal(size=n),
    }
    originals = rng.normal(size=(n, d))
    rebuilt = {
        "originals": originals,
        "reconstructions": 0.8 * originals + 0.1,
        "between": rng.uniform(0, 1, n),
    }
    return {**rows, **asked, **rebuilt, "prompts": rng.uniform(-0.2, 0.5, size=(n, 1))}


def given(row: Metric, of: Data, blocks: np.ndarray | None = None) -> Arrays:
    """A row's needs; sums are those of the samples, by blocks and labels,
    and distances within classes are theirs.
    """
    if "ahead" in row.needs:
        of = {**of, "ahead": ahead_of_rows(of["samples"], of["labels"])}
    if "sums" in row.needs:
        of = {
            **of,
            "sums": sums_of_rows(
                of["samples"], blocks_of(of["labels"]) if blocks is None else blocks, of["labels"]
            ),
        }
    return Arrays({need: of[need] for need in row.needs})


def value(row: Metric, of: Data) -> float:
    return row.value(given(row, of))


def near(a: float, b: float) -> bool:
    return bool(np.isfinite([a, b]).all() and abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b)))


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


def with_copies(of: Data) -> Data:
    """Copies within and between the sides: they lie on the surface of balls."""
    of["samples"][:20] = of["reference"][5:25]
    of["samples"][30] = of["samples"][31] = of["reference"][5] = of["reference"][7]
    of["train"][:10], of["train"][20] = of["samples"][40:50], of["train"][21]
    return of


def cut(row: Metric, side: str, of: Data, layout: str) -> tuple[Arrays, np.ndarray]:
    """A row's arrays and the block of each row of one side;
    sums have a row for each block of the samples.
    """
    blocks = LAYOUTS[layout](np.arange(len(of[side])) % CLASSES, of[side])
    if "sums" in row.needs and side == "samples":
        return given(row, of, blocks), np.arange(blocks.max() + 1)
    return given(row, of), blocks


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [5, 100])
@pytest.mark.parametrize(("name", "side"), EXACT)
def test_leave_outs_equal_calls_of_value(rng, name, side, layout, width):
    """A row's left_out is its value without each block, on every side, with blocks of any size,
    above and below n = d, with duplicates.
    """
    row = ROWS[name]
    arrays, blocks = cut(row, side, with_copies(data(rng, d=width)), layout)
    slow = [row.value(arrays.keep(side, blocks != b)) for b in range(blocks.max() + 1)]
    np.testing.assert_allclose(row.left_out(arrays, blocks, side), slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "side"), SEEDED)
def test_leave_outs_of_what_was_drawn_once(rng, name, side):
    """Drawn once over all rows: a block without members leaves the value as it is,
    and the leave-outs lie around it.
    """
    row = ROWS[name]
    arrays, blocks = cut(row, side, data(rng, 300, 300, 300), "twenty by class")
    found, whole = row.left_out(arrays, blocks, side), row.value(arrays)
    # the value's own error, near enough
    assert abs(found.mean() - whole) < found.std() * np.sqrt(len(found))
    empty = row.left_out(arrays, blocks + (blocks >= 7), side)  # nobody is in block 7
    assert near(empty[7], whole)
    np.testing.assert_allclose(np.delete(empty, 7), found, rtol=1e-9, atol=1e-9)


def test_a_row_that_says_it_draws_does(rng, row):
    """A seeded row has leave-outs of its own, as its value would draw anew without a block;
    a row that does not say so is held to calls of value.
    """
    if not row.seeded:
        return
    assert row.left_out
    for side, layout in itertools.product(sides(row), ("seven unequal", "neighbours together")):
        arrays, blocks = cut(row, side, data(rng), layout)
        found = row.left_out(arrays, blocks, side)
        if not all(
            near(found[b], row.value(arrays.keep(side, blocks != b)))
            for b in range(len(found))
            if (blocks == b).any()
        ):
            return
    pytest.fail("its leave-outs are calls of value")


@pytest.fixture(scope="module")
def shared() -> tuple[Data, Arrays]:
    """Arrays of every need, of which every row has asked its value and its leave-outs
    on every side.
    """
    of = data(np.random.default_rng(3))
    blocks = {
        side: blocks_of(np.arange(len(of[side])) % CLASSES)
        for side in ("samples", "reference", "train")
    }
    arrays = Arrays(
        {
            **of,
            "sums": sums_of_rows(of["samples"], blocks["samples"], of["labels"]),
            "ahead": ahead_of_rows(of["samples"], of["labels"]),
        }
    )
    for other in ROWS.values():
        other.value(arrays)
        for side in sides(other) if other.left_out else ():
            other.left_out(
                arrays,
                np.arange(len(arrays["sums"])) if "sums" in other.needs else blocks[side],
                side,
            )
    return of, arrays


def test_values_are_independent_of_what_was_asked_before(shared, row):
    """What metrics share on one Arrays does not change any of them:
    all rows at once give what each gives alone.
    """
    of, arrays = shared
    assert row.value(arrays) == value(row, of)


def test_moments_stand_for_the_reference_where_a_row_says_so(rng, row):
    """A from_moments row gives the same value and leave-outs of the samples without the reference's
    rows; any other asks for them.
    """
    of = data(rng)
    whole = given(row, of)
    alone = Arrays(
        {need: array for need, array in whole.items() if need != "reference"},
        {("moments", "reference"): moments.moments(of["reference"])},
    )
    if row.from_moments:
        assert "reference" in row.needs
        np.testing.assert_allclose(row.value(alone), row.value(whole), rtol=1e-9)
        if row.left_out:
            blocks = blocks_of(of["labels"])
            np.testing.assert_allclose(
                row.left_out(alone, blocks, "samples"),
                row.left_out(whole, blocks, "samples"),
                rtol=1e-9,
            )
    elif "reference" in row.needs:
        with pytest.raises(KeyError):
            row.value(alone)


def test_a_class_alone_has_a_value_where_a_row_says_so(rng, row):
    """A per_class row is taken from the sums of one class, which are those of its samples alone;
    other rows need more than sums.
    """
    of = data(rng)
    if not row.per_class:
        return
    assert row.needs == ("sums",)
    sums = given(row, of)["sums"]
    found = [row.value(Arrays({"sums": sums[:, c : c + 1]})) for c in range(CLASSES)]
    alone = [
        value(
            row,
            {
                "samples": of["samples"][of["labels"] == c],
                "labels": np.zeros((of["labels"] == c).sum(), dtype=int),
            },
        )
        for c in range(CLASSES)
    ]
    np.testing.assert_allclose(found, alone, rtol=1e-9)
    assert len(set(found)) == CLASSES


# Properties


def turned(rng: np.random.Generator, of: Data) -> Data:
    """Features and logits, each rotated about the origin by one rotation for all sides."""
    turn = {
        d: np.linalg.qr(rng.normal(size=(d, d)))[0]
        for d in {of[need].shape[1] for need in ("samples", "logits")}
    }
    return {
        need: array @ turn[array.shape[1]] if array.ndim == 2 and array.shape[1] in turn else array
        for need, array in of.items()
    }


def shuffled(rng: np.random.Generator, of: Data) -> Data:
    """All sides in another order; what belongs to one sample stays together."""
    order = {side: rng.permutation(len(of[side])) for side in ("samples", "reference", "train")}
    return {need: array[order[NEEDS[need]]] for need, array in of.items()}


def changes(name: str, rng: np.random.Generator, of: Data) -> Data:
    """The data after what should change nothing if the property holds."""
    if name == "symmetric":
        swapped = {
            "samples": "reference",
            "logits": "reference_logits",
            "reconstructions": "originals",
        }
        return {
            **of,
            **{a: of[b] for a, b in swapped.items()},
            **{b: of[a] for a, b in swapped.items()},
        }
    if name == "scale_invariant":
        return {need: array if need == "labels" else 3 * array for need, array in of.items()}
    return turned(rng, of) if name == "rotation_invariant" else shuffled(rng, of)


def identical(of: Data) -> Data:
    """The reference as samples."""
    copies = {
        "samples": of["reference"].copy(),
        "logits": of["reference_logits"].copy(),
        "reconstructions": of["originals"].copy(),
    }
    return {**of, **copies, "labels": np.arange(len(of["reference"])) % CLASSES}


def cubes(rng: np.random.Generator, n: int, m: int, t: int) -> Data:
    """Two cubes that overlap in part: balls that shrink with more rows reach less far beyond an
    edge (between Gaussians that hardly changes their number).
    """
    rows = {
        "samples": rng.random((n, 3)) + np.eye(3)[0] / 2,
        "reference": rng.random((m, 3)),
        "train": rng.random((t, 3)),
    }
    logits = {
        "logits": 2 * rng.normal(size=(n, CLASSES)),
        "reference_logits": 2 * rng.normal(size=(m, CLASSES)),
    }
    # not balanced: samples that are drawn class by class are not independent of each other
    labels = rng.integers(CLASSES, size=n)
    # a class is a place, so that pairs within classes say something of their own
    rows["samples"][:, 1] += labels / 3
    rebuilt = {
        "originals": rng.random((n, 3)),
        "reconstructions": rng.random((n, 3)) ** 2,
        "between": rng.random(n),
    }
    return {
        **rows,
        **logits,
        "labels": labels,
        "pairs": rng.lognormal(size=n),
        **rebuilt,
        "prompts": rng.uniform(-0.2, 0.5, size=(n, 1)),
    }


def same_at_every_size(row: Metric, rng: np.random.Generator) -> bool:
    """Whether the mean stays with more rows on each side: over 450 to 3,000 draws,
    as many as leave no doubt; fewer where a difference is plain.
    """
    few, many = max(12, row.smallest_n), max(110, 2 * row.smallest_n)
    sizes = [{"samples": few, "reference": few, "train": few}]
    sizes += [{**sizes[0], side: many} for side in sides(row)]
    drawn: list[list[float]] = [[] for _ in sizes]
    for turn in range(60):
        for size, found in zip(sizes, drawn, strict=True):
            found += [value(row, cubes(rng, *size.values())) for _ in range(50)]
        (small, error), *others = (
            (np.mean(found), np.std(found) / np.sqrt(len(found))) for found in drawn
        )
        apart = max(
            abs(small - large) / max(np.hypot(error, other), 1e-12) for large, other in others
        )
        if apart > 6 or (apart < 1.2 and turn >= 8):
            break
    return apart < 4


def holds(name: str, row: Metric, rng: np.random.Generator) -> bool:
    if name == "unbiased":
        return same_at_every_size(row, rng)
    if name in ("zero_on_identical", "one_on_identical"):
        return near(
            value(row, identical(data(rng, 300, 300, 300))), float(name == "one_on_identical")
        )
    drawn = (data(rng) for _ in range(4))  # a share that moves in steps may stay where it is once
    return all(near(value(row, of), value(row, changes(name, rng, of))) for of in drawn)


#: Properties that say nothing of a metric with none of these needs.
OF_REFERENCES = {"reference", "reference_logits", "originals"}
SPEAKS_OF = {
    "symmetric": OF_REFERENCES,
    "zero_on_identical": OF_REFERENCES,
    "one_on_identical": OF_REFERENCES,
    "rotation_invariant": set(NEEDS) - {"pairs", "between", "prompts"},
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_hold_and_their_absence_too(rng, row, name):
    """A declared property holds, and one that is not declared fails on ordinary data (but bias, of
    an experimental row: hours for some of them).
    """
    if name == "unbiased" and row.experimental and name not in row.properties:
        return
    if SPEAKS_OF.get(name, set(NEEDS)) & set(row.needs):
        assert holds(name, row, rng) == (name in row.properties)
    else:
        assert name not in row.properties


def test_values_lie_in_their_range(rng, row):
    """Values, on close, far, equal, memorised and tiny sets, lie in the row's range,
    and the flags are short texts.
    """
    low, high = row.range
    of, tiny = data(rng), data(rng, *[row.smallest_n] * 3)
    far, sure = {**of, "samples": of["samples"] + 100}, {**of, "logits": 1e3 * of["logits"]}
    for one in (
        of,
        tiny,
        far,
        sure,
        identical(of),
        {**of, "samples": of["train"][np.arange(90) % 80]},
    ):
        assert low - 1e-9 <= value(row, one) <= high + 1e-9
    assert all(flag and len(flag) < 40 for flag in row.flags(Sighting(100, 64, 0.0, 1.0)))
