"""Packages and stages of runs/ import downwards only, without cycles; nobody imports a leaf."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

from helpers.places import ROOT

PACKAGES = "cli integrations experiments selftest report human gate leaderboards per_class runs "
PACKAGES += "generators protocols metrics features data io statistics api _util"  # highest first
STAGES = ["runs", "engines", "scoring", "sampling", "planning", "records"]
SHELVES = ["cli/commands", "data/datasets", "features/extractors", "metrics", "protocols"]
SHELVES += ["runs/engines", "report/sections"]


def imports(root):
    """{file of root/genbench: the files of it that it imports, in functions and for types too}."""
    home = root / "genbench"
    files = {path.relative_to(home).as_posix() for path in home.rglob("*.py")}
    modules = {
        f"genbench/{f}".removesuffix(".py").removesuffix("/__init__").replace("/", "."): f
        for f in files
    }
    found = {}
    for file in sorted(files):
        said = set()
        for node in ast.walk(ast.parse((home / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                said |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                said |= {one if one in modules else str(node.module) for one in inner}
        found[file] = {modules[one] for one in said if one in modules} - {file}
    return found


def violations(root):
    """What is wrong with the imports below root/genbench, a line each."""
    edges = [
        (a, b, *(f.split("/")[:-1] for f in (a, b))) for a, bs in imports(root).items() for b in bs
    ]
    wrong = [f"{a} imports {b}, above the packages" for a, b, x, y in edges if x and not y]
    edges = [edge for edge in edges if edge[2] and edge[3]]
    packages = {(x[0], y[0]) for *_, x, y in edges if x[0] != y[0]}
    stages = {(x[-1], y[-1]) for *_, x, y in edges if x[0] == y[0] == "runs" and x != y}
    for pairs, order in ((packages, PACKAGES.split()), (stages, STAGES)):
        wrong += [f"{a} imports {b}: upwards" for a, b in pairs if order.index(a) > order.index(b)]
    for pairs in (packages, stages, {(a, b) for a, b, *_ in edges}):
        try:
            TopologicalSorter({a: [y for x, y in pairs if x == a] for a, _ in pairs}).prepare()
        except CycleError as error:
            wrong.append(f"a cycle: {' -> '.join(error.args[1])}")
    leaves = [(a, b) for a, b, _, y in edges if "/".join(y) in SHELVES and "/_" not in b]
    return sorted(wrong + [f"{a} imports {b}: a leaf" for a, b in leaves])


def test_imports_go_downwards_without_cycles_and_without_leaves():
    """The order of packages and stages holds for every import statement of the package."""
    assert violations(ROOT) == []
