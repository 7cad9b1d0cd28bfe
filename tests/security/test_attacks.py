"""Hostile and unlucky input that once got through: each ends in a line,
and no number changes in silence.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from genbench._util.hashing import code_sha256

HEAD = "import genbench\nimport torch\n\n"
GOOD = (
    "@genbench.hookimpl\n"
    "def sample(n, seeds):\n    return (genbench.uniform(seeds, (3, 8, 8)) * 255).to(torch.uint8)\n"
)
FEW = ("--n", "40", "--leaderboards", "none")
METRIC = (
    "from genbench.api import Metric\n{}\n"
    "ROW = Metric('mine', 'mine', ('samples',), 'lower', (0, 1), 'jackknife', value, 'nobody')\n"
)


def scores(out):
    return {score["metric"]: score for score in json.loads(out)["scores"]}


@pytest.mark.parametrize(
    "line",
    [
        "range = 1.0",
        "range = (1, 1)",
        "range = (0, float('inf'))",
        "classes = 'x'",
        "competitor = 'no'",
        "checkpoints = {'digits': 'x'}",
    ],
)
def test_an_attribute_of_another_kind_is_refused_with_what_is_wanted(line, cli, here):
    """An attribute that is not what the manual says ends in exit 2 and one line, not in a fault."""
    (here / "odd.py").write_text(f"{HEAD}{line}\n\n{GOOD}")
    status, out, err = cli("run", "--plugin", "odd.py", *FEW)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert f"attribute {line.split()[0]} is" in err


@pytest.mark.parametrize("cost", ["5", "{'parameters': 'many'}", "[1]"])
def test_a_cost_that_is_no_table_is_heard_before_the_first_sample(cost, cli, here):
    """A wrong answer of the cost hook ends in exit 5 before anything is drawn."""
    (here / "dear.py").write_text(
        f"{HEAD}{GOOD}\n\n@genbench.hookimpl\ndef cost():\n    return {cost}\n"
    )
    status, _, err = cli("run", "--plugin", "dear.py", *FEW)
    assert (status, "dear: cost returned" in err) == (5, True)
    assert not list(here.glob("runs/*/shards/*"))


@pytest.mark.parametrize("raised", ["GeneratorExit", "BaseException('x')", "SystemExit(0)"])
def test_no_exception_of_a_plugin_ends_the_run_unheard(raised, cli, here):
    """Whatever a plugin raises, the run ends in exit 5 with the plugin's name in front."""
    (here / "odd.py").write_text(f"{HEAD}@genbench.hookimpl\ndef sample(n):\n    raise {raised}\n")
    status, _, err = cli("run", "--plugin", "odd.py", *FEW)
    assert (status, err.splitlines()[-1].startswith("genbench: odd: sample ")) == (5, True)


def test_a_shard_copied_over_another_is_drawn_again(cli, here):
    """A whole and sealed shard file under another shard's name is not taken for it:
    the scores do not move.
    """
    words = ("run", "--plugin", "noise", *FEW, "--metrics", "fd", "--json")
    first = scores(cli(*words)[1])
    folder = next(here.glob("runs/*"))
    (folder / "run.json").unlink()
    for probe in ("images", "digits.pool"):
        shutil.copy(
            folder / "shards" / f"b00-00000-002.{probe}.safetensors",
            folder / "shards" / f"b01-00000-002.{probe}.safetensors",
        )
    status, out, _ = cli(*words)
    assert (status, scores(out)) == (0, first)


def test_a_metric_cannot_change_what_the_others_see(cli, here):
    """A metric that writes into its arrays fails, and the other numbers are what they were."""
    (here / "writes.py").write_text(
        METRIC.format("def value(arrays):\n    arrays['samples'][:] = 0\n    return 0.0\n")
    )
    alone = scores(cli("run", "--plugin", "noise", *FEW, "--metrics", "fd", "--json")[1])
    status, out, _ = cli(
        "run",
        "--plugin",
        "noise",
        *FEW,
        "--metrics",
        "mine,fd",
        "--with",
        "writes.py",
        "--json",
        "--out",
        "other",
    )
    assert (status, scores(out)["mine_digits"]["status"], scores(out)["fd_digits"]["value"]) == (
        5,
        "failed",
        alone["fd_digits"]["value"],
    )


