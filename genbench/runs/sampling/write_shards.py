"""Samples to probes to one atomic file per shard and probe.

A shard, the unit of resuming, is the next 50 members of one block (500 from n = 10,000). A probe is
what is computed from its images: themselves, features or sums of them, distances of latent pairs.
Distances within classes are computed of all kept images at once, as if of one shard.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.background_thread import Behind, fetched
from genbench._util.checksummed_files import write_arrays
from genbench._util.console import complain, progress
from genbench._util.hashing import sha256
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.data.image_checks import sketch
from genbench.features.extraction import ahead_of, rows_of, sums_of, wide_at_once
from genbench.runs.planning.shard_outputs import PAIRS_AT_ONCE, Probe, kept_images, probes_of
from genbench.runs.sampling import cost
from genbench.runs.sampling.cost import Clock
from genbench.runs.sampling.memory import noticed
from genbench.runs.sampling.missing_shards import lacking
from genbench.runs.sampling.shards import (
    Shard,
    array_of,
    labels_for,
    parts,
    path_of,
    prompt_places,
    read_probe,
    run_blocks,
    shards_of,
    whole_run,
)

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.generators.generator import Generator
    from genbench.runs.records.record import Plan


@dataclass(frozen=True)
class Work:
    """What every shard of a run is computed with."""

    plan: Plan
    generator: Generator
    loaded: Mapping[str, Any]  # extractor -> network
    folder: Path
    clock: Clock
    labels: ndarray[Any, Any] | None
    prompts: ndarray[Any, Any] | None  # places in the plan's list
    shards: int

    @classmethod
    def of(
        cls, plan: Plan, generator: Generator, loaded: Mapping[str, Any], folder: Path, clock: Clock
    ) -> Work:
        """The same of a plan."""
        return cls(
            plan,
            generator,
            loaded,
            folder,
            clock,
            labels_for(plan),
            prompt_places(plan),
            len(shards_of(run_blocks(plan))),
        )

    def own(self, shard: Shard) -> ndarray[Any, Any] | None:
        """The labels of a shard's samples."""
        return None if self.labels is None else self.labels[shard.indices]

    def texts(self, shard: Shard) -> list[str] | None:
        """The prompts of a shard's samples."""
        return (
            None
            if self.prompts is None
            else [self.plan.prompts[place] for place in self.prompts[shard.indices]]
        )


def draw(
    work: Work, only: Collection[str] = (), kept: Callable[[list[str]], None] = lambda names: None
) -> None:
    """Compute every probe of every shard that is not there and whole;
    or of some, and then nothing that needs them all.

    kept hears of each that is done.

    A shard is written, and kept hears of it, in a thread behind this one, while the next is drawn.
    """
    clock, then = work.clock, time.monotonic()
    missing = lacking(work.plan, work.folder, only)
    clock.add("check", then)
    with (
        progress(
            f"sampling {work.plan.label}", sum(len(shard.indices) for shard, _ in missing), "images"
        ) as done,
        Behind() as behind,
    ):
        for shard, lacks in missing:
            write = _of_images(work, shard, [probe for probe in lacks if not probe.pairs])
            _of_pairs(work, shard, [probe for probe in lacks if probe.pairs])
            then = time.monotonic()
            behind.put(
                functools.partial(
                    _written, clock.behind, write, functools.partial(kept, [shard.name])
                )
            )
            clock.add("wait", then)
            done(len(shard.indices))
        then = time.monotonic()
        behind.finish()
        clock.add("wait", then)
    for probe in probes_of(work.plan).values():
        if probe.ahead and not only:
            _of_classes(work, probe)


def compute(work: Work, shard: Shard, lacks: list[Probe]) -> None:
    """Probes of one shard, written when it returns."""
    write = _of_images(work, shard, [probe for probe in lacks if not probe.pairs])
    _written(work.clock.seconds, write)
    _of_pairs(work, shard, [probe for probe in lacks if probe.pairs])


def _written(seconds: dict[str, float], *steps: Callable[[], None]) -> None:
    """Take the steps, and count their time as that of writing."""
    then = time.monotonic()
    for step in steps:
        step()
    cost.add(seconds, "write", then)


