"""Random weights in published formats, images that a wrong resize would move,
and how far two results lie apart.
"""

import math
import warnings

import torch
import torch.nn.functional as F
from PIL import Image
from torch_fidelity.feature_extractor_clip import CLIPVisual


def values(shapes, seed=0):
    """Random parameters by name in any published format; large ones share their numbers (rows
    shifted by one), so that a file is small.

    Scaled so that signals neither die nor drown in the biases on their way through many layers: two
    images give two features. Every number is one of float16, as in OpenAI's files.
    """
    generator = torch.Generator().manual_seed(seed)

    def one(name, shape):
        if len(shape) < 2 or name.endswith(("token", "embedding", "pos_embed")):
            small = 0.1 * torch.randn(tuple(shape), generator=generator)
            positive = name.endswith(("running_var", "weight", "gamma"))
            return (
                (
                    1 + small.clamp(-0.5, 0.5)
                    if positive
                    else small * (0.3 if name.endswith("bias") else 1)
                )
                .half()
                .float()
            )
        row = math.prod(shape[1:])
        numbers = torch.randn(row + shape[0] - 1, generator=generator) * math.sqrt(2 / row)
        return (
            numbers.half()
            .float()
            .as_strided(
                tuple(shape), (1, *(math.prod(shape[i + 1 :]) for i in range(1, len(shape))))
            )
        )

    return {name: one(name, shape) for name, shape in shapes.items()}


def published(net):
    """Random parameters for a network, by its own names."""
    return values(
        {
            name: tensor.shape
            for name, tensor in net.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
    )


def images(n, h, w, seed=3):
    """Blotches of colour under fine noise, uint8 [n, 3, h, w]:
    unlike one another, with edges that a wrong resize would move.
    """
    generator = torch.Generator().manual_seed(seed)
    blotches = torch.randint(0, 256, (n, 3, 5, 5), generator=generator).float()
    noise = torch.randint(-60, 61, (n, 3, h, w), generator=generator)
    return (
        (F.interpolate(blotches, size=(h, w), mode="nearest") + noise).clamp(0, 255).to(torch.uint8)
    )


def apart(a, b):
    """The largest difference, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def pil(image):
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def clip_parameters(width, layers, patch, size, out):
    """Random parameters under OpenAI's names, a piece of the tower of texts among them."""
    with torch.device("meta"):
        net = CLIPVisual(out, size, layers, width, patch)
    return {
        **published(net),
        "text_projection": torch.ones(512, out),
        "ln_final.weight": torch.ones(512),
        "logit_scale": torch.ones(()),
    }


def save_torchscript(parameters, path):
    """Parameters as OpenAI publishes them: a TorchScript archive,
    float16 but for the layer norms.
    """
    root = torch.nn.Module()
    for name, tensor in parameters.items():
        *folders, last = name.split(".")
        module = root
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, torch.nn.Module())
            module = getattr(module, folder)
        module.register_parameter(
            last,
            torch.nn.Parameter(
                (tensor if "ln_" in name else tensor.half()).contiguous(), requires_grad=False
            ),
        )
    root.forward = lambda x: x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have it exported; OpenAI's files are not
        torch.jit.save(torch.jit.trace(root, torch.ones(1)), path)


def dinov2_parameters(embed_dim=64, depth=2, **_):
    """Random parameters under Meta's names."""
    w = embed_dim
    shapes = {
        "cls_token": (1, 1, w),
        "pos_embed": (1, 1370, w),
        "mask_token": (1, w),
        "patch_embed.proj.weight": (w, 3, 14, 14),
        "patch_embed.proj.bias": (w,),
    }
    for i in range(depth):
        one = {
            "norm1.weight": (w,),
            "norm1.bias": (w,),
            "attn.qkv.weight": (3 * w, w),
            "attn.qkv.bias": (3 * w,),
        }
        one |= {
            "attn.proj.weight": (w, w),
            "attn.proj.bias": (w,),
            "ls1.gamma": (w,),
            "norm2.weight": (w,),
            "norm2.bias": (w,),
        }
        one |= {
            "mlp.fc1.weight": (4 * w, w),
            "mlp.fc1.bias": (4 * w,),
            "mlp.fc2.weight": (w, 4 * w),
            "mlp.fc2.bias": (w,),
            "ls2.gamma": (w,),
        }
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in one.items()}
    return values({**shapes, "norm.weight": (w,), "norm.bias": (w,)})
