"""Runs of more samples than memory holds: which numbers are of all of them,
and which of the first so many, each of which says so.

    number                              of which samples
    Fréchet distance                    all, by moments of each block that are streamed, where these
                                        take less memory than the rows
    others whose cost grows with n      all up to LARGEST bytes of rows, beyond it the first that
                                        fit into SAMPLE bytes
    numbers that compare pairs of rows  the same, and never more than the first PAIRED

The first samples of a run are balanced and in the same blocks as all, so such a number is that of a
shorter run.
"""

from __future__ import annotations

from genbench.api.metric import Metric
from genbench.statistics.blocks import BLOCKS

LARGEST = 2**30  # bytes of rows in float64 that are held at once
SAMPLE = 2**28  # bytes of those that stand for more
PAIRED = 50_000  # samples, as many as the papers take; the cost grows with their square


def streams(metric: Metric, width: int, n: int) -> bool:
    """Whether a number of n rows is taken from moments by block,
    of which each has a matrix of width by width.
    """
    return metric.streams and n * width * 8 > SAMPLE and n > BLOCKS * width


def first_of(metric: Metric, width: int, n: int) -> tuple[int, str]:
    """How many of n rows a number is taken of, the first ones, and why; (0, ""): of all."""
    if not width or metric.streams or not {"samples", "logits", "prompts"} & set(metric.needs):
        return 0, ""
    large, fits = n * width * 8 > LARGEST, SAMPLE // (8 * width)
    paired = "samples" in metric.needs and not metric.from_moments
    first = min(fits if large else n, PAIRED if paired else n)
    if first == n:
        return 0, ""
    return (
        first,
        "its cost grows with the number of pairs"
        if paired
        else "the features of more do not fit into memory",
    )
