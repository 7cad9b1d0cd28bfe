"""The networks of dcgan: for the digits' 8x8 pixels, for images of any other size,
and the generator of pytorch/examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genbench_plugins._small import CLASSES, Painter

LATENT, CHANNELS = 32, 64
# channels at the full size and at most, and the width of a class's vector, of networks for
# images of any size
NARROW, WIDE, EMBEDDING = 32, 256, 32
LOWEST = 7  # side from which such a network does not halve any more: 4 of 32, 64, ..., 7 of 28

Wrap = Callable[[nn.Module], nn.Module]  # spectral_norm, or nothing


class Discriminator(nn.Module):
    """A score for an 8x8 image and its class, by projection (Miyato & Koyama 2018);
    every layer spectrally normalised (Miyato et al. 2018), if any.
    """

    def __init__(self, wrap: Wrap = spectral_norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            wrap(nn.Conv2d(1, CHANNELS, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            wrap(nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            wrap(nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            wrap(nn.Linear(CHANNELS * 4 * 4, CHANNELS)),
            nn.LeakyReLU(0.2),
        )
        self.judge = wrap(nn.Linear(CHANNELS, 1))
        self.embedding = wrap(nn.Embedding(CLASSES, CHANNELS))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        features = self.body(x)
        return self.judge(features)[:, 0] + (self.embedding(labels) * features).sum(1)


def widths(side: int) -> tuple[int, list[int]]:
    """The side of the first feature map of an image's, and the channels from there up to
    the full size.
    """
    lowest, count = side, 1
    while lowest % 2 == 0 and lowest > LOWEST:
        lowest, count = lowest // 2, count + 1
    return lowest, [min(NARROW * 2**i, WIDE) for i in range(count)][::-1]


class Maker(nn.Module):
    """A vector [n, LATENT] and a class -> an image [n, channels, side, side] in -1 to 1,
    by transposed convolutions as in DCGAN (Radford et al. 2016).

    Without its batch normalisation, so that an image depends on its own vector alone.
    """

    def __init__(self, side: int, channels: int, classes: int) -> None:
        super().__init__()
        self.lowest, along = widths(side)
        self.embedding = nn.Embedding(classes, EMBEDDING)
        self.start = nn.Linear(LATENT + EMBEDDING, along[0] * self.lowest**2)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(along))
        self.paint = nn.Conv2d(along[-1], channels, 3, 1, 1)
        # its class embeddings and last block
        self.last = ("embedding", f"grow.{len(self.grow) - 1}", "paint")

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        x = F.leaky_relu(
            self.start(torch.cat([vectors, self.embedding(labels)], 1)), 0.2
        ).unflatten(1, (-1, self.lowest, self.lowest))
        for layer in self.grow:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.tanh(self.paint(x))


class Judge(nn.Module):
    """A score for an image [n, channels, side, side] and its class, by projection."""

    def __init__(self, side: int, channels: int, classes: int, wrap: Wrap = spectral_norm) -> None:
        super().__init__()
        lowest, along = widths(side)
        along = along[::-1]
        layers = [
            wrap(nn.Conv2d(channels, along[0], 3, 1, 1)),
            *(wrap(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(along)),
        ]
        self.body = nn.Sequential(
            *(part for layer in layers for part in (layer, nn.LeakyReLU(0.2))), nn.Flatten()
        )
        self.judge = wrap(nn.Linear(along[-1] * lowest**2, 1))
        self.embedding = wrap(nn.Embedding(classes, along[-1] * lowest**2))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        features = self.body(x)
        return self.judge(features)[:, 0] + (self.embedding(labels) * features).sum(1)


def nets_for(side: int, channels: int, classes: int, wrap: Wrap, small: bool) -> nn.ModuleDict:
    """Generator and discriminator, the latter saved too, so that training can go on; small:
    those of the digits' own 8x8 pixels.
    """
    if small:
        return nn.ModuleDict({"generator": Painter(LATENT), "discriminator": Discriminator(wrap)})
    return nn.ModuleDict(
        {
            "generator": Maker(side, channels, classes),
            "discriminator": Judge(side, channels, classes, wrap),
        }
    )


def nets_of(tensors: Mapping[str, Tensor]) -> nn.ModuleDict:
    """The networks that tensors of a trained pair are of, by names and shapes, not filled yet;
    KeyError where they are of another kind.
    """
    wrap: Wrap = (
        spectral_norm
        if any(".parametrizations." in name for name in tensors)
        else lambda layer: layer
    )
    if "generator.refine.weight" in tensors:
        return nets_for(0, 1, CLASSES, wrap, small=True)
    classes, channels = (
        len(tensors["generator.embedding.weight"]),
        len(tensors["generator.paint.weight"]),
    )
    count = sum(name.startswith("generator.grow.") and name.endswith(".weight") for name in tensors)
    first = (
        tensors["generator.grow.0.weight"].shape[0]
        if count
        else tensors["generator.paint.weight"].shape[1]
    )
    lowest = math.isqrt(len(tensors["generator.start.weight"]) // first)
    return nets_for(lowest * 2**count, channels, classes, wrap, small=False)


class Example(nn.Module):
    """The generator of pytorch/examples' DCGAN (`netG_epoch_N.pth`),
    [n, nz, 1, 1] -> [n, channels, 64, 64] or as many doublings as the file has.

    Its batch normalisation is by the stored statistics; the example itself never leaves training
    mode, in which an image depends on its batch.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(0, 3 * sum(t.ndim == 4 for t in tensors.values()), 3):
            into, out, kernel, _ = tensors[f"main.{i}.weight"].shape
            last = f"main.{i + 1}.running_mean" not in tensors
            layers += [
                nn.ConvTranspose2d(into, out, kernel, *((2, 1) if i else (1, 0)), bias=False)
            ]
            layers += [nn.Tanh()] if last else [nn.BatchNorm2d(out), nn.ReLU()]
        self.main = nn.Sequential(*layers)
        self.latent = tensors["main.0.weight"].shape[0]

    def forward(self, vectors: Tensor) -> Tensor:
        return self.main(vectors[:, :, None, None])
