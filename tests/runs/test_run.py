"""`genbench run` as its user sees it: records, tables, boards, options,
and what bad words end in.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LEAST = (
    "import torch, genbench\n\n@genbench.hookimpl\n"
    "def sample(n):\n    return torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8)\n"
)
FEW = ("--n", "60", "--metrics", "fd,precision")
KEYS = {
    "protocol",
    "metric",
    "part",
    "value",
    "se",
    "se_reference",
    "low",
    "high",
    "method",
    "n",
    "real",
    "real_high",
    "flags",
    "left_out",
    "status",
    "reason",
}


@pytest.fixture
def least(here):
    (here / "file.py").write_text(LEAST)
    return "file.py"


def run(cli, *words):
    """The record that --json prints."""
    status, out, err = cli("run", *words, "--json")
    assert status == 0, err
    return json.loads(out)


def test_the_five_line_plugin_gets_a_record(least, cli, here):
    """The least plugin of the manual runs under the whole protocol:
    every number has an interval and real data beside it, or a reason why not.
    """
    found = run(cli, "--plugin", least)
    assert (found["id"], found["plan"]["identity"]["n"], found["plan"]["seeding"]) == (
        found["id"],
        870,
        "per call",
    )
    for score in found["scores"]:
        assert set(score) >= KEYS
        if score["status"] == "ok":
            assert score["low"] <= score["value"] <= score["high"]
            assert (len(score["left_out"]), score["real"] is not None) == (20, True)
        else:
            assert (score["metric"], score["status"], score["reason"]) == (
                "label_accuracy_digits",
                "skipped",
                "file takes no labels",
            )
    assert (
        json.loads((here / "runs" / found["id"] / "run.json").read_text())["scores"]
        == found["scores"]
    )
    assert {p.name for p in (here / "leaderboards" / "digits").iterdir()} >= {
        "entries",
        "table.csv",
        "README.md",
    }


def test_the_same_command_again_prints_the_same_at_once(cli, here):
    """A finished run is printed again without drawing, and nothing on disk changes."""
    first = cli("run", "--plugin", "noise", *FEW)
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    status, out, err = cli("run", "--plugin", "noise", *FEW)
    assert (status, out) == (0, first[1])
    assert "is finished" in err
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before


def test_fresh_does_the_run_again_with_the_same_numbers(cli, here):
    """--fresh draws again, and the scores are equal to the last digit."""
    first = run(cli, "--plugin", "noise", *FEW)
    again = run(cli, "--plugin", "noise", *FEW, "--fresh")
    assert again["cost"]["seconds"]["sample"] > 0
    assert again["scores"] == first["scores"]


def test_more_metrics_go_on_in_the_same_folder(cli, here):
    """Asking a finished run for another metric draws nothing and adds its score to the record."""
    first = run(cli, "--plugin", "noise", *FEW)
    again = run(cli, "--plugin", "noise", "--n", "60", "--metrics", "kd")
    assert (again["id"], [s["metric"] for s in again["scores"]]) == (
        first["id"],
        ["kd_digits", "fd_digits", "precision_digits"],
    )
    assert "sample" not in again["cost"]["seconds"]
    assert [m["name"] for m in again["plan"]["protocols"]["digits"]["measures"]] == [
        "kd_digits",
        "fd_digits",
        "precision_digits",
    ]


def test_a_shorter_run_is_the_beginning_of_a_longer_one(cli, here):
    """Sample i is the same image for any n: the first 40 of 60 are the 40."""
    from safetensors.numpy import load_file

    def images(n):
        found = run(cli, "--plugin", "noise", "--n", str(n), "--metrics", "fd")
        return {
            p.name[:3]: load_file(p)["images"]
            for p in (here / "runs" / found["id"] / "shards").glob("*.images.*")
        }

    short, longer = images(40), images(60)
    assert all((longer[block][: len(short[block])] == short[block]).all() for block in short)


def test_dry_run_prints_the_plan_and_draws_nothing(cli, here):
    """--dry-run resolves everything, prints it, and leaves no run folder and no board."""
    status, out, _ = cli("run", "--plugin", "noise", "--dry-run")
    assert (status, list(here.iterdir())) == (0, [])
    assert "870" in out
    assert "fd_digits" in out


def test_quiet_says_nothing_on_standard_error(cli, here):
    """--quiet leaves standard error empty and the answer whole."""
    status, out, err = cli("run", "--plugin", "noise", *FEW, "--quiet")
    assert (status, err) == (0, "")
    assert "fd_digits" in out


def test_n_too_small_skips_that_metric_with_its_reason(cli, here):
    """A metric that needs more samples than the run has is skipped with the number it needs;
    the others are measured.
    """
    found = run(cli, "--plugin", "noise", "--n", "5", "--metrics", "fd,precision")
    assert {s["metric"]: s["status"] for s in found["scores"]} == {
        "fd_digits": "ok",
        "precision_digits": "skipped",
    }
    assert "needs at least" in next(
        s["reason"] for s in found["scores"] if s["status"] == "skipped"
    )


def test_one_sample_has_no_interval(cli, here):
    """With one sample nothing has an interval, so nothing has a value."""
    found = run(cli, "--plugin", "noise", "--n", "1")
    assert {s["status"] for s in found["scores"]} == {"skipped"}
    assert all(s["value"] is None and s["reason"] for s in found["scores"])


def test_a_plugin_that_fails_late_keeps_its_finished_shards(here, cli):
    """A plugin that raises in its sixth call ends in exit 5;
    mended by the same words, the run goes on from the finished shards.
    """
    (here / "late.py").write_text(
        "import pathlib\n"
        "import genbench\nimport torch\n\n\n@genbench.hookimpl\ndef sample(n, indices):\n"
        "    assert indices.min() != 5 or pathlib.Path('mended').exists(), 'out of luck'\n"
        "    return indices.to(torch.uint8)[:, None, None, None].expand(n, 3, 8, 8)\n"
    )
    words = ("run", "--plugin", "late.py", "--n", "40", "--metrics", "fd", "--leaderboards", "none")
    status, out, err = cli(*words)
    assert (status, out) == (5, "")
    assert "late: sample raised AssertionError: out of luck" in err
    assert len(list(here.glob("runs/*/shards/*.images.*"))) == 5
    (here / "mended").touch()
    status, out, _ = cli(*words, "--json")
    assert (status, json.loads(out)["cost"]["images_drawn"]) == (0, 30)


def test_prints_of_a_plugin_never_reach_standard_output(here, cli):
    """What a plugin prints goes to standard error, so that --json stays one object."""
    words = (
        "    print('hello from the plugin')\n    import os; os.write(1, b'from below')\n    return"
    )
    (here / "chatty.py").write_text(LEAST.replace("    return", words))
    status, out, err = cli("run", "--plugin", "chatty.py", *FEW, "--json")
    assert (status, json.loads(out)["plan"]["label"]) == (0, "chatty.py")
    assert "hello from the plugin" in err
    assert "from below" in err


def test_a_metric_that_fails_leaves_the_others_and_exit_5(here, cli):
    """A stranger's metric that raises is recorded as failed with its reason, the others are kept,
    no board is entered, exit 5.
    """
    (here / "bad.py").write_text(
        "from genbench.api import Metric\n\n\n"
        "def value(arrays):\n    raise ArithmeticError('no luck')\n\n\n"
        "BAD = Metric('bad', 'raises', ('samples',), 'lower', (0, 1), 'jackknife', value, "
        "'nobody 2026')\n"
    )
    status, out, _ = cli(
        "run", "--plugin", "noise", "--n", "60", "--metrics", "fd,bad", "--with", "bad.py", "--json"
    )
    scores = {s["metric"]: s for s in json.loads(out)["scores"]}
    assert (status, scores["bad_digits"]["status"], scores["fd_digits"]["status"]) == (
        5,
        "failed",
        "ok",
    )
    assert "ArithmeticError: no luck" in scores["bad_digits"]["reason"]
    assert not list(here.glob("leaderboards/*/entries/*"))


WRONG = [
    (("--plugin", "ddmp"), "unknown generator 'ddmp': did you mean ddpm?"),
    (("--plugin", "nothing.py"), "--plugin nothing.py: there is no such file"),
    (("--plugin", "noise", "--dataset", "digit"), "unknown dataset 'digit': did you mean digits?"),
    (
        ("--plugin", "noise", "--protocol", "digts"),
        "unknown protocol 'digts': did you mean digits?",
    ),
    (("--plugin", "noise", "--metrics", "fdd"), "unknown metric 'fdd': did you mean fd"),
    (("--plugin", "noise", "--n", "0"), "0 samples: a run has 1 to 1048576"),
    (("--plugin", "noise", "--seed", "4096"), "--seed 4096: 0 to 4095"),
    (("--plugin", "noise", "--seeds", "9-2"), "--seeds 9-2: write FIRST-LAST"),
    (("--plugin", "noise", "--batch-size", "0"), "--batch-size 0: at least 1"),
    (("--plugin", "noise", "-o", "x=1"), "noise has no option 'x': There is none"),
    (("--plugin", "ddpm", "-o", "steps=many"), "-o steps=many: wanted is int"),
    (("--plugin", "ddpm", "-o", "step=3"), "ddpm has no option 'step': did you mean steps?"),
    (("--plugin", "noise", "--checkpoint", "no.safetensors"), "noise takes no checkpoint"),
    (
        ("--plugin", "ddpm", "--checkpoint", "no.safetensors"),
        "--checkpoint no.safetensors: there is no such file",
    ),
    (("--plugin", "real", "--n", "880"), "at most --n 870"),
    (("--plugin", "ddpm", "--labels", "balance"), "--labels balance: did you mean balanced?"),
    (("--plugin", "noise", "--with", "none.py"), "--with none.py: there is no such file"),
    (("--plugin", "noise", "--device", "gpu"), "--device gpu: auto, cpu, cuda or cuda:N"),
    (("--plugin", "noise", "--n", "many"), "Invalid value for '--n'"),
]


@pytest.mark.parametrize(
    ("words", "line"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_wrong_words_end_in_one_line(words, line, cli, here):
    """What the user got wrong ends in exit 2 and one line with what is allowed;
    standard output stays empty.
    """
    status, out, err = cli("run", *words)
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    assert line in err


@pytest.mark.parametrize("option", ["--out", "--leaderboards"])
def test_a_folder_that_is_a_file_ends_in_one_line_before_anything_is_drawn(option, cli, here):
    """--out or --leaderboards naming a file: exit 2, the path in the line, the file untouched."""
    (here / "taken").write_text("mine")
    status, out, err = cli("run", "--plugin", "noise", *FEW, option, "taken")
    assert (status, out, (here / "taken").read_text()) == (2, "", "mine")
    assert f"{option} taken cannot be written: it is a file" in err
    assert not list(here.glob("runs/*/shards/*"))


def test_a_full_disk_ends_in_exit_5_with_what_was_finished(cli, here):
    """When no more bytes can be written (a file size limit stands in for the disk):
    exit 5, the path, no torn file; the same command then goes on.
    """
    words = ["run", "--plugin", "noise", "--n", "100", "--metrics", "fd", "--leaderboards", "none"]
    full = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from genbench.cli.main import main; sys.exit(main())"
    )
    # 5 images take 15 kB, samples.png more than 20
    done = subprocess.run(
        [sys.executable, "-c", full, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "could not write" in done.stderr
    assert not list(here.rglob("*.tmp"))
    assert len(list(here.glob("runs/*/shards/*"))) == 40
    status, _, err = cli(*words)
    assert status == 0, err


def test_unconditional_and_conditional_runs_say_so(cli, here):
    """The record says what the samples were asked for: labels for real, nothing for noise."""
    assert run(cli, "--plugin", "noise", *FEW)["plan"]["identity"]["conditions"] == {}
    assert run(cli, "--plugin", "real", *FEW)["plan"]["identity"]["conditions"] == {
        "labels": "balanced",
        "classes": 10,
    }


def test_show_prints_a_run_by_the_beginning_of_its_id(cli, here):
    """`genbench show` prints the newest run, or the one named by an id's beginning,
    a folder or an entry file.
    """
    found = run(cli, "--plugin", "noise", *FEW)
    entry = next(iter(here.glob("leaderboards/digits/entries/*.json")))
    for word in ([], [found["id"][:6]], [f"runs/{found['id']}"], [str(entry)]):
        status, out, _ = cli("show", *word, "--json")
        assert (status, json.loads(out)["id"]) == (0, found["id"])
    assert cli("show", "zzz")[0] == 2


def test_a_cache_that_cannot_be_written_costs_time_only(cli, here, monkeypatch):
    """With a cache folder that is no folder the run says so and gives the same numbers."""
    words = ("--plugin", "noise", "--n", "40", "--metrics", "fd")
    first = run(cli, *words)
    monkeypatch.setenv("GENBENCH_HOME", "/dev/null/none")
    status, out, err = cli("run", *words, "--fresh", "--json")
    assert (status, json.loads(out)["scores"]) == (0, first["scores"])
    assert "cache:" in err
