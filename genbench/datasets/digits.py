"""`digits`: the 1,797 real handwritten digits that scikit-learn ships, a fixed split of them: real images without any download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from genbench.lazy import F, np, sklearn_datasets, torch
from genbench.rows import Batch, Dataset

SPLIT = Path(__file__).with_name("digits.json")  # indices into scikit-learn's order, written by tests/bench/split_digits.py


def open_digits(split: str) -> Iterator[Batch]:
    """One batch: the split's images in the order of its committed indices, which go through the classes in turn (image k has class k mod 10)."""
    digits = sklearn_datasets.load_digits()
    indices = np.array(json.loads(SPLIT.read_text())[split])
    small = torch.from_numpy((digits.images[indices] / 16 * 255).round()).to(torch.float32)[:, None]
    large = F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False).round().to(torch.uint8)
    yield large.repeat(1, 3, 1, 1), torch.from_numpy(digits.target[indices]).to(torch.int64)


DIGITS = Dataset(
    name="digits",
    title="1,797 real handwritten digits, 32x32, 10 classes (in the package, no download)",
    classes=tuple("0123456789"),
    resolution=32,
    splits={"train": 870, "heldout": 870, "rest": 57},
    open=open_digits,
    preparation="8x8 grey levels 0..16; images/16*255 rounded, interpolate(bilinear, align_corners=False) to 32x32, rounded, repeated to three channels",
    source="UCI optical recognition of handwritten digits (Alpaydin & Kaynak 1998), the test part, as scikit-learn ships it",
    licence="CC BY 4.0",
    recogniser="digits.logits",
    protocol="digits",
)
