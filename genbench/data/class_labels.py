"""The classes of pictures: from dataset.json beside them, as StyleGAN's tools write it,
else from the sub-folders in which they lie.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

LISTING = "dataset.json"
LARGEST_LISTING = 2**28  # bytes
# the sub-folders 00000, 00001, ... of StyleGAN's tools and of FFHQ hold files, and are no classes
BUCKET = re.compile(rb"[0-9]{5}")
SPLITS = {b"train", b"training", b"val", b"valid", b"validation", b"test", b"testing"}


@dataclass(frozen=True)
class Labels:
    """values: int64 [n], or None where there is one class."""

    values: ndarray[Any, Any] | None = None
    classes: tuple[str, ...] = ("all",)

    def of(self, places: Any) -> Labels:
        """Those of the pictures at these places, the classes as they were."""
        return self if self.values is None else replace(self, values=self.values[places])

    def at(self, start: int, count: int) -> ndarray[Any, Any]:
        """int64 [count] from picture `start` on."""
        return (
            np.zeros(count, dtype=np.int64)
            if self.values is None
            else self.values[start : start + count]
        )


def labels_in(place: Path, names: ndarray[Any, Any], listing: bytes | None) -> Labels:
    """The labels of pictures with these names, sorted bytes [n] relative to `place`; listing:
    the content of dataset.json, where there is one.
    """
    listed = _listed(place, names, listing) if listing is not None else None
    return listed or _by_folder(place, names)


def _listed(place: Path, names: ndarray[Any, Any], listing: bytes) -> Labels | None:
    """As dataset.json says; None where it says nothing of labels."""
    try:
        content = json.loads(listing)
        said = content["labels"]
        known = content.get("classes")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{place}: {LISTING} cannot be read ({type(error).__name__} {clean(str(error))}); "
            "StyleGAN's has {labels: [[file, class], ...]}"
        ) from None
    if said is None:
        return None
    try:
        pairs = {
            os.fsencode(str(name).replace("\\", "/")): label
            for name, label in (said.items() if isinstance(said, dict) else said)
        }
    except (TypeError, ValueError):
        raise UserError(f"{place}: labels in {LISTING} are no list of [file, class]") from None
    lacking = next((name for name in names.tolist() if name not in pairs), None)
    if lacking is not None:
        raise UserError(
            f"{place}: {LISTING} has no label for {clean(os.fsdecode(lacking))}; "
            "label every picture, or set labels to null"
        )
    found = [pairs[name] for name in names.tolist()]
    wrong = next(
        (label for label in found if type(label) is not int or not 0 <= label < 2**20), None
    )
    if wrong is not None:
        raise UserError(
            f"{place}: {LISTING} has the label {clean(str(wrong))[:40]}; wanted are classes, "
            "whole numbers from 0"
        )
    values = np.array(found, dtype=np.int64)
    count = int(values.max()) + 1
    whole = (
        isinstance(known, list)
        and len(known) >= count
        and all(isinstance(name, str) for name in known)
    )
    return Labels(
        values, tuple(clean(name) for name in known) if whole else tuple(map(str, range(count)))
    )


def _by_folder(place: Path, names: ndarray[Any, Any]) -> Labels:
    """The class of a picture is the first folder in its name;
    where pictures lie beside sub-folders, or in numbered ones alone, there is one class.
    """
    slashes = np.char.find(names, b"/")
    if (slashes < 0).any():
        return Labels()
    folders = np.empty(len(names), dtype=names.dtype)
    for start in range(0, len(names), 10_000):
        folders[start : start + 10_000] = [
            name[:at]
            for name, at in zip(
                names[start : start + 10_000], slashes[start : start + 10_000], strict=True
            )
        ]
    classes, values = np.unique(folders, return_inverse=True)
    if len(classes) == 1 or all(BUCKET.fullmatch(name) for name in classes.tolist()):
        return Labels()
    if all(name.lower() in SPLITS for name in classes.tolist()):
        found = ", ".join(map(os.fsdecode, classes.tolist()))
        raise UserError(
            f"{place} has the splits {found}, not classes: name one of them, "
            f"as {place}/{os.fsdecode(classes[0])}"
        )
    return Labels(
        values.astype(np.int64), tuple(clean(os.fsdecode(name)) for name in classes.tolist())
    )
