"""`genbench sweep`: every combination once, each the run that `genbench run` would make,
on one board with its picture.
"""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from genbench._util.errors import UserError
from genbench.cli.main import main
from genbench.experiments import option_grid
from genbench.leaderboards import entries, tradeoff_plots

WORDS = [
    "sweep",
    "--plugin",
    "ddpm",
    "-o",
    "steps=1,3",
    "-o",
    "eta=0,1",
    "--n",
    "40",
    "--metrics",
    "fd_digits,precision_digits,recall_digits",
]
FAILS = """
import torch, genbench

class Broken:
    def __init__(self, side: int = 8) -> None:
        self.side = side

    @genbench.hookimpl
    def sample(self, n, seeds):
        if self.side == 16:
            raise ValueError("sixteen")
        return (genbench.uniform(seeds, (3, self.side, self.side)) * 255).to(torch.uint8)
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    top = tmp_path_factory.mktemp("sweep")
    return ["--out", str(top / "runs"), "--leaderboards", str(top / "sweeps")], top


def test_the_grid_has_every_combination_in_order():
    values, points = option_grid.grid(["a=1,2", "b=x", "a=3"])
    assert values == {"a": ["1", "2", "3"], "b": ["x"]}
    assert points == [("a=1", "b=x"), ("a=2", "b=x"), ("a=3", "b=x")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "write it as name=value,value"),
        (["a=1,,2"], "write it as name=value,value"),
        (["a=1,1"], "names a value twice"),
        (["a=1"], "at least two values"),
        (
            ["a=" + ",".join(map(str, range(15))), "b=" + ",".join(map(str, range(14)))],
            "210 combinations are more than 200",
        ),
    ],
)
def test_a_grid_that_cannot_be_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        option_grid.grid(words)


def test_four_points_one_board_one_picture_and_again_nothing_is_drawn(places, capsys):
    words, top = places
    assert main([*WORDS, *words, "--json"]) == 0
    (board, rows), *others = json.loads(capsys.readouterr().out).items()
    assert (board, others) == ("digits", [])
    assert {row["generator"] for row in rows} == {
        "ddpm steps=1",
        "ddpm steps=1 eta=1.0",
        "ddpm steps=3",
        "ddpm steps=3 eta=1.0",
    }
    picture = Image.open(io.BytesIO((top / "sweeps/digits/tradeoff.png").read_bytes()))
    assert min(picture.size) > 300
    runs = sorted(path.name for path in (top / "runs").iterdir())
    assert len(runs) == 4
    assert main([*WORDS, *words]) == 0
    assert capsys.readouterr().err.count("is finished") == 4
    assert sorted(path.name for path in (top / "runs").iterdir()) == runs


def test_a_point_is_the_run_of_its_options(places, capsys):
    words, top = places
    main([*WORDS, *words, "--json"])
    swept = {row["generator"]: row for row in json.loads(capsys.readouterr().out)["digits"]}
    alone = [
        "run",
        "--plugin",
        "ddpm",
        "-o",
        "steps=3",
        "--n",
        "40",
        "--metrics",
        "fd_digits",
        "--json",
        "--leaderboards",
        "none",
    ]
    assert main([*alone, "--out", str(top / "alone")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["id"] == swept["ddpm steps=3"]["run"]
    assert found["scores"][0]["value"] == swept["ddpm steps=3"]["fd_digits"]


def test_what_is_shown_against_what(places):
    words, top = places
    main([*WORDS, *words, "--quiet"])
    found = entries.entries(top / "sweeps/digits")
    assert tradeoff_plots.pairs_of(found) == [
        ("recall_digits", "fd_digits"),
        ("recall_digits", "precision_digits"),
        (tradeoff_plots.COST, "fd_digits"),
    ]
    lines = tradeoff_plots._lines(found, ["steps", "eta"])
    assert {
        name: [entry.record.plan["identity"]["options"]["steps"] for entry in line]
        for name, line in lines.items()
    } == {
        "eta=0.0": [1, 3],
        "eta=1.0": [1, 3],
    }


def test_a_point_that_fails_is_named_and_the_others_stand(tmp_path, capsys):
    file = tmp_path / "broken.py"
    file.write_text(FAILS)
    words = [
        "--n",
        "20",
        "--metrics",
        "kd_digits",
        "--out",
        str(tmp_path / "runs"),
        "--leaderboards",
        str(tmp_path / "sweeps"),
    ]
    assert main(["sweep", "--plugin", str(file), "-o", "side=8,16,32", *words]) == 5
    told = capsys.readouterr()
    assert (
        "1 of 3 points failed: broken.py side=16: broken: sample raised ValueError: sixteen"
        in told.err
    )
    assert "broken.py side=32" in told.out
    assert "side=16" not in told.out


def test_a_wrong_point_is_heard_before_anything_is_drawn(tmp_path, capsys):
    assert (
        main(
            [
                "sweep",
                "--plugin",
                "ddpm",
                "-o",
                "steps=5,many",
                "--out",
                str(tmp_path / "runs"),
                "--leaderboards",
                str(tmp_path / "sweeps"),
            ]
        )
        == 2
    )
    assert "-o steps=many" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))


SAYS = """
import torch, genbench

class Says:
    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    @genbench.hookimpl
    def sample(self, n, seeds, prompts):
        levels = torch.tensor([len(prompt) + self.shift for prompt in prompts], dtype=torch.uint8)
        return levels[:, None, None, None].expand(n, 3, 8, 8).contiguous()
"""


def test_a_sweep_takes_prompts_as_a_run_does(places, tmp_path, capsys):
    """From a file with its column, and class names in a template;
    every point is the run of the same words.
    """
    words, top = places
    (tmp_path / "says.py").write_text(SAYS)
    (tmp_path / "asked.csv").write_text("text\nred\nyellow\n")
    common = ["-p", str(tmp_path / "says.py"), "--n", "40", "--metrics", "kd_digits", *words]
    for own in (
        ["--prompts", str(tmp_path / "asked.csv"), "--prompt-column", "text"],
        ["--template", "the digit {class}"],
    ):
        before = {path.parent for path in (top / "runs").glob("*/run.json")}
        assert main(["sweep", *common, *own, "-o", "shift=0,9"]) == 0, capsys.readouterr().err
        plans = [
            json.loads((path.parent / "plan.json").read_text())
            for path in (top / "runs").glob("*/run.json")
            if path.parent not in before
        ]
        asked = [plan["identity"]["conditions"]["prompts"] for plan in plans]
        assert len(plans) == 2
        assert asked[0] == asked[1]
        assert asked[0].get("template", "the digit {class}") == "the digit {class}"
        assert asked[0]["count"] == (2 if "--prompts" in own else 10)
        capsys.readouterr()
        assert main(["run", *common, *own, "-o", "shift=9"]) == 0
        assert "is finished" in capsys.readouterr().err
