"""Which training images are drawn, step by step: in their natural frequencies,
or by one of the strategies for a long tail.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import torch
from genbench.data import long_tail

if TYPE_CHECKING:
    from genbench.data.long_tail import Groups

MODES = ("natural", "drop", "oversample", "staged")
STAGES = ("deferred", "curriculum")
# of the steps: the second stage of "deferred", as 160 of 200 epochs in LDAM's deferred schedules
LAST = 0.2


@dataclass(frozen=True)
class Tail:
    """A strategy for the tail and its one number.

    natural: every image once an epoch. drop: without the classes of fewer than `min_count` images;
    labels keep their numbers. oversample: an image is drawn with weight n_c^-power (1: balanced
    classes, 0.5: square root). staged, deferred: natural, and for the last fifth of the steps the
    class-aware sampler of Kang et al. (2020): classes in turn, and in each its images in turn.
    staged, curriculum: for a third of the steps each natural among the many; the many and
    medium; all.
    """

    mode: str = "natural"
    min_count: int = 20
    power: float = 1.0
    stages: str = "deferred"

    def __post_init__(self) -> None:
        for word, value, known in (("--tail", self.mode, MODES), ("--stages", self.stages, STAGES)):
            if value not in known:
                raise UserError(f"{word} {clean(value)}: {choices(value, known)}")
        if self.min_count < 1:
            raise UserError(f"--min-count {self.min_count}: at least 1")
        if not 0 <= self.power <= 2:
            raise UserError(
                f"--power {self.power}: 0 (natural) to 2; 1 draws every class alike, "
                "0.5 is the square root"
            )

    @property
    def deferred(self) -> bool:
        """Whether the last fifth of the steps is class-aware."""
        return self.mode == "staged" and self.stages == "deferred"

    def says(self) -> dict[str, Any]:
        """What a checkpoint and a record keep of it."""
        more: dict[str, dict[str, Any]] = {
            "drop": {"min_count": self.min_count},
            "oversample": {"power": self.power},
            "staged": {"stages": self.stages},
        }
        return {"mode": self.mode, **more.get(self.mode, {})}


def dropped(counts: tuple[int, ...], tail: Tail) -> tuple[int, ...]:
    """The classes that a training leaves out."""
    return (
        tuple(c for c, count in enumerate(counts) if count < tail.min_count)
        if tail.mode == "drop"
        else ()
    )


def last_stage(tail: Tail, steps: int) -> int:
    """The step with which the class-aware stage of a deferred training begins, counted from 0;
    `steps` where there is none.
    """
    return steps - max(1, round(LAST * steps)) if tail.deferred else steps


def draws(
    labels: torch.Tensor,
    counts: tuple[int, ...],
    tail: Tail,
    steps: int,
    size: int,
    generator: torch.Generator,
) -> Iterator[torch.Tensor]:
    """The positions of each step's images, int64 [at most size], `steps` times.

    labels int64 [n] on the CPU; counts: images of each class.

    UserError where no class is left.
    """
    if tail.mode == "oversample":
        return itertools.islice(_weighted(labels, counts, tail.power, size, generator), steps)
    if tail.deferred:
        late = last_stage(tail, steps)
        return itertools.chain(
            _of(_all(labels), late, size, generator),
            itertools.islice(_class_aware(labels, size, generator), steps - late),
        )
    if tail.mode == "staged":
        return _curriculum(labels, long_tail.groups(counts), steps, size, generator)
    out = dropped(counts, tail)
    members = [c for c in range(len(counts)) if c not in out]
    if not any(counts[c] for c in members):
        raise UserError(
            f"--min-count {tail.min_count} leaves no class: the largest has {max(counts)} images"
        )
    return _of(_members(labels, members) if out else _all(labels), steps, size, generator)


def _all(labels: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(labels))


def _members(labels: torch.Tensor, classes: list[int]) -> torch.Tensor:
    return torch.isin(labels, torch.tensor(classes)).nonzero()[:, 0]


def _of(
    members: torch.Tensor, steps: int, size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Passes over the members, each in an order of its own;
    the last batch of a pass may be smaller.
    """
    passes = (
        members[torch.randperm(len(members), generator=generator)].split(size)
        for _ in itertools.count()
    )
    return itertools.islice(itertools.chain.from_iterable(passes), steps)


def _weighted(
    labels: torch.Tensor,
    counts: tuple[int, ...],
    power: float,
    size: int,
    generator: torch.Generator,
) -> Iterator[torch.Tensor]:
    """With replacement, image i with a weight of n_c^-power:
    first the class, n_c images of that weight, then one of its images.
    """
    there = torch.tensor(counts, dtype=torch.float64)
    weights = torch.where(there > 0, there ** (1 - power), 0.0)
    order, first = torch.argsort(labels, stable=True), torch.cumsum(there, 0) - there
    while True:
        classes = torch.multinomial(weights, size, replacement=True, generator=generator)
        place = torch.rand(size, generator=generator, dtype=torch.float64) * there[classes]
        yield order[(first[classes] + place.floor().clamp(max=there[classes] - 1)).to(torch.int64)]


def _class_aware(
    labels: torch.Tensor, size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Classes in turn in an order drawn anew for every turn,
    and in each class its images in turn.
    """

    def in_turn(members: torch.Tensor) -> Iterator[int]:
        while True:
            yield from members[torch.randperm(len(members), generator=generator)].tolist()

    present = torch.unique(labels)
    of = {int(c): in_turn((labels == c).nonzero()[:, 0]) for c in present}
    turn = in_turn(present)
    while True:
        yield torch.tensor([next(of[next(turn)]) for _ in range(size)])


def _curriculum(
    labels: torch.Tensor, groups: Groups, steps: int, size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """A stage for each group, among the images of the groups so far."""
    seen: list[int] = []
    for stage, classes in enumerate(groups.of.values()):
        seen += classes
        first, last = (steps * k // len(groups.of) for k in (stage, stage + 1))
        yield from _of(_members(labels, seen), last - first, size, generator)
