"""`genbench test-plugin`: the conformance suite on anybody's generator."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("plugin", metavar="NAME|FILE.py")
@click.option(
    "--dataset",
    "-d",
    default="digits",
    show_default=True,
    help="Whose classes the labels are, and whose recogniser judges them.",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the generator.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights of the generator.")
@click.option(
    "--trust",
    default="",
    metavar="SHA256",
    help="Run the program in the checkpoint with this SHA-256.",
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(plugin: str, with_files: tuple[Path, ...], as_json: bool, **words: Any) -> int:
    """Check that a generator does what its hooks promise.

    A line per check: pass, fail or skip, what came, the remedy. Exit 5 when one fails.
    """
    from genbench._util.console import answer
    from genbench._util.formatting import clean
    from genbench.api import _registry as registry
    from genbench.generators import conformance
    from genbench.generators.load import locate

    for file in with_files:
        registry.add_file(file)
    results = conformance.check(locate(plugin), **words)
    if as_json:
        answer(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False))
    else:
        answer(
            "\n".join(
                clean(
                    f"{r.verdict:4}  {r.check}: {r.came}" + (f" — {r.remedy}" if r.remedy else "")
                )
                for r in results
            )
        )
    return 5 if any(result.verdict == "fail" for result in results) else 0
