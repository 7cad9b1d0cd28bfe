"""The cache: which folders are in use and who named them, what in it is whole,
and what nothing of today would read.

Features, real against real, and contents of own files are made again where they are missing:
removing one costs time only. What was downloaded is left alone unless it is asked for. Links are
never followed: what they lead to is somebody else's.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.cache import home
from genbench._util.checksummed_files import Damaged, read_arrays, read_json
from genbench._util.errors import RunFailed, UserError
from genbench._util.locks import taken
from genbench.api import _registry as registry
from genbench.api.extractor import Extractor
from genbench.data import published_datasets
from genbench.features import extractor_identity as used
from genbench.features.extraction import AT_ONCE
from genbench.features.extractor_versions import earlier_seal_of, seal_of, version_of
from genbench.io import weights

# folder of the cache -> ending and reader of its sealed files
MADE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "features": (".safetensors", read_arrays),
    "real": (".safetensors", read_arrays),
    "folders": (".json", read_json),
}
TITLES = {
    "features": "features of real images",
    "real": "real against real",
    "folders": "contents of own files",
    "copies": "copies of runs below URLs",
}
# what files.write calls a file that is not whole yet
LEFT = re.compile(r"\.(?P<of>.+)\.[0-9a-f]{8}\.tmp")
LEDGER = "hashes.json"  # beside downloaded weights: the first hashes seen
RESTING = 3600.0  # seconds after which a temporary file is nobody's
FEATURES = re.compile(  # as reference.py has it
    r"[0-9a-f]{16}-(?P<name>.+)\.[^.]+?(-mirrored)?-(none|[0-9a-f]{16})-(?P<code>v\d+"
    r"(?:\+[0-9a-f]{8})?|[0-9a-f]{16})-(?P<kind>[a-z]+\d+)"
)


@dataclass(frozen=True)
class Place:
    """A folder in use: what lies there, who named it ("" for a part of the cache),
    how many files and bytes.
    """

    what: str
    named: str
    path: Path
    files: int
    bytes: int


@dataclass(frozen=True)
class Waste:
    """A file of the cache that is to go, and why."""

    path: Path
    bytes: int
    why: str


def places() -> list[Place]:
    """Every folder in use: the cache and its parts, those of weights, that of data sets."""
    who = next(
        (f"${name}" for name in ("GENBENCH_HOME", "XDG_CACHE_HOME") if os.environ.get(name)),
        "~/.cache",
    )
    found = [
        ("cache", who, home()),
        *((title, "", home() / name) for name, title in TITLES.items()),
    ]
    found += [
        ("weights", "" if where == "cache" else where, folder)
        for where, folder in weights.folders()
    ]
    found += [
        (
            "data sets",
            f"${published_datasets.VARIABLE}"
            if os.environ.get(published_datasets.VARIABLE)
            else "",
            published_datasets.data_root(),
        )
    ]
    return [Place(what, who, path, *_size(path)) for what, who, path in found]


def _size(folder: Path) -> tuple[int, int]:
    """Files and bytes below a folder; links are not followed."""
    sizes = [
        (Path(at) / name).lstat().st_size for at, _, names in os.walk(folder) for name in names
    ]
    return len(sizes), sum(sizes)


def _files(folder: Path) -> Iterator[Path]:
    """The regular files of a folder of the cache, in order;
    none where it is missing, or a link to elsewhere.
    """
    if folder.is_dir() and not folder.is_symlink():
        with os.scandir(folder) as found:
            yield from sorted(Path(one.path) for one in found if one.is_file(follow_symlinks=False))


def verify() -> tuple[int, list[tuple[Path, str]]]:
    """How many files were read, sealed ones and downloaded weights,
    and those that are not what they were, each with why and the remedy.
    """
    count, damaged = 0, []
    for path, why in _sealed():
        count += 1
        remedy = (
            "hashes are written down anew, of the files as they are now"
            if path.name == LEDGER
            else "the next run that needs it makes it again"
        )
        damaged += [(path, f"{why}; {remedy}")] if why else []
    for name, (row, beside, _) in used.all_weights().items():
        for one in (
            one for one in weights.present(row, beside, again=True) if one.where == "cache"
        ):
            count += 1
            if not one.right:
                damaged.append(
                    (
                        one.path,
                        (
                            f"has SHA-256 {one.sha256} instead of {one.wanted}; remove it, "
                            f"genbench weights fetch {name} brings it again"
                        ),
                    )
                )
    return count, damaged


def _sealed() -> Iterator[tuple[Path, str]]:
    """Every sealed file of the cache, and what is wrong with it: "" where it is whole."""
    for name, (ending, reader) in MADE.items():
        yield from (
            (path, _harm(path, reader))
            for path in _files(home() / name)
            if path.suffix == ending and not LEFT.fullmatch(path.name)
        )
    ledger = home() / "weights" / LEDGER
    if ledger.is_file() and not ledger.is_symlink():
        yield ledger, _harm(ledger, read_json)


def _harm(path: Path, reader: Callable[[Path], Any]) -> str:
    try:
        reader(path)
    except Damaged as error:
        return str(error).removeprefix(f"{path} ")
    except FileNotFoundError:  # removed by another genbench since it was listed
        return ""
    return ""


def waste(*, everything: bool = False, downloads: bool = False) -> tuple[list[Waste], list[Path]]:
    """What may go, each file once; and what would, were no other genbench at work on it.

    everything: also what is whole and up to date, and made again when it is needed. downloads: also
    weights that were downloaded.
    """
    now, found, busy = time.time(), dict[Path, str](), list[Path]()
    for folder in (*MADE, "weights"):
        for path in _files(home() / folder):
            if (left := LEFT.fullmatch(path.name)) and now - path.lstat().st_mtime > RESTING:
                busy.append(path) if _held(
                    path.with_name(f".{left['of']}.lock")
                ) else found.setdefault(path, "left by a process that was killed")
    codes = _codes()
    for path, why in _sealed():
        reason = (
            f"damaged: {why}"
            if why
            else _outdated(path, codes) or ("made again when it is needed" if everything else "")
        )
        if reason and path.parent.name != "weights":
            found.setdefault(path, reason)
    for path in _files(home() / "weights") if downloads else ():
        if not path.name.startswith(".") and path.name != LEDGER:
            busy.append(path) if _held(path.with_name(f".{path.name}.lock")) else found.setdefault(
                path, "downloaded: it is fetched again when it is needed"
            )
    return [Waste(path, path.lstat().st_size, why) for path, why in found.items()], busy


def remove(paths: Sequence[Path]) -> None:
    """Remove files; RunFailed names the first that cannot be."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunFailed(
                f"{path} cannot be removed: {error.strerror or error}; "
                "those listed before it are gone"
            ) from None


