"""The training images themselves, each served once: a reference line beside the generators,
not a competitor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import genbench


class Real:
    """Sample k of class c is the k-th training image of that class."""

    competitor = False
    licence = "the data set's"
    pretrained_on = ("digits",)

    def __init__(self, dataset: Any, device: Any = "cpu") -> None:
        # of a long-tailed set the whole it was cut out of
        split = "balanced-train" if "balanced-train" in dataset.splits else "train"
        images, labels = (torch.cat(parts) for parts in zip(*dataset.open(split), strict=True))
        self.classes = [images[labels == c].to(device) for c in range(len(dataset.classes))]

    @genbench.hookimpl
    def sample(self, n: int, indices: Tensor, labels: Tensor) -> Tensor:
        count = len(self.classes)
        if not torch.equal(labels, indices % count):
            raise genbench.UserError(
                "real serves each training image once, the classes in turn: --labels balanced"
            )
        places = indices // count
        fewest = min(map(len, self.classes))
        if places.max() >= fewest:
            raise genbench.UserError(
                f"real has {fewest} images of each class, so at most --n {fewest * count}"
            )
        return torch.stack(
            [
                self.classes[label][place]
                for label, place in zip(labels.tolist(), places.tolist(), strict=True)
            ]
        )

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": 0, "evaluations": 0}
