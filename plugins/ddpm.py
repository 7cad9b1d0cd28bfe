"""A class-conditional denoising diffusion model on the digits' 8x8 pixels, sampled by DDIM or,
with eta 1, as it was trained; it reads public ones too.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genbench
from genbench_plugins._ddpm_files import read
from genbench_plugins._ddpm_foreign import STEPS, Foreign, Sampler, Sampling
from genbench_plugins._ddpm_samplers import Skip
from genbench_plugins._small import (
    CLASSES,
    SIDE,
    count,
    descend,
    enlarge,
    follow,
    restore,
    settle,
    shrink,
)

TIMES = 250  # T
# The cosine schedule (Nichol & Dhariwal 2021, eq. 17): small images lose their content early in a
# linear one. It stops short of 0, where an image is undefined.

# [T + 1]; [0] is the image itself
ALPHA_BAR = torch.cos(torch.linspace(0, 0.98, TIMES + 1) * math.pi / 2).square()
WIDTH, SIGNAL = 56, 128
HELP = {
    "steps": (
        f"of the sampler, 1 to T ({TIMES} for the digits); none: {STEPS}, "
        "and T of ancestral sampling"
    ),
    "eta": "of DDIM: 0 is deterministic; 1 has the variance of ancestral sampling",
    "sampler": (
        "of a public checkpoint; auto: its own code's, ancestral of pytorch-ddpm and "
        "CBDM, DDIM of ddim"
    ),
    "variance": (
        "of ancestral sampling of a public checkpoint: beta or beta-tilde; file: "
        "what its flagfile says"
    ),
    "skip": "which times of a public checkpoint are taken, as ddim's runner names them",
    "w": (
        "guidance of a public class-conditional checkpoint, CBDM's omega: (1 + w) eps(x, "
        "y) - w eps(x); 0 is none"
    ),
}
RATE, MEMORY = 2e-3, 0.002  # the network that is saved follows the trained one by this share a step


class Block(nn.Module):
    """A residual block of two convolutions; the signal (time and class) scales and shifts
    between them.
    """

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, into), nn.SiLU(), nn.Conv2d(into, out, 3, 1, 1))
        self.norm = nn.GroupNorm(8, out)
        self.signal = nn.Linear(SIGNAL, 2 * out)
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(0.3), nn.Conv2d(out, out, 3, 1, 1))
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        scale, shift = self.signal(signal)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.second(self.norm(self.first(x)) * (1 + scale) + shift)


class UNet(nn.Module):
    """The noise in x_t, given t and the class: 8x8 -> 4x4 -> 8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, SIGNAL)
        self.time = nn.Sequential(nn.Linear(32, SIGNAL), nn.SiLU(), nn.Linear(SIGNAL, SIGNAL))
        self.start = nn.Conv2d(1, WIDTH, 3, 1, 1)
        self.down = Block(WIDTH, WIDTH)
        self.below = nn.ModuleList([Block(WIDTH, 2 * WIDTH), Block(2 * WIDTH, 2 * WIDTH)])
        self.up = Block(3 * WIDTH, WIDTH)
        self.end = nn.Sequential(nn.GroupNorm(8, WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, 1, 3, 1, 1))

    def forward(
        self, x: Tensor, times: Tensor, labels: Tensor, hint: Tensor | float = 0.0
    ) -> Tensor:
        """hint [n, SIGNAL]: what was done to an image in training; at sampling nothing was."""
        angles = (
            times[:, None]
            / TIMES
            * 1000
            * torch.exp(torch.arange(16, device=x.device) * (-math.log(10000) / 16))
        )
        signal = F.silu(
            self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.embedding(labels) + hint
        )
        high = self.down(self.start(x), signal)
        low = F.avg_pool2d(high, 2)
        for block in self.below:
            low = block(low, signal)
        return self.end(self.up(torch.cat([high, F.interpolate(low, scale_factor=2.0)], 1), signal))


