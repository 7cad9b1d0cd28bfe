"""Imports that were documented before the modules lay in packages still work, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from helpers.places import ROOT

import genbench
import genbench.api

#: Old module -> names that README, docs or templates imported from it, and where they are now.
OLD = {
    "rows": dict.fromkeys(
        [
            "Dataset",
            "Extractor",
            "File",
            "Measure",
            "Metric",
            "Pairs",
            "Protocol",
            "Published",
            "Weights",
            "COUNT",
            "SEED",
            "PERCENT",
            "FLAG",
            "PROPERTIES",
            "RowError",
        ],
        "genbench.api",
    ),
    "arrays": dict.fromkeys(["Arrays", "NEEDS", "Sighting"], "genbench.api"),
    "engine": {"Engine": "genbench.api"},
    "section": {"Section": "genbench.api"},
    "lazy": dict.fromkeys(["torch", "np"], "genbench.api"),
    "conformance": {"check": "genbench.generators.conformance"},
    "generator": {"locate": "genbench.generators.load"},
}


@pytest.mark.parametrize("old", OLD)
def test_an_old_import_gives_the_same_thing_and_warns(old):
    """Each name of a shim is the thing of today, and the warning says what to import instead."""
    shim = importlib.import_module(f"genbench.{old}")
    for name, new in OLD[old].items():
        with pytest.warns(DeprecationWarning, match=f"genbench.{old}.{name} is deprecated: "):
            found = getattr(shim, name)
        assert found is getattr(importlib.import_module(new), name)


@pytest.mark.parametrize("old", OLD)
def test_a_shim_is_short_and_refuses_what_was_never_there(old):
    """A shim has at most ten lines, and an unknown name is an AttributeError."""
    assert len((ROOT / "genbench" / f"{old}.py").read_text().splitlines()) <= 10
    with pytest.raises(AttributeError, match="never_there"):
        _ = importlib.import_module(f"genbench.{old}").never_there


def test_only_packages_and_shims_lie_at_the_top():
    """Directly in genbench/ stand packages, the shims, and the files that a package needs."""
    files = {path.name for path in (ROOT / "genbench").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed", *(f"{old}.py" for old in OLD)}


def test_genbench_itself_uses_no_shim():
    """Listings and a run's imports give no warning of genbench's own."""
    code = (
        "import genbench.runs.run, genbench.cli.main as m; m.main(['metrics']); m.main(['plugins'])"
    )
    words = [sys.executable, "-W", "error::DeprecationWarning:genbench", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "is deprecated" in done.stderr) == (0, False), done.stderr


def test_what_extensions_import_is_promised():
    """genbench.api has every name that authors are promised."""
    promised = {"Dataset", "Extractor", "Weights", "File", "Metric", "Measure", "Pairs", "Protocol"}
    promised |= {"Published", "Section", "Engine", "Arrays", "NEEDS", "Sighting", "hookspecs"}
    promised |= {"COUNT", "SEED", "PERCENT", "FLAG", "torch", "np"}
    assert promised <= set(genbench.api.__all__)
    assert callable(genbench.check_plugin)
