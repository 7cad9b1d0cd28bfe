"""A bit flipped, or the end cut off, in each kind of file that the program keeps:
named and made again, or refused; never read as another value.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genbench._util.errors import UserError
from genbench.io.reference_statistics import read_statistics
from genbench.runs import cache_upkeep, run

RUN = (
    "run",
    "--plugin",
    "grey.py",
    "--n",
    "20",
    "--metrics",
    "fd",
    "--checkpoint",
    "light.safetensors",
    "--prompts",
    "list.txt",
    "--json",
)
PLUGIN = """
import torch, genbench

class Grey:
    def __init__(self, checkpoint) -> None:
        self.light = genbench.load_checkpoint(checkpoint)["light"]

    @genbench.hookimpl
    def sample(self, n, seeds, prompts):
        return ((self.light + 0.4 * (genbench.uniform(seeds, (3, 8, 8)) - 0.5)) * 255).round().clamp(0, 255).to(torch.uint8)
"""  # noqa: E501
#: Kind of file -> where it lies below the working folder, and whether the next run names what was
#: wrong. A finished run is read from its record alone, so that shards, plan and prompts are asked
#: for without it.
KINDS = {
    "images of a shard": ("runs/*/shards/b03*.images.safetensors", True),
    "features of a shard": ("runs/*/shards/b03*.digits.pool.safetensors", True),
    "plan": ("runs/*/plan.json", True),
    "prompts": ("runs/*/prompts.json", False),  # written again before the first shard
    "record": ("runs/*/run.json", True),
    "entry": ("leaderboards/*/entries/*.json", True),
    "table": ("leaderboards/*/table.csv", False),  # rewritten from the entries
    "page": ("leaderboards/*/README.md", False),
    "features of real images": ("home/features/*.safetensors", True),
    "real against real": ("home/real/*.safetensors", True),
}
HARMS = {
    "flipped": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]
    ),
    "cut": lambda data: data[:-9],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run with its board and a cache of its own, before anything happens to it."""
    from genbench.cli.main import main

    folder = tmp_path_factory.mktemp("whole")
    (folder / "grey.py").write_text(PLUGIN)
    (folder / "list.txt").write_text("a one\na two\n")
    save_file({"light": torch.tensor(0.4)}, folder / "light.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GENBENCH_HOME", str(folder / "home"))
        assert main([*RUN]) == 0
    return folder


@pytest.fixture
def copy(whole, here, monkeypatch):
    shutil.copytree(whole, here, dirs_exist_ok=True)
    monkeypatch.setenv("GENBENCH_HOME", str(here / "home"))
    return here


def kept(folder):
    """What must come back: every sealed file's bytes, and the tables; the record's numbers."""
    names = (
        "runs/*/shards/*",
        "runs/*/prompts.json",
        "leaderboards/*/table.csv",
        "leaderboards/*/README.md",
        "home/*/*.safetensors",
    )
    return {
        path.relative_to(folder): path.read_bytes() for name in names for path in folder.glob(name)
    }


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_rots_is_made_again_and_no_number_moves(kind, harm, whole, copy, cli):
    """The same command ends with 0 and the same numbers, the file is what it was,
    and its name was said where somebody could have read it.
    """
    pattern, said = KINDS[kind]
    path = min(copy.glob(pattern))
    path.write_bytes(HARMS[harm](path.read_bytes()))
    if path.parts[-2] == "shards" or kind in ("plan", "prompts") or "home" in pattern:
        next(iter(copy.glob("runs/*/run.json"))).unlink()
    status, out, err = cli(*RUN)
    assert status == 0
    (record,) = whole.glob("runs/*/run.json")
    assert json.loads(out)["scores"] == json.loads(record.read_text())["scores"]
    assert path.name in err or not said
    assert kept(copy) == kept(whole)


