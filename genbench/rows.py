"""The frozen rows: Dataset, Extractor, Metric, Measure, Protocol. Each refuses itself when it is wrong.

A row says everything that differs between two things of a kind; what is common is code elsewhere. Rows hold functions that bind heavy libraries only
when called, so that listings can read every row without importing torch.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

Batch = tuple["torch.Tensor", "torch.Tensor"]  # images uint8 [b, 3, h, w], labels int64 [b]
Side = Literal["samples", "reference"]
T = TypeVar("T")

#: What a metric may need, and on which side of the comparison it lies.
NEEDS: Mapping[str, Side] = {"samples": "samples", "logits": "samples", "labels": "samples", "reference": "reference"}
#: A metric's properties, tested by tests/test_laws.py on every row that has them, and the opposite on every row that has not.
PROPERTIES = ("symmetric", "order_invariant", "rotation_invariant", "scale_invariant", "zero_on_identical", "one_on_identical", "unbiased")


class RowError(ValueError):
    """A row is wrong; the author of the row reads this."""


def _check(row: Any, *claims: tuple[bool, str]) -> None:
    for holds, wrong in claims:
        if not holds:
            raise RowError(f"{type(row).__name__} {getattr(row, 'name', '?')!r}: {wrong}")


def source_of(function: Callable[..., Any]) -> Path:
    """The file in which a row's function stands."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        raise RowError(f"{function!r} stands in no file, so its code cannot be identified; define it in a module")
    return Path(file)


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name) is not None


@dataclass(frozen=True)
class Dataset:
    """Real images.

    open(split) yields (images uint8 [b, 3, resolution, resolution], labels int64 [b]) in one fixed order.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    resolution: int
    splits: Mapping[str, int]  # name -> number of images
    open: Callable[[str], Iterator[Batch]]
    preparation: str  # what was done to the pixels, exactly
    source: str
    licence: str
    recogniser: str  # the feature that tells its classes, "digits.logits"
    protocol: str  # the default protocol

    def __post_init__(self) -> None:
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (len(self.classes) > 0, "has no classes; an unlabelled set has one"),
            (self.resolution > 0, f"resolution {self.resolution} is not positive"),
            (len(self.splits) > 0, "has no splits"),
            ("." in self.recogniser, f"recogniser {self.recogniser!r} is not EXTRACTOR.OUTPUT"),
        )

    def fingerprint(self, split: str) -> str:
        """SHA-256 of the split's content: pixels and labels, batch by batch, whatever the batches."""
        pixels, labels = hashlib.sha256(), hashlib.sha256()
        for images, classes in self.open(split):
            pixels.update(images.contiguous().numpy().tobytes())
            labels.update(classes.numpy().tobytes())
        return hashlib.sha256(pixels.digest() + labels.digest()).hexdigest()


@dataclass(frozen=True)
class Weights:
    """A weights file: where it lies, or where it is published, and what it must be."""

    file: str  # beside the row's module
    sha256: str
    bytes: int
    licence: str


@dataclass(frozen=True)
class Extractor:
    """A network that turns images into features.

    load(device) returns a function: images uint8 [n, 3, h, w] on the device -> {output: float32 [n, width]}, one row per image, independent of the others.
    """

    name: str
    title: str
    outputs: Mapping[str, int]  # name -> width
    size: int  # the input the network sees, in pixels
    resize: str  # how images of another size get there
    weights: Weights | None  # None: it has none
    trained_on: str
    load: Callable[[Any], Callable[[torch.Tensor], dict[str, torch.Tensor]]]

    def __post_init__(self) -> None:
        _check(
            self,
            (_is_name(self.name) and "." not in self.name, "its name may hold lower-case letters, digits, '-' and '_'"),
            (len(self.outputs) > 0, "has no outputs"),
        )

    @property
    def weights_path(self) -> Path:
        """The weights file beside the row's module."""
        assert self.weights is not None, "asked only of extractors that have weights"
        return source_of(self.load).parent / self.weights.file


