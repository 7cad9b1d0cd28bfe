"""What a folder of the diffusers library says of itself:
which pipeline it is, of which parts, and what it does unless told otherwise.

Only JSON is read here. A pipeline is one of KINDS and its parts are classes of diffusers or
transformers; a folder that names anything else, a pipeline of its own code above all, is refused,
and nothing in a file is ever imported by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import genbench

INDEX = "model_index.json"
LARGEST = 2**22  # bytes of a JSON file
LIBRARIES = ("diffusers", "transformers")
# classes of diffusers that it writes under such names
BESIDE = {
    ("latent_diffusion", "LDMBertModel"),
    ("stable_diffusion", "StableDiffusionSafetyChecker"),
}

#: Schedulers whose noise comes from the generators that they are given, or that draw none.
#: DPMSolverSDEScheduler is missing: its noise is the batch's.
Scheduler = Literal[
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
]


@dataclass(frozen=True)
class Kind:
    """A pipeline of diffusers: its parts by name, and the defaults of its own call."""

    net: str  # the network that is called at every step
    decoder: str  # what turns latents into images; "": it works on pixels
    steps: int
    guidance: float = 1.0  # classifier-free; up to 1: none
    # guidance that the network is told as a number; None: it takes none
    distilled: float | None = None
    text: bool = False
    # of a prompt for its T5: as its call has them, and at most; 0: it has no T5
    tokens: tuple[int, int] = (0, 0)
    forms: Mapping[str, Any] | None = None  # more arguments of its call


# cleaning depends on what is installed; bins make images of another size and resize them
PIXART = {"clean_caption": False, "use_resolution_binning": False}
KINDS = {
    "DDPMPipeline": Kind("unet", "", 1000),
    "DDIMPipeline": Kind("unet", "", 50),
    "LDMPipeline": Kind("unet", "vqvae", 50),
    "DiTPipeline": Kind("transformer", "vae", 50, 4.0),
    "LDMTextToImagePipeline": Kind("unet", "vqvae", 50, 1.0, text=True),
    "StableDiffusionPipeline": Kind("unet", "vae", 50, 7.5, text=True),
    "StableDiffusionXLPipeline": Kind("unet", "vae", 50, 5.0, text=True),
    "StableDiffusion3Pipeline": Kind("transformer", "vae", 28, 7.0, text=True, tokens=(256, 512)),
    "PixArtAlphaPipeline": Kind(
        "transformer", "vae", 20, 4.5, text=True, tokens=(120, 120), forms=PIXART
    ),
    "PixArtSigmaPipeline": Kind(
        "transformer", "vae", 20, 4.5, text=True, tokens=(300, 300), forms=PIXART
    ),
    "FluxPipeline": Kind("transformer", "vae", 28, 1.0, 3.5, text=True, tokens=(512, 512)),
}


@dataclass(frozen=True)
class Folder:
    """A pipeline folder as its JSON files describe it."""

    path: Path
    name: str  # of the pipeline's class
    # name -> library, class; None, None where the pipeline goes without
    parts: Mapping[str, tuple[str | None, str | None]]
    net: Mapping[str, Any]
    decoder: Mapping[str, Any]
    scheduler: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def embedded(self) -> int:
        """How many classes the network has embeddings of, the null class of a UNet among them;
        0 for one without classes.
        """
        if self.kind.text:
            return 0
        return (
            int(self.net["num_embeds_ada_norm"])
            if self.kind.net == "transformer"
            else int(self.net.get("num_class_embeds") or 0)
        )

    @property
    def trained(self) -> int:
        """How many steps its noise was divided into in training, the most that a sampler takes."""
        return int(self.scheduler.get("num_train_timesteps", 1000))

    @property
    def size(self) -> int:
        """The side of the images in pixels."""
        # Flux's call has it as a constant
        side = self.net.get("sample_size") or (128 if self.name == "FluxPipeline" else 0)
        return int(side) * self.factor if isinstance(side, int) else 0

    @property
    def factor(self) -> int:
        """How many pixels of a side are one of its latents."""
        return 2 ** (len(self.decoder.get("block_out_channels", (0,))) - 1)

    @property
    def unit(self) -> int:
        """What the side is a multiple of: of a patch, or where a UNet without texts halves it,
        of its halvings.
        """
        if self.kind.net == "transformer":
            return self.factor * (
                2 if self.name == "FluxPipeline" else int(self.net.get("patch_size", 1))
            )
        return self.factor * (
            1 if self.kind.text else 2 ** (len(self.net.get("block_out_channels", (0,))) - 1)
        )

    @property
    def largest(self) -> int:
        """The most that the side can be, where the network has a table of places; else 0."""
        return int(self.net.get("pos_embed_max_size") or 0) * self.unit

    @property
    def schnell(self) -> bool:
        """Whether it is a Flux that is not told its guidance:
        distilled for few steps, of short prompts.
        """
        return self.name == "FluxPipeline" and not self.told

    @property
    def tokens(self) -> tuple[int, int]:
        """How many tokens of a prompt its T5 is given, and how many at most; 0 for one without."""
        return (256, 256) if self.schnell else self.kind.tokens

    @property
    def told(self) -> bool:
        """Whether the network is told a guidance scale as a number (Flux-dev, and networks
        distilled for few steps).
        """
        return bool(self.net.get("guidance_embeds")) or (
            self.kind.text and bool(self.net.get("time_cond_proj_dim"))
        )

    def usual(self) -> dict[str, Any]:
        """The options' values unless they are given."""
        distilled = (self.kind.distilled or self.kind.guidance) if self.told else None
        guidance = 1.0 if self.told else self.kind.guidance
        return {
            "steps": min(4 if self.schnell else self.kind.steps, self.trained),
            # as that pipeline does, whatever the file has
            "scheduler": "DDIMScheduler"
            if self.name == "DDIMPipeline"
            else self.parts["scheduler"][1],
            "guidance": guidance,
            "distilled": distilled,
            "size": self.size or None,
            "tokens": self.tokens[0] or None,
        }


