"""Sound files, made by the program's own writers and those of the codes whose files it reads:
what the fuzzers begin with, and what parts are put into.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import struct
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.hostile_files import Evil, legacy
from helpers.nvidia_files import write_pickle
from PIL import Image
from safetensors.torch import save

from genbench._util import checksummed_files, hashing
from genbench.io import npz, zip_stream
from genbench.io.reference_statistics import write_statistics
from genbench.statistics.moments import Moments

APART = b"\xff\xfe\xfd"  # between the names and contents of a zip's members


def written(name: str, write: Callable[[Path], Any]) -> bytes:
    """What a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


# Pickles


class Inner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer("noise", torch.arange(4).half())
        self.register_parameter("bias", None)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.ModuleDict({"b4": Inner()})


class Scripted(torch.jit.ScriptModule):
    """Its code is given as text, since a function's names the file that it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0))
        self.sizes = torch.jit.Attribute([1, 2], list[int])
        self.define("def forward(self, x: Tensor) -> Tensor:\n    return x * self.weight\n")


SETTINGS = {"z_dim": 4, "mapping_kwargs": {"lr": 0.01}, "filter": [1, 3], "clamp": None}
PLACEHOLDER = b"0123456789abcdef" * 4


@cache
def _around_a_storage() -> tuple[bytes, bytes]:
    """NVIDIA's file with a tensor, cut where the bytes of its storage stand."""
    content = Evil(torch.storage._load_from_bytes, PLACEHOLDER)
    net = Net()
    net._planted = Evil(torch._utils._rebuild_tensor_v2, content, 0, (2,), (1,), False, {})
    whole = written("f.pkl", lambda path: write_pickle(path, net, {}, protocol=3))
    before, _, after = whole.partition(b"C" + bytes([len(PLACEHOLDER)]) + PLACEHOLDER)
    return before, after


def embedding(payload: bytes) -> bytes:
    """NVIDIA's file in which these are the bytes of a storage."""
    before, after = _around_a_storage()
    return before + b"B" + struct.pack("<I", len(payload)) + payload + after


def _state(more: Any = None) -> dict[str, Any]:
    made = {"state_dict": OrderedDict(a=torch.arange(6.0), b=torch.arange(2)), "step": 3}
    return {**made, "args": more} if more is not None else made


def _saved(content: Any) -> bytes:
    return written("f.pt", lambda path: torch.save(content, path))


def _tree(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("/data.pkl")))


@cache
def scripted() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return written("f.pt", lambda path: torch.jit.save(Scripted(), path))


def pickles(door: str) -> list[bytes]:
    if door == "NVIDIA's file":
        return [
            written(
                "f.pkl",
                lambda path, p=p: write_pickle(path, Net(), SETTINGS, protocol=p, seen={1, 2}),
            )
            for p in (3, 4)
        ]
    if door == "a state dict's file":
        return [
            legacy(_state()),
            _saved({"a": torch.ones(2, dtype=torch.bfloat16)}),
            pickle.dumps({"a": 1}, 4),
            legacy(_state(np.float64(1))),
        ]
    if door == "the pickle in torch's zip":
        bag = argparse.Namespace(lr=np.float64(0.1), betas=[0.9, 0.99])
        return [
            _tree(_saved(_state())),
            _tree(_saved([_state(), {"k": torch.nn.Parameter(torch.ones(6))}])),
            _tree(_saved(_state(bag))),
        ]
    if door == "the pickle in a TorchScript archive":
        return [_tree(scripted())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of typed storages, which are what these files have
        return [legacy(torch.arange(2.0).storage()), legacy(torch.arange(2).half().storage())]


# npz, idx


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


@cache
def npy() -> dict[str, bytes]:
    """The arrays of a statistics file that holds images too."""
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3)
    arrays = {"mu": np.arange(2.0), "sigma": np.eye(2), "arr_0": pixels, "arr_1": np.arange(3) % 2}
    return {f"{key}.npy": _npy(array) for key, array in arrays.items()}


def idx_images() -> bytes:
    return struct.pack(">BBBBIII", 0, 0, 8, 3, 3, 2, 2) + bytes(range(12))


