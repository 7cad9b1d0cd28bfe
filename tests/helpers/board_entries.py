"""Entries of boards, made without a run; `_enter` is what other processes do, which import it by
name."""

from __future__ import annotations

import numpy as np

from genbench.leaderboards import write_board
from genbench.runs.records import record
from genbench.runs.records.record import Record, Score

BLOCKS = 5


PROTOCOL = {
    "dataset": "digits",
    "n": 40,
    "labels": "balanced",
    "fits": True,
    "splits": {"heldout": "1234"},
    "extractors": {"digits": {"weights": "12", "code": "34"}},
    "measures": [{"name": "fd_digits"}, {"name": "recall_digits"}],
}


def made(
    label,
    fd=1.0,
    recall=0.5,
    *,
    created="2026-01-02T03:04:05+00:00",
    seed=0,
    fits=True,
    competitor=True,
    protocols=("digits",),
    turn=1,
):
    """A small record by hand: two numbers with five leave-outs each."""
    spread = np.linspace(-0.01, 0.01, BLOCKS)

    def score(protocol, metric, value, better):
        out = tuple((value + turn * spread).tolist())
        return Score(
            protocol,
            metric,
            value=value,
            se=0.05,
            low=value - 0.1,
            high=value + 0.1,
            n=40,
            real=0.1,
            real_high=0.2,
            left_out=out,
            better=better,
        )

    identity = {
        "generator": label,
        "n": 40,
        "first_seed": seed,
        "checkpoint": None,
        "conditions": {},
    }
    return Record(
        id=record.digest(identity)[:16],
        plan={
            "identity": identity,
            "label": label,
            "competitor": competitor,
            "block_sizes": [40 // BLOCKS] * BLOCKS,
            "protocols": {name: {**PROTOCOL, "fits": fits} for name in protocols},
        },
        scores=tuple(
            s
            for name in protocols
            for s in (
                score(name, "fd_digits", fd, "lower"),
                score(name, "recall_digits", recall, "higher"),
            )
        ),
        environment={},
        cost={"images_per_second": 10.0, "parameters": 7, "evaluations_per_image": 1},
        created=created,
        genbench="0.1.0",
    )


def contents(folder):
    """Every file below a folder but locks: its bytes and its time."""
    return {
        p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def _enter(number, root, ready):
    ready.wait()
    # few to rank: the table is not what is tried here
    write_board.enter(made(f"generator-{number}", fd=1.0 + number, competitor=number < 5), root)
