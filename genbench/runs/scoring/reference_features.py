"""Compute, or read from the cache, the features of the real images that a plan needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.features.reference_cache import (
    MIRRORED,
    Found,
    Real,
    Wanted,
    features_of_split,
    labels_of_split,
)
from genbench.io.reference_statistics import read_statistics

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.api.dataset import Dataset
    from genbench.api.extractor import Extractor
    from genbench.runs.records.record import Plan


def real_features(
    plan: Plan, dataset: Dataset, loaded: Mapping[str, Any]
) -> dict[str, dict[str, Real]]:
    """{protocol: {split: Real}} of every split and feature that a protocol holds samples against or
    measures real data with.

    A split is read once at most, whatever number of protocols and extractors look at it.
    """
    wanted: dict[str, Wanted] = {}
    for protocol in plan.protocols.values():
        for split in protocol["splits"] if protocol["statistics"] is None else ():
            looks = wanted.setdefault(split, {})  # at its labels, where at no feature
            for key, (used, outputs) in _wanted(protocol, split).items():
                looks.setdefault(key, (used, set()))[1].update(outputs)
    prints = {
        split: one["splits"][split] for one in plan.protocols.values() for split in one["splits"]
    }
    seen = {
        split: features_of_split(dataset, split, prints[split], of, loaded, plan.device)
        for split, of in wanted.items()
    }
    labels = {
        split: labels_of_split(dataset, split) if seen[split][1] is None else seen[split][1]
        for split in wanted
    }
    return {
        name: {
            split: _real(
                plan,
                protocol,
                split,
                *((seen[split][0], labels[split]) if split in seen else ({}, None)),
            )
            for split in protocol["splits"]
        }
        for name, protocol in plan.protocols.items()
    }


def _wanted(protocol: Mapping[str, Any], split: str) -> Wanted:
    """What a protocol looks at of a split, each extractor's outputs together."""
    found: Wanted = {}
    for name, used in protocol["extractors"].items():
        row: Extractor = registry.find("extractors", name)
        if row.wants:
            continue  # real images have no prompts
        wide = {output for output, width in row.outputs.items() if width == 0}
        taken = [
            m
            for m in protocol["measures"]
            if not m["skip"] and m["features"].partition(".")[0] == name
        ]
        outputs = {m["features"].partition(".")[2] for m in taken} - wide
        turns = (
            {False, *(m["mirrored"] for m in taken if m["reference"] == split)}
            if outputs
            else set()
        )
        found |= {(name, mirrored): (used, outputs) for mirrored in sorted(turns)}
    return found


def _real(
    plan: Plan,
    protocol: Mapping[str, Any],
    split: str,
    seen: Found,
    labels: ndarray[Any, Any] | None,
) -> Real:
    """A split as a protocol looks at it."""
    if protocol["statistics"] is not None:
        return Real(
            {}, np.zeros(0, dtype=np.int64), read_statistics(Path(plan.places["statistics"]))
        )
    assert labels is not None, "a protocol without statistics has looked at its splits"
    of = {key: outputs for key, (_, outputs) in _wanted(protocol, split).items()}
    named = {
        f"{name}.{output}{MIRRORED if turned else ''}": seen[name, turned][output]
        for (name, turned), outputs in of.items()
        for output in sorted(outputs)
    }
    return Real({name: array.astype(np.float64) for name, array in named.items()}, labels)
