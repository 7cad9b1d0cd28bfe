"""A user's own rows: CIFAR-10 test images as a data set,
a published ResNet-20 as extractor and recogniser, a protocol, and the images as a generator.

The material is looked for in $GENBENCH_TEST_DATA (cifar10-test-5k.npz,
cifar10-resnet20-12fca82f.th); nothing of it is in the repository.
"""

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import genbench
from genbench.api import Dataset, Extractor, File, Measure, Protocol, Weights

DATA = Path(os.environ.get("GENBENCH_TEST_DATA", "."))
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EACH = 50  # images of each class in each split


def open_split(split):
    """The first or the next EACH images of each class, the classes in turn."""
    with np.load(DATA / "cifar10-test-5k.npz", allow_pickle=False) as file:
        images, labels = file["arr_0"], file["arr_1"]
    start = {"first": 0, "second": EACH}[split]
    chosen = np.stack(
        [np.flatnonzero(labels == c)[start : start + EACH] for c in range(10)], 1
    ).ravel()
    yield (
        torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(labels[chosen].astype(np.int64)),
    )


def load_resnet(device, weights):
    """ResNet-20 with option-A shortcuts (He et al. 2016, section 4.2),
    from the published state dict.
    """
    weights = {
        k.removeprefix("module."): v.to(device)
        for k, v in genbench.load_checkpoint(weights).items()
    }
    mean, std = (
        torch.tensor(v, device=device).view(1, 3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def normed(x, conv, norm, stride=1):
        x = F.conv2d(x, weights[f"{conv}.weight"], stride=stride, padding=1)
        return F.batch_norm(
            x, *(weights[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        )

    def block(x, name, stride):
        y = F.relu(normed(x, f"{name}.conv1", f"{name}.bn1", stride))
        y = normed(y, f"{name}.conv2", f"{name}.bn2")
        if stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2))
        return F.relu(x + y)

    @torch.no_grad()
    def features(images):
        x = F.relu(normed((images.float() / 255 - mean) / std, "conv1", "bn1"))
        for layer in (1, 2, 3):
            for i in range(3):
                x = block(x, f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1)
        pool = x.mean((2, 3))
        return {"pool": pool, "logits": pool @ weights["linear.weight"].T + weights["linear.bias"]}

    return features


CIFAR = Dataset(
    "cifar10-5k",
    "a part of the CIFAR-10 test set",
    CLASSES,
    32,
    {"first": 500, "second": 500},
    open_split,
    "as they are",
    "Krizhevsky 2009",
    "none stated",
    "resnet20.logits",
    "cifar10-5k",
)
RESNET = Extractor(
    "resnet20",
    "a published ResNet-20",
    {"pool": 64, "logits": 10},
    32,
    "none",
    Weights(
        "resnet-20",
        "BSD-2",
        (
            File(
                str(DATA / "cifar10-resnet20-12fca82f.th"),
                "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
            ),
        ),
    ),
    "CIFAR-10 train",
    load_resnet,
)
PROTOCOL = Protocol(
    "cifar10-5k",
    "500 against 500 test images",
    "cifar10-5k",
    500,
    "balanced",
    "round",
    (
        Measure("fd", "resnet20.pool", "second"),
        Measure("kd", "resnet20.pool", "second"),
        Measure("label_accuracy", "resnet20.logits"),
    ),
    ("first", "second"),
)


class First:
    """The images of the split `first`, served as they are."""

    def __init__(self, dataset):
        (self.images, _), *_ = dataset.open("first")

    @genbench.hookimpl
    def sample(self, n, indices, labels):
        return self.images[indices.cpu()]
