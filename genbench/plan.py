"""From the user's words to a frozen Plan: rows resolved, options cast, and everything that can fail late has failed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genbench import options, shelves
from genbench.abilities import Description
from genbench.arrays import NEEDS
from genbench.draws import LARGEST_N, LARGEST_SEED, first_seed
from genbench.files import SEAL, code_sha256, digest, file_sha256, source_text
from genbench.generator import checkpoint_of, code_of, device_of
from genbench.lazy import torch
from genbench.record import Plan
from genbench.rows import Dataset, Extractor, Measure, Metric, Protocol, source_of
from genbench.say import UserError, choices, clean

KEPT = 1 << 30  # a run's images are kept by default while they stay under 1 GB
POLICIES = ("balanced", "iid", "training")
ARITHMETIC = ("stats.py", "intervals.py", "scoring.py", "real.py", "draws.py")  # with a metric's own file, the code that made its number


@dataclass(frozen=True)
class Request:
    """The words of the user about one run."""

    dataset: str = "digits"
    protocols: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    n: int | None = None
    seed: int = 0
    seeds: str = ""
    labels: str = ""
    options: tuple[str, ...] = ()
    checkpoint: Path | None = None
    batch_size: int = 50
    device: str = "auto"
    save_samples: bool = False


def settle(request: Request, description: Description) -> Plan:
    """The plan of a run; UserError in one line for whatever is wrong."""
    dataset: Dataset = shelves.find("datasets", request.dataset)
    protocols = [_protocol(name, dataset) for name in request.protocols or (dataset.protocol,)]
    first, n = _seeds(request, protocols[0].n)
    conditions = _conditions(description, dataset, request.labels or protocols[0].labels)
    chosen = options.chosen(request.options, description.options, description.name)
    checkpoint = checkpoint_of(description, dataset, request.checkpoint)
    identity: dict[str, Any] = {
        "generator": description.name,
        "code": code_of(description) or f"in memory {secrets.token_hex(8)}",  # without source it has no identity: a fresh run each time
        "checkpoint": file_sha256(checkpoint) if checkpoint else None,
        "options": options.plain(chosen),
        "dataset": dataset.name,
        "first_seed": first,
        "n": n,
        "conditions": conditions,
    }
    unnamed = _unplaced(request.metrics, protocols)
    return Plan(
        identity=identity,
        protocols={p.name: _measures(p, dataset, request.metrics, unnamed, n, conditions, protocols[0].quantise) for p in protocols},
        label=_label(description, options.plain(chosen), request.checkpoint),
        origin=description.origin,
        seeding="per image" if "seeds" in description.abilities["sample"] else "per call",
        quantise=protocols[0].quantise,
        competitor=bool(description.attributes.get("competitor", True)),
        batch_size=_positive(request.batch_size, "--batch-size"),
        device=device_of(request.device),
        keep_images=request.save_samples or n * 3 * dataset.resolution**2 < KEPT,
        parent=_parent(checkpoint),
    )


def _protocol(name: str, dataset: Dataset) -> Protocol:
    row: Protocol = shelves.find("protocols", name)
    if row.dataset not in (dataset.name, "any"):
        raise UserError(f"protocol {name} is for the data set {row.dataset}, not {dataset.name}: --dataset {row.dataset}")
    return row


def _positive(value: int, word: str) -> int:
    if value < 1:
        raise UserError(f"{word} {value}: at least 1")
    return value


def _seeds(request: Request, usual: int) -> tuple[int, int]:
    """The first seed and n, from --seed and --n or from --seeds A-B."""
    if request.seeds:
        low, dash, high = request.seeds.partition("-")
        if not (dash and re.fullmatch(r"\d{1,18}", low) and re.fullmatch(r"\d{1,18}", high) and int(low) <= int(high)):
            raise UserError(f"--seeds {clean(request.seeds)}: write FIRST-LAST, as in 50000-99999, below 10^18")
        if request.seed:
            raise UserError(f"--seeds {request.seeds} and --seed {request.seed}: give one of them")
        if request.n not in (None, int(high) - int(low) + 1):
            raise UserError(f"--seeds {request.seeds} names {int(high) - int(low) + 1} samples, --n {request.n} another number; give one of them")
        first, n = int(low), int(high) - int(low) + 1
    else:
        if not 0 <= request.seed <= LARGEST_SEED:
            raise UserError(f"--seed {request.seed}: 0 to {LARGEST_SEED}; each is a range of 2^20 samples' seeds")
        first, n = first_seed(request.seed), usual if request.n is None else request.n
    if not 1 <= n <= LARGEST_N:
        raise UserError(f"{n} samples: a run has 1 to {LARGEST_N}")
    return first, n


def _conditions(description: Description, dataset: Dataset, policy: str) -> dict[str, Any]:
    """What the samples are asked for: {} for an unconditional generator."""
    if policy not in POLICIES:
        raise UserError(f"--labels {clean(policy)}: {choices(policy, POLICIES)}")
    for condition in description.conditions:
        if condition != "labels":
            raise UserError(f"{description.name} is asked for images by {condition}, which the data set {dataset.name} does not give")
    if "labels" not in description.conditions:
        return {}
    classes = len(dataset.classes)
    own = description.attributes.get("classes", classes)
    if own != classes:
        raise UserError(f"{description.name} has {own} classes, the data set {dataset.name} {classes}; choose a data set with {own}")
    found: dict[str, Any] = {"labels": policy, "classes": classes}
    if policy == "training":
        counts = torch.bincount(torch.cat([labels for _, labels in dataset.open("train")]), minlength=classes).tolist()
        found["frequencies"] = [count / sum(counts) for count in counts]
    return found


def _parent(checkpoint: Path | None) -> str:
    """What a checkpoint that `genbench train` wrote says of its parent."""
    if checkpoint is None or checkpoint.suffix != ".safetensors":
        return ""
    from genbench.lazy import safetensors

    try:
        with safetensors.safe_open(checkpoint, "np") as file:
            return str(json.loads((file.metadata() or {}).get(SEAL, "{}")).get("parent", ""))
    except Exception as error:  # safetensors raises its own types
        raise UserError(f"checkpoint {checkpoint} is not a safetensors file: {error}") from None


def _label(description: Description, chosen: Mapping[str, Any], checkpoint: Path | None) -> str:
    """The row's name on a board: plugin, options off default, checkpoint."""
    defaults = options.plain({name: option.default for name, option in description.options.items()})
    off = [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
    name = Path(description.origin).name if description.origin.endswith(".py") else description.name  # a file is no shipped generator of its name
    return " ".join([name, *off, *([f"[{checkpoint.name} {file_sha256(checkpoint)[:6]}]"] if checkpoint else [])])


def _unplaced(wanted: Sequence[str], protocols: Sequence[Protocol]) -> list[str]:
    """Metrics asked for that no protocol has: rows of the shelf, taken with each protocol's features and reference."""
    placed = {word for p in protocols for measure in p.measures for word in (measure.name, measure.metric)}
    unplaced = [word for word in wanted if word not in placed and word != "all"]
    for word in unplaced:
        if word not in shelves.standing("metrics"):
            raise UserError(f"unknown metric {word!r}: {choices(word, placed | set(shelves.standing('metrics')))}")
    return unplaced


def _measures(
    protocol: Protocol, dataset: Dataset, wanted: Sequence[str], unplaced: Sequence[str], n: int, conditions: Mapping[str, Any], quantise: str
) -> dict[str, Any]:
    """A protocol as plain data for the Plan: what decides its numbers, to the code's hash."""
    own = [m for m in protocol.measures if not wanted or "all" in wanted or m.name in wanted or m.metric in wanted]
    rows = {measure.name: shelves.find("metrics", measure.metric) for measure in protocol.measures}
    measures = [*own, *(_usual(shelves.find("metrics", name), protocol, rows, dataset) for name in unplaced)]
    extractors = {name: shelves.find("extractors", name) for name in sorted({m.features.split(".")[0] for m in measures})}
    splits = sorted({m.reference for m in measures if m.reference} | set(protocol.real))
    for split in splits:
        if split not in dataset.splits:
            raise UserError(f"protocol {protocol.name} names the split {split!r} of {dataset.name}: {choices(split, dataset.splits)}")
    for measure in measures:
        _check_features(measure, extractors[measure.features.split(".")[0]])
    return {
        "dataset": dataset.name,
        "n": protocol.n,
        "labels": protocol.labels,
        "fits": n == protocol.n and conditions.get("labels", protocol.labels) == protocol.labels and quantise == protocol.quantise,
        "splits": {split: dataset.fingerprint(split) for split in splits},
        "real": list(protocol.real),
        "extractors": {name: {"weights": _weights_sha256(row), "code": source_code(row.load)} for name, row in extractors.items()},
        "measures": [{**asdict(m), "constants": dict(m.constants), "code": _arithmetic(shelves.find("metrics", m.metric))} for m in measures],
    }


def _usual(metric: Metric, protocol: Protocol, rows: Mapping[str, Metric], dataset: Dataset) -> Measure:
    """How a metric outside the protocol is taken: in the space and against the reference of the protocol's first measure of a set."""
    held = next((m for m in protocol.measures if "samples" in rows[m.name].needs), protocol.measures[0])
    features = dataset.recogniser if "logits" in metric.needs else held.features
    against = any(NEEDS[need] == "reference" for need in metric.needs)
    return Measure(metric.name, features, held.reference if against else "")


def _check_features(measure: Measure, extractor: Extractor) -> None:
    output = measure.features.split(".")[1]
    if output not in extractor.outputs:
        raise UserError(f"extractor {extractor.name} has no output {output!r}: {choices(output, extractor.outputs)}")


def _weights_sha256(row: Extractor) -> str:
    """The hash of an extractor's weights, which must be the published one."""
    if row.weights is None:
        return "none"
    path = row.weights_path
    if not path.is_file():
        wanted = f"{row.weights.bytes} bytes, SHA-256 {row.weights.sha256}"
        raise UserError(f"extractor {row.name}: its weights {path} are missing ({wanted}); install the package again")
    found = file_sha256(path)
    if found != row.weights.sha256:
        raise UserError(f"extractor {row.name}: {path} has SHA-256 {found}, wanted {row.weights.sha256}; install the package again")
    return found


def source_code(function: Callable[..., Any]) -> str:
    """The code hash of the file in which a row's function stands."""
    return code_sha256(source_text(source_of(function)))


def _arithmetic(metric: Metric) -> str:
    here = Path(__file__).parent
    return digest([source_code(metric.value), *(code_sha256(source_text(here / name)) for name in ARITHMETIC)])


def going_on(plan: Plan, batch_size: int, keep_images: bool) -> Plan:
    """The plan with an earlier call's batch size: images are equal to the bit at one batch size only."""
    return replace(plan, batch_size=batch_size, keep_images=plan.keep_images or keep_images)
