"""Golden numbers: where a value moves, its version is raised, and older numbers are kept."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import golden_numbers as numbers

NAMES = [(kind, name) for kind, row in numbers.KINDS.items() for name in row.versions()]


def how_to_make(kind, name):
    return f"run python tests/golden/make.py {numbers.label_of(kind, name)}"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_numbers_of_the_current_version_are_the_golden_ones(kind, name):
    """Every metric, extractor, resize and formula gives the numbers of its version."""
    version = numbers.KINDS[kind].versions()[name]
    path = numbers.path_of(kind, name, version)
    assert path.is_file(), (
        f"{kind}/{name} has no golden numbers of version {version}: {how_to_make(kind, name)}"
    )
    golden, scales = numbers.read(path)
    found = numbers.compute(kind, name, golden)
    moved = numbers.find_moved(kind, name, golden, scales, found)
    moved += [f"{case}: is not computed any more" for case in golden if case not in found]
    assert not moved, (
        f"{kind}/{name} moved: {'; '.join(moved[:5])}. Where that is meant, raise "
        f"{numbers.KINDS[kind].where(name)}, {how_to_make(kind, name)} "
        "and add a line to CHANGELOG.md"
    )
    lacking = [case for case in found if case not in golden]
    assert not lacking, f"{path.name} lacks {lacking[:5]}: {how_to_make(kind, name)}"


@pytest.mark.parametrize("kind", numbers.KINDS)
def test_every_golden_file_is_of_a_version_that_was(kind):
    """Golden files belong to rows of today, from version 1 to the current one without a gap."""
    versions = numbers.KINDS[kind].versions()
    found = numbers.list_golden_versions(kind)
    assert sorted(found) == sorted(versions)
    for name, have in found.items():
        wanted = list(range(1, versions[name] + 1))
        assert have == wanted, f"{kind}/{name}: golden files of versions {have}, not {wanted}"


@pytest.mark.parametrize("kind", numbers.KINDS)
def test_versions_of_one_name_differ(kind):
    """No two versions of a name have the same numbers in all the cases that both have."""
    for name, versions in numbers.list_golden_versions(kind).items():
        for one, other in itertools.combinations(versions, 2):
            first, second = (
                numbers.read(numbers.path_of(kind, name, version)) for version in (one, other)
            )
            assert numbers.find_moved(kind, name, *first, second[0]), (
                f"{kind}/{name}: versions {one} and {other} have the same numbers"
            )


@pytest.mark.parametrize("name", numbers.KINDS["metrics"].versions())
def test_every_set_of_constants_of_a_shipped_protocol_has_its_case(name):
    """A metric has golden numbers with the constants of every shipped protocol and measure."""
    path = numbers.path_of("metrics", name, numbers.KINDS["metrics"].versions()[name])
    cases = numbers.read(path)[0] if path.is_file() else {}
    lacking = [case for case in numbers.list_metric_cases(name) if case not in cases]
    assert not lacking, (
        f"metrics/{name} has no golden numbers for {lacking}: {how_to_make('metrics', name)}"
    )
