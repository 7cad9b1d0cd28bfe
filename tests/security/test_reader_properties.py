"""Sound files of every format, spoilt: cut, flipped, spliced, with numbers and headers that lie;
through the fuzzers' targets, so that the promises are theirs.

What hypothesis draws is the same in every run: it looks for what a change has broken, and
tests/fuzz for what nobody thought of.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import io
import json
import pickle
import struct
import zipfile

import pytest
from fuzz import base, targets
from helpers.places import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genbench._util.errors import UserError
from genbench.gate import config, judge
from genbench.leaderboards import export_results, tables
from genbench.runs.records import record

LIES = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**53 + 1,
    2**63 - 1,
    2**64 - 1,
]


def drawn(examples):
    """So many examples, always the same."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def room():
    """Where inputs are read; whatever is imported when it is needed is there already."""
    with targets.room() as folder:
        for reader in targets.READERS:
            targets.warm(reader, folder)
        yield folder


def at(reader, door, payload):
    """The payload before a door, by its name."""
    return bytes([[one.name for one in targets.READERS[reader]].index(door)]) + payload


# Any sound file, spoilt anywhere


def _cut(data, place, _number, _other):
    return data[:place]


def _flipped(data, place, number, _other):
    return data[:place] + bytes([data[place] ^ (1 << number % 8)]) + data[place + 1 :]


def _spliced(data, place, number, other):
    return data[:place] + other[number % (len(other) + 1) :]


def _repeated(data, place, number, _other):
    return data[:place] + data[max(0, place - number % 64) : place] * 3 + data[place:]


def _lied(data, place, number, _other):
    """A number of 1 to 8 bytes in place of what stands there."""
    width, order = 1 << number % 4, "little" if number % 8 < 4 else "big"
    return (
        data[:place]
        + (LIES[number % len(LIES)] % 256**width).to_bytes(width, order)
        + data[place + width :]
    )


SPOILING = (_cut, _flipped, _spliced, _repeated, _lied)


@pytest.mark.parametrize("reader", targets.READERS)
def test_a_spoilt_file_is_read_or_refused(reader, room):
    """One to four faults in a sound file, and in a sound part of one behind checksums that hold."""
    sound = targets.seeds(reader)
    fault = st.tuples(
        st.sampled_from(SPOILING),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 2**16),
        st.sampled_from(sound),
    )
    seen = set()

    @drawn(120)
    @given(st.sampled_from(sound), st.lists(fault, min_size=1, max_size=4))
    def spoil(data, faults):
        door, data = data[:1], data[1:]
        for how, place, number, other in faults:
            data = how(data, int(place * len(data)), number, other[1:]) if data else data
        seen.add(targets.look(reader, door + data, room))

    spoil()
    assert seen == {True, False}


# Headers that lie

SIZES = st.one_of(
    st.integers(-2, 9), st.sampled_from([-(2**63), 2**31, 2**32, 2**62, 2**64, 10**30])
)
DTYPES = st.sampled_from(
    [
        "<f8",
        ">f4",
        "|u1",
        "<f2",
        "<i8",
        "|b1",
        "|O",
        "<M8[s]",
        "<U3",
        "|S0",
        "|V9",
        "<c16",
        [("a", "<f8")],
        [],
        "x",
        None,
        7,
        "i4,(2,2)f8",
    ]
)


@drawn(120)
@given(
    st.sampled_from(["mu's array", "sigma's array", "the images' array", "the labels' array"]),
    st.lists(SIZES, max_size=5),
    DTYPES,
    st.booleans(),
    st.binary(max_size=64),
)
def test_an_array_that_says_it_is_another_is_read_or_refused(
    room, door, shape, dtype, columns, data
):
    """Shape and type of an array's header are anything, and its bytes are others."""
    said = (
        f"{{'descr': {dtype!r}, 'fortran_order': {columns}, 'shape': {tuple(shape)!r}, }}\n"
    ).encode()
    targets.look(
        "npz",
        at("npz", door, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + data),
        room,
    )


