"""Where the time of a run went, stage by stage, from the cost in its record:
`genbench run --profile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench._util.formatting import table

REST = "rest"
STAGES = {
    "start": "until the run begins: imports, the plan",
    "load": "the generator, the extractors",
    "batch": "the batch size looked for",
    "reference": "features of real images",
    "workers": "started, and waited for beyond their work",
    "check": "which shards are there",
    "sample": "the generator's calls",
    "features": "the extractors' calls",
    "paths": "latent pairs",
    "write": "shards hashed and written",
    "wait": "for the thread that writes",
    "reconstruct": "reconstructions of real images",
    "gather": "what the shards say of themselves",
    "scoring": "features read back, numbers, intervals",
    "pictures": "grids of samples",
    "latency": "single images, timed",
    REST: "everything else",
}
PER_IMAGE = ("sample", "features", "write", "wait")


def table_rows(cost: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(stage, seconds) in their order, with the rest of the whole;
    [] of a record that does not hold them.
    """
    seconds, whole = cost.get("seconds") or {}, cost.get("seconds_whole")
    if whole is None:
        return []
    known = [
        (stage, float(seconds[stage]))
        for stage in (*STAGES, *sorted(set(seconds) - set(STAGES)))
        if stage in seconds
    ]
    return [*known, (REST, max(0.0, float(whole) - sum(spent for _, spent in known)))]


def text(cost: Mapping[str, Any]) -> str:
    """The stages of a run's last call with their share of the whole, and which takes longest."""
    rows = table_rows(cost)
    if not rows:
        return (
            "no profile: the record is of a version that did not measure it; "
            "--fresh does the run again"
        )
    whole, images = max(float(cost["seconds_whole"]), 1e-9), int(cost.get("images_drawn") or 0)

    def line(stage: str, spent: float, share: str) -> list[str]:
        rate = f"{images / spent:,.1f}" if stage in PER_IMAGE and images and spent >= 0.01 else ""
        return [stage, STAGES.get(stage, ""), f"{spent:.2f}", share, rate]

    cells = [line(stage, spent, f"{spent / whole:.1%}") for stage, spent in rows]
    cells += [
        [f"{stage}, behind", "by a thread, beside these", f"{spent:.2f}", "", ""]
        for stage, spent in (cost.get("seconds_behind") or {}).items()
    ]
    cells.append(["whole", "", f"{whole:.2f}", "100.0%", ""])
    longest, most = max(rows, key=lambda row: row[1])
    first = cost.get("first_sample_seconds")
    begun = f"; the first sample was asked for after {first:.2f} s" if first is not None else ""
    return (
        f"{table(['stage', '', 'seconds', 'share', 'images/s'], cells, left=2)}\n\n"
        f"bottleneck: {longest}, {most:.2f} of {whole:.2f} s{begun}"
    )
