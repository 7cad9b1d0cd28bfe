"""Features of real images, computed once per content:
cache/features/<data>-<extractor>.<output>-<weights>-<version>-<device and size of a call>.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import shelves, weights
from genbench.feature_versions import earlier_seal_of, seal_of, version_of
from genbench.files import cache, cached, file_sha256, home
from genbench.lazy import np, torch
from genbench.probes import AT_ONCE, rows_of
from genbench.rows import source_of
from genbench.say import PluginFailed, UserError, aside, clean, progress
from genbench.statistics import read_statistics
from genbench.used import Used, package_of, place_of_vocabulary

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan
    from genbench.rows import Dataset, Extractor
    from genbench.stats import Moments

MIRRORED = "~mirrored"  # after a feature's name: of the images and of their mirror images


@dataclass(frozen=True)
class Real:
    """A split's features {"EXTRACTOR.OUTPUT": float64 [m, d]} and labels int64 [m];
    or, for a statistics file, moments alone.
    """

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    moments: Mapping[str, Moments] = field(default_factory=dict)


def network(
    name: str,
    device: str,
    file: str,
    precision: str = "float32",
    images: int = 0,
    vocabulary: str = "",
) -> Any:
    """An extractor loaded on its device, with the weights file that was found ("": it has none),
    and its vocabulary; its every answer checked.

    precision: one of the row's own. images: how many a run will show it, 0 for few.
    """
    row: Extractor = shelves.find("extractors", name)
    takes = inspect.signature(row.load).parameters
    told = {
        key: value
        for key, value in {"precision": precision, "images": images}.items()
        if key in takes
    }
    with _calling(name, "loading it"):
        try:
            more = (Path(vocabulary),) if vocabulary else ()
            ready = (
                row.load(device, Path(file), *more, **told)
                if file and len(set(takes) - set(told)) > 1
                else row.load(device, **told)
            )
        except UserError as error:
            raise UserError(f"weights {name}: {error}{_hashes(row, file)}") from None

    def answer(images: torch.Tensor, *prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        with _calling(name, "calling it"):
            # a copy of its own: one that writes into it shall not change the others' images
            found = ready(images.clone(), *prompts)
        return _checked(row, found, len(images))

    extract: Any = answer
    extract.side_by_side = row.side_by_side
    return extract


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
    return (
        (
            f" (its SHA-256 is {file_sha256(Path(file))}, the published one "
            f"{' or '.join(sorted(published))})"
        )
        if file and published
        else ""
    )


def _checked(row: Extractor, found: Any, n: int) -> dict[str, torch.Tensor]:
    """An extractor's answer to n images as float32 rows; PluginFailed with what came otherwise."""
    if not isinstance(found, Mapping) or set(row.outputs) - set(found):
        came = (
            f"the outputs {', '.join(map(str, found))}"
            if isinstance(found, Mapping)
            else type(found).__name__
        )
        raise PluginFailed(
            f"extractor {row.name} returned {came}; return a dictionary with "
            f"{', '.join(row.outputs)}"
        )
    rows = {}
    for output, width in row.outputs.items():
        array = found[output]
        if not isinstance(array, torch.Tensor) or not array.is_floating_point():
            came = str(array.dtype) if isinstance(array, torch.Tensor) else type(array).__name__
            raise PluginFailed(
                f"extractor {row.name} returned {output} as {came}; return a tensor of floats "
                f"[{n}, {width or 'd'}]"
            )
        if array.ndim != 2 or len(array) != n or width not in (0, array.shape[1]):
            raise PluginFailed(
                f"extractor {row.name} returned {output} {list(array.shape)} for {n} images; "
                f"return [{n}, {width or 'd'}]"
            )
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
        raise PluginFailed(
            f"extractor {name}: {what} raised {type(error).__name__}: {clean(str(error))}",
            traceback.format_exc(),
        ) from error


def networks(plan: Plan) -> dict[str, Any]:
    """Every extractor that the plan names, loaded on its device."""
    used = {
        name: one
        for protocol in plan.protocols.values()
        for name, one in protocol["extractors"].items()
    }
    files = {
        name: (plan.places.get(name, ""), plan.places.get(place_of_vocabulary(name), ""))
        for name in sorted(used)
    }
    return {
        name: network(name, plan.device, one, used[name].get("precision", "float32"), plan.n, more)
        for name, (one, more) in files.items()
    }


# (extractor, mirrored) -> what identifies its features, outputs
Wanted = dict[tuple[str, bool], tuple[Mapping[str, str], set[str]]]
Found = dict[tuple[str, bool], dict[str, Any]]  # the same -> {output: float32 [m, d]}


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
        split: _features(dataset, split, prints[split], of, loaded, plan.device)
        for split, of in wanted.items()
    }
    labels = {
        split: _labels(dataset, split) if seen[split][1] is None else seen[split][1]
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
        row: Extractor = shelves.find("extractors", name)
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


def _labels(dataset: Dataset, split: str) -> ndarray[Any, Any]:
    return np.concatenate([labels.numpy() for _, labels in dataset.open(split)])


def _features(
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
    row = shelves.find("extractors", extractor)
    used = Used(
        file_sha256(Path(file)) if file else "none", version_of(row), package=package_of(row)
    ).identity()
    key = extractor, False
    found, _ = _features(
        dataset,
        split,
        dataset.fingerprint(split),
        {key: (used, set(outputs))},
        {extractor: network(extractor, device, file)},
        device,
    )
    return {output: array.astype(np.float64) for output, array in found[key].items()}
