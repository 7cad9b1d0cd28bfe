"""StyleGAN2 and StyleGAN2-ADA from NVIDIA's published files, whose code is not run,
or from safetensors and state dicts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import genbench
from genbench_plugins._fill import filled
from genbench_plugins._small import SIDE, count
from genbench_plugins._stylegan2 import Convolution, Generator
from genbench_plugins._stylegan2_files import SETTINGS, Architecture, read
from genbench_plugins._stylegan2_training import Discriminator, steps

NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
JUDGE = "discriminator."  # before the names of its tensors in a file of `genbench train`
# latents whose mean is that of w where a file does not keep it, as many as rosinality's
# generate.py takes
W_SAMPLES = 4096
MIXED = 2**20  # the stream of a second z, beyond those of the layers' noise
# kinds of devices that compute the layers in half precision which a file marks so
HALF_ON = ("cuda",)
LICENCE = "NVIDIA Source Code License (non-commercial)"


class StyleGAN2:
    """Karras and others' style-based generator, of its second kind,
    with the truncation trick in w.
    """

    range = (-1.0, 1.0)
    paper = (
        "Karras et al. 2020, Analyzing and improving the image quality of StyleGAN, "
        "arXiv:1912.04958; with ADA arXiv:2006.06676"
    )
    licence = "the code MIT; the published weights NVIDIA's, non-commercial"
    checkpoints: ClassVar = {
        # genbench train -p stylegan2, then --init it --epochs 320 --seed 1
        "digits": {"file": "weights/stylegan2-digits.safetensors", "licence": "MIT"},
        "cifar10": {"url": f"{NVIDIA}/cifar10.pkl", "licence": LICENCE},
        "ffhq": {"url": f"{NVIDIA}/ffhq.pkl", "licence": LICENCE},
    }
    spaces = ("z", "w")
    training: ClassVar = {"epochs": 420, "batch": 32}

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        truncation: Annotated[
            float, "psi: w lies this share of the way from its mean; 1 is none"
        ] = 1.0,
        cutoff: Annotated[int | None, "truncate this many of the first layers; none: all"] = None,
        noise: Annotated[
            Literal["random", "const", "none"],
            "drawn from the seed, as NVIDIA's metrics do; the stored one, as generate.py; or none",
        ] = "random",
        mixing: Annotated[
            int | None,
            (
                "layers from this one on take the w of a second z of the same seed (style mixing); "
                "none: all take one w"
            ),
        ] = None,
        seeds: Annotated[
            Literal["ours", "theirs"], "theirs: z as generate.py draws it, RandomState(seed).randn"
        ] = "ours",
    ) -> None:
        for name, layers in (("cutoff", cutoff), ("mixing", mixing)):
            if layers is not None and layers < 0:
                raise genbench.UserError(
                    f"stylegan2's {name} counts layers, from 0; it cannot be {layers}"
                )
        self.truncation, self.cutoff, self.mixing, self.noise, self.seeds, self.device = (
            truncation,
            cutoff,
            mixing,
            noise,
            seeds,
            device,
        )
        self.half = torch.device(device).type in HALF_ON
        self.trained = checkpoint is not None
        if checkpoint is None:
            self.made, tensors = _small_for(dataset), dict[str, Tensor]()
        else:
            self.made, tensors = read(checkpoint)
        if truncation != 1 and self.made.w_avg_beta is None:
            raise genbench.UserError(
                f"checkpoint {checkpoint} does not keep the mean of its w, so it cannot be "
                "truncated: -o truncation=1"
            )
        judged = {name: tensors.pop(name) for name in list(tensors) if name.startswith(JUDGE)}
        self.judge = (
            filled(Discriminator, self.made, judged, checkpoint, JUDGE).to(device)
            if judged
            else None
        )
        self.net = (
            filled(Generator, self.made, tensors, checkpoint) if tensors else Generator(self.made)
        )
        self.net.to(device).eval().requires_grad_(False)
        if truncation != 1 and checkpoint is not None and not self.net.mapping.w_avg.any():
            self.net.mapping.w_avg.copy_(self.mean_w())

    @staticmethod
    def beside(checkpoint: Path) -> list[Path]:
        """The JSON of the architecture, where the file itself does not say it."""
        from genbench_plugins._stylegan2_files import _is_pickle, _metadata, is_rosinalitys

        own = checkpoint.with_suffix(".json")
        if not own.is_file() or _is_pickle(checkpoint) or _metadata(checkpoint).get(SETTINGS):
            return []
        tensors = genbench.load_checkpoint(checkpoint, parts=("g_ema", "state_dict"))
        return [] if SETTINGS in tensors or is_rosinalitys(tensors) else [own]

    @staticmethod
    def classes(checkpoint: Path) -> int:
        return read(checkpoint)[0].c_dim

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        w = self.latents(seeds, labels, "w")
        other = None if self.mixing is None else self.net.mapping(self.z(seeds, MIXED), labels)
        return self.painted(w, seeds, self.half, other).clamp(-1, 1)

    @genbench.hookimpl
    def latents(self, seeds: Tensor, labels: Tensor, space: str) -> Tensor:
        z = (
            theirs(seeds, self.made.z_dim).to(self.device)
            if self.seeds == "theirs"
            else self.z(seeds)
        )
        return self.net.mapping(z, labels) if space == "w" else z

    def z(self, seeds: Tensor, stream: int = 0) -> Tensor:
        return genbench.noise(seeds, (self.made.z_dim,), stream=stream, device=self.device)

    def mean_w(self) -> Tensor:
        """The mean of w over so many latents, and over the classes in turn."""
        seeds = torch.arange(W_SAMPLES, device=self.device)
        return self.net.mapping(
            self.z(seeds, MIXED), seeds % self.made.c_dim if self.made.c_dim else None
        ).mean(0)

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor, seeds: Tensor, space: str) -> Tensor:
        w = latents if space == "w" else self.net.mapping(latents, labels)
        # in half precision a path's length at epsilon 1e-4 would be that of rounding
        return self.painted(w, seeds, False)

    def painted(self, w: Tensor, seeds: Tensor, half: bool, other: Tensor | None = None) -> Tensor:
        """The images of w [n, w_dim], about -1 to 1;
        with the w of others from layer `mixing` on.
        """
        ws = self.net.truncated(w, self.truncation, self.cutoff)
        if other is not None:
            ws = torch.cat(
                [
                    ws[:, : self.mixing],
                    self.net.truncated(other, self.truncation, self.cutoff)[:, self.mixing :],
                ],
                1,
            )
        images = self.net.synthesis(ws, lambda layer: self.added(layer, seeds), half)
        if self.made.enlarge == 1:
            return images
        return F.interpolate(
            images.clamp(-1, 1),
            scale_factor=self.made.enlarge,
            mode="bilinear",
            align_corners=False,
        )

    def added(self, layer: Convolution, seeds: Tensor) -> Tensor | float:
        """The noise of a layer, before its strength."""
        if self.noise == "random":
            # stream 0 is z
            return genbench.noise(
                seeds, (1, layer.size, layer.size), stream=1 + layer.place, device=self.device
            )
        return layer.noise_const if self.noise == "const" else 0.0

    @genbench.hookimpl
    def train(
        self,
        batches: Collection[tuple[Tensor, Tensor]],
        seed: int,
        diffaug: Callable[[Tensor], Tensor] | None,
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        torch.manual_seed(seed)
        if not self.trained:
            self.net = Generator(self.made).to(self.device).eval().requires_grad_(False)
        self.judge = self.judge or Discriminator(self.made).to(self.device)
        yield from steps(
            self.net, self.judge, self.made, batches, diffaug or (lambda images: images)
        )

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        # so that training can go on
        judged = (
            {}
            if self.judge is None
            else {JUDGE + name: tensor for name, tensor in self.judge.state_dict().items()}
        )
        text = json.dumps(self.made.settings()).encode()
        return {
            **self.net.state_dict(),
            **judged,
            SETTINGS: torch.tensor(list(text), dtype=torch.uint8),
        }

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": count(self.net), "evaluations": 1}


def _small_for(dataset: Any) -> Architecture:
    """What `genbench train` makes: a small network of the data set's size and classes;
    for the digits one of their 8x8 grey pixels, enlarged as they are.
    """
    if dataset is None:
        raise genbench.UserError(
            "stylegan2 needs weights: --checkpoint FILE, NVIDIA's .pkl, or safetensors or a state "
            "dict with its architecture"
        )
    digits, classes = dataset.name.partition("-")[0] == "digits", len(dataset.classes)
    size = SIDE if digits else dataset.resolution
    if size < 8 or size.bit_count() != 1:
        raise genbench.UserError(
            f"stylegan2 makes squares of a power of two, and {dataset.name} is {size} wide: "
            f"name it at another size, {dataset.name}-32"
        )
    return Architecture(
        z_dim=64,
        c_dim=classes if classes > 1 else 0,
        w_dim=64,
        img_resolution=size,
        img_channels=1 if digits else 3,
        num_layers=4,
        # ten times NVIDIA's, for a training a thousand times shorter: with theirs, images of a
        # class stay alike
        lr_multiplier=0.1,
        channel_base=1024,
        channel_max=64,
        enlarge=dataset.resolution // size,
    )


def theirs(seeds: Tensor, width: int) -> Tensor:
    """z as NVIDIA's generate.py draws it, float32 [n, width], from seeds int64 [n];
    its generator takes seeds below 2^32, larger ones are given in halves.
    """
    rows = [
        np.random.RandomState(s if s < 2**32 else [s % 2**32, s // 2**32]).randn(width)
        for s in seeds.tolist()
    ]
    return torch.from_numpy(np.stack(rows)).float()
