"""The shape of the house: who stands on which floor, who imports whom, how long things are,
who prints and who writes.
"""

from __future__ import annotations

import ast
import itertools
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import genbench

ROOT = Path(__file__).parents[1]
FLOORS = [
    "lazy say arrays tomls shapes heap",
    (
        "files rows prompts bpe hookspecs longtail augment pickles threads suites gates "
        "human_kinds human_raters human_order human_pairs human_told plots"
    ),
    "section engine stores locks behind fitting source_files",
    "feature_versions",
    "versions",
    "record_upgrades",
    (
        "archives record shelves weights stats precision draws inception_weights decoding labels "
        "loading contents human_store"
    ),
    "large",
    (
        "images permutations cuts tails checkpoints gaussians intervals options resizes networks "
        "npz paths probes pictures named idx nearest human_session"
    ),
    "used human_rates sheets influence",
    (
        "abilities alike anchors caches cas classes_shares classes_copies classes_pairs "
        "classes_carried noninferiority statistics stacks hub placing datasets/ engines/ "
        "extractors/ metrics/ protocols/"
    ),
    (
        "findings merging profiles generator sources reference measures classes_labels "
        "classes_picture classes_within folders reported human_read human_page"
    ),
    (
        "classes_sides classes_pooled gate reconstructions conditions costs human_csv "
        "human_results human_serve"
    ),
    "classes_counts classes_over false_alarms gate_said samples_needed",
    "plan conformance classes classes_diversity real given reproductions",
    "shards scoring classes_shown",
    "drawing readback batches",
    "workers run_pictures",
    "run train classes_groups classes_taught standings rulers",
    "classes_read methods recounted",
    (
        "baselines class_parts gate_pairs comparisons boards extending listings selftests exports "
        "tradeoffs tuning results evidence against_real"
    ),
    "compared tracks redrawn gate_run human_new human_entered report",
    "commands/ sections/",
    "cli",
    "__init__ __main__",
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
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
    "conformance.py": (
        "a checkpoint in a temporary folder, read back at once: nothing that anybody keeps"
    ),
    "human_store.py": (
        "raters' answers, each committed by SQLite (write-ahead log, synchronous=FULL) before the "
        "next trial; a new study goes through files.py"
    ),
    "workers.py": (
        "where a worker is while it draws a shard: it holds the traceback of what kills it, "
        "and is gone with the shard"
    ),
}
# Bodies of more than 50 lines since lines have 100 columns: none is added, and one that is
# split leaves the list.
LONG = {
    "_biggan_files.py:_ajbrock",
    "_biggan_files.py:_huggingface",
    "_stylegan2_rosinality.py:translated",
    "against_real.py:against_real",
    "alike.py:pairing",
    "classes.py:_row",
    "classes_carried.py:left_outs",
    "classes_counts.py:copied",
    "classes_counts.py:counted",
    "classes_shown.py:_over",
    "convergence.py:_plot",
    "curves.py:_cost",
    "diffusers.py:refuse",
    "folders.py:_stored",
    "gate.py:_judged",
    "human_new.py:made",
    "measures.py:taken",
    "plan.py:settle",
    "provenance.py:_told",
    "redrawn.py:_scene",
    "run.py:_carried_out",
    "shards.py:_of_images",
    "tracks.py:tracked",
    "train.py:train",
    "workers.py:_by_engine",
}
OWN = sorted((ROOT / "genbench").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in [*OWN, *PLUGINS]}


def name_of(path):
    """`say` for a wall, `metrics/kernel` for a leaf."""
    return path.relative_to(ROOT / "genbench").with_suffix("").as_posix()


def stands_on(name):
    """The entry of the table of floors that a file belongs to: its own name, or its shelf."""
    return name if name in FLOOR else name.partition("/")[0] + "/"


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


def within(path):
    """The files of genbench that a file of genbench imports, as their names."""
    for whole, line in imported(path):
        package, _, rest = whole.partition(".")
        if package == "genbench" and rest:
            yield rest.replace(".", "/"), line


def test_every_file_stands_on_a_floor_and_every_place_is_taken():
    """Each .py file of the package is a wall of the table or a leaf on one of its shelves,
    and no line of the table is empty.
    """
    found = {stands_on(name_of(path)) for path in OWN}
    assert found == set(FLOOR)


def test_walls_import_strictly_downwards():
    """No file of the package imports one of its own floor or of a higher one:
    not at its top, not in a function, not for types.
    """
    wrong = [
        (
            f"{name_of(path)}:{line} (floor {FLOOR[stands_on(name_of(path))]}) imports {other} "
            f"(floor {FLOOR[stands_on(other)]})"
        )
        for path in OWN
        for other, line in within(path)
        if FLOOR[stands_on(other)] >= FLOOR[stands_on(name_of(path))]
    ]
    assert wrong == []


def test_nobody_imports_a_leaf():
    """Leaves are found at run time: no file of the package or of the plugins imports one,
    its neighbours on the shelf included.
    """
    shelves = [name for name in FLOOR if name.endswith("/")]
    wrong = [
        f"{path.name}:{line} imports {other}"
        for path in TREES
        for other, line in within(path)
        if other.startswith(tuple(shelves))
    ]
    assert wrong == []


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
        if not (ROOT / "genbench" / f"{alias.name}.py").is_file()
    }
    assert taken == set()


def test_there_is_no_circle():
    """The imports of the package can be put in an order."""
    order = TopologicalSorter({name_of(path): {other for other, _ in within(path)} for path in OWN})
    assert len(list(order.static_order())) == len(OWN)


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
def test_heavy_libraries_are_imported_through_lazy_alone(path):
    """No import statement of the package that is run names a heavy library,
    at the top or in a function: lazy.py binds them.
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


def test_only_say_prints():
    """Nothing outside say.py writes to a standard stream, but for the exceptions,
    each with its reason, which are still needed.
    """
    assert {
        path.name for path in [*OWN, *PLUGINS] if path.name != "say.py" and _prints(path)
    } == set(PRINTS)
    assert _prints(ROOT / "genbench" / "say.py")  # the test can see


def test_only_files_writes():
    """Nothing outside files.py opens a file to write it or moves one, but for the exceptions,
    each with its reason, which are still needed.
    """
    assert {
        path.name for path in [*OWN, *PLUGINS] if path.name != "files.py" and _writes(path)
    } == set(WRITES)
    assert _writes(ROOT / "genbench" / "files.py")  # the test can see


@pytest.mark.parametrize("path", TREES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_file_is_long(path):
    """A file has at most 500 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_no_function_is_long():
    """A function's body, its docstring aside, has at most 50 lines but for those listed, which
    the narrower lines made longer; 95 of 100 have fewer than 35.
    """
    lengths = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                name = f"{path.name}:{node.name}"
                lengths[name] = body[-1].end_lineno - body[0].lineno + 1 if body else 0
    assert {name for name, length in lengths.items() if length > 50} == LONG
    assert max(lengths.values()) <= 82
    assert np.percentile(list(lengths.values()), 95) < 35


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
