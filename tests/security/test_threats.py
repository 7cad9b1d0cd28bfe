"""docs/threats.md says what is true: its tests exist, its hazards are all there;
and two promises that nothing else holds.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from helpers.places import ROOT

PAGE = (ROOT / "docs/threats.md").read_text(encoding="utf-8")
STRIDE = [
    "Spoofing",
    "Tampering",
    "Repudiation",
    "Information disclosure",
    "Denial of service",
    "Elevation of privilege",
]
HAZARDS = [
    "Crash mid-write",
    "`kill -9` in a run",
    "Disk full",
    "Two runs, one cache",
    "Stale cache",
    "Bit rot, truncation",
    "Result lost but exit 0",
    "Pickle RCE",
    "Plugin code",
    "Plugin crash or hang",
    "Archive traversal, links, devices",
    "Zip and npz bomb",
    "Image bomb",
    "`.npy` header lie",
    "safetensors abuse",
    "XSS in the report",
    "CSV, Markdown, terminal injection",
    "Workflow-command injection",
    "YAML and TOML config",
    "Human page abuse",
    "Secrets in results",
    "NaN, Inf, constant features",
    "SSRF, surprise download",
    "Supply chain",
    "Old result files",
]
READERS = {
    "torch_archives.py": "a reader whose find_class knows tensors, storages, lists and bags",
    "nvidia_pickles.py": "a reader of NVIDIA's files whose find_class knows what they hold",
    "checkpoints.py": "the name of an error",
}
CANARY = "hf_canary0123456789"


def rows(text):
    return [
        line.split(" | ")
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| hazard"))
    ]


def named(row):
    """The tests that a row names, (file, function); `::test_x` is of the file before it."""
    file = ""
    for one in re.findall(r"`((?:tests/[\w/]+\.py)?::\w+)`", row):
        file = one.partition("::")[0] or file
        yield file, one.partition("::")[2]


def test_every_test_that_the_page_names_exists():
    """By file and function; every row of every table names one,
    or says in words why there is none.
    """
    for row in rows(PAGE):
        found = list(named(row[-1]))
        assert found, row
        for file, function in found:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert function in {
                node.name for node in tree.body if isinstance(node, ast.FunctionDef)
            }, f"{file}::{function}"


def test_every_letter_and_every_hazard_is_there():
    """STRIDE's six, the list of what is not defended, and the hazards in their order."""
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [
        "Not defended",
        *STRIDE,
        "Hazard by hazard",
    ]
    assert [
        row[0].removeprefix("| ") for row in rows(PAGE.split("## Hazard by hazard")[1])
    ] == HAZARDS


def test_every_file_that_the_page_names_exists():
    """What defends is here: the modules, and the tables of tests/bench."""
    for name in re.findall(r"`((?!tests/)[a-z_/]+\.py)`", PAGE):
        assert (ROOT / "genbench" / name).is_file(), name
    for name in re.findall(r"`(tests/bench/\w+\.md)`", PAGE):
        assert (ROOT / name).is_file(), name
    assert "docs/threats.md" in (ROOT / "README.md").read_text(encoding="utf-8")


OBJECTS = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {
    "torch.load": "weights_only=True",
    "np.load": "allow_pickle=False",
    "yaml.load": "Plain",
    "eval": "",
    "exec": "",
    "pickle.load": "",
    "pickle.loads": "",
}


def _unsafe(path):
    """The modules that load objects which a file imports, and its calls that could,
    without what makes them safe.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        yield from (f"{path.name} imports {name}" for name in OBJECTS & set(modules))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            words = ast.unparse(node)
            safe = CALLS[ast.unparse(node.func)]  # Plain: the SafeLoader of plugins/_ddpm_files.py
            if not safe or safe not in words:
                yield f"{path.name}:{node.lineno} {words}"


def test_nothing_that_executes_is_read():
    """No module that loads objects is imported but for the readers that restrict it,
    each with its reason, and no call loads without its safe word.
    """
    found = [
        one
        for folder in ("genbench", "plugins")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for one in _unsafe(path)
    ]
    assert found == [f"{name} imports pickle" for name in sorted(READERS)]
    assert list(_unsafe(Path(__file__).with_name("test_hostile.py")))  # the test can see


def test_no_secret_of_the_environment_is_kept(cli, here, monkeypatch):
    """Tokens in variables of every usual name stand in no file of a run and its board,
    and in nothing that is shown of it.
    """
    for name in (
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "WANDB_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "GENBENCH_SECRET",
    ):
        monkeypatch.setenv(name, CANARY)
    assert cli("run", "--plugin", "noise", "--n", "20", "--metrics", "fd")[0] == 0
    assert CANARY not in "".join(cli("show", "--json")[1:])
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
