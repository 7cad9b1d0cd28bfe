"""List every combination of the option values of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from genbench._util.errors import UserError
from genbench._util.formatting import clean

MOST = 200  # points of a grid


def grid(words: Sequence[str]) -> tuple[dict[str, list[str]], list[tuple[str, ...]]]:
    """The values of each option, from words `name=a,b,c` (or repeated),
    and every combination as words of -o, the first option moving slowest.
    """
    values: dict[str, list[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not all(part.strip() for part in text.split(",")):
            raise UserError(f"-o {clean(word)}: write it as name=value,value,...")
        values.setdefault(name, []).extend(part.strip() for part in text.split(","))
    for name, parts in values.items():
        if len(set(parts)) < len(parts):
            raise UserError(f"-o {clean(name)}={clean(','.join(parts))} names a value twice")
    if not any(len(parts) > 1 for parts in values.values()):
        raise UserError("a sweep needs an option of at least two values: -o truncation=0.5,0.7,1.0")
    points = [
        tuple(f"{name}={value}" for name, value in zip(values, point, strict=True))
        for point in itertools.product(*values.values())
    ]
    if len(points) > MOST:
        raise UserError(f"{len(points)} combinations are more than {MOST}; name fewer values")
    return values, points
