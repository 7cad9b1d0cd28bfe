"""`genbench cache`: where things are kept, whether they are whole, and room."""

from __future__ import annotations

import click


@click.group(invoke_without_command=True, subcommand_metavar="[where | verify | gc]")
@click.pass_context
def command(ctx: click.Context) -> None:
    """What is kept between runs: where it lies, whether it is whole, and what may go.

    \b
    genbench cache verify
    genbench cache gc --yes
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(where)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def where(as_json: bool = False) -> None:
    """The folders in use, their sizes, and what names them:
    $GENBENCH_HOME, $XDG_CACHE_HOME, $GENBENCH_WEIGHTS, $GENBENCH_DATA.
    """
    import json

    from genbench._util.console import answer
    from genbench._util.formatting import table
    from genbench.runs import cache_upkeep

    found = cache_upkeep.places()
    if as_json:
        plain = [
            {
                "what": one.what,
                "named": one.named,
                "folder": str(one.path),
                "files": one.files,
                "bytes": one.bytes,
            }
            for one in found
        ]
        answer(json.dumps(plain, indent=1, ensure_ascii=False))
        return
    rows = [
        (
            f"{'' if one.named else '  '}{one.what}",
            one.named,
            str(one.path),
            str(one.files),
            f"{one.bytes / 1e6:.1f}",
        )
        for one in found
    ]
    answer(table(("kept", "named by", "folder", "files", "MB"), rows, left=3))


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(as_json: bool) -> None:
    """Read every sealed file of the cache and hash every downloaded weights file;
    those that are not what they were are named, and the status is 5.
    """
    import json

    from genbench._util.console import answer
    from genbench._util.errors import RunFailed
    from genbench._util.formatting import clean
    from genbench.runs import cache_upkeep

    count, damaged = cache_upkeep.verify()
    if as_json:
        answer(
            json.dumps(
                {
                    "files": count,
                    "damaged": [{"path": str(path), "why": why} for path, why in damaged],
                },
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        answer(
            "\n".join(
                [
                    f"{count - len(damaged)} of {count} files are whole",
                    *(clean(f"{path} {why}") for path, why in damaged),
                ]
            )
        )
    if damaged:
        raise RunFailed(
            f"{len(damaged)} of {count} files of the cache are damaged; genbench cache gc --yes "
            "removes those that are made again by themselves"
        )


@command.command()
@click.option("--yes", is_flag=True, help="Remove them; without it they are only listed.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is whole and up to date, and made again when it is needed.",
)
@click.option(
    "--downloads", is_flag=True, help="Also weights that were downloaded, and are fetched again."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(yes: bool, everything: bool, downloads: bool, as_json: bool) -> None:
    """List what nothing of today reads: damaged files, features of other code,
    what killed processes left. --yes removes it.

    Data sets are never touched, nor what a link leads to, nor a file that another genbench
    is fetching.
    """
    import json

    from genbench._util.console import answer, tell
    from genbench._util.formatting import clean, table
    from genbench.runs import cache_upkeep

    found, busy = cache_upkeep.waste(everything=everything, downloads=downloads)
    if yes:
        cache_upkeep.remove([one.path for one in found])
    if as_json:
        plain = [{"path": str(one.path), "bytes": one.bytes, "why": one.why} for one in found]
        answer(
            json.dumps(
                {"removed": yes, "files": plain, "busy": [str(path) for path in busy]},
                indent=1,
                ensure_ascii=False,
            )
        )
        return
    if found:
        answer(
            table(
                ("file", "why", "MB"),
                [(str(one.path), one.why, f"{one.bytes / 1e6:.1f}") for one in found],
                left=2,
            )
        )
    total = f"{len(found)} files, {sum(one.bytes for one in found) / 1e6:.1f} MB"
    answer(
        (f"{total} removed" if yes else f"{total}; genbench cache gc --yes removes them")
        if found
        else "nothing to remove"
    )
    for path in busy:
        tell(clean(f"{path} is left: another genbench is at work on it"))
