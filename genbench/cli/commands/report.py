"""`genbench report`: finished runs as one HTML page that loads nothing."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Weights that a run named, to draw from again.",
)
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
def command(
    runs: tuple[str, ...],
    output: Path,
    checkpoints: tuple[Path, ...],
    with_files: tuple[Path, ...],
    out: Path,
) -> None:
    """Write finished runs as one HTML page: verdict, numbers, samples, classes, curves, copies,
    worst samples, provenance.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest; several
    stand side by side, each with a letter and a colour. The page loads nothing and needs no script;
    the same runs give the same bytes. What cannot be shown says why in its place.

    \b
    genbench run --plugin ddpm --dataset digits
    genbench report -o report.html
    """
    from genbench._util.atomic_write import folder_to_write, write
    from genbench._util.console import answer, complain, tell
    from genbench.api import _registry as registry
    from genbench.report import html_page, run_data
    from genbench.runs.records.find import find
    from genbench.runs.sampling.setup import deterministic

    for file in with_files:
        registry.add_file(file)
    found = run_data.runs_of([find(word, out) for word in runs] or [find(None, out)], checkpoints)
    folder_to_write(output.parent, "-o")
    with deterministic():
        page = html_page.written(found, complain)
    write(output, page)
    tell(f"{len(found)} run{'s' if len(found) > 1 else ''}, {len(page) / 1e6:.2f} MB")
    answer(str(output))
