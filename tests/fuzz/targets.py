"""The readers of foreign files as targets: any bytes give what the reader promises,
or its own refusal, and nothing else happens.

A reader has several doors, chosen by the first byte of an input: the whole file as it comes, or a
part of one inside a sound rest, so that checksums and archives around it do not stop every
mutation. Nothing here needs atheris: tests/security/test_fuzz_findings.py replays kept inputs
through the
same functions.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from fuzz import base
from fuzz.watch import Finding, refused, watched
from PIL import Image

from genbench._util import checksummed_files, hashing
from genbench._util.checksummed_files import Damaged
from genbench._util.errors import UserError
from genbench.data import image_folder, prompts
from genbench.data.user_datasets import open_images
from genbench.gate import config
from genbench.human import csv_formats, study_kinds
from genbench.io import image_decoding
from genbench.io.checkpoints import load_tensors
from genbench.io.nvidia_pickles import load_network
from genbench.io.reference_statistics import read_statistics
from genbench.runs.planning import suite
from genbench.runs.records import find, record

# the program's limits, lowered so that an input of some kB reaches them; what one may take follows
# from them (watch.MEMORY)
SMALLER = {
    "genbench.io.nvidia_pickles.LARGEST_VIEW": 2**24,
    "genbench.io.checkpoints.LARGEST_VIEW": 2**24,
    "genbench.io.image_decoding.LARGEST": 2**20,
    "genbench.data.image_array.LARGEST": 2**20,
    "genbench.data.image_array.LARGEST_UNPACKED": 2**24,
    "genbench.data.image_folder.LARGEST_FILE": 2**22,
    "genbench.data.image_folder.LARGEST_LISTING": 2**22,
    "genbench.io.idx.LARGEST": 2**24,
    "genbench.io.reference_statistics.WIDEST": 2**7,
}


@dataclass(frozen=True)
class Door:
    """One way in: how a payload becomes a file, and what reads it and looks at the result
    (AssertionError: a broken promise).
    """

    name: str
    put: Callable[[bytes, Path], Path]
    read: Callable[[Path], None]
    refusals: tuple[type[Exception], ...] = (UserError,)
    policy: str = "error"  # of --on-bad-image


def as_it_is(name: str) -> Callable[[bytes, Path], Path]:
    """The payload is the file."""

    def put(payload: bytes, folder: Path) -> Path:
        (folder / name).write_bytes(payload)
        return folder / name

    return put


def within(name: str, made: Callable[[bytes], bytes]) -> Callable[[bytes, Path], Path]:
    """The payload is a part of the file."""

    def put(payload: bytes, folder: Path) -> Path:
        (folder / name).write_bytes(made(payload))
        return folder / name

    return put


def zipped(members: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


# Pickles


def _network(path: Path) -> None:
    found = load_network(path)
    assert isinstance(found.kind, str)
    assert isinstance(found.settings, dict)
    _plain(found.settings)
    _tensors(found.tensors, path.stat().st_size, 2)


def _plain(value: Any) -> None:
    left = [value]
    while left:
        one = left.pop()
        assert one is None or type(one) in (bool, int, float, str, list, dict), type(one)
        left += list(one.values()) if type(one) is dict else one if type(one) is list else []


def _weights(path: Path) -> None:
    _tensors(load_tensors(path), path.stat().st_size, 2)


def _tensors(found: Any, size: int, times: int) -> None:
    """Plain tensors on the CPU, all of whose numbers can be read,
    and no more of them than the limit says.
    """
    assert type(found) is dict
    total = 0
    for name, tensor in found.items():
        assert type(name) is str
        assert isinstance(tensor, torch.Tensor)
        assert (tensor.device.type, tensor.layout) == ("cpu", torch.strided)
        total += tensor.numel() * tensor.element_size()
        assert total <= times * size + SMALLER["genbench.io.nvidia_pickles.LARGEST_VIEW"], total
        tensor.clone(memory_format=torch.contiguous_format)
        if tensor.is_floating_point():
            tensor.double().sum().item()


def _archive(tree: bytes, **more: bytes) -> bytes:
    members = {
        "archive/data.pkl": tree,
        "archive/byteorder": b"little",
        "archive/version": b"3\n",
        **more,
    }
    return zipped(
        {
            **members,
            "archive/data/0": bytes(range(24)),
            "archive/data/1": bytes(range(16)),
            "archive/data/2": bytes(24),
        }
    )


def _script(tree: bytes) -> bytes:
    return _archive(
        tree, **{"archive/code/__torch__.py": b"import os\nos.system('touch owned.ed')\n"}
    )


# npz, idx


def _statistics(path: Path) -> None:
    found = read_statistics(path)
    assert "pool" in found
    for one in found.values():
        d = len(one.mean)
        assert one.mean.shape == (d,)
        assert one.scatter.shape == (d, d)
        assert one.mean.dtype == one.scatter.dtype == np.float64
        assert np.isfinite(one.mean).all()
        assert np.isfinite(one.scatter).all()


def _images(path: Path) -> None:
    """As a data set reads them: all in order, then one by one; both ways the same."""
    image_folder._once.cache_clear()
    found = open_images(path)
    n, (h, w) = len(found), (found.height, found.width)
    assert min(n, h, w) > 0
    labels = found.labels.at(0, n)
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    assert 0 <= labels.min() <= labels.max() < len(found.labels.classes)
    count, first = 0, None
    for batch in found.batches():
        assert batch.dtype == torch.uint8
        assert tuple(batch.shape[1:]) == (3, h, w)
        first = batch[:1] if first is None else first
        count += len(batch)
    assert count == n
    assert first is not None
    assert torch.equal(found.read([0]), first)
    assert len(found.read([n - 1])) == 1


def _member(key: str, how: int = zipfile.ZIP_STORED) -> Callable[[bytes, Path], Path]:
    """The payload is an array's file within an npz whose other arrays are sound."""
    return within("f.npz", lambda payload: zipped({**base.npy(), f"{key}.npy": payload}, how))


