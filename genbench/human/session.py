"""What a rater is shown and may do: the state of a study for one rater, as plain data.

Nothing in it tells a real picture from a generated one.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from genbench.human.store import Given, Store
from genbench.human.study_kinds import KINDS, Question
from genbench.human.trial_order import Pool, trials_of

AHEAD = 3  # trials whose pictures are fetched before they are shown
PAUSE = 50  # trials between two breaks
LONGEST_MS = 86_400_000.0


class Session:
    """A study as it is served."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.design: Mapping[str, Any] = store.about["design"]
        self.kind = KINDS[self.design["kind"]]
        self.questions = [Question(**one) for one in self.design["questions"]]
        self.token = str(store.about["token"])
        # cookies of two ports of one host are one jar
        self.cookie = f"rater_{hashlib.sha256(self.token.encode()).hexdigest()[:8]}"
        self._secret = bytes.fromhex(store.about["secret"])
        pool: dict[str, Any] = {
            key: tuple(map(_tuple, value)) if isinstance(value, list) else value
            for key, value in store.about["pool"].items()
        }
        self._pool = Pool(**pool)
        # imports numpy here: two raters who join at once must not meet it half imported
        trials_of(self._pool, 0, 0, self.design["trials"])

    def join(self) -> str:
        """A new rater with trials of their own; the key that is the way back."""
        rater, key = self.store.join(_now())
        found = trials_of(self._pool, self.design["seed"], rater - 1, self.design["trials"])
        self.store.prepare(rater, [astuple(one) for one in found])
        return key

    def keys(self, rater: int) -> tuple[str, str] | tuple[()]:
        """What the left and the right key of this rater mean;
        real stands left for every other rater.
        """
        return (
            self.kind.keys
            if self.kind.pairs or not self.kind.keys or rater % 2
            else (self.kind.keys[1], self.kind.keys[0])
        )

    def state(self, rater: int) -> dict[str, Any]:
        """What the page shows now, and which pictures it fetches ahead."""
        at, of, back = self.store.current(rater)
        found: dict[str, Any] = {
            "trial": at,
            "of": of,
            "back": back,
            "done": at >= of,
            "pause": at > 0 and at % PAUSE == 0 and at < of,
        }
        shown = self.store.shown(rater, at, 1 + AHEAD)
        if not shown or at >= of:
            return found
        question = self.questions[shown[0][4]]
        scale = (
            {}
            if self.kind.keys
            else {"points": question.points, "low": question.low, "high": question.high}
        )
        pictures = [[self._id(rater, trial, side) for side in self._sides()] for trial, *_ in shown]
        height, width = self.design["size"]
        return {
            **found,
            "question": question.text,
            "keys": list(self.keys(rater)),
            "pictures": pictures[0],
            "next": [one for later in pictures[1:] for one in later],
            "size": [width, height],
            **scale,
        }

    def answer(self, rater: int, body: Mapping[str, Any]) -> str:
        """Keep an answer that the page sent; "" or why it is none."""
        trial, pressed = body.get("trial"), body.get("pressed")
        times = [body.get("reaction_ms"), body.get("shown_ms")]
        if type(trial) is not int or not isinstance(pressed, str) or not 0 <= trial < 2**31:
            return "an answer has a trial and a key"
        if not all(
            isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= LONGEST_MS
            for one in times
        ):
            return "times are milliseconds"
        shown = self.store.shown(rater, trial, 1)
        if not shown:
            return "there is no such trial"
        meaning = self._meaning(rater, pressed, bool(shown[0][3]), self.questions[shown[0][4]])
        if not meaning:
            return "no such key"
        reaction, whole = (float(one) for one in times if one is not None)
        return (
            ""
            if self.store.answer(rater, Given(trial, pressed, meaning, reaction, whole), _now())
            else "that trial comes later"
        )

    def _meaning(self, rater: int, pressed: str, swapped: bool, question: Question) -> str:
        """What a key says: real or fake, first or second of the item as it is kept, or points;
        "" for a key that answers nothing.
        """
        if not self.kind.keys:
            return pressed if pressed in {str(k) for k in range(1, question.points + 1)} else ""
        if pressed not in ("left", "right"):
            return ""
        return self.keys(rater)[(pressed == "right") ^ (swapped and self.kind.pairs)]

    def undo(self, rater: int, body: Mapping[str, Any]) -> bool:
        return type(body.get("trial")) is int and self.store.undo(rater, body["trial"])

    def picture(self, rater: int, name: str) -> bytes | None:
        """The picture behind an id, if it is one of this rater's and its turn has come,
        or nearly.
        """
        at, _, _ = self.store.current(rater)
        for trial, first, second, swapped, _ in self.store.shown(rater, max(0, at - 1), 2 + AHEAD):
            order = (second, first) if swapped and second else (first, second)
            for side, blind in zip(self._sides(), order, strict=False):
                if hmac.compare_digest(self._id(rater, trial, side).encode(), name.encode()):
                    return self.store.picture(blind)
        return None

    def own(self, rater: int) -> dict[str, Any]:
        """What the study has of a rater, for the rater: it does not say what was real."""
        columns = ("trial", "pressed", "answer", "reaction_ms", "shown_ms", "at")
        # names of our own
        answers = self.store.rows(
            f"SELECT {', '.join(columns)} FROM answers WHERE rater = ? ORDER BY trial",  # noqa: S608
            rater,
        )
        joined = self.store.rows("SELECT joined FROM raters WHERE rater = ?", rater)[0][0]
        told = [dict(zip(columns, one, strict=True)) for one in answers]
        # first and second are the study's own order, which says nothing to the rater and must not
        # say which was real
        if self.kind.pairs:
            told = [{key: value for key, value in one.items() if key != "answer"} for one in told]
        return {"study": self.design["digest"], "rater": rater, "joined": joined, "answers": told}

    def _sides(self) -> tuple[str, ...]:
        return ("left", "right") if self.kind.pairs else ("left",)

    def _id(self, rater: int, trial: int, side: str) -> str:
        """The name of a picture for one rater in one trial:
        the same picture never has one name twice.
        """
        return hmac.new(
            self._secret, f"shown\0{rater}\0{trial}\0{side}".encode(), "sha256"
        ).hexdigest()[:32]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _now() -> str:
    """To the minute: when somebody answered is nobody's business."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
