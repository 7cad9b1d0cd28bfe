"""Generators that read files which somebody brings."""

from __future__ import annotations

# they draw nothing without a file that somebody brings
BROUGHT = {"images", "biggan", "diffusers", "jit", "onnx"}
