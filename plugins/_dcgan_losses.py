"""The losses of a GAN, by name: of the discriminator on real and generated images,
and of the generator on what the discriminator says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Literal["hinge", "lsgan", "wgan-gp"]
Score = Callable[[Tensor], Tensor]  # images of known classes -> the discriminator's scores [n]


@dataclass(frozen=True)
class Rule:
    """discriminator(score, real, fake), generator(scores of fakes) -> a loss; turns:
    steps of the discriminator to one of the generator.
    """

    discriminator: Callable[[Score, Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    turns: int = 1
    normalised: bool = True  # whether the discriminator's layers are spectrally normalised


def _hinge(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """Lim & Ye 2017; Miyato et al. 2018, eqs. 16 and 17."""
    return F.relu(1 - score(real)).mean() + F.relu(1 + score(fake)).mean()


def _least_squares(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, eq. 9: a = 0, b = c = 1."""
    return ((score(real) - 1).square().mean() + score(fake).square().mean()) / 2


def _wasserstein(score: Score, real: Tensor, fake: Tensor) -> Tensor:
    """Gulrajani et al. 2017, eq. 3, with a penalty of 10."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    return (
        score(fake).mean()
        - score(real).mean()
        + 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    )


RULES: dict[str, Rule] = {
    "hinge": Rule(_hinge, lambda scores: -scores.mean()),
    "lsgan": Rule(_least_squares, lambda scores: (scores - 1).square().mean() / 2),
    "wgan-gp": Rule(_wasserstein, lambda scores: -scores.mean(), turns=5, normalised=False),
}
