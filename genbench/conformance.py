"""Deprecated, kept for one release: use genbench.check_plugin."""

from genbench._util.deprecation import forward

__getattr__ = forward(
    "genbench.conformance", "genbench.generators.conformance", "use genbench.check_plugin"
)
