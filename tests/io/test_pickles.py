"""NVIDIA's pickles give tensors and settings, and nothing in them is run:
what asks for more is refused in one line that names it.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from helpers.hostile_files import Evil, legacy
from helpers.nvidia_files import EasyDict, their_names, write_pickle
from torch import nn

from genbench._util.errors import UserError
from genbench.io.nvidia_pickles import load_network

SETTINGS = {
    "z_dim": 4,
    "c_dim": 0,
    "mapping_kwargs": {"lr_multiplier": 0.01},
    "synthesis_kwargs": {"resample_filter": [1, 3, 3, 1], "conv_clamp": None},
}


class Inner(nn.Module):
    """A parameter and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer(
            "noise_const", torch.randn(8, generator=torch.Generator().manual_seed(0))[2:5].half()
        )
        self.register_parameter("bias", None)


class Generator(nn.Module):
    """Modules within modules."""

    def __init__(self) -> None:
        super().__init__()
        self.synthesis = nn.ModuleDict({"b4": Inner()})
        self.w_avg = nn.Parameter(torch.ones(2))
        self.add_module("none", None)


def zipped(content):
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def touch():
    return Evil(os.system, "touch owned.ed")


def storage(*numbers):
    return torch.tensor(numbers).storage()


def view(size, stride, offset=0):
    """A tensor of two numbers with a shape of its own."""
    return Evil(torch._utils._rebuild_tensor_v2, storage(1.0, 2.0), offset, size, stride, False, {})


def embedded(content):
    return Evil(torch.storage._load_from_bytes, content)


def nested(levels, inner):
    """A list of itself twice, and so on: a few bytes to a level, 2^levels ends."""
    for _ in range(levels):
        inner = [inner, inner]
    return inner


def endless():
    """Modules that hold one another."""
    net = nn.Module()
    net.inner = nn.Module()
    vars(net.inner)["_modules"]["outer"] = net
    return net


def bushy():
    """Modules that hold the same one twice, and so on."""
    net = nn.Module()
    for _ in range(30):
        outer = nn.Module()
        outer.a = outer.b = net
        net = outer
    return net


def strings(*words, tail=b"."):
    """Names that stand in the memo before STACK_GLOBAL takes them from there."""
    put = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() + b"\x94" for word in words)
    return b"\x80\x04" + put + b"00h\x00h\x01\x93" + tail


