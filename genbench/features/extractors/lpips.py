"""`lpips-alex`, `lpips-vgg`, `lpips-squeeze`: images as points whose squared distances are LPIPS,
version 0.1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.hashing import file_sha256
from genbench._util.lazy_imports import F, torch, torchvision_models
from genbench.api.extractor import Extractor, File, Weights
from genbench.features.load_network import fill
from genbench.io.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

# of images in -1 to 1: ImageNet's mean and deviation, as lpips writes them
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
ENLARGED = 32  # what an image that a network cannot take is brought to
#: The layers behind which features are taken, in torchvision's `features`; the smallest image side
#: that reaches the last; SHA-256 of lpips' weights/v0.1/*.pth.
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
SMALLEST = {"alex": 31, "vgg": 16, "squeeze": 17}
HEADS = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
}


def trunk(net: str) -> nn.Sequential:
    """The layers of torchvision's network that LPIPS needs,
    without values (on the device `meta`).
    """
    build = {
        "alex": torchvision_models.alexnet,
        "vgg": torchvision_models.vgg16,
        "squeeze": torchvision_models.squeezenet1_1,
    }[net]
    with torch.device("meta"):
        return build(weights=None).features[: TAPS[net][-1] + 1]


def heads(net: str) -> list[Tensor]:
    """w_l of each layer, float32 [C_l], none negative: the weights that the lpips package carries.

    UserError where it is missing or another version.
    """
    package = importlib.util.find_spec("lpips")
    if package is None or not package.submodule_search_locations:
        raise UserError("LPIPS needs the weights of the lpips package: pip install lpips")
    path = Path(package.submodule_search_locations[0]) / "weights" / "v0.1" / f"{net}.pth"
    if not path.is_file() or (found := file_sha256(path)) != HEADS[net]:
        came = (
            f"has SHA-256 {found} instead of {HEADS[net]}" if path.is_file() else "does not exist"
        )
        raise UserError(f"{path} {came}: pip install --force-reinstall lpips==0.1.4")
    content = load_checkpoint(path)
    return [content[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(TAPS[net]))]


def prepare(images: Tensor, smallest: int) -> Tensor:
    """Images [n, 3, h, w] in 0 to 255 -> float32, scaled to -1 to 1 and standardised;
    enlarged to 32 pixels where the network could not take them.
    """
    shift, scale = (
        torch.tensor(of, device=images.device).view(1, -1, 1, 1) for of in (SHIFT, SCALE)
    )
    scaled = (images.to(torch.float32) / 127.5 - 1 - shift) / scale
    side = min(images.shape[2:])
    if side >= smallest:
        return scaled
    size = [round(length * ENLARGED / side) for length in images.shape[2:]]
    return F.interpolate(scaled, size=size, mode="bilinear", align_corners=False)


def _load(net: str, device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """Images [n, 3, h, w] in 0 to 255 -> phi float32 [n, width of that size],
    with |phi_i - phi_j|^2 = LPIPS(i, j).

    Zhang et al. (2018), eq. 1: phi is sqrt(w_l / (H_l W_l)) f / (|f| + 1e-10) of all layers l and
    places side by side, f the features of a place. It needs w >= 0, which holds for version 0.1.
    torchmetrics adds 1e-8 to |f|^2 and StarGAN v2 1e-10, before the root: the same where |f| is not
    tiny. Version 0.0 did not scale the input; BicycleGAN's numbers are of that one. Images are in
    -1 to 1 there; handing over 0 to 1 is the usual mistake.
    """
    part = trunk(net)
    tensors = load_checkpoint(weights)
    fill(
        part, tensors, weights, published=lambda key: (f"features.{key}",), beside=("classifier.",)
    )
    part.to(device).to(memory_format=torch.channels_last)
    layers = [w.to(device).view(1, -1, 1, 1) for w in heads(net)]

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            x = prepare(images, SMALLEST[net]).contiguous(memory_format=torch.channels_last)
            found, left = [], iter(layers)
            for place, layer in enumerate(part):
                x = layer(x)
                if place in TAPS[net]:
                    found.append(_unit(x, next(left)).flatten(1))
            return {"phi": torch.cat(found, 1)}

    return extract


def _unit(f: Tensor, w: Tensor) -> Tensor:
    """Features [n, C, H, W] of length 1 at each place, times sqrt(w / (H W)); w [1, C, 1, 1]."""
    length = torch.linalg.vector_norm(f, dim=1, keepdim=True) + 1e-10
    return (f / length).mul_((w / (f.shape[2] * f.shape[3])).sqrt())


def load_alex(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """AlexNet's phi, as _load: 5,760 wide at 32 x 32 pixels."""
    return _load("alex", device, weights)


def load_vgg(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """VGG16's phi, as _load: 124,928 wide at 32 x 32 pixels."""
    return _load("vgg", device, weights)


def load_squeeze(device: Any, weights: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """SqueezeNet's phi, as _load."""
    return _load("squeeze", device, weights)


LICENCE = (
    "BSD-3-Clause (torchvision), BSD-2-Clause (lpips); trained on ImageNet, whose terms are its own"
)


def _row(
    net: str, network: str, load: Callable[..., Any], file: str, sha256: str, size: int
) -> Extractor:
    published = File(
        file,
        sha256=sha256,
        bytes=size,
        url=f"https://download.pytorch.org/models/{file}",
        form="torchvision",
    )
    return Extractor(
        name=f"lpips-{net}",
        title=f"LPIPS 0.1 of {network} as an embedding: squared distances of phi are LPIPS",
        outputs={"phi": 0},
        size=0,
        resize=(
            f"none: the width follows the size of the images; a shorter side below {SMALLEST[net]} "
            f"is enlarged to {ENLARGED} by interpolate(bilinear)"
        ),
        weights=Weights(name=f"lpips-{net}", licence=LICENCE, files=(published,)),
        trained_on=(
            "ImageNet-1k (ILSVRC 2012), its training images; heads on people's judgements of "
            "patches (BAPPS)"
        ),
        load=load,
        package="torchvision",
    )


ALEX = _row(
    "alex",
    "AlexNet",
    load_alex,
    "alexnet-owt-7be5be79.pth",
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    244408911,
)
VGG = _row(
    "vgg",
    "VGG16",
    load_vgg,
    "vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    553433881,
)
SQUEEZE = _row(
    "squeeze",
    "SqueezeNet 1.1",
    load_squeeze,
    "squeezenet1_1-b8a52dc0.pth",
    "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    4958839,
)
