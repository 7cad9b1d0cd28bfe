"""Augmentations: what they do to an image, against a slow computation of the same draws,
and that gradients pass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from genbench.generators.training.augmentation import CONDITION, diffaug, karras


def images(n=64, c=3, h=16, w=12, seed=0):
    return (
        torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        * 2
        - 1
    )


def slow_diffaug(x):
    """Zhao et al.'s policy image by image, with the draws taken in the order of the
    paper's code.
    """
    n, _, h, w = x.shape
    bright, saturate, contrast = (
        torch.rand(n, 1, 1, 1, dtype=x.dtype)[:, 0, 0, 0].tolist() for _ in range(3)
    )
    reach = int(h / 8 + 0.5), int(w / 8 + 0.5)
    down, right = (torch.randint(-r, r + 1, (n, 1, 1))[:, 0, 0].tolist() for r in reach)
    hole = int(h / 2 + 0.5), int(w / 2 + 0.5)
    top, left = (
        torch.randint(0, side + (1 - size % 2), (n, 1, 1))[:, 0, 0].tolist()
        for side, size in zip((h, w), hole, strict=True)
    )
    out = []
    for i, image in enumerate(x.numpy()):
        one = image + bright[i] - 0.5
        one = (one - one.mean(0)) * 2 * saturate[i] + one.mean(0)
        one = (one - one.mean()) * (contrast[i] + 0.5) + one.mean()
        one = ndimage.shift(one, (0, -down[i], -right[i]), order=0, mode="constant", cval=0.0)
        rows, columns = max(top[i] - hole[0] // 2, 0), max(left[i] - hole[1] // 2, 0)
        one[
            :, rows : top[i] - hole[0] // 2 + hole[0], columns : left[i] - hole[1] // 2 + hole[1]
        ] = 0
        out.append(one)
    return torch.from_numpy(np.stack(out))


@pytest.mark.parametrize("size", [(16, 12), (8, 8), (32, 32), (7, 9)])
def test_diffaug_is_the_papers_policy(size):
    """Colour, translation and cutout agree with a computation image by image from the
    same draws.
    """
    x = images(h=size[0], w=size[1])
    torch.manual_seed(3)
    ours = diffaug(x)
    torch.manual_seed(3)
    torch.testing.assert_close(ours, slow_diffaug(x), rtol=0, atol=1e-12)


def test_diffaug_differs_between_images_and_follows_the_seed():
    """Every image gets numbers of its own, the global seed decides them, and the shape stays."""
    x = images(1).repeat(32, 1, 1, 1)
    torch.manual_seed(0)
    one = diffaug(x)
    torch.manual_seed(0)
    assert torch.equal(one, diffaug(x))
    assert one.shape == x.shape
    assert len(torch.unique(one.flatten(1), dim=0)) == 32


def test_gradients_pass_through_diffaug():
    """Its derivative is the difference quotient; a pixel under the hole or shifted out
    gets none.
    """
    x = images(4, 1, 8, 8).requires_grad_()

    def seeded(images):
        torch.manual_seed(1)
        return diffaug(images)

    assert torch.autograd.gradcheck(seeded, x)
    seeded(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_karras_says_what_it_did():
    """Nothing said, nothing done; a flip alone is exactly the mirror image;
    otherwise the image changed.
    """
    x = images(400, 3, 16, 16).float()
    torch.manual_seed(0)
    found, told = karras(x)
    assert (found.shape, told.shape) == (x.shape, (400, CONDITION))
    still, mirrored = told.abs().sum(1) == 0, (told[:, 0] == 1) & (told[:, 1:].abs().sum(1) == 0)
    assert min(still.sum(), mirrored.sum()) > 50
    torch.testing.assert_close(found[still], x[still], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[mirrored], x[mirrored].flip(3), rtol=0, atol=1e-5)
    others = ~(still | mirrored)
    assert ((found - x)[others].abs().amax((1, 2, 3)) > 1e-3).all()


def test_karras_meets_as_many_images_as_published():
    """Every second image is flipped; each other transform meets 12 % (the y-flip, a coin of them, 6
    %), within 4 standard errors of 20,000.
    """
    torch.manual_seed(1)
    _, told = karras(torch.zeros(20_000, 1, 4, 4))
    met = {
        "x-flip": (told[:, 0], 0.5),
        "y-flip": (told[:, 1], 0.06),
        "scale": (told[:, 2], 0.12),
        "rotation": (told[:, 4], 0.12),
    }
    met |= {"anisotropy": (told[:, 5], 0.12), "translation": (told[:, 7], 0.12)}
    for name, (column, share) in met.items():
        assert abs((column != 0).double().mean() - share) < 4 * math.sqrt(
            share * (1 - share) / 20_000
        ), name


@pytest.mark.parametrize("transform", ["scale", "rotation", "translation"])
def test_karras_resamples_as_its_numbers_say(transform):
    """Of images that one transform met, the result is the slow resampling by exactly the numbers
    told, away from the border.
    """
    h, w = 32, 24
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    smooth = torch.sin(rows / 4.0) * torch.cos(columns / 5.0) + 0.3 * torch.sin(
        (rows + 2 * columns) / 9.0
    )
    torch.manual_seed(4)
    found, told = karras(smooth.double()[None, None].repeat(4000, 1, 1, 1))
    own = {"scale": [2], "rotation": [3, 4], "translation": [7, 8]}[transform]
    rest = [column for column in range(CONDITION) if column not in own]
    chosen = ((told[:, own].abs().sum(1) > 0) & (told[:, rest].abs().sum(1) == 0)).nonzero()[:, 0]
    assert len(chosen) > 20
    y, x = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    for i in chosen[:20].tolist():
        a2, cosine, sine, a6, a7 = (float(told[i, k]) for k in (2, 3, 4, 7, 8))
        scale, cosine = 2 ** (0.2 * a2), cosine + 1
        from_x, from_y = (
            scale * (cosine * x + sine * y) + a6 * w / 8,
            scale * (cosine * y - sine * x) + a7 * h / 8,
        )
        at_y, at_x = from_y + (h - 1) / 2, from_x + (w - 1) / 2
        slow = ndimage.map_coordinates(smooth.numpy(), [at_y, at_x], order=3, mode="nearest")
        inside = (at_y > 3) & (at_y < h - 4) & (at_x > 3) & (at_x < w - 4)
        assert inside.sum() > 20
        assert np.abs(found[i, 0].numpy() - slow)[inside].max() < 0.02
