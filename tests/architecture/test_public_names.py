"""What packages offer: the public names of each, `genbench.api`, and old imports."""

from __future__ import annotations

import importlib
import sys

import pytest
from architecture.write_public_names import docstrings
from helpers.places import ROOT

from genbench import api

OLD = {  # documented once, kept for one release
    "rows": "Metric",
    "lazy": "torch",
    "conformance": "check",
    "generator": "locate",
    "arrays": "Arrays",
    "engine": "Engine",
    "section": "Section",
}


def test_every_package_lists_its_public_names():
    """The lists are as tests/architecture/write_public_names.py makes them."""
    stale = [
        path.parent.name
        for path, text in docstrings(ROOT).items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run python tests/architecture/write_public_names.py"


def test_the_names_of_the_api_are_there():
    """`genbench.api.__all__` names what can be had, and nothing else."""
    assert sorted(api.__all__) == sorted(set(dir(api)))
    assert all(getattr(api, name) is not None for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = api.Nothing


@pytest.mark.parametrize("module", OLD)
def test_an_old_import_works_and_says_the_new_one(module):
    """A module of before the move gives its names, and warns with the new import."""
    sys.modules.pop(f"genbench.{module}", None)
    old = importlib.import_module(f"genbench.{module}")
    with pytest.warns(DeprecationWarning, match=r"genbench\.(api|check_plugin)"):
        found = getattr(old, OLD[module])
    assert found is not None
    if OLD[module] in api.__all__:
        assert found is getattr(api, OLD[module])


def test_the_top_of_the_package_holds_packages_and_shims_alone():
    """Beside packages lie __init__, __main__, py.typed and old imports of at most 10 lines."""
    files = {path.name for path in (ROOT / "genbench").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed", *(f"{name}.py" for name in OLD)}
    for name in OLD:
        lines = (ROOT / "genbench" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 10
