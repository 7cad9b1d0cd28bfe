"""How many samples per side show that a number did not move by more than a margin,
from what a pilot's number scatters (ECOSYSTEM B4's formula).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean, table
from genbench.api import _registry as registry
from genbench.gate.config import Gate, share
from genbench.gate.judge import SMALL, width_of
from genbench.runs.records.record import Record
from genbench.statistics import noninferiority

CORRELATIONS = (0.0, 0.5, 0.9, 0.99)


def of_run(found: Record, metric: str, margin: str, power: float, alpha: float) -> dict[str, Any]:
    """Samples per side by the correlation of the seeds; UserError where the run has not
    got the number.
    """
    scores = [
        s for s in found.scores if s.metric == metric and s.part == "all" and s.status == "ok"
    ]
    if not scores:
        known = sorted({s.metric for s in found.scores if s.status == "ok"})
        raise UserError(
            f"--metric {clean(metric)}: {choices(metric, known)}; another comes by genbench run "
            "--metrics, or state its scatter: --sd 1% --at 50000"
        )
    score = scores[0]
    measure = next(
        m for m in found.plan["protocols"][score.protocol]["measures"] if m["name"] == metric
    )
    row = registry.find("metrics", measure["metric"])
    kind = noninferiority.kind_of(row.range)
    usual = Gate()
    allowed = (
        _share(margin)
        if margin
        else {"ratio": usual.margin, "share": usual.margin_share, "kernel": usual.margin_kernel}[
            kind
        ]
    )
    assert score.value is not None, "an ok score has a value"
    if not score.se or math.isnan(score.se) or (kind == "ratio" and score.value <= 0):
        raise UserError(
            f"{metric} of the run {found.id} has no standard error; take a pilot of more samples"
        )
    if kind == "ratio":
        scatter, bound = score.se / score.value, math.log1p(allowed)
    elif kind == "share":
        scatter, bound = score.se, allowed * (row.range[1] - row.range[0])
    else:
        scatter, bound = (
            score.se,
            noninferiority.kernel_margin(score.value, score.real, score.real_high, allowed),
        )
    floor = SMALL * width if row.name == "fd" and (width := width_of(measure)) else 0
    return _answer(metric, kind, scatter, score.n, bound, power, alpha, floor) | {
        "run": found.id,
        "value": score.value,
        "se": score.se,
    }


def stated(
    metric: str, margin: str, sd: str, at: int, power: float, alpha: float
) -> dict[str, Any]:
    """The same from a relative standard error that somebody states."""
    return _answer(
        metric,
        "ratio",
        _share(sd, "--sd"),
        at,
        math.log1p(_share(margin or str(Gate().margin))),
        power,
        alpha,
        0,
    )


def _share(word: str, option: str = "--margin") -> float:
    try:
        found = share(word)
    except ValueError as error:
        raise UserError(f"{option} {clean(word)}: {error}") from None
    if found <= 0:
        raise UserError(f"{option} {clean(word)}: more than 0")
    return found


def _answer(
    metric: str,
    kind: str,
    scatter: float,
    at: int,
    bound: float,
    power: float,
    alpha: float,
    floor: int,
) -> dict[str, Any]:
    needed = {
        str(r): math.ceil(noninferiority.needed(math.sqrt(at) * scatter, bound, r, alpha, power))
        for r in CORRELATIONS
    }
    return {
        "metric": metric,
        "kind": kind,
        "margin": bound,
        "power": power,
        "alpha": alpha,
        "pilot_n": at,
        "needed": needed,
        "at_least": floor,
    }


def text(found: Mapping[str, Any]) -> str:
    """For people."""
    floor = int(found["at_least"])
    rows = [
        ["fresh" if r == "0.0" else f"the same, r = {r}", f"{n:,}", f"{max(n, floor):,}"]
        for r, n in found["needed"].items()
    ]
    head = (
        f"{clean(found['metric'])}: samples per side so that an unchanged model passes in "
        f"{found['power']:.0%} of checks (level {found['alpha']:g})"
    )
    why = (
        (
            f"\n\nBelow {floor:,}, ten samples to a dimension, a Fréchet distance is shown and not "
            "judged: its bias is the model's own."
        )
        if floor
        else ""
    )
    return f"{head}\n\n{table(['seeds', 'by scatter', 'in all'], rows)}{why}"
