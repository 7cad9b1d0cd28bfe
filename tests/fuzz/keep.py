"""The smallest inputs of a corpus that together reach what all of it reaches in the program's own
code: what tests/data/fuzz holds of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz import targets

OWN = str(Path(targets.__file__).parents[2] / "genbench")


def kept(reader: str, corpus: Path) -> Iterator[Path]:
    """Inputs in the order of their length, each of which takes a step (a line, and the one before
    it) that no earlier one did.
    """
    known: set[Any] = set()
    with targets.room() as room:
        targets.warm(reader, room)
        for path in sorted(
            (path for path in corpus.iterdir() if path.is_file()),
            key=lambda path: (path.stat().st_size, path.name),
        ):
            steps = _steps(reader, path.read_bytes(), room)
            if not steps <= known:
                known |= steps
                yield path


def _steps(reader: str, data: bytes, room: Path) -> set[Any]:
    found: set[Any] = {("door", data[:1])}
    last: dict[FrameType, int] = {}

    def within(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found.add(
                (
                    frame.f_code.co_filename,
                    frame.f_code.co_firstlineno,
                    last.get(frame, 0),
                    frame.f_lineno,
                )
            )
            last[frame] = frame.f_lineno
        return within

    def called(frame: FrameType, event: str, _: Any) -> Any:
        return within if frame.f_code.co_filename.startswith(OWN) else None

    sys.settrace(called)
    try:
        found.add(("read", data[:1], targets.look(reader, data, room)))
    finally:
        sys.settrace(None)
    return found
