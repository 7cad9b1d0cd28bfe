"""`genbench reproduce`: what a record says is drawn again;
what was changed is found, and what cannot be told is not called reproduced.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.places import ROOT

from genbench._util.checksummed_files import read_arrays, write_arrays
from genbench.leaderboards import entries
from genbench.runs.records import record

PLUGIN = """
import torch, genbench

class Grey:
    def __init__(self, light: float = 0.5, flag: bool = True, name: str | None = None) -> None:
        self.light = light

    @genbench.hookimpl
    def sample(self, n, seeds):
        noise = genbench.uniform(seeds, (3, 32, 32)) - 0.5
        return (((self.light + 0.4 * noise) * 255).round() + SHIFT).clamp(0, 255).to(torch.uint8)
"""


def plugin(shift="0", name="grey.py"):
    Path(name).write_text(PLUGIN.replace("SHIFT", shift))


@pytest.fixture
def run(cli, here):
    """A finished run of 60 samples with its entry: (run folder, entry)."""
    plugin()
    status, out, err = cli(
        "run",
        "--plugin",
        "grey.py",
        "-o",
        "light=0.4",
        "-o",
        "flag=false",
        "--n",
        "60",
        "--metrics",
        "kd,fd",
        "--json",
    )
    assert status == 0, err
    (entry,) = Path("leaderboards").glob("*/entries/*.json")
    return Path("runs") / json.loads(out)["id"], entry


def verdict(cli, *words):
    status, out, err = cli("reproduce", *words, "--json")
    assert out, err
    return status, json.loads(out)


def seen(found, kind):
    return {one["verdict"] for one in found["checks"] if one["what"].startswith(kind)}


def test_a_run_is_reproduced_to_the_bit_and_its_numbers_too(cli, run):
    status, found = verdict(cli, run[0])
    assert (status, found["verdict"], found["drawn"], found["machine"]) == (
        0,
        "reproduced",
        3,
        "the same kind",
    )
    assert {one["verdict"] for one in found["checks"]} == {"equal"}
    assert seen(found, "fd_digits") == {"equal"}
    assert found["notes"] == []


def test_an_entry_alone_is_held_to_the_marks_of_its_shards(cli, run):
    """Without the run's folder: by the SHA-256 that the record keeps,
    and each interval by its leave-outs.
    """
    shutil.rmtree("runs")
    status, found = verdict(cli, run[1], "--shards", "5", "--seed", "7")
    assert (status, found["verdict"], found["drawn"], found["seed"]) == (0, "reproduced", 5, 7)
    assert seen(found, "shard") == {"equal"}
    assert seen(found, "fd_digits: interval") == {"holds"}


def test_other_seeds_choose_other_shards(cli, run):
    drawn = [
        {one["what"] for one in verdict(cli, run[0], "--seed", str(k))[1]["checks"]} for k in (0, 1)
    ]
    assert drawn[0] != drawn[1]


def test_an_entry_that_keeps_nothing_of_its_images_is_drawn_whole_or_not_judged(cli, run):
    """As the records of before: exit 3, with the way out, which takes every number."""
    shutil.rmtree("runs")
    record.write(run[1], replace(record.read(run[1]), shards={}))
    status, found = verdict(cli, run[1])
    assert (status, found["verdict"], found["drawn"]) == (3, "not comparable", 0)
    assert "--shards all" in found["checks"][0]["said"]
    status, found = verdict(cli, run[1], "--shards", "all")
    assert (status, found["verdict"]) == (0, "reproduced")
    assert seen(found, "fd_digits") <= {"equal", "close"}


def better(one):
    """A number made better, as somebody with a text editor would."""
    return replace(one, value=one.value * 0.8)


def shifted(one):
    """The same with its interval, its leave-outs too."""
    by = 0.2 * one.value
    return replace(
        one,
        value=one.value - by,
        low=one.low - by,
        high=one.high - by,
        left_out=tuple(x - by for x in one.left_out),
    )


@pytest.mark.parametrize(
    ("change", "alone"), [(better, 1), (shifted, 0)], ids=["the value", "everything"]
)
def test_a_tampered_number_is_not_reproduced(cli, run, change, alone):
    """Beside its run, or drawn whole, always; alone with three shards where its
    interval betrays it.
    """
    old = record.read(run[1])
    record.write(run[1], replace(old, scores=tuple(change(one) for one in old.scores)))
    status, found = verdict(cli, run[1])
    assert (status, found["verdict"]) == (1, "not reproduced")
    assert seen(found, "shard") == {"equal"}
    shutil.rmtree("runs")
    assert verdict(cli, run[1])[0] == alone
    assert verdict(cli, run[1], "--shards", "all")[0] == 1


def test_tampered_images_are_not_reproduced(cli, run):
    """A stored shard with one image of another's is found when it is among those that are drawn;
    its numbers no longer follow either.
    """
    for path in (run[0] / "shards").glob("*.images.safetensors"):
        arrays, meta = read_arrays(path)
        write_arrays(path, {"images": np.roll(arrays["images"], 5, axis=3)}, meta)
    status, found = verdict(cli, run[0])
    assert status == 1
    assert seen(found, "shard") == {"different"}


def test_marks_of_other_images_are_not_reproduced(cli, run):
    """An entry whose seeds were changed keeps marks of images that it does not draw."""
    shutil.rmtree("runs")
    old = record.read(run[1])
    record.write(
        run[1],
        replace(old, plan={**old.plan, "identity": {**old.plan["identity"], "first_seed": 5}}),
    )
    status, found = verdict(cli, run[1])
    assert (status, seen(found, "shard")) == (1, {"different"})


@pytest.mark.parametrize("whole", [True, False], ids=["run", "entry"])
@pytest.mark.parametrize(
    ("shift", "status", "kind"),
    [("(noise > 0.4999)", 0, "close"), ("1", 1, "different")],
    ids=["bits", "levels"],
)
def test_bits_may_differ_and_levels_may_not(cli, run, shift, status, kind, whole):
    """Code that flips the last bit of one value in ten thousand is within tolerance and says so;
    one grey level everywhere is another generator.
    """
    plugin(shift, "other.py")  # under another name: a module is imported once
    if not whole:
        shutil.rmtree("runs")
    found = verdict(cli, run[0] if whole else run[1], "--plugin", "other.py")
    assert found[0] == status
    assert kind in seen(found[1], "shard")
    assert "the plugin's code is not the one of the entry" in found[1]["notes"]


def test_what_is_missing_is_not_comparable(cli, here):
    """No such entry; a plugin that is gone; weights that are others."""
    assert cli("reproduce", "nowhere")[0] == 3
    plugin()
    assert (
        cli("run", "--plugin", "grey.py", "--n", "40", "--metrics", "kd", "--leaderboards", "none")[
            0
        ]
        == 0
    )
    Path("grey.py").rename("moved.py")
    status, _, err = cli("reproduce")
    assert (status, "there is no such file" in err) == (3, True)
    assert cli("reproduce", "--plugin", "moved.py")[0] == 0
    entry = next((ROOT / "leaderboards" / "digits" / "entries").glob("*.json"))
    old = record.read(entry)
    record.write(
        Path("entry.json"),
        replace(
            old, plan={**old.plan, "identity": {**old.plan["identity"], "checkpoint": "0" * 64}}
        ),
    )
    status, _, err = cli("reproduce", "entry.json")
    assert (
        status,
        "the entry was made with weights of SHA-256 0000" in err,
        "--checkpoint FILE" in err,
    ) == (3, True, True)


def test_the_verdict_is_attached_and_stands_on_the_page_while_it_is_true(cli, run):
    """reproduced/<entry>.json beside the entries and a line on the board;
    an entry that says something else later has no line.
    """
    assert cli("reproduce", run[0], "--attach")[0] == 0
    board = run[1].parents[1]
    told = json.loads((board / "reproduced" / run[1].name).read_text())
    assert told["verdict"] == "reproduced"
    page = (board / "README.md").read_text()
    assert "## Reproduced" in page
    assert "**reproduced**, to the bit; 3 of" in page
    record.write(
        run[1],
        replace(
            record.read(run[1]),
            genbench="0",
            scores=tuple(map(shifted, record.read(run[1]).scores)),
        ),
    )
    assert cli("run", "--plugin", "grey.py", "--n", "60", "--metrics", "kd", "--seed", "1")[0] == 0
    assert "## Reproduced" not in (board / "README.md").read_text()


def test_a_verdict_on_a_run_is_none_on_an_entry_that_says_something_else(cli, run):
    """The run is reproduced, its entry was changed: nothing is attached,
    and on the entry's own file the verdict is the other one.
    """
    record.write(
        run[1], replace(record.read(run[1]), scores=tuple(map(shifted, record.read(run[1]).scores)))
    )
    status, _, err = cli("reproduce", run[0], "--attach")
    assert (status, "name the entry's file" in err) == (2, True)
    assert cli("reproduce", run[1], "--attach")[0] == 1
    assert (
        json.loads((run[1].parents[1] / "reproduced" / run[1].name).read_text())["verdict"]
        == "not reproduced"
    )


def test_a_run_under_two_protocols_has_a_verdict_on_its_board(cli, here):
    """An entry is the record cut to its protocol: what stands on the board is about that."""
    plugin()
    assert (
        cli("run", "--plugin", "grey.py", "--n", "60", "--metrics", "kd", "--dataset", "digits")[0]
        == 0
    )
    (entry,) = Path("leaderboards").glob("*/entries/*.json")
    old = record.read(entry)
    protocol = next(iter(old.plan["protocols"].values()))
    whole = replace(
        old,
        plan={
            **old.plan,
            "protocols": {**old.plan["protocols"], "other": {**protocol, "board": False}},
        },
    )
    record.write(next(Path("runs").glob("*/run.json")), whole)
    assert cli("reproduce", "--attach")[0] == 0
    assert (entry.parents[1] / "reproduced" / entry.name).is_file()
    assert "## Reproduced" in (entry.parents[1] / "README.md").read_text()


def test_a_verdict_without_an_entry_cannot_be_attached(cli, run):
    shutil.rmtree("leaderboards")
    assert cli("reproduce", run[0], "--attach")[0] == 2


def test_a_word_for_the_number_of_shards_is_refused(cli, run):
    assert cli("reproduce", run[0], "--shards", "none")[0] == 2
    assert cli("reproduce", run[0], "--shards", "0")[0] == 2


@pytest.mark.parametrize("label", ["noise", "vae"])
def test_the_committed_board_is_reproduced_from_its_entries(cli, here, label):
    """By the marks that they keep, to the bit or, on another machine, within tolerance."""
    board = ROOT / "leaderboards" / "digits"
    entry = next(one for one in entries.entries(board) if one.label == label)
    status, found = verdict(cli, board / "entries" / f"{entry.id}.json")
    assert (status, found["verdict"], found["drawn"]) == (0, "reproduced", 3)
    assert seen(found, "shard") <= {"equal", "close"}
