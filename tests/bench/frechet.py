"""Seconds of the Fréchet distance at 2,048 dimensions, ours beside torch-fidelity's and clean-fid's
in the same run.

    python tests/bench/frechet.py
        writes frechet.md beside this file (half an hour on two cores)
    python tests/bench/frechet.py --d 256 --times 1        a trial, printed only

5,000 rows on each side with a decaying spectrum. The peers get moments and give a distance, so ours
are timed from moments too where that is said.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cleanfid import fid as clean_fid
from scipy import linalg
from torch_fidelity import metric_fid

from genbench.api import Arrays
from genbench.api import _registry as registry
from genbench.statistics import frechet_distance, matrix_sqrt

# what nothing that sums their roots can go below
FLOOR = "(eigenvalues of one symmetric matrix, LAPACK's call alone)"
FD = registry.find("metrics", "fd")
AIMS = {
    "from moments, the reference's factor kept": (10, 20),
    "from moments, nothing kept": (1, 1),
    **{f"{n} images of a class against {n}": (50, 50) for n in (50, 200, 600)},
}


def rows(d: int, n: int, seed: int) -> np.ndarray:
    """n rows with a spectrum that falls as 1 / i^1.2, in a random basis, away from the origin."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.6) @ basis + 0.4 + 0.01 * seed


def seconds(call: Callable[[], object], times: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(times))


def peers(x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], object], Callable[[], object]]:
    """torch-fidelity's and clean-fid's distance, from moments made beforehand."""
    both = [{"mu": one.mean(0), "sigma": np.cov(one, rowvar=False)} for one in (x, y)]

    def clean() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            clean_fid.frechet_distance(*(one[key] for one in both for key in ("mu", "sigma")))

    return lambda: metric_fid.fid_statistics_to_metric(*both, False), clean


def from_moments(given: tuple[np.ndarray, np.ndarray], still: frechet_distance.Gaussian) -> float:
    """What gaussians.distance does once the samples' moments are there."""
    mean, covariance = given
    return float(
        ((mean - still.mean) ** 2).sum()
        + covariance.trace()
        + still.trace
        - 2 * matrix_sqrt.trace_of_product_root(covariance, still.factor)
    )


def ours(d: int, n: int, times: int) -> dict[str, float]:
    x, y = rows(d, n, 1), rows(d, n, 2)
    given, of_y = ((one.mean(0), np.cov(one, rowvar=False)) for one in (x, y))
    still = frechet_distance.fit(y)
    kept = Arrays({"samples": x, "reference": y})
    FD.value(kept)
    found = {
        "from moments, the reference's factor kept": seconds(
            lambda: from_moments(given, still), times
        ),
        "from moments, nothing kept": seconds(
            lambda: from_moments(
                given, frechet_distance.Gaussian(of_y[0], matrix_sqrt.factor_of(of_y[1]), 1)
            ),
            times,
        ),
        "from rows, the reference's factor kept": seconds(lambda: FD.value(kept), times),
        "from rows, nothing kept": seconds(
            lambda: FD.value(Arrays({"samples": x, "reference": y})), times
        ),
        FLOOR: seconds(
            lambda: linalg.eigh(of_y[1], eigvals_only=True, driver="evd", check_finite=False), times
        ),
        "20 leave-outs, the reference's factor kept": seconds(
            lambda: FD.left_out(kept, np.arange(n) % 20, "samples"), max(1, times // 2)
        ),
    }
    for few in (50, 200, 600):
        small = {"samples": x[:few], "reference": y[:few]}
        found[f"{few} images of a class against {few}"] = seconds(
            lambda small=small: FD.value(Arrays(small)), times
        )
    return found


def table(d: int, n: int, times: int, slow: int) -> str:
    """The lines of the table, and what the leave-outs cost."""
    x, y = rows(d, n, 1), rows(d, n, 2)
    fidelity, clean = (seconds(call, slow) for call in peers(x, y))
    mine = ours(d, n, times)
    lines = [
        "| ours | seconds | torch-fidelity | clean-fid | wanted at least |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, spent in mine.items():
        aim = AIMS.get(name)
        wanted = (
            (
                f"{aim[0]}x, {aim[1]}x: "
                f"{'yes' if fidelity / spent >= aim[0] and clean / spent >= aim[1] else 'NO'}"
            )
            if aim
            else "–"
        )
        lines.append(
            f"| {name} | {spent:.3g} | {fidelity / spent:.1f}x | {clean / spent:.1f}x | {wanted} |"
        )
    plain = (
        mine["20 leave-outs, the reference's factor kept"]
        / mine["from rows, the reference's factor kept"]
    )
    below = (
        f"{fidelity:.3g} s and {clean:.3g} s are torch-fidelity's and clean-fid's own. "
        f"20 leave-outs cost {plain:.1f} plain distances (wanted: under 25)."
    )
    return "\n".join([*lines, "", below, ""])


TEXT = """# Speed of the Fréchet distance

`python tests/bench/frechet.py --times {times} --slow {slow}`: d = {d}, n = m = {n}, \
float64, {threads} threads, medians of {times} calls, of {slow} for the
peers. Ratios: how many times longer the peer's own function takes, from moments to distance, \
than ours.

"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--slow", type=int, default=5, help="calls of the peers")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' own
    found = TEXT.format(**vars(chosen), threads=torch.get_num_threads()) + table(
        chosen.d, chosen.n, chosen.times, chosen.slow
    )
    print(found)
    if chosen.d == 2048:
        Path(__file__).with_suffix(".md").write_text(found)


if __name__ == "__main__":
    main()
