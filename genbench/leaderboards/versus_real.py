"""What may be said of a number against real images, with the errors of both sides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genbench.api import _registry as registry
from genbench.leaderboards.entries import number
from genbench.runs.records.record import Score

T19 = 2.093  # the 97.5 % point of t with 19 degrees of freedom

Kind = Literal["same", "worse", "beyond", "none"]
CHIPS: Mapping[str, str] = {
    "same": "no difference shown",
    "worse": "differs from real",
    "beyond": "beyond real",
    "none": "no statement",
}


@dataclass(frozen=True)
class Statement:
    """What a number says against real images, and why."""

    kind: Kind
    words: str

    @property
    def chip(self) -> str:
        return CHIPS[self.kind]


def against_real(score: Score, measure: Mapping[str, Any]) -> Statement:
    """A number (ok) beside what real images score at these sizes."""
    if score.real is None or score.real_high is None:
        return Statement("none", "real images have no such number here")
    width = _width(measure)
    if measure.get("metric") == "fd" and width and score.n < 2 * width:
        return Statement(
            "none",
            (
                f"{score.n} samples are fewer than twice the {width} features: "
                "a collapsed model could score better than a faithful one"
            ),
        )
    value, low, high = number(score.value), number(score.low), number(score.high)
    # above 0: on the better side of real images
    gap = (1 if score.better == "lower" else -1) * (score.real - value)
    near = (
        abs((high if score.better == "lower" else low) - value)
        if gap > 0
        else abs((low if score.better == "lower" else high) - value)
    )
    shown = abs(gap) > max(near, T19 * math.hypot(score.se or 0.0, score.se_reference or 0.0))
    if gap > 0 and shown:
        return Statement(
            "beyond",
            (
                "it lies on the better side of real images by more than both errors: "
                "it draws what is typical and leaves out what is rare, or copies"
            ),
        )
    if score.better == "lower":
        over = value > score.real_high
        words = (
            "it lies above 95 % of real sets of these sizes"
            if over
            else f"95 % of real sets of these sizes lie below {score.real_high:.3g}"
        )
        return (
            Statement("worse", words)
            if over
            else Statement("same", f"{words}; that is not the same as being real")
        )
    if gap < 0 and shown:
        return Statement(
            "worse",
            (
                f"real sets of these sizes score {score.real:.3g}, which lies outside the "
                "errors of both sides"
            ),
        )
    return Statement(
        "same",
        (
            "the median of real sets lies within the errors of both sides; "
            "that is not the same as being real"
        ),
    )


def _width(measure: Mapping[str, Any]) -> int:
    """How wide a measure's features are; 0 where the record does not say them,
    or nobody knows the extractor any more.
    """
    extractor, _, output = str(measure.get("features", "")).partition(".")
    if extractor not in registry.standing("extractors"):
        return 0
    return int(registry.find("extractors", extractor).outputs.get(output, 0))
