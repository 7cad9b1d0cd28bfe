"""Median seconds of starting: each command's help, the listings, and a run up to its first sample.

    python tests/bench/startup.py              prints, and writes startup.md beside this file
    python tests/bench/startup.py --times 3 --dry

As in an installation, modules are compiled: into a folder of this bench's own, whatever
PYTHONDONTWRITEBYTECODE says, by a first start that does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genbench.api import _registry as registry

AIM, AIM_OF_A_RUN = 0.3, 4.0
STARTS = {
    "python": ["-c", "pass"],
    "import genbench": ["-c", "import genbench"],
    "genbench --help": ["-m", "genbench", "--help"],
    **{
        f"genbench {name} --help": ["-m", "genbench", name, "--help"]
        for name in sorted(registry.standing("commands"))
    },
    **{f"genbench {shelf}": ["-m", "genbench", shelf] for shelf in ("plugins", *registry.KINDS)},
}
RUN = [
    "-m",
    "genbench",
    "run",
    "--plugin",
    "ddpm",
    "--dataset",
    "digits",
    "--n",
    "20",
    "--metrics",
    "fd",
    "--leaderboards",
    "none",
    "--quiet",
    "--json",
]


def started(words: list[str], folder: Path) -> tuple[float, str]:
    """Seconds of a process, and what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**kept, "PYTHONPYCACHEPREFIX": str(folder / "pyc")},
    )
    return time.perf_counter() - began, done.stdout


def first_sample(folder: Path) -> float:
    """Seconds from a run's start to its first call of the generator."""
    record = json.loads(started([*RUN, "--out", str(folder / "runs"), "--fresh"], folder)[1])
    return float(record["cost"]["first_sample_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            name: (
                statistics.median([started(words, folder)[0] for _ in range(given.times + 1)][1:]),
                AIM,
            )
            for name, words in STARTS.items()
        }
        run = statistics.median([first_sample(folder) for _ in range(given.times + 1)][1:])
    found["genbench run --plugin ddpm --dataset digits, to the first sample"] = (run, AIM_OF_A_RUN)
    lines = [
        f"Medians of {given.times} starts: `python tests/bench/startup.py`.",
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}.",
        "",
        "| start | seconds | aim |",
        "|---|---|---|",
        *(
            f"| {name} | {seconds:.3f} | {'' if seconds < aim else '**not** '}below {aim} |"
            for name, (seconds, aim) in found.items()
        ),
    ]
    print("\n".join(lines))
    if not given.dry:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
