"""Random weights in other codes' formats, the same on every machine:
each tensor from the hash of its name.

Run beside those codes, their images are kept in tests/data/foreign, so that ours can be compared
with them where they are not installed.
"""

from __future__ import annotations

import json
import math
import zlib

import numpy as np
import torch
from helpers.places import TESTS

import genbench

FOLDER = TESTS / "data/foreign"


def filled(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Tensors of these names and shapes; singular vectors of spectral norms are those of
    their weight.
    """
    made = {name: _drawn(name, shape) for name, shape in shapes.items()}
    for name in [name for name in made if name.endswith(".weight_u")]:
        stem = name.removesuffix(".weight_u")
        left, _, right = torch.linalg.svd(
            made[f"{stem}.weight_orig"].flatten(1), full_matrices=False
        )
        made |= {name: left[:, 0].contiguous(), f"{stem}.weight_v": right[0].contiguous()}
    return made


def _drawn(name: str, shape: list[int]) -> torch.Tensor:
    last = name.rpartition(".")[2]
    normal = genbench.noise(torch.tensor([zlib.crc32(name.encode())]), (math.prod(shape),))[
        0
    ].reshape(shape)
    if "var" in last:
        return normal.abs() + 0.5
    if last in ("num_batches_tracked", "accumulation_counter"):
        return torch.ones(shape)
    if last == "gamma":
        return torch.full(shape, 0.7)
    if last == "kernel":  # of the low-pass filter, with the gain of doubling
        return torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 16
    if last == "u0" or name.startswith("style") or "modulation" in name or len(shape) == 5:
        return normal  # weights that are scaled when they are used, and what is none
    return normal * (
        0.3 if "mean" in last else 0.5 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[1:]))
    )


def kept(name: str) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """The weights of a case and what the other code made of them:
    z, labels, images, and more by name.
    """
    with np.load(FOLDER / f"{name}.npz") as content:
        found = dict(content)
    return filled(json.loads(str(found.pop("shapes")))), found
