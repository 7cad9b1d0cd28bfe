"""A finished run as the sides of a table of classes,
and what the table leaves in the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import write
from genbench._util.checksummed_files import write_json
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np
from genbench.api.dataset import Dataset
from genbench.data.subsets import described
from genbench.data.user_datasets import dataset_of
from genbench.per_class import aggregates, class_shares, render, user_groups
from genbench.per_class import diversity as classes_diversity
from genbench.per_class import table as classes
from genbench.per_class.inputs import Sides
from genbench.per_class.label_classifier import LEAST, Reader, believed, fitted, recogniser
from genbench.per_class.plots import page, picture
from genbench.per_class.table import Table, table
from genbench.runs.finished_run import gathered, measure_of, real_rows
from genbench.runs.planning.shard_outputs import probes_of
from genbench.runs.records.record import Plan, Record, plan_of
from genbench.runs.sampling import read_shards, shards

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

SHARES = ("training", "uniform", "reference")


def table_of(
    found: Record,
    *,
    protocol: str = "",
    rule: str = "shots",
    shares: str = "training",
    groups: str = "",
) -> Table:
    """The table of a finished run.

    UserError where its classes cannot be told. groups: a CSV's path, or an extractor that tells
    an attribute.
    """
    sides = _sides(found, protocol, rule, shares)
    named, attributes = _grouped(found, sides, protocol, groups) if groups else ({}, {})
    made = table(replace(sides, pools=named))
    name, _, measure = measure_of(plan_of(found), protocol)
    said = {
        "protocol": name,
        "features": measure["features"],
        "reference": measure["reference"],
        "rule": rule,
    }
    return replace(made, over={**said, **made.over, "attributes": attributes})


def heading(found: Record, made: Table) -> str:
    """What a table is of, in a line: the generator, the data set, the protocol,
    and which features of it are held against which images.
    """
    name = made.over["protocol"]
    dataset = found.plan["protocols"][name]["dataset"]
    return (
        f"{found.plan['label']} · {dataset} · protocol {name}: {made.over['features']} against "
        f"{made.over['reference']}"
    )


def refuse(runs: Sequence[Record], protocol: str = "") -> None:
    """UserError where runs cannot stand side by side: of other classes,
    or by distances of other features, whose scale is their own.
    """
    seen: dict[str, tuple[Any, str]] = {}
    for found in runs:
        plan = plan_of(found)
        features = measure_of(plan, protocol)[2]["features"]
        dataset = dataset_of(plan.dataset or plan.identity["dataset"])
        for what, now, shown in (
            ("classes", dataset.classes, f"those of {dataset.name}"),
            ("features", features, features),
        ):
            before, said = seen.setdefault(what, (now, f"{shown} in {found.id}"))
            if before != now:
                raise UserError(
                    f"runs of other {what} cannot stand side by side ({said}, "
                    f"{shown} in {found.id}): genbench classes for each of them"
                )


def _sides(found: Record, protocol: str, rule: str, shares: str) -> Sides:
    plan = plan_of(found)
    _, under, measure = measure_of(plan, protocol)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    if len(dataset.classes) < 2:
        raise UserError(
            f"the data set {dataset.name} has no classes: a folder of a sub-folder to a class has"
        )
    feature, reference = measure["features"], measure["reference"]
    folder = Path(found.folder)
    samples = gathered(plan, folder, feature)
    said = described(dataset, rule)
    held, labels = real_rows(dataset, reference, feature, plan)
    train = (
        real_rows(dataset, under["train"], feature, plan)
        if under["train"] in dataset.splits and under["train"] != reference
        else None
    )
    asked = shards.labels_for(plan)
    reader, notes = _reader(
        plan, folder, dataset, (samples, reference, held, labels), must=asked is None
    )
    counts = tuple(said.get("train_counts", ()))
    splits = _exchangeable(under, reference)
    pool = [real_rows(dataset, split, feature, plan) for split in splits]
    diversity, diversity_real, lacks = classes_diversity.of_run(
        found, plan, dataset, splits, lambda: read_shards.images_at(plan, folder, [0])
    )
    sides = Sides(
        samples=samples,
        labels=asked if asked is not None else reader.samples,  # type: ignore[union-attr]
        reference=held,
        reference_labels=labels if asked is not None else reader.reference,  # type: ignore[union-attr]
        pool=np.concatenate([rows for rows, _ in pool]),
        pool_labels=np.concatenate([of for _, of in pool]),
        names=tuple(clean(one) for one in dataset.classes),
        groups={key: tuple(of) for key, of in said.get("groups", {}).items() if key != "rule"},
        train_counts=counts,
        conditional=asked is not None,
        reader=reader,
        train=train,
        diversity=diversity,
        diversity_real=diversity_real,
        dropped=tuple(plan.training.get("dropped", ())),
    )
    expected, errors = _expected(sides, counts, shares, plan)
    return replace(sides, expected=expected, expected_se=errors, notes=notes + lacks)


def _grouped(
    found: Record, sides: Sides, protocol: str, groups: str
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """A user's own groups: of classes, or of samples with what is said of each."""
    if Path(groups).suffix == ".csv" or Path(groups).is_file():
        return user_groups.listed(Path(groups), sides.names, len(sides.samples))
    plan, attribute = plan_of(found), user_groups.attribute(groups)
    if not plan.keep_images:
        raise UserError(
            f"--groups {clean(groups)}: the run has kept no images to look at; "
            "run it with --save-samples"
        )
    _, under, measure = measure_of(plan, protocol)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    reference, *pool = (
        real_rows(dataset, split, attribute.feature, plan)[0]
        for split in (measure["reference"], *_exchangeable(under, measure["reference"]))
    )
    return {}, user_groups.recognised(
        plan, Path(found.folder), attribute, sides, (reference, np.concatenate(pool))
    )


