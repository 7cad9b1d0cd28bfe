"""What exported generators share, TorchScript and ONNX: latents as torch-fidelity's command line
names them, and the range of what comes out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import genbench

Noise = Literal["normal", "unit", "uniform_0_1"]
Output = Literal["infer", "-1..1", "0..1", "0..255"]
SIZE_HELP = "numbers in a latent vector"
NOISE_HELP = "of the latents; unit: uniform ones on 0..1 scaled to length 1, as torch-fidelity's"
CLASSES_HELP = "of a conditional network; none: as many as the data set has"
OUTPUT_HELP = "what the network's floats run over; infer: from 64 images, and said"
RANGES: dict[Output, tuple[float, float]] = {
    "-1..1": (-1.0, 1.0),
    "0..1": (0.0, 1.0),
    "0..255": (0.0, 255.0),
}
TRIED = 64  # images that the range is inferred from


class Exported:
    """A network of which nothing is known but that it is called with latents,
    and with labels where it is conditional.
    """

    range = (-1.0, 1.0)

    def __init__(
        self,
        net: Callable[..., Any],
        z_size: int,
        z_type: Noise,
        output: Output,
        device: Any,
        classes: int,
    ) -> None:
        """classes: 0 of an unconditional network."""
        self.net, self.z_size, self.z_type, self.device, self.conditional = (
            net,
            z_size,
            z_type,
            device,
            classes > 0,
        )
        seeds = torch.arange(TRIED, device=device)
        self.output = self.inferred(seeds, seeds % max(classes, 1)) if output == "infer" else output

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        images = self.called(seeds, labels)
        if not images.is_floating_point():
            return images
        low, high = RANGES[self.output]
        return (images.float() - low) / (high - low) * 2 - 1

    def called(self, seeds: Tensor, labels: Tensor) -> Tensor:
        """What the network makes of the latents of seeds, as it comes."""
        z = self.latent(seeds)
        images = self.net(z, labels) if self.conditional else self.net(z)
        if not isinstance(images, torch.Tensor):
            raise genbench.UserError(
                f"the network returned {type(images).__name__}, not a tensor of images"
            )
        return images

    def latent(self, seeds: Tensor) -> Tensor:
        if self.z_type == "normal":
            return genbench.noise(seeds, (self.z_size,), device=self.device)
        z = genbench.uniform(seeds, (self.z_size,), device=self.device)
        return F.normalize(z, dim=-1) if self.z_type == "unit" else z

    def inferred(self, seeds: Tensor, labels: Tensor) -> Output:
        """The narrowest usual range that holds a few images."""
        with torch.no_grad():
            images = self.called(seeds, labels)
        if not images.is_floating_point():
            return "0..255"
        low, high = float(images.min()), float(images.max())
        slack = 1e-3  # of float32 and half precision
        usual = (
            RANGES
            if low < -slack
            else {name: ends for name, ends in RANGES.items() if name != "-1..1"}
        )
        found = next(
            (
                name
                for name, (least, most) in usual.items()
                if least - slack <= low and high <= most + slack
            ),
            None,
        )
        if found is None:
            raise genbench.UserError(
                f"the network's images run from {low:.3g} to {high:.3g}, which is no usual range: "
                "clamp them in it, or say -o output=-1..1"
            )
        # a plugin has no other voice
        print(  # noqa: T201
            f"images from {low:.3g} to {high:.3g}: taken as {found} (-o output says otherwise)",
            file=sys.stderr,
        )
        return found


def positive(z_size: int) -> int:
    """The latent size that was given; one line where it was not."""
    if z_size < 1:
        raise genbench.UserError(
            "an exported network does not say how wide its latents are: -o z_size=128, "
            "or what it was trained with"
        )
    return z_size


def classes_of(conditional: bool, num_classes: int | None, dataset: Any) -> int:
    """How many classes a network's labels run over, 0 for none;
    one line where that is not what the data set has.
    """
    there = 10 if dataset is None else len(dataset.classes)
    if num_classes is not None and bool(num_classes) != conditional:
        raise genbench.UserError(
            f"num_classes is {num_classes}, and the network "
            f"{'wants labels' if conditional else 'takes no labels'}"
        )
    if num_classes and num_classes != there:
        raise genbench.UserError(
            f"the network has {num_classes} classes, the data set {there}; choose a data set with "
            f"{num_classes}"
        )
    return there if conditional else 0
