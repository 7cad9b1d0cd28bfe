"""stylegan2 reads rosinality's files: the images that its own code made of the same weights,
truncation without a stored mean, and style mixing.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.foreign_weights import kept
from helpers.small_checkpoints import rosinality

from genbench._util.hashing import file_sha256
from genbench.cli.main import main
from genbench.generators.load import locate

StyleGAN2 = locate("stylegan2").target


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A file as rosinality's train.py writes it, and what was made of its weights."""
    return rosinality(tmp_path_factory.mktemp("rosinality"))


def test_rosinalitys_code_makes_the_same_images(case):
    path, found = case
    images = StyleGAN2(path, noise="const").synthesize(
        torch.from_numpy(found["z"]), None, torch.arange(2), "z"
    )
    assert found["images"].std() > 0.1
    assert np.abs(images.numpy() - found["images"]).max() * 127.5 < 1e-2


def test_it_is_converted_to_the_same_images(case, cli, here):
    """Bit for bit, truncated too, where the mean of w is taken anew."""
    path, _ = case
    status, out, err = cli("convert", path, "net.safetensors")
    assert (status, f"weights of stylegan2 of {path} (SHA-256 {file_sha256(path)})" in out) == (
        0,
        True,
    ), err
    seeds = torch.arange(3)
    for options in ({}, {"truncation": 0.5}, {"noise": "const", "mixing": 2}):
        with torch.no_grad():
            theirs, ours = (
                StyleGAN2(one, **options).sample(3, seeds, None)
                for one in (path, here / "net.safetensors")
            )
        assert torch.equal(ours, theirs)


def test_the_mean_of_w_is_taken_where_the_file_has_none(case):
    """Half way to the mean of 4,096 w is half way to that of other 20,000,
    to the mean's own error.
    """
    path, _ = case
    made = StyleGAN2(path, truncation=0.5)
    with torch.no_grad():
        others = made.net.mapping(
            torch.randn(20000, 16, generator=torch.Generator().manual_seed(1)), None
        )
    error = others.std(0) * (1 / 4096 + 1 / 20000) ** 0.5
    assert ((made.net.mapping.w_avg - others.mean(0)).abs() < 5 * error).all()


def test_style_mixing_takes_the_second_w_from_a_layer_on(case):
    path, _ = case
    seeds = torch.arange(3)

    def drawn(**options):
        with torch.no_grad():
            return StyleGAN2(path, noise="none", **options).sample(3, seeds, None)

    own, other = drawn(), drawn(mixing=0)
    assert torch.equal(drawn(mixing=6), own)  # 16x16 pixels have six
    assert not torch.equal(other, own)
    coarse = drawn(mixing=2)
    assert not torch.equal(coarse, own)
    assert not torch.equal(coarse, other)


def test_what_is_not_whole_is_one_line(case, tmp_path, capsys):
    weights, _ = kept("stylegan2-rosinality")
    for missing in ("noises.noise_2", "to_rgbs.1.conv.weight", "style.2.weight"):
        path = tmp_path / "cut.pt"
        torch.save(
            {"g_ema": {name: tensor for name, tensor in weights.items() if name != missing}}, path
        )
        assert main(["run", "--plugin", "stylegan2", "--checkpoint", str(path), "--dry-run"]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert (
        main(
            [
                "run",
                "--plugin",
                "stylegan2",
                "--checkpoint",
                str(case[0]),
                "-o",
                "mixing=-1",
                "--dry-run",
            ]
        )
        == 2
    )
    assert "mixing counts layers" in capsys.readouterr().err
