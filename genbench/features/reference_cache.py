"""Features of real images, computed once per content:
cache/features/<data>-<extractor>.<output>-<weights>-<version>-<device and size of a call>.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.cache import cache, cached, home
from genbench._util.console import progress
from genbench._util.hashing import file_sha256
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.features.extraction import AT_ONCE, network, rows_of
from genbench.features.extractor_identity import Used, package_of
from genbench.features.extractor_versions import earlier_seal_of, seal_of, version_of

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.api.dataset import Dataset
    from genbench.statistics.moments import Moments

MIRRORED = "~mirrored"  # after a feature's name: of the images and of their mirror images


@dataclass(frozen=True)
class Real:
    """A split's features {"EXTRACTOR.OUTPUT": float64 [m, d]} and labels int64 [m];
    or, for a statistics file, moments alone.
    """

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    moments: Mapping[str, Moments] = field(default_factory=dict)


# (extractor, mirrored) -> what identifies its features, outputs
Wanted = dict[tuple[str, bool], tuple[Mapping[str, str], set[str]]]
Found = dict[tuple[str, bool], dict[str, Any]]  # the same -> {output: float32 [m, d]}


def labels_of_split(dataset: Dataset, split: str) -> ndarray[Any, Any]:
    return np.concatenate([labels.numpy() for _, labels in dataset.open(split)])


def features_of_split(
    dataset: Dataset,
    split: str,
    fingerprint: str,
    wanted: Wanted,
    loaded: Mapping[str, Any],
    device: str,
) -> tuple[Found, ndarray[Any, Any] | None]:
    """What is wanted of a split, from the cache, or computed in one pass over the images;
    and its labels [m], None where nothing is wanted.
    """
    kind = device.split(":")[0]
    kind = f"{kind}{AT_ONCE[kind]}"  # features follow the size of a call in their last bit
    found: Found = {key: {} for key in wanted}
    missing: dict[tuple[str, bool], dict[str, Path]] = {}
    labels: ndarray[Any, Any] | None = None
    for (name, mirrored), (used, outputs) in wanted.items():
        for output in sorted(outputs):
            of = (
                f"{fingerprint[:16]}-{name}.{output}{'-mirrored' if mirrored else ''}-"
                f"{used['weights'][:16]}"
            )
            path, earlier = (
                home() / "features" / f"{of}-{word}-{kind}.safetensors"
                for word in (seal_of(used), earlier_seal_of(used))
            )
            there = cached(path, earlier)
            if there is None:
                missing.setdefault((name, mirrored), {})[output] = path
                continue
            found[name, mirrored][output] = there[0]["features"]
            labels = labels if mirrored else there[0]["labels"]
    if missing:
        arrays, labels = _computed(dataset, split, missing, loaded, device)
        for key, paths in missing.items():
            found[key] |= arrays[key]
            for output, path in paths.items():
                content = {"features": arrays[key][output], "labels": np.tile(labels, 1 + key[1])}
                cache(
                    path,
                    content,
                    {"dataset": dataset.name, "split": split, "fingerprint": fingerprint[:16]},
                )
    return found, labels


def _computed(
    dataset: Dataset,
    split: str,
    missing: Mapping[tuple[str, bool], Collection[str]],
    loaded: Mapping[str, Any],
    device: str,
) -> tuple[Found, ndarray[Any, Any]]:
    """Outputs of extractors on every image of a split and, mirrored,
    on every image and then on every mirror image, as NVIDIA's code has them.
    """
    asked: dict[tuple[str, bool], set[str]] = {}
    for (name, mirrored), outputs in missing.items():
        for turned in {False, mirrored}:
            asked.setdefault((name, turned), set()).update(outputs)
    rows: dict[tuple[str, bool, str], list[torch.Tensor]] = {
        (*key, output): [] for key, outputs in asked.items() for output in outputs
    }
    labels = []
    with progress(
        f"features {', '.join(dict.fromkeys(name for name, _ in asked))} of {dataset.name} {split}",
        dataset.splits[split],
        "images",
    ) as done:

        def counted() -> Iterator[torch.Tensor]:
            for images, classes in dataset.open(split):
                labels.append(classes)
                yield images
                done(len(images))

        for batch in _whole_calls(counted(), AT_ONCE[device.split(":")[0]]):
            images = batch.to(device)
            for (name, turned), outputs in asked.items():
                answer = rows_of(
                    loaded[name], images.flip(3) if turned else images, sorted(outputs)
                )
                for output, values in answer.items():
                    rows[name, turned, output].append(values.cpu())
    taken = {key: torch.cat(parts) for key, parts in rows.items()}
    found = {
        (name, mirrored): {
            output: torch.cat(
                [taken[name, turned, output] for turned in sorted({False, mirrored})]
            ).numpy()
            for output in outputs
        }
        for (name, mirrored), outputs in missing.items()
    }
    return found, torch.cat(labels).numpy()


def _whole_calls(batches: Iterable[torch.Tensor], at_once: int) -> Iterator[torch.Tensor]:
    """The same images in pieces that fill an extractor's calls, but for the last."""
    rest: list[torch.Tensor] = []
    for images in batches:
        rest.append(images)
        whole = sum(map(len, rest)) // at_once * at_once
        if whole:
            together = torch.cat(rest)
            yield together[:whole]
            rest = [together[whole:]] if whole < len(together) else []
    if rest:
        yield torch.cat(rest)


def features_of(
    dataset: Dataset, split: str, extractor: str, outputs: Sequence[str], device: str, file: str
) -> dict[str, ndarray[Any, Any]]:
    """Features of one split outside of a run, {output: float64 [m, d]}; file:
    the weights that were found, "" where the extractor has none.
    """
    row = registry.find("extractors", extractor)
    used = Used(
        file_sha256(Path(file)) if file else "none", version_of(row), package=package_of(row)
    ).identity()
    key = extractor, False
    found, _ = features_of_split(
        dataset,
        split,
        dataset.fingerprint(split),
        {key: (used, set(outputs))},
        {extractor: network(extractor, device, file)},
        device,
    )
    return {output: array.astype(np.float64) for output, array in found[key].items()}
