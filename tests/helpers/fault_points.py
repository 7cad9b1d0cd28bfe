"""Runs the driver of faults, and says what is wrong with what a point of it shows."""

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
