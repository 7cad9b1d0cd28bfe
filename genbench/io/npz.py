"""numpy's npz files, read as streams and never unpickled, and written the same to the byte;
each refusal names the file and the key.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

#: What zipfile and numpy raise on a file that is cut short, altered, encrypted or packed in a way
#: that nobody uses.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    OSError,
    RuntimeError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Member:
    """One array of an npz, its header read and its data not yet."""

    shape: tuple[int, ...]
    dtype: Any
    columns_first: bool
    data: IO[bytes]


def keys(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an npz; UserError when the file is missing, or no npz."""
    with _named(path, ""), zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


@contextlib.contextmanager
def member(path: Path, key: str) -> Iterator[Member]:
    """An array of an npz, opened; UserError naming file and key when it is missing,
    broken or holds Python objects.
    """
    with _named(path, key), zipfile.ZipFile(path) as archive:
        if f"{key}.npy" not in archive.namelist():
            there = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:12])
            raise UserError(f"{path} has no {key}; it has {there or 'nothing'}")
        with archive.open(f"{key}.npy") as file:
            shape, columns_first, dtype = _header(file)
            if dtype.hasobject:
                raise UserError(
                    f"{path}: {key} holds Python objects (a pickle), which are never read: "
                    "save it as an array of numbers"
                )
            if (
                min(shape, default=1) < 0
                or dtype.itemsize * math.prod(shape) > archive.getinfo(f"{key}.npy").file_size
            ):
                raise UserError(
                    f"{path}: {key} says that it is {dtype} {list(shape)}, more than the file "
                    "holds; fetch or make it again"
                )
            yield Member(shape, dtype, columns_first, file)


def rows(path: Path, key: str, at_once: int) -> Iterator[ndarray[Any, Any]]:
    """An array row by row of its first axis, `at_once` to a piece, never the whole in memory;
    the file's own checksum is tested at the end.
    """
    with member(path, key) as found:
        if found.columns_first:
            raise UserError(
                f"{path}: {key} is stored column by column; save numpy.ascontiguousarray of it"
            )
        row = found.dtype.itemsize * math.prod(found.shape[1:])
        for start in range(0, found.shape[0], at_once):
            count = min(at_once, found.shape[0] - start)
            piece = found.data.read(count * row)
            if len(piece) != count * row:
                raise EOFError(f"{key} ends after {start} of {found.shape[0]} rows")
            yield np.frombuffer(piece, dtype=found.dtype).reshape(count, *found.shape[1:])
        found.data.read(1)  # zip compares its checksum when the end is read


def whole(path: Path, key: str) -> ndarray[Any, Any]:
    """An array, whole; the caller has looked at its shape first (member):
    a few kB can unfold to gigabytes.
    """
    with member(path, key) as found:
        shape = found.shape[::-1] if found.columns_first else found.shape
        size = found.dtype.itemsize * math.prod(shape)
        data = found.data.read(size + 1)
        if len(data) != size:
            raise EOFError(f"{key} has {len(data)} bytes and says it has {size}")
        array = np.frombuffer(data, dtype=found.dtype).reshape(shape)
        return array.T if found.columns_first else array


def packed(arrays: Mapping[str, ndarray[Any, Any]]) -> bytes:
    """An npz as numpy.savez writes it, but for the time of day,
    so that equal arrays are equal bytes.
    """
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            for key, array in arrays.items():
                with io.BytesIO() as member_bytes:
                    np.lib.format.write_array(
                        member_bytes, np.ascontiguousarray(array), allow_pickle=False
                    )
                    archive.writestr(zipfile.ZipInfo(f"{key}.npy"), member_bytes.getbuffer())
        return buffer.getvalue()


def _header(file: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(file)
    try:
        return (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )(file)
    except Exception as error:
        # numpy takes it for Python's text, and its parsers and dtypes raise their own types
        raise ValueError(f"its header: {error}") from None


@contextlib.contextmanager
def _named(path: Path, key: str) -> Iterator[None]:
    """Turn what zipfile and numpy raise into a line."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except BROKEN as error:
        what = f": {key}" if key else ""
        if isinstance(error, zipfile.BadZipFile) and not _begins_as_zip(path):
            raise UserError(
                f"{path} is no npz file (a zip of arrays); pickles and single arrays are not read"
            ) from None
        raise UserError(
            f"{path}{what} cannot be read ({error or type(error).__name__}); "
            "the file is cut short or altered: fetch or make it again"
        ) from None


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"
