"""Write golden numbers: `python tests/golden/make.py fd digits resizes/tf1`, `--all`, `--missing`.

Numbers in a golden file are never changed: where a number of today's version differs, nothing is
written, one line says which version to raise, and the exit status is 2. Cases that a file lacks,
such as a new set of constants, are added.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import golden_numbers as numbers


def main(words):
    """Write the golden files that the words ask for; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Write golden numbers: of metrics, extractors, resizes and formulas."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a name, or KIND/NAME where several kinds have it"
    )
    parser.add_argument("--all", action="store_true", help="every name")
    parser.add_argument(
        "--missing", action="store_true", help="every name that lacks a file or a set of constants"
    )
    asked = parser.parse_args(words)
    every = [(kind, name) for kind, row in numbers.KINDS.items() for name in row.versions()]
    if not (asked.names or asked.all or asked.missing):
        parser.error("name something, or give --all or --missing")
    wanted = [_find(name, every) for name in asked.names]
    wanted += [one for one in every if asked.all or (asked.missing and _is_missing(*one))]
    refusals = [line for kind, name in dict.fromkeys(wanted) if (line := make(kind, name))]
    for line in refusals:
        print(line, file=sys.stderr)
    return 2 if refusals else 0


def make(kind, name):
    """Write one golden file or add to it; return the line of a refusal, or nothing."""
    path, version = _path(kind, name), numbers.KINDS[kind].versions()[name]
    golden, scales = numbers.read(path) if path.is_file() else ({}, {})
    found = numbers.compute(kind, name, golden)
    where = numbers.KINDS[kind].where(name)
    if moved := numbers.find_moved(kind, name, golden, scales, found):
        return f"{kind}/{name}: numbers of version {version} moved ({moved[0]}): raise {where}"
    if gone := golden.keys() - found.keys():
        return f"{kind}/{name}: version {version} has no case {min(gone)!r} any more: raise {where}"
    for before in range(1, version):
        if not (earlier := numbers.path_of(kind, name, before)).is_file():
            return (
                f"{kind}/{name}: {earlier.name} is missing; golden files of all versions are kept"
            )
        if not numbers.find_moved(kind, name, *numbers.read(earlier), found):
            return f"{kind}/{name}: versions {before} and {version} have the same numbers"
    if new := found.keys() - golden.keys():
        numbers.write(kind, name, version, {**found, **golden})
        print(f"{path.relative_to(numbers.GOLDEN)}: {len(found)} cases, {len(new)} of them new")
    return ""


def _is_missing(kind, name):
    """Return whether a name lacks the golden file of its version, or a set of constants in it."""
    path = _path(kind, name)
    wanted = numbers.list_metric_cases(name) if kind == "metrics" else ()
    return not (path.is_file() and set(wanted) <= numbers.read(path)[0].keys())


def _path(kind, name):
    return numbers.path_of(kind, name, numbers.KINDS[kind].versions()[name])


def _find(word, every):
    """Return the kind and name of a word; end the program where there is none, or several."""
    found = [(kind, name) for kind, name in every if word in (name, f"{kind}/{name}")]
    if len(found) != 1:
        several = " and ".join("/".join(one) for one in found)
        why = f"stands for {several}: name one" if several else "is no name of a golden file"
        print(f"{word} {why}", file=sys.stderr)
        raise SystemExit(2)
    return found[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
