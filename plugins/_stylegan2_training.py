"""How a small StyleGAN2 is trained: a residual discriminator, the logistic loss and R1,
after Karras et al. (2020a), sections 4.2 and B.

Left out, since the digits do not need them: path length regularisation, style mixing and
half precision.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genbench
from genbench_plugins._small import descend, follow, shrink
from genbench_plugins._stylegan2 import EITHER, Dense, active, filtered, low_pass
from genbench_plugins._stylegan2_files import Architecture

# the generator that is saved follows the trained one by this share a step
RATE, MEMORY = 2e-3, 0.002
# of R1 (Mescheder et al. 2018), which is taken into account at every so many steps, so many
# times as strong
GAMMA, LAZY = 1.0, 8
GROUP = 4  # images among which the last layer sees the deviation
TAPS = (1.0, 3.0, 3.0, 1.0)


class Plain(nn.Module):
    """A convolution with equalised weights, and after it, where `activate`,
    a bias and the leaky ReLU; `down` halves the image's side, filtered before.
    """

    def __init__(
        self, into: int, out: int, size: int, *, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, size, size))
        self.bias = nn.Parameter(torch.zeros(out)) if activate else None
        self.down, self.scale = down, 1 / math.sqrt(into * size**2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        edge = self.weight.shape[-1] // 2
        if self.down:
            x, edge = filtered(x, low_pass(TAPS).to(x.device), edge + 1, edge + 1), 0
        x = F.conv2d(x, self.weight * self.scale, stride=2 if self.down else 1, padding=edge)
        return x * gain if self.bias is None else active(x, self.bias, gain)


class Halving(nn.Module):
    """A residual block of the discriminator: [n, into, h, w] -> [n, out, h/2, w/2]."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = Plain(into, into, 3), Plain(into, out, 3, down=True)
        self.skip = Plain(into, out, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x, EITHER) + self.conv1(self.conv0(x), EITHER)


class Discriminator(nn.Module):
    """A score for an image and its class, by projection on the class's embedding (Miyato &
    Koyama 2018).
    """

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        sizes = [2**i for i in range(of.img_resolution.bit_length() - 1, 1, -1)]
        widths = [min(of.channel_base // size, of.channel_max) for size in sizes]
        self.start = Plain(of.img_channels, widths[0], 1)
        self.blocks = nn.Sequential(
            *(Halving(into, out) for into, out in itertools.pairwise(widths))
        )
        self.last = Plain(widths[-1] + 1, widths[-1], 3)
        self.dense = Dense(widths[-1] * 4 * 4, widths[-1], activate=True)
        self.classes = max(of.c_dim, 1)
        self.judge = Dense(widths[-1], widths[-1])
        self.embedding = Dense(self.classes, widths[-1])

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.blocks(self.start(x))
        x = self.dense(self.last(torch.cat([x, deviation(x)], 1)).flatten(1))
        known = self.embedding(F.one_hot(labels, self.classes).float()) * math.sqrt(self.classes)
        return (self.judge(x) * known).sum(1) / math.sqrt(x.shape[1])


def deviation(x: Tensor) -> Tensor:
    """How much the images of a group differ, [n, 1, h, w],
    so that a generator without variety is found out (Karras et al. 2018, section 3).
    """
    n, _, h, w = x.shape
    size = GROUP if n % GROUP == 0 else n
    grouped = x.reshape(size, n // size, *x.shape[1:])
    spread = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # [n / size]
    return spread.repeat(size)[:, None, None, None].expand(n, 1, h, w)


def painted(maker: Any, labels: Tensor, z_dim: int) -> tuple[Tensor, Tensor]:
    """Images of fresh latents and noise, and their w."""
    n, device = len(labels), labels.device
    w = maker.mapping(torch.randn(n, z_dim, device=device), labels)
    return maker.synthesis(
        maker.truncated(w, 1.0, None),
        lambda layer: torch.randn(n, 1, layer.size, layer.size, device=device),
    ), w


def penalty(
    judge: nn.Module, real: Tensor, labels: Tensor, shown: Callable[[Tensor], Tensor]
) -> Tensor:
    """R1: half of gamma times the mean squared length of the score's gradient at real images."""
    real = real.requires_grad_()
    (slope,) = torch.autograd.grad(judge(shown(real), labels).sum(), real, create_graph=True)
    return GAMMA / 2 * slope.square().sum((1, 2, 3)).mean()


def real_ones(images: Tensor, of: Architecture) -> Tensor:
    """Images uint8 [n, 3, H, H] as the network makes them, float [n, c, h, h] in -1 to 1."""
    if of.enlarge > 1:
        return shrink(images)
    x = images.float() / 127.5 - 1
    if x.shape[2:] != (of.img_resolution, of.img_resolution):
        raise genbench.UserError(
            f"the network makes images of {of.img_resolution} pixels and the data set's are "
            f"{x.shape[2]}x{x.shape[3]}; choose one of its size"
        )
    return x if of.img_channels == 3 else x.mean(1, keepdim=True)


def steps(
    average: Any,
    judge: nn.Module,
    of: Architecture,
    batches: Collection[tuple[Tensor, Tensor]],
    shown: Callable[[Tensor], Tensor],
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train on batches of images uint8 [b, 3, h, w] and labels;
    `average` becomes the generator to be saved.

    shown: what the discriminator sees.
    """
    maker = copy.deepcopy(average).requires_grad_(True)
    makes, judges = (
        torch.optim.Adam(net.parameters(), RATE, betas=(0.0, 0.99)) for net in (maker, judge)
    )
    for step, (images, labels) in enumerate(batches, 1):
        real = real_ones(images, of)
        fake, w = painted(maker, labels, of.z_dim)
        judged = (
            F.softplus(-judge(shown(real), labels)).mean()
            + F.softplus(judge(shown(fake.detach()), labels)).mean()
        )
        descend(
            judges, judged + (LAZY * penalty(judge, real, labels, shown) if step % LAZY == 1 else 0)
        )
        made = F.softplus(-judge(shown(fake), labels)).mean()
        descend(makes, made)
        share = max(MEMORY, 1 / step)
        follow(average, maker, share)
        average.mapping.w_avg.lerp_(w.detach().mean(0), share)
        yield step, len(batches), {"loss": judged.item(), "generator": made.item()}
