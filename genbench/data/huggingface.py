"""Pictures in tables: a parquet file as the datasets library keeps images,
and data sets of its hub, `hf:owner/name`.

Both need `genbench[hf]`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.cache import home
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import hf_datasets, np, parquet
from genbench.data.class_labels import Labels
from genbench.data.fingerprint import State, state_of
from genbench.data.image_folder import JPEG, LARGEST_FILE, Pictures
from genbench.io.image_decoding import decoded

PREFIX = "hf:"
MISSING = 'needs pip install "genbench[hf]"'
LARGEST = 2**33  # bytes of a parquet file, unfolded: it is held in memory
# of a hub's set, in this order; others after them, by name
SPLITS = ("train", "test", "validation", "val")


def _nothing(place: int) -> Any:
    return None


@dataclass(frozen=True)
class Tabled(Pictures):
    """Encoded pictures in rows: cell(place) is {"bytes", "path"} as the datasets library
    keeps an image.
    """

    cell: Callable[[int], Any] = _nothing
    kept_in: tuple[Path, ...] = ()

    def state(self) -> State:
        return state_of(self.place, self.kept_in)

    def decoded(self, place: int) -> Any:
        data = self._data(place)
        if isinstance(data, Path):
            return decoded(str(data), str(data))
        if not isinstance(data, bytes) or not data:
            return "holds no picture"
        return (
            decoded("row.png", data)
            if len(data) <= LARGEST_FILE
            else f"has {len(data)} bytes, more than {LARGEST_FILE}"
        )

    def head(self, place: int) -> bytes:
        data = self._data(place)
        try:
            with (
                data.open("rb")
                if isinstance(data, Path)
                else io.BytesIO(data if isinstance(data, bytes) else b"") as file
            ):
                return file.read(len(JPEG))
        except (OSError, ValueError):
            return b""

    def _data(self, place: int) -> Any:
        """What a cell holds: the bytes of a picture's file, or the path of one."""
        found = self.cell(place)
        data = found.get("bytes") if isinstance(found, dict) else found
        return (
            Path(str(found["path"]))
            if isinstance(found, dict) and data is None and found.get("path")
            else data
        )

    def line(self, place: int, why: str) -> str:
        return f"{self.place}: {self.name(place)} {why}"


def open_parquet(path: Path) -> Pictures:
    """The pictures of a parquet file: the column whose cells are {"bytes", "path"} (or bytes),
    and the whole numbers of the column label, in its order.
    """
    try:
        parts = parquet.read_metadata(path)
        size = sum(parts.row_group(i).total_byte_size for i in range(parts.num_row_groups))
        if size > LARGEST:
            raise UserError(f"{path} unfolds to {size} bytes, more than {LARGEST}; split it")
        table = parquet.read_table(path, memory_map=True)
    except ImportError:
        raise UserError(f"{path}: parquet {MISSING}") from None
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Exception as error:  # pyarrow raises its own types
        raise UserError(
            f"{path} cannot be read as parquet ({clean(str(error))[:100]}); make it again"
        ) from None
    images = next(
        (name for name in table.column_names if _holds_pictures(table.schema.field(name).type)), ""
    )
    if not images or not len(table):
        raise UserError(
            f"{path} has no column of pictures, binary or {{bytes, path}}; "
            f"it has {', '.join(table.column_names) or 'nothing'}"
        )
    column = table.column(images)
    labels = Labels()
    if "label" in table.column_names:
        labels = _classes(
            str(path), table.column("label").to_numpy(), _names_of(table.schema.metadata)
        )
    rows = np.array([b"row %d" % i for i in range(len(table))], dtype=np.bytes_)
    return Tabled(
        path, rows, labels, cell=lambda place: column[place].as_py(), kept_in=(path,)
    ).sized()


def _holds_pictures(kind: Any) -> bool:
    said = str(kind)
    return said in ("binary", "large_binary") or said.startswith("struct<bytes: ")


def _names_of(metadata: Any) -> tuple[str, ...]:
    """The class names that the datasets library wrote into a file's schema;
    () where there are none.
    """
    import json

    try:
        found = json.loads((metadata or {})[b"huggingface"])["info"]["features"]["label"]["names"]
        return tuple(map(str, found))
    except (KeyError, TypeError, ValueError):
        return ()


def _classes(place: str, values: Any, names: tuple[str, ...]) -> Labels:
    if (
        values.dtype.kind not in "iu"
        or values.min() < 0
        or values.max() >= max(len(values), len(names))
    ):
        raise UserError(
            f"{place}: the column label is {values.dtype} from {values.min()} to {values.max()}; "
            "wanted are classes, whole numbers from 0"
        )
    count = max(int(values.max()) + 1, len(names))
    return Labels(
        values.astype(np.int64), names if len(names) == count else tuple(map(str, range(count)))
    )


def open_hub(word: str) -> dict[str, Pictures]:
    """Every split of a set of the hub, `hf:owner/name` or `hf:owner/name:configuration`,
    through the datasets library: its own cache, its own download.
    """
    name, _, configuration = word.removeprefix(PREFIX).partition(":")
    offline = bool(os.environ.get("GENBENCH_OFFLINE"))
    if offline:
        os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        whole = hf_datasets.load_dataset(name, configuration or None)
    except ImportError:
        raise UserError(f"{clean(word)} {MISSING}") from None
    except Exception as error:  # the library raises dozens of its own and of the network's
        why = "GENBENCH_OFFLINE is set" if offline else clean(" ".join(str(error).split()))[:200]
        raise UserError(
            f"{clean(word)} cannot be opened ({why}); once fetched it lies in the datasets "
            "library's cache, $HF_HOME"
        ) from None
    order = sorted(
        whole, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)
    )
    return {split: _split(word, split, whole[split]) for split in order}


def _split(word: str, split: str, table: Any) -> Pictures:
    features = table.features
    images = next((name for name, kind in features.items() if type(kind).__name__ == "Image"), "")
    if not images:
        raise UserError(f"{clean(word)} has no column of pictures; it has {', '.join(features)}")
    classes = next(
        (name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"), ""
    )
    labels = (
        _classes(word, np.asarray(table[classes]), tuple(features[classes].names))
        if classes
        else Labels()
    )
    encoded = table.cast_column(images, hf_datasets.Image(decode=False))
    kept = tuple(Path(file["filename"]) for file in table.cache_files)
    rows = np.array(
        [b"%s row %d" % (split.encode(), i) for i in range(len(table))], dtype=np.bytes_
    )
    place = Path(kept[0]).parent if kept else home()
    return Tabled(place, rows, labels, cell=lambda row: encoded[row][images], kept_in=kept).sized()
