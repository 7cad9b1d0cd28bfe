"""Write files and folders whole or not at all.

A temporary name in the same folder, flush, fsync, replace, fsync of the folder. Nothing of genbench
writes a file except through here; the few exceptions stand in tests/architecture/test_habits.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean

# the disk's fault, not the user's words
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # as a Path writes it


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
    import tempfile  # here alone, so that listings stay fast

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
