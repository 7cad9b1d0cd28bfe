"""One number under several rulers: what the protocols make of the same samples,
and what the same protocol makes of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench._util.errors import NotComparable
from genbench._util.formatting import plus_minus, table
from genbench._util.lazy_imports import np
from genbench.runs.records.record import Record, Score


@dataclass(frozen=True)
class Reading:
    """A number as one protocol reads it off one run."""

    run: str
    first_seed: int
    protocol: str
    ruler_only: bool
    score: Score

    @property
    def name(self) -> str:
        """The number without its feature space where the protocol leaves it to the reader:
        fid, kid, is, precision, ...
        """
        return self.score.metric


def of_one_model(runs: Sequence[Record]) -> bool:
    """Whether runs differ in nothing but their seeds and protocols."""
    return len({_treatment(run) for run in runs}) == 1


def readings(runs: Sequence[Record]) -> list[Reading]:
    """Every number of these runs of one model; NotComparable when no number is there twice."""
    found = [
        Reading(
            run.id,
            int(run.plan["identity"]["first_seed"]),
            score.protocol,
            not _ruled(run.plan["protocols"][score.protocol]),
            score,
        )
        for run in runs
        for score in run.scores
        if score.status == "ok" and score.part == "all"
    ]
    names = [one.name for one in found]
    if not any(names.count(name) > 1 for name in names):
        raise NotComparable(
            "no number is there twice: run the same words with --protocol A --protocol B, "
            "or give several runs"
        )
    return found


def _ruled(protocol: Mapping[str, Any]) -> bool:
    """Whether a run is what a protocol asks for: its n, labels, quantisation and precision,
    published weights, the real images themselves.
    """
    return bool(protocol.get("fits", True) and protocol.get("board", True))


def _treatment(run: Record) -> str:
    return str({key: value for key, value in run.plan["identity"].items() if key != "first_seed"})


def spread(found: Sequence[Reading], name: str) -> dict[str, float]:
    """Lowest, highest, their ratio and the standard deviation of one number over its readings,
    beside the mean standard error that they claim.
    """
    values = np.array([one.score.value for one in found if one.name == name], dtype=np.float64)
    errors = [one.score.se for one in found if one.name == name and one.score.se is not None]
    return {
        "readings": len(values),
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "ratio": float(values.max() / values.min()) if values.min() > 0 else float("nan"),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        "mean_se": float(np.mean(errors)) if errors else float("nan"),
    }


def names_of(found: Sequence[Reading]) -> list[str]:
    """The numbers that are there more than once, in their order."""
    names = [one.name for one in found]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def as_plain(found: Sequence[Reading]) -> dict[str, Any]:
    """{"readings": [...], "spread": {name: {...}}} for programs; what is no number is None."""
    rows = [
        {
            "run": one.run,
            "first_seed": one.first_seed,
            "protocol": one.protocol,
            "ruler_only": one.ruler_only,
            "metric": one.name,
        }
        | {
            key: getattr(one.score, key)
            for key in ("value", "low", "high", "se", "se_reference", "n", "flags")
        }
        for one in found
    ]
    numbers = {
        name: {key: None if value != value else value for key, value in spread(found, name).items()}
        for name in names_of(found)
    }
    return {"readings": rows, "spread": numbers}


def as_table(found: Sequence[Reading]) -> str:
    """A line per protocol and run, a column per number, and how far the lines lie apart."""
    names = names_of(found)
    several = len({one.run for one in found}) > 1
    lines = list(
        dict.fromkeys((one.protocol, one.run, one.first_seed, one.ruler_only) for one in found)
    )
    rows = []
    for protocol, run, seed, ruler_only in lines:
        own = {one.name: one.score for one in found if (one.protocol, one.run) == (protocol, run)}
        label = protocol + (f" seed {seed}" if several else "") + (" *" if ruler_only else "")
        rows.append([label, *(_cell(own.get(name)) for name in names)])
    apart = {name: spread(found, name) for name in names}
    rows.append(["lowest", *(f"{apart[name]['lowest']:.4g}" for name in names)])
    rows.append(["highest", *(f"{apart[name]['highest']:.4g}" for name in names)])
    rows.append(
        [
            "highest / lowest",
            *(
                "–"
                if apart[name]["ratio"] != apart[name]["ratio"]
                else f"{apart[name]['ratio']:.3f}"
                for name in names
            ),
        ]
    )
    if several:
        rows.append(["sd over seeds", *(f"{apart[name]['sd']:.2g}" for name in names)])
        rows.append(["mean se", *(f"{apart[name]['mean_se']:.2g}" for name in names)])
    legend = (
        "\n\n* ruler only: n, labels, quantisation, weights or precision are not the protocol's"
        if any(one.ruler_only for one in found)
        else ""
    )
    return table(["protocol", *names], rows) + legend


def _cell(score: Score | None) -> str:
    if score is None or score.value is None or score.low is None or score.high is None:
        return "–"
    return plus_minus(score.value, score.low, score.high)
