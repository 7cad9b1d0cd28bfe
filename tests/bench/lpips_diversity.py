"""LPIPS diversity over all pairs: the one pass of this program against the lpips package pair by
pair, in one run; writes lpips_diversity.md beside this file.

    python tests/bench/lpips_diversity.py             about six minutes on one core
    python tests/bench/lpips_diversity.py --quick     a smoke test of a minute, printed only

AlexNet with a random trunk (the time does not depend on the values) and the published heads, on the
CPU. Ours is what a run does: phi of each image, its sums by block, the mean over all pairs and its
20 leave-outs.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import torch
import torchvision

from genbench.api import Arrays
from genbench.api import _registry as registry
from genbench.features import extraction
from genbench.statistics import blocks as statistics_blocks

SIZE, TIMES = 64, 5
TABLE = Path(__file__).with_suffix(".md")


def random_trunk(path: Path) -> dict[str, torch.Tensor]:
    """Random weights of He's scale in torchvision's format, written to a file."""
    torch.manual_seed(0)
    shapes = {
        key: value
        for key, value in torchvision.models.alexnet(weights=None).state_dict().items()
        if key.startswith("features.")
    }
    state = {
        key: torch.randn_like(value) * ((2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1)
        for key, value in shapes.items()
    }
    torch.save(state, path)
    return state


def peer_of(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on `pretrained=`
        peer = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    peer.net.load_state_dict(
        {key: state[f"features.{key.split('.', 1)[1]}"] for key in peer.net.state_dict()}
    )
    return peer.eval()


def pictures(n: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    rough = torch.rand(n, 3, SIZE // 4, SIZE // 4, generator=random)
    return (
        (torch.nn.functional.interpolate(rough, size=(SIZE, SIZE), mode="bilinear") * 255)
        .round()
        .to(torch.uint8)
    )


def ours(network: Any, images: torch.Tensor) -> tuple[float, np.ndarray]:
    """The mean LPIPS over all pairs and its leave-outs."""
    blocks = statistics_blocks.blocks_of(np.zeros(len(images), dtype=np.int64))
    found = extraction.sums_of(network, images, "phi", blocks, int(blocks.max()) + 1, 1)
    arrays, row = Arrays({"sums": found[:, None]}), registry.find("metrics", "diversity")
    return row.value(arrays), row.left_out(arrays, np.arange(len(found)), "samples")


def theirs(peer: torch.nn.Module, images: torch.Tensor, pairs: np.ndarray, batch: int) -> float:
    """The mean of lpips over these pairs [p, 2], `batch` pairs to a call."""
    scaled, total = images.float() / 127.5 - 1, 0.0
    with torch.no_grad():
        for at in range(0, len(pairs), batch):
            i, j = torch.from_numpy(pairs[at : at + batch]).T
            total += float(peer(scaled[i], scaled[j]).double().sum())
    return total / len(pairs)


def seconds(call: Callable[[], Any], times: int = TIMES) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def spoken(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


def measured(quick: bool) -> list[str]:
    """The lines of the table."""
    n, sizes = (40, (20, 40, 80)) if quick else (200, (100, 200, 400, 800))
    with tempfile.TemporaryDirectory() as folder:
        state = random_trunk(Path(folder) / "alex.pth")
        network, peer = (
            registry.find("extractors", "lpips-alex").load("cpu", Path(folder) / "alex.pth"),
            peer_of(state),
        )
    images = pictures(max(sizes))
    pairs = np.array(list(itertools.combinations(range(n), 2)))
    part = np.random.default_rng(0).permutation(pairs)[: max(len(pairs) // 20, 100)]
    tried = {
        batch: min(seconds(lambda batch=batch: theirs(peer, images, part[:100], batch), 2))
        for batch in (5, 20, 50, 100)
    }
    batch = min(tried, key=lambda size: tried[size])
    began = time.perf_counter()
    mean = theirs(peer, images, pairs, batch)
    whole = time.perf_counter() - began
    sampled = [
        one * len(pairs) / len(part) for one in seconds(lambda: theirs(peer, images, part, batch))
    ]
    value, _ = ours(network, images[:n])
    own = {size: seconds(lambda size=size: ours(network, images[:size])) for size in sizes}
    ratio = statistics.median(sampled) / statistics.median(own[n])
    return [
        (
            f"torch {torch.__version__}, lpips, {torch.get_num_threads()} thread(s), AlexNet, "
            f"{SIZE} x {SIZE}; seconds are medians of {TIMES} (least to most)."
        ),
        "",
        "| | seconds |",
        "|---|---|",
        (
            f"| lpips, all {len(pairs)} pairs of {n} images, {batch} pairs to a call "
            f"(the fastest of {', '.join(map(str, tried))}), once | {whole:.1f} |"
        ),
        f"| lpips, {len(part)} of the pairs, scaled to all | {spoken(sampled)} |",
        f"| genbench, all pairs in one pass, with 20 leave-outs | {spoken(own[n])} |",
        f"| **ratio of the medians** (aim: at least 150) | **{ratio:.0f}** |",
        "",
        (
            f"Mean over all pairs: lpips {mean:.9f}, genbench {value:.9f}, relative difference "
            f"{abs(value - mean) / mean:.1e}."
        ),
        (
            f"{n} images pass the network once here and {2 * len(pairs)} times there, "
            f"{2 * len(pairs) / n:.0f} times as often: that is where the ratio comes from."
        ),
        "",
        "| images | seconds | ms per image |",
        "|---|---|---|",
        *(
            f"| {size} | {spoken(own[size])} | {1000 * statistics.median(own[size]) / size:.2f} |"
            for size in sizes
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few images, nothing written")
    quick = parser.parse_args().quick
    text = "\n".join(
        [
            "# LPIPS diversity: one pass against every pair",
            "",
            "By `python tests/bench/lpips_diversity.py`. " + (lines := measured(quick))[0],
            *lines[1:],
            "",
        ]
    )
    print(text)
    if not quick:
        TABLE.write_text(text, encoding="utf-8")
