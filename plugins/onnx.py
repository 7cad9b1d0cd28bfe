"""A generator in ONNX: called with latents, and with labels where its graph has two inputs. Needs
`pip install "genbench[onnx]"`.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

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

KINDS = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
}
WHOLE = {"tensor(int64)": torch.int64, "tensor(int32)": torch.int32}


class Onnx(Exported):
    """The network in an ONNX file, computed by onnxruntime on the CPU,
    or on a GPU where that is installed. Nothing in the file is a program.
    """

    licence = "the owner's of the file"

    def __init__(
        self,
        checkpoint: Path | None = None,
        device: Any = "cpu",
        dataset: Any = None,
        z_size: Annotated[int, SIZE_HELP + "; 0: as the file says"] = 0,
        z_type: Annotated[Noise, NOISE_HELP] = "normal",
        num_classes: Annotated[int | None, CLASSES_HELP] = None,
        output: Annotated[Output, OUTPUT_HELP] = "infer",
    ) -> None:
        if checkpoint is None:
            raise genbench.UserError("onnx draws from an ONNX file: --checkpoint FILE.onnx")
        self.session = session(checkpoint, torch.device(device).type)
        inputs = self.session.get_inputs()
        z_size = positive(z_size or width(inputs[0]))
        super().__init__(
            self.run,
            z_size,
            z_type,
            output,
            device,
            classes_of(len(inputs) == 2, num_classes, dataset),
        )

    @staticmethod
    def beside(checkpoint: Path) -> list[Path]:
        """The files beside it in which a large network keeps its tensors:
        those that it names, in protobuf a key, a tag and the length of the name.
        """
        named = re.findall(
            rb"\x0a\x08location\x12(?=([\x01-\x7f])(.{1,127}))", checkpoint.read_bytes(), re.DOTALL
        )
        names = sorted({rest[: length[0]] for length, rest in named})
        return [
            checkpoint.parent / os.fsdecode(name)
            for name in names
            if b"\0" not in name and (checkpoint.parent / os.fsdecode(name)).is_file()
        ]

    @staticmethod
    def classes(checkpoint: Path) -> int | None:
        return None if len(session(checkpoint, "cpu").get_inputs()) == 2 else 0

    def run(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The first output of the graph, on the run's device;
        of a graph for so many images at a time, in turns, the last filled up with zeros.
        """
        first, *second = self.session.get_inputs()
        turn = first.shape[0] if isinstance(first.shape[0], int) else len(z)
        found = []
        for at in range(0, len(z), turn):
            given = {first.name: filled(z[at : at + turn].to(KINDS[first.type]), turn)}
            if labels is not None:
                given[second[0].name] = filled(
                    labels[at : at + turn].to(WHOLE[second[0].type]), turn
                )
            found.append(torch.from_numpy(self.session.run(None, given)[0]))
        return torch.cat(found)[: len(z)].to(self.device)

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"evaluations": 1}


def filled(rows: Tensor, count: int) -> Any:
    """Rows as numpy, with zeros behind them up to a count."""
    return torch.cat([rows, rows.new_zeros(count - len(rows), *rows.shape[1:])]).cpu().numpy()


def width(latents: Any) -> int:
    """The last size of the first input, where the file says it; 0 otherwise."""
    last = latents.shape[-1] if latents.shape else 0
    return last if isinstance(last, int) else 0


@functools.cache
def session(checkpoint: Path, kind: str) -> Any:
    """The file ready to run; one line where it cannot be,
    or its inputs are not latents and labels.
    """
    try:
        import onnxruntime
    except ImportError:
        raise genbench.UserError('onnx needs onnxruntime: pip install "genbench[onnx]"') from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    wanted = ["CUDAExecutionProvider"] * (kind == "cuda") + ["CPUExecutionProvider"]
    try:
        found = onnxruntime.InferenceSession(
            checkpoint,
            options,
            providers=[one for one in wanted if one in onnxruntime.get_available_providers()],
        )
    except Exception as error:  # onnxruntime has an exception of its own for each status
        raise genbench.UserError(
            f"checkpoint {checkpoint} is no ONNX network that onnxruntime can read: "
            f"{' '.join(str(error).split())[:160]}"
        ) from None
    inputs = found.get_inputs()
    if (
        not 1 <= len(inputs) <= 2
        or inputs[0].type not in KINDS
        or (len(inputs) == 2 and inputs[1].type not in WHOLE)
    ):
        came = ", ".join(f"{one.name} {one.type}" for one in inputs) or "none"
        raise genbench.UserError(
            f"checkpoint {checkpoint}: its inputs are {came[:160]}; wanted are latents of floats "
            "and, of a conditional network, int64 labels"
        )
    return found
