"""docs/scale.md says what is true: its commands run, as far as one machine allows,
and its worked estimate is worked right.
"""

from __future__ import annotations

import math
import re
import shlex

import fsspec
import numpy as np
import pytest
from helpers.places import DOCS

from genbench.runs.sampling.shards import shards_of

PAGE = (DOCS / "scale.md").read_text()
SMALL = "--n 200 -o steps=2 --metrics fd --leaderboards none"
HERE = {  # what a command of the page asks for -> what there is of it on this machine
    "--workers 8": "--workers 2",
    "--workers 16": "--workers 1",
    "--on slurm": "--on slurm --on-option cluster=local",
    "--on ray://head:10001": "--on ray --workers 2",
    "s3://": "memory://",
    "torchrun --nproc-per-node 8 --no-python ": "",
    "sbatch --array=0-15 --gpus 1 --wrap ": "",
}
LAUNCHED = {  # which variables a launcher sets
    "torchrun": {"RANK": "1", "WORLD_SIZE": "8"},
    "sbatch": {
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_STEP": "1",
        "SLURM_ARRAY_TASK_COUNT": "16",
    },
}
BEFORE = {  # what was done before a command
    "genbench merge from-one": [
        f"genbench run --plugin ddpm --dataset digits --shard {k}/2 --out from-{name}"
        for k, name in ((1, "one"), (2, "another"))
    ]
}


def commands():
    """Those that stand together on the page, as they stand there;
    each of the first table alone, if none below begins so.
    """
    together = [
        [line.strip() for line in block.splitlines()]
        for block in re.findall(r"(?:^    \S.*\n)+", PAGE, re.MULTILINE)
    ]
    below = [[line for line in block if not line.startswith("pip ")] for block in together]
    table = re.findall(r"^\| .*`(genbench run [^`]*)`.* \|$", PAGE, re.MULTILINE)
    return [
        *below,
        *(
            [line]
            for line in table
            if not any(one.startswith(line) for block in below for one in block)
        ),
    ]


def words_of(line):
    for there, here in HERE.items():
        line = re.sub(re.escape(there) + r"(?!\d)", here, line)
    words = shlex.split(line.replace('"', ""))
    assert words.pop(0) == "genbench"
    return [*words, *SMALL.split()] if words[0] == "run" else words


@pytest.mark.timeout(600)  # Ray's own processes take their time on a machine that has other work
@pytest.mark.parametrize("block", commands(), ids=lambda block: block[0][:80])
def test_the_commands_of_the_page_run(block, here, cli, monkeypatch):
    """In an empty folder, one after the other; a cluster is this machine, a bucket is in memory,
    and there are fewer samples and workers.
    """
    fsspec.filesystem("memory").store.clear()
    for line in block:
        for before in next(
            (those for begin, those in BEFORE.items() if line.startswith(begin)), []
        ):
            assert cli(*words_of(before))[0] == 0
        with monkeypatch.context() as launched:
            for name, value in LAUNCHED.get(line.split()[0], {}).items():
                launched.setenv(name, value)
            status, out, err = cli(*words_of(line))
        assert (status, bool(out)) == (0, True), err


def test_the_page_has_every_way():
    every = " ".join(line for block in commands() for line in block)
    assert all(
        way in every
        for way in (
            "--workers 8",
            "--on slurm",
            "--on ray://",
            "--shard 3/16",
            "--shard auto",
            "--out s3://",
            "genbench merge",
        )
    )


def test_the_worked_estimate_is_worked_right():
    """Its table: turns of whole shards, hours, GPU hours and their price,
    from the shards of 50,000 samples of 1,000 classes.
    """
    count = len(shards_of(np.arange(50_000) // 1000 % 20))
    rows = re.findall(r"\| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|", PAGE)
    assert (count, len(rows)) == (100, 5)
    for row in rows:
        workers, turns, hours, gpu_hours, price = map(float, row)
        exact = (math.ceil(count / workers) * 500 * 1.0 + 60) / 3600
        assert (turns, hours, gpu_hours, price) == (
            math.ceil(count / workers),
            round(exact, 1),
            round(workers * exact, 1),
            round(workers * exact * 2.5),
        )
