"""Section: the row of one part of the report, a file each on the shelf genbench/sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genbench.api.validation import RowError


@dataclass(frozen=True)
class Section:
    """One part of the report.

    render(report) returns HTML, made by report.html(template, **values), in which every value is
    escaped; or a plain str: the reason why the part is absent, which the page says in its place. A
    UserError is such a reason too. report: genbench.report.html_page.Report; its `runs` are
    genbench.report.run_data.Run.
    """

    name: str  # its anchor in the page
    title: str
    order: int  # its place in the page: 10 the card, 20 numbers, ... 110 the record
    render: Callable[[Any], Any]
    # mostly pixels: left out, and said so, where the page would grow too large
    pictures: bool = False

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name.islower() and self.name.isascii()):
            raise RowError(
                f"Section {self.name!r}: its name may hold lower-case letters, digits and '_'"
            )
        if not (self.title and isinstance(self.order, int) and callable(self.render)):
            raise RowError(
                f"Section {self.name!r}: wants a title, a whole number as its order, "
                "and a function render(report)"
            )
