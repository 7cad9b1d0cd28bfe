"""Public diffusion checkpoints as a U-Net of `_ddpm_unet` and its settings:
w86763777/pytorch-ddpm's and CBDM's ckpt.pt, ermongroup/ddim's ckpt.pth.

Their hyper-parameters lie in a flagfile.txt or a YAML beside them; without one the shapes and the
codes' defaults are taken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import genbench
from genbench_plugins._ddpm_samplers import SCHEDULES
from genbench_plugins._ddpm_unet import Kind

SETTINGS = "settings"  # the tensor of the JSON's bytes in a file of ours
# where a file keeps its weights, the averaged ones first; ddim's file is a list
PARTS = ("ema_model", 4, "net_model", 0, "state_dict")
FLAGS = "flagfile.txt"
LARGEST_TEXT = 2**20  # bytes of a flagfile or a YAML
KINDS = {
    "pytorch-ddpm": Kind(eps=1e-5, pads=(1, 1, 1, 1)),  # and CBDM
    "ddim": Kind(eps=1e-6, pads=(0, 1, 0, 1)),
}
# pixels where the published networks attend; what a file without settings says of its size
ATTENDS = 16


@dataclass(frozen=True)
class Settings:
    """What the shapes do not say."""

    code: str  # of KINDS
    size: int  # of the images
    beta_1: float = 1e-4
    beta_T: float = 0.02  # noqa: N815 - the codes' name
    schedule: str = "linear"
    var_type: str = "fixedlarge"


class Wrong(Exception):
    """What is wrong with a file; `read` names it."""


def read(path: Path) -> tuple[Settings, dict[str, Tensor]] | None:
    """The settings, and the tensors by the names of `_ddpm_unet`; None for a file of another kind.

    Reading runs nothing that is in it.

    path: the checkpoint, or the folder of one, whose identity then has the settings in it.
    """
    path = _checkpoint(path) if path.is_dir() else path
    found = genbench.load_checkpoint(path, parts=PARTS)
    tensors = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    try:
        if SETTINGS in tensors and "times" in tensors:
            return _ours(bytes(tensors.pop(SETTINGS).tolist())), tensors
        floats = {name: tensor.float() for name, tensor in tensors.items()}
        if "time_embedding.timembedding.0.weight" in tensors:
            return _pytorch_ddpm(path, floats)
        return _ddim(path, floats) if "temb.dense.0.weight" in tensors else None
    except KeyError as error:
        raise genbench.UserError(f"checkpoint {path} lacks {error}") from None
    except (Wrong, ValueError, IndexError) as error:
        raise genbench.UserError(
            f"checkpoint {path} cannot be read as a diffusion model: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


def _checkpoint(folder: Path) -> Path:
    """The checkpoint in a folder of a training: ckpt.pt or ckpt.pth,
    or the only ckpt_STEP there.
    """
    there = sorted(one for one in folder.iterdir() if re.fullmatch(r"ckpt(_\d+)?\.pth?", one.name))
    named = [one for one in there if one.stem == "ckpt"] or there
    if len(named) != 1:
        raise genbench.UserError(
            f"{folder} holds {len(there) or 'no'} checkpoints ckpt.pt, ckpt.pth or ckpt_STEP.pt; "
            f"name one: --checkpoint {folder}/FILE"
        )
    return named[0]


def packed(settings: Settings) -> Tensor:
    """The settings as a tensor of a checkpoint of ours."""
    return torch.tensor(list(json.dumps(asdict(settings)).encode()), dtype=torch.uint8)


def _ours(text: bytes) -> Settings:
    said = json.loads(text)
    if not isinstance(said, dict) or said.keys() != {field.name for field in fields(Settings)}:
        raise Wrong("its settings are not those of genbench")
    return _checked(said)


def _checked(said: Mapping[str, Any]) -> Settings:
    """Settings of the kinds and in the ranges that can be."""
    rules: dict[str, tuple[Any, str]] = {
        "code": (lambda value: value in KINDS, " or ".join(KINDS)),
        "size": (
            lambda value: type(value) is int and 4 <= value <= 2048,
            "a whole number, 4 to 2048",
        ),
        **dict.fromkeys(
            ("beta_1", "beta_T"),
            (
                lambda value: type(value) in (int, float) and 0 < value < 1,
                "a number between 0 and 1",
            ),
        ),
        "schedule": (lambda value: value in SCHEDULES, " or ".join(SCHEDULES)),
        "var_type": (
            lambda value: value in ("fixedlarge", "fixedsmall"),
            "fixedlarge or fixedsmall",
        ),
    }
    for name, value in said.items():
        right, wanted = rules[name]
        if not right(value):
            raise Wrong(f"{name} is {str(value)[:40]!r}; wanted is {wanted}")
    return Settings(**said)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST_TEXT).decode("utf-8", "replace")


def _renamed(
    tensors: Mapping[str, Tensor], rules: Mapping[str, str], leave_out: str
) -> dict[str, Tensor]:
    """Tensors by our names: the first rule whose pattern begins a name replaces its beginning;
    what matches leave_out is left out.
    """
    found = {}
    for name, tensor in tensors.items():
        if re.match(leave_out, name):
            continue
        ours = next(
            (
                re.sub(f"^{pattern}", into, name)
                for pattern, into in rules.items()
                if re.match(pattern, name)
            ),
            None,
        )
        if ours is None:
            raise Wrong(f"it has {name[:80]!r}, which no such network has")
        found[ours] = tensor
    return found


def _size(tensors: Mapping[str, Tensor]) -> int:
    """The side of the images, from the level on which the network attends to 16 x 16 places;
    32 where it does so nowhere.
    """
    for level, layer in enumerate(_levels(tensors)):
        if layer:
            return ATTENDS * 2**level
    return 32


def _levels(tensors: Mapping[str, Tensor]) -> list[bool]:
    """Whether each level on the way down attends; levels end where the side is halved."""
    count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("down."))
    levels = [False]
    for i in range(min(count, 256)):
        if f"down.{i}.conv1.weight" not in tensors:
            levels.append(False)
        levels[-1] |= f"down.{i}.attention.q.weight" in tensors
    return levels


# w86763777/pytorch-ddpm and CBDM: {net_model, ema_model, sched, optim, step, x_T}


FLAT = {
    r"time_embedding\.timembedding\.0\.weight": "times",
    r"time_embedding\.timembedding\.1\.": "time.0.",
    r"time_embedding\.timembedding\.3\.": "time.2.",
    r"label_embedding\.": "labels.",
    r"head\.": "start.",
    r"tail\.([02])\.": r"end.\1.",
    **{
        rf"{side}blocks\.(\d+)\.{theirs}": rf"{side}.\1.{ours}"
        for side in ("down", "middle", "up")
        for theirs, ours in {
            r"block1\.0\.": "norm1.",
            r"block1\.2\.": "conv1.",
            r"temb_proj\.1\.": "time.",
            r"block2\.0\.": "norm2.",
            r"block2\.3\.": "conv2.",
            r"shortcut\.": "skip.",
            r"attn\.group_norm\.": "attention.norm.",
            r"attn\.proj\.": "attention.out.",
            r"attn\.proj_": "attention.",
            r"main\.": "conv.",
        }.items()
    },
}
# linear and without bias in what was done to an image, which at sampling is nothing: it adds 0
AUGMENTED = r"augm_embedding\."


def _pytorch_ddpm(path: Path, theirs: dict[str, Tensor]) -> tuple[Settings, dict[str, Tensor]]:
    tensors = _renamed(theirs, FLAT, AUGMENTED)
    flags = _flags(path.with_name(FLAGS))
    if flags.get("mean_type", "epsilon") != "epsilon":
        raise Wrong(
            f"its {FLAGS} says --mean_type={flags['mean_type'][:40]}; their sampler itself "
            "takes epsilon alone"
        )
    if "T" in flags and flags["T"] != str(len(tensors["times"])):
        raise Wrong(
            f"its {FLAGS} says --T={flags['T'][:40]}, and the network has "
            f"{len(tensors['times'])} times"
        )
    kinds = {
        "beta_1": ("beta_1", float),
        "beta_T": ("beta_T", float),
        "var_type": ("var_type", str),
        "img_size": ("size", int),
    }
    said: dict[str, Any] = {
        ours: kind(flags[flag]) for flag, (ours, kind) in kinds.items() if flag in flags
    }
    return _checked({"code": "pytorch-ddpm", "size": _size(tensors)} | said), tensors


def _flags(path: Path) -> dict[str, str]:
    """absl's flagfile, a line --name=value each; of a name that comes more than once the last.

    {} where there is none.
    """
    return dict(re.findall(r"^--(\w+)=(.*)$", _text(path), re.MULTILINE)) if path.is_file() else {}


# ermongroup/ddim: a list [model, optimizer, epoch, step, ema], or a bare state dict of pesser's
# converted ones


# what ddim's own config.yml is tagged with; read as a dictionary, and nothing is made of it
NAMESPACE = "tag:yaml.org,2002:python/object:argparse.Namespace"
AROUND = {
    r"temb\.dense\.0\.": "time.0.",
    r"temb\.dense\.1\.": "time.2.",
    r"conv_in\.": "start.",
    r"norm_out\.": "end.0.",
    r"conv_out\.": "end.2.",
    r"mid\.block_1\.": "middle.0.",
    r"mid\.attn_1\.": "middle.0.attention.",
    r"mid\.block_2\.": "middle.1.",
    r"(?=(down|up)\.\d+\.)": "",  # the levels, which have their names already
}
WITHIN = {
    ".temb_proj.": ".time.",
    ".nin_shortcut.": ".skip.",
    ".conv_shortcut.": ".skip.",
    ".proj_out.": ".out.",
}
UNUSED = r"logvar$"  # of their "bayesian" type, which no sampler reads


def _ddim(path: Path, theirs: dict[str, Tensor]) -> tuple[Settings, dict[str, Tensor]]:
    config = _config(path)
    data, model, diffusion = (config.get(part, {}) for part in ("data", "model", "diffusion"))
    if not all(isinstance(part, dict) for part in (data, model, diffusion)):
        raise Wrong("its YAML has no dictionaries data, model and diffusion")
    if not data.get("rescaled", True) or data.get("logit_transform", False):
        raise Wrong(
            "its YAML says that images were not rescaled to -1 to 1 in training, "
            "or went through a logit, which is not known here"
        )
    tensors = _renamed(_flattened(theirs), AROUND, UNUSED)
    steps = diffusion.get("num_diffusion_timesteps", 1000)
    if type(steps) is not int or not 1 <= steps <= 100_000:
        raise Wrong(
            f"num_diffusion_timesteps is {str(steps)[:40]!r}; wanted is a whole number, 1 to 100000"
        )
    tensors["times"] = sinusoids(steps, tensors["start.weight"].shape[0])
    names = {
        "image_size": "size",
        "beta_start": "beta_1",
        "beta_end": "beta_T",
        "beta_schedule": "schedule",
    }
    said = {
        ours: part[theirs]
        for part in (data, diffusion)
        for theirs, ours in names.items()
        if theirs in part
    }
    return _checked({"code": "ddim", "size": _size(tensors)} | said), tensors


def _flattened(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the levels by flat places: down.LEVEL.block.I -> down.K, as forward takes them;
    the others as they are named.
    """
    found = [match for name in theirs if (match := re.match(r"down\.(\d+)\.block\.(\d+)\.", name))]
    levels, blocks = (1 + max((int(match[i]) for match in found), default=0) for i in (1, 2))

    def flat(name: str) -> str:
        match = re.fullmatch(r"(down|up)\.(\d+)\.(?:(block|attn)\.(\d+)|\w+sample)\.(.+)", name)
        if match is None:
            return name
        side, level, what, place, rest = match.groups()
        count = blocks if side == "down" else blocks + 1  # of a level, before it is resized
        first = (int(level) if side == "down" else levels - 1 - int(level)) * (count + 1)
        return (
            f"{side}.{first + (int(place) if place else count)}."
            f"{'attention.' if what == 'attn' else ''}{rest}"
        )

    return {
        reduce(lambda ours, rule: ours.replace(*rule), WITHIN.items(), flat(name)): tensor
        for name, tensor in theirs.items()
    }


