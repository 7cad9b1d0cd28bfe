"""What plain data from a file must be, as rows of a path and a kind; "*" stands for every key or item there, and what is not there is not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KINDS: dict[str, tuple[type, ...]] = {
    "a text": (str,),
    "a whole number": (int,),
    "a number": (int, float),
    "true or false": (bool,),
    "a table": (dict,),
    "a list": (list, tuple),
}


def wrong(content: Any, rows: Mapping[str, str]) -> str:
    """What is of another kind than a row says, in a line; "" where nothing is. A kind that ends in "?" lets null pass."""
    for path, kind in rows.items():
        for found, at in _at(content, path.split("."), ""):
            if not (kind.endswith("?") and found is None) and not _is(found, kind.removesuffix("?")):
                return f"{at} is not {kind.removesuffix('?')}"
    return ""


def _is(found: Any, kind: str) -> bool:
    return isinstance(found, KINDS[kind]) and (type(found) is not bool or kind == "true or false")


def _at(content: Any, keys: list[str], at: str) -> Iterator[tuple[Any, str]]:
    """(value, its path) of everything on a path of keys."""
    if not keys:
        yield content, at
        return
    inner: Mapping[Any, Any] = content if isinstance(content, Mapping) else dict(enumerate(content)) if isinstance(content, list | tuple) else {}
    for key in inner if keys[0] == "*" else [key for key in keys[:1] if key in inner]:
        yield from _at(inner[key], keys[1:], f"{at}.{key}" if at else str(key))
