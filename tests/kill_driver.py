"""Kills a small run at every k-th write and finishes it by the same command; a script of its own, so that it may fork before anything has threads.

    python tests/kill_driver.py FOLDER WORD...     WORD...: the words after `genbench`

For k = 1, 2, ... a child runs the command and is killed by SIGKILL before the k-th replace (the moment a file comes into being; right after it is the
state before the next); then a second child runs the same command to its end. Prints one JSON line per kill: {"k", "same"}; "same" compares every shard
file to the byte, and the scores of record and entry, with an unbroken run. Ends when a child got to its end without being killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import torch

from genbench.cli import main

torch.set_num_threads(1)


def child(folder: Path, words: list[str], kill_at: int) -> int:
    """Run in a fork, killed at the kill_at-th replace (0: never); the wait status."""
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends by _exit
        true, count = os.replace, 0

        def replace(*args: object, **kwargs: object) -> None:
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            true(*args, **kwargs)  # type: ignore[arg-type]

        os.replace = replace  # type: ignore[assignment] - what pathlib calls
        os._exit(main(words))
    return os.waitpid(pid, 0)[1]


def found(folder: Path) -> dict[str, object]:
    """What a run left that must not depend on interruptions: every shard's bytes, and the scores."""
    shards = {path.name: path.read_bytes() for path in sorted(folder.glob("runs/*/shards/*.safetensors"))}
    records = [json.loads(path.read_text())["scores"] for path in folder.glob("runs/*/run.json")]
    entries = [json.loads(path.read_text())["scores"] for path in folder.glob("leaderboards/*/entries/*.json")]
    return {"shards": shards, "scores": records, "entries": entries, "left": [p.name for p in folder.rglob("*.tmp")]}


def drive(root: Path, words: list[str]) -> None:
    unbroken = root / "unbroken"
    unbroken.mkdir(parents=True)
    os.chdir(unbroken)
    with contextlib.redirect_stdout(sys.stderr):
        assert main(words) == 0  # in this process: the children then fork with everything bound
    whole = found(unbroken)
    assert whole["shards"]
    assert whole["entries"]
    for k in range(1, 1000):
        folder = root / str(k)
        folder.mkdir()
        status = child(folder, words, k)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        assert child(folder, words, 0) == 0
        print(json.dumps({"k": k, "same": found(folder) == whole}), flush=True)


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2:])
