"""Precision, recall, density and coverage beside prdc: seconds and memory,
plain and with the 20 leave-outs of the samples; writes neighbours.md.

    python tests/bench/neighbours.py
        10,000 x 10,000 x 2048, medians of five: some fifteen minutes
    python tests/bench/neighbours.py --n 1500 --repeats 1   printed only

Each turn is a process of its own, so that its largest memory is its own; what the features take is
not counted. prdc gets float32, as its documentation says, and float64; ours is float64. The
features are two draws of one Gaussian: with deviations that fall as i^-1/2 (what networks give),
or all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

NAMES = ("precision", "recall", "density", "coverage")
WHO = {
    "plain": "genbench",
    "left out": "genbench with 20 leave-outs of the samples",
    "prdc32": "prdc, float32",
    "prdc64": "prdc, float64",
}
K, BLOCKS = 5, 20


def features(n: int, d: int, spectrum: str) -> tuple[np.ndarray, np.ndarray]:
    deviations = np.arange(1, d + 1) ** -0.5 if spectrum == "falling" else np.ones(d)
    both = []
    for seed in (0, 1):
        rows = np.random.default_rng(seed).normal(size=(n, d))
        rows *= deviations
        both.append(rows)
    return both[0], both[1]


def ours(x: np.ndarray, y: np.ndarray, *, leave_outs: bool) -> list[float]:
    from genbench.api import _registry as registry
    from genbench.api.metric_inputs import Arrays

    arrays = Arrays({"samples": x, "reference": y})
    rows = [registry.find("metrics", name) for name in NAMES]
    found = [float(row.value(arrays, k=K, strict=1)) for row in rows]
    if leave_outs:
        for row in rows:
            assert (
                len(row.left_out(arrays, np.arange(len(x)) % BLOCKS, "samples", k=K, strict=1))
                == BLOCKS
            )
    return found


def peer(x: np.ndarray, y: np.ndarray) -> list[float]:
    import prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = prdc.compute_prdc(y, x, K)
    return [float(found[name]) for name in NAMES]


def turn(who: str, n: int, d: int, spectrum: str) -> None:
    """One measurement in this process, printed as JSON; a small one before it imports
    what is needed.
    """
    work = {
        "plain": lambda *of: ours(*of, leave_outs=False),
        "left out": lambda *of: ours(*of, leave_outs=True),
    }.get(who, peer)
    work(*features(200, 8, spectrum))
    x, y = features(n, d, spectrum)
    if who == "prdc32":
        x, y = x.astype(np.float32), y.astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = work(x, y)
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": seconds,
                "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
                "found": found,
            }
        )
    )


def measured(who: str, options: argparse.Namespace, spectrum: str) -> dict[str, object]:
    words = [
        sys.executable,
        __file__,
        "--turn",
        who,
        "--n",
        str(options.n),
        "--d",
        str(options.d),
        "--spectrum",
        spectrum,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(options: argparse.Namespace, spectrum: str) -> list[str]:
    """Rows of the table of one spectrum; every turn of all four in turn,
    so that what else the machine does falls on all.
    """
    turns: dict[str, list[dict[str, object]]] = {who: [] for who in WHO}
    for repeat in range(max(options.repeats, options.peer_repeats)):
        for who, found in turns.items():
            if repeat < (options.peer_repeats if who.startswith("prdc") else options.repeats):
                found.append(measured(who, options, spectrum))
    middle = {
        who: {key: statistics.median(one[key] for one in found) for key in ("seconds", "megabytes")}
        for who, found in turns.items()
    }
    figures = [found[0]["found"] for found in turns.values()]
    apart = max(abs(a - b) for one in figures for a, b in zip(one, figures[0], strict=True))
    lines = [
        f"| {spectrum}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in zip(NAMES, figures[0], strict=True))
        + f"; apart {apart:.1g} | | | | |"
    ]
    plain = middle["plain"]
    for who, one in middle.items():
        times, memory = one["seconds"] / plain["seconds"], one["megabytes"] / plain["megabytes"]
        lines.append(
            f"| {WHO[who]} | {one['seconds']:.2f} | {times:.2f} | {one['megabytes']:.0f} | "
            f"{memory:.1f} |"
        )
    return lines


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("n", 10_000), ("d", 2048), ("repeats", 5), ("peer-repeats", 5)):
        asked.add_argument(f"--{name}", type=int, default=default)
    asked.add_argument("--spectrum", choices=("falling", "flat", "both"), default="both")
    asked.add_argument("--turn", choices=WHO)
    options = asked.parse_args()
    if options.turn:
        turn(options.turn, options.n, options.d, options.spectrum)
        return
    note = (
        f"Medians of {options.repeats} turns (prdc {options.peer_repeats}), "
        f"each in a process of its own; {os.cpu_count()} cores, {platform.machine()}; "
        "`python tests/bench/neighbours.py`. Memory is what a turn takes beside the features. "
        "`apart`: the largest difference of the four numbers; features rounded to float32 may move "
        "one pair across a surface."
    )
    head = [
        (
            f"# precision, recall, density, coverage of {options.n:,} samples and {options.n:,} "
            f"rows of a reference, width {options.d}, k = {K}, <"
        ),
        "",
        note,
        "",
        "| | seconds | times ours | MB | times ours |",
        "|---|---|---|---|---|",
    ]
    spectra = ("falling", "flat") if options.spectrum == "both" else (options.spectrum,)
    text = (
        "\n".join(head + [line for spectrum in spectra for line in table(options, spectrum)]) + "\n"
    )
    print(text)
    if options.n == 10_000 and options.repeats >= 5:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
