"""`clip-vit-b-32` and `clip-vit-l-14-336`: OpenAI's CLIP image towers, their projected embedding,
not normalised; and both towers, of images and of texts: `clip-text-b-32` and `clip-text-l-14-336`,
the cosine of each image with its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import F, torch
from genbench.api.extractor import Extractor, File, Weights
from genbench.features.clip_tokenizer import CONTEXT, Vocabulary
from genbench.features.clip_tokenizer import read as read_vocabulary
from genbench.features.load_network import CLIP, fill, standardised, vision_transformer
from genbench.features.resize import centre_square, clip_crop, resize
from genbench.io.checkpoints import load_tensors

if TYPE_CHECKING:
    from torch import Tensor

B_32 = {"img_size": 224, "patch_size": 32, "embed_dim": 768, "depth": 12, "num_heads": 12}
L_14_336 = {"img_size": 336, "patch_size": 14, "embed_dim": 1024, "depth": 24, "num_heads": 16}


def _weights(name: str, file: str, sha256: str, size: int) -> Weights:
    # OpenAI publishes the hash in the address
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
    return Weights(
        name=name,
        licence="MIT",
        files=(
            File(
                file,
                sha256=sha256,
                bytes=size,
                url=url,
                form="OpenAI's TorchScript archive, float16",
            ),
        ),
    )


B_32_WEIGHTS = _weights(
    "clip-vit-b-32",
    "ViT-B-32.pt",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    353976522,
)
VOCABULARY = Weights(
    name="clip-bpe",
    licence="MIT",
    files=(
        File(
            "bpe_simple_vocab_16e6.txt.gz",
            sha256="924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
            bytes=1356917,
            url=(
                "https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_"
                "vocab_16e6.txt.gz"
            ),
            form="OpenAI's list of merges",
        ),
    ),
)
L_14_WEIGHTS = _weights(
    "clip-vit-l-14-336",
    "ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    934088680,
)

#: A parameter of timm's network (the pattern), and where OpenAI's (and open_clip's) file and
#: Hugging Face's have it.
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
#: The same of the tower of texts.
OPENAI_TEXT = {
    r"tokens\.": "token_embedding.",
    r"places\.weight": "positional_embedding",
    r"blocks\.(\d+)\.": r"transformer.resblocks.\1.",
    r"norm\.": "ln_final.",
    r"head\.weight": "text_projection",
}
HUGGING_FACE_TEXT = {
    r"tokens\.": "text_model.embeddings.token_embedding.",
    r"places\.": "text_model.embeddings.position_embedding.",
    r"blocks\.(\d+)\.ln_": r"text_model.encoder.layers.\1.layer_norm",
    r"blocks\.(\d+)\.attn\.out_proj": r"text_model.encoder.layers.\1.self_attn.out_proj",
    r"blocks\.(\d+)\.mlp\.c_fc": r"text_model.encoder.layers.\1.mlp.fc1",
    r"blocks\.(\d+)\.mlp\.c_proj": r"text_model.encoder.layers.\1.mlp.fc2",
    r"norm\.": "text_model.final_layer_norm.",
    r"head\.weight": "text_projection.weight",
}
# What these files hold besides: the other tower, and numbers about the network.
BESIDE_TEXT = (
    *(
        "visual.",
        "vision_model.",
        "visual_projection.",
        "logit_scale",
        "text_model.embeddings.position_ids",
    ),
    *("input_resolution", "context_length", "vocab_size"),
)
BESIDE = (
    *(
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "logit_scale",
    ),
    *(
        "input_resolution",
        "context_length",
        "vocab_size",
        "text_model.",
        "vision_model.embeddings.position_ids",
    ),
)
TRAINED_ON = "400 million pairs of images and texts from the web, not published (OpenAI's WIT)"
DEPICTS = "A photo depicts "  # Hessel et al.'s, before a caption
TEXTS = 64  # to a call


def openai_names(name: str) -> tuple[str, ...]:
    """Under which name OpenAI's file has a parameter."""
    return (_renamed(name, OPENAI),)


def hugging_face_names(name: str) -> tuple[str, ...]:
    """Under which names Hugging Face's file has a parameter: query, key and value stand apart."""
    qkv = re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", name)
    if qkv:
        return tuple(
            f"vision_model.encoder.layers.{qkv[1]}.self_attn.{part}_proj.{qkv[2]}" for part in "qkv"
        )
    return (_renamed(name, HUGGING_FACE),)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    pattern = next(pattern for pattern in table if re.match(pattern, name))
    return re.sub(f"^{pattern}", table[pattern], name)


