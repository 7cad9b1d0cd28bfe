"""Locate the cache folder, and read or make one of its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.checksummed_files import Damaged, read_arrays, write_arrays
from genbench._util.console import tell
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean

if TYPE_CHECKING:
    from numpy import ndarray


def home() -> Path:
    """The cache folder: $GENBENCH_HOME, else genbench under $XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("GENBENCH_HOME")
    if named and Path(named).is_file():
        raise UserError(f"GENBENCH_HOME {clean(named)} is a file; name a folder")
    return (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"
    )


def cached(
    path: Path, earlier: Path | None = None
) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]] | None:
    """A cached file of arrays, or None where there is none or it was damaged (which is said, and
    the caller makes it again).

    earlier: the name under which an earlier genbench kept the same; what lies there gets its
    name of today.
    """
    if earlier is not None and earlier != path and not path.exists():
        with contextlib.suppress(OSError):  # there is none, or the cache cannot be written
            earlier.rename(path)
        path = path if path.exists() else earlier
    try:
        return read_arrays(path)
    except FileNotFoundError:
        return None
    except (Damaged, OSError) as error:
        tell(f"cache: {error}; making it again")
        return None


def cache(path: Path, arrays: Mapping[str, ndarray[Any, Any]], meta: Mapping[str, str]) -> None:
    """Keep arrays in the cache; a cache that cannot be written costs time only,
    so that is told and the run goes on.
    """
    try:
        write_arrays(path, arrays, meta)
    except RunFailed as error:
        tell(f"cache: {error}")
