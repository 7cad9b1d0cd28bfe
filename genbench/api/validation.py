"""Check the rows that extension authors write: a row that is wrong refuses itself with a RowError.

A row says everything that differs between two things of a kind; what is common is code elsewhere.
Rows hold functions that bind heavy libraries only
when called, so that listings can read every row without importing torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class RowError(ValueError):
    """A row is wrong; the author of the row reads this."""


def _check(row: Any, *claims: tuple[bool, str]) -> None:
    for holds, wrong in claims:
        if not holds:
            raise RowError(
                f"{type(row).__name__} "
                f"{getattr(row, 'name', '') or getattr(row, 'metric', '?')!r}: {wrong}"
            )


def _whole_version(version: Any) -> tuple[bool, str]:
    return isinstance(
        version, int
    ) and version >= 1, f"version is {version!r}; a whole number, at least 1"


def source_of(function: Callable[..., Any]) -> Path:
    """The file in which a row's function stands."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        raise RowError(
            f"{function!r} stands in no file, so its code cannot be identified; "
            "define it in a module"
        )
    return Path(file)


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name) is not None
