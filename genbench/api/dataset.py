"""Dataset: the row of one set of real images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genbench.api.protocol import Protocol
from genbench.api.validation import _check, _is_name

if TYPE_CHECKING:
    import torch


Batch = tuple["torch.Tensor", "torch.Tensor"]  # images uint8 [b, 3, h, w], labels int64 [b]


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
