"""The safe readers of weights: nothing in a file is ever executed,
and there is no fallback from safe to unsafe.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import safetensors_torch, torch
from genbench.io.nvidia_pickles import LARGEST_VIEW
from genbench.io.torch_archives import Bag, Beside, Foreign, Reader, member, refuse_by_name


def load_checkpoint(
    path: Path | str, device: Any = "cpu", parts: Sequence[str | int] = ("state_dict",)
) -> dict[str, torch.Tensor]:
    """The tensors of a weights file: safetensors, or a PyTorch state dict (.pt, .pth, ...) read
    with weights_only=True; told apart by content.

    parts: of a file that holds several dictionaries, the first of these names that it has ("g_ema",
    "ema_model"), or of these places where it is a list. UserError for anything else.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a folder; name the file in it")
    try:
        with path.open("rb") as file:
            # eight bytes of length, then JSON; zip and pickle begin otherwise
            is_safetensors = file.read(9)[8:] == b"{"
        if is_safetensors:
            return safetensors_torch.load_file(path, device=str(device))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is refused in a line below
            return _state_dict(_content(path, device), path, parts)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except UserError:
        raise
    except Exception as error:
        # each reader has its own error types; none of them means anything but a wrong file
        raise UserError(
            f"checkpoint {path} is neither safetensors nor a plain state dict ({_why(error)}); "
            "nothing in it was executed"
        ) from None


def _why(error: Exception) -> str:
    """A reader's error in a few words; of what torch refuses the name of what the file asked for,
    from the page that it says.
    """
    if isinstance(error, pickle.UnpicklingError):  # torch's page ends in advice to trust the file
        _, there, after = str(error).partition("GLOBAL ")
        return (
            f"it asks for {clean(after.split()[0])}, which no weights need"
            if there and after.split()
            else type(error).__name__
        )
    return f"{type(error).__name__}: {clean(' '.join(str(error).split()))[:160]}"


def _content(path: Path, device: Any) -> Any:
    """What torch reads with weights_only; what it refuses for a bag of a training's own beside the
    tensors, read with an inert thing in the bag's place.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        _stored(path)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        if not is_zip:
            refuse_by_name(path)
            raise
    with zipfile.ZipFile(path) as archive:
        return _moved(Beside(archive, archive.namelist()[0].partition("/")[0]).load(), device)


def _stored(path: Path) -> None:
    """Foreign for an archive that unfolds to more than itself:
    torch would inflate what it never packs, and read one member as often as it is named.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise Foreign(
            f"{packed[0]} in it is compressed" if packed else "its members are more than the file"
        )


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
        content = next(
            (content[part] for part in parts if isinstance(content.get(part), dict)), content
        )
    if not isinstance(content, dict) or not all(
        isinstance(v, torch.Tensor) for v in content.values()
    ):
        raise UserError(f"checkpoint {path} is not a flat dictionary of tensors")
    left = path.stat().st_size + LARGEST_VIEW
    for name, tensor in content.items():
        if tensor.layout is not torch.strided or tensor.device.type == "meta":
            raise Foreign(f"{str(name)[:80]} in it is no plain tensor")
        left -= tensor.numel() * tensor.element_size()
        if left < 0:
            raise Foreign(
                f"{str(name)[:80]} in it says it is {list(tensor.shape)}, with which its tensors "
                "are larger than the file"
            )
    return {str(k): v for k, v in content.items()}


# TorchScript


# modules within modules, and attributes in all: a tree that refers to itself ends here
DEEPEST, MOST = 32, 100_000


def load_tensors(path: Path | str, device: Any = "cpu") -> dict[str, torch.Tensor]:
    """As load_checkpoint, and the tensors of a TorchScript archive besides,
    under their dotted names ("layers.conv.weight").

    UserError for anything else.

    An archive's code is neither compiled nor run: torch.jit.load is not called. Its object tree is
    read by a pickle reader that knows tensors, lists of numbers and bags of attributes, and
    nothing else.
    """
    path = Path(path)
    if not _is_torchscript(path):
        return load_checkpoint(path, device)
    try:
        with zipfile.ZipFile(path) as archive:
            tensors = dict(_named_tensors(_tree(archive)))
        return {name: tensor.to(device) for name, tensor in tensors.items()}
    except Exception as error:
        # zipfile, pickle and torch have their own error types; none of them means anything but
        # a wrong file
        raise UserError(
            f"{clean(str(path))} is a TorchScript archive that cannot be read "
            f"({clean(str(error))}); nothing in it was executed"
        ) from None


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a zip with code in it; a state dict is a zip without, or no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2].startswith("code/") for name in archive.namelist())
    except Exception:
        # zipfile raises half a dozen types on a wrong list of members; what is wrong is said by
        # whoever reads the file
        return False


def _tree(archive: zipfile.ZipFile) -> object:
    names = archive.namelist()
    root = names[0].partition("/")[0]
    if f"{root}/byteorder" in names and member(archive, f"{root}/byteorder", 16) != b"little":
        raise ValueError("its numbers are not little-endian")
    return Reader(archive, root).load()


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
        elif isinstance(one, Bag):
            waiting += [
                (f"{name}.{key}" if name else str(key), value, depth + 1)
                for key, value in one.held.items()
            ]
