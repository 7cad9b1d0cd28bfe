"""What the tests of human studies share: small finished runs, studies made of them,
and raters who answer without a browser.
"""

from __future__ import annotations

from genbench.human.create_study import Words, made
from genbench.human.session import Session
from genbench.human.store import Store
from genbench.human.study_kinds import KINDS, questions_of
from genbench.runs.records import find

N = 60


def words(kind="real-or-fake", questions=None, trials=20, pictures=60, seed=1):
    row = KINDS[kind]
    return Words(row, questions_of(row, questions), trials, 4, pictures, seed)


def study(folder, runs, **given):
    """A new study of these run folders."""
    path = folder / f"study-{len(list(folder.glob('study-*')))}.db"
    made(path, [find.find(str(run), folder) for run in runs], words(**given))
    return path


def truths(store, rater):
    """For each trial of a rater: (first model, second, catch, expected, swapped)."""
    return store.rows(
        "SELECT p.model, q.model, catch, expected, swapped FROM trials JOIN items USING(item) JOIN "
        "pictures p ON p.blind = first LEFT JOIN pictures q ON q.blind = second WHERE rater = ? "
        "ORDER BY trial",
        rater,
    )


def rated(path, choose, *, upto=None, ms=700.0):
    """One rater who answers every trial by choose(session, rater, k, truth);
    the rater's number and key.
    """
    session = Session(Store(path))
    key = session.join()
    rater = session.store.rater_of(key)
    for k, truth in enumerate(truths(session.store, rater)[:upto]):
        pressed = choose(session, rater, k, truth)
        assert (
            session.answer(
                rater, {"trial": k, "pressed": pressed, "reaction_ms": ms, "shown_ms": ms}
            )
            == ""
        )
    return rater, key


def told(session, rater, k, truth):
    """A rater who sees everything: real is real, and everything else fake."""
    return ("left", "right")[session.keys(rater).index("real" if truth[0] == "real" else "fake")]


def first(session, rater, k, truth):
    """A rater who always takes the first picture of a pair, wherever it stands."""
    return "right" if truth[4] else "left"
