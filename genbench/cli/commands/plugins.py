"""`genbench plugins`: the generators, and what one of them can do."""

from __future__ import annotations

import json
from typing import Any

import click

from genbench._util.console import answer
from genbench._util.formatting import fields, listing
from genbench.api import _registry as registry


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the generators, or show what one can do.

    The list imports none of them. NAME or FILE.py: abilities, options and their defaults, paper,
    licence, published weights.
    """
    if name is None:
        rows = [(one.name, one.origin) for one in registry.standing("generators").values()]
        answer(
            json.dumps([{"name": a, "origin": b} for a, b in rows], indent=1)
            if as_json
            else listing(rows)
        )
        return
    from genbench.generators.load import locate

    told = _told(locate(name))
    answer(
        json.dumps(told, indent=1, ensure_ascii=False, default=str)
        if as_json
        else fields(_lines(told))
    )


def _told(description: Any) -> dict[str, Any]:
    options = {
        o.name: {"default": o.default, "wanted": o.wanted, "help": o.help}
        for o in description.options.values()
    }
    doc = (description.target.__doc__ or "").strip().split("\n\n")[0]
    return {
        "name": description.name,
        "about": " ".join(doc.split()),
        "origin": description.origin,
        "abilities": {hook: list(arguments) for hook, arguments in description.abilities.items()},
        "options": options,
        **{
            name: value
            for name, value in description.attributes.items()
            if name != "classes" or not callable(value)
        },
    }


def _lines(told: dict[str, Any]) -> dict[str, Any]:
    """The same, a line each for people."""
    lines = {
        key: value
        for key, value in told.items()
        if key not in ("abilities", "options", "checkpoints", "holds")
    }
    lines |= {
        f"hook {hook}": ", ".join(arguments) or "no arguments"
        for hook, arguments in told["abilities"].items()
    }
    lines |= {
        f"option {name}": f"{o['default']} ({o['wanted']}) {o['help']}".rstrip()
        for name, o in told["options"].items()
    }
    lines |= {
        f"weights for {name}": ", ".join(f"{k} {v}" for k, v in entry.items())
        for name, entry in told.get("checkpoints", {}).items()
    }
    return {
        key: ", ".join(map(str, value)) if isinstance(value, tuple | list) else value
        for key, value in lines.items()
    }
