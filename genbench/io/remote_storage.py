"""Where runs lie: a folder, or a URL that fsspec knows (s3://, gs://, az://, file://, memory://)
with a copy of it on this machine.

Below a URL a shard's files come first and then a marker that holds their SHA-256; without one that
fits they are none. Both are written once: what another machine has put there is kept, and compared.
Everything is done in the copy and then put below the URL, so that no store has to rename,
append or lock.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.cache import home
from genbench._util.checksummed_files import SEAL
from genbench._util.console import complain
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import digest, file_sha256, sha256

MARK = ".done.json"
AGAIN = 0.5  # seconds, until a file that is not what its marker says is read once more
CONTENT = ("sha256", "images", "sketch")  # of what a shard's file says of itself
LAST = "run.json"  # of a run's files beside its shards: what says that it is finished
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?[^/].*")
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,199}", re.ASCII)  # of a file that we may have put there


def is_url(out: str | Path) -> bool:
    return "://" in str(out)


def whereabouts(out: str | Path, folder: str | Path) -> str:
    """Where a run is, in words: its folder, or its URL and the folder of the copy."""
    return (
        f"{clean(str(out)).rstrip('/')}/{Path(folder).name} (a copy in {folder})"
        if is_url(out)
        else str(folder)
    )


@dataclass(frozen=True)
class Place:
    """A run's folder, and below which URL it is kept too, if any."""

    folder: Path
    root: str = ""  # of run folders, where it is a URL

    def pull(self, *, mend: bool = True) -> None:
        """Take over what others have put below the URL: shards that are not here yet,
        and the files beside them; what is damaged is left out and named.

        mend: its marker goes, so that it is drawn and put there again.
        """
        if self.root:
            _pulled(self, mend)

    def push(self, shards: Iterable[str] | None = None) -> None:
        """Put these shards' files below the URL, each with its marker;
        of None every shard, and then the files beside them, the record last.
        """
        if self.root:
            _pushed(self, shards)

    def forget(self) -> None:
        """Remove the run below the URL."""
        if self.root:
            _asked(
                self,
                lambda store, key: store.rm(key, recursive=True) if store.exists(key) else None,
            )

    def put(self, name: str) -> None:
        """Put one file of the run below the URL, in place of what is there."""
        if self.root:
            _asked(
                self,
                lambda store, key: (
                    store.makedirs(key, exist_ok=True),
                    store.pipe_file(f"{key}/{name}", (self.folder / name).read_bytes()),
                ),
            )


def opened(out: str | Path, run: str) -> Place:
    """The place of a run below a folder or a URL; UserError where it cannot be written."""
    if not is_url(out):
        return Place(folder_to_write(folder_to_write(Path(out), "--out") / run, "the run's folder"))
    root = _root(str(out))
    _store(root)
    return Place(
        folder_to_write(home() / "copies" / sha256(root.encode())[:16] / run, "the copy of a run"),
        root,
    )


def runs(root: str) -> list[str]:
    """The ids of the runs below a URL."""
    store, key = _store(_root(root))
    try:
        return sorted(Path(one).parent.name for one in store.glob(f"{key}/*/plan.json"))
    except Exception as error:  # each store has its own
        raise RunFailed(f"{clean(root)} cannot be read: {type(error).__name__}: {error}") from error


def _root(url: str) -> str:
    if not URL.fullmatch(url):
        raise UserError(
            f"{clean(url)} is no URL of a place; write SCHEME://bucket/folder, "
            "as in s3://bucket/runs"
        )
    return url.rstrip("/")


