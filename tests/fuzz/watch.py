"""What no reader may do, whatever bytes it is given: write, delete, run, connect, read elsewhere,
take much memory or time.

An audit hook of Python hears of most of it while it happens (and ends it there), the folder and the
kernel's counts tell the rest afterwards.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# what one input of some kB may take: bytes beyond what the process has, and seconds of processor
MEMORY, SECONDS = 2**27, 20.0
FORBIDDEN = (
    *(
        "builtins.input",
        "code.__new__",
        "cpython.run_",
        "ctypes.dlopen",
        "os.chmod",
        "os.chown",
        "os.exec",
        "os.fork",
        "os.link",
        "os.mkdir",
    ),
    *(
        "os.posix_spawn",
        "os.putenv",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.spawn",
        "os.symlink",
        "os.system",
        "os.truncate",
        "os.unsetenv",
    ),
    *(
        "os.utime",
        "pickle.find_class",
        "pty.spawn",
        "shutil.",
        "socket.",
        "subprocess.Popen",
        "tempfile.",
        "urllib.",
    ),
)
CODE = tuple(
    {
        str(Path(place).resolve())
        for place in (
            sys.prefix,
            sys.base_prefix,
            Path(__file__).parents[2],
            *filter(os.path.isdir, sys.path),
        )
    }
)
SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/localtime", "/usr/share/zoneinfo")
CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Harm(BaseException):
    """A reader was about to do what it may not; no reader catches it."""


class Finding(Exception):
    """A reader broke its promises: what and where."""


class _Watch:
    """The one hook of this process: it cannot be taken away,
    so that it is idle outside of watched().
    """

    def __init__(self) -> None:
        self.folder, self.harm, self.there = "", [""][:0], False

    def __call__(self, event: str, arguments: Any) -> None:
        if not self.folder:
            return
        if event == "open":
            said = self._opened(*arguments)
        elif event == "exec":
            said = (
                ""
                if _of_a_file(getattr(arguments[0], "co_filename", ""))
                else f"runs code of {getattr(arguments[0], 'co_filename', '')}"
            )
        else:
            said = f"{event} {arguments!r:.200}" if event.startswith(FORBIDDEN) else ""
        if said:
            self.harm.append(said)
            raise Harm(said)

    def _opened(self, path: Any, mode: Any, flags: int) -> str:
        if isinstance(path, int):
            return ""
        # nothing of pathlib within the hook
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        if flags & CHANGING and not place.startswith("/dev/null"):
            return f"opens {place} to write"
        return "" if place.startswith((self.folder, *CODE, *SYSTEM)) else f"reads {place}"


def _of_a_file(name: str) -> bool:
    return name.startswith(("<frozen", *CODE)) or os.path.realpath(name).startswith(CODE)


_watch = _Watch()


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[None]:
    """While a reader reads what lies in this folder; Finding where it does more,
    or takes more than it may.
    """
    if not _watch.there:
        sys.addaudithook(_watch)
        _watch.there = True
    _forget()
    before, peak, began = _there(folder), _peak(), time.process_time()
    _watch.harm, _watch.folder = [], str(folder)
    try:
        yield
    except Harm:
        pass
    finally:
        _watch.folder = ""
    if _watch.harm:
        raise Finding(_watch.harm[0])
    if _there(folder) != before:
        raise Finding("leaves files behind")
    if _peak() - peak > MEMORY:
        raise Finding(f"takes {(_peak() - peak) >> 20} MB")
    if time.process_time() - began > SECONDS:
        raise Finding(f"takes {time.process_time() - began:.0f} s")


def _there(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - thousands of times a second


def _peak() -> int:
    """The largest size of the process so far, bytes: since _forget(),
    where the kernel can forget (Linux).
    """
    try:
        # thousands of times a second
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
        file.write("5")


def refused(error: BaseException) -> None:
    """Finding where a refusal hides that memory ran out: on a machine with more of it the file
    would have had it.
    """
    seen: BaseException | None = error
    while seen is not None:
        if (
            isinstance(seen, MemoryError)
            or "can't allocate" in str(seen)
            or "Unable to allocate" in str(seen)
        ):
            raise Finding(f"asks for all memory: {str(seen)[:200]}")
        seen = seen.__context__
