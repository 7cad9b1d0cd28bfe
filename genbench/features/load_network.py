"""Networks of installed packages, filled from a file of weights:
every parameter is found and has its shape, or one line says which has not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import timm_vit, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Mean and standard deviation of the three channels in 0 to 1, as the networks were trained with.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def standardised(images: Tensor, moments: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Images [n, 3, h, w] in 0 to 255 -> float32, scaled to 0 to 1, less the mean,
    over the standard deviation of each channel.
    """
    mean, deviation = (torch.tensor(of, device=images.device).view(1, -1, 1, 1) for of in moments)
    return (images.to(torch.float32) / 255 - mean) / deviation


def vision_transformer(**settings: Any) -> nn.Module:
    """timm's vision transformer without a head and without values (on the device `meta`);
    UserError where timm is not installed.
    """
    try:
        build = timm_vit.VisionTransformer
    except ModuleNotFoundError as error:
        raise UserError(
            f"this extractor needs timm, which cannot be imported ({error}): "
            "pip install genbench[backbones]"
        ) from None
    with torch.device("meta"):
        return build(num_classes=0, **settings)


def _as_published(name: str) -> tuple[str, ...]:
    return (name,)


def fill(
    net: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    published: Callable[[str], tuple[str, ...]] = _as_published,
    beside: tuple[str, ...] = (),
) -> nn.Module:
    """The network (built on the device `meta`) with the parameters of a file as float32,
    in evaluation mode, without gradients.

    published(parameter) says under which names the file has it; several are concatenated along the
    first axis (query, key, value). Names that begin with one of `beside` belong to parts of the
    published network that are not needed. A parameter that is missing, has another shape or is not
    a floating-point number, and a name that nobody expects, are each a UserError that names the
    file and the first such key.
    """
    state: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, wanted in net.state_dict().items():
        if name.endswith("num_batches_tracked"):  # a counter of training, which old files lack
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        keys = published(name)
        shape = (wanted.shape[0] // len(keys), *wanted.shape[1:])
        parts = [_parameter(tensors, key, shape, path) for key in keys]
        state[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
        used.update(keys)
    for key in tensors:
        if (
            key not in used
            and not key.startswith(beside)
            and not key.endswith("num_batches_tracked")
        ):
            raise UserError(
                f"weights {path} hold {clean(key)!r}, which this network does not have; {_REMEDY}"
            )
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


_REMEDY = "they are of another network: see `genbench weights` for the file that fits"


def _parameter(
    tensors: Mapping[str, Tensor], key: str, shape: tuple[int, ...], path: Path
) -> Tensor:
    if key not in tensors:
        raise UserError(f"weights {path} lack {key!r}; {_REMEDY}")
    found = tensors[key]
    if _without_ones(tuple(found.shape)) != _without_ones(shape):
        raise UserError(
            f"weights {path} hold {key!r} of shape {tuple(found.shape)}, "
            f"wanted is {shape}; {_REMEDY}"
        )
    if not found.is_floating_point():
        raise UserError(
            f"weights {path} hold {key!r} as {str(found.dtype).removeprefix('torch.')}, "
            f"wanted are floating-point numbers; {_REMEDY}"
        )
    return found.to(torch.float32).reshape(shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A class token is [w], [1, w] or [1, 1, w], as the format has it."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape
