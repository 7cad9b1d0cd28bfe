"""A finished run as the sides of a table of classes, and what the table leaves in the run's folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import cas, classes, classes_diversity, classes_over, classes_shares, classes_shown, shards, shelves, weights
from genbench.classes import Table, table
from genbench.classes_labels import LEAST, Reader, believed, fitted, recogniser
from genbench.classes_picture import page, picture
from genbench.classes_sides import Sides
from genbench.cuts import BALANCED_TRAIN, described, heldout
from genbench.files import write, write_json
from genbench.folders import dataset_of
from genbench.lazy import np, torch
from genbench.probes import probes_of, rows_of
from genbench.record import Plan, Record
from genbench.reference import at_hand, features_of
from genbench.rows import Dataset, source_of
from genbench.say import UserError, choices, clean

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

SHARES = ("training", "uniform", "reference")


def table_of(found: Record, *, protocol: str = "", rule: str = "shots", shares: str = "training", groups: str = "") -> Table:
    """The table of a finished run. UserError where its classes cannot be told. groups: a CSV's path, or an extractor that tells an attribute."""
    sides = _sides(found, protocol, rule, shares)
    listed = Path(groups).suffix == ".csv" or Path(groups).is_file()
    named, attributes = grouped(Path(groups), sides.names, len(sides.samples)) if listed else ({}, recognised(found, groups, protocol) if groups else {})
    made = table(replace(sides, pools=named))
    return replace(made, over={**made.over, "rule": rule, "attributes": attributes})


def _sides(found: Record, protocol: str, rule: str, shares: str) -> Sides:
    plan = _plan(found)
    under, measure = _measure(plan, protocol)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    if len(dataset.classes) < 2:
        raise UserError(f"the data set {dataset.name} has no classes: a folder of a sub-folder to a class has")
    feature, reference = measure["features"], measure["reference"]
    folder = Path(found.folder)
    samples = _gathered(plan, folder, feature)
    said = described(dataset, rule)
    held, labels = _real(dataset, reference, feature, plan)
    train = _real(dataset, under["train"], feature, plan) if under["train"] and under["train"] != reference else None
    asked = shards.labels_for(plan)
    reader, notes = _reader(plan, folder, dataset, (samples, reference, held, labels), must=asked is None)
    counts = tuple(said.get("train_counts", ()))
    splits = tuple(dict.fromkeys(under["real"] or [reference]))
    pool = [_real(dataset, split, feature, plan) for split in splits]
    diversity, diversity_real, lacks = classes_diversity.of_run(found, plan, dataset, splits, lambda: shards.images_at(plan, folder, [0]))
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
    )
    expected, errors = _expected(sides, counts, shares, plan)
    return replace(sides, expected=expected, expected_se=errors, notes=notes + lacks)


def _plan(found: Record) -> Plan:
    try:
        return Plan(**found.plan)
    except TypeError as error:
        raise UserError(f"the run {found.id} is of another version ({error}); genbench run --fresh with the same words makes it again") from None


