"""What identifies an extractor: its weights, the code that makes its features, the package whose network it is."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.files import code_sha256, digest, source_text
from genbench.rows import Extractor, source_of

PREPARATION = ("resizes.py", "networks.py", "checkpoints.py")  # with an extractor's own file, the code that made its features;
ROUNDING = ("precision.py",)  # with these, in another precision than float32


@dataclass(frozen=True)
class Used:
    """An extractor as a run uses it: what identifies it, the weights file that was found, and what every number of it must say."""

    weights: str  # SHA-256, or "none"
    code: str
    path: str = ""
    flags: tuple[str, ...] = ()
    package: str = ""  # name and version of the package whose network it is
    precision: str = "float32"

    def identity(self) -> dict[str, str]:
        """What decides the features: "weights" and "code", and "package" and "precision" where there is something to say."""
        more = {"package": self.package, "precision": self.precision if self.precision != "float32" else ""}
        return {"weights": self.weights, "code": self.code, **{key: value for key, value in more.items() if value}}


def source_code(function: Callable[..., Any]) -> str:
    """The code hash of the file in which a row's function stands."""
    return code_sha256(source_text(source_of(function)))


def extractor_code(row: Extractor, precision: str = "float32") -> str:
    """The code hash of what makes an extractor's features: its own file, and those that read its weights and bring images to its size."""
    here, rounded = Path(__file__).parent, ROUNDING if precision != "float32" else ()
    return digest([source_code(row.load), *(code_sha256(source_text(here / name)) for name in (*PREPARATION, *rounded))])


def package_of(row: Extractor) -> str:
    """The package whose code is an extractor's network, as name and version; "" where it is genbench's own."""
    try:
        return f"{row.package} {importlib.metadata.version(row.package)}" if row.package else ""
    except importlib.metadata.PackageNotFoundError:
        return f"{row.package} missing"  # loading the extractor says what to install


def features_seal(identity: Mapping[str, str]) -> str:
    """What tells features of one extractor and one weights file apart: the code, and package and precision where they are in its identity."""
    more = {key: value for key, value in identity.items() if key not in ("weights", "code")}
    return digest([identity["code"], more]) if more else identity["code"]
