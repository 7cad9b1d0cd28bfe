"""A protocol's measures for one run, as plain data for the Plan:
which are taken, which are skipped and why, and what decides their numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.extractor import Extractor
from genbench.api.metric import Measure, Metric, Pairs
from genbench.api.metric_inputs import NEEDS, RECONSTRUCTED
from genbench.api.protocol import Protocol
from genbench.api.validation import source_of
from genbench.features.extractor_identity import Used
from genbench.io import weights
from genbench.metrics._streaming import first_of
from genbench.runs.planning.resolve_extractors import FOREIGN, Asked, used
from genbench.runs.planning.shard_outputs import one_repeat, width_of
from genbench.runs.records.metric_versions import of_measure

# a distance outside Inception's space, beside every fid whose board can have one
OUTSIDE = ("fd_dinov2", "fd_clip")
NO_RECOGNISER = "none.logits"


def wanted_n(protocol: Protocol, dataset: Dataset) -> int:
    """How many samples a protocol asks for, its repeats included."""
    held = next((m.reference for m in protocol.measures if m.reference in dataset.splits), "")
    return (
        protocol.n or dataset.splits.get(held, 0) or next(iter(dataset.splits.values()))
    ) * protocol.repeats


def unplaced(metrics: Sequence[str], protocols: Sequence[Protocol]) -> list[str]:
    """Numbers asked for that no protocol has: rows of the shelves,
    taken with each protocol's features and reference.
    """
    placed = {
        word for p in protocols for measure in p.measures for word in (measure.name, measure.metric)
    }
    there = {**registry.standing("metrics"), **registry.standing("measures")}
    for word in metrics:
        if word not in placed and word != "all" and word not in there:
            raise UserError(f"unknown metric {word!r}: {choices(word, placed | set(there))}")
    if "all" in metrics:
        return sorted(set(there) - placed)
    return [word for word in metrics if word not in placed]


def taken(
    protocol: Protocol, asked: Asked, others: Sequence[str], *, first: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a run measures under a protocol.

    UserError when a number that was named cannot be taken, or none can.

    others: numbers beside the protocol's own. first: the run is drawn for this protocol; under any
    other that it does not fit, its numbers are "ruler only" and enter no board. With it the weights
    file of each extractor.
    """
    extractors: dict[str, Used] = {}
    measures = []
    fits = (
        asked.n == wanted_n(protocol, asked.dataset)
        and asked.labels in ("", protocol.labels)
        and asked.quantise == protocol.quantise
    )
    repeats = protocol.repeats if fits else 1
    for measure in _chosen(protocol, asked, others):
        why = _unfit(measure, protocol, asked)
        name = measure.features.partition(".")[0]
        if not why and name not in extractors:
            found = used(registry.find("extractors", name), asked)
            if isinstance(found, str):
                why = found
            else:
                extractors[name] = found
        if why and (measure.name in asked.metrics or measure.metric in asked.metrics):
            raise UserError(f"{measure.name}: {why}")
        against_file = (
            ["reference from a statistics file"] if asked.statistics and measure.reference else []
        )
        flags = [] if why else [*extractors[name].flags, *against_file]
        measures.append(_plain(measure, why, flags, asked.n if repeats == 1 else 0, asked.labels))
    if all(measure["skip"] for measure in measures):
        raise UserError(f"protocol {protocol.name}: {measures[0]['skip']}")
    published = not any(FOREIGN in one.flags for one in extractors.values())
    exact = asked.precision == "float32"
    splits = {
        split: asked.dataset.fingerprint(split) for split in _splits(protocol, asked, measures)
    }
    if asked.statistics is not None:
        splits = {
            m["reference"]: asked.statistics["sha256"]
            for m in measures
            if m["reference"] and not m["skip"]
        }
    plain = {
        "dataset": asked.dataset.name,
        "n": wanted_n(protocol, asked.dataset),
        "labels": protocol.labels,
        "quantise": protocol.quantise,
        "repeats": repeats,
        "reducer": protocol.reducer,
        "fits": fits,
        # whose statistics a file has, nobody knows
        "board": published and exact and asked.statistics is None and (fits or first),
        "splits": splits,
        "train": protocol.train or "train",
        "real": list(asked.dataset.pool(protocol)) if asked.statistics is None else [],
        "statistics": {key: asked.statistics[key] for key in ("sha256", "outputs")}
        if asked.statistics
        else None,
        "extractors": {name: one.identity() for name, one in extractors.items()},
        "measures": measures,
    }
    return plain, {
        key: path for name, one in extractors.items() for key, path in one.places(name).items()
    }


def _plain(measure: Measure, skip: str, flags: list[str], n: int, labels: str) -> dict[str, Any]:
    """A measure for the plan; of a run of so many samples that it takes the first of them,
    with their number and the rule.

    n: 0 where no rule holds.
    """
    metric: Metric = registry.find("metrics", measure.metric)
    plain = {
        **asdict(measure),
        "constants": dict(measure.constants),
        **of_measure(metric, labels),
        "skip": skip,
        "flags": flags,
    }
    whole = one_repeat(plain, 1, n)
    first, why = first_of(metric, width_of(plain), whole) if n and not skip else (0, "")
    if not first:
        return plain
    plain |= {"samples_n": first}
    return {
        **plain,
        "flags": [*flags, f"of the first {one_repeat(plain, 1, n)} of {whole} samples: {why}"],
    }


def _chosen(protocol: Protocol, asked: Asked, others: Sequence[str]) -> Iterator[Measure]:
    """The protocol's measures that were asked for, those beside them,
    and one distance outside Inception where its weights are at hand.
    """
    # a number's own name goes before its metric's
    words = set(asked.metrics) - {m.name for m in protocol.measures}
    own = [
        m
        for m in protocol.measures
        if not asked.metrics or "all" in words or m.name in asked.metrics or m.metric in words
    ]
    yield from own
    yield from {
        measure.name: measure
        for measure in (_usual(name, protocol, asked.dataset) for name in others)
    }.values()
    if any(m.metric == "fd" and m.features.startswith("inception") for m in own) and not {
        m.name for m in own
    } & {*OUTSIDE, *others}:
        for measure in (
            _usual(name, protocol, asked.dataset)
            for name in OUTSIDE
            if name in registry.standing("measures")
        ):
            row = registry.find("extractors", measure.features.partition(".")[0])
            if weights.find(row.weights, source_of(row.load).parent, asked.weights) is not None:
                yield measure
                return


def _usual(name: str, protocol: Protocol, dataset: Dataset) -> Measure:
    """How a number outside the protocol is taken: against the reference of the protocol's first
    measure of a set; a metric without a published name in that measure's space, or in the
    recogniser's.
    """
    rows = {measure.name: registry.find("metrics", measure.metric) for measure in protocol.measures}
    held = next(
        (m for m in protocol.measures if m.reference and "samples" in rows[m.name].needs),
        protocol.measures[0],
    )
    if name in registry.standing("measures"):
        measure: Measure = registry.find("measures", name)
    else:
        metric: Metric = registry.find("metrics", name)
        features = (
            (dataset.recogniser or NO_RECOGNISER)
            if {"logits", "reference_logits"} & set(metric.needs)
            else held.features
        )
        measure = Measure(metric.name, features, pairs=Pairs() if "pairs" in metric.needs else None)
    against = any(
        NEEDS[need] == "reference" or need in RECONSTRUCTED
        for need in registry.find("metrics", measure.metric).needs
    )
    return replace(measure, reference=measure.reference or (held.reference if against else ""))


def _unfit(measure: Measure, protocol: Protocol, asked: Asked) -> str:
    """Why a measure cannot be taken of this data set and generator, or ""."""
    metric: Metric = registry.find("metrics", measure.metric)
    known = list(inspect.signature(metric.value).parameters)[1:]
    for name in sorted(set(measure.constants) - set(known)):
        raise UserError(
            f"protocol {protocol.name}: the metric {metric.name} has no constant {name}: "
            f"{choices(name, known)}"
        )
    for name, value in measure.constants.items():
        if name in metric.allowed and not is_allowed(value, metric.allowed[name]):
            raise UserError(
                f"protocol {protocol.name}: the constant {name} of {metric.name} is {value!r}, "
                f"allowed {_said(metric.allowed[name])}"
            )
    if measure.features == NO_RECOGNISER:
        return f"the data set {asked.dataset.name} has no recogniser, which tells its classes"
    extractor, _, output = measure.features.partition(".")
    row: Extractor = registry.find("extractors", extractor)
    outputs = row.outputs
    splits = asked.dataset.splits
    train = protocol.train or "train"
    if output not in outputs:
        return f"extractor {extractor} has no output {output!r}: {choices(output, outputs)}"
    if why := _no_hook(measure, metric, asked) or (
        _too_wide(measure, metric, asked)
        if outputs[output] == 0
        else _promptless(metric, row, asked)
    ):
        return why
    if "train" in metric.needs and train not in splits:
        return f"needs a training split, the data set {asked.dataset.name} has {', '.join(splits)}"
    if {"train", "reference"} <= set(metric.needs) and measure.reference == train:
        return (
            "needs a held-out split beside the training split, and is held against the "
            "training split here"
        )
    if asked.statistics is not None and any(NEEDS[need] != "samples" for need in metric.needs):
        return _lacking(measure, metric, outputs[output], asked.statistics)
    if measure.reference and measure.reference not in splits:
        return (
            f"is held against the split {measure.reference!r}, the data set {asked.dataset.name} "
            f"has {', '.join(splits)}"
        )
    return ""


