"""Paths between latents and the images compared on them,
against torch-fidelity's interpolations and the published crops.
"""

from __future__ import annotations

import pytest
import torch
from torch_fidelity.noise import batch_lerp, batch_slerp_any, batch_slerp_unit

from genbench.api.metric import Pairs
from genbench.api.validation import RowError
from genbench.generators import latent_paths


def ends(n=6, d=512):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, d, generator=generator, dtype=torch.float64), 2 * torch.randn(
        n, d, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize("t", [0.0, 1e-4, 0.37, 1.0])
def test_points_on_paths_are_those_of_torch_fidelity(t):
    """lerp as its batch_lerp; slerp_unit of directions as its batch_slerp_unit."""
    a, b = ends()
    at = torch.full((len(a),), t, dtype=torch.float64)
    torch.testing.assert_close(latent_paths.point(a, b, at, "lerp"), batch_lerp(a, b, t))
    unit_a, unit_b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        latent_paths.point(a, b, at, "slerp_unit"),
        batch_slerp_unit(unit_a, unit_b, t),
        rtol=1e-6,
        atol=1e-7,
    )


def test_slerp_turns_the_direction_and_goes_straight_in_length():
    """slerp begins and ends at its ends, lies in their plane, and its length is between theirs."""
    a, b = ends()
    half = torch.full((len(a),), 0.5, dtype=torch.float64)
    torch.testing.assert_close(latent_paths.point(a, b, 0 * half, "slerp"), a)
    torch.testing.assert_close(latent_paths.point(a, b, 2 * half, "slerp"), b)
    middle = latent_paths.point(a, b, half, "slerp")
    torch.testing.assert_close(middle.norm(dim=1), (a.norm(dim=1) + b.norm(dim=1)) / 2)
    torch.testing.assert_close(
        torch.nn.functional.cosine_similarity(middle, a, dim=1),
        torch.nn.functional.cosine_similarity(middle, b, dim=1),
    )


def test_slerp_any_of_torch_fidelity_is_another_path_between_the_same_ends():
    """torch-fidelity's slerp_any weighs the ends themselves:
    the same ends, another middle where lengths differ.
    """
    a, b = ends()
    torch.testing.assert_close(batch_slerp_any(a, b, 0.0), a)
    at = torch.full((len(a),), 0.5, dtype=torch.float64)
    assert (latent_paths.point(a, b, at, "slerp") - batch_slerp_any(a, b, 0.5)).abs().max() > 1e-3


def test_images_are_compared_as_nvidia_crops_and_averages():
    """A cropped image of 1024 pixels ends at 128: the factor is of the whole image.

    No clipping unless 8 bits are wanted.
    """
    images = 1.5 * torch.rand(1, 1, 1024, 1024, generator=torch.Generator().manual_seed(1))
    found = latent_paths.compared(images, Pairs(crop=True, size=256))
    assert found.shape == (1, 3, 128, 128)
    block = (images[0, 0, 384:388, 256:260].mean() + 1) * 127.5
    torch.testing.assert_close(found[0, 1, 0, 0], block)
    assert found.max() > 255
    assert latent_paths.compared(images, Pairs(size=256, levels="uint8")).max() <= 255
    assert latent_paths.compared(images, Pairs(size=64, reduce="resize")).shape == (1, 3, 64, 64)
    assert latent_paths.compared(images[..., :32, :32], Pairs()).shape == (1, 3, 32, 32)


def test_pairs_refuse_what_they_cannot_be():
    """An epsilon of 0 and an unknown place are refused by the row itself."""
    with pytest.raises(RowError, match="not positive"):
        Pairs(epsilon=0)
    with pytest.raises(RowError, match="where"):
        Pairs(where="middle")
