"""The test of layers sees what it is for: planted in a copy, each kind of wrong import is named."""

from __future__ import annotations

import shutil

import pytest
from architecture.test_layers import violations
from helpers.places import ROOT

PLANTED = {
    "a package above": ("_util/hashing.py", "cli.main", "_util imports cli: upwards"),
    "in a function": ("statistics/moments.py", "data.prompts", "statistics imports data: upwards"),
    "a stage above": (
        "runs/records/record.py",
        "runs.planning.plan",
        "records imports planning: upwards",
    ),
    "a cycle of files": ("statistics/jackknife.py", "statistics.confidence_intervals", "a cycle: "),
    "a leaf": (
        "runs/run.py",
        "metrics.data_copying",
        "runs/run.py imports metrics/data_copying.py",
    ),
    "a neighbour on the shelf": (
        "metrics/inception_score.py",
        "metrics.data_copying",
        "metrics/inception_score.py imports metrics/data_copying.py: a leaf",
    ),
    "a shim": ("runs/run.py", "rows", "runs/run.py imports rows.py, above the packages"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package, in which nothing is wrong yet."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        ROOT / "genbench", folder / "genbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert violations(folder) == []
    return folder


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_named(copy, what):
    """A wrong import within a function is found, and gone when it is taken out again."""
    file, module, line = PLANTED[what]
    path = copy / "genbench" / file
    text = path.read_text(encoding="utf-8")
    package, _, name = f"genbench.{module}".rpartition(".")
    path.write_text(
        f"{text}\n\ndef planted():\n    from {package} import {name}\n", encoding="utf-8"
    )
    try:
        assert any(one.startswith(line) for one in violations(copy))
    finally:
        path.write_text(text, encoding="utf-8")
    assert violations(copy) == []
