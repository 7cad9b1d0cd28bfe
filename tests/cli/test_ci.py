"""What README and the examples say about continuous integration:
the commands run, and end as they should.
"""

from __future__ import annotations

import re
import shlex

import pytest
from helpers.places import DOCS, ROOT

yaml = pytest.importorskip("yaml", reason="needs pip install pyyaml")

EXAMPLES = DOCS / "examples"
MINE = (
    "import torch, genbench\n\n\n@genbench.hookimpl\ndef sample(n, seeds):\n"
    "    return (genbench.uniform(seeds, (3, 32, 32)) * {top}).to(torch.uint8)\n"
)
PINNED = re.compile(r"^[\w-]+/[\w-]+@[0-9a-f]{40}$")


def commands(text):
    return [shlex.split(line) for line in text.splitlines() if line.strip().startswith("genbench ")]


def test_readme_leads_to_green_and_to_red(cli, here):
    """From a checkout: two commands for a model that nobody touched end with 0,
    two for a damaged one with 1, and its line is the one printed there.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- tests/cli/test_ci.py runs these")[1].split("\n\nThe second prints `")
    board = here / "leaderboards/digits"
    (board / "entries").mkdir(parents=True)
    for path in (ROOT / "leaderboards/digits/entries").glob("*.json"):
        (board / "entries" / path.name).write_bytes(path.read_bytes())
    said = [cli(*words[1:]) for words in commands(block[0])]
    assert [status for status, *_ in said] == [0, 0, 0, 1]
    # other processors, other last bits
    assert re.match(r"PASS fd_digits digits: (no change|\+0\.0 % (worse|better)) \(", said[1][1])
    printed, told = (
        re.findall(r"[+-]?\d+\.\d+", line)
        for line in (block[1].split("`")[0], said[3][1].splitlines()[0])
    )
    # per cent
    assert [float(number) for number in told] == pytest.approx(
        [float(number) for number in printed], abs=1.0
    )


@pytest.mark.parametrize("name", ["github-action.yml", "gitlab-ci.yml", "check/action.yml"])
def test_the_examples_work_as_they_stand(name, cli, here, monkeypatch):
    """Every genbench command of an example, in its order, in a folder with a plugin and its
    baseline: green as it was, red when the model is damaged.
    """
    content = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    steps = content.get("runs", content.get("jobs", {}).get("check", {})).get("steps") or [
        {"run": line} for line in content["image-quality"]["script"]
    ]
    lines = [step["run"] for step in steps if "run" in step]
    inputs = {"PLUGIN": "mine.py", "DATASET": "digits", "BASELINE": "main", "ARGUMENTS": ""}
    words = commands(
        "\n".join(re.sub(r'"?\$(\w+)"?', lambda found: inputs[found[1]], line) for line in lines)
    )
    assert [one[1] for one in words] == ["run", "check"]
    (here / "mine.py").write_text(MINE.format(top=120))
    # an example runs the whole protocol, which is no more to the point
    quick = ("--metrics", "fd_digits,kd_digits", "--n", "640")
    assert cli(*words[0][1:], *quick)[0] == 0
    assert cli("baseline", "save")[0] == 0
    assert cli(*words[0][1:], *quick, "--fresh")[0] == 0
    assert cli(*words[1][1:])[0] == 0
    (here / "mine.py").write_text(MINE.format(top=200))
    assert cli(*words[0][1:], *quick)[0] == 0
    assert cli(*words[1][1:])[0] == 1


def test_actions_are_pinned():
    """Tags can be moved: every action that is used is named by the hash of its commit."""
    for path in EXAMPLES.rglob("*.yml"):
        assert all(
            PINNED.match(one)
            for one in re.findall(
                r"uses: (\S+)", re.sub(r"^#.*$", "", path.read_text(), flags=re.MULTILINE)
            )
        ), path


def test_the_manual_says_every_key_of_the_gate():
    """docs/ci.md has each key of gate.toml that a gate of one's own is likely to set,
    and every exit status.
    """
    manual = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    for key in (
        "margin",
        "margin_share",
        "margin_kernel",
        "inconclusive",
        "if_missing",
        "anchor",
        "looks",
        "min_class",
        "accept",
        "tolerance",
    ):
        assert f"{key}" in manual
    assert all(f"| {status} |" in manual for status in range(6))
