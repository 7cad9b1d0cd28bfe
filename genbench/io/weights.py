"""Where weights come from: named by hand, $GENBENCH_WEIGHTS, the cache, beside the row's module,
and, last, the published download.

A file that was found is the published one, or it is refused with both hashes; only a file named by
hand may be another, and its numbers say so. Where no hash is published the first one seen is
written down in the ledger, home()/weights/hashes.json, and later files of that name are held to it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench._util import atomic_write, checksummed_files, hashing
from genbench._util import cache as util_cache
from genbench._util.console import progress, tell
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.locks import locked
from genbench.api.extractor import File, Weights
from genbench.io.download import Unreached, pieces

VARIABLE = "GENBENCH_WEIGHTS"
LARGE = 2**24  # files of so many bytes are hashed once and remembered: 1 GB takes seconds


@dataclass(frozen=True)
class Found:
    """A weights file on this machine.

    published: its hash is that of one of the row's files. where: "named", "$GENBENCH_WEIGHTS",
    "cache" or "beside".
    """

    path: Path
    sha256: str
    published: bool
    form: str
    where: str


@dataclass(frozen=True)
class Present:
    """A file of a row in a place where it is looked for, hashed.

    wanted: its published hash, or the beginning of it, or the first one seen; "" for none.
    """

    file: File
    path: Path
    where: str
    sha256: str
    wanted: str

    @property
    def right(self) -> bool:
        return self.sha256.startswith(self.wanted) and self.file.bytes in (
            0,
            self.path.stat().st_size,
        )


def find(
    weights: Weights, beside: Path, named: Mapping[str, Path], option: str = ""
) -> Found | None:
    """The weights file to use, or None where there is none on this machine;
    UserError when one is there and is not what the row says.

    beside: the folder of the row's module. named: files by weights name, from
    `--weights NAME=PATH`; these are taken whatever their hash. option: what else names a file by
    hand, "--checkpoint ".
    """
    if weights.name in named:
        return _named(weights, named[weights.name])
    for one in present(weights, beside):
        if not one.right:
            raise UserError(
                f"weights {weights.name}: {_wrong(one)}; remove it, or use it by name: "
                f"{option or f'--weights {weights.name}='}{one.path}"
            )
        _hold(one)
        return Found(one.path, one.sha256, True, one.file.form, one.where)
    return None


def need(weights: Weights, beside: Path, named: Mapping[str, Path], option: str = "") -> Found:
    """As find, and the published download where nothing is found.

    UserError in one line that names the file to bring and where to put it.
    """
    found = find(weights, beside, named, option)
    if found is not None:
        return found
    file = next((one for one in weights.files if one.url), None)
    if file is None:
        raise UserError(
            f"weights {weights.name}: {weights.files[0].file} is missing beside {beside}: "
            "install its package again"
        )
    if os.environ.get("GENBENCH_OFFLINE"):
        raise UserError(_bring(weights, file, "GENBENCH_OFFLINE is set", option))
    folder = atomic_write.folder_to_write(cache(), "the cache")
    with locked(
        folder / f".{file.file}.lock", f"waiting for another genbench, which downloads {file.file}"
    ):
        if find(weights, beside, named, option) is None:
            try:
                atomic_write.write_pieces(folder / file.file, _download(file))
            except Unreached as error:
                raise UserError(_bring(weights, file, str(error), option)) from None
    found = find(weights, beside, named, option)
    assert found is not None, f"{folder / file.file} was just written"
    return found


def words(pairs: Sequence[str]) -> dict[str, Path]:
    """The words of `--weights NAME=PATH`, repeated, as {name: path};
    UserError for a word of another form and for a name given twice.

    >>> words(["inception=weights/inception.pth"])
    {'inception': PosixPath('weights/inception.pth')}
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UserError(
                f"--weights {clean(pair)!r} is not NAME=PATH; `genbench weights` lists the names"
            )
        if name in named:
            raise UserError(f"--weights names {clean(name)} twice: {named[name]} and {clean(path)}")
        named[name] = Path(path)
    return named


def known(named: Mapping[str, Path], names: Sequence[str]) -> None:
    """UserError when a file was named for weights that nobody has."""
    for name in named:
        if name not in names:
            raise UserError(
                f"--weights {clean(name)}=...: there are no weights of this name: "
                f"{choices(name, names)}"
            )


def cache() -> Path:
    """The folder to which downloads go."""
    return util_cache.home() / "weights"


def folders() -> list[tuple[str, Path]]:
    """Where files are looked for by their names, in this order:
    ("$GENBENCH_WEIGHTS" or "cache", folder).
    """
    named = [
        Path(folder).expanduser()
        for folder in os.environ.get(VARIABLE, "").split(os.pathsep)
        if folder
    ]
    return [*((f"${VARIABLE}", folder) for folder in named), ("cache", cache())]


