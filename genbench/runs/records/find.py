"""Find the record that a user names: a run folder, an id's beginning, a file, or the newest."""

from __future__ import annotations

from pathlib import Path

from genbench._util.checksummed_files import Damaged
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.io.remote_storage import is_url, opened
from genbench.runs.records.record import Record, lacking, read


def find(word: str | None, out: Path) -> Record:
    """The record behind RUN: a run folder, its URL, an entry file, an id's beginning,
    or the newest in `out` for None.
    """
    if word is not None and is_url(word):
        root, _, run = word.rstrip("/").rpartition("/")
        place = opened(root, run)
        place.pull(mend=False)
        paths = [place.folder / "run.json"]
    elif word is not None and Path(word).exists():
        paths = [Path(word) / "run.json" if Path(word).is_dir() else Path(word)]
    else:
        paths = sorted(
            (p for p in out.glob("*/run.json") if p.parent.name.startswith(word or "")),
            key=lambda path: path.stat().st_mtime,
        )
    if not paths or (word and len({path.parent for path in paths}) > 1):
        near = (
            ", ".join(sorted(path.parent.name for path in paths or out.glob("*/run.json"))[:8])
            or "there is none"
        )
        if word is None:
            raise UserError(f"there is no finished run in {out}: genbench run makes one")
        raise UserError(
            f"{'several runs begin' if paths else 'no finished run begins'} with "
            f"{clean(word or 'anything')} in {out}: {near}"
        )
    try:
        found = read(paths[-1])
    except FileNotFoundError:
        raise UserError(
            f"{paths[-1].parent} has no finished run: give genbench run the same words again, "
            "and it goes on"
        ) from None
    except Damaged as error:
        raise UserError(
            f"{error}; genbench run with the same words makes it again from its shards"
        ) from None
    if why := lacking(found):
        raise UserError(
            f"{paths[-1]} {why}; genbench run --fresh with the same words makes it again"
        )
    return found
