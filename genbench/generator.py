"""Deprecated, kept for one release: use genbench.check_plugin."""

from genbench._util.deprecation import forward

__getattr__ = forward("genbench.generator", "genbench.generators.load", "use genbench.check_plugin")