def test_a_metric_that_exits_or_prints_breaks_neither_status_nor_json(cli, here):
    """sys.exit(0) in a metric is a failed metric with exit 5;
    what it and its file print goes to standard error.
    """
    (here / "exits.py").write_text(
        "print('hello')\n"
        + METRIC.format("import sys\n\ndef value(arrays):\n    print('hello')\n    sys.exit(0)\n")
    )
    status, out, err = cli(
        "run", "--plugin", "noise", *FEW, "--metrics", "mine,fd", "--with", "exits.py", "--json"
    )
    assert (status, scores(out)["mine_digits"]["status"]) == (5, "failed")
    assert err.count("hello") >= 2
    status, out, _ = cli("run", "--plugin", "noise", *FEW, "--metrics", "fd", "--json")
    assert (status, list(scores(out))) == (0, ["fd_digits"])  # what failed once does not stay


def test_a_metric_that_is_nan_on_real_images_keeps_its_number_without_that_line(cli, here):
    """A metric that is NaN on the reals has its value and no real line,
    and the other metrics keep theirs.
    """
    (here / "picky.py").write_text(
        METRIC.format(
            "def value(arrays):\n    return float('nan') if abs(arrays['samples'].mean()) < 0.2 "
            "else float(arrays['samples'].std())\n"
        )
    )
    status, out, _ = cli(
        "run", "--plugin", "noise", *FEW, "--metrics", "mine,fd", "--with", "picky.py", "--json"
    )
    found = scores(out)
    assert (status, found["mine_digits"]["real"], found["fd_digits"]["real"] is not None) == (
        0,
        None,
        True,
    )


def test_a_run_of_one_metric_does_not_displace_a_full_entry(cli, here):
    """Measuring one metric again, in another folder of runs,
    leaves the entry with all of them as it is.
    """
    cli("run", "--plugin", "noise", "--n", "40", "--metrics", "fd,kd")
    entry = next(here.glob("leaderboards/digits/entries/*.json"))
    before = entry.read_bytes()
    assert cli("run", "--plugin", "noise", "--n", "40", "--metrics", "kd", "--out", "other")[0] == 0
    assert entry.read_bytes() == before


WRONG = [
    (("--plugin", "noise", "--labels", "Balanced"), "--labels Balanced: did you mean balanced?"),
    (("--plugin", "noise", "--metrics", " "), "--metrics names nothing"),
    (("--plugin", "noise", "--seeds", "0-" + "9" * 5000), "write FIRST-LAST"),
    (("--plugin", "noise", "--seeds", "0-39", "--seed", "7"), "give one of them"),
    (("--plugin", "ddpm", "-o", "steps=9999", "--dry-run"), "steps=1 to 250"),
    (("--plugin", "noise", "--out", "x" * 5000), "File name too long"),
    (("--plugin", "x" * 5000 + ".py"), "File name too long"),
]


@pytest.mark.parametrize(
    ("words", "line"), WRONG, ids=lambda v: " ".join(v)[:40] if isinstance(v, tuple) else ""
)
def test_words_that_once_were_swallowed_or_faulted_end_in_one_line(words, line, cli, here):
    """Exit 2 and one line for what was taken in silence, or ended as a fault of genbench."""
    status, out, err = cli("run", *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert line in err


@pytest.mark.parametrize("harm", ["folder", "deep", "other"])
def test_a_record_replaced_by_something_else_is_made_again(harm, cli, here):
    """A folder, endless brackets or another object in place of plan.json never ends in a fault."""
    words = ("run", "--plugin", "noise", *FEW, "--metrics", "fd")
    cli(*words)
    path = next(here.glob("runs/*/plan.json"))
    next(here.glob("runs/*/run.json")).unlink()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    else:
        path.write_text("[" * 100_000 if harm == "deep" else '{"x": 1}')
    status, _, err = cli(*words)
    assert "fault of genbench" not in err
    assert status == (5 if harm == "folder" else 0)  # a folder in the way is not removed


def test_a_terminal_that_knows_ascii_alone_gets_an_answer(cli, here):
    """PYTHONIOENCODING=ascii, a closed standard error and a closed standard output do
    not stop a run.
    """
    words = [sys.executable, "-m", "genbench", "run", "--plugin", "noise", *FEW, "--metrics", "fd"]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, "fd_digits" in done.stdout) == (0, True)
    shell = " ".join(words)
    # the words are ours
    assert (
        subprocess.run(  # noqa: S602
            f"{shell} --fresh 2>&-", shell=True, capture_output=True, check=False
        ).returncode
        == 0
    )
    assert (
        subprocess.run(  # noqa: S602
            f"{shell} --fresh >&-", shell=True, capture_output=True, check=False
        ).returncode
        == 0
    )
    assert len(list(here.glob("runs/*/run.json"))) == 1


