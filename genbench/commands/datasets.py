"""`genbench datasets`: the real images that generators are held against."""

from __future__ import annotations

import click

from genbench.listings import show_shelf


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the real images, or show one set."""
    show_shelf("datasets", name, as_json)
