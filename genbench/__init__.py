"""genbench evaluates image generators: a plugin with a sample(n) hook goes in,
numbers with intervals come out.

Public names are bound on first use, so that `import genbench` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genbench._util.package_version import VERSION

if TYPE_CHECKING:
    from genbench._util.errors import UserError as UserError
    from genbench.api.hookspecs import hookimpl as hookimpl
    from genbench.data.quantisation import to_uint8 as to_uint8
    from genbench.data.user_datasets import open_images as open_images
    from genbench.generators.conformance import check_plugin as check_plugin
    from genbench.generators.seeded_noise import noise as noise
    from genbench.generators.seeded_noise import uniform as uniform
    from genbench.io.checkpoints import load_checkpoint as load_checkpoint
    from genbench.io.nvidia_pickles import load_network as load_network
    from genbench.runs.records.record import Record as Record
    from genbench.runs.run import evaluate as evaluate

__version__ = VERSION

_PUBLIC = {
    "Record": "runs.records.record",
    "UserError": "_util.errors",
    "check_plugin": "generators.conformance",
    "evaluate": "runs.run",
    "hookimpl": "api.hookspecs",
    "load_checkpoint": "io.checkpoints",
    "load_network": "io.nvidia_pickles",
    "noise": "generators.seeded_noise",
    "open_images": "data.user_datasets",
    "to_uint8": "data.quantisation",
    "uniform": "generators.seeded_noise",
}
__all__ = [
    "Record",
    "UserError",
    "__version__",
    "check_plugin",
    "evaluate",
    "hookimpl",
    "load_checkpoint",
    "load_network",
    "noise",
    "open_images",
    "to_uint8",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"genbench.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
