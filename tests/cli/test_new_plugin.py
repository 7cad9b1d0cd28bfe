"""`genbench new-plugin`: what it writes runs, passes the conformance checks,
and stands in nobody's way.
"""

from __future__ import annotations

import importlib
import sys
import tomllib

import genbench
from genbench.cli.main import main
from genbench.generators.conformance import check
from genbench.generators.load import locate


def failures(results):
    return [(one.check, one.came) for one in results if one.verdict == "fail"]


def test_the_file_passes_every_check_and_runs(tmp_path, capsys):
    assert main(["new-plugin", "my-gan", "--out", str(tmp_path)]) == 0
    file = tmp_path / "my_gan.py"
    assert f"genbench run --plugin {file}" in capsys.readouterr().out
    results = check(locate(str(file)))
    assert failures(results) == []
    assert {one.check for one in results if one.verdict == "skip"} == {"labels", "reconstruct"}
    record = genbench.evaluate(
        str(file), n=40, metrics="kd_digits", settings={"truncation": 0.5}, out=tmp_path / "runs"
    )
    assert [one.status for one in record.scores] == ["ok"]


def test_an_option_out_of_range_is_one_line(tmp_path, capsys):
    main(["new-plugin", "mine", "--out", str(tmp_path)])
    capsys.readouterr()
    assert (
        main(["run", "--plugin", str(tmp_path / "mine.py"), "-o", "truncation=0", "--dry-run"]) == 2
    )
    assert "truncation lies above 0, not at 0" in capsys.readouterr().err


def test_the_package_names_its_class_and_its_files(tmp_path, capsys, monkeypatch):
    assert main(["new-plugin", "fresh_gan", "--package", "--out", str(tmp_path)]) == 0
    top = tmp_path / "fresh_gan"
    project = tomllib.loads((top / "pyproject.toml").read_text())
    (name, value), *others = project["project"]["entry-points"]["genbench.generators"].items()
    assert (name, others) == ("fresh_gan", [])
    assert [(top / package).is_dir() for package in project["tool"]["setuptools"]["packages"]] == [
        True
    ]
    monkeypatch.syspath_prepend(str(top))
    module, _, kind = value.partition(":")
    try:
        assert isinstance(getattr(importlib.import_module(module), kind), type)
    finally:
        for loaded in [one for one in sys.modules if one.partition(".")[0] == "fresh_gan"]:
            del sys.modules[loaded]
    compile((top / "tests/test_fresh_gan.py").read_text(), "test_fresh_gan.py", "exec")
    assert failures(check(locate(f"{top / 'fresh_gan/model.py'}:{kind}"))) == []


def test_names_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, capsys):
    for name, said in {
        "Mine": "small letter first",
        "class": "small letter first",
        "ddpm": "generator ddpm already",
        "torch": "name of a Python module",
        "../mine": "small letter first",
    }.items():
        assert main(["new-plugin", name, "--out", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("kept")
    (tmp_path / "mine").mkdir()
    for words in ((), ("--package",)):
        assert main(["new-plugin", "mine", "--out", str(tmp_path), *words]) == 2
        assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "kept"
