"""A study from finished runs: their pictures and real ones, re-encoded by one path, blind,
with the design written down before anybody is asked.
"""

from __future__ import annotations

import datetime
import hmac
import io
import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import Image, np
from genbench._util.package_version import VERSION
from genbench.data.user_datasets import dataset_of
from genbench.human.rater_exclusion import RULES
from genbench.human.store import create
from genbench.human.study_kinds import REAL, Kind, Question
from genbench.human.trial_order import CATCH_SHARE, Pool, largest
from genbench.runs.export_samples import samples_of
from genbench.runs.records.record import Record, plan_of
from genbench.runs.sampling.read_shards import images_at

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

CAUGHT, SAME = "\0obvious", "\0identical"  # strata of catch items, as no model is called
OBVIOUS, IDENTICAL = 10, 10  # catch items that a study has
LARGEST = 2**30  # bytes of pictures: the file is made in memory
ANALYSIS = {
    "real-or-fake": (
        "share of fakes taken for real, share of reals taken for fake, d' and criterion c from "
        "pooled counts (log-linear correction)"
    ),
    "which-is-real": "share of pairs in which the generated picture was taken for the real one",
    "which-is-better": (
        "Bradley-Terry by maximum likelihood with one tie added to each compared pair; P(A > B)"
    ),
    "rating": "mean of the points; Krippendorff's alpha over raters, ordinal",
}
INTERVALS = (
    "95 %: t of the smaller number of clusters, variance of raters + of items - of answers, "
    "each by bootstrap; shares by Wilson at the effective n"
)


@dataclass(frozen=True)
class Side:
    """The pictures of one model, or real ones: uint8 [k, h, w, 3], their labels [k] or None,
    and their places in the run or the split.
    """

    name: str
    pictures: Array
    labels: Array | None
    places: Array


@dataclass(frozen=True)
class Words:
    """What the user asked for."""

    kind: Kind
    questions: tuple[Question, ...]
    trials: int
    raters: int
    pictures: int
    seed: int


