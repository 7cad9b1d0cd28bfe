"""Habits of the code: who prints and writes, how libraries are imported, which names are public,
how long things are."""

from __future__ import annotations

import ast
import itertools

import numpy as np
import pytest
from helpers.places import ROOT

import genbench

HEAVY = {
    "datasets",
    "evalica",
    "lmdb",
    "optuna",
    "pyarrow",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "PIL",
    "matplotlib",
    "sklearn",
    "threadpoolctl",
    "jinja2",
    "safetensors",
}
PRINTS = {
    "_diffusers.py": "that a safety checker is left out",
    "_exported.py": "which range of values it inferred; a plugin's prints go to standard error",
}
WRITES = {
    "generators/conformance.py": "a checkpoint in a temporary folder, read back at once: nothing "
    "that anybody keeps",
    "human/store.py": "raters' answers, each committed by SQLite (write-ahead log, "
    "synchronous=FULL) before the next trial; a new study goes through atomic_write.py",
    "io/zip_stream.py": "members of an archive that is a stream: its caller writes the file",
    "runs/sampling/workers.py": "where a worker is while it draws a shard: it holds the traceback "
    "of what kills it, and is gone with the shard",
}
OWN = sorted((ROOT / "genbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in [*OWN, *PLUGINS]}


def name_of(path):
    """`runs/run` for genbench/runs/run.py."""
    return path.relative_to(ROOT / "genbench").with_suffix("").as_posix()


def _is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(path):
    """Every module that a file imports, at its top, in functions and for types:
    ("say", line), of genbench; foreign ones by their whole name.
    """
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{path}:{node.lineno} imports relatively, which this test does not follow"
            )
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            whole = [one if _is_module(one) else node.module for one in inside]
        else:
            continue
        yield from ((one, node.lineno) for one in whole)


def test_no_module_takes_a_public_name_from_the_package_file():
    """From `genbench` itself a module of the package imports modules alone;
    the public names are for others.
    """
    taken = {
        alias.name
        for path in OWN
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ImportFrom) and node.module == "genbench"
        for alias in node.names
        if not (ROOT / "genbench" / alias.name).is_dir()
    }
    assert taken == set()


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_plugins_use_public_names_only(path):
    """A generator imports `genbench` by its public names, libraries, and its own _*.py;
    it is written as a stranger would write it.
    """
    for whole, line in imported(path):
        assert not whole.startswith("genbench."), f"{path.name}:{line} imports {whole}"
        assert not whole.startswith("genbench_plugins") or whole.startswith("genbench_plugins._"), (
            f"{path.name}:{line} imports {whole}"
        )
    used = {
        node.attr
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "genbench"
    }
    assert used <= set(genbench.__all__)


def _outside_type_checking(tree):
    """The nodes of a tree that are run: not those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            yield from itertools.chain.from_iterable(
                _outside_type_checking(other) for other in node.orelse
            )
            continue
        yield node
        yield from _outside_type_checking(node)


@pytest.mark.parametrize("path", OWN, ids=name_of)
def test_heavy_libraries_are_imported_through_lazy_imports_alone(path):
    """No import statement of the package that is run names a heavy library,
    at the top or in a function: _util/lazy_imports.py binds them.
    """
    wrong = []
    for node in _outside_type_checking(TREES[path]):
        named = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        wrong += [f"{node.lineno}: {one}" for one in named if one.partition(".")[0] in HEAVY]
    assert wrong == []


def _calls(path):
    """Every call of a file as (line, the function's text, mode words among its arguments)."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call):
            words = [
                one.value
                for one in [*node.args, *(k.value for k in node.keywords)]
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            yield node.lineno, ast.unparse(node.func), words


def _prints(path):
    spoken = ("print", "sys.stdout.write", "sys.stderr.write", "click.echo", "click.secho")
    return [
        f"{path.name}:{line} {function}" for line, function, _ in _calls(path) if function in spoken
    ]


def _writes(path):
    whole = (
        "os.replace",
        "os.rename",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.move",
        "shutil.copytree",
        "sqlite3.connect",
    )
    methods = (".write_text", ".write_bytes", ".tofile", ".savez", ".savefig")
    found = []
    for line, function, words in _calls(path):
        opens = (function == "open" or function.endswith(".open")) and any(
            set(word) & set("wax+") and set(word) <= set("wax+bt") for word in words
        )
        if opens or function in whole or function.endswith(methods):
            found.append(f"{path.name}:{line} {function}")
    return found


def _relative(path):
    return path.relative_to(ROOT / "genbench").as_posix() if path in OWN else path.name


def test_only_the_console_prints():
    """Nothing outside _util/console.py writes to a standard stream, but for the exceptions, each
    with its reason, which are still needed."""
    console = ROOT / "genbench" / "_util" / "console.py"
    assert {
        _relative(path) for path in [*OWN, *PLUGINS] if path != console and _prints(path)
    } == set(PRINTS)
    assert _prints(console)  # the test can see


def test_only_atomic_write_writes():
    """Nothing outside _util/atomic_write.py opens a file to write it or moves one, but for the
    exceptions, each with its reason, which are still needed."""
    writer = ROOT / "genbench" / "_util" / "atomic_write.py"
    assert {
        _relative(path) for path in [*OWN, *PLUGINS] if path != writer and _writes(path)
    } == set(WRITES)
    assert _writes(writer)  # the test can see


def test_public_names_are_sorted_and_complete():
    """`genbench.__all__` is the list that is promised, sorted,
    the same for type checkers and at run time, and every name of it can be had.
    """
    tree = TREES[ROOT / "genbench" / "__init__.py"]
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    promised = {
        "check_plugin",
        "evaluate",
        "hookimpl",
        "noise",
        "open_images",
        "uniform",
        "to_uint8",
        "load_checkpoint",
        "load_network",
        "UserError",
        "Record",
        "__version__",
    }
    assert genbench.__all__ == sorted(promised) == dir(genbench)
    assert typed | {"__version__"} == promised
    assert all(getattr(genbench, name) is not None for name in genbench.__all__)


LONGEST = 50  # lines of a function's body, its docstring apart
LONGER = 26  # functions beyond that at 100 columns on the day of the move; the number may only fall


def _lengths():
    """Lines of every function's body, its docstring apart."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                yield (
                    f"{_relative(path)}:{node.name}",
                    body[-1].end_lineno - body[0].lineno + 1 if body else 0,
                )


@pytest.mark.parametrize("path", TREES, ids=_relative)
def test_no_file_is_long(path):
    """A file has at most 500 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_no_more_functions_are_long():
    """Functions longer than 50 lines are no more than they were at the move, none is twice as long,
    and 95 of 100 have fewer than 35."""
    lengths = dict(_lengths())
    long = {name: length for name, length in lengths.items() if length > LONGEST}
    assert len(long) <= LONGER, long
    assert all(length <= 2 * LONGEST for length in long.values()), long
    assert np.percentile(list(lengths.values()), 95) < 35
