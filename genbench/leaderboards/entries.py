"""The entries of a board: a finished run's record cut to one protocol, read from entries/<id>.json.

An entry is ranked where it fits the protocol and was measured with the reference, the extractors
and the formulas of the board's newest entry. Reference lines are never ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench._util.checksummed_files import Damaged
from genbench._util.console import complain
from genbench._util.errors import UserError
from genbench._util.hashing import digest
from genbench.api.protocol import Published
from genbench.features.extractor_versions import earlier
from genbench.leaderboards import reported_values
from genbench.runs.records import record
from genbench.runs.records.comparability import one_ruler
from genbench.runs.records.record import Record, Score

COST = (
    "images_per_second", "images_per_second_whole", "latency_p50_seconds", "latency_p95_seconds",
    "peak_memory_bytes", "peak_gpu_memory_bytes", "checkpoint_bytes", "parameters",
    "evaluations_per_image", "dtype", "device",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One run on one board."""

    id: str
    record: Record
    # measured with the reference, extractors and formulas of the board's newest entry
    current: bool = True

    @property
    def label(self) -> str:
        return str(self.record.plan["label"])

    @property
    def protocol(self) -> Mapping[str, Any]:
        return dict(next(iter(self.record.plan["protocols"].values())))

    @property
    def ranked(self) -> bool:
        return bool(self.record.plan["competitor"] and self.protocol["fits"] and self.current)

    @property
    def tuned(self) -> str:
        """By what its options were chosen, in words; "" where they were given."""
        told = self.record.plan.get("tuned")
        return (
            (
                f"tuned on {told['metric']} against {told['half']}, {told['trials']} "
                f"{told.get('of', 'trials')}"
            )
            if told
            else ""
        )

    def comparable(self, other: Entry) -> bool:
        """Whether both were measured with one ruler."""
        return one_ruler(self.protocol, other.protocol)

    def score(self, metric: str) -> Score | None:
        return next(
            (
                one
                for one in self.record.scores
                if (one.metric, one.part, one.status) == (metric, "all", "ok")
            ),
            None,
        )


def board_name(dataset: str, protocol: str) -> str:
    return dataset if dataset == protocol else f"{dataset}-{protocol}"


def entry_of(found: Record, name: str, protocol: Mapping[str, Any]) -> Entry:
    own = replace(
        found,
        plan={**found.plan, "protocols": {name: protocol}},
        scores=tuple(s for s in found.scores if s.protocol == name),
    )
    # an entry keeps the id that it was given then
    extractors = {one: earlier(identity) for one, identity in protocol["extractors"].items()}
    return Entry(digest([found.id, name, protocol["splits"], extractors])[:16], own)


def boards(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.glob("*") if (folder / "entries").is_dir())


def entries(board: Path, *, every: bool = False) -> list[Entry]:
    """The entries of a board, oldest first; a damaged one is named and left out.

    Unless every one is asked for, the newest per label, of those that fit the protocol and of those
    that do not.
    """
    found = []
    for path in sorted((board / "entries").glob("*.json")):
        try:
            entry = Entry(path.stem, record.read(path))
            entry.comparable(entry), entry.ranked, entry.record.plan["identity"]["first_seed"]
            found.append(entry)
        except (Damaged, UserError) as error:
            complain(f"damaged entry left out: {error}")
        except KeyError as error:
            complain(f"damaged entry left out: {path} lacks {error}")
    found.sort(key=lambda entry: (entry.record.created, entry.id))
    newest_ranked = next((entry for entry in reversed(found) if entry.ranked), None)
    found = [
        replace(entry, current=newest_ranked is None or entry.comparable(newest_ranked))
        for entry in found
    ]
    newest = {(entry.label, entry.protocol["fits"]): entry for entry in found}
    return found if every else list(newest.values())


def others_of(board: Path, found: Sequence[Entry]) -> list[Published]:
    """What others report by the protocol of a board."""
    name, protocol = next(iter(found[-1].record.plan["protocols"].items()))
    return reported_values.beside(board, protocol["dataset"], name)


def number(value: float | None) -> float:
    assert value is not None, "an ok score has a value"
    return value
