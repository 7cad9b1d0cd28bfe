"""`dinov2-vit-l-14`: DINOv2 ViT-L/14, its class token behind the last norm,
under the three preprocessings that are called FD-DINOv2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import F, torch
from genbench.api.extractor import Extractor, File, Weights
from genbench.features.load_network import IMAGENET, fill, standardised, vision_transformer
from genbench.features.resize import resize
from genbench.io.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 224
LARGE = {"patch_size": 14, "embed_dim": 1024, "depth": 24, "num_heads": 16}
PUBLISHED_GRID = 518 // 14  # the position embeddings of the file are for images of 518 pixels
WEIGHTS = Weights(
    name="dinov2-vit-l-14",
    licence="Apache-2.0",
    files=(
        File(
            "dinov2_vitl14_pretrain.pth",
            sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
            bytes=1217586395,
            url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
            form="Meta's",
        ),
    ),
)

#: A parameter of timm's network, and where Hugging Face's file has it. Meta's own file has
#: timm's names.
HUGGING_FACE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    r"patch_embed\.proj": "embeddings.patch_embeddings.projection",
    r"blocks\.(\d+)\.attn\.proj": r"encoder.layer.\1.attention.output.dense",
    r"blocks\.(\d+)\.ls([12])\.gamma": r"encoder.layer.\1.layer_scale\2.lambda1",
    r"blocks\.(\d+)": r"encoder.layer.\1",
    r"norm(?=\.)": "layernorm",
}


def published_names(tensors: Mapping[str, Tensor]) -> Callable[[str], tuple[str, ...]]:
    """Under which names a file in Meta's, timm's or Hugging Face's format has a parameter."""
    if "embeddings.cls_token" not in tensors:
        return lambda name: (name,)

    def names(name: str) -> tuple[str, ...]:
        qkv = re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", name)
        if qkv:
            return tuple(
                f"encoder.layer.{qkv[1]}.attention.attention.{part}.{qkv[2]}"
                for part in ("query", "key", "value")
            )
        pattern, found = next(
            (pattern, found) for pattern, found in HUGGING_FACE.items() if re.match(pattern, name)
        )
        return (re.sub(f"^{pattern}", found, name),)

    return names


def resampled(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings [1, 1 + M*M, d] of a larger grid -> [1, 1 + grid*grid, d],
    as DINOv2 does it at run time.

    Its interpolate_pos_encoding: bicubic, not antialiased, half-pixel centres, by the scale (grid +
    0.1) / M, not grid / M: the 0.1 was put there against rounding of the size, and moves every
    position (the first code and today's, whose hub models set interpolate_offset=0.1 and
    interpolate_antialias=False, agree). timm and Hugging Face leave the 0.1 out, timm antialiases
    besides: their features differ.
    """
    M = math.isqrt(positions.shape[1] - 1)
    if grid == M:
        return positions
    square = positions[:, 1:].to(torch.float32).reshape(1, M, M, -1).permute(0, 3, 1, 2)
    scale = (grid + 0.1) / M
    patches = (
        F.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
        .flatten(2)
        .transpose(1, 2)
    )
    return torch.cat([positions[:, :1].to(torch.float32), patches], 1)


def read_network(weights: Path, settings: Mapping[str, Any]) -> Any:
    """The network for images of 224 pixels, from a file in Meta's, timm's or Hugging Face's format:
    images [n, 3, 224, 224] -> class token.
    """
    # layer scale, whose values the file has
    net = vision_transformer(img_size=SIZE, init_values=1.0, **settings)
    tensors = load_checkpoint(weights)
    (key,) = published_names(tensors)("pos_embed")
    if key in tensors and tensors[key].ndim == 3 and tensors[key].shape[1] == 1 + PUBLISHED_GRID**2:
        tensors[key] = resampled(tensors[key], SIZE // settings["patch_size"])
    return fill(
        net,
        tensors,
        weights,
        published_names(tensors),
        beside=("mask_token", "embeddings.mask_token"),
    )


def tower(
    device: Any, weights: Path, rule: str, settings: Mapping[str, Any]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> cls float32 [n, embed_dim];
    rule is the resize to 224x224.
    """
    net = read_network(weights, settings).to(device)

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return {"cls": net(standardised(resize(images, SIZE, rule), IMAGENET))}

    return extract


def load_dgm(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """dgm-eval: PIL's bicubic on 8 bits, rounded and clipped; the aspect ratio is not kept."""
    return tower(device, weights, "pil-uint8", LARGE)


def load_edm2(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """EDM2's default: torch's antialiased bicubic on floats,
    neither rounded nor clipped (it overshoots to about -27 and 288).
    """
    return tower(device, weights, "torch-bicubic-aa", LARGE)


def load_tf1(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """torch-fidelity: bilinear as TensorFlow 1 does it."""
    return tower(device, weights, "tf1", LARGE)


def _row(name: str, whose: str, resize: str, load: Callable[..., Any]) -> Extractor:
    return Extractor(
        name=name,
        title=f"DINOv2 ViT-L/14, preprocessed as {whose} does",
        outputs={"cls": 1024},
        size=SIZE,
        resize=resize,
        weights=WEIGHTS,
        trained_on=(
            "LVD-142M: images of the web retrieved by their likeness to ImageNet-22k, "
            "the training images of ImageNet-1k, Google Landmarks and others"
        ),
        load=load,
        package="timm",
    )


DGM = _row(
    "dinov2-vit-l-14",
    "dgm-eval",
    "R-P8: PIL bicubic on 8 bits to 224x224, rounded and clipped, the aspect ratio not kept",
    load_dgm,
)
EDM2 = _row(
    "dinov2-vit-l-14-edm2",
    "EDM2",
    "torch interpolate(bicubic, antialias=True) to 224x224 on floats, neither rounded nor clipped",
    load_edm2,
)
TF1 = _row(
    "dinov2-vit-l-14-tf1",
    "torch-fidelity",
    "R-TF1: bilinear as TensorFlow 1 does it to 224x224, not antialiased, not rounded",
    load_tf1,
)
