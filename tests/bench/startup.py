"""Prints the median seconds of starting: `python tests/bench/startup.py [TIMES]`. The aim is below 0.3 s for each."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from genbench import shelves

AIM = 0.3
STARTS = {
    "python": ["-c", "pass"],
    "import genbench": ["-c", "import genbench"],
    "genbench --help": ["-m", "genbench", "--help"],
    **{f"genbench {name} --help": ["-m", "genbench", name, "--help"] for name in sorted(shelves.standing("commands"))},
    **{f"genbench {shelf}": ["-m", "genbench", shelf] for shelf in ("plugins", *shelves.KINDS)},
}


def seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, words in STARTS.items():
        middle = statistics.median(seconds(words) for _ in range(times))
        print(f"{name:32} {middle:.3f} s{'' if middle < AIM else '   slower than ' + str(AIM)}")
