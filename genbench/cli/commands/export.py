"""`genbench export`: the samples of a run for other programs, or its numbers."""

from __future__ import annotations

import os
from pathlib import Path

import click

FORMS = ("folder", "zip", "npz", "adm", "parquet")
RESULTS = ("hf-results", "model-card", "gha-benchmark", "bmf", "csv", "latex")


@click.command()
@click.argument("run", required=False)
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(FORMS + RESULTS),
    help="Samples, or numbers: hf-results and what follows it.",
)
@click.option(
    "--out",
    "to",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="What to write. Default: samples-..., in this folder; numbers are printed.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--dataset-id",
    default="",
    metavar="OWNER/NAME",
    help="Of numbers: the data set's name where they go. Default: genbench's.",
)
@click.option(
    "--source-url", default="", metavar="URL", help="Of numbers: where the record can be read."
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(
    run: str | None,
    form: str,
    to: Path | None,
    runs: Path,
    dataset_id: str,
    source_url: str,
    quiet: bool,
) -> None:
    """Write the samples of a finished run, or its numbers, for other programs.

    RUN is a run folder, the beginning of an id, or nothing for the newest; of numbers an
    entry file too.

    Samples: folder and zip (PNG as StyleGAN's tools), adm (arr_0, arr_1), npz (images, labels),
    parquet. What is written is a data set (--dataset PATH) and a generator.

    Numbers, each with its interval and n: hf-results (Hugging Face's .eval_results/NAME.yaml),
    model-card (Markdown), gha-benchmark (github-action-benchmark; --out is a folder of a file to
    each direction), bmf (Bencher), csv, latex.

    \b
    genbench export --to zip
    genbench run --plugin images --checkpoint samples-d8f70eaa.zip --dataset digits
    genbench export --to hf-results --dataset-id me/digits --out .eval_results/digits.yaml
    """
    from genbench._util.console import answer
    from genbench._util.errors import UserError
    from genbench.leaderboards import export_results
    from genbench.runs import export_samples
    from genbench.runs.records.find import find

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    if form in RESULTS:
        answer(
            export_results.export(
                find(run, runs), form, to, export_results.Named(dataset_id, source_url)
            )
        )
        return
    for word, value in (("--dataset-id", dataset_id), ("--source-url", source_url)):
        if value:
            raise UserError(f"{word} belongs to numbers: --to {', '.join(RESULTS)}")
    path, name, count = export_samples.export(find(run, runs), form, to)
    answer(f"{path}: {count} images; as a data set {name}")
