"""docs/threats.md says what is true: its tests exist, its hazards are all there; and two promises that nothing else holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "genbench/docs/threats.md").read_text(encoding="utf-8")
STRIDE = ["Spoofing", "Tampering", "Repudiation", "Information disclosure", "Denial of service", "Elevation of privilege"]
HAZARDS = (
    "Crash mid-write|`kill -9` in a run|Disk full|Two runs, one cache|Stale cache|Bit rot, truncation|Result lost but exit 0|Pickle RCE|Plugin code|"
    "Plugin crash or hang|Archive traversal, links, devices|Zip and npz bomb|Image bomb|`.npy` header lie|safetensors abuse|XSS in the report|"
    "CSV, Markdown, terminal injection|Workflow-command injection|YAML and TOML config|Human page abuse|Secrets in results|NaN, Inf, constant features|"
    "SSRF, surprise download|Supply chain|Old result files"
).split("|")
CANARY = "hf_canary0123456789"


def rows(text):
    return [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| hazard"))]


def named(row):
    """The tests that a row names, (file, function); `::test_x` is of the file before it."""
    file = ""
    for one in re.findall(r"`((?:tests/\w+\.py)?::\w+)`", row):
        file = one.partition("::")[0] or file
        yield file, one.partition("::")[2]


def test_every_test_that_the_page_names_exists():
    """By file and function; every row of every table names one, or says in words why there is none."""
    for row in rows(PAGE):
        found = list(named(row[-1]))
        assert found, row
        for file, function in found:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{function}"


def test_every_letter_and_every_hazard_is_there():
    """STRIDE's six, the list of what is not defended, and the hazards in their order."""
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == ["Not defended", *STRIDE, "Hazard by hazard"]
    assert [row[0].removeprefix("| ") for row in rows(PAGE.split("## Hazard by hazard")[1])] == HAZARDS


def test_every_file_that_the_page_names_exists():
    """What defends is here: the modules, and the tables of tests/bench."""
    for name in re.findall(r"`([a-z_]+\.py)`", PAGE):
        assert (ROOT / "genbench" / name).is_file(), name
    for name in re.findall(r"`(tests/bench/\w+\.md)`", PAGE):
        assert (ROOT / name).is_file(), name
    assert "docs/threats.md" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["genbench", "plugins"])
def test_nothing_that_executes_is_read(folder):
    """No module that loads objects is imported, and no call asks for one: not at the top, not in a function."""
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name} imports {name}" for name in modules if name in {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}]
            words = {word.arg: ast.unparse(word.value) for word in node.keywords} if isinstance(node, ast.Call) else {}
            wrong += [f"{path.name}:{node.lineno}" for bad in (("weights_only", "False"), ("allow_pickle", "True")) if bad in words.items()]
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "yaml.load", "eval", "exec", "np.load", "numpy.load"):
                safe = words.get("weights_only") == "True" or words.get("allow_pickle") == "False"
                wrong += [] if safe else [f"{path.name}:{node.lineno} {ast.unparse(node.func)}"]
    assert wrong == []


def test_no_secret_of_the_environment_is_kept(cli, here, monkeypatch):
    """Tokens in variables of every usual name stand in no file of a run, its board and its report."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "GENBENCH_SECRET"):
        monkeypatch.setenv(name, CANARY)
    assert cli("run", "--plugin", "noise", "--n", "20", "--metrics", "fd")[0] == 0
    assert cli("report", "-o", "page.html")[0] == 0
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
