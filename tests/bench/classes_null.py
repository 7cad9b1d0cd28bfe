"""How often the table of classes flags a class where none is at fault:
held-out digits against held-out digits, split anew in every draw.

    python tests/bench/classes_null.py --draws 500 --out tests/bench/classes_null.md

Beside it, what comparing intervals of the samples' side alone would flag: classes whose kernel
distance differs from 0 by more than its own jackknife error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.planted_classes import CLASSES, real

from genbench._util.atomic_write import write
from genbench.per_class import class_intervals, pairwise
from genbench.per_class.table import table
from genbench.statistics import confidence_intervals, jackknife

TEXT = """# How often a table of classes flags real images

Held-out digits in two halves of equal classes (43 or 44 images of each), {draws} splits: \
one half stands for the samples, the other is the reference. Made by
`python tests/bench/classes_null.py --draws {draws}`. At most 7 % may be flagged (5 % are allowed \
by Holm over {tests} tests).

| | runs with a class flagged | share |
|---|---|---|
| the table's flags | {flagged} | {share:.1%} |
| kernel distance: interval of the samples' side alone excludes 0 | {alone} | {alone_share:.1%} |

Flags by kind: {kinds}. Intervals of both sides held 0 in {covered:.1%} of classes. \
Classes at a z of 3 or more: {seen:.3f} a run; foretold by chance:
{chance:.3f}.
"""


def alone(sides) -> bool:
    """Whether the kernel distance of any class lies farther from 0 than the samples' own error
    times t, with no other class counted.
    """
    for c in range(CLASSES):
        x, y = sides.samples[sides.labels == c], sides.reference[sides.reference_labels == c]
        of = pairwise.pairs(np.concatenate([x, y]))
        value = pairwise.measured(of, np.arange(len(x)), np.arange(len(x), len(of.rows)))["kd"]
        error = jackknife.jackknife(
            class_intervals.left_outs(of, len(x))["kd"][0],
            np.bincount(class_intervals.blocks_of(len(x))),
            value,
        )
        low, high = confidence_intervals.t_interval(value, error, class_intervals.BLOCKS)
        if not low <= 0 <= high:
            return True
    return False


def main() -> int:
    """Draw, count, write."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--draws", type=int, default=500)
    words.add_argument("--out", type=Path)
    given = words.parse_args()
    os.environ["GENBENCH_QUIET"] = "1"
    class_intervals.SPLITS = 2  # real lines are no part of a flag
    kinds: Counter[str] = Counter()
    flagged, single, covered, seen, chance, tests, began = 0, 0, 0, 0, 0.0, 0, time.monotonic()
    for draw in range(given.draws):
        sides = real(1000 + draw)
        found = table(sides)
        flags = [flag for row in found.rows for flag in row["flags"]]
        kinds.update(flags)
        flagged += bool(flags)
        single += alone(sides)
        covered += sum(row["kd_low"] <= 0 <= row["kd_high"] for row in found.rows)
        seen += sum(row["z"] >= 3 for row in found.rows)
        chance += found.by_chance(3.0)
        tests = found.tests
    n = given.draws
    text = TEXT.format(
        draws=n, tests=tests, flagged=flagged, share=flagged / n, alone=single,
        alone_share=single / n,
        kinds=", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none",
        covered=covered / n / CLASSES, seen=seen / n, chance=chance / n,
    )  # fmt: skip
    print(text, f"{time.monotonic() - began:.0f} s")
    if given.out:
        write(given.out, text.encode())
    return 0 if flagged <= 0.07 * n else 1


if __name__ == "__main__":
    sys.exit(main())
