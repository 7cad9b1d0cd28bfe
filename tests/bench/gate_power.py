"""The operating characteristic of `genbench check`: a trained ddpm, changes planted in it,
and how often the gate passes, fails or says that it cannot tell.

    python tests/bench/gate_power.py draw records.jsonl.gz [--device cuda] [--workers 12] [--minutes 6]
    python tests/bench/gate_power.py table records.jsonl.gz > tests/bench/gate_power.md

`draw` runs every variant over ranges of seeds through genbench.evaluate and keeps the records; what
is there already is not drawn again. On two CPU cores a run of 870 takes half a minute, so the table
was drawn on a GPU. `table` holds the records against each other with genbench.gate.judge, as the
command does.
"""  # noqa: E501

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gzip
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

WEIGHTS = Path(__file__).parents[2] / "plugins/weights/ddpm-digits.safetensors"
# of the calibration: noise in the weights, relative to each tensor's root mean square
GRID = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
AIMS = {
    "noise, about +2 %": 0.02,
    "noise, about +5 %": 0.05,
    "noise, about +10 %": 0.10,
    "noise, about +20 %": 0.20,
}
ORDER = (
    "unchanged", "weights in bfloat16", *AIMS, "weights of 8 bits", "weights of 4 bits",
    "25 steps in place of 50", "10 steps in place of 50", "class 9 drawn as 4",
)  # fmt: skip
# also judged with fresh seeds: every run against every other of the unchanged model
FRESH = ("unchanged", "noise, about +10 %")
METRICS = ("fd", "kd", "precision", "recall", "density", "coverage", "is", "label_accuracy")


