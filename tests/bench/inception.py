"""Images per second through the Inception of FID: ours, torch-fidelity's and pytorch-fid's,
in one process, with random weights.

    python tests/bench/inception.py                        writes inception.md beside this file
    python tests/bench/inception.py --threads 1 --runs 7 --device cuda
    python tests/bench/inception.py --batch 2 --runs 1 --dry    a trial: prints only

Each run goes once through every competitor, so that a slow moment of the machine meets all of them;
the table has medians, and ratios of medians.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytorch_fid.inception
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity

import genbench.features.extractors.inception as ours
from genbench._util import atomic_write

Competitor = Callable[[torch.Tensor], torch.Tensor]  # images uint8 [n, 3, h, w] -> pool [n, 2048]


def random_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict in the published format, saved."""
    torch.manual_seed(0)
    with (
        mock.patch.object(fidelity, "load_state_dict_from_url", return_value={}),
        mock.patch.object(fidelity.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        net = fidelity.FeatureExtractorInceptionV3("inception", ["2048"])
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(net.state_dict(), path)
    return net.state_dict()


def competitors(path: Path, state: dict[str, torch.Tensor], device: str) -> dict[str, Competitor]:
    theirs = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(path)
    ).to(device)
    with mock.patch.object(pytorch_fid.inception, "load_state_dict_from_url", return_value=state):
        other = pytorch_fid.inception.InceptionV3().eval().to(device)
    halves = ["bfloat16"] if device == "cpu" else ["bfloat16", "float16"]
    found: dict[str, Competitor] = {
        "torch-fidelity 0.4": lambda images: theirs(images)[0],
        "pytorch-fid": lambda images: other(images.float() / 255)[0].flatten(1),
    }
    for rule, span, peer in (
        ("tf1", "(x - 128) / 128", ""),
        ("torch", "2x / 255 - 1", ", pytorch-fid's resize"),
    ):
        extract = ours.extractor(path, device, rule, span)
        found[f"genbench{peer}"] = lambda images, extract=extract: extract(images)["pool"]
    for precision in halves:
        rough = ours.extractor(path, device, "tf1", "(x - 128) / 128", precision)
        found[f"genbench, {precision}"] = lambda images, rough=rough: rough(images)["pool"]
    return found


def seconds(competitor: Competitor, images: torch.Tensor) -> float:
    began = time.perf_counter()
    with torch.no_grad():
        competitor(images).sum().item()  # the sum waits for a graphics card
    return time.perf_counter() - began


def measured(found: dict[str, Competitor], images: torch.Tensor, runs: int) -> list[str]:
    """The lines of the table."""
    with torch.no_grad():
        # and everybody is warm
        pools = {name: competitor(images).float() for name, competitor in found.items()}
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(runs):
        for name, competitor in found.items():
            times[name].append(seconds(competitor, images))
    first = next(iter(found))
    base = statistics.median(times[first])
    lines = [
        f"| network | images/s | against {first} | quickest run | error of pool |",
        "|---|---|---|---|---|",
    ]
    for name, taken in times.items():
        middle = statistics.median(taken)
        wanted = pools["pytorch-fid" if "pytorch-fid" in name else first]
        error = ((pools[name] - wanted).norm() / wanted.norm()).item()
        quick = min(times[first]) / min(taken)
        lines.append(
            f"| {name} | {len(images) / middle:.2f} | {base / middle:.2f} | {quick:.2f} | "
            f"{'-' if wanted is pools[name] else f'{error:.1e}'} |"
        )
    return lines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument(
        "--size", type=int, default=64, help="of the images, before they are resized"
    )
    options.add_argument("--threads", type=int, default=0, help="0: as torch finds it")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dry", action="store_true", help="print only")
    given = options.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        found = competitors(path, random_weights(path), given.device)
    images = torch.randint(0, 256, (given.batch, 3, given.size, given.size), dtype=torch.uint8).to(
        given.device
    )
    machine = (
        torch.cuda.get_device_name()
        if given.device.startswith("cuda")
        else f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    )
    text = [
        (
            f"Inception (2015-12-05), batch {given.batch} of {given.size}x{given.size}, "
            f"float32 where not said; medians of {given.runs} interleaved runs."
        ),
        (
            f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
            "`python tests/bench/inception.py`."
        ),
        (
            "The error is the relative distance of the pool features (random weights) from the "
            "peer whose resize is used."
        ),
        "",
        *measured(found, images, given.runs),
    ]
    print("\n".join(text))
    if not given.dry:
        name = "inception.md" if given.device == "cpu" else "inception-cuda.md"
        atomic_write.write(Path(__file__).with_name(name), ("\n".join(text) + "\n").encode())


if __name__ == "__main__":
    main()