def arrays(door: str) -> list[bytes]:
    if door == "statistics":
        one = Moments(2, np.arange(2.0), np.eye(2))
        pixels = np.arange(36, dtype=np.uint8).reshape(3, 3, 2, 2)
        forms = {"mu-sigma": {}, "adm": {"spatial": one, "images": pixels}}
        return [
            written(
                "f.npz",
                lambda path, form=form, more=more: write_statistics(path, form, one, **more),
            )
            for form, more in forms.items()
        ]
    if door == "images":
        pixels = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3)
        return [
            npz.packed({"arr_0": pixels, "arr_1": np.arange(3) % 2}),
            written(
                "f.npz",
                lambda path: np.savez_compressed(
                    path, images=pixels[..., :1], labels=np.arange(3, dtype=np.int32)
                ),
            ),
        ]
    if door.startswith("idx labels"):
        return [struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([0, 1, 2])]
    if door.startswith("idx"):
        return (
            [written("f.gz", lambda path: _gzip(path, idx_images()))]
            if door.endswith("gzip") and "sound" not in door
            else [idx_images()]
        )
    key = {"mu's": "mu", "sigma's": "sigma", "the images'": "arr_0", "the labels'": "arr_1"}[
        door.partition(" array")[0]
    ]
    found = [npy()[f"{key}.npy"]]
    return [*found, _npy(np.eye(2, dtype=">f4").T)] if key == "sigma" else found


def _gzip(path: Path, content: bytes) -> None:
    import gzip

    path.write_bytes(gzip.compress(content, mtime=0))


# safetensors


def tensors(door: str) -> list[bytes]:
    ours = written(
        "f.safetensors",
        lambda path: checksummed_files.write_arrays(
            path, {"a": np.arange(6.0), "b": np.arange(4, dtype=np.uint8)}, {"what": "features"}
        ),
    )
    theirs = save(
        {
            "a": torch.arange(6.0),
            "b": torch.ones(2, 2, dtype=torch.float16),
            "c": torch.tensor([True]),
        },
        {"format": "pt"},
    )
    if door in ("weights", "a file of ours"):
        return [ours, theirs]
    if door == "what a file of ours says":
        return [
            json.dumps(
                {
                    "what": "features",
                    "sha256": checksummed_files._arrays_sha256(
                        {"a": np.zeros(2, np.float32)}, {"what": "features"}
                    ),
                }
            ).encode()
        ]
    if door == "a header of ours":
        header = ours[8 : 8 + int.from_bytes(ours[:8], "little")].decode()
        data = np.frombuffer(bytes(range(64)), np.float32).copy()
        said = {
            "what": "features",
            "sha256": checksummed_files._arrays_sha256({"a": data}, {"what": "features"}),
        }
        return [
            header.encode(),
            json.dumps(
                {
                    "__metadata__": {"genbench": json.dumps(said)},
                    "a": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]},
                }
            ).encode(),
        ]
    one = {
        "a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
        "b": {"dtype": "I64", "shape": [2, 2], "data_offsets": [32, 64]},
    }
    return [
        json.dumps(one).encode(),
        json.dumps({**one, "__metadata__": {"format": "pt"}}).encode(),
    ]


# Zips and pictures


def png(shade: int, side: int = 3) -> bytes:
    return _pixels("PNG", np.full((side, side, 3), shade, dtype=np.uint8))


def _pixels(form: str, pixels: Any, **more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **more)
    return out.getvalue()


def zips(door: str) -> list[bytes]:
    ppm = b"P6 3 3 255\n" + bytes(range(27))
    pictures = {
        "a/1.png": png(1),
        "a/2.ppm": ppm,
        "b/3.png": png(3),
        "dataset.json": b'{"labels": [["a/1.png", 0], ["a/2.ppm", 1], ["b/3.png", 1]]}',
    }
    parts = APART.join(
        word for name, content in pictures.items() for word in (name.encode(), content)
    )
    if door.startswith("pictures"):
        return [
            b"".join(zip_stream.zipped((name, [content]) for name, content in pictures.items())),
            written("f.zip", lambda path: _deflated(path, pictures)),
        ]
    if door == "weights":
        return [_saved(_state()), scripted()]
    if door == "weights' members":
        found = []
        for archive in (_saved(_state()), scripted()):
            with zipfile.ZipFile(io.BytesIO(archive)) as file:
                found.append(
                    APART.join(
                        word
                        for name in file.namelist()
                        for word in (name.encode(), file.read(name))
                    )
                )
        return found
    if door == "dataset.json":
        return [
            b'{"labels": [["a/1.png", 0], ["b/2.png", 1]], "classes": ["x", "y"]}',
            b'{"labels": {"a/1.png": 0, "b\\\\2.png": 1}}',
            b'{"labels": null}',
        ]
    return [parts]