def _store(root: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(root)
    except ImportError as error:  # says which package to install
        raise UserError(f"--out {clean(root)}: {error}") from None
    except Exception as error:  # each store has its own
        raise UserError(f"--out {clean(root)}: {type(error).__name__}: {error}") from None


def _asked(place: Place, question: Any) -> Any:
    """question(file system, path of the run in it); RunFailed where the store says no."""
    store, key = _store(place.root)
    try:
        return question(store, f"{key}/{place.folder.name}")
    except Exception as error:  # each store has its own
        kept = (
            f"what was drawn is kept in {place.folder}, and once the place can be written the same "
            "command goes on"
        )
        raise RunFailed(
            f"{clean(place.root)}: {type(error).__name__}: {clean(str(error))}; {kept}"
        ) from error


def _listed(store: Any, folder: str) -> dict[str, int]:
    """{name: bytes} of the files in a folder of a store, as they stand there now;
    {} where there is no such folder.
    """
    store.invalidate_cache()
    try:
        found = store.ls(folder, detail=True)
    except FileNotFoundError:
        return {}
    sizes = {
        str(one["name"]).rstrip("/").rpartition("/")[2]: int(one["size"] or 0) for one in found
    }
    return {name: size for name, size in sizes.items() if NAME.fullmatch(name)}


def _marked(
    store: Any, there: str, names: Iterable[str], shard: str = ""
) -> dict[str, dict[str, str]]:
    """{marker: {file: SHA-256}} of those that are whole, of one shard or all."""
    found = {}
    for name in names:
        if name.endswith(MARK) and name.startswith(shard):
            try:
                content = json.loads(store.cat_file(f"{there}/{name}"))
                whole = name.split(".")[-3] == _mark(content)
            except (ValueError, TypeError, IndexError, FileNotFoundError):
                continue
            if whole and all(NAME.fullmatch(one) for one in content):
                found[name] = content
    return found


def _mark(files: Mapping[str, str]) -> str:
    """What names a marker: its content, so that equal ones are one."""
    return digest(dict(files))[:12]


def _whole(store: Any, path: str, said: str) -> bytes | None:
    """A file with this SHA-256; None where it is another or none, also a moment later:
    somebody may be putting it there.
    """
    for pause in (0.0, AGAIN):
        time.sleep(pause)
        with contextlib.suppress(FileNotFoundError):
            if sha256(data := store.cat_file(path)) == said:
                return bytes(data)
    return None


def _unmarked(store: Any, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
        store.rm_file(path)


def _pulled(place: Place, mend: bool) -> None:
    def take(store: Any, key: str) -> None:
        there = f"{key}/shards"
        for marker, files in _marked(store, there, _listed(store, there)).items():
            for name, said in files.items():
                path = place.folder / "shards" / name
                if path.exists():
                    continue
                if (data := _whole(store, f"{there}/{name}", said)) is not None:
                    write(path, data)
                    continue
                complain(
                    f"damaged shard: {place.root}/{place.folder.name}/shards/{name} is not what "
                    "its marker says; left out, the run draws it again"
                )
                if mend:
                    _unmarked(store, f"{there}/{marker}")
                break
        for name in _listed(store, key):
            if name != "shards":
                write(place.folder / name, store.cat_file(f"{key}/{name}"))

    _asked(place, take)


def _pushed(place: Place, shards: Iterable[str] | None) -> None:
    here: dict[str, dict[str, str]] = {}
    for path in sorted((place.folder / "shards").glob("[!.]*")):
        shard = path.name.partition(".")[0]
        if shards is None or shard in shards:
            here.setdefault(shard, {})[path.name] = file_sha256(path)

    def give(store: Any, key: str) -> None:
        there = f"{key}/shards"
        sizes = _listed(store, there)
        store.makedirs(there, exist_ok=True)
        kept = [_put(store, there, place, shard, files, sizes) for shard, files in here.items()]
        if shards is None and all(kept):
            beside = sorted(
                (path.name for path in place.folder.glob("[!.]*") if path.is_file()),
                key=lambda name: (name == LAST, name),
            )
            for name in beside:
                store.pipe_file(f"{key}/{name}", (place.folder / name).read_bytes())

    _asked(place, give)


def _put(
    store: Any,
    there: str,
    place: Place,
    shard: str,
    files: Mapping[str, str],
    sizes: Mapping[str, int],
) -> bool:
    """Put a shard's files, {name: SHA-256}, and then their marker where they are not yet;
    False where others have drawn it differently, and it stays theirs.

    Files of the same shard that were made in another way (on another device, by other code)
    are replaced.
    """
    folder = place.folder / "shards"
    marks = {
        marker: said
        for marker, said in _marked(store, there, sizes, shard).items()
        if set(said) & set(files)
    }
    known = {name: said for one in marks.values() for name, said in one.items()}
    others = sorted(name for name in files if known.get(name, files[name]) != files[name])
    for name in others:
        theirs = _whole(store, f"{there}/{name}", known[name])
        if theirs is not None and _made((folder / name).read_bytes()) in (_made(theirs), None):
            told = "the generator is not reproducible across these machines, the first is kept"
            complain(
                f"drawn differently: shard {shard} ({name}) stands otherwise below "
                f"{place.root}; {told}"
            )
            return False
    if others:
        for marker in marks:
            _unmarked(store, f"{there}/{marker}")
    new = {
        name: said
        for name, said in files.items()
        if others or known.get(name) != said or sizes.get(name) != (folder / name).stat().st_size
    }
    for name in new:
        store.pipe_file(f"{there}/{name}", (folder / name).read_bytes())
    if new:
        store.pipe_file(
            f"{there}/{shard}.{_mark(new)}{MARK}", json.dumps(new, sort_keys=True).encode()
        )
    return True


def _made(data: bytes) -> Any:
    """How a shard's file was made, of what it says of itself:
    without its content and the images behind it.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        said = json.loads(header.pop("__metadata__")[SEAL])
        return {name: one["shape"] for name, one in header.items()}, {
            key: value for key, value in said.items() if key not in CONTENT
        }
    except (ValueError, KeyError, TypeError):
        return None
