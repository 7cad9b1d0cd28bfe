"""What a finished run's samples teach: its classification accuracy score,
beside that of the data set's own images.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.dataset import Dataset
from genbench.data.subsets import BALANCED_TRAIN, described, heldout
from genbench.data.user_datasets import dataset_of
from genbench.per_class import classification_accuracy_score
from genbench.runs.records.record import Record, plan_of
from genbench.runs.sampling import read_shards, shards

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def refuse(found: Record) -> None:
    """UserError where a run has no labels or images, or its data set nothing to train and to test
    on: known before the first network is trained.
    """
    plan = plan_of(found)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    lacks = {
        f"the run {found.id} has no labels of its own": shards.labels_for(plan) is None,
        (
            f"the run {found.id} has kept no images: genbench run --save-samples with "
            "the same words"
        ): not plan.keep_images,
        f"the data set {dataset.name} has no training split": "train" not in dataset.splits,
        f"the data set {dataset.name} has no held-out split": not heldout(dataset),
    }
    for why, so in lacks.items():
        if so:
            raise UserError(
                "--cas trains on labelled samples and on real images, and tests on "
                f"held-out ones: {why}"
            )


def taught(found: Record, seeds: int, rule: str = "shots") -> dict[str, Any]:
    """The classification accuracy score of a run that `refuse` has let pass, as cas.score gives it,
    and the split that it was tested on.

    The same network is trained on the run's samples, on the real training images, and, where those
    are long-tailed, on them filled up with samples and on all of them; it is tested on the split
    that nobody trains on.
    """
    plan = plan_of(found)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    labels, test = shards.labels_for(plan), heldout(dataset)
    assert labels is not None
    samples = read_shards.images_at(plan, Path(found.folder), list(range(plan.n)))
    size = tuple(samples.shape[-2:])
    sets = {"samples": (samples, labels), "real": _images(dataset, "train", size)}
    if BALANCED_TRAIN in dataset.splits:
        sets["real, filled up with samples"] = classification_accuracy_score.filled(
            sets["real"], sets["samples"]
        )
        sets["real, balanced"] = _images(dataset, BALANCED_TRAIN, size)
    groups = {
        key: of for key, of in described(dataset, rule).get("groups", {}).items() if key != "rule"
    }
    scored = classification_accuracy_score.score(
        sets, _images(dataset, test, size), len(dataset.classes), groups, seeds, plan.device
    )
    return {**scored, "split": test}


def _images(dataset: Dataset, split: str, size: tuple[int, ...]) -> tuple[Array, Array]:
    """All images of a split uint8 [n, 3, h, w] and their labels int64 [n]."""
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset.open(split)]
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    if images.shape[-2:] != size:
        raise UserError(
            f"--cas: samples of {size} pixels and real images of {images.shape[-2:]} cannot teach "
            "one network: run it with the data set's size"
        )
    return images, labels.astype(np.int64)
