"""A TorchScript generator, as torch.jit.save wrote it: called with latents,
and with labels where it takes two arguments.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch

import genbench
from genbench_plugins._exported import (
    CLASSES_HELP,
    NOISE_HELP,
    OUTPUT_HELP,
    SIZE_HELP,
    Exported,
    Noise,
    Output,
    classes_of,
    positive,
)


class Jit(Exported):
    """The network in a TorchScript archive. The archive is a program, so a run asks for --trust."""

    licence = "the owner's of the file"
    executes = True

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        z_size: Annotated[int, SIZE_HELP] = 0,
        z_type: Annotated[Noise, NOISE_HELP] = "normal",
        num_classes: Annotated[int | None, CLASSES_HELP] = None,
        output: Annotated[Output, OUTPUT_HELP] = "infer",
    ) -> None:
        if checkpoint is None:
            raise genbench.UserError("jit draws from a TorchScript file: --checkpoint FILE.pt")
        net = loaded(checkpoint)
        super().__init__(
            net.to(device),
            positive(z_size),
            z_type,
            output,
            device,
            classes_of(takes_labels(net), num_classes, dataset),
        )

    @staticmethod
    def classes(checkpoint: Path) -> int | None:
        return None if takes_labels(loaded(checkpoint)) else 0

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": sum(p.numel() for p in self.net.parameters()), "evaluations": 1}


@functools.cache
def loaded(checkpoint: Path) -> Any:
    """The program of a file, in evaluation mode; one line when there is none."""
    with warnings.catch_warnings():
        # torch calls TorchScript outdated; the files are there all the same
        warnings.simplefilter("ignore")
        try:
            return torch.jit.load(checkpoint, map_location="cpu").eval()
        except RuntimeError as error:
            why = str(error).strip().partition("\n")[0]
            raise genbench.UserError(
                f"checkpoint {checkpoint} is no TorchScript program that torch can "
                f"read: {why[:120]}"
            ) from None


def takes_labels(net: Any) -> bool:
    """Whether the network's forward takes a second argument."""
    return len(net.forward.schema.arguments) > 2  # the first is the module itself
