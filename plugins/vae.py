"""A class-conditional variational autoencoder on the digits' 8x8 pixels,
the blurriest of the reference generators; and pytorch/examples' for MNIST.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

import genbench
from genbench_plugins._small import (
    CLASSES,
    Painter,
    count,
    descend,
    enlarge,
    restore,
    settle,
    shrink,
)

LATENT, CHANNELS = 6, 64
# of the Gaussian p(x|z) around each pixel; smaller is sharper, and the prior fits the
# codes less well
VARIANCE = 0.06
RATE = 2e-3


class Autoencoder(nn.Module):
    """q(z|x, y), the mean of p(x|z, y), and the prior p(z|y):
    a Gaussian for each class, learned with the rest (as in Sohn, Lee & Yan 2015).
    """

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(1, CHANNELS, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.code = nn.Linear(CHANNELS * 4 * 4 + CLASSES, 2 * LATENT)
        self.decoder = Painter(LATENT)
        self.centre = nn.Parameter(torch.zeros(CLASSES, LATENT))
        self.spread = nn.Parameter(torch.zeros(CLASSES, LATENT, LATENT))

    def encode(self, x: Tensor, labels: Tensor) -> MultivariateNormal:
        """q(z|x, y), with independent dimensions."""
        mean, deviation = self.code(torch.cat([self.look(x), F.one_hot(labels, CLASSES)], 1)).chunk(
            2, 1
        )
        return MultivariateNormal(mean, scale_tril=deviation.exp().diag_embed())

    def prior(self, labels: Tensor) -> MultivariateNormal:
        """p(z|y), whose root of the covariance is lower triangular with a positive diagonal."""
        root = self.spread.tril(-1) + self.spread.diagonal(dim1=1, dim2=2).exp().diag_embed()
        return MultivariateNormal(self.centre[labels], scale_tril=root[labels])

    def decode(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Standard normal noise -> its place under the prior -> images [n, 1, 8, 8]."""
        prior = self.prior(labels)
        return self.decoder(prior.loc + (prior.scale_tril @ noise[:, :, None])[:, :, 0], labels)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The negative of the evidence lower bound per image up to a constant:
        eq. 7 of the paper, with one draw of z.
        """
        posterior = self.encode(x, labels)
        z = posterior.rsample()  # the reparameterisation, section 2.4
        reconstruction = (x - self.decoder(z, labels)).square().sum((1, 2, 3)) / (2 * VARIANCE)
        return (reconstruction + kl_divergence(posterior, self.prior(labels))).mean()


class Example(nn.Module):
    """The decoder of pytorch/examples' VAE, [n, 20] -> [n, 1, 28, 28] in -1 to 1;
    it knows no classes.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        (inner, self.latent), (pixels, _) = tensors["fc3.weight"].shape, tensors["fc4.weight"].shape
        self.side = math.isqrt(pixels)
        self.fc3, self.fc4 = nn.Linear(self.latent, inner), nn.Linear(inner, pixels)
        self.load_state_dict(
            {name: tensor for name, tensor in tensors.items() if name.startswith(("fc3.", "fc4."))}
        )

    def forward(self, noise: Tensor) -> Tensor:
        return (
            2 * torch.sigmoid(self.fc4(F.relu(self.fc3(noise)))).view(-1, 1, self.side, self.side)
            - 1
        )


class VAE:
    """Kingma and Welling's autoencoder, told the class. The latent space z is the standard normal
    noise behind the class's prior.
    """

    range = (-1.0, 1.0)
    paper = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114"
    licence = "MIT"
    pretrained_on = ("digits",)
    checkpoints: ClassVar = {"digits": {"file": "weights/vae-digits.safetensors", "licence": "MIT"}}
    spaces = ("z",)
    training: ClassVar = {"epochs": 250, "batch": 64}

    def __init__(self, checkpoint: Path | None = None, device: Any = "cpu") -> None:
        self.net, self.device, self.trained = Autoencoder(), device, checkpoint is not None
        self.example = (
            _example(checkpoint).to(device)
            if checkpoint is not None and _is_example(checkpoint)
            else None
        )
        if self.example is None:
            restore(self.net, checkpoint, device)

    @staticmethod
    def classes(checkpoint: Path) -> int:
        return 0 if _is_example(checkpoint) else CLASSES

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        return self.synthesize(self.latents(seeds), labels)

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        return genbench.noise(
            seeds, (self.example.latent if self.example else LATENT,), device=self.device
        )

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.example(latents) if self.example else enlarge(self.net.decode(latents, labels))

    @genbench.hookimpl
    def reconstruct(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """The decoder of the posterior's mean; pytorch/examples' file is read for its
        decoder alone.
        """
        return (
            None
            if self.example
            else enlarge(self.net.decoder(self.net.encode(shrink(images), labels).mean, labels))
        )

    @genbench.hookimpl
    def train(
        self, batches: Collection[tuple[Tensor, Tensor]], seed: int, late: Callable[[], bool] | None
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        if self.example:
            raise genbench.UserError(
                "vae trains its own network, not pytorch/examples': leave out --init"
            )
        torch.manual_seed(seed)
        if not self.trained:
            self.net = Autoencoder().to(self.device)
        optimiser = torch.optim.Adam(self.net.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
        for step, (images, labels) in enumerate(batches, 1):
            if late and late():
                settle(
                    self.net,
                    "centre",
                    "spread",
                    *(f"decoder.{name}" for name in self.net.decoder.last),
                )
            loss = self.net.loss(shrink(images), labels)
            descend(optimiser, loss)
            schedule.step()
            yield step, len(batches), {"loss": loss.item()}

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        return (self.example or self.net).state_dict()

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": count(self.example or self.net.decoder), "evaluations": 1}


def _is_example(checkpoint: Path) -> bool:
    """Whether a file has the layers of pytorch/examples' decoder."""
    return "fc4.weight" in genbench.load_checkpoint(checkpoint)


def _example(checkpoint: Path) -> Example:
    try:
        return Example(genbench.load_checkpoint(checkpoint))
    except (KeyError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:160]
        raise genbench.UserError(
            f"checkpoint {checkpoint} is not pytorch/examples' VAE: {why}"
        ) from None