def _no_hook(measure: Measure, metric: Metric, asked: Asked) -> str:
    """What a measure of latent pairs or of reconstructions needs and does not get, or ""."""
    if "pairs" in metric.needs and (
        measure.pairs is None or measure.pairs.space not in asked.spaces
    ):
        return (
            f"{asked.generator} renders no latent space "
            f"{measure.pairs.space if measure.pairs else ''!r}: it needs the hooks latents "
            "and synthesize"
        )
    if not RECONSTRUCTED & set(metric.needs):
        return ""
    if asked.statistics is not None:
        return (
            "reconstructs the reference's images, and the statistics file "
            f"{Path(asked.statistics['path']).name} has none"
        )
    return "" if asked.reconstructs else f"{asked.generator} has no hook reconstruct"


def _promptless(metric: Metric, row: Extractor, asked: Asked) -> str:
    """Why a metric cannot be taken of this extractor for the sake of prompts, or ""."""
    if ("prompts" in metric.needs) != ("prompts" in row.wants):
        return (
            f"of the extractor {row.name} and the metric {metric.name} one is about prompts, "
            "and the other is not"
        )
    if "prompts" in metric.needs and not asked.prompts:
        return (
            "there are no prompts: it is for generators of texts, and for images with "
            "--prompts FILE"
        )
    return ""


def _too_wide(measure: Measure, metric: Metric, asked: Asked) -> str:
    """Why a measure cannot be taken of an output whose rows are not kept, or ""."""
    if set(metric.needs) - {"sums", "pairs", "ahead", "labels", "between"}:
        return f"{measure.features} is too wide to keep its rows, which {metric.name} needs"
    if "ahead" in metric.needs and not asked.labels:
        return f"{asked.generator} takes no labels"
    if "ahead" in metric.needs and not asked.kept:
        return (
            f"{metric.name} compares images of different shards, and this run would not keep them: "
            "--save-samples"
        )
    return ""


def is_allowed(value: Any, allowed: Container[Any]) -> bool:
    """Whether a constant is one of the values allowed.

    A range looks at all its numbers for what is no whole one, so that is said first.
    """
    return (
        value in allowed
        if not isinstance(allowed, range)
        else isinstance(value, int | float) and value == int(value) and int(value) in allowed
    )


def _said(allowed: Container[Any]) -> str:
    """The values that a constant may have, for people."""
    if isinstance(allowed, range):
        return f"are whole numbers from {allowed.start} to {allowed.stop - 1}"
    return (
        f"are {', '.join(map(repr, allowed))}"
        if isinstance(allowed, Iterable)
        else f"is what lies in {allowed!r}"
    )


def _lacking(measure: Measure, metric: Metric, width: int, statistics: Mapping[str, Any]) -> str:
    """What a measure needs that a statistics file does not have, or ""."""
    output = measure.features.partition(".")[2]
    name, there = Path(statistics["path"]).name, statistics["outputs"]
    if not metric.from_moments or "train" in metric.needs:
        return (
            f"needs the features of every real image, and the statistics file {name} has mean and "
            "covariance alone"
        )
    if measure.mirrored or measure.reference_n:
        return (
            f"takes {'mirror images' if measure.mirrored else 'a part'} of the reference, "
            f"and the file {name} has the statistics of the whole"
        )
    if output not in there:
        return f"needs {output} statistics, and the file {name} has {', '.join(there)}"
    return (
        (
            f"is {width} wide, and the statistics in {name} are {there[output]} wide: "
            "of another extractor"
        )
        if there[output] != width
        else ""
    )


def _splits(protocol: Protocol, asked: Asked, measures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every split that a measure or real data is taken from."""
    taken = [m for m in measures if not m["skip"]]
    used = {m["reference"] for m in taken if m["reference"]} | set(asked.dataset.pool(protocol))
    for split in used - set(asked.dataset.splits):
        raise UserError(
            f"protocol {protocol.name} names the split {split!r} of {asked.dataset.name}: "
            f"{choices(split, asked.dataset.splits)}"
        )
    train = any("train" in registry.find("metrics", m["metric"]).needs for m in taken)
    return sorted(used | ({protocol.train or "train"} if train else set()))
