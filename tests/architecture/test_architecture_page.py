"""docs/architecture.md is true: its picture, its table of packages, and every function named."""

from __future__ import annotations

import ast
import re

from architecture.draw_layers import drawn
from architecture.test_layers import PACKAGES
from helpers.places import DOCS, ROOT

PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_the_picture_is_what_the_imports_give():
    """The committed picture is the script's, byte for byte."""
    told = "run python tests/architecture/draw_layers.py"
    assert (DOCS / "architecture.svg").read_text(encoding="utf-8") == drawn(), told


def test_the_table_has_every_package_in_its_order():
    """One row to a package, highest first, as the layers have it."""
    rows = re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)
    assert rows == PACKAGES.split()


def test_every_function_on_the_way_of_a_sample_exists():
    """Each step names a file and a function or method of it."""
    steps = re.findall(r"^\| \d+ \|.*\| `([\w/]+\.py)` \| `([\w.]+)` \|$", PAGE, re.MULTILINE)
    assert len(steps) >= 15
    for file, name in steps:
        nodes = ast.parse((ROOT / "genbench" / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            kinds = (ast.FunctionDef, ast.ClassDef)
            found = [node for node in nodes if isinstance(node, kinds) and node.name == part]
            assert found, f"{file} has no {name}"
            nodes = found[0].body
