"""What is said about the package in several places is the same in all of them,
and what it needs is shipped and declared.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from helpers.places import ROOT

import genbench

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
FOLDERS = {"genbench": ROOT / "genbench", "genbench_plugins": ROOT / "plugins"}


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_listed_packages_are_the_folders():
    """Every folder with an __init__.py is listed in pyproject.toml, and every folder listed is one,
    but for boards and manuals, which are data.
    """
    found = {
        ".".join([name, *path.parent.relative_to(root).parts])
        for name, root in FOLDERS.items()
        for path in root.rglob("__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) - {"genbench_docs", "genbench_leaderboards"} == found
    assert (ROOT / SETUPTOOLS["package-dir"]["genbench_plugins"]).samefile(
        FOLDERS["genbench_plugins"]
    )


def test_every_file_that_is_no_code_is_shipped():
    """Weights, indices and the mark of types beside the code are matched by a pattern of
    package-data, and each pattern but that of weights to come matches.
    """
    for name, root in FOLDERS.items():
        there = {
            p.relative_to(root).as_posix()
            for p in root.rglob("*")
            if p.is_file() and p.suffix not in (".py", ".pyc")
        }
        patterns = SETUPTOOLS["package-data"][name]
        assert {
            one for one in there if not any(fnmatch.fnmatch(one, pattern) for pattern in patterns)
        } == set()
    assert {
        "py.typed",
        "data/datasets/digits.json",
        "features/extractors/digits.safetensors",
    } <= {p.relative_to(FOLDERS["genbench"]).as_posix() for p in (ROOT / "genbench").rglob("*")}


def test_every_library_that_is_imported_is_declared():
    """Whatever the package or a plugin imports, at its top, in a function or through
    lazy_imports.py,
    is a dependency of the project, or of an extra.
    """
    extras = [
        one
        for name, ones in PROJECT["optional-dependencies"].items()
        if name not in ("test", "dev")
        for one in ones
    ]
    declared = {
        _normal(re.match(r"[\w.-]+", one)[0]) for one in [*PROJECT["dependencies"], *extras]
    }
    known = packages_distributions()
    missing = set()
    for path in [path for root in FOLDERS.values() for path in root.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for top in (
                {one.partition(".")[0] for one in named}
                - set(sys.stdlib_module_names)
                - set(FOLDERS)
            ):
                if not {_normal(one) for one in known.get(top, ())} & declared:
                    missing.add(f"{path.name}: {top}")
    assert missing == set()


def test_the_version_is_one():
    """pyproject.toml, genbench.__version__ and CITATION.cff name the same version."""
    cited = re.search(
        r"^version: ['\"]?([^'\"\n]+)",
        (ROOT / "CITATION.cff").read_text(encoding="utf-8"),
        re.MULTILINE,
    )[1]
    assert PROJECT["version"] == genbench.__version__ == cited


def test_the_pythons_are_the_same_everywhere():
    """The least Python of pyproject.toml is that of README, of the classifiers,
    of ruff and of mypy, and the classifiers have no gap.
    """
    least = PROJECT["requires-python"].removeprefix(">=")
    classified = [
        one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)
    ]
    minors = [int(one.partition(".")[2]) for one in classified]
    assert classified[0] == least == PYPROJECT["tool"]["mypy"]["python_version"]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + least.replace(".", "")
    assert minors == list(range(minors[0], minors[-1] + 1))
    said = re.findall(r"Python (3\.\d+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert said
    assert set(said) <= set(classified)
    assert min(said, key=lambda one: int(one.partition(".")[2])) == least


def test_every_manual_is_shipped():
    """What lies in docs/ and its examples is matched by a pattern of package-data, but for the
    script that draws a picture."""
    patterns = SETUPTOOLS["package-data"]["genbench_docs"]
    docs = ROOT / SETUPTOOLS["package-dir"]["genbench_docs"]
    there = {path.relative_to(docs).as_posix() for path in docs.rglob("*") if path.is_file()}
    assert {
        "scale.md",
        "ci.md",
        "threats.md",
        "architecture.md",
        "examples/check/action.yml",
    } <= there
    assert {
        one for one in there if not any(fnmatch.fnmatch(one, pattern) for pattern in patterns)
    } == set()
