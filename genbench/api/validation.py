"""The frozen rows: Dataset, Extractor, Metric, Measure, Protocol.

Each refuses itself when it is wrong.

A row says everything that differs between two things of a kind; what is common is code elsewhere.
Rows hold functions that bind heavy libraries only when called, so that listings can read every row
without importing torch.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genbench.arrays import NEEDS, Arrays, Sighting

if TYPE_CHECKING:
    import numpy as np
    import torch

Batch = tuple["torch.Tensor", "torch.Tensor"]  # images uint8 [b, 3, h, w], labels int64 [b]
Constant = float | str
# in which a network may compute; its features are float32 in each
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
# what a constant of a metric may be
COUNT, SEED, PERCENT, FLAG = range(1, 2**31), range(2**32), range(101), (0, 1)

#: A metric's properties, tested by tests/test_laws.py on every row that has them, and the opposite
#: on every row that has not.
PROPERTIES = (
    "symmetric",
    "order_invariant",
    "rotation_invariant",
    "scale_invariant",
    "zero_on_identical",
    "one_on_identical",
    "unbiased",
)


class RowError(ValueError):
    """A row is wrong; the author of the row reads this."""


def _check(row: Any, *claims: tuple[bool, str]) -> None:
    for holds, wrong in claims:
        if not holds:
            raise RowError(
                f"{type(row).__name__} "
                f"{getattr(row, 'name', '') or getattr(row, 'metric', '?')!r}: {wrong}"
            )


def _whole_version(version: Any) -> tuple[bool, str]:
    return isinstance(
        version, int
    ) and version >= 1, f"version is {version!r}; a whole number, at least 1"


def source_of(function: Callable[..., Any]) -> Path:
    """The file in which a row's function stands."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        raise RowError(
            f"{function!r} stands in no file, so its code cannot be identified; "
            "define it in a module"
        )
    return Path(file)


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name) is not None


