"""How much sooner two workers are done than one: ddpm on digits, one thread each, beyond start-up.

A shard's file bears the time at which it was whole. The clock runs from the moment when every
worker has delivered one to the last shard; what a worker imports and loads lies before. The two are
run in turns.

    python tests/bench/workers.py --out tests/bench/workers.md
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = (
    "| workers | images/s beyond start-up, each round | median | whole command, s |\n"
    "|---|---|---|---|\n"
)


def measured(workers: int, n: int) -> tuple[float, float]:
    """Images per second beyond start-up, and seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "run",
            "--plugin",
            "ddpm",
            "--dataset",
            "digits",
            "--n",
            str(n),
            "--metrics",
            "fd",
            "--leaderboards",
            "none",
            "--quiet",
        ]
        since = time.monotonic()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "genbench",
                *words,
                "--on",
                "local",
                "--workers",
                str(workers),
                "--out",
                folder,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            # of the run, which each worker takes its part of
            env={**os.environ, "OMP_NUM_THREADS": str(workers)},
        )
        whole = time.monotonic() - since
        written = sorted(
            (path.stat().st_mtime, int(path.name.split(".")[0].rpartition("-")[2]))
            for path in Path(folder).glob("*/shards/*.digits.pool.*")
        )
        begun = written[workers - 1][0]
        return sum(images for at, images in written[workers:]) / (written[-1][0] - begun), whole


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for workers, rounds in found.items():
            rounds.append(measured(workers, args.n))
            print(workers, rounds[-1], flush=True)
    rates = {
        workers: statistics.median(rate for rate, _ in rounds) for workers, rounds in found.items()
    }
    lines = [
        (
            f"| {workers} | {', '.join(f'{rate:.1f}' for rate, _ in rounds)} | "
            f"{rates[workers]:.1f} | {statistics.median(whole for _, whole in rounds):.1f} |\n"
        )
        for workers, rounds in found.items()
    ]
    said = (
        f"# Workers\n\n`genbench run --plugin ddpm --dataset digits --n {args.n} --on local`, "
        f"one thread to a worker, {os.cpu_count()} cores ({platform.machine()}), "
        f"{args.rounds} rounds in turns, made by tests/bench/workers.py.\n\n"
        f"{COLUMNS}{''.join(lines)}\nTwo workers are {rates[2] / rates[1]:.2f} times as fast as "
        "one, beyond start-up (bar: 1.7).\n"
    )
    print(said)
    if args.out:
        args.out.write_text(said)


if __name__ == "__main__":
    main()
