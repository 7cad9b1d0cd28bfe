"""`genbench sweep --tune`: searched on one half, measured on the other;
the record says so, and a search that was stopped goes on.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.cli.main import main
from genbench.data.subsets import HALVES
from genbench.data.user_datasets import dataset_of
from genbench.experiments import tune_options
from genbench.generators.load import locate
from genbench.leaderboards import entries
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request

PLUGIN = """
from typing import Literal
import torch, genbench

class Grey:
    def __init__(self, light: float = 0.5, side: int = 8, kind: Literal["flat", "noisy"] = "noisy") -> None:
        self.light, self.side, self.kind = light, side, kind

    @genbench.hookimpl
    def sample(self, n, seeds):
        if self.side == 13:
            raise ValueError("thirteen")
        noise = genbench.uniform(seeds, (3, self.side, self.side)) - 0.5
        return ((self.light + noise * (0.2 if self.kind == "noisy" else 0.01)) * 255).clamp(0, 255).to(torch.uint8)
"""  # noqa: E501


@pytest.fixture
def grey(tmp_path):
    file = tmp_path / "grey.py"
    file.write_text(PLUGIN)
    return str(file)


@pytest.fixture
def tune(tmp_path, capsys):
    """tune(plugin, *words) -> (status, standard output, standard error)."""

    def call(plugin, *words, n=40, metric="kd_digits"):
        capsys.readouterr()
        places = ["--out", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "sweeps")]
        status = main(
            [
                "sweep",
                "--plugin",
                plugin,
                "--tune",
                metric,
                "--n",
                str(n),
                "--metrics",
                metric,
                *words,
                *places,
            ]
        )
        return (status, *capsys.readouterr())

    return call


def notes(tmp_path):
    (path,) = (tmp_path / "sweeps").glob("tuned-*.json")
    return path


# Halves


def test_halves_have_no_image_in_common_and_are_everything():
    """Each split's images, class by class in turn, one to either half, in the base's order;
    labels with them.
    """
    whole, *halves = (
        dataset_of(name) for name in ("digits", *(f"digits-{half}" for half in HALVES))
    )
    for split in whole.splits:
        (images, labels), *parts = (next(row.open(split)) for row in (whole, *halves))
        assert sum(len(part[0]) for part in parts) == len(images)
        assert [row.splits[split] for row in halves] == [len(part[0]) for part in parts]
        for label in range(10):
            own = images[labels == label]
            for place, (some, of) in enumerate(parts):
                assert (some[of == label] == own[place::2]).all()
    prints = {row.fingerprint("heldout") for row in (whole, *halves)}
    assert len(prints) == 3


def test_a_half_has_the_weights_and_the_protocol_of_the_whole():
    plan = settle(Request(dataset="digits-even", n=20), locate("dcgan"))
    assert (
        plan.identity["checkpoint"] == settle(Request(n=20), locate("dcgan")).identity["checkpoint"]
    )
    assert list(plan.protocols) == ["digits"]
    assert (
        plan.protocols["digits"]["splits"]
        != settle(Request(n=20), locate("dcgan")).protocols["digits"]["splits"]
    )
    tail = dataset_of("digits-lt-ir50-odd")
    assert tail.splits["balanced-test"] == 430
    assert tail.fingerprint("train") != dataset_of("digits-lt-ir50").fingerprint("train")


# The search


def test_ddpm_is_tuned_on_one_half_and_measured_on_the_other(tmp_path, tune):
    """Steps from a range: the trials are runs on digits-even,
    the answer one on digits-odd with the next seeds; record, page and table say how it was found.
    """
    status, out, err = tune(
        "ddpm", "-o", "steps=1:4", "-o", "eta=0,1", "--trials", "3", metric="fd_digits"
    )
    assert status == 0, err
    tried = json.loads(notes(tmp_path).read_text())
    runs = [
        json.loads((tmp_path / "runs" / one["run"] / "run.json").read_text())
        for one in tried["trials"]
    ]
    assert {run["plan"]["dataset"] for run in runs} == {"digits-even"}
    assert {run["plan"]["identity"]["first_seed"] for run in runs} == {0}
    (entry,) = entries.entries(tmp_path / "sweeps" / "digits-odd-digits")
    plan = entry.record.plan
    assert (plan["dataset"], plan["identity"]["first_seed"]) == ("digits-odd", 2**20)
    best = min(tried["trials"], key=lambda one: one["value"])
    said = plan["tuned"]
    assert {key: said[key] for key in ("metric", "half", "trials", "failed", "chosen", "best")} == {
        "metric": "fd_digits", "half": "digits-even", "trials": 3, "failed": 0,
        "chosen": best["options"], "best": best["value"],
    }  # fmt: skip
    assert said["options"] == {"steps": [1, 4], "eta": {"of": ["0", "1"]}}
    assert plan["identity"]["options"]["steps"] == int(best["options"][0].removeprefix("steps="))
    flag = "tuned on fd_digits against digits-even, 3 trials"
    assert flag in out
    assert flag in (tmp_path / "sweeps" / "digits-odd-digits" / "README.md").read_text()
    assert flag in (tmp_path / "sweeps" / "digits-odd-digits" / "table.csv").read_text()


def test_a_stopped_search_goes_on_as_if_it_had_not_been(tmp_path, tune, grey):
    """Three trials at once, and one and then three: the same points in the same order,
    and the first is not taken again.
    """
    words = ["-o", "light=0:1", "-o", "kind=flat,noisy", "--seed", "3"]
    assert tune(grey, *words, "--trials", "1")[0] == 0
    first = json.loads(notes(tmp_path).read_text())["trials"]
    status, _, err = tune(grey, *words, "--trials", "3")
    assert (status, err.count("1 of 3"), err.count("2 of 3"), err.count("3 of 3")) == (0, 0, 1, 1)
    went_on = json.loads(notes(tmp_path).read_text())["trials"]
    assert went_on[:1] == first
    notes(tmp_path).unlink()
    assert tune(grey, *words, "--trials", "3")[0] == 0
    assert json.loads(notes(tmp_path).read_text())["trials"] == went_on
    assert len({tuple(one["options"]) for one in went_on}) == 3


def test_the_direction_is_the_metrics(tmp_path, tune, grey):
    """Of coverage the largest is chosen, of the kernel distance the smallest."""
    for metric, choose in (("kd_digits", min), ("is_digits", max)):
        status, out, _ = tune(
            grey, "-o", "light=0.1,0.5,0.9", "--trials", "3", "--json", metric=metric
        )
        assert status == 0
        tuned = json.loads(out)["plan"]["tuned"]
        trials = next(
            json.loads(p.read_text())
            for p in (tmp_path / "sweeps").glob("tuned-*.json")
            if json.loads(p.read_text())["metric"] == metric
        )["trials"]
        assert tuned["best"] == choose(one["value"] for one in trials)


def test_a_trial_that_fails_is_noted_and_the_search_goes_on(tmp_path, tune, grey):
    status, out, _ = tune(grey, "-o", "side=8,13", "--trials", "6", "--json")
    assert status == 0
    failed = [
        one for one in json.loads(notes(tmp_path).read_text())["trials"] if one["value"] is None
    ]
    assert [one["options"] for one in failed] == [["side=13"]]
    assert "ValueError: thirteen" in failed[0]["reason"]
    tuned = json.loads(out)["plan"]["tuned"]
    assert (tuned["trials"], tuned["different"], tuned["chosen"]) == (6, 2, ["side=8"])
    status, _, err = tune(grey, "-o", "side=13", "-o", "light=0.2,0.4", "--trials", "2")
    assert (
        status,
        "none of 2 trials has a value of kd_digits: grey: sample raised ValueError: thirteen"
        in err,
    ) == (5, True)


def test_a_damaged_file_of_trials_is_named_and_the_runs_are_taken_over(tmp_path, tune, grey):
    words = ["-o", "light=0:1", "--trials", "2"]
    assert tune(grey, *words)[0] == 0
    before = notes(tmp_path).read_text()
    notes(tmp_path).write_text("{")
    status, _, err = tune(grey, *words)
    assert (status, "searching from the start, with the runs that are there" in err) == (0, True)
    assert err.count("is finished") == 3
    assert notes(tmp_path).read_text() == before


def test_what_was_tuned_stays_so(tmp_path, tune, grey, capsys):
    """The same run by its own words, with one number more, is still a tuned one."""
    assert tune(grey, "-o", "light=0.1,0.2", "--trials", "1")[0] == 0
    (entry,) = entries.entries(tmp_path / "sweeps" / "digits-odd-digits")
    option = f"light={entry.record.plan['identity']['options']['light']}"
    words = [
        "run",
        "--plugin",
        grey,
        "--dataset",
        "digits-odd",
        "-o",
        option,
        "--seed",
        "1",
        "--n",
        "40",
        "--metrics",
        "kd,precision",
    ]
    assert main([*words, "--out", str(tmp_path / "runs"), "--leaderboards", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["plan"]["tuned"]) == (
        entry.record.id,
        dict(entry.record.plan["tuned"]),
    )
    assert {score["metric"] for score in found["scores"]} == {"kd_digits", "precision_digits"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "light=0.5"], "--tune has nothing to search"),
        (["-o", "light=1:0"], "low below high"),
        (["-o", "light=0:many"], "a range is two numbers, low:high"),
        (["-o", "side=0.5:8"], "a range is two whole numbers, low:high"),
        (["-o", "light=0:inf"], "a range is low:high"),
        (["-o", "kind=flat,dark"], "-o kind=dark: wanted is flat | noisy"),
        (["-o", "kind=a:b"], "--tune has nothing to search"),
        (["-o", "lihgt=0:1"], "has no option 'lihgt': did you mean light"),
        (["-o", "light=0:1", "-o", "light=0.5"], "-o light is named twice"),
        (["-o", "light=0:1", "--trials", "0"], "--trials 0: at least 1"),
        (["-o", "light=0:1,"], "write it as name=low:high"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(tmp_path, tune, grey, words, said):
    status, _, err = tune(grey, *words)
    assert (status, said in err, len(err.strip().splitlines())) == (2, True, 1), err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("fd_digist", "unknown metric 'fd_digist': did you mean fd_digits"),
        ("all", "name one number"),
    ],
)
def test_an_unknown_number_is_one_line(tune, grey, metric, said):
    status, _, err = tune(grey, "-o", "light=0:1", metric=metric)
    assert (status, said in err, len(err.strip().splitlines())) == (2, True, 1), err


def test_without_optuna_there_is_a_line_to_type(monkeypatch, tune, grey):
    for name in [name for name in sys.modules if name.partition(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = tune(grey, "-o", "light=0:1")
    assert (status, err.strip().endswith('--tune needs Optuna: pip install "genbench[tune]"')) == (
        2,
        True,
    ), err


def test_numbers_of_a_range_are_what_one_would_type_again():
    assert tune_options.word_of(tune_options.Range(0, 1, False), 0.123456789) == "0.123457"
    assert tune_options.word_of(tune_options.Range(1, 9, True), 3) == "3"
    found = np.array(
        [
            float(tune_options.word_of(tune_options.Range(0.5, 1.0, False), x))
            for x in np.linspace(0.5, 1, 99)
        ]
    )
    assert found.min() == 0.5
    assert found.max() == 1.0


def test_a_metric_means_its_first_number():
    """`--tune fd` is the protocol's fd_digits."""
    search = tune_options.search_of(Request(options=("steps=1:3",), n=20), locate("ddpm"), "fd", 1)
    assert (search.metric, search.better) == ("fd_digits", registry.find("metrics", "fd").better)
    with pytest.raises(UserError, match="nothing to search"):
        tune_options.search_of(Request(options=(), n=20), locate("ddpm"), "fd", 1)
