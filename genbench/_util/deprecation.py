"""Forward the names of a module that has moved, with a warning that says the new import."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def forward(old: str, new: str, instead: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that looks names up in module `new`, with a warning."""

    def look_up(name: str) -> Any:
        if name.startswith("__"):  # inspection by the import system
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(new), name)
        warnings.warn(f"{old}.{name} is deprecated: {instead}", DeprecationWarning, stacklevel=2)
        return value

    return look_up
