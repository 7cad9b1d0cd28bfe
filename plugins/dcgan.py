"""A class-conditional convolutional GAN, small enough to be trained on a laptop;
it reads the generators of pytorch/examples too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import genbench
from genbench_plugins._dcgan import LATENT, Example, nets_for, nets_of
from genbench_plugins._dcgan_losses import RULES, Loss
from genbench_plugins._small import CLASSES, count, descend, enlarge, follow, settle, shrink

# the generator that is saved follows the trained one by this share a step
RATE, MEMORY = 5e-4, 0.005
EXAMPLES = "main.0.weight"  # a tensor that pytorch/examples' files have, and ours have not


class DCGAN:
    """Radford, Metz and Chintala's family of generators, told the class."""

    range = (-1.0, 1.0)
    paper = (
        "Radford, Metz & Chintala 2016, Unsupervised representation learning with deep "
        "convolutional GANs, arXiv:1511.06434"
    )
    licence = "MIT"
    pretrained_on = ("digits",)
    checkpoints: ClassVar = {
        "digits": {"file": "weights/dcgan-digits.safetensors", "licence": "MIT"}
    }
    spaces = ("z",)
    training: ClassVar = {"epochs": 400, "batch": 64}

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        loss: Annotated[
            Loss, "of training: hinge, least squares, or Wasserstein with a gradient penalty"
        ] = "hinge",
    ) -> None:
        self.rule, self.device, self.trained = RULES[loss], device, checkpoint is not None
        self.small = dataset is None or dataset.name.partition("-")[0] == "digits"
        self.classes_there = CLASSES if dataset is None else len(dataset.classes)
        self.example: Example | None = None
        # none before training has seen how large the images are
        self.nets: nn.ModuleDict | None = None
        if checkpoint is not None:
            self.read(checkpoint)
        elif self.small:
            self.nets = self.initial(0, 1).to(device)

    def read(self, checkpoint: Path) -> None:
        """The networks in a file: ours, or the generator of pytorch/examples."""
        tensors = genbench.load_checkpoint(checkpoint)
        try:
            if EXAMPLES in tensors:
                self.example = Example(tensors)
                self.example.load_state_dict(tensors)
                self.example.to(self.device).eval().requires_grad_(False)
            else:
                self.nets = nets_of(tensors)
                self.nets.load_state_dict(tensors)
                self.nets.to(self.device)
                self.small = "generator.refine.weight" in tensors
        except (KeyError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise genbench.UserError(
                f"checkpoint {checkpoint} is another network's: neither dcgan's nor "
                f"pytorch/examples' ({why[:160]})"
            ) from None

    @staticmethod
    def classes(checkpoint: Path) -> int:
        tensors = genbench.load_checkpoint(checkpoint)
        return 0 if EXAMPLES in tensors else len(tensors.get("generator.embedding.weight", ()))

    def initial(self, side: int, channels: int) -> nn.ModuleDict:
        wrap = spectral_norm if self.rule.normalised else lambda layer: layer
        return nets_for(side, channels, self.classes_there, wrap, self.small)

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
        if self.example:
            return self.example(latents)
        if self.nets is None:
            raise genbench.UserError(
                "dcgan has weights for digits alone: genbench train --plugin dcgan --dataset NAME "
                "--out FILE, then --checkpoint FILE"
            )
        images = self.nets["generator"](latents, labels)
        return enlarge(images) if self.small else images

    @genbench.hookimpl
    def train(
        self,
        batches: Collection[tuple[Tensor, Tensor]],
        seed: int,
        diffaug: Callable[[Tensor], Tensor] | None,
        late: Callable[[], bool] | None,
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        if self.example:
            raise genbench.UserError(
                "dcgan cannot train pytorch/examples' files on: they have no discriminator"
            )
        torch.manual_seed(seed)
        # the discriminator never sees an image but through it
        shown = diffaug or (lambda images: images)
        if not self.trained and self.small:
            self.nets = self.initial(0, 1).to(self.device)
        maker: Any = None
        for step, (images, labels) in enumerate(batches, 1):
            real = shrink(images) if self.small else self.grey(images)
            if maker is None:
                self.nets = self.nets or self.initial(real.shape[-1], real.shape[1]).to(self.device)
                average, judge = self.nets["generator"], self.nets["discriminator"]
                maker = copy.deepcopy(average)
                makes, judges = (
                    torch.optim.Adam(net.parameters(), RATE, betas=(0.0, 0.99))
                    for net in (maker, judge)
                )
            if late and late():
                # the discriminator learns on, or it could not tell how the rest should change
                settle(maker, *maker.last)
            fake = maker(torch.randn(len(real), LATENT, device=self.device), labels)
            judged = self.rule.discriminator(
                lambda x, judge=judge, of=labels: judge(x, of), shown(real), shown(fake.detach())
            )
            descend(judges, judged)
            told = {"loss": judged.item()}
            if step % self.rule.turns == 0:
                made = self.rule.generator(judge(shown(fake), labels))
                descend(makes, made)
                told["generator"] = made.item()
                follow(average, maker, max(MEMORY, self.rule.turns / step))
            yield step, len(batches), told

    def grey(self, images: Tensor) -> Tensor:
        """Images uint8 [n, 3, h, w] -> float -1 to 1, of one channel where the network has one,
        or where there is none yet and all three are equal.
        """
        made: Any = self.nets["generator"] if self.nets else None
        one = made.paint.out_channels == 1 if made else bool((images == images[:, :1]).all())
        return (images[:, :1] if one else images).float() / 127.5 - 1

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        net = self.example or self.nets
        if net is None:
            raise genbench.UserError("dcgan has no networks yet: train it first")
        return net.state_dict()

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        net = self.example or (self.nets["generator"] if self.nets else None)
        return {"parameters": count(net) if net else 0, "evaluations": 1}