def weights() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(WEIGHTS, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, file.metadata()  # noqa: SIM118


def noisy(tensor: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    return tensor + share * tensor.square().mean().sqrt() * torch.randn(
        tensor.shape, generator=generator
    )


def quantised(tensor: torch.Tensor, bits: int) -> torch.Tensor:
    """Rounded to so many bits, symmetric, a scale for each first index."""
    if tensor.ndim < 2:
        return tensor
    scale = tensor.flatten(1).abs().amax(1).clamp_min(1e-12).view(-1, *[1] * (tensor.ndim - 1)) / (
        2 ** (bits - 1) - 1
    )
    return (tensor / scale).round() * scale


def planted(name: str, share: float = 0.0) -> dict[str, torch.Tensor]:
    """The weights of a variant."""
    tensors, _ = weights()
    generator = torch.Generator().manual_seed(1)
    if name.startswith("noise"):
        return {key: noisy(tensor, share, generator) for key, tensor in tensors.items()}
    if name == "weights in bfloat16":
        return {key: tensor.bfloat16().float() for key, tensor in tensors.items()}
    if name.startswith("weights of"):
        return {key: quantised(tensor, int(name.split()[2])) for key, tensor in tensors.items()}
    if name == "class 9 drawn as 4":
        tensors["embedding.weight"][9] = tensors["embedding.weight"][4]
    return tensors


def written(folder: Path, name: str, share: float = 0.0) -> Path:
    path = folder / (
        f"{name.replace(' ', '-').replace('%', '').replace(',', '').replace('+', '')}-"
        f"{share:.5f}.safetensors"
    )
    if not path.exists():
        save_file(
            {key: tensor.contiguous() for key, tensor in planted(name, share).items()},
            path,
            metadata=weights()[1],
        )
    return path


def one_run(job: tuple[str, int, int, str, dict[str, int], str]) -> dict:
    """A record of one variant, n and range of seeds."""
    torch.set_num_threads(1)
    os.environ["GENBENCH_QUIET"] = "1"
    import genbench
    from genbench.runs.sampling import cost

    # of no use here, and twenty single images are as dear as the run
    cost.latency = lambda *words: {}
    name, n, seed, checkpoint, settings, device = job
    with tempfile.TemporaryDirectory() as out:
        found = genbench.evaluate(
            "ddpm",
            settings=settings,
            checkpoint=checkpoint,
            n=n,
            seed=seed,
            device=device,
            batch_size=n,
            out=out,
        )
    return {"variant": name, "n": n, "seed": seed, "record": found.to_json()}


def calibrated(pool: ProcessPoolExecutor, folder: Path, device: str) -> dict[str, float]:
    """How much noise moves the Fréchet distance of 870 samples by each aim,
    by interpolation over a grid; the mean of three ranges of seeds.
    """
    grid = {
        0.0: written(folder, "noise", 0.0),
        **{share: written(folder, "noise", share) for share in GRID},
    }
    jobs = [
        (f"{share}", 870, 4000 + seed, str(path), {}, device)
        for share, path in grid.items()
        for seed in range(3)
    ]
    found = defaultdict(list)
    for done in pool.map(one_run, jobs):
        found[float(done["variant"])].append(
            next(s["value"] for s in done["record"]["scores"] if s["metric"] == "fd_digits")
        )
    means = {share: statistics.fmean(values) for share, values in found.items()}
    moved = np.maximum.accumulate([means[share] / means[0.0] - 1 for share in sorted(means)])
    print(
        "calibration:",
        {
            share: round(float(change), 4)
            for share, change in zip(sorted(means), moved, strict=True)
        },
        file=sys.stderr,
    )
    return {name: float(np.interp(aim, moved, sorted(means))) for name, aim in AIMS.items()}


def jobs_of(
    folder: Path, shares: dict[str, float], device: str, args: argparse.Namespace
) -> Iterator[tuple[str, int, int, str, dict[str, int], str]]:
    base = str(written(folder, "unchanged"))
    variants: dict[str, tuple[str, dict[str, int]]] = {"unchanged": (base, {})}
    variants |= {name: (str(written(folder, name, share)), {}) for name, share in shares.items()}
    variants |= {
        name: (str(written(folder, name)), {})
        for name in (
            "weights in bfloat16",
            "weights of 8 bits",
            "weights of 4 bits",
            "class 9 drawn as 4",
        )
    }
    variants |= {
        "25 steps in place of 50": (base, {"steps": 25}),
        "10 steps in place of 50": (base, {"steps": 10}),
    }
    for n in args.n:
        # whole ranges of seeds, so that a run that is stopped has pairs
        for seed in range(args.reps):
            for name, (path, settings) in variants.items():
                if name in args.only or not args.only:
                    yield name, n, seed, path, settings, device


def draw(args: argparse.Namespace) -> None:
    before = list(lines(args.records)) if args.records.exists() else []
    there = {(one["variant"], one["n"], one["seed"]) for one in before}
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool,
    ):
        shares = before[0]["shares"] if before else calibrated(pool, Path(folder), args.device)
        jobs = [
            job for job in jobs_of(Path(folder), shares, args.device, args) if job[:3] not in there
        ]
        waiting = iter(jobs)
        running = {
            pool.submit(one_run, job)
            for _, job in zip(range(2 * args.workers), waiting, strict=False)
        }
        with gzip.open(args.records, "at") as file:
            while running:
                done = next(as_completed(running))
                running.remove(done)
                print(json.dumps(done.result() | {"shares": shares}), file=file)
                if time.monotonic() - began < 60 * args.minutes and (job := next(waiting, None)):
                    running.add(pool.submit(one_run, job))


def lines(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt") as file:
        for line in file:
            yield json.loads(line)


# The table


def table(args: argparse.Namespace) -> None:
    from genbench.gate.config import Gate
    from genbench.gate.judge import check
    from genbench.runs.records import record

    runs, shares = defaultdict(dict), {}
    for one in lines(args.records):
        runs[one["variant"], one["n"]][one["seed"]] = record.from_json(one["record"], "a line")
        shares = one["shares"]
    today = datetime.date(2026, 1, 1)
    largest = max((n for _, n in runs), key=lambda n: len(runs["unchanged", n]))
    truth = {name: true_change(runs, name, largest) for name, _ in runs}
    print(
        HEAD.format(
            shares=", ".join(
                f"{share:.2%} for {name.split(', ')[1]}" for name, share in shares.items()
            ),
            n=largest,
        )
    )
    print(
        "| n | change | true | seeds | runs | PASS | FAIL | INCONCLUSIVE | r | naive gate fails |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    shown = {}
    for n in sorted({n for _, n in runs}):
        base = runs["unchanged", n]
        for name in [name for name in ORDER if (name, n) in runs]:
            fresh = [
                (ours, theirs)
                for seed, ours in runs[name, n].items()
                for other, theirs in base.items()
                if seed != other
            ]
            paired = [(ours, base[seed]) for seed, ours in runs[name, n].items() if seed in base]
            for how, pairs in (
                ("same", [] if name == "unchanged" else paired),
                ("fresh", fresh if name in FRESH else []),
            ):
                if pairs:
                    shown[n, name, how] = judged = [
                        check(ours, {"previous": theirs}, Gate(), today, unpaired=how == "fresh")
                        for ours, theirs in pairs
                    ]
                    print(line(n, name, truth[name], how, len(paired), judged, fresh))
    print(SMALLEST)
    print("| number | n | seeds | standard error | smallest change shown |\n|---|---|---|---|---|")
    for (n, name, how), judged in shown.items():
        if name == "noise, about +10 %":
            smallest(n, how, judged)


def true_change(runs: dict, name: str, n: int) -> str:
    """The mean change of the Fréchet distance over all ranges of seeds, with its standard error."""
    base = runs["unchanged", n]
    logs = [
        math.log(fd(one) / fd(base[seed])) for seed, one in runs[name, n].items() if seed in base
    ]
    if len(logs) < 2 or name == "unchanged":
        return "0"
    return (
        f"{100 * math.expm1(statistics.fmean(logs)):+.1f} ± "
        f"{100 * 2 * statistics.stdev(logs) / math.sqrt(len(logs)):.1f} %"
    )


def fd(found) -> float:
    return next(score.value for score in found.scores if score.metric == "fd_digits")


def line(n: int, name: str, true: str, how: str, runs: int, judged: list, fresh: list) -> str:
    verdicts = [one.verdict for one in judged]
    shares = [
        f"{verdicts.count(word) / len(verdicts):.1%}" for word in ("PASS", "FAIL", "INCONCLUSIVE")
    ]
    leading = [one.leading.change for one in judged if one.leading and one.leading.change]
    r = (
        f"{statistics.fmean(of.correlation for of in leading if of.correlation is not None):.2f}"
        if how == "same"
        else "–"
    )
    naive = sum(fd(ours) > 1.05 * fd(theirs) for ours, theirs in fresh) / len(fresh)
    cells = [
        n,
        name,
        true,
        how,
        f"{runs} ({len(judged)} pairs)" if how == "fresh" else runs,
        *shares,
        r,
        f"{naive:.1%}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def smallest(n: int, how: str, judged: list) -> None:
    from genbench.statistics.noninferiority import detectable

    for metric in METRICS:
        changes = [
            of.change
            for one in judged
            for of in one.findings
            if of.metric == f"{metric}_digits" and of.change
        ]
        if not changes:
            continue
        se = math.sqrt(statistics.fmean(one.se**2 for one in changes))
        least = detectable(dataclasses.replace(changes[0], se=se))
        kind = next(
            of.kind for one in judged for of in one.findings if of.metric == f"{metric}_digits"
        )
        said = {
            "ratio": f"{100 * math.expm1(least):.1f} %",
            "share": f"{100 * least:.2f} points",
            "kernel": f"{least:.2g}",
        }[kind]
        print(f"| {metric}_digits | {n} | {how} | {se:.2g} | {said} |")


HEAD = (
    "# The gate's operating characteristic\n\n"
    "By `python tests/bench/gate_power.py draw` and `table`: the shipped ddpm on digits, "
    "held against versions of itself in which something was changed, by "
    "`genbench check`'s default gate: the Fréchet distance may grow by 5 %, one-sided level 5 %. "
    "PASS: a growth beyond that is excluded. FAIL: it is not, and "
    "the model is shown worse; a true growth of 4 % is mostly a FAIL where seeds are paired, "
    'since it is seen. "Same" seeds are paired; of "fresh" ones '
    "every run is held against every run of the unchanged model that has other seeds. "
    '"True" is the mean change of the Fréchet distance over all ranges of '
    "seeds at n = {n}, ± two standard errors. Noise in the weights is relative to each tensor's "
    "root mean square: {shares}. The naive gate fails where the distance of a run of fresh seeds "
    "is more than 5 % above the baseline's. "
    "Below ten samples to a dimension of the features (640 here, so at n = 435) the "
    "kernel distance of the same features is judged in the Fréchet distance's place, "
    "within its own margin: twice the standard deviation of real images, which is wide at so few. "
    "Pairs of few runs are not independent, and say less than their number. "
    "The runs of n = 870 were drawn on an H200, the others on a CPU; an unchanged model with the "
    "same seeds gives the same numbers, and passes.\n"
)
SMALLEST = (
    "\n## The smallest change that is shown\n\n"
    "With power 80 % at level 5 %: t's quantiles times the standard error of the change between "
    "the unchanged model and the one of about +10 % (its root mean square over the runs above). "
    "Where a change makes seeds correlate otherwise, this is otherwise too.\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["draw", "table"])
    parser.add_argument("records", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--n", type=int, nargs="+", default=[870, 435, 1740])
    parser.add_argument("--reps", type=int, default=40, help="ranges of seeds")
    parser.add_argument("--only", nargs="+", default=[], help="of the variants")
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    {"draw": draw, "table": table}[args.what](args)


if __name__ == "__main__":
    main()
