"""Hostile weights, in every container that is read: refused in one line that names what the file
asked for, with no marker made and nothing unfolded.

NVIDIA's pickles are in test_pickles.py, TorchScript's trees in test_checkpoints.py, zips of
pictures in test_odd_images.py.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.hostile_files import Evil, legacy

from genbench._util.errors import UserError
from genbench.io.checkpoints import load_checkpoint, load_tensors
from genbench.io.reference_statistics import read_statistics

MARKER = "owned.ed"
SYSTEM = f"touch {MARKER}"


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def call(module, name, argument):
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"


def called(module, name, argument):
    """A pickle of {"a": module.name(argument)}."""
    return b"\x80\x02}" + text("a") + call(module, name, argument) + b"s."


def computed(module, name, argument):
    """The same by STACK_GLOBAL, of names that stand in the memo, beside others."""
    put = b"".join(text(word) + b"\x94" for word in ("harmless", module, name))
    return b"\x80\x04" + put + b"000}" + text("a") + b"h\x01h\x02\x93" + text(argument) + b"\x85Rs."


CALLS = {
    "os.system": (called("os", "system", SYSTEM), "os.system"),
    "builtins.eval": (called("builtins", "eval", f"open('{MARKER}', 'w')"), "builtins.eval"),
    "torch.hub": (called("torch.hub", "load", "repo"), "torch.hub.load"),
    "names from the memo": (computed("posix", "system", SYSTEM), "posix.system"),
    "an attribute of what is allowed": (
        called("torch._utils", "_rebuild_tensor_v2.__globals__", "x"),
        "torch._utils._rebuild_tensor_v2",
    ),
    "a call in a call": (
        pickle.dumps({"a": Evil(OrderedDict, Evil(os.system, SYSTEM))}, 2),
        "posix.system",
    ),
    "a call in a dictionary's key": (pickle.dumps({Evil(os.system, SYSTEM): 1}, 2), "posix.system"),
    "a call in what is set": (
        b"\x80\x02ccollections\nOrderedDict\n)R}"
        + text("x")
        + call("os", "system", SYSTEM)
        + b"sb.",
        "os.system",
    ),
    "a legacy pickle in a storage": (
        pickle.dumps(
            {"a": Evil(torch.storage._load_from_bytes, legacy(Evil(os.system, SYSTEM)))}, 2
        ),
        "torch.storage._load_from_bytes",
    ),
    "a memo bomb": (
        b"\x80\x02}" + text("a") + b"Nr\xf0\xff\xff\xffs.",
        "not a flat dictionary of tensors|Invalid magic number",
    ),
    "a memo bomb before a bag": (
        b"\x80\x02}" + text("a") + b"Nr\xf0\xff\xff\xff0cargparse\nNamespace\n)Rs.",
        # the older format is read by torch alone, whose memo is a dictionary
        r"numbers its parts beyond their count|\(UnpicklingError\)",
    ),
}


def archived(tree):
    """torch's zip around a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("archive/data.pkl", tree)
        made.writestr("archive/byteorder", "little")
        made.writestr("archive/version", "3\n")
    return out.getvalue()


def rowed(tree):
    """torch's older format around a pickle."""
    whole = legacy({})
    parts = whole.split(pickle.dumps({}, 2))
    assert len(parts) >= 2
    return parts[0] + tree + parts[-1]


CONTAINERS = {"zip": archived, "legacy": rowed, "bare": lambda tree: tree}


def refused(path, line, read=load_checkpoint):
    """Refused in one line, with nothing run, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=line) as refusal:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert str(path) in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert not list(Path().rglob(MARKER))


@pytest.mark.parametrize("around", CONTAINERS)
@pytest.mark.parametrize(("tree", "line"), CALLS.values(), ids=CALLS)
def test_what_a_pickle_asks_for_is_named_and_not_done(around, tree, line, here):
    """In torch's zip, in its older format, and by itself; through both readers."""
    Path("hostile.pt").write_bytes(CONTAINERS[around](tree))
    for read in (load_checkpoint, load_tensors):
        refused("hostile.pt", line, read)