def test_the_code_hash_is_the_same_under_every_python():
    """A fixed source has a fixed hash: ids of runs and entries do not depend on the
    Python version.
    """
    source = (
        '"""Doc."""\n\n\ndef f(x, *, y: int = 3) -> int:\n'
        '    """Doc."""\n    return [x for x in range(y)][0]  # why\n'
    )
    assert code_sha256(source) == "c22879de2b54b9c3bf466eaaf0ae655b58143a18192ee7261666073d9e5dd66a"


PAIR_HOOKS = (
    "\n\n@genbench.hookimpl\ndef latents(seeds):\n    return genbench.noise(seeds, (3,))\n\n\n"
    "@genbench.hookimpl\ndef synthesize(latents):\n    {}\n"
)
RENDERED = "return torch.tanh(latents)[:, :, None, None].expand(-1, 3, 8, 8)"
SYNTHESIZED = {
    "return torch.full((len(latents), 3, 8, 8), float('nan'))": (
        "synthesize returned NaN or infinite values"
    ),
    "return torch.zeros(4, 4)": (
        "synthesize returned torch.float32 (4, 4); return float [n, 3, H, W]"
    ),
    "return torch.zeros(len(latents), 3, 8, 8, dtype=torch.uint8)": (
        "synthesize returned torch.uint8 (2, 3, 8, 8); return float [n, 3, H, W]"
    ),
    "return torch.zeros(len(latents) + 1, 3, 8, 8)": (
        "synthesize returned [3, 3, 8, 8] for 2 latents"
    ),
    "return None": "synthesize returned NoneType; return float [n, 3, H, W]",
    "raise KeyError('a')": "synthesize raised KeyError: 'a'",
}


@pytest.mark.parametrize(("body", "line"), SYNTHESIZED.items(), ids=range(len(SYNTHESIZED)))
def test_a_wrong_rendering_of_latents_ends_in_its_line(body, line, cli, here):
    """What synthesize may not return ends in exit 5, the generator's name and what came,
    before a path length is taken of it.
    """
    (here / "turns.py").write_text(HEAD + GOOD + PAIR_HOOKS.format(body))
    status, out, err = cli("run", "--plugin", "turns.py", *FEW, "--metrics", "path_length")
    assert (status, out) == (5, "")
    assert err.splitlines()[-1].startswith(f"genbench: turns: {line}")


WIDE = (
    "import torch\n"
    "from genbench.api import Extractor, Measure, Pairs, Protocol\n\ndef load(device):\n"
    "    return lambda images: {'w': "
    "torch.nn.functional.adaptive_avg_pool2d(images.to(torch.float32) / 64, 2).flatten(1)}\n\n"
    "WIDE = Extractor('wide', 'wide', {'w': 0}, 32, 'none', None, 'nothing', load)\n"
    "P = Protocol('three', 't', 'digits', 40, 'balanced', 'round', (Measure('fd', 'digits.pool', "
    "'heldout'), Measure('diversity', 'wide.w'),\n"
    "             Measure('path_length', 'digits.pool', pairs=Pairs())), real=('heldout',))\n"
)


