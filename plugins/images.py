"""A folder of images that were made elsewhere, judged as it is: `--checkpoint FOLDER`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

import genbench


class Images:
    """Sample i is the i-th picture of the folder in the order of the file names."""

    licence = "the folder's"

    def __init__(self, checkpoint: Path | None = None) -> None:
        if checkpoint is None:
            raise genbench.UserError("images judges a folder of pictures: --checkpoint FOLDER")
        self.folder = checkpoint
        self.pictures = genbench.open_images(checkpoint)

    @staticmethod
    def holds(checkpoint: Path) -> int:
        return len(genbench.open_images(checkpoint))

    @genbench.hookimpl
    def sample(self, n: int, indices: Tensor) -> Tensor:
        there, wanted = len(self.pictures), int(indices.max()) + 1
        if wanted > there:
            raise genbench.UserError(f"{self.folder} holds {there} pictures and picture {wanted} is asked for: --n {there}, or fewer")
        return self.pictures.read(indices.tolist())

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": 0, "evaluations": 0}
