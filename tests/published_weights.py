"""Random weights in published formats, images that a wrong resize would move, and how far two results lie apart."""

import math

import torch
from PIL import Image
from torch_fidelity.feature_extractor_clip import CLIPVisual


def values(shapes, seed=0):
    """Random parameters by name in any published format; large ones share their numbers (rows shifted by one), so that a file is small."""
    generator = torch.Generator().manual_seed(seed)

    def one(name, shape):
        if len(shape) < 2 or name.endswith(("token", "embedding", "pos_embed")):
            noise = 0.1 * torch.randn(tuple(shape), generator=generator)
            return (noise.abs() + 0.9 if name.endswith(("running_var", "weight", "gamma")) else noise).half().float()
        row = math.prod(shape[1:])
        numbers = torch.randn(row + shape[0] - 1, generator=generator) / math.sqrt(row)
        inner = [math.prod(shape[i + 1 :]) for i in range(1, len(shape))]
        return numbers.half().float().as_strided(tuple(shape), (1, *inner))  # OpenAI's files hold float16

    return {name: one(name, shape) for name, shape in shapes.items()}


def published(net, *, without=()):
    """Random parameters for a network, by its own names."""
    return values({name: tensor.shape for name, tensor in net.state_dict().items() if not name.endswith(("num_batches_tracked", *without))})


def images(n, h, w, seed=3):
    """Noise and slopes uint8 [n, 3, h, w]: edges that a wrong resize would move."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.linspace(0, 255, w).expand(n, 3, h, w)
    noise = torch.randint(0, 256, (n, 3, h, w), generator=generator).float()
    return ((slope + noise) / 2).to(torch.uint8)


def apart(a, b):
    """The largest difference, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def pil(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def clip_parameters(width, layers, patch, size, out):
    """Random parameters under OpenAI's names, a piece of the tower of texts among them."""
    with torch.device("meta"):
        net = CLIPVisual(out, size, layers, width, patch)
    return {**published(net), "text_projection": torch.ones(512, out), "ln_final.weight": torch.ones(512), "logit_scale": torch.ones(())}


def dinov2_parameters(embed_dim=64, depth=2, **_):
    """Random parameters under Meta's names."""
    w = embed_dim
    shapes = {"cls_token": (1, 1, w), "pos_embed": (1, 1370, w), "mask_token": (1, w), "patch_embed.proj.weight": (w, 3, 14, 14), "patch_embed.proj.bias": (w,)}
    for i in range(depth):
        one = {"norm1.weight": (w,), "norm1.bias": (w,), "attn.qkv.weight": (3 * w, w), "attn.qkv.bias": (3 * w,)}
        one |= {"attn.proj.weight": (w, w), "attn.proj.bias": (w,), "ls1.gamma": (w,), "norm2.weight": (w,), "norm2.bias": (w,)}
        one |= {"mlp.fc1.weight": (4 * w, w), "mlp.fc1.bias": (4 * w,), "mlp.fc2.weight": (w, 4 * w), "mlp.fc2.bias": (w,), "ls2.gamma": (w,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in one.items()}
    return values({**shapes, "norm.weight": (w,), "norm.bias": (w,)})
