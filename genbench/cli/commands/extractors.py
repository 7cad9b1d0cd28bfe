"""`genbench extractors`: the networks that turn images into features."""

from __future__ import annotations

import click

from genbench.cli.listings import show_shelf


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the feature networks, or show one."""
    show_shelf("extractors", name, as_json)
