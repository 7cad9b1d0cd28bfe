"""Uniform noise: the lower bound that every generator must beat."""

from __future__ import annotations

import torch

import genbench

resolution = 32
licence = "MIT"


@genbench.hookimpl
def sample(n: int, seeds: torch.Tensor) -> torch.Tensor:
    return (genbench.uniform(seeds, (3, resolution, resolution)) * 256).to(torch.uint8)


@genbench.hookimpl
def cost() -> dict[str, float]:
    return {"parameters": 0, "evaluations": 0}
