"""The numbers of a run, of more samples than memory holds too: Fréchet distances from moments that are streamed, all else of the first so many samples.

Up to LARGEST bytes of rows, and MOST_OF_PAIRS samples, every number is of all samples and all rows are in memory. Beyond that

    fd                                  of all samples: moments of each block, merged in ascending order (Chan); costs n d^2
    other numbers that cost n           of as many first samples as fit into SAMPLE bytes of rows
    numbers that compare pairs of rows  of the first MOST_OF_PAIRS samples at most, and as many as fit

Every such number says so in a flag. The first samples of a run are balanced and in the same blocks, so its interval is that of a shorter run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import gaussians, intervals, readback, shards, shelves, stats
from genbench.arrays import Sighting
from genbench.given import Drawn, given_of
from genbench.lazy import np
from genbench.probes import Probe, one_repeat, probe_name, probes_of, reconstructs, rounded
from genbench.real import Roles, scale
from genbench.record import Plan, Score
from genbench.say import progress
from genbench.scoring import Closest, score

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.reference import Real
    from genbench.rows import Metric

LARGEST = 2**30  # bytes of a probe's rows in float64 that are held at once
SAMPLE = 2**28  # bytes of those that stand for more
BESIDE = 2**26  # bytes of those from which fd takes the reference's error and what real data scores
PIECE = 2**25  # bytes of rows whose moments are taken at once
MOST_OF_PAIRS = 50_000  # samples, as many as the papers take


@dataclass(frozen=True)
class Way:
    """How a measure of a run is taken: of the first so many samples, why, and whether of all by streamed moments."""

    first: int | None = None  # None: all
    why: str = ""
    streamed: bool = False


def scored(plan: Plan, folder: Path, real: Mapping[str, Mapping[str, Real]]) -> tuple[tuple[Score, ...], Closest | None]:
    """The scores of a run whose shards are drawn, in the order of its measures, and what a metric that looks for copies would show."""
    probes = {name: probe for name, probe in probes_of(plan).items() if name != "images"}
    ways = {(name, m["name"]): way_of(m, p, plan.n) for name, p in plan.protocols.items() for m in p["measures"]}
    found: list[Score] = []
    shown: list[Closest] = []
    for first in dict.fromkeys(way.first for way in ways.values()):
        scores, closest = _of_first(first, _only(plan, {key for key, way in ways.items() if way.first == first}), plan, folder, probes, real)
        shown += [closest] if closest else []
        found += [_said(one, ways[one.protocol, one.metric]) for one in scores]
    order = {key: place for place, key in enumerate(ways)}
    found.sort(key=lambda one: order[one.protocol, one.metric])
    return tuple(_streamed(plan, folder, probes, real, one) if ways[one.protocol, one.metric].streamed else one for one in found), next(iter(shown), None)


def _of_first(
    first: int | None, part: Plan, plan: Plan, folder: Path, probes: Mapping[str, Probe], real: Mapping[str, Mapping[str, Real]]
) -> tuple[tuple[Score, ...], Closest | None]:
    """What the measures of a part of the plan are of the first so many samples (None: of all); its rows are held here alone."""
    gathered = {name: readback.gather(plan, folder, probes[name], first) for name in probes_of(part) if name in probes}
    labels, blocks = shards.labels_for(plan), shards.run_blocks(plan)[:first]
    scores, closest = score(part, Drawn(gathered, None if labels is None else labels[:first], blocks), real)
    sizes = () if first is None else tuple(np.unique(blocks, return_counts=True)[1].tolist())
    return tuple(replace(one, sizes=one.sizes or sizes) for one in scores), closest


def way_of(measure: Mapping[str, Any], protocol: Mapping[str, Any], n: int) -> Way:
    """How a measure is taken of a run of n samples."""
    repeats = int(protocol["repeats"])
    if measure["skip"] or reconstructs(measure) or measure["pairs"] or repeats > 1:
        return Way()
    extractor, _, output = measure["features"].partition(".")
    width = int(shelves.find("extractors", extractor).outputs[output])
    taken = one_repeat(measure, repeats, n)
    if not width:
        return Way()  # sums of it are kept, and no rows
    metric = shelves.find("metrics", measure["metric"])
    large, streamed = taken * width * 8 > LARGEST, metric.name == "fd"
    fits = (BESIDE if streamed else SAMPLE) // (8 * width)
    if "samples" in metric.needs and not metric.from_moments:
        few = min(MOST_OF_PAIRS, fits) if large else MOST_OF_PAIRS
        return Way(few, f"of the first {few} of {taken} samples: its cost grows with the number of pairs") if taken > few else Way()
    return Way(fits, f"of the first {fits} of {taken} samples, whose features fit into memory", streamed) if large else Way()


def _only(plan: Plan, kept: set[tuple[str, str]]) -> Plan:
    """The plan with some measures alone."""
    protocols = {name: {**p, "measures": [m for m in p["measures"] if (name, m["name"]) in kept]} for name, p in plan.protocols.items()}
    return replace(plan, protocols={name: protocol for name, protocol in protocols.items() if protocol["measures"]})


def _said(one: Score, way: Way) -> Score:
    """A score with why it is not of all samples."""
    return replace(one, flags=(*one.flags, way.why)) if one.status == "ok" and way.why and not way.streamed else one


def _streamed(plan: Plan, folder: Path, probes: Mapping[str, Probe], real: Mapping[str, Mapping[str, Real]], few: Score) -> Score:
    """A Fréchet distance of all samples. few: that of the first ones, whose error from the reference stays, and whose real line is brought to this n."""
    if few.status != "ok":
        return few
    protocol = plan.protocols[few.protocol]
    measure = next(m for m in protocol["measures"] if m["name"] == few.metric)
    metric: Metric = shelves.find("metrics", measure["metric"])
    still = _reference(plan, measure, metric, protocol, real[few.protocol])
    blocks = moments_by_block(plan, folder, probes[probe_name(measure)], measure, still.mean)
    value = _distance(stats.merge_all(blocks), still)
    left_out = np.array([_distance(one, still) for one in stats.without_each(blocks)])
    sizes = np.array([one.count for one in blocks])
    if not (math.isfinite(value) and np.isfinite(left_out).all()):
        return replace(few, status="undefined", reason=f"{metric.name} of these samples is {value}", value=None, se=None, low=None, high=None, left_out=())
    se, low, high = intervals.interval(metric.interval, value, left_out, sizes)
    n, held = int(sizes.sum()), measure["reference_n"] or len(real[few.protocol][measure["reference"]].labels)
    real_line, real_high = few.real, few.real_high
    said = [f"se_reference at n = {few.n}"] * (few.se_reference is not None)
    if real_line is not None and real_high is not None:
        factor = scale(metric, *(Roles(np.array([count]), held, 0) for count in (n, few.n)))
        real_line, real_high = real_line * factor, real_high * factor
        said += [next((flag for flag in few.flags if flag.startswith("real extrapolated")), f"real extrapolated from n = {few.n}")]
    flags = (*measure["flags"], *map(str, metric.flags(Sighting(n, len(still.mean), value, real_high))), *said)
    ours = replace(few, value=value, se=se, low=low, high=high, n=n, left_out=tuple(left_out.tolist()), sizes=tuple(sizes.tolist()), flags=flags)
    return replace(ours, real=real_line, real_high=real_high)


def _reference(plan: Plan, measure: Mapping[str, Any], metric: Metric, protocol: Mapping[str, Any], real: Mapping[str, Real]) -> gaussians.Gaussian:
    """The Gaussian of the reference as the measure takes it."""
    width = shelves.find("extractors", measure["features"].partition(".")[0]).outputs[measure["features"].partition(".")[2]]
    two = Drawn({probe_name(measure): np.zeros((2, width))}, None, np.arange(2))  # of the samples nothing is asked
    given = given_of({**measure, "samples_n": 0, "batch": 0}, metric, {**protocol, "train": ""}, two, real)
    lost = int(measure["constants"].get("divisor", 1))
    if "reference" in given.arrays:
        return gaussians.fit(given.arrays["reference"], lost)
    return gaussians.of_moments(real[measure["reference"]].moments[measure["features"].partition(".")[2]], lost)


def moments_by_block(plan: Plan, folder: Path, probe: Probe, measure: Mapping[str, Any], mean: ndarray[Any, Any]) -> list[stats.Moments]:
    """The moments of each block's rows about a mean, float64: shards are read in ascending order and merged in it, some thousands of rows at a time."""
    first = one_repeat(measure, 1, plan.n)
    found: dict[int, stats.Moments] = {}
    with progress(f"moments of {probe.name}", first, "samples") as done:
        for block, rows in _some_at_once(plan, folder, probe, first):
            part = stats.moments(rounded(rows, measure) - mean)
            found[block] = stats.merge(found[block], part) if block in found else part
            done(len(rows))
    return [found[block] for block in sorted(found)]


def _some_at_once(plan: Plan, folder: Path, probe: Probe, first: int) -> Iterator[tuple[int, ndarray[Any, Any]]]:
    """(block, rows [k, d]) in ascending order, of as many shards of a block together as fill a PIECE."""
    held: list[ndarray[Any, Any]] = []
    at = -1
    for shard, rows in readback.rows_by_shard(plan, folder, probe, first):
        if held and (shard.block != at or sum(map(len, held)) * rows.shape[1] * 8 > PIECE):
            yield at, np.concatenate(held)
            held = []
        at = shard.block
        held.append(rows)
    if held:
        yield at, np.concatenate(held)


def _distance(moving: stats.Moments, still: gaussians.Gaussian) -> float:
    """The Fréchet distance of moments about the mean that stays, and the Gaussian that stays."""
    covariance, a = stats.covariance(moving, still.lost), still.factor
    term = (
        stats.trace_of_product_root(covariance, a)
        if len(a) == a.shape[1]
        else stats.trace_of_root(stats.product(stats.product(a, covariance), a.T), full_rank=True)
    )
    return float((moving.mean**2).sum() + covariance.trace() + still.trace - 2 * term)
