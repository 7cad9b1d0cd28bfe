"""`genbench metrics`: the numbers."""

from __future__ import annotations

import click

from genbench.api import _registry as registry
from genbench.cli.listings import show_shelf


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the metrics, or show one.

    A metric can be taken in any feature space (fd_digits); the published names beside them (fid)
    fix the space and the constants.
    Those of reconstructions (rfid, psnr, ssim, lpips_reconstruction) are taken of generators with
    the hook reconstruct.
    """
    if name is not None:
        show_shelf(
            "measures"
            if name in registry.standing("measures") and name not in registry.standing("metrics")
            else "metrics",
            name,
            as_json,
        )
        return
    show_shelf(("metrics", "measures"), None, as_json)
