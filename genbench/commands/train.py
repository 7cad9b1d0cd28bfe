"""`genbench train`: train a generator through its hook and write the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--plugin", "-p", required=True, metavar="NAME|FILE.py", help="The generator.")
@click.option("--dataset", "-d", default="digits", show_default=True, help="The real images; their train split is used.")
@click.option("--out", "-O", required=True, type=click.Path(path_type=Path), help="The checkpoint to write, .safetensors.")
@click.option("--init", type=click.Path(path_type=Path), help="Begin with these weights (fine-tuning); their hash is recorded as the parent.")
@click.option("--epochs", type=int, help="Passes over the train split. Default: the generator's.")
@click.option("--batch-size", type=int, help="Images to a step. Default: the generator's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the initial weights, the order of the images and all noise.")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the generator.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--with", "with_files", multiple=True, type=click.Path(path_type=Path), metavar="FILE.py", help="A file with rows of your own.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(plugin: str, quiet: bool, options: tuple[str, ...], with_files: tuple[Path, ...], **words: Any) -> None:
    """Train a generator and write its checkpoint.

    It sees the train split; `genbench run --checkpoint` reads what this writes.

    \b
    genbench train --plugin ddpm --dataset digits --out ckpt.safetensors
    """
    import os

    from genbench import shelves, train
    from genbench.say import answer

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        shelves.add_file(file)
    answer(train.train(plugin, train.Training(options=options, **words)))