def _of_images(work: Work, shard: Shard, missing: list[Probe]) -> Callable[[], None]:
    """The probes of a shard's images: kept ones are read, others drawn;
    one pass of an extractor for all its outputs.

    What is returned writes them.
    """
    if not missing:
        return lambda: None
    plan, clock, then = work.plan, work.clock, time.monotonic()
    probes = {name: probe for name, probe in probes_of(plan).items() if probe.of_images}
    kept = (
        read_probe(work.folder, shard, probes["images"])
        if "images" in probes and probes["images"] not in missing
        else None
    )
    if kept:
        images, how = torch.from_numpy(kept[0]["images"]).to(plan.device), kept[1]["quantised"]
    else:
        clock.first = clock.first or then
        with noticed():
            images = work.generator.draw(
                shard.indices,
                plan.identity["first_seed"],
                work.own(shard),
                plan.batch_size,
                plan.quantise,
                work.texts(shard),
            )
        clock.images, how = clock.images + len(images), work.generator.quantised
    _wait_for(plan.device)
    then = clock.add("sample", then)
    extracted = _seen(work, shard, images, missing)
    others = {
        p.name: found
        for p in probes.values()
        if p not in missing and (found := read_probe(work.folder, shard, p))
    }
    if others and {found[1]["images"] for found in others.values()} != {
        sha256(images.cpu().numpy().tobytes())
    }:
        complain(
            f"shard {shard.name} came out different when drawn again: {plan.label} is not "
            "reproducible here; doing all its probes again"
        )
        missing = list(probes.values())
        extracted = _seen(work, shard, images, missing)
    _wait_for(plan.device)
    clock.add("features", then)

    def write() -> None:
        arrays = fetched({"images": images, **extracted})
        said = {
            "shard": shard.name,
            "images": sha256(arrays["images"].tobytes()),
            "sketch": sketch(arrays["images"]),
            "quantised": how,
        }
        for probe in missing:
            write_arrays(
                path_of(work.folder, shard, probe.name),
                {array_of(probe): arrays[probe.name]},
                {**probe.says, **said},
            )

    return write


def _seen(
    work: Work, shard: Shard, images: torch.Tensor, missing: list[Probe]
) -> dict[str, torch.Tensor]:
    """The images through each extractor that is missing, on the device:
    nothing is copied before features are out.
    """
    found: dict[str, torch.Tensor] = {}
    count = int(work.plan.identity["conditions"].get("classes", 1))
    classes = work.own(shard) if count > 1 else None
    for name in dict.fromkeys(probe.extractor for probe in missing if probe.extractor):
        rows = {
            probe.output: probe.name
            for probe in missing
            if probe.extractor == name and not probe.sums
        }
        if rows:
            network, given = (
                work.loaded[name],
                work.texts(shard) if registry.find("extractors", name).wants else None,
            )
            found |= {
                rows[output]: values
                for output, values in rows_of(network, images, list(rows), given).items()
            }
        for probe in (probe for probe in missing if probe.extractor == name and probe.sums):
            of = np.zeros(len(images), dtype=np.int64) if classes is None else classes
            found[probe.name] = torch.from_numpy(
                sums_of(work.loaded[name], images, probe.output, of, count, work.shards)
            )
    return found


def _of_pairs(work: Work, shard: Shard, missing: list[Probe]) -> None:
    """The probes of a shard's latent pairs: squared distances of the two renderings over
    epsilon squared.
    """
    for probe in missing:
        assert probe.pairs is not None
        then = time.monotonic()
        distances, at_once = [], min(work.plan.batch_size, PAIRS_AT_ONCE)
        labels = work.own(shard)
        for at in range(0, probe.wanted(shard.indices), at_once):
            rows = slice(at, min(at + at_once, probe.wanted(shard.indices)))
            with noticed():
                ends = work.generator.pair(
                    shard.indices[rows],
                    work.plan.identity["first_seed"],
                    None if labels is None else labels[rows],
                    probe.pairs,
                )
            a, b = (
                work.loaded[probe.extractor](images)[probe.output].to(torch.float64)
                for images in ends
            )
            distances.append(((a - b) ** 2).sum(1).cpu().numpy() / probe.pairs.epsilon**2)
        write_arrays(
            path_of(work.folder, shard, probe.name),
            {array_of(probe): np.concatenate(distances)},
            {**probe.says, "shard": shard.name},
        )
        work.clock.add("paths", then)


def _of_classes(work: Work, probe: Probe) -> None:
    """Distances within classes of an output too wide to keep, of the kept images,
    which are in memory at once.
    """
    plan, then = work.plan, time.monotonic()
    kept = list(parts(plan, work.folder, kept_images(plan)))
    origin = sha256("".join(meta["images"] for *_, meta in kept).encode())
    found = read_probe(work.folder, whole_run(plan), probe)
    if found and found[1]["images"] == origin:
        return
    order = np.argsort(np.concatenate([shard.indices for shard, *_ in kept]))
    images = torch.from_numpy(np.concatenate([array for _, array, _ in kept])[order])
    labels = np.zeros(plan.n, dtype=np.int64) if work.labels is None else work.labels
    with progress(f"{probe.extractor} within classes", plan.n, "images") as done:

        def features(places: ndarray[Any, Any]) -> ndarray[Any, Any]:
            done(len(places))
            return np.asarray(
                work.loaded[probe.extractor](images[places].to(plan.device))[probe.output]
                .to(torch.float64)
                .cpu()
                .numpy()
            )

        ahead = ahead_of(labels, features, wide_at_once(images))
    said = {**probe.says, "shard": whole_run(plan).name, "images": origin}
    write_arrays(path_of(work.folder, whole_run(plan), probe.name), {array_of(probe): ahead}, said)
    work.clock.add("features", then)


def _wait_for(device: str) -> None:
    """Until a GPU has done what it was asked, so that the clock counts each stage's own time."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
