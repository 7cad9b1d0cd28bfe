"""What a run computes of its samples: the images themselves, rows or sums of features, distances of
latent pairs (one file per shard and probe), and distances within classes (one file in all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench._util.hashing import digest
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.metric import Metric, Pairs
from genbench.api.metric_inputs import RECONSTRUCTED
from genbench.features.extraction import AT_ONCE
from genbench.metrics._streaming import streams
from genbench.runs.records.metric_versions import PAIRS

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.runs.records.record import Plan

PAIRS_AT_ONCE = 8


@dataclass(frozen=True)
class Probe:
    """A source (the samples' images, or latent pairs) seen through an extractor's output."""

    name: str
    # what its files say of themselves; a file that says otherwise is of another time and done again
    says: Mapping[str, str]
    extractor: str = ""  # "": the images themselves
    output: str = ""
    sums: bool = False  # sums by class in place of rows
    pairs: Pairs | None = None
    first: int = 0  # of pairs: only those of the first so many samples are rendered
    ahead: bool = False  # distances within classes, of the whole run at once

    @property
    def of_images(self) -> bool:
        """Whether a shard computes it from its own images."""
        return not (self.pairs or self.ahead)

    def wanted(self, indices: ndarray[Any, Any]) -> int:
        """How many of a shard's samples, in order, it is computed of."""
        return int((indices < self.first).sum()) if self.pairs else len(indices)


def kept_images(plan: Plan) -> Probe:
    """The images of a run that keeps them: what reads them needs no row of the shelves."""
    return Probe("images", _common(plan))


def _common(plan: Plan) -> dict[str, str]:
    return {"run": plan.id, "quantise": plan.quantise, "device": plan.device.split(":")[0]}


def probes_of(plan: Plan) -> dict[str, Probe]:
    """Every probe of a run by name."""
    common = _common(plan)
    found = {"images": kept_images(plan)} if plan.keep_images else {}
    for protocol in plan.protocols.values():
        for measure in protocol["measures"]:
            if not (measure["skip"] or reconstructs(measure)):
                name, probe = _probe(
                    measure,
                    {**common, **protocol["extractors"][measure["features"].partition(".")[0]]},
                )
                first = reach(measure, int(protocol["repeats"]), plan.n) if probe.pairs else 0
                found[name] = replace(
                    probe, first=max(first, found[name].first if name in found else 0)
                )
    return found


def rounded(rows: ndarray[Any, Any], measure: Mapping[str, Any]) -> ndarray[Any, Any]:
    """Rows to the precision that a measure asks for, as float64;
    those of float64 as they are, for they may be gigabytes.
    """
    return rows.astype(measure["precision"], copy=False).astype(np.float64, copy=False)


def taken_n(measure: Mapping[str, Any], n: int) -> int:
    """How many of n samples, or of n images of the reference, whole batches leave."""
    return int(n // measure["batch"] * measure["batch"]) if measure["batch"] else n


def one_repeat(measure: Mapping[str, Any], repeats: int, n: int) -> int:
    """How many samples of a run of n one value of a measure is taken of."""
    return taken_n(measure, min(measure["samples_n"] or n, n // repeats))


def reach(measure: Mapping[str, Any], repeats: int, n: int) -> int:
    """Up to which sample of a run of n a measure looks at any, its repeats one after the other."""
    return (repeats - 1) * (n // repeats) + one_repeat(measure, repeats, n)


def streamed(measure: Mapping[str, Any], repeats: int, n: int) -> bool:
    """Whether a measure of a run of n samples is taken from moments by block,
    and its rows are not held.
    """
    metric: Metric = registry.find("metrics", measure["metric"])
    return repeats == 1 and streams(metric, width_of(measure), one_repeat(measure, repeats, n))


def held_rows(plan: Plan, probe: Probe) -> int:
    """Up to which sample the measures of a run need the rows of a probe at once; 0:
    they need none.
    """
    found = [0]
    for protocol in plan.protocols.values():
        repeats = int(protocol["repeats"])
        of_it = [
            m
            for m in protocol["measures"]
            if not (m["skip"] or reconstructs(m)) and probe_name(m) == probe.name
        ]
        found += [
            reach(measure, repeats, plan.n)
            for measure in of_it
            if not streamed(measure, repeats, plan.n)
        ]
    return max(found)


def _probe(measure: Mapping[str, Any], says: Mapping[str, str]) -> tuple[str, Probe]:
    name = probe_name(measure)
    extractor, _, output = measure["features"].partition(".")
    pairs = Pairs(**measure["pairs"]) if ".pairs-" in name else None
    if pairs:
        says = {**says, "paths": PAIRS}
    sums, ahead = name.endswith(".sums"), name.endswith(".ahead")
    if not (sums or pairs or ahead):
        says = {**says, "at_once": str(AT_ONCE[says["device"]])}
    return name, Probe(name, says, extractor, output, sums, pairs, ahead=ahead)


def reconstructs(measure: Mapping[str, Any]) -> bool:
    """Whether a measure is taken of reconstructions of the reference's images, and of no sample."""
    return bool(RECONSTRUCTED & set(registry.find("metrics", measure["metric"]).needs))


def width_of(measure: Mapping[str, Any]) -> int:
    """How wide a measure's features are; 0 of those that are too wide to keep."""
    extractor, _, output = measure["features"].partition(".")
    return int(registry.find("extractors", extractor).outputs[output])


def probe_name(measure: Mapping[str, Any]) -> str:
    """The probe that a measure is taken from: rows of its features;
    where they are too wide to keep, their sums or distances; or those of latent pairs.
    """
    needs = registry.find("metrics", measure["metric"]).needs
    extractor, _, output = measure["features"].partition(".")
    if "pairs" in needs:
        return f"{measure['features']}.pairs-{digest(dict(measure['pairs']))[:8]}"
    wide = registry.find("extractors", extractor).outputs[output] == 0
    return (
        f"{measure['features']}.{'ahead' if 'ahead' in needs else 'sums'}"
        if wide
        else str(measure["features"])
    )
