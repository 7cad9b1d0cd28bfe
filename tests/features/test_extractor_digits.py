"""The extractor `digits` reads digits, one image at a time,
and its shipped weights are the ones its row names.
"""

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import genbench.features.extractors.digits as leaf
from genbench.data.datasets.digits import open_digits
from genbench.features.extractors.digits import DIGITS

FILE = Path(leaf.__file__).with_name(DIGITS.weights.files[0].file)


@pytest.fixture(scope="module")
def extract():
    return DIGITS.load("cpu", FILE)


def split(name):
    ((images, labels),) = open_digits(name)
    return images, labels


def test_accuracy(extract):
    """At least 98 % of the held-out images, which its training never saw, are recognised."""
    images, labels = split("heldout")
    assert (extract(images)["logits"].argmax(1) == labels).double().mean() >= 0.98


def test_outputs(extract):
    """The outputs are float32 with the names and widths of the row, without gradients."""
    rows = extract(split("rest")[0][:3])
    assert {name: row.shape for name, row in rows.items()} == {
        name: (3, width) for name, width in DIGITS.outputs.items()
    }
    assert all(row.dtype == torch.float32 and not row.requires_grad for row in rows.values())


def test_rows_are_independent(extract):
    """An image's features do not depend on the batch it comes in."""
    images, _ = split("rest")
    together = extract(images)
    alone = [extract(image[None]) for image in images]
    for name, rows in together.items():
        torch.testing.assert_close(
            torch.cat([row[name] for row in alone]), rows, rtol=1e-5, atol=1e-5
        )


def test_scale(extract):
    """The pool is scaled so that the mean of |x|^2 / 64 over the training images is 1."""
    assert extract(split("train")[0])["pool"].double().square().mean().item() == pytest.approx(
        1, abs=1e-3
    )


def test_pool_has_full_rank(extract):
    """On held-out images no dimension of the pool is dead:
    the covariance has 64 eigenvalues above a millionth of the largest.
    """
    values = torch.linalg.eigvalsh(torch.cov(extract(split("heldout")[0])["pool"].double().T))
    assert (values > 1e-6 * values.max()).all()


def test_other_sizes(extract):
    """Digits of 64x64 pixels are resized to what the network has seen and recognised as well."""
    images, labels = split("heldout")
    large = (
        F.interpolate(images.float(), size=(64, 64), mode="bilinear", align_corners=False)
        .round()
        .to(torch.uint8)
    )
    assert (extract(large)["logits"].argmax(1) == labels).double().mean() >= 0.98


def test_shipped_file():
    """The committed weights are under 1 MB and have the SHA-256 and size that the row names."""
    content = FILE.read_bytes()
    assert len(content) == DIGITS.weights.files[0].bytes < 1_000_000
    assert hashlib.sha256(content).hexdigest() == DIGITS.weights.files[0].sha256