def test_the_containers_are_those_that_are_read(here):
    """What is refused above is refused for what lies in it:
    harmless content in the same containers is read.
    """
    for around in ("zip", "legacy"):
        Path("good.pt").write_bytes(CONTAINERS[around](pickle.dumps({}, 2)))
        assert load_checkpoint("good.pt") == {}


def viewed(size, stride, offset=0):
    """A tensor of two numbers with a shape of its own."""
    return Evil(
        torch._utils._rebuild_tensor_v2,
        torch.tensor([1.0, 2.0]).storage(),
        offset,
        size,
        stride,
        False,
        OrderedDict(),
    )


VIEWS = {
    "strides beyond the storage": ((2, 1), (5, 1), 0),
    "an offset beyond the storage": ((2,), (1,), 1),
    "a size beyond the storage": ((10**6,), (1,), 0),
    "40 gigabytes of one number": ((10**5, 10**5), (0, 0), 0),
    "a negative size": ((-1,), (1,), 0),
    "a negative stride": ((2,), (-1,), 1),
}


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("bag", [False, True])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_shape_that_overruns_its_storage_is_refused(view, zipped, bag, here):
    """By torch's reader and by the one for tensors beside a training's bags:
    nothing is read past the end, and nothing small becomes large.
    """
    content = {"state_dict": {"a": viewed(*view)}, **({"args": np.float64(1.0)} if bag else {})}
    torch.save(content, "view.pt", _use_new_zipfile_serialization=zipped)
    refused("view.pt", "neither safetensors nor a plain state dict")


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_small_tensor_may_repeat_its_numbers(here):
    """A buffer that was expanded is no attack."""
    torch.save({"a": torch.tensor([3.0]).expand(4, 5)}, "expanded.pt")
    assert torch.equal(load_checkpoint("expanded.pt")["a"], torch.full((4, 5), 3.0))


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning"
)
@pytest.mark.parametrize("around", ["zip", "row", "bag", "TorchScript"])
def test_a_hundred_tensors_of_which_each_may_be_are_together_refused(around, here, monkeypatch):
    """Of one storage or of one number: what each tensor may say of itself,
    a file may not a hundred times; ten of them are read.
    """
    for module in ("genbench.io.checkpoints", "genbench.io.nvidia_pickles"):
        monkeypatch.setattr(f"{module}.LARGEST_VIEW", 2**20)
    one = torch.zeros(2**14)

    def written(count):
        if around == "TorchScript":
            module = torch.nn.Module()
            for i in range(count):
                module.register_buffer(f"b{i}", one.view(2**14))
            torch.jit.save(torch.jit.script(module), "many.pt")
            return
        tensors = {
            f"a{i}": one if around == "bag" else torch.ones(1).expand(2**14) for i in range(count)
        }
        torch.save(
            {"state_dict": tensors, **({"args": np.float64(1.0)} if around == "bag" else {})},
            "many.pt",
            _use_new_zipfile_serialization=around != "row",
        )

    read = load_tensors if around == "TorchScript" else load_checkpoint
    written(100)
    refused("many.pt", "larger than the file", read)
    written(10)
    assert len(read("many.pt")) == 10


@pytest.mark.parametrize(
    "made",
    [lambda: torch.empty(10**9, device="meta"), lambda: torch.eye(3).to_sparse()],
    ids=["meta", "sparse"],
)
def test_a_tensor_without_numbers_is_refused(made, here):
    torch.save({"a": made()}, "odd.pt")
    refused("odd.pt", "a in it is no plain tensor")


