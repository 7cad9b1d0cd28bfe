"""Runs commands in forks of one process that has everything imported,
each under a fault of its surroundings; a script, so that nothing has threads.

    python tests/helpers/in_forks.py        reads a line of JSON a command, answers with one

    {"words": after `genbench`, "cwd": where, "file_size": bytes of the largest file, "memory": MiB
    beyond what is in use, "tmpfs": [folder, bytes], "read_only": folder, "stdout": file, "offline":
    true} -> {"status": exit status, or minus the signal, "out", "err"}

Mounts are in a user namespace of the fork's own, so that they need no rights and are gone with it;
where the system gives none, the status is "forbidden".
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import torch

from genbench import __main__ as main__
from genbench.cli import main

torch.set_num_threads(1)
NEW_USER, NEW_NETWORK, NEW_MOUNTS, READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = (
    0x10000000,
    0x40000000,
    0x20000,
    1,
    32,
    4096,
    16384,
    1 << 18,
)
FORBIDDEN = 77
C = ctypes.CDLL(None, use_errno=True)


def called(name, *words):
    if getattr(C, name)(*(word.encode() if isinstance(word, str) else word for word in words)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def surrounded(asked):
    """This process in the surroundings that are asked for."""
    # what a shell starts in the background ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    if asked.keys() & {"tmpfs", "read_only", "offline"}:
        user, group = os.getuid(), os.getgid()
        if C.unshare(NEW_USER | NEW_MOUNTS | (NEW_NETWORK if asked.get("offline") else 0)) != 0:
            os._exit(FORBIDDEN)
        # the same there as here
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
        called("mount", "none", "/", None, RECURSIVE | PRIVATE, None)
    if asked.get("tmpfs"):
        folder, size = asked["tmpfs"]
        called("mount", "none", folder, "tmpfs", 0, f"size={size},mode=1777")
    if asked.get("read_only"):
        called("mount", asked["read_only"], asked["read_only"], None, BIND, None)
        called("mount", "none", asked["read_only"], None, BIND | REMOUNT | READ_ONLY, None)
        os.chdir(asked["cwd"])  # into what lies there now
    if asked.get("file_size"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_size"], asked["file_size"]))
    if asked.get("memory"):
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + asked["memory"] * 2**20,) * 2)


def answered(asked):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(
                    os.open(asked["stdout"], os.O_WRONLY) if "stdout" in asked else out.fileno(), 1
                )
                os.dup2(err.fileno(), 2)
                sys.stdout, sys.stderr = (
                    os.fdopen(1, "w", closefd=False),
                    os.fdopen(2, "w", closefd=False),
                )
                surrounded(asked)
                sys.argv = ["genbench", *asked["words"]]
                status = main__.main()
                with contextlib.suppress(OSError):  # /dev/full
                    sys.stdout.flush()
                os._exit(status)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(99)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = [(file.seek(0), file.read().decode(errors="replace"))[1] for file in (out, err)]
    return {
        "status": "forbidden" if status == FORBIDDEN else status,
        "out": texts[0],
        "err": texts[1],
    }


WARM = ("run", "--plugin", "noise", "--n", "6", "--metrics", "fd,label_accuracy")

if __name__ == "__main__":
    # a run in this process: the forks then begin with everything bound
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        assert main.main([*WARM, "--out", f"{name}/runs", "--leaderboards", f"{name}/boards"]) == 0
    for line in sys.stdin:
        print(json.dumps(answered(json.loads(line))), flush=True)
