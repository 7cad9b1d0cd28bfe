"""kill -9 at twenty random moments of a real run, each followed by the same command: features and scores must equal an unbroken run's to the byte.

    python tests/bench/kill_at_random.py [--plugin ddpm] [--kills 20] [--seed 0]

Prints a line per kill and exits 1 when anything differs. The moments are uniform over the unbroken run's duration, so some fall before the first
shard and some into scoring or the board.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def found(folder: Path) -> dict:
    shards = {path.name: path.read_bytes() for path in sorted(folder.glob("runs/*/shards/*.safetensors"))}
    scores = [json.loads(path.read_text())["scores"] for path in folder.glob("runs/*/run.json")]
    return {"shards": shards, "scores": scores}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", default="ddpm")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    command = [sys.executable, "-m", "genbench", "--quiet", "run", "--plugin", words.plugin, "--dataset", "digits"]
    moments = random.Random(words.seed)
    with tempfile.TemporaryDirectory() as root:
        unbroken = Path(root) / "unbroken"
        unbroken.mkdir()
        subprocess.run(command, cwd=unbroken, check=True, stdout=subprocess.DEVNULL)  # fills the cache
        subprocess.run([*command, "--fresh"], cwd=unbroken, check=True, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        subprocess.run([*command, "--fresh"], cwd=unbroken, check=True, stdout=subprocess.DEVNULL)
        duration = time.monotonic() - began
        whole = found(unbroken)
        wrong = 0
        for kill in range(words.kills):
            folder = Path(root) / str(kill)
            folder.mkdir()
            moment = moments.uniform(0, duration)
            child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
            time.sleep(moment)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            there = len(list(folder.glob("runs/*/shards/*.safetensors")))
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            same = found(folder) == whole
            wrong += not same
            state = f"{there:2} of {len(whole['shards'])} shard files there"
            print(f"kill {kill + 1:2} after {moment:5.1f} of {duration:.1f} s, {state}: {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{words.kills - wrong} of {words.kills} equal to the byte")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
