"""BigGAN: the images that ajbrock's and Hugging Face's own codes made of the same weights,
the four truncations, and files that are something else.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.small_checkpoints import biggan as saved
from safetensors.torch import save_file
from scipy import stats

import genbench
from genbench._util.hashing import content_sha256
from genbench.cli.main import main
from genbench.generators.conformance import check
from genbench.generators.load import locate
from genbench_plugins._biggan import Generator
from genbench_plugins._biggan_files import read

CASES = ["no-shared", "hier-attention", "64", "mybn", "plain-weights", "deep", "deep-64"]
CLOSE = 1e-2  # grey levels


def plugin(checkpoint, **options):
    target = locate("biggan").target
    return target(checkpoint, **options)


def apart(images, theirs):
    """The largest difference in grey levels."""
    return float(np.abs(images.numpy() - theirs).max() * 127.5)


@pytest.mark.parametrize("name", CASES)
def test_ajbrocks_code_makes_the_same_images(name, tmp_path):
    path, found = saved(name, tmp_path)
    images = plugin(path).synthesize(
        torch.from_numpy(found["z"]), torch.from_numpy(found["labels"])
    )
    assert found["images"].std() > 0.05
    assert apart(images, found["images"]) < CLOSE


@pytest.mark.parametrize("psi", [1.0, 0.5, 0.425, 0.58])
def test_hugging_faces_code_makes_the_same_images(psi, tmp_path):
    """With their statistics at every truncation; with interpolated ones where theirs are a row of
    the table, which .58 is not for them.

    Every fourth pixel of theirs is kept.
    """
    path, found = saved("huggingface", tmp_path)
    given = torch.from_numpy(found["z"]), torch.from_numpy(found["labels"])
    assert (
        apart(
            plugin(path, truncation=psi, statistics="theirs").synthesize(*given)[..., ::4, ::4],
            found[f"images_{psi}"],
        )
        < CLOSE
    )
    own = apart(
        plugin(path, truncation=psi).synthesize(*given)[..., ::4, ::4], found[f"images_{psi}"]
    )
    assert own < CLOSE if psi in (1.0, 0.5) else own > 1


def test_the_four_truncations_are_their_laws(tmp_path):
    path, _ = saved("no-shared", tmp_path)
    seeds = torch.arange(500)
    laws = {
        ("truncnorm", 0.5): stats.truncnorm(-2, 2, scale=0.5),
        ("std", 0.5): stats.norm(scale=0.5),
        ("clip", 0.5): stats.truncnorm(-0.5, 0.5),
        ("clip", 1.5): stats.truncnorm(-1.5, 1.5),
        ("divide", 2.0): stats.norm(scale=0.5),
    }
    for (kind, psi), law in laws.items():
        z = plugin(path, truncation=psi, z=kind).latents(seeds).flatten().numpy()
        assert stats.kstest(z, law.cdf).pvalue > 1e-3, kind


def test_the_usual_truncation_is_the_files_own(tmp_path):
    ajbrock, _ = saved("no-shared", tmp_path)
    folder, _ = saved("huggingface", tmp_path)
    assert plugin(ajbrock).kind == "std"
    assert plugin(folder).kind == plugin(folder / "pytorch_model.bin").kind == "truncnorm"


@pytest.mark.parametrize("name", ["hier-attention", "huggingface"])
def test_it_passes_the_conformance_checks(name, tmp_path):
    path, _ = saved(name, tmp_path)
    found = {one.check: one.verdict for one in check(locate("biggan"), checkpoint=path)}
    # random weights draw no digits
    assert {name for name, verdict in found.items() if verdict == "fail"} <= {"labels"}
    assert found["checkpoint"] == "pass"


@pytest.mark.parametrize("name", ["no-shared", "hier-attention", "deep", "huggingface"])
def test_it_is_converted_to_the_same_images(name, cli, here):
    """Bit for bit, at every truncation and with both statistics:
    of Hugging Face's table no row is lost, and its config.json lies in the file.
    """
    (here / "theirs").mkdir()
    path, _ = saved(name, here / "theirs")
    status, out, err = cli("convert", "--plugin", "biggan", path, "ours.safetensors")
    assert (status, f"weights of biggan of {path} (SHA-256 {content_sha256(path)})" in out) == (
        0,
        True,
    ), err
    given = torch.arange(3), torch.arange(3)
    for options in ({}, {"truncation": 0.425}, {"truncation": 0.425, "statistics": "theirs"}):
        theirs, ours = (
            plugin(one, **options).sample(3, *given) for one in (path, here / "ours.safetensors")
        )
        assert torch.equal(ours, theirs)


def test_the_architecture_is_built_without_reading_further_than_the_shapes(tmp_path):
    """Every tensor of the generator is in what is read, and no other."""
    for name in [*CASES, "huggingface"]:
        folder = tmp_path / name
        folder.mkdir()
        made, tensors, _ = read(saved(name, folder)[0], 1.0, "interpolated")
        assert {key: tuple(value.shape) for key, value in Generator(made).state_dict().items()} == {
            key: tuple(value.shape) for key, value in tensors.items()
        }


def test_wrong_files_are_one_line_each(tmp_path, capsys):
    path, _ = saved("deep", tmp_path)
    whole = genbench.load_checkpoint(path)
    cases = {
        "without.safetensors": (
            {k: v for k, v in whole.items() if k != "output_layer.0.gain"},
            "lacks 'output_layer.0.gain'",
        ),
        "other.safetensors": ({"weight": torch.zeros(3)}, "neither ajbrock's BigGAN"),
        "cut.safetensors": (
            {
                k: v[..., :1].contiguous() if k == "blocks.2.0.conv2.weight" else v
                for k, v in whole.items()
            },
            "BigGAN",
        ),
    }
    for name, (tensors, said) in cases.items():
        save_file(tensors, tmp_path / name)
        assert (
            main(["run", "--plugin", "biggan", "--checkpoint", str(tmp_path / name), "--dry-run"])
            == 2
        )
        err = capsys.readouterr().err
        assert said in err
        assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [[True, 16]]},
        {"n_stats": 0},
        {"eps": "small"},
        {"layers": [[False, 16, 16]]},
        None,
    ],
)
def test_a_wrong_config_is_one_line(change, tmp_path, capsys):
    folder, found = saved("huggingface", tmp_path)
    config = folder / "config.json"
    config.write_text(
        "{" if change is None else json.dumps(json.loads(str(found["config"])) | change)
    )
    assert main(["run", "--plugin", "biggan", "--checkpoint", str(folder), "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "config.json" in err
    assert len(err.strip().splitlines()) == 1


def test_truncations_that_cannot_be(tmp_path):
    path, _ = saved("no-shared", tmp_path)
    for psi, kind in (
        (0.0, "std"),
        (1.5, "truncnorm"),
        (-1.0, "divide"),
        (float("nan"), "std"),
        (0.0, "clip"),
    ):
        with pytest.raises(genbench.UserError, match="truncation lies above 0"):
            plugin(path, truncation=psi, z=kind)
