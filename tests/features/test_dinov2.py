"""DINOv2 under its three preprocessings: the network, its position embeddings and its inputs,
each against the operation written out or the peer's own.
"""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers.published_weights import apart, dinov2_parameters, images, pil
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from genbench.features.extractors import dinov2
from genbench.features.load_network import IMAGENET

SMALL = {"patch_size": 14, "embed_dim": 64, "depth": 2, "num_heads": 4}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dinov2") / "dinov2_vitl14_pretrain.pth"
    torch.save(dinov2_parameters(), path)
    return path


def plain_dinov2(p, x, heads):
    """DINOv2's forward pass written out: inputs [n, 3, 224, 224] -> class token [n, width]."""
    n, w = len(x), p["norm.weight"].numel()

    def norm(x, name):
        return F.layer_norm(x, (w,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def attention(x, name):
        q, k, v = linear(x, f"{name}.qkv").view(n, -1, 3, heads, w // heads).permute(2, 0, 3, 1, 4)
        share = (q @ k.transpose(2, 3) / math.sqrt(w // heads)).softmax(3)
        return linear((share @ v).transpose(1, 2).reshape(n, -1, w), f"{name}.proj")

    patches = (
        F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=14)
        .flatten(2)
        .transpose(1, 2)
    )
    positions = p["pos_embed"][:, 1:]
    if positions.shape[1] == 37 * 37:
        A = bicubic(37, 16, 37 / 16.1)
        positions = (
            torch.einsum("yi,xj,ijc->yxc", A, A, positions.view(37, 37, w).double())
            .to(x.dtype)
            .reshape(1, 256, w)
        )
    x = torch.cat(
        [p["cls_token"] + p["pos_embed"][:, :1] + torch.zeros(n, 1, w), patches + positions], 1
    )
    for i in range(sum(name.endswith("ls1.gamma") for name in p)):
        x = x + p[f"blocks.{i}.ls1.gamma"] * attention(
            norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn"
        )
        x = x + p[f"blocks.{i}.ls2.gamma"] * linear(
            F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")),
            f"blocks.{i}.mlp.fc2",
        )
    return norm(x, "norm")[:, 0]


def bicubic(source, target, step):
    """Keys' cubic convolution with a = -3/4 at (i + 1/2) step - 1/2, clamped to the border:
    float64 [target, source].
    """
    matrix, a = torch.zeros(target, source, dtype=torch.float64), -0.75
    for i in range(target):
        at = (i + 0.5) * step - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            x = abs(at - j)
            weight = (
                (a + 2) * x**3 - (a + 3) * x**2 + 1
                if x <= 1
                else a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
            )
            matrix[i, min(max(j, 0), source - 1)] += weight
    return matrix


def test_positions_are_dinov2s():
    """Resampled position embeddings are cubic convolution at steps of 37 / 16.1,
    the class's own left as it is; at 37 / 16 they would be others.
    """
    positions = dinov2_parameters()["pos_embed"]
    ours = dinov2.resampled(positions, 16)
    square = positions[0, 1:].view(37, 37, -1).double()
    for step, equal in ((37 / 16.1, True), (37 / 16, False)):
        A = bicubic(37, 16, step)
        expected = torch.einsum("yi,xj,ijc->yxc", A, A, square).reshape(1, 256, -1)
        assert (apart(ours[:, 1:].double(), expected) < 1e-5) is equal
    assert torch.equal(ours[:, 0], positions[:, 0])
    assert torch.equal(dinov2.resampled(positions, 37), positions)


def test_the_network_is_dinov2s(file):
    """In float64 the network is the forward pass written out, to rounding:
    layer norms' epsilon, layer scale, exact GELU, one class token.
    """
    x = of_edm2(images(2, 60, 60)).double()
    wide = {name: tensor.double() for name, tensor in torch.load(file).items()}
    wide["pos_embed"] = dinov2.resampled(torch.load(file)["pos_embed"], 16).double()
    assert (
        apart(dinov2.read_network(file, SMALL).double()(x), plain_dinov2(wide, x, heads=4)) < 1e-12
    )


def of_dgm_eval(batch):
    """torchvision on PIL images, one by one."""
    whole = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(
                (224, 224), torchvision.transforms.InterpolationMode.BICUBIC
            ),
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize(*map(np.array, IMAGENET)),
        ]
    )
    return torch.stack([whole(pil(image)) for image in batch])


def of_edm2(batch):
    """torch's antialiased bicubic, unclipped."""
    x = F.interpolate(batch.float(), size=(224, 224), mode="bicubic", antialias=True) / 255
    mean, deviation = (torch.tensor(of).view(1, 3, 1, 1) for of in IMAGENET)
    return (x - mean) / deviation


def of_torch_fidelity(batch):
    """Its own interpolation, then the moments times 255."""
    x = interpolate_bilinear_2d_like_tensorflow1x(
        batch.float(), size=(224, 224), align_corners=False
    )
    return torchvision.transforms.functional.normalize(
        x, *([255 * value for value in of] for of in IMAGENET)
    )


ROWS = [(dinov2.DGM, of_dgm_eval), (dinov2.EDM2, of_edm2), (dinov2.TF1, of_torch_fidelity)]


@pytest.mark.parametrize("shape", [(32, 32), (260, 300)])
@pytest.mark.parametrize(("row", "prepared"), ROWS, ids=lambda one: getattr(one, "name", ""))
def test_each_row_is_the_network_behind_the_peers_preparation(
    file, row, prepared, shape, monkeypatch
):
    """The row's features are those of the network written out,
    on inputs made by the peer's own operations.
    """
    monkeypatch.setattr(dinov2, "LARGE", SMALL)
    batch = images(2, *shape)
    ours = row.load("cpu", file)(batch)["cls"]
    assert apart(ours, plain_dinov2(torch.load(file), prepared(batch), heads=4)) < 1e-5


def test_the_three_rows_differ(file, monkeypatch):
    """On one image of 32 pixels the three preparations give three features:
    they are not one row under three names.
    """
    monkeypatch.setattr(dinov2, "LARGE", SMALL)
    dgm, edm2, tf1 = (row.load("cpu", file)(images(1, 32, 32))["cls"] for row, _ in ROWS)
    assert apart(edm2, dgm) > 1e-4  # clipping and rounding alone
    assert min(apart(tf1, dgm), apart(tf1, edm2)) > 1e-2


def test_hugging_faces_file_is_read(file, tmp_path):
    """The same parameters under Hugging Face's names, query, key and value apart,
    give the same features.
    """
    swaps = {
        "cls_token": "embeddings.cls_token",
        "mask_token": "embeddings.mask_token",
        "pos_embed": "embeddings.position_embeddings",
    }
    swaps |= {
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "blocks.": "encoder.layer.",
        "attn.proj": "attention.output.dense",
    }
    swaps |= {"ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1"}
    theirs = {}
    for meta, tensor in torch.load(file).items():
        name = f"layer{meta}" if meta.startswith("norm.") else meta
        name = functools.reduce(lambda so_far, swap: so_far.replace(*swap), swaps.items(), name)
        parts = (
            zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            if "qkv" in name
            else [("", tensor)]
        )
        theirs |= {
            name.replace("attn.qkv", f"attention.attention.{which}"): part for which, part in parts
        }
    torch.save(theirs, tmp_path / "model.bin")
    batch = images(1, 40, 40)
    metas, hugging_face = (
        dinov2.tower("cpu", path, "pil-uint8", SMALL)(batch)["cls"]
        for path in (file, tmp_path / "model.bin")
    )
    assert torch.equal(metas, hugging_face)


def test_the_large_network(tmp_path):
    """The network of the row itself takes the published file's shapes and gives 1024 numbers an
    image, whose layer norm has worked.
    """
    torch.save(dinov2_parameters(embed_dim=1024, depth=24), tmp_path / "dinov2_vitl14_pretrain.pth")
    (cls,) = dinov2.DGM.load("cpu", tmp_path / "dinov2_vitl14_pretrain.pth")(
        images(1, 32, 32)
    ).values()
    assert cls.shape == (1, *dinov2.DGM.outputs.values())
    assert cls.dtype == torch.float32
    assert 0.3 < float(cls.std()) < 3
