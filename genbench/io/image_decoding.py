"""One picture from a file's bytes: 8-bit RGB or grey, taken as it is;
anything else is named, with the remedy.

    8-bit RGB                                   taken as it is
    grey of 8, 4 or 2 bits                      taken, 0 to 255, three times the same
    palette, transparency, CMYK, LAB, 1 bit     refused: which colours or background are meant is
                                                for its owner to say
    more than 8 bits to a channel               refused: cutting and rounding differ by half
                                                a grey level
    several frames or pages                     refused
    turned by an EXIF tag                       refused: people see it upright, networks
                                                see it lying
    damaged, truncated, not what it says        refused
    another size than the first picture         refused, naming both
    more than LARGEST pixels                    refused by the header, before anything is unfolded
    GIF and other formats that are not read     refused by the ending
    colour profiles                             left aside, as by the codes of the papers

"Refused" ends in a line that names the file; under `--on-bad-image skip` the picture is left out,
counted and recorded. What peers do instead: pytorch-fid and clean-fid convert every mode to RGB in
silence, cut 16 bits to 8, and leave EXIF aside; torch-fidelity asks for 8-bit RGB.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import Image, np

if TYPE_CHECKING:
    from numpy import ndarray

#: File endings that are read (pytorch-fid's list, whatever the case), and the formats that a file
#: may have: the content decides, not the name.
ENDINGS = ("bmp", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# pictures all the same: refused by name, not passed over
UNREAD = ("apng", "avif", "dds", "gif", "heic", "heif", "ico", "jfif", "jp2", "jxl", "psd", "tga")
LARGEST = 2**26  # pixels of one picture (8192 x 8192): a file of some kB can unfold to gigabytes
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
# where Pillow keeps what may hold it
EXIF_IN = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
POLICIES = ("error", "skip")
# set by --on-bad-image, so that every process of a run hears of it
VARIABLE = "GENBENCH_ON_BAD_IMAGE"

MODES = {
    "1": "has one bit to a pixel",
    "CMYK": "is CMYK",
    "F": "has more than 8 bits to a channel",
    "I": "has more than 8 bits to a channel",
    "I;16": "has 16 bits to a channel",
    "I;16B": "has 16 bits to a channel",
    "LA": "is transparent",
    "P": "has a palette",
    "PA": "has a palette and is transparent",
    "RGBA": "is transparent",
}


def skips() -> bool:
    """Whether pictures that are refused are left out (--on-bad-image skip) and not an error."""
    word = os.environ.get(VARIABLE) or "error"
    if word not in POLICIES:
        raise UserError(f"--on-bad-image {clean(word)}: {choices(word, POLICIES)}")
    return word == "skip"


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name, read or refused; hidden files are none."""
    path = PurePath(name)
    return not path.name.startswith(".") and path.suffix[1:].lower() in (*ENDINGS, *UNREAD)


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """While pictures are decoded: a picture of too many pixels raises,
    and what Pillow remarks on metadata is not heard.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@cache
def _opening() -> Any:
    # bound once: a lazy name costs some microseconds, and there may be millions of pictures
    return Image.open


def decoded(name: str, data: bytes | str | os.PathLike[str]) -> ndarray[Any, Any] | str:
    """A picture, uint8 [h, w, 3], from the bytes of its file or its path;
    or why it is refused, as the rest of a line that begins with its name.

    To be called within heeded().
    """
    ending = name[name.rfind(".") + 1 :].lower()
    if ending in UNREAD:
        return f"is a .{ending}, which is not read; save it as 8-bit PNG"
    try:
        with _opening()(
            io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS
        ) as picture:
            return _wrong(picture) or _pixels(picture)
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and its own; none means
        # anything but a wrong file
        return f"cannot be read as a picture ({_said(error)}); make it again, or remove it"


def _said(error: Exception) -> str:
    """What went wrong, without the place, which the line names already."""
    if type(error).__name__ == "UnidentifiedImageError":
        return f"it is none of {', '.join(FORMATS)}"
    return clean(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _pixels(picture: Image.Image) -> ndarray[Any, Any] | str:
    pixels = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    if picture.format == "TIFF" or any(key in picture.info for key in EXIF_IN):
        turned = picture.getexif().get(ORIENTATION, 1)
        if turned in range(2, 9):
            return (
                f"is turned by its EXIF tag (orientation {turned}); save it upright, "
                "or take the tag away if it is upright"
            )
    return pixels


def _wrong(picture: Image.Image) -> str:
    """Why a picture is not taken as it is, by its header, and the remedy; "" where it is."""
    width, height = picture.size
    if width * height > LARGEST:
        return f"has {width}x{height} pixels, more than {LARGEST}; remove it, or cut it down"
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        return (
            f"holds {frames} pictures (animated, or pages); save the one that is meant as a "
            "file of its own"
        )
    if picture.mode not in ("RGB", "L"):
        return (
            f"{MODES.get(picture.mode, f'is of mode {picture.mode}')}; save it as 8-bit RGB or grey"
            + _background(picture.mode)
        )
    if "transparency" in picture.info:
        return "has a transparent colour; save it as 8-bit RGB or grey" + _background("RGBA")
    # Pillow calls 16-bit colour RGB and cuts it to 8
    if any(_is_deep(tile) for tile in getattr(picture, "tile", ())):
        return "has other than 8 bits to a channel; save it as 8-bit RGB or grey"
    return ""


def _background(mode: str) -> str:
    return ", over the background that is meant" if mode in ("RGBA", "LA", "PA") else ""


def _is_deep(tile: Any) -> bool:
    """Whether a piece of a file, as Pillow describes it (codec, extents, offset, arguments),
    has other than 8 bits; a PPM's maximum stands last.
    """
    codec, _, _, arguments = tile
    return ";16" in str(arguments) or (codec.startswith("ppm") and arguments[-1] != 255)