def read(path: Path) -> Folder:
    """The folder at `path`; UserError in one line where it is none,
    or names a class that is not on the lists.
    """
    if not (path / INDEX).is_file():
        raise genbench.UserError(
            f"checkpoint {path} is no folder of a diffusers pipeline: it has no {INDEX}"
        )
    index = _json(path / INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in KINDS:
        raise genbench.UserError(
            f"checkpoint {path} is a {_said(name)}; wanted is one of {', '.join(KINDS)}, "
            "and code in a folder is never run"
        )
    parts = {
        part: _part(path, part, value)
        for part, value in index.items()
        if not part.startswith("_") and isinstance(value, list)
    }
    kind = KINDS[name]
    for part in ("scheduler", kind.net, *([kind.decoder] if kind.decoder else [])):
        if parts.get(part, (None, None))[1] is None:
            raise genbench.UserError(
                f"checkpoint {path}: its {INDEX} names no {part}, which a {name} needs"
            )
    net = _json(path / kind.net / "config.json")
    decoder = _json(path / kind.decoder / "config.json") if kind.decoder else {}
    found = Folder(
        path, name, parts, net, decoder, _json(path / "scheduler" / "scheduler_config.json")
    )
    try:
        sound = found.embedded >= 0 and found.size >= 0 and found.trained > 0
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound or (found.embedded and net.get("class_embed_type") is not None):
        raise genbench.UserError(
            f"checkpoint {path}: {kind.net}/config.json does not say sizes and classes as a "
            f"{name} has them"
        )
    return found


def _part(path: Path, part: str, value: list[Any]) -> tuple[str | None, str | None]:
    """The library and class of a part, checked."""
    if value == [None, None]:
        return None, None
    known = len(value) == 2 and all(isinstance(one, str) and one.isidentifier() for one in value)
    if not known or not (value[0] in LIBRARIES or tuple(value) in BESIDE):
        came = ".".join(map(str, value))
        raise genbench.UserError(
            f"checkpoint {path}: its {part} is {_said(came)}, not a class of diffusers or "
            "transformers; nothing of it was run"
        )
    return value[0], value[1]


def _said(value: Any) -> str:
    return " ".join(repr(value).split())[:80]


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LARGEST))
    except OSError as error:
        raise genbench.UserError(
            f"checkpoint {path} cannot be read: {error.strerror or error}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise genbench.UserError(f"checkpoint {path} is no JSON: {_said(str(error))}") from None
    if not isinstance(found, dict):
        raise genbench.UserError(f"checkpoint {path} is no JSON object")
    return found
