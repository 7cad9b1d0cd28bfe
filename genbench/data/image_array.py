"""Images that lie in one array of one file: an npz as guided diffusion's (ADM) or with plain names,
an idx file as MNIST's.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, torch
from genbench.data.class_labels import Labels
from genbench.data.fingerprint import State, state_of
from genbench.data.parallel_loading import at_once
from genbench.io import idx, npz
from genbench.io.image_decoding import LARGEST

if TYPE_CHECKING:
    from numpy import ndarray

# of images and labels in an npz: ADM's, and the plain ones
KEYS = (("arr_0", "arr_1"), ("images", "labels"))
# bytes of a compressed array that are held in memory, to serve its images in any order
LARGEST_UNPACKED = 2**32


@dataclass(frozen=True)
class Stack:
    """Images uint8 [n, h, w, c] in order."""

    place: Path
    files: tuple[Path, ...]
    count: int
    height: int
    width: int
    labels: Labels
    # (at once) -> uint8 [b, h, w, c], in order
    pieces: Callable[[int], Iterator[ndarray[Any, Any]]]
    whole: Callable[[], ndarray[Any, Any]]  # the array, for any order
    left_out: tuple[str, ...] = ()
    _held: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return self.count

    def state(self) -> State:
        return state_of(self.place, self.files)

    def read(self, places: Iterable[Any]) -> torch.Tensor:
        """The images at these places, 0 .. len - 1: uint8 [n, 3, height, width];
        grey ones three times the same.
        """
        if not self._held:
            self._held.append(self.whole())
        return _colours(self._held[0][[int(place) for place in places]])

    def batches(self) -> Iterator[torch.Tensor]:
        """All images in order, uint8 [b, 3, height, width];
        never the whole in memory, where the file allows it.
        """
        for piece in self.pieces(at_once(self.height, self.width)):
            yield _colours(piece)


def _colours(piece: ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(piece.copy()).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()


def open_npz(path: Path) -> Stack:
    """The images `arr_0` (or `images`) of an npz, uint8 [N, h, w, 3] or [N, h, w, 1],
    and where it has them their labels `arr_1` (`labels`), int [N].
    """
    there = npz.keys(path)
    key, classes = next((pair for pair in KEYS if pair[0] in there), KEYS[0])
    with npz.member(path, key) as found:
        shape, dtype = found.shape, found.dtype
    if (
        dtype != np.uint8
        or len(shape) != 4
        or shape[3] not in (1, 3)
        or min(shape) < 1
        or shape[1] * shape[2] > LARGEST
    ):
        raise UserError(
            f"{path}: {key} is {dtype} {list(shape)}; wanted are images, uint8 [N, "
            "height, width, 3]"
        )
    labels = _labels(path, classes, shape[0]) if classes in there else Labels()

    def pieces(size: int) -> Iterator[ndarray[Any, Any]]:
        return npz.rows(path, key, size)

    def whole() -> ndarray[Any, Any]:
        return _whole(path, key)

    return Stack(path, (path,), shape[0], shape[1], shape[2], labels, pieces, whole)


def _labels(path: Path, key: str, count: int) -> Labels:
    """arr_1 as classes; UserError when it is no list of them."""
    with npz.member(path, key) as found:
        shape, dtype = found.shape, found.dtype
    values = (
        npz.whole(path, key).astype(np.int64) if shape == (count,) and dtype.kind in "iu" else None
    )
    if values is None or values.min() < 0 or values.max() >= count:
        raise UserError(
            f"{path}: {key} is {dtype} {list(shape)}; wanted are the classes of its {count} "
            "images, whole numbers from 0, fewer than images"
        )
    return (
        Labels(values, tuple(map(str, range(int(values.max()) + 1)))) if values.any() else Labels()
    )


def _whole(path: Path, key: str) -> ndarray[Any, Any]:
    """An array for any order: on the disk where the file holds it as it is,
    tested by the zip's checksum first; in memory where it is compressed.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        if info.file_size > LARGEST_UNPACKED:
            raise UserError(
                f"{path}: {key} has {info.file_size} bytes, compressed; save it uncompressed "
                "(numpy.savez), so that its images can be read one by one"
            )
        return npz.whole(path, key)
    for _ in npz.rows(path, key, 1000):
        pass
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        names = int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little")
        file.seek(info.header_offset + 30 + names)
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
        return np.memmap(path, dtype, "r", file.tell(), shape)


def open_idx(path: Path) -> Stack:
    """The images of an idx file, grey, and the labels of the file beside it."""
    array = idx.read(path, 3)[..., None]
    if min(array.shape) < 1 or array.shape[1] * array.shape[2] > LARGEST:
        raise UserError(f"{path} is {list(array.shape[:3])}: images of no pixels, or too many")
    beside = idx.labels_beside(path)
    labels = Labels()
    if beside is not None:
        values = idx.read(beside, 1).astype(np.int64)
        if len(values) != len(array):
            raise UserError(
                f"{path} has {len(array)} images, {beside.name} {len(values)} labels; "
                "fetch them again"
            )
        labels = Labels(values, tuple(map(str, range(int(values.max()) + 1))))

    def pieces(size: int) -> Iterator[ndarray[Any, Any]]:
        return (array[at : at + size] for at in range(0, len(array), size))

    return Stack(
        path,
        (path, *([beside] if beside else [])),
        len(array),
        array.shape[1],
        array.shape[2],
        labels,
        pieces,
        lambda: array,
    )
