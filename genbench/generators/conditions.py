"""What a run's images are asked for: labels by policy, prompts;
as plain data for the plan's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest, file_sha256
from genbench.api.dataset import Dataset
from genbench.data.prompts import COLUMN, TEMPLATE, of_classes, read
from genbench.data.subsets import train_counts
from genbench.generators.description import Description
from genbench.generators.load import conditions_of

POLICIES = ("balanced", "iid", "training")


@dataclass(frozen=True)
class Wish:
    """The words about conditions: the policy of the labels, a file of prompts and its column,
    and the template of class names.
    """

    labels: str
    prompts: Path | None = None
    column: str = COLUMN
    template: str = TEMPLATE


def conditions(
    description: Description, dataset: Dataset, wish: Wish, checkpoint: Path | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the samples are asked for, {} for an unconditional generator, and the list of prompts,
    () where there are none.

    Of a file, image i has prompt i mod their number; of class names, that of its label.
    """
    if wish.labels not in POLICIES:
        raise UserError(f"--labels {clean(wish.labels)}: {choices(wish.labels, POLICIES)}")
    asked = conditions_of(description, checkpoint)
    if "sources" in asked:
        raise UserError(
            f"{description.name} is asked for images by sources, which the data set "
            f"{dataset.name} does not give"
        )
    # of stored images they are captions
    if (
        wish.prompts is not None
        and "prompts" not in asked
        and "holds" not in description.attributes
    ):
        raise UserError(
            f"--prompts {wish.prompts}: {description.name} takes no "
            f"prompts{' with this checkpoint' if checkpoint else ''}"
        )
    found: dict[str, Any] = {}
    texts: tuple[str, ...] = ()
    if wish.prompts is not None:
        texts = read(wish.prompts, wish.column)
        found["prompts"] = {
            "file": file_sha256(wish.prompts),
            "list": digest(texts),
            "count": len(texts),
        }
    elif "prompts" in asked:
        texts = of_classes(wish.template, dataset.classes)
        found["prompts"] = {"template": wish.template, "list": digest(texts), "count": len(texts)}
    if "labels" in asked or "template" in found.get("prompts", {}):
        found |= _labels(
            description,
            dataset,
            wish.labels,
            _own_classes(description, checkpoint) if "labels" in asked else None,
        )
    return found, texts


def _own_classes(description: Description, checkpoint: Path | None) -> int | None:
    """How many classes the generator has; None for as many as the data set."""
    own: Any = description.attributes.get("classes")
    if callable(own):
        own = own(checkpoint) if checkpoint is not None else None
    return own


def _labels(
    description: Description, dataset: Dataset, policy: str, own: int | None
) -> Mapping[str, Any]:
    classes = len(dataset.classes)
    if own not in (None, classes):
        raise UserError(
            f"{description.name} has {own} classes, the data set {dataset.name} {classes}; "
            f"choose a data set with {own}"
        )
    found: dict[str, Any] = {"labels": policy, "classes": classes}
    if policy == "training":
        counts = train_counts(dataset)
        found["frequencies"] = [count / sum(counts) for count in counts]
    return found