def present(weights: Weights, beside: Path, *, again: bool = False) -> Iterator[Present]:
    """The row's files that are on this machine, in the order in which they are preferred.

    again: hash them even where the hash is remembered.
    """
    places = [
        (where, folder / one.file, one) for where, folder in folders() for one in weights.files
    ]
    places += [("beside", beside / one.file, one) for one in weights.files if not one.url]
    for where, path, file in places:
        if path.is_file():
            yield Present(file, path, where, _sha256(path, again=again), wanted(file))


def wanted(file: File) -> str:
    """The hash that a file must have: the published one, else the first one seen,
    else what its name says of it (model-7be5be79.pth); "" for nothing.

    A name that ends in eight hexadecimal digits carries the beginning of the SHA-256 (torch.hub's
    convention).
    """
    if file.sha256:
        return file.sha256
    said = re.search(r"-([0-9a-f]{8})\.\w+$", file.file)
    return _ledger()["first"].get(file.file) or (said[1] if said else "")


def _named(weights: Weights, path: Path) -> Found:
    if not path.is_file():
        raise UserError(f"--weights {weights.name}={clean(str(path))}: there is no such file")
    sha256 = _sha256(path)
    file = next(
        (one for one in weights.files if wanted(one) and sha256.startswith(wanted(one))), None
    )
    return Found(path, sha256, file is not None, file.form if file else "", "named")


def _wrong(one: Present) -> str:
    """What differs, with both hashes."""
    size = one.path.stat().st_size
    sizes = f", {size} bytes instead of {one.file.bytes}" if one.file.bytes not in (0, size) else ""
    first = (
        ""
        if one.file.sha256
        else " (the first one seen)"
        if len(one.wanted) == 64
        else " (as its name begins)"
    )
    return f"{one.path} has SHA-256 {one.sha256} instead of {one.wanted}{first}{sizes}"


def _bring(weights: Weights, file: File, why: str, option: str) -> str:
    hashed = f", SHA-256 {file.sha256}" if file.sha256 else ""
    place = f"${VARIABLE}" if os.environ.get(VARIABLE) else str(cache())
    by_hand = option or f"--weights {weights.name}="
    return (
        f"weights {weights.name} are missing ({why}): put {file.file} from {file.url}{hashed} into "
        f"{place}, or name it: {by_hand}PATH"
    )


# The download


def _download(file: File) -> Iterator[bytes]:
    """The bytes of a published file; whatever is wrong is raised before the last piece is
    taken for whole.
    """
    tell(f"weights: {file.url}")
    total, got, want = hashlib.sha256(), 0, wanted(file)
    with progress(f"weights {file.file}", file.bytes, "B") as done:
        for piece in pieces(file.url):
            total.update(piece)
            got += len(piece)
            done(len(piece))
            yield piece
    if not total.hexdigest().startswith(want) or file.bytes not in (0, got):
        size = f"{got} bytes" + (f" instead of {file.bytes}" if file.bytes not in (0, got) else "")
        raise UserError(
            f"the download {file.url} has SHA-256 {total.hexdigest()} instead of {want or 'any'}, "
            f"{size}; nothing was kept, bring the right file"
        )


# The ledger


def _path() -> Path:
    return cache() / "hashes.json"


def _ledger() -> dict[str, dict[str, Any]]:
    """{"first": {file name: hash}, "files": {path: [bytes, mtime in ns, hash]}};
    empty where there is none or it was damaged, which is said.
    """
    try:
        content = checksummed_files.read_json(_path())
    except FileNotFoundError:
        content = {}
    except (checksummed_files.Damaged, OSError) as error:
        tell(f"weights: {error}; hashes are written down anew")
        content = {}
    return {key: dict(content.get(key) or {}) for key in ("first", "files")}


def _note(key: str, name: str, value: Any) -> None:
    """Write a line into the ledger; a cache that cannot be written is told and changes
    nothing else.
    """
    try:
        atomic_write.folder_to_write(cache(), "the cache")
        with locked(
            cache() / ".hashes.lock",
            "waiting for another genbench, which writes down hashes of weights",
        ):
            ledger = _ledger()
            ledger[key].setdefault(name, value) if key == "first" else ledger[key].update(
                {name: value}
            )
            checksummed_files.write_json(_path(), ledger)
    except UserError as error:
        tell(f"weights: {error}")


def _hold(one: Present) -> None:
    """Write down the first hash seen of a file whose own is not published."""
    if not one.file.sha256 and len(one.wanted) < 64:
        tell(
            f"weights: no SHA-256 is published for {one.file.file}; {one.sha256} is written down, "
            "and later files are held to it"
        )
        _note("first", one.file.file, one.sha256)


def _sha256(path: Path, *, again: bool = False) -> str:
    """The hash of a file, remembered for large ones by path, size and time of change."""
    at = path.stat()
    if at.st_size < LARGE:
        return hashing.file_sha256(path)
    now, line = [at.st_size, at.st_mtime_ns], _ledger()["files"].get(str(path.resolve()))
    if not again and line is not None and line[:2] == now:
        return str(line[2])
    sha256 = hashing.file_sha256(path)
    _note("files", str(path.resolve()), [*now, sha256])
    return sha256
