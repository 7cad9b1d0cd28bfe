"""Features of real images, computed once per content: cache/features/<data>-<extractor>.<output>-<weights>-<code>."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import shelves
from genbench.files import cache, cached, file_sha256, home
from genbench.lazy import np, torch
from genbench.measures import extractor_code
from genbench.probes import rows_of
from genbench.say import progress
from genbench.statistics import read_statistics

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan
    from genbench.rows import Dataset
    from genbench.stats import Moments

MIRRORED = "~mirrored"  # after a feature's name: of the images and of their mirror images


@dataclass(frozen=True)
class Real:
    """A split's features {"EXTRACTOR.OUTPUT": float64 [m, d]} and labels int64 [m]; or, for a statistics file, moments alone."""

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    moments: Mapping[str, Moments] = field(default_factory=dict)


def network(name: str, device: str, weights: str) -> Any:
    """An extractor loaded on its device, with the weights file that was found ("": it has none)."""
    load = shelves.find("extractors", name).load
    return load(device, Path(weights)) if weights and len(inspect.signature(load).parameters) > 1 else load(device)


def networks(plan: Plan) -> dict[str, Any]:
    """Every extractor that the plan names, loaded on its device."""
    names = sorted({name for protocol in plan.protocols.values() for name in protocol["extractors"]})
    return {name: network(name, plan.device, plan.weights.get(name, "")) for name in names}


def real_features(plan: Plan, dataset: Dataset, loaded: Mapping[str, Any]) -> dict[str, dict[str, Real]]:
    """{protocol: {split: Real}} of every split and feature that a protocol holds samples against or measures real data with."""
    return {name: {split: _split(protocol, split, dataset, loaded, plan.device) for split in protocol["splits"]} for name, protocol in plan.protocols.items()}


def _split(protocol: Mapping[str, Any], split: str, dataset: Dataset, loaded: Mapping[str, Any], device: str) -> Real:
    if protocol["statistics"] is not None:
        return Real({}, np.zeros(0, dtype=np.int64), read_statistics(Path(protocol["statistics"]["path"])))
    found: dict[str, ndarray[Any, Any]] = {}
    labels = None
    for name, used in protocol["extractors"].items():
        wide = {output for output, width in shelves.find("extractors", name).outputs.items() if width == 0}
        taken = [m for m in protocol["measures"] if not m["skip"] and m["features"].partition(".")[0] == name]
        outputs = sorted({m["features"].partition(".")[2] for m in taken} - wide)
        turns = {False, *(m["mirrored"] for m in taken if m["reference"] == split)} if outputs else set()
        for mirrored in sorted(turns):
            key = f"{protocol['splits'][split][:16]}", used["weights"], used["code"], device.split(":")[0]
            arrays, classes = _features(dataset, split, name, loaded[name], outputs, device, key, mirrored)
            labels = labels if mirrored else classes
            found |= {f"{name}.{output}{MIRRORED if mirrored else ''}": array.astype(np.float64) for output, array in arrays.items()}
    return Real(found, _labels(dataset, split) if labels is None else labels)


def _labels(dataset: Dataset, split: str) -> ndarray[Any, Any]:
    return np.concatenate([labels.numpy() for _, labels in dataset.open(split)])


def _features(
    dataset: Dataset, split: str, name: str, loaded: Any, outputs: Sequence[str], device: str, key: tuple[str, str, str, str], mirrored: bool
) -> tuple[dict[str, ndarray[Any, Any]], ndarray[Any, Any]]:
    """{output: float32 [m, d]} and labels [m] of a split, from the cache, or computed in one pass over the images."""
    data, weights, code, kind = key
    turned = "-mirrored" if mirrored else ""
    paths = {o: home() / "features" / f"{data}-{name}.{o}{turned}-{weights[:16]}-{code[:16]}-{kind}.safetensors" for o in outputs}
    known = {output: there[0] for output, path in paths.items() if (there := cached(path)) is not None}
    missing = [output for output in outputs if output not in known]
    if missing:
        arrays = _computed(dataset, split, name, loaded, missing, device, mirrored)
        for output in missing:
            known[output] = {"features": arrays[output], "labels": arrays["labels"]}
            cache(paths[output], known[output], {"dataset": dataset.name, "split": split, "fingerprint": data})
    return {output: known[output]["features"] for output in outputs}, known[outputs[0]]["labels"]


def _computed(dataset: Dataset, split: str, name: str, loaded: Any, outputs: Sequence[str], device: str, mirrored: bool) -> dict[str, ndarray[Any, Any]]:
    parts: list[dict[str, torch.Tensor]] = []
    labels = []
    turns = (False, True) if mirrored else (False,)  # all images, then all their mirror images, as NVIDIA's code has them
    with progress(f"features {name} of {dataset.name} {split}", dataset.splits[split] * len(turns), "images") as done:
        for turned in turns:
            for images, classes in dataset.open(split):
                batch = (images.flip(3) if turned else images).to(device)
                parts.append({output: rows.cpu() for output, rows in rows_of(loaded, batch, list(outputs)).items()})
                labels.append(classes)
                done(len(images))
    arrays = {output: torch.cat([part[output] for part in parts]).numpy() for output in outputs}
    return {**arrays, "labels": torch.cat(labels).numpy()}


def features_of(dataset: Dataset, split: str, extractor: str, outputs: Sequence[str], device: str, weights: str) -> dict[str, ndarray[Any, Any]]:
    """Features of one split outside of a run, {output: float64 [m, d]}; weights: the file that was found, "" where the extractor has none."""
    code = extractor_code(shelves.find("extractors", extractor))
    key = dataset.fingerprint(split)[:16], file_sha256(Path(weights)) if weights else "none", code, device.split(":")[0]
    found, _ = _features(dataset, split, extractor, network(extractor, device, weights), list(outputs), device, key, False)
    return {output: array.astype(np.float64) for output, array in found.items()}