def sinusoids(times: int, width: int) -> Tensor:
    """The embedding [times, width] of every time as tensor2tensor has it: sines, then cosines."""
    half = width // 2
    angles = torch.arange(times)[:, None] * torch.exp(
        torch.arange(half) * (-math.log(10000) / (half - 1))
    )
    return F.pad(torch.cat([angles.sin(), angles.cos()], 1), (0, width % 2))


def _config(path: Path) -> dict[str, Any]:
    """The configuration beside a checkpoint: config.yml, or the only YAML there;
    {} where there is none.
    """
    there = sorted(one for one in path.parent.iterdir() if one.suffix in (".yml", ".yaml"))
    named = [one for one in there if one.stem == "config"] or there
    if not named:
        return {}
    if len(named) > 1:
        raise Wrong(
            "several YAMLs lie beside it; name the one that belongs to it config.yml "
            f"({', '.join(one.name for one in named)[:100]})"
        )
    try:
        import yaml
    except ImportError:
        raise genbench.UserError(
            f'{named[0]} needs PyYAML to be read: pip install "genbench[yaml]"'
        ) from None

    class Plain(yaml.SafeLoader):
        """Safe, and their bags of attributes are dictionaries."""

    Plain.add_constructor(NAMESPACE, lambda loader, node: loader.construct_mapping(node, deep=True))
    try:
        config = yaml.load(_text(named[0]), Plain)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise Wrong(f"{named[0].name} beside it is no plain YAML: {error}") from None
    if not isinstance(config, dict):
        raise Wrong(f"{named[0].name} beside it is no dictionary")
    return config
