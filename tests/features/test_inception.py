"""`inception`: features equal the peers' networks with the same random weights,
from each published form of them, and wrong files are refused.
"""

from pathlib import Path

import numpy as np
import pytest
import pytorch_fid.inception
import torch
import torch.nn.functional as F
import torch_fidelity.feature_extractor_inceptionv3 as fidelity
from safetensors.torch import save_file
from torchmetrics.image.fid import NoTrainInceptionV3

import genbench.features.extractors.inception as leaf
from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.features import extraction
from genbench.io.checkpoints import load_checkpoint, load_tensors

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning"
)

LAYERS = {
    "64": "pool64",
    "192": "pool192",
    "768": "pool768",
    "2048": "pool",
    "logits_unbiased": "logits_unbiased",
    "logits": "logits",
}
ROWS = {"tf1", "nvidia", "torch", "torch-aa", "clean", "clean-unclipped"}


def random_state():
    """A state dict in the published format: torch-fidelity's network with weights that keep
    activations at one scale, and batch norms that do something.
    """
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(
            fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_, **__: None
        )
        net = fidelity.FeatureExtractorInceptionV3("inception", ["2048"])
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return net.state_dict()


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, 3, 40, 56), dtype=np.uint8)
    )


def load(name, weights):
    return registry.find("extractors", f"inception-{name}").load("cpu", weights)


def apart(ours, theirs):
    """The largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


# The peers


def test_equals_torch_fidelity(weights, images):
    """All six layers, from images of another size."""
    theirs = fidelity.FeatureExtractorInceptionV3(
        "inception", list(LAYERS), feature_extractor_weights_path=str(weights)
    )(images)
    ours = load("tf1", weights)(images)
    for (layer, output), features in zip(LAYERS.items(), theirs, strict=True):
        assert apart(ours[output], features) <= 1e-5, layer


def test_equals_pytorch_fid(state, weights, images, monkeypatch):
    """Its four blocks, averaged over the map, from images in 0 to 1 that it resizes and
    scales itself.
    """
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state)
    net = pytorch_fid.inception.InceptionV3([0, 1, 2, 3]).eval()
    ours = load("torch", weights)(images)
    with torch.no_grad():
        blocks = net(images.float() / 255)
    for output, block in zip(("pool64", "pool192", "pool768", "pool"), blocks, strict=True):
        assert apart(ours[output], block.mean((2, 3))) <= 1e-5, output


def test_equals_torchmetrics(weights, images):
    """Its network since 1.8, which antialiases."""
    large = images.repeat(1, 1, 9, 8)  # 360x448: antialias does nothing to images that are enlarged
    theirs = NoTrainInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))(
        large
    )
    assert apart(load("torch-aa", weights)(large)["pool"], theirs.view(len(large), -1)) <= 1e-5
    assert apart(load("tf1", weights)(large)["pool"], theirs.view(len(large), -1)) > 1e-2


def test_spatial(weights, images):
    """The first seven channels of the 1x1 branch of Mixed_6d, rows,
    columns and channels in this order, from torch-fidelity's own modules.
    """
    net = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(weights)
    )
    seen = []
    net.Mixed_6d.branch1x1.register_forward_hook(lambda module, given, found: seen.append(found))
    net(images)
    theirs = np.stack(
        [
            [[image[c, y, x] for c in range(7)] for y in range(17) for x in range(17)]
            for image in seen[0].numpy()
        ]
    ).reshape(len(images), 2023)
    assert apart(load("tf1", weights)(images)["spatial"], torch.from_numpy(theirs)) <= 1e-5


def test_rows(weights, images):
    """Every row has outputs of its widths, float32 and without gradients;
    resizes and ranges part the rows; rows of a batch are independent.
    """
    pools = {}
    for name in ROWS:
        row = registry.find("extractors", f"inception-{name}")
        extract = load(name, weights)
        found = extract(images)
        assert {output: features.shape for output, features in found.items()} == {
            output: (3, width) for output, width in row.outputs.items()
        }
        assert all(
            features.dtype == torch.float32 and not features.requires_grad
            for features in found.values()
        )
        assert apart(extract(images[1:2])["pool"], found["pool"][1:2]) <= 1e-5
        pools[name] = found["pool"]
    assert apart(pools["tf1"], pools["nvidia"]) <= 1e-4
    assert all(
        apart(pools[a], pools[b]) > 1e-3
        for a, b in (
            ("tf1", "torch"),
            ("torch", "torch-aa"),
            ("tf1", "clean"),
            ("clean", "clean-unclipped"),
        )
    )


def test_more_images_than_go_through_at_once(weights, images):
    """Batches above the chunk are put together again in order."""
    extract = load("tf1", weights)
    many = torch.cat([images, images.flip(3), images.flip(2), images.flip(0)])
    assert len(many) > leaf.CHUNK
    first, second = (extract(half) for half in many.split(6))
    parts = {output: torch.cat([first[output], second[output]]) for output in first}
    for output, features in extract(many).items():
        assert apart(features, parts[output]) <= 1e-5


def test_without_onednn(weights, images, monkeypatch):
    """A build of torch without the fused convolution gives the same features;
    one with oneDNN is not taken for such a build.
    """
    assert leaf._has_fused(torch.float32) == torch.backends.mkldnn.is_available()
    fused = load("tf1", weights)(images)
    monkeypatch.setattr(leaf, "_has_fused", lambda dtype: False)
    leaf._shared.cache_clear()
    for output, features in leaf.TF1.load("cpu", weights)(images).items():
        assert apart(fused[output], features) <= 1e-5
    leaf._shared.cache_clear()


def test_bfloat16(weights, images):
    """Half precision is an option: features within a few per cent, and not the same."""
    exact = load("tf1", weights)(images)["pool"]
    rough = leaf.extractor(weights, "cpu", "tf1", "(x - 128) / 128", "bfloat16")(images)["pool"]
    assert 1e-4 < apart(rough, exact) < 0.05


# NVIDIA's form, written with torch.jit from a tree of the names that its network has


class Node(torch.nn.Module):
    """A module that only holds others and tensors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def hang(root, name, tensor):
    *path, last = name.split(".")
    for step in path:
        if not hasattr(root, step):
            root.add_module(step, Node())
        root = getattr(root, step)
    root.register_parameter(last, torch.nn.Parameter(tensor.clone(), requires_grad=False))


STEM = {
    "Conv2d_1a_3x3": "conv",
    "Conv2d_2a_3x3": "conv_1",
    "Conv2d_2b_3x3": "conv_2",
    "Conv2d_3b_1x1": "conv_3",
    "Conv2d_4a_3x3": "conv_4",
}
_A = (
    "1x1=conv 5x5_1=tower.conv 5x5_2=tower.conv_1 3x3dbl_1=tower_1.conv 3x3dbl_2=tower_1.conv_1 "
    "3x3dbl_3=tower_1.conv_2 _pool=tower_2.conv"
)
_B = "3x3=conv 3x3dbl_1=tower.conv 3x3dbl_2=tower.conv_1 3x3dbl_3=tower.conv_2"
_C = (
    "1x1=conv 7x7_1=tower.conv 7x7_2=tower.conv_1 7x7_3=tower.conv_2 7x7dbl_1=tower_1.conv "
    "7x7dbl_2=tower_1.conv_1 7x7dbl_3=tower_1.conv_2 7x7dbl_4=tower_1.conv_3 "
    "7x7dbl_5=tower_1.conv_4 _pool=tower_2.conv"
)
_D = (
    "3x3_1=tower.conv 3x3_2=tower.conv_1 7x7x3_1=tower_1.conv 7x7x3_2=tower_1.conv_1 "
    "7x7x3_3=tower_1.conv_2 7x7x3_4=tower_1.conv_3"
)
_E = (
    "1x1=conv 3x3_1=tower_conv 3x3_2a=tower_mixed_conv 3x3_2b=tower_mixed_conv_1 "
    "3x3dbl_1=tower_1_conv 3x3dbl_2=tower_1_conv_1 3x3dbl_3a=tower_1_mixed_conv "
    "3x3dbl_3b=tower_1_mixed_conv_1 _pool=tower_2_conv"
)
STAGES = {
    "5b": _A,
    "5c": _A,
    "5d": _A,
    "6a": _B,
    "6b": _C,
    "6c": _C,
    "6d": _C,
    "6e": _C,
    "7a": _D,
    "7b": _E,
    "7c": _E,
}


def nvidia_names():
    """{torch-fidelity's name: NVIDIA's} of the 94 convolutions."""
    names = {own: f"layers.{theirs}" for own, theirs in STEM.items()}
    for i, (stage, pairs) in enumerate(STAGES.items()):
        block = f"layers.mixed_{i}" if i else "layers.mixed"
        names |= {
            f"Mixed_{stage}.branch{own}": f"{block}.{theirs}"
            for own, theirs in (pair.split("=") for pair in pairs.split())
        }
    return names