def test_damage_to_every_kind_of_probe_is_named_and_changes_no_number(cli, here):
    """Rows, sums, latent pairs and images: one shard file of each cut short,
    altered or emptied is named and done again, to the same record.
    """
    (here / "wide.py").write_text(WIDE)
    (here / "turns.py").write_text(HEAD + GOOD + PAIR_HOOKS.format(RENDERED))
    words = (
        "run",
        "--plugin",
        "turns.py",
        *FEW,
        "--protocol",
        "three",
        "--with",
        "wide.py",
        "--json",
    )
    first = scores(cli(*words)[1])
    assert {one["status"] for one in first.values()} == {"ok"}
    harms = [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 64]),
        lambda whole: b"",
    ]
    for block, harm in enumerate(harms):
        harmed = sorted(here.glob(f"runs/*/shards/b{block:02d}-*"))
        assert [path.name.partition(".")[2].partition("-")[0] for path in harmed] == [
            "digits.pool.pairs", "digits.pool.safetensors", "images.safetensors",
            "wide.w.sums.safetensors",
        ]  # fmt: skip
        for path in harmed:
            path.write_bytes(harm(path.read_bytes()))
        next(here.glob("runs/*/run.json")).unlink()
        status, out, err = cli(*words)
        assert (status, scores(out)) == (0, first)
        assert all(path.name in err for path in harmed), err


OWN_VALUES = {
    "return float('nan')": (0, "undefined"),
    "return float('inf')": (0, "undefined"),
    "return 'five'": (5, "failed"),
    "return None": (5, "failed"),
    "return arrays['samples'][0]": (5, "failed"),
    "raise RuntimeError('two\\nlines')": (5, "failed"),
    "return value(arrays)": (5, "failed"),
}


@pytest.mark.parametrize(("body", "wanted"), OWN_VALUES.items(), ids=range(len(OWN_VALUES)))
def test_what_is_no_number_is_none(body, wanted, cli, here):
    """A metric that returns no number has a status and a reason of one line in its place,
    and the other metrics keep theirs.
    """
    (here / "odd.py").write_text(METRIC.format(f"def value(arrays):\n    {body}\n"))
    status, out, err = cli(
        "run", "--plugin", "noise", *FEW, "--metrics", "mine,fd", "--with", "odd.py", "--json"
    )
    found = scores(out)
    assert (status, found["mine_digits"]["status"], found["fd_digits"]["status"]) == (*wanted, "ok")
    assert found["mine_digits"]["value"] is None
    assert found["mine_digits"]["reason"]
    assert "\n" not in found["mine_digits"]["reason"]
    assert "Traceback" not in err


@pytest.mark.parametrize("returned", ["numpy.zeros(3)", "numpy.zeros(50)", "1.0", "None"])
def test_left_out_of_another_length_gives_no_interval(returned, cli, here):
    """left_out that has not one value for each block fails the metric:
    no interval is made of it.
    """
    body = (
        "import numpy\n\ndef value(arrays):\n"
        f"    return 0.5\n\ndef left_out(arrays, blocks, side):\n    return {returned}\n"
    )
    (here / "odd.py").write_text(
        METRIC.format(body).replace("'nobody')", "'nobody', left_out=left_out)")
    )
    status, out, _ = cli(
        "run", "--plugin", "noise", *FEW, "--metrics", "mine", "--with", "odd.py", "--json"
    )
    one = scores(out)["mine_digits"]
    assert (status, one["status"], one["value"], one["low"]) == (5, "failed", None, None)


def test_weights_with_code_in_them_execute_nothing(cli, here):
    """A pickle that runs a command, named as weights, ends in exit 2 and one line,
    and the command did not run.
    """
    import pickle

    class Command:
        def __reduce__(self):
            return os.mkdir, ("executed",)

    (here / "code.pth").write_bytes(pickle.dumps({"fc.weight": Command()}, protocol=2))
    status, out, err = cli(
        "run", "--plugin", "noise", *FEW, "--metrics", "fid", "--weights", "inception=code.pth"
    )
    assert (
        status,
        out,
        len([line for line in err.splitlines() if line.startswith("genbench: ")]),
    ) == (2, "", 1)
    assert "nothing in it was executed" in err
    assert not (here / "executed").exists()