@dataclass(frozen=True)
class Dataset:
    """Real images.

    open(split) yields (images uint8 [b, 3, resolution, resolution], labels int64 [b]) in one
    fixed order.
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
    recogniser: str  # the feature that tells its classes, "digits.logits"; "": there is none
    protocol: str  # the default protocol

    def __post_init__(self) -> None:
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (len(self.classes) > 0, "has no classes; an unlabelled set has one"),
            (self.resolution > 0, f"resolution {self.resolution} is not positive"),
            (len(self.splits) > 0, "has no splits"),
            (
                "." in self.recogniser or not self.recogniser,
                f"recogniser {self.recogniser!r} is not EXTRACTOR.OUTPUT",
            ),
        )

    def pool(self, protocol: Protocol) -> tuple[str, ...]:
        """The splits that real data is measured against real data in:
        those that the protocol names, else all.
        """
        return tuple(protocol.real or self.splits)

    def fingerprint(self, split: str) -> str:
        """SHA-256 of the split's content: pixels and labels, batch by batch,
        whatever the batches.
        """
        pixels, labels = hashlib.sha256(), hashlib.sha256()
        for images, classes in self.open(split):
            pixels.update(images.contiguous().numpy().tobytes())
            labels.update(classes.numpy().tobytes())
        return hashlib.sha256(pixels.digest() + labels.digest()).hexdigest()


@dataclass(frozen=True)
class File:
    """One published file of weights."""

    file: str  # its name
    sha256: str = ""  # "" where none is published: the first one seen is written down and held to
    bytes: int = 0  # 0 where unknown
    url: str = ""  # "": it lies beside the row's module
    form: str = ""  # whose format it is


@dataclass(frozen=True)
class Weights:
    """The weights of a network: every published file of the same parameters, the preferred first.

    `--weights NAME=PATH` names one by hand.
    """

    name: str
    licence: str
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (len(self.files) > 0, "names no file"),
        )


@dataclass(frozen=True)
class Extractor:
    """A network that turns images into features.

    load(device), or load(device, weights) where it has weights and names a second argument (the
    path of the file that was found), returns a function: images uint8 [n, 3, h, w] (or float32 in 0
    to 255, where a protocol does not quantise) on the device -> {output: float32 [n, width]}, one
    row per image, independent of the others. An output of width 0 is as wide as the images make it
    (LPIPS embeddings): runs keep its sums, not its rows. Where load names the keyword precision it
    is given one of the row's own, and where it names images how many a run will show it.
    Where it wants prompts the function is called with them too, a list of n texts; no reference is
    ever shown to it.
    """

    name: str
    title: str
    outputs: Mapping[str, int]  # name -> width
    size: int  # the input the network sees, in pixels
    resize: str  # how images of another size get there
    weights: Weights | None  # None: it has none
    trained_on: str
    load: Callable[..., Callable[[torch.Tensor], dict[str, torch.Tensor]]]
    precisions: tuple[str, ...] = ("float32",)  # that it can compute in, of PRECISIONS
    # the installed package whose code is the network: its version is part of what the features are
    package: str = ""
    wants: tuple[str, ...] = ()  # of the conditions: "prompts"
    # on a processor it may be called from several threads at once, and the features are the
    # same to the bit
    side_by_side: bool = False
    # a second file, of a network that reads texts; load is given it after the weights
    vocabulary: Weights | None = None
    # of the features: raised by hand when they change, with a line in CHANGELOG.md (tests/golden
    # holds it to that)
    version: int = 1

    def __post_init__(self) -> None:
        _check(
            self,
            (
                _is_name(self.name) and "." not in self.name,
                "its name may hold lower-case letters, digits, '-' and '_'",
            ),
            (len(self.outputs) > 0, "has no outputs"),
            (set(self.wants) <= {"prompts"}, f"wants {self.wants}, allowed is prompts"),
            (
                "float32" in self.precisions and set(self.precisions) <= set(PRECISIONS),
                f"precisions are float32 and others of {', '.join(PRECISIONS)}",
            ),
            _whole_version(self.version),
        )


@dataclass(frozen=True)
class Metric:
    """A number about samples.

    value(arrays, **constants) -> float; a pure function: no device, no files, no state.
    left_out(arrays, blocks, side, **constants) -> float64 [B]: the value without each block of one
    side, blocks int64 [rows of that side] numbered 0 .. B-1; given where B calls of `value` would
    cost too much, and equal to them (a law holds the two together).
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
    # between sets of one distribution it falls as (1/n + 1/m) to this power; 0: it does not, or
    # by no such law
    falls: float = 0.0
    # mean and covariance of the reference suffice: it can be held against a published
    # statistics file
    from_moments: bool = False
    # in place of samples, arrays.instead("blocks", "samples")() may stand: the moments of each
    # block, in order
    streams: bool = False
    per_class: bool = False  # also taken class by class, under the part "class 3"
    experimental: bool = False
    # draws subsets with a seed: its leave-outs take members out of what was drawn, and are no
    # calls of value
    seeded: bool = False
    # known failings of the interval, by the coverage table
    flags: Callable[[Sighting], tuple[str, ...]] = field(default=lambda seen: ())
    # two images [n, 3, h, w] each in 0 to 255 -> [n]; None: squared distances of their features
    between: Callable[..., torch.Tensor] | None = None
    # of samples and training images, for a picture: places, places, how close; closest first
    closest: Callable[[Arrays], tuple[Any, Any, Any]] | None = None
    # constant -> the values that it may have; others: any number
    allowed: Mapping[str, Container[Any]] = field(default_factory=dict)
    # of the value: raised by hand when values change, with a line in CHANGELOG.md (tests/golden
    # holds it to that)
    version: int = 1

    def __post_init__(self) -> None:
        _check(
            self,
            (
                re.fullmatch(r"[a-z][a-z0-9_]*", self.name) is not None,
                "its name may hold lower-case letters, digits and '_'",
            ),
            (
                len(self.needs) > 0 and set(self.needs) <= set(NEEDS),
                f"needs {self.needs}, allowed are {', '.join(NEEDS)}",
            ),
            (callable(self.value), "value is not a function"),
            (
                self.better in ("lower", "higher"),
                f"better is {self.better!r}, allowed are lower and higher",
            ),
            (
                self.interval in ("jackknife", "wilson", "mean"),
                f"interval is {self.interval!r}, allowed are jackknife, wilson and mean",
            ),
            (self.range[0] < self.range[1], f"range {self.range} is empty"),
            (
                self.properties <= set(PROPERTIES),
                (
                    f"unknown properties {set(self.properties) - set(PROPERTIES)}; "
                    f"known are {', '.join(PROPERTIES)}"
                ),
            ),
            (self.smallest_n >= 2, "smallest_n is at least 2: one sample has no interval"),
            _whole_version(self.version),
        )


