"""Pictures in the user's own files: a folder, with its sub-folders,
or a zip of one (StyleGAN's layout), in the order of their names, decoded when asked for.

Names are kept as bytes side by side, so that a million of them take some tens of megabytes; pixels
never stand in memory but for a batch.
"""

from __future__ import annotations

import itertools
import lzma
import os
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import progress, tell
from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, torch
from genbench.data.class_labels import LARGEST_LISTING, LISTING, Labels, labels_in
from genbench.data.fingerprint import State, remember, remembered, state_of
from genbench.data.parallel_loading import at_once, loaded
from genbench.io.image_decoding import ENDINGS, decoded, heeded, is_picture, skips

if TYPE_CHECKING:
    from numpy import ndarray

# what zipfile raises on a wrong file
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)
# bytes of one picture in a zip, unpacked: nothing beyond is unpacked, whatever the header says
LARGEST_FILE = 2**28
OTHERS = (".npz", ".zip", ".parquet", "-ubyte", "-ubyte.gz")
LISTED = 5  # names of what was left out that a line shows
JPEG = b"\xff\xd8\xff"  # how its files begin, whatever their names
# pictures whose first bytes are looked at: a look at each of a million takes minutes on
# a shared disk
LOOKED = 1000


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures in the order of their names; all have the size of the first,
    every other is refused.
    """

    place: Path  # the folder, or the zip
    names: ndarray[Any, Any]  # relative to it, bytes [n]
    labels: Labels
    zipped: bool = False
    height: int = 0
    width: int = 0
    # under --on-bad-image skip: a line for each picture that was refused
    left_out: tuple[str, ...] = ()
    # of each process
    _open: dict[int, zipfile.ZipFile] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": {}}  # an open archive is this process's own

    def name(self, place: int) -> str:
        """The name of the picture at a place, relative to the folder or within the zip."""
        return os.fsdecode(self.names[place])

    def state(self) -> State:
        """The state of all pictures that lie there now, those that have come since and those that
        are left out included.
        """
        return state_of(self.place, _files(self.place))

    def read(self, places: Iterable[Any]) -> torch.Tensor:
        """The pictures at these places, 0 .. len - 1: uint8 [n, 3, height, width];
        grey ones three times the same.

        UserError names one that is refused.
        """
        chosen = [int(place) for place in places]
        pixels = np.empty((len(chosen), self.height, self.width, 3), dtype=np.uint8)
        with heeded():
            for row, place in zip(pixels, chosen, strict=True):
                found = self.decoded(place)
                if isinstance(found, str):
                    raise UserError(self.line(place, found))
                if found.shape != row.shape:
                    raise UserError(
                        f"{self.place}: {self._sizes(place, found)}; a data set has one size: "
                        "resize or remove one of them"
                    )
                row[:] = found
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def decoded(self, place: int) -> ndarray[Any, Any] | str:
        """One picture, uint8 [h, w, 3], or why it is refused; to be called within heeded()."""
        name = self.name(place)
        if not self.zipped:
            return decoded(name, f"{self.place}/{name}")
        data = _member(self._archive(), name, LARGEST_FILE)
        return (
            f"cannot be unpacked ({data}); make the archive again"
            if isinstance(data, str)
            else decoded(name, data)
        )

    def head(self, place: int) -> bytes:
        """The first bytes of a picture's file; none where it cannot be read,
        which is said when it is decoded.
        """
        try:
            with (
                self._archive().open(self.name(place))
                if self.zipped
                else (self.place / self.name(place)).open("rb") as file
            ):
                return file.read(len(JPEG))
        except (*BROKEN, OSError, KeyError):
            return b""

    def _archive(self) -> zipfile.ZipFile:
        process = os.getpid()
        if process not in self._open:
            self._open[process] = zip_of(self.place)
        return self._open[process]

    def line(self, place: int, why: str) -> str:
        at = f"{self.place}: {self.name(place)}" if self.zipped else self.place / self.name(place)
        return f"{at} {why}"

    def _sizes(self, place: int, found: ndarray[Any, Any]) -> str:
        return (
            f"{self.name(0)} is {self.width}x{self.height}, {self.name(place)} is "
            f"{found.shape[1]}x{found.shape[0]}"
        )

    def sized(self) -> Pictures:
        """With the size of the first picture, which must not be refused;
        under --on-bad-image skip without those that are.

        JPEG is told.
        """
        self._tell_losses()
        if skips():
            return self.sorted_out()
        with heeded():
            first = self.decoded(0)
        if isinstance(first, str):
            raise UserError(self.line(0, first))
        return replace(self, height=first.shape[0], width=first.shape[1])

    def _tell_losses(self) -> None:
        """A remark where pictures are JPEG by their first bytes:
        of LOOKED evenly chosen ones, and as many that are so by their names.
        """
        names = np.char.lower(self.names)
        named = np.flatnonzero(np.char.endswith(names, b".jpg") | np.char.endswith(names, b".jpeg"))
        looked = np.union1d(
            np.linspace(0, len(self) - 1, min(len(self), LOOKED)).astype(np.int64), named[:LOOKED]
        )
        lossy = sum(self.head(int(place)) == JPEG for place in looked)
        if lossy:
            count = (
                f"{lossy} of {len(self)} pictures are"
                if len(looked) == len(self)
                else f"of {len(self)} pictures {lossy} of the {len(looked)} looked at are"
            )
            _once(
                f"{self.place}: {count} JPEG, whose losses move distances: "
                "compare with JPEG of the same quality, or use PNG"
            )

    def batches(self) -> Iterator[torch.Tensor]:
        """All pictures in order, uint8 [b, 3, height, width], never many in memory;
        decoded by worker processes where there are many.
        """
        return loaded(self.read, len(self), at_once(self.height, self.width))

    def sorted_out(self) -> Pictures:
        """Without what is refused, each with a line that says why;
        looked at once while the files are the same.
        """
        state, began = self.state(), time.time()
        found = remembered(state, "refused")
        if found is None:
            found = self._refused()
            remember(state, "refused", found, began)
        bad = [place for place, _ in found["lines"]]
        if len(bad) == len(self):
            raise UserError(
                f"{self.line(*found['lines'][0])}; none of the {len(self)} pictures is left"
            )
        keep = np.setdiff1d(np.arange(len(self)), bad)
        lines = tuple(f"{self.name(place)} {why}" for place, why in found["lines"])
        if lines:
            _once(
                (
                    f"{self.place}: {len(lines)} of {len(self)} pictures are left out: "
                    f"{'; '.join(lines[:LISTED])}"
                )
                + (" ..." if lines[LISTED:] else "")
            )
        return replace(
            self,
            names=self.names[keep],
            labels=self.labels.of(keep),
            height=found["height"],
            width=found["width"],
            left_out=lines,
        )

    def _refused(self) -> dict[str, Any]:
        """{"lines": [[place, why]], "height", "width"}: every picture that is refused,
        and the size of the first that is not.
        """
        lines: list[list[Any]] = []
        size: tuple[int, ...] | None = None
        with progress(f"looking through {self.place.name}", len(self), "pictures") as done:
            for verdicts in loaded(self._verdicts, len(self)):
                for place, verdict in verdicts:
                    if isinstance(verdict, str):
                        lines.append([place, verdict])
                        continue
                    size = size or verdict
                    if verdict != size:
                        lines.append(
                            [
                                place,
                                (
                                    f"is {verdict[1]}x{verdict[0]}, the first is "
                                    f"{size[1]}x{size[0]}; resize it"
                                ),
                            ]
                        )
                done(len(verdicts))
        return {"lines": lines, "height": size[0] if size else 0, "width": size[1] if size else 0}

    def _verdicts(self, places: range) -> list[tuple[int, Any]]:
        with heeded():
            looked = [(place, self.decoded(place)) for place in places]
        return [
            (place, found if isinstance(found, str) else found.shape[:2]) for place, found in looked
        ]


def open_pictures(path: Path) -> Pictures:
    """The pictures of a folder with its sub-folders, or of a zip, sorted by name;
    UserError where there is none, or where the first is refused.

    Hidden files, and files that are no pictures by their endings, are left aside. JPEG is read,
    with a remark: its losses move distances.
    """
    return listed(path).sized()


def listed(path: Path) -> Pictures:
    """As open_pictures, but no picture is looked at.

    Labels are those of dataset.json (StyleGAN's), else the names of the sub-folders.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such folder")
    names = _names(path)
    if not len(names):
        raise UserError(f"{path} holds no pictures; read are {', '.join(ENDINGS)}{_instead(path)}")
    return Pictures(path, names, labels_in(path, names, _listing(path)), zipped=path.is_file())


def _instead(path: Path) -> str:
    """What else lies in a folder without pictures that can be read."""
    other = (
        sorted(file.name for file in path.iterdir() if file.name.endswith(OTHERS))
        if path.is_dir()
        else []
    )
    return f"; it has {other[0]}: name that" if other else ""


def _names(path: Path) -> ndarray[Any, Any]:
    """The names of the pictures, bytes [n], sorted."""
    if path.is_dir():
        found = _walked(os.fsencode(path))
    else:
        with zip_of(path) as archive:
            found = iter(
                [
                    os.fsencode(name)
                    for name in archive.namelist()
                    if is_picture(name) and not name.startswith("__MACOSX/")
                ]
            )
    # bytes side by side, no object for each
    parts = [
        np.array(some, dtype=np.bytes_)
        for some in iter(lambda: list(itertools.islice(found, 4096)), [])
    ]
    names = np.concatenate(parts) if parts else np.empty(0, dtype="S1")
    names.sort()
    return names


def _files(place: Path) -> Iterator[Path]:
    """The files that decide what is read, one by one."""
    if not place.is_dir():
        yield place
        return
    if (place / LISTING).is_file():
        yield place / LISTING
    yield from (place / os.fsdecode(name) for name in _names(place))


def _walked(folder: bytes) -> Iterator[bytes]:
    """The names of the pictures in a folder and below, relative to it;
    links to folders are followed once.
    """
    left, seen = [b""], {os.path.realpath(folder)}
    while left:
        at = left.pop()
        with os.scandir(folder + b"/" + at) as entries:
            for entry in entries:
                name = at + b"/" + entry.name if at else entry.name
                if entry.is_dir():
                    real = os.path.realpath(entry.path)
                    if not entry.name.startswith(b".") and real not in seen:
                        seen.add(real)
                        left.append(name)
                elif is_picture(os.fsdecode(entry.name)):
                    yield name


def zip_of(path: Path) -> zipfile.ZipFile:
    """A zip, opened; UserError where it is none."""
    try:
        return zipfile.ZipFile(path)
    except (*BROKEN, OSError) as error:
        raise UserError(
            f"{path} cannot be read as a zip of pictures ({error}); make it again"
        ) from None


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes | str:
    """A file of a zip, unpacked up to `most` bytes; or why it is refused."""
    try:
        if archive.getinfo(name).file_size > most:
            return f"{archive.getinfo(name).file_size} bytes, more than {most}"
        with archive.open(name) as file:
            data = file.read(most + 1)  # the header may say less than there is
    except (*BROKEN, OSError, KeyError) as error:
        return str(error) or type(error).__name__
    return data if len(data) <= most else f"more than {most} bytes"


def _listing(path: Path) -> bytes | None:
    """The content of dataset.json, or None."""
    if path.is_dir():
        file = path / LISTING
        if not file.is_file():
            return None
        found: bytes | str = (
            file.read_bytes()
            if file.stat().st_size <= LARGEST_LISTING
            else f"more than {LARGEST_LISTING} bytes"
        )
    else:
        with zip_of(path) as archive:
            if LISTING not in archive.namelist():
                return None
            found = _member(archive, LISTING, LARGEST_LISTING)
    if isinstance(found, str):
        raise UserError(f"{path}: {LISTING} cannot be read ({found})")
    return found


@cache
def _once(line: str) -> None:
    tell(line)
