"""Every input that fuzzing found wanting, and a small corpus of those that reach everything else,
through the same targets, without a fuzzer.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from fuzz import targets, watch
from fuzz.watch import Finding
from helpers.places import TESTS

KEPT = TESTS / "data" / "fuzz"
FINDINGS = sorted(path.relative_to(KEPT).as_posix() for path in KEPT.glob("*/*.bin"))


@pytest.fixture(scope="module")
def room():
    """Where inputs are read; whatever is imported when it is needed is there already."""
    with targets.room() as folder:
        for reader in targets.READERS:
            targets.warm(reader, folder)
        yield folder


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_stays_mended(name, room):
    """What once raised, hung or grew is read or refused in a line; nothing else happens."""
    targets.look(name.partition("/")[0], (KEPT / name).read_bytes(), room)


@pytest.mark.parametrize("reader", targets.READERS)
def test_the_corpus_of_a_reader_is_read_or_refused(reader, room):
    """The inputs that together take every step in the program's own code that fuzzing took."""
    inputs = [path.read_bytes() for path in sorted((KEPT / reader / "corpus").glob("*"))]
    assert False in {targets.look(reader, data, room) for data in inputs}


@pytest.mark.parametrize("reader", targets.READERS)
def test_every_door_reads_what_the_program_writes(reader, room):
    """A contract that everything is refused by would hold as well:
    each door lets a sound file pass.
    """
    doors = targets.READERS[reader]
    passed = {
        doors[data[0]].name for data in targets.seeds(reader) if targets.look(reader, data, room)
    }
    assert passed == {door.name for door in doors}


def _write(path):
    (path.parent / "owned.ed").write_text("")


def _swallowed(path):
    with contextlib.suppress(BaseException):  # as the worst of readers would
        _write(path)


def _delete(path):
    path.unlink()


def _run(path):
    os.system("true")  # noqa: S605


def _compute(path):
    eval("1 + 1")  # noqa: S307


def _elsewhere(path):
    Path("/etc/passwd").read_bytes()


def _fault(path):
    raise KeyError("x")


def _lie(path):
    raise AssertionError("a promise")


def _swell(path):
    try:
        raise MemoryError
    except MemoryError:
        raise targets.UserError("no") from None


@pytest.mark.parametrize(
    "does", [_write, _swallowed, _delete, _run, _compute, _elsewhere, _fault, _lie, _swell]
)
def test_the_watch_sees_a_reader_that_does_more(does, room, monkeypatch):
    """Each of what a target looks for is found where a reader does it."""
    monkeypatch.setitem(
        targets.READERS, "bad", (targets.Door("bad", targets.as_it_is("f.bin"), does),)
    )
    with pytest.raises(Finding, match="bad: "):
        targets.look("bad", b"\0whatever", room)
    assert not list(room.iterdir())


def test_memory_is_seen(room, monkeypatch):
    """What a reader takes for a moment, beyond what the process has."""
    monkeypatch.setattr(watch, "MEMORY", 2**24)
    with pytest.raises(Finding, match=r"takes \d+ MB"), watch.watched(room):
        np.ones(2**26, dtype=np.uint8)