@pytest.fixture(scope="module")
def torchscript(state, tmp_path_factory):
    root = Node()
    for own, theirs in nvidia_names().items():
        for part, tensor in (
            ("weight", "conv.weight"),
            ("beta", "bn.bias"),
            ("mean", "bn.running_mean"),
            ("var", "bn.running_var"),
        ):
            hang(root, f"{theirs}.{part}", state[f"{own}.{tensor}"])
    for part in ("weight", "bias"):
        hang(root, f"output.{part}", state[f"fc.{part}"])
    path = tmp_path_factory.mktemp("nvidia") / "inception-2015-12-05.pt"
    torch.jit.save(torch.jit.script(root), path)
    return path


def test_three_forms_are_one(state, weights, torchscript, images, tmp_path):
    """torch-fidelity's zip, pytorch-fid's older layout, NVIDIA's archive and safetensors of one set
    of parameters give the same features to the bit.
    """
    old, flat = tmp_path / "pt_inception.pth", tmp_path / "inception.safetensors"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    save_file(state, flat)
    wanted = load("tf1", weights)(images)
    forms = {path: leaf.form_of(load_tensors(path)) for path in (weights, old, flat, torchscript)}
    assert list(forms.values()) == [leaf.FORMS[0]] * 3 + [leaf.FORMS[1]]
    for path in (old, flat, torchscript):
        for output, features in load("tf1", path)(images).items():
            assert torch.equal(features, wanted[output]), (path.name, output)


def test_every_tensor_of_the_archive_is_read(state, torchscript):
    """Names, shapes and values are those that torch's own reader finds."""
    theirs = {**dict(torch.jit.load(torchscript).named_parameters())}
    ours = load_tensors(torchscript)
    assert set(ours) == set(theirs)
    assert len(ours) == 94 * 4 + 2
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_plain_reader_refuses_archives(torchscript):
    """load_checkpoint keeps to state dicts."""
    with pytest.raises(UserError, match="neither safetensors nor a plain state dict"):
        load_checkpoint(torchscript)


# Wrong files


@pytest.mark.shared
def test_truncated_weights(shared_data):
    """An interrupted download is refused in one line that names the file."""
    with pytest.raises(UserError, match=r"inception-truncated\.pth") as refusal:
        load("tf1", shared_data / "inception-truncated.pth")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda state: state.pop("fc.weight"), "it has neither fc.weight nor output.weight"),
        (
            lambda state: state.pop("Mixed_6d.branch1x1.bn.running_var"),
            r"Mixed_6d\.branch1x1\.bn\.running_var is missing, wanted \(192,\)",
        ),
        (
            lambda state: state.update({"fc.weight": torch.zeros(1000, 2048)}),
            r"fc\.weight has shape \(1000, 2048\), wanted \(1008, 2048\)",
        ),
        (
            lambda state: state.update(
                {"Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 3, 3)}
            ),
            r"has shape \(64, 192, 3, 3\), wanted \(64, 192, 1, 1\)",
        ),
    ],
)
def test_other_networks_are_refused(state, change, line, here):
    """torchvision's Inception has 1000 classes: the line names the file, the tensor,
    what came and what is wanted.
    """
    changed = dict(state)
    change(changed)
    torch.save(changed, "other.pth")
    with pytest.raises(UserError, match=line) as refusal:
        load("tf1", Path("other.pth"))
    assert "other.pth is not the Inception of FID (2015-12-05)" in str(refusal.value)


def test_the_exchange_of_pool_and_convolution():
    """A mean that does not count the padding, and a 1x1 convolution after it,
    are the convolution before the mean: at the border too.
    """
    x, weight, bias = (
        torch.randn(2, 5, 6, 7, dtype=torch.float64),
        torch.randn(4, 5, 1, 1, dtype=torch.float64),
        torch.randn(4, dtype=torch.float64),
    )

    def mean(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    torch.testing.assert_close(
        mean(F.conv2d(x, weight, bias)), F.conv2d(mean(x), weight, bias), rtol=1e-12, atol=1e-12
    )
    assert not torch.allclose(
        F.avg_pool2d(F.conv2d(x, weight, bias), 3, 1, 1),
        F.conv2d(F.avg_pool2d(x, 3, 1, 1), weight, bias),
    )


def test_calls_side_by_side_give_the_same_bits(weights, monkeypatch):
    """On two threads two calls at once, a thread each, and the last with both:
    the features of calls one after the other.
    """
    network = extraction.network("inception-clean", "cpu", str(weights))
    images = torch.from_numpy(
        np.random.default_rng(1).integers(
            0, 256, (2 * extraction.AT_ONCE["cpu"] + 3, 3, 32, 32), dtype=np.uint8
        )
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = extraction.rows_of(network, images, ["pool", "logits", "spatial"])
        monkeypatch.setattr(network, "side_by_side", False)
        wanted = extraction.rows_of(network, images, ["pool", "logits", "spatial"])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
