"""A small run in which the k-th call of a kind fails or kills, and the same command again;
a script of its own, so that it may fork before anything has threads.

    python tests/helpers/fault_driver.py [--calls replace,write] [--faults kill,ENOSPC] [--stride 1]
    [--from 0] [--whole replace] [--cold] FOLDER WORD...

WORD...: the words after `genbench`. The calls are those that atomic_write.py writes by (and reads):
`open`, `write`, `fsync`, `replace`, `mkdir`, `unlink`, `lock`, `read`, each counted where it
concerns the working folder or the cache. For every k of a run and every fault a child runs the
command and is killed by SIGKILL in that call, or gets its error; a write does half of its work
before. A second child runs the same command to its end. One JSON line each:

    {"call", "k", "fault", "path", "status", "line", "torn", "same", "left", "for_gc"}

status and line (the last of standard error): of the first child; torn: files at their final names
that are not whole after it; same: whether every shard file is equal to the byte, and the scores of
record and entry are equal, to an unbroken run's after the second; left: temporary files after it;
for_gc: those in the cache, which `genbench cache gc` removes.
--stride, --from: every so-manieth of these points only, from that one on. --whole: and every kill
in this call. --cold: an empty cache for each, and its files alone.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
import torch

from genbench._util.checksummed_files import Damaged, read_arrays, read_json
from genbench.cli.main import main

torch.set_num_threads(1)
CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "lock", "read")
FAULTS = ("kill", "ENOSPC", "EIO")
HOME = "GENBENCH_HOME"


class Faults:
    """Counts the calls of each kind and lets one of them fail; `installed` in a child."""

    def __init__(self, folders: list[Path], call: str, k: int, fault: str) -> None:
        self.folders, self.at, self.fault = (
            [str(folder.resolve()) for folder in folders],
            (call, k),
            fault,
        )
        self.seen: dict[str, list[str]] = {name: [] for name in CALLS}

    def hit(self, call: str, path: object, before: Callable[[], object] = lambda: None) -> None:
        """Called before a call is made. before: what it has done when it fails."""
        where = str(
            Path(f"/proc/self/fd/{path}").readlink()
            if isinstance(path, int)
            else Path.cwd() / str(path)
        )
        if not where.startswith(tuple(self.folders)):
            return
        self.seen[call].append(where)
        if (call, len(self.seen[call])) == self.at:
            before()
            note = Path(os.environ["FAULT_NOTE"])
            note.write_text(where)
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            code = getattr(errno, self.fault)
            raise OSError(code, os.strerror(code), where)

    def installed(self) -> None:
        """Put this before the system's calls, as pathlib, filelock and atomic_write.py name
        them."""
        for module, name, call in (
            (os, "fsync", "fsync"),
            (os, "replace", "replace"),
            (os, "mkdir", "mkdir"),
            (os, "unlink", "unlink"),
        ):
            true = getattr(module, name)
            setattr(module, name, self._before(true, call))
        opened, opened_file = os.open, io.open

        def low(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                self.hit("lock" if ".lock" in str(path) else "open", path)
            return opened(path, flags, *more, **named)

        def high(path: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
            if isinstance(path, int):
                return opened_file(path, mode, *more, **named)
            writes = bool(set(mode) & set("wxa+"))
            self.hit("open" if writes else "read", path)
            file = opened_file(path, mode, *more, **named)
            return Written(file, path, self) if writes and "b" in mode else file

        os.open, io.open = low, high  # type: ignore[assignment]

    def _before(self, true: Callable[..., Any], call: str) -> Callable[..., Any]:
        def checked(path: Any, *more: Any, **named: Any) -> Any:
            self.hit(call, path)
            return true(path, *more, **named)

        return checked


class Written:
    """A file whose writes may fail half way."""

    def __init__(self, file: Any, path: Any, faults: Faults) -> None:
        self.file, self.path, self.faults = file, path, faults

    def write(self, data: bytes) -> int:
        self.faults.hit(
            "write", self.path, lambda: (self.file.write(data[: len(data) // 2]), self.file.flush())
        )
        return int(self.file.write(data))

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def child(
    folder: Path, words: list[str], home: Path, point: tuple[str, int, str] = ("", 0, "")
) -> tuple[int, dict[str, list[str]]]:
    """Run in a fork with a fault at a point: the wait status,
    and of which paths each call was made.
    """
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ[HOME], os.environ["FAULT_NOTE"] = str(home), str(folder.parent / "note")
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends by _exit
        sys.stderr = (folder.parent / "err").open("w")
        faults = Faults([folder, home], *point)
        faults.installed()
        status = main(words)
        sys.stderr.flush()
        if not point[0]:
            (folder.parent / "seen").write_text(json.dumps(faults.seen))
        os._exit(status)
    status = os.waitpid(pid, 0)[1]
    return status, json.loads((folder.parent / "seen").read_text()) if not point[0] else {}


def found(folder: Path) -> dict[str, object]:
    """What a run left that must not depend on interruptions: every shard's bytes,
    and the scores.
    """
    shards = {
        path.name: path.read_bytes() for path in sorted(folder.glob("runs/*/shards/*.safetensors"))
    }
    records = [json.loads(path.read_text())["scores"] for path in folder.glob("runs/*/run.json")]
    entries = [
        json.loads(path.read_text())["scores"]
        for path in folder.glob("leaderboards/*/entries/*.json")
    ]
    return {"shards": shards, "scores": records, "entries": entries}


def torn(*folders: Path) -> list[str]:
    """Sealed files at their final names that cannot be read, and pictures that end too early."""
    wrong = []
    for path in (path for folder in folders for path in folder.rglob("[!.]*") if path.is_file()):
        try:
            if path.suffix in (".safetensors", ".json"):
                (read_arrays if path.suffix == ".safetensors" else read_json)(path)
            elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                wrong.append(path.name)
        except Damaged:
            wrong.append(path.name)
    return wrong


def left(*folders: Path) -> list[str]:
    """What nobody shall find after a run."""
    return [
        path.name
        for folder in folders
        for path in folder.rglob(".*")
        if path.is_file() and not path.name.endswith(".lock")
    ]


def one_point(
    root: Path,
    words: list[str],
    home: Path,
    point: tuple[str, int, str],
    whole: dict[str, object],
    cold: bool,
) -> dict[str, object]:
    """One fault and the same command again."""
    shutil.rmtree(root / "point", ignore_errors=True)
    folder = root / "point" / "work"
    folder.mkdir(parents=True)
    own = folder.parent / "home" if cold else home
    own.mkdir(exist_ok=True)
    status, _ = child(folder, words, own, point)
    said = (folder.parent / "err").read_text().splitlines()
    note = folder.parent / "note"
    done = {
        **dict(zip(("call", "k", "fault"), point, strict=True)),
        "path": note.read_text().removeprefix(str(root / "point") + "/") if note.exists() else "",
        "status": "killed" if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status),
        "line": said[-1] if said else "",
        "torn": torn(folder, own),
    }
    again, _ = child(folder, words, own)
    return {
        **done,
        "same": again == 0 and found(folder) == whole,
        "left": left(folder),
        "for_gc": left(own),
    }


def drive(words: argparse.Namespace) -> None:
    root, home = words.folder.resolve(), Path(os.environ[HOME])
    unbroken = root / "unbroken" / "work"
    unbroken.mkdir(parents=True)
    os.chdir(unbroken)
    with contextlib.redirect_stdout(sys.stderr):
        # in this process: the children then fork with everything bound
        assert main(words.words) == 0
    whole = found(unbroken)
    assert whole["shards"]
    assert whole["entries"]
    (root / "counted" / "work").mkdir(parents=True)
    own = root / "counted" / "home" if words.cold else home
    status, seen = child(root / "counted" / "work", words.words, own)
    assert status == 0
    calls, faults = words.calls.split(","), words.faults.split(",")
    of = str(own) if words.cold else ""
    points = [
        (call, k, fault)
        for call in calls
        for k, path in enumerate(seen[call], 1)
        if path.startswith(of)
        for fault in faults
    ]
    chosen = set(points[words.begin :: words.stride]) | {
        point for point in points if point[::2] == (words.whole, "kill")
    }
    for point in (point for point in points if point in chosen):
        print(json.dumps(one_point(root, words.words, home, point, whole, words.cold)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--from", dest="begin", type=int, default=0)
    parser.add_argument("--whole", default="")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    drive(parser.parse_args())
