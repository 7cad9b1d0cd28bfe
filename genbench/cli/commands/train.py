"""`genbench train`: train a generator through its hook and write the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genbench.cli.shared_options import data_options


@click.command()
@click.option("--plugin", "-p", required=True, metavar="NAME|FILE.py", help="The generator.")
@click.option(
    "--dataset",
    "-d",
    default="digits",
    show_default=True,
    help="The real images; their train split is used.",
)
@click.option(
    "--imbalance",
    default="",
    metavar="RATIO",
    help="Cut the train split to a long tail: 100, as in cifar10-lt.",
)
@click.option(
    "--class-order",
    default="",
    metavar="ORDER",
    help="Which class is its head: index, reversed, size, or a seed.",
)
@click.option("--imbalance-kind", default="", metavar="KIND", help="exp (the default) or step.")
@click.option(
    "--out",
    "-O",
    required=True,
    type=click.Path(path_type=Path),
    help="The checkpoint to write, .safetensors.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Begin with these weights (fine-tuning); their hash is recorded as the parent.",
)
@click.option(
    "--epochs",
    type=int,
    help=(
        "Passes over the train split. Default: the generator's, in as many steps as on "
        "the whole split."
    ),
)
@click.option("--steps", type=int, help="Batches in all, in place of --epochs.")
@click.option(
    "--every",
    type=int,
    metavar="STEPS",
    help="Write a checkpoint after each so many steps too, NAME-STEP.safetensors (genbench track).",
)
@click.option("--batch-size", type=int, help="Images to a step. Default: the generator's.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of the initial weights, the order of the images and all noise.",
)
@click.option(
    "--tail",
    "mode",
    default="natural",
    show_default=True,
    metavar="MODE",
    help="What is done for rare classes: drop, oversample or staged.",
)
@click.option(
    "--min-count",
    type=int,
    help="With --tail drop: classes of fewer images are left out. [default: 20]",
)
@click.option(
    "--power",
    type=float,
    help=(
        "With --tail oversample: weight n_c^-q of an image; 1 balances, 0.5 is the square "
        "root. [default: 1]"
    ),
)
@click.option(
    "--stages",
    metavar="KIND",
    help=(
        "With --tail staged: deferred (the last fifth class-aware) or curriculum. "
        "[default: deferred]"
    ),
)
@click.option(
    "--augment",
    default="",
    metavar="KIND",
    help="diffaug (GANs) or karras (diffusion), where the generator can.",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the generator.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@data_options
def command(
    plugin: str,
    dataset: str,
    quiet: bool,
    options: tuple[str, ...],
    with_files: tuple[Path, ...],
    **words: Any,
) -> None:
    """Train a generator and write its checkpoint.

    It sees the train split; `genbench run --checkpoint` reads what this writes.

    \b
    genbench train --plugin ddpm --dataset digits --out ckpt.safetensors
    genbench train --plugin ddpm --imbalance 50 --tail oversample --power 0.5 --out ckpt.safetensors
    """
    import os

    from genbench._util.console import answer
    from genbench._util.errors import UserError
    from genbench.api import _registry as registry
    from genbench.data import long_tail
    from genbench.generators.training import train
    from genbench.generators.training.long_tail_sampling import Tail

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        registry.add_file(file)
    word = long_tail.worded(
        dataset, *(words.pop(name) for name in ("imbalance", "class_order", "imbalance_kind"))
    )
    mode = words.pop("mode")
    own = {"min_count": "drop", "power": "oversample", "stages": "staged"}
    given = {name: value for name in own if (value := words.pop(name)) is not None}
    for name in given:
        if own[name] != mode:
            raise UserError(
                f"--{name.replace('_', '-')} belongs to --tail {own[name]}, and --tail is {mode}"
            )
    answer(
        train.train(
            plugin, train.Training(word, options=options, tail=Tail(mode, **given), **words)
        )
    )
