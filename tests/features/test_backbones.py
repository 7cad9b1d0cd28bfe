"""torchvision's networks, and what holds for every network of a package:
rows stand alone, a wrong file is one clear line.
"""

import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers.published_weights import apart, clip_parameters, dinov2_parameters, images, published
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.features.extractors import clip, dinov2, torchvision_models
from genbench.features.load_network import IMAGENET, vision_transformer


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16-397923af.pth"
    with torch.device("meta"):
        net = torchvision.models.vgg16(init_weights=False)
    torch.save(published(net), path)
    return path


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception_v3_google-0cc3c7bd.pth"
    with torch.device("meta"):
        net = torchvision.models.inception_v3(init_weights=False)
    torch.save(published(net), path)
    return path


@pytest.mark.parametrize("shape", [(32, 32), (300, 250)])
def test_vgg16_equals_torch_fidelity(vgg_file, shape):
    """fc2 is torch-fidelity's "fc2_relu", from the same file and uint8 images,
    enlarged and shrunk.
    """
    theirs = FeatureExtractorVGG16(
        "vgg16", ["fc2_relu"], feature_extractor_weights_path=str(vgg_file)
    )
    batch = images(2, *shape)
    (expected,) = theirs(batch)
    ours = torchvision_models.VGG16.load("cpu", vgg_file)(batch)["fc2"]
    assert 0.1 < float((ours > 0).double().mean()) < 0.9
    assert apart(ours, expected) < 1e-5


@pytest.mark.parametrize("shape", [(32, 32), (299, 299), (310, 280)])
def test_inception_tv_equals_torchvision(inception_file, shape):
    """Pool and logits are torchvision's own network's on inputs made as BigGAN-PyTorch makes them;
    a resized 299 would show.
    """
    net = torchvision.models.inception_v3(init_weights=False, transform_input=False).eval()
    net.load_state_dict(torch.load(inception_file, weights_only=True), strict=False)
    batch, pooled = images(2, *shape), []
    net.avgpool.register_forward_hook(lambda *seen: pooled.append(seen[2].flatten(1)))
    mean, deviation = (torch.tensor(of).view(1, 3, 1, 1) for of in IMAGENET)
    x = ((batch.float() / 127.5 - 1 + 1) / 2 - mean) / deviation
    if shape != (299, 299):
        x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=True)
    with torch.no_grad():
        logits = net(x)
    ours = torchvision_models.INCEPTION_TV.load("cpu", inception_file)(batch)
    assert {name: tuple(rows.shape) for name, rows in ours.items()} == {
        "pool": (2, 2048),
        "logits": (2, 1000),
    }
    assert apart(ours["pool"], pooled[0]) < 1e-5
    assert apart(ours["logits"], logits) < 1e-5


# Every network of a package


SMALL_DINOV2 = {"patch_size": 14, "embed_dim": 64, "depth": 2, "num_heads": 4}
SMALL_CLIP = {"img_size": 224, "patch_size": 32, "embed_dim": 128, "depth": 2, "num_heads": 2}


@pytest.fixture
def small(tmp_path, vgg_file, inception_file, monkeypatch):
    """The rows, the transformers among them with small networks, each with its file."""
    monkeypatch.setattr(dinov2, "LARGE", SMALL_DINOV2)
    monkeypatch.setattr(clip, "B_32", SMALL_CLIP)
    torch.save(dinov2_parameters(), tmp_path / "dinov2.pth")
    torch.save(clip_parameters(128, 2, 32, 224, 512), tmp_path / "clip.pt")
    files = dict.fromkeys(
        (dinov2.DGM.name, dinov2.EDM2.name, dinov2.TF1.name), tmp_path / "dinov2.pth"
    )
    files |= dict.fromkeys((clip.CLIP_B_32.name, clip.CLIP_B_32_TF1.name), tmp_path / "clip.pt")
    files |= {
        torchvision_models.VGG16.name: vgg_file,
        torchvision_models.INCEPTION_TV.name: inception_file,
    }
    return {name: (registry.find("extractors", name), path) for name, path in files.items()}


