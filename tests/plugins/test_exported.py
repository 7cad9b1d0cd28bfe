"""The generators jit and onnx: the shipped dcgan exported and drawn through them is dcgan;
programs run for those alone who trust them.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.small_checkpoints import Ramp, graph
from torch import nn

import genbench
from genbench._util.hashing import file_sha256
from genbench.api._registry import find
from genbench.cli.main import main
from genbench.generators.conformance import check
from genbench.generators.generator import construct
from genbench.generators.load import locate
from genbench_plugins._small import enlarge

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning"
)
DIGITS = find("datasets", "digits")


class Exportable(nn.Module):
    """The network of the shipped dcgan from latents and labels to images."""

    def __init__(self):
        super().__init__()
        description = locate("dcgan")
        made = construct(description, {}, None, "cpu", DIGITS)
        weights = genbench.load_checkpoint("plugins/weights/dcgan-digits.safetensors")
        self.net = next(plugin for plugin in made.hook.sample.get_hookimpls()).plugin.nets
        self.net.load_state_dict(weights)
        self.net = self.net["generator"].eval()

    def forward(self, z, labels):
        return enlarge(self.net(z, labels))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("jit") / "dcgan.pt"
    torch.jit.save(
        torch.jit.trace(Exportable(), (torch.zeros(2, 32), torch.zeros(2, dtype=torch.int64))), path
    )
    return path


def drawn(name, checkpoint, n=40, **chosen):
    """The first images of a generator, as a run draws them."""
    description = locate(name)
    values = {option.name: option.default for option in description.options.values()} | chosen
    made = construct(description, values, checkpoint, "cpu", DIGITS)
    places = np.arange(n)
    return made.draw(places, 0, places % 10, 20, "round").numpy().astype(int)


def test_a_torchscript_program_draws_what_its_network_draws(program):
    shipped = drawn("dcgan", "plugins/weights/dcgan-digits.safetensors")
    assert np.abs(drawn("jit", program, z_size=32) - shipped).max() <= 1
    assert len(np.unique(shipped)) > 100


def test_it_passes_the_conformance_checks_and_runs(program, tmp_path, capsys):
    trust = file_sha256(program)
    results = check(locate("jit"), options=["z_size=32"], checkpoint=program, trust=trust)
    assert [(one.check, one.came) for one in results if one.verdict == "fail"] == []
    assert next(one.verdict for one in results if one.check == "labels") == "pass"
    words = [
        "run",
        "--plugin",
        "jit",
        "--checkpoint",
        str(program),
        "-o",
        "z_size=32",
        "--trust",
        trust,
        "--n",
        "40",
        "--metrics",
        "kd_digits",
        "--json",
    ]
    assert main([*words, "--out", str(tmp_path / "runs"), "--leaderboards", "none"]) == 0
    answered = capsys.readouterr()
    assert "taken as -1..1" in answered.err
    assert json.loads(answered.out)["plan"]["identity"]["checkpoint"] == trust


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ((), "if you trust whoever made it: --trust "),
        (("--trust", "ab" * 32), "not the file of that SHA-256"),
    ],
)
def test_a_program_runs_only_when_its_hash_is_trusted(trust, said, tmp_path, capsys):
    """The program cannot even be loaded, and is not reached."""
    file = tmp_path / "wrong.pt"
    file.write_bytes(b"no archive")
    assert main(["run", "--plugin", "jit", "--checkpoint", str(file), "--dry-run", *trust]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert file_sha256(file) in err


def test_trust_is_refused_where_nothing_is_run(capsys):
    assert main(["run", "--plugin", "dcgan", "--trust", "ab" * 32, "--dry-run"]) == 2
    assert "what dcgan reads is data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("low", "high", "whole", "found"),
    [(-1, 1, False, "-1..1"), (0, 1, False, "0..1"), (0, 255, False, "0..255"), (0, 255, True, "")],
)
def test_the_range_is_inferred_and_the_images_are_the_same(
    low, high, whole, found, tmp_path, capsys
):
    path = tmp_path / "ramp.pt"
    torch.jit.save(torch.jit.script(Ramp(low, high, whole)), path)
    images = drawn("jit", path, z_size=192)
    assert (f"taken as {found} " in capsys.readouterr().err) == bool(found)
    wanted = 255 * torch.sigmoid(genbench.noise(torch.arange(40), (192,))).view(-1, 3, 8, 8).numpy()
    assert np.abs(images - wanted).max() <= (1 if whole else 0.51)


def test_no_usual_range_and_no_latent_size_are_a_line_each(tmp_path):
    path = tmp_path / "ramp.pt"
    torch.jit.save(torch.jit.script(Ramp(-3, 3)), path)
    with pytest.raises(
        genbench.UserError,
        match=r"which is no usual range: clamp them in it, or say -o output=-1..1",
    ):
        drawn("jit", path, z_size=192)
    with pytest.raises(genbench.UserError, match="-o z_size=128"):
        drawn("jit", path)


def test_the_three_noises_are_torch_fidelitys_laws(tmp_path):
    path = tmp_path / "ramp.pt"
    torch.jit.save(torch.jit.script(Ramp(0, 1)), path)
    description = locate("jit")
    for kind in ("normal", "unit", "uniform_0_1"):
        made = construct(
            description,
            {"z_size": 192, "z_type": kind, "num_classes": None, "output": "0..1"},
            path,
            "cpu",
            DIGITS,
        )
        z = made.hook.sample.get_hookimpls()[0].plugin.latent(torch.arange(200))
        if kind == "unit":
            torch.testing.assert_close(z.norm(dim=1), torch.ones(200))
            # as torch_fidelity.noise.random_unit: uniform numbers, scaled to length 1
            assert z.min() >= 0
        elif kind == "normal":
            assert abs(float(z.std()) - 1) < 0.02
        else:
            assert abs(float(z.mean()) - 0.5) < 0.01


@pytest.mark.parametrize("batch", ["n", 7], ids=["any batch", "seven at a time"])
@pytest.mark.parametrize("conditional", [True, False], ids=["labels", "no labels"])
def test_an_onnx_network_draws_what_it_says(batch, conditional, tmp_path):
    images = drawn("onnx", graph(tmp_path / "net.onnx", batch, conditional))
    z = genbench.noise(torch.arange(40), (48,))
    values = torch.tanh(z + (torch.arange(40) % 10)[:, None] if conditional else z)
    wanted = ((values + 1) * 127.5).view(-1, 3, 4, 4).numpy()
    assert np.abs(images - wanted).max() <= 0.51


def test_an_onnx_file_runs_without_trust_and_passes_the_checks(tmp_path):
    path = graph(tmp_path / "net.onnx", "n", conditional=False)
    assert [
        one.came for one in check(locate("onnx"), checkpoint=path) if one.verdict == "fail"
    ] == []


@pytest.mark.parametrize("name", ["jit", "onnx"])
def test_what_cannot_be_read_is_one_line(name, tmp_path, capsys):
    for content in (b"", b"no network", b"PK\x03\x04" + b"\0" * 100):
        path = tmp_path / "net"
        path.write_bytes(content)
        trust = ("--trust", file_sha256(path)) if name == "jit" else ()
        assert main(["run", "--plugin", name, "--checkpoint", str(path), *trust, "--dry-run"]) == 2
        err = capsys.readouterr().err
        assert len(err.strip().splitlines()) == 1
        assert str(path) in err
    assert main(["run", "--plugin", name, "--dry-run"]) == 2
    assert "--checkpoint FILE" in capsys.readouterr().err


def test_labels_that_the_data_set_has_not_are_refused(program):
    with pytest.raises(genbench.UserError, match="has 7 classes, the data set 10"):
        drawn("jit", program, z_size=32, num_classes=7)
    with pytest.raises(genbench.UserError, match="num_classes is 0, and the network wants labels"):
        drawn("jit", program, z_size=32, num_classes=0)