RAW = {
    "names taken from the memo": (
        strings("posix", "system", tail=b"\x8c\x0etouch owned.ed\x85R."),
        "asks for posix.system",
    ),
    "a dotted way out": (
        strings("torch_utils.persistence", "_reconstruct_persistent_obj.__globals__"),
        "asks for torch_utils.persistence._rec",
    ),
    "another module's eval": (
        b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x00open\x85R.",
        "asks for builtins.eval",
    ),
    "torch.hub": (
        b"\x80\x02ctorch.hub\nload\nX\x04\x00\x00\x00repo\x85R.",
        "asks for torch.hub.load",
    ),
    "a memo bomb": (b"\x80\x02Nr\xf0\xff\xff\xff.", "numbers its parts beyond their count"),
    "a stand-in that is altered": (
        (
            b"\x80\x02ctorch_utils.persistence\n"
            b"_reconstruct_persistent_obj\n}X\x01\x00\x00\x00aK\x01sb."
        ),
        "would alter the reader",
    ),
    "a dictionary that is altered": (
        b"\x80\x02ccollections\nOrderedDict\n}X\x04\x00\x00\x00keysK\x01sb.",
        "cannot be read",
    ),
    "a length that lies": (
        b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"short",
        "expected 1125899906842624 bytes",
    ),
    "a persistent id": (b"\x80\x04X\x01\x00\x00\x00aQ.", "cannot be read"),
    "TensorFlow": (b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81.", "legacy.py"),
    "control characters": (strings("o\ns\x1b[2J", "system"), r"asks for o s\?\[2J.system"),
    "nothing": (b"", "cannot be read"),
    "text": (b"no pickle", "cannot be read"),
    "a cut end": (pickle.dumps({"G_ema": list(range(1000))})[:500], "cannot be read"),
    "a list": (pickle.dumps([1]), "no network G_ema, but a list"),
    "another dictionary": (pickle.dumps({"G": 1, "D": 2}), "no network G_ema, but G, D"),
}
PLANTED = {
    "a call": (touch, "asks for posix.system"),
    "a call in a storage": (
        lambda: embedded(legacy(touch())),
        "a storage of it asks for posix.system",
    ),
    "an eval in a storage": (
        lambda: embedded(legacy(Evil(eval, "open('owned.ed', 'w')"))),
        "a storage of it asks for .*eval",
    ),
    "a storage that is none": (lambda: embedded(legacy({"a": 1})), "a storage of it is a dict"),
    "a storage that is an archive": (
        lambda: embedded(zipped(torch.ones(3))),
        "a storage is an archive",
    ),
    "text for a storage": (lambda: embedded("text"), "cannot be read"),
    "strides beyond the storage": (lambda: view((2, 1), (5, 1)), "larger than its storage"),
    "an offset beyond the storage": (lambda: view((2,), (1,), 1), "larger than its storage"),
    "gigabytes of one number": (lambda: view((10**6, 10**6), (0, 0)), "larger than its storage"),
    "a negative size": (lambda: view((-1,), (1,)), "not of whole numbers"),
    "a tensor without a storage": (
        lambda: Evil(torch._utils._rebuild_tensor_v2, b"1234", 0, (1,), (1,), False, {}),
        "has no storage",
    ),
}
GRAFTED = {
    "modules that hold one another": (endless, {}, "its modules do not end"),
    "modules twice and twice again": (bushy, {}, "its modules do not end"),
    "settings twice and twice again": (
        Generator,
        {"z_dim": nested(40, 1)},
        "its settings do not end",
    ),
    "a setting that is a tensor": (
        Generator,
        {"z_dim": torch.ones(1)},
        "a setting of its is a Tensor",
    ),
}


def refused(path, line):
    """Refused in one line, with nothing run, and the reader as it was."""
    with pytest.raises(UserError, match=line) as refusal:
        load_network(path)
    assert f"checkpoint {path} cannot be read as NVIDIA's pickle" in str(refusal.value)
    assert "nothing in it was executed" in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert not Path("owned.ed").exists()
    assert set(load_network(write_pickle("good.pkl", Generator(), SETTINGS)).tensors) == {
        "w_avg",
        "synthesis.b4.weight",
        "synthesis.b4.noise_const",
    }


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_network_is_read(protocol, here, capfd):
    """Names, values, types and settings are the module's own, views included,
    in every protocol that Python has written; the source in it is not run.
    """
    net = Generator()
    found = load_network(
        write_pickle("net.pkl", net, SETTINGS, protocol=protocol, D=Inner(), _set={1, 2})
    )
    wanted = net.state_dict()
    assert (found.kind, found.settings) == ("Generator", SETTINGS)
    assert set(found.tensors) == set(wanted)
    assert all(
        torch.equal(found.tensors[name], wanted[name])
        and found.tensors[name].dtype == wanted[name].dtype
        for name in wanted
    )
    assert load_network("net.pkl", "D").kind == "Inner"
    assert not Path("owned.ed").exists()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(("content", "line"), RAW.values(), ids=RAW)
def test_hostile_pickles_are_refused(content, line, here):
    """Nothing that a file asks for is looked up, let alone called."""
    Path("hostile.pkl").write_bytes(content)
    refused("hostile.pkl", line)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(("made", "line"), PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("where", ["D", "settings"])
def test_hostile_objects_in_a_good_file_are_refused(made, line, where, here):
    """An object that asks for more is refused wherever in the file it stands,
    in the networks that are not read too.
    """
    path = write_pickle(
        "hostile.pkl",
        Generator(),
        SETTINGS if where == "D" else {**SETTINGS, "z_dim": made()},
        **({"D": made()} if where == "D" else {}),
    )
    refused(path, line)


@pytest.mark.parametrize(("made", "settings", "line"), GRAFTED.values(), ids=GRAFTED)
def test_trees_without_end_are_refused(made, settings, line, here):
    """A few bytes that unfold to more modules or settings than any network has,
    and settings that are none.
    """
    refused(write_pickle("endless.pkl", made(), settings), line)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("shared", [True, False], ids=["a storage", "its bytes"])
def test_a_storage_that_a_hundred_tensors_share_is_refused(shared, here, monkeypatch):
    """Each is a copy, or each reads the same bytes again:
    together they are larger than the file.
    """
    monkeypatch.setattr("genbench.io.nvidia_pickles.LARGEST_VIEW", 2**20)
    one = torch.zeros(2**14).storage()
    content = legacy(one)
    many = [
        Evil(
            torch._utils._rebuild_tensor_v2,
            one if shared else embedded(content),
            0,
            (2**14,),
            (1,),
            False,
            {},
        )
        for _ in range(100)
    ]
    Path("many.pkl").write_bytes(pickle.dumps({"G_ema": many}, 4))
    assert Path("many.pkl").stat().st_size < 2**17
    with pytest.raises(UserError, match="together larger than the file"):
        load_network("many.pkl")


def test_other_versions_are_refused(here):
    """Version 6 of the format is known, and another is named."""
    refused(
        write_pickle("old.pkl", Generator(), SETTINGS, version=5),
        "version 5 of NVIDIA's persistence, and version 6 is known",
    )


def test_what_is_no_module_is_refused(here):
    """A module's parts are dictionaries of tensors and modules."""
    for part, inner, line in (
        ("_parameters", {"a": 1}, "a is not a tensor"),
        ("_modules", {"a": 1}, "a is not a module"),
        ("_buffers", [1], "_buffers of a Gen"),
    ):
        net = Generator()
        vars(net)[part] = inner
        refused(write_pickle("odd.pkl", net, SETTINGS), line)


def test_a_missing_file_is_named(here):
    """A path that is no file is the user's, and so is a folder."""
    for path in ("nowhere.pkl", "."):
        with pytest.raises(UserError, match="is not a file"):
            load_network(path)


def test_the_writer_writes_their_names(here):
    """The files of these tests ask for NVIDIA's names, as the published ones do,
    and their own reader would run the source in them.
    """
    path = write_pickle("net.pkl", Generator(), SETTINGS)
    assert b"_reconstruct_persistent_obj" in path.read_bytes()
    assert b"_load_from_bytes" in path.read_bytes()
    with (
        their_names(),
        pytest.raises(AssertionError, match="own reader was called"),
        path.open("rb") as file,
    ):
        pickle.load(file)  # noqa: S301 - our own file
    assert isinstance(EasyDict(a=1), dict)
