"""`pixels`: images as they are, so that squared distances are mean squared errors;
and the place from which PSNR and SSIM take them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import torch
from genbench.api.extractor import Extractor

if TYPE_CHECKING:
    from torch import Tensor


def load_pixels(device: Any) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> values float32 [n, 3 h w], x / (255 sqrt(3 h w)):
    |values_i - values_j|^2 is the mean squared error of 0 to 1.
    """

    def extract(images: Tensor) -> dict[str, Tensor]:
        flat = images.to(torch.float32).flatten(1)
        return {"values": flat / (255 * flat.shape[1] ** 0.5)}

    return extract


PIXELS = Extractor(
    name="pixels",
    title="the images themselves: squared distances are mean squared errors",
    outputs={"values": 0},
    size=0,
    resize="none: the width follows the size of the images",
    weights=None,
    trained_on="nothing",
    load=load_pixels,
)
