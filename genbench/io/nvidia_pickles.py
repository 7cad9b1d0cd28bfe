"""The networks in NVIDIA's pickles (StyleGAN2-ADA, StyleGAN3, EDM), read as data:
the code that such a file carries is neither compiled nor run.

Their own loader executes the source text inside the file and whatever else it names. Here a file
can name what is listed in `_Reader`, each an inert stand-in; for anything else it is refused.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import pickletools
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import torch

VERSION = 6  # of torch_utils.persistence, in every file published
# modules within modules, and tensors or settings in all: a tree that refers to itself ends here
DEEPEST, MOST = 32, 100_000
LONGEST = 10_000_000  # opcodes; the three networks of a 1024-pixel file have about 50,000
# bytes that all tensors of a file may have beyond its own: of numbers that strides of 0 repeat, and
# of storages that several share
LARGEST_VIEW = 2**31
ZIP = b"PK"
# numpy's codes of numbers and struct's
FORMATS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}


@dataclass(frozen=True)
class Network:
    """A network of a file: its class's name, the arguments it was made with (numbers, texts, lists
    and dictionaries of these), its tensors by dotted name.
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def load_network(path: Path | str, name: str = "G_ema") -> Network:
    """A network of a pickle that NVIDIA's training code wrote;
    "G_ema" is the generator of averaged weights.

    UserError in one line for anything else.

    Nothing in the file is executed. Tensors lie on the CPU.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {clean(str(path))} is not a file")
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # torch warns of what is refused in a line below
            foresee(content)
            return _network(_Reader(content, len(content)).load(), name)
    except Exception as error:
        # pickle, torch and struct have their own error types; none of them means anything but
        # a wrong file
        why = clean(" ".join(str(error).split()))[:200] or type(error).__name__
        raise UserError(
            f"checkpoint {clean(str(path))} cannot be read as NVIDIA's pickle: {why}; "
            "nothing in it was executed"
        ) from None


def foresee(content: Any) -> None:
    """Go through a pickle's opcodes once without doing what they say, and back to where it begins;
    ValueError where reading it would harm.

    A place in the memo far beyond their number would make the reader fill memory up to it.
    """
    start = content.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if count >= LONGEST:
            raise ValueError("it has more instructions than any network needs")
        if "PUT" in opcode.name and int(argument or 0) > count:
            raise ValueError("it numbers its parts beyond their count")
    content.seek(start)


class Budget:
    """What a file's storages and its tensors, which are copies, may take together:
    it may name one of them a hundred thousand times.
    """

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = 2 * size + LARGEST_VIEW

    def take(self, size: int) -> None:
        """ValueError where so many bytes more are too many."""
        self.left -= size
        if self.left < 0:
            raise ValueError("its tensors are together larger than the file")


class _Reader(pickle.Unpickler):
    """An unpickler that can name nothing but what is listed."""

    def __init__(self, content: Any, size: int) -> None:
        super().__init__(content)
        budget = Budget(size)
        self.taking = {
            ("torch.storage", "_load_from_bytes"): _Embedded(budget),
            ("torch._utils", "_rebuild_tensor_v2"): _Tensor(budget),
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.taking:
            return self.taking[module, name]
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        if (module, name) == ("dnnlib.tflib.network", "Network"):
            raise ValueError(
                "it is of the TensorFlow code; NVIDIA's legacy.py "
                "(stylegan2-ada-pytorch) converts it"
            )
        raise ValueError(f"it asks for {module}.{name}, which no network needs")


# The stand-ins. A file may call them and cannot alter them: they have no dictionary of attributes,
# and refuse to be given a state.


class _Inert:
    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("it would alter the reader")


@dataclass(frozen=True)
class _Object(_Inert):
    """An object of NVIDIA's: its class's name and its attributes, and no class."""

    kind: str
    held: Mapping[str, Any]

    def part(self, name: str) -> Mapping[str, Any]:
        """One of the dictionaries in which torch keeps a module's parts."""
        found = self.held.get(name, {})
        if not isinstance(found, dict):
            raise ValueError(f"{name} of a {self.kind} is not a dictionary")
        return found


class _Persistent(_Inert):
    """For torch_utils.persistence._reconstruct_persistent_obj, which would
    run meta["module_src"].
    """

    __slots__ = ()

    def __call__(self, meta: Mapping[str, Any]) -> _Object:
        if meta["type"] != "class" or meta["version"] != VERSION:
            raise ValueError(
                f"it is of version {meta['version']} of NVIDIA's persistence, "
                f"and version {VERSION} is known here"
            )
        if not isinstance(meta["class_name"], str) or not isinstance(meta["state"], dict):
            raise ValueError("an object has no class's name or no attributes")
        return _Object(meta["class_name"], meta["state"])


@dataclass(frozen=True)
class _Storage(_Inert):
    """A storage's elements, in a row."""

    values: torch.Tensor


class _Taking(_Inert):
    __slots__ = ("budget",)

    def __init__(self, budget: Budget) -> None:
        self.budget = budget


