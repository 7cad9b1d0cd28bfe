"""`genbench check`, `baseline`, `extend` and `plan` as their users type them."""

from __future__ import annotations

import json

import pytest

from genbench.gate.config import Gate, Wrong, gate_of

MINE = """from typing import Annotated

import torch

import genbench


class Mine:
    def __init__(self, dim: Annotated[float, "darker by this"] = 0.5) -> None:
        self.dim = dim

    @genbench.hookimpl
    def sample(self, n, seeds):
        return ((1 - self.dim) * 255 * genbench.uniform(seeds, (3, 32, 32))).to(torch.uint8)
"""
RUN = (
    "run",
    "--plugin",
    "mine.py",
    "--n",
    "640",
    "--metrics",
    "fd_digits,kd_digits",
    "--leaderboards",
    "none",
    "--quiet",
)


@pytest.fixture
def mine(cli, here):
    """A folder with a plugin, its run, and the run saved as the baseline."""
    (here / "mine.py").write_text(MINE)
    assert cli(*RUN)[0] == 0
    assert cli("baseline", "save")[0] == 0
    return here


def test_green_for_the_same_red_for_a_damaged_one(mine, cli, monkeypatch):
    """The model that was saved passes with exit 0, a brighter one fails with exit 1;
    three files, a step's summary and annotations say so.
    """
    status, _, err = cli("check", "--baseline", "main")
    assert (status, "is the baseline itself" in err) == (3, True)
    assert cli(*RUN, "--fresh")[0] == 0
    assert cli("check", "--baseline", "main")[0] == 0
    assert cli(*RUN, "-o", "dim=0.0")[0] == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(mine / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    status, out, err = cli("check", "--baseline", "main", "--to", "said")
    assert status == 1
    assert out.splitlines()[0].startswith("FAIL fd_digits digits: +")
    assert "::error title=genbench check::FAIL fd_digits digits: +" in err
    assert (mine / "summary.md").read_text() == (mine / "said/check.md").read_text()
    assert {path.name for path in (mine / "said").iterdir()} == {
        "check.json",
        "check.md",
        "check.xml",
    }
    found = json.loads((mine / "said/check.json").read_text())
    assert found["command"] == "genbench check --baseline main"
    assert (
        json.loads(cli("check", "--baseline", "main", "--json", "--to", "none")[1])["verdict"]
        == "FAIL"
    )
    gate = mine / "gate.toml"
    gate.write_text(
        '[[rule]]\nmetric = "fd_digits"\naccept = { until = 2999-01-01, reason = "brighter", '
        f'digest = "{found["candidate"]["digest"]}" }}\n'
    )
    assert cli("check", "--baseline", "main", "--gate", str(gate))[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--baseline", "mian"), 3, "baselines has main"),
        (("--baseline", "http://127.0.0.1:9/x.json"), 3, "not fetched: GENBENCH_OFFLINE"),
        ((), 2, "against what? --baseline"),
        (("--baseline", "main", "--gate", "none.toml"), 2, "there is no such file"),
        (("nothing", "--baseline", "main"), 3, "no finished run begins with nothing"),
        (("--self-test", "x", "--baseline", "main"), 2, "leave the candidate out"),
    ],
)
def test_what_is_wrong_is_one_line(mine, cli, monkeypatch, words, status, said):
    """Missing baselines and candidates are exit 3, wrong words exit 2, each with its remedy."""
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    found, _, err = cli("check", *words)
    assert found == status
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_damaged_baseline_is_named(mine, cli):
    """A record with a flipped byte is no baseline: exit 3, and the way out."""
    path = mine / "baselines/main.json"
    path.write_bytes(path.read_bytes().replace(b'"fd_digits"', b'"fd_digitz"', 1))
    status, _, err = cli("check", "--baseline", "main")
    assert status == 3
    assert "genbench baseline save" in err
    assert "damaged" in cli("baseline", "list")[1]


def test_baselines_are_not_overwritten(mine, cli):
    """Saving the same again changes nothing, another run under the name is refused,
    --force replaces it; names lead nowhere else.
    """
    assert cli("baseline", "save")[0] == 0
    cli(*RUN, "-o", "dim=0.1")
    assert cli("baseline", "save")[0] == 2
    assert cli("baseline", "save", "--force")[0] == 0
    assert cli("baseline", "save", "--name", "../other")[0] == 2
    assert "mine.py dim=0.1" in cli("baseline", "list")[1]


def test_a_run_is_extended(mine, cli):
    """Extending draws only what is new, gives the numbers of a run that was long from the start,
    and counts the look.
    """
    status, out, err = cli("extend", "--n", "1100", "--leaderboards", "none", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["plan"]["identity"]["n"], found["plan"]["looks"]) == (1100, 2)
    whole = json.loads(
        cli(*(word if word != "640" else "1100" for word in RUN), "--json", "--out", "other")[1]
    )
    assert whole["id"] == found["id"]
    assert [score["value"] for score in whole["scores"]] == [
        score["value"] for score in found["scores"]
    ]
    assert cli("extend", "--n", "900")[0] == 2


def test_extending_another_model_is_refused(mine, cli):
    """When the code has changed since, the run cannot be gone on with: exit 2,
    naming what differs.
    """
    (mine / "mine.py").write_text(MINE.replace("255 *", "254 *"))
    status, _, err = cli("extend", "--n", "900")
    assert status == 2
    assert "code" in err