def test_what_a_run_leaves_in_the_cache_is_whole_and_read_by_todays_code(copy, cli):
    """Nothing that a run has cached is called damaged or outdated, and --all takes all of it."""
    there = {
        str(path) for folder in cache_upkeep.MADE for path in (copy / "home" / folder).glob("*")
    }
    assert len(there) >= 2
    assert cli("cache", "verify")[:2] == (0, f"{len(there)} of {len(there)} files are whole\n")
    assert cli("cache", "gc")[:2] == (0, "nothing to remove\n")
    assert {
        one["path"]
        for one in json.loads(cli("cache", "gc", "--all", "--yes", "--json")[1])["files"]
    } == there
    assert not [path for path in there if Path(path).exists()]


@pytest.mark.parametrize("harm", HARMS)
def test_a_checkpoint_that_rots_is_another_checkpoint_or_none(harm, whole, copy, cli):
    """Its hash is part of the run's id: what was drawn from the whole one is never taken
    for this one's.
    """
    path = copy / "light.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if harm == "flipped" else data[:-2])
    status, out, err = cli(*RUN)
    (before,) = whole.glob("runs/*")
    if harm == "cut":
        assert (status, "light.safetensors" in err.splitlines()[-1]) == (2, True)
    else:
        assert status == 0
        assert json.loads(out)["id"] != before.name


def test_statistics_that_rot_are_refused(here):
    """An npz of statistics whose bytes were altered does not pass its checksum (a zip's CRC)."""
    np.savez(here / "stats.npz", mu=np.zeros(64), sigma=np.eye(64))
    data = (here / "stats.npz").read_bytes()
    (here / "stats.npz").write_bytes(HARMS["flipped"](data))
    with pytest.raises(UserError, match=r"stats\.npz"):
        read_statistics(here / "stats.npz")


def test_images_that_are_lost_after_the_run_are_a_line(copy, cli):
    """What needs the images of a finished run says which file is lost and how it comes back,
    and it does.
    """
    path = min(copy.glob("runs/*/shards/*.images.safetensors"))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    status, _, err = cli("export", "--to", "zip", "--out", "out.zip")
    assert status == 5
    assert (
        f"{path.relative_to(copy)} is lost; without "
        f"{path.relative_to(copy).parents[1]}/run.json genbench run with the same words "
        "draws it again"
    ) in err
    next(iter(copy.glob("runs/*/run.json"))).unlink()
    assert cli(*RUN)[0] == 0
    assert path.read_bytes() == data
    assert cli("export", "--to", "zip", "--out", "out.zip")[0] == 0


# The clock


TRUE = datetime.datetime


class Back(datetime.datetime):
    """A clock that stands a year behind."""

    @classmethod
    def now(cls, zone=None):
        return TRUE.now(zone) - datetime.timedelta(days=365)


def test_a_clock_that_jumps_a_year_back_moves_no_number(copy, whole, cli, monkeypatch):
    """A run begun before the jump goes on after it; durations are of a clock that does not jump;
    files of the future are read; the board keeps both runs, and calls newest what the clock
    said was newest.
    """
    for path in copy.rglob("*"):
        os.utime(path, (time.time() + 3e7,) * 2)
    (record,) = copy.glob("runs/*/run.json")
    before = json.loads(record.read_text())
    record.unlink()
    next(iter(sorted(copy.glob("runs/*/shards/*.images.safetensors")))).unlink()
    true = time.time
    monkeypatch.setattr("time.time", lambda: true() - 365 * 86400)
    monkeypatch.setattr(run.datetime, "datetime", Back)
    found = json.loads(cli(*RUN)[1])
    assert (found["scores"], found["created"] < before["created"]) == (before["scores"], True)
    assert min(found["cost"]["seconds"].values()) >= 0
    other = json.loads(cli(*RUN, "--seed", "1")[1])
    entries = {
        json.loads(path.read_text())["id"] for path in copy.glob("leaderboards/*/entries/*.json")
    }
    assert entries == {found["id"], other["id"]}
