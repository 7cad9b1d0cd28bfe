"""Resizing as the published codes do it: one pair of small matrices per size,
applied to whole batches on their device.

"Bilinear" names four different rules in this field and "bicubic" four more; at 32 to 299 pixels
they lie 4 grey levels apart on average, and that is the largest single cause of distances that do
not agree. Every rule is separable: out = A_h · image · A_wᵀ, so a row of RESIZES only says
how A is made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.lazy_imports import F, np, torch

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

    Array = ndarray[Any, Any]

# bits behind the point in PIL's 8-bit arithmetic: 32 - 8 for the pixel - 2 for overshoot
PRECISION = 22


@dataclass(frozen=True)
class Resize:
    """One published rule.

    matrix(source, target) -> [target, source], float64 holding the weights in the precision in
    which the original works.
    """

    title: str
    matrix: Callable[[int, int], Array]
    clip: bool = False  # to 0 .. 255 at the end
    # whole grey levels: rounded and clipped after each of the two passes, as PIL does
    levels: bool = False


# Two neighbours: a coordinate in the source for each target pixel


def _between(coordinates: Array, source: int) -> Array:
    """Linear interpolation at coordinates float32 [target], clamped to the border."""
    coordinates = np.clip(coordinates, 0, source - 1)
    low = np.floor(coordinates)
    share = (coordinates - low).astype(np.float64)
    rows, low = np.arange(len(coordinates)), low.astype(np.int64)
    matrix = np.zeros((len(coordinates), source))
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, source - 1)] += share
    return matrix


def _places(target: int) -> Array:
    return np.arange(target, dtype=np.float32)


def _fused(places: Array, scale: Any) -> Array:
    """places · scale - 1/2 in float32 with one rounding, as torch's processor code has it."""
    return (places.astype(np.float64) * np.float64(scale) - 0.5).astype(np.float32)


def tensorflow1(source: int, target: int) -> Array:
    """TensorFlow 1's resize_bilinear, [target, source]: target pixel i lies at i · source / target,
    the corners not aligned, no half pixel.

    The image moves by up to half a source pixel to the upper left. float32, as in the graph:
    float64 would differ by 1e-2 grey levels at 512 pixels.
    """
    return _between(_places(target) * np.float32(source / target), source)


def nvidia(source: int, target: int) -> Array:
    """NVIDIA's imitation of it by affine_grid and grid_sample, [target, source]:
    the identity moved by 1 / source - 1 / target, border padding.

    The same coordinates as `tensorflow1` but for their rounding, which goes through -1 .. 1 in
    float32 (1e-3 grey levels).
    """
    shift = np.float32(1) / np.float32(source) - np.float32(1) / np.float32(target)
    theta = torch.tensor([[[1.0, 0.0, float(shift)], [0.0, 1.0, 0.0]]], dtype=torch.float32)
    grid = F.affine_grid(theta, [1, 1, 1, target], align_corners=False)[0, 0, :, 0].numpy()
    return _between(_fused(grid + np.float32(1), np.float32(source / 2)), source)


def half_pixel(source: int, target: int) -> Array:
    """torch's bilinear with align_corners=False, [target, source]:
    pixel centres at (i + 1/2) · source / target - 1/2, no antialias when shrinking.
    """
    return _between(
        _fused(_places(target) + np.float32(0.5), np.float32(source) / np.float32(target)), source
    )


def corners(source: int, target: int) -> Array:
    """torch's bilinear with align_corners=True, [target, source]:
    the first and last pixel stay where they are.
    """
    return _between(
        _places(target) * (np.float32(source - 1) / np.float32(max(target - 1, 1))), source
    )


# Filters that widen when the image shrinks


def _triangle(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: Array) -> Array:
    """Keys' cubic convolution with a = -1/2, which PIL and torch's antialias use (torch without
    antialias and OpenCV have -3/4).
    """
    x, a = np.abs(x), x.dtype.type(-0.5)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(x.dtype)


def _box(x: Array) -> Array:
    return ((x > -0.5) & (x <= 0.5)).astype(x.dtype)


def antialiased(
    kernel: Callable[[Array], Array], support: float, dtype: str
) -> Callable[[int, int], Array]:
    """A filter of that half width in target pixels (source pixels when enlarging),
    normalised over what lies inside; torch works in float32, PIL in float64.
    """

    def matrix(source: int, target: int) -> Array:
        real = np.dtype(dtype).type
        scale = real(source) / real(target)
        wide = max(scale, real(1))
        centres = scale * (np.arange(target).astype(dtype) + real(0.5))
        first = np.maximum(np.trunc(centres - real(support) * wide + real(0.5)), 0)
        last = np.minimum(np.trunc(centres + real(support) * wide + real(0.5)), source)
        places = np.arange(source).astype(dtype)
        weights = kernel((places - centres[:, None] + real(0.5)) * (real(1) / wide))
        weights *= (places >= first[:, None]) & (places < last[:, None])
        return (weights / weights.sum(1, keepdims=True)).astype(np.float64)

    return matrix


def fixed_point(matrix: Callable[[int, int], Array]) -> Callable[[int, int], Array]:
    """PIL's 8-bit weights: whole numbers, 2^22 times the real ones, rounded half away from zero."""

    def whole(source: int, target: int) -> Array:
        weights = matrix(source, target) * 2**PRECISION
        return np.trunc(weights + np.copysign(0.5, weights))

    return whole


_PIL_CUBIC = antialiased(_cubic, 2.0, "float64")

