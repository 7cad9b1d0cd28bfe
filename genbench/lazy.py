"""Deprecated, kept for one release: import torch and np from genbench.api."""

from genbench._util.deprecation import forward

__getattr__ = forward(
    "genbench.lazy", "genbench._util.lazy_imports", "import torch and np from genbench.api"
)
