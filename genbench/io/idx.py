"""The idx files of MNIST and its kin, plain or gzipped: uint8 images [n, h, w] and labels [n]
beside them.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

LARGEST = 2**32  # bytes that a gzipped file may unfold to
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"  # in the file's names


def is_idx(path: Path) -> bool:
    """Whether a file is idx by its name, as MNIST's are named (with a dot where others have
    the hyphen).
    """
    return path.name.removesuffix(".gz").endswith(("-ubyte", ".idx", ".idx3", ".idx1"))


def read(path: Path, rank: int) -> ndarray[Any, Any]:
    """An idx file's array, uint8 of this rank; a plain file's pixels stay on the disk.

    UserError when it is none, or cut short.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if head[:2] != b"\0\0" or len(head) < 4 or head[2] != 8 or head[3] != rank:
                raise UserError(
                    f"{path} is not an idx file of bytes in {rank} dimensions (it begins with "
                    f"{head.hex() or 'nothing'})"
                )
            shape = struct.unpack(f">{rank}I", file.read(4 * rank))
            size = math.prod(shape)
            # which numpy refuses of an empty array too
            if math.prod(side or 1 for side in shape) > np.iinfo(np.int64).max:
                raise UserError(
                    f"{path} says that it is {list(shape)}, which no file can hold; fetch it again"
                )
            if path.suffix != ".gz":
                if path.stat().st_size != 4 + 4 * rank + size:
                    raise UserError(
                        f"{path} says that it is {list(shape)}, and has {path.stat().st_size} "
                        "bytes; fetch it again"
                    )
                return (
                    np.memmap(path, np.uint8, "r", 4 + 4 * rank, shape)
                    if size
                    else np.zeros(shape, dtype=np.uint8)
                )
            if size > LARGEST:
                raise UserError(
                    f"{path} says that it is {list(shape)}, more than {LARGEST} bytes: unpack it"
                )
            data = file.read(size + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from None
    if len(data) != size:
        raise UserError(
            f"{path} says that it is {list(shape)}, and holds "
            f"{'more' if len(data) > size else len(data)} bytes; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def labels_beside(path: Path) -> Path | None:
    """The labels that belong to a file of images, by its name; None where there are none."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    beside = [
        path.with_name(name),
        path.with_name(name.removesuffix(".gz")),
        path.with_name(name.removesuffix(".gz") + ".gz"),
    ]
    return next((file for file in beside if file != path and file.is_file()), None)
