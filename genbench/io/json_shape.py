"""What plain data from a file must be: kinds, each with the paths where it is wanted.

"*" is every key or item; what is not there is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS: dict[str, tuple[type, ...]] = {
    "a text": (str,),
    "a whole number": (int,),
    "a number": (int, float),
    "true or false": (bool,),
    "a table": (dict,),
    "a list": (list, tuple),
}
HERE = ""  # in a tree, the kind of what the path so far leads to


def tree(kinds: Mapping[str, str]) -> dict[str, Any]:
    """Rows of kind -> paths, apart by blanks, as a tree of keys;
    "?" after a kind lets null pass.
    """
    made: dict[str, Any] = {}
    for kind, paths in kinds.items():
        for path in paths.split():
            below = made
            for key in path.split("."):
                below = below.setdefault(key, {})
            below[HERE] = kind
    return made


def wrong(found: Any, shape: Mapping[str, Any], at: str = "") -> str:
    """What is of another kind than a shape's tree says, in words; "" where nothing is."""
    kind = shape.get(HERE)
    if kind and not _is(found, kind):
        return f"{at} is not {kind.removesuffix('?')}"
    inner: Any = (
        found
        if isinstance(found, dict)
        else dict(enumerate(found))
        if isinstance(found, list | tuple)
        else {}
    )
    for key, below in shape.items():
        for one in inner if key == "*" else [key] if key != HERE and key in inner else []:
            if why := wrong(inner[one], below, f"{at}.{one}" if at else str(one)):
                return why
    return ""


def _is(found: Any, kind: str) -> bool:
    if found is None:
        return kind.endswith("?")
    kind = kind.removesuffix("?")
    return isinstance(found, KINDS[kind]) and (type(found) is not bool or kind == "true or false")
