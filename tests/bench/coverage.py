"""How often a metric's 95 % interval holds E[metric_n], and how large its errors are: the table behind the rows' flags.

    python tests/bench/coverage.py                                   writes coverage.md beside this file
    python tests/bench/coverage.py --plugin vae --draws 200          a shipped generator with fresh seeds, printed only

One reference of 870 stays; the generator's side is drawn again and again. A row is right where coverage lies in 93 to 97 % and mean se / true sd in 0.9 to
1.15; otherwise it must carry a flag, raised by the row's own rule.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from genbench import draws, generator, shelves
from genbench.arrays import Arrays, Sighting
from genbench.intervals import Estimate, estimate, interval, jackknife, rank_ranges

ROWS = {name: row for name, row in shelves.every("metrics").items() if set(row.needs) <= {"samples", "reference", "logits", "labels"}}
N, CLASSES, BOARD = 870, 10, 5
LABELS = np.arange(N) % CLASSES
BLOCKS = draws.blocks_of(LABELS)
SIZES = np.bincount(BLOCKS)
Features = dict[str, np.ndarray]


def features(images: torch.Tensor) -> Features:
    extract = shelves.find("extractors", "digits").load("cpu")
    return {name: found.to(torch.float64).numpy() for name, found in extract(images).items()}


@functools.cache
def digits() -> tuple[Features, np.ndarray, Features]:
    """Features of the held-out images and their labels, and of these and the training images together."""
    opened = {split: [torch.cat(parts) for parts in zip(*shelves.find("datasets", "digits").open(split), strict=True)] for split in ("heldout", "train")}
    found = {split: features(images) for split, (images, _) in opened.items()}
    both = {name: np.concatenate([found["heldout"][name], found["train"][name]]) for name in found["train"]}
    return found["heldout"], opened["heldout"][1].numpy(), both


def gaussian(rng: np.random.Generator, like: np.ndarray, n: int) -> np.ndarray:
    """n rows of the Gaussian with the moments of some rows."""
    c = np.cov(like, rowvar=False)
    values, vectors = np.linalg.eigh(c)
    return like.mean(0) + rng.normal(size=(n, len(c))) @ (vectors * np.sqrt(np.maximum(values, 0))).T


def population(kind: str, rng: np.random.Generator) -> Features:
    """N samples and N rows of a reference.

    equal: both from one Gaussian with the moments of 1,740 real digits. worse: samples moved by 0.3 and narrowed to 0.8 of it. classes: both from one
    Gaussian per class, in balanced order. Logits: one Gaussian per class, with the moments of the held-out images' logits.
    """
    held, labels, both = digits()
    logits, pool = np.empty((N, CLASSES)), {}
    for c in range(CLASSES):
        logits[c == LABELS] = gaussian(rng, held["logits"][labels == c], int((c == LABELS).sum()))
    for side in ("samples", "reference"):
        if kind == "classes":
            pool[side] = np.empty((N, both["pool"].shape[1]))
            for c in range(CLASSES):
                pool[side][c == LABELS] = gaussian(rng, held["pool"][labels == c], int((c == LABELS).sum()))
        else:
            pool[side] = gaussian(rng, both["pool"], N)
    if kind == "worse":
        pool["samples"] = 0.3 + 0.8 * pool["samples"]
    return {**pool, "logits": logits, "labels": LABELS}


@functools.cache
def plugin(name: str) -> Any:
    description = generator.locate(name)
    return generator.construct(description, {}, generator.checkpoint_of(description, shelves.find("datasets", "digits"), None), "cpu", None)


def draw(what: str, place: int) -> Arrays:
    """The place-th draw of a population, or of a plugin (seeds of --seed PLACE) against the held-out images."""
    if what in ("equal", "worse", "classes"):
        reference = population(what, np.random.default_rng(10**9))["reference"]
        return Arrays({**population(what, np.random.default_rng(place)), "reference": reference})
    images = plugin(what).draw(np.arange(N), draws.first_seed(place), LABELS, N, "round")
    found = features(images)
    return Arrays({"samples": found["pool"], "logits": found["logits"], "labels": LABELS, "reference": digits()[0]["pool"]})


def measure(what: str, place: int) -> dict[str, tuple[float, np.ndarray]]:
    """value and leave-outs of each metric, for one draw."""
    torch.set_num_threads(1)
    arrays = draw(what, place)
    found = {}
    for name, row in ROWS.items():
        own = Arrays({need: arrays[need] for need in row.needs}) if "reference" not in row.needs else arrays
        left_out = row.left_out(own, BLOCKS, "samples") if row.left_out else [row.value(own.keep("samples", b != BLOCKS)) for b in range(len(SIZES))]
        found[name] = (row.value(own), np.asarray(left_out))
    return found


def beside(what: str, place: int) -> dict[str, float]:
    """Each metric between two draws of one distribution (a Gaussian per class where a plugin is drawn): what stands for real against real."""
    torch.set_num_threads(1)
    kind = "equal" if what in ("equal", "worse") else "classes"
    one, other = (population(kind, np.random.default_rng(2 * 10**9 + 2 * place + k)) for k in (0, 1))
    arrays = Arrays({**one, "reference": other["reference"]})
    return {name: row.value(arrays if "reference" in row.needs else Arrays({need: arrays[need] for need in row.needs})) for name, row in ROWS.items()}


def line(name: str, found: list[tuple[float, np.ndarray]], real_high: float) -> list[str]:
    """One metric's line of the table."""
    row = ROWS[name]
    values = np.array([value for value, _ in found])
    inside, errors, plain = [], [], []
    for value, left_out in found:
        se, low, high = interval(row.interval, value, left_out, SIZES)
        inside.append(low <= values.mean() <= high)
        errors.append(se)
        plain.append(np.sqrt(19 / 20) * np.linalg.norm(left_out - left_out.mean()))
    spread = values.std(ddof=1) if np.ptp(values) > 1e-12 else np.nan  # a value that never moves has no ratio
    covered, ratio = np.mean(inside), np.mean(errors) / spread
    verdict = "TOO NARROW" if covered < 0.93 or ratio < 0.9 else "too wide" if covered > 0.97 or ratio > 1.15 else "right"
    boards = [found[start : start + BOARD] for start in range(0, len(found) - BOARD + 1, BOARD)]
    apart = [np.mean([separated(row.better, board, paired) for board in boards]) for paired in (True, False)]
    numbers = [f"{values.mean():.4g}", f"{values.std(ddof=1):.2g}", f"{covered:.3f}", f"{ratio:.2f}", f"{np.mean(plain) / spread:.2f}"]
    raised = [flag for value in values for flag in row.flags(Sighting(N, CLASSES if "logits" in row.needs else 64, value, real_high))]
    flags = ", ".join(f"{flag} ({count / len(values):.0%})" for flag, count in Counter(raised).items())
    return [name, row.interval, *numbers, *(f"{share:.3f}" for share in apart), verdict, flags or "–"]


