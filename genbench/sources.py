"""What a generator's code is known by: the hash of its source, and of the neighbours that it imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from genbench import shelves
from genbench.abilities import Description
from genbench.files import code_sha256, digest, source_text


def code_of(description: Description) -> str:
    """SHA-256 of the generator's source without docstrings; "" for one made in memory.

    Of a file, and of a reference generator: itself and the neighbours in its folder that it imports. Of a package: every Python file in it.
    """
    file = getattr(description.module, "__file__", None)
    if file is None or description.origin == "memory" or description.module is None or description.module.__name__ == "__main__":
        return ""
    top, dot, _ = description.module.__name__.partition(".")
    if dot and top != shelves.FOLDERS["generators"]:
        folder = Path(str(sys.modules[top].__file__)).parent
        return digest({str(path.relative_to(folder)): code_sha256(source_text(path)) for path in sorted(folder.rglob("*.py"))})
    waiting, seen = [Path(file)], {}
    while waiting:
        path = waiting.pop()
        source = source_text(path)
        seen[path.name] = code_sha256(source)
        waiting += [near for near in _neighbours(source, path.parent) if near.name not in seen]
    return digest(seen)


def _neighbours(source: str, folder: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
    return [folder / f"{name}.py" for name in sorted(names) if name and (folder / f"{name}.py").is_file()]
