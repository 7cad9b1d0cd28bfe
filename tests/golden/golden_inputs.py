"""Seeded inputs of the golden numbers: arrays, images, and random weights in published formats.

numpy's RandomState is used because its stream never changes; numbers are rounded to binary
fractions, so that they are equal on every machine.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import tempfile
import zlib
from pathlib import Path

import numpy as np

from genbench.api.metric_inputs import Arrays
from genbench.features import clip_tokenizer
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.statistics.blocks import blocks_of

CLASSES = 4

#: Rows of the samples, the reference and the training split, and the width of features. The
#: Fréchet distance computes each of the first three in another way.
SIZES = {
    "wide": (120, 100, 110, 8),  # more rows than columns
    "narrow": (64, 70, 72, 80),  # fewer rows than columns
    "uneven": (160, 40, 50, 48),  # fewer rows than columns in the reference only
    "tied": (120, 100, 110, 8),  # with copies, rows of zeros and equal logits
    "near": (90, 100, 80, 8),  # samples that are all near to a row of the reference
    "many": (1000, 1000, 60, 8),  # so that shares move in small steps
    "large": (5200, 1010, 60, 8),  # for constants that ask for subsets of 1,000 or blocks of 5,000
}


# Arrays for metrics


def make_arrays(data, needs):
    """Return the arrays of a data set that a metric needs."""
    n, m, t, d = SIZES[data]
    rng = np.random.RandomState(zlib.crc32(data.encode()))
    labels = {"labels": np.arange(n) % CLASSES, "reference": np.arange(m) % CLASSES}
    spread = 1 / (1 + np.arange(d) / 2)  # so that neighbours say something where columns are many
    wide = 0.7 + (np.arange(n) % 5 == 0)[:, None]  # each fifth sample lies far outside
    made = {
        "samples": _round(spread * (wide * rng.randn(n, d) + 0.4)),
        "reference": _round(spread * rng.randn(m, d)),
        "train": _round(spread * rng.randn(t, d)),
        "labels": labels["labels"],
        "logits": _round(rng.randn(n, CLASSES) + 2 * np.eye(CLASSES)[labels["labels"]]),
        "reference_logits": _round(
            rng.randn(m, CLASSES) + 2 * np.eye(CLASSES)[labels["reference"]]
        ),
        "pairs": _round(np.exp(rng.randn(n))),
        "originals": _round(spread * rng.randn(m, d)),
        "between": _round(rng.rand(m)),
        "prompts": _round(0.7 * rng.rand(n, 1) - 0.2),
    }
    made["reconstructions"] = _round(0.8 * made["originals"] + 0.1 * rng.randn(m, d) + 0.1)
    if data == "tied":
        _tie(made)
    if data == "near":
        made["samples"] = _round(made["reference"][np.arange(n) % m] + 0.05 * rng.randn(n, d))
    made["ahead"] = ahead_of_rows(made["samples"], made["labels"]) if "ahead" in needs else None
    made["sums"] = (
        sums_of_rows(made["samples"], blocks_of(made["labels"]), made["labels"])
        if "sums" in needs
        else None
    )
    return Arrays({need: made[need] for need in needs})


def _tie(made):
    """Put copies within and between the sets, rows of zeros, and equal logits and pairs."""
    made["samples"][:20] = made["reference"][5:25]
    made["samples"][30] = made["samples"][31] = made["reference"][5] = made["reference"][7]
    made["train"][:10] = made["samples"][40:50]
    made["train"][20] = made["train"][21]
    for need in ("samples", "reference"):
        made[need][60] = 0.0
    for need in ("logits", "reference_logits", "pairs", "reconstructions"):
        made[need][:10] = made[need][10:20]
    made["logits"][:, 1] = made["logits"][:, 0]
    made["reconstructions"][40:60] = made["originals"][40:60]


def _round(array, bits=10):
    return np.round(array * 2**bits) / 2**bits


# Images


def make_images(count, height, width, seed=3):
    """Return blotches of colour under fine noise, uint8 [count, 3, height, width].

    The images are unlike one another and have edges that a wrong resize would move.
    """
    import torch

    rng = np.random.RandomState(seed)
    blotches = rng.randint(0, 256, (count, 3, 5, 5))
    down, across = np.arange(height) * 5 // height, np.arange(width) * 5 // width
    noise = rng.randint(-60, 61, (count, 3, height, width))
    return torch.from_numpy(
        np.clip(blotches[:, :, down][:, :, :, across] + noise, 0, 255).astype(np.uint8)
    )


def make_image_sizes(size):
    """Return two sizes (height, width), one to enlarge and one to shrink to the network's input.

    size: of that input, 0 for a network that takes images as they are.
    """
    return (
        ((size // 5, size // 4), (size * 6 // 5, size * 5 // 4)) if size else ((12, 14), (48, 40))
    )


# Weights

DEPTH = 2  # blocks of a vision transformer; the published depth is a golden number of its own
MERGES = ("r e", "re d</w>", "s q", "o n</w>", "sq u", "squ a", "b l", "bl u", "t h", "th e</w>")
PROMPTS = ("a red square on blue", "", "the digit 3", "red " * 100)


@functools.cache
def _folder():
    """Return the temporary folder of this process's weights."""
    return tempfile.TemporaryDirectory(prefix="genbench-golden-")


