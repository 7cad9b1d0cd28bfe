"""The metrics of memorisation: planted copies are seen and honest samples are not;
each against a slow or foreign implementation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

import genbench
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.leaderboards import write_board

NAMES = ("authpct", "nearest_train", "duplicates", "ct", "fls", "fls_overfit")


def module_of(name: str) -> dict[str, object]:
    """What stands in the file of a metric; leaves are imported by nobody."""
    return registry.find("metrics", name).value.__globals__


def values(**sides: np.ndarray) -> dict[str, float]:
    arrays = Arrays(sides)
    return {name: registry.find("metrics", name).value(arrays) for name in NAMES}


def real(rng: np.random.Generator, n: int) -> np.ndarray:
    """Images of three kinds, in features that are wide in a few directions."""
    return rng.normal(size=(n, 20)) * np.arange(1, 21) ** -0.7 + 2 * np.eye(3, 20)[np.arange(n) % 3]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, float]]:
    """Every metric of honest samples, of copies of training images, of slightly changed copies,
    and of samples half of which are repeated.
    """
    rng = np.random.default_rng(0)
    train, held, honest = (real(rng, 600) for _ in range(3))
    copies = train[rng.permutation(600)[:500]]
    kinds = {
        "honest": honest,
        "copies": copies,
        "near copies": copies + 0.01 * rng.normal(size=copies.shape),
        "repeated": honest[np.arange(600) % 450],
    }
    return {
        kind: values(samples=samples, train=train, reference=held)
        for kind, samples in kinds.items()
    }


def test_honest_samples_are_not_called_copies(found):
    """A fresh draw of the same distribution lies where each definition says that honesty lies."""
    honest = found["honest"]
    assert 50 < honest["authpct"] < 85
    assert honest["nearest_train"] == pytest.approx(1, abs=0.05)
    assert honest["duplicates"] == pytest.approx(0.01, abs=0.02)
    assert abs(honest["ct"]) < 3
    assert honest["fls"] == pytest.approx(100, abs=3)
    assert abs(honest["fls_overfit"]) < 15


@pytest.mark.parametrize("kind", ["copies", "near copies"])
def test_copies_of_training_images_are_seen(found, kind):
    """Copies, exact or nearly so, push AuthPct and the ratio of distances to 0, C_T far below 0,
    and FLS's share far up.
    """
    copies, honest = found[kind], found["honest"]
    assert copies["authpct"] < 2
    assert copies["nearest_train"] < 0.1
    assert copies["ct"] < -10
    assert copies["fls_overfit"] > honest["fls_overfit"] + 10
    assert copies["duplicates"] < 0.05  # none of them is there twice


def test_repeated_samples_are_duplicates(found):
    """Half of the samples are there twice, and nothing else changes much."""
    assert found["repeated"]["duplicates"] == pytest.approx(0.5, abs=0.02)
    assert found["repeated"]["nearest_train"] == pytest.approx(1, abs=0.05)


def test_honest_samples_have_one_in_a_hundred_duplicates_at_every_size():
    """The threshold follows n and m, so that the expectation does not."""
    rng = np.random.default_rng(1)
    row = registry.find("metrics", "duplicates")
    for n, m in ((400, 400), (1200, 400), (400, 1200)):
        mean = np.mean(
            [
                row.value(Arrays({"samples": real(rng, n), "reference": real(rng, m)}))
                for _ in range(40)
            ]
        )
        assert mean == pytest.approx(0.01, abs=0.005), (n, m)


def test_authpct_constant():
    """dgm-eval's figure on seeded arrays, train x and generated y,
    and its formula on all distances.
    """
    rng = np.random.RandomState(0)
    x = rng.randn(1000, 64).astype(np.float32).astype(np.float64)
    y = (rng.randn(1000, 64) * 1.1 + 0.1).astype(np.float32).astype(np.float64)
    value = registry.find("metrics", "authpct").value(Arrays({"samples": y, "train": x}))
    assert value == pytest.approx(93.9, abs=1e-9)
    own, to = cdist(x, x), cdist(y, x)
    np.fill_diagonal(own, np.inf)
    assert value == pytest.approx(100 * (own.min(1)[to.argmin(1)] < to.min(1)).mean(), abs=1e-9)


def test_nearest_train_is_a_median_of_ratios():
    """The median of the ratio of distances; an image that is in both splits says nothing,
    and a copy of a held-out one is not infinitely far.
    """
    rng = np.random.default_rng(2)
    sides = {
        "samples": rng.normal(size=(31, 4)),
        "train": rng.normal(size=(40, 4)),
        "reference": rng.normal(size=(30, 4)),
    }
    row = registry.find("metrics", "nearest_train")
    expected = np.median(
        cdist(sides["samples"], sides["train"]).min(1)
        / cdist(sides["samples"], sides["reference"]).min(1)
    )
    assert row.value(Arrays(sides)) == pytest.approx(expected, rel=1e-9)
    assert row.value(Arrays({**sides, "samples": sides["reference"]})) == 1e6
    assert (
        row.value(Arrays({**sides, "samples": sides["reference"], "train": sides["reference"]}))
        == 1
    )


def test_nearest_pairs_for_the_picture():
    """The samples of the smallest ratio come first, with the training image they are nearest to;
    one that is near to both kinds of images is no copy.
    """
    rng = np.random.default_rng(3)
    samples, train, held = (
        rng.normal(size=(50, 6)),
        rng.normal(size=(60, 6)),
        rng.normal(size=(40, 6)),
    )
    samples[7], samples[30] = train[11], train[4] + 1e-3
    samples[9] = held[5] = train[2]
    ours, images, ratios = registry.find("metrics", "nearest_train").closest(
        Arrays({"samples": samples, "train": train, "reference": held})
    )
    assert (ours[:2].tolist(), images[:2].tolist()) == ([7, 30], [11, 4])
    assert 9 not in ours
    expected = cdist(samples, train).min(1) / np.maximum(cdist(samples, held).min(1), 1e-9)
    expected[9] = 1
    np.testing.assert_allclose(ratios, np.sort(expected)[:8], rtol=1e-9)
    np.testing.assert_array_equal(images, cdist(samples, train).argmin(1)[ours])


COPIER = """
import torch
import genbench

