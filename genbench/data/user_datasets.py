"""Real images in the user's own files as data sets: folders and zips of pictures,
npz and idx files, parquet, and sets of the hub.

What decides its numbers is its pixels, so a set's name ends in their hash: a changed folder is
another data set, with boards of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import torch
from genbench.api import _registry as registry
from genbench.api.dataset import Batch, Dataset
from genbench.data import published_datasets
from genbench.data.class_labels import SPLITS
from genbench.data.fingerprint import State, content_of
from genbench.data.huggingface import PREFIX, open_hub, open_parquet
from genbench.data.image_array import Stack, open_idx, open_npz
from genbench.data.image_folder import Pictures, open_pictures
from genbench.data.long_tail import split_name
from genbench.data.subsets import half_name, half_of, long_tailed
from genbench.io.idx import is_idx

if TYPE_CHECKING:
    Images = Pictures | Stack

PROTOCOL = "torch-fidelity"  # what a folder is measured by unless another is named
AS_IT_IS = (
    "none: 8-bit pixels as the files hold them, grey repeated to three channels, in the order of "
)


@dataclass(frozen=True)
class Stored(Dataset):
    """A data set in the user's own files, whose content is known since it was last read."""

    contents: Mapping[str, str] = field(default_factory=dict)  # split -> SHA-256
    # under --on-bad-image skip: a line for each picture that was refused
    left_out: tuple[str, ...] = ()
    sources: Mapping[str, Any] = field(default_factory=dict)  # split -> Pictures or Stack

    def fingerprint(self, split: str) -> str:
        return self.contents[split]

    def labels(self, split: str) -> Any:
        return self.sources[split].labels.at(0, len(self.sources[split]))


def dataset_of(word: str) -> Dataset:
    """The data set behind `--dataset WORD`: a name on the shelf, one of them at another size,
    a set of the hub, or files of the user's; UserError with the near misses otherwise.

    A name goes before a folder of that name, which is written ./name. With `-lt-ir100` behind any
    of them, its training split is cut to a long tail; with `-even` or `-odd`, it is
    half of the set.
    """
    if word in registry.standing("datasets") or not word:
        row: Dataset = registry.find("datasets", word)
        return row
    half = half_name(word)
    if half and not Path(word).exists():
        return half_of(dataset_of(half[0]), half[1])
    tail = split_name(word)
    if tail and not Path(word).exists():
        if tail[1] is None:
            published_datasets.refuse_lists(tail[0])
        return long_tailed(dataset_of(tail[0]), tail[1])
    if word.startswith(PREFIX):
        return _stored(word, open_hub(word))
    if (
        Path(word).is_dir()
        or Path(word).suffix in (".zip", ".npz", ".parquet")
        or "/" in word
        or is_idx(Path(word))
    ):
        return files_dataset(Path(word))
    resized = published_datasets.resized(
        word,
        lambda name: (
            registry.find("datasets", name) if name in registry.standing("datasets") else None
        ),
    )
    if resized is None and word.startswith("lsun-"):
        known = ", ".join(
            name for name in registry.standing("datasets") if name.startswith("lsun-")
        )
        raise UserError(
            f"unknown dataset {clean(word)!r}: of LSUN only scenes are known, none of its objects: "
            f"{known}; any other as files of your own, ./FOLDER"
        )
    return resized or registry.find("datasets", word)  # which says what there is


def open_images(path: Path | str) -> Images:
    """Images in files, one by one or in order: a folder of pictures with its sub-folders,
    a zip of one, an npz, idx or parquet file.

    len(found) is how many there are, found.read(places) those at some places, uint8 [n, 3, h, w],
    found.labels.values their classes int64 [n] or None.
    """
    place = Path(path)
    if place.is_dir():
        return open_pictures(place)
    if not place.exists():
        raise UserError(f"{place}: there is no such {'file' if place.suffix else 'folder'}")
    if place.suffix == ".zip":
        return open_pictures(place)
    if place.suffix == ".npz":
        return open_npz(place)
    if place.suffix == ".parquet":
        return open_parquet(place)
    if is_idx(place):
        return open_idx(place)
    raise UserError(
        f"{place} is not a folder of pictures, nor a .zip of one, nor images as .npz, "
        ".parquet or idx"
    )


