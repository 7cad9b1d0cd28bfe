"""Heavy libraries, bound on first use: the only place where they are named as imports.

`from genbench.api import torch` costs nothing; the first attribute that is read imports the
library. That keeps `genbench --help` and every listing under 0.3 s (torch alone takes 2.5
s to import).
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

__all__ = [
    "F",
    "Image",
    "evalica",
    "hf_datasets",
    "jinja2",
    "linalg",
    "lmdb",
    "markupsafe",
    "mpl",
    "mpl_agg",
    "mpl_figure",
    "mpl_svg",
    "mpl_ticker",
    "np",
    "optuna",
    "parquet",
    "pd",
    "pyarrow",
    "safetensors",
    "safetensors_numpy",
    "safetensors_torch",
    "scipy_optimize",
    "scipy_special",
    "scipy_stats",
    "sklearn_cluster",
    "sklearn_datasets",
    "sklearn_linear",
    "threadpoolctl",
    "timm_vit",
    "torch",
    "torchvision_datasets",
    "torchvision_models",
]


class _Lazy(types.ModuleType):
    """A stand-in that becomes the library at the first attribute read from it."""

    def __getattr__(self, attribute: str) -> Any:
        # inspection (inspect, doctest, pluggy) must not import a library
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        # Looked up before the importer is asked: its answer at every read took a tenth of the time
        # of the table of classes.
        return getattr(
            sys.modules.get(self.__name__) or importlib.import_module(self.__name__), attribute
        )


if TYPE_CHECKING:
    import datasets as hf_datasets
    import evalica as evalica
    import jinja2 as jinja2
    import lmdb as lmdb
    import markupsafe as markupsafe
    import matplotlib as mpl
    import matplotlib.backends.backend_agg as mpl_agg
    import matplotlib.backends.backend_svg as mpl_svg
    import matplotlib.figure as mpl_figure
    import matplotlib.ticker as mpl_ticker
    import numpy as np
    import optuna as optuna
    import pandas as pd
    import PIL.Image as Image
    import pyarrow as pyarrow
    import pyarrow.parquet as parquet
    import safetensors as safetensors
    import safetensors.numpy as safetensors_numpy
    import safetensors.torch as safetensors_torch
    import scipy.linalg as linalg
    import scipy.optimize as scipy_optimize
    import scipy.special as scipy_special
    import scipy.stats as scipy_stats
    import sklearn.cluster as sklearn_cluster
    import sklearn.datasets as sklearn_datasets
    import sklearn.linear_model as sklearn_linear
    import threadpoolctl as threadpoolctl
    import timm.models.vision_transformer as timm_vit
    import torch as torch
    import torch.nn.functional as F
    import torchvision.datasets as torchvision_datasets
    import torchvision.models as torchvision_models
else:
    jinja2 = _Lazy("jinja2")
    markupsafe = _Lazy("markupsafe")
    mpl = _Lazy("matplotlib")
    mpl_agg = _Lazy("matplotlib.backends.backend_agg")
    mpl_svg = _Lazy("matplotlib.backends.backend_svg")
    mpl_figure = _Lazy("matplotlib.figure")
    mpl_ticker = _Lazy("matplotlib.ticker")
    np = _Lazy("numpy")
    pd = _Lazy("pandas")
    hf_datasets = _Lazy("datasets")
    evalica = _Lazy("evalica")
    jinja2 = _Lazy("jinja2")
    lmdb = _Lazy("lmdb")
    parquet = _Lazy("pyarrow.parquet")
    optuna = _Lazy("optuna")
    pyarrow = _Lazy("pyarrow")
    Image = _Lazy("PIL.Image")
    safetensors = _Lazy("safetensors")
    safetensors_numpy = _Lazy("safetensors.numpy")
    safetensors_torch = _Lazy("safetensors.torch")
    linalg = _Lazy("scipy.linalg")
    scipy_optimize = _Lazy("scipy.optimize")
    scipy_special = _Lazy("scipy.special")
    scipy_stats = _Lazy("scipy.stats")
    sklearn_cluster = _Lazy("sklearn.cluster")
    sklearn_datasets = _Lazy("sklearn.datasets")
    sklearn_linear = _Lazy("sklearn.linear_model")
    threadpoolctl = _Lazy("threadpoolctl")
    torch = _Lazy("torch")
    F = _Lazy("torch.nn.functional")
    timm_vit = _Lazy("timm.models.vision_transformer")
    torchvision_datasets = _Lazy("torchvision.datasets")
    torchvision_models = _Lazy("torchvision.models")
