"""Compute SHA-256 digests of files, folders, plain data and source code."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import tokenize
from pathlib import Path
from typing import Any


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the names in it and the contents,
    whatever lies deeper included, in the order of the names.
    """
    if not path.is_dir():
        return file_sha256(path)
    total = hashlib.sha256()
    for name, file in sorted(
        (os.fsencode(file.relative_to(path)), file) for file in path.rglob("*") if file.is_file()
    ):
        total.update(name + b"\0" + bytes.fromhex(file_sha256(file)))
    return total.hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of plain data: of its JSON with sorted keys."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode())


def source_text(path: Path) -> str:
    """The text of a Python file, in the encoding that it declares."""
    with tokenize.open(path) as file:
        return file.read()


@functools.cache  # a run asks for that of one file for each of its numbers
def code_sha256(source: str) -> str:
    """SHA-256 of Python source without comments and docstrings:
    rewording changes nothing, behaviour does.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return sha256(_plain(tree).encode())


def _plain(node: Any) -> str:
    """A syntax tree as text, the same under every Python: ast.dump adds fields from version to
    version, and empty ones are left out here.
    """
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_plain(value)}"
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return f"{type(node).__name__}({','.join(parts)})"
    return f"[{','.join(map(_plain, node))}]" if isinstance(node, list) else repr(node)