class DDPM:
    """Ho, Jain and Abbeel's diffusion, told the class, with Song, Meng and Ermon's sampler."""

    range = (-1.0, 1.0)
    paper = (
        "Ho, Jain & Abbeel 2020, arXiv:2006.11239; sampled as in Song, Meng & Ermon 2021, "
        "arXiv:2010.02502"
    )
    licence = "MIT; public checkpoints their own"
    pretrained_on = ("digits",)
    checkpoints: ClassVar = {
        "digits": {"file": "weights/ddpm-digits.safetensors", "licence": "MIT"},
        # genbench train --imbalance 50 --steps 2800
        "digits-lt-ir50": {"file": "weights/ddpm-digits-lt-ir50.safetensors", "licence": "MIT"},
    }
    spaces = ("z",)
    training: ClassVar = {"epochs": 450, "batch": 64}

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        steps: Annotated[int | None, HELP["steps"]] = None,
        eta: Annotated[float, HELP["eta"]] = 0.0,
        sampler: Annotated[Sampler, HELP["sampler"]] = "auto",
        variance: Annotated[Literal["file", "fixedlarge", "fixedsmall"], HELP["variance"]] = "file",
        skip: Annotated[Skip, HELP["skip"]] = "uniform",
        w: Annotated[float, HELP["w"]] = 0.0,
    ) -> None:
        if not 0 <= eta <= 1:
            raise genbench.UserError(
                f"ddpm's eta runs from 0 (DDIM) to 1 (ancestral sampling), not {eta:g}"
            )
        if not 0 <= w < math.inf:
            raise genbench.UserError(
                f"ddpm's guidance w runs from 0, not guided, upwards; it cannot be {w:g}"
            )
        if steps is not None and steps < 1:
            raise genbench.UserError(
                f"ddpm cannot sample in {steps} steps; choose -o steps=1 or more"
            )
        self.device, self.trained = device, checkpoint is not None
        found = None if checkpoint is None else read(checkpoint)
        self.foreign: Foreign | None = None
        if found is not None and checkpoint is not None:
            self.foreign = Foreign(
                *found, Sampling(steps, eta, sampler, variance, skip, w), checkpoint, device
            )
            return
        for name, value, own in (
            ("sampler", sampler, "auto"),
            ("variance", variance, "file"),
            ("skip", skip, "uniform"),
            ("w", w, 0),
        ):
            if value != own:
                raise genbench.UserError(
                    f"-o {name}={value} is for public checkpoints; this one is genbench's own, "
                    f"for which leave it {own}"
                )
        if steps is not None and steps > TIMES:
            raise genbench.UserError(
                f"ddpm was trained with {TIMES} steps and cannot sample in {steps}; "
                f"choose -o steps=1 to {TIMES}"
            )
        self.steps, self.eta = steps or STEPS, eta
        self.net = UNet()
        restore(self.net, checkpoint, device)
        self.net.eval()

    @staticmethod
    def beside(checkpoint: Path) -> list[Path]:
        """The flagfile of CBDM's code, the YAML of ddim's; a file of our own has its
        settings in it.
        """
        from genbench_plugins._ddpm_files import FLAGS, PARTS

        near = [
            one
            for one in sorted(checkpoint.parent.iterdir())
            if one.name == FLAGS or one.suffix in (".yml", ".yaml")
        ]
        names = (
            {
                name.removeprefix("module.")
                for name in genbench.load_checkpoint(checkpoint, parts=PARTS)
            }
            if near
            else set()
        )
        if "time_embedding.timembedding.0.weight" in names:
            return [one for one in near if one.name == FLAGS]
        theirs = [one for one in near if one.name != FLAGS and "temb.dense.0.weight" in names]
        return [one for one in theirs if one.stem == "config"] or theirs

    @staticmethod
    def classes(checkpoint: Path) -> int:
        found = read(checkpoint)
        return CLASSES if found is None else len(found[1].get("labels.weight", ()))

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        return self.synthesize(self.latents(seeds), labels, seeds)

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        return genbench.noise(
            seeds, self.foreign.shape if self.foreign else (1, SIDE, SIDE), device=self.device
        )

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor, seeds: Tensor) -> Tensor:
        if self.foreign:
            return self.foreign.synthesize(latents, labels, seeds)
        x = latents
        # T ... 0
        path = [math.ceil(TIMES * left / self.steps) for left in range(self.steps, -1, -1)]
        for step, (time, earlier) in enumerate(itertools.pairwise(path), 1):
            x, sigma = self.move(x, time, earlier, labels)
            if sigma > 0:
                x = x + sigma * genbench.noise(
                    seeds, (1, SIDE, SIDE), stream=step, device=self.device
                )
        return enlarge(x.clamp(-1, 1))

    def move(self, x: Tensor, time: int, earlier: int, labels: Tensor) -> tuple[Tensor, float]:
        """One step of DDIM from x_time to an earlier one, and the deviation of the noise that
        belongs on top (Song et al. 2021, eqs. 12 and 16).
        """
        here, there = ALPHA_BAR[time].item(), ALPHA_BAR[earlier].item()
        sigma = self.eta * math.sqrt((1 - there) / (1 - here) * (1 - here / there))
        predicted = self.net(x, torch.full((len(x),), time, device=x.device), labels)
        image = ((x - math.sqrt(1 - here) * predicted) / math.sqrt(here)).clamp(-1, 1)
        # what the clamped image leaves as noise
        predicted = (x - math.sqrt(here) * image) / math.sqrt(1 - here)
        return math.sqrt(there) * image + math.sqrt(1 - there - sigma**2) * predicted, sigma

    @genbench.hookimpl
    def train(
        self,
        batches: Collection[tuple[Tensor, Tensor]],
        seed: int,
        karras: Callable[[Tensor], tuple[Tensor, Tensor]] | None,
        late: Callable[[], bool] | None,
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        if self.foreign:
            raise genbench.UserError("ddpm cannot train public checkpoints on, only its own")
        torch.manual_seed(seed)
        if not self.trained:
            self.net = UNet().to(self.device).eval()
        learner = copy.deepcopy(self.net).train()
        # Without bias, so that it says 0 of an image to which nothing was done, and
        # need not be kept
        teller = nn.Linear(9, SIGNAL, bias=False).to(self.device) if karras else None
        optimiser = torch.optim.Adam(
            [*learner.parameters(), *(teller.parameters() if teller else ())], RATE
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, RATE, total_steps=len(batches), pct_start=0.1
        )
        for step, (images, labels) in enumerate(batches, 1):
            if late and late():
                settle(learner, "embedding", "up", "end")
            x, done = karras(shrink(images)) if karras else (shrink(images), None)
            loss = self.loss(learner, x, labels, teller(done) if teller else 0.0)
            descend(optimiser, loss)
            schedule.step()
            follow(self.net, learner, max(MEMORY, 1 / step))
            yield step, len(batches), {"loss": loss.item()}

    def loss(self, net: UNet, x: Tensor, labels: Tensor, hint: Tensor | float = 0.0) -> Tensor:
        """Eq. 14 of Ho et al.: the squared error of the predicted noise at a uniformly
        drawn time.
        """
        times = torch.randint(1, TIMES + 1, (len(x),), device=x.device)
        share = ALPHA_BAR.to(x.device)[times][:, None, None, None]
        noise = torch.randn_like(x)
        return F.mse_loss(
            net(share.sqrt() * x + (1 - share).sqrt() * noise, times, labels, hint), noise
        )

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        if self.foreign:
            return self.foreign.state()
        # half the bytes; reading back is exact
        return {name: tensor.half() for name, tensor in self.net.state_dict().items()}

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        if self.foreign:
            return {
                "parameters": count(self.foreign.net),
                "evaluations": self.foreign.evaluations(),
            }
        return {"parameters": count(self.net), "evaluations": self.steps}
