"""CLIP's byte-pair encoding: texts to the numbers that its tower of texts reads."""

from __future__ import annotations

import gzip
import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genbench._util.errors import UserError
from genbench._util.formatting import clean

MERGES = 49152 - 256 - 2  # that CLIP uses of a longer list
LARGEST = 2**24  # bytes of a list, unfolded
CONTEXT = 77
ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SPECIAL = ("<|startoftext|>", "<|endoftext|>")


@dataclass(frozen=True)
class Vocabulary:
    """Pairs in the order in which they are merged, and the number of each piece."""

    ranks: dict[tuple[str, str], int]
    numbers: dict[str, int]

    def encoded(self, text: str, context: int = CONTEXT) -> list[int]:
        """Start, the pieces of a text, end, of `context` numbers at most:
        a longer text is cut before its end (Radford et al. 2021, OpenAI's code).
        """
        pieces = [self.numbers[piece] for word in words(text) for piece in self._pieces(word)]
        start, end = (self.numbers[one] for one in SPECIAL)
        return [start, *pieces[: context - 2], end]

    def _pieces(self, word: str) -> list[str]:
        """A word in bytes, pairs merged by rank, the lowest first (Sennrich et al. 2016)."""
        parts = [BYTES[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            best = min(
                itertools.pairwise(parts), key=lambda pair: self.ranks.get(pair, len(self.ranks))
            )
            if best not in self.ranks:
                return parts
            merged, at = [], 0
            while at < len(parts):
                here = (parts[at], parts[at + 1]) if at + 1 < len(parts) else None
                merged.append(parts[at] + parts[at + 1] if here == best else parts[at])
                at += 2 if here == best else 1
            parts = merged
        return parts


def _bytes() -> dict[int, str]:
    """A printable letter for each byte, in CLIP's order: those that print are themselves,
    the others lie from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }


BYTES = _bytes()


def read(path: Path) -> Vocabulary:
    """The vocabulary of a list of merges: OpenAI's bpe_simple_vocab_16e6.txt.gz,
    or the merges.txt of Hugging Face's folders.

    UserError for anything else.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            text = file.read(LARGEST).decode("utf-8")
        merges = [tuple(line.split()) for line in text.split("\n")[1 : MERGES + 1] if line]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"vocabulary {path} cannot be read: {clean(str(error))}") from None
    wrong = next((number for number, pair in enumerate(merges, 2) if len(pair) != 2), 0)
    if wrong or not merges:
        raise UserError(
            f"vocabulary {path}, line {wrong or 1}: it is no list of merges, two pieces to a line "
            "after the first"
        )
    pairs = [(pair[0], pair[1]) for pair in merges]
    pieces = [
        *BYTES.values(),
        *(f"{letter}</w>" for letter in BYTES.values()),
        *(a + b for a, b in pairs),
        *SPECIAL,
    ]
    return Vocabulary(
        {pair: rank for rank, pair in enumerate(pairs)},
        {piece: number for number, piece in enumerate(pieces)},
    )


def words(text: str) -> Iterator[str]:
    """The words of a text as CLIP cuts it, in lower case: endings after an apostrophe,
    runs of letters, single digits, runs of other signs.

    OpenAI's code lets the package ftfy mend wrong decoding first; here, as in Hugging Face's
    without that package, a text is composed (NFC) and left as it is.
    """
    import html  # its table of entities; listings read this file and no text

    text = (
        re.sub(r"\s+", " ", html.unescape(html.unescape(unicodedata.normalize("NFC", text))))
        .strip()
        .lower()
    )
    at = 0
    while at < len(text):
        ending = next((one for one in (*SPECIAL, *ENDINGS) if text.startswith(one, at)), "")
        kind = _kind(text[at])
        end = at + max(1, len(ending))
        while (
            not ending
            and kind in ("letter", "sign")
            and end < len(text)
            and _kind(text[end]) == kind
        ):
            end += 1
        if kind != "space":
            yield text[at:end]
        at = end


def _kind(letter: str) -> str:
    if letter.isspace():
        return "space"
    return {"L": "letter", "N": "digit"}.get(unicodedata.category(letter)[0], "sign")
