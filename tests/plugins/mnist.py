"""Models that other people trained on MNIST, as a user would wrap them:
a published LeNet-5 as extractor, a conditional WGAN-GP and a GAN of three layers.

Each file holds tensors alone; what they mean is written here from their authors' descriptions. The
files lie in $GENBENCH_TEST_DATA; nothing of them is in the repository.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genbench
from genbench.api import Extractor, File, Measure, Protocol, Weights


def load_lenet(device: Any, weights: Path) -> Any:
    """LeNet-5 on 32x32 pixels in 0 to 1: images uint8 [n, 3, h, w] -> pool [n, 84],
    logits [n, 10].
    """
    w = {name: tensor.to(device) for name, tensor in genbench.load_checkpoint(weights).items()}

    def extract(images: Tensor) -> dict[str, Tensor]:
        x = F.interpolate(
            images.float().mean(1, keepdim=True) / 255,
            size=(32, 32),
            mode="bilinear",
            align_corners=False,
        )
        for name in ("c1", "c3"):
            x = F.max_pool2d(
                F.relu(F.conv2d(x, w[f"convnet.{name}.weight"], w[f"convnet.{name}.bias"])), 2
            )
        x = F.relu(F.conv2d(x, w["convnet.c5.weight"], w["convnet.c5.bias"])).flatten(1)
        pool = F.relu(F.linear(x, w["fc.f6.weight"], w["fc.f6.bias"]))
        return {"pool": pool, "logits": F.linear(pool, w["fc.f7.weight"], w["fc.f7.bias"])}

    return extract


LENET = Extractor(
    name="lenet-mnist",
    title="a published LeNet-5, 99.08 % on MNIST's test images",
    outputs={"pool": 84, "logits": 10},
    size=32,
    resize="channels averaged; 32x32 by interpolate(bilinear, align_corners=False)",
    weights=Weights(name="lenet-mnist", licence="MIT", files=(File("lenet-mnist.pth", sha256=""),)),
    trained_on="mnist: train",
    load=load_lenet,
)
PROTOCOL = Protocol(
    name="lenet-mnist",
    title="MNIST's test images, in features of a LeNet-5",
    dataset="any",
    n=5000,
    labels="balanced",
    quantise="round",
    measures=(
        Measure("fd", "lenet-mnist.pool", "train"),
        Measure("label_accuracy", "lenet-mnist.logits"),
    ),
)


class CWGAN:
    """HayatoHongo's conditional WGAN-GP: ten numbers and ten of the class, two doublings;
    normalised by its stored statistics.
    """

    range = (-1.0, 1.0)
    classes = 10

    def __init__(self, checkpoint: Path | None = None) -> None:
        tensors = genbench.load_checkpoint(checkpoint)
        self.label_emb, self.l1 = nn.Embedding(10, 10), nn.Sequential(nn.Linear(20, 6272))
        self.conv_blocks = nn.Sequential(
            *(nn.BatchNorm2d(128), nn.Upsample(scale_factor=2)),
            *(
                nn.Conv2d(128, 128, 3, 1, 1),
                nn.BatchNorm2d(128, 0.8),
                nn.LeakyReLU(0.2),
                nn.Upsample(scale_factor=2),
            ),
            *(nn.Conv2d(128, 64, 3, 1, 1), nn.BatchNorm2d(64, 0.8), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(64, 1, 3, 1, 1), nn.Tanh()),
        )
        whole = nn.ModuleDict(
            {"label_emb": self.label_emb, "l1": self.l1, "conv_blocks": self.conv_blocks}
        )
        whole.load_state_dict(tensors)
        whole.eval()

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor, labels: Tensor) -> Tensor:
        z = torch.cat([genbench.noise(seeds, (10,)), self.label_emb(labels)], 1)
        return self.conv_blocks(self.l1(z).view(-1, 128, 7, 7))


class MLP:
    """csinva's GAN of three layers: 64 numbers to 28x28 pixels."""

    range = (-1.0, 1.0)

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.net = nn.Sequential(
            nn.Linear(64, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, 784),
            nn.Tanh(),
        )
        self.net.load_state_dict(genbench.load_checkpoint(checkpoint))

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor) -> Tensor:
        return self.net(genbench.noise(seeds, (64,))).view(-1, 1, 28, 28)
