"""`genbench cache`: where things lie, what is whole, what may go;
links are not followed, and what another genbench is fetching is left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from genbench._util import cache
from genbench._util.checksummed_files import write_arrays, write_json
from genbench.runs import cache_upkeep

# features of code that nobody has
OLD = "0123456789abcdef-digits.pool-0123456789abcdef-0123456789abcdef-cpu8.safetensors"


@pytest.fixture
def own(here, monkeypatch):
    """A cache of the test's own, and nothing of the caller's environment."""
    monkeypatch.setenv("GENBENCH_HOME", str(here / "home"))
    monkeypatch.delenv("GENBENCH_WEIGHTS", raising=False)
    return here / "home"


def kept(folder, name, *, hours=0.0):
    path = folder / name
    write_arrays(path, {"a": np.arange(5.0)}, {}) if path.suffix != ".json" else write_json(
        path, {"found": 1}
    )
    os.utime(path, (time.time() - 3600 * hours,) * 2)
    return path


def listed(cli, *words):
    status, out, err = cli("cache", "gc", "--json", *words)
    assert status == 0, err
    found = json.loads(out)
    return {Path(one["path"]).name: one["why"] for one in found["files"]}, [
        Path(path).name for path in found["busy"]
    ]


def test_damage_is_named_and_taken_away(own, cli):
    """A bit flipped in any of the kinds of files is named by verify, status 5, with the remedy,
    and removed by gc --yes; the ledger of hashes stays.
    """
    found = [
        kept(own / "features", OLD),
        kept(own / "real", "x.safetensors"),
        kept(own / "folders", "y.json"),
        kept(own / "weights", "hashes.json"),
    ]
    for path in found:
        data = path.read_bytes()
        path.write_bytes(data[:-4] + bytes([data[-4] ^ 1]) + data[-3:])
    kept(own / "real", "whole.safetensors")
    status, out, err = cli("cache", "verify")
    assert (status, out.splitlines()[0], len(out.splitlines())) == (5, "1 of 5 files are whole", 5)
    assert all(str(path) in out for path in found)
    assert "4 of 5 files of the cache are damaged; genbench cache gc --yes removes" in err
    assert {
        one["path"] for one in json.loads(cli("cache", "verify", "--json")[1])["damaged"]
    } == set(map(str, found))
    assert cli("cache", "gc", "--yes")[0] == 0
    assert [path.exists() for path in found] == [False, False, False, True]


def test_what_is_of_other_code_or_was_left_behind_goes_and_nothing_else(own, cli):
    """Features of other code, of names that earlier versions gave,
    and temporary files of an hour ago are listed; they go only with --yes.

    What an extractor that is not on the shelf made, young temporary files, downloads, data sets and
    files of unknown kinds stay.
    """
    goes = [
        kept(own / "features", OLD),
        kept(own / "features", OLD.replace("cpu8", "cpu")),
        kept(own / "real", ".x.safetensors.0123abcd.tmp", hours=2),
    ]
    stays = [
        kept(own / "features", OLD.replace("digits", "own-net")),
        kept(own / "real", "whole.safetensors"),
        kept(own / "real", ".y.safetensors.0123abcd.tmp"),
        kept(own / "weights", "net.pth"),
        kept(own / "data" / "mnist", "train.idx", hours=9),
        kept(own / "features", "notes.txt"),
        kept(own, ".z.0123abcd.tmp", hours=9),
    ]
    assert set(listed(cli)[0]) == {path.name for path in goes}
    assert all(path.exists() for path in (*goes, *stays))
    assert cli("cache", "gc", "--yes")[1].splitlines()[-1].startswith("3 files, ")
    assert ([path.exists() for path in goes], [path.exists() for path in stays]) == (
        [False] * 3,
        [True] * 7,
    )


def test_links_are_not_followed(own, cli, tmp_path):
    """Neither a link in the cache nor a folder of it that is a link leads gc or
    verify elsewhere.
    """
    elsewhere = kept(tmp_path / "elsewhere", OLD)
    (own / "features").mkdir(parents=True)
    (own / "features" / OLD).symlink_to(elsewhere)
    (own / "real").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert cli("cache", "verify")[1] == "0 of 0 files are whole\n"
    assert cli("cache", "gc", "--all", "--downloads", "--yes")[1] == "nothing to remove\n"
    assert elsewhere.exists()
    assert cache_upkeep.places()[0].files == 1  # the link itself


def test_what_another_genbench_is_fetching_is_left(own, cli):
    """A download whose lock is held is told and left, the part that has come too;
    a lock that was left behind holds nobody up.
    """
    whole, part = (
        kept(own / "weights", "net.pth"),
        kept(own / "weights", ".net.pth.0123abcd.tmp", hours=2),
    )
    lock = own / "weights" / ".net.pth.lock"
    with FileLock(lock):
        assert listed(cli, "--downloads", "--yes") == ({}, [part.name, whole.name])
    assert lock.exists()
    assert set(listed(cli, "--downloads", "--yes")[0]) == {whole.name, part.name}
    assert not whole.exists()


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [("GENBENCH_HOME", "a", "$GENBENCH_HOME"), ("XDG_CACHE_HOME", "b", "$XDG_CACHE_HOME")],
)
def test_where_says_who_named_the_folder(here, cli, monkeypatch, variable, value, named):
    """The cache is named with the variable that put it there, and is the folder that is used;
    so are weights and data sets.
    """
    for name in ("GENBENCH_HOME", "XDG_CACHE_HOME", "GENBENCH_WEIGHTS", "GENBENCH_DATA"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(variable, str(here / value))
    found = {one["what"]: one for one in json.loads(cli("cache", "where", "--json")[1])}
    assert (found["cache"]["named"], found["cache"]["folder"]) == (named, str(cache.home()))
    monkeypatch.setenv("GENBENCH_DATA", str(here))
    kept(here, "one.bin")
    line = cli("cache")[1].splitlines()[-1].split()
    assert line[:3] == ["data", "sets", "$GENBENCH_DATA"]
    assert line[3:5] == [str(here), "1"]


def test_a_cache_folder_that_is_a_file_is_refused_in_a_line(here, cli, monkeypatch):
    """At once, and not by every file that cannot be kept there."""
    (here / "file").write_bytes(b"")
    monkeypatch.setenv("GENBENCH_HOME", str(here / "file"))
    for words in (("run", "--plugin", "noise", "--n", 20, "--metrics", "fd"), ("cache", "verify")):
        assert cli(*words) == (
            2,
            "",
            f"genbench: GENBENCH_HOME {here / 'file'} is a file; name a folder\n",
        )


def test_a_file_that_cannot_be_removed_is_named(own, cli, monkeypatch):
    """A read-only folder ends in one line with the file's name, status 5."""
    path = kept(own / "features", OLD)

    def refused(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refused)
    status, _, err = cli("cache", "gc", "--yes")
    assert (status, err) == (
        5,
        f"genbench: {path} cannot be removed: Permission denied; those listed before it are gone\n",
    )


def test_help_is_light():
    """Help and `where` need no heavy library."""
    code = (
        "import sys; from genbench.cli.main import main; main(['cache', 'where']); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )
