"""Engine: the row of one way to have a run's shards computed elsewhere,
a file each on the shelf genbench/engines.

A shard is a file that any process may make, in any order and as often as it likes: the same bytes
on one kind of device. So an engine only has to call functions somewhere; what it loses is asked
of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.lazy_imports import torch
from genbench.api.validation import RowError

if TYPE_CHECKING:
    from concurrent.futures import Executor


@dataclass(frozen=True)
class Wanted:
    """What a run wants of an engine."""

    pieces: int  # how many calls will be submitted
    workers: int | None = None  # how many at once; None: as the engine is used to
    device: str = "cpu"  # or "cuda"
    address: str = ""  # what --on says after NAME://
    folder: Path = field(default_factory=Path)  # for what the engine writes
    options: Mapping[str, str] = field(default_factory=dict)  # of --on-option, their names checked


@dataclass(frozen=True)
class Engine:
    """Where shards are computed.

    start(wanted) returns a concurrent.futures.Executor, of which submit and shutdown are called.
    Functions and arguments are of this package or plain data, so pickle suffices; they return what
    went wrong in place of raising it. An exception of a future means that its worker died.
    shutdown(wait=False) stops at once what is being computed.
    """

    name: str  # of --on
    title: str
    start: Callable[[Wanted], Executor]
    workers: Callable[[Wanted], int]  # how many of them work at once
    # calls to a worker, each of several shards; 0: one call a shard, for engines whose workers keep
    # what they loaded
    pieces: int = 0
    options: Mapping[str, str] = field(default_factory=dict)  # of --on-option: name -> what it is

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name.islower() and self.name.isascii()):
            raise RowError(
                f"Engine {self.name!r}: its name may hold lower-case letters, digits and '_'"
            )
        if not (
            self.title and callable(self.start) and callable(self.workers) and self.pieces >= 0
        ):
            raise RowError(
                f"Engine {self.name!r}: wants a title and functions start(wanted) and "
                "workers(wanted)"
            )


def options_of(engine: Engine, words: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE of --on-option as {name: value}; UserError for a name that the engine
    does not know.
    """
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if name not in engine.options:
            raise UserError(
                f"--on {engine.name}: {word!r} is no option NAME=VALUE of it; "
                f"{choices(name, engine.options)}"
            )
        if not sign:
            raise UserError(
                f"--on {engine.name}: --on-option {name} wants a value: {name}=VALUE, "
                f"{engine.options[name]}"
            )
        found[name] = value
    return found


def whole(wanted: Wanted, name: str, least: int = 1) -> int | None:
    """An option that is a whole number, or None where it was not given."""
    word = wanted.options.get(name)
    if word is None:
        return None
    if not (word.isascii() and word.isdigit() and least <= int(word) < 1_000_000):
        raise UserError(f"--on-option {name}={word}: a whole number from {least} on")
    return int(word)


def take_gpu(device: str, place: int) -> None:
    """Let "cuda" mean the GPU of this place among the processes of a machine."""
    if device == "cuda":
        torch.cuda.set_device(place % torch.cuda.device_count())
