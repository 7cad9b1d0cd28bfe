"""`genbench baseline`: records that candidates are held against, a few kB each, for git."""

from __future__ import annotations

from pathlib import Path

import click

BASELINES = click.option(
    "--baselines",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    help="The folder of saved baselines.",
)


@click.group()
def command() -> None:
    """Save and list baselines of `genbench check`."""


@command.command()
@click.argument("run", required=False)
@click.option("--name", default="main", show_default=True, help="The baseline's name.")
@click.option("--force", is_flag=True, help="Replace a baseline of that name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@BASELINES
def save(run: str | None, name: str, force: bool, out: Path, baselines: Path) -> None:
    """Save a finished run as a baseline: its record alone, without images or features.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest.
    """
    from genbench._util.console import answer
    from genbench.gate.baselines import save as keep
    from genbench.per_class.record_scores import with_classes
    from genbench.runs.records.find import find

    path = keep(with_classes(find(run, out)), name, baselines, force=force)
    answer(f"{path}: {path.stat().st_size} bytes")


@command.command("list")
@BASELINES
def listing(baselines: Path) -> None:
    """The baselines that are here."""
    from genbench._util.console import answer
    from genbench.gate.baselines import listed

    answer(listed(baselines))
