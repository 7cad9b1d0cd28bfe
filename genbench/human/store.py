"""A study of human raters in one SQLite file: its design, pictures, items, raters, trials, answers.

An answer is committed (write-ahead log, synchronous=FULL) before the next trial is given out, and
(rater, trial) is unique, so that an answer that is sent again changes nothing. Of a rater the file
knows a number and the hash of a key, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import write
from genbench._util.errors import RunFailed, UserError

APPLICATION = 0x67626873  # "gbhs", in the file's header
SCHEMA = 1
TABLES = """
CREATE TABLE study(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures(blind TEXT PRIMARY KEY, png BLOB NOT NULL, model TEXT NOT NULL, \
place INTEGER NOT NULL);
CREATE TABLE items(item INTEGER PRIMARY KEY, first TEXT NOT NULL, second TEXT, \
stratum TEXT NOT NULL, expected TEXT NOT NULL);
CREATE TABLE raters(rater INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, \
joined TEXT NOT NULL);
CREATE TABLE trials(rater INTEGER, trial INTEGER, item INTEGER NOT NULL, swapped INTEGER NOT NULL, \
catch TEXT NOT NULL, question INTEGER NOT NULL,
    PRIMARY KEY(rater, trial)) WITHOUT ROWID;
CREATE TABLE answers(rater INTEGER, trial INTEGER, pressed TEXT NOT NULL, answer TEXT NOT NULL, \
reaction_ms REAL NOT NULL, shown_ms REAL NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY(rater, trial)) WITHOUT ROWID;
CREATE TABLE undone(rater INTEGER, trial INTEGER, pressed TEXT NOT NULL, \
reaction_ms REAL NOT NULL, PRIMARY KEY(rater, trial)) WITHOUT ROWID;
CREATE TABLE summaries(rater TEXT, model TEXT, fakes INTEGER, wrong_fakes INTEGER, reals INTEGER, \
wrong_reals INTEGER, fakes_seconds REAL, reals_seconds REAL,
    PRIMARY KEY(rater, model)) WITHOUT ROWID;
"""
OF_A_RATER = ("answers", "undone", "trials", "raters")


@dataclass(frozen=True)
class Given:
    """An answer as the page sends it: the trial, the key that was pressed, what it means,
    and times in milliseconds.
    """

    trial: int
    pressed: str
    answer: str
    reaction_ms: float
    shown_ms: float


def create(
    path: Path, about: Mapping[str, Any], tables: Mapping[str, Iterable[Sequence[Any]]]
) -> None:
    """A new study file, whole or not at all.

    about: what the table `study` holds; tables: {name: rows}.
    """
    if path.exists():
        raise UserError(f"{path} exists already: name another file, or remove it")
    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        base.executescript(
            f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={SCHEMA}; {TABLES}"
        )
        base.executemany(
            "INSERT INTO study VALUES(?, ?)",
            [
                (name, json.dumps(value, ensure_ascii=False))
                for name, value in sorted(about.items())
            ],
        )
        for name, rows in tables.items():
            given = list(rows)
            if given:
                base.executemany(
                    f"INSERT INTO {name} VALUES({', '.join('?' * len(given[0]))})", given
                )
        base.commit()
        write(path, base.serialize())
    path.chmod(0o600)  # it knows what is real


class Store:
    """A study file, opened for each call and closed after it, so that any thread may call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{path} is no file: genbench human new {path} --run RUN makes a study")
        try:
            with self._open() as base:
                found = [
                    base.execute(f"PRAGMA {word}").fetchone()[0]
                    for word in ("application_id", "user_version")
                ]
                self.about: dict[str, Any] = {
                    name: json.loads(value)
                    for name, value in base.execute("SELECT name, value FROM study")
                }
        except (sqlite3.DatabaseError, ValueError, RunFailed) as error:
            raise UserError(f"{path} is no study of genbench human ({error})") from None
        if found[0] != APPLICATION:
            raise UserError(f"{path} is no study of genbench human: it is another program's file")
        if found[1] > SCHEMA:
            raise UserError(
                f"{path} has schema {found[1]}, this genbench reads up to {SCHEMA}: "
                "pip install --upgrade genbench"
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        base = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            base.execute("PRAGMA trusted_schema=OFF")
            base.execute("PRAGMA synchronous=FULL")
            base.execute("PRAGMA secure_delete=ON")
            yield base
        except sqlite3.OperationalError as error:
            raise RunFailed(f"{self.path}: {error}; what was answered is kept") from error
        finally:
            base.close()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it on the disk when the body has ended, or nothing."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
            except BaseException:
                base.execute("ROLLBACK")
                raise
            base.execute("COMMIT")

    def serve(self) -> None:
        """Ready for several raters at once."""
        with self._open() as base:
            base.execute("PRAGMA journal_mode=WAL")

    def rows(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a SELECT of our own finds."""
        with self._open() as base:
            return base.execute(question, values).fetchall()

    def join(self, now: str) -> tuple[int, str]:
        """A new rater: the number, which is in no second rater's, and the key,
        which is nowhere else.
        """
        key = secrets.token_urlsafe(18)
        with self._changing() as base:
            rater = base.execute(
                "INSERT INTO raters(key, joined) VALUES(?, ?)", (_hash(key), now)
            ).lastrowid
        assert rater is not None
        return rater, key

    def prepare(self, rater: int, trials: Iterable[Sequence[Any]]) -> None:
        """Keep a rater's trials (item, swapped, catch, question), in order."""
        with self._changing() as base:
            base.executemany(
                "INSERT OR IGNORE INTO trials VALUES(?, ?, ?, ?, ?, ?)",
                [(rater, k, *one) for k, one in enumerate(trials)],
            )

    def rater_of(self, key: str) -> int | None:
        found = self.rows("SELECT rater FROM raters WHERE key = ?", _hash(key)) if key else []
        return int(found[0][0]) if found else None

    def current(self, rater: int) -> tuple[int, int, bool]:
        """The first trial without an answer, how many there are,
        and whether the one before may be taken back: one step, and each once.
        """
        with self._open() as base:
            return _current(base, rater)

    def shown(self, rater: int, first: int, count: int) -> list[tuple[Any, ...]]:
        """(trial, first picture, second, swapped, question, the item's expected answer) of `count`
        trials from `first`.
        """
        return self.rows(
            (
                "SELECT trial, first, second, swapped, question FROM trials JOIN items USING(item) "
                "WHERE rater = ? AND trial >= ? AND trial < ? ORDER BY trial"
            ),
            rater,
            first,
            first + count,
        )

    def picture(self, blind: str) -> bytes:
        return bytes(self.rows("SELECT png FROM pictures WHERE blind = ?", blind)[0][0])

    def answer(self, rater: int, given: Given, now: str) -> bool:
        """Keep an answer to the current trial; one to an earlier trial is there already and stays.

        False for a trial that was not given out yet.
        """
        with self._changing() as base:
            at, of, _ = _current(base, rater)
            if given.trial > at or given.trial >= of:
                return False
            base.execute(
                "INSERT INTO answers VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    rater,
                    given.trial,
                    given.pressed,
                    given.answer,
                    given.reaction_ms,
                    given.shown_ms,
                    now,
                ),
            )
        return True

    def undo(self, rater: int, trial: int) -> bool:
        """Take the last answer back, `trial` being the current one; False where that may not be."""
        with self._changing() as base:
            at, _, possible = _current(base, rater)
            if not possible or trial != at:
                return False
            base.execute(
                (
                    "INSERT INTO undone SELECT rater, trial, pressed, reaction_ms FROM answers "
                    "WHERE rater = ? AND trial = ?"
                ),
                (rater, at - 1),
            )
            base.execute("DELETE FROM answers WHERE rater = ? AND trial = ?", (rater, at - 1))
        return True

    def forget(self, rater: int) -> None:
        """Remove everything of a rater; that somebody withdrew is counted."""
        with self._changing() as base:
            for table in OF_A_RATER:
                # names of our own
                base.execute(f"DELETE FROM {table} WHERE rater = ?", (rater,))  # noqa: S608
            base.execute(
                "INSERT INTO study VALUES('withdrawn', '1') ON CONFLICT(name) DO UPDATE SET "
                "value = CAST(value AS INTEGER) + 1"
            )
        with self._open() as base:
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the log would still have it


def _current(base: sqlite3.Connection, rater: int) -> tuple[int, int, bool]:
    of, done = (
        base.execute(f"SELECT COUNT(*) FROM {table} WHERE rater = ?", (rater,)).fetchone()[0]  # noqa: S608
        for table in ("trials", "answers")
    )
    stepped = base.execute(
        "SELECT COUNT(*) FROM undone WHERE rater = ? AND trial IN (?, ?)", (rater, done - 1, done)
    ).fetchone()[0]
    return int(done), int(of), done > 0 and not stepped


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
