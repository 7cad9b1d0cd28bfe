"""Packages of strangers offer rows and generators by entry points:
listed unseen, loaded when chosen, refused by name.
"""

from __future__ import annotations

import json
import os

import pytest

GENERATOR = """
import pathlib, os
pathlib.Path(os.environ["MARKER"]).touch()
import torch, genbench

@genbench.hookimpl
def sample(n, seeds):
    return (genbench.uniform(seeds, (3, 32, 32)) * 128).to(torch.uint8)
"""
METRIC = """
from genbench.api import Metric

def spread(arrays):
    return float(arrays["samples"].std())

ROW = Metric(name="spread", title="standard deviation", needs=("samples",), better="higher", range=(0.0, 1e9), interval="jackknife", value=spread, paper="")
"""  # noqa: E501


def package(folder, name, modules, points):
    """A package as an installer leaves it: modules beside a .dist-info with its entry points;
    points: {group: {name: module:object}}.
    """
    for module, source in modules.items():
        (folder / f"{module}.py").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{module}.py").write_text(source)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    groups = (
        f"[genbench.{group}]\n" + "\n".join(f"{k} = {v}" for k, v in rows.items())
        for group, rows in points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")


@pytest.fixture(scope="module")
def abroad(tmp_path_factory):
    """A folder of three packages: a good one, one that raises when it is imported,
    and one whose metric is none.
    """
    folder = tmp_path_factory.mktemp("abroad")
    package(
        folder,
        "good",
        {"good_generator": GENERATOR, "good_metric": METRIC},
        {"generators": {"theirs": "good_generator"}, "metrics": {"spread": "good_metric:ROW"}},
    )
    package(
        folder,
        "bad",
        {"bad_module": "raise RuntimeError('not today')"},
        {"generators": {"broken": "bad_module"}, "metrics": {"broken": "bad_module:ROW"}},
    )
    package(folder, "odd", {"odd_module": "ROW = 3"}, {"metrics": {"odd": "odd_module:ROW"}})
    return folder


def env(folder, marker):
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(
            os.pathsep
        ),
        "MARKER": marker,
    }


def test_strangers_are_listed_without_being_imported(abroad, several, tmp_path):
    """`genbench plugins` and `genbench metrics` name what packages offer and where it comes from,
    a broken one too, and import none of them.
    """
    marker = tmp_path / "imported"
    (_, plugins, _, heavy), (_, metrics, _, _), (_, told, _, _) = several(
        ["plugins"], ["metrics"], ["plugins", "--json"], env=env(abroad, marker)
    )
    assert "theirs" in plugins
    assert "good 1.2 (good_generator)" in plugins
    assert "broken" in plugins
    assert "good 1.2 (good_metric:ROW)" in metrics
    assert {"name": "theirs", "origin": "good 1.2 (good_generator)"} in json.loads(told)
    assert heavy == []
    assert not marker.exists()


def test_a_strangers_generator_and_metric_run(abroad, several, tmp_path):
    """What a package offers runs as what is built in does,
    and a package that cannot be imported does not stand in its way.
    """
    words = ["run", "--plugin", "theirs", "--n", "40", "--metrics", "spread", "--json"]
    ((status, out, err, _),) = several(words, env=env(abroad, tmp_path / "imported"), cwd=tmp_path)
    assert status == 0, err
    (score,) = json.loads(out)["scores"]
    assert (score["metric"], score["status"]) == ("spread_digits", "ok")
    assert json.loads(out)["plan"]["origin"] == "good 1.2 (good_generator)"
    assert (tmp_path / "imported").exists()


def test_what_is_wrong_with_a_package_is_a_line_when_it_is_chosen(abroad, several, tmp_path):
    """A package that raises on import, and an object that is no row,
    each end in one line that names package and reason, exit 2 and no traceback.
    """
    broken, metric, odd = several(
        ["run", "--plugin", "broken", "--n", "40"],
        ["run", "--plugin", "noise", "--n", "40", "--metrics", "broken"],
        ["metrics", "odd"],
        env=env(abroad, tmp_path / "imported"),
        cwd=tmp_path,
    )
    reason = "cannot be imported: RuntimeError: not today"
    assert broken[:3] == (2, "", f"genbench: broken from bad 1.2 (bad_module) {reason}\n")
    assert metric[:3] == (2, "", f"genbench: broken from bad 1.2 (bad_module:ROW) {reason}\n")
    assert odd[:3] == (
        2,
        "",
        "genbench: odd from odd 1.2 (odd_module:ROW) is not a Metric row of that name but 3\n",
    )


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("generators", "noise", ["plugins"]),
        ("metrics", "fd", ["metrics"]),
        ("commands", "run", ["--help"]),
    ],
)
def test_two_of_one_name_are_refused_naming_both(several, tmp_path, group, name, words):
    """A stranger who takes a name that is there is refused in one line that names both owners;
    neither is preferred in silence.
    """
    package(tmp_path, "thief", {"thief_module": "ROW = 3"}, {group: {name: "thief_module:ROW"}})
    ((status, out, err, _),) = several(words, env=env(tmp_path, tmp_path / "imported"))
    assert (status, out) == (2, "")
    assert err == (
        f"genbench: two {group} are named {name}: built in and thief 1.2 (thief_module:ROW); "
        "rename or uninstall one\n"
    )
