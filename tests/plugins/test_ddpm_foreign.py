"""ddpm reads public checkpoints: what their own codes made of the same weights and noise,
laws of the steps, and files that are something else.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from helpers.foreign_weights import kept
from helpers.small_checkpoints import FLAGS
from helpers.small_checkpoints import ddpm as saved

import genbench
from genbench._util.hashing import file_sha256
from genbench.generators.conformance import check
from genbench.generators.load import locate
from genbench_plugins._ddpm_files import SETTINGS
from genbench_plugins._ddpm_samplers import SCHEDULES, alpha_bars, ancestral, ddim, path

DDPM = locate("ddpm").target
CASES = ["pytorch-ddpm", "cbdm", "ddim", "ddim-pooled"]
CLOSE = 1e-5
SEEDS = torch.arange(2)


def drawn(file, labels=None, **options):
    with torch.no_grad():
        return DDPM(file, **options).sample(2, SEEDS, labels)


@pytest.mark.parametrize("name", CASES)
def test_their_networks_see_the_same_noise(name, tmp_path):
    file, found = saved(name, tmp_path)
    labels = torch.from_numpy(found["labels"]) if "labels" in found else None
    eps = DDPM(file).foreign.net(
        torch.from_numpy(found["x"]), torch.from_numpy(found["times"]), labels
    )
    assert found["eps"].std() > 0.1
    assert np.abs(eps.numpy() - found["eps"]).max() < CLOSE


SAMPLED = [
    ("pytorch-ddpm", "images_fixedlarge", {}),
    ("pytorch-ddpm", "images_fixedsmall", {"variance": "fixedsmall"}),
    ("cbdm", "images_0.0", {}),
    ("cbdm", "images_1.5", {"w": 1.5}),
    *[
        (name, f"images_{end}", options)
        for name in ("ddim", "ddim-pooled")
        for end, options in {
            "uniform_0.0_5": {"steps": 5},
            "uniform_1.0_3": {"steps": 3, "eta": 1.0},
            "quad_0.5_4": {"steps": 4, "eta": 0.5, "skip": "quad"},
            "noisy": {"steps": 5, "sampler": "ancestral"},
        }.items()
    ],
]


@pytest.mark.parametrize(
    ("name", "key", "options"), SAMPLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_their_samplers_make_the_same_images(name, key, options, tmp_path):
    """Of the same noise: x_T, then a stream of each image's seed for every step."""
    file, found = saved(name, tmp_path)
    labels = torch.from_numpy(found["labels"]) if "labels" in found else None
    images = drawn(file, labels, **options).numpy()
    assert np.abs(images - found[key]).max() < CLOSE
    others = [other for other in found if other.startswith("images_") and other != key]
    # what was chosen matters
    assert all(np.abs(images - found[other]).max() > 100 * CLOSE for other in others)


def test_an_ancestral_step_is_bayes_rule():
    """The step's mean and variance are those of q(x_there | x_here, image),
    by multiplying the two normal densities that it is made of.
    """
    bars = alpha_bars(SCHEDULES["linear"](1e-4, 0.02, 1000))
    x, image = torch.tensor([0.3], dtype=torch.float64), 0.8
    for time in (2, 500, 1000):
        here, there = bars[time], bars[time - 1]
        eps = (x - here**0.5 * image) / (1 - here) ** 0.5
        alpha = here / there  # x_here = sqrt(alpha) x_there + noise of variance 1 - alpha
        precision = alpha / (1 - alpha) + 1 / (1 - there)
        mean = (alpha**0.5 / (1 - alpha) * x + there**0.5 / (1 - there) * image) / precision
        found, sigma = ancestral(x, eps, here, there, "fixedsmall", clips=False)
        assert found.item() == pytest.approx(mean.item(), abs=1e-9)
        assert sigma**2 == pytest.approx(1 / precision)
        assert ancestral(x, eps, here, there, "fixedlarge", clips=False)[1] ** 2 == pytest.approx(
            1 - alpha
        )
    assert ancestral(x, eps, bars[1], 1.0, "fixedlarge", clips=False)[1] == 0.0


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_ddim_step_keeps_the_marginal(eta):
    """Told the true noise, x goes from N(sqrt(a) image, 1 - a) to N(sqrt(b) image, 1 - b),
    however much of it is drawn again.
    """
    here, there, image = 0.4, 0.7, 0.8
    eps = torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, sigma = ddim(here**0.5 * image + (1 - here) ** 0.5 * eps, eps, here, there, eta)
    assert (sigma > 0) == (eta > 0)
    assert mean.mean().item() == pytest.approx(there**0.5 * image, abs=5e-3)
    assert mean.var().item() + sigma**2 == pytest.approx(1 - there, abs=5e-3)


