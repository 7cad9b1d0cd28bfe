"""A finished run as a report reads it: its record, kept images,
features of samples and of real images, and the generator again.

Read when asked for.

What cannot be had is a UserError whose line a reader understands: the part of the report that
wanted it says that in its place.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import PluginFailed, RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import content_sha256
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.metric import Metric
from genbench.api.metric_inputs import NEEDS
from genbench.data.user_datasets import dataset_of
from genbench.features.reference_cache import Real
from genbench.generators.generator import Generator, construct
from genbench.generators.identity import code_of, code_of_file, seal_of
from genbench.generators.load import checkpoint_of, device_of, locate, options_of
from genbench.generators.options import plain
from genbench.leaderboards.entries import Entry, entry_of
from genbench.report.svg_plots import colour, paint
from genbench.runs import finished_run
from genbench.runs.planning.shard_outputs import probe_name, probes_of, reach
from genbench.runs.records.record import Plan, Record, Score, plan_of
from genbench.runs.sampling import read_shards, shards
from genbench.runs.sampling.read_shards import Drawn
from genbench.runs.scoring.prepare_inputs import Given, given_of

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


@dataclass(eq=False)
class Run:
    """One run of a report; `place` numbers it from 0, which gives its letter and its colour in
    every table and plot.
    """

    record: Record
    place: int = 0
    alone: bool = True
    # by content, those that the reader of the record has named
    checkpoints: Mapping[str, Path] | None = None

    @property
    def letter(self) -> str:
        """A, B, ..., AA: what names it in plots."""
        turns, place = divmod(self.place, 26)
        return string.ascii_uppercase[place] * (turns + 1)

    @property
    def label(self) -> str:
        return clean(str(self.record.plan["label"]))

    @property
    def name(self) -> str:
        """Its label, after its letter where it is one of several."""
        return self.label if self.alone else f"{self.letter} · {self.label}"

    @property
    def colour(self) -> str:
        """What its marks in a plot are drawn with."""
        return colour(self.place)

    @property
    def paint(self) -> str:
        """The same colour in a page: it follows the theme."""
        return paint(self.place)

    @property
    def n(self) -> int:
        return int(self.record.plan["identity"]["n"])

    @property
    def first_seed(self) -> int:
        return int(self.record.plan["identity"]["first_seed"])

    @property
    def folder(self) -> Path:
        return Path(self.record.folder)

    def why(self, error: UserError) -> str:
        """An error as a reason in a page, which goes to others:
        the run's folder by its own name, not by where it lies here.
        """
        return (
            clean(str(error)).replace(str(self.folder), self.folder.name)
            if self.record.folder
            else clean(str(error))
        )

    @cached_property
    def plan(self) -> Plan:
        return plan_of(self.record)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """What it would be on the board of each of its protocols."""
        return {
            name: entry_of(self.record, name, under)
            for name, under in self.record.plan["protocols"].items()
        }

    def scores(self, protocol: str) -> list[Score]:
        """Its numbers under a protocol, over all classes."""
        return [one for one in self.record.scores if one.protocol == protocol and one.part == "all"]

    @cached_property
    def dataset(self) -> Dataset:
        return dataset_of(self.plan.dataset or self.plan.identity["dataset"])

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as the record has them, else the data set;
        numbers where neither does.
        """
        told = self.record.dataset.get("classes")
        if isinstance(told, list | tuple) and told:
            return tuple(clean(str(one)) for one in told)
        return tuple(clean(one) for one in self.dataset.classes)

    @property
    def train_counts(self) -> tuple[int, ...]:
        return tuple(self.record.dataset.get("train_counts") or ())

    @cached_property
    def labels(self) -> Array | None:
        """What its samples were asked for, int64 [n], or None."""
        return shards.labels_for(self.plan)

    @cached_property
    def blocks(self) -> Array:
        return shards.run_blocks(self.plan)

    def images(self, places: Sequence[int]) -> Array:
        """Kept images uint8 [k, 3, h, w]; UserError where they were not kept or are gone."""
        if not self.plan.keep_images:
            raise UserError(
                "the run kept no images; genbench run --save-samples with the same words keeps them"
            )
        self.has_shards()
        try:
            return read_shards.images_at(self.plan, self.folder, [int(one) for one in places])
        except AssertionError:
            raise UserError(
                "images of the run are missing; genbench run with the same words draws them again"
            ) from None

    def has_shards(self) -> None:
        """UserError where only the record is at hand."""
        if not (self.folder / "shards").is_dir():
            raise UserError(
                "only the record is here, without the folder of the run: "
                "its samples are not at hand"
            )

    @cached_property
    def measured(self) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
        """The protocol that pictures are made by, and its first measure that holds rows of samples
        against rows of real images.
        """
        return finished_run.measure_of(self.plan, "")

    @cached_property
    def samples(self) -> Array:
        """Features of all samples by that measure, float64 [n, d]."""
        self.has_shards()
        try:
            return finished_run.gathered(
                self.plan, self.folder, self.measured[2]["features"]
            ).astype(np.float64)
        except RunFailed as error:  # a shard is missing: no failure of the report
            raise UserError(str(error)) from None

    def real(self, split: str) -> tuple[Array, Array]:
        """Features float64 [m, d] by the same measure, and labels int64 [m],
        of a split of the real images.
        """
        if split not in self.dataset.splits:
            raise UserError(f"the data set {self.dataset.name} has no split {split}")
        return self._rows(split, self.measured[2]["features"])

    def _rows(self, split: str, feature: str) -> tuple[Array, Array]:
        """Features float64 [m, d] and labels of a split, from the cache or taken again."""
        try:
            rows, labels = finished_run.real_rows(self.dataset, split, feature, self.plan)
        except PluginFailed:
            # of a run that was made on a GPU, here there is none: a reason, and no fault
            device_of(self.plan.device)
            raise
        return rows.astype(np.float64), labels

    @property
    def reference(self) -> str:
        return str(self.measured[2]["reference"])

    @property
    def train(self) -> str:
        return str(self.measured[1]["train"])

    def real_images(self, split: str) -> Iterator[tuple[int, Array]]:
        """The images of a split in batches, (place of the first, uint8 [b, 3, h, w])."""
        at = 0
        for images, _ in self.dataset.open(split):
            yield at, images.numpy()
            at += len(images)

    def given(self, name: str, measure: Mapping[str, Any]) -> tuple[Metric, Given]:
        """A metric and the arrays of one of the run's measures, as its score was taken of them."""
        self.has_shards()
        metric, under = registry.find("metrics", measure["metric"]), self.plan.protocols[name]
        if measure["mirrored"] or under["statistics"] is not None:
            raise UserError(
                f"{measure['name']} is held against "
                f"{'mirror images' if measure['mirrored'] else 'a statistics file'}: "
                "it is not taken again here"
            )
        sides = {NEEDS[need] for need in metric.needs}
        splits = {measure["reference"]} if "reference" in sides else set()
        splits |= {under["train"]} if "train" in sides else set()
        probe = probes_of(self.plan)[probe_name(measure)]
        first = None if probe.sums else reach(measure, int(under["repeats"]), self.plan.n)
        drawn = Drawn(
            {probe.name: read_shards.gather(self.plan, self.folder, probe, first)},
            self.labels,
            self.blocks,
        )
        real = {}
        for split in sorted(splits):
            rows, labels = self._rows(split, measure["features"])
            real[split] = Real({measure["features"]: rows}, labels)
        return metric, given_of(measure, metric, under, drawn, real)

    @cached_property
    def generator(self) -> Generator:
        """The generator that drew it, constructed again: only where its code and checkpoint are
        those of the record.
        """
        identity = self.plan.identity
        own = self.plan.origin.endswith(".py")
        # asked before it is imported: a record may be a stranger's
        if own and code_of_file(Path(self.plan.origin)) != identity["code"]:
            raise UserError(
                f"{clean(self.plan.origin)} is not, or no longer, the code that drew this run"
            )
        description = locate(self.plan.origin if own else identity["generator"])
        if code_of(description) != identity["code"]:
            raise UserError(
                f"the code of {clean(str(identity['generator']))} is no longer the one "
                "that drew this run"
            )
        if description.attributes.get("executes"):
            raise UserError("its checkpoint is a program, and a report runs none")
        named = (self.checkpoints or {}).get(str(identity["checkpoint"]))
        checkpoint = checkpoint_of(description, self.dataset, named)
        if seal_of(description, checkpoint) != identity["checkpoint"]:
            raise UserError(
                f"its checkpoint, SHA-256 {str(identity['checkpoint'])[:12]}..., is not at hand: "
                "genbench report --checkpoint FILE"
            )
        words = [
            f"{key}={value}" for key, value in identity["options"].items() if value is not None
        ]
        chosen = options_of(description, words, checkpoint)
        if plain(chosen) != identity["options"]:
            raise UserError("its options cannot be read back from the record")
        return construct(description, chosen, checkpoint, device_of(self.plan.device), self.dataset)


def reasons(found: Sequence[tuple[Run, str]]) -> list[str]:
    """Why something is not shown of runs, each reason once,
    after the letters of its runs where there are several.
    """
    by: dict[str, list[Run]] = {}
    for run, why in found:
        by.setdefault(why, []).append(run)
    return [
        why if all(run.alone for run in of) else f"{', '.join(run.letter for run in of)}: {why}"
        for why, of in by.items()
    ]


def runs_of(records: Sequence[Record], checkpoints: Sequence[Path] = ()) -> tuple[Run, ...]:
    """The runs of a report in the order in which they were named, each once."""
    different = list({one.id: one for one in records}.values())
    at_hand = {content_sha256(path): path for path in checkpoints}
    return tuple(
        Run(one, place, len(different) == 1, at_hand) for place, one in enumerate(different)
    )
