"""`genbench reference`: the statistics of real images as the file that other evaluators read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.shared_options import data_options
from genbench.io.reference_statistics import FORMS

if TYPE_CHECKING:
    from genbench.api.dataset import Dataset

# by form, the network and resize of the codes that read it
USUAL = {"mu-sigma": "inception-tf1", "adm": "inception-tf1", "clean-fid": "inception-clean"}
MOST = 2**31  # bytes of images in one file, which is made in memory: 10,000 of 256x256 go in


@click.command()
@click.argument("dataset", metavar="DATASET|PATH")
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="The file to write, .npz."
)
@click.option(
    "--form",
    default="mu-sigma",
    show_default=True,
    type=click.Choice(FORMS),
    help="mu-sigma: TTUR, pytorch-fid, EDM; adm: guided diffusion.",
)
@click.option(
    "--extractor",
    default="",
    metavar="NAME[.OUTPUT]",
    help="The features. Default: the form's, inception-tf1 or inception-clean.",
)
@click.option("--split", default="train", show_default=True, help="Of the data set.")
@click.option(
    "--images",
    type=int,
    default=10000,
    show_default=True,
    help="How many images go into the form adm, from the first.",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Weights of the extractor, from this file (genbench weights).",
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
    dataset: str,
    to: Path,
    form: str,
    extractor: str,
    split: str,
    images: int,
    weights: tuple[str, ...],
    device: str,
    with_files: tuple[Path, ...],
    quiet: bool,
) -> None:
    """Write mean and covariance of real images' features, for other evaluators and for
    genbench itself.

    \b
    genbench reference path/to/folder --to stats.npz
    genbench reference digits --extractor digits --split heldout --to digits.npz
    """
    from genbench._util.atomic_write import folder_to_write
    from genbench._util.console import answer, tell
    from genbench._util.did_you_mean import choices
    from genbench._util.errors import UserError
    from genbench._util.hashing import file_sha256
    from genbench.api import _registry as registry
    from genbench.data.user_datasets import dataset_of
    from genbench.features.reference_cache import features_of
    from genbench.generators.load import device_of
    from genbench.io.reference_statistics import write_statistics
    from genbench.statistics import moments as stats

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        registry.add_file(file)
    if to.suffix != ".npz" or to.is_dir():
        raise UserError(
            f"--to {to}: name a file that ends in .npz, by which other programs know it"
        )
    row = dataset_of(dataset)
    if split not in row.splits:
        raise UserError(
            f"--split {split}: {row.name} has no such split: {choices(split, row.splits)}"
        )
    name, outputs = _outputs(extractor or USUAL[form], form)
    kept = _images(row, split, images) if form == "adm" else None
    folder_to_write(to.parent, "--to")
    features = features_of(row, split, name, outputs, device_of(device), _weights(name, weights))
    n, d = features[outputs[0]].shape
    if n < 2:
        raise UserError(f"{row.name} has {n} image in {split}: a covariance wants at least 2")
    if n <= d:
        tell(
            f"{n} images are too few for {d} features: the covariance is singular, "
            "and distances from it are far too large"
        )
    moments = [stats.moments(features[output]) for output in outputs]
    write_statistics(to, form, moments[0], moments[1] if form == "adm" else None, kept)
    answer(
        f"{to}: {form} of {n} images of {row.name} {split}, {name}.{outputs[0]} [{d}], "
        f"SHA-256 {file_sha256(to)}"
    )


def _outputs(word: str, form: str) -> tuple[str, list[str]]:
    """The extractor and what is taken of it: pool unless another is named, or its first;
    for adm pool and spatial.
    """
    from genbench._util.did_you_mean import choices
    from genbench._util.errors import UserError
    from genbench._util.formatting import clean
    from genbench.api import _registry as registry

    name, _, output = word.partition(".")
    row = registry.find("extractors", name)
    if form == "adm":
        if output or not {"pool", "spatial"} <= set(row.outputs):
            raise UserError(
                f"--extractor {clean(word)}: the form adm holds pool and spatial features; "
                "choose an extractor with both, as inception-tf1"
            )
        return name, ["pool", "spatial"]
    output = output or ("pool" if "pool" in row.outputs else next(iter(row.outputs)))
    if output not in row.outputs:
        raise UserError(
            f"--extractor {clean(word)}: {name} has no output {clean(output)!r}: "
            f"{choices(output, row.outputs)}"
        )
    if not row.outputs[output]:
        raise UserError(
            f"--extractor {clean(word)}: {output} is as wide as the images make it, "
            "and has no covariance that could be kept"
        )
    return name, [output]


def _weights(name: str, words: tuple[str, ...]) -> str:
    """The weights file of an extractor, "" where it has none; fetched where it is missing."""
    from genbench.api import _registry as registry
    from genbench.api.validation import source_of
    from genbench.io import weights as found

    row = registry.find("extractors", name)
    named = found.words(words)
    found.known(named, [row.weights.name] if row.weights else [])
    return (
        str(found.need(row.weights, source_of(row.load).parent, named).path) if row.weights else ""
    )


def _images(row: Dataset, split: str, count: int) -> Any:
    """The first images of a split, uint8 [count, 3, h, w]; None where none are wanted."""
    from genbench._util.errors import UserError
    from genbench._util.lazy_imports import torch

    parts: list[Any] = []
    for images, _ in row.open(split):
        there = sum(map(len, parts))
        if there >= count:
            break
        parts.append(images[: count - there])
        size = images[0].numel() * min(count, row.splits[split])
        if size > MOST:
            raise UserError(
                f"--images {count}: {size / 2**30:.1f} GB of images do not go into one file; "
                f"take fewer, as --images {MOST // images[0].numel()}"
            )
    return torch.cat(parts).numpy() if parts else None
