"""Prompts: read from a file or made of class names; which image has which,
and in which block it lies.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

TEMPLATE = "a photo of a {class}"
PLACE = "{class}"
COLUMN = "prompt"
LARGEST_FILE, LONGEST = 2**27, 2**14  # bytes of a file, characters of a prompt
APART = 7  # see blocks


def read(path: Path, column: str = COLUMN) -> tuple[str, ...]:
    """The prompts of a file in their order; UserError with the number of the line for
    whatever is wrong.

    .txt: one to a line, blank lines are none; .jsonl: an object to a line with the key `column`;
    .csv, .tsv: with that column. UTF-8. An empty prompt can be said in .jsonl and .csv alone.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"--prompts {clean(str(path))}: a name that ends in {', '.join(READERS)}")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(
                f"--prompts {path} has more than {LARGEST_FILE >> 20} MB; it is no list of prompts"
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"--prompts {clean(str(path))}: {error.strerror or error}") from None
    found = []
    for line, prompt in reader(_text(path, data), path, column):
        if not isinstance(prompt, str) or len(prompt) > LONGEST or "\0" in prompt:
            raise _wrong(
                path,
                line,
                f"{clean(repr(prompt))[:60]} is no prompt: a text of up to {LONGEST} characters",
            )
        found.append(prompt)
    if not found:
        raise UserError(f"--prompts {path} has no prompts")
    return tuple(found)


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(
            path, data[: error.start].count(b"\n") + 1, "is not UTF-8; save it as UTF-8"
        ) from None


def _wrong(path: Path, line: int, why: str) -> UserError:
    return UserError(f"--prompts {path}, line {line}: {why}")


def _plain(text: str, path: Path, column: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def _json_lines(text: str, path: Path, column: str) -> Iterator[tuple[int, Any]]:
    for number, line in _plain(text, path, column):
        try:
            one = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, number, f"is no JSON ({clean(str(error))[:80]})") from None
        if not isinstance(one, dict) or column not in one:
            came = (
                f"has {', '.join(map(clean, list(one)[:8])) or 'nothing'}"
                if isinstance(one, dict)
                else "is no object"
            )
            raise _wrong(
                path,
                number,
                f"{came}; wanted is the key {clean(column)!r}, or --prompt-column NAME",
            )
        yield number, one[column]


def _columns(apart: str) -> Callable[[str, Path, str], Iterator[tuple[int, str]]]:
    def rows(text: str, path: Path, column: str) -> Iterator[tuple[int, str]]:
        # splitlines would cut at U+2028 and its like
        table = csv.reader(io.StringIO(text, newline=""), delimiter=apart, strict=True)
        try:
            head = next(table, [])
            if column not in head:
                raise _wrong(
                    path,
                    1,
                    (
                        f"has the columns {', '.join(map(clean, head[:8])) or 'none'}; say which: "
                        "--prompt-column NAME"
                    ),
                )
            place = head.index(column)
            for row in table:
                if len(row) != len(head) and row:
                    raise _wrong(
                        path, table.line_num, f"has {len(row)} columns, the first line {len(head)}"
                    )
                if row:
                    yield table.line_num, row[place]
        except csv.Error as error:
            raise _wrong(path, table.line_num, f"cannot be read: {clean(str(error))}") from None

    return rows


READERS: dict[str, Callable[[str, Path, str], Iterator[tuple[int, Any]]]] = {
    ".txt": _plain,
    ".jsonl": _json_lines,
    ".csv": _columns(","),
    ".tsv": _columns("\t"),
}


def of_classes(template: str, classes: Sequence[str]) -> tuple[str, ...]:
    """A prompt for each class: its name in the template."""
    if PLACE not in template:
        raise UserError(
            f"--template {clean(template)!r} does not say where the class's name goes: {TEMPLATE!r}"
        )
    return tuple(template.replace(PLACE, name) for name in classes)


def places(n: int, count: int) -> ndarray[Any, Any]:
    """The prompt of each image int64 [n]: image i has prompt i mod count."""
    return np.arange(n, dtype=np.int64) % count


def blocks(n: int, count: int, of: int) -> ndarray[Any, Any]:
    """The block of each image, int64 [n] in 0 .. of - 1: the k-th of prompt p lies in block k + 7
    p, modulo `of`.

    The images of one prompt are spread over all blocks, as those of a class are; the step from
    prompt to prompt spreads the prompts too, where each has few images or one. Nothing
    depends on n.
    """
    i = np.arange(n, dtype=np.int64)
    return (i // count + APART * (i % count)) % of
