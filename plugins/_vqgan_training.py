"""How a small VQGAN is trained, after Esser et al. (2021), sections 3.1 and 3.2:
the autoencoder in the first half of the steps, the transformer in the rest.

Unlike theirs the reconstruction is judged by its squared error and the discriminator alone, for no
perceptual network is shipped; and codes that no image of many batches has used begin again at an
encoding of a batch (Dhariwal et al. 2020, Jukebox), without which a small codebook loses most
of its codes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench_plugins._small import descend, follow
from genbench_plugins._vqgan import Networks

RATE, RATE_OF_PRIOR = 1e-3, 2e-3
BETA = 0.25  # of the commitment, eq. 4
WARM = 0.3  # of the autoencoder's steps, before the discriminator takes part
WEIGHT, LARGEST = 0.2, 10.0  # of the discriminator, times eq. 7's lambda, which is cut off
RESTART = 50  # steps after which unused codes begin again
DROPOUT, DECAY = 0.2, 0.05  # of the transformer, which sees few images again and again
MEMORY = 0.005  # the transformer that is saved follows the trained one by this share a step


class Patches(nn.Module):
    """A score for each patch of an image [n, c, h, w] (Isola et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 64, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def steps(
    net: Networks,
    batches: Collection[tuple[Tensor, Tensor]],
    real: Callable[[Tensor], Tensor],
    first: Callable[[Tensor], Tensor],
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train on batches of images uint8 [b, 3, h, w] and labels.

    real: images as the network has them; first: labels -> the transformer's first tokens.
    """
    count = len(batches)
    turn = count // 2
    each = iter(batches)
    coder: Any = net.first_stage_model
    for step, loss in enumerate(_autoencoder(coder, itertools.islice(each, turn), real, turn), 1):
        yield step, count, loss
    coder.requires_grad_(False)
    for step, loss in enumerate(_prior(net, each, real, first, count - turn), turn + 1):
        yield step, count, loss


def _autoencoder(
    coder: Any,
    batches: Iterator[tuple[Tensor, Tensor]],
    real: Callable[[Tensor], Tensor],
    count: int,
) -> Iterator[dict[str, float]]:
    coder.requires_grad_(True)
    optimiser = torch.optim.Adam(coder.parameters(), RATE, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, count)
    book = coder.quantize.vectors
    seen = torch.zeros(len(book), device=book.device)
    judge, judges = None, None
    for step, (images, _) in enumerate(batches):
        x = real(images)
        if judge is None or judges is None:
            judge = Patches(x.shape[1]).to(x.device)
            judges = torch.optim.Adam(judge.parameters(), RATE, betas=(0.5, 0.9))
        z = coder.encode(x)
        if step % RESTART == 0:
            restart(book, seen, z)
        codes = coder.quantize.codes(z)
        seen += torch.bincount(codes.flatten(), minlength=len(book))
        q = coder.quantize(codes)
        y = coder.decode(z + (q - z).detach())  # straight through, eq. 3
        error = F.mse_loss(y, x)
        matched = F.mse_loss(q, z.detach()) + BETA * F.mse_loss(z, q.detach())
        if step >= WARM * count:
            fooled = -judge(y).mean()
            loss = (
                error
                + matched
                + WEIGHT * balance(error, fooled, coder.decoder.conv_out.weight) * fooled
            )
        else:
            loss = error + matched
        descend(optimiser, loss)
        schedule.step()
        judged = F.relu(1 - judge(x)).mean() + F.relu(1 + judge(y.detach())).mean()
        descend(judges, judged)
        yield {
            "loss": error.item(),
            "codebook": matched.item(),
            "discriminator": judged.item(),
            "codes": float((seen > 0).sum()),
        }


def restart(book: Tensor, seen: Tensor, z: Tensor) -> None:
    """Codes [k, d] that were never seen since the last time become encodings of this batch z
    [n, d, h, w].
    """
    unused = (seen == 0).nonzero()[:, 0]
    rows = z.detach().movedim(1, -1).flatten(0, -2)
    chosen = torch.randint(len(rows), (len(unused),), device=z.device)
    book.data[unused] = rows[chosen] + 0.01 * torch.randn_like(rows[chosen])
    seen.zero_()


def balance(error: Tensor, fooled: Tensor, last: Tensor) -> Tensor:
    """Equation 7: how strong the discriminator's slope at the last layer is made beside the
    reconstruction's.
    """
    of_error, of_fooled = (
        torch.autograd.grad(one, last, retain_graph=True)[0].norm() for one in (error, fooled)
    )
    return (of_error / (of_fooled + 1e-4)).clamp(max=LARGEST).detach()


def _prior(
    net: Any,
    batches: Iterator[tuple[Tensor, Tensor]],
    real: Callable[[Tensor], Tensor],
    first: Callable[[Tensor], Tensor],
    count: int,
) -> Iterator[dict[str, float]]:
    average, coder = net.transformer, net.first_stage_model
    learner = copy.deepcopy(average).requires_grad_(True)
    optimiser = torch.optim.AdamW(
        learner.parameters(), RATE_OF_PRIOR, betas=(0.9, 0.95), weight_decay=DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE_OF_PRIOR, total_steps=count, pct_start=0.1
    )
    for step, (images, labels) in enumerate(batches, 1):
        with torch.no_grad():
            codes = coder.quantize.codes(coder.encode(real(images))).flatten(1)
        logits = learner(torch.cat([first(labels)[:, None], codes[:, :-1]], 1), rate=DROPOUT)
        loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten())
        descend(optimiser, loss)
        schedule.step()
        follow(average, learner, max(MEMORY, 1 / step))
        yield {"loss": loss.item()}
