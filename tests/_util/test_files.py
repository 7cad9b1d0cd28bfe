"""Files are whole or absent, and what was altered is never read as a value."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from genbench._util import atomic_write, cache, checksummed_files, hashing
from genbench._util.checksummed_files import Damaged
from genbench._util.errors import RunFailed, UserError

ARRAYS = {
    "a": np.arange(24, dtype=np.float32).reshape(4, 6),
    "b": np.array([3, 1, 2]),
    "empty": np.zeros((0, 5)),
}
META = {"run": "1234", "quantise": "round"}
CONTENT = {"schema": 1, "name": "größer ± ", "values": [1.5, None, True], "inner": {"z": 1, "a": 2}}


def test_writing_makes_folders_and_replaces(tmp_path):
    """A file is written with its folders, replaced by the next write,
    and nothing else is left beside it.
    """
    path = tmp_path / "a" / "b" / "file.bin"
    atomic_write.write(path, b"one")
    atomic_write.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), KeyboardInterrupt()],
    ids=["disk full", "interrupted"],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, step, error
):
    """Whatever fails before the replacing, the old file is there in full and no temporary
    one is.
    """
    path = tmp_path / "file.bin"
    atomic_write.write(path, b"old")

    def fail(*_):
        raise error

    monkeypatch.setattr(step, fail)
    with pytest.raises(RunFailed if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        atomic_write.write(path, b"new, and longer")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    if isinstance(error, OSError):
        assert str(caught.value).startswith(
            f"could not write {path} (15 bytes): No space left on device"
        )


def test_a_file_is_complete_before_it_has_its_name(tmp_path, monkeypatch):
    """At the moment of replacing, the temporary file holds every byte and was synchronised:
    a power cut shows the old file or the new.
    """
    seen = []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr("os.fsync", lambda handle: (seen.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(
        "pathlib.Path.replace",
        lambda self, target: (seen.append(self.read_bytes()), replace(self, target))[1],
    )
    atomic_write.write(tmp_path / "file.bin", b"whole")
    assert seen == ["fsync", b"whole", "fsync"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    """sweep removes temporary files, in folders below too, and nothing else."""
    for name in (".a.1234.tmp", "below/.b.5678.tmp", "kept.tmp", ".lock", "run.json"):
        atomic_write.write(tmp_path / name, b"x")
    atomic_write.sweep(tmp_path)
    assert sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()
    ) == [".lock", "kept.tmp", "run.json"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    """A folder to write that is a file ends in a line with the remedy."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(
        UserError, match=r"--out .*file cannot be written: it is a file; name another folder"
    ):
        atomic_write.folder_to_write(path, "--out")


def test_arrays_come_back_as_they_were(tmp_path):
    """Sealed arrays keep values, types, shapes (empty ones too) and what was said of them,
    also when they were not contiguous.
    """
    path = tmp_path / "x.safetensors"
    checksummed_files.write_arrays(path, {**ARRAYS, "turned": ARRAYS["a"].T}, META)
    arrays, meta = checksummed_files.read_arrays(path)
    assert meta == META
    assert set(arrays) == {*ARRAYS, "turned"}
    for name, array in {**ARRAYS, "turned": ARRAYS["a"].T}.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_an_object_comes_back_as_it_was(tmp_path):
    """A sealed JSON object keeps everything, unreadable signs included."""
    checksummed_files.write_json(tmp_path / "x.json", CONTENT)
    assert checksummed_files.read_json(tmp_path / "x.json") == CONTENT


def _altered(data):
    """Every way a file may be hurt: one bit of each byte flipped, a digit put in its place,
    cut short, with something behind it.
    """
    rng = random.Random(0)
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        yield data[:at] + b"0" + data[at + 1 :] if at % 3 == 0 else data[:at]
    yield from (data + b"\0", data + b"{}", data + data, b"", b"null", b"[]", b"3")


@pytest.mark.parametrize("kind", ["arrays", "json"])
def test_no_altered_file_is_read_as_another_value(tmp_path, kind):
    """Of a sealed file with any byte altered, cut off or added,
    either the value comes back as it was written (a blank more in JSON) or Damaged is raised.
    """
    path = tmp_path / "x"
    read = checksummed_files.read_arrays if kind == "arrays" else checksummed_files.read_json
    checksummed_files.write_arrays(
        path, ARRAYS, META
    ) if kind == "arrays" else checksummed_files.write_json(path, CONTENT)
    whole, data, damaged = read(path), path.read_bytes(), 0
    for other in _altered(data):
        path.write_bytes(other)
        try:
            found = read(path)
        except Damaged:
            damaged += 1
            continue
        same = (
            found == whole
            if kind == "json"
            else found[1] == whole[1]
            and all(np.array_equal(found[0][k], whole[0][k]) for k in whole[0])
        )
        assert same, f"{other!r:.300}"
    assert damaged > 1.8 * len(data)


def test_numbers_that_json_has_not_are_never_written(tmp_path):
    """NaN is refused when it is written, not found out when it is read."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        checksummed_files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


ONE = (
    '"""Doc."""\n\n'
    'def f(x):\n    """Says."""\n    return x + 1  # why\n\n\nclass A:\n    """Is."""\n'
)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (
            (
                '"""Other words."""\n'
                'def f(x):\n    # elsewhere\n    return (x + 1)\n\nclass A:\n    """Is more."""\n'
            ),
            True,
        ),
        (ONE.replace("x + 1", "x + 2"), False),
        (ONE.replace("def f", "def g"), False),
        (ONE.replace('"""Says."""', 'x = "Says."'), False),
        (ONE + "y = 3\n", False),
    ],
)
def test_code_is_its_behaviour(other, same):
    """Comments, blanks and docstrings do not change a source's hash;
    a number, a name or a statement does.
    """
    assert (hashing.code_sha256(ONE) == hashing.code_sha256(other)) is same


def test_the_cache_tells_of_damage_and_makes_again(tmp_path, capsys):
    """A damaged cache file is none, and is named; a missing one is none, silently;
    a cache that cannot be written is told and no error.
    """
    path = tmp_path / "x.safetensors"
    assert cache.cached(path) is None
    assert capsys.readouterr().err == ""
    cache.cache(path, ARRAYS, META)
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.cached(path) is None
    assert "making it again" in capsys.readouterr().err
    cache.cache(path / "below", ARRAYS, META)
    assert "could not write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GENBENCH_HOME": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"GENBENCH_HOME": "", "XDG_CACHE_HOME": "/b"}, "/b/genbench"),
        ({"GENBENCH_HOME": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/genbench"),
    ],
)
def test_the_cache_lies_where_the_user_says(monkeypatch, variables, folder):
    """GENBENCH_HOME rules, then XDG_CACHE_HOME, then ~/.cache."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.home() == Path(folder)


def test_a_digest_does_not_depend_on_the_order_of_keys():
    """The same plain data have one digest, however they were put together;
    another value has another.
    """
    assert hashing.digest(CONTENT) == hashing.digest(
        json.loads(json.dumps(dict(reversed(CONTENT.items()))))
    )
    assert hashing.digest(CONTENT) != hashing.digest({**CONTENT, "schema": 2})
