"""Features to Scores: each number with its interval, the reference's standard error,
what real data scores, and the leave-one-block-out values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench._util.console import complain
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.metric import Metric
from genbench.api.metric_inputs import NEEDS, Arrays, Side, Sighting
from genbench.runs.planning.shard_outputs import one_repeat, probe_name, reconstructs, width_of
from genbench.runs.records.record import Score
from genbench.runs.sampling.read_shards import Drawn, NotFinite
from genbench.runs.scoring.prepare_inputs import PREPARED, Given, given_of
from genbench.runs.scoring.real_vs_real import Pool, RealLine, counts_per_class, real_lines
from genbench.runs.scoring.reconstructions import view
from genbench.statistics import confidence_intervals, jackknife

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.features.reference_cache import Real
    from genbench.runs.records.record import Plan

SLACK = 1e-9  # beyond a metric's range, for rounding
REDUCE = {
    "mean": lambda values: np.mean(values, axis=0),
    "min": lambda values: np.min(values, axis=0),
}


@dataclass(frozen=True)
class Closest:
    """The samples that a metric finds closest to training images,
    places int64 [k] in the run and in a split, and how close float64 [k].
    """

    split: str
    samples: ndarray[Any, Any]
    train: ndarray[Any, Any]
    how: ndarray[Any, Any]


def score(
    plan: Plan, drawn: Drawn, real: Mapping[str, Mapping[str, Real]]
) -> tuple[tuple[Score, ...], Closest | None]:
    """The scores of a run under each of its protocols, and what the first metric that looks for
    copies would show; real is {protocol: {split: Real}}.
    """
    shown: list[Closest] = []
    scores = tuple(
        found for name in plan.protocols for found in _under(name, plan, drawn, real[name], shown)
    )
    return scores, shown[0] if shown else None


def _under(
    name: str, plan: Plan, drawn: Drawn, real: Mapping[str, Real], shown: list[Closest]
) -> list[Score]:
    protocol = plan.protocols[name]
    found = []
    taken = []
    whole = tuple(np.unique(drawn.blocks, return_counts=True)[1].tolist())
    # measures of the same features and reference share what they derive from them
    shared: dict[Any, Given] = {}
    for measure in protocol["measures"]:
        metric: Metric = registry.find("metrics", measure["metric"])
        blank = Score(name, measure["name"], n=plan.n, method=metric.interval, better=metric.better)
        why = measure["skip"] or _unfit(metric, measure, plan, drawn, real)
        if why:
            found.append(replace(blank, status="skipped", reason=why))
            continue
        key = (
            *(str(measure[part]) for part in PREPARED),
            *metric.needs,
            view(measure) if reconstructs(measure) else "",
        )
        if key not in shared:
            shared[key] = given_of(measure, metric, protocol, drawn, real)
        blank = replace(blank, n=shared[key].n)
        scores = [
            _measured(blank, metric, measure, shared[key], protocol["reducer"]),
            *_per_class(blank, metric, measure, shared[key], drawn),
        ]
        found += [
            replace(
                one,
                flags=(*one.flags, *measure["flags"]),
                sizes=() if one.sizes == whole else one.sizes,
            )
            for one in scores
        ]
        if scores[0].status == "ok":
            taken.append(measure)
            shown += _closest(blank, metric, protocol["train"], shared[key])
    lines = _lines(taken, protocol, real, drawn)
    metrics = {measure["name"]: registry.find("metrics", measure["metric"]) for measure in taken}
    widths = {measure["name"]: _width(measure, drawn, real) for measure in taken}
    return [
        _beside(one, lines.get(one.metric), metrics[one.metric], widths[one.metric])
        if _whole(one)
        else one
        for one in found
    ]


def _closest(blank: Score, metric: Metric, split: str, given: Given) -> list[Closest]:
    """What a picture of a metric shows, of the first repeat, whose rows are the run's first;
    [] where it has none.
    """
    try:
        return (
            [Closest(split, *metric.closest(_repeats(given)[0].arrays))] if metric.closest else []
        )
    except (Exception, SystemExit) as error:  # a picture less is no failed number
        complain(f"{blank.metric}: no picture: {type(error).__name__}: {clean(str(error))}")
        return []


def _whole(score: Score) -> bool:
    return score.status == "ok" and score.part == "all"


def _unfit(
    metric: Metric, measure: Mapping[str, Any], plan: Plan, drawn: Drawn, real: Mapping[str, Real]
) -> str:
    """Why a metric cannot be taken of this run, or ""."""
    smallest = max(metric.smallest_n, int(measure["constants"].get("k", 0)) + 2)
    if reconstructs(measure):
        return _unpaired(measure, plan, real[measure["reference"]], smallest)
    classes = int(plan.identity["conditions"].get("classes", 1))
    if "labels" in metric.needs and drawn.labels is None:
        return f"{plan.identity['generator']} takes no labels"
    if {"reference", "reference_logits"} & set(metric.needs) and not measure["reference"]:
        return "the protocol names no reference for it"
    if plan.n < smallest:
        return f"needs at least {smallest} samples, the run has {plan.n}: --n {smallest}"
    if 0 < measure["samples_n"] < smallest:
        return (
            f"needs at least {smallest} samples, and takes the first {measure['samples_n']} alone: "
            "another samples_n"
        )
    if measure["batch"] and plan.n < measure["batch"] * 2:
        return (
            f"takes whole batches of {measure['batch']} samples alone, the run has {plan.n}: "
            f"--n {2 * measure['batch']}"
        )
    held = real.get(measure["reference"])
    if (
        held is not None
        and not held.moments
        and (m := min(measure["reference_n"] or len(held.labels), len(held.labels))) < smallest
    ):
        return (
            f"needs at least {smallest} reference images, and takes {m} of {measure['reference']}"
        )
    if len(np.unique(drawn.blocks)) < 2:
        return f"has no interval with fewer than 2 samples of each class: --n {2 * classes}"
    return ""


def _unpaired(measure: Mapping[str, Any], plan: Plan, real: Real, smallest: int) -> str:
    """Why a measure of reconstructions cannot be taken, or ""."""
    if view(measure) not in real.features:
        return (
            f"{plan.identity['generator']} has no encoder with this checkpoint: "
            "its reconstruct returned None"
        )
    if (m := min(measure["reference_n"] or len(real.labels), len(real.labels))) < smallest:
        return f"needs at least {smallest} images, and takes {m} of {measure['reference']}"
    return (
        f"has no interval with fewer than 2 images of each class in {measure['reference']}"
        if m <= len(np.unique(real.labels))
        else ""
    )


def _width(measure: Mapping[str, Any], drawn: Drawn, real: Mapping[str, Real]) -> int:
    """The width of the rows or sums that a measure is taken of."""
    held = (
        real[measure["reference"]].features.get(view(measure))
        if reconstructs(measure)
        else drawn.probes.get(probe_name(measure))
    )
    return width_of(measure) if held is None else int(held.shape[-1])


def _measured(
    blank: Score, metric: Metric, measure: Mapping[str, Any], given: Given, reducer: str
) -> Score:
    arrays, constants = given.arrays, measure["constants"]
    unfit = f"the features {measure['features']} of the {{}} hold NaN or infinite values"
    bad = next((need for need in arrays if not np.isfinite(arrays[need]).all()), None)
    if bad:
        return replace(blank, status="failed", reason=unfit.format(NEEDS[bad]))
    try:
        value = _value(metric, given, constants, reducer)
        if not math.isfinite(value):
            return replace(
                blank, status="undefined", reason=f"{metric.name} of these samples is {value}"
            )
        left_out = leave_outs(metric, given, "samples", constants, reducer)
        se, low, high = confidence_intervals.interval(
            metric.interval, value, left_out, given.sizes / given.parts
        )
        if not all(map(math.isfinite, (low, high, *left_out))):
            return replace(
                blank,
                status="skipped",
                reason=f"{blank.n} samples are too few for its interval; --n with more",
            )
        flags = (*blank.flags, *confidence_intervals.few_blocks(metric.interval, len(left_out)))
        ours = replace(
            blank,
            value=value,
            se=se,
            low=low,
            high=high,
            left_out=tuple(left_out.tolist()),
            sizes=tuple(given.sizes.tolist()),
            flags=flags,
        )
        return replace(ours, se_reference=_reference_error(metric, measure, value, given, reducer))
    except NotFinite:
        return replace(blank, status="failed", reason=unfit.format("samples"))
    except UserError as error:  # its constants do not fit these sizes
        return replace(blank, status="skipped", reason=clean(str(error)))
    except (Exception, SystemExit) as error:
        # a metric may be a stranger's; the others' numbers are kept, and the exit status is 5
        return _failed(blank, error)


def _per_class(
    blank: Score, metric: Metric, measure: Mapping[str, Any], given: Given, drawn: Drawn
) -> list[Score]:
    """The same number class by class, where the metric's row says so and sums per class
    were kept.
    """
    sums = given.arrays.get("sums")
    if not metric.per_class or sums is None or drawn.labels is None or sums.shape[1] == 1:
        return []
    found = []
    for c in range(sums.shape[1]):
        counts = sums[:, c, -1]
        held = counts > 0
        named = replace(blank, part=f"class {c}", n=int(counts.sum()))
        if held.sum() < 2:
            found.append(
                replace(
                    named,
                    status="skipped",
                    reason=f"{named.n} samples of the class are too few for an interval",
                )
            )
            continue
        own = Given(
            Arrays({"sums": sums[held, c : c + 1]}),
            {"samples": np.arange(int(held.sum()))},
            counts[held],
        )
        found.append(_measured(named, metric, measure, own, "mean"))
    return found


def _failed(blank: Score, error: BaseException) -> Score:
    reason = clean(f"{type(error).__name__}: {error}")
    complain(f"{blank.metric}: {reason}")
    return replace(
        blank,
        status="failed",
        reason=reason,
        value=None,
        se=None,
        se_reference=None,
        low=None,
        high=None,
        left_out=(),
        flags=(),
    )


def _repeats(given: Given) -> list[Given]:
    """The samples' rows in their repeats: consecutive parts, each with its own blocks."""
    if given.parts == 1:
        return [given]
    n = len(given.blocks["samples"]) // given.parts
    parts = [np.arange(at, at + n) for at in range(0, n * given.parts, n)]
    return [
        replace(
            given,
            arrays=given.arrays.keep("samples", part),
            blocks={**given.blocks, "samples": given.blocks["samples"][part]},
        )
        for part in parts
    ]


