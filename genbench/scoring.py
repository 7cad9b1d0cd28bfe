"""Features to Scores: each number with its interval, the reference's standard error, what real data scores, and the leave-one-block-out values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench import intervals, shelves
from genbench.arrays import NEEDS, Arrays, Side, Sighting
from genbench.draws import blocks_of
from genbench.lazy import np
from genbench.real import Pool, RealLine, counts_per_class, real_lines
from genbench.record import Score
from genbench.rows import Metric
from genbench.say import clean, complain

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.record import Plan
    from genbench.reference import Real


@dataclass(frozen=True)
class Drawn:
    """What a run drew: features {"EXTRACTOR.OUTPUT": float64 [n, d]}, labels int64 [n] or None, blocks int64 [n]; row i is sample i."""

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any] | None
    blocks: ndarray[Any, Any]


def score(plan: Plan, drawn: Drawn, real: Mapping[str, Mapping[str, Real]]) -> tuple[Score, ...]:
    """The scores of a run under each of its protocols; real is {protocol: {split: Real}}."""
    return tuple(found for name in plan.protocols for found in _under(name, plan, drawn, real[name]))


def _under(name: str, plan: Plan, drawn: Drawn, real: Mapping[str, Real]) -> list[Score]:
    protocol = plan.protocols[name]
    metrics: dict[str, Metric] = {measure["name"]: shelves.find("metrics", measure["metric"]) for measure in protocol["measures"]}
    found = []
    taken = []
    shared: dict[Any, Arrays] = {}  # measures of the same features and reference share what they derive from them
    for measure in protocol["measures"]:
        metric = metrics[measure["name"]]
        blank = Score(name, measure["name"], n=plan.n, method=metric.interval, better=metric.better)
        why = _unfit(metric, measure, plan, drawn, real)
        if why:
            found.append(replace(blank, status="skipped", reason=why))
            continue
        key = (measure["features"], measure["reference"], metric.needs)
        if key not in shared:
            shared[key] = _arrays(measure, metric, drawn, real)
        found.append(_measured(blank, metric, measure, shared[key], drawn.blocks, real))
        if found[-1].status == "ok":
            taken.append(measure)
    lines = _lines(taken, protocol, real, drawn, plan.n)
    widths = {measure["name"]: drawn.features[measure["features"]].shape[1] for measure in taken}
    return [_beside(one, lines.get(one.metric), metrics[one.metric], widths[one.metric]) if one.status == "ok" else one for one in found]


def _unfit(metric: Metric, measure: Mapping[str, Any], plan: Plan, drawn: Drawn, real: Mapping[str, Real]) -> str:
    """Why a metric cannot be taken of this run, or ""."""
    smallest = max(metric.smallest_n, int(measure["constants"].get("k", 0)) + 2)
    classes = int(plan.identity["conditions"].get("classes", 1))
    if "labels" in metric.needs and drawn.labels is None:
        return f"{plan.identity['generator']} takes no labels"
    if "reference" in metric.needs and not measure["reference"]:
        return "the protocol names no reference for it"
    if plan.n < smallest:
        return f"needs at least {smallest} samples, the run has {plan.n}: --n {smallest}"
    if measure["reference"] and len(real[measure["reference"]].labels) < smallest:
        return f"needs at least {smallest} reference images, {measure['reference']} has {len(real[measure['reference']].labels)}"
    if len(np.unique(drawn.blocks)) < 2:
        return f"has no interval with fewer than 2 samples of each class: --n {2 * classes}"
    return ""


def _arrays(measure: Mapping[str, Any], metric: Metric, drawn: Drawn, real: Mapping[str, Real]) -> Arrays:
    features = measure["features"]
    given: dict[str, Any] = {"samples": drawn.features[features], "logits": drawn.features[features], "labels": drawn.labels}
    if measure["reference"]:
        given["reference"] = real[measure["reference"]].features[features]
    return Arrays({need: given[need] for need in metric.needs})


def _measured(blank: Score, metric: Metric, measure: Mapping[str, Any], arrays: Arrays, blocks: ndarray[Any, Any], real: Mapping[str, Real]) -> Score:
    bad = next((need for need in arrays if not np.isfinite(arrays[need]).all()), None)
    if bad:
        return replace(blank, status="failed", reason=f"the features {measure['features']} of the {NEEDS[bad]} hold NaN or infinite values")
    constants = measure["constants"]
    try:
        value = float(metric.value(arrays, **constants))
        if not math.isfinite(value):
            return replace(blank, status="undefined", reason=f"{metric.name} of these samples is {value}")
        left_out = leave_outs(metric, arrays, blocks, "samples", constants)
        se, low, high = intervals.interval(metric.interval, value, left_out, _sizes(blocks))
        if not all(map(math.isfinite, (low, high, *left_out))):
            return replace(blank, status="skipped", reason=f"{blank.n} samples are too few for its interval; --n with more")
        ours = replace(blank, value=value, se=se, low=low, high=high, left_out=tuple(left_out.tolist()))
        return replace(ours, se_reference=_reference_error(metric, measure, value, arrays, real)) if measure["reference"] else ours
    except (Exception, SystemExit) as error:  # a metric may be a stranger's; the others' numbers are kept, and the exit status is 5
        return _failed(blank, error)


def _failed(blank: Score, error: BaseException) -> Score:
    reason = clean(f"{type(error).__name__}: {error}")
    complain(f"{blank.metric}: {reason}")
    return Score(blank.protocol, blank.metric, n=blank.n, method=blank.method, better=blank.better, status="failed", reason=reason)


def leave_outs(metric: Metric, arrays: Arrays, blocks: ndarray[Any, Any], side: Side, constants: Mapping[str, Any]) -> ndarray[Any, Any]:
    """The metric without each block of one side, float64 [B]; blocks int64 [rows of that side]."""
    _, dense = np.unique(blocks, return_inverse=True)
    if metric.left_out is not None:
        return np.asarray(metric.left_out(arrays, dense, side, **constants), dtype=np.float64)
    return np.array([metric.value(arrays.keep(side, dense != b), **constants) for b in range(dense.max() + 1)], dtype=np.float64)


def _sizes(blocks: ndarray[Any, Any]) -> ndarray[Any, Any]:
    return np.unique(blocks, return_counts=True)[1]


def _reference_error(metric: Metric, measure: Mapping[str, Any], value: float, arrays: Arrays, real: Mapping[str, Real]) -> float | None:
    blocks = blocks_of(real[measure["reference"]].labels)
    se = intervals.jackknife(leave_outs(metric, arrays, blocks, "reference", measure["constants"]), _sizes(blocks), value)
    return se if math.isfinite(se) else None


def _lines(taken: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any], real: Mapping[str, Real], drawn: Drawn, n: int) -> dict[str, RealLine]:
    parts = [real[split] for split in protocol["real"]]
    if not parts or not taken:
        return {}
    names = {measure["features"] for measure in taken}
    pool = Pool(
        features={name: np.concatenate([part.features[name] for part in parts]) for name in sorted(names)},
        labels=np.concatenate([part.labels for part in parts]),
        identity=[[protocol["splits"][split] for split in protocol["real"]], protocol["extractors"]],
    )
    sizes = {split: len(one.labels) for split, one in real.items()}
    return real_lines(taken, pool, counts_per_class(drawn.labels, pool.labels, n), sizes)


def _beside(ours: Score, line: RealLine | None, metric: Metric, width: int) -> Score:
    """The score with what real data scores, and the flags that the metric's rule raises on both."""
    assert ours.value is not None, "an ok score has a value"
    try:
        flags = tuple(str(flag) for flag in metric.flags(Sighting(ours.n, width, ours.value, line.high if line else None)))
    except (Exception, SystemExit) as error:
        return _failed(ours, error)
    flags += ("no spread between blocks",) if ours.se == 0 and metric.interval != "wilson" else ()
    if line is None:
        return replace(ours, flags=flags)
    extrapolated = () if line.used == ours.n else (f"real extrapolated from n = {line.used}",)
    return replace(ours, real=line.median, real_high=line.high, flags=(*flags, *extrapolated))
