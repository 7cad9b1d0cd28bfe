"""What a metric is given: arrays by need, on the sides of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import numpy as np

Side = Literal["samples", "reference", "train"]
T = TypeVar("T")

#: What a metric may need, and on which side of the comparison it lies.
NEEDS: Mapping[str, Side] = {
    "samples": "samples",  # features float64 [n, d]
    "logits": "samples",  # of the data set's recogniser, float64 [n, C]
    "labels": "samples",  # asked for, int64 [n]
    "pairs": "samples",  # squared perceptual distances of latent pairs over epsilon^2, float64 [n]
    # sums by block and class, float64 [B, C, d + 2]: of features, of their squared
    # lengths, and counts
    "sums": "samples",
    # place in the class, then squared distances to the next ten of it (0 where there is none),
    # float64 [n, 11]
    "ahead": "samples",
    # features of the reference's images, reconstructed, float64 [m, d]
    "reconstructions": "samples",
    # features of those images, row for row, float64 [m, d]: to leave one out is to leave out both
    "originals": "samples",
    # a number between each image of the reference and its reconstruction, float64 [m]
    "between": "samples",
    "prompts": "samples",  # cosine of each image's embedding and its prompt's, float64 [n, 1]
    "reference": "reference",  # features float64 [m, d]
    "reference_logits": "reference",  # float64 [m, C]
    "train": "train",  # features of the training split float64 [t, d]
}

# needs of a metric that looks at no sample
RECONSTRUCTED = frozenset({"reconstructions", "originals", "between"})


class Arrays(Mapping[str, "np.ndarray[Any, Any]"]):
    """What a metric is given: one array per need (NEEDS says which shape),
    rows in the order of the samples' indices.

    made: what is known without the rows; ("moments", "reference") -> stats.Moments where a
    statistics file stands for the reference, ("blocks", "samples") -> a function that gives a list
    of them, where the samples are too many to be held.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray[Any, Any]], made: Mapping[Any, Any] | None = None
    ) -> None:
        unknown = set(arrays) - set(NEEDS)
        assert not unknown, f"not on the list of needs: {unknown}"
        self._arrays = {need: array.view() for need, array in arrays.items()}
        for array in self._arrays.values():
            # metrics share them: one that writes would change the others' numbers
            array.setflags(write=False)
        self._given = dict(made or {})
        self._made: dict[Any, Any] = dict(self._given)

    def __getitem__(self, need: str) -> np.ndarray[Any, Any]:
        return self._arrays[need]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def instead(self, what: str, side: Side) -> Any:
        """What was given in place of the rows of a side; KeyError where nothing was."""
        return self._given[what, side]

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What several metrics derive from the same arrays (neighbour distances), made once."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def keep(self, side: Side, rows: np.ndarray[Any, Any]) -> Arrays:
        """The same arrays with only these rows (a mask or indices) of one side."""
        given = {key: found for key, found in self._given.items() if key[1] != side}
        return Arrays(
            {
                need: array[rows] if NEEDS[need] == side else array
                for need, array in self._arrays.items()
            },
            given,
        )


@dataclass(frozen=True)
class Sighting:
    """What a metric's flags may look at: n samples of width d, the value,
    and the 95 % point of real against real (None where there is none).
    """

    n: int
    d: int
    value: float
    real_high: float | None
