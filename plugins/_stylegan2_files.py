"""What StyleGAN2's files hold: the architecture, in the words of NVIDIA's `init_kwargs`,
and the generator's tensors under their names there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

import genbench
from genbench_plugins._stylegan2_rosinality import is_rosinalitys, translated

# the JSON's name in the metadata of safetensors, and of the tensor of its bytes among those of a
# trained network
SETTINGS = "init_kwargs"
# how a state dict of torch before 1.6 begins; another pickle is NVIDIA's
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LARGEST_JSON = 2**20  # bytes


@dataclass(frozen=True)
class Architecture:
    """What the networks are made from; the defaults are those of NVIDIA's classes."""

    z_dim: int
    c_dim: int  # classes; 0: unconditional
    w_dim: int
    img_resolution: int
    img_channels: int
    num_layers: int = 8  # of the mapping
    embed_features: int | None = None  # width of a class's embedding; None: w_dim
    layer_features: int | None = None  # width between the mapping's layers; None: w_dim
    lr_multiplier: float = 0.01
    # None: the mean of w was not kept, and nothing can be truncated
    w_avg_beta: float | None = 0.995
    channel_base: int = 32768  # features of a resolution r: min(channel_base / r, channel_max)
    channel_max: int = 512
    # how many of the highest resolutions are computed in half precision (on a GPU)
    num_fp16_res: int = 0
    conv_clamp: float | None = None
    architecture: str = "skip"
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    use_noise: bool = True
    # genbench's own: the images are enlarged so many times, bilinearly, as the digits are
    enlarge: int = 1

    @property
    def half_from(self) -> int:
        """The lowest resolution in half precision."""
        return max(2 ** (self.img_resolution.bit_length() - self.num_fp16_res), 8)

    def settings(self) -> dict[str, Any]:
        """The nested dictionary that `architecture_of` reads."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        inner: dict[str, dict[str, Any]] = {
            name: {key: said.pop(key) for key in keys if key in said}
            for name, keys in INNER.items()
        }
        return {**said, **inner}


NEEDED = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
OUTER = (*NEEDED, "enlarge")
INNER = {
    "mapping_kwargs": (
        "num_layers",
        "embed_features",
        "layer_features",
        "lr_multiplier",
        "w_avg_beta",
        "activation",
        "freeze_layers",
        "freeze_embed",
    ),
    "synthesis_kwargs": (
        *(
            "channel_base",
            "channel_max",
            "num_fp16_res",
            "conv_clamp",
            "architecture",
            "resample_filter",
            "use_noise",
        ),
        *("activation", "fp16_channels_last", "fused_modconv_default"),
    ),
}
# the defaults of its code for StyleGAN2, whose files have synthesis_kwargs at their top
STYLEGAN3 = {"num_fp16_res": 4, "conv_clamp": 256}


def _whole(low: int, high: int) -> tuple[Callable[[Any], bool], str]:
    return (
        lambda value: type(value) is int and low <= value <= high,
        f"a whole number, {low} to {high}",
    )


def _or_none(rule: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value is None or rule[0](value), f"{rule[1]}, or null"


def _one_of(*values: Any) -> tuple[Callable[[Any], bool], str]:
    return lambda value: any(
        value is one or (isinstance(one, str) and value == one) for one in values
    ), " or ".join(map(json.dumps, values))


POSITIVE = (lambda value: type(value) in (int, float) and 0 < value < 1e9, "a number above 0")
WIDTH = _whole(1, 2**14)
WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("z_dim", "w_dim", "channel_max"), WIDTH),
    **dict.fromkeys(("embed_features", "layer_features"), _or_none(WIDTH)),
    "c_dim": _whole(0, 2**14),
    "img_resolution": (
        lambda value: type(value) is int and 4 <= value <= 2**12 and value.bit_count() == 1,
        "a power of two, 4 to 4096",
    ),
    "img_channels": (lambda value: type(value) is int and value in (1, 3), "1 or 3"),
    "num_layers": _whole(1, 64),
    "lr_multiplier": POSITIVE,
    "channel_base": _whole(1, 2**20),
    "num_fp16_res": _whole(0, 16),
    "conv_clamp": _or_none(POSITIVE),
    "architecture": _one_of("skip", "orig", "resnet"),
    "resample_filter": (
        lambda value: (
            isinstance(value, list)
            and 1 <= len(value) <= 32
            and all(type(one) in (int, float) and 0 <= one < 1e9 for one in value)
            and any(value)
        ),
        "a list of numbers from 0, not all of them 0",
    ),
    "use_noise": _one_of(True, False),
    "w_avg_beta": _or_none(POSITIVE),
    "enlarge": _whole(1, 16),
    "activation": _one_of("lrelu"),
    # What follows is about training or speed, and no image depends on it
    "fp16_channels_last": _one_of(True, False),
    "fused_modconv_default": _one_of(True, False, "inference_only"),
    "freeze_layers": _whole(0, 64),
    "freeze_embed": _one_of(True, False),
}


def architecture_of(settings: Any, path: Path) -> Architecture:
    """The architecture that a file's settings say; UserError in one line for what cannot be."""
    if not isinstance(settings, Mapping) or not all(
        isinstance(settings.get(name, {}), Mapping) for name in INNER
    ):
        raise genbench.UserError(
            f"checkpoint {path}: its architecture is no JSON object of "
            f"{', '.join((*NEEDED, *INNER))}"
        )
    flat = {name: value for name, value in settings.items() if name in INNER["synthesis_kwargs"]}
    inner = {name: settings.get(name, {}) for name in INNER} | (
        {"synthesis_kwargs": STYLEGAN3 | flat} if flat else {}
    )
    outer = {
        name: value for name, value in settings.items() if name not in INNER and name not in flat
    }
    for content, known in ((outer, OUTER), *((inner[name], INNER[name]) for name in INNER)):
        for name, value in content.items():
            if name not in known:
                raise genbench.UserError(
                    f"checkpoint {path}: its architecture says {str(name)[:40]!r}, "
                    "which no StyleGAN2 of NVIDIA's has there"
                )
            right, wanted = WANTED[name]
            if not right(value):
                raise genbench.UserError(
                    f"checkpoint {path}: its architecture says {name}={str(value)[:40]!r}; "
                    f"wanted is {wanted}"
                )
    missing = [name for name in NEEDED if name not in outer]
    if missing:
        raise genbench.UserError(f"checkpoint {path}: its architecture does not say {missing[0]}")
    found = {**outer, **inner["mapping_kwargs"], **inner["synthesis_kwargs"]}
    return Architecture(
        **{
            field.name: _frozen(found[field.name])
            for field in fields(Architecture)
            if field.name in found
        }
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def read(path: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """The architecture and the tensors of a file: NVIDIA's pickle (its G_ema),
    rosinality's (its g_ema), or safetensors or a state dict with its JSON.
    """
    settings: Any
    if _is_pickle(path):
        network = genbench.load_network(path)
        settings, tensors = network.settings, dict(network.tensors)
        if network.kind != "Generator":
            raise genbench.UserError(
                f"checkpoint {path}: its G_ema is a {network.kind[:40]!r}, not a Generator"
            )
    else:
        tensors = genbench.load_checkpoint(path, parts=("g_ema", "state_dict"))
        if is_rosinalitys(tensors):
            return _rosinalitys(path, tensors)
        settings = _settings(path, tensors)
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise genbench.UserError(
            f"checkpoint {path} is a generator of StyleGAN3; stylegan2 reads StyleGAN2 "
            "and StyleGAN2-ADA"
        )
    return architecture_of(settings, path), {
        name: tensor.float() for name, tensor in tensors.items()
    }


def _rosinalitys(path: Path, tensors: dict[str, Tensor]) -> tuple[Architecture, dict[str, Tensor]]:
    try:
        settings, found = translated({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, ValueError, IndexError) as error:
        raise genbench.UserError(
            f"checkpoint {path} is not a whole generator of rosinality's: "
            f"{' '.join(str(error).split())[:120]}"
        ) from None
    return architecture_of(settings, path), found


def _start(path: Path) -> bytes:
    """The bytes that tell what a file is; b"" where there is none, which its reader says."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(len(TORCH))


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle of networks."""
    return _start(path)[:1] == b"\x80" and _start(path) != TORCH and not _is_safetensors(path)


def _is_safetensors(path: Path) -> bool:
    """Eight bytes of length, the first of which may be a pickle's, then JSON."""
    return _start(path)[8:9] == b"{"


def _settings(path: Path, tensors: dict[str, Tensor]) -> Any:
    """The architecture's JSON: the bytes of a tensor, which is taken out;
    the safetensors' metadata; or the .json beside the file.
    """
    beside = path.with_suffix(".json")
    if SETTINGS in tensors:
        text = bytes(tensors.pop(SETTINGS).flatten()[:LARGEST_JSON].to(torch.uint8).tolist())
    elif said := _metadata(path).get(SETTINGS):
        text = said.encode()
    elif beside.is_file():
        with beside.open("rb") as file:
            text = file.read(LARGEST_JSON)
    else:
        raise genbench.UserError(
            f"checkpoint {path} does not say its architecture: put the JSON of its {SETTINGS} into "
            f"{beside.name} beside it"
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise genbench.UserError(
            f"checkpoint {path}: what says its architecture is not JSON"
        ) from None


def _metadata(path: Path) -> dict[str, str]:
    if not _is_safetensors(path):
        return {}
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
