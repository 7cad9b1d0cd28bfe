"""What the precision of the Inception's convolutions does to FID and KID:
two sets of real images in float32 and in others, from the same weights.

    python tests/bench/precision.py
        CIFAR-10 test images; writes precision.md beside this file
    python tests/bench/precision.py --device cuda --n 2500       TF32 and float16 too
    python tests/bench/precision.py --n 20 --dry                 a trial: prints only

Needs the shared material (GENBENCH_TEST_DATA). The interval is that of the number itself, by the
run's own method.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import genbench.features.extractors.inception as inception
from genbench._util import atomic_write
from genbench.api import Arrays
from genbench.api import _registry as registry
from genbench.api.extractor import PRECISIONS
from genbench.features.numeric_precision import ON_PROCESSORS
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import confidence_intervals

sys.path.append(str(Path(__file__).parents[1]))  # where published_weights.py lies
# kd: over all pairs, whose expectation is that of the subsets' mean
NUMBERS = {"fid": "fd", "kid": "kd"}
TEXT = """\
FID and KID (all pairs) between two disjoint sets of {n} real images each, \
CIFAR-10's test images of the classes {classes} (two to one, one to two),
torch-fidelity's resize, with the
convolutions in float32 and in another precision. Both sides are computed in one precision. \
`±` is half the 95 % interval of the float32 number.
**The weights are random** (the published ones are not on this machine), \
so these are not FIDs of anybody's paper: they show how much rounding moves a
distance in such a network, not in the trained one.
{n} images are far fewer than the 2,048 features: FID is dominated by its bias, \
which both precisions share. {machine}; `python tests/bench/precision.py`.
"""


def random_weights(path: Path) -> None:
    """Random parameters in the published format, saved."""
    from helpers.published_weights import values

    shapes: dict[str, tuple[int, ...]] = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for conv in inception.convolutions():
        shapes[f"{conv.name}.conv.weight"] = (conv.width, conv.into, *conv.kernel)
        shapes |= {
            f"{conv.name}.bn.{part}": (conv.width,)
            for part in ("weight", "bias", "running_mean", "running_var")
        }
    torch.save(values(shapes), path)


def two_sets(n: int, classes: tuple[int, int]) -> list[torch.Tensor]:
    """n images uint8 [n, 3, 32, 32] of each half of a mixture:
    two thirds of one class, one third of the other, and the reverse.
    """
    with np.load(Path(os.environ["GENBENCH_TEST_DATA"]) / "cifar10-test-5k.npz") as file:
        images, labels = file["arr_0"], file["arr_1"]
    places = [np.flatnonzero(labels == c) for c in classes]
    cut = [n - n // 3, n // 3]
    assert all(len(of) >= n for of in places), (
        f"a class has {min(map(len, places))} images, {n} are asked for: a smaller --n"
    )
    chosen = [
        np.concatenate([places[0][: cut[0]], places[1][: cut[1]]]),
        np.concatenate([places[0][cut[0] : n], places[1][cut[1] : n]]),
    ]
    return [torch.from_numpy(images[of]).permute(0, 3, 1, 2).contiguous() for of in chosen]


def pools(path: Path, images: list[torch.Tensor], device: str, precision: str) -> list[np.ndarray]:
    extract = inception.extractor(path, device, "tf1", "(x - 128) / 128", precision)
    return [
        torch.cat([extract(part.to(device))["pool"].cpu() for part in one.split(100)])
        .double()
        .numpy()
        for one in images
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    options.add_argument("--n", type=int, default=400)
    options.add_argument(
        "--classes", type=int, nargs=2, default=(3, 5), help="of CIFAR-10: 3 is cat, 5 is dog"
    )
    options.add_argument("--device", default="cpu")
    options.add_argument("--dry", action="store_true", help="print only")
    given = options.parse_args()
    images = two_sets(given.n, tuple(given.classes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        random_weights(path)
        asked = PRECISIONS if given.device.startswith("cuda") else ON_PROCESSORS
        found = {precision: pools(path, images, given.device, precision) for precision in asked}
    blocks = statistics_blocks.blocks_of(np.zeros(given.n, dtype=np.int64))
    lines = [
        "| number | precision | value | ± | difference | relative | of the half interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in NUMBERS.items():
        metric = registry.find("metrics", row)
        exact = Arrays(dict(zip(("samples", "reference"), found["float32"], strict=True)))
        value = metric.value(exact)
        _, low, high = confidence_intervals.interval(
            metric.interval, value, metric.left_out(exact, blocks, "samples"), np.bincount(blocks)
        )
        half = (high - low) / 2
        lines.append(f"| {name} | float32 | {value:.6g} | {half:.2g} | | | |")
        for precision, (x, y) in found.items():
            if precision != "float32":
                apart = metric.value(Arrays({"samples": x, "reference": y})) - value
                lines.append(
                    f"| {name} | {precision} | {value + apart:.6g} | | {apart:+.2g} | "
                    f"{apart / abs(value):+.1e} | {abs(apart) / half:.1%} |"
                )
    for precision, (x, _) in found.items():
        if precision != "float32":
            error = np.linalg.norm(x - found["float32"][0]) / np.linalg.norm(found["float32"][0])
            lines.append(
                f"\nThe pool features in {precision} are {error:.1e} (relative distance) from "
                "those in float32."
            )
    machine = (
        torch.cuda.get_device_name()
        if given.device.startswith("cuda")
        else torch.backends.cpu.get_cpu_capability()
    )
    text = (
        TEXT.format(
            n=given.n,
            classes=" and ".join(map(str, given.classes)),
            machine=f"{machine}, torch {torch.__version__}",
        )
        + "\n"
        + "\n".join(lines)
    )
    print(text)
    if not given.dry:
        name = "precision.md" if given.device == "cpu" else "precision-cuda.md"
        atomic_write.write(Path(__file__).with_name(name), (text + "\n").encode())


if __name__ == "__main__":
    main()
