"""The U-Net of Ho et al. as w86763777/pytorch-ddpm, CBDM and ermongroup/ddim write it:
one network, built from the shapes of its tensors.

What the codes differ in is a field of Kind. Names of tensors here: times [T, c], time.0 and .2,
labels [classes, 4c], start, down.K, middle.K, up.K, end.0 and .2; a layer is a Block (norm1, conv1,
time, norm2, conv2, and where there are such: skip, attention) or a Resize (conv, or nothing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32  # of every normalisation
MOST_LAYERS = 256  # of a side


@dataclass(frozen=True)
class Kind:
    """How a code differs from the others in its layers."""

    eps: float  # of its normalisations
    # around an image before it is halved by a convolution: left, right, above, below
    pads: tuple[int, int, int, int]


class Attention(nn.Module):
    """Every place of [n, c, h, w] attends to every other, with one head."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps)
        self.q, self.k, self.v, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        normal = self.norm(x)
        # [n, h w, c]
        q, k, v = (layer(normal).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = (q @ k.transpose(1, 2) * x.shape[1] ** -0.5).softmax(2)
        return x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Two convolutions beside a way around them; the signal (time and class) is added between."""

    def __init__(self, layer: Mapping[str, Tensor], signal: int, eps: float) -> None:
        super().__init__()
        out, into = layer["conv1.weight"].shape[:2]
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, into, eps), nn.GroupNorm(GROUPS, out, eps)
        self.conv1, self.conv2 = nn.Conv2d(into, out, 3, 1, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.time = nn.Linear(signal, out)
        self.skip: nn.Module = nn.Identity()
        if "skip.weight" in layer:
            side = layer["skip.weight"].shape[-1]  # 1, or 3 where ddim's conv_shortcut is chosen
            self.skip = nn.Conv2d(into, out, side, 1, side // 2)
        self.attention = Attention(out, eps) if "attention.q.weight" in layer else nn.Identity()

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(signal))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))  # their dropout is training's
        return self.attention(h + self.skip(x))


def _widths(layer: Mapping[str, Tensor]) -> tuple[int, int]:
    """Channels that go into a convolution and come out."""
    out, into = layer["conv.weight"].shape[:2]
    return into, out


class Shrink(nn.Module):
    """Half the side, by a convolution, or by a mean where there is none."""

    def __init__(self, layer: Mapping[str, Tensor], kind: Kind) -> None:
        super().__init__()
        self.pads = kind.pads
        self.conv = nn.Conv2d(*_widths(layer), 3, 2) if layer else None

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.pads)) if self.conv else F.avg_pool2d(x, 2)


class Grow(nn.Module):
    """Twice the side: pixels repeated, then a convolution where there is one."""

    def __init__(self, layer: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*_widths(layer), 3, 1, 1) if layer else nn.Identity()

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """The noise in images x [n, channels, h, w], at times int64 [n], 0 to T-1,
    and for labels int64 [n] or None: without a class.
    """

    times: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], kind: Kind) -> None:
        """KeyError, ValueError or RuntimeError for tensors of another network."""
        super().__init__()
        steps, width = tensors["times"].shape
        signal = tensors["time.0.weight"].shape[0]
        self.register_buffer("times", torch.empty(steps, width))
        self.time = nn.Sequential(nn.Linear(width, signal), nn.SiLU(), nn.Linear(signal, signal))
        self.labels = (
            nn.Embedding(*tensors["labels.weight"].shape) if "labels.weight" in tensors else None
        )
        first, channels = tensors["start.weight"].shape[:2]
        self.start = nn.Conv2d(channels, first, 3, 1, 1)
        sides = {side: layers(tensors, side) for side in ("down", "middle", "up")}
        self.down = nn.ModuleList(
            Block(one, signal, kind.eps) if "conv1.weight" in one else Shrink(one, kind)
            for one in sides["down"]
        )
        self.middle = nn.ModuleList(Block(one, signal, kind.eps) for one in sides["middle"])
        self.up = nn.ModuleList(
            Block(one, signal, kind.eps) if "conv1.weight" in one else Grow(one)
            for one in sides["up"]
        )
        last = tensors["end.0.weight"].shape[0]
        self.end = nn.Sequential(
            nn.GroupNorm(GROUPS, last, kind.eps), nn.SiLU(), nn.Conv2d(last, channels, 3, 1, 1)
        )

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        signal = self.time(self.times[times])
        if labels is not None and self.labels is not None:
            signal = signal + self.labels(labels)
        h = self.start(x)
        kept = [h]
        for layer in self.down:
            h = layer(h, signal)
            kept.append(h)
        for layer in self.middle:
            h = layer(h, signal)
        for layer in self.up:
            h = layer(torch.cat([h, kept.pop()], 1) if isinstance(layer, Block) else h, signal)
        return self.end(h)


def layers(tensors: Mapping[str, Tensor], side: str) -> list[dict[str, Tensor]]:
    """The tensors of each layer of a side by their names within it, in order;
    {} of a layer that has none.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(rf"{side}\.(\d+)\.(.+)", name):
            found.setdefault(int(match[1]), {})[match[2]] = tensor
    count = max(found, default=-1) + 1
    if not 0 < count <= MOST_LAYERS:
        raise ValueError(f"it has {count} layers {side}, and 1 to {MOST_LAYERS} are usual")
    return [found.get(i, {}) for i in range(count)]


def filled(tensors: dict[str, Tensor], kind: Kind, size: int) -> UNet:
    """The network with these tensors, once tried on an image of this size without a number in it;
    KeyError, ValueError or RuntimeError where it cannot be.
    """
    with torch.device("meta"):
        net = UNet(tensors, kind)
        channels = net.start.in_channels
        net(
            torch.empty(1, channels, size, size),
            torch.zeros(1, dtype=torch.int64),
            None if net.labels is None else torch.zeros(1, dtype=torch.int64),
        )
    net.load_state_dict(tensors, assign=True)
    return net.eval().requires_grad_(False)
