"""One cache and one lock for many processes: nothing is mixed, a dead holder holds nobody up,
and a file system without locks costs work, not files.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time

import pytest
from helpers.lock_holders import _cached, _held

from genbench._util import checksummed_files
from genbench._util.locks import locked, taken


@pytest.fixture(scope="module")
def context():
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(
        [
            "pytest",
            "numpy",
            "safetensors.numpy",
            "filelock",
            "genbench._util.atomic_write",
            "genbench._util.locks",
        ]
    )
    return found


def test_eight_processes_share_a_cache(tmp_path, context):
    """Eight processes write and read one key fifty times, one is killed among them:
    every reading is whole and of one writer, and what the killed one left is a temporary file.
    """
    ready, wrong, path = (
        context.Barrier(8),
        context.Event(),
        tmp_path / "home" / "features" / "x.safetensors",
    )
    processes = [
        context.Process(target=_cached, args=(number, path, ready, wrong)) for number in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, *[0] * 7]
    assert not wrong.is_set()
    assert checksummed_files.read_arrays(path)[0]["a"].shape == (2000,)
    assert len(list(path.parent.iterdir())) in (1, 2)


def test_a_dead_holders_lock_is_free_at_once(tmp_path, context):
    """While its holder lives a lock is taken; killed, its file stays and the lock is free:
    nobody waits for a process that is gone.
    """
    path, begun = tmp_path / ".lock", context.Event()
    holder = context.Process(target=_held, args=(path, begun))
    holder.start()
    assert begun.wait(60)
    assert taken(path)
    holder.kill()
    holder.join()
    began = time.monotonic()
    with locked(path, "waiting"):
        assert time.monotonic() - began < 1
        assert taken(path)
    assert path.exists()


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "beside a dead one's file"])
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_costs_no_run(code, stale, tmp_path, monkeypatch):
    """Where flock is not known (NFS of old, some FUSE) the body runs all the same,
    also beside a lock file that somebody left.
    """

    def unknown(*_):
        raise OSError(code, os.strerror(code))

    path = tmp_path / ".lock"
    if stale:
        path.write_text("")
    monkeypatch.setattr("fcntl.flock", unknown)
    began, done = time.monotonic(), []
    with locked(path, "waiting"):
        done.append(True)
    assert done
    assert time.monotonic() - began < 5