def _measure(plan: Plan, protocol: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The protocol that is read, and its first measure that holds rows of samples against rows of real images."""
    if protocol and protocol not in plan.protocols:
        raise UserError(f"the run has no protocol {clean(protocol)!r}: {choices(protocol, plan.protocols)}")
    for name, under in plan.protocols.items():
        for measure in under["measures"] if protocol in ("", name) else ():
            needs = set(shelves.find("metrics", measure["metric"]).needs)
            if not measure["skip"] and {"samples", "reference"} <= needs and under["statistics"] is None:
                return under, measure
    raise UserError("no measure of this run compares samples with real images by rows of features: run it with --metrics kd or fd, without --reference")


def _gathered(plan: Plan, folder: Path, feature: str) -> Array:
    """A feature of all samples in the float32 that it was kept in [n, d], from the run's folder."""
    if not (folder / "shards").is_dir():
        raise UserError(f"{folder or 'an entry of a board'} holds no samples: name the folder of the run, and not its entry")
    return shards.gather(plan, folder, probes_of(plan)[feature]).astype(np.float32)


def _real(dataset: Dataset, split: str, feature: str, plan: Plan) -> tuple[Array, Array]:
    """Features float32 [m, d] and labels int64 [m] of a split, from the cache where a run has left them."""
    extractor, _, output = feature.partition(".")
    row = shelves.find("extractors", extractor)
    found = weights.find(row.weights, source_of(row.load).parent, {}) if row.weights else None
    if row.weights and found is None:
        raise UserError(f"weights missing: genbench weights fetch {row.weights.name}")
    rows = features_of(dataset, split, extractor, [output], plan.device.split(":")[0], str(found.path) if found else "")[output]
    return rows.astype(np.float32), np.concatenate([labels.numpy() for _, labels in dataset.open(split)]).astype(np.int64)


def _reader(plan: Plan, folder: Path, dataset: Dataset, given: tuple[Array, str, Array, Array], *, must: bool) -> tuple[Reader | None, tuple[str, ...]]:
    """What tells the classes apart: the data set's recogniser where the run has its logits, else a classifier fitted on the reference.

    given: the samples' features, the reference split, its features and labels. must: the samples have no labels of their own; what recognises too little
    is then refused, and otherwise only its accuracy is left out.
    """
    samples, reference, held, labels = given
    if dataset.recogniser in probes_of(plan):
        logits, _ = _real(dataset, reference, dataset.recogniser, plan)
        found = recogniser(dataset.recogniser.partition(".")[0], _gathered(plan, folder, dataset.recogniser), logits, labels, len(dataset.classes))
    else:
        try:
            found = fitted(samples, held, labels, len(dataset.classes))
        except UserError as error:
            if must:
                raise
            return None, (str(error),)
    if must:
        return believed(found), ()
    weak = f"accuracy: {found.name} recognises {found.accuracy:.0%} of held-out real images, less than {LEAST:.0%}"
    return (None, (weak,)) if found.accuracy < LEAST else (found, ())


def _expected(sides: Sides, counts: Sequence[int], shares: str, plan: Plan) -> tuple[Array | None, Array | None]:
    """The shares that the recogniser would see of a faithful generator [C], and their errors where they are estimates.

    None where they are the reference's own, which need no model.
    """
    if shares not in SHARES:
        raise UserError(f"--shares {clean(shares)}: {choices(shares, SHARES)}")
    count = len(sides.names)
    wanted = np.asarray(counts, dtype=np.float64) if shares == "training" and counts else np.ones(count)
    if sides.conditional:
        policy = plan.identity["conditions"]
        wanted = np.asarray(policy["frequencies"], dtype=np.float64) if policy.get("frequencies") else np.ones(count)
    wanted = wanted / wanted.sum()
    held = np.bincount(sides.reference_labels, minlength=count) / len(sides.reference_labels)
    if shares == "reference" or sides.reader is None or (not sides.conditional and np.abs(wanted - held).max() < 0.1 / count):
        return None, None
    return (wanted, None) if sides.conditional else classes_shares.seen(wanted, sides.reader.confusion)


def grouped(path: Path, names: Sequence[str], n: int) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """A user's own groups from a CSV with the columns class,group or sample,group: classes by group, or each group's share of the samples.

    A class is its number or its name; a sample its place in the run, 0 .. n - 1. UserError names the line that is wrong.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--groups {path}: {error}") from None
    key = next((word for word in ("class", "sample") if lines and word in lines[0]), "")
    if not key or "group" not in lines[0]:
        raise UserError(f"--groups {path}: wanted is a CSV with the columns class,group or sample,group")
    places: dict[str, list[int]] = {}
    for at, line in enumerate(lines, 2):
        word = str(line[key]).strip()
        place = names.index(word) if key == "class" and word in names else int(word) if word.isdecimal() else -1
        if not 0 <= place < (len(names) if key == "class" else n):
            raise UserError(f"--groups {path}, line {at}: there is no {key} {clean(word)!r}")
        places.setdefault(clean(str(line["group"]).strip()), []).append(place)
    if key == "class":
        return {name: tuple(of) for name, of in places.items()}, {}
    counts = np.array([len(of) for of in places.values()])
    return {}, {name: {"n": len(of), **_share("share", counts, g)} for g, (name, of) in enumerate(places.items())}


def recognised(found: Record, word: str, protocol: str = "") -> dict[str, Any]:
    """As `grouped` of samples, told by an extractor in place of a CSV; and as "share_real", with its interval, each group's share of the real reference.

    word: EXTRACTOR.OUTPUT, or EXTRACTOR where it has one output, or one called logits. An image's group is the place of the largest number; groups have the
    names that the row's `load` carries as its attribute `classes`, else numbers. What it takes for another it does so on both sides.
    """
    plan, (extractor, output, names) = _plan(found), _attribute(word)
    if not plan.keep_images:
        raise UserError(f"--groups {clean(word)}: the run has kept no images to look at; run it with --save-samples")
    _, measure = _measure(plan, protocol)
    real, _ = _real(dataset_of(plan.dataset or plan.identity["dataset"]), measure["reference"], f"{extractor}.{output}", plan)
    network, theirs = at_hand(extractor, plan.device), _told(real, word)
    ours = np.zeros_like(theirs)
    for shard in shards.shards_of(shards.run_blocks(plan)):
        images = torch.from_numpy(shards.images_at(plan, Path(found.folder), shard.indices.tolist())).to(plan.device)
        ours += _told(rows_of(network, images, [output])[output].cpu().numpy(), word)
    return {name: {"n": int(ours[g]), **_share("share", ours, g), **_share("share_real", theirs, g)} for g, name in enumerate(names)}


def _attribute(word: str) -> tuple[str, str, tuple[str, ...]]:
    """The extractor and output that --groups means, and the names of its groups."""
    extractor, _, output = word.partition(".")
    if extractor not in (there := shelves.standing("extractors")):
        raise UserError(f"--groups {clean(word)}: there is neither such a file nor such an extractor: {choices(extractor, there)}")
    row = shelves.find("extractors", extractor)
    output = output or (next(iter(row.outputs)) if len(row.outputs) == 1 else "logits")
    names = tuple(clean(str(one)) for one in getattr(row.load, "classes", range(row.outputs.get(output, 0))))
    if len(set(names)) < 2 or len(set(names)) != row.outputs.get(output):
        outputs = ", ".join(f"{name} ({width})" for name, width in row.outputs.items())
        raise UserError(f"--groups {clean(word)}: {len(set(names))} groups; wanted is an output with a number for each of several groups, here are {outputs}")
    return extractor, output, names


def _told(rows: Array, word: str) -> Array:
    """How many rows [n, G] have their largest number at each place, int64 [G]."""
    if not np.isfinite(rows).all():
        raise UserError(f"--groups {clean(word)}: it gives NaN or infinite numbers, which are no group")
    return np.bincount(rows.argmax(1), minlength=rows.shape[1])


def _share(name: str, counts: Array, at: int) -> dict[str, float]:
    """The share of one of several groups, counts int64 [G], with its interval."""
    low, high = classes_shares.jeffreys(int(counts[at]), int(counts.sum()))
    return {name: float(counts[at] / counts.sum()), f"{name}_low": low, f"{name}_high": high}


def taught(found: Record, seeds: int, rule: str = "shots") -> dict[str, Any]:
    """The classification accuracy score of a run (cas.score): the same network trained on its samples, on the real training images, and, where those
    are long-tailed, on all of them too; tested on the split that nobody trains on. UserError where there is no label, image or such split.
    """
    plan = _plan(found)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    asked, test = shards.labels_for(plan), heldout(dataset)
    if asked is None or not plan.keep_images or not test or "train" not in dataset.splits:
        lacks = "labels" if asked is None else "kept images" if not plan.keep_images else "a training split and a held-out one"
        raise UserError(f"--cas: {lacks} are needed, which {'the data set ' + dataset.name if asked is not None and plan.keep_images else 'the run'} has not")
    samples = shards.images_at(plan, Path(found.folder), list(range(plan.n)))
    size = tuple(samples.shape[-2:])
    sets = {"samples": (samples, asked), "real": _images(dataset, "train", size)}
    if BALANCED_TRAIN in dataset.splits:
        sets["real, balanced"] = _images(dataset, BALANCED_TRAIN, size)
    groups = {key: of for key, of in described(dataset, rule).get("groups", {}).items() if key != "rule"}
    scored = cas.score(sets, _images(dataset, test, size), len(dataset.classes), groups, seeds, plan.device)
    return {**scored, "split": test}


def _images(dataset: Dataset, split: str, size: tuple[int, ...]) -> tuple[Array, Array]:
    """All images of a split uint8 [n, 3, h, w] and their labels int64 [n]."""
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset.open(split)]
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    if images.shape[-2:] != size:
        raise UserError(f"--cas: samples of {size} pixels and real images of {images.shape[-2:]} cannot teach one network: run it with the data set's size")
    return images, labels.astype(np.int64)


def leave(found: Record, made: Table, by: str, worst: int = classes_over.WORST) -> list[Path]:
    """Write classes.csv, .json and .png, and a page of samples of the `worst` classes, into the run's folder; the paths."""
    folder, plan = Path(found.folder), _plan(found)
    files = {"classes.csv": classes_shown.as_csv(made).encode(), "classes.png": picture(made.rows, plan.label)}
    if plan.keep_images:
        files["classes_worst.png"] = _page(plan, folder, made, classes.ordered(made.rows, by), worst)
    for name, content in files.items():
        write(folder / name, content)
    write_json(folder / "classes.json", {"classes": list(made.rows), "over": dict(made.over), "tests": made.tests})
    return [folder / name for name in (*files, "classes.json")]


def _page(plan: Plan, folder: Path, made: Table, rows: Sequence[Mapping[str, Any]], worst: int) -> bytes:
    """The first samples of the first `worst` of the rows that have any, a row to a class; of unlabelled runs, of those read as the class."""
    shown = [row for row in rows if row["n"]][:worst]
    return page([(classes_shown.name_of(row), shards.images_at(plan, folder, made.places[row["class"]])) for row in shown], classes.SHOWN)