def read_tower(weights: Path, width: int, settings: Mapping[str, Any]) -> Any:
    """The image tower with its projection to `width`, from a file in OpenAI's,
    open_clip's or Hugging Face's format.

    QuickGELU, layer norms with epsilon 1e-5, no bias in the projection. The file's float16 values
    are taken as float32.
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


def hugging_face_text_names(name: str) -> tuple[str, ...]:
    """Under which names Hugging Face's file has a parameter of the tower of texts."""
    qkv = re.fullmatch(r"blocks\.(\d+)\.attn\.in_proj_(weight|bias)", name)
    if qkv:
        return tuple(
            f"text_model.encoder.layers.{qkv[1]}.self_attn.{part}_proj.{qkv[2]}" for part in "qkv"
        )
    return (_renamed(name, HUGGING_FACE_TEXT),)


def read_text_tower(weights: Path, width: int, depth: int, out: int, pieces: int) -> Any:
    """The tower of texts: its parameters in modules, which `text_embedding` computes with.

    pieces: of the vocabulary.
    """
    tensors = load_tensors(weights)

    def block() -> Any:
        mlp = torch.nn.ModuleDict(
            {"c_fc": torch.nn.Linear(width, 4 * width), "c_proj": torch.nn.Linear(4 * width, width)}
        )
        norms = {name: torch.nn.LayerNorm(width) for name in ("ln_1", "ln_2")}
        return torch.nn.ModuleDict(
            {"attn": torch.nn.MultiheadAttention(width, width // 64 or 1), "mlp": mlp, **norms}
        )

    with torch.device("meta"):
        net = torch.nn.ModuleDict(
            {
                "tokens": torch.nn.Embedding(pieces, width),
                "places": torch.nn.Embedding(CONTEXT, width),
                "blocks": torch.nn.ModuleList(block() for _ in range(depth)),
                "norm": torch.nn.LayerNorm(width),
                "head": torch.nn.Linear(width, out, bias=False),
            }
        )
    if "text_projection.weight" in tensors:
        return fill(net, tensors, weights, hugging_face_text_names, BESIDE_TEXT)
    if "text_projection" in tensors:
        tensors["text_projection"] = tensors["text_projection"].T  # [width, out] there
    return fill(net, tensors, weights, lambda name: (_renamed(name, OPENAI_TEXT),), BESIDE_TEXT)


def text_embedding(net: Any, numbers: Tensor) -> Tensor:
    """Texts int64 [n, 77], padded after their end -> float32 [n, out]:
    the last layer at the end of each text, projected (Radford et al. 2021, section 2.4).
    """
    x = net["tokens"](numbers) + net["places"].weight
    for block in net["blocks"]:
        attention = block["attn"]
        parts = F.linear(block["ln_1"](x), attention.in_proj_weight, attention.in_proj_bias).chunk(
            3, -1
        )
        q, k, v = (part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in parts)
        x = x + attention.out_proj(
            F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        )
        hidden = block["mlp"]["c_fc"](block["ln_2"](x))
        x = x + block["mlp"]["c_proj"](hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU
    ends = numbers.argmax(1)  # its number is the largest
    return net["head"](net["norm"](x)[torch.arange(len(x), device=x.device), ends])


class Texts:
    """Embeddings of texts, each computed once: of length 1, float32 [n, out]."""

    def __init__(self, net: Any, vocabulary: Vocabulary, device: Any) -> None:
        self.net, self.vocabulary, self.device = net.to(device), vocabulary, device
        self.known: dict[str, Tensor] = {}

    def __call__(self, texts: list[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        for at in range(0, len(new), TEXTS):
            some = new[at : at + TEXTS]
            # always as many, as a kernel follows the shape
            rows = [self.vocabulary.encoded(text) for text in [*some, *[""] * (TEXTS - len(some))]]
            numbers = torch.tensor(
                [row + [0] * (CONTEXT - len(row)) for row in rows], device=self.device
            )
            self.known |= zip(
                some, F.normalize(text_embedding(self.net, numbers), dim=1), strict=False
            )
        return torch.stack([self.known[text] for text in texts])


def compared(
    settings: Mapping[str, Any], out: int, text: tuple[int, int], size: int
) -> Callable[..., Any]:
    """load of a row that compares images with prompts; text:
    width and depth of the tower of texts.
    """

    def load(
        device: Any, weights: Path, vocabulary: Path
    ) -> Callable[[Tensor, list[str]], dict[str, Tensor]]:
        """Images [n, 3, h, w] in 0 to 255 and n prompts -> the cosine of each with its prompt,
        and with "A photo depicts " before it, float32 [n, 1].
        """
        image = _extract(
            read_tower(weights, out, settings), device, lambda images: clip_crop(images, size)
        )
        words = read_vocabulary(vocabulary)
        texts = Texts(read_text_tower(weights, *text, out, len(words.numbers)), words, device)

        def extract(images: Tensor, prompts: list[str]) -> dict[str, Tensor]:
            embedded = F.normalize(image(images)["embedding"], dim=1)
            with torch.no_grad():
                captions = {
                    "cosine": texts(prompts),
                    "cosine_depicts": texts([DEPICTS + prompt for prompt in prompts]),
                }
            return {
                name: (embedded * caption).sum(1, keepdim=True)
                for name, caption in captions.items()
            }

        return extract

    return load


def _extract(
    net: Any, device: Any, prepare: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], dict[str, Tensor]]:
    net.to(device)

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return {"embedding": net(standardised(prepare(images), CLIP))}

    return extract


def load_b_32(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 512],
    as clean-fid and OpenAI preprocess.

    On a GPU their network runs in float16, ours in float32. Float images are rounded here;
    clean-fid cuts their fractions off.
    """
    return _extract(read_tower(weights, 512, B_32), device, lambda images: clip_crop(images, 224))


def load_b_32_tf1(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 512],
    as torch-fidelity preprocesses.
    """
    return _extract(
        read_tower(weights, 512, B_32), device, lambda images: resize(images, 224, "tf1")
    )


def load_l_14_336(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> embedding float32 [n, 768], as CMMD preprocesses;
    CMMD's division by the length belongs to the metric.
    """
    return _extract(
        read_tower(weights, 768, L_14_336),
        device,
        lambda images: resize(centre_square(images), 336, "pil-uint8"),
    )


def _row(
    name: str,
    title: str,
    width: int,
    size: int,
    resize: str,
    weights: Weights,
    load: Callable[..., Any],
) -> Extractor:
    return Extractor(
        name, title, {"embedding": width}, size, resize, weights, TRAINED_ON, load, package="timm"
    )


CLIP_B_32 = _row(
    name="clip-vit-b-32",
    title="CLIP ViT-B/32, preprocessed as clean-fid and OpenAI do",
    width=512,
    size=224,
    resize=(
        "R-P8: PIL bicubic on 8 bits, the shorter side to 224, rounded and clipped, "
        "then the middle 224x224"
    ),
    weights=B_32_WEIGHTS,
    load=load_b_32,
)
CLIP_B_32_TF1 = _row(
    name="clip-vit-b-32-tf1",
    title="CLIP ViT-B/32, preprocessed as torch-fidelity does",
    width=512,
    size=224,
    resize=(
        "R-TF1: bilinear as TensorFlow 1 does it to 224x224, not antialiased, not rounded, "
        "the aspect ratio not kept"
    ),
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


def _text_row(
    name: str, title: str, size: int, weights: Weights, load: Callable[..., Any]
) -> Extractor:
    outputs, resize = (
        {"cosine": 1, "cosine_depicts": 1},
        (
            f"R-P8: PIL bicubic on 8 bits, the shorter side to {size}, rounded and clipped, "
            "then the middle square"
        ),
    )
    return Extractor(
        name,
        title,
        outputs,
        size,
        resize,
        weights,
        TRAINED_ON,
        load,
        package="timm",
        wants=("prompts",),
        vocabulary=VOCABULARY,
    )


TEXT_B_32 = _text_row(
    "clip-text-b-32",
    "CLIP ViT-B/32: the cosine of an image and its prompt",
    224,
    B_32_WEIGHTS,
    compared(B_32, 512, (512, 12), 224),
)
TEXT_L_14 = _text_row(
    "clip-text-l-14-336",
    "CLIP ViT-L/14 at 336 pixels: the cosine of an image and its prompt",
    336,
    L_14_WEIGHTS,
    compared(L_14_336, 768, (768, 12), 336),
)
