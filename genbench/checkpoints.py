"""The safe readers of weights: nothing in a file is ever executed, and there is no fallback from safe to unsafe."""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.lazy import safetensors_torch, torch
from genbench.say import UserError, clean


def load_checkpoint(path: Path | str, device: Any = "cpu", parts: Sequence[str | int] = ("state_dict",)) -> dict[str, torch.Tensor]:
    """The tensors of a weights file: safetensors, or a PyTorch state dict (.pt, .pth, ...) read with weights_only=True; told apart by content.

    parts: of a file that holds several dictionaries, the first of these names that it has ("g_ema", "ema_model"), or of these places where it is a list.
    UserError for anything else.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a folder; name the file in it")
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"  # eight bytes of length, then JSON; zip and pickle begin otherwise
        if is_safetensors:
            return safetensors_torch.load_file(path, device=str(device))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is refused in a line below
            return _state_dict(_content(path, device), path, parts)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except UserError:
        raise
    except Exception as error:  # each reader has its own error types; none of them means anything but a wrong file
        why = f"{type(error).__name__}: {clean(str(error))}" if isinstance(error, Foreign) else type(error).__name__
        raise UserError(f"checkpoint {path} is neither safetensors nor a plain state dict ({why}); nothing in it was executed") from None


class Foreign(ValueError):
    """A file names something that no weights need."""


def _content(path: Path, device: Any) -> Any:
    """What torch reads with weights_only; what it refuses for a bag of a training's own beside the tensors, read with an inert thing in the bag's place."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path):
            raise
    with zipfile.ZipFile(path) as archive:
        return _moved(_Beside(archive, archive.namelist()[0].partition("/")[0]).load(), device)


def _moved(content: Any, device: Any) -> Any:
    """Dictionaries and lists within one another with their tensors on a device."""
    if isinstance(content, dict):
        return {key: _moved(value, device) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_moved(value, device) for value in content]
    return content.to(device) if isinstance(content, torch.Tensor) else content


def _state_dict(content: Any, path: Path, parts: Sequence[str | int]) -> dict[str, torch.Tensor]:
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if isinstance(content, dict):
        content = next((content[part] for part in parts if isinstance(content.get(part), dict)), content)
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"checkpoint {path} is not a flat dictionary of tensors")
    return {str(k): v for k, v in content.items()}


# TorchScript


LARGEST_PICKLE = 2**24  # bytes of an archive's object tree; NVIDIA's Inception has 60 kB
DEEPEST, MOST = 32, 100_000  # modules within modules, and attributes in all: a tree that refers to itself ends here


def load_tensors(path: Path | str, device: Any = "cpu") -> dict[str, torch.Tensor]:
    """As load_checkpoint, and the tensors of a TorchScript archive besides, under their dotted names ("layers.conv.weight"). UserError for anything else.

    An archive's code is neither compiled nor run: torch.jit.load is not called. Its object tree is read by a pickle reader that knows tensors, lists of
    numbers and bags of attributes, and nothing else.
    """
    path = Path(path)
    if not _is_torchscript(path):
        return load_checkpoint(path, device)
    try:
        with zipfile.ZipFile(path) as archive:
            tensors = dict(_named_tensors(_tree(archive)))
        return {name: tensor.to(device) for name, tensor in tensors.items()}
    except Exception as error:  # zipfile, pickle and torch have their own error types; none of them means anything but a wrong file
        raise UserError(f"{clean(str(path))} is a TorchScript archive that cannot be read ({clean(str(error))}); nothing in it was executed") from None


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a zip with code in it; a state dict is a zip without, or no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2].startswith("code/") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


@dataclass(frozen=True)
class _Storage:
    """A storage's element type, and its elements once they are read. The reader's only stand-in for torch's storages."""

    def __setstate__(self, state: object) -> None:
        raise ValueError("it would alter the reader")

    dtype: torch.dtype
    values: torch.Tensor | None = None


class _Bag:
    """What stands for every object of the archive: it holds attributes and does nothing."""

    held: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise ValueError("an object's state is not a dictionary of attributes")
        self.__dict__["held"] = state


