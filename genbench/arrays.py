"""Deprecated, kept for one release: import it from genbench.api."""

from genbench._util.deprecation import forward

__getattr__ = forward("genbench.arrays", "genbench.api", "import it from genbench.api")