def made(path: Path, runs: Sequence[Record], words: Words) -> dict[str, Any]:
    """Write the study; its design, as it was written down."""
    if path.exists():
        raise UserError(f"{path} exists already: name another file, or remove it")
    names = _names(runs)
    rng = np.random.default_rng([words.seed, 12_345])
    sides = [
        _samples(name, run, words.pictures, rng) for name, run in zip(names, runs, strict=True)
    ]
    real, source = _real(
        runs[0],
        sum(len(side.pictures) for side in sides)
        if words.kind.name == "real-or-fake"
        else words.pictures,
        rng,
    )
    _refuse_large([*sides, real])
    for run, name, side in zip(runs, names, sides, strict=True):
        if (
            side.pictures.shape[1:3] != real.pictures.shape[1:3]
            or plan_of(run).identity["dataset"] != plan_of(runs[0]).identity["dataset"]
        ):
            raise UserError(
                f"{name}: pictures of another size or data set than {source['dataset']}'s; "
                "a study holds equal ones, or the size would tell"
            )
    secret = secrets.token_hex(32)
    pictures, blind = _pictures(secret, [*sides, real], rng)
    items, pool = _items(words, [*sides, real], blind, rng)
    trials = largest(pool, words.trials // len(words.questions)) * len(words.questions)
    if trials < words.trials // len(words.questions) * len(words.questions):
        raise UserError(
            f"--trials {words.trials}: the pictures are enough for {trials} without showing one "
            "twice; --pictures takes more of each run"
        )
    design = {
        "kind": words.kind.name,
        "questions": [asdict(one) for one in words.questions],
        "models": [
            {
                "name": name,
                "run": run.id,
                "label": run.plan["label"],
                "pictures": len(side.pictures),
            }
            for name, run, side in zip(names, runs, sides, strict=True)
        ],
        "real": {**source, "pictures": len(real.pictures)},
        "size": list(real.pictures.shape[1:3]),
        "trials": trials,
        "catch": CATCH_SHARE,
        "raters": words.raters,
        "exclusion": dict(RULES),
        "analysis": ANALYSIS[words.kind.name],
        "intervals": INTERVALS,
        "seed": words.seed,
        "genbench": VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    about: dict[str, Any] = {
        "design": {**design, "digest": digest(design)},
        "secret": secret,
        "token": secrets.token_urlsafe(18),
        "pool": asdict(pool),
    }
    create(path, about, {"pictures": pictures, "items": items})
    return dict(about["design"])


def _refuse_large(sides: Sequence[Side]) -> None:
    size = sum(side.pictures.nbytes for side in sides)
    if size > LARGEST:
        raise UserError(
            f"the pictures take {size / 2**30:.1f} GiB, stored so that none is larger than "
            f"another; at most {LARGEST >> 30}: --pictures fewer of each run"
        )


def _names(runs: Sequence[Record]) -> list[str]:
    """A name for each run: its label, and its id's beginning behind it where two have one label."""
    labels = [clean(str(run.plan["label"])) for run in runs]
    if len({run.id for run in runs}) < len(runs):
        raise UserError("one run is named twice")
    return [
        f"{label} {run.id[:8]}" if labels.count(label) > 1 or label == REAL else label
        for label, run in zip(labels, runs, strict=True)
    ]


def _samples(name: str, run: Record, most: int, rng: np.random.Generator) -> Side:
    samples = samples_of(run)  # which refuses a run without its images
    plan = samples.plan
    places = np.sort(rng.permutation(plan.n)[:most])
    found = images_at(plan, samples.folder, places.tolist()).transpose(0, 2, 3, 1)
    return Side(
        name,
        np.ascontiguousarray(found),
        None if samples.labels is None else samples.labels[places],
        places,
    )


def _real(run: Record, most: int, rng: np.random.Generator) -> tuple[Side, dict[str, Any]]:
    """Real images of the split that the run was measured against, and what they are."""
    plan = plan_of(run)
    dataset = dataset_of(plan.dataset or plan.identity["dataset"])
    protocol = next(iter(plan.protocols.values()))
    named = [
        measure["reference"]
        for measure in protocol["measures"]
        if measure.get("reference") in dataset.splits
    ]
    split = next(iter(named), next(iter(dataset.splits)))
    places = np.sort(rng.permutation(dataset.splits[split])[:most])
    kept, labels, at = [], [], 0
    for images, classes in dataset.open(split):
        inside = places[(places >= at) & (places < at + len(images))] - at
        kept.append(images.numpy()[inside].transpose(0, 2, 3, 1))
        labels.append(classes.numpy()[inside])
        at += len(images)
    source = {
        "dataset": dataset.name,
        "split": split,
        "content": protocol["splits"].get(split, ""),
        "preparation": dataset.preparation,
    }
    return Side(
        REAL,
        np.ascontiguousarray(np.concatenate(kept)),
        np.concatenate(labels) if len(dataset.classes) > 1 else None,
        places,
    ), source


def png(picture: Array) -> bytes:
    """A picture uint8 [h, w, 3] as PNG without metadata, stored uncompressed:
    of one size to the byte, whatever it shows.
    """
    with io.BytesIO() as buffer:
        Image.fromarray(picture).save(buffer, format="PNG", compress_level=0)
        return buffer.getvalue()


def blinded(secret: str, *parts: object) -> str:
    """An id that says nothing without the study's secret: HMAC-SHA-256, 128 bits of it."""
    return hmac.new(
        bytes.fromhex(secret), "\0".join(map(str, parts)).encode(), "sha256"
    ).hexdigest()[:32]


def _pictures(
    secret: str, sides: Sequence[Side], rng: np.random.Generator
) -> tuple[list[tuple[Any, ...]], dict[tuple[str, int], str]]:
    """The rows of the table `pictures`, in the order of their blind ids, and {(side, k): blind id};
    the obvious fakes are noise, under the name "".
    """
    height, width = sides[0].pictures.shape[1:3]
    noise = rng.integers(0, 256, (OBVIOUS, height, width, 3), dtype=np.uint8)
    rows, blind = [], {}
    for side in [*sides, Side("", noise, None, np.arange(OBVIOUS))]:
        for k, picture in enumerate(side.pictures):
            blind[side.name, k] = blinded(secret, side.name, k)
            rows.append((blind[side.name, k], png(picture), side.name, int(side.places[k])))
    return sorted(rows), blind


def _items(
    words: Words,
    sides: Sequence[Side],
    blind: Mapping[tuple[str, int], str],
    rng: np.random.Generator,
) -> tuple[list[tuple[Any, ...]], Pool]:
    """The rows of the table `items`, numbered in no order that tells, and the pool of them."""
    models, real = sides[:-1], sides[-1]
    made: list[tuple[str, str | None, str, str]] = []  # first, second, stratum, expected
    wanted: dict[str, float] = {}
    if words.kind.pairs:
        against = [(real, one) for one in models] + (
            list(itertools.combinations(models, 2)) if words.kind.name == "which-is-better" else []
        )
        for a, b in against:
            stratum = f"{a.name}\0{b.name}"
            wanted[stratum] = 1.0
            made += [
                (blind[a.name, i], blind[b.name, j], stratum, "") for i, j in _matched(a, b, rng)
            ]
        made += [
            (blind[REAL, k % len(real.pictures)], blind["", k], CAUGHT, "first")
            for k in range(OBVIOUS)
        ]
        same = [
            blind[sides[k % len(sides)].name, k // len(sides)]
            for k in range(IDENTICAL)
            if k // len(sides) < len(sides[k % len(sides)].pictures)
        ]
        made += [(one, one, SAME, "") for one in same]
    else:
        halves = words.kind.name == "real-or-fake"
        for side in sides:
            wanted[side.name] = float(len(models)) if halves and side is real else 1.0
            made += [(blind[side.name, k], None, side.name, "") for k in range(len(side.pictures))]
        made += [(blind["", k], None, CAUGHT, "fake") for k in range(OBVIOUS)]
    order = rng.permutation(len(made)).tolist()
    rows = [(place, *made[k]) for place, k in enumerate(order)]
    of: dict[str, list[int]] = {}
    for row in rows:
        of.setdefault(row[3], []).append(row[0])
    strata = tuple(tuple(of[name]) for name in wanted)
    return rows, Pool(
        strata,
        tuple(wanted.values()),
        tuple(of[CAUGHT]),
        tuple(of.get(SAME, ())),
        len(words.questions),
    )


def _matched(a: Side, b: Side, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of pictures of two sides, each picture in one pair alone:
    of one class where both have classes.
    """
    left, right = (
        rng.permutation(len(a.pictures)).tolist(),
        rng.permutation(len(b.pictures)).tolist(),
    )
    if a.labels is None or b.labels is None:
        return list(zip(left, right, strict=False))
    waiting: dict[int, list[int]] = {}
    for j in right:
        waiting.setdefault(int(b.labels[j]), []).append(j)
    return [(i, waiting[int(a.labels[i])].pop()) for i in left if waiting.get(int(a.labels[i]))]
