"""The kinds of study: what is asked, which keys answer, what counts as right,
and a question file of the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.io import toml

REAL = "real"  # the name under which the real images stand among the models
LARGEST = 64 * 1024  # bytes of a question file
LONGEST = 400  # characters of one text
POINTS = range(2, 10)  # of a rating: the keys 1 to 9


@dataclass(frozen=True)
class Kind:
    """A kind of study.

    keys: what the left and the right key mean; (): numbers answer. pairs: two pictures stand
    side by side.
    """

    name: str
    title: str
    question: str
    pairs: bool
    keys: tuple[str, str] | tuple[()]


KINDS = {
    one.name: one
    for one in (
        Kind(
            "real-or-fake",
            "one picture: is it real, or was it made by a model?",
            "Is this picture real or generated?",
            False,
            ("real", "fake"),
        ),
        Kind(
            "which-is-real",
            "a real and a generated picture: which is the real one?",
            "Which picture is real?",
            True,
            ("first", "second"),
        ),
        Kind(
            "which-is-better",
            "pictures of two models, or of a model and real: which is better?",
            "Which picture is better?",
            True,
            ("first", "second"),
        ),
        Kind(
            "rating",
            "one picture, rated on one or more scales",
            "How realistic is this picture?",
            False,
            (),
        ),
    )
}


@dataclass(frozen=True)
class Question:
    """What is asked of a picture or a pair; name,
    points and the ends of the scale are a rating's.
    """

    text: str
    name: str = "realism"
    points: int = 5
    low: str = "not at all"
    high: str = "completely"


def questions_of(kind: Kind, file: Path | None) -> tuple[Question, ...]:
    """The questions of a study: those of a file, else the kind's own.

    A file is TOML: [[question]] with text, and for ratings name, points, low, high. Several
    questions are for ratings alone.
    """
    if file is None:
        return (Question(kind.question),)
    found = _read(file)
    if unknown := sorted(set(found) - {"question"}):
        raise UserError(
            f"{file}: unknown key {clean(unknown[0])!r}: {choices(unknown[0], ['question'])}"
        )
    rows = found.get("question", [])
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f'{file}: no question in it: [[question]] and text = "..."')
    if len(rows) > 1 and kind.keys:
        raise UserError(
            f"{file}: {len(rows)} questions; a study of the kind {kind.name} asks one, "
            "--kind rating several"
        )
    questions = tuple(_question(row, file) for row in rows)
    if len({one.name for one in questions}) < len(questions):
        raise UserError(f"{file}: two questions have one name; give each its own: name = ...")
    return questions


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file}: more than {LARGEST} bytes is no question file")
        return toml.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such file") from None
    except ValueError as error:
        raise UserError(f"{file} is not TOML: {error}") from None


def _question(row: Mapping[str, Any], file: Path) -> Question:
    kinds = {"text": str, "name": str, "points": int, "low": str, "high": str}
    for key, value in row.items():
        if key not in kinds:
            raise UserError(f"{file}: unknown key {clean(key)!r}: {choices(key, kinds)}")
        if type(value) is not kinds[key] or (
            isinstance(value, str) and not 0 < len(value) <= LONGEST
        ):
            raise UserError(
                f"{file}: {key} is {'a text of 1 to ' + str(LONGEST) + ' characters' if kinds[key] is str else 'a whole number'}"  # noqa: E501
            )
    if "text" not in row:
        raise UserError(f'{file}: a question needs a text: text = "How realistic is this picture?"')
    if row.get("points", 5) not in POINTS:
        raise UserError(
            f"{file}: points = {row['points']}: {POINTS[0]} to {POINTS[-1]}, the keys that answer"
        )
    words: dict[str, Any] = {
        key: clean(value) if isinstance(value, str) else value for key, value in row.items()
    }
    return Question(**words)
