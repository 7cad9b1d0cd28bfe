"""Published numbers of real data, with the published weights and the data at hand:
what the papers' codes say of CIFAR-10, and of the ADM suite's files.

Everything lies in $GENBENCH_DATA, CIFAR-10 as torchvision keeps it. Features are computed once and
cached, as those of any reference.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch, torchvision_datasets
from genbench.api import _registry as registry
from genbench.api.dataset import Batch, Dataset
from genbench.api.metric_inputs import Arrays
from genbench.api.validation import source_of
from genbench.data.user_datasets import npz_dataset
from genbench.features.reference_cache import features_of
from genbench.generators.load import device_of
from genbench.io import weights
from genbench.io.reference_statistics import read_statistics
from genbench.selftest.reference_values import Anchor, NotRun

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

VARIABLE = "GENBENCH_DATA"
# relative: as far as two implementations of one protocol may lie apart from images to number
WHOLE_WAY = 5e-5
BATCH = 1000


def _folder() -> Path:
    if not os.environ.get(VARIABLE):
        raise NotRun("data missing")
    return Path(os.environ[VARIABLE]).expanduser()


def _weights(extractor: str) -> str:
    row = registry.find("extractors", extractor)
    found = weights.find(row.weights, source_of(row.load).parent, {})
    if found is None:
        raise NotRun("weights missing")
    return str(found.path)


@functools.cache
def _features(data: Callable[[], Dataset], split: str, extractor: str, output: str) -> Array:
    """float64 [n, d] of every image of a split, in its order."""
    path = _weights(extractor)
    return features_of(data(), split, extractor, [output], device_of("auto"), path)[output]


# CIFAR-10


@functools.cache
def _cifar10(folder: Path, train: bool) -> tuple[Array, Array]:
    """Images uint8 [n, 32, 32, 3] and labels; torchvision compares the files with their published
    hashes before it reads them.
    """
    try:
        found = torchvision_datasets.CIFAR10(str(folder), train=train, download=False)
    except RuntimeError:  # not there, or not what was published
        raise NotRun("data missing") from None
    return found.data, np.array(found.targets)


def picked(of: int, count: int) -> tuple[Any, Array]:
    """torch-fidelity's tests' choice of images: RandomState(2020), without replacement;
    the generator, for what it draws next, and the indices as drawn.
    """
    rng = np.random.RandomState(2020)
    return rng, rng.choice(of, count, replace=False)


def noisy(images: Array, count: int) -> Array:
    """Images uint8 [count, h, w, 3] of that choice with noise of deviation 64 that wraps around 0
    and 255, in the order of their indices.
    """
    rng, indices = picked(len(images), count)
    changed = np.stack(
        [(images[i] + rng.randn(*images.shape[1:]) * 64).astype(np.float32) for i in indices]
    )
    whole: Array = changed.astype(np.int64).astype(np.uint8)[np.argsort(indices)]
    return whole


def _open(split: str) -> Iterator[Batch]:
    images, labels = _cifar10(_folder(), split == "train")
    if split == "noisy":
        images = noisy(images, 5000)
        labels = np.zeros(len(images), dtype=np.int64)
    for at in range(0, len(images), BATCH):
        yield (
            torch.from_numpy(images[at : at + BATCH].transpose(0, 3, 1, 2).copy()),
            torch.from_numpy(labels[at : at + BATCH]).to(torch.int64),
        )


def _cifar10_row() -> Dataset:
    return Dataset(
        name="cifar10",
        title="CIFAR-10, and 5,000 of its test images with noise",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        resolution=32,
        splits={"train": 50_000, "heldout": 10_000, "noisy": 5000},
        open=_open,
        preparation="none",
        source="Krizhevsky 2009, as torchvision reads it",
        licence="none stated",
        recogniser="inception-tf1.logits",
        protocol="torch-fidelity",
    )


def _rows(split: str, output: str = "inception-tf1.pool", count: int = 0) -> Array:
    """Features of CIFAR-10; `count` of them by torch-fidelity's choice,
    in the order of their files.
    """
    extractor, _, name = output.partition(".")
    rows = _features(_cifar10_row, split, extractor, name)
    return rows[np.sort(picked(len(rows), count)[1])] if count else rows


def _value(
    name: str, arrays: dict[str, Array], made: dict[Any, Any] | None = None, **constants: Any
) -> float:
    return float(registry.find("metrics", name).value(Arrays(arrays, made), **constants))


def _fid(first: Array, second: Array) -> float:
    return _value("fd", {"samples": first, "reference": second}, divisor=1)


def _is(split: str, output: str, count: int = 0, **constants: Any) -> float:
    return _value("is", {"logits": _rows(split, output, count)}, **constants)


def _kid() -> float:
    both = {"samples": _rows("noisy"), "reference": _rows("train", count=5000)}
    return _value("kd_subsets", both, subsets=100, size=1000, seed=2020, shrink=0)


_TFID, _PGM = "torch-fidelity", "pytorch-gan-metrics"
_TF1, _TORCH = "inception-tf1.logits_unbiased", "inception-torch.logits_unbiased"

CIFAR10 = (
    Anchor(
        "IS of the training images",
        "11.23678",
        lambda: _is("train", _TF1, splits=10, shuffle=2020),
        f"{_TFID} README",
        11.2 * WHOLE_WAY,
    ),
    Anchor(
        "FID of training and test images",
        "3.1508",
        lambda: _fid(_rows("train"), _rows("heldout")),
        f"{_PGM} README, TensorFlow",
        3.2 * WHOLE_WAY + 5e-5,
    ),
    Anchor(
        "IS of the training images, in order",
        "11.266389361376415",
        lambda: _is("train", _TORCH, splits=10),
        f"{_PGM} tests",
        11.2 * WHOLE_WAY,
    ),
    Anchor(
        "FID of training and test images, torch's resize",
        "3.1517684858024495",
        lambda: _fid(
            _rows("train", "inception-torch.pool"), _rows("heldout", "inception-torch.pool")
        ),
        f"{_PGM} tests",
        3.2 * WHOLE_WAY,
    ),
    Anchor(
        "FID of 5,000 and 5,000",
        "10.3233274",
        lambda: _fid(_rows("train", count=5000), _rows("heldout", count=5000)),
        f"{_TFID} tests",
        1e-4,
    ),
    Anchor(
        "IS of 100 images",
        "4.51089784587268",
        lambda: _is("train", _TF1, 100, splits=10, shuffle=2020),
        f"{_TFID} tests",
        1e-4,
    ),
    Anchor("KID of noisy images", "0.4718520", _kid, f"{_TFID} tests", 1e-5),
)

# The ADM suite: files of samples and of the reference, as published


@functools.cache
def _adm(path: Path) -> Callable[[], Dataset]:
    if not path.is_file():
        raise NotRun("data missing")
    return functools.cache(lambda: npz_dataset(path))


def _suite(reference: str, samples: str, number: str) -> float:
    """A number of the suite: moments of the reference come from its file,
    its images for precision and recall too.
    """
    drawn, held = _adm(_folder() / samples), _adm(_folder() / reference)
    output = {"sfid": "spatial", "is": "logits_unbiased"}.get(number, "pool")
    rows = _features(drawn, "train", "inception-tf1", output)
    if number == "is":
        return _value("is", {"logits": rows}, block=5000)
    if number in ("precision", "recall"):
        return _value(
            number,
            {"samples": rows, "reference": _features(held, "train", "inception-tf1", "pool")},
            k=3,
            strict=0,
        )
    return _value(
        "fd",
        {"samples": rows},
        {("moments", "reference"): read_statistics(_folder() / reference)[output]},
        divisor=1,
    )


def adm_suite() -> Iterator[Anchor]:
    """The published numbers of the files that guided diffusion publishes with its suite."""
    big = ("VIRTUAL_imagenet256_labeled.npz", "admnet_guided_upsampled_imagenet256.npz")
    numbers = {
        "fid": "3.9425574129223264",
        "sfid": "6.140433703346162",
        "is": "215.8370361328125",
        "precision": "0.8265",
        "recall": "0.5309",
    }
    for number, printed in numbers.items():
        # distances in float16 there
        delta = 1e-3 if number in ("precision", "recall") else WHOLE_WAY * float(printed)
        yield Anchor(
            f"ADM 256, {number}",
            printed,
            functools.partial(_suite, *big, number),
            "guided-diffusion README",
            delta,
        )
    small = functools.partial(
        _suite, "VIRTUAL_imagenet64_labeled.npz", "admnet_imagenet64.npz", "fid"
    )
    yield Anchor("ADM 64, fid", "2.6141597041162186", small, "guided-diffusion#75", 2.6 * WHOLE_WAY)
