"""The samples that became worse most, the baseline's above the candidate's:
for eyes, where the folders of both runs are at hand.
"""

from __future__ import annotations

from pathlib import Path

from genbench._util.lazy_imports import np
from genbench.data.image_grid import grid_png
from genbench.data.user_datasets import dataset_of
from genbench.runs.finished_run import gathered, real_rows
from genbench.runs.records.record import Record, plan_of
from genbench.runs.sampling import read_shards
from genbench.statistics.influence_function import influence

SHOWN, COLUMNS = 16, 8


def worsened(candidate: Record, baseline: Record) -> tuple[bytes, list[int]] | None:
    """A picture of pairs of one seed, and the seeds, by how much more each sample adds to the
    Fréchet distance than it did; None where that cannot be told.
    """
    plans = plan_of(candidate), plan_of(baseline)
    folders = Path(candidate.folder), Path(baseline.folder)
    there = all(
        one.folder and (Path(one.folder) / "shards").is_dir() for one in (candidate, baseline)
    )
    if not there or candidate.id == baseline.id or not all(plan.keep_images for plan in plans):
        return None
    measure = next(
        (
            m
            for p in plans[0].protocols.values()
            if not p["statistics"]
            for m in p["measures"]
            if m["metric"] == "fd" and not m["skip"]
        ),
        None,
    )
    if measure is None:
        return None
    held, _ = real_rows(
        dataset_of(plans[0].dataset or plans[0].identity["dataset"]),
        measure["reference"],
        measure["features"],
        plans[0],
    )
    ours, theirs = (
        gathered(plan, folder, measure["features"]).astype(np.float64)
        for plan, folder in zip(plans, folders, strict=True)
    )
    if len(ours) != len(theirs) or min(len(ours) / 2, len(held)) <= ours.shape[1]:
        return None
    held = held.astype(np.float64)
    # among the baseline's samples: one that did not change rises by 0
    rise = influence(theirs, held, of=ours) - influence(theirs, held)
    places = np.argsort(-rise, kind="stable")[:SHOWN].tolist()
    new, old = (
        read_shards.images_at(plan, folder, places)
        for plan, folder in zip(plans, folders, strict=True)
    )
    if new.shape != old.shape:
        return None
    pairs = [row[at : at + COLUMNS] for at in range(0, len(places), COLUMNS) for row in (old, new)]
    return grid_png(np.concatenate(pairs), min(COLUMNS, len(places))), [
        int(plans[0].identity["first_seed"]) + place for place in places
    ]