def _idx_labels(payload: bytes, folder: Path) -> Path:
    (folder / "a-labels-idx1-ubyte").write_bytes(payload)
    return as_it_is("a-images-idx3-ubyte")(base.idx_images(), folder)


def _idx_packed(payload: bytes) -> bytes:
    return zlib.compress(payload, wbits=31)


# safetensors


def _arrays(path: Path) -> None:
    arrays, meta = checksummed_files.read_arrays(path)
    assert all(type(key) is str for key in (*arrays, *meta))
    assert sum(one.nbytes for one in arrays.values()) <= path.stat().st_size
    hashing.digest(meta)


def _headed(payload: bytes) -> bytes:
    """The payload is the JSON of the header, before 64 bytes of data."""
    return struct.pack("<Q", len(payload)) + payload + bytes(range(64))


def _described(payload: bytes) -> bytes:
    """The payload is what a file of ours says of itself."""
    said = json.dumps(
        {
            "__metadata__": {"genbench": payload.decode("utf-8", "replace")},
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        }
    ).encode()
    return struct.pack("<Q", len(said)) + said + bytes(8)


# Zips


def _parts(payload: bytes) -> bytes:
    """A zip with sound checksums: the payload is names and contents in turn,
    each followed by base.APART.
    """
    words = payload.split(base.APART)
    out = io.BytesIO()
    with contextlib.suppress(UserWarning), zipfile.ZipFile(out, "w") as made:
        for name, content in zip(words[::2], words[1::2], strict=False):
            info = zipfile.ZipInfo("a")
            # as no writer would: nothing is cut at a zero
            info.filename = name.decode("utf-8", "replace")[:1000]
            with contextlib.suppress(ValueError, UserWarning):
                made.writestr(
                    info,
                    content,
                    zipfile.ZIP_DEFLATED if name.endswith(b"ppm") else zipfile.ZIP_STORED,
                )
    return out.getvalue()


def _listed(payload: bytes) -> bytes:
    return zipped({"dataset.json": payload, "a/1.png": base.png(1), "b/2.png": base.png(2)})


# Images


def _picture(path: Path) -> None:
    """From its bytes and from its path the same: pixels, or a line."""
    with image_decoding.heeded():
        ours = [
            image_decoding.decoded(path.name, path.read_bytes()),
            image_decoding.decoded(path.name, str(path)),
        ]
    for found in ours:
        if isinstance(found, str):
            assert found
            assert found.isprintable()
        else:
            assert found.dtype == np.uint8
            assert found.ndim == 3
            assert found.shape[2] == 3
            assert (
                0 < found.shape[0] * found.shape[1] <= SMALLER["genbench.io.image_decoding.LARGEST"]
            )
            int(found.sum())
    if not any(isinstance(found, str) for found in ours):
        assert np.array_equal(*ours)
    assert isinstance(ours[0], str) == isinstance(ours[1], str), "bytes and path differ"
    if isinstance(ours[0], str):
        raise UserError(ours[0])


