"""A disk that is full, folders that are read-only, memory that runs out, plugins that crash:
one line and the status that is promised, and nothing is lost.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from helpers.places import TESTS
from helpers.requirements import NO_NAMESPACES

SCRIPT = TESTS / "helpers" / "in_forks.py"
WORDS = ("run", "--plugin", "noise", "--n", "20", "--metrics", "fd")
PLUGIN = """
import ctypes, os, signal, threading, time
from pathlib import Path
import torch, genbench
from genbench import uniform

HELD, CALLS = [], []
range = (0.0, 1.0)

def pressing():
    for _ in "x" * 60:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)

@genbench.hookimpl
def sample(n, seeds):
    here = Path(__file__).parent
    CALLS.append(n)
    images = uniform(seeds, (3, 8, 8))
    if (here / "leaks").exists():
        HELD.append(torch.ones(2 ** 24))  # 64 MiB
    if len(CALLS) == 4:
        if (here / "crashes").exists():
            ctypes.string_at(0)  # here it crashes
        if (here / "leaves").exists():
            os._exit(0)
        if (here / "nan").exists():
            images[-1, 0, 0, 0] = float("nan")
        if (here / "pressed once").exists():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        if (here / "pressed").exists():
            threading.Thread(target=pressing, daemon=True).start()
            time.sleep(5)
    return images
