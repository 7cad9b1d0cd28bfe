"""What BigGAN's files hold, ajbrock's and Hugging Face's,
as an architecture and the tensors of `_biggan.Generator`.

Spectral norms are divided out as each code's evaluation does: by ajbrock's from the stored u after
one step of the power method, by torch's from the stored u and v. Statistics of the batch
normalisations are the stored ones; of Hugging Face's table the row of the truncation.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import genbench
from genbench_plugins._biggan import Architecture, Stage

Statistics = Literal["interpolated", "theirs"]
EPS = 1e-5  # of ajbrock's batch normalisation
WEIGHTS, CONFIG = "pytorch_model.bin", "config.json"  # of Hugging Face's folder
# of ajbrock's deep stages, in channels of G_ch
WIDTHS = {
    3: (4, 4, 4, 4),
    4: (16, 16, 8, 4, 2),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
}
LARGEST_JSON = 2**20  # bytes


class Wrong(Exception):
    """What is wrong with a file; `read` names it."""


def stored(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by its own names: ajbrock's, or Hugging Face's folder or weights,
    with the bytes of config.json as one more tensor.

    This is what `genbench convert` writes: Hugging Face's statistics for every truncation are in
    it, not those of one.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise genbench.UserError(
            f"checkpoint {path} has no {WEIGHTS}, beside which Hugging Face's BigGAN "
            f"keeps its {CONFIG}"
        )
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in genbench.load_checkpoint(file).items()
    }
    config = file.with_name(CONFIG)
    if CONFIG in tensors or not _is_huggingface(tensors) or not config.is_file():
        return tensors
    with config.open("rb") as text:
        return tensors | {CONFIG: torch.tensor(list(text.read(LARGEST_JSON)), dtype=torch.uint8)}


def _is_huggingface(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("generator.gen_z.") for name in tensors)


def read(
    path: Path, truncation: float, statistics: Statistics
) -> tuple[Architecture, dict[str, Tensor], str]:
    """The architecture, the tensors of `_biggan.Generator` and the usual kind of
    truncation of a file.
    """
    # Copied, since safetensors begin anywhere in memory, and where a matrix begins decides in which
    # order its products are added up
    tensors = {name: tensor.float().clone() for name, tensor in stored(path).items()}
    try:
        if _is_huggingface(tensors):
            return *_huggingface(tensors, _config(tensors), truncation, statistics), "truncnorm"
        if "linear.weight" in tensors and "blocks.0.0.conv1.weight" in tensors:
            return *_ajbrock(tensors), "std"
        raise Wrong(
            "it is neither ajbrock's BigGAN (linear, blocks) nor Hugging Face's (generator.gen_z)"
        )
    except KeyError as error:
        raise genbench.UserError(f"checkpoint {path} lacks {error}") from None
    except (Wrong, RuntimeError, IndexError) as error:
        # RuntimeError: of torch, where shapes do not fit
        raise genbench.UserError(
            f"checkpoint {path} cannot be read as BigGAN: {' '.join(str(error).split())[:200]}"
        ) from None


# ajbrock/BigGAN-PyTorch: G_ema_best0.pth, a bare state dict; the arguments that it was made with
# lie in a file that holds code, and are read off the shapes


def _ajbrock(tensors: Mapping[str, Tensor]) -> tuple[Architecture, dict[str, Tensor]]:
    count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    deep = "blocks.0.0.conv3.weight" in tensors
    shared = tensors.get("shared.weight")
    found: dict[str, Tensor] = {}
    for i in range(count):
        for name in ("conv1", "conv2", *(("conv3", "conv4") if deep else ("conv_sc",))):
            if f"blocks.{i}.0.{name}.weight" in tensors:
                found |= _layer(
                    tensors, f"blocks.{i}.0.{name}", f"blocks.{i}.{name.replace('conv_sc', 'skip')}"
                )
        for name in ("bn1", "bn2", *(("bn3", "bn4") if deep else ())):
            found |= _norm(
                tensors,
                f"blocks.{i}.0.{name}",
                f"blocks.{i}.{name.replace('bn', 'norm')}",
                told=shared is not None,
            )
        if f"blocks.{i}.1.theta.weight" in tensors:
            for name in ("theta", "phi", "g", "o"):
                found |= _layer(tensors, f"blocks.{i}.1.{name}", f"blocks.{i}.attention.{name}")
            found[f"blocks.{i}.attention.gamma"] = tensors[f"blocks.{i}.1.gamma"].reshape(())
    mean, rstd = _statistics(tensors, "output_layer.0")
    found["scale"] = tensors["output_layer.0.gain"] * rstd
    found["shift"] = tensors["output_layer.0.bias"] - mean * found["scale"]
    found |= _layer(tensors, "linear", "start") | _layer(tensors, "output_layer.2", "paint")
    told = found["blocks.0.norm1.gain.weight"].shape[1]
    # without a shared embedding a class is a unit vector
    found["embedding.weight"] = torch.eye(told) if shared is None else shared
    classes, embedding = found["embedding.weight"].shape
    sides = [
        (
            found[f"blocks.{i}.norm1.mean"].shape[0],
            found[f"blocks.{i}.conv{4 if deep else 2}.weight"].shape[0],
        )
        for i in range(count)
    ]
    grows = _grows(sides) if deep else [True] * count
    piece = found["start.weight"].shape[1]
    pieces = 1 if deep or told == embedding else count + 1
    made = Architecture(
        deep=deep,
        classes=classes,
        embedding=embedding,
        z_dim=piece - embedding if deep else piece * pieces,
        pieces=pieces,
        bottom=math.isqrt(found["start.weight"].shape[0] // sides[0][0]),
        stages=tuple(
            Stage(*side, up, f"blocks.{i}.attention.gamma" in found)
            for i, (side, up) in enumerate(zip(sides, grows, strict=True))
        ),
    )
    return made, found


def _layer(tensors: Mapping[str, Tensor], name: str, ours: str) -> dict[str, Tensor]:
    """A layer's weight, divided by its largest singular value where the code normalises it,
    and its bias where it has one.
    """
    weight = tensors[f"{name}.weight"]
    if f"{name}.u0" in tensors:
        matrix = weight.flatten(1)
        v = F.normalize(tensors[f"{name}.u0"] @ matrix, eps=1e-12)
        u = F.normalize(v @ matrix.T, eps=1e-12)
        weight = weight / (v @ matrix.T @ u.T).squeeze()
    bias = {f"{ours}.bias": tensors[f"{name}.bias"]} if f"{name}.bias" in tensors else {}
    return {f"{ours}.weight": weight, **bias}


def _norm(tensors: Mapping[str, Tensor], name: str, ours: str, *, told: bool) -> dict[str, Tensor]:
    """A conditional normalisation; not told: its gain and shift are looked up by class,
    [classes, c], which is linear in the class's unit vector.
    """
    mean, rstd = _statistics(tensors, name)
    found = {f"{ours}.mean": mean, f"{ours}.rstd": rstd}
    for theirs, named in (("gain", "gain"), ("bias", "shift")):
        weight = _layer(tensors, f"{name}.{theirs}", "layer")["layer.weight"]
        found[f"{ours}.{named}.weight"] = weight if told else weight.T.contiguous()
    return found


def _statistics(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """The stored mean, and 1 / deviation, of one of three kinds of normalisation:
    ajbrock's usual one, his own ("bn" inside it), or the synchronised one.
    """
    kinds = (
        (f"{name}.stored_mean", f"{name}.stored_var"),
        (f"{name}.bn.stored_mean", f"{name}.bn.stored_var"),
        (f"{name}.bn.running_mean", f"{name}.bn.running_var"),
    )
    there = next((kind for kind in kinds if kind[0] in tensors), kinds[0])
    return tensors[there[0]], (tensors[there[1]] + EPS).rsqrt()


def _grows(sides: list[tuple[int, int]]) -> list[bool]:
    """Which deep blocks double the size: the last of each stage.

    How many blocks make a stage follows from the widths alone.
    """
    for stages, widths in WIDTHS.items():
        depth, left = divmod(len(sides), stages)
        unit = sides[0][0] // widths[0]
        pairs = [
            (widths[s] * unit, widths[s + (d > 0)] * unit)
            for s in range(stages)
            for d in range(depth)
        ]
        if not left and depth and pairs == sides:
            return [d == depth - 1 for _ in range(stages) for d in range(depth)]
    raise Wrong(
        f"no BigGAN-deep has blocks of {', '.join(f'{a} to {b}' for a, b in sides[:12])} channels"
    )


# Hugging Face's pytorch-pretrained-BigGAN: the weights of DeepMind's BigGAN-deep, with statistics
# for 51 truncations


def _config(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The configuration, which is taken out of the tensors,
    its values of the kinds that are needed.
    """
    if CONFIG not in tensors:
        raise Wrong(f"there is no {CONFIG} beside it, which says its layers")
    text = bytes(tensors.pop(CONFIG).flatten()[:LARGEST_JSON].to(torch.uint8).tolist())
    try:
        said = json.loads(text)
        layers = [(bool(up), int(into), int(out)) for up, into, out in said["layers"]]
        found = {
            name: int(said[name])
            for name in ("channel_width", "attention_layer_position", "n_stats")
        } | {"eps": float(said["eps"]), "layers": layers}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Wrong(
            f"its {CONFIG} does not say channel_width, layers, attention_layer_position, "
            f"n_stats and eps ({type(error).__name__}: {error})"
        ) from None
    if not (1 <= len(layers) <= 32 and 1 < int(said["n_stats"]) <= 1001 and float(said["eps"]) > 0):
        raise Wrong(
            f"its {CONFIG} says {len(layers)} layers, {found['n_stats']} statistics and eps "
            f"{found['eps']}"
        )
    return found


