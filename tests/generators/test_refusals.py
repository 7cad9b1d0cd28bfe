"""Every wrong plugin of tests/data/refusals is refused with its line and exit status,
as a user would see them.
"""

from __future__ import annotations

import json

import pytest
from helpers.places import TESTS

CASES = TESTS / "data" / "refusals"
LINES = json.loads((CASES / "lines.json").read_text())
FILES = sorted(CASES.glob("*.py"))
IN_A_PROCESS = {"closes_output"}  # it closes this process's own standard output


@pytest.mark.parametrize(
    "case", [f for f in FILES if f.stem not in IN_A_PROCESS], ids=lambda f: f.stem
)
def test_a_wrong_plugin_ends_in_its_line(case, cli, here):
    """Each wrong plugin ends with the exit status of its first line and, last on standard error,
    the line committed for it; nothing on standard output.
    """
    wanted = int(case.read_text().split("\n")[0].removeprefix("# exit "))
    status, out, err = cli("run", "--plugin", str(case), "--n", "40", "--leaderboards", "none")
    assert (status, out, err.strip().splitlines()[-1].replace(str(CASES), "DIR")) == (
        wanted,
        "",
        "genbench: " + LINES[case.stem],
    )


def test_a_plugin_that_raises_shows_its_own_traceback_only(cli, here):
    """The traceback before the line begins in the plugin's file:
    no frame of genbench or pluggy stands in it.
    """
    _, _, err = cli(
        "run", "--plugin", str(CASES / "raises.py"), "--n", "40", "--leaderboards", "none"
    )
    frames = [line for line in err.splitlines() if line.lstrip().startswith("File ")]
    assert len(frames) == 1
    assert "raises.py" in frames[0]


def test_a_plugin_that_closes_standard_output_loses_nothing(cli_process, here):
    """A plugin that closes file descriptor 1 ends in its line and exit 5,
    and the shards finished before are kept.
    """
    done = cli_process(
        "run", "--plugin", str(CASES / "closes_output.py"), "--n", "40", "--leaderboards", "none"
    )
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (
        5,
        "genbench: " + LINES["closes_output"],
    )
    assert len(list(here.glob("runs/*/shards/*.digits.pool.safetensors"))) == 3


def test_every_case_has_a_line_and_every_line_a_case():
    """No case file escapes the table of lines, and no line is left over."""
    assert {f.stem for f in FILES} == set(LINES)
