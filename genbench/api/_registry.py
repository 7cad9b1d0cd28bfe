"""What there is: built-in leaves, entry points of other packages (names without loading),
and files named with --with; lookup with near misses.

A leaf is a file in a shelf's folder; every row at its top level stands on the shelf of its kind.
Strangers' rows stand there by an entry point of the group `genbench.<shelf>` whose name is
the row's name.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from genbench._util.console import aside
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.api import dataset, extractor, metric, protocol
from genbench.api.engine import Engine
from genbench.api.report_section import Section

KINDS: dict[str, type] = {
    "datasets": dataset.Dataset,
    "extractors": extractor.Extractor,
    "metrics": metric.Metric,
    "protocols": protocol.Protocol,
}
# whose leaves bring no other rows: only read when asked for
APART: dict[str, type] = {"sections": Section, "engines": Engine}
# kinds of rows; those without a folder of their own stand in other kinds' leaves
SHELVED = {**KINDS, **APART, "measures": metric.Measure}
FOLDERS = {
    "generators": "genbench_plugins",
    "commands": "genbench.cli.commands",
    "datasets": "genbench.data.datasets",
    "extractors": "genbench.features.extractors",
    "metrics": "genbench.metrics",
    "protocols": "genbench.protocols",
    "sections": "genbench.report.sections",
    "engines": "genbench.runs.engines",
}
COMMANDS = {
    "check_plugin": "test-plugin"
}  # files whose name is not the command's: pytest would collect test_*.py
# the catalogue of files that this process was told to read
_with: list[tuple[str, ModuleType]] = []


@dataclass(frozen=True)
class Standing:
    """Something on a shelf, not loaded yet."""

    shelf: str
    name: str
    origin: str  # where it comes from, for people
    target: EntryPoint | str | Any  # an entry point, a module's name, or the row itself


def _leaves(shelf: str) -> Iterator[str]:
    """The module names of a shelf's folder, without importing any."""
    spec = importlib.util.find_spec(FOLDERS[shelf])
    for folder in spec.submodule_search_locations or [] if spec else []:
        yield from sorted(
            path.stem for path in Path(folder).glob("*.py") if not path.name.startswith("_")
        )


@cache
def _built_in(shelf: str) -> tuple[Standing, ...]:
    if shelf not in SHELVED:
        names = {
            leaf: COMMANDS.get(leaf, leaf.replace("_", "-")) if shelf == "commands" else leaf
            for leaf in _leaves(shelf)
        }
        return tuple(
            Standing(shelf, name, "built in", f"{FOLDERS[shelf]}.{leaf}")
            for leaf, name in names.items()
        )
    kinds = [shelf] if shelf in APART else KINDS
    # a data set's leaf may bring its protocol
    modules = [
        importlib.import_module(f"{FOLDERS[kind]}.{leaf}")
        for kind in kinds
        for leaf in _leaves(kind)
    ]
    return tuple(
        Standing(shelf, row.name, "built in", row)
        for module in modules
        for row in _rows_of(module, SHELVED[shelf])
    )


def _rows_of(module: ModuleType, kind: type) -> list[Any]:
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, kind) and not name.startswith("_")
    ]


@cache
def _points() -> Any:
    """The entry points of every package that is installed: their files are read once."""
    return entry_points()


@cache
def _strangers(shelf: str) -> tuple[Standing, ...]:
    points = [(point, point.dist) for point in _points().select(group=f"genbench.{shelf}")]
    return tuple(
        Standing(shelf, p.name, f"{d.name} {d.version} ({p.value})" if d else p.value, p)
        for p, d in points
    )


def _from_files(shelf: str) -> Iterator[Standing]:
    if shelf in SHELVED:
        for path, module in _with:
            yield from (
                Standing(shelf, row.name, path, row) for row in _rows_of(module, SHELVED[shelf])
            )


