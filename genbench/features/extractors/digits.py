"""`digits`: a small convolutional network that reads handwritten digits,
trained here (tests/bench/train_extractor.py) and shipped with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import F, torch
from genbench.api.extractor import Extractor, File, Weights
from genbench.features.load_network import fill
from genbench.io.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZE = 32
WEIGHTS = Weights(
    name="digits",
    licence="MIT",
    files=(
        File(
            "digits.safetensors",
            sha256="68e98f3808e6ad151258312384690d8112fa0b6e5e6d30fb05f370de73611077",
            bytes=424132,
        ),
    ),
)


def network() -> nn.Sequential:
    """Grey images [n, 1, 32, 32] in -1 to 1 -> (body) pool [n, 64] -> (head) logits [n, 10];
    105 thousand parameters.
    """
    nn = torch.nn

    def layer(into: int, out: int, size: int) -> list[nn.Module]:
        return [
            nn.Conv2d(into, out, size, 2, size // 2, bias=False),
            nn.BatchNorm2d(out),
            nn.SiLU(),
        ]

    # The pool is linear and standardised, with no activation behind it: no dimension dies, and its
    # covariance is well conditioned.
    pool = [nn.Flatten(), nn.Linear(64 * 4 * 4, 64), nn.BatchNorm1d(64, affine=False)]
    return nn.Sequential(
        nn.Sequential(*layer(1, 24, 5), *layer(24, 48, 3), *layer(48, 64, 3), *pool),
        nn.Linear(64, 10),
    )


def prepare(images: Tensor) -> Tensor:
    """Images uint8 [n, 3, h, w] -> grey float32 [n, 1, 32, 32] in -1 to 1:
    the three channels are averaged, another size is resized.
    """
    grey = images.to(torch.float32).mean(1, keepdim=True) / 127.5 - 1
    if grey.shape[2:] != (SIZE, SIZE):
        grey = F.interpolate(
            grey, size=(SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False
        )
    return grey


def load_digits(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """The network in evaluation mode: images uint8 [n, 3, h, w] on the device -> pool float32
    [n, 64], logits float32 [n, 10].
    """
    tensors = load_checkpoint(weights, device)
    scale = tensors.pop("scale", None)  # makes the mean of |pool|^2 / 64 over the training images 1
    if scale is None:
        raise UserError(f"{weights} is no weights file of the extractor digits: it has no scale")
    with torch.device("meta"):
        net = network()
    fill(net, tensors, weights).to(device)
    body, head = net

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            pool = body(prepare(images))
            return {"pool": pool * scale, "logits": head(pool)}

    return extract


DIGITS = Extractor(
    name="digits",
    title="a small convolutional network trained on digits (in the package, no download)",
    outputs={"pool": 64, "logits": 10},
    size=SIZE,
    resize=(
        "channels averaged to grey; another size than 32x32 by interpolate(bilinear, "
        "antialias=True, align_corners=False)"
    ),
    weights=WEIGHTS,
    trained_on="digits: the splits train and rest (927 images), none of heldout",
    load=load_digits,
)
