"""A network filled with the tensors of a file, under the names that it has there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import genbench


def filled(
    make: Callable[[Any], nn.Module],
    made: Any,
    tensors: Mapping[str, Tensor],
    checkpoint: Path | None,
    prefix: str = "",
) -> Any:
    """The network make(made) with a file's tensors, which are named as its own behind the prefix;
    one line when they are another network's.

    Nothing is allocated on the word of the file's settings.
    """
    with torch.device("meta"):
        net = make(made)
    wanted = {prefix + name: tensor for name, tensor in net.state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        why = (
            "is missing"
            if name not in tensors
            else "has no place in it"
            if name not in wanted
            else ""
        )
        if not why and wanted[name].shape != tensors[name].shape:
            why = f"is {list(tensors[name].shape)}, not {list(wanted[name].shape)}"
        if why:
            raise genbench.UserError(
                f"checkpoint {checkpoint} is not of the architecture that it says: "
                f"{name[:80]!r} {why}"
            )
    net.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, assign=True
    )
    return net
