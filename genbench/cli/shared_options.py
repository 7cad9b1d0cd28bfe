"""The words that several commands share.

Those about real images travel as environment variables, so that every process of a run
hears of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from genbench._util.errors import UserError
from genbench.data import prompts, published_datasets
from genbench.io import image_decoding


def _kept_as(variable: str) -> Any:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            os.environ[variable] = str(value)

    return keep


def data_options(command: Any) -> Any:
    """--data-root and --on-bad-image; the command itself is not told of them."""
    root = (
        f"Where published data sets lie. Default: ${published_datasets.VARIABLE}, "
        "else data/ in the cache."
    )
    bad = (
        "What to do with a picture that is damaged or not 8-bit RGB or grey: error names it, "
        "skip leaves it out and counts it. [default: error]"
    )
    place = click.Path(path_type=Path)
    command = click.option(
        "--data-root",
        type=place,
        expose_value=False,
        callback=_kept_as(published_datasets.VARIABLE),
        metavar="FOLDER",
        help=root,
    )(command)
    policies = click.Choice(image_decoding.POLICIES)
    return click.option(
        "--on-bad-image",
        type=policies,
        expose_value=False,
        callback=_kept_as(image_decoding.VARIABLE),
        help=bad,
    )(command)


def prompt_options(command: Any) -> Any:
    """--prompts, --prompt-column and --template, the fields of a request."""
    file = "Prompts, .txt, .jsonl, .csv or .tsv: image i has prompt i mod their number."
    column = "The column, or key, of the prompts in their file."
    template = "Prompts of class names, where no file is given."
    command = click.option(
        "--template", default=prompts.TEMPLATE, show_default=True, metavar="TEXT", help=template
    )(command)
    command = click.option(
        "--prompt-column", default=prompts.COLUMN, show_default=True, metavar="NAME", help=column
    )(command)
    return click.option("--prompts", type=click.Path(path_type=Path), metavar="FILE", help=file)(
        command
    )


def share() -> str:
    """K/N of --shard auto: this process's place among those that a launcher has started;
    UserError where none has.
    """
    there = os.environ
    if "RANK" in there and "WORLD_SIZE" in there:  # torchrun
        return f"{int(there['RANK']) + 1}/{there['WORLD_SIZE']}"
    if "SLURM_ARRAY_TASK_ID" in there and "SLURM_ARRAY_TASK_COUNT" in there:
        first, step = (
            int(there.get(f"SLURM_ARRAY_TASK_{name}", usual))
            for name, usual in (("MIN", "0"), ("STEP", "1"))
        )
        return (
            f"{(int(there['SLURM_ARRAY_TASK_ID']) - first) // max(step, 1) + 1}/"
            f"{there['SLURM_ARRAY_TASK_COUNT']}"
        )
    if "SLURM_PROCID" in there and "SLURM_NTASKS" in there:
        return f"{int(there['SLURM_PROCID']) + 1}/{there['SLURM_NTASKS']}"
    raise UserError(
        "--shard auto: neither torchrun (RANK, WORLD_SIZE) nor SLURM (SLURM_ARRAY_TASK_ID, "
        "SLURM_PROCID) has started this; write --shard K/N"
    )