def _value(metric: Metric, given: Given, constants: Mapping[str, Any], reducer: str) -> float:
    return float(
        REDUCE[reducer]([float(metric.value(part.arrays, **constants)) for part in _repeats(given)])
    )


def leave_outs(
    metric: Metric, given: Given, side: Side, constants: Mapping[str, Any], reducer: str = "mean"
) -> ndarray[Any, Any]:
    """The metric without each block of one side, float64 [B];
    of repeats, what the reducer makes of theirs.
    """
    total = int(given.blocks[side].max()) + 1
    return np.asarray(
        REDUCE[reducer](
            [_part_left_out(metric, part, side, constants, total) for part in _repeats(given)]
        )
    )


def _part_left_out(
    metric: Metric, part: Given, side: Side, constants: Mapping[str, Any], total: int
) -> ndarray[Any, Any]:
    """The leave-outs of one repeat, float64 [total]: where it has nothing of a block,
    its value stays.
    """
    there, blocks = np.unique(part.blocks[side], return_inverse=True)
    if metric.left_out is not None:
        own = np.asarray(metric.left_out(part.arrays, blocks, side, **constants), dtype=np.float64)
        if own.shape != (len(there),):
            raise ValueError(
                f"left_out of {metric.name} returned {list(own.shape)} for {len(there)} blocks"
            )
    else:
        own = np.array(
            [
                metric.value(part.arrays.keep(side, blocks != b), **constants)
                for b in range(len(there))
            ],
            dtype=np.float64,
        )
    found = (
        own
        if len(there) == total
        else np.full(total, float(metric.value(part.arrays, **constants)))
    )
    found[there] = own
    return found


