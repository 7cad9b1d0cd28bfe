"""`digits`: the 1,797 real handwritten digits that scikit-learn ships, a fixed split of them:
real images without any download.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genbench._util.lazy_imports import F, np, sklearn_datasets, torch
from genbench.api.dataset import Batch, Dataset

# indices into scikit-learn's order, written by tests/bench/split_digits.py
SPLIT = Path(__file__).with_name("digits.json")
FILE = "datasets/data/digits.csv.gz"  # in scikit-learn's folder


@functools.cache
def _digits() -> tuple[Any, Any]:
    """scikit-learn's digits, float64 [1797, 8, 8] of 0 to 16, and their classes int64 [1797]:
    from its file, as importing it takes two seconds.
    """
    found = importlib.util.find_spec("sklearn")
    places = (
        [Path(place) / FILE for place in (found.submodule_search_locations or ())] if found else []
    )
    if place := next((place for place in places if place.is_file()), None):
        with gzip.open(place, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    digits = sklearn_datasets.load_digits()
    return digits.images, digits.target


def open_digits(split: str) -> Iterator[Batch]:
    """One batch: the split's images in the order of its committed indices,
    which go through the classes in turn (image k has class k mod 10).
    """
    images, target = _digits()
    indices = np.array(json.loads(SPLIT.read_text())[split])
    small = torch.from_numpy((images[indices] / 16 * 255).round()).to(torch.float32)[:, None]
    large = (
        F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
        .round()
        .to(torch.uint8)
    )
    yield large.repeat(1, 3, 1, 1), torch.from_numpy(target[indices]).to(torch.int64)


DIGITS = Dataset(
    name="digits",
    title="1,797 real handwritten digits, 32x32, 10 classes (in the package, no download)",
    classes=tuple("0123456789"),
    resolution=32,
    splits={"train": 870, "heldout": 870, "rest": 57},
    open=open_digits,
    preparation=(
        "8x8 grey levels 0..16; images/16*255 rounded, interpolate(bilinear, align_corners=False) "
        "to 32x32, rounded, repeated to three channels"
    ),
    source=(
        "UCI optical recognition of handwritten digits (Alpaydin & Kaynak 1998), the test part, "
        "as scikit-learn ships it"
    ),
    licence="CC BY 4.0",
    recogniser="digits.logits",
    protocol="digits",
)