def test_paths_are_ddims():
    assert path(1000, 10, "uniform") == list(range(900, -1, -100))
    assert path(10, 3, "uniform") == [9, 6, 3, 0]  # four, as theirs
    # numpy's roundings
    assert path(1000, 10, "quad") == [800, 632, 483, 355, 246, 158, 88, 39, 9, 0]


@pytest.mark.parametrize("name", CASES)
def test_it_is_converted_to_the_same_images(name, cli, here):
    """`genbench convert`: the same network to the bit, without the file beside it,
    and of the same classes.
    """
    file, found = saved(name, here / "theirs")
    labels = torch.from_numpy(found["labels"]) if "labels" in found else None
    status, out, err = cli("convert", "--plugin", "ddpm", file, "ours.safetensors")
    assert (status, f"weights of ddpm of {file} (SHA-256 {file_sha256(file)})" in out) == (
        0,
        True,
    ), err
    ours = here / "ours.safetensors"
    assert torch.equal(drawn(ours, labels), drawn(file, labels))
    assert DDPM.classes(file) == DDPM.classes(ours) == (10 if name == "cbdm" else 0)


@pytest.mark.parametrize("name", ["cbdm", "ddim"])
def test_it_passes_the_conformance_checks(name, tmp_path):
    file, _ = saved(name, tmp_path)
    wrong = {one.check for one in check(locate("ddpm"), checkpoint=file) if one.verdict == "fail"}
    assert wrong <= {"labels"}  # random weights draw no digits


@pytest.mark.parametrize("name", CASES)
def test_without_the_file_beside_it_shapes_and_defaults_are_taken(name, tmp_path):
    """T of the table of times, 1000 where there is none; the side on which the network attends to
    16 x 16 places; the linear schedule.
    """
    made = DDPM(saved(name, tmp_path, settings=False)[0], steps=1).foreign
    assert (made.settings.size, len(made.net.times)) == (
        16,
        1000 if name.startswith("ddim") else 10,
    )
    assert made.bars[:3] == pytest.approx(
        [1.0, 1 - 1e-4, (1 - 1e-4) * (1 - 1e-4 - 0.0199 / (len(made.net.times) - 1))], rel=1e-12
    )


def test_guidance_is_cbdms_form(tmp_path):
    """(1 + w) eps(x, y) - w eps(x), and twice the network's evaluations."""
    file, _ = saved("cbdm", tmp_path)
    made, x, labels = (
        DDPM(file, w=0.5),
        torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)),
        torch.tensor([1, 2]),
    )
    with torch.no_grad():
        told, untold = (made.foreign.net(x, torch.tensor([4, 4]), of) for of in (labels, None))
        assert torch.allclose(
            made.foreign.noise_in(x, 4, labels), 1.5 * told - 0.5 * untold, atol=1e-6
        )
    assert (made.cost()["evaluations"], DDPM(file).cost()["evaluations"]) == (20, 10)


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("pytorch-ddpm", {"w": 1.0}, "knows no classes"),
        ("pytorch-ddpm", {"steps": 11}, "was trained with 10 steps and cannot be sampled in 11"),
        (None, {"w": 1.0}, "is for public checkpoints"),
        (None, {"sampler": "ancestral"}, "-o sampler=ancestral is for public checkpoints"),
        (None, {"w": -1.0}, "guidance w runs from 0"),
        (None, {"w": float("nan")}, "guidance w runs from 0"),
        (None, {"steps": 0}, "steps=1 or more"),
    ],
)
def test_options_that_cannot_be(name, options, line, tmp_path):
    with pytest.raises(genbench.UserError, match=line):
        DDPM(saved(name, tmp_path)[0] if name else None, **options)


BESIDE = {
    "--T=12\n": "says --T=12, and the network has 10 times",
    "--mean_type=xstart\n": "their sampler itself takes epsilon alone",
    "--beta_T=much\n": "could not convert",
    "--beta_T=nan\n": "beta_T is 'nan'; wanted is a number between 0 and 1",
    "--var_type=learned\n": "var_type is 'learned'",
    "--img_size=1000000\n": "size is '1000000'",
    "--img_size=17\n": "is no whole diffusion model for images of 17x17",
    "data: !!python/object/apply:os.system ['touch owned.ed']\n": (
        "is no plain YAML: could not determine a constructor for the tag"
    ),
    "model: !!python/name:os.system\n": "is no plain YAML",
    "[1]\n": "is no dictionary",
    "data: 3\n": "no dictionaries data, model and diffusion",
    "data: {rescaled: false}\n": "not rescaled to -1 to 1",
    "diffusion: {beta_schedule: cosine}\n": "schedule is 'cosine'",
    "diffusion: {num_diffusion_timesteps: 1000000000}\n": "num_diffusion_timesteps is",
}


