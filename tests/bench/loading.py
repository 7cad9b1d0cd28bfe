"""Loading of pictures beside torch-fidelity's loader in the same run,
and the memory of a folder of many.

    python tests/bench/loading.py                             writes loading.md beside this file
    python tests/bench/loading.py --pictures 2000 --many 10000 --dry    a trial: prints only

The pictures are made in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genbench.data import parallel_loading
from genbench.data.user_datasets import open_images

HERE = Path(__file__)
ROUNDS = 3


def made(folder: Path, count: int, side: int) -> Path:
    """A folder of PNG files of smooth colour with a little noise,
    which compress about as photos do.
    """
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, side)[None, :, None] + np.linspace(0, 40, side)[:, None, None]
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = (ramp + rng.integers(0, 16, (side, side, 3)) + i % 8).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06d}.png", compress_level=1)
    return folder


def ours(folder: Path) -> float:
    """Seconds from the folder's name to the last batch."""
    began = time.perf_counter()
    total = sum(len(batch) for batch in open_images(folder).batches())
    took = time.perf_counter() - began
    assert total == len(list(folder.iterdir()))
    return took


def theirs(folder: Path, workers: int) -> float:
    """torch-fidelity 0.4's: its data set of paths in torch's DataLoader, batches of its default 64,
    as its feature extraction opens them.
    """
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.utils import glob_samples_paths

    began = time.perf_counter()
    warnings.simplefilter("ignore")  # torch's, of its number of workers
    files = glob_samples_paths(str(folder), False, "png,jpg,jpeg", None, False)
    loader = torch.utils.data.DataLoader(
        ImagesPathDataset(files), batch_size=64, drop_last=False, num_workers=workers
    )
    total = sum(len(batch) for batch in loader)
    took = time.perf_counter() - began
    assert total == len(files)
    return took


def peak(folder: Path) -> tuple[float, float]:
    """MB of memory at most, and seconds, of a process that makes a data set of the folder and
    reads it once.
    """
    code = (
        "import resource, sys, time; from genbench.data.user_datasets import dataset_of; "
        "began = time.perf_counter(); row = dataset_of(sys.argv[1]);sum(len(b) for b, "
        "_ in row.open('train')); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "
        "time.perf_counter() - began)"
    )
    env = {**os.environ, "GENBENCH_HOME": str(folder) + "-home", "GENBENCH_QUIET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    megabytes, seconds = done.stdout.split()
    return float(megabytes), float(seconds)


def speeds(folder: Path, processors: int) -> tuple[float, float, float]:
    """Images per second, the best of ROUNDS turns: ours, theirs with their number of workers,
    theirs with ours.
    """
    number = len(list(folder.iterdir()))
    turns = [
        (
            ours(folder),
            theirs(folder, min(4, 2 * processors)),
            theirs(folder, parallel_loading.workers(number)),
        )
        for _ in range(ROUNDS)
    ]
    best = [number / min(turn[i] for turn in turns) for i in range(3)]
    return best[0], best[1], best[2]


def report(pictures: int, many: int) -> str:
    """The page, as markdown."""
    processors = len(os.sched_getaffinity(0))
    said = (
        f"Made by `python tests/bench/loading.py --pictures {pictures} --many {many}` on "
        f"{processors} processors, torch {torch.__version__}. Images per second from the folder's "
        f"name to the last batch, the best of {ROUNDS} turns taken alternately. Both use torch's "
        f"DataLoader: torch-fidelity with its own number of workers ({min(4, 2 * processors)}), "
        "and with ours."
    )
    lines = [
        "# Loading pictures",
        "",
        said,
        "",
        (
            "| pictures | genbench | torch-fidelity, its workers | torch-fidelity, "
            "our workers | genbench is |"
        ),
        "|---|--:|--:|--:|---|",
    ]
    with tempfile.TemporaryDirectory() as place:
        for side, number in ((32, pictures), (256, pictures // 5)):
            mine, usual, same = speeds(made(Path(place) / str(side), number, side), processors)
            lines.append(
                f"| {number:,} of {side}x{side} | {mine:,.0f} | {usual:,.0f} | {same:,.0f} | "
                f"{mine / max(usual, same):.2f} times as fast |"
            )
        lines += [
            "",
            (
                "Memory of a process that makes a data set of a folder, its content hash included, "
                "and reads it again:"
            ),
            "",
        ]
        lines += ["| pictures of 8x8 | MB at most | s |", "|--:|--:|--:|"]
        for number in (many // 100, many // 10, many):
            megabytes, seconds = peak(made(Path(place) / f"many-{number}", number, 8))
            lines.append(f"| {number:,} | {megabytes:.0f} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--dry", action="store_true")
    words = parser.parse_args()
    text = report(words.pictures, words.many)
    if not words.dry:
        Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
