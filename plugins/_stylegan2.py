"""The generator of StyleGAN2 (Karras et al. 2020a, arXiv:1912.04958) and StyleGAN2-ADA (Karras et
al. 2020b, arXiv:2006.06676), in plain PyTorch.

Written from the papers and the format of the published files: modules and tensors have the names
that they have there, so that a file's tensors are loaded as they are. Weights are stored at unit
variance and scaled when they are used (equalised learning rates, Karras et al. 2018, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench_plugins._stylegan2_files import Architecture

SLOPE, GAIN = 0.2, math.sqrt(2)  # of the leaky ReLU; the gain keeps the variance
EITHER = math.sqrt(0.5)  # the two ways of a residual block, added, keep the variance
SEPARABLE = 8  # filters of so many taps are stored as [taps], shorter ones as [taps, taps]

# what a layer adds, [n, 1, size, size] or of a shape that broadcasts to it, before its strength
Noise = Callable[["Convolution"], Tensor | float]


# Filters


def low_pass(taps: tuple[float, ...]) -> Tensor:
    """A filter as the files store it, of sum 1."""
    row = torch.tensor(taps, dtype=torch.float32)
    row = row / row.sum()
    return row if len(taps) >= SEPARABLE else torch.outer(row, row)


def filtered(x: Tensor, taps: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    """Images [n, c, h, w] with so many zeros put before and after their rows and columns (below 0:
    cut off), convolved with a filter, without its margins.
    """
    taps = torch.outer(taps, taps) if taps.ndim == 1 else taps
    kernel = (taps * gain).flip(0, 1).to(x.dtype)  # conv2d correlates
    channels = x.shape[1]
    return F.conv2d(
        F.pad(x, (before, after, before, after)),
        kernel.expand(channels, 1, *kernel.shape),
        groups=channels,
    )


def doubled(x: Tensor, taps: Tensor) -> Tensor:
    """Images [n, c, h, w] -> [n, c, 2h, 2w]: a zero after each pixel, then the filter,
    with 4 times its gain since three of four pixels are zeros.
    """
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = x
    return filtered(spread, taps, (len(taps) + 1) // 2, (len(taps) - 2) // 2, gain=4)


# Layers


def active(x: Tensor, bias: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of x [n, c, ...] plus a bias [c]; clamp bounds what half precision has to hold,
    and scales with the gain of a residual block.
    """
    x = F.leaky_relu(x + bias.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2)), SLOPE) * (GAIN * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def modulated(
    x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, taps: Tensor | None = None
) -> Tensor:
    """A convolution of x [n, i, h, w] whose weights [o, i, k, k] are scaled by each image's styles
    [n, i]: [n, o, h, w], or [n, o, 2h, 2w] with taps.

    Equation 1 of Karras et al. (2020a), w' = s w, and with `demodulate` equation 3, w'' = w' /
    sqrt(sum w'^2 + 1e-8). Inputs are scaled by s and outputs by the root in place of the weights:
    the same numbers, and one convolution for all images.
    """
    # both factors cancel in equation 3; without them half precision overflows
    if demodulate and x.dtype == torch.float16:
        weight = weight / (
            weight.abs().amax((1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel())
        )
        styles = styles / styles.abs().amax(1, keepdim=True)
    y = x * styles[:, :, None, None].to(x.dtype)
    y = (
        F.conv2d(y, weight.to(x.dtype), padding=weight.shape[-1] // 2)
        if taps is None
        else grown(y, weight.to(x.dtype), taps)
    )
    if demodulate:
        power = styles.square() @ weight.square().sum((2, 3)).T  # [n, o]
        y = y * (power + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
    return y


def grown(x: Tensor, weight: Tensor, taps: Tensor) -> Tensor:
    """Images [n, i, h, w] -> [n, o, 2h, 2w]: a zero after each pixel,
    convolved with weights [o, i, 3, 3], then filtered.
    """
    spread = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [n, o, 2h + 1, 2w + 1]
    return filtered(spread, taps, (len(taps) + 1) // 2 - 1, (len(taps) - 2) // 2, gain=4)


class Dense(nn.Module):
    """A linear map of vectors [n, into], with a leaky ReLU after it where `activate`; rate:
    its learning rate against the other layers'.
    """

    def __init__(
        self, into: int, out: int, *, rate: float = 1.0, bias: float = 0.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias))
        self.rate, self.activate = rate, activate

    def forward(self, x: Tensor) -> Tensor:
        y, bias = x @ (self.weight * (self.rate / math.sqrt(x.shape[1]))).T, self.bias * self.rate
        return active(y, bias) if self.activate else y + bias


class Convolution(nn.Module):
    """A modulated 3x3 convolution with noise, bias and leaky ReLU;
    `up` doubles the image's side to `size`. place: its number among the network's.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, into: int, out: int, size: int, *, place: int, up: bool, of: Architecture
    ) -> None:
        super().__init__()
        self.affine = Dense(of.w_dim, into, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out, into, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out))
        self.size, self.place, self.up, self.clamp = size, place, up, of.conv_clamp
        self.noisy = of.use_noise
        # stored, and unused, where nothing is doubled
        self.register_buffer(
            "resample_filter", low_pass(of.resample_filter if up else (1, 3, 3, 1))
        )
        if self.noisy:
            self.register_buffer("noise_const", torch.randn(size, size))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, w: Tensor, noise: Noise, gain: float = 1.0) -> Tensor:
        y = modulated(
            x, self.weight, self.affine(w), True, self.resample_filter if self.up else None
        )
        if self.noisy:
            y = y + (noise(self) * self.noise_strength).to(y.dtype)
        return active(y, self.bias, gain, self.clamp)


class Colours(nn.Module):
    """Features -> the image's channels: a modulated 1x1 convolution without demodulation, a bias,
    and no activation.
    """

    def __init__(self, into: int, of: Architecture) -> None:
        super().__init__()
        self.affine = Dense(of.w_dim, into, bias=1.0)
        self.weight = nn.Parameter(torch.randn(of.img_channels, into, 1, 1))
        self.bias = nn.Parameter(torch.zeros(of.img_channels))
        self.clamp = of.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = modulated(x, self.weight, self.affine(w) / math.sqrt(x.shape[1]), False) + self.bias[
            :, None, None
        ].to(x.dtype)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Shortcut(nn.Module):
    """The other way through a residual block: a plain 1x1 convolution, doubled."""

    resample_filter: Tensor

    def __init__(self, into: int, out: int, of: Architecture) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, 1, 1))
        self.register_buffer("resample_filter", low_pass(of.resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        return doubled(
            F.conv2d(x, (self.weight / math.sqrt(x.shape[1])).to(x.dtype)), self.resample_filter
        )


class Block(nn.Module):
    """The layers of one resolution: from the image's side / 2 to `size`;
    the first begins with a constant of 4x4.

    Figure 7 of Karras et al. (2020a): "orig" paints at the last resolution alone; "skip" at each,
    and adds the images up; "resnet" is residual.
    """

    resample_filter: Tensor

    def __init__(self, into: int, out: int, size: int, place: int, of: Architecture) -> None:
        super().__init__()
        self.kind, self.first = of.architecture, into == 0
        self.in_half = size >= of.half_from
        self.register_buffer("resample_filter", low_pass(of.resample_filter))
        if self.first:
            self.const = nn.Parameter(torch.randn(out, size, size))
        else:
            self.conv0 = Convolution(into, out, size, place=place, up=True, of=of)
        self.conv1 = Convolution(out, out, size, place=place + (not self.first), up=False, of=of)
        self.layers = 1 if self.first else 2
        self.paints = size == of.img_resolution or self.kind == "skip"
        if self.paints:
            self.torgb = Colours(out, of)
        if self.kind == "resnet" and not self.first:
            self.skip = Shortcut(into, out, of)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise, half: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image of the resolution below (None: there is none yet),
        ws float [n, layers + 1, w_dim] -> those of this one.
        """
        dtype = torch.float16 if half and self.in_half else torch.float32
        if x is None:
            x = self.conv1(self.const.to(dtype).expand(len(ws), -1, -1, -1), ws[:, 0], noise)
        else:
            x = x.to(dtype)
            residual = self.kind == "resnet"
            y = self.conv0(x, ws[:, 0], noise)
            y = self.conv1(y, ws[:, 1], noise, EITHER if residual else 1.0)
            x = self.skip(x) * EITHER + y if residual else y
        assert x is not None
        if image is not None:
            image = doubled(image, self.resample_filter)
        if self.paints:
            painted = self.torgb(x, ws[:, self.layers]).float()
            image = painted if image is None else image + painted
        return x, image


class Mapping(nn.Module):
    """z [n, z_dim] and a class -> w [n, w_dim]."""

    w_avg: Tensor

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        label = (of.embed_features or of.w_dim) if of.c_dim else 0
        widths = [
            of.z_dim + label,
            *[of.layer_features or of.w_dim] * (of.num_layers - 1),
            of.w_dim,
        ]
        if of.c_dim:
            self.embed = Dense(of.c_dim, label)
        for i in range(of.num_layers):
            self.add_module(
                f"fc{i}", Dense(widths[i], widths[i + 1], rate=of.lr_multiplier, activate=True)
            )
        self.depth, self.classes = of.num_layers, of.c_dim
        if of.w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(of.w_dim))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        x = unit(z.float())
        if self.classes:
            assert labels is not None
            x = torch.cat([x, unit(self.embed(F.one_hot(labels, self.classes).float()))], 1)
        for i in range(self.depth):
            x = self.get_submodule(f"fc{i}")(x)
        return x


def unit(x: Tensor) -> Tensor:
    """Vectors [n, d] of mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Synthesis(nn.Module):
    """Vectors w, one for each layer -> an image."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.sizes = [2**i for i in range(2, of.img_resolution.bit_length())]
        # a convolution at 4x4, two at each other size, the last image's colours
        self.w_count = 2 * len(self.sizes)
        into = 0
        for i, size in enumerate(self.sizes):
            out = min(of.channel_base // size, of.channel_max)
            self.add_module(f"b{size}", Block(into, out, size, max(2 * i - 1, 0), of))
            into = out

    def forward(self, ws: Tensor, noise: Noise, half: bool = False) -> Tensor:
        """ws float [n, w_count, w_dim] -> images float32 [n, img_channels, h, h], about -1 to 1.

        A block's colours share the next one's first w.

        half: compute the layers so that the file marks for half precision.
        """
        x: Any = None
        image: Any = None
        at = 0
        for size in self.sizes:
            block: Any = self.get_submodule(f"b{size}")
            x, image = block(x, image, ws[:, at : at + block.layers + 1], noise, half)
            at += block.layers
        return image


class Generator(nn.Module):
    """Both networks, as the files have them."""

    def __init__(self, of: Architecture) -> None:
        super().__init__()
        self.synthesis = Synthesis(of)
        self.mapping = Mapping(of)

    def truncated(self, w: Tensor, psi: float, cutoff: int | None) -> Tensor:
        """w [n, w_dim], once for every layer: [n, w_count, w_dim];
        that of the first `cutoff` layers (None: all) lies psi of the way from the mean to w.
        """
        near = w if psi == 1 else self.mapping.w_avg.lerp(w, psi)
        share = self.synthesis.w_count if cutoff is None else min(cutoff, self.synthesis.w_count)
        return torch.stack([near] * share + [w] * (self.synthesis.w_count - share), 1)
