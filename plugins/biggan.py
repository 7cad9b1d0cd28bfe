"""BigGAN and BigGAN-deep from ajbrock's and Hugging Face's published files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

import genbench
from genbench_plugins._biggan import Generator
from genbench_plugins._biggan_files import Statistics, read, stored
from genbench_plugins._small import count

MOST = 1e3  # of the truncations that may be above 1
HELP = {
    "truncation": "how far z is truncated, in the way of `z`; 1 is none",
    "z": (
        "truncnorm: psi times a normal cut at 2 (Hugging Face); std: "
        "a normal of deviation psi (ajbrock's z_var); clip: a normal cut at psi (StudioGAN); "
        "divide: a normal over psi (gSR); auto: the file's own"
    ),
    "statistics": (
        "between two rows of Hugging Face's table: interpolated, or theirs, "
        "whose weights are exchanged"
    ),
}


class BigGAN:
    """Brock, Donahue and Simonyan's class-conditional generator."""

    range = (-1.0, 1.0)
    paper = (
        "Brock, Donahue & Simonyan 2019, Large scale GAN training for high fidelity natural image "
        "synthesis, arXiv:1809.11096"
    )
    licence = (
        "the code MIT; published weights: ajbrock's MIT, DeepMind's (Hugging Face's) Apache 2.0"
    )
    spaces: ClassVar = ("z",)

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        truncation: Annotated[float, HELP["truncation"]] = 1.0,
        z: Annotated[Literal["auto", "truncnorm", "std", "clip", "divide"], HELP["z"]] = "auto",
        statistics: Annotated[Statistics, HELP["statistics"]] = "interpolated",
    ) -> None:
        if checkpoint is None:
            raise genbench.UserError(
                "biggan needs weights: --checkpoint FILE, ajbrock's G_ema_best0.pth, "
                "or Hugging Face's folder of pytorch_model.bin and config.json"
            )
        if not 0 < truncation <= (MOST if z in ("clip", "divide") else 1):
            raise genbench.UserError(
                f"biggan's truncation lies above 0 and up to 1, not at {truncation:g}; "
                "only z=clip and z=divide take larger ones"
            )
        made, tensors, usual = read(checkpoint, min(truncation, 1.0), statistics)
        with torch.device("meta"):
            self.net = Generator(made)
        try:
            self.net.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise genbench.UserError(
                f"checkpoint {checkpoint} is no whole BigGAN: {why[:200]}"
            ) from None
        self.net.to(device).eval().requires_grad_(False)
        self.checkpoint, self.truncation, self.device = checkpoint, truncation, device
        self.kind = usual if z == "auto" else z

    @staticmethod
    def beside(checkpoint: Path) -> list[Path]:
        """Hugging Face's config.json."""
        from genbench_plugins._biggan_files import CONFIG

        own = checkpoint.with_name(CONFIG)
        theirs = own.is_file() and any(
            "generator.gen_z." in name for name in genbench.load_checkpoint(checkpoint)
        )
        return [own] if theirs else []

    @staticmethod
    def classes(checkpoint: Path) -> int:
        return read(checkpoint, 1.0, "interpolated")[0].classes

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        return self.net(self.latents(seeds), labels)

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        shape, psi = (self.net.made.z_dim,), self.truncation
        if self.kind in ("truncnorm", "clip"):
            bound = 2.0 if self.kind == "truncnorm" else psi
            cut = cut_normal(genbench.uniform(seeds, shape, device=self.device), bound)
            return psi * cut if self.kind == "truncnorm" else cut
        z = genbench.noise(seeds, shape, device=self.device)
        return z / psi if self.kind == "divide" else z * psi

    @genbench.hookimpl
    def synthesize(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.net(latents, labels)

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        # not of self.net, whose statistics are those of one truncation
        return stored(self.checkpoint)

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": count(self.net), "evaluations": 1}


def cut_normal(uniform: Tensor, bound: float) -> Tensor:
    """Standard normal numbers between -bound and bound from uniform ones,
    by the inverse of their distribution function.
    """
    low, high = torch.special.ndtr(torch.tensor([-bound, bound], dtype=torch.float64)).tolist()
    return torch.special.ndtri(low + uniform.double() * (high - low)).float()
