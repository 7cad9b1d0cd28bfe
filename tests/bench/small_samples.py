"""One law at many sample sizes, in one picture: the Fréchet distance falls with n,
CMMD's form as 1/n, the unbiased kernel distances stay at 0.

    python tests/bench/small_samples.py --out tests/bench/small_samples.png

Samples and 1,000 reference rows are of the same Gaussian law with the spectrum 1/k and trace 100 in
2,048 dimensions, a model of Inception's features; bands are from the least to the largest
of the draws.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np

from genbench._util.atomic_write import write
from genbench.api import Arrays
from genbench.api._registry import find
from genbench.statistics import frechet_distance

SIZES = (5, 10, 20, 50, 100, 200, 500, 1000)
M, D = 1000, 2048
PANELS = {
    "fd": "Fréchet distance",
    "kd": "kernel distance, unbiased (KID)",
    "mmd": "CMMD as published",
    "mmd_unbiased": "CMMD, unbiased",
}


def drawn(draws: int) -> dict[str, np.ndarray]:
    """{measure: float64 [draws, sizes]}."""
    scale = np.sqrt(100 / np.arange(1, D + 1) / (1 / np.arange(1, D + 1)).sum())
    found: dict[str, list[list[float]]] = {name: [] for name in PANELS}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        y, x = (rng.standard_normal((size, D)) * scale for size in (M, SIZES[-1]))
        still = frechet_distance.fit(y)
        for name, kept in found.items():
            value = find("metrics", name).value if name != "fd" else None
            kept.append(
                [
                    frechet_distance.distance(x[:n], still)
                    if value is None
                    else value(Arrays({"samples": x[:n], "reference": y}))
                    for n in SIZES
                ]
            )
        print(
            {name: [round(one, 3) for one in kept[-1]] for name, kept in found.items()}, flush=True
        )
    return {name: np.array(kept) for name, kept in found.items()}


def picture(found: dict[str, np.ndarray]) -> bytes:
    """A panel to a measure, n on a logarithmic axis."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(13, 3), layout="constrained")
    for panel, (name, title) in zip(panels, PANELS.items(), strict=True):
        values = found[name]
        panel.fill_between(
            SIZES, values.min(0), values.max(0), color="tab:blue", alpha=0.25, linewidth=0
        )
        panel.plot(SIZES, values.mean(0), "o-", color="tab:blue", markersize=3)
        panel.axhline(0, color="grey", linewidth=0.8)
        panel.set(xscale="log", title=title, xlabel="samples")
    panels[0].set_ylabel("of one and the same law")
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=110)
        return file.getvalue()


def main() -> None:
    """Draw, and write the picture."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--draws", type=int, default=5)
    words.add_argument("--out", type=Path, default=Path("small_samples.png"))
    given = words.parse_args()
    write(given.out, picture(drawn(given.draws)))


if __name__ == "__main__":
    main()
