"""Check what a generator returned: type, shape, layout and range of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import PluginFailed
from genbench._util.lazy_imports import Image, np, torch
from genbench.data.quantisation import QUANTISE

if TYPE_CHECKING:
    from numpy import ndarray


def as_tensor(batch: Any) -> torch.Tensor:
    """A batch as a tensor: tensors as they are, numpy arrays and lists of PIL images converted;
    anything else is refused.
    """
    if isinstance(batch, torch.Tensor):
        if batch.layout != torch.strided or batch.is_meta:
            raise PluginFailed(
                f"sample returned a {'meta' if batch.is_meta else 'sparse'} tensor; "
                "return a dense one with its pixels"
            )
        return batch
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(batch, dtype=batch.dtype.newbyteorder("=")))
    if isinstance(batch, list) and batch and all(isinstance(item, Image.Image) for item in batch):
        arrays = [np.asarray(item.convert("RGB")) for item in batch]
        if len({array.shape for array in arrays}) > 1:
            raise PluginFailed(
                f"sample returned images of mixed sizes {sorted({a.shape[:2] for a in arrays})}; "
                "every image of a run has one size"
            )
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    if (
        isinstance(batch, list | tuple)
        and batch
        and all(isinstance(item, torch.Tensor) for item in batch)
    ):
        shapes = sorted({tuple(item.shape) for item in batch})
        if len(shapes) > 1:
            raise PluginFailed(
                f"sample returned images of mixed sizes {shapes}; every image of a run has one size"
            )
        return torch.stack(list(batch))
    came = "None" if batch is None else f"a {type(batch).__name__}"
    remedy = (
        "return the tensor at the end of sample"
        if batch is None
        else "return a tensor [n, 3, H, W]"
    )
    raise PluginFailed(f"sample returned {came}, not a tensor of images; {remedy}")


def checked(
    batch: Any, n: int, declared: tuple[float, float] | None, quantise: str
) -> tuple[torch.Tensor, str]:
    """A generator's answer to sample(n) as images [n, 3, H, W], uint8 or, unquantised,
    float32 in 0 to 255, and how they were quantised; PluginFailed with the remedy otherwise.
    """
    images = as_tensor(batch)
    shape = tuple(images.shape)
    if images.ndim != 4:
        raise PluginFailed(
            f"sample returned shape {shape}, of rank {images.ndim}; return [n, 3, H, "
            "W] or [n, 1, H, W]"
        )
    if shape[0] != n:
        raise PluginFailed(f"sample({n}) returned {shape[0]} images; return exactly n")
    if shape[1] not in (1, 3):
        if shape[3] in (1, 3):
            raise PluginFailed(
                f"sample returned shape {shape}, channels last; return [n, 3, H, W]: "
                "images.permute(0, 3, 1, 2)"
            )
        raise PluginFailed(
            f"sample returned shape {shape}, {shape[1]} channels; return 3 (RGB) or 1 (grey)"
        )
    if min(shape[2:]) < 1:
        raise PluginFailed(
            f"sample returned shape {shape}, images without pixels; return [n, 3, H, W]"
        )
    how = "by the plugin"
    if images.dtype != torch.uint8:
        images, how = _quantised(images, declared, quantise), quantise
    return images.expand(-1, 3, -1, -1).contiguous(), how


def _quantised(
    images: torch.Tensor, declared: tuple[float, float] | None, quantise: str
) -> torch.Tensor:
    if not images.is_floating_point():
        raise PluginFailed(
            f"sample returned {_dtype(images)} images; return uint8 in 0 to 255, "
            "or float with a declared range"
        )
    if declared is None:
        low = 0 if images.to(torch.float32).min() >= 0 else -1
        raise PluginFailed(
            f"sample returned {_dtype(images)} images without a range; declare it: "
            f"range = ({low}, 1)"
        )
    images = images.to(torch.float32)
    finite = torch.isfinite(images).flatten(1).all(1)
    if not finite.all():
        what = "NaN" if torch.isnan(images).any() else "infinite values"
        raise PluginFailed(
            f"sample returned {what}; images must be finite", image=int((~finite).nonzero()[0])
        )
    bottom, top = declared
    slack = 1e-3 * (top - bottom)  # rounding of a clamp in half precision
    least, most = float(images.min()), float(images.max())
    if least < bottom - slack or most > top + slack:
        came = (
            f"sample returned values {least:.4g} to {most:.4g}, outside its declared range "
            f"({bottom:g}, {top:g})"
        )
        raise PluginFailed(f"{came}; clamp them, or declare the true range")
    return QUANTISE[quantise](images, bottom, top)


def _dtype(images: torch.Tensor) -> str:
    return str(images.dtype).removeprefix("torch.")


def sketch(images: ndarray[Any, Any]) -> str:
    """The mean grey level of each quarter of images [n, 3, h, w], as words:
    what another machine, whose bits are its own, can be held to.
    """
    rows, columns = images.shape[2] // 2 or 1, images.shape[3] // 2 or 1
    quarters = [
        images[:, :, high, wide]
        for high in (slice(rows), slice(-rows, None))
        for wide in (slice(columns), slice(-columns, None))
    ]
    return " ".join(f"{float(one.mean(dtype=np.float64)):.3f}" for one in quarters)
