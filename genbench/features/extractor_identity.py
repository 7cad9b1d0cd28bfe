"""An extractor as a run uses it: the files that were found, and what identifies its features."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from genbench._util.console import tell
from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.extractor import Extractor, Weights
from genbench.api.validation import source_of


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
    for name in registry.standing("extractors"):
        try:
            row: Extractor = registry.find("extractors", name)
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


def package_of(row: Extractor) -> str:
    """The package whose code is an extractor's network, as name and version;
    "" where it is genbench's own.
    """
    try:
        return f"{row.package} {importlib.metadata.version(row.package)}" if row.package else ""
    except importlib.metadata.PackageNotFoundError:
        return f"{row.package} missing"  # loading the extractor says what to install