@drawn(80)
@given(
    st.lists(SIZES.filter(lambda one: 0 <= one < 2**32), min_size=3, max_size=3),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=64),
)
def test_idx_files_that_lie_are_read_or_refused(room, shape, kind, rank, data):
    """Count, height, width, type and rank are anything."""
    for door, sizes in (
        ("idx images", shape),
        ("idx images in a sound gzip", shape),
        ("idx labels", shape[:1]),
    ):
        for head in (bytes([0, 0, 8, len(sizes)]), bytes([0, 0, kind, rank])):
            targets.look(
                "npz", at("npz", door, head + struct.pack(f">{len(sizes)}I", *sizes) + data), room
            )


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            ["F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "X", 3]
        ),
        "shape": st.lists(SIZES, max_size=3),
    },
    optional={
        "data_offsets": st.lists(st.one_of(SIZES, st.integers(0, 64)), min_size=1, max_size=3)
    },
)


@drawn(120)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__", ""]),
        st.one_of(ENTRY, st.dictionaries(st.text(max_size=3), st.text(max_size=3))),
    )
)
def test_a_safetensors_header_of_anything_is_read_or_refused(room, header):
    """Types, shapes and offsets that do not fit one another or the data."""
    for door in ("a header", "a header of ours"):
        targets.look("safetensors", at("safetensors", door, json.dumps(header).encode()), room)


@drawn(80)
@given(SIZES, SIZES, st.integers(0, 255), st.integers(0, 255))
def test_a_picture_that_says_it_is_larger_is_read_or_refused(room, width, height, depth, colours):
    """The header of a PNG with sound checksums, of a PPM and of a BMP."""
    size = struct.pack(">II", width % 2**32, height % 2**32)
    png = base.png(1)
    targets.look(
        "images",
        at(
            "images",
            "png with sound checksums",
            png[:16] + size + bytes([depth, colours]) + png[26:],
        ),
        room,
    )
    targets.look(
        "images",
        at("images", "ppm", f"P{depth % 10} {width} {height} {colours}\n".encode() + bytes(64)),
        room,
    )
    bmp = next(data for data in targets.seeds("images") if data[1:3] == b"BM")
    targets.look(
        "images",
        bmp[:19] + size[3::-1] + size[:3:-1] + bmp[27:29] + bytes([depth]) + bmp[30:],
        room,
    )


@drawn(60)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=8),
            st.sampled_from([".png", ".ppm", ".PNG", ".gif", "/", "", "\0.png"]),
            st.binary(max_size=20),
        ),
        max_size=4,
    )
)
def test_names_in_a_zip_are_anything(room, members):
    """Twice the same, with zeros, drives, points and slashes, and hidden ones;
    beside a sound picture.
    """
    words = [
        b"a/1.png",
        base.png(1),
        *(
            word
            for name, ending, content in members
            for word in ((name + ending).encode("utf-8", "replace"), content)
        ),
    ]
    for door in ("members", "members, skipping"):
        targets.look("zip", at("zip", door, base.APART.join(words)), room)


@drawn(80)
@given(
    st.sampled_from(
        [
            "file_size",
            "compress_size",
            "header_offset",
            "CRC",
            "flag_bits",
            "compress_type",
            "create_version",
        ]
    ),
    st.sampled_from(LIES),
)
def test_a_list_of_members_that_lies_is_read_or_refused(room, key, number):
    """The list at the end of an archive says another size, place,
    checksum or packing than the member has.
    """
    for reader, door, name in (
        ("zip", "pictures", "a/1.png"),
        ("zip", "weights", "f/data.pkl"),
        ("npz", "images", "arr_0.npy"),
    ):
        sound = next(
            data[1:] for data in targets.seeds(reader) if data[0] == at(reader, door, b"")[0]
        )
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(sound)) as before, zipfile.ZipFile(out, "w") as after:
            for info in before.infolist():
                after.writestr(info.filename, before.read(info))
            lie = number % (
                2**16
                if key in ("flag_bits", "compress_type", "create_version")
                else 2**32
                if key == "CRC"
                else 2**64
            )
            after.getinfo(name).__setattr__(key, lie % 256 if key == "create_version" else lie)
        targets.look(reader, at(reader, door, out.getvalue()), room)