@pytest.mark.parametrize(("text", "line"), BESIDE.items(), ids=range(len(BESIDE)))
def test_what_lies_beside_is_read_as_data_and_refused_in_a_line(text, line, cli, here):
    name = "pytorch-ddpm" if text.startswith("--") else "ddim"
    file, _ = saved(name, here / "a")
    (here / "a" / ("flagfile.txt" if name == "pytorch-ddpm" else "config.yml")).write_text(text)
    status, out, err = cli(
        "run", "--plugin", "ddpm", "--checkpoint", file, "--n", "20", "--metrics", "kd_digits"
    )
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1), err
    assert line in err
    assert not list(here.rglob("owned.ed"))


def test_a_folder_of_a_training_is_its_checkpoint_with_its_settings(cli, here):
    """Named as a folder or as a file, what lies beside is read,
    and is part of the run's identity (test_beside.py).
    """
    file, _ = saved("pytorch-ddpm", here / "a")
    assert torch.equal(drawn(here / "a"), drawn(file))
    words = (
        "run",
        "--plugin",
        "ddpm",
        "--checkpoint",
        here / "a",
        "--n",
        20,
        "--metrics",
        "kd_digits",
        "--leaderboards",
        "none",
        "--json",
    )
    first = json.loads(cli(*words)[1])["id"]
    (here / "a" / "flagfile.txt").write_text(
        FLAGS["pytorch-ddpm"].replace("fixedlarge", "fixedsmall")
    )
    assert json.loads(cli(*words)[1])["id"] != first
    for name in ("ckpt_1.pt", "ckpt_2.pt"):
        (here / "a" / name).write_bytes(file.read_bytes())
    assert torch.equal(drawn(here / "a", variance="fixedlarge"), drawn(file, variance="fixedlarge"))
    file.unlink()
    with pytest.raises(genbench.UserError, match="holds 2 checkpoints"):
        DDPM(here / "a")


def test_several_yamls_beside_it_are_asked_about_and_none_needs_pyyaml(tmp_path, monkeypatch):
    file, found = saved("ddim", tmp_path, settings=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert DDPM(file, steps=1).foreign.settings.size == 16
    (tmp_path / "cifar10.yml").write_text(str(found["config"]))
    with pytest.raises(
        genbench.UserError, match=r'needs PyYAML to be read: pip install "genbench\[yaml\]"'
    ):
        DDPM(file)
    (tmp_path / "celeba.yml").write_text(str(found["config"]))
    with pytest.raises(
        genbench.UserError, match=r"several YAMLs lie beside it.*celeba\.yml, cifar10\.yml"
    ):
        DDPM(file)


def test_wrong_files_are_one_line_each(cli, here):
    whole, _ = kept("ddpm-pytorch-ddpm")
    cases = {
        "cut": ({k: v for k, v in whole.items() if k != "head.weight"}, "lacks 'start.weight'"),
        "more": (
            whole | {"extra.weight": torch.ones(3)},
            "has 'extra.weight', which no such network has",
        ),
        "far": (
            whole | {"downblocks.999999999.block1.2.weight": torch.ones(32, 32, 3, 3)},
            "layers down, and 1 to 256 are usual",
        ),
        "apart": (
            whole | {"upblocks.0.block1.2.weight": torch.ones(64, 32, 3, 3)},
            "is no whole diffusion model",
        ),
        "flat": (whole | {"head.weight": torch.ones(3)}, "is no whole diffusion model"),
        "text": (
            {SETTINGS: torch.tensor(list(b"{}"), dtype=torch.uint8), "times": torch.ones(1, 2)},
            "its settings are not those of genbench",
        ),
        "other": ({"weight": torch.zeros(3)}, "is another network's: "),
    }
    for name, (tensors, line) in cases.items():
        torch.save(tensors if name == "other" else {"ema_model": tensors}, here / f"{name}.pt")
        status, out, err = cli(
            "run",
            "--plugin",
            "ddpm",
            "--checkpoint",
            f"{name}.pt",
            "--n",
            "20",
            "--metrics",
            "kd_digits",
        )
        assert (status, out, len(err.strip().splitlines())) == (2, "", 1), (name, err)
        assert line in err, name
