"""genbench evaluates image generators: a plugin with a sample(n) hook goes in,
numbers with intervals come out.

Public names are bound on first use, so that `import genbench` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genbench.say import VERSION

if TYPE_CHECKING:
    from genbench.checkpoints import load_checkpoint as load_checkpoint
    from genbench.draws import noise as noise
    from genbench.draws import uniform as uniform
    from genbench.folders import open_images as open_images
    from genbench.hookspecs import hookimpl as hookimpl
    from genbench.images import to_uint8 as to_uint8
    from genbench.pickles import load_network as load_network
    from genbench.record import Record as Record
    from genbench.run import evaluate as evaluate
    from genbench.say import UserError as UserError

__version__ = VERSION

_PUBLIC = {
    "Record": "record",
    "UserError": "say",
    "evaluate": "run",
    "hookimpl": "hookspecs",
    "load_checkpoint": "checkpoints",
    "load_network": "pickles",
    "noise": "draws",
    "open_images": "folders",
    "to_uint8": "images",
    "uniform": "draws",
}
__all__ = [
    "Record",
    "UserError",
    "__version__",
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
