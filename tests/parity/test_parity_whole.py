"""The whole way, from PNG folders to numbers, against the peers themselves with one file of random
Inception weights in its published format.

Tolerance: 5e-5 relative, as the networks compute in float32 and each in its own order.
"""

from __future__ import annotations

import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import genbench
from genbench.api import _registry as registry
from genbench.features import extraction
from genbench.statistics import frechet_distance

pytestmark = pytest.mark.timeout(600)  # clean-fid takes roots 2,048 wide
N, M, BATCH = 22, 20, 8  # a full batch of the peers' and a rest on both sides
TOLERANCE = 5e-5
OWN = """
from genbench.api import Measure, Protocol

ROW = Protocol(
    name="small-kid", title="torch-fidelity's KID with small subsets", dataset="any", n=0, labels="iid", quantise="round",
    measures=(
        Measure("kd_subsets", "inception-tf1.pool", "train", {"subsets": 20, "size": 10, "seed": 2020, "shrink": 0}, name="kid"),
        Measure("fd", "inception-nvidia.pool", "train", name="fid_legacy_tensorflow"),
    ),
)
"""  # noqa: E501


def inception_weights(path):
    """Random Inception weights as torch-fidelity's published state dict:
    activations keep their size from layer to layer.
    """
    with (
        mock.patch("torch.load"),
        mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        net = FeatureExtractorInceptionV3(
            "inception", ["2048"], feature_extractor_weights_path="none"
        )
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, like in net.state_dict().items():
        if like.ndim > 1:
            state[name] = (
                torch.randn(like.shape, generator=generator) * (2 / like[0].numel()) ** 0.5
            )
        elif like.is_floating_point():
            state[name] = (
                1 + 0.1 * torch.rand(like.shape, generator=generator)
                if name.endswith(("var", "weight"))
                else 0.1 * torch.randn(like.shape, generator=generator)
            )
        else:
            state[name] = torch.zeros_like(like)
    torch.save(state, path)
    return path


def pictures(folder, n, seed, brightness):
    """Smooth random colour pictures of 40 x 33 pixels, as PNG."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(n):
        small = rng.integers(0, 256, (6, 5, 3)) * brightness
        Image.fromarray(small.astype(np.uint8)).resize((33, 40), Image.Resampling.BICUBIC).save(
            folder / f"{i:04d}.png"
        )
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two folders, a weights file, and our scores of one folder against the other:
    (gen, ref, weights, {(protocol, metric): Score}).
    """
    root = tmp_path_factory.mktemp("whole")
    gen, ref = pictures(root / "gen", N, 1, 0.8), pictures(root / "ref", M, 2, 1.0)
    weights = inception_weights(root / "random.pth")
    own = root / "own.py"
    own.write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_with", [])
        patch.setenv("GENBENCH_OFFLINE", "1")
        # a block of so few has one or two, and would be filled up to more
        patch.setitem(extraction.AT_ONCE, "cpu", 2)
        registry.add_file(own)
        protocols = ("torch-fidelity", "pytorch-fid", "clean", "small-kid")
        record = genbench.evaluate(
            "images",
            dataset=str(ref),
            checkpoint=gen,
            protocols=protocols,
            weights=(f"inception={weights}",),
            out=root / "runs",
        )
    return gen, ref, weights, {(score.protocol, score.metric): score for score in record.scores}


def close(ours, theirs):
    assert ours.status == "ok", ours.reason
    assert abs(ours.value - theirs) <= TOLERANCE * abs(theirs), (ours.value, theirs)


@pytest.fixture(scope="module")
def fidelity(whole):
    import torch_fidelity

    gen, ref, weights, _ = whole
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_fidelity.calculate_metrics(
            input1=str(gen),
            input2=str(ref),
            fid=True,
            kid=True,
            isc=True,
            kid_subsets=20,
            kid_subset_size=10,
            feature_extractor_weights_path=str(weights),
            cuda=False,
            cache=False,
            verbose=False,
            batch_size=BATCH,
            save_cpu_ram=True,
        )


def test_torch_fidelity(whole, fidelity):
    """FID, IS and KID of two folders are those of torch-fidelity's own calculate_metrics."""
    scores = whole[3]
    close(scores["torch-fidelity", "fid"], fidelity["frechet_inception_distance"])
    close(scores["torch-fidelity", "is"], fidelity["inception_score_mean"])
    close(scores["small-kid", "kid"], fidelity["kernel_inception_distance_mean"])


def test_pytorch_fid(whole, monkeypatch):
    """FID of two folders is that of pytorch-fid's own calculate_fid_given_paths,
    its network filled from the same file.
    """
    from pytorch_fid import fid_score, inception

    gen, ref, weights, scores = whole
    monkeypatch.setattr(
        inception, "load_state_dict_from_url", lambda url, progress=True: pytorch_fid_names(weights)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fid_score.calculate_fid_given_paths(
            [str(gen), str(ref)], BATCH, torch.device("cpu"), 2048, num_workers=0
        )
    close(scores["pytorch-fid", "fid"], theirs)


def pytorch_fid_names(weights):
    """torch-fidelity's state dict under pytorch-fid's names: they are the same."""
    return torch.load(weights, weights_only=True)


@pytest.mark.parametrize(
    ("mode", "protocol", "name"),
    [
        ("clean", "clean", "fid"),
        ("legacy_pytorch", "pytorch-fid", "fid"),
        ("legacy_tensorflow", "small-kid", "fid_legacy_tensorflow"),
    ],
)
def test_clean_fid(whole, mode, protocol, name):
    """FID of two folders is that of clean-fid's own folder features in each of its modes,
    over the same network, and of its own Fréchet distance in one.

    In the others the distance of its features is ours, which test_parity_distances.py holds to its:
    each root of theirs takes a minute.
    """
    from cleanfid import fid

    gen, ref, weights, scores = whole
    network = clean_network(weights, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how = {
            "num_workers": 0,
            "batch_size": BATCH,
            "device": torch.device("cpu"),
            "mode": mode,
            "verbose": False,
        }
        features = [fid.get_folder_features(str(folder), network, **how) for folder in (gen, ref)]
        moments = [
            value for each in features for value in (each.mean(0), np.cov(each, rowvar=False))
        ]
        theirs = (
            fid.frechet_distance(*moments)
            if mode == "clean"
            else frechet_distance.distance(
                features[0].astype(float), frechet_distance.fit(features[1].astype(float))
            )
        )
    close(scores[protocol, name], theirs)


def clean_network(weights, mode):
    """The network that clean-fid hands its resized batches (0 to 255) to,
    with the weights of the file in place of its download.
    """
    net = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(weights)
    )
    layers = [
        module
        for name, module in net.named_children()
        if name.startswith(("Conv2d", "MaxPool", "Mixed", "AvgPool"))
    ]

    def nvidia(x):
        """NVIDIA's resize inside its network: the corners of the grid as TensorFlow 1 has them,
        by grid_sample with border padding.
        """
        theta = torch.eye(2, 3)
        theta[0, 2] += theta[0, 0] / x.shape[3] - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / x.shape[2] - theta[1, 1] / 299
        grid = torch.nn.functional.affine_grid(
            theta[None].repeat(len(x), 1, 1), [len(x), 3, 299, 299], align_corners=False
        )
        return torch.nn.functional.grid_sample(
            x, grid, mode="bilinear", padding_mode="border", align_corners=False
        )

    def features(x):
        x = nvidia(x) if mode == "legacy_tensorflow" else x
        x = x / 127.5 - 1 if mode == "legacy_pytorch" else (x - 128) / 128
        with torch.no_grad():
            for layer in layers:
                x = layer(x)
        return x.mean((2, 3)) if x.ndim == 4 else x

    return features
