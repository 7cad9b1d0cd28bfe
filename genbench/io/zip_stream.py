"""Write a zip archive as a stream, one entry at a time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any


class Pipe(io.RawIOBase):
    """What a writer of archives or tables writes to,
    and what it has written so far is taken from.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(members: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """The bytes of a zip of these members (name, pieces), stored as they are and without a time of
    day, so that equal members are equal bytes.
    """
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, pieces in members:
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    yield pipe.taken()
    yield pipe.taken()
