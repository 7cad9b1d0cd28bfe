"""Read and write files of arrays and JSON that carry a checksum, verified on reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import write
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np, safetensors_numpy

if TYPE_CHECKING:
    from numpy import ndarray


SEAL = "genbench"  # the key in a safetensors header under which a file says what it is


class Damaged(Exception):
    """A file is not what was written: cut short, altered, or somebody else's."""


def _arrays_sha256(arrays: Mapping[str, ndarray[Any, Any]], meta: Mapping[str, str]) -> str:
    total = hashlib.sha256(json.dumps(dict(meta), sort_keys=True).encode())
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def write_arrays(
    path: Path, arrays: Mapping[str, ndarray[Any, Any]], meta: Mapping[str, str]
) -> None:
    """Write arrays, sealed, as safetensors; meta says what they are."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    said = json.dumps({**meta, "sha256": _arrays_sha256(whole, meta)}, sort_keys=True)
    # one key: safetensors writes several in any order, and equal arrays shall be equal bytes
    write(path, safetensors_numpy.save(whole, {SEAL: said}))


def read_arrays(path: Path) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]]:
    """What write_arrays wrote; FileNotFoundError when there is none,
    Damaged when it was altered.
    """
    data = _bytes(path)
    try:
        arrays = safetensors_numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meta = dict(json.loads(header["__metadata__"][SEAL]))
        said = meta.pop("sha256")
    except Exception as error:  # safetensors, JSON and numpy each raise their own
        raise Damaged(f"{path} cannot be read: {error}") from None
    if _arrays_sha256(arrays, meta) != said:
        raise Damaged(f"{path} does not match its checksum")
    return arrays, meta


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:  # a folder in its place, a loop of links
        raise Damaged(f"{path} cannot be read: {error.strerror or error}") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, sealed by its key "digest"."""
    write(
        path,
        (
            json.dumps(
                {**content, "digest": digest(content)},
                indent=1,
                ensure_ascii=False,
                allow_nan=False,
            )
            + "\n"
        ).encode(),
    )


def read_json(path: Path) -> dict[str, Any]:
    """What write_json wrote; FileNotFoundError when there is none, Damaged when it was altered."""
    data = _bytes(path)
    try:
        content = json.loads(data)
        said = content.pop("digest")
        whole = digest(content) == said
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read: {type(error).__name__} {error}") from None
    if not whole:
        raise Damaged(f"{path} does not match its checksum")
    return content
