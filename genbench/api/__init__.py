"""Everything that authors of extensions import, besides `genbench` itself. Public and promised.

    hookspecs                   the manual of generators: every hook, with its arguments
    Dataset, Batch              real images
    Extractor, Weights, File    a feature network, and its published files
    Metric, Measure, Pairs      a number
    Arrays, NEEDS, Side         the inputs of a metric
    Sighting                    the context of a metric's flags
    COUNT, SEED, PERCENT, FLAG  what a constant of a metric may be; Constant is its type
    PROPERTIES                  the laws that a metric may claim
    Protocol, Published         how the numbers of a board are measured, and what papers report
    Section                     a section of the HTML report
    Engine, Wanted              where shards are computed, and what a run asks of it
    RowError                    raised by a row that is wrong
    torch, np                   the libraries, imported on first use, so that listings stay fast

Names are bound on first use. May import: _util. The registry (_registry.py) is genbench's own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench._util.lazy_imports import np as np
    from genbench._util.lazy_imports import torch as torch
    from genbench.api import hookspecs as hookspecs
    from genbench.api.dataset import Batch as Batch
    from genbench.api.dataset import Dataset as Dataset
    from genbench.api.engine import Engine as Engine
    from genbench.api.engine import Wanted as Wanted
    from genbench.api.extractor import Extractor as Extractor
    from genbench.api.extractor import File as File
    from genbench.api.extractor import Weights as Weights
    from genbench.api.hookspecs import hookimpl as hookimpl
    from genbench.api.metric import COUNT as COUNT
    from genbench.api.metric import FLAG as FLAG
    from genbench.api.metric import PERCENT as PERCENT
    from genbench.api.metric import PROPERTIES as PROPERTIES
    from genbench.api.metric import SEED as SEED
    from genbench.api.metric import Constant as Constant
    from genbench.api.metric import Measure as Measure
    from genbench.api.metric import Metric as Metric
    from genbench.api.metric import Pairs as Pairs
    from genbench.api.metric_inputs import NEEDS as NEEDS
    from genbench.api.metric_inputs import Arrays as Arrays
    from genbench.api.metric_inputs import Side as Side
    from genbench.api.metric_inputs import Sighting as Sighting
    from genbench.api.protocol import Protocol as Protocol
    from genbench.api.protocol import Published as Published
    from genbench.api.report_section import Section as Section
    from genbench.api.validation import RowError as RowError

_MODULES = {
    "Arrays": "metric_inputs",
    "Batch": "dataset",
    "COUNT": "metric",
    "Constant": "metric",
    "Dataset": "dataset",
    "Engine": "engine",
    "Extractor": "extractor",
    "FLAG": "metric",
    "File": "extractor",
    "Measure": "metric",
    "Metric": "metric",
    "NEEDS": "metric_inputs",
    "PERCENT": "metric",
    "PROPERTIES": "metric",
    "Pairs": "metric",
    "Protocol": "protocol",
    "Published": "protocol",
    "RowError": "validation",
    "SEED": "metric",
    "Section": "report_section",
    "Side": "metric_inputs",
    "Sighting": "metric_inputs",
    "Wanted": "engine",
    "Weights": "extractor",
    "hookimpl": "hookspecs",
}
__all__ = [
    "COUNT",
    "FLAG",
    "NEEDS",
    "PERCENT",
    "PROPERTIES",
    "SEED",
    "Arrays",
    "Batch",
    "Constant",
    "Dataset",
    "Engine",
    "Extractor",
    "File",
    "Measure",
    "Metric",
    "Pairs",
    "Protocol",
    "Published",
    "RowError",
    "Section",
    "Side",
    "Sighting",
    "Wanted",
    "Weights",
    "hookimpl",
    "hookspecs",
    "np",
    "torch",
]


def __getattr__(name: str) -> Any:
    if name in ("np", "torch"):
        return getattr(importlib.import_module("genbench._util.lazy_imports"), name)
    if name == "hookspecs":
        return importlib.import_module("genbench.api.hookspecs")
    if name not in _MODULES:
        raise AttributeError(f"module 'genbench.api' has no attribute {name!r}")
    return getattr(importlib.import_module(f"genbench.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
