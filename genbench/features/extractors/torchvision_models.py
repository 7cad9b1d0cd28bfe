"""`inception-tv` and `vgg16`: torchvision's classifiers of ImageNet, with torchvision's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import torch, torchvision_models
from genbench.api.extractor import Extractor, File, Weights
from genbench.features.load_network import IMAGENET, fill, standardised
from genbench.features.resize import resize
from genbench.io.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are its own"
INCEPTION_WEIGHTS = Weights(
    name="inception-tv",
    licence=LICENCE,
    files=(
        File(
            "inception_v3_google-0cc3c7bd.pth",
            bytes=108949747,
            url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
            form="torchvision",
        ),
    ),
)
VGG_WEIGHTS = Weights(
    name="vgg16",
    licence=LICENCE,
    files=(
        File(
            "vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            bytes=553433881,
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            form="torchvision",
        ),
    ),
)


def load_inception(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> pool float32 [n, 2048],
    logits float32 [n, 1000] with their bias.

    BigGAN-PyTorch's order: standardised first, then resized (inception_utils.py, WrapInception); it
    divides by 127.5 and back, which is the same.
    """
    with torch.device("meta"):
        net = torchvision_models.inception_v3(
            weights=None, init_weights=False, aux_logits=False, transform_input=False
        )
    fill(net, load_checkpoint(weights), weights, beside=("AuxLogits.",)).to(device).to(
        memory_format=torch.channels_last
    )
    head, net.fc = net.fc, torch.nn.Identity()

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            pool = net(
                resize(standardised(images, IMAGENET), 299, "torch-corners").contiguous(
                    memory_format=torch.channels_last
                )
            )
            return {"pool": pool, "logits": head(pool)}

    return extract


def load_vgg16(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> fc2 float32 [n, 4096]:
    the second fully connected layer behind its ReLU, so never negative.

    torch-fidelity calls it "fc2_relu". NVIDIA's vgg16.pt is the same network in another file;
    torch-fidelity's test has them agree to 1e-4.
    """
    with torch.device("meta"):
        net = torchvision_models.vgg16(weights=None, init_weights=False)
        net.classifier = net.classifier[:5]  # without the last dropout and the classes
    fill(net, load_checkpoint(weights), weights, beside=("classifier.6.",)).to(device).to(
        memory_format=torch.channels_last
    )

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            inputs = standardised(resize(images, 224, "tf1"), IMAGENET)
            return {"fc2": net(inputs.contiguous(memory_format=torch.channels_last))}

    return extract


INCEPTION_TV = Extractor(
    name="inception-tv",
    title=(
        "torchvision's Inception v3, as the BigGAN-PyTorch family takes it (not the "
        "Inception of FID)"
    ),
    outputs={"pool": 2048, "logits": 1000},
    size=299,
    resize=(
        "R-AC: standardised by ImageNet's mean and deviation, then interpolate(bilinear, "
        "align_corners=True) to 299x299, not antialiased"
    ),
    weights=INCEPTION_WEIGHTS,
    trained_on="ImageNet-1k (ILSVRC 2012), its training images",
    load=load_inception,
    package="torchvision",
)

VGG16 = Extractor(
    name="vgg16",
    title=(
        "VGG16's second fully connected layer, as torch-fidelity and NVIDIA take it for "
        "precision and recall"
    ),
    outputs={"fc2": 4096},
    size=224,
    resize=(
        "R-TF1: bilinear as TensorFlow 1 does it (source = destination * in / out, no half pixel, "
        "not antialiased) to 224x224, not rounded"
    ),
    weights=VGG_WEIGHTS,
    trained_on="ImageNet-1k (ILSVRC 2012), its training images",
    load=load_vgg16,
    package="torchvision",
)
