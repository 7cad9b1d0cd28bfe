"""Shares of a run that were drawn in several folders, brought together:
shard files are whole or absent, so a union of folders is a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.checksummed_files import Damaged, read_arrays, read_json
from genbench._util.console import complain
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.io.remote_storage import is_url, opened, runs

PLAN = "plan.json"


@dataclass(frozen=True)
class Merged:
    """A run's folder, its shards and their files, how many of these are new there,
    and the shards that two folders have drawn differently.
    """

    folder: Path
    shards: int
    files: int
    new: int
    different: tuple[str, ...]


def merged(folders: Sequence[str], out: Path) -> list[Merged]:
    """Every run in the given folders (run folders, folders of them, or URLs of results roots) in
    out/<run id>; what is there already stays as it is.
    """
    found_in: dict[str, list[Path]] = {}
    for folder in folders:
        found = sorted(_below(folder) if is_url(folder) else _runs(Path(folder)))
        if not found:
            raise UserError(
                f"{clean(folder)} holds no run: name run folders, a folder of them, "
                "or the URL that --out was"
            )
        for run in found:
            found_in.setdefault(run.name, []).append(run)
    return [_one(out, name, sources) for name, sources in found_in.items()]


def _runs(folder: Path) -> Iterator[Path]:
    yield from (
        path.parent for path in [folder / PLAN, *folder.glob(f"*/{PLAN}")] if path.is_file()
    )


def _below(url: str) -> Iterator[Path]:
    """The copies of the runs below a URL."""
    for run in runs(url):
        place = opened(url, run)
        place.pull(mend=False)
        yield place.folder


def _one(out: Path, name: str, sources: Sequence[Path]) -> Merged:
    folder = folder_to_write(folder_to_write(out, "--out") / name, "the run's folder")
    # of each shard (and file that is not of its images): the images behind it
    drawn: dict[tuple[str, str], str] = {}
    sound: set[str] = set()
    new, different = 0, set()
    for source in dict.fromkeys([folder, *sources]):
        _same_plan(folder, source)
        for path in sorted(source.glob("shards/*.safetensors")):
            try:
                meta = read_arrays(path)[1]
            except Damaged as error:
                complain(f"damaged shard: {error}; left out, the run draws it again")
                continue
            shard, images = path.name.partition(".")[0], meta.get("images", "")
            if drawn.setdefault((shard, path.name if not images else ""), images) != images:
                different.add(shard)
            elif path.name not in sound:
                sound.add(path.name)
                if source != folder:
                    write(folder / "shards" / path.name, path.read_bytes())
                    new += 1
    return Merged(
        folder,
        len({name.partition(".")[0] for name in sound}),
        len(sound),
        new,
        tuple(sorted(different)),
    )


def _same_plan(folder: Path, source: Path) -> None:
    """Whether a folder's plan is that of the others, which one that has none yet takes over;
    UserError where its images were decided otherwise.
    """
    try:
        plan = read_json(source / PLAN)
    except FileNotFoundError:
        return
    except Damaged as error:
        raise UserError(f"{error}; draw that share again") from None
    try:
        there = read_json(folder / PLAN)
    except (FileNotFoundError, Damaged):
        write(folder / PLAN, (source / PLAN).read_bytes())
        return
    for key in ("identity", "batch_size"):
        if there[key] != plan[key]:
            raise UserError(
                f"{clean(str(source))} was drawn with another {key} than {clean(str(folder))}: "
                "draw it again with the same words"
            )
