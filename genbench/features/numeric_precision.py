"""In which precision an extractor's network computes: what a device can do,
TF32 for the length of a call, a network compiled where that pays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from genbench._util.console import tell
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import torch
from genbench.api.extractor import PRECISIONS

if TYPE_CHECKING:
    from torch import Tensor

    Forward = Callable[[Tensor], dict[str, Tensor]]

ON_PROCESSORS = ("float32", "bfloat16")
MANY = 20_000  # images: compiling takes about a minute, which fewer do not give back


def possible(precision: str, device: str) -> str:
    """The precision, if a device ("cpu", "cuda", "cuda:1") can compute in it; else UserError."""
    if precision not in PRECISIONS:
        raise UserError(f"--feature-precision {clean(precision)}: {choices(precision, PRECISIONS)}")
    if not device.startswith("cuda") and precision not in ON_PROCESSORS:
        raise UserError(
            f"--feature-precision {precision} needs --device cuda; on a processor there are "
            f"{' and '.join(ON_PROCESSORS)}"
        )
    return precision


def dtype_of(precision: str) -> torch.dtype:
    """What tensors of a precision are; TF32 is float32 that is rounded inside of products."""
    found: torch.dtype = getattr(torch, "float32" if precision == "tf32" else precision)
    return found


def says_slow(precision: str, device: str) -> None:
    """A line where half precision is computed without the instructions for it:
    that is slower than float32, and right.
    """
    if precision == "bfloat16" and not device.startswith("cuda") and not _has_bfloat16():
        tell(
            "bfloat16: this processor has no instructions for it, so it is slower than float32 here"
        )


def _has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself, as far as torch says:
    the question is not in its public interface.
    """
    asked = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(one() for one in asked if one is not None)


def with_tf32(forward: Forward) -> Forward:
    """A network whose convolutions may round to TF32 on a graphics card while it is called,
    and nothing else may.
    """

    def call(images: Tensor) -> dict[str, Tensor]:
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            return forward(images)
        finally:
            torch.backends.cudnn.allow_tf32 = before

    return call


def worth_compiling(device: str, images: int) -> bool:
    """Whether compiling a network for so many images pays."""
    return device.startswith("cuda") and images >= MANY


def compiled(forward: Forward, name: str) -> Forward:
    """A network compiled; from the first call on that cannot be, as it is,
    with one line that says so.
    """
    nets = [torch.compile(forward), forward]

    @functools.wraps(forward)
    def call(images: Tensor) -> dict[str, Tensor]:
        if len(nets) > 1:
            try:
                return nets[0](images)
            except Exception as error:  # whatever a compiler raises: the network itself stays
                tell(
                    f"{name} runs uncompiled, as this machine cannot compile it: "
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                )
                del nets[0]
        return nets[0](images)

    return call
