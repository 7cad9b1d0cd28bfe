"""From the user's words to a frozen Plan: rows resolved, options cast,
and everything that can fail late has failed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genbench._util.checksummed_files import SEAL
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.hashing import content_sha256
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.protocol import Protocol
from genbench.data.subsets import REFERENCES, whole
from genbench.data.user_datasets import dataset_of
from genbench.features.extractor_identity import needed
from genbench.features.numeric_precision import possible
from genbench.generators import options
from genbench.generators.conditions import Wish, conditions
from genbench.generators.description import Description
from genbench.generators.identity import code_of, held_of, seal_of
from genbench.generators.load import checkpoint_of, device_of, options_of, usual_of
from genbench.generators.seeded_noise import LARGEST_N, LARGEST_SEED, first_seed
from genbench.io.reference_statistics import read_statistics
from genbench.io.weights import known, words
from genbench.runs.planning.measures import taken, unplaced, wanted_n
from genbench.runs.planning.request import Request, _positive
from genbench.runs.planning.resolve_extractors import Asked
from genbench.runs.records.record import Plan

KEPT = 1 << 30  # a run's images are kept by default while they stay under 1 GB
AUTO = 0  # the batch size of a plan that is to find its own
# of what a checkpoint says of itself, into the record
TRAINED = ("dataset", "steps", "batch_size", "seed")


def settle(request: Request, description: Description) -> Plan:
    """The plan of a run; UserError in one line for whatever is wrong."""
    dataset, device = dataset_of(request.dataset), device_of(request.device)
    protocols = [_protocol(name, dataset) for name in request.protocols or (dataset.protocol,)]
    checkpoint = checkpoint_of(description, dataset, request.checkpoint, request.trust)
    first, n = _there(description, checkpoint, request, wanted_n(protocols[0], dataset))
    wish = Wish(
        request.labels or protocols[0].labels,
        request.prompts,
        request.prompt_column,
        request.template,
    )
    asked_for, texts = conditions(description, dataset, wish, checkpoint)
    chosen, seal = (
        options_of(description, request.options, checkpoint),
        seal_of(description, checkpoint),
    )
    identity: dict[str, Any] = {
        "generator": description.name,
        # without source it has no identity: a fresh run each time
        "code": code_of(description) or f"in memory {secrets.token_hex(8)}",
        "checkpoint": seal,
        "options": options.plain(chosen),
        "dataset": dataset.name,
        "first_seed": first,
        "n": n,
        "conditions": asked_for,
    }
    asked = Asked(
        dataset=dataset,
        metrics=request.metrics,
        n=n,
        labels=asked_for.get("labels", ""),
        prompts="prompts" in asked_for,
        quantise=protocols[0].quantise,
        weights=_weights(request),
        generator=description.name,
        spaces=_spaces(description),
        pretrained_on=_seen(description),
        statistics=_statistics(request.reference),
        precision=possible(request.feature_precision, device),
        kept=_keeps(request, n, dataset, protocols[0]),
        reconstructs="reconstruct" in description.abilities,
    )
    under = {
        p.name: taken(p, asked, unplaced(request.metrics, protocols), first=p is protocols[0])
        for p in protocols
    }
    return Plan(
        identity=identity,
        dataset=request.dataset,
        places={name: path for _, paths in under.values() for name, path in paths.items()}
        | _reference_place(request),
        protocols={name: plain for name, (plain, _) in under.items()},
        label=_label(
            description,
            options.plain(chosen),
            options.plain(usual_of(description, checkpoint)),
            request.checkpoint,
            seal or "",
        ),
        prompts=texts,
        origin=description.origin,
        seeding="per image" if "seeds" in description.abilities["sample"] else "per call",
        quantise=protocols[0].quantise,
        competitor=bool(description.attributes.get("competitor", True)),
        batch_size=_batch(request),
        device=device,
        keep_images=asked.kept,
        **_said(checkpoint, clean(request.method.strip())) | {"memory": held_of(description)},
    )


def _keeps(request: Request, n: int, dataset: Dataset, first: Protocol) -> bool:
    """Whether a run keeps its images."""
    return (
        request.save_samples
        or n * 3 * dataset.resolution**2 * (4 if first.quantise == "none" else 1) < KEPT
    )


def _protocol(name: str, dataset: Dataset) -> Protocol:
    row: Protocol = registry.find("protocols", name)
    if row.dataset not in (dataset.name, whole(dataset).name, "any"):
        raise UserError(
            f"protocol {name} is for the data set {row.dataset}, not {dataset.name}: "
            f"--dataset {row.dataset}"
        )
    if name.endswith(REFERENCES) and whole(dataset) is dataset:
        raise UserError(
            f"protocol {name} is for long-tailed sets, and {dataset.name} is whole: "
            "--imbalance 100, or another ratio"
        )
    return row


def _spaces(description: Description) -> tuple[str, ...]:
    """The latent spaces that a generator renders; the first of none declared is z."""
    renders = {"latents", "synthesize"} <= set(description.abilities)
    return tuple(description.attributes.get("spaces", ("z",))) if renders else ()


def _weights(request: Request) -> dict[str, Path]:
    """The weights files that the user named."""
    named = words(request.weights)
    if named:
        known(
            named,
            sorted(
                {one.name for row in registry.every("extractors").values() for one in needed(row)}
            ),
        )
    return named


def _there(
    description: Description, checkpoint: Path | None, request: Request, usual: int
) -> tuple[int, int]:
    """The first seed and n: as many as a generator of stored images has, and no more;
    of one that draws them, the usual number.
    """
    holds = description.attributes.get("holds")
    held = int(holds(checkpoint)) if holds is not None and checkpoint is not None else 0
    first, n = _seeds(request, held or usual)
    if held and n > held:
        raise UserError(f"{n} images are asked for, {checkpoint} has {held}: --n {held}, or fewer")
    return first, n


def _seen(description: Description) -> tuple[str, ...]:
    """The data sets that a generator says its weights have seen."""
    said = description.attributes.get("pretrained_on", ())
    return (said,) if isinstance(said, str) else tuple(said)


def _reference_place(request: Request) -> dict[str, str]:
    return {"statistics": str(request.reference)} if request.reference else {}


def _statistics(path: Path | None) -> dict[str, Any] | None:
    """A statistics file that stands for the reference, read once so that what is wrong with it
    is heard now.
    """
    if path is None:
        return None
    found = read_statistics(path)
    return {
        "path": str(path),
        "sha256": content_sha256(path),
        "outputs": {output: len(of.mean) for output, of in found.items()},
    }


def _batch(request: Request) -> int:
    """--batch-size as a number, AUTO where the run is to find it."""
    word = str(request.batch_size)
    if request.memory_cap is not None and (word != "auto" or not 0 < request.memory_cap < 1e6):
        raise UserError(
            f"--memory-cap {request.memory_cap}: GB, more than 0, and with --batch-size auto alone"
        )
    if word != "auto":
        return (
            _positive(int(word), "--batch-size")
            if re.fullmatch(r"-?\d{1,9}", word, re.ASCII)
            else _wrong_batch(word)
        )
    if request.shard:
        raise UserError(
            "--batch-size auto: machines that draw shares could find different ones, "
            "and images would differ: name a number, the same for each"
        )
    return AUTO


def _wrong_batch(word: str) -> int:
    raise UserError(f"--batch-size {clean(word)}: a whole number, at least 1, or auto")


def _seeds(request: Request, usual: int) -> tuple[int, int]:
    """The first seed and n, from --seed and --n or from --seeds A-B."""
    if request.seeds:
        low, dash, high = request.seeds.partition("-")
        if not (
            dash
            and re.fullmatch(r"\d{1,18}", low)
            and re.fullmatch(r"\d{1,18}", high)
            and int(low) <= int(high)
        ):
            raise UserError(
                f"--seeds {clean(request.seeds)}: write FIRST-LAST, as in 50000-99999, below 10^18"
            )
        if request.seed:
            raise UserError(f"--seeds {request.seeds} and --seed {request.seed}: give one of them")
        if request.n not in (None, int(high) - int(low) + 1):
            raise UserError(
                f"--seeds {request.seeds} names {int(high) - int(low) + 1} samples, "
                f"--n {request.n} another number; give one of them"
            )
        first, n = int(low), int(high) - int(low) + 1
    else:
        if not 0 <= request.seed <= LARGEST_SEED:
            raise UserError(
                f"--seed {request.seed}: 0 to {LARGEST_SEED}; each is a range of 2^20 "
                "samples' seeds"
            )
        first, n = first_seed(request.seed), usual if request.n is None else request.n
    if not 1 <= n <= LARGEST_N:
        raise UserError(f"{n} samples: a run has 1 to {LARGEST_N}")
    return first, n


def _said(checkpoint: Path | None, method: str) -> dict[str, Any]:
    """What a checkpoint that `genbench train` wrote says of itself, as fields of a Plan:
    its parent; data, length and strategy of its training.

    method: what the user says it is a training of.
    """
    if checkpoint is None or checkpoint.suffix != ".safetensors":
        return {"method": method}
    from genbench._util.lazy_imports import safetensors

    try:
        with safetensors.safe_open(checkpoint, "np") as file:
            found = dict(json.loads((file.metadata() or {}).get(SEAL, "{}")))
            more = dict(found.get("training", {}))
    except Exception as error:  # safetensors raises its own types
        raise UserError(f"checkpoint {checkpoint} is not a safetensors file: {error}") from None
    return {
        "method": method,
        "parent": str(found.get("parent", "")),
        "training": {key: found[key] for key in TRAINED if key in found} | more,
    }


def _label(
    description: Description,
    chosen: Mapping[str, Any],
    usual: Mapping[str, Any],
    checkpoint: Path | None,
    seal: str,
) -> str:
    """The row's name on a board: plugin, options off what is usual, checkpoint."""
    defaults = options.plain(
        {name: option.default for name, option in description.options.items()}
    ) | dict(usual)
    off = [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
    # a file is no shipped generator of its name
    name = Path(description.origin).name if description.origin.endswith(".py") else description.name
    return " ".join([name, *off, *([f"[{checkpoint.name} {seal[:6]}]"] if checkpoint else [])])


def with_settled(plan: Plan, batch_size: int, keep_images: bool) -> Plan:
    """The plan with an earlier call's batch size: images are equal to the bit at one
    batch size only.
    """
    return replace(plan, batch_size=batch_size, keep_images=plan.keep_images or keep_images)
