"""How a shelf and the rows on it are shown: every listing command asks here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Any

from genbench._util.console import answer
from genbench._util.formatting import fields, listing
from genbench.api import _registry as registry


def show_shelf(shelf: str | tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Print the names on a shelf, or on several, with what they are,
    or everything about one row.
    """
    ones = (shelf,) if isinstance(shelf, str) else shelf
    if name is not None:
        row = plain(registry.find(ones[0], name))
        answer(
            json.dumps(row, indent=1, ensure_ascii=False) if as_json else fields(dict(_lines(row)))
        )
        return
    rows = [
        (one.name, getattr(one.target, "title", ""), one.origin)
        for kind in ones
        for one in registry.standing(kind).values()
    ]
    if as_json:
        answer(
            json.dumps(
                [{"name": a, "title": b, "origin": c} for a, b, c in rows],
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        answer(listing((a, b if c == "built in" else f"{b} ({c})".strip()) for a, b, c in rows))


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A row's fields in a line each; a list of rows (a protocol's measures, the published numbers)
    in a line per row, by its name or its number.
    """
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from (
                (f"{key} {item.get('name', i)}", words(_said(item)))
                for i, item in enumerate(value, 1)
            )
        else:
            yield key, words(value)


def _said(item: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row in a list that say something: not its name, which stands before,
    nor a 0 for "all", a false, the usual precision.
    """
    return {
        key: value for key, value in item.items() if key != "name" and value not in (0, "float64")
    }


def plain(value: Any) -> Any:
    """A row as plain data; its functions as module and name, so that a reader finds the formula."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclass_fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, range):
        return f"{value.start} to {value.stop - 1}"
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    return f"{value.__module__}:{value.__qualname__}" if callable(value) else value


def words(value: Any) -> str:
    """Plain data in a line."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {words(item)}" for key, item in value.items() if item not in ("", None, {}, [])
        )
    if isinstance(value, list):
        return ", ".join(words(item) for item in value)
    return "" if value is None else str(value)
