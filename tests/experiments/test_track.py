"""`genbench track` and `genbench train --every`: checkpoints in the order of their steps, paired;
the best chosen on one half, reported on the other.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from genbench._util.errors import UserError
from genbench.experiments import track_checkpoints
from genbench.leaderboards import entries
from genbench.runs.records import record

PLUGIN = """
import torch, genbench

class Grey:
    def __init__(self, checkpoint) -> None:
        self.state = genbench.load_checkpoint(checkpoint)

    @genbench.hookimpl
    def sample(self, n, seeds):
        if float(self.state["light"]) < 0:
            raise ValueError("dark")
        noise = genbench.uniform(seeds, (3, 8, 8), stream=int(self.state["stream"])) - 0.5
        return ((self.state["light"] + 0.4 * noise) * 255).round().clamp(0, 255).to(torch.uint8)
"""


def lights(*values, name="ckpt-{:d}.safetensors", alike=True):
    """A folder of checkpoints, one to a value, steps 100, 200, ...; alike:
    they make the same of a seed, but for the light.
    """
    Path("training").mkdir(exist_ok=True)
    for place, value in enumerate(values, 1):
        save_file(
            {"light": torch.tensor(value), "stream": torch.tensor(0 if alike else place)},
            f"training/{name.format(100 * place)}",
        )
    Path("grey.py").write_text(PLUGIN)


def track(cli, *words, n="40"):
    status, out, err = cli(
        "track", "training", "--plugin", "grey.py", "--n", n, "--by", "kd_digits", "--json", *words
    )
    return status, json.loads(out) if out else None, err


def test_the_best_is_chosen_on_one_half_and_reported_on_the_other(cli, here):
    """Same seeds for every checkpoint, others for the report;
    the record, the board and the table say by what it was chosen, and of how many.
    """
    lights(0.9, 0.3, 0.6)
    status, said, err = track(cli)
    assert status == 0, err
    assert [point["step"] for point in said["points"]] == [100, 200, 300]
    assert said["chosen"] == min(said["points"], key=lambda point: point["value"])["step"]
    assert (said["dataset"], said["reported"]["dataset"]) == ("digits-even", "digits-odd")
    runs = [record.read(Path("runs") / point["run"] / "run.json") for point in said["points"]]
    assert {run.plan["identity"]["first_seed"] for run in runs} == {0}
    chosen = record.read(Path("runs") / said["reported"]["run"] / "run.json")
    assert chosen.plan["identity"]["first_seed"] == 2**20
    assert chosen.plan["identity"]["checkpoint"] == next(
        point["sha256"] for point in said["points"] if point["step"] == said["chosen"]
    )
    assert chosen.plan["tuned"]["options"] == {
        "checkpoint": {"of": [f"ckpt-{k}.safetensors" for k in (100, 200, 300)]}
    }
    (place,) = Path("tracks").glob("training-digits")
    assert json.loads((place / "track.json").read_text())["chosen"] == said["chosen"]
    assert (place / "track.png").read_bytes().startswith(b"\x89PNG")
    whole = entries.entry_of(chosen, "digits", chosen.plan["protocols"]["digits"])
    assert whole.tuned == "tuned on kd_digits against digits-even, 3 checkpoints"


def test_the_chosen_is_too_good_by_its_luck_and_the_report_is_not(cli, here):
    """Six checkpoints that are one generator but for its draws:
    the chosen is the luckiest, no difference is shown, and the reported number is a fresh one.
    """
    lights(*[0.3] * 6, alike=False)
    _, said, _ = track(cli)
    values = [point["value"] for point in said["points"]]
    assert (
        min(values)
        == said["points"][[point["step"] for point in said["points"]].index(said["chosen"])][
            "value"
        ]
    )
    assert said["reported"]["value"] not in values
    assert all(
        point["p_adjusted"] > 0.05 for point in said["points"] if point["step"] != said["chosen"]
    )


def test_differences_are_paired_and_narrower_than_the_numbers(cli, here):
    """Two checkpoints that follow their seeds alike: the difference is known better than
    either number.
    """
    lights(0.45, 0.46)
    _, said, _ = track(cli, n="80")
    other = next(point for point in said["points"] if point["step"] != said["chosen"])
    assert other["difference_high"] - other["difference_low"] < 0.5 * (other["high"] - other["low"])


def test_a_checkpoint_that_fails_is_said_and_the_others_stand(cli, here):
    lights(0.3, -1.0, 0.5)
    status, said, _ = track(cli)
    assert status == 0
    assert [point["value"] is None for point in said["points"]] == [False, True, False]
    assert "dark" in said["points"][1]["reason"]


def test_against_the_whole_nothing_is_chosen(cli, here):
    lights(0.3, 0.5)
    status, said, _ = track(cli, "--whole")
    assert (status, said["dataset"], said["reported"]) == (0, "digits", None)
    assert not (Path("tracks") / "digits-odd-digits").exists()


def test_the_second_time_nothing_is_drawn(cli, here):
    lights(0.3, 0.5)
    first = track(cli)[1]
    status, again, err = track(cli)
    assert (status, again) == (0, first)
    assert "is finished" in err


def test_steps_come_from_the_file_else_from_the_name(here):
    """What a training wrote into the file goes before the name; 2 is before 10."""
    Path("training").mkdir()
    for name, steps in (
        ("a-7.safetensors", "500"),
        ("b-10.safetensors", None),
        ("b-2.safetensors", None),
    ):
        save_file(
            {"x": torch.zeros(1)},
            f"training/{name}",
            {"genbench": json.dumps({"steps": steps})} if steps else None,
        )
    assert [
        (step, path.name) for step, path in track_checkpoints.checkpoints(Path("training"))
    ] == [
        (2, "b-2.safetensors"),
        (10, "b-10.safetensors"),
        (500, "a-7.safetensors"),
    ]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ((), "has no checkpoints"),
        (("a-1.pt",), "has 1 checkpoint "),
        (("a.pt", "b-1.pt"), "neither the file nor its name"),
        (("a-1.pt", "b-1.pt"), "both of step 1"),
    ],
    ids=["none", "one", "no step", "twice"],
)
def test_a_folder_that_is_no_track_is_refused(here, names, line):
    Path("training").mkdir()
    for name in names:
        (Path("training") / name).write_bytes(b"")
    with pytest.raises(UserError, match=line):
        track_checkpoints.checkpoints(Path("training"))


def test_words_that_are_wrong_are_refused_before_anything_is_drawn(cli, here):
    assert cli("track", "nowhere", "--plugin", "vae")[0] == 2
    lights(0.3, 0.5)
    assert track(cli, "--by", "fid_digits")[0] == 2
    assert not Path("runs").exists()


def test_a_training_keeps_its_checkpoints_and_is_the_same_training(cli, here):
    """--every writes NAME-STEP with the steps taken by then;
    the last checkpoint is to the byte the one of a training without.
    """
    words = ("train", "--plugin", "vae", "--steps", "7", "--batch-size", "16")
    assert cli(*words, "--out", "plain/vae.safetensors")[0] == 0
    assert cli(*words, "--every", "3", "--out", "kept/vae.safetensors")[0] == 0
    assert Path("plain/vae.safetensors").read_bytes() == Path("kept/vae.safetensors").read_bytes()
    found = track_checkpoints.checkpoints(Path("kept"))
    assert [(step, path.name) for step, path in found] == [
        (3, "vae-000003.safetensors"),
        (6, "vae-000006.safetensors"),
        (7, "vae.safetensors"),
    ]
    with safetensors.safe_open(found[0][1], "np") as file:
        said = json.loads(file.metadata()["genbench"])
    assert sum(
        count * epochs
        for count, epochs in zip(
            said["training"]["train_counts"], said["training"]["epochs_of_an_image"], strict=True
        )
    ) == pytest.approx(48, abs=1)
    states = [load_file(path) for _, path in found]
    assert not np.allclose(*(next(iter(state.values())).numpy() for state in states[:2]))
    assert cli(*words, "--every", "0", "--out", "x.safetensors")[0] == 2