#: Every rule under the name that extractors use. R-xxx is its name in the literature of this
#: project's protocols.
RESIZES = {
    "tf1": Resize(
        "TensorFlow 1 bilinear: no half pixel, corners not aligned, no antialias", tensorflow1
    ),
    "nvidia": Resize(
        "affine_grid and grid_sample with border padding, an imitation of TensorFlow 1's", nvidia
    ),
    "torch": Resize("interpolate(bilinear, align_corners=False), no antialias", half_pixel),
    "torch-aa": Resize(
        "interpolate(bilinear, align_corners=False, antialias=True)",
        antialiased(_triangle, 1.0, "float32"),
    ),
    "torch-corners": Resize("interpolate(bilinear, align_corners=True)", corners),
    "torch-bicubic-aa": Resize(
        "interpolate(bicubic, antialias=True), neither clipped nor rounded",
        antialiased(_cubic, 2.0, "float32"),
    ),
    "pil": Resize(
        "PIL bicubic of each channel in float, clipped to 0 .. 255, not rounded",
        _PIL_CUBIC,
        clip=True,
    ),
    "pil-unclipped": Resize(
        "PIL bicubic of each channel in float, neither clipped nor rounded", _PIL_CUBIC
    ),
    "pil-uint8": Resize(
        "PIL bicubic on 8 bits: rounded and clipped after each pass",
        fixed_point(_PIL_CUBIC),
        levels=True,
    ),
    "pil-uint8-box": Resize(
        "PIL box on 8 bits: rounded after each pass",
        fixed_point(antialiased(_box, 0.5, "float64")),
        levels=True,
    ),
}


@functools.lru_cache(maxsize=64)
def _matrix(name: str, source: int, target: int, device: str, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(RESIZES[name].matrix(source, target)).to(device, dtype)


def resize(images: Tensor, size: int | tuple[int, int], name: str) -> Tensor:
    """Images to another size by the rule of that name, on their device.

    images: uint8 or float [n, c, h, w] in 0 .. 255; size: one side or (height, width) -> float32
    [n, c, height, width], in 0 .. 255 but for the unclipped cubic rules, which overshoot by a few
    dozen levels. Rules of whole levels round float images first. UserError for an unknown name.

    Each rule equals its original to 1e-3 grey levels, the 8-bit ones exactly, as the published
    numbers were made: Pillow 13 resizes images whose height shrinks more than their width in the
    other order, down before across, which moves single pixels of non-square images by up
    to 25 levels.
    Where TF32 is allowed, float64 is used: 10 bits are too few for a weight.
    """
    if name not in RESIZES:
        raise UserError(f"no resize is called {name!r}; {choices(name, RESIZES)}")
    row, (height, width) = RESIZES[name], (size, size) if isinstance(size, int) else size
    rough = images.device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32
    exact = torch.float64 if row.levels or rough else torch.float32
    across, down = (
        _matrix(name, s, t, str(images.device), exact)
        for s, t in ((images.shape[3], width), (images.shape[2], height))
    )
    with torch.autocast(images.device.type, enabled=False):
        if row.levels:
            # Integers below 2^31 are exact in float64, so matrix products stand for PIL's integer
            # sums, in its order: across, then down.
            whole = images if images.dtype == torch.uint8 else images.round().clamp(0, 255)
            return _level(down @ _level(whole.to(exact) @ across.T)).to(torch.float32)
        resized = (down @ (images.to(exact) @ across.T)).to(torch.float32)
    return resized.clamp_(0, 255) if row.clip else resized


def _level(sums: Tensor) -> Tensor:
    return ((sums + 2 ** (PRECISION - 1)) / 2**PRECISION).floor_().clamp_(0, 255)


# Crops


def centre_square(images: Tensor) -> Tensor:
    """The largest square in the middle, half a pixel to the upper left where it must be:
    [n, c, h, w] -> [n, c, min(h, w), min(h, w)] (CMMD's crop).
    """
    side = min(images.shape[2:])
    return _cut(images, side, [(length - side) // 2 for length in images.shape[2:]])


def adm_crop(images: Tensor, size: int) -> Tensor:
    """Guided diffusion's preparation of ImageNet: uint8 [n, c, h, w] -> uint8 [n, c, size, size].

    Halved by box averages while the shorter side is at least twice the size, then bicubic to the
    size on the shorter side, then the middle; PIL throughout.
    """
    while min(images.shape[2:]) >= 2 * size:
        images = resize(images, (images.shape[2] // 2, images.shape[3] // 2), "pil-uint8-box")
    scale = size / min(images.shape[2:])
    images = resize(
        images, (round(images.shape[2] * scale), round(images.shape[3] * scale)), "pil-uint8"
    ).to(torch.uint8)
    return _cut(images, size, [(length - size) // 2 for length in images.shape[2:]])


def clip_crop(images: Tensor, size: int) -> Tensor:
    """OpenAI's preparation for CLIP: uint8 [n, c, h, w] -> uint8 [n, c, size, size],
    8-bit PIL bicubic to the size on the shorter side, then the middle.

    torchvision's rules: the longer side is cut to whole pixels, the crop begins at the half rounded
    to even (centre_square's rule begins at its floor).
    """
    short = min(images.shape[2:])
    height, width = (int(size * length / short) for length in images.shape[2:])
    images = resize(images, (height, width), "pil-uint8").to(torch.uint8)
    return _cut(images, size, [round((length - size) / 2) for length in images.shape[2:]])


def _cut(images: Tensor, side: int, corner: list[int]) -> Tensor:
    top, left = corner
    return images[:, :, top : top + side, left : left + side]
