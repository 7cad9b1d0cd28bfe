"""Populations of known kind for the coverage benchmark, and what a metric is given of one draw:
every need, at every n.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genbench.api import Arrays
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.features.extraction import ahead_of_rows, sums_of_rows
from genbench.generators import generator, load, seeded_noise
from genbench.io import weights
from genbench.statistics.blocks import blocks_of

Rows = dict[str, np.ndarray]
DIGITS_N, DIGITS_CLASSES = 870, 10
CENTRES = {16: 4, 64: 7, 256: 10}  # components of the mixture of each width
ABOUT = {
    "mix16": "a mixture of 4 Gaussians at d = 16",
    "mix64": "a mixture of 7 Gaussians at d = 64",
    "mix256": "a mixture of 10 Gaussians at d = 256",
    "inception64": (
        "3,670 real Inception features on their 64 leading principal components, "
        "drawn with replacement: samples and reference hold copies"
    ),
    "inception2048": (
        "3,670 real Inception features at full width, drawn with replacement: "
        "samples and reference hold copies"
    ),
    "digits": "Gaussians with the moments of real digits, d = 64",
    "equal": "both sides from it",
    "worse": "samples moved and narrowed",
    "classes": "both from one Gaussian per class, in balanced order",
}


@dataclass(frozen=True)
class Cell:
    """One population at one n (and as many of the reference and of the training split)."""

    family: str
    kind: str  # equal, worse, classes, or a shipped generator
    d: int
    n: int
    weight: float = 1.0  # of the benchmark's time

    @property
    def name(self) -> str:
        return f"{self.family}-{self.kind}"

    @property
    def shipped(self) -> bool:
        return self.kind not in ("equal", "worse", "classes")

    @property
    def null(self) -> Cell:
        """The cell in which both sides have the reference's distribution."""
        return (
            self
            if self.kind in ("equal", "classes")
            else Cell(
                self.family,
                "equal" if self.kind == "worse" else "classes",
                self.d,
                self.n,
                self.weight,
            )
        )


def cells() -> list[Cell]:
    """Every cell, those of one n together, the dear ones last:
    what the cheap ones leave of their time is theirs.
    """
    found = [
        Cell(f"mix{d}", kind, d, int(d * times))
        for d in CENTRES
        for times in (0.5, 2, 10)
        for kind in ("equal", "worse")
    ]
    found += [Cell("digits", kind, 64, DIGITS_N) for kind in ("equal", "worse", "classes")]
    if features_file().exists():
        found += [
            Cell("inception64", kind, 64, n) for n in (128, 640) for kind in ("equal", "worse")
        ]
        found += [Cell("inception2048", "equal", 2048, n, 4.0) for n in (1024, 4096)]
    return sorted(found, key=lambda cell: (cell.n * cell.d, cell.family))


# Sides: rows x [n, d], logits [n, C], labels [n]


def side(cell: Cell, rng: np.random.Generator, *, ours: bool) -> Rows:
    """A fresh draw of one side of a cell: the samples', or the reference's."""
    worse = ours and cell.kind == "worse"
    if cell.family.startswith("mix"):
        return mixture(cell.d, cell.n, rng, worse=worse)
    if cell.family.startswith("inception"):
        return resampled(cell.d, cell.n, rng, worse=worse)
    return digits_like(cell.kind, rng, ours=ours)


def mixture(d: int, n: int, rng: np.random.Generator, *, worse: bool) -> Rows:
    """Components of one covariance, whose standard deviations fall as 1/sqrt(j);
    the logits are those of the right classifier.

    Whitened, the centres have length 2.3 (about 3.3 apart). Worse: narrowed to 0.9 about the origin
    and moved by 1 in whitened space.
    """
    centres = np.random.default_rng(d).normal(size=(CENTRES[d], d))
    centres *= 2.3 / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.arange(n) % len(centres)
    white = centres[labels] + rng.normal(size=(n, d))
    if worse:
        white = 0.9 * white + d**-0.5
    return {
        "x": white / np.sqrt(np.arange(1, d + 1)),
        "logits": white @ centres.T - 0.5 * 2.3**2,
        "labels": labels,
    }


