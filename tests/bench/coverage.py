"""How often a metric's 95 % interval holds E[metric_n], and how large its errors are:
the table behind the rows' flags, over every metric on the shelf.

    python tests/bench/coverage.py
        writes coverage.md beside this file, in about 20 minutes on two cores
    python tests/bench/coverage.py --only fd,kd --populations mix16
        printed only, as is everything that is not the whole
    python tests/bench/coverage.py --plugin vae --minutes 5
        a shipped generator with fresh seeds against the held-out images

A row is right where coverage lies in 93 to 97 %, mean se / true sd in 0.9 to 1.15, and, where
samples and reference have one distribution and both are drawn again, value -+ t hypot(se,
se_reference) excludes the mean in 3 to 7 %; otherwise it must carry a flag, raised by the row's own
rule. Each metric has the same share of a cell's time, so that a dear one has fewer draws; what one
leaves, the others have.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from coverage_lines import DEAR, Drawn, Found, Line, about, line_of, summary, table
from coverage_populations import DIGITS_N, Cell, cells, draw

from genbench.api import NEEDS, Arrays, Metric
from genbench.api import _registry as registry
from genbench.statistics.confidence_intervals import Estimate, interval
from genbench.statistics.jackknife import jackknife

ROWS: dict[str, Metric] = registry.every("metrics")
LIMIT = 2000  # draws
TRIALS = 10  # draws that must fit into half of a cell's time
# what value and leave-outs cost at first sight, in calls of value; afterwards what they did cost
WITHOUT_OWN, WITH_OWN = 21.0, 6.0


# One draw, in a process of the pool


def measured(row: Metric, arrays: Arrays, blocks: dict[str, np.ndarray], *, fresh: bool) -> Drawn:
    """A metric of one draw, as a run takes it."""
    left = {
        side: left_outs(row, arrays, blocks[side], side)
        for side in sides(row)
        if side == "samples" or fresh
    }
    value, sizes = (
        float(row.value(given(row, arrays))),
        {side: np.bincount(blocks[side]) for side in left},
    )
    se, low, high = interval(row.interval, value, left["samples"], sizes["samples"])
    others = [jackknife(left[side], sizes[side], value) for side in left if side != "samples"]
    widths = [
        arrays[need].shape[-1]
        for need in row.needs
        if NEEDS[need] == "samples" and need != "labels"
    ]
    estimate = Estimate(
        value,
        se,
        len(sizes["samples"]),
        tuple(left["samples"].tolist()),
        tuple(sizes["samples"].tolist()),
    )
    return Drawn(
        se,
        low,
        high,
        math.hypot(*others) if others else math.nan,
        estimate,
        widths[0] if widths else 1,
    )


def sides(row: Metric) -> list[str]:
    return ["samples", *sorted({NEEDS[need] for need in row.needs} - {"samples"})]


def given(row: Metric, arrays: Arrays) -> Arrays:
    """What a run would give it: rows that share a draw share what they derive from it."""
    return arrays if row.left_out else Arrays({need: arrays[need] for need in row.needs})


def left_outs(row: Metric, arrays: Arrays, blocks: np.ndarray, side: Any) -> np.ndarray:
    if "sums" in row.needs and side == "samples":
        blocks = np.arange(len(arrays["sums"]))
    if row.left_out:
        return np.asarray(row.left_out(arrays, blocks, side), dtype=np.float64)
    own = given(row, arrays)
    return np.array(
        [row.value(own.keep(side, blocks != b)) for b in range(blocks.max() + 1)], dtype=np.float64
    )


def task(
    cell: Cell, fresh: bool, job: tuple[int, list[str]]
) -> tuple[float, list[tuple[str, float, Drawn | str]]]:
    """One draw of a cell for some metrics: the seconds of it all,
    and (metric, its seconds, what was found or why not).
    """
    torch.set_num_threads(1)
    place, names = job
    began = time.perf_counter()
    arrays, blocks = draw(cell, place, fresh=fresh)
    found: list[tuple[str, float, Drawn | str]] = []
    for name in names:
        start = time.perf_counter()
        try:
            one: Drawn | str = measured(ROWS[name], arrays, blocks, fresh=fresh)
        except Exception as error:
            one = f"{type(error).__name__}: {error}".splitlines()[0][:60]
        found.append((name, time.perf_counter() - start, one))
    return time.perf_counter() - began, found


def price(cell: Cell, seconds: float, name: str) -> float | str:
    """What one draw of a metric costs at first sight, in seconds; or why there will be none:
    TRIALS of them do not fit into half of the cell's seconds.

    Of a large cell an eighth comes first: it costs an eighth at least.
    """
    torch.set_num_threads(1)
    row = ROWS[name]
    if cell.n < row.smallest_n:
        return f"n < {row.smallest_n}"
    cost = 0.0
    for part in (8, 1) if cell.n >= 512 else (1,):
        arrays, _ = draw(dataclasses.replace(cell, n=cell.n // part), 0, fresh=False)
        start = time.perf_counter()
        try:
            row.value(given(row, arrays))
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:60]
        cost = (time.perf_counter() - start) * part * (WITH_OWN if row.left_out else WITHOUT_OWN)
        if TRIALS * cost > seconds / 2 and cost > 0.1:
            return DEAR
    return cost


def warm(chosen: Sequence[Cell], names: Sequence[str]) -> None:
    """What a process of the pool does once: loads, fits and first calls would otherwise be taken
    for the price of a metric.
    """
    torch.set_num_threads(1)
    for cell in {one.family: one for one in chosen}.values():
        draw(cell, 0, fresh=False)
    arrays, _ = draw(Cell("mix16", "equal", 16, 160), 0, fresh=False)
    for row in (ROWS[name] for name in names):
        with contextlib.suppress(Exception):  # a metric that fails says so in its own line
            row.value(given(row, arrays))


# Time


@dataclasses.dataclass
class Spending:
    """Draws of one cell within its time."""

    pool: Any
    cell: Cell
    fresh: bool
    limit: int
    seconds: float  # of all processes together

    def run(self, names: Sequence[str]) -> dict[str, list[Drawn] | str]:
        """{metric: its draws, or why there are none}.

        Every metric has the draws 0, 1, 2, ... as far as its share of the time goes.
        """
        if self.seconds <= 0:
            return dict.fromkeys(names, DEAR)
        began = time.perf_counter()
        prices = dict(
            zip(
                names,
                self.pool.map(
                    functools.partial(price, self.cell, self.seconds), names, chunksize=1
                ),
                strict=True,
            )
        )
        self.seconds -= 2 * (time.perf_counter() - began)
        why = {name: cost for name, cost in prices.items() if isinstance(cost, str)}
        cost = {name: float(one) for name, one in prices.items() if name not in why}
        found: dict[str, list[Drawn]] = {name: [] for name in names if name not in why}
        spent, share = dict.fromkeys(found, 0.0), self.seconds / max(len(found), 1)
        enough = 0.05 * self.seconds
        while self.seconds > 0:
            wanted = {
                name: self._next(len(found[name]), share - spent[name], cost[name])
                for name in found
                if name not in why
            }
            wanted = {name: count for name, count in wanted.items() if count > len(found[name])}
            unfinished = [
                name for name in found if name not in why and len(found[name]) < self.limit
            ]
            if not unfinished or (not wanted and self.seconds < enough):
                break
            if wanted:
                self._round(wanted, found, spent, cost, why)
            else:
                share += self.seconds / len(unfinished)
        return {name: why.get(name) or found[name] for name in names}

    def _next(self, there: int, left: float, cost: float) -> int:
        """Up to which draw a metric goes next: at most as many again,
        so that what a draw costs is seen in time.
        """
        return min(self.limit, there + min(max(there, 4), max(int(left / max(cost, 1e-6)), 0)))

    def _round(
        self,
        wanted: dict[str, int],
        found: dict[str, list[Drawn]],
        spent: dict[str, float],
        cost: dict[str, float],
        why: dict[str, Any],
    ) -> None:
        places = range(min(len(found[name]) for name in wanted), max(wanted.values()))
        jobs = [
            (place, [name for name, count in wanted.items() if len(found[name]) <= place < count])
            for place in places
        ]
        before = {name: (len(found[name]), spent[name]) for name in wanted}
        for seconds, answers in self.pool.imap(
            functools.partial(task, self.cell, self.fresh), jobs, chunksize=max(1, len(jobs) // 16)
        ):
            self.seconds -= seconds
            for name, its, one in answers:
                spent[name] += its
                if isinstance(one, str):
                    why[name] = one
                else:
                    found[name].append(one)
        for name, (count, was) in before.items():
            cost[name] = (spent[name] - was) / max(len(found[name]) - count, 1)


def two_sided(name: str) -> bool:
    return len(sides(ROWS[name])) > 1


def jobs_of(chosen: Sequence[Cell]) -> list[tuple[Cell, bool]]:
    """(cell, both sides drawn again): the latter once for every null."""
    found = []
    for cell in chosen:
        found += [(cell.null, True)] if (cell.null, True) not in found else []
        found.append((cell, False))
    return found


def run(
    pool: Any,
    processes: int,
    chosen: Sequence[Cell],
    names: Sequence[str],
    seconds: float,
    limit: int,
) -> dict[str, list[tuple[Cell, dict[str, Line]]]]:
    """{population: [(cell, {metric: Line})]}; every job has its share of what is left of
    the time.
    """
    jobs, both, tables = jobs_of(chosen), {}, {}
    ending = time.perf_counter() + seconds
    for at, (cell, fresh) in enumerate(jobs):
        share = cell.weight / sum(one.weight for one, _ in jobs[at:])
        left = max(ending - time.perf_counter(), 0.0) * share * processes
        began = time.perf_counter()
        spending = Spending(pool, cell, fresh, limit, left)
        if fresh:
            both[cell] = spending.run([name for name in names if two_sided(name)])
        else:
            found = spending.run(names)
            lines = {}
            for name in names:
                real, drawn = both[cell.null].get(name, []), found[name]
                real = [] if isinstance(real, str) else real
                of = (
                    Found(why=drawn)
                    if isinstance(drawn, str)
                    else Found(drawn, real if cell == cell.null else [])
                )
                lines[name] = line_of(ROWS[name], cell, of, real)
            tables.setdefault(cell.name, []).append((cell, lines))
        print(
            (
                f"{cell.name} n = {cell.n}{', both sides' if fresh else ''}: "
                f"{time.perf_counter() - began:.0f} s of {left / processes:.0f}"
            ),
            flush=True,
        )
    return tables


TEXT = """# Coverage of the intervals

