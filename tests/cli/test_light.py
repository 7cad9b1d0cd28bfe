"""Starting is cheap: help pages and listings import no heavy library."""

from __future__ import annotations

import pytest

from genbench.api import _registry as registry

WALLS = [["--help"], ["--version"], ["-h"]]
HELP = [[name, "--help"] for name in sorted(registry.standing("commands"))]
LISTS = [[shelf] for shelf in ("plugins", "datasets", "extractors", "metrics", "protocols")]
JSON = [[*words, "--json"] for words in LISTS]
# A data set's own page is none of these: it counts the images.
ROWS = [
    [shelf, name]
    for shelf in ("extractors", "metrics", "protocols")
    for name in sorted(registry.standing(shelf))
]


@pytest.mark.parametrize(
    "commands",
    [[], WALLS, HELP, LISTS, JSON, ROWS],
    ids=["import", "help", "help of commands", "lists", "json", "rows"],
)
def test_help_and_listings_import_nothing_heavy(several, commands):
    """`import genbench`, every help page, every list and every row shown leave torch, numpy, scipy,
    pandas, sklearn, matplotlib and PIL alone.
    """
    answers = several(*commands)
    assert [
        (words, heavy)
        for words, (_, _, _, heavy) in zip(commands or ["import"], answers, strict=True)
        if heavy
    ] == []
    assert [
        (words, err)
        for words, (status, _, err, _) in zip(commands or ["import"], answers, strict=True)
        if status
    ] == []


def test_the_probe_sees_an_import(several):
    """The probe can fail: a command that loads a generator (its file imports torch) is caught,
    and the listing before it is not.
    """
    (_, _, _, before), (status, _, err, after) = several(["plugins"], ["plugins", "noise"])
    assert (status, err, before) == (0, "", [])
    assert "torch" in after
