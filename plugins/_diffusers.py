"""A pipeline of diffusers in memory: loaded from its folder alone,
and sampled with a generator of random numbers for each image.

Pixels, latents and DiT go through a loop of our own: diffusers' pipelines leave classes out (DDPM),
have ImageNet's null class 1000 as a constant and give the scheduler no generator (DiT, LDM), so
that its noise would be the batch's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import genbench
from genbench_plugins._diffusers_files import INDEX, Folder, read

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LEARNED = ("learned", "learned_range")
# a checker of safety returns black images, and the others serve it or pictures as prompts
UNWANTED = ("safety_checker", "feature_extractor", "image_encoder")


@dataclass(frozen=True)
class Settings:
    """The options, settled."""

    steps: int
    scheduler: str
    eta: float | None
    guidance: float
    distilled: float | None
    size: int
    tokens: int | None
    dtype: str


def library() -> Any:
    """The diffusers library; one line where it is not installed."""
    try:
        import diffusers
        import transformers  # of which pipelines have their text encoders
    except ImportError as error:
        raise genbench.UserError(
            f"the generator diffusers needs diffusers and transformers ({error}): "
            'pip install "genbench[diffusers]"'
        ) from None
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return diffusers


@functools.cache
def fetched(word: str) -> Path:
    """The folder of a pipeline on the hub, `owner/name` or `owner/name@revision`,
    in the hub library's cache; GENBENCH_OFFLINE: only what lies there.
    """
    name, _, revision = word.partition("@")
    offline = bool(os.environ.get("GENBENCH_OFFLINE"))
    pipelines = library()
    from huggingface_hub import hf_hub_download

    where: dict[str, Any] = {"revision": revision or None, "local_files_only": offline}
    try:
        read_index = Path(hf_hub_download(name, INDEX, **where))
        folder = (
            Path(pipelines.DiffusionPipeline.download(name, use_safetensors=True, **where))
            if _named(read_index)
            else read_index.parent
        )
    except genbench.UserError:
        raise
    except Exception as error:  # the hub's library raises dozens of its own and of the network's
        why = "GENBENCH_OFFLINE is set" if offline else " ".join(str(error).split())[:200]
        raise genbench.UserError(
            f"--checkpoint hf:{word[:100]} cannot be had ({why}); once fetched it lies in the "
            "hub's cache, $HF_HOME"
        ) from None
    read(folder)
    return folder


def _named(index: Path) -> bool:
    """Whether an index names a pipeline that we know; of any other nothing more is fetched,
    and `read` refuses it.
    """
    from genbench_plugins._diffusers_files import KINDS, _json

    return _json(index).get("_class_name") in KINDS


def load(folder: Folder, settings: Settings, device: Any) -> Any:
    """The pipeline on its device, from safetensors alone and without the network,
    with the scheduler that the settings name.
    """
    there = {part for part, (_, name) in folder.parts.items() if name is not None}
    # as SD 3 without its T5
    more: dict[str, Any] = {
        part: None for part, (_, name) in folder.parts.items() if name is None or part in UNWANTED
    }
    if "safety_checker" in there:
        # a plugin has no other voice
        print(  # noqa: T201
            "diffusers: this pipeline's safety checker, which returns black images, is left out",
            file=sys.stderr,
        )
    if "safety_checker" in folder.parts:
        more["requires_safety_checker"] = False
    if folder.name == "StableDiffusionXLPipeline":
        more["add_watermarker"] = False  # invisible, and there or not by what is installed
    readable(folder)
    kind, dtype = getattr(library(), folder.name), DTYPES[settings.dtype]
    with _refusing(folder.path), warnings.catch_warnings():
        # of names that change (torch_dtype), and of configurations that are old and are read as
        # they were meant
        warnings.simplefilter("ignore")
        pipe = kind.from_pretrained(
            folder.path, use_safetensors=True, local_files_only=True, torch_dtype=dtype, **more
        )
        pipe.scheduler = getattr(library(), settings.scheduler).from_config(pipe.scheduler.config)
        pipe.to(device)
        if getattr(pipe, folder.kind.net).dtype != dtype:  # a version that has another word for it
            pipe.to(dtype)
        evaluations(pipe, settings)  # some schedulers cannot take so few steps
    if folder.name == "LDMTextToImagePipeline" and pipe.scheduler.init_noise_sigma != 1:
        raise genbench.UserError(
            f"{folder.path}, a {folder.name}: its call scales no noise, which {settings.scheduler} "
            "needs: -o scheduler=DDIMScheduler"
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def readable(folder: Folder) -> None:
    """UserError where a tokenizer is a model of sentencepiece alone and the library that reads it
    is missing; transformers would ask for another.
    """
    for part in folder.parts:
        place = folder.path / part
        if (
            (place / "spiece.model").is_file()
            and not (place / "tokenizer.json").is_file()
            and importlib.util.find_spec("sentencepiece") is None
        ):
            raise genbench.UserError(
                f"{place / 'spiece.model'} needs sentencepiece: pip install sentencepiece protobuf"
            )


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """What the library refuses in one line; and what it lets pass with a warning:
    a file that lacks tensors, in whose place random ones would stand.
    """
    heard = _Heard()
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(heard)
    try:
        yield
    except genbench.UserError:
        raise
    except Exception as error:
        raise genbench.UserError(
            f"checkpoint {path} cannot be loaded: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from None
    finally:
        for logger, there in zip(loggers, before, strict=True):
            logger.removeHandler(heard)
            logger.propagate = there
    if heard.lines:
        raise genbench.UserError(f"checkpoint {path} lacks weights: {heard.lines[0][:300]}")


class _Heard(logging.Handler):
    """Keeps the lines that say of weights that they were made up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = " ".join(record.getMessage().split())
        if "newly initialized" in line or "MISSING" in line:
            self.lines.append(line)


