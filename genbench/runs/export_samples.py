"""A run's samples in the forms that others read: a folder or a zip of PNG as StyleGAN's tools write
them, npz, guided diffusion's npz, parquet.

Each is written whole or not at all, image by image, and read back before it counts as written.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import write_folder, write_pieces
from genbench._util.checksummed_files import Damaged, read_json
from genbench._util.console import progress
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import Image, np, parquet, pyarrow
from genbench.data.class_labels import LISTING
from genbench.data.huggingface import MISSING
from genbench.data.user_datasets import dataset_of, files_dataset
from genbench.io.zip_stream import Pipe, zipped
from genbench.runs.records.record import PROMPTS, Plan, Record, plan_of
from genbench.runs.sampling.read_shards import images_at
from genbench.runs.sampling.shards import labels_for

if TYPE_CHECKING:
    from numpy import ndarray

AT_ONCE = 2**28  # bytes of images in memory
ROWS = 500  # images to a row group of a parquet file


@dataclass(frozen=True)
class Samples:
    """A run's kept images, in the order of their indices."""

    plan: Plan
    folder: Path
    size: tuple[int, int]
    labels: ndarray[Any, Any] | None  # int64 [n]
    classes: tuple[str, ...]
    prompts: tuple[str, ...] = ()  # of each image; (): it was asked for without

    def pieces(self) -> Iterator[ndarray[Any, Any]]:
        """uint8 [b, h, w, 3]."""
        step = max(1, AT_ONCE // (3 * self.size[0] * self.size[1]))
        with progress("writing samples", self.plan.n, "images") as done:
            for at in range(0, self.plan.n, step):
                found = images_at(
                    self.plan, self.folder, list(range(at, min(at + step, self.plan.n)))
                )
                yield np.ascontiguousarray(found.transpose(0, 2, 3, 1))
                done(len(found))

    def pngs(self) -> Iterator[tuple[str, bytes]]:
        """(StyleGAN's name, PNG) of each."""
        at = 0
        for piece in self.pieces():
            for image in piece:
                with io.BytesIO() as buffer:
                    Image.fromarray(image).save(buffer, format="PNG")
                    yield f"{at // 1000:05d}/img{at:08d}.png", buffer.getvalue()
                at += 1

    def listing(self) -> bytes:
        """dataset.json: the label of each file, and the names of the classes and the prompts,
        which StyleGAN's tools pass over.
        """

        def beside(values: Iterable[Any]) -> list[list[Any]]:
            return [[f"{i // 1000:05d}/img{i:08d}.png", value] for i, value in enumerate(values)]

        found: dict[str, Any] = {"labels": None}
        if self.labels is not None:
            found = {"labels": beside(self.labels.tolist()), "classes": list(self.classes)}
        if self.prompts:
            found["prompts"] = beside(self.prompts)
        return (json.dumps(found, ensure_ascii=False) + "\n").encode()

    def content(self) -> str:
        """The fingerprint of these images as a data set (rows.Dataset.fingerprint)."""
        pixels = hashlib.sha256()
        for piece in self.pieces():
            pixels.update(np.ascontiguousarray(piece.transpose(0, 3, 1, 2)).tobytes())
        labels = np.zeros(self.plan.n, dtype=np.int64) if self.labels is None else self.labels
        return hashlib.sha256(
            pixels.digest() + hashlib.sha256(labels.tobytes()).digest()
        ).hexdigest()


def samples_of(found: Record) -> Samples:
    """The samples of a finished run; UserError where they were not kept."""
    plan = plan_of(found)
    folder = Path(found.folder)
    if not plan.keep_images:
        raise UserError(
            f"run {found.id} did not keep its images: genbench run --save-samples with the same "
            "words, then export"
        )
    if not (folder / "shards").is_dir():
        raise UserError(
            f"{folder} has no samples any more; give genbench run the same words with "
            "--fresh, then export"
        )
    first = images_at(plan, folder, [0])[0]
    labels = labels_for(plan)
    return Samples(
        plan,
        folder,
        (first.shape[1], first.shape[2]),
        labels,
        () if labels is None else _classes(plan),
        _prompts(plan, folder),
    )


def _prompts(plan: Plan, folder: Path) -> tuple[str, ...]:
    """The prompt of each sample, as the run's folder keeps them; () for a run without."""
    if "prompts" not in plan.identity["conditions"]:
        return ()
    try:
        found = read_json(folder / PROMPTS)
        return tuple(found["prompts"][place] for place in found["samples"])
    except (FileNotFoundError, Damaged, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{folder / PROMPTS} is missing or damaged ({clean(str(error))}); "
            "the same genbench run with --fresh writes it again"
        ) from None


def _classes(plan: Plan) -> tuple[str, ...]:
    """The names of the run's classes; numbers where its data set cannot be had any more."""
    count = int(plan.identity["conditions"]["classes"])
    try:
        names = dataset_of(plan.dataset or plan.identity["dataset"]).classes
    except UserError:
        names = ()
    return names if len(names) == count else tuple(map(str, range(count)))


def export(found: Record, form: str, out: Path | None) -> tuple[Path, str, int]:
    """Write a run's samples; where they are, their name as a data set, and how many.

    UserError when something is there already.
    """
    samples = samples_of(found)
    height, width = samples.size
    usual = (
        f"samples_{samples.plan.n}x{height}x{width}x3.npz"
        if form == "adm"
        else f"samples-{found.id[:8]}{ENDINGS[form]}"
    )
    path = out or Path(usual)
    if path.exists():
        raise UserError(f"{path} exists already: --out another place, or remove it")
    if path.suffix != ENDINGS[form]:
        raise UserError(
            f"--out {path}: "
            + (
                f"a name that ends in {ENDINGS[form]}"
                if ENDINGS[form]
                else "a folder's name has no ending"
            )
        )
    FORMS[form](samples, path)
    row = files_dataset(path)
    if row.fingerprint("train") != samples.content():
        raise RunFailed(f"{path} was written but reads back differently; is the disk sound?")
    return path, row.name, samples.plan.n


def _folder(samples: Samples, path: Path) -> None:
    def pieces() -> Iterator[tuple[str, bytes]]:
        yield from samples.pngs()
        yield LISTING, samples.listing()

    write_folder(path, pieces())


def _zip(samples: Samples, path: Path) -> None:
    def members() -> Iterator[tuple[str, list[bytes]]]:
        for name, data in samples.pngs():
            yield name, [data]
        yield LISTING, [samples.listing()]

    write_pieces(path, zipped(members()))


def _npz(images: str, labels: str) -> Callable[[Samples, Path], None]:
    """An npz of the images uint8 [n, h, w, 3] and their labels int64 [n] under these keys."""

    def written(samples: Samples, path: Path) -> None:
        members = [
            (
                f"{images}.npy",
                itertools.chain(
                    [_header("|u1", samples.plan.n, *samples.size, 3)],
                    (piece.tobytes() for piece in samples.pieces()),
                ),
            )
        ]
        if samples.labels is not None:
            members.append(
                (
                    f"{labels}.npy",
                    itertools.chain(
                        [_header("<i8", samples.plan.n), samples.labels.astype("<i8").tobytes()]
                    ),
                )
            )
        if samples.prompts:
            texts = np.array(samples.prompts)
            members.append(
                (
                    "prompts.npy",
                    itertools.chain([_header(texts.dtype.str, samples.plan.n), texts.tobytes()]),
                )
            )
        write_pieces(path, zipped(members))

    return written


def _header(kind: str, *shape: int) -> bytes:
    """The beginning of a .npy."""
    with io.BytesIO() as buffer:
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": kind, "fortran_order": False, "shape": shape}
        )
        return buffer.getvalue()


