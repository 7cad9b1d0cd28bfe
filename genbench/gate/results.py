"""What a gate found, number by number, and the whole verdict with its exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genbench._util import exit_codes
from genbench.gate.config import COSTS, Acceptance, Gate
from genbench.runs.records.record import Record
from genbench.statistics.noninferiority import Change, Kind

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ACCEPTED", "MISSING", "SHOWN"]

# which decides, and is said first
ORDER: tuple[Verdict, ...] = ("FAIL", "MISSING", "INCONCLUSIVE", "ACCEPTED", "PASS", "SHOWN")


@dataclass(frozen=True)
class Finding:
    """One number of the candidate beside the same of one baseline."""

    protocol: str
    metric: str
    part: str
    against: str  # previous or anchor
    level: Literal["fail", "warn"]
    verdict: Verdict
    why: str = ""
    kind: Kind = "ratio"
    better: Literal["lower", "higher"] = "lower"
    baseline: float | None = None
    candidate: float | None = None
    change: Change | None = None
    margin: float = 0.0
    alpha: float = 0.05
    n: int = 0
    p: float | None = None  # adjusted over the rules of its level
    width: float = 1.0  # of its range, where it is a share: 1, or 100 for per cent
    accept: Acceptance | None = None  # of its rule

    @property
    def name(self) -> str:
        return f"{self.metric} {self.protocol}" + (f" {self.part}" if self.part != "all" else "")


@dataclass(frozen=True)
class CostFinding:
    """A cost of the candidate beside the baseline's."""

    metric: str
    level: Literal["fail", "warn"]
    verdict: Verdict
    tolerance: float
    baseline: float | None = None
    candidate: float | None = None
    why: str = ""

    @property
    def worse(self) -> float | None:
        """By which share it is worse; negative where it is better."""
        if not self.baseline or self.candidate is None:
            return None
        return (self.candidate / self.baseline - 1) * (-1 if COSTS[self.metric] else 1)


@dataclass(frozen=True)
class Checked:
    """What a gate found."""

    candidate: Record
    baselines: Mapping[str, Record]  # previous, and anchor where there is one
    gate: Gate
    findings: tuple[Finding, ...]
    costs: tuple[CostFinding, ...]
    treatment: tuple[tuple[str, str, str], ...]  # field, baseline, candidate
    remarks: tuple[str, ...]
    look: int
    alpha: float

    @property
    def verdict(self) -> Verdict:
        """The whole: a shown regression goes before what is missing,
        and that before what is not settled.
        """
        found = {one.verdict for one in self.findings if one.level == "fail"} | {
            one.verdict for one in self.costs if one.level == "fail"
        }
        return next((word for word in ORDER[:3] if word in found), "PASS")

    @property
    def status(self) -> int:
        """DESIGN's exit status."""
        unsettled = 4 if self.gate.inconclusive == "fail" else 0
        return {
            "PASS": exit_codes.DONE,
            "FAIL": exit_codes.REGRESSION,
            "MISSING": exit_codes.NOT_COMPARABLE,
            "INCONCLUSIVE": unsettled,
        }.get(self.verdict, 0)

    @property
    def leading(self) -> Finding | None:
        """The finding that decided: the worst of the whole verdict."""
        primary = [one for one in self.findings if one.level == "fail"] or list(self.findings)
        return min(
            primary,
            key=lambda one: (ORDER.index(one.verdict), one.p if one.p is not None else 1.0),
            default=None,
        )
