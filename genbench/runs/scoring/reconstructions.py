"""Reconstructions: a split's images through the hook `reconstruct`, and what measures need of them,
a file for each part of the split.

They are views of a split beside its features, as mirror images are, paired with its images by
place: row i is of the split's image i.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.checksummed_files import Damaged, read_arrays, write_arrays
from genbench._util.console import complain, progress
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.api.metric import Metric
from genbench.features.extraction import AT_ONCE, calls, rows_of, wide_at_once
from genbench.generators.reconstruct import reconstruct
from genbench.runs.planning.shard_outputs import reconstructs
from genbench.runs.records.metric_versions import agrees, between_of

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.api.dataset import Batch, Dataset
    from genbench.features.reference_cache import Real
    from genbench.generators.generator import Generator
    from genbench.runs.records.record import Plan

PART = 1000  # images to a file: the unit of resuming
VIEW = "rows"  # the name of the array in it


def view(measure: Mapping[str, Any]) -> str:
    """What a measure of reconstructions is taken of, as a name among a split's features:
    rows of their features, or numbers between images and them.
    """
    metric: Metric = registry.find("metrics", measure["metric"])
    return f"{measure['features']}~{metric.name if 'between' in metric.needs else 'reconstructed'}"


def added(
    real: Mapping[str, Mapping[str, Real]],
    plan: Plan,
    dataset: Dataset,
    generator: Generator,
    loaded: Mapping[str, Any],
    folder: Path,
) -> dict[str, dict[str, Real]]:
    """The same {protocol: {split: Real}} with the views of reconstructions that the plan's measures
    need; without them where the hook answers None.
    """
    wanted: dict[str, dict[str, tuple[Mapping[str, Any], dict[str, str]]]] = {}
    for protocol in plan.protocols.values():
        for measure in protocol["measures"]:
            if not measure["skip"] and reconstructs(measure):
                split = measure["reference"]
                wanted.setdefault(split, {})[view(measure)] = (
                    measure,
                    _says(plan, protocol, measure),
                )
    found = {
        split: _of_split(split, views, plan, dataset, generator, loaded, folder)
        for split, views in wanted.items()
    }
    return {
        name: {
            split: replace(one, features={**one.features, **found.get(split, {})})
            for split, one in splits.items()
        }
        for name, splits in real.items()
    }


def _says(plan: Plan, protocol: Mapping[str, Any], measure: Mapping[str, Any]) -> dict[str, str]:
    """What the files of a view say of themselves; a file that says otherwise is of another time
    and done again.
    """
    extractor = measure["features"].partition(".")[0]
    device = plan.device.split(":")[0]
    common = {
        "run": plan.id,
        "quantise": plan.quantise,
        "device": device,
        "at_once": str(AT_ONCE[device]),
        "split": protocol["splits"][measure["reference"]],
    }
    return {
        **common,
        **protocol["extractors"][extractor],
        "between": between_of(registry.find("metrics", measure["metric"])),
    }


def _of_split(
    split: str,
    views: Mapping[str, tuple[Mapping[str, Any], dict[str, str]]],
    plan: Plan,
    dataset: Dataset,
    generator: Generator,
    loaded: Mapping[str, Any],
    folder: Path,
) -> dict[str, ndarray[Any, Any]]:
    """{view: float64 [m, d] or [m]} of a split's images; {} where the hook answers None."""
    parts: dict[str, list[ndarray[Any, Any]]] = {name: [] for name in views}
    with progress(f"reconstructing {split}", dataset.splits[split], "images") as done:
        for at, images, labels in _parts(dataset.open(split)):
            paths = {
                name: folder / "shards" / f"{split}-{at:07d}.{name}.safetensors" for name in views
            }
            said = {
                name: {**says, "place": f"{at}-{at + len(images)}"}
                for name, (_, says) in views.items()
            }
            there = {
                name: rows
                for name, path in paths.items()
                if (rows := _read(path, said[name], views[name][0])) is not None
            }
            missing = [name for name in views if name not in there]
            if missing:
                originals = images.to(plan.device)
                ours = reconstruct(
                    generator, originals, labels.to(plan.device), plan.batch_size, plan.quantise
                )
                if ours is None:
                    return {}
                for name in missing:
                    there[name] = _seen(views[name][0], loaded, originals, ours)
                    write_arrays(paths[name], {VIEW: there[name]}, said[name])
            for name, rows in there.items():
                parts[name].append(rows)
            done(len(images))
    return {name: np.concatenate(rows).astype(np.float64) for name, rows in parts.items()}


def _parts(batches: Iterator[Batch]) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """A split's batches again, as parts of equal size: (place of the first, images, labels)."""
    at, images, labels = 0, torch.zeros(0), torch.zeros(0)
    for more, classes in batches:
        images, labels = (
            (torch.cat([images, more]), torch.cat([labels, classes]))
            if len(images)
            else (more, classes)
        )
        while len(images) >= PART:
            yield at, images[:PART], labels[:PART]
            at, images, labels = at + PART, images[PART:], labels[PART:]
    if len(images):
        yield at, images, labels


def _read(
    path: Path, said: Mapping[str, str], measure: Mapping[str, Any]
) -> ndarray[Any, Any] | None:
    try:
        arrays, meta = read_arrays(path)
    except FileNotFoundError:
        return None
    except Damaged as error:
        complain(f"damaged reconstructions: {error}; doing them again")
        return None
    return (
        arrays[VIEW]
        if agrees(meta, said, measure["features"].partition(".")[0], measure["metric"])
        else None
    )


def _seen(
    measure: Mapping[str, Any],
    loaded: Mapping[str, Any],
    originals: torch.Tensor,
    ours: torch.Tensor,
) -> ndarray[Any, Any]:
    """A view of reconstructions [n, 3, h, w]: float32 [n, d],
    or float64 [n] between each and its original.
    """
    metric: Metric = registry.find("metrics", measure["metric"])
    extractor, _, output = measure["features"].partition(".")
    network = loaded[extractor]
    if "between" not in metric.needs:
        return np.asarray(rows_of(network, ours, [output])[output].cpu().numpy())
    if metric.between is not None:
        pairs = zip(originals.split(AT_ONCE["cuda"]), ours.split(AT_ONCE["cuda"]), strict=True)
        return np.concatenate([np.asarray(metric.between(a, b).cpu().numpy()) for a, b in pairs])
    found = []
    for rows, answer in calls(network, originals, wide_at_once(originals)):
        apart = answer[output].to(torch.float64) - network(ours[rows])[output].to(torch.float64)
        found.append((apart * apart).sum(1).cpu().numpy())
    return np.concatenate(found)
