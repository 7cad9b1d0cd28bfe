"""Folders of pictures, taken as they are: 8-bit RGB or grey, all of one size; each refusal names the file and the remedy.

What peers do instead: pytorch-fid and clean-fid convert every mode to RGB in silence (a palette's or an alpha channel's background is lost), and 16 bits
become 8 by cutting; torch-fidelity asks for 8-bit RGB, as here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.lazy import Image, np, torch
from genbench.say import UserError, tell

if TYPE_CHECKING:
    from numpy import ndarray

#: File endings that are read (pytorch-fid's list, whatever the case), and the formats that a file may have: the content decides, not the name.
ENDINGS = ("bmp", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 2**26  # pixels of one picture (8192 x 8192): a file of some kB can unfold to gigabytes
BATCH = 100

MODES = {
    "1": "has one bit to a pixel",
    "CMYK": "is CMYK",
    "I": "has more than 8 bits to a channel",
    "I;16": "has 16 bits to a channel",
    "LA": "is transparent",
    "P": "has a palette",
    "PA": "has a palette and is transparent",
    "RGBA": "is transparent",
}


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder in the order of their names, decoded when they are asked for."""

    folder: Path
    files: tuple[Path, ...]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.files)

    def read(self, places: Iterable[Any]) -> torch.Tensor:
        """The pictures at these places, 0 .. len - 1: uint8 [n, 3, height, width]; grey ones three times the same.

        Orientation tags and colour profiles are left aside, as by the codes of the papers. UserError names a file that is not 8-bit RGB or grey, or two
        files of different sizes.
        """
        pixels = np.empty((len(chosen := [int(place) for place in places]), self.height, self.width, 3), dtype=np.uint8)
        for row, place in zip(pixels, chosen, strict=True):
            found = _decoded(self.files[place])
            if found.shape[:2] != (self.height, self.width):
                raise UserError(f"{self._sizes(place, found)}; a folder has one size: resize or remove one of them")
            row[:] = found
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def _sizes(self, place: int, found: ndarray[Any, Any]) -> str:
        first = f"{self.files[0].name} is {self.width}x{self.height}"
        return f"{self.folder}: {first}, {self.files[place].name} is {found.shape[1]}x{found.shape[0]}"

    def batches(self) -> Iterator[torch.Tensor]:
        """All pictures in order, uint8 [b, 3, height, width], b at most BATCH; never the whole folder in memory."""
        for start in range(0, len(self), BATCH):
            yield self.read(range(start, min(start + BATCH, len(self))))


def open_images(path: Path | str) -> Pictures:
    """The pictures that lie in a folder (not in its sub-folders), sorted by name; UserError where there is none.

    Hidden files and files of other endings are left aside. JPEG is read, with a remark: its losses move distances.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of pictures" if folder.exists() else f"{folder}: there is no such folder")
    files, inner = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                inner.append(entry.name)
            elif not entry.name.startswith(".") and Path(entry.name).suffix[1:].lower() in ENDINGS:
                files.append(Path(entry.path))
    if not files:
        remedy = f"it has the sub-folders {', '.join(sorted(inner)[:5])}: name one of them" if inner else f"read are {', '.join(ENDINGS)}"
        raise UserError(f"{folder} holds no pictures; {remedy}")
    if inner:
        _once(f"{folder}: only the {len(files)} pictures in it are read, nothing in its sub-folders ({len(inner)})")
    lossy = sum(file.suffix.lower() in (".jpg", ".jpeg") for file in files)
    if lossy:
        _once(f"{folder}: {lossy} of {len(files)} pictures are JPEG, whose losses move distances: compare with JPEG of the same quality, or use PNG")
    files.sort(key=lambda file: file.name)
    height, width = _decoded(files[0]).shape[:2]
    return Pictures(folder, tuple(files), height, width)


@cache
def _once(line: str) -> None:
    tell(line)


def _decoded(path: Path) -> ndarray[Any, Any]:
    """One picture, uint8 [h, w, 3]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                wrong = _wrong(picture)
                if not wrong:
                    return np.asarray(picture.convert("RGB"))
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and its own; none means anything but a wrong file
        raise UserError(f"{path} cannot be read as a picture ({error}); make it again, or remove it") from None
    raise UserError(f"{path} {wrong}")


def _wrong(picture: Image.Image) -> str:
    """Why a picture is not taken as it is, and the remedy; "" where it is."""
    width, height = picture.size
    if width * height > LARGEST:
        return f"has {width}x{height} pixels, more than {LARGEST}; remove it, or cut it down"
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        return f"holds {frames} pictures (animated, or pages); save the one that is meant as a file of its own"
    if picture.mode not in ("RGB", "L"):
        return f"{MODES.get(picture.mode, f'is of mode {picture.mode}')}; save it as 8-bit RGB or grey" + _background(picture.mode)
    if "transparency" in picture.info:
        return "has a transparent colour; save it as 8-bit RGB or grey" + _background("RGBA")
    if any(_is_deep(tile) for tile in getattr(picture, "tile", ())):  # Pillow calls 16-bit colour RGB and cuts it to 8
        return "has other than 8 bits to a channel; save it as 8-bit RGB or grey"
    return ""


def _background(mode: str) -> str:
    return ", over the background that is meant" if mode in ("RGBA", "LA", "PA") else ""


def _is_deep(tile: Any) -> bool:
    """Whether a piece of a file, as Pillow describes it (codec, extents, offset, arguments), has other than 8 bits; a PPM's maximum stands last."""
    codec, _, _, arguments = tile
    return ";16" in str(arguments) or (codec.startswith("ppm") and arguments[-1] != 255)
