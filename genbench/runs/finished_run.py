"""Read what a finished run measured: its measures, its features and its real-vs-real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.validation import source_of
from genbench.features.reference_cache import features_of
from genbench.io import weights
from genbench.runs.planning.shard_outputs import probes_of
from genbench.runs.records.record import Plan
from genbench.runs.sampling import read_shards

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def measure_of(plan: Plan, protocol: str) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """The protocol that is read, by name and whole, and its first measure that holds rows of
    samples against rows of real images.
    """
    if protocol and protocol not in plan.protocols:
        raise UserError(
            f"the run has no protocol {clean(protocol)!r}: {choices(protocol, plan.protocols)}"
        )
    for name, under in plan.protocols.items():
        for measure in under["measures"] if protocol in ("", name) else ():
            needs = set(registry.find("metrics", measure["metric"]).needs)
            if (
                not measure["skip"]
                and {"samples", "reference"} <= needs
                and under["statistics"] is None
            ):
                return name, under, measure
    raise UserError(
        "no measure of this run compares samples with real images by rows of features: "
        "run it with --metrics kd or fd, without --reference"
    )


def gathered(plan: Plan, folder: Path, feature: str) -> Array:
    """A feature of all samples in the float32 that it was kept in [n, d], from the run's folder."""
    if not (folder / "shards").is_dir():
        raise UserError(
            f"{folder} holds no samples: name the folder of the run, and not an entry of a board"
        )
    return _finite(
        read_shards.gather(plan, folder, probes_of(plan)[feature], dtype="float32"),
        feature,
        "samples",
    )


def _finite(rows: Array, feature: str, of: str) -> Array:
    if not np.isfinite(rows).all():
        raise UserError(
            f"the features {feature} of the {of} hold NaN or infinite values: "
            "no table can be made of them"
        )
    return rows


def real_rows(dataset: Dataset, split: str, feature: str, plan: Plan) -> tuple[Array, Array]:
    """Features float32 [m, d] and labels int64 [m] of a split,
    from the cache where a run has left them.
    """
    extractor, _, output = feature.partition(".")
    row = registry.find("extractors", extractor)
    found = weights.find(row.weights, source_of(row.load).parent, {}) if row.weights else None
    if row.weights and found is None:
        raise UserError(f"weights missing: genbench weights fetch {row.weights.name}")
    rows = features_of(
        dataset,
        split,
        extractor,
        [output],
        plan.device.split(":")[0],
        str(found.path) if found else "",
    )[output]
    return _finite(rows.astype(np.float32), feature, "real images"), np.concatenate(
        [labels.numpy() for _, labels in dataset.open(split)]
    ).astype(np.int64)