def test_samples_are_planned(mine, cli):
    """`genbench plan` says how many samples a margin needs, from a run or from a stated scatter;
    nonsense is refused.
    """
    found = json.loads(cli("plan", "--metric", "fd_digits", "--margin", "2%", "--json")[1])
    assert found["needed"]["0.9"] == pytest.approx(found["needed"]["0.0"] / 10, abs=1)
    assert found["at_least"] == 640
    stated = json.loads(
        cli("plan", "--metric", "fid", "--margin", "2%", "--sd", "1%", "--at", "50000", "--json")[1]
    )
    assert stated["needed"]["0.0"] == pytest.approx(157_661, abs=2)  # ln 1.02 in place of 0.02
    assert cli("plan", "--metric", "fdd", "--margin", "2%")[0] == 2
    assert cli("plan", "--metric", "fd_digits", "--margin", "x")[0] == 2


def test_the_gate_is_tried_on_an_unchanged_model(mine, cli):
    """--self-test prints false alarms near 5 % and the smallest change, smaller with pairing."""
    found = json.loads(cli("check", "--self-test", "--baseline", "main", "--json")[1])["numbers"][0]
    assert 0 <= found["false_alarms"] < 0.1
    assert found["detectable"]["0.99"] < found["detectable"]["0.0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"marign": "5 %"}, "did you mean margin?"),
        ({"margin": "five"}, "margin = 'five'"),
        ({"margin": -0.1}, "a share from 0 up"),
        ({"alpha": 0.7}, "between 0 and 0.5"),
        ({"inconclusive": "maybe"}, "Known: fail, pass, warn"),
        ({"rule": {"metric": "fid"}}, "[[rule]]"),
        ({"rule": [{"margin": 0.1}]}, "rule 1 names no metric"),
        ({"rule": [{"metric": "fid", "levle": "warn"}]}, "rule 1: no key 'levle'"),
        (
            {
                "rule": [
                    {
                        "metric": "fid",
                        "accept": {"until": "2026-12-01", "reason": "x", "digest": "y"},
                    }
                ]
            },
            "without quotes",
        ),
        ({"cost": [{"metric": "images_per_second"}]}, "cost 1 names no tolerance"),
        ({"cost": [{"metric": "speed", "tolerance": 0.1}]}, "Known: "),
        ({"looks": 0}, "a whole number from 1 up"),
        ({"looks": True}, "a whole number from 1 up"),
    ],
)
def test_a_wrong_gate_is_one_line(content, said):
    """Each wrong key and value of gate.toml is refused, with what is allowed."""
    with pytest.raises(Wrong) as told:
        gate_of(content)
    assert said in str(told.value)


def test_a_gate_is_what_it_says():
    """Shares may be numbers or per cent; what is not said is the default."""
    found = gate_of(
        {
            "margin": "3 %",
            "rule": [{"metric": "fid", "margin": 0.02}],
            "cost": [{"metric": "parameters", "tolerance": "0 %"}],
        }
    )
    assert (found.margin, found.rules[0].margin, found.costs[0].tolerance, found.alpha) == (
        0.03,
        0.02,
        0.0,
        Gate().alpha,
    )


def test_a_forgotten_class_is_named(cli, here, monkeypatch):
    """A model that draws a 4 for every 9 is warned of for class 9 alone of the classes,
    by the kernel distance of each class.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    from genbench.generators.load import locate

    shipped = str(locate("dcgan").module.__file__).replace(
        "dcgan.py", "weights/ddpm-digits.safetensors"
    )
    tensors = load_file(shipped)
    tensors["embedding.weight"][9] = tensors["embedding.weight"][4]
    with safe_open(shipped, "pt") as file:
        save_file(tensors, "forgetful.safetensors", metadata=file.metadata())
    words = (
        "run",
        "--plugin",
        "ddpm",
        "-o",
        "steps=5",
        "--n",
        "640",
        "--metrics",
        "fd_digits,kd_digits",
        "--leaderboards",
        "none",
        "--quiet",
    )
    assert cli(*words)[0] == 0
    assert cli("baseline", "save")[0] == 0
    assert cli(*words, "--checkpoint", "forgetful.safetensors")[0] == 0
    found = json.loads(cli("check", "--baseline", "main", "--json", "--to", "none")[1])
    assert {one["part"] for one in found["rules"] if one["verdict"] == "FAIL"} == {"all", "class 9"}
    assert sum(one["part"].startswith("class ") for one in found["rules"]) == 10
    base = next(
        path.parent for path in here.glob("runs/*/run.json") if "forgetful" not in path.read_text()
    )
    monkeypatch.delenv("GENBENCH_QUIET", raising=False)  # what --quiet left in this process
    err = cli("check", "--baseline", base)[2]
    seeds = [int(word) for word in err.split("seeds ")[1].split(", ...")[0].split(", ")]
    assert [seed % 10 for seed in seeds] == [9] * 8  # the label of seed i is i mod 10
    assert (here / "check/worst.png").stat().st_size > 1000
    (block,) = json.loads(
        cli(
            "compare",
            base,
            *(path.parent for path in here.glob("runs/*/run.json") if path.parent != base),
            "--json",
        )[1]
    )["blocks"]
    shown = [row["class"] for row in block["class"] if row["better"]]
    assert shown == ["9"]  # compare takes the numbers of each class where the run's folder is
