"""What a generator is known by: the hash of its source and of the neighbours that it imports;
one in memory by its name, its text and its weights.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genbench._util.hashing import code_sha256, content_sha256, digest, sha256, source_text
from genbench._util.lazy_imports import torch
from genbench.api import _registry as registry
from genbench.generators.description import HELD, Description

# the hook attribute that names the files beside a checkpoint, earlier and now
COMPANIONS = ("beside", "companion_files")
# others, now and earlier
RENAMED = {
    "conditions_of_checkpoint": "asks",
    "default_options": "usual",
    "num_images": "holds",
    "download": "fetches",
}


def code_of(description: Description) -> str:
    """SHA-256 of the generator's source without docstrings; "" for one made in memory.

    Of a file, and of a reference generator: itself and the neighbours in its folder that it
    imports. Of a package: every Python file in it.
    """
    file = getattr(description.module, "__file__", None)
    if _nowhere(description) or description.module is None or file is None:
        return ""
    top, dot, _ = description.module.__name__.partition(".")
    if dot and top != registry.FOLDERS["generators"]:
        folder = Path(str(sys.modules[top].__file__)).parent
        return digest(
            {
                str(path.relative_to(folder)): code_sha256(_deciding(source_text(path)))
                for path in sorted(folder.rglob("*.py"))
            }
        )
    return code_of_file(Path(file))


def code_of_file(file: Path) -> str:
    """The same of a file that nothing has imported; "" where there is none."""
    waiting, seen = [file], {}
    if not file.is_file():
        return ""
    while waiting:
        path = waiting.pop()
        source = source_text(path)
        seen[path.name] = code_sha256(_deciding(source))
        waiting += [near for near in _neighbours(source, path.parent) if near.name not in seen]
    return digest(seen)


def _nowhere(description: Description) -> bool:
    """Whether a generator was made in memory, and no file says what it does."""
    return (
        description.origin == "memory"
        or getattr(description.module, "__file__", None) is None
        or getattr(description.module, "__name__", "") == "__main__"
    )


def seal_of(description: Description, checkpoint: Path | None) -> str | None:
    """SHA-256 of a checkpoint; where the generator reads files beside it, of all of them;
    None without one.
    """
    if checkpoint is None:
        return None
    seal, beside = content_sha256(checkpoint), description.attributes.get("beside")
    near = (
        []
        if beside is None or checkpoint.is_dir()
        else [content_sha256(path) for path in beside(checkpoint)]
    )
    return digest([seal, *near]) if near else seal


def held_of(description: Description) -> dict[str, str]:
    """Which thing a generator in memory was: where it was defined,
    SHA-256 of its text and of the weights that it holds, "" where there are none; {} of a file.

    For people and programs that read the record. The run's id does not rest on it: what a function
    uses besides is not known, so each run is its own.
    """
    if not _nowhere(description):
        return {}
    thing = vars(description.target).get(HELD, description.target)
    named = getattr(thing, "func", thing)  # of a partial
    named = named if hasattr(named, "__name__") else type(named)
    where = ".".join(
        filter(
            None, (getattr(named, "__module__", ""), getattr(named, "__qualname__", named.__name__))
        )
    )
    try:
        text = inspect.getsource(named)
    except (OSError, TypeError):  # typed at a prompt, or compiled
        text = ""
    return {
        "name": where,
        "source": sha256(text.encode()) if text else "",
        "state": _weights_sha256(thing),
    }


def _weights_sha256(thing: Any) -> str:
    """SHA-256 of the tensors of the torch modules that a thing in memory is, holds,
    or as a function names, or of what its state() gives; "" without any.
    """
    total = hashlib.sha256()
    begun = total.hexdigest()
    try:
        for name, tensor in _tensors(thing):
            total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
            total.update(
                tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            )
    except Exception:  # a stranger's state(), or tensors that are not plain ones
        return ""
    return total.hexdigest() if total.hexdigest() != begun else ""


def _tensors(thing: Any) -> Iterator[tuple[str, torch.Tensor]]:
    owner = getattr(thing, "__self__", thing)  # of a method
    held = {"": owner, **getattr(owner, "__dict__", {})}
    if inspect.isfunction(owner):
        names = inspect.getclosurevars(owner)
        held |= {**names.globals, **names.nonlocals}
    elif not isinstance(owner, torch.nn.Module) and callable(getattr(owner, "state", None)):
        yield from sorted(owner.state().items())
    for place, one in sorted(held.items()):
        if isinstance(one, torch.nn.Module):
            yield from ((f"{place}.{name}", tensor) for name, tensor in one.state_dict().items())


def _deciding(source: str) -> str:
    """A source as it decides images: without the static methods that only say which files are
    hashed, and with today's names of hook attributes as the earlier ones, so that renaming one
    changes nothing.
    """
    if not any(name in source for name in (*COMPANIONS, *RENAMED)):
        return source
    lines = source.splitlines(keepends=True)
    for scope in ast.walk(ast.parse(source)):
        for one in scope.body if isinstance(scope, ast.ClassDef) and len(scope.body) > 1 else ():
            if not (
                isinstance(one, ast.FunctionDef)
                and [ast.unparse(by) for by in one.decorator_list] == ["staticmethod"]
            ):
                continue
            if one.name in COMPANIONS:
                lines[one.decorator_list[0].lineno - 1 : one.end_lineno] = ["\n"] * (
                    (one.end_lineno or 0) - one.decorator_list[0].lineno + 1
                )
            elif one.name in RENAMED:
                lines[one.lineno - 1] = lines[one.lineno - 1].replace(
                    f"def {one.name}", f"def {RENAMED[one.name]}", 1
                )
    return "".join(lines)


def _neighbours(source: str, folder: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
    return [
        folder / f"{name}.py"
        for name in sorted(names)
        if name and (folder / f"{name}.py").is_file()
    ]
