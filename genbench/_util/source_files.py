"""The Python files that a piece of code consists of: its own,
and those of its folder or package that it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from genbench._util.hashing import code_sha256, digest, source_text

INSTALLED = ("site-packages", "dist-packages")  # folders in which neighbours are other people's


def code_of_files(file: Path) -> str:
    """SHA-256 of a file's code without comments and docstrings;
    where it imports files of its own, of all of them together.
    """
    paths = with_imports(file)
    codes = {path: code_sha256(source_text(path)) for path in paths}
    if len(codes) == 1:
        return codes[paths[0]]
    top = _top(paths[0])
    return digest({path.relative_to(top).as_posix(): code for path, code in sorted(codes.items())})


def with_imports(file: Path) -> list[Path]:
    """The file, and every file of its folder (of its package, where it lies in one) that it
    imports, directly or through another.
    """
    found = [file.resolve()]
    for path in found:
        found += dict.fromkeys(near for near in _imported(path) if near not in found)
    return found


def _top(path: Path) -> Path:
    """The folder from which a file's modules are imported:
    its own, or that above the outermost package it lies in.
    """
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _imported(path: Path) -> Iterator[Path]:
    """The files that the import statements of a file name, where they are its own."""
    top = _top(path)
    package = path.relative_to(top).parts[0] if path.parent != top else ""
    for node in ast.walk(ast.parse(source_text(path))):
        if isinstance(node, ast.Import):
            named = [(top, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above, module = (path.parents[node.level - 1] if node.level else top), node.module or ""
            named = [(above, module), *((above, f"{module}.{alias.name}") for alias in node.names)]
        else:
            continue
        for folder, name in named:
            other = folder == top and (
                name.partition(".")[0] != package if package else top.name in INSTALLED
            )
            yield from () if other else _files_of(folder, name)


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """The file of a dotted module name below a folder, and the package files on the way to it."""
    for part in filter(None, name.split(".")):
        folder = folder / part
        yield from (
            file
            for file in (folder / "__init__.py", folder.with_name(f"{part}.py"))
            if file.is_file()
        )
