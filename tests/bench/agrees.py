"""Compares a fresh board with the committed one: every entry of the fresh one must stand there with
the same values to a relative 1e-3.

python tests/bench/agrees.py leaderboards/digits FRESH/leaderboards/digits
"""

import sys
from pathlib import Path

import pandas as pd

TOLERANCE = 1e-3

committed, fresh = (
    pd.read_csv(Path(folder) / "table.csv").set_index("generator") for folder in sys.argv[1:3]
)
metrics = [
    name.removesuffix("_low") for name in fresh if name.endswith("_low") and name != "rank_low"
]
worst = 0.0
for generator in fresh.index:
    for name in metrics:
        ours, theirs, error = (
            fresh.loc[generator, name],
            committed.loc[generator, name],
            fresh.loc[generator, f"{name}_se"],
        )
        if pd.isna(ours) and pd.isna(theirs):
            continue
        away = abs(ours - theirs) / max(abs(theirs), 0 if pd.isna(error) else error)
        worst = max(worst, away)
        print(f"{generator:24} {name:24} {ours:.6g} committed {theirs:.6g} apart {away:.2g}")
print(f"largest difference {worst:.2g}, allowed {TOLERANCE}")
sys.exit(int(worst > TOLERANCE))