class _Named:
    """What an archive may call, and cannot alter: without a dictionary of attributes, and without a state to be set."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("it would alter the reader")


class _List(_Named):
    __slots__ = ()

    def __call__(self, values: Any) -> list[Any]:
        return list(values)


class _Tensor(_Named):
    __slots__ = ()

    def __call__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> torch.Tensor:
        return _tensor(storage, offset, size, stride)


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    if storage.values is None or not all(type(one) is int and one >= 0 for one in (offset, *size, *stride)):
        raise ValueError("a tensor has no storage, or its shape is not of whole numbers")
    if math.prod(size) > storage.values.numel():
        raise ValueError("a tensor is larger than its storage")
    return torch.as_strided(storage.values, size, stride, offset).clone()


class _Reader(pickle.Unpickler):
    """An unpickler that can name nothing but what is listed in find_class."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(_member(archive, f"{root}/data.pkl", LARGEST_PICKLE)))
        self.archive, self.root = archive, root
        self.storages: dict[str, _Storage] = {}  # read once each: an archive may name one two hundred times

    def find_class(self, module: str, name: str) -> Any:
        """Tensors, storages, lists and bags; ValueError for whatever else a file asks for."""
        dtypes = {"Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32}
        dtypes |= {"Bool": torch.bool, "Byte": torch.uint8, "Short": torch.int16, "Char": torch.int8}
        if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage") in dtypes:
            return _Storage(dtypes[name.removesuffix("Storage")])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor()
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle" and name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"):
            return _List()
        if module.partition(".")[0] == "__torch__":
            return _Bag
        raise ValueError(f"it asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:
        """The elements of a storage, ("storage", type, key, place, count)."""
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str) or type(count) is not int:
            raise ValueError("a storage is not described as one")
        if key in self.storages:
            return self.storages[key]
        length = count * storage.dtype.itemsize
        content = _member(self.archive, f"{self.root}/data/{key}", length)
        if len(content) != length:
            raise ValueError(f"storage {key} has {len(content)} bytes instead of {length}")
        values = torch.frombuffer(bytearray(content), dtype=storage.dtype) if count else torch.empty(0, dtype=storage.dtype)
        self.storages[key] = _Storage(storage.dtype, values)
        return self.storages[key]


BAGS = ("_codecs.", "argparse.", "dnnlib.", "easydict.", "lightning.", "numpy.", "omegaconf.", "pathlib.", "pytorch_lightning.", "torch.nn.modules.", "yacs.")


class _Inert:
    """What stands for a training's arguments, its callbacks and numpy's numbers: it takes whatever it is given and keeps nothing."""

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


class _Beside(_Reader):
    """A reader of state dicts that stand beside a training's bags (BAGS), as Lightning's and many scripts' files have them."""

    def find_class(self, module: str, name: str) -> Any:
        """As the reader of tensors, and an inert thing for what lies in BAGS; Foreign, naming it, for whatever else a file asks for."""
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


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of an archive, which must be stored as it is: nothing that unfolds to more than the file itself."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > most:
        raise ValueError(f"{name} is compressed, or larger than it should be")
    return archive.read(entry)


def _tree(archive: zipfile.ZipFile) -> object:
    names = archive.namelist()
    root = names[0].partition("/")[0]
    if f"{root}/byteorder" in names and _member(archive, f"{root}/byteorder", 16) != b"little":
        raise ValueError("its numbers are not little-endian")
    return _Reader(archive, root).load()


def _named_tensors(tree: object) -> Iterator[tuple[str, torch.Tensor]]:
    """(dotted name, tensor) of every tensor that hangs on a tree of bags."""
    waiting, seen = [("", tree, 0)], 0
    while waiting:
        name, one, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST:
            raise ValueError("its modules do not end")
        if isinstance(one, torch.Tensor):
            yield name, one
        elif isinstance(one, _Bag):
            waiting += [(f"{name}.{key}" if name else str(key), value, depth + 1) for key, value in one.held.items()]