def _summed(payload: bytes) -> bytes:
    """A PNG with the checksums that its chunks ought to have."""
    out, at = [payload[:8]], 8
    while at + 12 <= len(payload):
        length = int.from_bytes(payload[at : at + 4], "big")
        body = payload[at + 4 : at + 8 + length]
        out.append(payload[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big"))
        at += 12 + length
    return b"".join(out)


# Records, gates, lists


def _json(path: Path) -> None:
    content = checksummed_files.read_json(path)
    assert type(content) is dict
    assert json.loads(path.read_bytes())["digest"] == hashing.digest(content)


def _record(path: Path) -> None:
    found = find.find(str(path), path.parent)
    assert record.lacking(found) == ""
    assert record.plan_of(found).n > 0
    again = record.from_json(json.loads(json.dumps(found.to_json())), "again")
    assert hashing.digest(again.to_json()) == hashing.digest(found.to_json())
    record.content_of(found)


def _sealed(payload: bytes) -> bytes:
    """The payload is JSON, with the checksum that it ought to have."""
    try:
        content = json.loads(payload)
        content.pop("digest", None)
        return json.dumps({**content, "digest": hashing.digest(content)}).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        return payload


def _patched(payload: bytes) -> bytes:
    """The payload is JSON that is laid over a sound record (RFC 7386)."""
    try:
        return _sealed(json.dumps(_merged(base.record(), json.loads(payload), 0)).encode())
    except (ValueError, RecursionError):
        return payload


def _merged(below: Any, above: Any, depth: int) -> Any:
    if not isinstance(above, dict) or depth > 20:
        return above
    found = dict(below) if isinstance(below, dict) else {}
    for key, value in above.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value, depth + 1)
    return found


def _gate(path: Path) -> None:
    found = config.read(path)
    assert 0 < found.alpha < 0.5
    assert 1 <= found.looks <= config.LOOKS
    assert all(0 <= one < 100 for one in (found.margin, found.margin_share, found.margin_kernel))
    assert all(one.level in config.LEVELS for one in (*found.rules, *found.costs))
    assert {found.inconclusive, found.if_missing} <= {"fail", "warn", "pass"}


def _questions(path: Path) -> None:
    for one in study_kinds.questions_of(study_kinds.KINDS["rating"], path):
        assert 0 < len(one.text) <= study_kinds.LONGEST
        assert (one.text + one.name).isprintable()
        assert one.points in study_kinds.POINTS


def _suite(path: Path) -> None:
    found = suite.read(path)
    assert found
    assert all(set(one) <= set(suite.KEYS) and type(one["plugin"]) is str for one in found)


def _prompts(path: Path) -> None:
    found = prompts.read(path)
    assert found
    assert all(
        type(one) is str and len(one) <= prompts.LONGEST and "\0" not in one for one in found
    )


def _ratings(path: Path) -> None:
    for one in csv_formats.summaries(path):
        assert one.rater
        assert one.model
        assert (one.rater + one.model).isprintable()
        assert 0 <= one.wrong_fakes <= one.fakes
        assert 0 <= one.wrong_reals <= one.reals


READERS: dict[str, tuple[Door, ...]] = {
    "pickles": (
        Door("NVIDIA's file", as_it_is("f.pkl"), _network),
        Door("a state dict's file", as_it_is("f.pt"), _weights),
        Door("the pickle in torch's zip", within("f.pt", _archive), _weights),
        Door("the pickle in a TorchScript archive", within("f.pt", _script), _weights),
        Door("a storage in NVIDIA's file", within("f.pkl", base.embedding), _network),
    ),
    "npz": (
        Door("statistics", as_it_is("f.npz"), _statistics),
        Door("images", as_it_is("f.npz"), _images),
        Door("mu's array", _member("mu"), _statistics),
        Door("sigma's array", _member("sigma", zipfile.ZIP_DEFLATED), _statistics),
        Door("the images' array", _member("arr_0"), _images),
        Door("the images' array, compressed", _member("arr_0", zipfile.ZIP_DEFLATED), _images),
        Door("the labels' array", _member("arr_1"), _images),
        Door("idx images", as_it_is("a-images-idx3-ubyte"), _images),
        Door("idx labels", _idx_labels, _images),
        Door("idx images in a sound gzip", within("a-images-idx3-ubyte.gz", _idx_packed), _images),
        Door("idx images, gzip", as_it_is("a-images-idx3-ubyte.gz"), _images),
    ),
    "safetensors": (
        Door("weights", as_it_is("f.safetensors"), _weights),
        Door("a file of ours", as_it_is("f.safetensors"), _arrays, (Damaged,)),
        Door("a header", within("f.safetensors", _headed), _weights),
        Door("a header of ours", within("f.safetensors", _headed), _arrays, (Damaged,)),
        Door("what a file of ours says", within("f.safetensors", _described), _arrays, (Damaged,)),
    ),
    "zip": (
        Door("pictures", as_it_is("f.zip"), _images),
        Door("pictures, skipping", as_it_is("f.zip"), _images, policy="skip"),
        Door("members", within("f.zip", _parts), _images),
        Door("members, skipping", within("f.zip", _parts), _images, policy="skip"),
        Door("dataset.json", within("f.zip", _listed), _images),
        Door("weights", as_it_is("f.pt"), _weights),
        Door("weights' members", within("f.pt", _parts), _weights),
    ),
    "images": (
        *(Door(ending, as_it_is(f"f.{ending}"), _picture) for ending in image_decoding.ENDINGS),
        Door("png with sound checksums", within("f.png", _summed), _picture),
    ),
    "records": (
        Door("a sealed file", as_it_is("run.json"), _json, (Damaged,)),
        Door("a record", as_it_is("run.json"), _record),
        Door("a record's content, sealed", within("run.json", _sealed), _record),
        Door("changes to a sound record", within("run.json", _patched), _record),
        Door("a gate", as_it_is("gate.toml"), _gate),
        Door("questions", as_it_is("questions.toml"), _questions),
        Door("a suite", as_it_is("suite.toml"), _suite),
        *(
            Door(f"prompts, {ending}", as_it_is(f"prompts{ending}"), _prompts)
            for ending in prompts.READERS
        ),
        Door("ratings", as_it_is("ratings.csv"), _ratings),
    ),
}


def warm(reader: str, folder: Path) -> None:
    """Import what is imported when it is needed, which runs code and may read anywhere:
    every seed once, unwatched, and Pillow's whole list of formats.
    """
    Image.init()
    repr(torch.zeros(1))  # as in a message that shows what a weight is
    for data in seeds(reader):
        with contextlib.suppress(Finding):
            look(reader, data, folder, watch=contextlib.nullcontext)


def look(reader: str, data: bytes, folder: Path, watch: Any = watched) -> bool:
    """Put one input through its door; whether it was read (else: refused).

    Finding, saying the door, where the contract is broken.
    """
    doors = READERS[reader]
    door = doors[data[0] % len(doors)] if data else doors[0]
    os.environ[image_decoding.VARIABLE] = door.policy
    path = door.put(data[1:], folder)
    try:
        with watch(folder):
            try:
                door.read(path)
            except door.refusals as error:
                refused(error)
                return False
        return True
    except Finding as error:
        raise Finding(f"{door.name}: {error}") from error
    except Exception as error:
        raise Finding(f"{door.name}: {type(error).__name__} {error}"[:400]) from error
    finally:
        for left in folder.iterdir():
            left.unlink()


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A folder in memory to read in, the limits SMALLER, and nothing said meanwhile."""
    quiet = {"GENBENCH_QUIET": "1", "GENBENCH_WORKERS": "0"}
    with contextlib.ExitStack() as stack:
        place = Path("/dev/shm")  # noqa: S108 - memory, where there is
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=place if place.is_dir() else None))
        )
        stack.enter_context(
            mock.patch.dict(
                os.environ,
                {**quiet, "GENBENCH_HOME": str(folder / "home"), image_decoding.VARIABLE: "error"},
            )
        )
        for name, value in SMALLER.items():
            stack.enter_context(mock.patch(name, value))
        stack.enter_context(contextlib.chdir(folder))
        yield folder


@cache
def seeds(reader: str) -> list[bytes]:
    """Valid inputs, made by the program's own writers: at least one for each door."""
    return [
        bytes([place]) + payload
        for place, door in enumerate(READERS[reader])
        for payload in base.SEEDS[reader](door.name)
    ]
