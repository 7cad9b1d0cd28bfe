"""Real pipelines of diffusers, tiny and with random weights, saved as folders:
what the tests of the generator `diffusers` are about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

CLASSES = 10
WORDS = [
    "a",
    "photo",
    "of",
    "the",
    "digit",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "red",
    "square",
    "on",
    "blue",
]


def made(kind: str, folder: Path) -> Path:
    """The folder of a pipeline of this kind."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        pipe = (KINDS | TEXTS)[kind](folder)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            loud(part)
    pipe.save_pretrained(folder / kind, safe_serialization=True)
    return folder / kind


def loud(net: torch.nn.Module) -> None:
    """Last layers that begin at zero get values, so that images are more than noise."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        for parameter in net.parameters():
            if parameter.ndim > 1 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)


def unet(**more: Any) -> Any:
    blocks = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    shape = {
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "layers_per_block": 1,
        "attention_head_dim": 8,
    }
    return diffusers.UNet2DModel(
        **{"sample_size": 16, "in_channels": 3, "out_channels": 3, **blocks, **shape, **more}
    )


def autoencoder() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=32,
    )


def ddpm(folder: Path) -> Any:
    return diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler(num_train_timesteps=100))


def classes(folder: Path) -> Any:
    return diffusers.DDPMPipeline(
        unet(num_class_embeds=CLASSES), diffusers.DDPMScheduler(num_train_timesteps=100)
    )


def guided(folder: Path) -> Any:
    """One embedding more: the null class."""
    return diffusers.DDPMPipeline(
        unet(num_class_embeds=CLASSES + 1), diffusers.DDPMScheduler(num_train_timesteps=100)
    )


def ddim(folder: Path) -> Any:
    return diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler(num_train_timesteps=100))


def dit(folder: Path) -> Any:
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=CLASSES,
    )
    return diffusers.DiTPipeline(
        net, autoencoder(), diffusers.DDIMScheduler(num_train_timesteps=100)
    )


def ldm(folder: Path) -> Any:
    shape = {
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "latent_channels": 3,
        "num_vq_embeddings": 16,
    }
    decoder = diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **shape,
    )
    return diffusers.LDMPipeline(decoder, unet(), diffusers.DDIMScheduler(num_train_timesteps=100))


def vocabulary(folder: Path) -> Path:
    """A tokenizer's files: every letter as itself and as the end of a word,
    and merges that make the WORDS.
    """
    letters = [chr(c) for c in range(33, 127)]
    merges, known = [], dict.fromkeys([*letters, *(f"{c}</w>" for c in letters)])
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            known[parts[0]] = None
    merges = list(dict.fromkeys(merges))
    entries = [*known, "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(entries)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    return folder


def texts(folder: Path, kind: type = CLIPTextModel) -> tuple[Any, Any]:
    """A tokenizer and a text encoder of CLIP's."""
    tokenizer = CLIPTokenizer.from_pretrained(
        vocabulary(folder / "vocabulary"), model_max_length=16
    )
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer, kind(config)


def pieces(width: int = 16) -> tuple[Any, Any]:
    """A tokenizer of T5's, of words and letters with its sign for a blank, and a text encoder."""
    letters = [chr(c) for c in range(33, 127)]
    words = ["<pad>", "</s>", "<unk>", "\u2581", *(f"\u2581{word}" for word in WORDS), *letters]
    unigram = Tokenizer(
        models.Unigram(
            [(word, -float(len(letters) if len(word) == 1 else 1)) for word in words], unk_id=2
        )
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = T5TokenizerFast(tokenizer_object=unigram, extra_ids=0, model_max_length=16)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=16, num_layers=2, num_heads=2
    )
    return tokenizer, T5EncoderModel(config)


def text_unet(**more: Any) -> Any:
    shape = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "sample_size": 8,
        "norm_num_groups": 4,
        "cross_attention_dim": 16,
    }
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return diffusers.UNet2DConditionModel(**{**shape, **blocks, "attention_head_dim": 8, **more})


def autoencoder_of_eight(**more: Any) -> Any:
    """One of the factor 8: of four blocks."""
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": (4, 4, 8, 8),
            "norm_num_groups": 4,
            **blocks,
            "latent_channels": 4,
            **more,
        }
    )


