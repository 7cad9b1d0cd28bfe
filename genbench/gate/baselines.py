"""Where a baseline comes from: a record's file or run folder, a name under baselines/, a board,
or an address; and how a run becomes one.

A record of a few kB in git is a full baseline: it holds the leave-one-block-out values of
every number.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.checksummed_files import Damaged
from genbench._util.console import tell
from genbench._util.errors import NotComparable, UserError
from genbench._util.formatting import clean, plus_minus, table
from genbench.io.download import Unreached, pieces
from genbench.leaderboards import entries
from genbench.runs.records import record
from genbench.runs.records.find import find
from genbench.runs.records.record import Record

FOLDER = Path("baselines")
LARGEST = 2**26  # bytes of a record that is fetched


def baseline(word: str, candidate: Record, folder: Path, out: Path) -> Record:
    """The record behind --baseline; NotComparable where there is none, with what there is."""
    found = _looked_up(word, candidate, folder, out)
    if why := record.lacking(found):
        raise NotComparable(
            f"--baseline {clean(word)} {why}; save it again with genbench baseline save"
        )
    return found


def _looked_up(word: str, candidate: Record, folder: Path, out: Path) -> Record:
    try:
        if word.startswith(("http://", "https://")):
            return _fetched(word)
        if (Path(word) / "entries").is_dir():
            return _of_board(Path(word), candidate)
        if (folder / f"{word}.json").is_file():
            return record.read(folder / f"{word}.json")
        return find(word, out)
    except Damaged as error:
        raise NotComparable(
            f"--baseline {clean(word)}: {error}; save it again with genbench baseline save"
        ) from None
    except NotComparable:
        raise
    except UserError as error:
        saved = sorted(path.stem for path in folder.glob("*.json"))
        more = (
            f"; {folder} has {', '.join(map(clean, saved[:8]))}"
            if saved
            else "; genbench baseline save makes one"
        )
        raise NotComparable(f"--baseline {clean(word)}: {error}{more}") from None


def _of_board(board: Path, candidate: Record) -> Record:
    """A board's entry for the candidate's label, the newest that is not its own; else its own
    run's, where an earlier one entered it; else that of the same generator; NotComparable where
    that is none, or several.
    """
    there = [
        one
        for one in entries.entries(board, every=True)
        if set(one.record.plan["protocols"]) & set(candidate.plan["protocols"])
    ]
    others = [one for one in there if one.record.id != candidate.id]
    same = [one for one in others if one.label == candidate.plan["label"]][-1:]  # oldest first
    own = [
        one for one in there if one.record.id == candidate.id and one.record.cost != candidate.cost
    ]
    newest = {
        one.label: one
        for one in others
        if one.record.plan["identity"].get("generator") == candidate.plan["identity"]["generator"]
    }
    found = same or own or list(newest.values())
    if len(found) != 1:
        names = ", ".join(f"{one.label} ({one.id})" for one in (found or others)[:6])
        why = (
            f"which entry? {names}"
            if names
            else "it has no entry but the run's own; genbench run --leaderboards none enters none"
        )
        raise NotComparable(
            f"--baseline {clean(str(board))}: {clean(why)}: --baseline {board}/entries/ID.json"
        )
    tell(f"baseline: {found[0].label}, entry {found[0].id} of {board}")
    return found[0].record


def _fetched(url: str) -> Record:
    if os.environ.get("GENBENCH_OFFLINE"):
        raise NotComparable(f"--baseline {clean(url)} is not fetched: GENBENCH_OFFLINE is set")
    got = bytearray()
    try:
        for piece in pieces(url):
            got += piece
            if len(got) > LARGEST:
                raise NotComparable(
                    f"--baseline {clean(url)} is larger than {LARGEST >> 20} MiB: it is no record"
                )
    except (Unreached, ValueError) as error:
        raise NotComparable(f"--baseline: {clean(str(error))}") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fetched.json"
        write(path, bytes(got))
        try:
            return replace(record.read(path), folder="")
        except Damaged as error:
            raise NotComparable(
                f"--baseline {clean(url)}: {clean(str(error)).replace(str(path), 'what came')}"
            ) from None


def save(found: Record, name: str, folder: Path, *, force: bool) -> Path:
    """Write a record as the baseline of this name; UserError where there is another,
    unless force.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"--name {clean(name)}: a plain name, as in main or v1.2")
    path = folder_to_write(folder, "--baselines") / f"{name}.json"
    if path.exists() and not force:
        try:
            there = record.read(path)
        except (Damaged, UserError):
            there = None
        if there is None or there.id != found.id or there.scores != found.scores:
            which = f" ({clean(there.plan['label'])}, {there.created})" if there else ""
            raise UserError(f"{path} holds another baseline{which}: --force replaces it")
    record.write(path, found)
    return path


def listed(folder: Path) -> str:
    """The baselines of a folder, a line each; a damaged one is named."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        try:
            found = record.read(path)
        except (Damaged, UserError) as error:
            rows.append([path.stem, f"damaged: {error}", "", "", ""])
            continue
        first = next((s for s in found.scores if s.status == "ok" and s.part == "all"), None)
        said = (
            ""
            if first is None
            else (
                f"{first.metric} "
                f"{plus_minus(first.value or 0.0, first.low or 0.0, first.high or 0.0)}"
            )
        )
        rows.append(
            [
                path.stem,
                str(found.plan["label"]),
                f"{found.plan['identity']['n']}",
                said,
                found.created[:10],
            ]
        )
    if not rows:
        raise UserError(f"there is no baseline in {folder}: genbench baseline save makes one")
    return table(["name", "generator", "n", "first number", "made"], rows, left=2)
