"""Any pipeline of the diffusers library: DDPM, DDIM, latent diffusion, DiT,
Stable Diffusion 1.5 to 3, SDXL, PixArt, Flux.

A folder with model_index.json, or `hf:owner/name`. Needs `pip install "genbench[diffusers]"`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

import genbench
from genbench_plugins._diffusers import (
    Settings,
    denoised,
    drawn,
    evaluations,
    fetched,
    library,
    load,
)
from genbench_plugins._diffusers_files import Scheduler, read

HELP = {
    "steps": "of the sampler",
    "scheduler": "by the name of diffusers; none: the folder's own",
    "eta": "of DDIM and TCD, 0 to 1; none: as they have it",
    "guidance": "classifier-free, in two calls of the network; up to 1: none",
    "distilled": (
        "guidance that the network is told as a number (Flux-dev, networks distilled for few steps)"
    ),
    "size": "the side of the images in pixels",
    "tokens": "of a prompt for T5",
    "dtype": "of weights and noise",
}


class Diffusers:
    """A pipeline, sampled with one torch.Generator for each image, from its seed.

    Without safety checker and watermark. A network of classes is told the label; a further
    embedding is the null class of its guidance.
    """

    range = (0.0, 1.0)
    paper = (
        "von Platen et al., Diffusers: state-of-the-art diffusion models, "
        "github.com/huggingface/diffusers; each pipeline its own"
    )
    licence = (
        "the library Apache 2.0; weights each their own (Stable Diffusion: OpenRAIL; DiT: "
        "CC-BY-NC; FLUX.1-dev: non-commercial)"
    )

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        steps: Annotated[int | None, HELP["steps"]] = None,
        scheduler: Annotated[Scheduler | None, HELP["scheduler"]] = None,
        eta: Annotated[float | None, HELP["eta"]] = None,
        guidance: Annotated[float | None, HELP["guidance"]] = None,
        distilled: Annotated[float | None, HELP["distilled"]] = None,
        size: Annotated[int | None, HELP["size"]] = None,
        tokens: Annotated[int | None, HELP["tokens"]] = None,
        dtype: Annotated[Literal["float32", "float16", "bfloat16"], HELP["dtype"]] = "float32",
    ) -> None:
        if checkpoint is None:
            raise genbench.UserError(
                "diffusers needs a pipeline: --checkpoint FOLDER with its model_index.json, "
                "or --checkpoint hf:owner/name"
            )
        self.folder = read(checkpoint)
        given = {
            "steps": steps,
            "scheduler": scheduler,
            "guidance": guidance,
            "distilled": distilled,
            "size": size,
            "tokens": tokens,
        }
        settled = self.folder.usual() | {
            name: value for name, value in given.items() if value is not None
        }
        self.settings = Settings(**settled, eta=eta, dtype=dtype)
        self.null = null_class(self.folder, dataset)
        refuse(self.folder, self.settings, self.null)
        self.pipe, self.device = load(self.folder, self.settings, device), device
        self.net = getattr(self.pipe, self.folder.kind.net)  # whose type the record has

    @staticmethod
    def asks(checkpoint: Path) -> tuple[str, ...]:
        folder = read(checkpoint)
        return ("prompts",) if folder.kind.text else ("labels",) if folder.embedded else ()

    @staticmethod
    def classes(checkpoint: Path) -> int | None:
        folder = read(checkpoint)
        # of a UNet the last may be the null class
        return folder.embedded if folder.kind.net == "transformer" and folder.embedded else None

    @staticmethod
    def usual(checkpoint: Path) -> dict[str, Any]:
        return read(checkpoint).usual()

    @staticmethod
    def fetches(word: str) -> Path:
        return fetched(word)

    @genbench.hookimpl
    def sample(
        self, n: int, seeds: Tensor, labels: Tensor | None, prompts: Sequence[str] | None
    ) -> Tensor:
        if self.folder.kind.text:
            assert prompts is not None, "asks says so"
            return drawn(self.pipe, self.folder, self.settings, seeds, prompts)
        return denoised(self.pipe, self.folder, self.settings, seeds, labels, self.null)

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        parts = [
            part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)
        ]
        return {
            "parameters": sum(p.numel() for part in parts for p in part.parameters()),
            "evaluations": evaluations(self.pipe, self.settings),
        }


def null_class(folder: Any, dataset: Any) -> int | None:
    """The class that stands for none: DiT's comes after its classes;
    a UNet has one where it embeds one class more than the data set has.
    """
    if not folder.embedded or folder.kind.net == "transformer":
        return folder.embedded or None
    classes = len(dataset.classes) if dataset is not None else folder.embedded
    if folder.embedded not in (classes, classes + 1):
        raise genbench.UserError(
            f"{folder.path} has {folder.embedded} classes, the data set {dataset.name} {classes}; "
            "wanted are as many, or one more for none"
        )
    return classes if folder.embedded == classes + 1 else None


def flow(scheduler: str) -> bool:
    """Whether a scheduler follows a flow: the network's output is then another thing than
    in diffusion.
    """
    return scheduler.startswith("FlowMatch")


def refuse(folder: Any, settings: Settings, null: int | None) -> None:
    """UserError for settings that this pipeline cannot have."""
    kind = (
        getattr(library(), settings.scheduler, None)
        if settings.scheduler in Scheduler.__args__
        else None
    )
    guided, fixed = settings.guidance > 1, folder.name == "DiTPipeline"
    flows = folder.kind.text and flow(str(folder.parts["scheduler"][1]))
    most = folder.tokens[1]
    wrong = {
        (
            f"the scheduler {settings.scheduler} is not on the list: "
            f"-o scheduler={Scheduler.__args__[0]}, or another of genbench plugins diffusers"
        ): kind is None,
        (
            f"{settings.scheduler} is for networks that were trained with flow matching, "
            "and no others are"
        ): flow(settings.scheduler) != flows,
        f"{settings.scheduler} takes no sigmas, which its pipeline gives it": flows
        and folder.name == "FluxPipeline"
        and kind is not None
        and "sigmas" not in inspect.signature(kind.set_timesteps).parameters,
        f"steps={settings.steps}: 1 to {folder.trained}, with which it was trained": not 1
        <= settings.steps
        <= folder.trained,
        f"eta={settings.eta}: 0 to 1": settings.eta is not None and not 0 <= settings.eta <= 1,
        f"{settings.scheduler} has no eta": kind is not None
        and settings.eta is not None
        and "eta" not in inspect.signature(kind.step).parameters,
        f"guidance={settings.guidance:g}: 0 or more": not 0 <= settings.guidance < float("inf"),
        f"guidance={settings.guidance:g}: its network has no null class, and so no guidance": guided
        and not folder.kind.text
        and null is None,
        (
            f"guidance={settings.guidance:g}: its network is told its guidance as a "
            "number, -o distilled="
        ): guided and folder.told and folder.name != "FluxPipeline",
        f"distilled={settings.distilled}: its network takes no such number": settings.distilled
        is not None
        and not folder.told,
        f"size={settings.size}: its network takes {folder.size} alone": fixed
        and settings.size != folder.size,
        (
            f"size={settings.size}: give the side in pixels, a multiple of {folder.unit}: -o size="
        ): not settings.size or settings.size < 1 or settings.size % folder.unit != 0,
        f"size={settings.size}: its network has places for {folder.largest} at most": bool(
            folder.largest and settings.size and settings.size > folder.largest
        ),
        f"tokens={settings.tokens}: it has no T5 that would take them": settings.tokens is not None
        and not most,
        f"tokens={settings.tokens}: 1 to {most}": settings.tokens is not None
        and bool(most)
        and not 1 <= settings.tokens <= most,
    }
    for why, so in wrong.items():
        if so:
            raise genbench.UserError(f"{folder.path}, a {folder.name}: {why}")
