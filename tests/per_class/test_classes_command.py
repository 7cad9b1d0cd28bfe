"""`genbench classes`: what is printed, what is left in the run's folder, labels that are read,
groups of one's own, and what is refused.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import genbench
from genbench.per_class import class_intervals, user_groups

UNLABELLED = """
import torch, genbench
from genbench.data.datasets import digits

@genbench.hookimpl
def sample(n, indices):
    images, labels = next(digits.open_digits("heldout"))
    some = images[labels != 4]  # a class that is never drawn
    return some[indices % len(some)]
"""


@pytest.fixture(autouse=True)
def _few_splits(monkeypatch):
    monkeypatch.setattr(class_intervals, "SPLITS", 4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of dcgan (conditional), and one of images that bring no labels."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "unlabelled.py").write_text(UNLABELLED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_QUIET", "1")
        dcgan = genbench.evaluate(
            "dcgan", out=folder / "runs", n=200, metrics=("kd", "label_accuracy")
        )
        other = genbench.evaluate(
            folder / "unlabelled.py", out=folder / "runs", n=783, metrics=("kd", "is")
        )
    return folder / "runs", dcgan.id, other.id


def _answer(cli, *words):
    status, out, err = cli("classes", *words)
    assert status == 0, err
    return out, err


def test_the_table_is_printed_and_left_in_the_runs_folder(runs, cli):
    """One line to a class, the worst first; classes.csv has the same numbers as --json,
    and the pictures are pictures.
    """
    folder, run, _ = runs
    out, err = _answer(cli, run, "--out", folder)
    lines = out.splitlines()
    assert lines[0].split() == ["class", "train", "n", "kd", "spread", "accuracy", "z", "flags"]
    assert max(map(len, lines[:11])) <= 80
    assert sorted(line.split()[0] for line in lines[1:11]) == list("0123456789")
    assert "flags (Holm at 5 % over 40 tests): " in out
    assert (
        "missing classes: none shown (too few samples to call: 599 are needed for 10 classes)"
        in out
    )
    assert "classes.csv" in err
    found = json.loads(_answer(cli, run, "--out", folder, "--json")[0])
    assert found["over"][run]["classifier"]["name"] == "digits"
    with (folder / run / "classes.csv").open(newline="") as file:
        written = {int(row["class"]): row for row in csv.DictReader(file)}
    for row in found["classes"]:
        assert row["run"] == run
        assert float(written[row["class"]]["kd"]) == row["kd"]
        assert row["kd_low"] < row["kd"] < row["kd_high"]
        assert row["train_count"] == 87
        assert row["group"] == "medium"
        assert row["n"] == 20
        assert sum(row["confusion"].values()) == pytest.approx(1)
    assert sum(row["fd_share"] for row in found["classes"]) == pytest.approx(1, rel=1e-9)
    for name, height in (("classes.png", 300), ("classes_worst.png", 100)):
        with Image.open(folder / run / name) as picture:
            assert picture.size[1] > height


def test_shares_of_the_distance_and_what_is_bias_are_printed(runs, cli):
    """Below the rows, within 80 columns: fd's total and the two classes that carry most,
    how many classes' fd is bias, and kd by its scale.
    """
    folder, run, _ = runs
    lines = _answer(cli, run, "--out", folder)[0].splitlines()
    found = json.loads(_answer(cli, run, "--out", folder, "--json")[0])
    first, second = sorted(found["classes"], key=lambda row: -row["fd_share"])[:2]
    most = " and ".join(f"{row['fd_share']:.1%} ({row['name']})" for row in (first, second))
    biased = sum(row["fd_bias"] for row in found["classes"])
    relative = max(found["classes"], key=lambda row: row["kd_relative"])
    assert (
        f"fd_share: adds up to fd {found['over'][run]['fd_total']:.4g}; the worst two: {most}"
        in lines
    )
    assert biased > 0
    assert (
        f"fd by class: mostly small-sample bias, more of n than of the class, in {biased} of 10"
        in lines
    )
    scale = next(
        line for line in lines if line.startswith("kd over the class's own real kernel mean: ")
    )
    assert scale.endswith(f"worst {relative['kd_relative']:.3g} ({relative['name']})")
    assert max(len(line) for line in lines if line.startswith(("fd", "kd over", "medium"))) <= 80


def test_the_page_shows_as_many_classes_as_worst_asks(runs, cli):
    """classes_worst.png has five rows of classes by default, and --worst N makes it N."""
    folder, run, _ = runs
    heights = []
    for words in ((), ("--worst", 5), ("--worst", 8)):
        _answer(cli, run, "--out", folder, *words)
        with Image.open(folder / run / "classes_worst.png") as page:
            heights.append(page.size[1])
    assert heights[1] == heights[0]
    assert heights[2] == heights[0] // 5 * 8


def test_the_worst_say_how_many_would_stand_there_by_chance(runs, cli):
    """--worst 3 shows three classes and the number that chance puts at the third's z."""
    folder, run, _ = runs
    out, _ = _answer(cli, run, "--out", folder, "--worst", 3)
    lines = out.splitlines()
    assert [line.split()[0].isdecimal() for line in lines[1:4]] == [True] * 3
    assert lines[4] == ""
    assert "worst 3: " in out
    assert "classes would stand at z" in out
    by_class = json.loads(
        _answer(cli, run, "--out", folder, "--sort", "class", "--worst", 4, "--json")[0]
    )["classes"]
    assert [row["class"] for row in by_class] == [0, 1, 2, 3]


