"""What VQGAN's files hold: taming-transformers' YAML and checkpoint,
or tensors with the architecture's JSON among them, as `genbench train` writes them.

A YAML's `target:` names code. Here it is compared with the names that are known, and
never imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import genbench
from genbench_plugins._vqgan import GROUPS, Architecture

SETTINGS = "architecture"  # the tensor of the bytes of the architecture's JSON
# in the folder of a training of taming-transformers
CHECKPOINT, CONFIGS = "checkpoints/last.ckpt", "configs/*-project.yaml"
LARGEST_TEXT = 2**20  # bytes of a YAML or JSON
# discriminators, LPIPS' network; a label or a fixed token needs no weights
IGNORED = ("first_stage_model.loss.", "loss.", "cond_stage_model.")
MASK = ".attn.mask"  # of the transformer: a triangle of ones

WHOLE, AUTOENCODERS = (
    "taming.models.cond_transformer.Net2NetTransformer",
    ("taming.models.vqgan.VQModel", "taming.models.vqgan.GumbelVQ"),
)
GPT = "taming.modules.transformer.mingpt.GPT"
LABELS, TOKEN, NO_CONDITION = (
    "taming.modules.util.Labelator",
    "taming.modules.util.SOSProvider",
    "__is_unconditional__",
)
ORDERS = "taming.modules.transformer.permuter."
UNUSED = ("taming.modules.losses.", "taming.lr_scheduler.")  # of training; Gumbel's temperature too


class Wrong(Exception):
    """What is wrong with a file; `read` names it."""


@dataclass(frozen=True)
class Place:
    """The two files of a checkpoint: its tensors, and its YAML where there is one."""

    tensors: Path
    config: Path | None


def place_of(path: Path) -> Place:
    """Where a checkpoint's files lie: a training's folder, its .ckpt, or one file alone.

    A YAML is looked for beside the file, and in ../configs.
    """
    file = path / CHECKPOINT if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise genbench.UserError(
            f"checkpoint {path} has no {CHECKPOINT}; name the .ckpt itself, with its YAML beside it"
        )
    found = sorted(path.glob(CONFIGS)) if path.is_dir() else []
    found = found or [
        *sorted(file.parent.glob("*.yaml")),
        *sorted(file.parent.parent.glob(CONFIGS)),
    ]
    own = file.with_suffix(".yaml")
    if own in found or len(found) <= 1:
        return Place(file, own if own in found else next(iter(found), None))
    raise genbench.UserError(
        f"checkpoint {path}: which YAML is its own, of {', '.join(one.name for one in found)}? "
        f"name it {own.name}"
    )


def read(path: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """The architecture and the tensors of a checkpoint;
    UserError in one line for any other file.
    """
    place = place_of(path)
    tensors = dict(genbench.load_checkpoint(place.tensors))
    try:
        if SETTINGS in tensors:
            return _own(tensors), {name: tensor.float() for name, tensor in tensors.items()}
        if place.config is None:
            raise Wrong(
                "taming-transformers' YAML lies neither beside it nor in ../configs: "
                f"bring it as {place.tensors.with_suffix('.yaml').name}"
            )
        return _theirs(_yaml(place.config), tensors)
    except Wrong as error:
        raise genbench.UserError(f"checkpoint {path}: {error}") from None


def settings_of(made: Architecture) -> Tensor:
    """An architecture as `read` finds it among tensors, uint8."""
    return torch.tensor(list(json.dumps(asdict(made)).encode()), dtype=torch.uint8)


def _own(tensors: dict[str, Tensor]) -> Architecture:
    text = bytes(tensors.pop(SETTINGS).flatten()[:LARGEST_TEXT].to(torch.uint8).tolist())
    try:
        said = dict(json.loads(text))
        return _checked(
            {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
        )
    except (ValueError, TypeError, RecursionError):
        raise Wrong("what says its architecture is not JSON of it") from None


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError:
        raise genbench.UserError(
            'vqgan reads a YAML, and PyYAML is not installed: pip install "genbench[yaml]"'
        ) from None
    if path.stat().st_size > LARGEST_TEXT:
        raise Wrong(f"{path.name} is no configuration: it is larger than {LARGEST_TEXT >> 20} MB")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Wrong(
            f"{path.name} is not plain YAML: {' '.join(str(error).split())[:160]}"
        ) from None
    if not isinstance(found, Mapping) or not isinstance(found.get("model"), Mapping):
        raise Wrong(f"{path.name} has no model: part")
    return found["model"]


def _theirs(
    model: Mapping[str, Any], tensors: dict[str, Tensor]
) -> tuple[Architecture, dict[str, Tensor]]:
    """taming-transformers': the architecture that the YAML says,
    and the tensors under the names of `_vqgan.Networks`.
    """
    for target in _targets(model):
        if target not in (WHOLE, *AUTOENCODERS, GPT, LABELS, TOKEN) and not target.startswith(
            (ORDERS, *UNUSED)
        ):
            raise Wrong(
                f"its YAML asks for {target[:80]!r}, which is not known here; "
                "nothing of that name was imported"
            )
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(IGNORED) and not name.endswith(MASK)
    }
    kind = model.get("target")
    if kind in AUTOENCODERS:
        kept = {f"first_stage_model.{name}": tensor for name, tensor in kept.items()}
        said = _autoencoder(model)
    elif kind == WHOLE:
        said = _whole(_params(model))
    else:
        raise Wrong(
            f"its YAML's model is {str(kind)[:80]!r}; known are {', '.join((WHOLE, *AUTOENCODERS))}"
        )
    used = kept.get("first_stage_model.quantize.used")
    said |= {
        "used": 0 if used is None else len(used),
        "permuted": any(name.startswith("permuter.") for name in kept),
    }
    return _checked(said), {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in kept.items()
    }


def _targets(of: Any, depth: int = 0) -> Iterator[str]:
    """Every `target` below a node of the YAML; an anchor that holds itself ends."""
    if depth > 32:
        raise Wrong("its YAML is nested more than 32 deep")
    inner = of.values() if isinstance(of, Mapping) else of if isinstance(of, list) else ()
    if isinstance(of, Mapping) and "target" in of:
        yield str(of["target"])
    for one in inner:
        yield from _targets(one, depth + 1)


def _params(of: Any) -> Mapping[str, Any]:
    found = of.get("params") if isinstance(of, Mapping) else None
    if not isinstance(found, Mapping):
        raise Wrong(
            "its YAML has no params under "
            f"{str(of.get('target') if isinstance(of, Mapping) else of)[:80]!r}"
        )
    return found


def _autoencoder(of: Mapping[str, Any]) -> dict[str, Any]:
    params = _params(of)
    inner = params.get("ddconfig")
    if not isinstance(inner, Mapping):
        raise Wrong("its YAML has no ddconfig")
    said = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in inner.items()
        if key in KNOWN
    }
    return (
        said
        | {key: params.get(key) for key in ("n_embed", "embed_dim")}
        | {"gumbel": of.get("target") == AUTOENCODERS[1]}
    )


def _whole(params: Mapping[str, Any]) -> dict[str, Any]:
    first = params.get("first_stage_config")
    if not isinstance(first, Mapping) or first.get("target") not in AUTOENCODERS:
        raise Wrong(f"its YAML's first stage is none of {', '.join(AUTOENCODERS)}")
    inner = _params(params.get("transformer_config"))
    said = _autoencoder(first) | {
        key: inner[key]
        for key in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
        if key in inner
    }
    condition = params.get("cond_stage_config")
    target = condition.get("target") if isinstance(condition, Mapping) else condition
    if params.get("unconditional") or condition == NO_CONDITION:
        return said | {"sos_token": params.get("sos_token", 0)}
    if target == LABELS:
        return said | {"classes": _params(condition).get("n_classes")}
    if target == TOKEN:
        return said | {"sos_token": _params(condition).get("sos_token")}
    raise Wrong(
        f"its images are drawn on the condition {str(target)[:80]!r}; known are labels ({LABELS}) "
        f"and none ({NO_CONDITION})"
    )


Rule = tuple[Callable[[Any], bool], str]  # whether a value is right, and what is wanted


def _whole_number(low: int, high: int) -> Rule:
    return (
        lambda value: type(value) is int and low <= value <= high,
        f"a whole number, {low} to {high}",
    )


def _whole_numbers(least: int, high: int) -> Rule:
    right = _whole_number(1, high)[0]
    return (
        lambda value: (
            isinstance(value, tuple) and least <= len(value) <= 16 and all(map(right, value))
        ),
        f"a list of whole numbers, 1 to {high}",
    )


FLAG: Rule = (lambda value: isinstance(value, bool), "true or false")
WIDTH = _whole_number(1, 2**14)
WANTED: dict[str, Rule] = {
    "resolution": _whole_number(4, 2**12),
    **dict.fromkeys(
        ("in_channels", "out_ch"), (lambda value: type(value) is int and value in (1, 3), "1 or 3")
    ),
    "ch": (
        lambda value: type(value) is int and 0 < value <= 2**12 and value % GROUPS == 0,
        f"a multiple of {GROUPS}",
    ),
    "ch_mult": _whole_numbers(1, 64),
    "num_res_blocks": _whole_number(1, 64),
    "attn_resolutions": _whole_numbers(0, 2**12),
    **dict.fromkeys(("z_channels", "embed_dim", "n_embd"), WIDTH),
    **dict.fromkeys(
        ("n_embed", "vocab_size", "block_size", "classes", "sos_token", "used"),
        _whole_number(0, 2**20),
    ),
    "n_layer": _whole_number(0, 256),
    "n_head": _whole_number(1, 256),
    "enlarge": _whole_number(1, 16),
    **dict.fromkeys(("double_z", "resamp_with_conv", "gumbel", "permuted"), FLAG),
}
KNOWN = tuple(field.name for field in fields(Architecture))


def _checked(said: Mapping[str, Any]) -> Architecture:
    """The architecture, once every value is one that it may have."""
    for name, value in said.items():
        if name not in WANTED:
            raise Wrong(f"its architecture says {str(name)[:40]!r}, which is not known here")
        right, wanted = WANTED[name]
        if not right(value):
            raise Wrong(f"its architecture says {name}={str(value)[:40]!r}; wanted is {wanted}")
    missing = [field for field in KNOWN[:10] if field not in said]
    if missing:
        raise Wrong(f"its architecture does not say {missing[0]}")
    made = Architecture(**said)
    if made.double_z:
        raise Wrong("its architecture says double_z, which is of autoencoders without a codebook")
    if made.resolution % 2 ** (len(made.ch_mult) - 1):
        raise Wrong(
            f"its architecture halves {made.resolution} pixels {len(made.ch_mult) - 1} times, "
            "which is no whole number"
        )
    if made.vocab_size and (made.block_size < made.side**2 or made.n_embd % made.n_head):
        raise Wrong(
            f"its transformer sees {made.block_size} tokens of {made.n_embd} numbers in "
            f"{made.n_head} heads, and an image has {made.side**2}"
        )
    highest = max(made.classes - 1, made.sos_token, 0)
    if made.vocab_size and highest >= made.vocab_size:
        raise Wrong(
            f"its transformer knows {made.vocab_size} tokens, and its condition is token {highest}"
        )
    return made
