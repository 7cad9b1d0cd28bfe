"""kill -9 at random moments of a real run, each followed by the same command:
features, images and scores must equal an unbroken run's to the byte.

    python tests/bench/kill_at_random.py [--kills 200] [--seed 0] [WORD...] > kills.jsonl
    python tests/bench/kill_at_random.py --table kills.jsonl more.jsonl > tests/bench/kill_at_random.md

WORD...: the words after `genbench run`. The process is a fork of this one, so that no time goes
into imports; the moments are uniform over the unbroken run's duration, so some fall before the
first shard and some into scoring or the board. Of a run by workers the process that started them is
killed. A line of JSON for each kill; the status is 1 when anything differs.
"""  # noqa: E501

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import torch

from genbench.cli.main import main

WORDS = "--plugin ddpm --dataset digits --n 200 -o steps=5"


def found(folder: Path) -> dict:
    shards = {
        path.name: path.read_bytes() for path in sorted(folder.glob("runs/*/shards/*.safetensors"))
    }
    records = [json.loads(path.read_text())["scores"] for path in folder.glob("runs/*/run.json")]
    entries = [
        json.loads(path.read_text())["scores"]
        for path in folder.glob("leaderboards/*/entries/*.json")
    ]
    left = [path.name for path in folder.rglob("*.tmp")]
    return {"shards": shards, "scores": records, "entries": entries, "left": left}


def started(folder: Path, words: list[str]) -> int:
    """The run in a fork: its process id."""
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        # the process ends by _exit
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        os._exit(main(["run", *words]))
    return pid


def ended(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def kills(words: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    moments, asked, wrong = random.Random(words.seed), words.words or WORDS.split(), 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        # the first fills the cache, in this process, so that forks begin with everything bound
        for place in ("first", "unbroken"):
            (root / place).mkdir()
        os.chdir(root / "first")
        with contextlib.redirect_stdout(sys.stderr):
            assert main(["run", *asked]) == 0
        began = time.monotonic()
        assert ended(started(root / "unbroken", asked)) == 0
        duration, whole = time.monotonic() - began, found(root / "unbroken")
        assert whole["entries"]
        for kill in range(words.kills):
            folder = root / str(kill)
            folder.mkdir()
            moment = moments.uniform(0, duration)
            pid = started(folder, asked)
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)
            killed, there = (
                os.WIFSIGNALED(ended(pid)),
                len(list(folder.glob("runs/*/shards/*.safetensors"))),
            )
            same = ended(started(folder, asked)) == 0 and found(folder) == whole
            wrong += not same
            of = {
                "words": " ".join(asked),
                "seconds": round(moment, 2),
                "of": round(duration, 2),
                "there": there,
                "shards": len(whole["shards"]),
            }
            print(json.dumps({**of, "killed": killed, "same": same}), flush=True)
    return 1 if wrong else 0


def table(files: list[str]) -> int:
    lines = [json.loads(line) for name in files for line in Path(name).read_text().splitlines()]
    print(
        "# kill -9 at random moments, and the same command again\n\n"
        "`tests/bench/kill_at_random.py`; moments uniform over the run, 2 cores.\n"
    )
    print(
        "| `genbench run` | kills | before the first shard file | among them | after the last | "
        "ended before it | equal to the byte in the end |"
    )
    print("|---|---|---|---|---|---|---|")
    for words in dict.fromkeys(one["words"] for one in lines):
        those = [one for one in lines if one["words"] == words]
        when = collections.Counter(
            "over"
            if not one["killed"]
            else "before"
            if one["there"] == 0
            else "after"
            if one["there"] == one["shards"]
            else "among"
            for one in those
        )
        print(
            f"| {words} | {len(those)} | {when['before']} | {when['among']} | {when['after']} | "
            f"{when['over']} | {sum(one['same'] for one in those)} |"
        )
    print(
        "\nEqual are the files of every shard (images, features), the scores of the record and of "
        "the board's entry; no temporary file is left."
    )
    return 0 if all(one["same"] for one in lines) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true")
    words, rest = parser.parse_known_args()
    words.words = rest
    sys.exit(table(words.words) if words.table else kills(words))
