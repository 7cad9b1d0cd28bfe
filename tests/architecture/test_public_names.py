"""What packages offer: the public names of each, and `genbench.api`."""

from __future__ import annotations

import pytest
from architecture.write_public_names import docstrings
from helpers.places import ROOT

from genbench import api


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
