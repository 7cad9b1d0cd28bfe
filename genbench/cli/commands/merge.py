"""`genbench merge`: shares of a run that were drawn in several folders, in one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER|URL...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
def command(folders: tuple[str, ...], out: Path) -> None:
    """Bring shares of a run together that `genbench run --shard K/N` drew in several folders.

    FOLDER is a run folder or a folder of them, URL that of a results root (--out s3://bucket/runs).
    Damaged shards are left out and named. A shard that two folders have drawn differently shows a
    generator that is not reproducible across their machines: it is named, the first is kept, and
    the status is 3.

    \b
    genbench run --plugin ddpm --shard 1/2 --out here
    genbench run --plugin ddpm --shard 2/2 --out there
    genbench merge here there && genbench run --plugin ddpm
    """
    from genbench._util.console import answer
    from genbench._util.errors import NotComparable
    from genbench.runs.merge_shards import merged

    found = merged(folders, out)
    for one in found:
        then = (
            "genbench run with the words of its shares, without --shard, draws what is "
            "missing and scores it"
        )
        answer(
            f"{one.folder}: {one.shards} shards in {one.files} files, {one.new} of them new; {then}"
        )
    apart = [f"{shard} of {one.folder.name}" for one in found for shard in one.different]
    if apart:
        said = f"{', '.join(apart[:5])}{' and others' if len(apart) > 5 else ''}"
        raise NotComparable(
            f"drawn differently in two folders: shard {said}; the generator is not reproducible "
            "across these machines, the first was kept"
        )
