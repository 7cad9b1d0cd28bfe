"""The version of genbench."""

from __future__ import annotations

# of genbench; pyproject.toml and CITATION.cff say the same (tests/architecture/test_packaging.py)
VERSION = "0.1.0"