NESTED = {
    "json": ("records", "a record", lambda n: b"[" * n),
    "sound json": (
        "records",
        "a record",
        lambda n: b'{"schema": 1, "plan": ' + b'{"a": ' * n + b"1" + b"}" * n + b"}",
    ),
    "toml": ("records", "a gate", lambda n: b"a = " + b"[" * n + b"]" * n),
    "toml's tables": ("records", "a suite", lambda n: b"a" + b".a" * n + b" = 1"),
    "questions": ("records", "questions", lambda n: b"question = " + b"[" * n + b"]" * n),
    "prompts": (
        "records",
        "prompts, .jsonl",
        lambda n: b'{"prompt": ' + b"[" * n + b"]" * n + b"}",
    ),
    "labels": ("zip", "dataset.json", lambda n: b'{"labels": ' + b"[" * n + b"]" * n + b"}"),
    "safetensors": ("safetensors", "what a file of ours says", lambda n: b"[" * n),
    "lists in a pickle": (
        "pickles",
        "NVIDIA's file",
        lambda n: b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b".",
    ),
    "tuples in a pickle": (
        "pickles",
        "the pickle in torch's zip",
        lambda n: b"\x80\x02)" + b"\x85" * n + b".",
    ),
    "marks in a pickle": (
        "pickles",
        "a state dict's file",
        lambda n: b"\x80\x02" + b"(" * n + b"t" * n + b".",
    ),
    "an array's header": (
        "npz",
        "mu's array",
        lambda n: b"\x93NUMPY\x01\x00" + struct.pack("<H", min(2 * n, 65535)) + b"[" * n + b"]" * n,
    ),
}


@pytest.mark.parametrize(("reader", "door", "made"), NESTED.values(), ids=NESTED)
def test_nothing_is_nested_too_deep(reader, door, made, room):
    """A few levels to a hundred thousand: refused in a line, and no stack overflows."""
    for levels in (1, 50, 900, 5000, 100_000):
        targets.look(reader, at(reader, door, made(levels)), room)


LEAF = st.one_of(
    st.none(),
    st.booleans(),
    SIZES,
    st.just(0.5),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 3), max_size=2),
)
ENTRIES = ROOT / "leaderboards/digits/entries"
SOUND = next(
    content
    for path in sorted(ENTRIES.glob("*.json"))
    if (content := json.loads(path.read_text()))["plan"]["label"] == "ddpm"
)


def _places(value, before=()):
    """The paths of everything in plain data, of lists the first two items."""
    yield before
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value[:2])):
            yield from _places(inner, (*before, key))


@drawn(60)
@given(st.sampled_from([place for place in _places(SOUND) if place]), LEAF)
def test_a_record_of_which_a_value_is_another_is_refused_or_serves(place, value):
    """Any one value of a sound record is another's: what is read as a record can be shown,
    exported and judged, or says in a line why not.
    """
    content = copy.deepcopy(SOUND)
    one = content
    for key in place[:-1]:
        one = one[key]
    one[place[-1]] = value
    sound = record.from_json({key: one for key, one in SOUND.items() if key != "digest"}, "sound")
    with contextlib.suppress(UserError):
        found = record.from_json(
            {key: one for key, one in content.items() if key != "digest"}, "changed"
        )
        if not record.lacking(found):
            tables.result(found, ENTRIES / "none")
            export_results.results_of(found)[0].notes()
            for pair in ((found, sound), (sound, found)):
                with contextlib.suppress(UserError):
                    judge.check(
                        pair[0], {"previous": pair[1]}, config.Gate(), datetime.date(2026, 1, 1)
                    )


NAMES = [
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "os system",
    "numpy dtype",
    "builtins set",
    "torch FloatStorage",
    "argparse Namespace",
]
OPCODES = st.one_of(
    st.sampled_from([f"c{name.replace(' ', chr(10))}\n".encode() for name in NAMES]),
    st.sampled_from(
        [
            bytes([code])
            for code in b"0().]}abeltusNRQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x95"
        ]
    ),
    st.sampled_from(
        [pickle.dumps(word, 2)[2:-1] for word in ("a", "storage", "cpu", "0", 6, 2**40)]
    ),
    st.integers(0, 255).map(lambda n: b"K" + bytes([n])),
    st.integers(0, 9).map(lambda n: b"h" + bytes([n])),
)


@drawn(150)
@given(st.lists(OPCODES, max_size=30))
def test_a_pickle_of_any_instructions_is_read_or_refused(room, codes):
    """Any program of the unpickler's machine, in each container."""
    for door in (
        "NVIDIA's file",
        "the pickle in torch's zip",
        "the pickle in a TorchScript archive",
        "a storage in NVIDIA's file",
    ):
        targets.look("pickles", at("pickles", door, b"\x80\x04" + b"".join(codes) + b"."), room)