def separated(better: Any, board: list[tuple[float, np.ndarray]], paired: bool) -> bool:
    """Whether the rank ranges of five equal models say anything at all."""
    ones = [estimate(value, left_out, SIZES) for value, left_out in board]
    if not paired:
        ones = [Estimate(value, jackknife(left_out, SIZES, value), len(SIZES)) for value, left_out in board]
    return rank_ranges(ones, better) != [(1, BOARD)] * BOARD


HEAD = ["metric", "method", "E[metric_n]", "true sd", "coverage", "mean se / true sd", "(sizes ignored)"]
HEAD += ["5 equal apart, paired", "unpaired", "verdict", "flag (of draws)"]


def table(what: str, count: int, pool: Any) -> str:
    began = time.perf_counter()
    found = pool.map(functools.partial(measure, what), range(count), chunksize=8)
    real = pool.map(functools.partial(beside, what), range(100), chunksize=8)
    highs = {name: float(np.quantile([one[name] for one in real], 0.95)) for name in ROWS}
    lines = [HEAD, ["---"] * len(HEAD), *(line(name, [one[name] for one in found], highs[name]) for name in ROWS)]
    print(f"{what}: {count} draws in {time.perf_counter() - began:.0f} s")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TEXT = """# Coverage of the intervals

`python tests/bench/coverage.py --draws {draws}`: n = {n}, 10 classes in balanced order, blocks of 40 and 50, a fixed reference of {n}, width 64.
"Coverage": share of draws whose 95 % interval holds the mean over all draws (standard error {error:.1f} points). Wanted: 0.93 to 0.97, and mean se / true sd
0.90 to 1.15. "(sizes ignored)": the same ratio with the jackknife of equal groups, (B-1)/B sum (x - mean)^2. "5 equal apart": share of {boards} boards of five
equal models in which the rank ranges (Holm) separate any two; wanted at most 0.05.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--plugin", help="a shipped generator instead of the populations")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        if chosen.plugin:
            print(table(chosen.plugin, chosen.draws, pool))
            return
        parts = [TEXT.format(draws=chosen.draws, n=N, boards=chosen.draws // BOARD, error=100 * (0.05 * 0.95 / chosen.draws) ** 0.5)]
        path = Path(__file__).with_suffix(".md")
        notes = path.read_text().partition("## Notes")[1:] if path.exists() else ()  # written by hand, kept
        for kind in ("equal", "worse", "classes"):
            about = next(text for text in (population.__doc__ or "").replace("\n    ", " ").split(". ") if f"{kind}:" in text).split(f"{kind}:")[1].strip()
            parts.append(f"## {kind}: {about}\n\n{table(kind, chosen.draws, pool)}\n")
            path.write_text("\n".join([*parts, "".join(notes)]))


if __name__ == "__main__":
    main()
