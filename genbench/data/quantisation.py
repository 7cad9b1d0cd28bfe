"""Quantise float images to 8 bits, in each of the published ways."""

from __future__ import annotations

from genbench._util.lazy_imports import torch


def to_uint8(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Float images in low .. high to uint8, rounded to the nearest of 256 levels;
    values outside are clipped.
    """
    return ((images - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)


def _truncated(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """As guided diffusion's and BigGAN's codes do: the fraction is cut off,
    half a grey level darker than rounding on average.
    """
    return ((images - low) * (255 / (high - low))).clamp(0, 255).to(torch.uint8)


def _unquantised(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """As BigGAN-PyTorch's code does: float32 on a scale of 0 to 255,
    neither rounded nor clipped.
    """
    return (images - low) * (255 / (high - low))


QUANTISE = {"round": to_uint8, "truncate": _truncated, "none": _unquantised}
