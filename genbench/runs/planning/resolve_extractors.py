"""Resolve the extractors that a run's measures need: files, precision and identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench.api.dataset import Dataset
from genbench.api.extractor import Extractor, Weights
from genbench.api.validation import source_of
from genbench.data.subsets import unhalved
from genbench.features.extractor_identity import Used, needed, package_of
from genbench.features.extractor_versions import version_of
from genbench.io import weights

FOREIGN = "weights are not the published ones"


@dataclass(frozen=True)
class Asked:
    """What a protocol's measures must know of the run."""

    dataset: Dataset
    metrics: tuple[str, ...]  # names; () for the protocol's own, "all" for everything there is
    n: int
    labels: str  # the policy; "" for an unconditional generator
    quantise: str
    weights: Mapping[str, Path]  # named by hand
    generator: str
    spaces: tuple[str, ...]  # latent spaces that it renders; () without latents and synthesize
    pretrained_on: tuple[str, ...] = ()
    # a file that stands for the reference: {"path", "sha256", "outputs"}
    statistics: Mapping[str, Any] | None = None
    precision: str = "float32"  # of the extractors
    kept: bool = True  # whether the run keeps its images
    prompts: bool = False  # whether it has any
    reconstructs: bool = False  # whether the generator has the hook


def used(row: Extractor, asked: Asked) -> Used | str:
    """An extractor with the files that were found, or why it cannot be used."""
    seen = [
        name
        for name in asked.pretrained_on
        if name.lower() in row.trained_on.lower() and name != unhalved(asked.dataset).name
    ]
    if asked.precision not in row.precisions:
        return (
            f"extractor {row.name} computes in {', '.join(row.precisions)} alone: "
            f"leave out --feature-precision {asked.precision}"
        )
    flags = [f"generator and extractor have both seen {name}" for name in seen] + [
        f"features in {asked.precision}"
    ] * (asked.precision != "float32")
    found = []
    for one in needed(row):
        file = _file(one, row, asked)
        if isinstance(file, str):
            return file
        found.append(file)
    flags += [FOREIGN] * any(not file.published for file in found)
    seals = [file.sha256 for file in found]
    paths = tuple(str(file.path) for file in found)
    return Used(
        (seals or ["none"])[0],
        version_of(row, asked.precision),
        paths,
        tuple(flags),
        package_of(row),
        asked.precision,
        "".join(seals[1:]),
    )


def _file(one: Weights, row: Extractor, asked: Asked) -> weights.Found | str:
    """A file that an extractor needs, or why it is not there."""
    beside = source_of(row.load).parent
    try:
        found = (
            weights.find(one, beside, asked.weights)
            if "all" in asked.metrics
            else weights.need(one, beside, asked.weights)
        )
    except UserError as error:
        if one.name in asked.weights or not one.files[0].url:
            # a file that the user named or the package brings is wrong: that is no reason to go
            # on without it
            raise
        return str(error)
    return found or f"weights missing: genbench weights fetch {one.name}"
