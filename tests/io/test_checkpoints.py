"""The readers of weights read tensors and nothing else: archives that ask for more are refused in
one line, and nothing of theirs is run.
"""

import argparse
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genbench._util.errors import UserError
from genbench.io.checkpoints import load_checkpoint, load_tensors


def archive(path, tree, storage=b""):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(
            "archive/data.pkl", tree if isinstance(tree, bytes) else pickle.dumps(tree, 2)
        )
        made.writestr("archive/data/0", storage)
        made.writestr("archive/code/__torch__.py", "")
    return path


def storage_of(count, size):
    """A pickle of one tensor: a storage of so many floats, and a shape on it."""
    out = io.BytesIO()
    out.write(
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    out.write(
        b"J"
        + count.to_bytes(4, "little")
        + b"tQK\x00("
        + b"J"
        + size.to_bytes(4, "little")
        + b"t(K\x01t\x89)tR."
    )
    return out.getvalue()


WRONG = {
    "a call": (
        b"\x80\x02cos\nsystem\nX\x0d\x00\x00\x00touch owned.ed\x85R.",
        b"",
        "it asks for os.system",
    ),
    "a builtin": (
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"",
        "it asks for builtins.eval",
    ),
    "a dotted way out": (
        b"\x80\x02c__torch__\nos.system\n)\x81}b(cposix\nsystem\nt.",
        b"",
        "it asks for posix.system",
    ),
    "a short storage": (storage_of(9, 2), bytes(8), "has 8 bytes instead of 36"),
    "a shape beyond its storage": (storage_of(2, 9), bytes(8), "larger than its storage"),
    "a tree without end": (
        b"\x80\x02c__torch__\nN\n)\x81q\x00}X\x01\x00\x00\x00aq\x01h\x00sb.",
        b"",
        "its modules do not end",
    ),
    "no tree": (b"", b"", "cannot be read"),
}


@pytest.mark.parametrize(("tree", "storage", "line"), WRONG.values(), ids=WRONG)
def test_hostile_archives_are_refused(tree, storage, line, here):
    """Nothing that a file asks for is looked up, let alone called;
    the line names the file and says that nothing was executed.
    """
    with pytest.raises(UserError, match=line) as refusal:
        load_tensors(archive(Path("hostile.pt"), tree, storage))
    assert "hostile.pt is a TorchScript archive that cannot be read" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not Path("owned.ed").exists()


def test_compressed_members_are_refused(here):
    """What unfolds to more than the file is not read."""
    with zipfile.ZipFile("bomb.pt", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", pickle.dumps([0] * 10**6, 2))
        made.writestr("archive/code/__torch__.py", "")
    with pytest.raises(UserError, match=r"data\.pkl is compressed"):
        load_tensors("bomb.pt")


class Small(torch.nn.Module):
    """Parameters, a buffer, numbers and modules within modules,
    as TorchScript archives have them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.arange(3.0))
        self.stride = [1, 2]
        self.name = "small"
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x - self.mean.view(1, 3, 1, 1))


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning"
)
def test_torchscript_tensors(here):
    """Names, types, shapes and values are those that torch's own reader finds,
    in views of a shared storage too.
    """
    net = Small().half()
    net.layers[0].weight = torch.nn.Parameter(torch.randn(4, 6, 1, 1)[:, ::2])
    torch.jit.save(torch.jit.script(net), "small.pt")
    theirs = torch.jit.load("small.pt").state_dict()
    ours = load_tensors("small.pt")
    assert set(ours) == set(theirs)
    assert all(
        torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype
        for name in theirs
    )
    with pytest.raises(UserError, match="neither safetensors nor a plain state dict"):
        load_checkpoint("small.pt")


def test_other_forms_are_read_as_before(here):
    """State dicts of both layouts and safetensors go through load_checkpoint;
    what is none of them is refused there.
    """
    state = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    torch.save(state, "new.pth")
    torch.save(state, "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, "flat.safetensors")
    for name in ("new.pth", "old.pth", "flat.safetensors"):
        found = load_tensors(name)
        assert set(found) == set(state)
        assert all(torch.equal(found[key], state[key]) for key in state)
    Path("text.pth").write_text("no weights")
    for name, line in (
        ("text.pth", "neither safetensors nor a plain state dict"),
        ("nowhere.pth", "does not exist"),
    ):
        with pytest.raises(UserError, match=line):
            load_tensors(name)


class Hostile:
    """Asks for a program when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_tensors_beside_a_trainings_bags_are_read_and_nothing_is_made_of_the_bags(tmp_path):
    """Arguments, numpy's numbers, a class as a key and whole modules stand beside a state dict in
    many files; weights_only refuses these files.
    """
    weights = {
        "a.weight": torch.arange(6.0).view(2, 3),
        "b": torch.tensor([1, 2], dtype=torch.int64),
        "c": nn.Parameter(torch.ones(2).half()),
    }
    content = {
        "g_ema": weights,
        "args": argparse.Namespace(size=8, path=Path("x")),
        "best_fid": np.float64(3.5),
        "callbacks": {nn.Linear: {"best": 1}},
        "config": {"activation": nn.ReLU()},
    }
    path = tmp_path / "training.pt"
    torch.save(content, path)
    found = load_checkpoint(path, parts=("g_ema", "state_dict"))
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in found.items()} == {
        name: (t.dtype, t.tolist()) for name, t in weights.items()
    }
    with pytest.raises(UserError, match="is not a flat dictionary of tensors"):
        load_checkpoint(path)


def test_what_is_no_bag_is_refused_by_name(tmp_path):
    marker = tmp_path / "marker"
    for content in (
        {"g_ema": {"w": torch.ones(1)}, "args": Hostile(marker)},
        {"args": argparse.Namespace(x=Hostile(marker)), "state_dict": {"w": torch.ones(1)}},
    ):
        torch.save(content, tmp_path / "hostile.pt")
        with pytest.raises(
            UserError,
            match=r"asks for posix.system, which no weights need\); nothing in it was executed",
        ):
            load_checkpoint(tmp_path / "hostile.pt")
    assert not marker.exists()
