"""Whole runs beside torch-fidelity and clean-fid doing the same job:
wall seconds from start to number, and peak memory, of a process each.

    python tests/bench/whole_runs.py
        everything, 45 to 130 minutes on two cores, and writes whole_runs.md beside this file
    python tests/bench/whole_runs.py --only folder:clean-fid --state DIR
        one piece; the pieces gather in DIR, and the table is written when all are there

The same job: as many samples, drawn by the same network through each one's own interface or read
from the same files, the same Inception of random weights (in the published format), the same real
images, one FID. genbench runs under each peer's protocol in turn, with nothing in its cache; what
it does beyond (intervals, what real data scores, the latency of an image, files that are kept) is
in its time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

sys.path += [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
ROOT = Path(__file__).parents[2]
# and the protocol of genbench that takes its number
TOOLS = {"torch-fidelity": "torch-fidelity", "clean-fid": "clean"}
# a multiple of 160 leaves no shard a call of the extractor that is not full, as is nearly
# so of 50,000
N = 160
# of digits 40 a shard: as many as ten classes leave even
COUNTS = {"digits": 5 * N, "stylegan2": N, "folder": 10_000}
REAL = {"digits": 5 * N, "stylegan2": N, "folder": 2 * N}
TITLES = {
    "digits": "ddpm's digits, sampled in 50 steps",
    "stylegan2": "a random StyleGAN2 of 256x256 (channel_base 16384, as NVIDIA's paper256)",
    "folder": "a folder of PNG, 32x32",
}
BATCH = 32  # of the peers


# What is there before: images, networks


def weights(folder: Path) -> Path:
    from inception import random_weights

    path = folder / "inception.pth"
    if not path.exists():
        random_weights(path)
    return path


def pictures(folder: Path, n: int, size: int, seed: int) -> Path:
    """Smooth pictures under noise, as PNG."""
    import numpy as np
    from PIL import Image

    if not folder.exists():
        rng = np.random.default_rng(seed)
        folder.mkdir()
        for i in range(n):
            blotches = np.kron(rng.integers(40, 216, (4, 4, 3)), np.ones((size // 4, size // 4, 1)))
            Image.fromarray(
                (blotches + rng.integers(-40, 41, (size, size, 3))).astype(np.uint8)
            ).save(folder / f"{i:05d}.png")
    return folder


def real_digits(folder: Path, n: int) -> Path:
    """The first training digits as PNG, a folder a class."""
    from PIL import Image

    from genbench.data.datasets.digits import open_digits

    if not folder.exists():
        images, labels = next(iter(open_digits("train")))
        for i, (image, label) in enumerate(zip(images[:n], labels[:n], strict=True)):
            (folder / str(int(label))).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(
                folder / str(int(label)) / f"{i:05d}.png"
            )
    return folder


def stylegan2(folder: Path) -> Path:
    from helpers import small_checkpoints

    from genbench_plugins._stylegan2_files import Architecture

    path = folder / "stylegan2.safetensors"
    if not path.exists():
        made = Architecture(
            z_dim=512, c_dim=0, w_dim=512, img_resolution=256, img_channels=3, channel_base=16384
        )
        small_checkpoints.safetensors(made, path)
    return path


def prepared(job: str, folder: Path) -> dict[str, Any]:
    """The files of a job."""
    n = COUNTS[job]
    found: dict[str, Any] = {"n": n, "weights": weights(folder)}
    if job == "folder":
        return {
            **found,
            "plugin": "images",
            "checkpoint": pictures(folder / "gen", n, 32, 1),
            "ref": pictures(folder / "ref", REAL[job], 32, 2),
        }
    if job == "digits":
        return {
            **found,
            "plugin": "ddpm",
            "checkpoint": ROOT / "plugins/weights/ddpm-digits.safetensors",
            "ref": real_digits(folder / "digits", REAL[job]),
        }
    return {
        **found,
        "plugin": "stylegan2",
        "checkpoint": stylegan2(folder),
        "ref": pictures(folder / "ref256", REAL[job], 256, 3),
    }


# What each does


def drawing(job: str, files: dict[str, Any]) -> Any:
    """The network of a job as the peers take one: a module from z [n, d] to uint8 [n, 3, h, w]."""
    import torch

    import genbench
    from genbench.generators.generator import construct
    from genbench.generators.load import locate

    with mock.patch.dict(os.environ, {}):
        plugin = construct(
            locate(files["plugin"]),
            {"steps": 50} if job == "digits" else {},
            files["checkpoint"],
            "cpu",
            None,
        ).hook
    width = 64 if job == "digits" else 512

    class Module(torch.nn.Module):
        drawn = 0

        def forward(self, z: Any) -> Any:
            seeds = torch.arange(self.drawn, self.drawn + len(z))
            self.drawn += len(z)
            latents = z.view(len(z), 1, 8, 8) if job == "digits" else z
            return genbench.to_uint8(
                plugin.synthesize(
                    latents=latents,
                    labels=seeds % 10 if job == "digits" else None,
                    seeds=seeds,
                    space="z",
                ),
                -1,
                1,
            )

    return Module(), width


def by_fidelity(job: str, files: dict[str, Any]) -> float:
    import torch_fidelity

    given: Any = str(files["checkpoint"])
    if job != "folder":
        module, width = drawing(job, files)
        given = torch_fidelity.GenerativeModelModuleWrapper(module, width, "normal", 0)
    found = torch_fidelity.calculate_metrics(
        input1=given,
        input1_model_num_samples=files["n"] if job != "folder" else None,
        input2=str(files["ref"]),
        samples_find_deep=True,
        fid=True,
        feature_extractor_weights_path=str(files["weights"]),
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=BATCH,
    )
    return float(found["frechet_inception_distance"])


def by_clean(job: str, files: dict[str, Any]) -> float:
    import numpy as np
    import torch
    from cleanfid import fid
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    net = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(files["weights"])
    )
    layers = [
        module
        for name, module in net.named_children()
        if name.startswith(("Conv2d", "MaxPool", "Mixed", "AvgPool"))
    ]

    def network(x: Any) -> Any:  # what clean-fid hands resized batches to, in place of its download
        x = (x - 128) / 128
        for layer in layers:
            x = layer(x)
        return x.mean((2, 3)) if x.ndim == 4 else x

    how: dict[str, Any] = {"batch_size": BATCH, "device": torch.device("cpu"), "verbose": False}
    if job == "folder":
        ours = fid.get_folder_features(str(files["checkpoint"]), network, num_workers=2, **how)
    else:
        module, width = drawing(job, files)
        ours = fid.get_model_features(module, network, z_dim=width, num_gen=files["n"], **how)
    theirs = fid.get_folder_features(str(files["ref"]), network, num_workers=2, **how)
    moments = [
        value for each in (ours, theirs) for value in (np.mean(each, 0), np.cov(each, rowvar=False))
    ]
    return float(fid.frechet_distance(*moments))


def command(job: str, tool: str, folder: Path) -> list[str]:
    """The words that do a job."""
    files = prepared(job, folder)
    if not tool.startswith("genbench"):
        return [sys.executable, __file__, "--do", f"{job}:{tool}", "--state", str(folder)]
    words = [
        "--plugin",
        files["plugin"],
        "--checkpoint",
        files["checkpoint"],
        "--dataset",
        files["ref"],
        "--protocol",
        tool.partition(":")[2],
    ]
    words += [
        "--metrics",
        "fid",
        "--weights",
        f"inception={files['weights']}",
        "--n",
        files["n"],
        "--out",
        folder / "runs",
        "--leaderboards",
        "none",
    ]
    return [
        sys.executable,
        "-m",
        "genbench",
        "run",
        *map(str, words),
        "--fresh",
        "--json",
        "--quiet",
    ]


def measured(words: list[str], folder: Path) -> dict[str, Any]:
    """Seconds, the peak memory of the process (of its workers where they take more),
    and the number that it printed.
    """
    fresh = {"GENBENCH_HOME": str(folder / f"home-{time.monotonic_ns()}"), "GENBENCH_OFFLINE": "1"}
    began = time.monotonic()
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **fresh},
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    found: dict[str, Any] = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
    }
    answer = json.loads(said)
    if isinstance(answer, dict):
        score = answer["scores"][0]
        return {
            **found,
            "fid": score["value"],
            "low": score["low"],
            "high": score["high"],
            "stages": answer["cost"]["seconds"],
        }
    return {**found, "fid": float(answer)}


# The table


def _cells(one: dict[str, Any]) -> str:
    interval = f" [{one['low']:.3g}, {one['high']:.3g}]" if "low" in one else ""
    return (
        f"{one['seconds']:.1f} | {one['cpu']:.0f} | {one['peak'] / 1e9:.2f} GB | "
        f"{one['fid']:.5g}{interval}"
    )


def table(found: dict[str, dict[str, Any]]) -> str:
    import torch

    lines = [
        (
            "Whole runs, from the start of a process to its number: "
            "`python tests/bench/whole_runs.py`."
        ),
        (
            f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
            f"{torch.get_num_threads()} threads, torch {torch.__version__}."
        ),
        (
            "One run of each, or the less of two where one was measured again; "
            "seconds of the processors are what it computed, the waiting left out."
        ),
        (
            "Of a generator each draws its own samples, and the FIDs differ by chance, "
            "as their intervals say; of files they are the same."
        ),
        "Peak memory is of the process.",
        "",
        "| job | n, real | | seconds | of the processors | peak memory | FID | times as fast |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for job, n in COUNTS.items():
        for tool, protocol in TOOLS.items():
            ours, theirs = found[f"{job}:genbench:{protocol}"], found[f"{job}:{tool}"]
            ratio = f"**{theirs['seconds'] / ours['seconds']:.2f}**"
            lines.append(f"| {TITLES[job]} | {n:,}, {REAL[job]:,} | {tool} | {_cells(theirs)} | |")
            lines.append(f"| | | genbench, {protocol} | {_cells(ours)} | {ratio} |")
    lines += [
        "",
        "Where genbench's seconds go:",
        "",
        "| job | " + " | ".join(STAGES) + " |",
        "|---" * (len(STAGES) + 1) + "|",
    ]
    for job in COUNTS:
        stages = found[f"{job}:genbench:torch-fidelity"]["stages"]
        lines.append(
            f"| {job} | " + " | ".join(f"{stages.get(stage, 0):.1f}" for stage in STAGES) + " |"
        )
    return "\n".join(lines) + "\n"


STAGES = ("start", "load", "reference", "sample", "features", "wait", "scoring", "latency")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    pieces = [
        f"{job}:{tool}"
        for job in COUNTS
        for tool in (*TOOLS, *(f"genbench:{protocol}" for protocol in TOOLS.values()))
    ]
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=pieces,
        help="again where it is there; the less counts, of seconds and memory",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("whole_runs"),
        help="the folder of files, runs and what was measured",
    )
    parser.add_argument("--do", help=argparse.SUPPRESS)  # a peer, in a process of its own
    given = parser.parse_args()
    given.state.mkdir(exist_ok=True)
    if given.do:
        job, _, tool = given.do.partition(":")
        warnings.simplefilter("ignore")
        print(
            (by_fidelity if tool == "torch-fidelity" else by_clean)(job, prepared(job, given.state))
        )
        return
    kept = given.state / "measured.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for piece in given.only or [piece for piece in pieces if piece not in found]:
        job, _, tool = piece.partition(":")
        once = measured(command(job, tool, given.state), given.state)
        before = found.get(piece, once)
        # what others do there only adds
        found[piece] = {
            **min(once, before, key=lambda one: one["seconds"]),
            "peak": min(once["peak"], before["peak"]),
        }
        print(piece, once, flush=True)
        kept.write_text(json.dumps(found, indent=1))
    if set(pieces) <= set(found):
        Path(__file__).with_suffix(".md").write_text(table(found))


if __name__ == "__main__":
    main()
