"""A number is known by the version of its formula, not by the text of its source:
renaming moves nothing, a moved number needs a new version.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.places import ROOT

from genbench._util.checksummed_files import read_arrays, write_arrays
from genbench._util.hashing import code_sha256, file_sha256
from genbench.api import _registry as registry
from genbench.features import extractor_versions as feature_versions
from genbench.features import reference_cache
from genbench.generators import generator
from genbench.generators.identity import code_of, code_of_file
from genbench.generators.load import locate
from genbench.leaderboards import entries
from genbench.runs.records import metric_versions, record
from genbench.statistics import confidence_intervals, jackknife

BOARD = ROOT / "leaderboards" / "digits"
# OWN is a stranger's file of before the move, and stays as it was to the letter.
pytestmark = pytest.mark.filterwarnings("ignore:genbench.*is deprecated:DeprecationWarning")
OWN = """from genbench.lazy import torch
from genbench.rows import Extractor, Metric


def load(device):
    return lambda images: {"mean": images.float().mean((2, 3))}


def spread(arrays):
    return float(arrays["samples"].std())


ROWS = Extractor("means", "mean colours", {"mean": 3}, 1, "none", None, "nothing", load)
SPREAD = Metric("spread", "standard deviation", ("samples",), "higher", (0.0, 1e9), "jackknife", spread, "none")
"""  # noqa: E501
#: What the last genbench that hashed its own source wrote of these rows: of the metric, of the
#: extractor, of the extractor in bfloat16.
OWN_THEN = (
    "393d152911c79cc85caa2ebf8d69ed6a84c8c1532346b660d519a3debec03ebd",
    "d1b24170342c451385a6a8952b0e99fa3b6f8c0caab1b1a5260175fbe7f7bc2d",
    "92dc56041e34e8f02f6e0698df31c382c00fab48c9e42f9cd7afd5cfea52f7b9",
)


def file_in(copy, thing):
    """The file of a module or function in a copy of the checkout."""
    return copy / Path(inspect.getsourcefile(thing)).relative_to(ROOT)


def rename_a_local(path, function):
    """Give the first local variable of a function another name, in the text."""
    source = path.read_text()
    body = inspect.getsource(function)
    arguments = inspect.signature(function).parameters
    assigned = [
        node.id
        for node in ast.walk(ast.parse(body))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    name = next(one for one in assigned if one not in arguments)
    edited = source.replace(body, re.sub(rf"\b{name}\b", f"{name}_renamed", body))
    assert code_sha256(edited) != code_sha256(source)
    path.write_text(edited)


@pytest.fixture
def copy(tmp_path):
    """A copy of the checkout that an edit does not hurt: copy(*words) runs a command line of
    Python in it.
    """
    for name, source in {
        "genbench": "genbench",
        "genbench_plugins": "plugins",
        "leaderboards": "leaderboards",
        "tests/golden": "tests/golden",
    }.items():
        shutil.copytree(
            ROOT / source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.png")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def run(*words):
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env=env,
            cwd=tmp_path,
            timeout=280,
        )

    run.folder = tmp_path
    return run


def ranked(copy):
    """The labels of the digits board in a copy that are ranked,
    after uniform noise was drawn there.
    """
    done = copy(
        "-m", "genbench", "run", "--plugin", "noise", "--dataset", "digits", "--fresh", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    done = copy(
        "-m", "genbench", "leaderboard", "digits", "--format", "json", "--sort", "kd_digits"
    )
    assert done.returncode == 0, done.stderr
    return {row["generator"] for row in json.loads(done.stdout) if row.get("rank_low") is not None}


def test_renaming_a_local_variable_moves_no_board_and_no_baseline(copy):
    """With a variable renamed in the jackknife and in a metric a new run is ranked beside the
    committed entries, and passes against one of them.
    """
    rename_a_local(file_in(copy.folder, jackknife), jackknife.jackknife)
    kd = registry.find("metrics", "kd").value
    rename_a_local(file_in(copy.folder, kd), inspect.getmodule(kd).kd_subsets)
    assert {"ddpm", "stylegan2", "dcgan", "vae", "vqgan", "noise"} <= ranked(copy)
    baseline = next(
        path
        for path in BOARD.glob("entries/*.json")
        if json.loads(path.read_text())["plan"]["label"] == "noise"
    )
    done = copy("-m", "genbench", "check", "--baseline", baseline, "--to", "none")
    assert (done.returncode, "PASS" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_moved_number_needs_a_version_and_the_version_unranks_the_old_ones(copy):
    """A change of 1e-6 in one metric fails the golden numbers and is not written over them;
    under version 2 it passes, and only what has it is ranked.
    """
    kd = registry.find("metrics", "kd").value
    path, guard = (
        file_in(copy.folder, kd),
        ("-m", "pytest", "-n0", "-p", "no:randomly", "tests/golden", "-k", "kd and not kd_"),
    )
    planted = path.read_text().replace(
        "\ndef kd(",
        (
            "\ndef _moved(value):\n"
            "    return lambda arrays: value(arrays) * (1 + 1e-6)\n\n\n@_moved\ndef kd("
        ),
        1,
    )
    path.write_text(planted)
    done = copy(*guard)
    assert (done.returncode, "raise Metric.version" in done.stdout) == (1, True), (
        done.stdout + done.stderr
    )
    done = copy("tests/golden/make.py", "metrics/kd")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
    path.write_text(planted.replace('name="kd",', 'name="kd",\n    version=2,', 1))
    done = copy("tests/golden/make.py", "metrics/kd")
    assert done.returncode == 0, done.stdout + done.stderr
    done = copy(*guard)
    assert (done.returncode, " passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert ranked(copy) == {"noise"}


def test_a_strangers_formula_is_its_source(cli, here):
    """A metric of --with whose formula is edited gets a new number under a new name of its formula;
    put back, the first one.
    """
    own, found = here / "own.py", []
    for scale in ("", " * 2", ""):
        own.write_text(OWN.replace(".std())", f".std()){scale}"))
        status, out, err = cli(
            "run", "--plugin", "noise", "--with", own, "--n", 40, "--metrics", "spread", "--json"
        )
        assert status == 0, err
        content = json.loads(out)
        (measure,) = [
            m for m in content["plan"]["protocols"]["digits"]["measures"] if m["metric"] == "spread"
        ]
        found.append(
            (
                next(s["value"] for s in content["scores"] if s["metric"] == "spread_digits"),
                measure["formula"],
            )
        )
    assert found[1][0] == pytest.approx(2 * found[0][0])
    assert found[0] == found[2] != found[1]
    assert all(formula.startswith("spread/1@") for _, formula in found)


def test_strangers_rows_keep_the_hash_that_they_had(here, monkeypatch):
    """Metric and extractor of a file are known by the words of before behind their name and
    version, so that records and features of then still count.
    """
    (here / "own.py").write_text(OWN)
    registry.add_file(here / "own.py")
    metric, extractor = registry.find("metrics", "spread"), registry.find("extractors", "means")
    now = (
        metric_versions.formula_of(metric),
        feature_versions.version_of(extractor),
        feature_versions.version_of(extractor, "bfloat16"),
    )
    assert tuple(one.partition("@")[2] for one in now) == OWN_THEN
    assert [one.partition("@")[0] for one in now] == ["spread/1", "means/1", "means/1"]
    assert all(feature_versions.same(then, one) for then, one in zip(OWN_THEN, now, strict=True))
    raised = metric_versions.formula_of(replace(metric, version=2))
    assert not feature_versions.same(OWN_THEN[0], raised)


def test_a_strangers_imports_are_part_of_its_formula(here):
    """The hash of a row's file moves with the files of its folder that it imports,
    a package's included, and not with their neighbours.
    """
    (here / "mine").mkdir()
    (here / "mine" / "__init__.py").write_text("")
    (here / "mine" / "deep.py").write_text("SCALE = 1\n")
    (here / "helper.py").write_text("from mine.deep import SCALE\n")
    (here / "other.py").write_text("X = 1\n")
    (here / "own.py").write_text("from helper import SCALE\n" + OWN)
    registry.add_file(here / "own.py")
    row = registry.find("metrics", "spread")
    before = metric_versions.formula_of(row)
    (here / "other.py").write_text("X = 2\n")
    assert metric_versions.formula_of(row) == before
    (here / "mine" / "deep.py").write_text("SCALE = 2\n")
    assert metric_versions.formula_of(row) != before


def test_leave_outs_of_two_rules_are_not_paired():
    """Equal block sizes by different rules are no pairs: the difference adds errors in squares;
    by one rule it is paired.
    """
    a, b, c = (
        confidence_intervals.estimate(1.0, [0.9, 1.0, 1.1], [5, 5, 5], scheme)
        for scheme in ("balanced/1", "balanced/1", "balanced/2")
    )
    assert confidence_intervals.difference(a, b).paired
    assert not confidence_intervals.difference(a, c).paired


@pytest.mark.parametrize("path", sorted(BOARD.glob("entries/*.json")), ids=lambda path: path.stem)
def test_every_entry_of_the_digits_board_has_its_id_today(path):
    """The id of an entry computed anew, from the run's id, protocol, reference and weights,
    is the name of its file.
    """
    found = record.read(path)
    ((name, protocol),) = found.plan["protocols"].items()
    assert entries.entry_of(found, name, protocol).id == path.stem
    assert record.plan_of(found).id == found.id


def test_the_generators_of_the_board_have_the_code_that_their_entries_say():
    """A shipped generator's code is part of the ids of its entries:
    files in plugins/ change only together with their entries, drawn again.
    """
    plans = [record.read(path).plan for path in BOARD.glob("entries/*.json")]
    assert {plan["identity"]["generator"]: plan["identity"]["code"] for plan in plans} == {
        plan["identity"]["generator"]: code_of(locate(plan["identity"]["generator"]))
        for plan in plans
    }


def test_a_record_of_then_is_read_by_version():
    """The committed entries name hashes; read, they name versions, of formulas and of features.

    A hash that nobody knows stays one.
    """
    path = next(BOARD.glob("entries/*.json"))
    found = record.read(path).plan["protocols"]["digits"]
    assert {m["formula"] for m in found["measures"]} >= {"fd/1", "kd/1", "precision/1", "is/1"}
    assert {(m["interval"], m["leave_outs"], m["real_vs_real"]) for m in found["measures"]} == {
        ("balanced/1", "exact", "splits/1")
    }
    assert found["extractors"]["digits"]["code"] == "digits/1"
    content = json.loads(path.read_text())
    del content["digest"]
    content["plan"]["protocols"]["digits"]["measures"][0]["formula"] = "f" * 64
    content["plan"]["protocols"]["digits"]["extractors"]["digits"]["code"] = "e" * 64
    unknown = record.from_json(content, "a record").plan["protocols"]["digits"]
    assert (unknown["measures"][0]["formula"], unknown["extractors"]["digits"]["code"]) == (
        "f" * 64,
        "e" * 64,
    )


def of_then(folder):
    """Write a run's shards as the last genbench that hashed its own source wrote them,
    and take its record away.
    """
    for path in folder.glob("shards/*.safetensors"):
        arrays, meta = read_arrays(path)
        assert meta.get("code", "digits/1") == "digits/1"
        then = {"code": feature_versions.VERSION_1["digits"][0]} if "code" in meta else {}
        then |= {"paths": metric_versions.PAIRS_1} if "paths" in meta else {}
        write_arrays(path, arrays, {**meta, **then})
    (folder / "run.json").unlink()


def test_a_run_and_a_cache_of_then_go_on(here, cli, monkeypatch):
    """Shards and features that were written under hashes are taken over:
    nothing is sampled again, and no feature of a real image is computed again.
    """
    monkeypatch.setenv("GENBENCH_HOME", str(here / "home"))
    words = ("run", "--plugin", "stylegan2", "--n", 40, "--metrics", "fd,path_length", "--json")
    status, out, err = cli(*words)
    assert status == 0, err
    first, (folder,) = json.loads(out), (here / "runs").iterdir()
    of_then(folder)
    assert any("paths" in read_arrays(path)[1] for path in folder.glob("shards/*pairs*"))
    before = {path: file_sha256(path) for path in folder.glob("shards/*")}
    for path in (here / "home" / "features").iterdir():
        path.rename(
            path.with_name(
                path.name.replace("-v1-", f"-{feature_versions.VERSION_1['digits'][0][:16]}-")
            )
        )

    def never(*args, **rest):
        raise AssertionError("computed again")

    monkeypatch.setattr(generator.Generator, "draw", never)
    monkeypatch.setattr(generator.Generator, "pair", never)
    monkeypatch.setattr(reference_cache, "_computed", never)
    status, out, err = cli(*words)
    assert status == 0, err
    assert json.loads(out)["scores"] == first["scores"]
    assert {path: file_sha256(path) for path in folder.glob("shards/*")} == before
    assert all("-v1-" in path.name for path in (here / "home" / "features").glob("*.safetensors"))


HOOKS = """class Mine:
    def sample(self, n):
        return n

    @staticmethod
    def {companions}(checkpoint):
        return []

    @staticmethod
    def {conditions}(checkpoint):
        return ("labels",)
"""


def test_a_renamed_hook_attribute_leaves_a_generators_code(here):
    """The earlier and the present spelling of a hook attribute give one hash, and the list of
    companion files is left out of it; what draws images is not.
    """
    path, codes = here / "mine.py", []
    for companions in ("beside", "companion_files"):
        for conditions in ("asks", "conditions_of_checkpoint"):
            path.write_text(HOOKS.format(companions=companions, conditions=conditions))
            codes.append(code_of_file(path))
    assert len(set(codes)) == 1
    other = HOOKS.replace("return []", "return [checkpoint]")
    path.write_text(other.format(companions="companion_files", conditions="asks"))
    assert code_of_file(path) == codes[0]
    path.write_text(
        other.replace("return n", "return -n").format(companions="b", conditions="asks")
    )
    assert code_of_file(path) != codes[0]
