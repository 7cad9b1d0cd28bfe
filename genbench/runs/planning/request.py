"""Request: what a user asks of a run, before anything is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.data.prompts import COLUMN, TEMPLATE


@dataclass(frozen=True)
class Request:
    """The words of the user about one run."""

    dataset: str = "digits"
    protocols: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    n: int | None = None
    seed: int = 0
    seeds: str = ""
    labels: str = ""
    options: tuple[str, ...] = ()
    checkpoint: Path | None = None
    trust: str = ""
    batch_size: int | str = 50  # or "auto"
    memory_cap: float | None = None  # GB, for "auto"
    device: str = "auto"
    save_samples: bool = False
    weights: tuple[str, ...] = ()
    reference: Path | None = None
    feature_precision: str = "float32"
    prompts: Path | None = None
    prompt_column: str = COLUMN
    template: str = TEMPLATE
    method: str = ""
    plugin: str = ""  # the generator's word; "" of one in memory
    workers: int | None = None  # processes that draw; None: as many as the engine has
    on: str = ""  # the engine, NAME or NAME://ADDRESS
    on_options: tuple[str, ...] = ()
    partition: str = ""
    shard_timeout: float | None = None  # seconds
    shard: str = ""  # K/N: a share of the run, drawn and not scored

    def __post_init__(self) -> None:
        _positive(1 if self.workers is None else self.workers, "--workers")
        if self.shard_timeout is not None and not 0 < self.shard_timeout < 1e9:
            raise UserError(f"--shard-timeout {self.shard_timeout}: seconds, more than 0")
        if (self.partition or self.on_options) and not self.on:
            raise UserError(
                "--partition and --on-option are words to an engine: name it too, as in --on slurm"
            )
        if self.shard and (self.on or self.shard_timeout):
            raise UserError(
                "--shard draws in this process: leave out --on and --shard-timeout, or --shard"
            )
        divided(self.shard or "1/1")


def _positive(value: int, word: str) -> int:
    if value < 1:
        raise UserError(f"{word} {value}: at least 1")
    return value


def divided(word: str) -> tuple[int, int]:
    """K and N of --shard K/N, 1 <= K <= N."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", word)
    place, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= place <= of:
        raise UserError(
            f"--shard {clean(word)}: write K/N, from 1/N to N/N, or auto, which reads torchrun's "
            "or SLURM's variables"
        )
    return place, of
