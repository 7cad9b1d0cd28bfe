"""What a run asks of its measures, and an extractor as the run uses it:
the files that were found, and what identifies its features.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench import shelves, weights
from genbench.cuts import unhalved
from genbench.feature_versions import version_of
from genbench.rows import Dataset, Extractor, Weights, source_of
from genbench.say import UserError, tell

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


@dataclass(frozen=True)
class Used:
    """An extractor as a run uses it: what identifies it, the files that were found,
    and what every number of it must say.
    """

    weights: str  # SHA-256, or "none"
    code: str  # name and version, "digits/1"; of a stranger's also the hash of its source
    paths: tuple[str, ...] = ()  # of the weights, and of the vocabulary
    flags: tuple[str, ...] = ()
    package: str = ""  # name and version of the package whose network it is
    precision: str = "float32"
    vocabulary: str = ""  # SHA-256

    def identity(self) -> dict[str, str]:
        """What decides the features: "weights" and "code", and "package",
        "precision" and "vocabulary" where there is something to say.
        """
        more = {
            "package": self.package,
            "precision": self.precision if self.precision != "float32" else "",
            "vocabulary": self.vocabulary,
        }
        return {
            "weights": self.weights,
            "code": self.code,
            **{key: value for key, value in more.items() if value},
        }

    def places(self, name: str) -> dict[str, str]:
        """Where its files are, by the name of the extractor and of what they are."""
        return dict(zip((name, place_of_vocabulary(name)), self.paths, strict=False))


def needed(row: Extractor) -> tuple[Weights, ...]:
    """The files that an extractor needs: its weights, and its vocabulary."""
    return tuple(one for one in (row.weights, row.vocabulary) if one)


def all_weights() -> dict[str, tuple[Weights, Path, list[str]]]:
    """All weights of the extractors on the shelf: the row, the folder of its module,
    and which extractors need it.

    A stranger that cannot be read is told.
    """
    found: dict[str, tuple[Weights, Path, list[str]]] = {}
    for name in shelves.standing("extractors"):
        try:
            row: Extractor = shelves.find("extractors", name)
        except UserError as error:
            tell(f"weights: {error}")
            continue
        for one in needed(row):
            other, _, needing = found.setdefault(one.name, (one, source_of(row.load).parent, []))
            if other != one:
                raise UserError(
                    f"two weights are named {one.name}: of {needing[0]} and of {name}; rename one"
                )
            needing.append(name)
    return dict(sorted(found.items()))


def place_of_vocabulary(name: str) -> str:
    """The key of an extractor's vocabulary among the places of a plan."""
    return f"{name}.vocabulary"


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


def package_of(row: Extractor) -> str:
    """The package whose code is an extractor's network, as name and version;
    "" where it is genbench's own.
    """
    try:
        return f"{row.package} {importlib.metadata.version(row.package)}" if row.package else ""
    except importlib.metadata.PackageNotFoundError:
        return f"{row.package} missing"  # loading the extractor says what to install
