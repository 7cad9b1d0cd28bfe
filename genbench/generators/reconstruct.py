"""Call a generator's `reconstruct` hook, and check what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench._util.errors import PluginFailed
from genbench._util.lazy_imports import torch
from genbench.data.image_checks import checked
from genbench.generators.generator import seed_everything

if TYPE_CHECKING:
    from genbench.generators.generator import Generator


def reconstruct(
    generator: Generator, images: torch.Tensor, labels: torch.Tensor, batch_size: int, quantise: str
) -> torch.Tensor | None:
    """The generator's reconstructions of images uint8 [n, 3, h, w] of these classes int64 [n],
    of their shape; None where its hook answers so.
    """
    found, name = [], generator.description.name
    for at in range(0, len(images), batch_size):
        batch = images[at : at + batch_size]
        seed_everything(0)  # a hook that draws all the same gives the same again
        with torch.no_grad():
            answer = generator.call(
                "reconstruct", images=batch.clone(), labels=labels[at : at + batch_size]
            )
            if answer is None:
                return None
            try:
                ours, _ = checked(
                    answer, len(batch), generator.description.attributes.get("range"), quantise
                )
            except PluginFailed as error:
                # the contract of both hooks is one
                raise PluginFailed(
                    f"{name}: {str(error).replace('sample', 'reconstruct')}"
                ) from None
        if ours.shape != batch.shape:
            came = "x".join(map(str, ours.shape[2:]))
            raise PluginFailed(
                f"{name}: reconstruct returned images of {came}, "
                f"given {images.shape[2]}x{images.shape[3]}; return the size of the originals"
            )
        found.append(ours.to(images.device))
    return torch.cat(found)
