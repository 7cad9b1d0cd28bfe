"""Features of real images, computed once per content: cache/features/<data>-<extractor>.<output>-<weights>-<code>."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import shelves, weights
from genbench.files import cache, cached, file_sha256, home
from genbench.lazy import np, torch
from genbench.probes import AT_ONCE, rows_of
from genbench.rows import source_of
from genbench.say import PluginFailed, UserError, aside, clean, progress
from genbench.statistics import read_statistics
from genbench.used import Used, extractor_code, features_seal, package_of, place_of_vocabulary

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan
    from genbench.rows import Dataset, Extractor
    from genbench.stats import Moments

MIRRORED = "~mirrored"  # after a feature's name: of the images and of their mirror images


@dataclass(frozen=True)
class Real:
    """A split's features {"EXTRACTOR.OUTPUT": float64 [m, d]} and labels int64 [m]; or, for a statistics file, moments alone."""

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    moments: Mapping[str, Moments] = field(default_factory=dict)


def network(name: str, device: str, file: str, precision: str = "float32", images: int = 0, vocabulary: str = "") -> Any:
    """An extractor loaded on its device, with the weights file that was found ("": it has none), and its vocabulary; its every answer checked.

    precision: one of the row's own. images: how many a run will show it, 0 for few.
    """
    row: Extractor = shelves.find("extractors", name)
    takes = inspect.signature(row.load).parameters
    told = {key: value for key, value in {"precision": precision, "images": images}.items() if key in takes}
    with _calling(name, "loading it"):
        try:
            more = (Path(vocabulary),) if vocabulary else ()
            ready = row.load(device, Path(file), *more, **told) if file and len(set(takes) - set(told)) > 1 else row.load(device, **told)
        except UserError as error:
            raise UserError(f"weights {name}: {error}{_hashes(row, file)}") from None

    def answer(images: torch.Tensor, *prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        with _calling(name, "calling it"):
            found = ready(images.clone(), *prompts)  # a copy of its own: one that writes into it shall not change the others' images
        return _checked(row, found, len(images))

    return answer


def at_hand(name: str, device: str) -> Any:
    """An extractor with weights that are on this machine already; UserError where they are not."""
    row: Extractor = shelves.find("extractors", name)
    found = weights.find(row.weights, source_of(row.load).parent, {}) if row.weights else None
    if row.weights and found is None:
        raise UserError(f"weights missing: genbench weights fetch {row.weights.name}")
    return network(name, device, str(found.path) if found else "")


def _hashes(row: Extractor, file: str) -> str:
    """What a weights file is and should be, for the line that refuses it."""
    published = {one.sha256 for one in row.weights.files if one.sha256} if row.weights else set()
    return f" (its SHA-256 is {file_sha256(Path(file))}, the published one {' or '.join(sorted(published))})" if file and published else ""


def _checked(row: Extractor, found: Any, n: int) -> dict[str, torch.Tensor]:
    """An extractor's answer to n images as float32 rows; PluginFailed with what came otherwise."""
    if not isinstance(found, Mapping) or set(row.outputs) - set(found):
        came = f"the outputs {', '.join(map(str, found))}" if isinstance(found, Mapping) else type(found).__name__
        raise PluginFailed(f"extractor {row.name} returned {came}; return a dictionary with {', '.join(row.outputs)}")
    rows = {}
    for output, width in row.outputs.items():
        array = found[output]
        if not isinstance(array, torch.Tensor) or not array.is_floating_point():
            came = str(array.dtype) if isinstance(array, torch.Tensor) else type(array).__name__
            raise PluginFailed(f"extractor {row.name} returned {output} as {came}; return a tensor of floats [{n}, {width or 'd'}]")
        if array.ndim != 2 or len(array) != n or width not in (0, array.shape[1]):
            raise PluginFailed(f"extractor {row.name} returned {output} {list(array.shape)} for {n} images; return [{n}, {width or 'd'}]")
        rows[output] = array.detach().to(torch.float32)
    return rows


@contextlib.contextmanager
def _calling(name: str, what: str) -> Iterator[None]:
    """Run a stranger's extractor: its failures with its name in front."""
    try:
        with aside():
            yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit is no way to end a run unheard
        raise PluginFailed(f"extractor {name}: {what} raised {type(error).__name__}: {clean(str(error))}", traceback.format_exc()) from error


def networks(plan: Plan) -> dict[str, Any]:
    """Every extractor that the plan names, loaded on its device."""
    used = {name: one for protocol in plan.protocols.values() for name, one in protocol["extractors"].items()}
    files = {name: (plan.places.get(name, ""), plan.places.get(place_of_vocabulary(name), "")) for name in sorted(used)}
    return {name: network(name, plan.device, one, used[name].get("precision", "float32"), plan.n, more) for name, (one, more) in files.items()}


def real_features(plan: Plan, dataset: Dataset, loaded: Mapping[str, Any]) -> dict[str, dict[str, Real]]:
    """{protocol: {split: Real}} of every split and feature that a protocol holds samples against or measures real data with."""
    return {name: {split: _split(plan, protocol, split, dataset, loaded) for split in protocol["splits"]} for name, protocol in plan.protocols.items()}


def _split(plan: Plan, protocol: Mapping[str, Any], split: str, dataset: Dataset, loaded: Mapping[str, Any]) -> Real:
    if protocol["statistics"] is not None:
        return Real({}, np.zeros(0, dtype=np.int64), read_statistics(Path(plan.places["statistics"])))
    found: dict[str, ndarray[Any, Any]] = {}
    labels = None
    for name, used in protocol["extractors"].items():
        row: Extractor = shelves.find("extractors", name)
        if row.wants:
            continue  # real images have no prompts
        wide = {output for output, width in row.outputs.items() if width == 0}
        taken = [m for m in protocol["measures"] if not m["skip"] and m["features"].partition(".")[0] == name]
        outputs = sorted({m["features"].partition(".")[2] for m in taken} - wide)
        turns = {False, *(m["mirrored"] for m in taken if m["reference"] == split)} if outputs else set()
        for mirrored in sorted(turns):
            key = f"{protocol['splits'][split][:16]}", used["weights"], features_seal(used), plan.device.split(":")[0]
            arrays, classes = _features(dataset, split, name, loaded[name], outputs, plan.device, key, mirrored)
            labels = labels if mirrored else classes
            found |= {f"{name}.{output}{MIRRORED if mirrored else ''}": array.astype(np.float64) for output, array in arrays.items()}
    return Real(found, _labels(dataset, split) if labels is None else labels)


def _labels(dataset: Dataset, split: str) -> ndarray[Any, Any]:
    return np.concatenate([labels.numpy() for _, labels in dataset.open(split)])


def _features(
    dataset: Dataset, split: str, name: str, loaded: Any, outputs: Sequence[str], device: str, key: tuple[str, str, str, str], mirrored: bool
) -> tuple[dict[str, ndarray[Any, Any]], ndarray[Any, Any]]:
    """{output: float32 [m, d]} and labels [m] of a split, from the cache, or computed in one pass over the images."""
    data, seal, code, kind = key
    kind = f"{kind}{AT_ONCE[kind]}"  # features follow the size of a call in their last bit
    turned = "-mirrored" if mirrored else ""
    paths = {o: home() / "features" / f"{data}-{name}.{o}{turned}-{seal[:16]}-{code[:16]}-{kind}.safetensors" for o in outputs}
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


def features_of(dataset: Dataset, split: str, extractor: str, outputs: Sequence[str], device: str, file: str) -> dict[str, ndarray[Any, Any]]:
    """Features of one split outside of a run, {output: float64 [m, d]}; file: the weights that were found, "" where the extractor has none."""
    row = shelves.find("extractors", extractor)
    used = Used(file_sha256(Path(file)) if file else "none", extractor_code(row), package=package_of(row)).identity()
    key = dataset.fingerprint(split)[:16], used["weights"], features_seal(used), device.split(":")[0]
    found, _ = _features(dataset, split, extractor, network(extractor, device, file), list(outputs), device, key, False)
    return {output: array.astype(np.float64) for output, array in found.items()}