def files_dataset(path: Path) -> Stored:
    """The images in the user's files as a data set; one split, "train",
    unless a folder is made of the folders train and test.
    """
    splits = _splits(path)
    return _stored(
        str(path),
        {split: open_images(at) for split, at in splits.items()} or {"train": open_images(path)},
    )


def npz_dataset(path: Path) -> Stored:
    """The images of an npz as a data set."""
    return _stored(str(path), {"train": open_npz(path)})


def _splits(path: Path) -> dict[str, Path]:
    """The splits of a folder that has no more than sub-folders of their names."""
    if not path.is_dir():
        return {}
    inner = {
        child.name: child
        for child in sorted(path.iterdir(), reverse=True)
        if child.is_dir() and not child.name.startswith(".")
    }
    if (
        "train" not in inner
        or not all(name.encode() in SPLITS for name in inner)
        or (path / "dataset.json").is_file()
    ):
        return {}
    return inner


def _stored(word: str, sources: Mapping[str, Images]) -> Stored:
    """The row of images in files; opening it says so when they have changed since it was made."""
    whole, first = next(iter(sources.items()))
    for split, source in sources.items():
        if (source.height, source.width, source.labels.classes) != (
            first.height,
            first.width,
            first.labels.classes,
        ):
            ours, theirs = (
                f"{one.width}x{one.height} pixels and {len(one.labels.classes)} classes"
                for one in (source, first)
            )
            alone = "".join(
                f", {clean(name)} in one of them alone"
                for name in sorted({*source.labels.classes} ^ {*first.labels.classes})[:1]
            )
            raise UserError(
                f"{word}: its splits differ: {split} has {ours}, {whole} {theirs}{alone}; "
                f"name one of them, {word}/{split}"
            )
    made = {split: source.state() for split, source in sources.items()}

    def opened(split: str) -> Iterator[Batch]:
        _unchanged(word, sources[split], made[split])
        at = 0
        for images in sources[split].batches():
            yield images, torch.from_numpy(sources[split].labels.at(at, len(images)).copy())
            at += len(images)
        _unchanged(word, sources[split], made[split])

    left_out = tuple(line for source in sources.values() for line in source.left_out)
    row = Stored(
        name="images",
        title=(
            f"{sum(map(len, sources.values()))} images of {_shown(word)}, "
            f"{first.width}x{first.height}"
        ),
        classes=first.labels.classes,
        resolution=max(first.height, first.width),
        splits={split: len(source) for split, source in sources.items()},
        open=opened,
        preparation=AS_IT_IS
        + ("their names" if isinstance(first, Pictures) else "the file")
        + (f"; {len(left_out)} refused and left out" if left_out else ""),
        source=_shown(word),
        licence="the owner's of the files",
        recogniser="",
        protocol=PROTOCOL,
        left_out=left_out,
        sources=sources,
    )
    # what a folder holds under the other policy is another set
    policy = "kept" if left_out else "content"
    contents = {split: content_of(row, split, made[split], policy) for split in sources}
    known = contents["train"] if list(contents) == ["train"] else digest(contents)
    return replace(row, name=f"{_safe(_shown(word)) or 'images'}-{known[:8]}", contents=contents)


def _unchanged(word: str, source: Images, made: State) -> None:
    if source.state() != made:
        raise RunFailed(
            f"{word} was changed while it was being read; run again for the data set that it is now"
        )


def _shown(word: str) -> str:
    """The name of the files, without the place on this machine."""
    return word if word.startswith(PREFIX) else Path(word).resolve().name


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", re.sub(r"\.(npz|zip|parquet|gz)$", "", name.lower()))[
        :40
    ].strip("-_.")