def generators(seeds: Tensor) -> list[torch.Generator]:
    """A generator for each image, from its seed; on the processor,
    so that every device gets the same numbers.
    """
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]


def denoised(
    pipe: Any,
    folder: Folder,
    settings: Settings,
    seeds: Tensor,
    labels: Tensor | None,
    null: int | None,
) -> Tensor:
    """Images [n, c, h, w] in 0 to 1 of a pipeline without texts.

    labels int64 [n] or None; null: the class that stands for none, in guidance.
    """
    net, scheduler = getattr(pipe, folder.kind.net), pipe.scheduler
    own = generators(seeds)
    side = settings.size // 2 ** (len(folder.decoder.get("block_out_channels", (0,))) - 1)
    shape = (1, net.config.in_channels, side, side)
    x = torch.cat([torch.randn(shape, generator=one, dtype=net.dtype) for one in own]).to(
        net.device
    )
    scheduler.set_timesteps(settings.steps)
    x = x * scheduler.init_noise_sigma
    more = step_arguments(scheduler, settings, own)
    guided = labels is not None and null is not None and settings.guidance > 1
    for t in scheduler.timesteps:
        asked = scheduler.scale_model_input(x, t)
        if guided:
            told = torch.cat([labels, torch.full_like(labels, null)])  # type: ignore[list-item, arg-type]
            out = _called(net, torch.cat([asked, asked]), t, told)
            kept = x.shape[1]  # a learned variance is not guided
            sure, unsure = out.chunk(2)
            out = torch.cat(
                [
                    unsure[:, :kept] + settings.guidance * (sure[:, :kept] - unsure[:, :kept]),
                    sure[:, kept:],
                ],
                1,
            )
        else:
            out = _called(net, asked, t, labels)
        if (
            out.shape[1] == 2 * x.shape[1]
            and getattr(scheduler.config, "variance_type", None) not in LEARNED
        ):
            out = out[:, : x.shape[1]]  # the scheduler has a variance of its own
        x = scheduler.step(out, t, x, **more).prev_sample
    return _decoded(pipe, folder, x).div(2).add(0.5).clamp(0, 1)


def _called(net: Any, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
    return net(x, timestep=t.expand(len(x)).to(x.device), class_labels=labels).sample


def _decoded(pipe: Any, folder: Folder, x: Tensor) -> Tensor:
    if not folder.kind.decoder:
        return x
    decoder = getattr(pipe, folder.kind.decoder)
    return decoder.decode(x / decoder.config.scaling_factor).sample


def step_arguments(
    scheduler: Any, settings: Settings, own: list[torch.Generator]
) -> dict[str, Any]:
    """What a scheduler's step takes of the generators and of eta."""
    takes = inspect.signature(scheduler.step).parameters
    given = {"generator": own, "eta": settings.eta}
    return {name: value for name, value in given.items() if name in takes and value is not None}


def drawn(
    pipe: Any, folder: Folder, settings: Settings, seeds: Tensor, prompts: Sequence[str]
) -> Tensor:
    """Images float32 [n, 3, h, w] in 0 to 1 of a pipeline of texts, through its own call."""
    own = generators(seeds)
    words: dict[str, Any] = {
        "guidance_scale": settings.distilled if folder.told else max(settings.guidance, 1.0),
        **(folder.kind.forms or {}),
    }
    if folder.name == "FluxPipeline":
        negative = {"negative_prompt": [""] * len(own)} if settings.guidance > 1 else {}
        words = {
            "guidance_scale": settings.distilled or 0.0,
            "true_cfg_scale": settings.guidance,
            **negative,
        }
    if settings.eta is not None and "eta" in inspect.signature(pipe.__call__).parameters:
        words["eta"] = settings.eta
    if settings.tokens is not None:
        words["max_sequence_length"] = settings.tokens
    with (
        _given(pipe, settings, own)
        if folder.name == "LDMTextToImagePipeline"
        else contextlib.nullcontext()
    ):
        found = pipe(
            prompt=list(prompts),
            generator=own,
            num_inference_steps=settings.steps,
            height=settings.size,
            width=settings.size,
            output_type="pt",
            **words,
        )
    return found.images.float()


@contextlib.contextmanager
def _given(pipe: Any, settings: Settings, own: list[torch.Generator]) -> Iterator[None]:
    """The scheduler with the generators, which this pipeline does not hand to it."""
    step = pipe.scheduler.step
    more = (
        {"generator": own} if "generator" in step_arguments(pipe.scheduler, settings, own) else {}
    )

    @functools.wraps(step)
    def stepped(*args: Any, **words: Any) -> Any:
        return step(*args, **{**words, **more})

    pipe.scheduler.step = stepped
    try:
        yield
    finally:
        del pipe.scheduler.step


def evaluations(pipe: Any, settings: Settings) -> int:
    """Calls of the network for an image; with guidance each is of two."""
    # which asks for the size first, and takes no more steps
    if not getattr(pipe.scheduler.config, "use_dynamic_shifting", False):
        pipe.scheduler.set_timesteps(settings.steps)
        return len(pipe.scheduler.timesteps) * (2 if settings.guidance > 1 else 1)
    return settings.steps * (2 if settings.guidance > 1 else 1)
