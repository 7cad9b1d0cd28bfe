"""The numbers of a record taken again: from the stored features of its run,
or each interval from its leave-outs, where an entry is all there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np
from genbench.api import _registry as registry
from genbench.runs.records.record import RATERS, Plan, Record, Score
from genbench.runs.sampling import read_shards
from genbench.runs.sampling.setup import networks
from genbench.runs.scoring import reconstructions
from genbench.runs.scoring.reference_features import real_features
from genbench.runs.scoring.score import score
from genbench.statistics import confidence_intervals

if TYPE_CHECKING:
    from genbench.api.dataset import Dataset
    from genbench.generators.generator import Generator

# of two machines' numbers, relative to the value or its standard error; of features, relative to
# their length
CLOSE = 1e-3
EXACT = 1e-9  # of numbers made from the same features by the same code on one machine
NUMBERS = ("value", "se", "low", "high")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: equal (to the bit), close (within tolerance), holds, different,
    or unknown.
    """

    what: str
    verdict: str
    said: str = ""


def numbers(
    found: Record, plan: Plan, generator: Generator, dataset: Dataset, folder: Path, close: float
) -> Iterator[Check]:
    """Every number of a record against the one that the shards of a folder give."""
    try:
        if lacks := _lacking(plan, dataset):
            yield Check("arithmetic", "unknown", lacks)
            return
        again = {
            (one.protocol, one.metric, one.part): one
            for one in _rescored(plan, generator, dataset, folder)
        }
    except UserError as error:
        yield Check("arithmetic", "unknown", clean(str(error)))
        return
    # people cannot be asked again
    for one in (own for own in found.scores if own.method != RATERS):
        yield _number(one, again.get((one.protocol, one.metric, one.part)), close)


def _lacking(plan: Plan, dataset: Dataset) -> str:
    """Why the numbers cannot be taken again here, or ""."""
    for protocol in plan.protocols.values():
        if protocol["statistics"]:
            return "its reference is a statistics file"
        other = [
            split
            for split, seal in protocol["splits"].items()
            if dataset.fingerprint(split) != seal
        ]
        if other:
            return f"the real images here are others ({', '.join(other)})"
    return ""


def _rescored(
    plan: Plan, generator: Generator, dataset: Dataset, folder: Path
) -> tuple[Score, ...]:
    loaded = networks(plan)
    real = reconstructions.added(
        real_features(plan, dataset, loaded), plan, dataset, generator, loaded, folder
    )
    return score(plan, read_shards.drawn(plan, folder), real)[0]


def _number(stored: Score, again: Score | None, close: float) -> Check:
    """A number against the one that its features give."""
    what = _name(stored)
    if again is None or again.status != stored.status:
        return Check(
            what, "different", f"is {stored.status}, again {again.status if again else 'not there'}"
        )
    pairs = [(getattr(stored, key), getattr(again, key)) for key in NUMBERS] + list(
        zip(stored.left_out, again.left_out, strict=False)
    )
    if len(stored.left_out) != len(again.left_out) or any(
        (a is None) != (b is None) for a, b in pairs
    ):
        return Check(what, "different", "has other leave-outs")
    slack = max(abs(stored.value or 0.0), stored.se or 0.0)
    apart = max(
        (
            abs(a - b) / slack if slack else abs(a - b)
            for a, b in pairs
            if a is not None and b is not None
        ),
        default=0.0,
    )
    if apart == 0:
        return Check(what, "equal")
    return Check(
        what,
        "close" if apart <= close else "different",
        f"{stored.value:.6g}, again {again.value:.6g}",
    )


def of_leave_outs(found: Record, plan: Plan) -> Iterator[Check]:
    """Whether each number's interval follows from its leave-outs:
    what an entry alone can be held to.
    """
    for one in found.scores:
        sizes = one.sizes or plan.block_sizes
        if (
            one.status != "ok"
            or not one.left_out
            or len(sizes) != len(one.left_out)
            or one.value is None
        ):
            continue
        kind = next(
            (
                measure["metric"]
                for measure in plan.protocols[one.protocol]["measures"]
                if measure["name"] == one.metric
            ),
            "",
        )
        try:
            again = confidence_intervals.interval(
                registry.find("metrics", kind).interval,
                one.value,
                np.asarray(one.left_out),
                np.asarray(sizes),
            )
        except (UserError, ValueError, AssertionError) as error:
            yield Check(
                f"{_name(one)}: interval",
                "different",
                f"it has none that can be taken: {clean(str(error))}",
            )
            continue
        apart = max(
            abs(a - b)
            for a, b in zip(again, (one.se, one.low, one.high), strict=True)
            if b is not None
        )
        follows = apart <= CLOSE * max(abs(one.value), one.se or 0.0)
        said = f"{'follows' if follows else 'does not follow'} from its leave-outs"
        yield Check(f"{_name(one)}: interval", "holds" if follows else "different", said)


def _name(one: Score) -> str:
    return one.metric + ("" if one.part == "all" else f" ({one.part})")
