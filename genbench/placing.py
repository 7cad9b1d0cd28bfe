"""The words that several commands share. Those about real images travel as environment variables, so that every process of a run hears of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from genbench import decoding, named, prompts


def _kept_as(variable: str) -> Any:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            os.environ[variable] = str(value)

    return keep


def data_options(command: Any) -> Any:
    """--data-root and --on-bad-image; the command itself is not told of them."""
    root = f"Where published data sets lie. Default: ${named.VARIABLE}, else data/ in the cache."
    bad = "What to do with a picture that is damaged or not 8-bit RGB or grey: error names it, skip leaves it out and counts it. [default: error]"
    place = click.Path(path_type=Path)
    command = click.option("--data-root", type=place, expose_value=False, callback=_kept_as(named.VARIABLE), metavar="FOLDER", help=root)(command)
    policies = click.Choice(decoding.POLICIES)
    return click.option("--on-bad-image", type=policies, expose_value=False, callback=_kept_as(decoding.VARIABLE), help=bad)(command)


def prompt_options(command: Any) -> Any:
    """--prompts, --prompt-column and --template, the fields of a request."""
    file = "Prompts, .txt, .jsonl, .csv or .tsv: image i has prompt i mod their number."
    column = "The column, or key, of the prompts in their file."
    template = "Prompts of class names, where no file is given."
    command = click.option("--template", default=prompts.TEMPLATE, show_default=True, metavar="TEXT", help=template)(command)
    command = click.option("--prompt-column", default=prompts.COLUMN, show_default=True, metavar="NAME", help=column)(command)
    return click.option("--prompts", type=click.Path(path_type=Path), metavar="FILE", help=file)(command)
