"""Files one may trust: whole or absent, checked on reading, locked where two may write;
and the cache folder.

A file that carries its own checksum is *sealed*. Damage found on reading raises Damaged, and
whoever owns the file makes it again and says so.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import functools
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tempfile
import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.lazy import np, safetensors_numpy
from genbench.say import RunFailed, UserError, clean, tell

if TYPE_CHECKING:
    from numpy import ndarray

# the disk's fault, not the user's words
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # as a Path writes it
SEAL = "genbench"  # the key in a safetensors header under which a file says what it is


class Damaged(Exception):
    """A file is not what was written: cut short, altered, or somebody else's."""


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary name in the same folder, flush, fsync, replace,
    fsync of the folder.

    A power cut between the last two steps may leave the old file; never a torn one. RunFailed names
    the path when the disk or a permission says no.
    """
    _write(path, [data], f" ({len(data)} bytes)")


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """As write, of pieces that arrive one by one (a download):
    whatever their maker raises leaves the old file, or none, and nothing else.
    """
    _write(path, pieces, "")


def _write(path: Path, pieces: Iterable[bytes], size: str) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise RunFailed(
            f"could not write {path}{size}: {error.strerror or error}; what was finished is kept, "
            "make room and run again"
        ) from error


def write_folder(path: Path, pieces: Iterable[tuple[str, bytes]]) -> None:
    """A new folder of files, (name within it, content), whole or not at all:
    they are made beside it under another name, which is changed at the end.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            for name, data in pieces:
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(data)
            os.sync()  # once, not for each of thousands
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise RunFailed(
            f"could not write {path}: {error.strerror or error}; make room and run again"
        ) from error


class Pipe(io.RawIOBase):
    """What a writer of archives or tables writes to,
    and what it has written so far is taken from.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(members: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """The bytes of a zip of these members (name, pieces), stored as they are and without a time of
    day, so that equal members are equal bytes.
    """
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, pieces in members:
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    yield pipe.taken()
    yield pipe.taken()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folder_to_write(path: Path, what: str) -> Path:
    """The folder, made if it was missing; UserError when it is a file or may not be written,
    RunFailed when the disk is full.

    Asked before all else.
    """
    if URL.match(str(path)):
        raise UserError(f"{what} {clean(str(path))} is a URL; name a folder here")
    try:
        path.mkdir(parents=True, exist_ok=True)
        # nameless where the system can: nothing is left of it
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        if error.errno in FULL:
            raise RunFailed(
                f"{what} {path} cannot be written: {error.strerror}; make room and run again"
            ) from error
        reason = "it is a file" if path.is_file() else (error.strerror or str(error))
        raise UserError(f"{what} {path} cannot be written: {reason}; name another folder") from None
    return path


def sweep(folder: Path) -> None:
    """Remove what a killed process left under temporary names."""
    for left in folder.rglob(".*.tmp"):
        if left.is_file():
            left.unlink(missing_ok=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the names in it and the contents,
    whatever lies deeper included, in the order of the names.
    """
    if not path.is_dir():
        return file_sha256(path)
    total = hashlib.sha256()
    for name, file in sorted(
        (os.fsencode(file.relative_to(path)), file) for file in path.rglob("*") if file.is_file()
    ):
        total.update(name + b"\0" + bytes.fromhex(file_sha256(file)))
    return total.hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of plain data: of its JSON with sorted keys."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode())


def source_text(path: Path) -> str:
    """The text of a Python file, in the encoding that it declares."""
    with tokenize.open(path) as file:
        return file.read()


@functools.cache  # a run asks for that of one file for each of its numbers
def code_sha256(source: str) -> str:
    """SHA-256 of Python source without comments and docstrings:
    rewording changes nothing, behaviour does.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return sha256(_plain(tree).encode())


def _plain(node: Any) -> str:
    """A syntax tree as text, the same under every Python: ast.dump adds fields from version to
    version, and empty ones are left out here.
    """
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_plain(value)}"
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return f"{type(node).__name__}({','.join(parts)})"
    return f"[{','.join(map(_plain, node))}]" if isinstance(node, list) else repr(node)


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


def home() -> Path:
    """The cache folder: $GENBENCH_HOME, else genbench under $XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("GENBENCH_HOME")
    if named and Path(named).is_file():
        raise UserError(f"GENBENCH_HOME {clean(named)} is a file; name a folder")
    return (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"
    )


def cached(
    path: Path, earlier: Path | None = None
) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]] | None:
    """A cached file of arrays, or None where there is none or it was damaged (which is said, and
    the caller makes it again).

    earlier: the name under which an earlier genbench kept the same; what lies there gets its
    name of today.
    """
    if earlier is not None and earlier != path and not path.exists():
        with contextlib.suppress(OSError):  # there is none, or the cache cannot be written
            earlier.rename(path)
        path = path if path.exists() else earlier
    try:
        return read_arrays(path)
    except FileNotFoundError:
        return None
    except (Damaged, OSError) as error:
        tell(f"cache: {error}; making it again")
        return None


def cache(path: Path, arrays: Mapping[str, ndarray[Any, Any]], meta: Mapping[str, str]) -> None:
    """Keep arrays in the cache; a cache that cannot be written costs time only,
    so that is told and the run goes on.
    """
    try:
        write_arrays(path, arrays, meta)
    except RunFailed as error:
        tell(f"cache: {error}")
