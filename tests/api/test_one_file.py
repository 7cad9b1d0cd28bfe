"""To add a row of any kind, a generator, a command, an engine or a section of the report one adds
exactly one file: it is found, listed and used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers.places import ROOT

from genbench.api.metric import PROPERTIES

METRIC = """
from genbench.api import Metric

def spread(arrays):
    return float(arrays["samples"].std())

ROW = Metric(
    name="spread", title="a new number", needs=("samples",), better="higher", range=(0.0, 1e9), interval="jackknife", value=spread, paper="none",
    properties=frozenset({"order_invariant"}),
)
"""  # noqa: E501
WRONG_METRIC = METRIC.replace('"spread"', '"boaster"').replace(
    '{"order_invariant"}', '{"order_invariant", "scale_invariant"}'
)
EXTRACTOR = """
from genbench.api import torch
from genbench.api import Extractor

def load(device):
    def extract(images):
        grey = images.float().mean(1, keepdim=True)
        pool = torch.nn.functional.adaptive_avg_pool2d(grey, 2).flatten(1) / 255
        return {"pool": pool, "logits": torch.stack([pool[:, :2].mean(1), pool[:, 2:].mean(1)], 1)}
    return extract

ROW = Extractor(
    name="quarters", title="a new extractor", outputs={"pool": 4, "logits": 2}, size=8, resize="none",
    weights=None, trained_on="nothing", load=load,
)
"""  # noqa: E501
DATASET = """
from genbench.api import torch
from genbench.api import Dataset, Measure, Protocol

def open_halves(split):
    labels = torch.arange(60) % 2
    images = torch.randint(100, (60, 3, 8, 8), generator=torch.Generator().manual_seed(len(split)))
    images[labels == 0, :, :4] += 150
    images[labels == 1, :, 4:] += 150
    yield images.to(torch.uint8), labels

ROW = Dataset(
    name="halves", title="a new data set", classes=("upper", "lower"), resolution=8, splits={"train": 60, "heldout": 60}, open=open_halves,
    preparation="none", source="drawn here", licence="CC0", recogniser="quarters.logits", protocol="halves",
)
USUAL = Protocol(
    name="halves", title="the new data set's own protocol", dataset="halves", n=40, labels="balanced", quantise="round", real=("train", "heldout"),
    measures=(Measure("fd", "quarters.pool", "heldout"), Measure("label_accuracy", "quarters.logits"), Measure("spread", "quarters.pool")),
)
"""  # noqa: E501
PROTOCOL = """
from genbench.api import Measure, Protocol

ROW = Protocol(
    name="halves-few", title="a new protocol", dataset="halves", n=40, labels="balanced", quantise="round", real=("train", "heldout"),
    measures=(Measure("kd", "quarters.pool", "heldout"),),
)
"""  # noqa: E501
GENERATOR = """
import torch, genbench

@genbench.hookimpl
def sample(n, seeds, labels):
    images = (genbench.uniform(seeds, (3, 8, 8)) * 100).to(torch.uint8)
    for image, label in zip(images, labels):
        image[:, 4 * label : 4 * label + 4] += 150
    return images
"""
COMMAND = """
import click

@click.command()
def command():
    "Say where genbench lies."
    import genbench
    from genbench._util.console import answer
    answer(genbench.__file__)
"""
SECTION = """
from genbench.api import Section

def render(report):
    return report.html("<p>{{ words }} of {{ runs|length }} run</p>", words="a new <section>")

ROW = Section("novel", "Novel", 35, render)
"""
ENGINE = """
from concurrent.futures import ThreadPoolExecutor
from genbench.api import Engine
from genbench._util.console import complain

def start(wanted):
    complain(f"{wanted.pieces} pieces")
    return ThreadPoolExecutor(1)

