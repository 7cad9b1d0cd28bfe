"""Features of real images, computed once per content: cache/<data>-<extractor>-<weights>-<code>."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench import shelves
from genbench.files import cache, cached, home
from genbench.lazy import np, torch

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan
    from genbench.rows import Dataset, Extractor

AT_ONCE = 100  # images to a call of an extractor; fixed, so that features do not depend on the run's batch size


@dataclass(frozen=True)
class Real:
    """A split's features {"EXTRACTOR.OUTPUT": float64 [m, d]} and labels int64 [m]."""

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]


def extract(network: Any, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Features of images uint8 [n, 3, h, w], in calls of AT_ONCE."""
    parts = [network(images[at : at + AT_ONCE]) for at in range(0, len(images), AT_ONCE)]
    return {output: torch.cat([part[output] for part in parts]) for output in parts[0]}


def networks(plan: Plan) -> dict[str, Any]:
    """Every extractor that the plan names, loaded on its device."""
    names = sorted({name for protocol in plan.protocols.values() for name in protocol["extractors"]})
    return {name: shelves.find("extractors", name).load(plan.device) for name in names}


def real_features(plan: Plan, loaded: Mapping[str, Any]) -> dict[str, dict[str, Real]]:
    """{protocol: {split: Real}} for every split a protocol holds samples against or measures real data with."""
    return {name: {split: _split(protocol, split, loaded, plan.device) for split in protocol["splits"]} for name, protocol in plan.protocols.items()}


def _split(protocol: Mapping[str, Any], split: str, loaded: Mapping[str, Any], device: str) -> Real:
    features: dict[str, ndarray[Any, Any]] = {}
    labels: ndarray[Any, Any] = np.zeros(0, dtype=np.int64)
    for name in protocol["extractors"]:
        arrays = _features(protocol, split, name, loaded[name], device)
        labels = arrays.pop("labels")
        features |= {f"{name}.{output}": array.astype(np.float64) for output, array in arrays.items()}
    return Real(features, labels)


def _features(protocol: Mapping[str, Any], split: str, name: str, network: Any, device: str) -> dict[str, ndarray[Any, Any]]:
    used = protocol["extractors"][name]
    kind = device.split(":")[0]
    path = home() / "features" / f"{protocol['splits'][split][:16]}-{name}-{used['weights'][:16]}-{used['code'][:16]}-{kind}.safetensors"
    known = cached(path)
    if known is not None:
        return known[0]
    arrays = _computed(shelves.find("datasets", protocol["dataset"]), split, shelves.find("extractors", name), network, device)
    cache(path, arrays, {"dataset": protocol["dataset"], "split": split, "fingerprint": protocol["splits"][split]})
    return arrays


def _computed(dataset: Dataset, split: str, extractor: Extractor, network: Any, device: str) -> dict[str, ndarray[Any, Any]]:
    parts: list[dict[str, torch.Tensor]] = []
    labels = []
    for images, classes in dataset.open(split):
        parts.append({k: v.cpu() for k, v in extract(network, images.to(device)).items()})
        labels.append(classes)
    arrays = {output: torch.cat([part[output] for part in parts]).numpy() for output in extractor.outputs}
    return {**arrays, "labels": torch.cat(labels).numpy()}
