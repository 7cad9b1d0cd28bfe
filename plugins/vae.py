"""A class-conditional variational autoencoder on the digits' 8x8 pixels: the quickest of the reference generators to train, and the blurriest."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genbench
from genbench_plugins._small import CLASSES, SIDE, count, descend, enlarge, restore, shrink

LATENT, WIDTH = 16, 256
VARIANCE = 0.02  # of the Gaussian p(x|z) around each pixel; smaller is sharper, and the prior fits the codes less well
RATE = 2e-3


def perceptron(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, out))


class Autoencoder(nn.Module):
    """q(z|x, y) and the mean of p(x|z, y), two perceptrons that are told the class y."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = perceptron(SIDE * SIDE + CLASSES, 2 * LATENT)
        self.decoder = perceptron(LATENT + CLASSES, SIDE * SIDE)

    def encode(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of z, both [n, 16]."""
        mean, log_variance = self.encoder(torch.cat([x.flatten(1), F.one_hot(labels, CLASSES)], 1)).chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Tensor, labels: Tensor) -> Tensor:
        """Images [n, 1, 8, 8] in -1 to 1."""
        pixels = self.decoder(torch.cat([z, F.one_hot(labels, CLASSES)], 1))
        return torch.tanh(pixels).view(-1, 1, SIDE, SIDE)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The negative of the evidence lower bound per image up to a constant: eq. 10 of the paper, with one draw of z."""
        mean, log_variance = self.encode(x, labels)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)  # the reparameterisation, eq. 4
        reconstruction = (x - self.decode(z, labels)).square().sum() / (2 * VARIANCE)
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum() / 2  # KL(q || N(0, 1)), appendix B
        return (reconstruction + divergence) / len(x)


class VAE:
    """Kingma and Welling's autoencoder, told the class."""

    range = (-1.0, 1.0)
    classes = CLASSES
    resolution = 32
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114"
    licence = "MIT"
    pretrained_on = ("digits",)
    checkpoints: ClassVar = {"digits": {"file": "weights/vae-digits.safetensors", "licence": "MIT"}}
    spaces = ("z",)
    training: ClassVar = {"epochs": 200, "batch": 64}

    def __init__(self, checkpoint: Path | None = None, device: Any = "cpu") -> None:
        self.net = Autoencoder()
        self.device = device
        self.trained = checkpoint is not None
        restore(self.net, checkpoint, device)

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        return self.synthesize(self.latents(seeds), labels)

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        return genbench.noise(seeds, (LATENT,), device=self.device)

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor) -> Tensor:
        return enlarge(self.net.decode(latents, labels))

    @genbench.hookimpl
    def train(self, batches: Collection[tuple[Tensor, Tensor]], seed: int) -> Iterator[tuple[int, int, dict[str, float]]]:
        torch.manual_seed(seed)
        if not self.trained:
            self.net = Autoencoder().to(self.device)
        optimiser = torch.optim.Adam(self.net.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
        for step, (images, labels) in enumerate(batches, 1):
            loss = self.net.loss(shrink(images), labels)
            descend(optimiser, loss)
            schedule.step()
            yield step, len(batches), {"loss": loss.item()}

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        return self.net.state_dict()

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": count(self.net.decoder), "evaluations": 1}