class Copier:
    classes = 10

    def __init__(self, dataset):
        self.images = torch.cat([images for images, _ in dataset.open("train")])

    @genbench.hookimpl
    def sample(self, n, seeds, labels):
        made = (genbench.uniform(seeds, (3, 32, 32), device="cpu") * 255).to(torch.uint8)
        copies = seeds % 50 == 7
        made[copies] = self.images[seeds[copies]]
        return made
"""


def test_a_run_shows_its_closest_pairs(tmp_path):
    """nearest.png stands in the run's folder and on the board:
    copies above the images that they are of; not where the metric was not taken.
    """
    (tmp_path / "copier.py").write_text(COPIER)
    words = {"n": 400, "out": tmp_path / "runs"}
    first = genbench.evaluate(f"{tmp_path / 'copier.py'}:Copier", metrics="fd", **words)
    assert not list(Path(first.folder).glob("nearest.png"))
    found = genbench.evaluate(f"{tmp_path / 'copier.py'}:Copier", metrics="nearest_train", **words)
    with Image.open(Path(found.folder) / "nearest.png") as picture:
        grid = np.asarray(picture.convert("L"))
    assert grid.shape == (2 * 34 - 2, 8 * 34 - 2)
    train = torch.cat([images for images, _ in registry.find("datasets", "digits").open("train")])[
        :, 0
    ].numpy()
    shown = set()
    for column in range(8):
        sample, image = (grid[top : top + 32, 34 * column : 34 * column + 32] for top in (0, 34))
        np.testing.assert_array_equal(sample, image)
        shown |= {place for place in range(7, 400, 50) if (train[place] == image).all()}
    assert shown == set(range(7, 400, 50))
    write_board.enter(found, tmp_path / "boards")
    page = (tmp_path / "boards" / "digits" / "README.md").read_text()
    (entry,) = (tmp_path / "boards" / "digits" / "entries").glob("*-nearest.png")
    assert f"](entries/{entry.name})" in page
    assert entry.read_bytes() == (Path(found.folder) / "nearest.png").read_bytes()
    assert not list(
        Path(
            genbench.evaluate(
                f"{tmp_path / 'copier.py'}:Copier", metrics="fd", fresh=True, **words
            ).folder
        ).glob("nearest.png")
    )


def test_ct_of_one_cell_is_scipys_mann_whitney():
    """With one cell C_T is the z-score of scipy's U of the distances to the nearest training image,
    with the original's continuity correction.
    """
    rng = np.random.default_rng(4)
    train, samples, held = (rng.normal(size=(n, 5)) for n in (200, 90, 70))
    value = registry.find("metrics", "ct").value(
        Arrays({"samples": samples, "train": train, "reference": held}), cells=1
    )
    u = mannwhitneyu(cdist(samples, train).min(1), cdist(held, train).min(1)).statistic
    assert value == pytest.approx(
        (u - (90 * 70 / 2 - 0.5)) / np.sqrt(90 * 70 * 161 / 12), rel=1e-12
    )


def test_ct_looks_at_the_first_components_of_the_training_images():
    """Features wider than 64 are projected: a hundred columns of tiny noise change nothing that
    matters, and the cells are the three kinds of images.
    """
    rng = np.random.default_rng(5)
    sets = {side: real(rng, 300) for side in ("samples", "train", "reference")}
    wide = {side: np.hstack([of, 1e-7 * rng.normal(size=(300, 100))]) for side, of in sets.items()}
    row = registry.find("metrics", "ct")
    assert row.value(Arrays(wide)) == pytest.approx(row.value(Arrays(sets)), abs=0.05)


def test_fitted_widths_are_torchs_adams():
    """The widths of the Gaussians equal those of torch's own Adam on torch's own gradient,
    step for step, copies of a row among them.
    """
    rng = np.random.default_rng(6)
    x, centres = rng.normal(size=(60, 8)), rng.normal(size=(50, 8))
    centres[:5] = x[:5]
    squares = torch.from_numpy(cdist(x, centres, "sqeuclidean"))
    widths = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([widths], lr=0.5)
    falling = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[50], gamma=0.1)
    for _ in range(100):
        adam.zero_grad()
        loss = -torch.logsumexp(-0.5 * squares / torch.exp(widths) - 4 * widths, 1).mean()
        loss.backward()
        adam.step()
        falling.step()
        widths.data.clamp_(-100, 20)
    np.testing.assert_allclose(
        module_of("fls")["fitted_widths"](x, centres), widths.detach().numpy(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["fls", "fls_overfit"])
def test_in_pieces_the_same(monkeypatch, name):
    """FLS is worked on some rows at a time, which changes nothing."""
    rng = np.random.default_rng(7)
    arrays = {side: real(rng, 80) for side in ("samples", "train", "reference")}
    row = registry.find("metrics", name)
    once = row.value(Arrays(arrays))
    monkeypatch.setitem(module_of(name), "HELD", 300)
    assert row.value(Arrays(arrays)) == pytest.approx(once, rel=1e-9)
