"""`genbench selftest`: does this installation compute what the papers' codes compute?"""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Prove an installation: measure again what the published codes and the committed board say.

    Without network: arithmetic and resizes on seeded arrays, and the shipped digits models (half a
    minute). With published weights and with CIFAR-10 or the ADM suite's files in $GENBENCH_DATA
    also the published numbers of real data. Exit 5 when something differs by more than is allowed.
    """
    from genbench._util.console import answer
    from genbench.selftest import selftest

    found = list(selftest.checks())
    answer(
        json.dumps(selftest.plain(found), indent=1, ensure_ascii=False, allow_nan=False)
        if as_json
        else selftest.shown(found)
    )
    return 5 if any(one.failed for one in found) else 0