def diffusing() -> Any:
    return diffusers.DDIMScheduler(num_train_timesteps=100, clip_sample=False, steps_offset=1)


def sd(folder: Path) -> Any:
    tokenizer, encoder = texts(folder)
    none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder_of_eight(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=text_unet(),
        scheduler=diffusing(),
        **none,
    )


def ldmtext(folder: Path) -> Any:
    """Latent diffusion of texts, whose autoencoder is called vqvae and whose encoder is a
    BERT of its own.
    """
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    (folder / "bert").mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "bert" / "vocab.txt").write_text("\n".join(words))
    shape = {
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_ffn_dim": 16,
        "encoder_attention_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 77,
    }
    bert = LDMBertModel(LDMBertConfig(vocab_size=len(words), **shape))
    tokenizer = BertTokenizer(str(folder / "bert" / "vocab.txt"))
    return diffusers.LDMTextToImagePipeline(
        vqvae=autoencoder_of_eight(),
        bert=bert,
        tokenizer=tokenizer,
        unet=text_unet(),
        scheduler=diffusing(),
    )


def sdxl(folder: Path) -> Any:
    (tokenizer, encoder), (_, other) = texts(folder), texts(folder, CLIPTextModelWithProjection)
    times = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 16,
    }
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder_of_eight(),
        text_encoder=encoder,
        text_encoder_2=other,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=text_unet(cross_attention_dim=32, **times),
        scheduler=diffusing(),
    )


def sd3(folder: Path) -> Any:
    tokenizer, encoder = texts(folder, CLIPTextModelWithProjection)
    tokenizer_3, encoder_3 = pieces(32)
    shape = {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
    }
    widths = {
        "joint_attention_dim": 32,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 32,
        "pos_embed_max_size": 8,
    }
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(**shape, **widths),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder_of_eight(shift_factor=0.06),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder,
        tokenizer_2=tokenizer,
        text_encoder_3=encoder_3,
        tokenizer_3=tokenizer_3,
    )


def pixart(folder: Path, kind: str = "PixArtAlphaPipeline", side: int = 128) -> Any:
    """As Alpha's of 1024 pixels, whose network is told size and aspect;
    its call knows it by the side of 128.
    """
    tokenizer, encoder = pieces()
    shape = {
        "sample_size": side,
        "num_layers": 2,
        "patch_size": 2,
        "attention_head_dim": 12,
        "num_attention_heads": 2,
        "in_channels": 4,
        "out_channels": 8,
    }
    texts = {
        "caption_channels": 16,
        "cross_attention_dim": 24,
        "norm_type": "ada_norm_single",
        "num_embeds_ada_norm": 1000,
    }
    net = diffusers.PixArtTransformer2DModel(
        **shape, **texts, use_additional_conditions=side == 128
    )
    parts = {
        "vae": autoencoder_of_eight(),
        "text_encoder": encoder,
        "tokenizer": tokenizer,
        "scheduler": diffusers.DPMSolverMultistepScheduler(),
    }
    return getattr(diffusers, kind)(transformer=net, **parts)


def sigma(folder: Path) -> Any:
    return pixart(folder, "PixArtSigmaPipeline", 8)


def flux(folder: Path, told: bool = True) -> Any:
    """As Flux-dev, which is told its guidance; Flux-schnell is not."""
    (tokenizer, encoder), (tokenizer_2, encoder_2) = texts(folder), pieces()
    shape = {
        "patch_size": 1,
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
    }
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            **shape,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=told,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=told),
        vae=autoencoder_of_eight(
            shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
    )


def schnell(folder: Path) -> Any:
    return flux(folder, told=False)


KINDS: dict[str, Callable[[Path], Any]] = {
    "ddpm": ddpm,
    "classes": classes,
    "guided": guided,
    "ddim": ddim,
    "dit": dit,
    "ldm": ldm,
    "sd": sd,
}
TEXTS: dict[str, Callable[[Path], Any]] = {
    "ldmtext": ldmtext,
    "sdxl": sdxl,
    "sd3": sd3,
    "pixart": pixart,
    "sigma": sigma,
    "flux": flux,
    "schnell": schnell,
}
