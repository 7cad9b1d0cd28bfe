"""rosinality's stylegan2-pytorch files in the words of NVIDIA's:
the same network under other names, of the architecture "skip", without classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

WITHIN = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}
# the only one that its published files have
FILTER = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def is_rosinalitys(tensors: Mapping[str, Tensor]) -> bool:
    return "input.input" in tensors and "to_rgb1.conv.weight" in tensors


def translated(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """NVIDIA's settings and tensors; KeyError or ValueError where the file is not whole.

    Its files do not keep the mean of w: zeros.
    """
    found: dict[str, Tensor] = {"synthesis.b4.const": tensors["input.input"][0]}
    # style.0 is the normalisation
    depth = (
        1
        + max(
            int(match[1])
            for name in tensors
            if (match := re.fullmatch(r"style\.(\d+)\.weight", name))
        )
        - 1
    )
    for i in range(depth):
        found |= {
            f"mapping.fc{i}.{part}": tensors[f"style.{i + 1}.{part}"] for part in ("weight", "bias")
        }
    layers = {"conv1": ("b4", "conv1", 0), "to_rgb1": ("b4", "torgb", None)}
    blocks = 1 + max(
        (
            int(match[1])
            for name in tensors
            if (match := re.fullmatch(r"to_rgbs\.(\d+)\.bias", name))
        ),
        default=-1,
    )
    for i in range(blocks):
        size = f"b{8 * 2**i}"
        layers |= {
            f"convs.{2 * i}": (size, "conv0", 2 * i + 1),
            f"convs.{2 * i + 1}": (size, "conv1", 2 * i + 2),
            f"to_rgbs.{i}": (size, "torgb", None),
        }
    for name, (size, ours, place) in layers.items():
        for theirs, part in WITHIN.items():
            if f"{name}.{theirs}" in tensors:
                found[f"synthesis.{size}.{ours}.{part}"] = _shaped(
                    tensors[f"{name}.{theirs}"], part
                )
        if place is not None:
            found |= {
                f"synthesis.{size}.{ours}.noise_const": tensors[f"noises.noise_{place}"][0, 0],
                f"synthesis.{size}.{ours}.resample_filter": FILTER,
            }
        found[f"synthesis.{size}.resample_filter"] = FILTER
    width = tensors["style.1.weight"].shape[1]
    found["mapping.w_avg"] = torch.zeros(width)
    base = found[f"synthesis.b{4 * 2**blocks}.conv1.weight"].shape[0] * 4 * 2**blocks
    settings = {
        "z_dim": width,
        "c_dim": 0,
        "w_dim": width,
        "img_resolution": 4 * 2**blocks,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": depth},
        "synthesis_kwargs": {
            "channel_base": max(base, 16384),
            "channel_max": found["synthesis.b4.const"].shape[0],
            "architecture": "skip",
        },
    }
    return settings, found


def _shaped(tensor: Tensor, part: str) -> Tensor:
    """A layer's weight without its first axis of 1, a strength without axes, a bias as [c]."""
    if part == "weight":
        return tensor[0]
    return (
        tensor.reshape(())
        if part == "noise_strength"
        else tensor.flatten()
        if part == "bias"
        else tensor
    )