@dataclass(frozen=True)
class Pairs:
    """Latent pairs for a path length: points at t and t + epsilon on a path between the latents of
    two seeds, both rendered and compared.
    """

    space: str = "z"  # of the generator's latent spaces
    # slerp: of the directions, with the interpolated length; slerp_unit: NVIDIA's, of unit length
    path: Literal["lerp", "slerp", "slerp_unit"] = "lerp"
    where: Literal["end", "full"] = "end"  # t = 0, or t uniform on 0 to 1
    epsilon: float = 1e-4
    crop: bool = False  # NVIDIA's crop of faces: rows 3/8 to 7/8, columns 2/8 to 6/8
    # images are brought to this size: torch-fidelity by resizing to it, NVIDIA by box averages down
    # to it; 0: left as they are
    size: int = 0
    reduce: Literal["box", "resize"] = "box"
    levels: Literal["float", "uint8"] = "float"  # uint8 at epsilon 1e-4 measures rounding

    def __post_init__(self) -> None:
        _check(
            self,
            (self.epsilon > 0, f"epsilon {self.epsilon} is not positive"),
            (self.where in ("end", "full"), f"where is {self.where!r}"),
        )


def _is_constant(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


@dataclass(frozen=True)
class Measure:
    """How a number is taken: a metric, in a feature space, against a reference, with its constants.

    `name` is its name on boards.

    A measure at the top level of a leaf gives a number its published name ("fid") wherever a user
    asks for it; a protocol's own measures say more.
    """

    metric: str
    features: str  # EXTRACTOR.OUTPUT
    # the split it is held against; "" in a protocol for a metric that needs none, elsewhere for the
    # protocol's own
    reference: str = ""
    constants: Mapping[str, Constant] = field(default_factory=dict)
    name: str = ""  # METRIC_EXTRACTOR by default
    title: str = ""
    reference_n: int = 0  # only the first so many images of the reference; 0: all
    mirrored: bool = False  # the reference with its mirror images
    # to which features are rounded first, as the published code does
    precision: Literal["float64", "float32", "float16"] = "float64"
    samples_n: int = 0  # only the first so many samples; 0: all
    # only whole batches of this size count (the original drops the rest); 0: all samples
    batch: int = 0
    pairs: Pairs | None = None  # for metrics that need pairs
    # where ours must differ from the published code: an unseeded source, float16 that depends
    # on the block
    note: str = ""

    def __post_init__(self) -> None:
        whole = all(
            isinstance(one, int) and (one == 0 or one >= 2)
            for one in (self.samples_n, self.reference_n, self.batch)
        )
        _check(
            self,
            ("." in self.features, f"features {self.features!r} is not EXTRACTOR.OUTPUT"),
            (
                all(map(_is_constant, self.constants.values())),
                f"constants {dict(self.constants)} are not finite numbers or words",
            ),
            (
                self.precision in ("float64", "float32", "float16"),
                f"precision is {self.precision!r}, allowed are float64, float32 and float16",
            ),
            (
                whole,
                (
                    f"samples_n {self.samples_n}, reference_n {self.reference_n}, "
                    f"batch {self.batch}: each a whole number, at least 2, or 0 for all"
                ),
            ),
            (
                not self.name or _is_name(self.name),
                f"its name {self.name!r} may hold lower-case letters, digits, '-', '_' and '.'",
            ),
        )
        if not self.name:
            object.__setattr__(self, "name", f"{self.metric}_{self.features.split('.')[0]}")


@dataclass(frozen=True)
class Published:
    """A number that a protocol should reproduce, beside its row."""

    dataset: str
    model: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Protocol:
    """How the numbers of a board are taken; the first measure sorts the board."""

    name: str
    title: str
    dataset: str  # "any": every data set that has the splits
    n: int  # 0: as many samples as the reference has images
    labels: Literal["balanced", "iid", "training"]
    quantise: Literal["round", "truncate", "none"]
    measures: tuple[Measure, ...]
    # the splits pooled and split again for real against real; (): every split of the data set
    real: tuple[str, ...] = ()
    train: str = ""  # the training split, for metrics of memorisation; "": the data set's "train"
    repeats: int = 1  # n samples so many times, with consecutive seeds,
    reducer: Literal["mean", "min"] = "mean"  # and what is reported of the repeats
    published: tuple[Published, ...] = ()
    paper: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        names = [measure.name for measure in self.measures]
        reduced = (
            isinstance(self.repeats, int) and self.repeats >= 1 and self.reducer in ("mean", "min")
        )
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (
                isinstance(self.n, int) and (self.n == 0 or self.n >= 2),
                f"n is {self.n}; a whole number, at least 2, or 0 for as many as the reference",
            ),
            (
                self.labels in ("balanced", "iid", "training"),
                f"labels are {self.labels!r}, allowed are balanced, iid and training",
            ),
            (
                self.quantise in ("round", "truncate", "none"),
                f"quantise is {self.quantise!r}, allowed are round, truncate and none",
            ),
            (reduced, f"repeats {self.repeats}, reducer {self.reducer!r}: at least 1; mean or min"),
            (len(names) > 0, "has no measures"),
            (len(set(names)) == len(names), f"names a number twice: {names}"),
        )
