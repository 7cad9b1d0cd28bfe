"""The files that a generator reads beside a checkpoint of one file are part of the run's identity,
and nothing else beside it is.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from helpers.foreign_weights import kept
from onnx import helper, numpy_helper
from safetensors.torch import save_file

import genbench
from genbench._util.errors import UserError
from genbench.generators.identity import code_of, seal_of
from genbench.generators.load import locate
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request

ONE = torch.zeros(1)


def cbdm(folder):
    torch.save({"ema_model": {"time_embedding.timembedding.0.weight": ONE}}, folder / "ckpt.pt")
    return folder / "ckpt.pt", folder / "flagfile.txt"


def ddim(folder):
    torch.save([{}, {}, 3, 5000, {"module.temb.dense.0.weight": ONE}], folder / "ckpt.pth")
    return folder / "ckpt.pth", folder / "cifar10.yml"


def vqgan(folder):
    (folder / "configs").mkdir()
    (folder / "checkpoints").mkdir()
    torch.save(
        {"state_dict": {"quantize.embedding.weight": ONE}}, folder / "checkpoints" / "last.ckpt"
    )
    return folder / "checkpoints" / "last.ckpt", folder / "configs" / "2021-project.yaml"


def biggan(folder):
    torch.save({"generator.gen_z.weight": ONE}, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin", folder / "config.json"


def stylegan2(folder):
    torch.save({"mapping.fc0.weight": ONE}, folder / "net.pt")
    return folder / "net.pt", folder / "net.json"


def large(folder):
    """An ONNX network with two tensors in a file of its own."""
    values = [numpy_helper.from_array(np.ones(300, dtype=np.float32), name) for name in ("a", "b")]
    out = helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [300])
    made = helper.make_model(
        helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "g", [], [out], values)
    )
    onnx.save(
        made,
        folder / "net.onnx",
        save_as_external_data=True,
        location="net.onnx.data",
        size_threshold=0,
    )
    return folder / "net.onnx", folder / "net.onnx.data"


READS = {
    cbdm: "ddpm",
    ddim: "ddpm",
    vqgan: "vqgan",
    biggan: "biggan",
    stylegan2: "stylegan2",
    large: "onnx",
}


@pytest.mark.parametrize("made", READS, ids=lambda made: made.__name__)
def test_what_is_read_beside_a_file_is_in_its_seal(made, tmp_path):
    """With it another seal than without, and another with each of its contents;
    a file of notes changes nothing.
    """
    (file, side), description = made(tmp_path), locate(READS[made])
    seals = []
    for content in ("a: 1\n", "a: 2\n"):
        side.write_text(content)
        seals.append(seal_of(description, file))
        (file.parent / "notes.txt").write_text(content)
        assert seal_of(description, file) == seals[-1]
    side.unlink()
    assert len({*seals, seal_of(description, file)}) == 3
    assert seal_of(description, file) == genbench._util.hashing.content_sha256(file)


def test_a_file_that_says_all_itself_has_its_own_hash_whatever_lies_beside(tmp_path):
    """Our own weights beside YAML, JSON and flagfile; a generator that reads nothing beside;
    a folder.
    """
    settings = torch.tensor(list(b"{}"), dtype=torch.uint8)
    own = {
        "ddpm": "settings",
        "vqgan": "architecture",
        "stylegan2": "init_kwargs",
        "biggan": "linear.weight",
        "dcgan": "any",
    }
    for name, tensor in own.items():
        file = tmp_path / f"{name}.safetensors"
        save_file({tensor: settings, "times": ONE}, file)
        for beside in (f"{name}.json", f"{name}.yaml", "config.json", "flagfile.txt"):
            (tmp_path / beside).write_text("a: 1\n")
        assert seal_of(locate(name), file) == genbench._util.hashing.content_sha256(file), name
    assert seal_of(locate("ddpm"), tmp_path) == genbench._util.hashing.content_sha256(tmp_path)
    assert seal_of(locate("ddpm"), None) is None


def test_two_settings_of_one_checkpoint_are_two_runs(tmp_path):
    weights, _ = kept("ddpm-pytorch-ddpm")
    torch.save({"ema_model": weights}, tmp_path / "ckpt.pt")
    ids = set()
    for variance in ("fixedlarge", "fixedsmall"):
        (tmp_path / "flagfile.txt").write_text(f"--var_type={variance}\n")
        plan = settle(
            Request(checkpoint=tmp_path / "ckpt.pt", n=40, metrics=("precision_digits",)),
            locate("ddpm"),
        )
        assert plan.label.endswith(f"[ckpt.pt {plan.identity['checkpoint'][:6]}]")
        ids.add(plan.id)
    assert len(ids) == 2


PLUGIN = """
from pathlib import Path
import torch, genbench

class Mine:
    def __init__(self, checkpoint: Path | None = None) -> None:
        pass

    @genbench.hookimpl
    def sample(self, n):
        return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
"""
BESIDE = """
    @staticmethod
    def beside(checkpoint):
        return [checkpoint.with_suffix(".txt")]
"""


def test_a_strangers_plugin_says_it_likewise_and_saying_it_is_no_other_code(tmp_path):
    """What is in the files counts; the method itself decides no image,
    so that runs of before keep their identity.

    A mere function of the name counts.
    """
    file = tmp_path / "net.bin"
    file.write_bytes(b"x")
    file.with_suffix(".txt").write_text("y")
    codes, seals = [], []
    for number, source in enumerate(
        (
            PLUGIN,
            PLUGIN + BESIDE,
            PLUGIN + BESIDE.replace("    @staticmethod\n", ""),
            PLUGIN.replace("zeros", "ones"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "mine.py").write_text(source)
        description = locate(str(tmp_path / str(number) / "mine.py"))
        codes.append(code_of(description))
        seals.append(seal_of(description, file) if number < 2 else "")
    assert codes[0] == codes[1]
    assert len(set(codes)) == 3
    assert seals[0] != seals[1]
    (tmp_path / "wrong.py").write_text(PLUGIN + "\n    beside = 3\n")
    with pytest.raises(UserError, match="its attribute beside is 3; wanted is a static method"):
        locate(str(tmp_path / "wrong.py"))
