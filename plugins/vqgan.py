"""VQGAN: an autoencoder with a codebook and a transformer over its codes,
from taming-transformers' files or trained here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

import genbench
from genbench_plugins._fill import filled
from genbench_plugins._small import SIDE, count, shrink
from genbench_plugins._vqgan import Architecture, Networks
from genbench_plugins._vqgan_files import SETTINGS, read, settings_of
from genbench_plugins._vqgan_training import steps
from genbench_plugins._vqgan_transformer import tokens_of

LARGEST_SIDE = 16  # of the square of codes that is trained here


class VQGAN:
    """Esser, Rombach and Ommer's two stages: codes drawn one after another, then decoded."""

    range = (-1.0, 1.0)
    paper = (
        "Esser, Rombach & Ommer 2021, Taming transformers for high-resolution image synthesis, "
        "arXiv:2012.09841"
    )
    licence = "the code MIT; published weights as their authors say"
    pretrained_on = ("digits",)
    # genbench train -p vqgan
    checkpoints: ClassVar = {
        "digits": {"file": "weights/vqgan-digits.safetensors", "licence": "MIT"}
    }
    training: ClassVar = {"epochs": 300, "batch": 64}

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        temperature: Annotated[float, "of the softmax from which each code is drawn"] = 1.0,
        top_k: Annotated[int, "draw among the likeliest so many codes; 0: among all"] = 0,
        top_p: Annotated[
            float, "then among the fewest likeliest of this probability together; 1: among all"
        ] = 1.0,
    ) -> None:
        if not temperature > 0 or top_k < 0 or not 0 < top_p <= 1:
            raise genbench.UserError(
                f"vqgan's temperature {temperature:g}, top_k {top_k}, top_p {top_p:g}: above 0; "
                "0 or more; above 0, at most 1"
            )
        self.temperature, self.top_k, self.top_p, self.device = temperature, top_k, top_p, device
        self.trained = checkpoint is not None
        if checkpoint is None:
            self.made = _small_for(dataset)
            self.net = Networks(self.made)
        else:
            self.made, tensors = read(checkpoint)
            self.net = filled(Networks, self.made, tensors, checkpoint)
        self.net.to(device).eval().requires_grad_(False)
        self.coder: Any = self.net.first_stage_model

    @staticmethod
    def beside(checkpoint: Path) -> list[Path]:
        """The YAML of taming-transformers; a file of our own has its architecture in it."""
        from genbench_plugins._vqgan_files import place_of

        config = place_of(checkpoint).config
        return [config] if config and SETTINGS not in genbench.load_checkpoint(checkpoint) else []

    @staticmethod
    def classes(checkpoint: Path) -> int:
        return read(checkpoint)[0].classes

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        if not self.made.vocab_size:
            raise genbench.UserError(
                "this vqgan is an autoencoder alone, without the transformer that draws codes: "
                "it reconstructs, and cannot be sampled"
            )
        uniform = genbench.uniform(seeds, (self.made.side**2,), device=self.device)
        codes = min(
            self.made.n_embed if not self.made.used else self.made.used, self.made.vocab_size
        )
        tokens = tokens_of(
            self.net.transformer,
            self.first(labels, n),
            uniform,
            codes,
            self.temperature,
            self.top_k,
            self.top_p,
        )
        if self.made.permuted:
            tokens = tokens[:, self.net.permuter.backward_shuffle_idx]
        if self.made.used:
            tokens = self.coder.quantize.used[tokens]
        return self.painted(tokens.unflatten(1, (self.made.side, self.made.side)))

    def first(self, labels: Tensor | None, n: int = 0) -> Tensor:
        """The token that each sequence begins with: the class, or the one that stands for none."""
        if self.made.classes and labels is not None:
            return labels
        return torch.full(
            (n if labels is None else len(labels),), self.made.sos_token, device=self.device
        )

    def painted(self, codes: Tensor) -> Tensor:
        """Codes int64 [n, side, side] -> images [n, 3, h, w] in -1 to 1."""
        images = self.coder.decode(self.coder.quantize(codes)).clamp(-1, 1)
        if self.made.enlarge > 1:
            images = F.interpolate(
                images, scale_factor=self.made.enlarge, mode="bilinear", align_corners=False
            )
        return images.expand(-1, 3, -1, -1)

    @genbench.hookimpl
    def reconstruct(self, images: Tensor) -> Tensor:
        return self.painted(self.coder.quantize.codes(self.coder.encode(self.real(images))))

    def real(self, images: Tensor) -> Tensor:
        """Images uint8 [n, 3, h, w] as the network has them, [n, c, h, w] in -1 to 1."""
        if self.made.enlarge > 1:
            return shrink(images)
        factor = self.made.resolution // self.made.side
        if images.shape[2] % factor or images.shape[3] % factor:
            raise genbench.UserError(
                f"this vqgan halves images {factor.bit_length() - 1} times, and these are "
                f"{images.shape[2]}x{images.shape[3]}"
            )
        x = images.float() / 127.5 - 1
        return x if self.made.in_channels == 3 else x.mean(1, keepdim=True)

    @genbench.hookimpl
    def train(
        self, batches: Collection[tuple[Tensor, Tensor]], seed: int
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        if not self.made.vocab_size or self.made.gumbel or self.made.permuted or self.made.used:
            raise genbench.UserError(
                "vqgan trains both stages of what it made itself: leave out --init"
            )
        torch.manual_seed(seed)
        if not self.trained:
            self.net = Networks(self.made).to(self.device).requires_grad_(False)
            self.coder = self.net.first_stage_model
            self.net.transformer.apply(_small_weights)
        yield from steps(self.net, batches, self.real, self.first)
        # what is saved is then what was trained, in half the bytes
        for parameter in self.net.parameters():
            parameter.data = parameter.data.half().float()

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        return {
            **{name: _halved(tensor) for name, tensor in self.net.state_dict().items()},
            SETTINGS: settings_of(self.made),
        }

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        drawn = [self.net.transformer] if self.made.vocab_size else []
        return {
            "parameters": sum(map(count, (*drawn, self.coder.decoder, self.coder.quantize))),
            "evaluations": self.made.side**2 + 1,
        }


def _halved(tensor: Tensor) -> Tensor:
    """A tensor in half precision, where that loses nothing."""
    return (
        tensor.half()
        if tensor.is_floating_point() and torch.equal(tensor.half().float(), tensor)
        else tensor
    )


def _small_weights(module: Any) -> None:
    """minGPT's initial weights."""
    if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
        torch.nn.init.normal_(module.weight, 0, 0.02)
    if getattr(module, "bias", None) is not None and isinstance(module, torch.nn.Linear):
        torch.nn.init.zeros_(module.bias)


def _small_for(dataset: Any) -> Architecture:
    """What `genbench train` makes: for the digits one of their 8x8 grey pixels,
    else one of the data set's size.
    """
    if dataset is None:
        raise genbench.UserError(
            "vqgan needs weights: --checkpoint FOLDER of a training of taming-transformers, "
            "its .ckpt beside its YAML, or safetensors"
        )
    digits, classes = dataset.name.partition("-")[0] == "digits", len(dataset.classes)
    size, halved = (SIDE, 1) if digits else (dataset.resolution, 2)
    while size // 2**halved > LARGEST_SIDE:
        halved += 1
    if size % 2**halved:
        raise genbench.UserError(
            f"vqgan halves images {halved} times, and {dataset.name} is {size} wide: "
            f"name it at another size, {dataset.name}-32"
        )
    codes = 64 if digits else 512
    return Architecture(
        resolution=size,
        in_channels=1 if digits else 3,
        out_ch=1 if digits else 3,
        ch=32,
        ch_mult=(1, *[2] * halved),
        num_res_blocks=1,
        attn_resolutions=(),
        z_channels=64,
        embed_dim=16,
        n_embed=codes,
        vocab_size=max(codes, classes),
        block_size=(size // 2**halved) ** 2,
        n_layer=4,
        n_head=4,
        n_embd=64,
        classes=classes if classes > 1 else 0,
        enlarge=dataset.resolution // size if digits else 1,
    )
