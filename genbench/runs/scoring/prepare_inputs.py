"""What one measure is computed from: the samples and real images that it takes,
prepared as its row says, and the blocks that leave-outs leave out.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import Metric
from genbench.api.metric_inputs import NEEDS, Arrays, Side
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.features.reference_cache import MIRRORED
from genbench.runs.planning.shard_outputs import (
    one_repeat,
    probe_name,
    reconstructs,
    rounded,
    streamed,
    taken_n,
)
from genbench.runs.sampling.read_shards import Drawn
from genbench.runs.scoring.reconstructions import view
from genbench.statistics.blocks import blocks_of, rank_in_class

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.features.reference_cache import Real

# what decides a measure's arrays
PREPARED = (
    "features",
    "reference",
    "samples_n",
    "reference_n",
    "mirrored",
    "precision",
    "batch",
    "pairs",
)


@dataclass(frozen=True)
class Given:
    """Arrays by need, the block of each row by side, and the samples in each block [B] of
    all repeats.
    """

    arrays: Arrays
    blocks: Mapping[Side, ndarray[Any, Any]]
    sizes: ndarray[Any, Any]
    parts: int = 1  # repeats, consecutive in the samples' rows

    @property
    def n(self) -> int:
        """How many samples one value is taken of."""
        return int(self.sizes.sum()) // self.parts


def given_of(
    measure: Mapping[str, Any],
    metric: Metric,
    protocol: Mapping[str, Any],
    drawn: Drawn,
    real: Mapping[str, Real],
) -> Given:
    """The arrays of a measure, prepared as it says: whole batches, rounded features,
    part of the reference, its mirror images.
    """
    if reconstructs(measure):
        return _reconstructed(measure, metric, real[measure["reference"]])
    repeats = 1 if "sums" in metric.needs else int(protocol["repeats"])
    one, all_of_one = one_repeat(measure, repeats, len(drawn.blocks)), len(drawn.blocks) // repeats
    taken = np.concatenate(
        [np.arange(part * all_of_one, part * all_of_one + one) for part in range(repeats)]
    )
    blocks = np.unique(drawn.blocks[taken], return_inverse=True)[1]
    sizes = np.bincount(blocks)
    labels = None if drawn.labels is None else drawn.labels[taken]
    given: dict[str, Any] = {}
    made: dict[Any, Any] = {}
    if drawn.moments and streamed(measure, repeats, len(drawn.blocks)):
        made["blocks", "samples"] = functools.partial(drawn.moments, measure, one)
    elif "sums" in metric.needs:
        ours = drawn.probes[probe_name(measure)]
        given["sums"] = ours if ours.ndim == 3 else sums_of_rows(ours[taken], blocks, labels)
        blocks = np.arange(len(given["sums"]))
    else:
        ours = drawn.probes[probe_name(measure)]
        rows = rounded(ours if len(taken) == len(ours) else ours[taken], measure)
        given |= {"samples": rows, "logits": rows, "pairs": rows, "prompts": rows, "labels": labels}
        if "ahead" in metric.needs:
            classes = np.zeros(len(rows), dtype=np.int64) if labels is None else labels
            given["ahead"] = (
                rows if probe_name(measure).endswith(".ahead") else ahead_of_rows(rows, classes)
            )
    places: dict[Side, ndarray[Any, Any]] = {"samples": blocks}
    for side, split in (("reference", measure["reference"]), ("train", protocol["train"])):
        if not split or side not in {NEEDS[need] for need in metric.needs}:
            continue
        moments = real[split].moments.get(measure["features"].partition(".")[2])
        if moments is not None:
            made["moments", "reference"] = moments
            continue
        given[side], places[side] = (
            _held(measure, real[split]) if side == "reference" else _whole(measure, real[split])
        )
        given[f"{side}_logits"] = given[side]
    return Given(
        Arrays({need: given[need] for need in metric.needs if need in given}, made),
        places,
        sizes,
        repeats,
    )


def _reconstructed(measure: Mapping[str, Any], metric: Metric, real: Real) -> Given:
    """The reconstructions of a split's images beside the images:
    a pair stays together, so that a leave-out takes both out.
    """
    chosen = _first(real.labels, measure["reference_n"] or len(real.labels))
    names = {
        "reconstructions": view(measure),
        "between": view(measure),
        "originals": measure["features"],
    }
    given = {need: rounded(real.features[names[need]][chosen], measure) for need in metric.needs}
    blocks = np.unique(blocks_of(real.labels)[chosen], return_inverse=True)[1]
    return Given(Arrays(given), {"samples": blocks}, np.bincount(blocks))


def _first(labels: ndarray[Any, Any], count: int, turns: int = 1) -> ndarray[Any, Any]:
    """The places of the first images of a split, the classes in turn:
    a folder sorted by class would otherwise give a few classes alone.
    """
    place = np.argsort(
        np.concatenate([rank_in_class(labels) + turn * len(labels) for turn in range(turns)]),
        kind="stable",
    )
    return np.sort(place[:count])


def _whole(measure: Mapping[str, Any], real: Real) -> tuple[ndarray[Any, Any], ndarray[Any, Any]]:
    """All rows of a split and the block of each."""
    return rounded(real.features[measure["features"]], measure), blocks_of(real.labels)


def _held(measure: Mapping[str, Any], real: Real) -> tuple[ndarray[Any, Any], ndarray[Any, Any]]:
    """The reference's rows as a measure takes them, and the block of each;
    an image and its mirror image lie in one block.
    """
    turns = 2 if measure["mirrored"] else 1
    rows = real.features[measure["features"] + (MIRRORED if turns == 2 else "")]
    blocks = np.tile(blocks_of(real.labels), turns)
    if 0 < measure["reference_n"] < len(rows):
        chosen = _first(real.labels, measure["reference_n"], turns)
        rows, blocks = rows[chosen], blocks[chosen]
    kept = taken_n(measure, len(rows))
    return rounded(rows[:kept], measure), np.unique(blocks[:kept], return_inverse=True)[1]