def _exchangeable(under: Mapping[str, Any], reference: str) -> tuple[str, ...]:
    """The splits whose images stand for samples and for the reference in real against real."""
    return tuple(dict.fromkeys(under["real"] or [reference]))


def _reader(
    plan: Plan,
    folder: Path,
    dataset: Dataset,
    given: tuple[Array, str, Array, Array],
    *,
    must: bool,
) -> tuple[Reader | None, tuple[str, ...]]:
    """What tells the classes apart: the data set's recogniser where the run has its logits,
    else a classifier fitted on the reference.

    given: the samples' features, the reference split, its features and labels. must: the samples
    have no labels of their own; what recognises too little is then refused, and otherwise only its
    accuracy is left out.
    """
    samples, reference, held, labels = given
    if dataset.recogniser in probes_of(plan):
        logits, _ = real_rows(dataset, reference, dataset.recogniser, plan)
        found = recogniser(
            dataset.recogniser.partition(".")[0],
            gathered(plan, folder, dataset.recogniser),
            logits,
            labels,
            len(dataset.classes),
        )
    else:
        try:
            found = fitted(samples, held, labels, len(dataset.classes))
        except UserError as error:
            if must:
                raise
            return None, (str(error),)
    if must:
        return believed(found), ()
    weak = (
        f"accuracy: {found.name} recognises {found.accuracy:.0%} of held-out real images, "
        f"less than {LEAST:.0%}"
    )
    return (None, (weak,)) if found.accuracy < LEAST else (found, ())


def _expected(
    sides: Sides, counts: Sequence[int], shares: str, plan: Plan
) -> tuple[Array | None, Array | None]:
    """The shares that the recogniser would see of a faithful generator [C],
    and their errors where they are estimates.

    None where they are the reference's own, which need no model.
    """
    if shares not in SHARES:
        raise UserError(f"--shares {clean(shares)}: {choices(shares, SHARES)}")
    count = len(sides.names)
    wanted = (
        np.asarray(counts, dtype=np.float64) if shares == "training" and counts else np.ones(count)
    )
    if sides.conditional:
        policy = plan.identity["conditions"]
        wanted = (
            np.asarray(policy["frequencies"], dtype=np.float64)
            if policy.get("frequencies")
            else np.ones(count)
        )
    wanted = wanted / wanted.sum()
    held = np.bincount(sides.reference_labels, minlength=count) / len(sides.reference_labels)
    if (
        shares == "reference"
        or sides.reader is None
        or (not sides.conditional and np.abs(wanted - held).max() < 0.1 / count)
    ):
        return None, None
    return (
        (wanted, None) if sides.conditional else class_shares.seen(wanted, sides.reader.confusion)
    )


def leave(found: Record, made: Table, by: str, worst: int = aggregates.WORST) -> list[Path]:
    """Write classes.csv, .json and .png, and a page of samples of the `worst` classes,
    into the run's folder; the paths.
    """
    folder, plan = Path(found.folder), plan_of(found)
    files = {
        "classes.csv": render.as_csv(made).encode(),
        "classes.png": picture(made.rows, heading(found, made)),
    }
    if plan.keep_images:
        files["classes_worst.png"] = _page(
            plan, folder, made, classes.ordered(made.rows, by), worst
        )
    for name, content in files.items():
        write(folder / name, content)
    write_json(
        folder / "classes.json",
        {"classes": list(made.rows), "over": dict(made.over), "tests": made.tests},
    )
    return [folder / name for name in (*files, "classes.json")]


def _page(
    plan: Plan, folder: Path, made: Table, rows: Sequence[Mapping[str, Any]], worst: int
) -> bytes:
    """The first samples of the first `worst` of the rows that have any, a row to a class;
    of unlabelled runs, of those read as the class.
    """
    shown = [row for row in rows if row["n"]][:worst]
    return page(
        [
            (
                render.name_of(row),
                read_shards.images_at(plan, folder, made.places[row["class"]]),
            )
            for row in shown
        ],
        classes.SHOWN,
    )
