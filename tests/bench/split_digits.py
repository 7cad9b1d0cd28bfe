"""Writes the split of the digits: 87 of each class to train, 87 of each held out,
the 57 that remain to the extractor.

Run once; the result is committed.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

target = load_digits().target
rng = np.random.default_rng(2026)
members = [rng.permutation(np.flatnonzero(target == c)) for c in range(10)]
split = {
    "train": np.stack([m[:87] for m in members], 1).ravel().tolist(),
    "heldout": np.stack([m[87:174] for m in members], 1).ravel().tolist(),
    "rest": np.concatenate([m[174:] for m in members]).tolist(),
}
out = Path(__file__).parents[2] / "genbench" / "data" / "datasets" / "digits.json"
out.write_text(json.dumps(split) + "\n")
print({name: len(indices) for name, indices in split.items()})
