"""TOML from strangers as plain data; whatever is wrong with it is a ValueError."""

from __future__ import annotations

import tomllib
from typing import Any

DEEPEST = 64  # tables and lists in one another
# in a line: Python's parser takes the square of a dotted key's length, ten seconds for 20,000
POINTS = 200
# of a whole number, as TOML has it: Python's parser takes any, and then cannot say it in decimals
BITS = 63


def loads(data: bytes) -> dict[str, Any]:
    """The content of a file, UTF-8; ValueError in a line."""
    if max(line.count(b".") for line in data.split(b"\n")) > POINTS:
        raise ValueError(f"a line of it has more than {POINTS} points")
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    waiting: list[tuple[Any, int]] = [(content, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, int) and one.bit_length() > BITS:
            raise ValueError(f"a whole number in it has {one.bit_length()} bits, more than {BITS}")
        if isinstance(one, dict | list):
            if depth > DEEPEST:
                raise ValueError("it is nested too deep")
            waiting += [
                (inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)
            ]
    return content
