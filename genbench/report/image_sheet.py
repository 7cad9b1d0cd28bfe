"""Sheets of images inside a page: one picture of many, without a loss where it fits,
with what had to be left out said.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import Image, np

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

LINE = (213, 94, 0)  # around the columns that are outlined
FEWEST = 4  # columns that are not given up for a smaller file


@dataclass(frozen=True)
class Sheet:
    """A picture as a data: address, its size in pixels, its rows and columns of images,
    and what was done to make it fit, in words.
    """

    address: str
    width: int
    height: int
    rows: int
    columns: int
    note: str = ""


def sheet(images: Array, most: int, outlined: Collection[int] = (), least: int = FEWEST) -> Sheet:
    """A sheet of images uint8 [rows, columns, 3, h, w], of at most so many bytes where
    that can be had.

    Images lie apart by two transparent pixels; none is smoothed. Too large: the last columns go,
    then each image is halved by the mean of 2 x 2 pixels.
    """
    rows, columns, _, h, w = images.shape
    kept, times, data = columns, 1, _encoded(images, outlined)
    while len(data) > most and kept > least:
        kept = max(least, min(kept - 1, kept * most // len(data)))
        data = _encoded(images[:, :kept], outlined)
    while len(data) > most and min(h, w) // (2 * times) >= 32:
        times *= 2
        data = _encoded(_halved(images[:, :kept], times), outlined)
    notes = [f"the first {kept} of {columns} columns"] if kept < columns else []
    notes += [f"reduced {times} times, by means of {times} x {times} pixels"] if times > 1 else []
    kind = "webp" if data[:4] == b"RIFF" else "png"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Sheet(
        address,
        kept * (w // times + 2) - 2,
        rows * (h // times + 2) - 2,
        rows,
        kept,
        "; ".join(notes),
    )


def _halved(images: Array, times: int) -> Array:
    r, c, _, h, w = images.shape
    cut = images[..., : h // times * times, : w // times * times].reshape(
        r, c, 3, h // times, times, w // times, times
    )
    return np.asarray(cut.mean((4, 6)).round().astype(np.uint8))


def _encoded(images: Array, outlined: Collection[int]) -> bytes:
    """PNG or lossless WebP, whichever is smaller."""
    rows, columns, _, h, w = images.shape
    whole = np.zeros((rows * (h + 2) + 2, columns * (w + 2) + 2, 4), dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (h + 2), c * (w + 2)
            if c in outlined:
                whole[top + 1 : top + h + 3, left + 1 : left + w + 3] = (*LINE, 255)
            whole[top + 2 : top + h + 2, left + 2 : left + w + 2] = np.concatenate(
                [images[r, c].transpose(1, 2, 0), np.full((h, w, 1), 255, np.uint8)], 2
            )
    whole = whole if outlined else whole[2:-2, 2:-2]
    grey = bool((whole[..., 0] == whole[..., 1]).all() and (whole[..., 0] == whole[..., 2]).all())
    picture = Image.fromarray(np.ascontiguousarray(whole[..., [0, 3]]) if grey else whole)
    found = []
    for form, words in (
        ("PNG", {"optimize": True}),
        ("WEBP", {"lossless": True, "quality": 60, "method": 4}),
    ):
        with io.BytesIO() as buffer:
            (picture.convert("RGBA") if form == "WEBP" else picture).save(
                buffer, format=form, **words
            )
            found.append(buffer.getvalue())
    return min(found, key=len)
