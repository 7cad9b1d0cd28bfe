"""`genbench compare`: the same model under several rulers, or several seeds."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of run folders.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(runs: tuple[str, ...], out: Path, as_json: bool) -> None:
    """How far one model's numbers lie apart between protocols, and between seeds.

    RUN is a run folder, the beginning of an id, an entry file, or nothing for the newest. Several runs of one model with disjoint seeds show how far a
    number moves by chance, beside the standard error that each run claims.

    \b
    genbench run --plugin ddpm --protocol pytorch-fid --protocol clean --protocol torch-fidelity
    genbench compare
    """
    from genbench import rulers
    from genbench.record import find
    from genbench.say import NotComparable, UserError, answer

    try:
        named = [find(word, out) for word in runs] or [find(None, out)]
    except UserError as error:
        raise NotComparable(str(error)) from None
    found = rulers.readings(named)
    answer(json.dumps(rulers.as_plain(found), indent=1, ensure_ascii=False) if as_json else rulers.as_table(found))
