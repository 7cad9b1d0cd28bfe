"""Real pipelines of diffusers, tiny and with random weights, saved as folders: what the tests of the generator `diffusers` are about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CLASSES = 10
WORDS = ["a", "photo", "of", "the", "digit", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "red", "square", "on", "blue"]


def made(kind: str, folder: Path) -> Path:
    """The folder of a pipeline of this kind."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        pipe = KINDS[kind](folder)
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
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    shape = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 8}
    return diffusers.UNet2DModel(**{"sample_size": 16, "in_channels": 3, "out_channels": 3, **blocks, **shape, **more})


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
    return diffusers.DDPMPipeline(unet(num_class_embeds=CLASSES), diffusers.DDPMScheduler(num_train_timesteps=100))


def guided(folder: Path) -> Any:
    """One embedding more: the null class."""
    return diffusers.DDPMPipeline(unet(num_class_embeds=CLASSES + 1), diffusers.DDPMScheduler(num_train_timesteps=100))


def ddim(folder: Path) -> Any:
    return diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler(num_train_timesteps=100))


def dit(folder: Path) -> Any:
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8, num_embeds_ada_norm=CLASSES
    )
    return diffusers.DiTPipeline(net, autoencoder(), diffusers.DDIMScheduler(num_train_timesteps=100))


def ldm(folder: Path) -> Any:
    shape = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 3, "num_vq_embeddings": 16}
    decoder = diffusers.VQModel(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **shape)
    return diffusers.LDMPipeline(decoder, unet(), diffusers.DDIMScheduler(num_train_timesteps=100))


def vocabulary(folder: Path) -> Path:
    """A tokenizer's files: every letter as itself and as the end of a word, and merges that make the WORDS."""
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


def texts(folder: Path) -> tuple[Any, Any]:
    """A tokenizer and a text encoder."""
    tokenizer = CLIPTokenizer.from_pretrained(vocabulary(folder / "vocabulary"), model_max_length=16)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer, CLIPTextModel(config)


def text_unet() -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=8,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


def sd(folder: Path) -> Any:
    """Stable Diffusion, which has a vae of a factor 8: of four blocks."""
    tokenizer, encoder = texts(folder)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=text_unet(),
        scheduler=diffusers.DDIMScheduler(num_train_timesteps=100, clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


KINDS: dict[str, Callable[[Path], Any]] = {"ddpm": ddpm, "classes": classes, "guided": guided, "ddim": ddim, "dit": dit, "ldm": ldm, "sd": sd}
