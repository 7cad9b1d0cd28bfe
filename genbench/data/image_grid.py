"""Draw images as one PNG grid."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import Image, np

if TYPE_CHECKING:
    from numpy import ndarray


LARGE = 2**22  # bytes of a sheet beyond which a tenth of its file is not worth seconds


def grid_png(images: ndarray[Any, Any], columns: int) -> bytes:
    """A PNG of images uint8 [n, 3, h, w], `columns` to a row, separated by two white pixels,
    neither enlarged nor smoothed.
    """
    n, _, h, w = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + 2) - 2, columns * (w + 2) - 2, 3), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (h + 2), (i % columns) * (w + 2)
        sheet[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    grey = bool((sheet[..., 0] == sheet[..., 1]).all() and (sheet[..., 0] == sheet[..., 2]).all())
    with io.BytesIO() as buffer:
        Image.fromarray(sheet[..., 0] if grey else sheet).save(
            buffer, format="PNG", optimize=sheet.size < LARGE
        )
        return buffer.getvalue()
