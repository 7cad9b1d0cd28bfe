"""BigGAN and BigGAN-deep (Brock, Donahue & Simonyan 2019), written to be read:
spectral norms are divided out and statistics chosen before it is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """A residual block: channels in and out, whether it doubles the size,
    whether attention follows it.
    """

    into: int
    out: int
    grows: bool
    attends: bool


@dataclass(frozen=True)
class Architecture:
    """What a generator is made from."""

    deep: bool
    classes: int
    embedding: int  # width of a class's vector
    z_dim: int
    pieces: int  # that z is split into, one for the start and one for each block; 1: it is not
    bottom: int  # side of the first feature map
    stages: tuple[Stage, ...]

    @property
    def condition(self) -> int:
        """Width of what the normalisations are told: the class,
        and with it z (deep) or a piece of it (hierarchical).
        """
        return self.embedding + (
            self.z_dim if self.deep else self.z_dim // self.pieces if self.pieces > 1 else 0
        )

    @property
    def start(self) -> int:
        """Width of what the first layer sees."""
        return self.condition if self.deep else self.z_dim // self.pieces


class Norm(nn.Module):
    """Batch normalisation by stored statistics, [n, c, h, w] -> the same,
    its gain and shift linear in the condition [n, d].
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.rstd: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("rstd", torch.ones(channels))
        self.gain = nn.Linear(condition, channels, bias=False)
        self.shift = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = (
            (1 + self.gain(condition))[:, :, None, None],
            self.shift(condition)[:, :, None, None],
        )
        return (x - self.mean[:, None, None]) * self.rstd[:, None, None] * gain + shift


class Attention(nn.Module):
    """Self-attention as the released codes of SA-GAN and BigGAN have it (Zhang et al. 2019):
    keys and values at half the size.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.theta(x).flatten(2)
        keys, values = (F.max_pool2d(side(x), 2).flatten(2) for side in (self.phi, self.g))
        weights = torch.softmax(queries.mT @ keys, -1)  # [n, places, places at half the size]
        return x + self.gamma * self.o((values @ weights.mT).unflatten(2, x.shape[2:]))


class Block(nn.Module):
    """BigGAN's residual block (the paper's figure 15): two convolutions,
    and one of a pixel on the way past them.
    """

    def __init__(self, stage: Stage, condition: int) -> None:
        super().__init__()
        self.grows = stage.grows
        self.norm1, self.norm2 = Norm(stage.into, condition), Norm(stage.out, condition)
        self.conv1 = nn.Conv2d(stage.into, stage.out, 3, padding=1)
        self.conv2 = nn.Conv2d(stage.out, stage.out, 3, padding=1)
        self.skip = (
            nn.Conv2d(stage.into, stage.out, 1)
            if stage.grows or stage.into != stage.out
            else nn.Identity()
        )
        self.attention = Attention(stage.out) if stage.attends else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.norm1(x, condition))
        if self.grows:
            h, x = doubled(h), doubled(x)
        h = self.conv2(F.relu(self.norm2(self.conv1(h), condition)))
        return self.attention(h + self.skip(x))


class DeepBlock(nn.Module):
    """BigGAN-deep's residual block (figure 16): a quarter of the channels inside,
    and a way past that drops channels and has no weights.
    """

    def __init__(self, stage: Stage, condition: int) -> None:
        super().__init__()
        self.grows, self.out, inner = stage.grows, stage.out, stage.into // 4
        self.norm1, self.norm2, self.norm3, self.norm4 = (
            Norm(width, condition) for width in (stage.into, inner, inner, inner)
        )
        self.conv1 = nn.Conv2d(stage.into, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv4 = nn.Conv2d(inner, stage.out, 1)
        self.attention = Attention(stage.out) if stage.attends else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = F.relu(self.norm2(self.conv1(F.relu(self.norm1(x, condition))), condition))
        x = x[:, : self.out]
        if self.grows:
            h, x = doubled(h), doubled(x)
        h = self.conv3(F.relu(self.norm3(self.conv2(h), condition)))
        h = self.conv4(F.relu(self.norm4(h, condition)))
        return self.attention(h + x)


class Generator(nn.Module):
    """Latents [n, z_dim] and labels int64 [n] -> images float [n, 3, h, w] in -1 to 1."""

    def __init__(self, made: Architecture) -> None:
        super().__init__()
        self.made = made
        first, last = made.stages[0].into, made.stages[-1].out
        self.embedding = nn.Embedding(made.classes, made.embedding)
        self.start = nn.Linear(made.start, first * made.bottom**2)
        self.blocks = nn.ModuleList(
            (DeepBlock if made.deep else Block)(stage, made.condition) for stage in made.stages
        )
        # the last normalisation, whole
        self.scale, self.shift = nn.Parameter(torch.ones(last)), nn.Parameter(torch.zeros(last))
        self.paint = nn.Conv2d(last, 3, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        seen, conditions = self.conditions(z, self.embedding(labels))
        x = self.start(seen).unflatten(1, (-1, self.made.bottom, self.made.bottom))
        for block, condition in zip(self.blocks, conditions, strict=True):
            x = block(x, condition)
        return torch.tanh(
            self.paint(F.relu(x * self.scale[:, None, None] + self.shift[:, None, None]))
        )

    def conditions(self, z: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the first layer sees, and what each block's normalisations are told."""
        if self.made.deep:
            whole = torch.cat([y, z], 1)
            return whole, [whole] * len(self.blocks)
        first, *pieces = z.chunk(self.made.pieces, 1)
        return first, [torch.cat([y, piece], 1) for piece in pieces] if pieces else [y] * len(
            self.blocks
        )


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)
