"""The gate on an unchanged model: how often two halves of one run are called a regression,
and the smallest change that would be shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genbench._util.errors import NotComparable
from genbench._util.formatting import clean, table
from genbench.api import _registry as registry
from genbench.gate.config import Gate
from genbench.gate.judge import margin_of
from genbench.runs.records.record import Record, Score
from genbench.statistics import noninferiority

SPLITS = 2000
CORRELATIONS = (0.0, 0.9, 0.99)  # of the seeds of baseline and candidate; 0: fresh seeds
LEAST = 4  # blocks, two to a half


def of_blocks(found: Record, gate: Gate) -> dict[str, Any]:
    """A/A on a record's own blocks, number by number; NotComparable where none has leave-outs."""
    rows = [
        row
        for score in found.scores
        if score.status == "ok" and score.part == "all" and len(score.left_out) >= LEAST
        if (row := _of(found, score, gate))
    ]
    if not rows:
        raise NotComparable(
            f"{clean(found.plan['label'])} has no numbers with leave-one-block-out values: "
            "measure it again, with more samples"
        )
    return {
        "schema": 1,
        "baseline": found.id,
        "label": found.plan["label"],
        "alpha": gate.alpha,
        "numbers": rows,
    }


def _of(found: Record, score: Score, gate: Gate) -> dict[str, Any] | None:
    assert score.value is not None, "an ok score has a value"
    measure = next(
        m for m in found.plan["protocols"][score.protocol]["measures"] if m["name"] == score.metric
    )
    row = registry.find("metrics", measure["metric"])
    kind = noninferiority.kind_of(row.range)
    if kind == "ratio" and min(score.value, *score.left_out) <= 0:
        return None
    margin = margin_of(None, gate, row, score)
    sizes = score.sizes or found.plan["block_sizes"]
    changes = noninferiority.halves(
        score.left_out, sizes, score.value, kind, score.better, SPLITS, seed=0
    )
    verdicts = [noninferiority.verdict(one, margin, gate.alpha) for one in changes]
    # of the difference of two whole runs: a half has twice the variance of a whole
    se = math.sqrt(sum(one.se**2 for one in changes) / len(changes) / 2)
    shown = {
        r: noninferiority.detectable(
            noninferiority.Change(0.0, se * math.sqrt(1 - r), len(sizes) - 1.0, paired=r > 0),
            gate.alpha,
        )
        for r in CORRELATIONS
    }
    return {
        "protocol": score.protocol,
        "metric": score.metric,
        "kind": kind,
        "n": score.n,
        "margin": margin,
        "splits": SPLITS,
        "false_alarms": verdicts.count("FAIL") / SPLITS,
        "passed": verdicts.count("PASS") / SPLITS,
        "detectable": {str(r): change for r, change in shown.items()},
    }


def text(found: Mapping[str, Any]) -> str:
    """For people."""
    rows = []
    for one in found["numbers"]:
        shown = [
            f"{math.expm1(value):.1%}" if one["kind"] == "ratio" else f"{value:.2g}"
            for value in one["detectable"].values()
        ]
        rows.append(
            [
                f"{one['metric']} {one['protocol']}",
                f"{one['n']:,}",
                f"{one['false_alarms']:.1%}",
                *shown,
            ]
        )
    head = (
        f"{clean(found['label'])}: {SPLITS} splits of its blocks into halves, "
        "held against each other unpaired"
    )
    tail = (
        "What its own blocks say; tests/bench/gate_power.md has the gate tried on fresh runs. "
        "Beside the false alarms the smallest change"
    )
    tail += (
        " that is shown in 80 of 100 runs of this n: fresh seeds, and seeds that correlate "
        "by 0.9 and 0.99."
    )
    return (
        f"{head}\n\n"
        f"{table(['number', 'n', 'false alarms', 'unpaired', 'r = 0.9', 'r = 0.99'], rows)}\n\n"
        f"{tail}"
    )