class Arrays(Mapping[str, "np.ndarray[Any, Any]"]):
    """What a metric is given: one array per need, rows in the order of the samples' indices.

    samples float64 [n, d], reference float64 [m, d], logits float64 [n, C], labels int64 [n].
    """

    def __init__(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        unknown = set(arrays) - set(NEEDS)
        assert not unknown, f"not on the list of needs: {unknown}"
        self._arrays = {need: array.view() for need, array in arrays.items()}
        for array in self._arrays.values():
            array.setflags(write=False)  # metrics share them: one that writes would change the others' numbers
        self._made: dict[Any, Any] = {}

    def __getitem__(self, need: str) -> np.ndarray[Any, Any]:
        return self._arrays[need]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What several metrics derive from the same arrays (neighbour distances), made once."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def keep(self, side: Side, rows: np.ndarray[Any, Any]) -> Arrays:
        """The same arrays with only these rows (a mask or indices) of one side."""
        return Arrays({need: array[rows] if NEEDS[need] == side else array for need, array in self._arrays.items()})


@dataclass(frozen=True)
class Sighting:
    """What a metric's flags may look at: n samples of width d, the value, and the 95 % point of real against real (None where there is none)."""

    n: int
    d: int
    value: float
    real_high: float | None


@dataclass(frozen=True)
class Metric:
    """A number about samples.

    value(arrays, **constants) -> float; a pure function: no device, no files, no state.
    left_out(arrays, blocks, side, **constants) -> float64 [B]: the value without each block of one side, blocks int64 [rows of that side] numbered 0 .. B-1;
    given where B calls of `value` would cost too much, and equal to them (a law holds the two together).
    """

    name: str
    title: str
    needs: tuple[str, ...]
    better: Literal["lower", "higher"]
    range: tuple[float, float]
    interval: Literal["jackknife", "wilson", "mean"]
    value: Callable[..., float]
    paper: str
    left_out: Callable[..., np.ndarray[Any, Any]] | None = None
    smallest_n: int = 2
    properties: frozenset[str] = frozenset()
    flags: Callable[[Sighting], tuple[str, ...]] = field(default=lambda seen: ())  # known failings of the interval, by the coverage table

    def __post_init__(self) -> None:
        _check(
            self,
            (re.fullmatch(r"[a-z][a-z0-9_]*", self.name) is not None, "its name may hold lower-case letters, digits and '_'"),
            (len(self.needs) > 0 and set(self.needs) <= set(NEEDS), f"needs {self.needs}, allowed are {', '.join(NEEDS)}"),
            (callable(self.value), "value is not a function"),
            (self.better in ("lower", "higher"), f"better is {self.better!r}, allowed are lower and higher"),
            (self.interval in ("jackknife", "wilson", "mean"), f"interval is {self.interval!r}, allowed are jackknife, wilson and mean"),
            (self.range[0] < self.range[1], f"range {self.range} is empty"),
            (self.properties <= set(PROPERTIES), f"unknown properties {set(self.properties) - set(PROPERTIES)}; known are {', '.join(PROPERTIES)}"),
            (self.smallest_n >= 2, "smallest_n is at least 2: one sample has no interval"),
        )


@dataclass(frozen=True)
class Measure:
    """How a protocol takes one metric. `name` is the number's name on boards: "fid" or, by default, METRIC_EXTRACTOR."""

    metric: str
    features: str  # EXTRACTOR.OUTPUT
    reference: str = ""  # the split it is held against; "" for a metric that needs none
    constants: Mapping[str, float] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        _check(
            self,
            ("." in self.features, f"features {self.features!r} is not EXTRACTOR.OUTPUT"),
            (all(isinstance(value, int | float) for value in self.constants.values()), f"constants {dict(self.constants)} are not numbers"),
        )
        if not self.name:
            object.__setattr__(self, "name", f"{self.metric}_{self.features.split('.')[0]}")


@dataclass(frozen=True)
class Protocol:
    """How the numbers of a board are taken; the first measure sorts the board."""

    name: str
    title: str
    dataset: str
    n: int
    labels: Literal["balanced", "iid", "training"]
    quantise: Literal["round", "truncate"]
    measures: tuple[Measure, ...]
    real: tuple[str, ...]  # the splits pooled and split again for real against real
    paper: str = ""

    def __post_init__(self) -> None:
        names = [measure.name for measure in self.measures]
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (isinstance(self.n, int) and self.n >= 2, f"n is {self.n}; a whole number, at least 2"),
            (self.labels in ("balanced", "iid", "training"), f"labels are {self.labels!r}, allowed are balanced, iid and training"),
            (self.quantise in ("round", "truncate"), f"quantise is {self.quantise!r}, allowed are round and truncate"),
            (len(names) > 0, "has no measures"),
            (len(set(names)) == len(names), f"names a number twice: {names}"),
        )