def test_samples_without_labels_are_read_and_a_class_that_is_never_drawn_is_missing(runs, cli):
    """783 images without labels and without a 4: the recogniser labels them;
    4 is missing and its share named; accuracy is left out, with its reason.
    """
    folder, _, run = runs
    assert "share" in _answer(cli, run, "--out", folder)[0].splitlines()[0].split()
    found = json.loads(_answer(cli, run, "--out", folder, "--json")[0])
    four = next(row for row in found["classes"] if row["class"] == 4)
    assert "missing" in four["flags"]
    assert found["over"][run]["missing"] == [4]
    assert all(
        row["accuracy"] is None and any("classifier's own" in note for note in row["notes"])
        for row in found["classes"]
    )
    assert found["over"][run]["classifier"]["accuracy"] > 0.95
    assert np.sum(found["over"][run]["classifier"]["confusion"]) == 870


def test_several_runs_stand_side_by_side(runs, cli):
    """Each run has its columns, in the order it was named; --json marks rows by run."""
    folder, first, second = runs
    out, _ = _answer(cli, first, second, "--out", folder)
    assert {"kd 1", "kd 2"} <= {part.strip() for part in out.splitlines()[0].split("  ")}
    assert "\n\n1  dcgan · digits · protocol digits: digits.pool against heldout\nkd: mean" in out
    assert (
        "\n\n2  unlabelled.py · digits · protocol digits: digits.pool against heldout\nkd: mean"
        in out
    )
    found = json.loads(_answer(cli, first, second, "--out", folder, "--json")[0])
    assert [row["run"] for row in found["classes"]] == [first] * 10 + [second] * 10


OWN = """
import torch
from genbench.api import _registry as shelves
from genbench.api import Dataset, Extractor, Measure, Protocol

def load(device):
    def look(images):
        pixels = torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float() / 85, 8).flatten(1)
        return {"pixels": pixels, "broken": torch.where(pixels > 1, torch.nan, pixels)}
    return look

def five(split):
    digits = shelves.find("datasets", "digits")
    for images, labels in digits.open("heldout"):
        yield images[labels < 5], labels[labels < 5]

LOOK = Extractor(name="look", title="", outputs={"pixels": 64, "broken": 64}, size=8, resize="", weights=None, trained_on="", load=load)
FIVE = Dataset(name="five", title="", classes=("a", "b", "c", "d", "e"), resolution=32, splits={"test": 436}, open=five, preparation="", source="",
               licence="", recogniser="", protocol="pixels")
PIXELS = Protocol(name="pixels", title="", dataset="any", n=100, labels="balanced", quantise="round", measures=(Measure("kd", "look.pixels", "test"),))
HELD = Protocol(name="held", title="", dataset="digits", n=100, labels="balanced", quantise="round", measures=(Measure("kd", "look.pixels", "heldout"),))
BROKEN = Protocol(name="broken", title="", dataset="any", n=100, labels="balanced", quantise="round", measures=(Measure("kd", "look.broken", "test"),))
"""  # noqa: E501
LABELLED = """
import torch, genbench
from genbench.data.datasets import digits

@genbench.hookimpl
def sample(n, seeds, labels):
    images, classes = next(digits.open_digits("train"))
    return torch.stack([images[classes == label][seed % 80] for seed, label in zip(seeds, labels)])
"""


