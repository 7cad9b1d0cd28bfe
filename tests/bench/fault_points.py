"""Every fault at every call of a small run: what each came to, as a table.

    python tests/bench/fault_points.py > tests/bench/fault_points.md

Takes a quarter of an hour of a core. The driver (tests/helpers/fault_driver.py) may be run in parts
by
hand, and its lines given here: fault_points.py FILE...
"""

from __future__ import annotations

import collections
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.fault_driver import CALLS, FAULTS, HOME
from helpers.fault_points import points, wrong

WORDS = ("run", "--plugin", "noise", "--n", "6", "--metrics", "fd,kd")
HEAD = """# Every fault at every call of a small run

`genbench {words}`, one process. Each call that writes, locks or reads in the working folder or \
the cache fails once with ENOSPC, once with EIO, and is once
the last thing before SIGKILL (a write does half of its work before). Then the same command again. \
Where status 0 stands, the failed call cost time only: a
folder that is there already, a cache that is made again, a shard that is drawn again. \
Calls of an empty cache are its own files' alone;
a temporary file that a kill leaves there is what `genbench cache gc` is for.

| call | fault | points | killed | status 5 | status 0 | torn files | left behind | left in the \
cache | not the same in the end | no line that names the file |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def row(call, fault, found):
    ends = collections.Counter(one["status"] for one in found)
    unnamed = sum(wrong(one).startswith("its line") for one in found)
    counts = (
        len(found),
        ends["killed"],
        ends[5],
        ends[0],
        *(sum(bool(one[key]) for one in found) for key in ("torn", "left", "for_gc")),
    )
    return (
        f"| {call} | {fault} | {' | '.join(map(str, counts))} | "
        f"{sum(not one['same'] for one in found)} | {unnamed} |"
    )


def main():
    if sys.argv[1:]:
        found = [
            json.loads(line)
            for name in sys.argv[1:]
            for line in Path(name).read_text().splitlines()
        ]
    else:
        with tempfile.TemporaryDirectory() as root:
            os.environ[HOME] = f"{root}/home"
            warm, cold = Path(root) / "warm", Path(root) / "cold"
            found = points(warm, words=WORDS, timeout=None) + points(
                cold, "--cold", words=WORDS, timeout=None
            )
    rows = [
        row(call, fault, those)
        for call in CALLS
        for fault in FAULTS
        if (those := [o for o in found if (o["call"], o["fault"]) == (call, fault)])
    ]
    bad = [
        f"{one['call']} {one['k']} {one['fault']} {one['path']}: {why}"
        for one in found
        if (why := wrong(one))
    ]
    print(
        HEAD.format(words=" ".join(WORDS))
        + "\n".join(rows)
        + f"\n\n{len(found)} points, {len(bad)} of them wrong.\n"
        + "".join(f"- {one}\n" for one in bad)
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
