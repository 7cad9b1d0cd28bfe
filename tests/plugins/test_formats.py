"""Every format of weights that a generator reads: a small real checkpoint goes through the command
line to a record, on digits and on a folder of images.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.generators_brought import BROUGHT
from helpers.small_checkpoints import (
    SMALL,
    Ramp,
    Tinted,
    beside_json,
    biggan,
    ddpm,
    example_dcgan,
    example_vae,
    graph,
    pickled,
    rosinality,
    script,
    taught_biggan,
    vqgan,
)
from helpers.small_pipelines import made
from PIL import Image

from genbench._util.hashing import content_sha256
from genbench.api import _registry as registry
from genbench.cli.commands.convert import convert
from genbench.cli.main import main
from genbench.generators.identity import seal_of
from genbench.generators.load import locate
from genbench.runs.records import record
from genbench.runs.sampling import cost

N = 20
# what a record says of the conditions
LABELS, TEXTS = frozenset({"labels", "classes"}), frozenset({"prompts", "labels", "classes"})
OWN = """
from genbench._util.lazy_imports import F
from genbench.api import Extractor, Measure, Protocol

def load(device):
    return lambda images: {"colours": F.adaptive_avg_pool2d(images.float(), 2).flatten(1)}

QUARTERS = Extractor("quarters", "mean colours of the quarters of an image", {"colours": 12}, 2, "none", None, "nothing", load)
MEASURES = (Measure("fd", "quarters.colours", "train"), Measure("kd", "digits.pool", "train"))
OWN = Protocol("own", "of one's own", "any", 0, "balanced", "round", MEASURES)
"""  # for images of any size, and its features need no download  # noqa: E501
STYLEGAN2 = replace(SMALL, c_dim=10, img_channels=1)
UNCONDITIONAL = replace(SMALL, c_dim=0)


@dataclass(frozen=True)
class Format:
    """A form of weights: who reads it, who writes a small one into a folder,
    what it is then asked for, the plugin's options.
    """

    plugin: str
    write: Callable[[Path], Path]
    asked: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()


def converted(plugin, write):
    """What `genbench convert` makes of another format's file."""

    def writes(folder):
        convert(write(folder), folder / "ours.safetensors", plugin)
        return folder / "ours.safetensors"

    return writes


def trained(plugin):
    """What `genbench train` writes."""

    def writes(folder):
        words = [
            "train",
            "--plugin",
            plugin,
            "--steps",
            "2",
            "--batch-size",
            "8",
            "--quiet",
            "--out",
        ]
        assert main([*words, str(folder / f"{plugin}.safetensors")]) == 0
        return folder / f"{plugin}.safetensors"

    return writes


def pictures(folder, side=16, count=60):
    """A folder of pictures in ten classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    for i, one in enumerate(pixels):
        place = folder / f"class{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{i:03d}.png")
    return folder


def zipped(folder):
    return Path(shutil.make_archive(str(folder / "samples"), "zip", pictures(folder / "samples")))


def npz(folder):
    """As guided diffusion's sampler writes it."""
    np.savez(
        folder / "samples_60x16x16x3.npz",
        np.random.default_rng(1).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8),
        np.arange(60) % 10,
    )
    return folder / "samples_60x16x16x3.npz"


def nvidias(folder):
    return pickled(STYLEGAN2, folder / "network-snapshot-000100.pkl")


def huggingfaces(folder):
    (folder / "biggan").mkdir()
    return biggan("huggingface", folder / "biggan")[0]


