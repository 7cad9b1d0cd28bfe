"""`genbench protocols`: how the numbers of a board are taken, side by side."""

from __future__ import annotations

from collections.abc import Iterable

import click

from genbench._util.console import answer
from genbench._util.formatting import listing, table
from genbench.api import _registry as registry
from genbench.api.metric import Measure
from genbench.api.protocol import Protocol
from genbench.cli.listings import show_shelf

HEADINGS = (
    "protocol",
    "n",
    "labels",
    "quantise",
    "distance by",
    "reference",
    "covariance",
    "inception score",
    "precision, recall",
)


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the protocols side by side, or show one."""
    if name is not None or as_json:
        show_shelf("protocols", name, as_json)
        return
    there = registry.standing("protocols").values()
    answer(side_by_side(one.target for one in there if isinstance(one.target, Protocol)))
    strangers = [
        (one.name, f"({one.origin})") for one in there if not isinstance(one.target, Protocol)
    ]
    if strangers:
        answer("\n" + listing(strangers))


def side_by_side(protocols: Iterable[Protocol]) -> str:
    """A line per protocol: what most often makes two papers' numbers of one model differ.

    The distance is the protocol's first measure of that kind.
    """
    return table(HEADINGS, [_cells(one) for one in protocols], left=len(HEADINGS))


def _cells(row: Protocol) -> list[str]:
    distance = _first(row, "fd") or row.measures[0]
    n = str(row.n) if row.n else "as reference"
    repeats = f", {row.reducer} of {row.repeats}" if row.repeats > 1 else ""
    covariance = (
        {1: "n - 1", 0: "n"}[int(distance.constants.get("divisor", 1))]
        if distance.metric == "fd"
        else ""
    )
    return [
        row.name,
        n + repeats,
        row.labels,
        row.quantise,
        distance.features,
        distance.reference,
        covariance,
        _score(row),
        _neighbours(row),
    ]


def _first(row: Protocol, metric: str) -> Measure | None:
    return next((one for one in row.measures if one.metric == metric), None)


def _score(row: Protocol) -> str:
    """What an Inception score depends on: which logits, how many splits, in which order."""
    one = _first(row, "is")
    if one is None:
        return ""
    splits, block = int(one.constants.get("splits", 1)), int(one.constants.get("block", 0))
    unit = f"{splits} chunk" if one.constants.get("chunk") else f"{splits} split"
    word = f"blocks of {block}" if block else unit + "s" * (splits > 1)
    order = ", shuffled" if int(one.constants.get("shuffle", -1)) >= 0 else ""
    bias = (
        ", with bias"
        if one.features.startswith("inception") and not one.features.endswith("_unbiased")
        else ""
    )
    return word + order + bias


def _neighbours(row: Protocol) -> str:
    """Whose neighbours, how many, whether the surface of a ball counts,
    and against how many of the reference.
    """
    one = _first(row, "precision")
    if one is None:
        return ""
    held = f" of {one.reference_n}" if one.reference_n else ""
    return (
        f"{one.features}, k {int(one.constants.get('k', 0))} "
        f"{'<' if one.constants.get('strict') else '<='}{held}"
    )
