"""Schedules, paths and steps of the published diffusion samplers,
in alpha-bar (Ho et al. 2020; Song, Meng & Ermon 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Variance = Literal["fixedlarge", "fixedsmall"]
Skip = Literal["uniform", "quad"]

# The schedules of ddim's get_beta_schedule, (first, last, T) -> beta float64 [T]; the other codes
# have the linear one alone
SCHEDULES: dict[str, Callable[[float, float, int], Tensor]] = {
    "linear": lambda first, last, steps: torch.linspace(first, last, steps, dtype=torch.float64),
    "quad": lambda first, last, steps: torch.linspace(
        first**0.5, last**0.5, steps, dtype=torch.float64
    ).square(),
    "const": lambda first, last, steps: torch.full((steps,), last, dtype=torch.float64),
    "jsd": lambda first, last, steps: 1 / torch.linspace(steps, 1, steps, dtype=torch.float64),
    "sigmoid": lambda first, last, steps: (
        torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid() * (last - first) + first
    ),
}


def alpha_bars(betas: Tensor) -> list[float]:
    """The share of the image's variance in x at each time, T + 1 numbers:
    [0] is the image itself, [t + 1] belongs to the network's time t.
    """
    return [1.0, *(1 - betas).cumprod(0).tolist()]


def path(times: int, steps: int, skip: Skip) -> list[int]:
    """The network's times of a sampling in so many steps, falling, as ddim's runner takes them.

    uniform: every (T // steps)-th from 0 on, which are more than `steps` where it does not divide
    T; quad: squares from 0 to .8 T.
    """
    if skip == "uniform":
        return list(range(0, times, times // steps))[::-1]
    # by numpy: its rounding decides some of them
    return [int(square) for square in np.linspace(0, math.sqrt(0.8 * times), steps) ** 2][::-1]


def ddim(x: Tensor, eps: Tensor, here: float, there: float, eta: float) -> tuple[Tensor, float]:
    """From alpha-bar `here` to `there`: the mean, and the deviation of the noise on top (Song et
    al., eqs. 12 and 16).

    The image is not clipped on the way.
    """
    sigma = eta * math.sqrt((1 - there) / (1 - here) * (1 - here / there))
    return math.sqrt(there) * image_of(x, eps, here) + math.sqrt(1 - there - sigma**2) * eps, sigma


def ancestral(
    x: Tensor, eps: Tensor, here: float, there: float, variance: Variance, clips: bool
) -> tuple[Tensor, float]:
    """From alpha-bar `here` to `there` as q(x_there | x_here, image) says (Ho et al., eqs. 6 and
    7): the mean, and the deviation of the noise on top.

    fixedlarge: beta; fixedsmall: beta-tilde. The last step adds none. clips: the image is kept in
    -1 to 1 (ddim's code; w86763777's and CBDM's clip a copy that they do not use).
    """
    beta = 1 - here / there
    image = image_of(x, eps, here)
    mean = (
        math.sqrt(there) * beta / (1 - here) * (image.clamp(-1, 1) if clips else image)
        + math.sqrt(1 - beta) * (1 - there) / (1 - here) * x
    )
    small = beta * (1 - there) / (1 - here)
    return mean, math.sqrt(0.0 if there == 1 else beta if variance == "fixedlarge" else small)


def image_of(x: Tensor, eps: Tensor, here: float) -> Tensor:
    """The image that x is, if eps is its noise."""
    return (x - math.sqrt(1 - here) * eps) / math.sqrt(here)
