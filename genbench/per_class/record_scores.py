"""The kernel distance class by class, as scores of a record: what a gate judges of classes.

Taken from a run's folder, where its features lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import tell
from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.metric import Metric
from genbench.api.metric_inputs import Arrays
from genbench.data.user_datasets import dataset_of
from genbench.runs.finished_run import gathered, real_rows
from genbench.runs.records.record import Plan, Record, Score, plan_of
from genbench.runs.sampling import shards
from genbench.statistics.confidence_intervals import t_interval
from genbench.statistics.jackknife import jackknife

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

MOST = 100  # classes; a record of more would be no small file
# numbers in the features of a run; beyond it the kernels of all classes take minutes
LARGEST = 2**26
SPLITS = 100  # of real images against real images


def with_classes(found: Record) -> Record:
    """The record with the kernel distance of each class to its real images;
    as it is where the folder, labels or rows of features are not there.
    """
    if (
        not found.folder
        or not (Path(found.folder) / "shards").is_dir()
        or any(s.part.startswith("class ") and s.status == "ok" for s in found.scores)
    ):
        return found
    plan = plan_of(found)
    labels = shards.labels_for(plan)
    try:
        dataset = dataset_of(plan.dataset or plan.identity["dataset"])
        if labels is None or not 2 <= len(dataset.classes) <= MOST:
            return found
        more = [
            score
            for name, under in plan.protocols.items()
            for score in _under(found, plan, dataset, name, under, labels)
        ]
    except UserError as error:
        tell(f"no numbers by class: {error}")
        return found
    return replace(found, scores=(*found.scores, *more))


def _under(
    found: Record, plan: Plan, dataset: Dataset, name: str, under: Mapping[str, Any], labels: Array
) -> Iterator[Score]:
    measure = next(
        (
            m
            for m in under["measures"]
            if m["metric"] == "kd" and not m["skip"] and not m["samples_n"]
        ),
        None,
    )
    if measure is None or under["statistics"] is not None:
        return
    metric: Metric = registry.find("metrics", "kd")
    rows, blocks = (
        gathered(plan, Path(found.folder), measure["features"]).astype(np.float64),
        shards.run_blocks(plan),
    )
    if rows.size > LARGEST:
        tell(
            f"no numbers by class: {len(rows)} samples of {rows.shape[1]} features would take long"
        )
        return
    held, of = real_rows(dataset, measure["reference"], measure["features"], plan)
    pools = [
        real_rows(dataset, split, measure["features"], plan)
        for split in under["real"] or [measure["reference"]]
    ]
    for c in range(len(dataset.classes)):
        mine, theirs = labels == c, held[of == c].astype(np.float64)
        pool = np.concatenate([real[those == c] for real, those in pools]).astype(np.float64)
        if len(np.unique(blocks[mine])) >= 2 and len(theirs) >= 2:
            blank = Score(
                name,
                measure["name"],
                part=f"class {c}",
                n=int(mine.sum()),
                method="jackknife",
                better="lower",
            )
            yield _of_class(
                blank,
                metric,
                rows[mine],
                np.unique(blocks[mine], return_inverse=True)[1],
                theirs,
                pool,
            )


def _of_class(
    blank: Score, metric: Metric, rows: Array, blocks: Array, real: Array, pool: Array
) -> Score:
    arrays, sizes = Arrays({"samples": rows, "reference": real}), np.bincount(blocks)
    value = float(metric.value(arrays))
    assert metric.left_out is not None, "the kernel distance has its own"
    left_out = metric.left_out(arrays, blocks, "samples")
    if not np.isfinite([value, *left_out]).all():
        return replace(blank, status="undefined", reason="too few samples of the class")
    se = jackknife(left_out, sizes, value)
    low, high = t_interval(value, se, len(sizes))
    line, high_line = _real_line(metric, pool, len(rows), len(real))
    known = replace(blank, value=value, se=se, low=low, high=high, real=line, real_high=high_line)
    return replace(known, left_out=tuple(left_out.tolist()), sizes=tuple(sizes.tolist()))


def _real_line(
    metric: Metric, pool: Array, n: int, m: int
) -> tuple[float, float] | tuple[None, None]:
    """Median and 95 % point between disjoint real sets of these sizes, or of as much as there is;
    (None, None) where that is next to nothing.
    """
    share = min(1.0, len(pool) / (n + m))
    n, m = int(n * share), int(m * share)
    if min(n, m) < 2:
        return None, None
    rng, found = np.random.default_rng(0), []
    for _ in range(SPLITS):
        order = rng.permutation(len(pool))
        found.append(
            float(
                metric.value(
                    Arrays({"samples": pool[order[:n]], "reference": pool[order[n : n + m]]})
                )
            )
        )
    return float(np.median(found)), float(np.quantile(found, 0.95))