"""
OWN = ("run", "--plugin", "own.py", "--n", "20", "--metrics", "fd", "--leaderboards", "none")


@pytest.fixture(scope="module")
def process():
    """One process for all commands of this file."""
    with subprocess.Popen(
        [sys.executable, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.stdin.close()


@pytest.fixture
def forked(process, here):
    """forked(*words, surroundings) -> (status, standard output, standard error)."""

    def call(*words, **asked):
        process.stdin.write(json.dumps({"words": words, "cwd": str(here), **asked}) + "\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())
        if found["status"] == "forbidden":
            pytest.skip(NO_NAMESPACES)
        return found["status"], found["out"], found["err"]

    return call


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.glob("runs/*/shards/[!.]*")}


def scores(folder):
    (path,) = folder.glob("runs/*/run.json")
    return json.loads(path.read_text())["scores"]


def left(folder):
    return [
        path.name
        for path in folder.rglob(".*")
        if path.is_file() and not path.name.endswith(".lock")
    ]


@pytest.fixture
def own(here):
    """The plugin, and a fault to switch on."""
    (here / "own.py").write_text(PLUGIN)
    return lambda fault, on=True: (here / fault).touch() if on else (here / fault).unlink()


# The disk


def test_the_largest_file_is_reached(forked, here):
    """RLIMIT_FSIZE: the picture of samples does not fit, its path and its size are named,
    shards stay, nothing is left beside them; with room it ends.
    """
    status, out, err = forked(*WORDS, file_size=9000)
    assert (status, out) == (5, "")
    assert "samples.png (" in err.splitlines()[-1]
    assert (
        "File too large; what was finished is kept, make room and run again" in err.splitlines()[-1]
    )
    kept = shards(here)
    assert (len(kept), left(here)) == (40, [])
    assert forked(*WORDS)[0] == 0
    assert shards(here) == kept


def test_the_disk_is_full(forked, here):
    """A file system of 64 KiB: status 5, the file and what it needs are named."""
    (here / "small").mkdir()
    status, out, err = forked(*WORDS, "--out", "small/runs", tmpfs=["small", 2**16])
    assert (status, out) == (5, "")
    assert err.splitlines()[-1].startswith("genbench: could not write small/runs/")
    assert (
        "bytes): No space left on device; what was finished is kept, make room and run again"
        in err.splitlines()[-1]
    )


def test_standard_output_is_full(forked, here):
    """/dev/full behind the answer: status 5, and the record is kept."""
    status, _, err = forked(*WORDS, stdout="/dev/full")
    assert (
        status,
        err.splitlines()[-1].startswith(
            "genbench: could not write the answer to standard output: [Errno 28] No space "
            "left on device"
        ),
    ) == (5, True)
    assert forked("show")[0] == 0


@pytest.mark.parametrize("folder", ["runs", "leaderboards"])
def test_a_folder_is_read_only(folder, forked, here):
    """Also for root: refused before the first sample, with the folder's name;
    never 0 without a record.
    """
    (here / folder).mkdir()
    status, out, err = forked(*WORDS, read_only=folder)
    assert (status, out) == (2, "")
    assert err == (
        f"genbench: --{'out' if folder == 'runs' else folder} {folder} cannot be written: "
        "Read-only file system; name another folder\n"
    )
    assert not list(here.glob("runs/*/*"))


def test_the_cache_is_read_only(forked, here, home):
    """A cache that can be read and not written costs time alone, and is told."""
    # so that there is something to write, whatever other tests have kept
    shutil.rmtree(home / "real", ignore_errors=True)
    status, _, err = forked(*WORDS, read_only=str(home))
    assert status == 0
    assert "cache: could not write" in err
    assert "Read-only file system" in err


def test_there_is_no_network(forked, here):
    """In a namespace without any, the whole way from plugin to board: nothing asks for one."""
    assert forked(*WORDS, offline=True)[0] == 0
    assert len(scores(here)) == 1


# Plugins


def line_of(comment):
    return next(
        place for place, line in enumerate(PLUGIN.splitlines(), 1) if line.endswith(f"# {comment}")
    )


def test_a_plugin_that_crashes_shows_its_line(forked, own, here):
    """A segmentation fault ends the process by its signal;
    the traceback names the plugin's line, finished shards are kept, mended it goes on.
    """
    own("crashes")
    status, _, err = forked(*OWN)
    assert (status, "Segmentation fault" in err) == (-11, True)
    assert f'File "{here}/own.py", line {line_of("here it crashes")} in sample' in err.replace(
        '"own.py"', f'"{here}/own.py"'
    )
    kept = shards(here)
    # of four or five: what was being written behind the drawing is drawn again
    assert len(kept) >= 2
    own("crashes", on=False)
    assert forked(*OWN)[0] == 0
    assert kept.items() <= shards(here).items()


def test_a_plugin_that_leaves_is_not_taken_for_a_result(forked, own, here):
    """os._exit(0) in a plugin ends a plain run with the plugin's status and without an answer:
    no record, `show` says so, the same command goes on.
    """
    own("leaves")
    assert forked(*OWN)[:2] == (0, "")
    assert not list(here.glob("runs/*/run.json"))
    assert forked("show")[0] == 2
    own("leaves", on=False)
    assert forked(*OWN)[0] == 0
    assert left(here) == []


def test_a_plugin_that_leaks_memory_is_told_and_the_run_ends_in_several_calls(forked, own, here):
    """Out of memory is one line after the plugin's traceback, status 5;
    each call of the same command gets further, to the numbers of an unhurried one.
    """
    own("leaks")
    done, counts = [], []
    while not done or done[-1][0] == 5:
        done.append(forked(*OWN, memory=700))
        counts.append(len(shards(here)))
        assert len(done) < 12, done[-1]
    assert done[-1][0] == 0
    assert len(done) > 1
    assert counts == sorted(set(counts[:-1])) + counts[-1:]
    assert "alloc" in done[0][2].splitlines()[-1]
    assert done[0][2].splitlines()[-1].startswith("genbench: own: sample raised ")
    found = scores(here)
    own("leaks", on=False)
    assert forked(*OWN, "--fresh")[0] == 0
    assert scores(here) == found


def test_a_plugin_that_returns_nan_now_and_then_is_refused_with_the_place(forked, own, here):
    """The sample and its seed are named, what was whole is kept, and nothing of that batch."""
    own("nan")
    status, out, err = forked(*OWN)
    assert (status, out, err.splitlines()[-1]) == (
        5,
        "",
        "genbench: own: sample returned NaN; images must be finite (sample 3, seed 3)",
    )
    assert {name.partition(".")[0] for name in shards(here)} == {
        "b00-00000-001",
        "b01-00000-001",
        "b02-00000-001",
    }


@pytest.mark.parametrize("how", ["pressed once", "pressed"])
def test_ctrl_c_however_often(how, forked, own, here):
    """Once or sixty times: 130, one line, no traceback, nothing left behind;
    the same command goes on.
    """
    own(how)
    status, out, err = forked(*OWN)
    assert (status, out, err.splitlines()[-1]) == (
        130,
        "",
        "genbench: interrupted; the same command goes on",
    )
    assert "Traceback" not in err
    kept = shards(here)
    own(how, on=False)
    assert forked(*OWN)[0] == 0
    assert kept.items() <= shards(here).items()
    assert left(here) == []