def _parquet(samples: Samples, path: Path) -> None:
    """The columns image {bytes, path} and label, with what the datasets library says of them
    in the schema.
    """
    try:
        kinds = {"image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})}
    except ImportError:
        raise UserError(f"parquet {MISSING}") from None
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if samples.labels is not None:
        kinds["label"] = pyarrow.int64()
        features["label"] = {"names": list(samples.classes), "_type": "ClassLabel"}
    if samples.prompts:
        kinds["prompt"] = pyarrow.string()
        features["prompt"] = {"dtype": "string", "_type": "Value"}
    schema = pyarrow.schema(
        kinds, metadata={"huggingface": json.dumps({"info": {"features": features}})}
    )

    def pieces() -> Iterator[bytes]:
        pipe, at, rows = Pipe(), 0, []
        with parquet.ParquetWriter(pyarrow.PythonFile(pipe, mode="w"), schema) as writer:
            for name, data in samples.pngs():
                label = {} if samples.labels is None else {"label": int(samples.labels[at])}
                prompt = {"prompt": samples.prompts[at]} if samples.prompts else {}
                rows.append({"image": {"bytes": data, "path": name}, **label, **prompt})
                at += 1
                if len(rows) == ROWS or at == samples.plan.n:
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                    rows = []
                    yield pipe.taken()
        yield pipe.taken()

    write_pieces(path, pieces())


FORMS: dict[str, Callable[[Samples, Path], None]] = {
    "folder": _folder,
    "zip": _zip,
    "npz": _npz("images", "labels"),
    "adm": _npz("arr_0", "arr_1"),
    "parquet": _parquet,
}
ENDINGS = {"folder": "", "zip": ".zip", "npz": ".npz", "adm": ".npz", "parquet": ".parquet"}