def _deflated(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def images(door: str) -> list[bytes]:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    form = {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm"}.get(door, door.partition(" ")[0]).upper()
    found = [_pixels(form, pixels), _pixels(form, pixels[..., 0])]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    if form in ("JPEG", "PNG", "WEBP", "TIFF"):
        found.append(_pixels(form, pixels, exif=exif))
    if form == "TIFF":
        found += [
            _pixels(form, pixels, compression=how)
            for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ]
    if form == "PNG":
        found += [
            _pixels(form, pixels.astype(np.uint8)[..., 0] > 9),
            _pixels(form, pixels[..., 0], transparency=3),
        ]
    if form == "PPM":
        found += [b"P2 2 1 255\n1 2\n", b"P5 # c\n1 1\n255\n\1", b"Pf 1 1 -1.0\n\0\0\0\0"]
    return found


# Records, gates, lists


def record() -> dict[str, Any]:
    """A record that lacks nothing."""
    score = {
        "protocol": "digits",
        "metric": "fd_digits",
        "value": 1.5,
        "se": 0.1,
        "low": 1.3,
        "high": 1.7,
        "n": 40,
        "real": 0.1,
        "real_high": 0.2,
    }
    ruled = {
        "dataset": "digits",
        "n": 40,
        "labels": "",
        "fits": True,
        "splits": {},
        "real": {},
        "extractors": {},
        "measures": [{"name": "fd_digits", "metric": "fd"}],
    }
    plan = {
        "label": "noise",
        "competitor": True,
        "quantise": "round",
        "protocols": {"digits": ruled},
        "origin": "built in",
        "seeding": "per image",
        "batch_size": 50,
        "device": "cpu",
        "keep_images": False,
        "block_sizes": [20, 20],
        "identity": {
            "n": 40,
            "options": {},
            "generator": "noise",
            "first_seed": 0,
            "conditions": {},
        },
    }
    return {
        "id": "0123456789abcdef", "plan": plan,
        "scores": [{**score, "flags": ["a flag"], "left_out": [1.4, 1.6]}],
        "environment": {"python": "3.11"}, "cost": {"seconds": {"sample": 0.25}},
        "created": "2026-01-02T03:04:05+00:00", "genbench": "0.1.0", "schema": 1,
    }  # fmt: skip


GATE = """alpha = 0.05
looks = 2
margin = "5 %"
margin_share = 0.01
margin_kernel = "10 %"
inconclusive = "warn"
if_missing = "fail"
anchor = "a.json"
min_class = 50
discoveries = "10 %"
[[rule]]
metric = "fd_digits"
part = "class"
protocol = "digits"
margin = "3 %"
level = "fail"
accept = { until = 2026-12-31, reason = "new sampler", digest = "1f2e" }
[[cost]]
metric = "images_per_second"
tolerance = "20 %"
level = "warn"
"""
SUITE = """dataset = "digits"
n = 100
[[run]]
plugin = ["noise", "ddpm"]
options = { steps = 10, fast = true }
metrics = ["fd_digits"]
checkpoint = ["a.pt", "b.pt"]
imbalance = 0.01
save_samples = true
"""
QUESTIONS = (
    '[[question]]\ntext = "How real?"\nname = "realism"\n'
    'points = 5\nlow = "no"\nhigh = "yes"\n[[question]]\ntext = "How nice?"\nname = "nice"\n'
)
RATINGS = (
    "id,model,num_correct,err_rt,f_err_rt,r_err_rt,r_ans_rt,resp_time,f_resp_time,r_resp_time\n"
    "r1,m,150,0.25,0.3,0.2,0.55,100,50,50\nr2,n,200,0,0,0,0.5,1,1,1\n"
)


def records(door: str) -> list[bytes]:
    whole = {**record(), "digest": hashing.digest(record())}
    texts = {
        "a sealed file": [
            json.dumps(whole),
            written(
                "f.json",
                lambda path: checksummed_files.write_json(path, {"found": [1, 2.5, None, "ü"]}),
            ).decode(),
        ],
        "a record": [json.dumps(whole)],
        "a record's content, sealed": [json.dumps(record())],
        "changes to a sound record": [
            json.dumps(
                {
                    "plan": {"label": "x", "identity": {"n": 3}, "looks": 2, "prompts": []},
                    "shards": {"0-40": ["ab", "cd"]},
                }
            ),
            json.dumps(
                {
                    "scores": [
                        {"protocol": "digits", "metric": "a", "status": "skipped", "reason": "r"}
                    ],
                    "schema": 1,
                    "dataset": {"name": "d"},
                }
            ),
        ],
        "a gate": [GATE],
        "questions": [QUESTIONS],
        "a suite": [SUITE],
        "prompts, .txt": ["a cat\n\na dog\n"],
        "prompts, .jsonl": ['{"prompt": "a cat"}\n{"prompt": ""}\n'],
        "prompts, .csv": ['id,prompt\n1,"a, cat"\n2,a dog\n'],
        "prompts, .tsv": ["id\tprompt\n1\ta cat\n"],
        "ratings": [RATINGS],
    }
    return [text.encode() for text in texts[door]]


SEEDS: dict[str, Callable[[str], list[bytes]]] = {
    "pickles": pickles,
    "npz": arrays,
    "safetensors": tensors,
    "zip": zips,
    "images": images,
    "records": records,
}