@pytest.fixture
def own(tmp_path, runs, cli, monkeypatch):
    """Rows of one's own: a data set of five classes without a training split;
    and runs of it, and of digits by the same features.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "labelled.py").write_text(LABELLED)

    def run(dataset, protocol):
        words = (
            "--dataset",
            dataset,
            "--protocol",
            protocol,
            "--with",
            tmp_path / "own.py",
            "--out",
            runs[0],
            "--leaderboards",
            "none",
            "--json",
        )
        _, out, _ = cli("run", "--plugin", tmp_path / "labelled.py", *words)
        return json.loads(out)["id"]

    return run, ("--with", tmp_path / "own.py", "--out", runs[0])


def test_a_data_set_without_a_training_split_has_a_table(own, cli):
    """Nothing is said of copies and of training counts; all else is."""
    run, words = own
    first = run("five", "pixels")
    found = json.loads(_answer(cli, first, *words, "--json")[0])
    assert [
        row["name"]
        for row in found["classes"]
        if row["kd"] is not None and row["nearest_train"] is None and row["train_count"] is None
    ] != []
    assert len(found["classes"]) == 5
    assert (found["over"][first]["features"], found["over"][first]["reference"]) == (
        "look.pixels",
        "test",
    )


def test_runs_of_other_classes_or_features_do_not_stand_side_by_side(own, runs, cli):
    """Class 0 of one set is not class 0 of another, and distances of two features have two scales:
    status 2, one line that names both runs.
    """
    run, words = own
    for other, said in (
        (run("five", "pixels"), "other classes"),
        (run("digits", "held"), "other features"),
    ):
        status, out, err = cli("classes", runs[1], other, *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"runs of {said} cannot stand side by side" in err
        assert {runs[1], other} <= set(err.replace(",", " ").replace(")", " ").split())


def test_features_that_are_no_numbers_make_no_table(own, cli):
    """A run whose features hold NaN has failed; its table is refused with their name."""
    run, words = own
    status, out, err = cli("classes", run("five", "broken"), *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the features look.broken of the samples hold NaN" in err


def test_groups_of_ones_own_are_pooled_or_counted(runs, cli, tmp_path):
    """A CSV of classes pools them; one of samples has each group's share with an interval;
    a wrong line is named.
    """
    folder, run, _ = runs
    (tmp_path / "classes.csv").write_text(
        "class,group\n0,round\n6,round\n8,round\n1,straight\n7,straight\n"
    )
    found = json.loads(
        _answer(cli, run, "--out", folder, "--groups", tmp_path / "classes.csv", "--json")[0]
    )["over"][run]
    assert found["groups"]["round"]["classes"] == [0, 6, 8]
    assert found["groups"]["straight"]["n"] == 40
    (tmp_path / "samples.csv").write_text(
        "sample,group\n" + "".join(f"{i},{'dark' if i % 4 == 0 else 'light'}\n" for i in range(200))
    )
    shares = json.loads(
        _answer(cli, run, "--out", folder, "--groups", tmp_path / "samples.csv", "--json")[0]
    )["over"][run]["attributes"]
    assert shares["dark"]["share"] == 0.25
    assert shares["dark"]["share_low"] < 0.25 < shares["dark"]["share_high"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("class,group\n0,a\n17,b\n", "line 3: there is no class '17'; they are 0 to 9, or names"),
        ("sample,group\n200,a\n", "line 2: there is no sample '200'; they are 0 to 199"),
        ("class,group\n0,a\n0,a\n", "line 3: class 0 stands in a line above already"),
        ("sample,group\n0,a\n0,b\n", "line 3: sample 0 stands in a line above already"),
        ("class,group\n0\n", "line 2: class 0 has no group"),
        ("class,group\n0, \n", "line 2: class 0 has no group"),
        ("class,group\n0,few\n", "line 2: 'few' is a group by training images; take another name"),
        (
            "klass;group\n0;a\n",
            "wanted is a CSV with the columns class,group or sample,group; it has klass;group",
        ),
        ("class,group\n", "it has class,group and no lines below"),
        ("", "it is empty"),
    ],
)
def test_a_wrong_file_of_groups_is_refused_by_its_line(runs, tmp_path, written, said):
    """Each wrong CSV is refused in one line that says what is wrong and where."""
    (tmp_path / "g.csv").write_text(written)
    with pytest.raises(genbench.UserError) as refused:
        user_groups.listed(tmp_path / "g.csv", tuple("0123456789"), 200)
    assert said in str(refused.value)


def test_groups_of_classes_may_overlap_and_excel_may_write_them(tmp_path):
    """A class may stand in two groups, by its number or its name;
    the mark that Excel puts first is no part of a column's name.
    """
    (tmp_path / "g.csv").write_bytes(b"\xef\xbb\xbfclass,group\r\n0,old\r\ncat,old\r\n0,furry\r\n")
    assert user_groups.listed(tmp_path / "g.csv", ("dog", "cat"), 9) == (
        {"old": (0, 1), "furry": (0,)},
        {},
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sort", "kdd"], "--sort kdd: did you mean kd?"),
        (["--protocol", "no"], "the run has no protocol 'no': Known: digits"),
        (["--rule", "shot"], "unknown rule of groups 'shot': did you mean shots?"),
        (["--groups", "absent.csv"], "--groups absent.csv: "),
        (["--shares", "unifrom"], "did you mean uniform?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(runs, cli, words, said):
    """Each wrong word: status 2, one line with the remedy."""
    folder, run, _ = runs
    status, out, err = cli("classes", run, "--out", folder, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_run_without_rows_to_compare_is_refused(tmp_path, cli):
    """A run of scores alone has nothing to hold classes against:
    the line names the metrics that have.
    """
    genbench.evaluate("dcgan", out=tmp_path, n=100, metrics=("is",))
    status, _, err = cli("classes", "--out", tmp_path)
    assert status == 2
    assert "run it with --metrics kd or fd" in err.splitlines()[-1]