FORMATS = {
    "stylegan2: NVIDIA's pickle": Format(
        "stylegan2", nvidias, LABELS, ("truncation=0.7", "noise=const", "cutoff=4")
    ),
    "stylegan2: NVIDIA's pickle, converted": Format(
        "stylegan2", converted(None, nvidias), LABELS, ("truncation=0.7", "noise=const", "cutoff=4")
    ),
    "stylegan2: NVIDIA's pickle without classes": Format(
        "stylegan2", lambda folder: pickled(UNCONDITIONAL, folder / "afhq.pkl")
    ),
    "stylegan2: a state dict beside its JSON": Format(
        "stylegan2", lambda folder: beside_json(STYLEGAN2, folder / "net.pth"), LABELS
    ),
    "stylegan2: rosinality's": Format("stylegan2", lambda folder: rosinality(folder)[0]),
    "stylegan2: ours": Format("stylegan2", trained("stylegan2"), LABELS),
    "biggan: ajbrock's": Format("biggan", taught_biggan, LABELS),
    "biggan: ajbrock's deep": Format("biggan", lambda folder: biggan("deep", folder)[0], LABELS),
    "biggan: Hugging Face's": Format("biggan", huggingfaces, LABELS, ("truncation=0.425",)),
    "biggan: Hugging Face's, converted": Format(
        "biggan", converted("biggan", huggingfaces), LABELS, ("truncation=0.425",)
    ),
    "vqgan: taming's": Format("vqgan", lambda folder: vqgan("class", folder)[0], LABELS),
    "vqgan: taming's without classes": Format("vqgan", lambda folder: vqgan("plain", folder)[0]),
    "vqgan: taming's of Gumbel's kind": Format("vqgan", lambda folder: vqgan("gumbel", folder)[0]),
    "vqgan: ours": Format("vqgan", trained("vqgan"), LABELS),
    "dcgan: pytorch/examples'": Format("dcgan", lambda folder: example_dcgan(folder)[1]),
    "dcgan: ours": Format("dcgan", trained("dcgan"), LABELS),
    "vae: pytorch/examples'": Format("vae", lambda folder: example_vae(folder)[1]),
    "vae: ours": Format("vae", trained("vae"), LABELS),
    "ddpm: w86763777's": Format(
        "ddpm", lambda folder: ddpm("pytorch-ddpm", folder)[0], options=("steps=2",)
    ),
    "ddpm: CBDM's": Format(
        "ddpm", lambda folder: ddpm("cbdm", folder)[0], LABELS, ("steps=2", "w=0.5")
    ),
    "ddpm: ermongroup's": Format(
        "ddpm", lambda folder: ddpm("ddim", folder)[0], options=("steps=2",)
    ),
    "ddpm: ermongroup's for LSUN": Format(
        "ddpm", lambda folder: ddpm("ddim-pooled", folder)[0], options=("steps=2",)
    ),
    "ddpm: ours": Format("ddpm", trained("ddpm"), LABELS, ("steps=3",)),
    **{
        f"diffusers: {kind}": Format(
            "diffusers", lambda folder, kind=kind: made(kind, folder), asked, ("steps=2",)
        )
        for kind, asked in {
            "ddpm": frozenset(),
            "classes": LABELS,
            "dit": LABELS,
            "ldm": frozenset(),
            "sd": TEXTS,
        }.items()
    },
    "jit: conditional": Format(
        "jit", lambda folder: script(folder / "net.pt", Tinted()), LABELS, ("z_size=192",)
    ),
    "jit: unconditional": Format(
        "jit", lambda folder: script(folder / "net.pt", Ramp(0, 1)), options=("z_size=192",)
    ),
    "onnx: conditional": Format("onnx", lambda folder: graph(folder / "net.onnx", "n"), LABELS),
    "onnx: unconditional": Format(
        "onnx", lambda folder: graph(folder / "net.onnx", 7, conditional=False)
    ),
    "images: a folder": Format("images", lambda folder: pictures(folder / "samples")),
    "images: a zip": Format("images", zipped),
    "images: an npz": Format("images", npz),
}
CONFORMING = {  # of each plugin that draws nothing without a file, one that passes every check
    "biggan": "biggan: ajbrock's",
    "diffusers": "diffusers: ddpm",
    "images": "images: a folder",
    "jit": "jit: unconditional",
    "onnx": "onnx: unconditional",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the runs go, the real pictures and the rows lie."""
    root = tmp_path_factory.mktemp("formats")
    pictures(root / "real", side=20)
    (root / "rows.py").write_text(OWN)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """name of a format -> its small checkpoint, written once."""
    there = {}

    def of(name):
        if name not in there:
            there[name] = FORMATS[name].write(tmp_path_factory.mktemp("checkpoint"))
        return there[name]

    return of


def given(name, path):
    """The words that say which generator it is."""
    trust = (
        ("--trust", content_sha256(path))
        if locate(FORMATS[name].plugin).attributes.get("executes")
        else ()
    )
    return (
        "--checkpoint",
        path,
        *(word for option in FORMATS[name].options for word in ("-o", option)),
        *trust,
    )


@pytest.fixture
def run(cli, place, checkpoint, monkeypatch):
    """run(format, "digits" or "folder") -> the record that was printed."""
    # one image alone, timed once and not twenty times
    monkeypatch.setattr(cost, "CALLS", range(1, 2))
    data = {
        "digits": ("--dataset", "digits", "--metrics", "fd_digits,kd_digits"),
        "folder": ("--dataset", place / "real", "--with", place / "rows.py", "--protocol", "own"),
    }

    def go(name, dataset):
        words = (
            "run",
            "--plugin",
            FORMATS[name].plugin,
            *given(name, checkpoint(name)),
            *data[dataset],
        )
        status, out, err = cli(
            *words, "--n", N, "--out", place / "runs", "--leaderboards", "none", "--json"
        )
        assert status == 0, err
        return json.loads(out)

    return go


@pytest.mark.parametrize("dataset", ["digits", "folder"])
@pytest.mark.parametrize("name", FORMATS)
def test_it_runs_to_a_record(name, dataset, run, place, checkpoint):
    """The record is whole, of this very checkpoint and what it is asked for,
    and each number has an interval around it.
    """
    printed = run(name, dataset)
    found = record.read(place / "runs" / printed["id"] / "run.json")
    assert record.lacking(found) == ""
    assert json.loads(json.dumps(found.to_json())) == printed
    identity = found.plan["identity"]
    # of the files that are read beside it too
    seal = seal_of(locate(FORMATS[name].plugin), checkpoint(name))
    assert (identity["checkpoint"], identity["n"], set(identity["conditions"])) == (
        seal,
        N,
        FORMATS[name].asked,
    )
    assert {one.metric for one in found.scores} == (
        {"fd_digits", "kd_digits"} if dataset == "digits" else {"fd_quarters", "kd_digits"}
    )
    for one in found.scores:
        assert one.status == "ok", one
        assert math.isfinite(one.value)
        assert -math.inf < one.low < one.value < one.high < math.inf


@pytest.mark.parametrize("name", [name for name in FORMATS if name.endswith(", converted")])
def test_a_converted_file_scores_as_its_source(name, run):
    """To the last digit; and the same words again are the same run."""
    source = name.removesuffix(", converted")
    ours, theirs = run(name, "digits"), run(source, "digits")
    assert [one["value"] for one in ours["scores"]] == [one["value"] for one in theirs["scores"]]
    assert ours["id"] != theirs["id"]
    assert run(source, "digits") == theirs


@pytest.mark.parametrize("plugin", sorted(BROUGHT))
def test_what_is_brought_passes_the_checks(plugin, cli, checkpoint):
    """`genbench test-plugin` exits with 0 for the generators that no other test could check
    without a file.
    """
    name = CONFORMING[plugin]
    status, out, err = cli("test-plugin", plugin, *given(name, checkpoint(name)))
    assert status == 0, out + err


def test_no_generator_is_without_a_format():
    """Whoever ships a generator that takes a checkpoint adds a line to the table."""
    shipped = [
        name for name, one in registry.standing("generators").items() if one.origin == "built in"
    ]
    assert {form.plugin for form in FORMATS.values()} == {
        name for name in shipped if "checkpoint" in locate(name).given
    }
    assert set(CONFORMING) == BROUGHT
