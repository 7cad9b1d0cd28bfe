"""Data sets cut out of others, a row around a row: long-tailed ones,
whose training split is cut while the whole stays as a reference, and halves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.hashing import digest
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.api.dataset import Batch, Dataset
from genbench.api.protocol import Protocol
from genbench.data import long_tail
from genbench.data.fingerprint import State, content_of
from genbench.data.long_tail import Cut
from genbench.statistics.blocks import rank_in_class

if TYPE_CHECKING:
    from numpy import ndarray

#: The references by name: what samples of a long-tailed training are held against. Two protocols,
#: two boards, never mixed.
REFERENCES = BALANCED_TRAIN, BALANCED_TEST, LONGTAILED_TRAIN = (
    "balanced-train",
    "balanced-test",
    "longtailed-train",
)
HALVES = ("even", "odd")  # places in its class of the images that half of a set is made of
# what a data set calls the split that nobody trains on
TESTS = ("heldout", "test", "val", "validation")
# data set and split -> its labels, read once in a process
_known: dict[Any, ndarray[Any, Any]] = {}


@dataclass(frozen=True)
class LongTailed(Dataset):
    """A data set whose split "train" is cut to a long tail;
    "balanced-train" is the whole of it, "balanced-test" the base's test split.
    """

    base: Dataset | None = None
    cut: Cut = field(default_factory=lambda: Cut(long_tail.USUAL))
    counts: tuple[int, ...] = ()  # training images of each class

    def fingerprint(self, split: str) -> str:
        assert self.base is not None
        if split != "train":
            return self.base.fingerprint(_in_base(split, self.base))
        return content_of(
            self,
            split,
            State(self.base.fingerprint("train"), 0),
            digest([asdict(self.cut), self.counts])[:12],
        )  # follows from the base and the cut

    def pool(self, protocol: Protocol) -> tuple[str, ...]:
        """Against a balanced reference the whole training split in place of the cut one,
        whose tail is too small to be split and which is a part of it.

        Against the cut one, that alone: the whole has other classes in other shares.
        """
        if "train" in {measure.reference for measure in protocol.measures}:
            return ("train",)
        own = protocol.real or [
            split for split in self.splits if split not in ("train", BALANCED_TEST)
        ]
        return tuple(dict.fromkeys(BALANCED_TRAIN if split == "train" else split for split in own))


@dataclass(frozen=True)
class Half(Dataset):
    """Half of each split of a data set: what is chosen on one half can be measured on the other,
    of which nothing was seen.
    """

    base: Dataset | None = None
    half: str = HALVES[0]

    def fingerprint(self, split: str) -> str:
        assert self.base is not None
        return digest([self.base.fingerprint(split), self.half])

    def pool(self, protocol: Protocol) -> tuple[str, ...]:
        assert self.base is not None
        return self.base.pool(protocol)


def half_name(name: str) -> tuple[str, str] | None:
    """A name with `-even` or `-odd` behind it as base and half; None for any other."""
    found = re.fullmatch(rf"(.+)-({'|'.join(HALVES)})", name)
    return (found[1], found[2]) if found else None


def half_of(base: Dataset, half: str) -> Half:
    """The row of half of a data set: of each split the images at even, or odd,
    places of their class, in the base's order.
    """

    def kept(split: str) -> ndarray[Any, Any]:
        return rank_in_class(split_labels(base, split)) % 2 == HALVES.index(half)

    def opened(split: str) -> Iterator[Batch]:
        return _some(base.open(split), kept(split))

    of = f"{half} places of each class"
    own = {field.name: getattr(base, field.name) for field in fields(Dataset)}
    changed = {
        "name": f"{base.name}-{half}",
        "title": f"{base.title}; {of}",
        "preparation": f"{base.preparation}; {of}",
        "open": opened,
    }
    return Half(
        **(own | changed | {"splits": {split: int(kept(split).sum()) for split in base.splits}}),
        base=base,
        half=half,
    )


def unhalved(dataset: Dataset) -> Dataset:
    """The data set that a half is half of, whose weights are its own; any other itself."""
    return dataset.base if isinstance(dataset, Half) and dataset.base is not None else dataset


def _some(batches: Iterator[Batch], kept: ndarray[Any, Any]) -> Iterator[Batch]:
    """The images and labels at the places that are kept, bool [n], in the batches they come in."""
    at = 0
    for images, classes in batches:
        here = torch.from_numpy(kept[at : at + len(images)])
        at += len(images)
        if here.any():
            yield images[here], classes[here]


def _in_base(split: str, base: Dataset) -> str:
    """What a split of the long-tailed row is called in its base."""
    return (
        "train" if split == BALANCED_TRAIN else heldout(base) if split == BALANCED_TEST else split
    )


def heldout(base: Dataset) -> str:
    """The split that nobody trains on, "" where there is none."""
    return next((split for split in TESTS if split in base.splits), "")


def whole(dataset: Dataset) -> Dataset:
    """The data set that a half or a long-tailed one was cut out of; any other itself."""
    base = getattr(dataset, "base", None)
    return dataset if base is None else whole(base)


def train_labels(dataset: Dataset) -> ndarray[Any, Any]:
    """The labels of the training split int64 [n], read once in a process;
    UserError where there is no such split.
    """
    if "train" not in dataset.splits:
        raise UserError(
            f"the data set {dataset.name} has no training split, it has {', '.join(dataset.splits)}"
        )
    return split_labels(dataset, "train")


def split_labels(dataset: Dataset, split: str) -> ndarray[Any, Any]:
    """The labels of a split int64 [n], read once in a process.

    A row that knows them without a look at its pictures has a method labels(split); others are
    read through.
    """
    key = (dataset.name, split, dataset.open)
    if key not in _known:
        own = getattr(dataset, "labels", None)
        found = (
            own(split) if own else torch.cat([labels for _, labels in dataset.open(split)]).numpy()
        )
        _known[key] = np.array(found, dtype=np.int64)
    return _known[key]


def train_counts(dataset: Dataset) -> tuple[int, ...]:
    """The training images of each class."""
    if isinstance(dataset, LongTailed):
        return dataset.counts
    return tuple(np.bincount(train_labels(dataset), minlength=len(dataset.classes)).tolist())


def long_tailed(base: Dataset, cut: Cut | None) -> LongTailed:
    """The row of a data set cut to a long tail; None for the cut that NAME-lt means.

    UserError where it has no classes or a class would be left empty.

    The images are LDAM's choice (`longtail.chosen`, seed 0); they come in the base's order, so that
    they can be streamed.
    """
    if len(base.classes) < 2 or isinstance(base, LongTailed):
        why = "is long-tailed already" if isinstance(base, LongTailed) else "has no labels"
        raise UserError(
            f"{base.name} {why}: a long tail is cut out of a whole set of several classes"
        )
    labels = train_labels(base)
    available = np.bincount(labels, minlength=len(base.classes)).tolist()
    cut = cut or long_tail.usual(available)
    counts = long_tail.counts(available, cut.ratio, cut.kind, cut.order)
    kept = np.zeros(len(labels), dtype=bool)
    kept[long_tail.chosen(labels, counts)] = True
    test = heldout(base)

    def opened(split: str) -> Iterator[Batch]:
        if split != "train":
            yield from base.open(_in_base(split, base))
            return
        yield from _some(base.open("train"), kept)

    splits = {
        **base.splits,
        "train": sum(counts),
        BALANCED_TRAIN: base.splits["train"],
        **({BALANCED_TEST: base.splits[test]} if test else {}),
    }
    return LongTailed(
        name=cut.named(base.name),
        title=(
            f"{base.title}; the training split cut to a long tail of {sum(counts)} images, "
            f"imbalance {cut.ratio:.10g}"
        ),
        classes=base.classes,
        resolution=base.resolution,
        splits=splits,
        open=opened,
        preparation=(
            f"{base.preparation}; long tail {cut.kind}, order {cut.order}, {max(counts)} to "
            f"{min(counts)} images as LDAM's code, seed 0, chooses them"
        ),
        source=base.source,
        licence=base.licence,
        recogniser=base.recogniser,
        protocol=_protocol(base.protocol, bool(test)),
        base=base,
        cut=cut,
        counts=counts,
    )


def _protocol(base: str, tested: bool) -> str:
    """The default protocol: the base's own for long tails where it has one, else the field's."""
    reference = BALANCED_TEST if tested else BALANCED_TRAIN
    own = f"{base}-{reference}"
    return own if own in registry.standing("protocols") else reference


def described(dataset: Dataset, rule: str = "shots") -> dict[str, Any]:
    """What a record says of its data set: {"name", "classes", "preparation", "train_counts",
    "groups": {"rule", "many", ..}}, of a cut one "imbalance", and of files of which some were
    refused and left out how many, and the first of them.
    """
    said: dict[str, Any] = {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "preparation": dataset.preparation,
    }
    if left_out := getattr(whole(dataset), "left_out", ()):
        said["left_out"] = {"count": len(left_out), "first": list(left_out[:100])}
    if "train" not in dataset.splits:
        return said
    counts = train_counts(dataset)
    groups = long_tail.groups(counts, rule)
    said |= {
        "train_counts": list(counts),
        "groups": {"rule": groups.rule, **{name: list(of) for name, of in groups.of.items()}},
    }
    if isinstance(dataset, LongTailed):
        said["imbalance"] = {
            "ratio": dataset.cut.ratio,
            "kind": dataset.cut.kind,
            "order": dataset.cut.order,
        }
    return said