def test_a_zip_bomb_is_not_unfolded(here):
    """Torch stores what it writes, and would inflate what is compressed;
    here it is refused before.
    """
    torch.save({"a": torch.zeros(2**26)}, "plain.pt")
    with (
        zipfile.ZipFile("plain.pt") as plain,
        zipfile.ZipFile("bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    Path("plain.pt").unlink()
    assert Path("bomb.pt").stat().st_size < 2**19
    for read in (load_checkpoint, load_tensors):
        refused("bomb.pt", r"plain/data\.pkl in it is compressed", read)


def test_members_that_overlap_are_refused(here):
    """Many members that are the same bytes of the file: together they are more than the file."""
    with zipfile.ZipFile("overlap.pt", "w") as made:
        made.writestr("archive/data.pkl", pickle.dumps({}, 2))
        made.writestr("archive/data/0", bytes(10_000))
        first = made.getinfo("archive/data/0")
        for i in range(1, 50):
            again = zipfile.ZipInfo(f"archive/data/{i}")
            again.file_size, again.compress_size, again.CRC, again.header_offset = (
                first.file_size,
                first.compress_size,
                first.CRC,
                first.header_offset,
            )
            made.filelist.append(again)
            made.NameToInfo[again.filename] = again
    assert Path("overlap.pt").stat().st_size < 20_000
    refused("overlap.pt", "its members are more than the file")


def sealed(header, data=b"", length=None):
    """A safetensors file."""
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(said) if length is None else length) + said + data


def entry(shape, offsets, dtype="F32"):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


LIES = {
    "a header longer than the file": sealed(entry([1], [0, 4]), bytes(4), 2**40),
    "a header of all memory": sealed(entry([1], [0, 4]), bytes(4), 2**63),
    "data beyond the end": sealed(entry([1000], [0, 4000]), bytes(4)),
    "a shape larger than its data": sealed(entry([10**9], [0, 4]), bytes(4)),
    "a shape that overflows": sealed(entry([2**40, 2**40], [0, 4]), bytes(4)),
    "offsets that go backwards": sealed(entry([1], [4, 0]), bytes(4)),
    "a hole": sealed(entry([1], [8, 12]), bytes(12)),
    "what nobody names at the end": sealed(entry([1], [0, 4]), bytes(400)),
    "tensors that overlap": sealed(
        {**entry([2], [0, 8]), "b": entry([2], [4, 12])["a"]}, bytes(12)
    ),
    "another type": sealed(entry([1], [0, 4], "O"), bytes(4)),
    "no JSON": sealed(b"{" * 100),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES)
def test_a_safetensors_header_that_lies_is_refused(content, here):
    Path("lies.safetensors").write_bytes(content)
    refused("lies.safetensors", r"neither safetensors nor a plain state dict \(SafetensorError: ")


def npz(path, **members):
    """An npz, compressed, of members as bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)


def npy(shape, data=b"", dtype="<f8"):
    said = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    said += b" " * (-(len(said) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + data


NPZ = {
    "a bomb": (
        {"mu": npy((2**23,), bytes(2**26)), "sigma": npy((2**23,), bytes(2**26))},
        "mu|sigma",
    ),
    "a matrix that its file does not hold": (
        {"mu": npy((10**5,), bytes(8)), "sigma": npy((10**5, 10**5))},
        "more than the file holds",
    ),
    "Python objects": (
        {
            "mu": npy((1,), pickle.dumps([Evil(os.system, SYSTEM)]), "|O"),
            "sigma": npy((1, 1), bytes(8)),
        },
        "holds Python objects",
    ),
    "a header that is a program": (
        {"mu": npy("__import__('os').system('touch owned.ed')"), "sigma": npy((1, 1), bytes(8))},
        "mu cannot be read",
    ),
}


@pytest.mark.parametrize(("members", "line"), NPZ.values(), ids=NPZ)
def test_an_npz_that_unfolds_to_more_or_asks_for_more_is_refused(members, line, here):
    """As statistics of a reference."""
    npz("bomb.npz", **members)
    assert Path("bomb.npz").stat().st_size < 2**20
    refused("bomb.npz", line, lambda path: read_statistics(Path(path)))
