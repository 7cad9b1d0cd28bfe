"""`genbench export`: the samples of a run for other programs."""

from __future__ import annotations

import os
from pathlib import Path

import click

FORMS = ("folder", "zip", "npz", "adm", "parquet")


@click.command()
@click.argument("run", required=False)
@click.option("--to", "form", required=True, type=click.Choice(FORMS), help="folder, zip: PNG as StyleGAN's tools; adm: arr_0, arr_1; npz: images, labels.")
@click.option("--out", "to", type=click.Path(path_type=Path), metavar="PATH", help="What to write. Default: samples-..., in this folder.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of run folders.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(run: str | None, form: str, to: Path | None, runs: Path, quiet: bool) -> None:
    """Write the samples of a finished run as a folder, zip, npz or parquet file.

    RUN is a run folder, the beginning of an id, or nothing for the newest. What is written is a data set (--dataset PATH) and a generator.

    \b
    genbench export --to zip
    genbench run --plugin images --checkpoint samples-d8f70eaa.zip --dataset digits
    """
    from genbench import exports
    from genbench.record import find
    from genbench.say import answer

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    path, name, count = exports.export(find(run, runs), form, to)
    answer(f"{path}: {count} images; as a data set {name}")