def find_weights(row):
    """Return the files that an extractor is loaded from: its own, or files of seeded numbers."""
    if row.weights is None:
        return ()
    own = Path(inspect.getsourcefile(row.load)).parent / row.weights.files[0].file
    vocabulary = (_make_vocabulary(),) if row.vocabulary else ()
    return (own if own.is_file() else _make_weights(row.weights.name), *vocabulary)


@functools.cache
def _make_weights(name):
    import torch

    if name not in SHAPES:
        raise SystemExit(
            f"no shapes for the weights {name}: add them to SHAPES in tests/golden/golden_inputs.py"
        )
    path = Path(_folder().name) / f"{name}.pth"
    torch.save(
        {key: make_parameter(key, tuple(shape)) for key, shape in SHAPES[name]().items()}, path
    )
    return path


def make_parameter(name, shape):
    """Return a seeded parameter, float32 and exact in float16.

    Its scale is one at which signals neither die nor drown in biases. The rows of a matrix share
    their numbers (each is the last one shifted by one), so that large networks have small files.
    """
    import torch

    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) < 2 or name.endswith(("token", "embedding", "pos_embed")):
        small = 0.1 * rng.randn(*shape)
        positive = name.endswith(("running_var", "weight", "gamma"))
        numbers = (
            1 + np.clip(small, -0.5, 0.5)
            if positive
            else small * (0.3 if name.endswith("bias") else 1)
        )
        return torch.from_numpy(np.asarray(numbers)).half().float()
    row = math.prod(shape[1:])
    numbers = torch.from_numpy(rng.randn(row + shape[0] - 1) * math.sqrt(2 / row)).half().float()
    return numbers.as_strided(
        shape, (1, *(math.prod(shape[i + 1 :]) for i in range(1, len(shape))))
    )


def _inception_shapes():
    from genbench.features.extractors import inception

    shapes = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for conv in inception.convolutions():
        shapes[f"{conv.name}.conv.weight"] = (conv.width, conv.into, *conv.kernel)
        shapes |= {
            f"{conv.name}.bn.{part}": (conv.width,)
            for part in ("weight", "bias", "running_mean", "running_var")
        }
    return shapes


def _torchvision_shapes(model, prefix=""):
    import torch
    import torchvision

    with torch.device("meta"):
        net = getattr(torchvision.models, model)(
            weights=None, **({"init_weights": False} if "inception" in model else {})
        )
    return {
        name: tensor.shape
        for name, tensor in net.state_dict().items()
        if name.startswith(prefix) and tensor.ndim
    }