class _Embedded(_Taking):
    """For torch.storage._load_from_bytes, which is itself an unpickler that runs what it
    is given.
    """

    def __call__(self, content: bytes) -> _Storage:
        self.budget.take(len(content))
        if content.startswith(ZIP):
            raise ValueError("a storage is an archive, which may unfold to more than the file")
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(f"a storage of it {_asked(str(error))}") from None
        if not isinstance(found, torch.storage.TypedStorage) or found.nbytes() > len(content):
            raise ValueError(
                f"a storage of it is a {type(found).__name__}, or longer than its bytes"
            )
        return _Storage(torch.empty(0, dtype=found.dtype).set_(found.untyped()))


def _asked(message: str) -> str:
    """What torch's reader refused, from the page that it says: "asks for os.system"."""
    _, there, after = message.partition("GLOBAL ")
    return (
        f"asks for {after.split()[0]}, which no storage needs"
        if there and after.split()
        else "is no storage"
    )


class _Tensor(_Taking):
    """For torch._utils._rebuild_tensor_v2, with every bound checked:
    a stride of 0 would make gigabytes of one number.
    """

    def __call__(
        self,
        storage: _Storage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_: object,
    ) -> torch.Tensor:
        if not isinstance(storage, _Storage) or not all(
            type(one) is int and one >= 0 for one in (offset, *size, *stride)
        ):
            raise ValueError("a tensor has no storage, or its shape is not of whole numbers")
        count, there = math.prod(size), storage.values.numel()
        reach = (
            offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
        )
        if count > there or (count and reach > there):
            raise ValueError("a tensor is larger than its storage")
        self.budget.take(count * storage.values.element_size())
        return torch.as_strided(storage.values, size, stride, offset).clone()


class _First(_Inert):
    """For torch._utils._rebuild_parameter: the tensor, without its hooks."""

    __slots__ = ()

    def __call__(self, tensor: torch.Tensor, *_: object) -> torch.Tensor:
        return tensor


class _Dtype(_Inert):
    """For numpy.dtype: the code of its numbers, "f8".

    Its state (byte order, alignment) is taken and not kept.
    """

    __slots__ = ("code",)
    code: str

    def __call__(self, code: str, *_: object) -> _Dtype:
        made = _Dtype()
        made.code = code
        return made

    def __setstate__(self, state: object) -> None:
        if not hasattr(self, "code") or not isinstance(state, tuple) or state[1] == ">":
            raise ValueError("numbers of numpy are not described as such")


class _Scalar(_Inert):
    """For numpy's scalar(dtype, bytes): a plain number."""

    __slots__ = ()

    def __call__(self, dtype: _Dtype, content: bytes) -> Any:
        return struct.unpack(FORMATS[dtype.code], content)[0]


class _Array(_Inert):
    """For an array of numpy, of which StyleGAN3 keeps some that no image needs:
    nothing of it is kept.
    """

    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()

    def __setstate__(self, state: object) -> None:
        pass


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
_NAMES: dict[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Persistent(),
    ("torch._utils", "_rebuild_parameter"): _First(),
    ("collections", "OrderedDict"): dict,
    ("dnnlib.util", "EasyDict"): dict,
    ("builtins", "set"): set,  # written by Python 3.7, NVIDIA's own
    ("numpy", "dtype"): _Dtype(),
    ("numpy", "ndarray"): _Array(),
    **{(module, "scalar"): _Scalar() for module in _NUMPY},
    **{(module, "_reconstruct"): _Array() for module in _NUMPY},
}


# From the objects to the network


def _network(content: object, name: str) -> Network:
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, _Object):
        there = (
            ", ".join(str(key) for key in content)
            if isinstance(content, dict)
            else f"a {type(content).__name__}"
        )
        raise ValueError(f"it holds no network {name}, but {there[:100] or 'nothing'}")
    left = [MOST]
    return Network(
        found.kind, _plain(found.held.get("_init_kwargs", {}), left, 0), dict(_named(found))
    )


def _named(network: _Object) -> Iterator[tuple[str, torch.Tensor]]:
    """(dotted name, tensor) of every parameter and buffer of a module and the modules in it."""
    waiting: list[tuple[str, Any, int]] = [("", network, 0)]
    seen = 0
    while waiting:
        prefix, module, depth = waiting.pop()
        if module is None:
            continue
        if not isinstance(module, _Object):
            raise ValueError(f"{prefix.rstrip('.')} is not a module")
        for key, tensor in {**module.part("_parameters"), **module.part("_buffers")}.items():
            seen += 1
            if tensor is not None and not isinstance(tensor, torch.Tensor):
                raise ValueError(f"{prefix}{key} is not a tensor")
            if tensor is not None:
                yield f"{prefix}{key}", tensor
        waiting += [
            (f"{prefix}{key}.", inner, depth + 1) for key, inner in module.part("_modules").items()
        ]
        seen += 1
        if depth > DEEPEST or seen + len(waiting) > MOST:
            raise ValueError("its modules do not end")


def _plain(value: Any, left: list[int], depth: int) -> Any:
    """Settings as JSON has them; `left` counts down over all of them."""
    left[0] -= 1
    if depth > DEEPEST or left[0] < 0:
        raise ValueError("its settings do not end")
    if isinstance(value, dict):
        return {str(key): _plain(inner, left, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, left, depth + 1) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"a setting of its is a {type(value).__name__}")
