"""A data set whose folders and a generator whose file are named by an enemy:
no command that shows the names does harm by them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genbench.leaderboards.export_results import FORMS

NAMES = (
    "</script><script>alert(1)</script>",
    "x\r\n::error file=a::b",
    "\x1b[31mred\x9b31m\u202e",
    "=cmd|' /C calc'!A0",
    "a | b `c` \\input{x} $ % _ ##[error]",
)
OWN = """
import torch
from genbench.api import Dataset, Measure, Protocol
from genbench.data.datasets import digits

def five(split):
    images, labels = next(digits.open_digits("train" if split == "train" else "heldout"))
    yield images[labels < 5], labels[labels < 5]

FIVE = Dataset(name="five", title="", classes=NAMES, resolution=32, splits={"train": 435, "test": 436}, open=five, preparation="", source="", licence="",
               recogniser="digits.logits", protocol="pool")
POOL = Protocol(name="pool", title="", dataset="any", n=100, labels="balanced", quantise="round",
                measures=(Measure("kd", "digits.pool", "test"), Measure("label_accuracy", "digits.logits", "")))
"""  # noqa: E501
DRAWN = """
import torch, genbench
from genbench.data.datasets import digits

@genbench.hookimpl
def sample(n, seeds, labels):
    images, classes = next(digits.open_digits("train"))
    return torch.stack([images[classes == label][(seed + SHIFT) % 80] for seed, label in zip(seeds, labels)])
"""  # noqa: E501


class Tags(HTMLParser):
    """What a browser would take for elements, and the scripts among them."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], False

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))
        self.inside = tag == "script" and ("type", "application/json") not in attrs

    def handle_data(self, data):
        self.scripts += [data] if self.inside else []

    def handle_endtag(self, tag):
        self.inside = False


@pytest.fixture
def runs(tmp_path, cli, monkeypatch):
    """Two runs, whose generators' files are named so too, of a data set with such classes."""
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    (tmp_path / "own.py").write_text(OWN.replace("NAMES", repr(NAMES)))
    found = []
    for place, name in enumerate(("=cmd|'\r\n##[error]\x1b[31m.py", "<b onclick=alert(1)> $_%.py")):
        plugin = tmp_path / name
        plugin.write_text(DRAWN.replace("SHIFT", str(3 * place)))
        words = (
            "--dataset",
            "five",
            "--with",
            tmp_path / "own.py",
            "--out",
            tmp_path / "runs",
            "--leaderboards",
            "none",
            "--n",
            100,
        )
        status, out, err = cli("run", "--plugin", plugin, *words)
        assert status == 0, err
        calm(out + err, "run")
        found += [
            path.parent.name
            for path in (tmp_path / "runs").glob("*/run.json")
            if path.parent.name not in found
        ]
    return tmp_path, found


def calm(said, label):
    """Nothing in it moves a terminal, and no line of it is a command of a workflow."""
    assert all(c == "\n" or c.isprintable() for c in said), label
    assert not re.search(r"^\s*(::|##\[)", said, re.MULTILINE), label


def test_no_command_does_harm_by_a_name(runs, cli, tmp_path, monkeypatch):
    folder, (one, other) = runs
    monkeypatch.chdir(tmp_path)
    words = ("--out", folder / "runs")
    own = ("--with", folder / "own.py")
    for command in (
        ("classes", one, *words, *own), ("classes", one, other, *words, *own),
        ("check", one, "--baseline", other, *words), ("compare", one, other, *words),
        ("baseline", "save", one, "--baselines", "saved", *words),
        ("baseline", "list", "--baselines", "saved"),
        ("report", one, other, *words, *own, "-o", "page.html"),
        *(("export", one, "--to", form, "--runs", folder / "runs") for form in FORMS),
    ):  # fmt: skip
        status, out, err = cli(*command)
        assert status in (0, 1, 4), (command, err)
        if command[0] == "check":  # its annotations are commands, and their words are one line each
            err = "\n".join(
                line
                for line in err.splitlines()
                if not line.startswith(
                    ("::error title=genbench check::", "::warning title=genbench check::")
                )
            )
        calm(out, command)
        calm(err, command)
    page = Tags()
    page.feed(Path("page.html").read_text(encoding="utf-8"))
    assert not [tag for tag in page.found if any(name.startswith("on") for name in tag[1])]
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    for path in [*(folder / "runs" / one).glob("*.csv"), *Path().glob("*.csv")]:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        assert len({len(row) for row in rows}) == 1, path
        assert not any(cell[:1] in ("=", "@", "\t") for row in rows for cell in row), path
    # as they are, where nothing reads them as words
    assert json.loads((folder / "runs" / one / "run.json").read_text())["dataset"][
        "classes"
    ] == list(NAMES)
