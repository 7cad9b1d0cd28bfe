"""A public diffusion model, sampled as its own code does it or by DDIM."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import genbench
from genbench_plugins._ddpm_files import KINDS, SETTINGS, Settings, packed
from genbench_plugins._ddpm_samplers import (
    SCHEDULES,
    Skip,
    Variance,
    alpha_bars,
    ancestral,
    ddim,
    path,
)
from genbench_plugins._ddpm_unet import filled

Sampler = Literal["auto", "ddim", "ancestral"]
OWN = {"pytorch-ddpm": "ancestral", "ddim": "ddim"}  # the sampler of a code
STEPS = 50  # of DDIM, unless told otherwise; ancestral sampling takes all T


@dataclass(frozen=True)
class Sampling:
    """The options that a public model is sampled with."""

    steps: int | None = None
    eta: float = 0.0
    sampler: Sampler = "auto"
    variance: Literal["file"] | Variance = "file"
    skip: Skip = "uniform"
    w: float = 0.0


class Foreign:
    """A public network on its device."""

    def __init__(
        self,
        settings: Settings,
        tensors: dict[str, Tensor],
        chosen: Sampling,
        checkpoint: Path,
        device: Any,
    ) -> None:
        self.settings, self.chosen, self.device = settings, chosen, device
        try:
            self.net = filled(tensors, KINDS[settings.code], settings.size).to(device)
        except KeyError as error:
            raise genbench.UserError(f"checkpoint {checkpoint} lacks {error}") from None
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            why = " ".join(str(error).split())[:200]
            raise genbench.UserError(
                f"checkpoint {checkpoint} is no whole diffusion model for images of "
                f"{settings.size}x{settings.size}: {why}"
            ) from None
        times = len(self.net.times)
        self.sampler = OWN[settings.code] if chosen.sampler == "auto" else chosen.sampler
        steps = chosen.steps or (times if self.sampler == "ancestral" else min(STEPS, times))
        if steps > times:
            raise genbench.UserError(
                f"{checkpoint} was trained with {times} steps and cannot be sampled in {steps}; "
                f"choose -o steps=1 to {times}"
            )
        if chosen.w and self.net.labels is None:
            raise genbench.UserError(
                f"{checkpoint} knows no classes, so that nothing can be guided towards one: -o w=0"
            )
        self.bars = alpha_bars(
            SCHEDULES[settings.schedule](settings.beta_1, settings.beta_T, times)
        )
        self.path = path(times, steps, chosen.skip)
        self.shape = (self.net.start.in_channels, settings.size, settings.size)

    def synthesize(self, latents: Tensor, labels: Tensor | None, seeds: Tensor) -> Tensor:
        """Images [n, channels, size, size] in -1 to 1 of x_T;
        the noise of step k is stream k of an image's seed.
        """
        x = latents
        for step, (time, earlier) in enumerate(pairwise([*self.path, -1]), 1):
            x, sigma = self.move(x, self.noise_in(x, time, labels), time, earlier)
            if sigma > 0:
                x = x + sigma * genbench.noise(seeds, self.shape, stream=step, device=self.device)
        return x.clamp(-1, 1)

    def noise_in(self, x: Tensor, time: int, labels: Tensor | None) -> Tensor:
        """The noise that the network sees, guided away from what it sees without a class:
        (1 + w) eps(x, y) - w eps(x), CBDM's form.
        """
        times = torch.full((len(x),), time, device=x.device)
        eps = self.net(x, times, labels)
        return eps + self.chosen.w * (eps - self.net(x, times)) if self.chosen.w else eps

    def move(self, x: Tensor, eps: Tensor, time: int, earlier: int) -> tuple[Tensor, float]:
        """The mean of x at an earlier time (-1: the image),
        and the deviation of the noise on top.
        """
        here, there = self.bars[time + 1], self.bars[earlier + 1]
        if self.sampler == "ddim":
            return ddim(x, eps, here, there, self.chosen.eta)
        # ddim's code has the large variance alone, whatever its YAML says
        own: Any = self.settings.var_type if self.settings.code != "ddim" else "fixedlarge"
        return ancestral(
            x,
            eps,
            here,
            there,
            own if self.chosen.variance == "file" else self.chosen.variance,
            self.settings.code == "ddim",
        )

    def state(self) -> dict[str, Tensor]:
        return {**self.net.state_dict(), SETTINGS: packed(self.settings)}

    def evaluations(self) -> int:
        return len(self.path) * (2 if self.chosen.w else 1)
