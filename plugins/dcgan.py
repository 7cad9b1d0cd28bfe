"""A class-conditional convolutional GAN on the digits' 8x8 pixels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import genbench
from genbench_plugins._small import CLASSES, Painter, count, descend, enlarge, follow, restore, shrink

LATENT, CHANNELS = 32, 64
RATE, MEMORY = 5e-4, 0.005  # the generator that is saved follows the trained one by this share a step


class Discriminator(nn.Module):
    """A score for an image and its class, by projection (Miyato & Koyama 2018); every layer spectrally normalised (Miyato et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            spectral_norm(nn.Conv2d(1, CHANNELS, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            spectral_norm(nn.Linear(CHANNELS * 4 * 4, CHANNELS)),
            nn.LeakyReLU(0.2),
        )
        self.judge = spectral_norm(nn.Linear(CHANNELS, 1))
        self.embedding = spectral_norm(nn.Embedding(CLASSES, CHANNELS))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        features = self.body(x)
        return self.judge(features)[:, 0] + (self.embedding(labels) * features).sum(1)


class DCGAN:
    """Radford, Metz and Chintala's family of generators, told the class, with the hinge loss."""

    range = (-1.0, 1.0)
    classes = CLASSES
    resolution = 32
    paper = "Radford, Metz & Chintala 2016, Unsupervised representation learning with deep convolutional GANs, arXiv:1511.06434"
    licence = "MIT"
    pretrained_on = ("digits",)
    checkpoints: ClassVar = {"digits": {"file": "weights/dcgan-digits.safetensors", "licence": "MIT"}}
    spaces = ("z",)
    training: ClassVar = {"epochs": 400, "batch": 64}

    def __init__(self, checkpoint: Path | None = None, device: Any = "cpu") -> None:
        self.nets = self.initial()
        self.device = device
        self.trained = checkpoint is not None
        restore(self.nets, checkpoint, device)

    def initial(self) -> nn.ModuleDict:
        """Both networks: the discriminator is saved too, so that training can go on."""
        return nn.ModuleDict({"generator": Painter(LATENT), "discriminator": Discriminator()})

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        return self.synthesize(self.latents(seeds), labels)

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        return genbench.noise(seeds, (LATENT,), device=self.device)

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor) -> Tensor:
        return enlarge(self.nets["generator"](latents, labels))

    @genbench.hookimpl
    def train(
        self, batches: Collection[tuple[Tensor, Tensor]], seed: int, diffaug: Callable[[Tensor], Tensor] | None
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        torch.manual_seed(seed)
        shown = diffaug or (lambda images: images)  # the discriminator never sees an image but through it
        if not self.trained:
            self.nets = self.initial().to(self.device)
        average, judge = self.nets["generator"], self.nets["discriminator"]
        maker = copy.deepcopy(average)
        makes, judges = (torch.optim.Adam(net.parameters(), RATE, betas=(0.0, 0.99)) for net in (maker, judge))
        for step, (images, labels) in enumerate(batches, 1):
            real = shrink(images)
            fake = maker(torch.randn(len(real), LATENT, device=self.device), labels)
            # The hinge losses (Lim & Ye 2017; Miyato et al. 2018, eqs. 16 and 17)
            judged = F.relu(1 - judge(shown(real), labels)).mean() + F.relu(1 + judge(shown(fake.detach()), labels)).mean()
            descend(judges, judged)
            made = -judge(shown(fake), labels).mean()
            descend(makes, made)
            follow(average, maker, max(MEMORY, 1 / step))
            yield step, len(batches), {"loss": judged.item(), "generator": made.item()}

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        return self.nets.state_dict()

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": count(self.nets["generator"]), "evaluations": 1}
