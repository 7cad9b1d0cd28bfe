"""What a shard computes of its samples: the images themselves, rows or sums of features, distances of latent pairs. One probe is one file per shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import shelves
from genbench.files import code_sha256, digest, source_text
from genbench.lazy import np, torch
from genbench.rows import Pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import ndarray

    from genbench.record import Plan

AT_ONCE = 100  # images to a call of an extractor; fixed, so that features do not depend on the run's batch size
WIDE_PIXELS = 2**17  # in a call for an output that is as wide as the images make it: 32 images of 64 x 64
PAIRS_AT_ONCE = 8
LARGEST_SUMS = 1 << 30  # bytes of sums per class that a run keeps; beyond it only those over all classes


@dataclass(frozen=True)
class Probe:
    """A source (the samples' images, or latent pairs) seen through an extractor's output."""

    name: str
    says: Mapping[str, str]  # what its files say of themselves; a file that says otherwise is of another time and done again
    extractor: str = ""  # "": the images themselves
    output: str = ""
    sums: bool = False  # sums by class in place of rows
    pairs: Pairs | None = None


def probes_of(plan: Plan) -> dict[str, Probe]:
    """Every probe of a run by name."""
    common = {"run": plan.id, "quantise": plan.quantise, "device": plan.device.split(":")[0]}
    found = {"images": Probe("images", common)} if plan.keep_images else {}
    for protocol in plan.protocols.values():
        for measure in protocol["measures"]:
            if not measure["skip"]:
                name, probe = _probe(measure, {**common, **protocol["extractors"][measure["features"].partition(".")[0]]})
                found[name] = probe
    return found


def _probe(measure: Mapping[str, Any], says: Mapping[str, str]) -> tuple[str, Probe]:
    name = probe_name(measure)
    extractor, _, output = measure["features"].partition(".")
    pairs = Pairs(**measure["pairs"]) if ".pairs-" in name else None
    if pairs:
        here = Path(__file__).parent
        says = {**says, "paths": digest([code_sha256(source_text(here / file)) for file in ("paths.py", "generator.py")])}
    return name, Probe(name, says, extractor, output, name.endswith(".sums"), pairs)


def probe_name(measure: Mapping[str, Any]) -> str:
    """The probe that a measure is taken from: rows of its features; their sums where they are too wide to keep; or distances of latent pairs."""
    needs = shelves.find("metrics", measure["metric"]).needs
    extractor, _, output = measure["features"].partition(".")
    if "pairs" in needs:
        return f"{measure['features']}.pairs-{digest(dict(measure['pairs']))[:8]}"
    wide = shelves.find("extractors", extractor).outputs[output] == 0
    return f"{measure['features']}.sums" if wide else str(measure["features"])


def calls(network: Any, images: torch.Tensor, at_once: int = AT_ONCE) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
    """An extractor's answers on images [n, 3, h, w], some images to a call: (rows, {output: float32 [rows, width]})."""
    for at in range(0, len(images), at_once):
        rows = slice(at, min(at + at_once, len(images)))
        yield rows, network(images[rows])


def rows_of(network: Any, images: torch.Tensor, outputs: list[str]) -> dict[str, torch.Tensor]:
    """Features of images: {output: float32 [n, width]} of these outputs."""
    parts = [{output: answer[output] for output in outputs} for _, answer in calls(network, images)]
    return {output: torch.cat([part[output] for part in parts]) for output in outputs}


def sums_of(network: Any, images: torch.Tensor, output: str, classes: ndarray[Any, Any], count: int, shards: int) -> ndarray[Any, Any]:
    """Sums over the images of each class of an output too wide to keep, float64 [C, d + 2]: of features, of their squared lengths, and counts.

    classes int64 [n] in 0 .. count-1. C is 1 where sums per class would exceed LARGEST_SUMS over the run's shards.
    """
    total: torch.Tensor | None = None
    at_once = max(2, min(50, WIDE_PIXELS // (images.shape[2] * images.shape[3])))
    for rows, answer in calls(network, images, at_once):
        features = answer[output].to(torch.float64)
        if total is None:
            per_class = count * (features.shape[1] + 2) * 8 * shards <= LARGEST_SUMS
            total = torch.zeros(count if per_class else 1, features.shape[1] + 2, dtype=torch.float64, device=features.device)
        of = (
            torch.as_tensor(classes[rows], device=features.device)
            if len(total) == count
            else torch.zeros(len(features), dtype=torch.int64, device=features.device)
        )
        squares = (features * features).sum(1, keepdim=True)
        total.index_add_(0, of, torch.cat([features, squares, torch.ones_like(squares)], 1))
    assert total is not None, "a shard has images"
    return total.cpu().numpy()


def sums_of_rows(rows: ndarray[Any, Any], blocks: ndarray[Any, Any], classes: ndarray[Any, Any] | None) -> ndarray[Any, Any]:
    """The same sums by block of rows that were kept: float64 [B, C, d + 2]. rows [n, d], blocks int64 [n], classes int64 [n] or None for one class."""
    of = np.zeros(len(rows), dtype=np.int64) if classes is None else classes
    found = np.zeros((int(blocks.max()) + 1, int(of.max()) + 1, rows.shape[1] + 2))
    squares = (rows * rows).sum(1, keepdims=True)
    np.add.at(found, (blocks, of), np.concatenate([rows, squares, np.ones_like(squares)], 1))
    return found