NAMES = [
    "dinov2-vit-l-14",
    "dinov2-vit-l-14-edm2",
    "dinov2-vit-l-14-tf1",
    "clip-vit-b-32",
    "clip-vit-b-32-tf1",
    "vgg16",
    "inception-tv",
]


@pytest.mark.parametrize("name", NAMES)
def test_rows_stand_alone(small, name):
    """Features of an image do not depend on its batch, are float32 without gradients,
    and whole numbers as floats are the same image.
    """
    row, path = small[name]
    extract, batch = row.load("cpu", path), images(4, 40, 50)
    together, floats = extract(batch), extract(batch[:1].float())
    alone = [extract(image[None]) for image in batch]
    for output, rows in together.items():
        assert rows.dtype == torch.float32
        assert not rows.requires_grad
        assert torch.equal(alone[0][output], floats[output])
        assert apart(torch.cat([one[output] for one in alone]), rows) < 1e-5
        assert apart(rows[:1], rows[1:2]) > 1e-3  # the images do differ


WRONG = {
    "missing": (lambda p: p.pop("blocks.1.norm1.weight"), "lack 'blocks.1.norm1.weight'"),
    "another shape": (
        lambda p: p.update({"norm.bias": torch.zeros(65)}),
        "hold 'norm.bias' of shape (65,), wanted is (64,)",
    ),
    "turned": (
        lambda p: p.update({"blocks.0.mlp.fc1.weight": p["blocks.0.mlp.fc1.weight"].T}),
        "hold 'blocks.0.mlp.fc1.weight' of shape (64, 256)",
    ),
    "registers": (
        lambda p: p.update({"register_tokens": torch.zeros(1, 4, 64)}),
        "hold 'register_tokens', which this network does not have",
    ),
    "integers": (
        lambda p: p.update({"norm.bias": torch.zeros(64, dtype=torch.int64)}),
        "hold 'norm.bias' as int64",
    ),
    "positions": (
        lambda p: p.update({"pos_embed": torch.zeros(1, 1025, 64)}),
        "hold 'pos_embed' of shape (1, 1025, 64), wanted is (1, 257, 64)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line(tmp_path, case):
    """A file of another network is refused in one line that names the file and the first key
    that is wrong.
    """
    parameters, (spoil, words) = dinov2_parameters(), WRONG[case]
    spoil(parameters)
    torch.save(parameters, tmp_path / "wrong.pth")
    with pytest.raises(UserError) as refused:
        dinov2.tower("cpu", tmp_path / "wrong.pth", "tf1", SMALL_DINOV2)
    assert f"{tmp_path / 'wrong.pth'} {words}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_networks_are_not_taken_for_each_other(tmp_path, vgg_file, inception_file):
    """Each row refuses the other rows' files; torchvision's Inception refuses the one of FID,
    which has 1008 classes.
    """
    torch.save(
        {**torch.load(inception_file), "fc.weight": torch.zeros(1008, 2048)}, tmp_path / "fid.pth"
    )
    loads = [
        (torchvision_models.VGG16, inception_file),
        (torchvision_models.INCEPTION_TV, vgg_file),
        (clip.CLIP_B_32, vgg_file),
        (dinov2.DGM, inception_file),
    ]
    for row, path in loads:
        with pytest.raises(UserError, match="lack '"):
            row.load("cpu", path)
    with pytest.raises(
        UserError, match=r"'fc.weight' of shape \(1008, 2048\), wanted is \(1000, 2048\)"
    ):
        torchvision_models.INCEPTION_TV.load("cpu", tmp_path / "fid.pth")


def test_without_timm(monkeypatch):
    """Where timm is not installed, one line says how to install it."""
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)
    with pytest.raises(UserError, match=r"needs timm.*pip install genbench\[backbones\]"):
        vision_transformer(img_size=224)
