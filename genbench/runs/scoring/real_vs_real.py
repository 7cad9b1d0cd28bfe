"""Real against real: what a metric says of two disjoint sets of real images, of the run's sizes;
the line beside every number.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.cache import cache, cached, home
from genbench._util.console import complain, progress
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.metric import Metric
from genbench.api.metric_inputs import NEEDS, Arrays
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.features.extractor_versions import earlier
from genbench.runs.planning.shard_outputs import rounded
from genbench.runs.records.metric_versions import earlier_measure

if TYPE_CHECKING:
    from numpy import ndarray

SPLITS = 100
# of the pool: a reference that takes more leaves too little beside it, and is shrunk
# with the samples
SHARED = 0.75
# samples times held images times width of the features, for metrics of all pairs
LARGEST_PRODUCT = 4_000_000_000
SEED = 870
DECIDES = (
    "metric",
    "features",
    "constants",
    "reference_n",
    "mirrored",
    "precision",
    "samples_n",
    "batch",
    "formula",
    "real_vs_real",
)  # of a measure: what a line follows from, its data and sizes apart


@dataclass(frozen=True)
class RealLine:
    """Median and 95 % point over splits; `used` of the wanted samples' number where the pool did
    not suffice.
    """

    median: float
    high: float
    used: int
    extrapolated: bool = False  # in 1/n + 1/m from those used


@dataclass(frozen=True)
class Pool:
    """Real images whose roles are exchangeable: features {"EXTRACTOR.OUTPUT": float64 [p, d]},
    labels int64 [p], and what identifies them.
    """

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    splits: Sequence[str]  # fingerprints
    extractors: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Roles:
    """How many real images of each class stand for the samples [C],
    and how many in all for the reference and the training split (0: not needed).
    """

    samples: ndarray[Any, Any]
    reference: int
    train: int

    @property
    def held(self) -> int:
        return self.reference + self.train


def real_lines(
    measures: Sequence[Mapping[str, Any]],
    pool: Pool,
    counts: Mapping[str, ndarray[Any, Any]],
    sizes: Mapping[str, int],
    train: str,
    least_of: int = 1,
) -> dict[str, RealLine]:
    """{measure's name: RealLine}; cached by content, sizes and code.

    counts: by measure's name, the samples of each class int64 [C]; sizes: of each split; train: the
    training split. least_of: the samples' number is the minimum of so many repeats, whose quantiles
    follow from those of one: P(min <= x) = 1 - (1 - P(one <= x))^k.
    """
    lines = {}
    wanted = {
        measure["name"]: _wanted(measure, counts[measure["name"]], sizes, train)
        for measure in measures
    }
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for measure in measures:
        ask = wanted[measure["name"]]
        groups.setdefault(
            (tuple(ask.samples.tolist()), ask.reference, ask.train, _quadratic(measure)), []
        ).append(measure)
    for (*_, quadratic), of_it in groups.items():
        ask = wanted[of_it[0]["name"]]
        widest = max(pool.features[measure["features"]].shape[1] for measure in of_it)
        used = _fitting(
            ask,
            np.bincount(pool.labels, minlength=len(ask.samples)),
            LARGEST_PRODUCT // widest if quadratic else 0,
        )
        if used.samples.sum() < 2:
            continue
        values = _values(of_it, pool, used)
        for measure in of_it:
            factor = scale(registry.find("metrics", measure["metric"]), ask, used)
            found = values[measure["name"]] * factor
            if not np.isfinite(found).all():
                complain(
                    f"real against real: {measure['name']} is not a number on every split; "
                    "it stands without that line"
                )
                continue
            median, high = (
                float(np.quantile(found, 1 - (1 - share) ** (1 / least_of)))
                for share in (0.5, 0.95)
            )
            lines[measure["name"]] = RealLine(median, high, int(used.samples.sum()), factor != 1.0)
    return lines


def _wanted(
    measure: Mapping[str, Any], counts: ndarray[Any, Any], sizes: Mapping[str, int], train: str
) -> Roles:
    needs = registry.find("metrics", measure["metric"]).needs
    held = (
        sizes.get(measure["reference"], 0) if {NEEDS[need] for need in needs} & {"reference"} else 0
    )
    return Roles(
        counts,
        min(held, measure["reference_n"] or held),
        sizes.get(train, 0) if "train" in needs else 0,
    )


def _quadratic(measure: Mapping[str, Any]) -> bool:
    """Whether a metric looks at every pair of a sample and a real image:
    those that do not do with mean and covariance.
    """
    metric: Metric = registry.find("metrics", measure["metric"])
    return not metric.from_moments and any(NEEDS[need] != "samples" for need in metric.needs)


def counts_per_class(
    labels: ndarray[Any, Any] | None, pooled: ndarray[Any, Any], n: int
) -> ndarray[Any, Any]:
    """How many real images of each class stand for n samples: the run's own counts;
    without labels the pool's proportions.
    """
    there = np.bincount(pooled)
    if labels is not None:
        return np.bincount(labels, minlength=len(there))
    share = there / there.sum() * n
    counts = np.floor(share).astype(np.int64)
    counts[np.argsort(counts - share, kind="stable")[: n - counts.sum()]] += 1
    return counts


def _fitting(wanted: Roles, there: ndarray[Any, Any], largest: int) -> Roles:
    """The wanted sizes, shrunk in proportion: the samples' alone where the pool holds them beside a
    reference of its size, else all alike.

    largest: of samples times held images, for metrics of all pairs, so that a hundred splits end in
    minutes; 0: any.
    """
    held = wanted.held
    if held < SHARED * there.sum() and not (0 < largest < wanted.samples.sum() * held):
        free = there - _quota(there, held)
        factor = min(1.0, float((free / np.maximum(wanted.samples, 1))[wanted.samples > 0].min()))
        return Roles(
            np.floor(wanted.samples * factor + 1e-9).astype(np.int64),
            wanted.reference,
            wanted.train,
        )
    needed = wanted.samples + there * held / there.sum()
    factor = min(1.0, float((there / np.maximum(needed, 1))[needed > 0].min()))
    if largest:
        factor = min(factor, (largest / max(wanted.samples.sum() * held, 1)) ** 0.5)
    return Roles(
        np.floor(wanted.samples * factor + 1e-9).astype(np.int64),
        int(wanted.reference * factor),
        int(wanted.train * factor),
    )


def _quota(there: ndarray[Any, Any], against: int) -> ndarray[Any, Any]:
    return there * against // there.sum()


def scale(metric: Metric, wanted: Roles, used: Roles) -> float:
    """What brings a distance from the sizes used to the wanted ones:
    it falls as a power of 1/n + 1/m between sets of one distribution.
    """
    n, m = int(wanted.samples.sum()), int(used.samples.sum())
    if metric.falls == 0 or not wanted.held or (n, wanted.held) == (m, used.held):
        return 1.0
    return float(((1 / n + 1 / wanted.held) / (1 / m + 1 / used.held)) ** metric.falls)


def _values(
    measures: Sequence[Mapping[str, Any]], pool: Pool, used: Roles
) -> dict[str, ndarray[Any, Any]]:
    """{name: float64 [SPLITS]}, from the cache where it has them."""
    sizes = [used.samples.tolist(), used.reference, used.train]
    paths = {
        m["name"]: home() / "real" / f"{_key(m, pool, sizes)[:32]}.safetensors" for m in measures
    }
    before = {
        m["name"]: home() / "real" / f"{_earlier_key(m, pool, sizes)[:32]}.safetensors"
        for m in measures
    }
    known = {
        name: found[0]["values"]
        for name, path in paths.items()
        if (found := cached(path, before[name]))
    }
    fresh = [measure for measure in measures if measure["name"] not in known]
    if fresh:
        with progress("real against real", SPLITS, "splits") as done:
            rows = []
            for turn in range(SPLITS):
                rows.append(_one_split(fresh, pool, used, turn))
                done(1)
        for column, measure in enumerate(fresh):
            known[measure["name"]] = np.array([row[column] for row in rows], dtype=np.float64)
            cache(
                paths[measure["name"]],
                {"values": known[measure["name"]]},
                {"measure": measure["name"]},
            )
    return known


def _key(measure: Mapping[str, Any], pool: Pool, sizes: Sequence[Any]) -> str:
    """What decides a line: data, extractors, how the number is taken,
    and the versions of its formula and of these splits.
    """
    taken = {key: measure[key] for key in DECIDES}
    return digest(
        [
            list(pool.splits),
            {name: dict(one) for name, one in pool.extractors.items()},
            taken,
            sizes,
            SPLITS,
            SEED,
        ]
    )


def _earlier_key(measure: Mapping[str, Any], pool: Pool, sizes: Sequence[Any]) -> str:
    """The same as an earlier genbench named it."""
    identity = [list(pool.splits), {name: earlier(one) for name, one in pool.extractors.items()}]
    return digest([identity, earlier_measure(measure), sizes, SPLITS, SEED])


def _one_split(
    measures: Sequence[Mapping[str, Any]], pool: Pool, used: Roles, turn: int
) -> list[float]:
    """Every measure of one split: within each class random parts stand for the reference,
    the training split and the samples.
    """
    rng = np.random.default_rng([SEED, turn])
    members = [rng.permutation(np.flatnonzero(pool.labels == c)) for c in range(len(used.samples))]
    there = np.bincount(pool.labels, minlength=len(used.samples))
    quotas = [_quota(there, used.reference), _quota(there, used.train), used.samples]
    bounds = np.cumsum([np.zeros_like(used.samples), *quotas], axis=0)
    held, train, ours = (
        _in_turn([m[a:b] for m, a, b in zip(members, low, high, strict=True)])
        for low, high in itertools.pairwise(bounds)
    )
    shared: dict[Any, Arrays] = {}
    values = []
    for measure in measures:
        metric: Metric = registry.find("metrics", measure["metric"])
        key = (measure["features"], measure["precision"], metric.needs)
        if key not in shared:
            rows = rounded(pool.features[measure["features"]], measure)
            shared[key] = _arrays(metric, rows, pool.labels, held, train, ours)
        try:
            values.append(float(metric.value(shared[key], **measure["constants"])))
        except (Exception, SystemExit):
            # a stranger's metric may take the samples and not the real images
            values.append(float("nan"))
    return values


def _in_turn(members: Sequence[ndarray[Any, Any]]) -> ndarray[Any, Any]:
    """The members of all classes, the classes in turn as a run's samples have them:
    some metrics look at halves by index.
    """
    place = np.concatenate([np.arange(len(of)) for of in members])
    return np.concatenate(members)[np.argsort(place, kind="stable")]


def _arrays(metric: Metric, rows: Any, labels: Any, held: Any, train: Any, ours: Any) -> Arrays:
    given = {
        "samples": rows[ours],
        "logits": rows[ours],
        "labels": labels[ours],
        "train": rows[train],
    }
    given |= {"reference": rows[held], "reference_logits": rows[held]}
    if "sums" in metric.needs:
        given["sums"] = sums_of_rows(rows[ours], np.zeros(len(ours), dtype=np.int64), labels[ours])
    if "ahead" in metric.needs:
        given["ahead"] = ahead_of_rows(rows[ours], labels[ours])
    return Arrays({need: given[need] for need in metric.needs})
