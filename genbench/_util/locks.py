"""Locks between processes: a file that one of them holds.

A killed holder's lock is free at once (the kernel's flock).
"""

from __future__ import annotations

import contextlib
import errno
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genbench._util.console import tell
from genbench._util.errors import RunFailed

UNKNOWN = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}  # of a file system without locks


@contextlib.contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file while the body runs; when somebody else holds it, say so and wait.

    A killed holder's lock is free at once (the kernel's flock).
    """
    from filelock import Timeout

    lock = _lock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tell(waiting)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in UNKNOWN:
            raise RunFailed(f"could not lock {path}: {error.strerror or error}") from error
        # files are whole or absent there too, but work may be done twice
        tell(f"{path.parent} knows no locks: do not start the same run twice at once")
    try:
        yield
    finally:
        lock.release()


def taken(path: Path) -> bool:
    """Whether somebody holds a lock file just now."""
    from filelock import Timeout

    try:
        with _lock(path).acquire(timeout=0):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True


def _lock(path: Path) -> Any:
    """The kernel's lock on a file, and never a file that means a lock by being there:
    nobody would take that of a dead process away.
    """
    from filelock import FileLock

    # of late it would make such a file where the kernel says no, unless told
    known = inspect.signature(FileLock.__init__).parameters
    told: dict[str, Any] = {"fallback_to_soft": False} if "fallback_to_soft" in known else {}
    return FileLock(path, **told)