def standing(shelf: str) -> dict[str, Standing]:
    """Everything on a shelf by name; strangers are not imported.

    Two of one name are refused, naming both.
    """
    found: dict[str, Standing] = {}
    for one in (*_built_in(shelf), *_strangers(shelf), *_from_files(shelf)):
        if one.name in found:
            raise UserError(
                f"two {shelf} are named {one.name}: {found[one.name].origin} and {one.origin}; "
                "rename or uninstall one"
            )
        found[one.name] = one
    return found


def known(shelf: str, name: str) -> Standing:
    """The thing of this name; UserError with the near misses otherwise."""
    found = standing(shelf)
    if name not in found:
        raise UserError(
            f"unknown {shelf.removesuffix('s')} {clean(name)!r}: {choices(name, found)}"
        )
    return found[name]


def load(one: Standing) -> Any:
    """The row, module or object behind a name; the only place where a stranger's package
    is imported.
    """
    if isinstance(one.target, EntryPoint):
        try:
            return one.target.load()
        except Exception as error:
            raise UserError(
                f"{one.name} from {one.origin} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    return importlib.import_module(one.target) if isinstance(one.target, str) else one.target


def find(shelf: str, name: str) -> Any:
    """The row of this name, loaded and of the shelf's kind."""
    one = known(shelf, name)
    row = load(one)
    if shelf in SHELVED and (
        not isinstance(row, SHELVED[shelf]) or getattr(row, "name", None) != name
    ):
        raise UserError(
            f"{name} from {one.origin} is not a {SHELVED[shelf].__name__} row of that name "
            f"but {row!r:.80}"
        )
    return row


def every(shelf: str) -> dict[str, Any]:
    """All rows of a shelf, loaded, by name."""
    return {name: find(shelf, name) for name in standing(shelf)}


class _AsWritten(importlib.machinery.SourceFileLoader):
    """Compiles the text that is there: a bytecode file is told by second and size alone,
    and an edit may keep both.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def module_of(path: Path) -> ModuleType:
    """A Python file as a module, imported once as it stands;
    edited, or with an edited neighbour, again, so that what runs is what is recorded.
    """
    try:
        text = tuple(sorted((near.name, near.read_bytes()) for near in path.parent.glob("*.py")))
    except OSError:
        text = ()
    return _imported(path, hashlib.sha256(repr(text).encode()).hexdigest())


@cache
def _imported(path: Path, text: str) -> ModuleType:
    """The module of a file, under a name of its own; neighbours that it imports are its own too,
    not the next file's.
    """
    name = f"genbench_file_{path.stem}_{hashlib.sha256(f'{path}{text}'.encode()).hexdigest()[:8]}"
    spec = (
        importlib.util.spec_from_file_location(name, path, loader=_AsWritten(name, str(path)))
        if path.suffix == ".py"
        else None
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.modules[name] = module
    # as `python file.py` does, so that it may import its neighbours
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        for other in set(sys.modules) - before - {name}:
            if Path(getattr(sys.modules[other], "__file__", None) or "/").parent == path.parent:
                del sys.modules[other]
    return module


def files() -> tuple[str, ...]:
    """The files that this process was told to read (--with)."""
    return tuple(str(Path(path).resolve()) for path, _ in _with)


def add_file(path: Path) -> None:
    """Put the rows of a file on their shelves (--with FILE)."""
    if not path.is_file():
        raise UserError(f"--with {clean(str(path))}: there is no such file")
    try:
        with aside():
            module = module_of(path.resolve())
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--with {clean(str(path))}: {type(error).__name__}: {clean(str(error))}"
        ) from error
    if not any(_rows_of(module, kind) for kind in SHELVED.values()):
        raise UserError(
            f"--with {path}: it holds no row; define a "
            f"{', '.join(kind.__name__ for kind in SHELVED.values())} at its top level"
        )
    _with[:] = [one for one in _with if one[0] != str(path)]  # edited since, it takes its own place
    _with.append((str(path), module))
