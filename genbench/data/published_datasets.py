"""Published data sets by name, read as they are published (through torchvision where it has them),
cropped and resized by a stated rule.

Files lie under the data root: --data-root, else $GENBENCH_DATA, else data/ in the cache.
torchvision checks what it downloads by MD5 before it opens it; CIFAR's files are pickles, which it
unpickles only when they have the published checksum.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import folder_to_write
from genbench._util.cache import home
from genbench._util.console import aside
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import Image, np, torch
from genbench._util.locks import locked
from genbench.api.dataset import Batch, Dataset
from genbench.data.fingerprint import content_of, state_of
from genbench.data.parallel_loading import at_once, loaded

if TYPE_CHECKING:
    from numpy import ndarray

VARIABLE = "GENBENCH_DATA"
LABELS = ("targets", "labels", "_labels")  # where torchvision's sets keep them
NONE_STATED = "none stated"
LISTS = {"imagenet": "ImageNet-LT", "places365": "Places-LT"}  # of Liu et al. 2019, OLTR
FILTERS = ("adm", "lanczos", "bicubic", "bilinear", "box")
# (data root, split, download) -> a set that has len and [i] -> (picture, label)
Make = Callable[[Path, str, bool], Any]


def data_root() -> Path:
    """The folder under which published data sets lie."""
    word = os.environ.get(VARIABLE)
    return Path(word).expanduser() if word else home() / "data"


@dataclass(frozen=True)
class Preparation:
    """Pixels of a published picture: RGB as Pillow converts it; where filter is named, the centre
    square (crop pixels of it, where crop is given) brought to resolution; adm: guided diffusion's
    center_crop_arr.
    """

    resolution: int
    filter: str = ""
    crop: int = 0

    def __str__(self) -> str:
        if not self.filter:
            return "none: 8-bit pixels as they are published, grey repeated to three channels"
        if self.filter == "adm":
            return (
                f"guided diffusion's center_crop_arr to {self.resolution}: halved by box averages "
                "while twice as large, bicubic, the centre square"
            )
        cut = f"the centre square of {self.crop} pixels" if self.crop else "the centre square"
        return (
            f"{cut}, resized to {self.resolution} by Pillow's {self.filter} (antialiased, "
            "rounded across, then down)"
        )

    def __call__(self, picture: Any) -> ndarray[Any, Any]:
        """A Pillow image as uint8 [h, w, 3]."""
        picture = picture.convert("RGB")
        if self.filter == "adm":
            picture = _center_crop_arr(picture, self.resolution)
        elif self.filter:
            side = self.crop or min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            picture = picture.crop((left, top, left + side, top + side))
            if side != self.resolution:
                picture = picture.resize(
                    (self.resolution, self.resolution),
                    getattr(Image.Resampling, self.filter.upper()),
                )
        return np.asarray(picture)


def _center_crop_arr(picture: Any, size: int) -> Any:
    """guided_diffusion/image_datasets.py, center_crop_arr."""
    while min(picture.size) >= 2 * size:
        picture = picture.resize((picture.size[0] // 2, picture.size[1] // 2), Image.Resampling.BOX)
    scale = size / min(picture.size)
    picture = picture.resize(
        (round(picture.size[0] * scale), round(picture.size[1] * scale)), Image.Resampling.BICUBIC
    )
    left, top = ((length - size) // 2 for length in picture.size)
    return picture.crop((left, top, left + size, top + size))


@dataclass(frozen=True)
class Reader:
    """How a published set is opened: reader(split) yields its batches in the published order."""

    name: str
    make: Make
    prepare: Preparation
    counts: tuple[tuple[str, int], ...]  # published sizes of the splits
    files: str  # what to bring, relative to the data root
    url: str
    downloads: bool  # whether torchvision fetches it

    def __call__(self, split: str) -> Iterator[Batch]:
        found = self.made(split)
        if len(found) != dict(self.counts)[split]:
            raise UserError(
                f"{self.name} {split} has {dict(self.counts)[split]} pictures as published, "
                f"{len(found)} lie under {data_root()}: bring the whole set, or take the folder as "
                "your own, --dataset FOLDER"
            )

        def read(places: range) -> tuple[ndarray[Any, Any], ndarray[Any, Any]]:
            pairs = [_one(found, place, self.name) for place in places]
            return np.stack([self.prepare(picture) for picture, _ in pairs]), np.array(
                [label for _, label in pairs], dtype=np.int64
            )

        side = self.prepare.resolution
        parts = (
            loaded(read, len(found), at_once(side, side))
            if self.prepare.filter
            else map(read, _ranges(len(found), at_once(side, side)))
        )
        for images, labels in parts:
            yield (
                torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
                torch.from_numpy(labels),
            )

    def made(self, split: str) -> Any:
        """The set, opened; fetched where it is missing and torchvision can.

        UserError names the files and where they go.
        """
        root = data_root()
        try:
            return self._tried(root, split, False)
        except _Missing as error:
            why = str(error)
        if os.environ.get("GENBENCH_OFFLINE") or not self.downloads:
            raise UserError(self._bring(root, "GENBENCH_OFFLINE is set" if self.downloads else why))
        with locked(
            folder_to_write(root, "the data root") / f".{self.name}.lock",
            f"waiting for another genbench, which fetches {self.name}",
        ):
            try:
                return self._tried(root, split, True)
            except _Missing as error:
                raise UserError(self._bring(root, str(error))) from None

    def labels(self, split: str) -> Any:
        """The classes of a split in order, without a look at its pictures;
        zeros where the set has none.
        """
        found = self.made(split)
        said = next(
            (getattr(found, name) for name in LABELS if getattr(found, name, None) is not None),
            None,
        )
        return (
            np.zeros(len(found), dtype=np.int64)
            if said is None
            else np.maximum(np.asarray(said, dtype=np.int64), 0)
        )

    def missing(self) -> str:
        """What to bring where the set is not here, "" where it is; nothing is fetched."""
        try:
            self._tried(data_root(), next(iter(dict(self.counts))), False)
        except _Missing as error:
            return self._bring(data_root(), str(error)) + (
                ", or let genbench run fetch it" if self.downloads else ""
            )
        return ""

    def _tried(self, root: Path, split: str, download: bool) -> Any:
        try:
            with aside():
                return self.make(root, split, download)
        except UserError:
            raise
        except Exception as error:
            # torchvision raises RuntimeError, what its readers raise on a wrong file, and what the
            # network raises
            said = (
                " ".join(str(error).split())
                .partition(" You can use download")[0]
                .replace(str(root), "the data root")
            )
            raise _Missing(clean(said)[:160].rstrip(".") or type(error).__name__) from None

    def _bring(self, root: Path, why: str) -> str:
        return (
            f"{self.name} is not here ({why}): put {self.files} from {self.url} under {root}, "
            f"or name another place with --data-root or ${VARIABLE}"
        )


class _Missing(Exception):
    """A set cannot be opened, and the text says why."""


def _ranges(count: int, size: int) -> Iterable[range]:
    return (range(at, min(at + size, count)) for at in range(0, count, size))


def _one(found: Any, place: int, name: str) -> tuple[Any, int]:
    try:
        picture, label = found[place]
        picture.load()
    except Exception as error:  # whatever Pillow or a reader raises on a wrong file
        files = getattr(found, "files", None)
        which = files[place] if files is not None else f"picture {place}"
        raise UserError(
            f"{name}: {clean(str(which))} cannot be read ({clean(str(error))}); fetch it again"
        ) from None
    return picture, label if isinstance(label, int) and label >= 0 else 0


@dataclass(frozen=True)
class Named(Dataset):
    """A published set; its content is read once to be identified,
    and again only after a file has changed.
    """

    reader: Reader | None = None
    folder: str = ""  # under the data root: what must not have changed

    def labels(self, split: str) -> Any:
        assert self.reader is not None
        return self.reader.labels(split)

    def fingerprint(self, split: str) -> str:
        assert self.reader is not None
        place = data_root() / self.folder
        if not place.exists():
            self.reader.made(split)
        files = (
            Path(at) / name
            for at, inner, names in os.walk(place)
            for name in (inner.sort() or sorted(names))
            if not name.startswith(".")
        )
        made = digest([self.name, split, self.preparation, importlib.metadata.version("pillow")])[
            :12
        ]
        return content_of(self, split, state_of(place, files), made)


def published(
    name: str,
    title: str,
    classes: tuple[str, ...] | int,
    prepare: Preparation,
    splits: dict[str, int],
    make: Make,
    *,
    files: str,
    folder: str,
    url: str,
    licence: str,
    downloads: bool = False,
) -> Named:
    """The row of a published set."""
    reader = Reader(name, make, prepare, tuple(splits.items()), files, url, downloads)
    return Named(
        name=name,
        title=title,
        classes=tuple(map(str, range(classes))) if isinstance(classes, int) else classes,
        resolution=prepare.resolution,
        splits=splits,
        open=reader,
        preparation=str(prepare),
        source=url,
        licence=licence,
        recogniser="",
        protocol="torch-fidelity",
        reader=reader,
        folder=folder,
    )


def refuse_lists(base: str) -> None:
    """UserError where NAME-lt is known as a list of files,
    which the formula of other long tails does not give.
    """
    called = LISTS.get(re.sub(r"-[0-9]{1,4}(-[a-z]+)?$", "", base))
    if called:
        raise UserError(
            f"{base}-lt: the literature's {called} is a fixed list of files, "
            "which no formula gives: bring them as a folder of your own, --dataset ./FOLDER, "
            f"or cut by LDAM's formula, --dataset {base} --imbalance 100"
        )


def resized(word: str, find: Callable[[str], Any]) -> Named | None:
    """A published set at another resolution, NAME-64, or by another filter, NAME-64-lanczos;
    None where the word names none.

    find(name) -> row or None.
    """
    said = re.fullmatch(rf"(.+?)-([0-9]{{1,4}})(?:-({'|'.join(FILTERS)}))?", word)
    row = find(said[1]) if said else None
    if (
        said is None
        or not isinstance(row, Named)
        or row.reader is None
        or not row.reader.prepare.filter
        or int(said[2]) < 1
    ):
        return None
    prepare = replace(
        row.reader.prepare, resolution=int(said[2]), filter=said[3] or row.reader.prepare.filter
    )
    reader = replace(row.reader, prepare=prepare)
    title = row.title.replace(
        f"{row.resolution}x{row.resolution}", f"{prepare.resolution}x{prepare.resolution}"
    )
    return replace(
        row,
        name=word,
        title=title,
        resolution=prepare.resolution,
        open=reader,
        reader=reader,
        preparation=str(prepare),
    )
