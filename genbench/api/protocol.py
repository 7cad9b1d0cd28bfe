"""Protocol and Published: how the numbers of a board are measured, and what its papers report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench.api.metric import Measure
from genbench.api.validation import _check, _is_name


@dataclass(frozen=True)
class Published:
    """A number that a protocol should reproduce, beside its row."""

    dataset: str
    model: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Protocol:
    """How the numbers of a board are taken; the first measure sorts the board."""

    name: str
    title: str
    dataset: str  # "any": every data set that has the splits
    n: int  # 0: as many samples as the reference has images
    labels: Literal["balanced", "iid", "training"]
    quantise: Literal["round", "truncate", "none"]
    measures: tuple[Measure, ...]
    # the splits pooled and split again for real against real; (): every split of the data set
    real: tuple[str, ...] = ()
    train: str = ""  # the training split, for metrics of memorisation; "": the data set's "train"
    repeats: int = 1  # n samples so many times, with consecutive seeds,
    reducer: Literal["mean", "min"] = "mean"  # and what is reported of the repeats
    published: tuple[Published, ...] = ()
    paper: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        names = [measure.name for measure in self.measures]
        reduced = (
            isinstance(self.repeats, int) and self.repeats >= 1 and self.reducer in ("mean", "min")
        )
        _check(
            self,
            (_is_name(self.name), "its name may hold lower-case letters, digits, '-', '_' and '.'"),
            (
                isinstance(self.n, int) and (self.n == 0 or self.n >= 2),
                f"n is {self.n}; a whole number, at least 2, or 0 for as many as the reference",
            ),
            (
                self.labels in ("balanced", "iid", "training"),
                f"labels are {self.labels!r}, allowed are balanced, iid and training",
            ),
            (
                self.quantise in ("round", "truncate", "none"),
                f"quantise is {self.quantise!r}, allowed are round, truncate and none",
            ),
            (reduced, f"repeats {self.repeats}, reducer {self.reducer!r}: at least 1; mean or min"),
            (len(names) > 0, "has no measures"),
            (len(set(names)) == len(names), f"names a number twice: {names}"),
        )
