"""Several runs in one command: `--plugin A --plugin B`, and a suite file."""

from __future__ import annotations

import json

import pytest

from genbench._util.errors import UserError
from genbench.cli.main import main
from genbench.runs.planning import suite as suites

SHORT = ["--n", "20", "--metrics", "kd_digits", "--leaderboards", "none"]


def suite(tmp_path, text):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return path


def test_a_suite_is_its_runs(tmp_path):
    path = suite(
        tmp_path,
        """
        dataset = "digits"
        n = 20
        metrics = "kd_digits"
        [[run]]
        plugin = ["vae", "ddpm"]
        [[run]]
        plugin = "ddpm"
        options = { steps = 3, eta = 0.5 }
        batch-size = 7
        dataset = ["digits", "digits-lt-ir50"]
        """,
    )
    common = {"n": 20, "metrics": ("kd_digits",)}
    own = {"plugin": "ddpm", "options": ("steps=3", "eta=0.5"), "batch_size": 7}
    assert suites.read(path) == [
        common | {"dataset": "digits", "plugin": "vae"},
        common | {"dataset": "digits", "plugin": "ddpm"},
        common | own | {"dataset": "digits"},
        common | own | {"dataset": "digits-lt-ir50"},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "cannot be read as TOML"),
        ("n = 3", r"has no runs: write \[\[run\]\]"),
        ("run = 3", "has no runs"),
        ("[[run]]\nn = 3", "run 1 names no plugin"),
        ("[[run]]\nplugin = 'vae'\nstep = 3", "has no key 'step'"),
        ("[[run]]\nplugin = 'vae'\nn = 3.5", "n = 3.5; wanted is a whole number"),
        ("[[run]]\nplugin = 'vae'\nn = true", "wanted is a whole number"),
        ("[[run]]\nplugin = 'vae'\noptions = 'steps=3'", "wanted is a table"),
        ("[[run]]\nplugin = []", "plugin = .*; wanted is a text or a list of texts"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_place(text, said, tmp_path):
    with pytest.raises(UserError, match=said):
        suites.read(suite(tmp_path, text))


def test_several_plugins_are_as_many_runs(tmp_path, capsys):
    out = ["--out", str(tmp_path / "runs")]
    assert main(["run", "--plugin", "vae", "--plugin", "dcgan", *SHORT, *out, "--json"]) == 0
    several = json.loads(capsys.readouterr().out)["runs"]
    assert main(["run", "--plugin", "dcgan", *SHORT, *out, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert [one["plan"]["label"] for one in several] == ["vae", "dcgan"]
    assert several[1] == alone
    assert main(["run", "--plugin", "vae", "--plugin", "dcgan", *SHORT, *out]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "· digits ·" in line] == [
        f"{name} · digits · protocol digits · 20 samples · ruler only" for name in ("vae", "dcgan")
    ]


def test_the_command_lines_words_go_before_the_suites(tmp_path, capsys):
    path = suite(
        tmp_path,
        "n = 30\nmetrics = 'kd_digits'\n[[run]]\nplugin = 'ddpm'\noptions = { steps = 2 }\n",
    )
    words = [
        "run",
        "--suite",
        str(path),
        "--leaderboards",
        "none",
        "--out",
        str(tmp_path / "runs"),
        "--json",
    ]
    for more, n in (((), 30), (("--n", "20"), 20)):
        assert main([*words, *more]) == 0
        found = json.loads(capsys.readouterr().out)["plan"]["identity"]
        assert (found["n"], found["options"]["steps"]) == (n, 2)


def test_one_of_several_that_fails_leaves_the_others(tmp_path, capsys):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import genbench\n\n@genbench.hookimpl\ndef sample(n, seeds):\n    raise ValueError('no')\n"
    )
    assert (
        main(
            [
                "run",
                "--plugin",
                str(broken),
                "--plugin",
                "vae",
                *SHORT,
                "--out",
                str(tmp_path / "runs"),
            ]
        )
        == 5
    )
    told = capsys.readouterr()
    assert "vae · digits" in told.out
    assert "1 of 2 runs failed: broken.py: broken: sample raised ValueError: no" in told.err


def test_everything_is_settled_before_anything_is_drawn(tmp_path, capsys):
    assert (
        main(["run", "--plugin", "vae", "--plugin", "vea", *SHORT, "--out", str(tmp_path / "runs")])
        == 2
    )
    assert "did you mean vae" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_needs_a_generator_or_a_suite(tmp_path, capsys):
    assert main(["run"]) == 2
    assert "which generator? --plugin NAME" in capsys.readouterr().err
    assert main(["run", "--plugin", "vae", "--suite", str(suite(tmp_path, "n = 1"))]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["run", "--suite", str(tmp_path / "none.toml")]) == 2
    assert "there is no such file" in capsys.readouterr().err
