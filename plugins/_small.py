"""What the small reference generators share: they work on the digits' own 8x8 pixels,
and their labels are ten classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genbench

CLASSES = 10
SIDE = 8
CHANNELS = 64


class Painter(nn.Module):
    """A vector and a class -> 4x4 -> an image [n, 1, 8, 8] in -1 to 1,
    by a transposed convolution as in DCGAN (Radford et al. 2016).

    Without its batch normalisation, so that an image depends on its own vector alone.
    """

    last = ("embedding", "refine", "paint")  # its class embeddings and last block

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 32)
        self.start = nn.Linear(width + 32, CHANNELS * 4 * 4)
        self.grow = nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, 2, 1)
        self.refine = nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1)
        self.paint = nn.Conv2d(CHANNELS, 1, 3, 1, 1)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        x = F.leaky_relu(self.start(torch.cat([vectors, self.embedding(labels)], 1)), 0.2).view(
            -1, CHANNELS, 4, 4
        )
        x = F.leaky_relu(self.grow(x), 0.2)
        x = F.leaky_relu(self.refine(x), 0.2)
        return torch.tanh(self.paint(x))


def enlarge(small: Tensor) -> Tensor:
    """Grey images [n, 1, 8, 8] -> [n, 3, 32, 32], bilinearly, as the data set does."""
    return F.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False).repeat(
        1, 3, 1, 1
    )


def shrink(images: Tensor) -> Tensor:
    """Images uint8 [n, 3, 32, 32] -> grey float [n, 1, 8, 8] in -1 to 1:
    the least-squares inverse of `enlarge`, so that nothing is blurred twice.
    """
    grey = images.float().mean(1, keepdim=True) / 127.5 - 1
    # [8, 32]: an image enlarges to rows.T @ image @ rows
    rows = F.interpolate(torch.eye(SIDE)[None], scale_factor=4, mode="linear", align_corners=False)[
        0
    ]
    inverse = torch.linalg.pinv(rows).to(grey)
    return (inverse.T @ grey @ inverse).clamp(-1, 1)


def restore(net: nn.Module, checkpoint: Path | None, device: Any) -> None:
    """Read a checkpoint into the network (no checkpoint: it keeps its initial weights);
    one line when the file is another network's.
    """
    if checkpoint is not None:
        wanted, came = net.state_dict(), genbench.load_checkpoint(checkpoint, device)
        wrong = [
            k
            for k in sorted(wanted.keys() | came.keys())
            if k not in wanted or k not in came or wanted[k].shape != came[k].shape
        ]
        if wrong:
            raise genbench.UserError(
                f"checkpoint {checkpoint} is another network's: {wrong[0]} is missing, "
                "not known here or of another shape"
            )
        net.load_state_dict(came)
    net.to(device)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of gradient descent."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def settle(net: nn.Module, *kept: str) -> None:
    """From now on train nothing but the layers that are named."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(any(f"{name}.".startswith(f"{one}.") for one in kept))


def follow(slow: nn.Module, fast: nn.Module, share: float) -> None:
    """Move the averaged weights a share of the way to the trained ones:
    slow <- slow + share (fast - slow).
    """
    for average, latest in zip(slow.parameters(), fast.parameters(), strict=True):
        average.detach().lerp_(latest.detach(), share)


def count(net: nn.Module) -> int:
    """How many parameters the network has."""
    return sum(p.numel() for p in net.parameters())
