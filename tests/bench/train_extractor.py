"""Trains the extractor `digits` on the splits train and rest, prints its accuracy on heldout,
writes the weights that are committed.
"""

import hashlib
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from genbench.data.datasets.digits import open_digits
from genbench.features.extractors.digits import WEIGHTS, network, prepare

OUT = Path(__file__).parents[2] / "genbench" / "features" / "extractors" / WEIGHTS.files[0].file
EPOCHS, BATCH, RATE, RECONSTRUCTION = 100, 64, 4e-3, 1.0


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Grey images [n, 1, 32, 32] turned by up to 12 degrees, scaled by up to 10 %,
    shifted by up to 3 pixels, with noise.
    """
    n = len(x)
    angle = (torch.rand(n) * 2 - 1) * 0.21
    cos, sin = angle.cos(), angle.sin()
    stretch = 1 + (torch.rand(n, 2) * 2 - 1) * 0.1
    shift = (torch.rand(n, 2) * 2 - 1) * (3 / 16)  # the grid runs from -1 to 1 over 32 pixels
    theta = torch.stack(
        [cos * stretch[:, 0], -sin, shift[:, 0], sin, cos * stretch[:, 1], shift[:, 1]], 1
    ).view(n, 2, 3)
    # padded with black
    turned = (
        F.grid_sample(
            x + 1, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
        )
        - 1
    )
    return turned + 0.1 * torch.rand(n, 1, 1, 1) * torch.randn_like(turned)


def train(x: torch.Tensor, y: torch.Tensor) -> torch.nn.Sequential:
    """Cross-entropy, and the pool must also hold the image:
    a linear map back to 8x8 pixels, dropped afterwards.

    With cross-entropy alone the pool of one class shrinks to a point (effective rank 9), and a
    distance in it would be blind to variety within a class.
    """
    net, decoder = network().train(), torch.nn.Linear(64, 64)
    optimiser = torch.optim.AdamW(
        [*net.parameters(), *decoder.parameters()], lr=RATE, weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=EPOCHS * -(-len(x) // BATCH)
    )
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            seen = augmented(x[chosen])
            pool = net[0](seen)
            loss = F.cross_entropy(net[1](pool), y[chosen]) + RECONSTRUCTION * F.mse_loss(
                decoder(pool), F.avg_pool2d(seen, 4).flatten(1)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def split(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    ((images, labels),) = open_digits(name)
    return prepare(images), labels


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    seen, rest, heldout = split("train"), split("rest"), split("heldout")
    start = time.perf_counter()
    net = train(torch.cat([seen[0], rest[0]]), torch.cat([seen[1], rest[1]]))
    with torch.no_grad():
        accuracy = (net(heldout[0]).argmax(1) == heldout[1]).double().mean().item()
        scale = net[0](seen[0]).double().square().mean().rsqrt().float()
    save_file({**net.state_dict(), "scale": scale}, OUT)
    content = OUT.read_bytes()
    print(
        f"held-out accuracy {accuracy:.4f} after {time.perf_counter() - start:.0f} s; "
        f"{sum(p.numel() for p in net.parameters())} parameters"
    )
    print(f'sha256="{hashlib.sha256(content).hexdigest()}", bytes={len(content)}')


if __name__ == "__main__":
    main()
