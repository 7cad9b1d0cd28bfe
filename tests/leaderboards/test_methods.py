"""Several checkpoints are one method: a run for each, the method's mean,
spread and interval in the answer, on the board and in compare.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats

from genbench.leaderboards import entries

PLUGIN = """
import torch, genbench

class Grey:
    def __init__(self, checkpoint, wide: float = 0.4) -> None:
        self.light, self.wide = genbench.load_checkpoint(checkpoint)["light"], wide

    @genbench.hookimpl
    def sample(self, n, seeds, labels):
        noise = genbench.uniform(seeds, (3, 8, 8)) - 0.5
        return ((self.light + self.wide * noise) * 255).round().clamp(0, 255).to(torch.uint8)
"""


@pytest.fixture
def trainings(here):
    """Three checkpoints of one recipe, as `genbench train` says it."""
    Path("grey.py").write_text(PLUGIN)
    paths = []
    for seed, light in enumerate((0.30, 0.32, 0.35)):
        paths.append(f"seed{seed}.safetensors")
        said = {
            "dataset": "digits",
            "steps": "100",
            "batch_size": "64",
            "seed": str(seed),
            "training": {"augment": ""},
        }
        save_file({"light": torch.tensor(light)}, paths[-1], {"genbench": json.dumps(said)})
    return paths


def run(cli, paths, *words):
    checkpoints = [word for path in paths for word in ("--checkpoint", path)]
    return cli("run", "--plugin", "grey.py", *checkpoints, "--metrics", "kd,label_accuracy", *words)


def test_a_method_is_in_the_answer_on_the_board_and_in_compare(cli, trainings):
    """Mean, sd and t interval of the three runs' numbers, the same in the JSON,
    methods.csv and the page; label and kind as the words say.
    """
    status, out, err = run(cli, trainings, "--json")
    assert status == 0, err
    told = json.loads(out)
    values = [
        next(one["value"] for one in each["scores"] if one["metric"] == "kd_digits")
        for each in told["runs"]
    ]
    (kd,) = [row for row in told["methods"] if row["metric"] == "kd_digits"]
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert (kd["first"], kd["trainings"], kd["values"]) == ("grey.py", 3, values)
    assert (kd["mean"], kd["sd"], kd["low"]) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1), np.mean(values) - half)
    )
    assert {each["plan"]["method"] for each in told["runs"]} == {"grey.py"}
    board = Path("leaderboards") / "digits"
    (row,) = csv.DictReader((board / "methods.csv").read_text().splitlines())
    assert float(row["kd_digits"]) == pytest.approx(kd["mean"])
    assert float(row["kd_digits_high"]) == pytest.approx(kd["high"])
    page = (board / "README.md").read_text()
    assert "## Methods" in page
    assert len(entries.entries(board)) == 3
    out = cli("leaderboard", "--methods")[1]
    assert "3 trainings" in out
    text = run(cli, trainings)[1]
    assert "mean over trainings" in text


def test_a_method_has_the_name_that_it_is_given(cli, trainings):
    """Also where the checkpoints say nothing of their training;
    a name given later enters the records that are there.
    """
    assert run(cli, trainings)[0] == 0
    out = run(cli, trainings, "--method", "Ours | v2", "--json")[1]
    assert {row["first"] for row in json.loads(out)["methods"]} == {"Ours | v2"}
    assert "Ours \\| v2" in (Path("leaderboards") / "digits" / "README.md").read_text()


def test_a_method_of_another_option_is_another(cli, trainings):
    assert run(cli, trainings)[0] == run(cli, trainings, "-o", "wide=0.2")[0] == 0
    out = cli("leaderboard", "--methods", "--format", "json")[1]
    (block,) = json.loads(out)["blocks"]
    assert {row["first"] for row in block["value"]} == {"grey.py", "grey.py wide=0.2"}
    assert {row["how"] for row in block["difference"]} == {"Welch over 3 and 3 trainings"}


def test_what_is_no_method_is_refused_before_anything_is_drawn(cli, trainings):
    """The same weights twice; another number of steps."""
    Path("copy.safetensors").write_bytes(Path(trainings[0]).read_bytes())
    status, _, err = run(cli, [*trainings, "copy.safetensors"])
    assert (status, "names one training twice" in err) == (2, True)
    save_file(
        {"light": torch.tensor(0.5)},
        "long.safetensors",
        {
            "genbench": json.dumps(
                {"dataset": "digits", "steps": "900", "batch_size": "64", "seed": "3"}
            )
        },
    )
    status, _, err = run(cli, [*trainings, "long.safetensors"])
    assert (status, "steps 100 and 900" in err) == (2, True)
    assert not Path("runs").exists()


def test_a_suite_has_a_method_as_a_list_of_checkpoints(cli, trainings):
    Path("suite.toml").write_text(
        "[[run]]\n"
        f"plugin = 'grey.py'\nmethod = 'Ours'\nmetrics = ['kd']\ncheckpoint = {trainings}\n"
    )
    out = cli("run", "--suite", "suite.toml", "--json", "--n", "40")[1]
    assert [(row["first"], row["trainings"]) for row in json.loads(out)["methods"]] == [("Ours", 3)]


def test_one_checkpoint_is_marked_one_training(cli, trainings):
    """In compare beside another model of one training."""
    assert run(cli, trainings[:1], "--n", "40")[0] == 0
    assert run(cli, trainings[1:2], "-o", "wide=0.3", "--n", "40")[0] == 0
    runs = sorted(Path("runs").glob("*/run.json"))
    out = cli("compare", *[path.parent for path in runs])[1]
    assert out.count("one training ") >= 2
    assert "## Methods" not in (Path("leaderboards") / "digits" / "README.md").read_text()