def features_file() -> Path:
    """The real Inception features: of $GENBENCH_TEST_DATA,
    else of shared/data beside the checkout.
    """
    named = os.environ.get("GENBENCH_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data"
    return folder / "flowers-inception-pool3.npz"


@functools.cache
def flowers(d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real features [3670, d], logits of a linear discriminant on 64 principal components,
    labels.
    """
    with np.load(features_file()) as file:
        x, names = file["features"].astype(np.float64), file["labels"]
    labels = np.unique(names, return_inverse=True)[1]
    mean = x.mean(0)
    found = (x - mean) @ np.linalg.eigh(np.cov(x, rowvar=False))[1][:, :-65:-1]
    centres = np.stack([found[labels == c].mean(0) for c in range(labels.max() + 1)])
    within = np.cov(found - centres[labels], rowvar=False)
    towards = np.linalg.solve(within, centres.T)
    return (found if d == 64 else x), found @ towards - 0.5 * (centres.T * towards).sum(0), labels


def resampled(d: int, n: int, rng: np.random.Generator, *, worse: bool) -> Rows:
    """Real rows with replacement, balanced by class.

    Worse: narrowed to 0.9 about the mean and moved by a fifth of each feature's deviation.
    """
    x, logits, of = flowers(d)
    labels = np.arange(n) % (of.max() + 1)
    rows = np.empty(n, dtype=np.int64)
    for c in range(of.max() + 1):
        rows[labels == c] = rng.choice(np.flatnonzero(of == c), int((labels == c).sum()))
    found = x[rows]
    if worse:
        found = x.mean(0) + 0.9 * (found - x.mean(0)) + 0.2 * x.std(0)
    return {"x": found, "logits": logits[rows], "labels": labels}


# Digits


def features(images: torch.Tensor) -> Rows:
    row = registry.find("extractors", "digits")
    extract = row.load("cpu", weights.need(row.weights, source_of(row.load).parent, {}).path)
    return {name: found.to(torch.float64).numpy() for name, found in extract(images).items()}


@functools.cache
def digits() -> dict[str, tuple[Rows, np.ndarray]]:
    """Features and labels of the held-out and of the training images."""
    row = registry.find("datasets", "digits")
    opened = {
        split: [torch.cat(parts) for parts in zip(*row.open(split), strict=True)]
        for split in ("heldout", "train")
    }
    return {split: (features(images), labels.numpy()) for split, (images, labels) in opened.items()}


@functools.cache
def fitted(what: str, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and factor of the covariance of real features: of one class of the held-out images,
    or (c = -1) of all 1,740.
    """
    (held, labels), (train, _) = digits().values()
    like = held[what][labels == c] if c >= 0 else np.concatenate([held[what], train[what]])
    values, vectors = np.linalg.eigh(np.cov(like, rowvar=False))
    return like.mean(0), (vectors * np.sqrt(np.maximum(values, 0))).T


def gaussian(rng: np.random.Generator, what: str, c: int, n: int) -> np.ndarray:
    mean, factor = fitted(what, c)
    return mean + rng.normal(size=(n, len(mean))) @ factor


def by_class(rng: np.random.Generator, what: str, labels: np.ndarray) -> np.ndarray:
    found = np.empty((len(labels), len(fitted(what, 0)[0])))
    for c in range(DIGITS_CLASSES):
        found[labels == c] = gaussian(rng, what, c, int((labels == c).sum()))
    return found


def digits_like(kind: str, rng: np.random.Generator, *, ours: bool) -> Rows:
    """Logits from one Gaussian per class; features from one for all,
    or (classes, generators) one per class.

    Worse: moved by 0.3 and narrowed to 0.8.
    """
    labels = np.arange(DIGITS_N) % DIGITS_CLASSES
    x = (
        gaussian(rng, "pool", -1, DIGITS_N)
        if kind in ("equal", "worse")
        else by_class(rng, "pool", labels)
    )
    if ours and kind == "worse":
        x = 0.3 + 0.8 * x
    return {"x": x, "logits": by_class(rng, "logits", labels), "labels": labels}


@functools.cache
def plugin(name: str) -> Any:
    description = load.locate(name)
    return generator.construct(
        description,
        {},
        load.checkpoint_of(description, registry.find("datasets", "digits"), None),
        "cpu",
        None,
    )


def rendered(name: str, place: int) -> Rows:
    """The samples of a shipped generator with the seeds of --seed PLACE."""
    labels = np.arange(DIGITS_N) % DIGITS_CLASSES
    found = features(
        plugin(name).draw(
            np.arange(DIGITS_N), seeded_noise.first_seed(place), labels, DIGITS_N, "round"
        )
    )
    return {"x": found["pool"], "logits": found["logits"], "labels": labels}


# Draws


@functools.lru_cache(maxsize=2)
def real(cell: Cell) -> tuple[Rows, Rows]:
    """The reference and the training split that stay while samples are drawn again."""
    if cell.shipped:
        one, other = (
            {"x": rows["pool"], "logits": rows["logits"], "labels": labels}
            for rows, labels in digits().values()
        )
        return one, other
    one, other = (side(cell.null, np.random.default_rng([10**9, k]), ours=False) for k in (0, 1))
    return one, other


def draw(cell: Cell, place: int, *, fresh: bool) -> tuple[Arrays, dict[str, np.ndarray]]:
    """The place-th draw of a cell: every need, and the block of each row of each side.

    fresh: reference and training split are drawn again too. Pairs are lognormal, whatever the cell.
    """
    rng = np.random.default_rng([place, int(fresh)])
    ours = rendered(cell.kind, place) if cell.shipped else side(cell, rng, ours=True)
    reference, train = (side(cell.null, rng, ours=False) for _ in range(2)) if fresh else real(cell)
    blocks = {
        "samples": blocks_of(ours["labels"]),
        "reference": blocks_of(reference["labels"]),
        "train": blocks_of(train["labels"]),
    }
    rows = {
        "samples": ours["x"],
        "logits": ours["logits"],
        "labels": ours["labels"],
        "pairs": rng.lognormal(size=len(ours["x"])),
    }
    sums = sums_of_rows(ours["x"], blocks["samples"], ours["labels"])
    rows |= {
        "reference": reference["x"],
        "reference_logits": reference["logits"],
        "train": train["x"],
        "sums": sums,
        "ahead": ahead_of_rows(ours["x"], ours["labels"]),
    }
    return Arrays(rows), blocks
