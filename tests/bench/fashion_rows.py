"""A user's own rows for Fashion-MNIST, where no published network is at hand:
a small extractor, and protocols that measure in its features.

    python tests/bench/fashion_rows.py fashion.safetensors
        trains the extractor (a minute), prints its accuracy on the test images, writes the weights
    GENBENCH_WEIGHTS=. genbench run --with tests/bench/fashion_rows.py --protocol fashion-balanced-test --dataset fashion-mnist --imbalance 100 ...

The network is that of the extractor `digits`, learnt on the 60,000 training images as that one is
on its digits.
"""  # noqa: E501

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch

from genbench.api import Extractor, File, Measure, Protocol, Weights
from genbench.features.extractors.digits import load_digits, network, prepare

EPOCHS = 4
NEAR = ("precision", "recall", "density", "coverage")


def load(device: Any, weights: Path) -> Any:
    return load_digits(device, weights)


FASHION = Extractor(
    name="fashion",
    title="a small convolutional network trained on Fashion-MNIST's training images",
    outputs={"pool": 64, "logits": 10},
    size=32,
    resize=(
        "channels averaged to grey; 28x28 to 32x32 by interpolate(bilinear, antialias=True, "
        "align_corners=False)"
    ),
    weights=Weights(name="fashion", licence="MIT", files=(File("fashion.safetensors", sha256=""),)),
    trained_on="fashion-mnist: train",
    load=load,
)


def _protocol(name: str, reference: str, real: tuple[str, ...]) -> Protocol:
    return Protocol(
        name=name,
        title=(
            "Fashion-MNIST in features of its own: 2,000 samples, labels balanced, "
            "against the 10,000 test images"
        ),
        dataset="fashion-mnist",
        n=2000,
        labels="balanced",
        quantise="round",
        measures=(
            *(Measure(metric, "fashion.pool", reference) for metric in ("fd", "kd")),
            *(Measure(metric, "fashion.pool", reference, {"k": 5}) for metric in NEAR),
            Measure("is", "fashion.logits", constants={"splits": 1}),
        ),
        real=real,
    )


BALANCED_TEST = _protocol("fashion-balanced-test", "balanced-test", ("test",))


def main() -> None:
    """Train on the training images, as tests/bench/train_extractor.py does."""
    import train_extractor
    from safetensors.torch import save_file

    from genbench.data.user_datasets import dataset_of

    torch.manual_seed(0)
    train_extractor.EPOCHS, train_extractor.BATCH = EPOCHS, 128
    sets = {}
    for split in ("train", "test"):
        images, labels = (
            torch.cat(parts) for parts in zip(*dataset_of("fashion-mnist").open(split), strict=True)
        )
        sets[split] = torch.cat([prepare(part) for part in images.split(5000)]), labels
    net = train_extractor.train(*sets["train"])
    with torch.no_grad():
        seen = torch.cat([net(part).argmax(1) for part in sets["test"][0].split(5000)])
        scale = (
            torch.cat([net[0](part) for part in sets["train"][0].split(5000)])
            .double()
            .square()
            .mean()
            .rsqrt()
            .float()
        )
    out = Path(sys.argv[1])
    save_file({**net.state_dict(), "scale": scale}, out)
    accuracy = (seen == sets["test"][1]).double().mean().item()
    print(
        f"accuracy on the test images {accuracy:.4f}; {network()[0][-2].out_features} features; "
        f"sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}"
    )


if __name__ == "__main__":
    main()
