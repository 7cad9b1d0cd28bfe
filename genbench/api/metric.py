"""Metric, Measure and Pairs: the rows of a number, and the constants that a metric may have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from genbench.api.metric_inputs import NEEDS, Arrays, Sighting
from genbench.api.validation import _check, _is_name, _whole_version

if TYPE_CHECKING:
    import numpy as np
    import torch


Constant = float | str


# what a constant of a metric may be
COUNT, SEED, PERCENT, FLAG = range(1, 2**31), range(2**32), range(101), (0, 1)


# : A metric's properties, tested by tests/metrics/test_laws.py on every row that has them, and the
# opposite
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