ROW = Engine(name="thread", title="a thread of this process", start=start, workers=lambda wanted: 1)
"""
ADDED = {
    "genbench/metrics/new_metric.py": METRIC,
    "genbench/features/extractors/new_extractor.py": EXTRACTOR,
    "genbench/data/datasets/new_dataset.py": DATASET,
    "genbench/protocols/new_protocol.py": PROTOCOL,
    "genbench_plugins/new_generator.py": GENERATOR,
    "genbench/cli/commands/where.py": COMMAND,
    "genbench/report/sections/novel.py": SECTION,
    "genbench/runs/engines/thread.py": ENGINE,
}


def _hashes(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.glob("genbench*/**/*")
        if p.is_file() and p.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory, several):
    """A copy of the package with one file more of each kind, and what its commands answer:
    {words: (status, out, err, heavy)}, with the copy itself.
    """
    copy = tmp_path_factory.mktemp("copy")
    for name, source in {"genbench": "genbench", "genbench_plugins": "plugins"}.items():
        shutil.copytree(ROOT / source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = _hashes(copy)
    for path, source in ADDED.items():
        (copy / path).write_text(source)
    commands = ["--help", "where", "metrics", "extractors", "datasets", "protocols", "plugins"]
    commands += [
        "run --plugin noise --n 40 --metrics spread --json",
        "run --plugin new_generator --dataset halves --protocol halves,halves-few --json",
    ]
    commands += [
        "report -o page.html",
        "run --plugin noise --seed 1 --n 40 --metrics kd --on thread --json",
    ]
    found = several(*(words.split() for words in commands), env={"PYTHONPATH": copy}, cwd=copy)
    return copy, before, dict(zip(commands, found, strict=True))


def test_it_is_the_copy_that_answers(answers):
    """The commands ran in the copy: the new command is in --help, runs, and says so."""
    copy, _, found = answers
    assert "Say where genbench lies." in found["--help"][1]
    assert found["where"][:2] == (0, f"{copy / 'genbench' / '__init__.py'}\n")


@pytest.mark.parametrize(
    ("shelf", "name", "title"),
    [
        ("metrics", "spread", "a new number"),
        ("extractors", "quarters", "a new extractor"),
        ("datasets", "halves", "a new data set"),
        ("protocols", "halves", "quarters.pool"),
        ("protocols", "halves-few", "balanced"),
        ("plugins", "new_generator", "built in"),
    ],
)
def test_a_new_file_is_listed(answers, shelf, name, title):
    """What a new file holds stands in the listing beside the built-in ones,
    and listing it imports nothing heavy.
    """
    status, out, err, heavy = answers[2][shelf]
    assert (status, err, heavy) == (0, "", [])
    assert any(line.split()[0] == name and title in line for line in out.splitlines())


def test_a_new_metric_is_taken_under_an_old_protocol(answers):
    """A metric that is one file gives a number with its interval for an old generator under an
    old protocol.
    """
    status, out, err, _ = answers[2]["run --plugin noise --n 40 --metrics spread --json"]
    assert status == 0, err
    (score,) = json.loads(out)["scores"]
    assert (score["metric"], score["status"]) == ("spread_digits", "ok")
    assert score["low"] < score["value"] < score["high"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A copy of the package with two metrics more, the laws and the coverage benchmark:
    judged(*words) runs them there and gives what they print.
    """
    copy = tmp_path_factory.mktemp("judged")
    shutil.copytree(
        ROOT / "genbench", copy / "genbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        ROOT / "tests" / "bench",
        copy / "tests" / "bench",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copytree(
        ROOT / "tests" / "helpers",
        copy / "tests" / "helpers",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (copy / "tests" / "metrics").mkdir()
    for name in (
        "pyproject.toml",
        "tests/conftest.py",
        "tests/metrics/test_laws.py",
        "tests/metrics/test_faults.py",
    ):
        shutil.copy(ROOT / name, copy / name)
    (copy / "genbench" / "metrics" / "new_metric.py").write_text(METRIC)
    (copy / "genbench" / "metrics" / "wrong_metric.py").write_text(WRONG_METRIC)

    def run(*words):
        env = {**os.environ, "PYTHONPATH": str(copy)}
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            env=env,
            cwd=copy,
            timeout=280,
        )

    return run


def test_a_new_metric_meets_every_law(judged):
    """The laws find a metric that is one file: it passes them all,
    and one that claims too much fails the one that it breaks.
    """
    done = judged(
        "-m",
        "pytest",
        "tests/metrics/test_laws.py",
        "tests/metrics/test_faults.py",
        "-k",
        "spread or boaster",
        "-rA",
    )
    found = {
        word: set(re.findall(rf"^{word} \S+::test_(\S+)\[(.+)\]", done.stdout, re.MULTILINE))
        for word in ("PASSED", "FAILED", "ERROR")
    }
    laws = {law for law, of in found["PASSED"] if of.startswith("spread")}
    assert {
        "properties_hold_and_their_absence_too",
        "values_lie_in_their_range",
        "every_metric_sees_the_fault_that_its_needs_are_there_for",
    } <= laws
    assert {of for law, of in found["PASSED"] if law.startswith("properties")} >= {
        f"spread-{name}" for name in PROPERTIES
    }
    assert found["FAILED"] == {
        ("properties_hold_and_their_absence_too", "boaster-scale_invariant")
    }, done.stdout
    assert not found["ERROR"]


def test_a_new_metric_enters_the_coverage_benchmark(judged):
    """The benchmark finds a metric that is one file, draws its populations and gives its
    figures a line.
    """
    done = judged(
        "tests/bench/coverage.py",
        "--only",
        "spread",
        "--populations",
        "mix16-worse",
        "--draws",
        "40",
        "--minutes",
        "0.5",
        "--processes",
        "1",
    )
    (line,) = re.findall(r"^\| spread \| jackknife \|.*", done.stdout, re.MULTILINE)
    figures = re.findall(r"(\d\.\d+) · (\d\.\d+) · – · 40 \|", line)
    assert len(figures) == 3, done.stdout + done.stderr
    assert all(0.5 < float(covered) <= 1 and 0.4 < float(ratio) < 2.5 for covered, ratio in figures)


def test_new_generator_data_extractor_and_protocol_run_together(answers):
    """A generator, a data set, an extractor and a protocol, a file each,
    make a run whose every number is there.
    """
    status, out, err, _ = answers[2][
        "run --plugin new_generator --dataset halves --protocol halves,halves-few --json"
    ]
    assert status == 0, err
    scores = {score["metric"]: score for score in json.loads(out)["scores"]}
    names = ("fd_quarters", "label_accuracy_quarters", "spread_quarters", "kd_quarters")
    assert {name: score["status"] for name, score in scores.items()} == dict.fromkeys(names, "ok")
    assert scores["label_accuracy_quarters"]["value"] == 1.0
    assert scores["fd_quarters"]["real"] is not None


def test_a_new_section_stands_in_the_report_at_its_place(answers):
    """A section that is one file is in the page, between those of lower and of higher order,
    what it says escaped.
    """
    copy, _, found = answers
    status, out, err, _ = found["report -o page.html"]
    assert (status, out) == (0, "page.html\n"), err
    page = (copy / "page.html").read_text()
    assert "a new &lt;section&gt; of 1 run" in page
    assert (
        page.index('<section id="comparison"')
        < page.index('<section id="novel"')
        < page.index('<section id="samples"')
    )


def test_no_other_file_was_touched(answers):
    """The copy holds the files that it had, byte for byte, and the new ones:
    nothing is registered anywhere.
    """
    copy, before, _ = answers
    after = _hashes(copy)
    assert set(after) - set(before) == set(ADDED)
    assert {path: after[path] for path in before} == before


def test_a_new_engine_draws(answers):
    """An engine that is one file draws the shards of a run."""
    status, out, err, _ = answers[2][
        "run --plugin noise --seed 1 --n 40 --metrics kd --on thread --json"
    ]
    assert status == 0, err
    assert "20 pieces" in err
    assert json.loads(out)["cost"]["images_drawn"] == 40
