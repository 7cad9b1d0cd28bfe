"""A run of a million samples with features 2,048 wide: its peak memory, and where its time goes.

    python tests/bench/million.py --folder DIR
        about ten minutes on two cores, 9 GB in DIR; writes million.md beside this file
    python tests/bench/million.py --folder DIR --n 20000    a trial: prints only

The generator and the extractor are made up and cheap: noise of 8x8, and a random layer of 2,048
rectified units. Everything else is the run's own: shards drawn, hashed and written, read back, the
Fréchet distance of all samples with its interval, and the kernel distance of as many as its
rule allows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from genbench.runs import time_profile

REAL = 3000  # images of the reference: more than 2,048, so that their covariance has full rank
ROWS = """
import torch
from genbench import noise
from genbench.api import Extractor, Measure, Protocol


def load(device):
    weights = noise(torch.arange(192), (2048,)) / 192**0.5

    def features(images):
        return {"units": ((images.float().flatten(1) - 128) / 64 @ weights).relu_()}

    return features


WIDE = Extractor("wide", "random rectified units", {"units": 2048}, 8, "none", None, "nothing", load)
PROTOCOL = Protocol(
    name="wide", title="", dataset="any", n=0, labels="iid", quantise="round",
    measures=(Measure("fd", "wide.units", "train", name="fd"), Measure("kd", "wide.units", "train", name="kd")),
)
"""  # noqa: E501
PLUGIN = """
import torch, genbench

range = (-1.0, 1.0)


@genbench.hookimpl
def sample(n, seeds):
    return genbench.noise(seeds, (3, 8, 8)).mul(0.33).clamp(-1, 1)
"""


def words(folder: Path) -> list[str]:
    """The words of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.py").write_text(ROWS)
    (folder / "drawn.py").write_text(PLUGIN)
    if not (folder / "real.npz").exists():
        np.savez(
            folder / "real.npz",
            np.random.default_rng(0).normal(128, 40, (REAL, 8, 8, 3)).clip(0, 255).astype(np.uint8),
        )
    places = {"--plugin": "drawn.py", "--with": "rows.py", "--dataset": "real.npz", "--out": "runs"}
    named = [word for key, name in places.items() for word in (key, str(folder / name))]
    return [*named, "--protocol", "wide", "--leaderboards", "none", "--batch-size", "500"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--n", type=int, default=1_000_000)
    given = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "genbench",
        "run",
        *words(given.folder),
        "--n",
        str(given.n),
        "--json",
    ]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, "GENBENCH_HOME": str(given.folder / "home")},
        text=True,
    ) as process:
        assert process.stdout is not None
        record = json.loads(process.stdout.read() or "{}")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    size = sum(path.stat().st_size for path in given.folder.glob("runs/*/shards/*"))
    numbers = [
        (
            f"| {one['metric']} | {one['value']:.6g} | {one['low']:.6g} to {one['high']:.6g} | "
            f"{one['n']:,} | {'; '.join(one['flags'])} |"
        )
        for one in record["scores"]
    ]
    text = [
        (
            f"A run of {given.n:,} samples with 2,048 features each, against {REAL:,} images: "
            "`python tests/bench/million.py`."
        ),
        (
            f"{platform.machine()}, {record['environment']['threads']} threads: "
            f"{time.monotonic() - began:.0f} s, {size / 1e9:.1f} GB of shards,"
        ),
        f"**{used.ru_maxrss * 1024 / 1e9:.2f} GB of memory at the peak**.",
        "",
        "| number | value | 95 % | of samples | said of it |",
        "|---|---|---|---|---|",
        *numbers,
        "",
        "```",
        time_profile.text(record["cost"]),
        "```",
    ]
    print("\n".join(text))
    if given.n == 1_000_000:
        Path(__file__).with_suffix(".md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
