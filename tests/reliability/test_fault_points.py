"""Whatever fails, or kills, at whatever call: files are whole or absent,
the run says where in one line, and the same command ends as if nothing had been.

Here every so-manieth point of a small run; all of them by tests/bench/fault_points.py, whose table
is fault_points.md.
"""

from __future__ import annotations

from helpers.fault_points import ENDS, WORDS, points, wrong


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
