"""Path lengths in latent space: points on the path between two latents,
and the images that are compared.

Pure functions of tensors.

Karras et al. (2019), section 4.1; what the published codes do is in the fields of rows.Pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench._util.lazy_imports import F, torch

if TYPE_CHECKING:
    from torch import Tensor

    from genbench.api.metric import Pairs

# added to a sample's seed: the seed of its path's other end, beyond every run's own seeds
OTHER_END = 2**40
LARGEST = 256  # NVIDIA's codes bring larger images down to this


def point(a: Tensor, b: Tensor, t: Tensor, path: str) -> Tensor:
    """The point at t [n] on the paths from a to b, float [n, ...].

    lerp: straight. slerp: the directions turn, the lengths go straight. slerp_unit: the directions
    alone, of length 1 (NVIDIA; harmless where the generator normalises z, wrong elsewhere).
    """
    t = t.reshape(-1, *[1] * (a.ndim - 1)).to(a.dtype)
    if path == "lerp":
        return a + (b - a) * t
    flat_a, flat_b, s = a.flatten(1), b.flatten(1), t.reshape(-1, 1)
    long_a, long_b = flat_a.norm(dim=1, keepdim=True), flat_b.norm(dim=1, keepdim=True)
    turned = _turned(flat_a / long_a, flat_b / long_b, s)
    return (turned if path == "slerp_unit" else turned * (long_a + (long_b - long_a) * s)).reshape(
        a.shape
    )


def _turned(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Unit vectors a [n, d] turned by the share t [n, 1] of the way to b,
    by the direction in their plane that is at right angles to a.
    """
    cosine = (a * b).sum(1, keepdim=True).clamp(-1, 1)
    across = b - cosine * a
    across = across / across.norm(dim=1, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)
    angle = t * torch.acos(cosine)
    return a * torch.cos(angle) + across * torch.sin(angle)


def compared(images: Tensor, pairs: Pairs) -> Tensor:
    """Images float [n, 1 or 3, h, w] in -1 to 1 as they are compared:
    float32 [n, 3, h', w'] on a scale of 0 to 255, not clipped unless 8 bits are wanted.
    """
    images = (images.to(torch.float32) + 1) * 127.5
    if pairs.levels == "uint8":
        images = images.round().clamp(0, 255)
    height, width = images.shape[2:]
    if pairs.crop:
        images = images[:, :, height * 3 // 8 : height * 7 // 8, width * 2 // 8 : width * 6 // 8]
    if pairs.reduce == "box":
        # of the whole image, as NVIDIA's PyTorch code: a cropped 1024 ends at 128
        factor = height // (pairs.size or LARGEST)
        images = F.avg_pool2d(images, factor) if factor > 1 else images
    elif pairs.size:
        smaller = min(images.shape[2:]) > pairs.size
        images = F.interpolate(
            images,
            size=(pairs.size, pairs.size),
            mode="area" if smaller else "bilinear",
            align_corners=None if smaller else False,
        )
    return images.expand(-1, 3, -1, -1)
