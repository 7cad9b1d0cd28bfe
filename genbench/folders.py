"""Real images in the user's own files: a folder of pictures, or an npz of images as guided diffusion's (ADM), as a data set.

What decides its numbers is its pixels, so its name ends in their hash: a changed folder is another data set, with boards of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench import npz, shelves
from genbench.files import Damaged, digest, home, read_json, write_json
from genbench.lazy import np, torch
from genbench.pictures import BATCH, LARGEST, open_images
from genbench.rows import Batch, Dataset
from genbench.say import RunFailed, UserError, progress, tell

PROTOCOL = "torch-fidelity"  # what a folder is measured by unless another is named
SETTLED = 2.0  # seconds; a file younger than the clock's grain may change again and look the same


@dataclass(frozen=True)
class Stored(Dataset):
    """A data set in the user's own files, whose content is known since it was last read."""

    content: str = ""

    def fingerprint(self, split: str) -> str:
        return self.content


def dataset_of(word: str) -> Dataset:
    """The data set behind `--dataset WORD`: a name on the shelf, a folder of pictures, or an npz of images; UserError with the near misses otherwise.

    A name goes before a folder of that name, which is written ./name.
    """
    path = Path(word)
    if word in shelves.standing("datasets") or not word:
        row: Dataset = shelves.find("datasets", word)
        return row
    if path.is_dir():
        return folder_dataset(path)
    if path.suffix == ".npz" or "/" in word:
        return npz_dataset(path)
    return shelves.find("datasets", word)  # which says what there is


def folder_dataset(path: Path) -> Stored:
    """The pictures of a folder in the order of their names, as the split "train" of one class. 8-bit RGB or grey, all of one size.

    They are read once to be identified, and again only after one has come, gone or changed.
    """
    pictures = open_images(path)

    def batches() -> Iterator[Batch]:
        for images in pictures.batches():
            yield images, torch.zeros(len(images), dtype=torch.int64)

    return _stored(
        path,
        lambda: open_images(path).files,
        batches,
        title=f"{len(pictures)} pictures of the folder {path.resolve().name}, {pictures.width}x{pictures.height}",
        classes=("all",),
        resolution=max(pictures.height, pictures.width),
        splits={"train": len(pictures)},
        preparation="none: 8-bit pixels as the files hold them, grey repeated to three channels, in the order of the file names",
    )


def npz_dataset(path: Path) -> Stored:
    """The images `arr_0` of an npz, uint8 [N, h, w, 3] (or 1), and, where it has them, their labels `arr_1` int [N], as the split "train"."""
    with npz.member(path, "arr_0") as found:
        shape, dtype = found.shape, found.dtype
    if dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or min(shape) < 1 or shape[1] * shape[2] > LARGEST:
        raise UserError(f"{path}: arr_0 is {dtype} {list(shape)}; wanted are images, uint8 [N, height, width, 3]")
    labels = _labels(path, shape[0]) if "arr_1" in npz.keys(path) else np.zeros(shape[0], dtype=np.int64)
    classes = tuple(map(str, range(int(labels.max()) + 1))) if labels.any() else ("all",)

    def batches() -> Iterator[Batch]:
        at = 0
        for piece in npz.rows(path, "arr_0", BATCH):
            images = torch.from_numpy(piece.copy()).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()
            yield images, torch.from_numpy(labels[at : at + len(images)])
            at += len(images)

    return _stored(
        path,
        lambda: [path],
        batches,
        title=f"{shape[0]} images of {path.name}, {shape[2]}x{shape[1]}",
        classes=classes,
        resolution=max(shape[1], shape[2]),
        splits={"train": shape[0]},
        preparation="none: arr_0 as it is, in its order; grey repeated to three channels",
    )


def _labels(path: Path, count: int) -> Any:
    """arr_1 as int64 [N]; UserError when it is no list of classes."""
    with npz.member(path, "arr_1") as found:
        shape, dtype = found.shape, found.dtype
    labels = npz.whole(path, "arr_1").astype(np.int64) if shape == (count,) and dtype.kind in "iu" else None
    if labels is None or labels.min() < 0 or labels.max() >= count:
        raise UserError(f"{path}: arr_1 is {dtype} {list(shape)}; wanted are the classes of its {count} images, whole numbers from 0, fewer than images")
    return labels


def _stored(path: Path, files: Callable[[], Sequence[Path]], batches: Callable[[], Iterator[Batch]], **fields: Any) -> Stored:
    """The row of files of the user's; opening it says so when they have changed since it was made."""
    made = _state(path, files())

    def unchanged() -> None:
        if _state(path, files()) != made:
            raise RunFailed(f"{path} was changed while it was being read; run again for the data set that it is now")

    def opened(split: str) -> Iterator[Batch]:
        unchanged()
        yield from batches()
        unchanged()

    fixed: dict[str, Any] = {"source": path.resolve().name, "licence": "the owner's of the files", "recogniser": "", "protocol": PROTOCOL}
    row = Stored(name="images", open=opened, **fields, **fixed)
    content = _content(row, made)
    safe = re.sub(r"[^a-z0-9_.-]+", "-", path.resolve().stem.lower() if path.suffix == ".npz" else path.resolve().name.lower())[:40].strip("-_.")
    return replace(row, name=f"{safe or 'images'}-{content[:8]}", content=content)


def _state(path: Path, files: Sequence[Path]) -> dict[str, Any]:
    """What changes when a file does: names, sizes and times, that of the last change of content or name (ctime) among them, which nobody can set back."""
    try:
        found = [(file.name, file.stat()) for file in files]
    except OSError as error:  # a link to nowhere, or a file that goes at this moment
        raise UserError(f"{error.filename} cannot be read ({error.strerror}); make it again, or remove it") from None
    return {"path": ascii(str(path.resolve())), "files": [[ascii(name), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in found]}


def _content(row: Stored, state: dict[str, Any]) -> str:
    """The SHA-256 of pixels and labels, from the cache while the files are the same."""
    began = time.time()
    kept = home() / "folders" / f"{digest(state)[:32]}.json"
    try:
        return str(read_json(kept)["content"])
    except FileNotFoundError:
        pass
    except (Damaged, KeyError) as error:
        tell(f"cache: {error}; making it again")
    count = row.splits["train"]
    with progress("reading images", count, "images") as done:

        def counted(split: str) -> Iterator[Batch]:
            for batch in row.open(split):
                yield batch
                done(len(batch[0]))

        content = Dataset.fingerprint(replace(row, open=counted), "train")
    if began - max(file[3] for file in state["files"]) / 1e9 > SETTLED:
        try:
            write_json(kept, {"content": content})
        except RunFailed as error:  # it costs time only
            tell(f"cache: {error}")
    return content
