"""Extractor, Weights and File: the rows of a feature network and of its published files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genbench.api.validation import _check, _is_name, _whole_version

if TYPE_CHECKING:
    import torch


# in which a network may compute; its features are float32 in each
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


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
