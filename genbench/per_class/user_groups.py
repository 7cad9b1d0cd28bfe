"""A user's own groups beside many, medium and few (fairness):
of classes or samples by a CSV, or of samples by an extractor that tells an attribute.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.data.long_tail import NAMES
from genbench.features.extraction import at_hand, rows_of
from genbench.per_class import class_shares, group_metrics
from genbench.per_class.inputs import Sides
from genbench.runs.records.record import Plan
from genbench.runs.sampling import read_shards, shards

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


def listed(
    path: Path, names: Sequence[str], n: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """A user's own groups from a CSV with the columns class,group or sample,group:
    classes by group, or each group's share of the samples.

    A class is its number or its name, and may stand in several groups; a sample is its place in the
    run, 0 .. n - 1, and stands in one. UserError names the line that is wrong.
    """
    key, lines = _lines(path)
    places: dict[str, list[int]] = {}
    for at, line in enumerate(lines, 2):
        word, group = (clean((line[column] or "").strip()) for column in (key, "group"))
        place = (
            names.index(word)
            if key == "class" and word in names
            else int(word)
            if word.isdecimal()
            else -1
        )
        if not 0 <= place < (count := len(names) if key == "class" else n):
            raise UserError(
                f"--groups {path}, line {at}: there is no {key} {word!r}; "
                f"they are 0 to {count - 1}{', or names' if key == 'class' else ''}"
            )
        if not group or group in NAMES:
            why = (
                f"{group!r} is a group by training images; take another name"
                if group
                else f"{key} {word} has no group"
            )
            raise UserError(f"--groups {path}, line {at}: {why}")
        if any(place in of for name, of in places.items() if key == "sample" or name == group):
            raise UserError(
                f"--groups {path}, line {at}: {key} {word} stands in a line above already"
            )
        places.setdefault(group, []).append(place)
    if key == "class":
        return {name: tuple(of) for name, of in places.items()}, {}
    counts = np.array([len(of) for of in places.values()])
    return {}, {
        name: {"n": len(of), **_share("share", counts, g)}
        for g, (name, of) in enumerate(places.items())
    }


def _lines(path: Path) -> tuple[str, list[dict[str, str | None]]]:
    """What a CSV is about, "class" or "sample", and its lines by column;
    as Excel writes it too, with a mark of its encoding first.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lines, columns = list(reader), reader.fieldnames or ()
    except OSError as error:
        raise UserError(f"--groups {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--groups {path} is no CSV in UTF-8: {error}") from None
    key = next((word for word in ("class", "sample") if word in columns), "")
    if not key or "group" not in columns or not lines:
        came = (
            f"it has {clean(','.join(columns))}{'' if lines else ' and no lines below'}"
            if columns
            else "it is empty"
        )
        raise UserError(
            f"--groups {path}: wanted is a CSV with the columns class,group or sample,group; {came}"
        )
    return key, lines


@dataclass(frozen=True)
class Attribute:
    """What --groups means where it names an extractor: its output, and the names of the groups,
    of which an image is in that of the largest number.
    """

    word: str
    extractor: str
    output: str
    names: tuple[str, ...]

    @property
    def feature(self) -> str:
        """As measures name it."""
        return f"{self.extractor}.{self.output}"

    def of(self, rows: Array) -> Array:
        """The group of each row [n, G], int64 [n]."""
        if not np.isfinite(rows).all():
            raise UserError(
                f"--groups {clean(self.word)}: it gives NaN or infinite numbers, which are no group"
            )
        return np.asarray(rows.argmax(1))


def attribute(word: str) -> Attribute:
    """EXTRACTOR.OUTPUT, or EXTRACTOR where it has one output, or one called logits.

    Groups have the names that the row's `load` carries as its attribute `classes`, else numbers.
    """
    extractor, _, output = word.partition(".")
    if extractor not in (there := registry.standing("extractors")):
        raise UserError(
            f"--groups {clean(word)}: there is neither such a file nor such an extractor: "
            f"{choices(extractor, there)}"
        )
    row = registry.find("extractors", extractor)
    output = output or (next(iter(row.outputs)) if len(row.outputs) == 1 else "logits")
    names = tuple(
        clean(str(one)) for one in getattr(row.load, "classes", range(row.outputs.get(output, 0)))
    )
    if len(set(names)) < 2 or len(set(names)) != row.outputs.get(output):
        outputs = ", ".join(f"{name} ({width})" for name, width in row.outputs.items())
        raise UserError(
            f"--groups {clean(word)}: {len(set(names))} groups; wanted is an output with a number "
            f"for each of several groups, here are {outputs}"
        )
    return Attribute(word, extractor, output, names)


def recognised(
    plan: Plan, folder: Path, told: Attribute, sides: Sides, real: tuple[Array, Array]
) -> dict[str, Any]:
    """As `listed` of samples, told by an extractor in place of a CSV; and of each group
    "share_real", its share of the real reference with its interval, and what classes_pooled says of
    its samples against its real images.

    real: the attribute's numbers [m, G] of the reference, and [p, G] of the pool of the sides. What
    it takes for another it does so on both sides.
    """
    theirs, pool = map(told.of, real)
    network, found = at_hand(told.extractor, plan.device), []
    for shard in shards.shards_of(shards.run_blocks(plan)):
        images = torch.from_numpy(read_shards.images_at(plan, folder, shard.indices.tolist())).to(
            plan.device
        )
        found.append(told.of(rows_of(network, images, [told.output])[told.output].cpu().numpy()))
    ours = np.concatenate(found)
    names = {name: (g,) for g, name in enumerate(told.names)}
    # as classes_pooled wants them: by class
    turns = (np.argsort(labels, kind="stable") for labels in (sides.labels, sides.reference_labels))
    both: list[tuple[Array, Array, dict[str, Any]]] = [
        (rows[turn], of[turn], {})
        for rows, of, turn in zip(
            (sides.samples, sides.reference), (ours, theirs), turns, strict=True
        )
    ]
    pooled = group_metrics.pooled(both, (sides.pool, pool), names, sides.seed)
    counts, real_counts = (np.bincount(of, minlength=len(names)) for of in (ours, theirs))
    return {
        name: pooled[name] | _share("share", counts, g) | _share("share_real", real_counts, g)
        for name, (g,) in names.items()
    }


def _share(name: str, counts: Array, at: int) -> dict[str, float]:
    """The share of one of several groups, counts int64 [G], with its interval."""
    low, high = class_shares.jeffreys(int(counts[at]), int(counts.sum()))
    return {name: float(counts[at] / counts.sum()), f"{name}_low": low, f"{name}_high": high}
