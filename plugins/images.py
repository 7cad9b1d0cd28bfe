"""Images that were made elsewhere, judged as they are: `--checkpoint PATH`,
a folder or zip of pictures, npz, idx or parquet.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

import genbench


class Images:
    """Sample i is the i-th picture in the order of the file names, or of the file."""

    licence = "the owner's of the files"

    def __init__(self, checkpoint: Path | None = None) -> None:
        if checkpoint is None:
            raise genbench.UserError(
                "images judges pictures that lie somewhere: --checkpoint FOLDER (or .zip, "
                ".npz, .parquet)"
            )
        self.path = checkpoint
        self.pictures = genbench.open_images(checkpoint)

    @staticmethod
    def holds(checkpoint: Path) -> int:
        return len(genbench.open_images(checkpoint))

    @genbench.hookimpl
    def sample(self, n: int, indices: Tensor) -> Tensor:
        there, wanted = len(self.pictures), int(indices.max()) + 1
        if wanted > there:
            raise genbench.UserError(
                f"{self.path} holds {there} pictures and picture {wanted} is asked for: "
                f"--n {there}, or fewer"
            )
        return self.pictures.read(indices.tolist())

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        return {"parameters": 0, "evaluations": 0}
