"""Real against real: what a metric says of two disjoint sets of real images, of the run's sizes; the line beside every number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench import shelves
from genbench.arrays import Arrays
from genbench.files import cache, cached, digest, home
from genbench.lazy import np
from genbench.rows import Metric
from genbench.say import complain

if TYPE_CHECKING:
    from numpy import ndarray

SPLITS = 100
SEED = 870


@dataclass(frozen=True)
class RealLine:
    """Median and 95 % point over splits; `used` of the wanted samples' number where the pool did not suffice."""

    median: float
    high: float
    used: int


@dataclass(frozen=True)
class Pool:
    """Real images whose roles are exchangeable: features {"EXTRACTOR.OUTPUT": float64 [p, d]}, labels int64 [p], and what identifies them."""

    features: Mapping[str, ndarray[Any, Any]]
    labels: ndarray[Any, Any]
    identity: Any


def real_lines(measures: Sequence[Mapping[str, Any]], pool: Pool, counts: ndarray[Any, Any], reference_sizes: Mapping[str, int]) -> dict[str, RealLine]:
    """{measure's name: RealLine} for samples with these counts per class int64 [C]; cached by content, sizes and code."""
    lines = {}
    for reference in sorted({measure["reference"] for measure in measures}):
        of_it = [measure for measure in measures if measure["reference"] == reference]
        against = reference_sizes.get(reference, 0)
        used = _fitting(counts, np.bincount(pool.labels, minlength=len(counts)), against)
        if used.sum() < 2:
            continue
        values = _values(of_it, pool, used, against)
        for measure in of_it:
            metric = shelves.find("metrics", measure["metric"])
            scale = _scale(metric, int(counts.sum()), int(used.sum()), against)
            found = values[measure["name"]] * scale
            if not np.isfinite(found).all():
                complain(f"real against real: {measure['name']} is not a number on every split; it stands without that line")
                continue
            lines[measure["name"]] = RealLine(float(np.median(found)), float(np.quantile(found, 0.95)), int(used.sum()))
    return lines


def counts_per_class(labels: ndarray[Any, Any] | None, pooled: ndarray[Any, Any], n: int) -> ndarray[Any, Any]:
    """How many real images of each class stand for n samples: the run's own counts; without labels the pool's proportions."""
    there = np.bincount(pooled)
    if labels is not None:
        return np.bincount(labels, minlength=len(there))
    share = there / there.sum() * n
    counts = np.floor(share).astype(np.int64)
    counts[np.argsort(counts - share, kind="stable")[: n - counts.sum()]] += 1
    return counts


def _fitting(wanted: ndarray[Any, Any], there: ndarray[Any, Any], against: int) -> ndarray[Any, Any]:
    """The wanted counts, shrunk in proportion where the pool does not hold them beside a reference of its size."""
    free = there - _quota(there, against)
    factor = min(1.0, float((free / np.maximum(wanted, 1))[wanted > 0].min()))
    return np.floor(wanted * factor + 1e-9).astype(np.int64)


def _quota(there: ndarray[Any, Any], against: int) -> ndarray[Any, Any]:
    return there * against // there.sum()


def _scale(metric: Metric, n: int, used: int, against: int) -> float:
    """Distances between sets of one distribution fall as 1/n + 1/m; shares and scores do not."""
    if used == n or not ({"zero_on_identical", "unbiased"} & metric.properties):
        return 1.0
    return (1 / n + 1 / against) / (1 / used + 1 / against)


def _values(measures: Sequence[Mapping[str, Any]], pool: Pool, used: ndarray[Any, Any], against: int) -> dict[str, ndarray[Any, Any]]:
    """{name: float64 [SPLITS]}, from the cache where it has them."""
    keys = {m["name"]: digest([pool.identity, dict(m), used.tolist(), against, SPLITS, SEED]) for m in measures}
    paths = {name: home() / "real" / f"{key[:32]}.safetensors" for name, key in keys.items()}
    known = {name: found[0]["values"] for name, path in paths.items() if (found := cached(path))}
    fresh = [measure for measure in measures if measure["name"] not in known]
    if fresh:
        rows = [_one_split(fresh, pool, used, against, turn) for turn in range(SPLITS)]
        for column, measure in enumerate(fresh):
            known[measure["name"]] = np.array([row[column] for row in rows], dtype=np.float64)
            cache(paths[measure["name"]], {"values": known[measure["name"]]}, {"measure": measure["name"]})
    return known


def _one_split(measures: Sequence[Mapping[str, Any]], pool: Pool, used: ndarray[Any, Any], against: int, turn: int) -> list[float]:
    """Every measure of one split: within each class a random part stands for the reference and another for the samples."""
    rng = np.random.default_rng([SEED, turn])
    members = [rng.permutation(np.flatnonzero(pool.labels == c)) for c in range(len(used))]
    quota = _quota(np.bincount(pool.labels, minlength=len(used)), against)
    held = np.concatenate([m[:q] for m, q in zip(members, quota, strict=True)])
    ours = np.concatenate([m[q : q + u] for m, q, u in zip(members, quota, used, strict=True)])
    shared: dict[Any, Arrays] = {}
    values = []
    for measure in measures:
        metric: Metric = shelves.find("metrics", measure["metric"])
        features = pool.features[measure["features"]]
        given = {"samples": features[ours], "logits": features[ours], "labels": pool.labels[ours], "reference": features[held]}
        arrays = shared.setdefault((measure["features"], metric.needs), Arrays({need: given[need] for need in metric.needs}))
        try:
            values.append(float(metric.value(arrays, **measure["constants"])))
        except (Exception, SystemExit):  # a stranger's metric may take the samples and not the real images
            values.append(float("nan"))
    return values
