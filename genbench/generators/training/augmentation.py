"""Augmentations for training on few images: DiffAugment for GANs,
Karras et al.'s non-leaking pipeline for diffusion models.

Numbers are drawn from torch's global generator of the images' device, which a training has seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import F, torch

if TYPE_CHECKING:
    from torch import Tensor

SHIFT, HOLE = 1 / 8, 1 / 2  # DiffAugment's translation and cutout, as shares of the side
SHARE = 0.12  # of the images that each transform of `karras` meets
# a standard deviation of its scale and anisotropy, and of its translation as a share of the side
STRETCH, MOVE = 2**0.2, 1 / 8
CONDITION = 9  # how many numbers say what `karras` did


def diffaug(x: Tensor) -> Tensor:
    """Images float [n, c, h, w] in -1 to 1, augmented and differentiable, of the same shape:
    for real and generated ones alike, before the discriminator.

    Zhao et al. (2020), the policy color, translation, cutout: brightness + U(-1/2, 1/2);
    saturation x U(0, 2); contrast x U(1/2, 3/2); shifted by up to 1/8 of each side over black (0,
    the middle grey); one square of half the side set to 0. Every image gets its own numbers.
    """
    return _cut_out(_shifted(_coloured(x)))


def _each(x: Tensor) -> Tensor:
    """A uniform number for each image, [n, 1, 1, 1]."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _coloured(x: Tensor) -> Tensor:
    x = x + _each(x) - 0.5
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * _each(x)) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (_each(x) + 0.5) + mean


def _places(x: Tensor, low: tuple[int, int], high: tuple[int, int]) -> list[Tensor]:
    """Of each image two whole numbers [n, 1], low to high inclusive, for rows and columns."""
    return [
        torch.randint(a, b + 1, (len(x), 1), device=x.device)
        for a, b in zip(low, high, strict=True)
    ]


def _sides(x: Tensor, share: float) -> tuple[int, int]:
    return int(x.shape[2] * share + 0.5), int(x.shape[3] * share + 0.5)


def _shifted(x: Tensor) -> Tensor:
    tall, wide = _sides(x, SHIFT)
    down, right = _places(x, (-tall, -wide), (tall, wide))
    rows, columns = (
        torch.arange(size, device=x.device) + by
        for size, by in zip(x.shape[2:], (down, right), strict=True)
    )
    inside = ((rows >= 0) & (rows < x.shape[2]))[:, None, :, None] & (
        (columns >= 0) & (columns < x.shape[3])
    )[:, None, None, :]
    image = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[
        image,
        rows.clamp(0, x.shape[2] - 1)[:, :, None],
        columns.clamp(0, x.shape[3] - 1)[:, None, :],
    ]
    return moved.permute(0, 3, 1, 2) * inside


def _cut_out(x: Tensor) -> Tensor:
    sides = _sides(x, HOLE)
    # centres as the original draws them: an even hole may lie half outside on either side
    centres = _places(x, (0, 0), (x.shape[2] - sides[0] % 2, x.shape[3] - sides[1] % 2))
    hits = []
    for size, side, centre in zip(x.shape[2:], sides, centres, strict=True):
        place = torch.arange(size, device=x.device)
        hits.append((place >= centre - side // 2) & (place < centre - side // 2 + side))
    return x * ~(hits[0][:, None, :, None] & hits[1][:, None, None, :])


def karras(x: Tensor) -> tuple[Tensor, Tensor]:
    """Images float [n, c, h, w] and what was done to each, float [n, 9]:
    a network that is told it does not leak it, and at sampling it is told 0.

    Karras et al. (2022), table 6, as CBDM takes it from k-diffusion: x-flip of every second image;
    y-flip, scale, rotation, anisotropy and translation each of 12 % of the images. Resampled once,
    bicubic, reflected at the border. The angles are of the whole circle, as in the paper;
    k-diffusion's early code draws half of it.
    """
    kind: dict[str, Any] = {"dtype": x.dtype, "device": x.device}

    def met() -> Tensor:
        return (torch.rand(len(x), **kind) < SHARE).to(x.dtype)

    def coin() -> Tensor:
        return torch.randint(2, (len(x),), device=x.device).to(x.dtype)

    def normal() -> Tensor:
        return torch.randn(len(x), **kind)

    def angle() -> Tensor:
        return (2 * torch.rand(len(x), **kind) - 1) * math.pi

    a0, a1, a2, a3 = coin(), coin() * met(), normal() * met(), angle() * met()
    both, moved = met(), met()
    a4, a5, a6, a7 = angle() * both, normal() * both, normal() * moved, normal() * moved
    stretch = _turn(a4) @ _diagonal(STRETCH**a5, STRETCH**-a5) @ _turn(-a4)
    linear = (
        _diagonal(1 - 2 * a0, 1 - 2 * a1)
        @ _diagonal(STRETCH**a2, STRETCH**a2)
        @ _turn(-a3)
        @ stretch
    )
    # a grid of torch counts half sides from the middle, columns first
    half = torch.tensor([x.shape[3] / 2, x.shape[2] / 2], **kind)
    shift = linear @ (2 * MOVE * torch.stack([a6, a7], 1) * half)[:, :, None]
    grid = F.affine_grid(
        torch.cat([linear * half / half[:, None], shift / half[:, None]], 2),
        list(x.shape),
        align_corners=False,
    )
    told = torch.stack(
        [a0, a1, a2, a3.cos() - 1, a3.sin(), a5 * a4.cos(), a5 * a4.sin(), a6, a7], 1
    )
    return F.grid_sample(
        x, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    ), told


def _diagonal(across: Tensor, down: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([across, down], 1))


def _turn(angle: Tensor) -> Tensor:
    """Rotations [n, 2, 2] by angles [n]."""
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)


# by the argument of the train hook that asks for it
KINDS: dict[str, Callable[..., Any]] = {"diffaug": diffaug, "karras": karras}
