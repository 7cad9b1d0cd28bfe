"""Whatever fails, or kills, at whatever call: files are whole or absent,
the run says where in one line, and the same command ends as if nothing had been.

Here every so-manieth point of a small run; all of them by tests/bench/fault_points.py, whose table
is fault_points.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).with_name("fault_driver.py")
WORDS = ("run", "--plugin", "noise", "--n", "4", "--metrics", "label_accuracy")
# 0: what it lost costs time only, or was read again
ENDS = {"kill": {"killed"}, "ENOSPC": {0, 5}, "EIO": {0, 5}}


def wrong(one):
    """What a point of the driver shows that must not be; "" where all is well."""
    if one["status"] not in ENDS[one["fault"]]:
        return f"ended with {one['status']}"
    if one["torn"]:
        return f"{one['torn']} are torn"
    if one["left"]:
        return f"{one['left']} is left"
    if one["status"] == 5 and not (
        one["line"].startswith("genbench: ")
        and Path(one["path"]).name.strip(".").split(".")[0] in one["line"]
    ):
        return f"its line does not name {one['path']}: {one['line']}"
    return "" if one["same"] else "the same command again ends otherwise"


def points(folder, *options, words=WORDS, timeout=280):
    """What the driver says of each point."""
    done = subprocess.run(
        [sys.executable, DRIVER, *options, folder, *words],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_fault_at_any_call_loses_nothing(tmp_path, here, cli):
    """kill -9 before each file of a run comes into being, and every 29th point of all calls and
    faults: no torn file, status 5 and one line, nothing left in the end, and the same command again
    gives the same bytes and numbers.
    """
    assert cli(*WORDS)[0] == 0  # fills the cache
    found = points(tmp_path / "points", "--stride", "29", "--whole", "replace")
    # shards and probes; plan, samples, record; entry, table, page
    assert sum((one["call"], one["fault"]) == ("replace", "kill") for one in found) >= 4 * 2 + 6
    assert {one["fault"] for one in found} == set(ENDS)
    assert [(one, why) for one in found if (why := wrong(one))] == []
