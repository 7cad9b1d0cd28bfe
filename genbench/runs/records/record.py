"""The schema of what a run leaves: Plan, Score, Record; reading old ones, writing new ones.

A record is `run.json`: {"schema", "id", "genbench", "created", "plan", "dataset", "scores",
"environment", "cost", "shards", "digest"}. A reader of schema k upgrades older files step by step
and refuses newer ones with the way out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.checksummed_files import Damaged, read_json, write_json
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench._util.lazy_imports import pd
from genbench.io.json_shape import tree, wrong
from genbench.runs.records.upgrade import UPGRADES

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = 2
BETTER, STATUSES = ("lower", "higher"), ("ok", "skipped", "failed", "undefined")
MARK = 16  # hexadecimal digits of a shard's SHA-256 that a record keeps
# in a run's folder: {"prompts": the list, "samples": for each sample its place in the list}
PROMPTS = "prompts.json"
# the method of numbers that people gave: each study is a ruler of its own, so they are never ranked
RATERS = "raters"


@dataclass(frozen=True)
class Plan:
    """A run, settled: what decides the images (`identity`, hashed to the run's id),
    what is measured, and how the work is done.
    """

    identity: Mapping[str, Any]  # generator, code, checkpoint, options, first seed, n, conditions
    # name -> dataset, reference, features, measures: what decides the numbers
    protocols: Mapping[str, Mapping[str, Any]]
    label: str  # the row's name on boards: plugin, options off default, checkpoint
    origin: str  # where the generator comes from
    seeding: Literal["per image", "per call"]
    quantise: str
    competitor: bool  # False: a line of reference, never ranked
    batch_size: int
    device: str
    keep_images: bool
    # how it was done: by `quantise`, or by the plugin; known when the run has ended
    quantised: str = ""
    block_sizes: tuple[int, ...] = ()  # of the blocks that left_out leaves out
    # files that the generator read besides its checkpoint -> SHA-256, where they are known
    read_files: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""  # the checkpoint's parent, where it was fine-tuned
    # what `genbench train` wrote into the checkpoint: data, steps, strategy for the tail
    training: Mapping[str, Any] = field(default_factory=dict)
    # what its options were chosen by: number, half, their ranges, how many trials
    tuned: Mapping[str, Any] = field(default_factory=dict)
    # of a generator without a file: its name, hashes of its text and weights
    memory: Mapping[str, str] = field(default_factory=dict)
    # how often its numbers were looked at while samples were added (genbench extend)
    looks: int = 1
    method: str = ""  # the name of what its checkpoint is one training of, as the user gave it
    dataset: str = ""  # the word that names the data set: a name on the shelf, or a path
    # extractor, or "statistics" -> the file on this machine; never written
    places: Mapping[str, str] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()  # the list; written once, beside the record (PROMPTS)

    @property
    def id(self) -> str:
        return digest(self.identity)[:16]

    def written(self) -> dict[str, Any]:
        """Plain data, as files have it."""
        content = asdict(replace(self, places={}, prompts=()))
        del content["prompts"]
        return content

    @property
    def n(self) -> int:
        return int(self.identity["n"])


@dataclass(frozen=True)
class Score:
    """One number, its interval and what real data scores: a tidy row.

    `value` is None unless status is "ok".
    """

    protocol: str
    metric: str
    part: str = "all"
    value: float | None = None
    se: float | None = None
    se_reference: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    n: int = 0
    real: float | None = None
    real_high: float | None = None
    flags: tuple[str, ...] = ()
    left_out: tuple[float, ...] = ()
    status: Literal["ok", "skipped", "failed", "undefined"] = "ok"
    reason: str = ""
    better: Literal["lower", "higher"] = "lower"
    # samples in each block that left_out leaves out, where they are not the run's block_sizes
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    """What a run found: the content of run.json."""

    id: str
    plan: Mapping[str, Any]
    scores: tuple[Score, ...]
    environment: Mapping[str, Any]
    cost: Mapping[str, Any]
    created: str
    genbench: str
    # name, classes, train_counts, groups; {} in records of before
    dataset: Mapping[str, Any] = field(default_factory=dict)
    # shard -> first digits of its images' SHA-256, images.sketch; {} in earlier ones
    shards: Mapping[str, Sequence[str]] = field(default_factory=dict)
    schema: int = SCHEMA
    folder: str = field(default="", compare=False)  # where it was read from; not written

    def to_json(self) -> dict[str, Any]:
        """Plain data, the keys of run.json."""
        content = asdict(self)
        del content["folder"]
        return content

    def frame(self) -> DataFrame:
        """The scores as a pandas table, one row each."""
        return pd.DataFrame([asdict(score) for score in self.scores])

    def _repr_html_(self) -> str:
        columns = ["protocol", "metric", "value", "low", "high", "real", "status", "reason"]
        return str(self.frame()[columns].to_html(index=False, escape=True))


def from_json(content: Mapping[str, Any], source: str) -> Record:
    """A record from plain data of this schema or an older one;
    UserError when it is newer or is no record.
    """
    content = dict(content)
    schema = content.get("schema")
    if type(schema) is not int or schema < 1:
        raise UserError(f"{source} is not a record of genbench: it has no schema number")
    if schema > SCHEMA:
        raise UserError(
            f"{source} has schema {schema}, this genbench reads up to {SCHEMA}: "
            "pip install --upgrade genbench"
        )
    for step in range(schema, SCHEMA + 1):
        if why := wrong(content, SHAPE):
            raise UserError(f"{source} is not a record of schema {schema}: {clean(why)}")
        content = UPGRADES[step](content) if step < SCHEMA else content
    try:
        scores = tuple(
            Score(
                **{
                    **one,
                    **{key: tuple(one.get(key, ())) for key in ("flags", "left_out", "sizes")},
                }
            )
            for one in content.pop("scores")
        )
        found = Record(scores=scores, **content)
        _check(found)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{source} is not a record of schema {schema}: {error}") from None
    return found


KINDS = {  # of what a record has, if it has it; for what it must have see `lacking`
    "a text": (
        "id created genbench plan.label plan.identity.generator plan.protocols.*.dataset "
        "plan.protocols.*.measures.*.name shards.*.* plan.protocols.*.measures.*.metric "
        "scores.*.protocol scores.*.metric scores.*.part scores.*.method scores.*.reason "
        "scores.*.status scores.*.better scores.*.flags.* "
        "plan.protocols.*.measures.*.formula plan.protocols.*.measures.*.interval "
        "plan.protocols.*.measures.*.leave_outs plan.protocols.*.measures.*.real_vs_real "
        "plan.protocols.*.extractors.*.code plan.read_files.*"
    ),
    "a whole number": (
        "plan.looks plan.block_sizes.* plan.identity.n plan.identity.first_seed "
        "plan.protocols.*.n scores.*.n"
    ),
    "a number": "scores.*.left_out.* scores.*.sizes.*",
    "a number?": (
        "scores.*.value scores.*.se scores.*.se_reference scores.*.low scores.*.high scores.*.real "
        "scores.*.real_high"
    ),
    "true or false": "plan.competitor plan.protocols.*.fits",
    "a table": (
        "plan plan.identity plan.identity.options plan.identity.conditions plan.protocols "
        "plan.protocols.* plan.protocols.*.splits plan.protocols.*.extractors "
        "plan.protocols.*.extractors.* plan.protocols.*.measures.* plan.training plan.tuned "
        "plan.memory plan.read_files scores.* environment cost dataset shards"
    ),
    "a table?": "environment.versions",
    "a list": (
        "plan.block_sizes plan.protocols.*.measures scores scores.*.flags scores.*.left_out "
        "scores.*.sizes shards.*"
    ),
}
SHAPE = tree(KINDS)
# of a plan; and of each of its protocols:
PLANNED = ("label", "competitor", "quantise", "identity", "protocols")
RULED = ("dataset", "n", "labels", "fits", "splits", "real", "extractors", "measures")


def plan_of(found: Record) -> Plan:
    """The plan of a record; UserError where it is of a version that knew less."""
    known = {one.name: found.plan[one.name] for one in fields(Plan) if one.name in found.plan}
    try:
        return Plan(**known)
    except TypeError as error:
        raise UserError(
            f"the run {found.id} is of another version ({error}); genbench run --fresh with the "
            "same words makes it again"
        ) from None


def lacking(found: Record) -> str:
    """What a record does not say that it must to be shown, compared and gone on from, in words;
    "" where it is complete.
    """
    lacks = [f"plan.{key}" for key in PLANNED if key not in found.plan]
    lacks += [
        f"plan.identity.{key}"
        for key in ("generator", "first_seed", "conditions")
        if key not in found.plan["identity"]
    ]
    lacks += [
        f"plan.protocols.{name}.{key}"
        for name, protocol in found.plan["protocols"].items()
        for key in RULED
        if key not in protocol
    ]
    measures = [
        (name, place, one)
        for name, protocol in found.plan["protocols"].items()
        for place, one in enumerate(protocol.get("measures", ()))
    ]
    lacks += [
        f"plan.protocols.{name}.measures.{place}.{key}"
        for name, place, one in measures
        for key in ("name", "metric")
        if key not in one
    ]
    lacks += [
        f"plan.protocols.{name}"
        for name in sorted(
            {score.protocol for score in found.scores} - set(found.plan["protocols"])
        )
    ]
    more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
    return (
        f"is an incomplete record: it lacks {', '.join(map(clean, lacks[:3]))}{more}"
        if lacks
        else ""
    )


def _check(found: Record) -> None:
    """What the rest of the program relies on beyond kinds;
    TypeError or ValueError where a sealed file holds something else.
    """
    if not (found.plan["label"] and found.plan["identity"]["n"] > 0 and found.plan["protocols"]):
        raise ValueError("it has no label, no samples or no protocol")
    for score in found.scores:
        if score.status == "ok" and None in (score.value, score.low, score.high):
            raise ValueError(f"{score.metric} has no value or no interval")
        if score.better not in BETTER or score.status not in STATUSES:
            raise ValueError(f"{score.metric} is better {score.better}, and {score.status}")
        sizes = score.sizes or found.plan.get("block_sizes", ())
        if (
            score.left_out
            and found.plan.get("block_sizes")
            and (len(score.left_out) != len(sizes) or min(sizes) < 1)
        ):
            raise ValueError(
                f"{score.metric} has {len(score.left_out)} values without a block, "
                f"of {len(sizes)} blocks"
            )


def content_of(found: Record) -> str:
    """What a verdict on a record is about: it holds no longer where the record says
    something else.
    """
    content = found.to_json()
    return digest([content[key] for key in ("id", "plan", "scores", "shards")])[:16]


def read(path: Path) -> Record:
    """The record in a file, sealed; FileNotFoundError, Damaged, or UserError for a newer schema."""
    return replace(from_json(read_json(path), str(path)), folder=str(path.parent))


def write(path: Path, record: Record) -> Record:
    """Write a record and read it back; only what was read back counts as written."""
    write_json(path, record.to_json())
    try:
        again = read(path)
    except (Damaged, OSError, UserError) as error:
        raise RunFailed(f"{path} was written but could not be read back: {error}") from error
    if digest(again.to_json()) != digest(record.to_json()):
        raise RunFailed(f"{path} was written but reads back differently; is the disk sound?")
    return again
