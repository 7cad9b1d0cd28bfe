"""Write the public names of every package into the docstring of its `__init__.py`.

    python tests/architecture/write_public_names.py        after a name came or went

Public is what another package of genbench takes from it: the list is made from the imports.
"""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from pathlib import Path

HEAD = "Public names, by file:"
WITHOUT = ("api", "cli", "integrations")  # api lists its own; of the others nobody takes any


def _taken(home):
    """{package: {file's stem: names that other packages take from it}}."""
    files = {
        f"genbench.{path.relative_to(home).with_suffix('').as_posix().replace('/', '.')}": path
        for path in home.rglob("*.py")
    }
    found = defaultdict(lambda: defaultdict(set))
    for path in sorted(files.values()):
        own = path.relative_to(home).parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genbench."):
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    if whole in files:
                        modules[alias.asname or alias.name] = whole
                    elif node.module in files and node.module.split(".")[1] != own:
                        found[node.module.split(".")[1]][node.module].add(alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                whole = modules.get(node.value.id, "")
                if whole and whole.split(".")[1] != own:
                    found[whole.split(".")[1]][whole].add(node.attr)
    return found


def docstrings(root):
    """{path of a package's `__init__.py`: its text with the list as it should be}."""
    home = Path(root) / "genbench"
    found = _taken(home)
    out = {}
    for path in sorted(home.glob("*/__init__.py")):
        package = path.parent.name
        if package in WITHOUT:
            continue
        text = path.read_text(encoding="utf-8")
        kept, _, _ = text.rstrip().removesuffix('"""').partition(f"\n{HEAD}")
        lines = []
        for module in sorted(found[package]):
            name = ".".join(module.split(".")[2:])
            said = f"{name}: {', '.join(sorted(found[package][module]))}"
            lines += textwrap.wrap(
                said,
                100,
                initial_indent="    ",
                subsequent_indent="        ",
                break_on_hyphens=False,
            )
        body = (
            "\n".join([HEAD, "", *lines, ""])
            if lines
            else "Public names: none; its rows are found at run time.\n"
        )
        kept = kept.partition("\nPublic names: none")[0]
        out[path] = f'{kept.rstrip()}\n\n{body}"""\n'
    return out


if __name__ == "__main__":
    for path, text in docstrings(Path(__file__).parents[2]).items():
        path.write_text(text, encoding="utf-8")
