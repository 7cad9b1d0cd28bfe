"""The content of real images in files: a SHA-256 of their pixels and labels, remembered by path,
size and time, so that a changed file is never taken for the one before, and an unchanged one is
not read again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench._util.cache import home
from genbench._util.checksummed_files import Damaged, read_json, write_json
from genbench._util.console import progress, tell
from genbench._util.errors import RunFailed, UserError
from genbench.api.dataset import Batch, Dataset

SETTLED = 2.0  # seconds; a file younger than the clock's grain may change again and look the same


@dataclass(frozen=True)
class State:
    """What changes when a file of a set does: a digest of names, sizes and times,
    that of the last change of content or name (ctime) among them, which nobody can set back.
    """

    digest: str
    newest: int  # nanoseconds: the last change of any


def state_of(place: Path, files: Iterable[Path]) -> State:
    """The state of these files, one by one, so that a million of them take no memory."""
    total, newest = hashlib.sha256(os.fsencode(place.resolve())), 0
    for file in files:
        try:
            found = file.stat()
        except OSError as error:  # a link to nowhere, or a file that goes at this moment
            raise UserError(
                f"{error.filename} cannot be read ({error.strerror}); make it again, or remove it"
            ) from None
        total.update(
            (
                f"\0{file.name!a} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} "
                f"{found.st_ino}"
            ).encode()
        )
        newest = max(newest, found.st_ctime_ns)
    return State(total.hexdigest(), newest)


def remembered(state: State, what: str) -> Any:
    """What was found out about files in this state, or None."""
    try:
        return read_json(_kept(state, what))["found"]
    except FileNotFoundError:
        return None
    except (Damaged, KeyError) as error:
        tell(f"cache: {error}; making it again")
        return None


def remember(state: State, what: str, found: Any, began: float) -> None:
    """Keep what was found out about files, looked at since `began` (time.time());
    not of files so young that they could change and look the same.
    """
    if began - state.newest / 1e9 > SETTLED:
        try:
            write_json(_kept(state, what), {"found": found})
        except RunFailed as error:  # it costs time only
            tell(f"cache: {error}")


def _kept(state: State, what: str) -> Path:
    return home() / "folders" / f"{state.digest[:32]}-{what}.json"


def content_of(row: Dataset, split: str, state: State, what: str) -> str:
    """The SHA-256 of a split's pixels and labels, remembered as `what` while its files
    are the same.
    """
    found = remembered(state, what)
    if found is None:
        began = time.time()
        with progress(
            f"reading {row.name if row.name != 'images' else row.source} {split}",
            row.splits[split],
            "images",
        ) as done:

            def counted(split: str) -> Iterator[Batch]:
                for batch in row.open(split):
                    yield batch
                    done(len(batch[0]))

            found = Dataset.fingerprint(replace(row, open=counted), split)
        remember(state, what, found, began)
    return str(found)
