"""What a run cost, measured; never a Score.

All of it is of the machine that it was measured on, which the record names.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import complain
from genbench._util.errors import PluginFailed
from genbench._util.lazy_imports import np, torch
from genbench.generators.description import HELD

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.generators.generator import Generator

CALLS = range(3, 21)  # of one image each, for the latency: at least 3, at most 20,
IMAGES = ("sample", "features", "write", "wait")  # the stages that every image goes through
PATIENCE = 2.0  # and no further one after so many seconds
DRAWN = (
    "images_drawn",
    "images_per_second",
    "images_per_second_whole",
    "seconds_per_image",
    "latency_p50_seconds",
    "latency_p95_seconds",
)


@dataclass
class Clock:
    """Where the time of a run went, in seconds per stage, and how many images were drawn in it."""

    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    behind: dict[str, float] = field(default_factory=dict)  # of the thread that writes, beside them
    since: float = field(default_factory=time.monotonic)  # when it all began
    first: float | None = None  # when the generator was first asked for samples, here

    def add(self, stage: str, since: float) -> float:
        return add(self.seconds, stage, since)


def process_began() -> float:
    """The time.monotonic() at which this process began; where the system does not say,
    that of its first work, by the time it has computed.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.monotonic() - (
            time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        )
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - time.process_time()


def add(seconds: dict[str, float], stage: str, since: float) -> float:
    """Count the time since then for a stage; the time now."""
    now = time.monotonic()
    seconds[stage] = seconds.get(stage, 0.0) + now - since
    return now


def latency(
    generator: Generator,
    first_seed: int,
    labels: ndarray[Any, Any] | None,
    quantise: str,
    prompts: Sequence[str] | None = None,
) -> dict[str, float | None]:
    """Seconds for one image alone, median and 95 % point over some calls after a first one that is
    not counted; None where it cannot be drawn alone.
    """
    seconds: list[float] = []
    try:
        for place in range(CALLS.stop):
            since = time.monotonic()
            one = np.zeros(1, dtype=np.int64)
            generator.draw(
                one,
                first_seed,
                None if labels is None else labels[:1],
                1,
                quantise,
                None if prompts is None else prompts[:1],
            )
            if str(generator.device).startswith("cuda"):
                torch.cuda.synchronize()
            if place:
                seconds.append(time.monotonic() - since)
            if len(seconds) >= CALLS.start and sum(seconds) > PATIENCE:
                break
    except PluginFailed as error:
        complain(f"no latency of one image: {error}")
        return {"latency_p50_seconds": None, "latency_p95_seconds": None}
    return {
        f"latency_p{point}_seconds": round(float(np.percentile(seconds, point)), 6)
        for point in (50, 95)
    }


def precision(generator: Generator) -> str | None:
    """The types of the floating-point parameters of the torch modules that the generator holds,
    in words; None where none are found.
    """
    found = set()
    for implementation in generator.hook.sample.get_hookimpls():
        plugin = implementation.plugin
        owner = getattr(plugin, HELD, plugin)
        for held in (owner, *getattr(owner, "__dict__", {}).values()):
            if isinstance(held, torch.nn.Module):
                found |= {
                    str(p.dtype).removeprefix("torch.")
                    for p in held.parameters()
                    if p.is_floating_point()
                }
    return ", ".join(sorted(found)) or None


def size(checkpoint: Path | None) -> int | None:
    """The bytes of a checkpoint, of a folder those of every file in it."""
    if checkpoint is None:
        return None
    return (
        sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
        if checkpoint.is_dir()
        else checkpoint.stat().st_size
    )


def cost(
    generator: Generator,
    clock: Clock,
    alone: Mapping[str, float | None],
    checkpoint: Path | None,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """The cost of a run by name. alone: the latency of an image.

    A call that drew nothing keeps what the drawing call measured of it (before). images_per_second
    is of sampling alone; _whole with features and files.
    """
    told, seconds, images = generator.cost(), clock.seconds, clock.images
    drew: dict[str, Any] = {key: before.get(key) for key in DRAWN} | {
        "images_drawn": before.get("images_drawn", 0)
    }
    if images:
        sampling = max(seconds["sample"], 1e-9)
        drew = {
            "images_drawn": images,
            "images_per_second": round(images / sampling, 3),
            "images_per_second_whole": round(
                images / sum(seconds.get(stage, 0.0) for stage in IMAGES), 3
            ),
            "seconds_per_image": float(f"{sampling / images:.4g}"),
            **alone,
        }
    device = str(generator.device)
    return {
        "seconds": {stage: round(of, 4) for stage, of in seconds.items()},
        "seconds_behind": {stage: round(of, 4) for stage, of in clock.behind.items()},
        "seconds_whole": round(time.monotonic() - clock.since, 4),
        "first_sample_seconds": None
        if clock.first is None
        else round(clock.first - clock.since, 4),
        **drew,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated()
        if device.startswith("cuda")
        else None,
        "checkpoint_bytes": size(checkpoint),
        "parameters": told.get("parameters"),
        "evaluations_per_image": told.get("evaluations"),
        "dtype": precision(generator),
        "device": device,
    }
