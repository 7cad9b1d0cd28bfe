"""dcgan and vae read the files of pytorch/examples, and dcgan trains on images of any size with
each of its losses.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.small_checkpoints import example_dcgan, example_vae
from safetensors.torch import save_file

import genbench
from genbench.cli.main import main
from genbench.generators.conformance import check
from genbench.generators.load import locate

DCGAN, VAE = locate("dcgan").target, locate("vae").target


@pytest.fixture
def net(tmp_path):
    return example_dcgan(tmp_path)


def test_dcgan_draws_what_the_example_draws_in_evaluation(net):
    made, path = net
    plugin = DCGAN(path)
    z = plugin.latents(torch.arange(5))
    assert z.shape == (5, 8)
    with torch.no_grad():
        torch.testing.assert_close(plugin.synthesize(z, None), made(z[:, :, None, None]))


def test_the_example_is_converted_to_the_same_images(net, tmp_path):
    _, path = net
    assert (
        main(["convert", "--plugin", "dcgan", str(path), str(tmp_path / "ours.safetensors")]) == 0
    )
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(
            DCGAN(tmp_path / "ours.safetensors").synthesize(z, None),
            DCGAN(path).synthesize(z, None),
        )


def test_the_example_passes_the_checks(net):
    _, path = net
    assert [
        (one.check, one.came)
        for one in check(locate("dcgan"), checkpoint=path)
        if one.verdict == "fail"
    ] == []


def test_vae_draws_what_the_example_draws(tmp_path):
    state, path = example_vae(tmp_path)
    plugin = VAE(path)
    z = plugin.latents(torch.arange(4))
    wanted = torch.sigmoid(
        torch.relu(z @ state["fc3.weight"].T + state["fc3.bias"]) @ state["fc4.weight"].T
        + state["fc4.bias"]
    ).view(-1, 1, 28, 28)
    torch.testing.assert_close(plugin.sample(4, torch.arange(4), None), 2 * wanted - 1)
    assert [
        (one.check, one.came)
        for one in check(locate("vae"), checkpoint=path)
        if one.verdict == "fail"
    ] == []


def coloured(folder, side=12, classes=3):
    """A data set of flat coloured squares, one colour to a class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(12):
            base = np.eye(3)[c] * 200 + rng.normal(0, 5, 3)
            Image.fromarray(
                np.clip(
                    np.broadcast_to(base, (side, side, 3)) + rng.normal(0, 3, (side, side, 3)),
                    0,
                    255,
                ).astype(np.uint8)
            ).save(folder / f"class{c}/{i}.png")
    return folder


@pytest.mark.parametrize("loss", ["hinge", "lsgan", "wgan-gp"])
def test_dcgan_learns_a_folder_of_any_size_with_each_loss(loss, tmp_path, capsys):
    """After 500 steps the colour that was asked for is the strongest channel of most images:
    with five of five seeds, where 150 steps of hinge had none.
    """
    data = coloured(tmp_path / "data")
    words = [
        "--dataset",
        str(data),
        "-o",
        f"loss={loss}",
        "--steps",
        "500",
        "--batch-size",
        "16",
        "--quiet",
    ]
    assert (
        main(["train", "--plugin", "dcgan", *words, "--out", str(tmp_path / "net.safetensors")])
        == 0
    )
    assert DCGAN.classes(tmp_path / "net.safetensors") == 3
    plugin = DCGAN(tmp_path / "net.safetensors")
    labels = torch.arange(60) % 3
    with torch.no_grad():
        images = plugin.sample(60, torch.arange(60), labels)
    assert images.shape == (60, 3, 12, 12)
    assert (images.mean((2, 3)).argmax(1) == labels).float().mean() > 0.8
    normalised = any(
        "parametrizations" in name
        for name in genbench.load_checkpoint(tmp_path / "net.safetensors")
    )
    assert normalised == (loss != "wgan-gp")


def test_training_goes_on_from_a_file_and_grey_images_get_one_channel(tmp_path):
    from PIL import Image

    (tmp_path / "grey").mkdir()
    for i in range(8):
        Image.fromarray(np.full((16, 16), 30 * i, np.uint8)).save(tmp_path / f"grey/{i}.png")
    words = [
        "train",
        "--plugin",
        "dcgan",
        "--dataset",
        str(tmp_path / "grey"),
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--quiet",
    ]
    assert main([*words, "--out", str(tmp_path / "a.safetensors")]) == 0
    assert (
        main(
            [
                *words,
                "--init",
                str(tmp_path / "a.safetensors"),
                "--out",
                str(tmp_path / "b.safetensors"),
            ]
        )
        == 0
    )
    first, second = (genbench.load_checkpoint(tmp_path / f"{name}.safetensors") for name in "ab")
    assert first["generator.paint.weight"].shape[0] == 1
    assert first.keys() == second.keys()
    assert not torch.equal(first["generator.start.weight"], second["generator.start.weight"])


def test_a_foreign_file_and_an_untrained_network_are_one_line_each(net, tmp_path, capsys):
    _, path = net
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name in ("dcgan", "vae"):
        assert (
            main(
                [
                    "run",
                    "--plugin",
                    name,
                    "--checkpoint",
                    str(tmp_path / "other.safetensors"),
                    "--dry-run",
                ]
            )
            == 2
        )
        assert "is another network's" in capsys.readouterr().err
    assert (
        main(
            [
                "train",
                "--plugin",
                "dcgan",
                "--init",
                str(path),
                "--steps",
                "1",
                "--out",
                str(tmp_path / "x.safetensors"),
                "--quiet",
            ]
        )
        == 2
    )
    assert "they have no discriminator" in capsys.readouterr().err
    assert main(["run", "--plugin", "dcgan", "--dataset", "fashion-mnist", "--dry-run"]) == 2
