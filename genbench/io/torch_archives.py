"""The pickles in torch's zip archives, read by an unpickler that knows tensors and inert stand-ins,
and nothing else.

A stand-in that a file may call has no dictionary of attributes and refuses to be given a state, so
that no file can alter the reader.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.lazy_imports import torch
from genbench.io.nvidia_pickles import Budget, foresee

LARGEST_PICKLE = 2**24  # bytes of an archive's object tree; NVIDIA's Inception has 60 kB


class Foreign(ValueError):
    """A file names something that no weights need."""


@dataclass(frozen=True)
class _Storage:
    """A storage's element type, and its elements once they are read.

    The reader's only stand-in for torch's storages.
    """

    def __setstate__(self, state: object) -> None:
        raise ValueError("it would alter the reader")

    dtype: torch.dtype
    values: torch.Tensor | None = None


class Bag:
    """What stands for every object of the archive: it holds attributes and does nothing."""

    held: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise ValueError("an object's state is not a dictionary of attributes")
        self.__dict__["held"] = state


class _Named:
    """What an archive may call, and cannot alter: without a dictionary of attributes,
    and without a state to be set.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("it would alter the reader")


class _List(_Named):
    __slots__ = ()

    def __call__(self, values: Any) -> list[Any]:
        return list(values)


class _Tensor(_Named):
    __slots__ = ("budget",)

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def __call__(
        self,
        storage: _Storage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_: object,
    ) -> torch.Tensor:
        return _tensor(storage, offset, size, stride, self.budget)


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], budget: Budget
) -> torch.Tensor:
    if storage.values is None or not all(
        type(one) is int and one >= 0 for one in (offset, *size, *stride)
    ):
        raise ValueError("a tensor has no storage, or its shape is not of whole numbers")
    if math.prod(size) > storage.values.numel():
        raise ValueError("a tensor is larger than its storage")
    budget.take(math.prod(size) * storage.dtype.itemsize)
    return torch.as_strided(storage.values, size, stride, offset).clone()


class Reader(pickle.Unpickler):
    """An unpickler that can name nothing but what is listed in find_class."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        content = io.BytesIO(member(archive, f"{root}/data.pkl", LARGEST_PICKLE))
        foresee(content)
        super().__init__(content)
        self.archive, self.root = archive, root
        self.budget = Budget(archive.start_dir)  # the bytes before its list of members
        # read once each: an archive may name one two hundred times
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Tensors, storages, lists and bags; ValueError for whatever else a file asks for."""
        dtypes = {
            "Float": torch.float32,
            "Double": torch.float64,
            "Half": torch.float16,
            "BFloat16": torch.bfloat16,
            "Long": torch.int64,
            "Int": torch.int32,
        }
        dtypes |= {
            "Bool": torch.bool,
            "Byte": torch.uint8,
            "Short": torch.int16,
            "Char": torch.int8,
        }
        if (
            module == "torch"
            and name.endswith("Storage")
            and name.removesuffix("Storage") in dtypes
        ):
            return _Storage(dtypes[name.removesuffix("Storage")])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor(self.budget)
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle" and name in (
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
        ):
            return _List()
        if module.partition(".")[0] == "__torch__":
            return Bag
        raise ValueError(f"it asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:
        """The elements of a storage, ("storage", type, key, place, count)."""
        kind, storage, key, _, count = pid
        if (
            kind != "storage"
            or not isinstance(storage, _Storage)
            or not isinstance(key, str)
            or type(count) is not int
        ):
            raise ValueError("a storage is not described as one")
        if key in self.storages:
            return self.storages[key]
        length = count * storage.dtype.itemsize
        self.budget.take(length)
        content = member(self.archive, f"{self.root}/data/{key}", length)
        if len(content) != length:
            raise ValueError(f"storage {key} has {len(content)} bytes instead of {length}")
        values = (
            torch.frombuffer(bytearray(content), dtype=storage.dtype)
            if count
            else torch.empty(0, dtype=storage.dtype)
        )
        self.storages[key] = _Storage(storage.dtype, values)
        return self.storages[key]


IN_A_ROW = 4  # a magic number, a version, the system's sizes, the content
BAGS = (
    "_codecs.",
    "argparse.",
    "dnnlib.",
    "easydict.",
    "lightning.",
    "numpy.",
    "omegaconf.",
    "pathlib.",
    "pytorch_lightning.",
    "torch.nn.modules.",
    "yacs.",
)


class _Inert:
    """What stands for a training's arguments, its callbacks and numpy's numbers:
    it takes whatever it is given and keeps nothing.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class _Kept(_Named):
    __slots__ = ()

    def __call__(self, tensor: torch.Tensor, *_: object) -> torch.Tensor:
        return tensor


class Beside(Reader):
    """A reader of state dicts that stand beside a training's bags (BAGS),
    as Lightning's and many scripts' files have them.
    """

    def find_class(self, module: str, name: str) -> Any:
        """As the reader of tensors, and an inert thing for what lies in BAGS;
        Foreign, naming it, for whatever else a file asks for.
        """
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Kept()
        if f"{module}.".startswith(BAGS):
            return _Inert
        if (module, name) in (("builtins", "set"), ("__builtin__", "set")):  # of a module's buffers
            return set
        try:
            return super().find_class(module, name)
        except ValueError as error:
            raise Foreign(str(error)) from None


class _Asking(Beside):
    """A reader of what a pickle asks for: whatever is allowed is inert, and nothing is kept."""

    def __init__(self, content: io.BytesIO) -> None:
        pickle.Unpickler.__init__(self, content)
        self.budget = Budget(0)  # of which nothing is taken

    def find_class(self, module: str, name: str) -> Any:
        super().find_class(module, name)
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        return None


def refuse_by_name(path: Path) -> None:
    """Foreign, naming it, for the first thing that no weights need in a file of pickles in a row,
    torch's format before 1.6; else nothing.
    """
    with path.open("rb") as file:
        content = io.BytesIO(file.read(LARGEST_PICKLE))
    for _ in range(IN_A_ROW):
        try:
            foresee(content)
            _Asking(content).load()
        except Foreign:
            raise
        except Exception:  # a cut end, or stand-ins used as what they are not
            return


def member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of an archive, which must be stored as it is:
    nothing that unfolds to more than the file itself.
    """
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > most:
        raise ValueError(f"{name} is compressed, or larger than it should be")
    return archive.read(entry)
