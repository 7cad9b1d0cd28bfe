"""`clip-vit-b-32` and `clip-vit-l-14-336`: OpenAI's CLIP image towers, their projected embedding, not normalised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.checkpoints import load_tensors
from genbench.lazy import torch
from genbench.networks import CLIP, fill, standardised, vision_transformer
from genbench.resizes import centre_square, clip_crop, resize
from genbench.rows import Extractor, File, Weights

if TYPE_CHECKING:
    from torch import Tensor

B_32 = {"img_size": 224, "patch_size": 32, "embed_dim": 768, "depth": 12, "num_heads": 12}
L_14_336 = {"img_size": 336, "patch_size": 14, "embed_dim": 1024, "depth": 24, "num_heads": 16}


def _weights(name: str, file: str, sha256: str, size: int) -> Weights:
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"  # OpenAI publishes the hash in the address
    return Weights(name=name, licence="MIT", files=(File(file, sha256=sha256, bytes=size, url=url, form="OpenAI's TorchScript archive, float16"),))


B_32_WEIGHTS = _weights("clip-vit-b-32", "ViT-B-32.pt", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", 353976522)
L_14_WEIGHTS = _weights("clip-vit-l-14-336", "ViT-L-14-336px.pt", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", 934088680)

#: A parameter of timm's network (the pattern), and where OpenAI's (and open_clip's) file and Hugging Face's have it.
OPENAI = {
    "cls_token": "visual.class_embedding",
    "pos_embed": "visual.positional_embedding",
    r"patch_embed\.proj": "visual.conv1",
    r"norm_pre": "visual.ln_pre",
    r"norm(?=\.)": "visual.ln_post",
    r"head\.weight": "visual.proj",
    r"blocks\.(\d+)\.norm": r"visual.transformer.resblocks.\1.ln_",
    r"blocks\.(\d+)\.attn\.qkv\.": r"visual.transformer.resblocks.\1.attn.in_proj_",
    r"blocks\.(\d+)\.attn\.proj": r"visual.transformer.resblocks.\1.attn.out_proj",
    r"blocks\.(\d+)\.mlp\.fc1": r"visual.transformer.resblocks.\1.mlp.c_fc",
    r"blocks\.(\d+)\.mlp\.fc2": r"visual.transformer.resblocks.\1.mlp.c_proj",
}
HUGGING_FACE = {
    "cls_token": "vision_model.embeddings.class_embedding",
    "pos_embed": "vision_model.embeddings.position_embedding.weight",
    r"patch_embed\.proj": "vision_model.embeddings.patch_embedding",
    r"norm_pre": "vision_model.pre_layrnorm",  # so it is spelt there
    r"norm(?=\.)": "vision_model.post_layernorm",
    r"head\.weight": "visual_projection.weight",
    r"blocks\.(\d+)\.norm": r"vision_model.encoder.layers.\1.layer_norm",
    r"blocks\.(\d+)\.attn\.proj": r"vision_model.encoder.layers.\1.self_attn.out_proj",
    r"blocks\.(\d+)\.mlp": r"vision_model.encoder.layers.\1.mlp",
}
# What these files hold besides: the tower of texts, and numbers about the network.
BESIDE = (
    *("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "logit_scale"),
    *("input_resolution", "context_length", "vocab_size", "text_model.", "vision_model.embeddings.position_ids"),
)


def openai_names(name: str) -> tuple[str, ...]:
    """Under which name OpenAI's file has a parameter."""
    return (_renamed(name, OPENAI),)


def hugging_face_names(name: str) -> tuple[str, ...]:
    """Under which names Hugging Face's file has a parameter: query, key and value stand apart."""
    qkv = re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", name)
    if qkv:
        return tuple(f"vision_model.encoder.layers.{qkv[1]}.self_attn.{part}_proj.{qkv[2]}" for part in "qkv")
    return (_renamed(name, HUGGING_FACE),)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    pattern = next(pattern for pattern in table if re.match(pattern, name))
    return re.sub(f"^{pattern}", table[pattern], name)


def read_tower(weights: Path, width: int, settings: Mapping[str, Any]) -> Any:
    """The image tower with its projection to `width`, from a file in OpenAI's, open_clip's or Hugging Face's format.

    QuickGELU, layer norms with epsilon 1e-5, no bias in the projection. The file's float16 values are taken as float32.
    """
    tensors = load_tensors(weights)
    norm = partial(torch.nn.LayerNorm, eps=1e-5)
    net = vision_transformer(pre_norm=True, norm_layer=norm, act_layer="quick_gelu", **settings)
    net.head = torch.nn.Linear(settings["embed_dim"], width, bias=False, device="meta")
    if "visual_projection.weight" in tensors:
        return fill(net, tensors, weights, hugging_face_names, BESIDE)
    if "visual.proj" in tensors:
        tensors["visual.proj"] = tensors["visual.proj"].T  # [embed_dim, width] there
    return fill(net, tensors, weights, openai_names, BESIDE)


def _extract(net: Any, device: Any, prepare: Callable[[Tensor], Tensor]) -> Callable[[Tensor], dict[str, Tensor]]:
    net.to(device)

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return {"embedding": net(standardised(prepare(images), CLIP))}

    return extract


def load_b_32(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 512], as clean-fid and OpenAI preprocess.

    On a GPU their network runs in float16, ours in float32. Float images are rounded here; clean-fid cuts their fractions off.
    """
    return _extract(read_tower(weights, 512, B_32), device, lambda images: clip_crop(images, 224))


def load_b_32_tf1(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 512], as torch-fidelity preprocesses."""
    return _extract(read_tower(weights, 512, B_32), device, lambda images: resize(images, 224, "tf1"))


def load_l_14_336(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 768], as CMMD preprocesses; CMMD's division by the length belongs to the metric."""
    return _extract(read_tower(weights, 768, L_14_336), device, lambda images: resize(centre_square(images), 336, "pil-uint8"))


def _row(name: str, title: str, width: int, size: int, resize: str, weights: Weights, load: Callable[..., Any]) -> Extractor:
    trained_on = "400 million pairs of images and texts from the web, not published (OpenAI's WIT)"
    return Extractor(name, title, {"embedding": width}, size, resize, weights, trained_on, load, package="timm")


CLIP_B_32 = _row(
    name="clip-vit-b-32",
    title="CLIP ViT-B/32, preprocessed as clean-fid and OpenAI do",
    width=512,
    size=224,
    resize="R-P8: PIL bicubic on 8 bits, the shorter side to 224, rounded and clipped, then the middle 224x224",
    weights=B_32_WEIGHTS,
    load=load_b_32,
)
CLIP_B_32_TF1 = _row(
    name="clip-vit-b-32-tf1",
    title="CLIP ViT-B/32, preprocessed as torch-fidelity does",
    width=512,
    size=224,
    resize="R-TF1: bilinear as TensorFlow 1 does it to 224x224, not antialiased, not rounded, the aspect ratio not kept",
    weights=B_32_WEIGHTS,
    load=load_b_32_tf1,
)
CLIP_L_14_336 = _row(
    name="clip-vit-l-14-336",
    title="CLIP ViT-L/14 at 336 pixels, preprocessed as CMMD does",
    width=768,
    size=336,
    resize="R-P8: the middle square, then PIL bicubic on 8 bits to 336x336, rounded and clipped",
    weights=L_14_WEIGHTS,
    load=load_l_14_336,
)
