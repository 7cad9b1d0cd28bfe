"""Time and memory of the table of classes at the size of ImageNet:
1,000 classes of 50 samples and 50 real images, 2,048 dimensions.

    python tests/bench/classes.py --out tests/bench/classes.md

Permutations are taken apart: first a table without them (99, whose time is nothing),
then with 1,999.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from genbench._util.atomic_write import write
from genbench.per_class.class_shares import confusion
from genbench.per_class.inputs import Sides
from genbench.per_class.label_classifier import Reader
from genbench.per_class.table import table

TEXT = """# The table of classes at the size of ImageNet

{classes} classes; {n} samples of each, {n} real images, as many more for real against real, \
and as many training images; d = {d}. Every number of each class
with its interval of both sides and real against real, but for LPIPS, \
which the run has taken before, and the recogniser's logits, which it has too.
Made by `python tests/bench/classes.py` with {threads} thread(s) on {cpus} processors.

| | seconds | of a processor | limit |
|---|---|---|---|
| all numbers, 99 permutations | {bare[0]:.0f} | {bare[1]:.0f} | 90 |
| all numbers, 1,999 permutations | {whole[0]:.0f} | {whole[1]:.0f} | |

Peak memory {peak:.2f} GB, of which the features take {given:.2f} GB (float32, \
as extractors give them);
limit 3 GB in all. Time {time}, memory {memory} the limit.
"""


def population(classes: int, n: int, d: int, seed: int = 0) -> Sides:
    """Gaussian classes with a falling spectrum; samples of the same laws."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    labels = np.repeat(np.arange(classes), n)

    def draw() -> np.ndarray:
        rows = rng.standard_normal((len(labels), d), dtype=np.float32)
        rows *= scale
        return rows

    samples, pool = draw(), np.concatenate([draw(), draw()])
    return Sides(
        samples=samples,
        labels=labels,
        reference=pool[: len(labels)],
        reference_labels=labels,
        pool=pool,
        pool_labels=np.tile(labels, 2),
        names=tuple(map(str, range(classes))),
        groups={"medium": tuple(range(classes))},
        train_counts=(n,) * classes,
        reader=Reader("oracle", labels, labels, confusion(labels, labels, classes)),
        train=(draw(), labels),
    )


def measured(classes: int, n: int, d: int, permutations: int) -> dict[str, float]:
    """Seconds, those of a processor, the peak of this process's memory and what the features take,
    both in GB.
    """
    os.environ["GENBENCH_QUIET"] = "1"
    sides = population(classes, n, d)
    assert sides.train is not None
    held = (sides.samples.nbytes + sides.pool.nbytes + sides.train[0].nbytes) / 1e9
    began = time.monotonic(), time.process_time()
    table(Sides(**{**vars(sides), "permutations": permutations}))
    seconds, processor = time.monotonic() - began[0], time.process_time() - began[1]
    return {
        "seconds": seconds,
        "processor": processor,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "held": held,
    }


def main() -> int:
    """Time both, write."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--classes", type=int, default=1000)
    words.add_argument("--n", type=int, default=50)
    words.add_argument("--d", type=int, default=2048)
    words.add_argument("--out", type=Path)
    words.add_argument("--permutations", type=int, help="one table with so many, in this process")
    given = words.parse_args()
    if given.permutations:
        print(json.dumps(measured(given.classes, given.n, given.d, given.permutations)))
        return 0
    sizes = [f"--{name}={getattr(given, name)}" for name in ("classes", "n", "d")]
    each = []
    # each in a process of its own: what one leaves in memory is not the other's
    for permutations in (99, 1999):
        done = subprocess.run(
            [sys.executable, __file__, *sizes, f"--permutations={permutations}"],
            stdout=subprocess.PIPE,
            check=True,
        )
        each.append(json.loads(done.stdout))
        print(permutations, each[-1], flush=True)
    times = [(one["seconds"], one["processor"]) for one in each]
    peak, held = max(one["peak"] for one in each), each[0]["held"]
    good, said = times[0][0] < 90 and peak < 3, {True: "within", False: "beyond"}
    text = TEXT.format(
        classes=given.classes, n=given.n, d=given.d,
        threads=os.environ.get("OMP_NUM_THREADS", "all"), cpus=os.cpu_count(), bare=times[0],
        whole=times[1], peak=peak, given=held, time=said[times[0][0] < 90], memory=said[peak < 3],
    )  # fmt: skip
    print(text)
    if given.out:
        write(given.out, text.encode())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