def _huggingface(
    tensors: Mapping[str, Tensor],
    said: Mapping[str, Any],
    truncation: float,
    statistics: Statistics,
) -> tuple[Architecture, dict[str, Tensor]]:
    plain = _normalised(tensors)
    width, (z_dim, classes) = said["channel_width"], plain["embeddings.weight"].shape
    # theirs is z, then the class
    order = [*range(z_dim, plain["generator.gen_z.weight"].shape[1]), *range(z_dim)]
    found = {"embedding.weight": plain["embeddings.weight"].T.contiguous()}
    first = said["layers"][0][1] * width
    for name, parameter in (
        ("weight", plain["generator.gen_z.weight"][:, order]),
        ("bias", plain["generator.gen_z.bias"]),
    ):
        # theirs are places, then channels
        found[f"start.{name}"] = (
            parameter.unflatten(0, (-1, first)).transpose(0, 1).flatten(0, 1).contiguous()
        )
    places = [
        re.fullmatch(r"generator\.layers\.(\d+)\.bn_0\.running_means", name) for name in plain
    ]
    blocks = sorted(int(place[1]) for place in places if place)
    if len(blocks) != len(said["layers"]):
        raise Wrong(f"it has {len(blocks)} blocks, and its {CONFIG} says {len(said['layers'])}")

    def row(name: str) -> Tensor:
        return _row(plain[name], truncation, statistics)

    for i, layer in enumerate(blocks):
        for k in range(4):
            there, ours = f"generator.layers.{layer}.bn_{k}", f"blocks.{i}.norm{k + 1}"
            found |= {
                f"{ours}.mean": row(f"{there}.running_means"),
                f"{ours}.rstd": (row(f"{there}.running_vars") + said["eps"]).rsqrt(),
            }
            found |= {
                f"{ours}.gain.weight": plain[f"{there}.scale.weight"][:, order],
                f"{ours}.shift.weight": plain[f"{there}.offset.weight"][:, order],
            }
            found |= {
                f"blocks.{i}.conv{k + 1}.{part}": plain[f"generator.layers.{layer}.conv_{k}.{part}"]
                for part in ("weight", "bias")
            }
    attends = said["attention_layer_position"]  # it stands before this block
    if f"generator.layers.{attends}.gamma" in plain and attends > 0:
        there, ours = f"generator.layers.{attends}", f"blocks.{attends - 1}.attention"
        names = {"theta": "theta", "phi": "phi", "g": "g", "o": "o_conv"}
        found |= {
            f"{ours}.{name}.weight": plain[f"{there}.snconv1x1_{theirs}.weight"]
            for name, theirs in names.items()
        }
        found[f"{ours}.gamma"] = plain[f"{there}.gamma"].reshape(())
    found["scale"] = (
        plain["generator.bn.weight"] * (row("generator.bn.running_vars") + said["eps"]).rsqrt()
    )
    found["shift"] = plain["generator.bn.bias"] - row("generator.bn.running_means") * found["scale"]
    found |= {
        f"paint.{part}": plain[f"generator.conv_to_rgb.{part}"][:3] for part in ("weight", "bias")
    }
    stages = tuple(
        Stage(into * width, out * width, up, f"blocks.{i}.attention.gamma" in found)
        for i, (up, into, out) in enumerate(said["layers"])
    )
    bottom = math.isqrt(plain["generator.gen_z.weight"].shape[0] // first)
    return Architecture(True, classes, z_dim, len(order) - z_dim, 1, bottom, stages), found


def _normalised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights divided by the singular value of torch's spectral_norm, u W v of what is stored;
    the rest as it is.
    """
    found = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if last == "weight_orig":
            found[f"{stem}.weight"] = tensor / (
                tensors[f"{stem}.weight_u"] @ tensor.flatten(1) @ tensors[f"{stem}.weight_v"]
            )
        elif last not in ("weight_u", "weight_v"):
            found[name] = tensor
    return found


def _row(table: Tensor, truncation: float, statistics: Statistics) -> Tensor:
    """The statistics [c] of a truncation, from a table [n, c] for truncations 0 to 1.

    theirs: as Hugging Face's code takes them, whose weights between two rows are exchanged, and
    whose division is that of floats.
    """
    if statistics == "theirs":
        share, low = math.modf(truncation / (1.0 / (len(table) - 1)))
        return (
            table[int(low)]
            if share == 0
            else table[int(low)] * share + table[int(low) + 1] * (1 - share)
        )
    place = truncation * (len(table) - 1)
    low = min(int(place), len(table) - 2)
    return torch.lerp(table[low], table[low + 1], place - low)