def _clip_shapes(settings, out, text):
    """Return the shapes of OpenAI's file.

    settings: of the tower of images; text: width and depth of the tower of texts.
    """
    width, patch, (text_width, text_depth) = settings["embed_dim"], settings["patch_size"], text
    places, pieces = (
        (settings["img_size"] // patch) ** 2 + 1,
        len(clip_tokenizer.read(_make_vocabulary()).numbers),
    )
    shapes = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (places, width),
        "visual.conv1.weight": (width, 3, patch, patch),
    }
    shapes |= {
        f"visual.{norm}.{part}": (width,)
        for norm in ("ln_pre", "ln_post")
        for part in ("weight", "bias")
    }
    shapes |= {"visual.proj": (width, out), "text_projection": (text_width, out), "logit_scale": ()}
    shapes |= {
        "token_embedding.weight": (pieces, text_width),
        "positional_embedding": (77, text_width),
    }
    shapes |= {f"ln_final.{part}": (text_width,) for part in ("weight", "bias")}
    for tower, w, depth in (("visual.", width, DEPTH), ("", text_width, text_depth)):
        for i in range(depth):
            block = {"ln_1.weight": (w,), "ln_1.bias": (w,), "ln_2.weight": (w,), "ln_2.bias": (w,)}
            block |= {
                "attn.in_proj_weight": (3 * w, w),
                "attn.in_proj_bias": (3 * w,),
                "attn.out_proj.weight": (w, w),
                "attn.out_proj.bias": (w,),
            }
            block |= {
                "mlp.c_fc.weight": (4 * w, w),
                "mlp.c_fc.bias": (4 * w,),
                "mlp.c_proj.weight": (w, 4 * w),
                "mlp.c_proj.bias": (w,),
            }
            shapes |= {
                f"{tower}transformer.resblocks.{i}.{name}": shape for name, shape in block.items()
            }
    return shapes


def _dinov2_shapes():
    w = 1024
    shapes = {
        "cls_token": (1, 1, w),
        "pos_embed": (1, 1370, w),
        "mask_token": (1, w),
        "norm.weight": (w,),
        "norm.bias": (w,),
    }
    shapes |= {"patch_embed.proj.weight": (w, 3, 14, 14), "patch_embed.proj.bias": (w,)}
    for i in range(DEPTH):
        block = {
            "norm1.weight": (w,),
            "norm1.bias": (w,),
            "attn.qkv.weight": (3 * w, w),
            "attn.qkv.bias": (3 * w,),
            "attn.proj.weight": (w, w),
        }
        block |= {
            "attn.proj.bias": (w,),
            "ls1.gamma": (w,),
            "norm2.weight": (w,),
            "norm2.bias": (w,),
            "mlp.fc1.weight": (4 * w, w),
        }
        block |= {
            "mlp.fc1.bias": (4 * w,),
            "mlp.fc2.weight": (w, 4 * w),
            "mlp.fc2.bias": (w,),
            "ls2.gamma": (w,),
        }
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    return shapes


#: By the name of a row's weights, the shapes of a published file of them.
SHAPES = {
    "inception": _inception_shapes,
    "inception-tv": lambda: _torchvision_shapes("inception_v3"),
    "vgg16": lambda: _torchvision_shapes("vgg16"),
    "lpips-alex": lambda: _torchvision_shapes("alexnet", "features."),
    "lpips-vgg": lambda: _torchvision_shapes("vgg16", "features."),
    "lpips-squeeze": lambda: _torchvision_shapes("squeezenet1_1", "features."),
    "clip-vit-b-32": lambda: _clip_shapes(
        {"img_size": 224, "patch_size": 32, "embed_dim": 768}, 512, (512, 12)
    ),
    "clip-vit-l-14-336": lambda: _clip_shapes(
        {"img_size": 336, "patch_size": 14, "embed_dim": 1024}, 768, (768, 12)
    ),
    "dinov2-vit-l-14": _dinov2_shapes,
}


@functools.cache
def _make_vocabulary():
    path = Path(_folder().name) / "merges.txt"
    path.write_text("\n".join(["#version: golden", *MERGES]) + "\n")
    return path


@contextlib.contextmanager
def shallow_transformers():
    """Cut the published transformers to DEPTH blocks, and embed few texts at once, to save time."""
    from genbench.features.extractors import clip, dinov2

    settings = (clip.B_32, clip.L_14_336, dinov2.LARGE)
    before, texts = [one["depth"] for one in settings], clip.TEXTS
    for one in settings:
        one["depth"] = DEPTH
    clip.TEXTS = len(PROMPTS)
    try:
        yield
    finally:
        for one, depth in zip(settings, before, strict=True):
            one["depth"] = depth
        clip.TEXTS = texts


def find_transformer_settings(name):
    """Return the published sizes of a vision transformer, by name; None for other networks."""
    from genbench.features.extractors import clip, dinov2

    tables = {
        "clip-vit-b-32": clip.B_32,
        "clip-vit-l-14-336": clip.L_14_336,
        "dinov2-vit-l-14": dinov2.LARGE,
    }
    return [float(tables[name][key]) for key in sorted(tables[name])] if name in tables else None