def _held(lock: Path) -> bool:
    """Whether a living process holds a lock; one that was left behind is free, and none is made."""
    return lock.is_file() and taken(lock)


def _codes() -> dict[str, set[str]]:
    """Extractors of the shelf -> the versions and hashes, as names of files have them,
    under which its features are looked for today.
    """
    found: dict[str, set[str]] = {}
    for name in registry.standing("extractors"):
        try:
            row: Extractor = registry.find("extractors", name)
        except UserError:  # it cannot be read now: its features may be good
            continue
        words: tuple[str, ...] = ("",)
        if row.vocabulary:
            files = [file.sha256 for file in row.vocabulary.files if file.sha256]
            words = (
                *files,
                *(one.sha256 for one in weights.present(row.vocabulary, Path(), again=False)),
            )
        identities = [
            used.Used(
                "",
                version_of(row, precision),
                package=used.package_of(row),
                precision=precision,
                vocabulary=word,
            ).identity()
            for precision in row.precisions
            for word in words
        ]
        found[name] = {
            seal
            for identity in identities
            for seal in (seal_of(identity), earlier_seal_of(identity))
        }
    return found


def _outdated(path: Path, codes: dict[str, set[str]]) -> str:
    """Why nothing of today would read a file of features; "" where something may:
    an extractor that is not on the shelf may come back by --with.
    """
    if path.parent.name != "features":
        return ""
    said = FEATURES.fullmatch(path.stem)
    if said is None or said["kind"] not in {f"{kind}{size}" for kind, size in AT_ONCE.items()}:
        return "its name is of an earlier genbench"
    return (
        f"of other code than {said['name']} has today"
        if said["code"] not in codes.get(said["name"], {said["code"]})
        else ""
    )
