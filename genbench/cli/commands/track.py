"""`genbench track`: every checkpoint of a training, a number against the steps,
and the best of them chosen without its luck.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from genbench.cli.shared_options import data_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--plugin", "-p", required=True, metavar="NAME|FILE.py", help="The generator.")
@click.option(
    "--by",
    default="",
    metavar="METRIC",
    help="The number that is followed and chooses. Default: the protocol's first.",
)
@click.option("--whole", is_flag=True, help="Against all real images; then nothing is chosen.")
@click.option(
    "--dataset",
    "-d",
    default="digits",
    show_default=True,
    help="The real images: a name (genbench datasets), or a path.",
)
@click.option(
    "--protocol", "protocols", multiple=True, help="How numbers are taken. Default: the data set's."
)
@click.option(
    "--metrics",
    multiple=True,
    help="Only these numbers, by comma or repeated. Default: the one that is followed.",
)
@click.option("--n", type=int, help="How many samples of each. Default: the protocol's.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Range of seeds, the same for every checkpoint: differences are paired.",
)
@click.option(
    "--labels",
    default="",
    metavar="POLICY",
    help="balanced, iid or training. Default: the protocol's.",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the generator.",
)
@click.option("--batch-size", type=int, default=50, show_default=True, help="Images to a call.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("tracks"),
    show_default=True,
    help="Where picture, numbers and the chosen one's board go.",
)
@click.option(
    "--with",
    "with_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with rows of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the track as JSON.")
@click.option("--quiet", is_flag=True, help="No progress and no remarks on standard error.")
@data_options
def command(
    folder: Path,
    plugin: str,
    by: str,
    whole: bool,
    out: Path,
    to: Path,
    with_files: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
    **words: Any,
) -> None:
    """Follow a training through its checkpoints, and choose the best without its luck.

    FOLDER holds the checkpoints; each one's step is what the file says, or the last number in its
    name. All are drawn with the same seeds against one half of the real images (DATASET-even); the
    best by --by is drawn again with other seeds against the other half (DATASET-odd), and that
    is its number.

    \b
    genbench train --plugin ddpm --every 500 --out training/ddpm.safetensors
    genbench track training --plugin ddpm
    """
    from genbench._util.atomic_write import folder_to_write, write
    from genbench._util.checksummed_files import write_json
    from genbench._util.console import answer, tell
    from genbench._util.errors import UserError
    from genbench.api import _registry as registry
    from genbench.experiments import track_checkpoints
    from genbench.generators.load import locate
    from genbench.leaderboards import write_board
    from genbench.runs.planning.request import Request

    if quiet:
        os.environ["GENBENCH_QUIET"] = "1"
    for file in with_files:
        registry.add_file(file)
    for name in ("protocols", "metrics"):
        words[name] = tuple(
            part.strip() for word in words[name] for part in word.split(",") if part.strip()
        )
    if by == "all" or "," in by:
        raise UserError("--by: name one number (genbench metrics)")
    words["metrics"] = tuple(dict.fromkeys([*words["metrics"], *([by] if by else [])]))
    track = track_checkpoints.Track(
        track_checkpoints.checkpoints(folder),
        Request(**words),
        locate(plugin),
        by,
        halves=not whole,
    )
    place = folder_to_write(to, "--to") / f"{folder.resolve().name}-{Path(words['dataset']).name}"
    said, chosen = track_checkpoints.tracked(track, out)
    folder_to_write(place, "--to")
    write_json(place / "track.json", said)
    write(place / "track.png", track_checkpoints.picture(said, track.description.name))
    entered = (
        write_board.enter(chosen, to)
        if chosen is not None and all(score.status != "failed" for score in chosen.scores)
        else []
    )
    tell(
        f"{place / 'track.json'} · {place / 'track.png'}"
        + "".join(f" · board {to}/{name}" for name in entered)
    )
    answer(
        json.dumps(said, indent=1, ensure_ascii=False)
        if as_json
        else track_checkpoints.shown(said, track.description.name)
    )