`python tests/bench/coverage.py --minutes {minutes:g}`: every metric on the shelf, \
in populations drawn again and again against one fixed reference of as many
rows, classes in balanced order, up to 20 blocks. Each entry: **coverage · mean se / true sd · \
excluded · draws**. Coverage: share of draws whose 95 % interval
holds the mean over all draws; wanted 0.93 to 0.97. mean se / true sd: wanted 0.90 to 1.15. \
Excluded: where both sides have one distribution and both are
drawn again, how often value ± t · hypot(se, se_reference) excludes the mean; wanted 0.03 to 0.07. \
For digits one figure more before the draws: the share of
boards of five equal models in which the rank ranges (Holm) separate any two; wanted at most 0.05.
Verdicts: by these limits; with "?" where two standard errors of the benchmark (1 point of \
coverage at 2,000 draws, 4 at 100) reach back to them;
"few draws": fewer than 100 and not clearly outside, or fewer than 30; "too dear": \
ten draws do not fit into half of the cell's time;
**bold**: fails, and fewer than half of the draws raised a flag.

## All cells
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--draws", type=int, default=LIMIT, help="at most so many of a metric in a cell"
    )
    parser.add_argument("--only", default="", help="metrics, with commas between")
    parser.add_argument(
        "--populations",
        default="",
        help="beginnings of names, with commas between: mix16,inception64-equal",
    )
    parser.add_argument("--plugin", help="a shipped generator instead of the populations")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(ROWS)
    chosen = [cell for cell in cells() if cell.name.startswith(tuple(asked.populations.split(",")))]
    if asked.plugin:
        chosen = [Cell("digits", asked.plugin, 64, DIGITS_N)]
    with multiprocessing.get_context("spawn").Pool(asked.processes, warm, (chosen, names)) as pool:
        pool.map(time.sleep, [0.5] * asked.processes, chunksize=1)
        tables = run(pool, asked.processes, chosen, names, 60 * asked.minutes, asked.draws)
    methods = {name: ROWS[name].interval for name in names}
    parts = [TEXT.format(minutes=asked.minutes), summary(names, tables), ""]
    parts += [
        f"## {about(columns[0][0])}\n\n{table(names, columns, methods)}\n"
        for columns in tables.values()
    ]
    if asked.only or asked.populations or asked.plugin:
        print("\n".join(parts[1:]))
        return
    path = Path(__file__).with_suffix(".md")
    # written by hand, kept
    notes = path.read_text().partition("## Notes")[1:] if path.exists() else ()
    path.write_text("\n".join([*parts, "".join(notes)]))


if __name__ == "__main__":
    main()
