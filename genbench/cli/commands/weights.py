"""`genbench weights`: the files that networks need, where they are looked for,
and what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from genbench._util.console import answer, tell
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import fields, table
from genbench.api import extractor
from genbench.features import extractor_identity
from genbench.io import weights


class Words(click.Group):
    """`genbench weights NAME` shows one, as every listing does."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group(
    cls=Words,
    invoke_without_command=True,
    subcommand_metavar="[NAME | fetch NAME... | verify [NAME...]]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the weights that networks need, fetch or verify them, or show one NAME.

    They are looked for in the files of --weights NAME=PATH, in $GENBENCH_WEIGHTS and in the cache,
    and fetched when a run needs them.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = [_plain(*one) for one in extractor_identity.all_weights().values()]
    if as_json:
        answer(
            json.dumps(
                {"folders": [str(folder) for _, folder in weights.folders()], "weights": found},
                indent=1,
                ensure_ascii=False,
            )
        )
        return
    lines = [line for one in found for line in _lines(one)]
    answer(table(("weights", "for", "file", "SHA-256", "licence", "present", "MB"), lines, left=6))
    tell(
        f"looked for in {', '.join(str(folder) for _, folder in weights.folders())}; "
        "genbench weights NAME: everything about one"
    )


@command.command(hidden=True)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Everything about one."""
    one = _plain(*_chosen((name,))[0])
    if as_json:
        answer(json.dumps(one, indent=1, ensure_ascii=False))
        return
    said = {
        key: ", ".join(value) if isinstance(value, list) else value
        for key, value in one.items()
        if key != "files"
    }
    for file in one["files"]:
        said[file["file"]] = "; ".join(
            f"{key} {value}" for key, value in file.items() if key != "file" and value
        )
    answer(fields(said))


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def fetch(names: tuple[str, ...]) -> None:
    """Download the weights of these names, where they are missing."""
    for row, beside, _ in _chosen(names):
        found = weights.need(row, beside, {})
        answer(f"{row.name}  {found.path}  {found.sha256}")


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Hash everything that is present again; exit status 2 where a file is not what it
    should be.
    """
    found = []
    for row, beside, _ in _chosen(names):
        there = list(weights.present(row, beside, again=True))
        for one in there:
            state = ("ok" if one.wanted else "no hash known") if one.right else "wrong"
            found.append(
                {
                    "name": row.name,
                    "state": state,
                    "path": str(one.path),
                    "sha256": one.sha256,
                    "wanted": one.wanted,
                }
            )
        if not there:
            found.append(
                {
                    "name": row.name,
                    "state": "missing",
                    "path": "",
                    "sha256": "",
                    "wanted": weights.wanted(row.files[0]),
                }
            )
    if as_json:
        answer(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        lines = [(one["name"], one["state"], one["path"], _hashes(one)) for one in found]
        answer(table(("weights", "state", "file", "SHA-256"), lines, left=4))
    return 2 if any(one["state"] == "wrong" for one in found) else 0


def _hashes(one: dict[str, str]) -> str:
    return (
        f"{one['sha256']} instead of {one['wanted']}"
        if one["state"] == "wrong"
        else one["sha256"][:12]
    )


def _chosen(names: tuple[str, ...]) -> list[tuple[extractor.Weights, Path, list[str]]]:
    """Those of these names; all of them where none is named."""
    there = extractor_identity.all_weights()
    for name in names:
        if name not in there:
            raise UserError(f"unknown weights {name!r}: {choices(name, there)}")
    return [there[name] for name in names or there]


def _plain(row: extractor.Weights, beside: Path, needing: list[str]) -> dict[str, Any]:
    """Weights as plain data, with the state of each file: "" where it is missing, else the place,
    with "wrong" before it where its hash is not the row's.
    """
    state: dict[str, tuple[str, str]] = {}
    for one in weights.present(row, beside):
        state.setdefault(
            one.file.file, (one.where if one.right else f"wrong, {one.where}", str(one.path))
        )
    files = []
    for file in row.files:
        where, path = state.get(file.file, ("", ""))
        files.append({**asdict(file), "wanted": weights.wanted(file), "state": where, "path": path})
    return {"name": row.name, "extractors": needing, "licence": row.licence, "files": files}


def _lines(one: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line of the table for each file; what holds for all of them stands in the first."""
    said = [
        (one["name"], ", ".join(one["extractors"]), re.split("[;(,]", one["licence"])[0].strip())
    ] + [("", "", "")] * len(one["files"])
    for (name, needing, licence), file in zip(said, one["files"], strict=False):
        size = f"{file['bytes'] / 1e6:.1f}" if file["bytes"] else "?"
        yield (
            name,
            needing,
            file["file"],
            file["wanted"][:12] or "first seen",
            licence,
            file["state"] or "-",
            size,
        )