def _reference_error(
    metric: Metric, measure: Mapping[str, Any], value: float, given: Given, reducer: str
) -> float | None:
    """The standard error from the real images, of the reference and of the training split where it
    counts; None where there is no such error.
    """
    found = 0.0
    sides = [side for side in given.blocks if side != "samples"]
    for side in sides:
        sizes = np.unique(given.blocks[side], return_counts=True)[1]
        found += (
            jackknife.jackknife(
                leave_outs(metric, given, side, measure["constants"], reducer), sizes, value
            )
            ** 2
        )
    return math.sqrt(found) if sides and math.isfinite(found) else None


def _lines(
    taken: Sequence[Mapping[str, Any]],
    protocol: Mapping[str, Any],
    real: Mapping[str, Real],
    drawn: Drawn,
) -> dict[str, RealLine]:
    """What real data scores on the measures that compare rows of features."""
    parts = [real[split] for split in protocol["real"]]
    compared = [
        m
        for m in taken
        if "pairs" not in registry.find("metrics", m["metric"]).needs
        and not m["mirrored"]
        and not reconstructs(m)
    ]
    able = [m for m in compared if parts and m["features"] in parts[0].features]
    if not able:
        return {}
    names = {measure["features"] for measure in able}
    pool = Pool(
        features={
            name: np.concatenate([part.features[name] for part in parts]) for name in sorted(names)
        },
        labels=np.concatenate([part.labels for part in parts]),
        splits=[protocol["splits"][split] for split in protocol["real"]],
        extractors=protocol["extractors"],
    )
    sizes = {split: len(one.labels) for split, one in real.items()}
    counts = {}
    for measure in able:
        n = one_repeat(measure, int(protocol["repeats"]), len(drawn.blocks))
        counts[measure["name"]] = counts_per_class(
            None if drawn.labels is None else drawn.labels[:n], pool.labels, n
        )
    least = int(protocol["repeats"]) if protocol["reducer"] == "min" else 1
    return real_lines(able, pool, counts, sizes, protocol["train"], least)


def _beside(ours: Score, line: RealLine | None, metric: Metric, width: int) -> Score:
    """The score with what real data scores, and beside its own flags those that the metric's rule
    raises on both.
    """
    assert ours.value is not None, "an ok score has a value"
    try:
        flags = ours.flags + tuple(
            str(flag)
            for flag in metric.flags(
                Sighting(ours.n, width, ours.value, line.high if line else None)
            )
        )
    except (Exception, SystemExit) as error:
        return _failed(ours, error)
    flags += (
        ("outside its range",)
        if not metric.range[0] - SLACK <= ours.value <= metric.range[1] + SLACK
        else ()
    )
    flags += ("no spread between blocks",) if ours.se == 0 and metric.interval != "wilson" else ()
    if line is None:
        return replace(ours, flags=flags)
    extrapolated = (
        ()
        if line.used == ours.n
        else (f"real {'extrapolated from' if line.extrapolated else 'at'} n = {line.used}",)
    )
    return replace(ours, real=line.median, real_high=line.high, flags=(*flags, *extrapolated))
