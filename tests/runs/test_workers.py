"""`genbench run --workers`: the same bytes whoever draws them,
and nothing lost where a worker dies.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import genbench
from genbench._util.checksummed_files import read_arrays, write_arrays
from genbench._util.errors import UserError
from genbench.cli import shared_options

PLUGIN = """
import os, signal
from pathlib import Path
import torch, genbench
from genbench import noise

@genbench.hookimpl
def sample(n, seeds, labels):
    place, here = os.environ.get("GENBENCH_WORKER"), Path(__file__).parent
    (here / f"drawn-by-{place}-{int(seeds[0])}").touch()
    if place and (here / "deadly").exists() and not (here / "died").exists():
        (here / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return (noise(seeds, (3, 32, 32)) * 40 + 20 * labels[:, None, None, None] + 60).clip(0, 255).to(torch.uint8)
"""  # noqa: E501


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    path = tmp_path / "drawn.py"
    path.write_text(PLUGIN)
    return path


def shards(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("shards/*.safetensors")}


def evaluated(plugin, out, **words):
    return genbench.evaluate(plugin, n=200, metrics=("fd", "kd"), out=plugin.parent / out, **words)


def drawers(plugin):
    return {path.name.split("-")[2] for path in plugin.parent.glob("drawn-by-*")}


def test_workers_make_the_same_bytes(plugin):
    """Two processes draw what one would have drawn, each its part,
    and every file of a shard and every number is equal to the bit.
    """
    alone = evaluated(plugin, "alone")
    for path in plugin.parent.glob("drawn-by-*"):
        path.unlink()
    found = evaluated(plugin, "two", workers=2)
    assert {"0", "1"} <= drawers(plugin)
    assert found.id == alone.id
    assert [one.value for one in found.scores] == [one.value for one in alone.scores]
    assert len(shards(alone.folder)) == 40
    assert shards(found.folder) == shards(alone.folder)
    assert found.cost["images_drawn"] == 200
    assert found.cost["seconds"]["workers"] > 0
    assert sum(found.cost["seconds"].values()) <= found.cost["seconds_whole"]


def test_a_worker_that_is_killed_loses_nothing(plugin, monkeypatch, capfd):
    """After SIGKILL to a worker the run goes on in its own process, says so,
    and ends with the same bytes.
    """
    alone = evaluated(plugin, "alone")
    (plugin.parent / "deadly").touch()
    monkeypatch.delenv("GENBENCH_QUIET")
    found = evaluated(plugin, "two", workers=2)
    assert (plugin.parent / "died").exists()
    assert "a worker died" in capfd.readouterr().err
    assert shards(found.folder) == shards(alone.folder)


def test_a_worker_that_is_told_off_says_what_the_run_would_say(plugin, cli):
    """What a plugin does wrong in a worker is one line, status 5;
    what a user may not ask for is one line, status 2.
    """
    plugin.write_text(PLUGIN.replace("return (", "raise ValueError('out of ink')\n    return ("))
    words = (
        "--plugin",
        plugin,
        "--n",
        200,
        "--out",
        plugin.parent / "runs",
        "--leaderboards",
        "none",
    )
    status, _, err = cli("run", *words, "--workers", 2)
    assert status == 5
    assert err.splitlines()[-1] == "genbench: drawn: sample raised ValueError: out of ink"
    status, _, err = cli("run", *words, "--workers", 0)
    assert (status, err.count("\n")) == (2, 1)
    assert "--workers 0: at least 1" in err


def test_a_generator_in_memory_has_one_worker(tmp_path):
    """A function cannot be sent to another process: refused before anything is drawn."""
    with pytest.raises(
        UserError, match="a generator in memory cannot be drawn from by other processes"
    ):
        genbench.evaluate(lambda n: 1 / 0, n=100, workers=2, out=tmp_path)


def test_workers_read_the_same_rows_of_ones_own(plugin, cli, tmp_path):
    """--with reaches every worker."""
    (tmp_path / "own.py").write_text(
        "from genbench.api import Measure, Protocol\n"
        'MINE = Protocol(name="mine", title="", dataset="digits", n=100, labels="balanced", '
        'quantise="round",\n'
        '                measures=(Measure("kd", "digits.pool", "heldout"),))\n'
    )
    words = (
        "--with",
        tmp_path / "own.py",
        "--protocol",
        "mine",
        "--out",
        tmp_path / "runs",
        "--leaderboards",
        "none",
        "--json",
    )
    status, out, err = cli("run", "--plugin", plugin, "--workers", 2, *words)
    assert status == 0, err
    assert [one["metric"] for one in json.loads(out)["scores"]] == ["kd_digits"]
    assert "0" in drawers(plugin)


# Shares, for any launcher


def test_shares_are_drawn_apart_and_scored_together(plugin, cli):
    """Three shares in two folders, in any order, merged: the same bytes and numbers as a run of one
    piece; before they are all there, the rest is drawn.
    """
    whole = evaluated(plugin, "whole")
    words = ("--plugin", plugin, "--n", 200, "--metrics", "fd,kd", "--leaderboards", "none")
    for share, out in (("3/3", "a"), ("1/3", "b"), ("2/3", "a")):
        status, said, err = cli("run", *words, "--shard", share, "--out", plugin.parent / out)
        assert status == 0, err
        assert f"share {share} is drawn" in said
    assert not (plugin.parent / "a" / whole.id / "run.json").exists()
    assert {
        **shards(plugin.parent / "a" / whole.id),
        **shards(plugin.parent / "b" / whole.id),
    } == shards(whole.folder)
    assert not set(shards(plugin.parent / "a" / whole.id)) & set(
        shards(plugin.parent / "b" / whole.id)
    )
    status, said, err = cli(
        "merge",
        plugin.parent / "a",
        plugin.parent / "b" / whole.id,
        "--out",
        plugin.parent / "merged",
    )
    assert status == 0, err
    assert "20 shards in 40 files, 40 of them new" in said
    for path in plugin.parent.glob("drawn-by-*"):
        path.unlink()
    found = evaluated(plugin, "merged")
    assert not drawers(plugin) - {"None"}
    assert [one.value for one in found.scores] == [one.value for one in whole.scores]
    assert shards(found.folder) == shards(whole.folder)


def test_a_shard_that_two_machines_draw_differently_is_named(plugin, cli):
    """Merging takes the first, names the shard and ends with status 3;
    a damaged file is left out and named, and drawn again by the run.
    """
    words = (
        "--plugin",
        plugin,
        "--n",
        200,
        "--metrics",
        "fd",
        "--leaderboards",
        "none",
        "--shard",
        "1/2",
    )
    for out in ("a", "b"):
        assert cli("run", *words, "--out", plugin.parent / out)[0] == 0
    (run,) = (plugin.parent / "b").iterdir()
    first, second, *_ = sorted(
        {path.name.partition(".")[0] for path in run.glob("shards/*.safetensors")}
    )
    for path in run.glob(f"shards/{first}.*"):
        arrays, meta = read_arrays(path)
        write_arrays(
            path,
            {name: one + (one.dtype != "uint8") for name, one in arrays.items()},
            {**meta, "images": "0" * 64},
        )
    (damaged,) = run.glob(f"shards/{second}.images.*")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    status, _, err = cli(
        "merge", plugin.parent / "a", plugin.parent / "b", "--out", plugin.parent / "merged"
    )
    assert status == 3
    assert f"drawn differently in two folders: shard {first} of {run.name}" in err
    assert f"damaged shard: {damaged}" in err
    assert shards(plugin.parent / "merged" / run.name) == shards(plugin.parent / "a" / run.name)


@pytest.mark.parametrize("word", ["0/2", "3/2", "1", "1/2/3", "x/y", "auto"])
def test_a_share_that_is_none_is_refused(word, plugin, cli):
    status, out, err = cli(
        "run", "--plugin", plugin, "--shard", word, "--out", plugin.parent / "runs"
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"--shard {word}: " in err
    assert not (plugin.parent / "runs").exists()


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({"RANK": "2", "WORLD_SIZE": "4"}, "3/4"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "7",
                "SLURM_ARRAY_TASK_MIN": "5",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            "3/3",
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "4",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            "3/3",
        ),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, "1/16"),
    ],
)
def test_launchers_say_which_share_it_is(variables, share, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shared_options.share() == share
