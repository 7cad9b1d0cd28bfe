"""The image contract: quantisation, conversions, every refusal's line, and grids."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from genbench._util.errors import PluginFailed
from genbench.data.image_checks import checked
from genbench.data.image_grid import grid_png
from genbench.data.quantisation import QUANTISE, to_uint8

GREY = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)


@pytest.mark.parametrize(
    ("value", "rounded", "truncated"),
    [
        (0.0, 0, 0),
        (0.4999, 0, 0),
        (0.51, 1, 0),
        (1.49, 1, 1),
        (254.49, 254, 254),
        (254.51, 255, 254),
        (255.0, 255, 255),
        (-3.0, 0, 0),
        (300.0, 255, 255),
    ],
)
def test_a_value_goes_to_its_grey_level(value, rounded, truncated):
    """Rounding takes the nearest of 256 levels and truncation the one below;
    what lies outside the range is clipped and never wraps around.
    """
    for low, high in ((0.0, 255.0), (-1.0, 1.0), (0.0, 1.0)):
        images = torch.full((1, 3, 1, 1), low + value / 255 * (high - low), dtype=torch.float64)
        assert to_uint8(images, low, high).unique().tolist() == [rounded]
        assert QUANTISE["truncate"](images, low, high).unique().tolist() == [truncated]


def test_halves_go_to_the_even_level():
    """A value exactly between two levels goes to the even one, as torch,
    numpy and the papers' codes have it.
    """
    halves = torch.tensor([0.5, 1.5, 2.5, 253.5, 254.5]).reshape(1, 1, 1, 5)
    assert to_uint8(halves, 0, 255).flatten().tolist() == [0, 2, 2, 254, 254]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_levels_survive_the_way_to_float_and_back(bounds):
    """All 256 levels written as float32 in a range come back as themselves by rounding."""
    low, high = bounds
    assert torch.equal(to_uint8(GREY.to(torch.float32) / 255 * (high - low) + low, low, high), GREY)


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(GREY, id="tensor"),
        pytest.param(GREY[:, :1], id="one channel"),
        pytest.param(GREY.numpy(), id="numpy"),
        pytest.param(GREY.numpy()[::-1][::-1], id="numpy with strides"),
        pytest.param([Image.fromarray(GREY[0, 0].numpy())] * 2, id="grey PIL images"),
        pytest.param([Image.fromarray(GREY[0].permute(1, 2, 0).numpy())] * 2, id="PIL images"),
        pytest.param(list(GREY), id="list of tensors"),
        pytest.param(tuple(GREY), id="tuple of tensors"),
    ],
)
def test_what_is_converted_is_the_same_picture(batch):
    """Tensors, numpy arrays and lists of PIL images or tensors of 8 bits come out as the same uint8
    [n, 3, H, W], untouched and said to be the plugin's.
    """
    images, how = checked(batch, 2, None, "round")
    assert torch.equal(images, GREY)
    assert images.is_contiguous()
    assert how == "by the plugin"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_every_width_are_quantised_as_the_protocol_says(dtype):
    """A float batch of any precision in its declared range is quantised by the protocol's rule,
    and the answer says which.
    """
    for how in QUANTISE:
        images, said = checked(torch.ones(2, 3, 4, 4, dtype=dtype), 2, (-1, 1), how)
        assert (images.unique().tolist(), said) == ([255], how)


def test_numbers_of_another_machine_are_read():
    """A numpy array whose bytes lie the other way round is read as the numbers that it holds."""
    images, _ = checked((GREY.numpy() / 255).astype(">f4"), 2, (0, 1), "round")
    assert torch.equal(images, GREY)


def test_the_rounding_of_a_clamp_in_half_precision_is_no_offence():
    """A value a thousandth of the range outside is taken for rounding and clipped;
    two thousandths are refused.
    """
    assert checked(torch.full((1, 3, 2, 2), 1.0015), 1, (-1, 1), "round")[0].max() == 255
    with pytest.raises(PluginFailed, match="outside its declared range"):
        checked(torch.full((1, 3, 2, 2), 1.004), 1, (-1, 1), "round")


FLOAT = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("batch", "line"),
    [
        (
            None,
            "sample returned None, not a tensor of images; return the tensor at the end of sample",
        ),
        ({"images": GREY}, "sample returned a dict, not a tensor of images; return a tensor"),
        ([], "sample returned a list, not a tensor of images"),
        (np.array([None, None]), "sample returned a ndarray, not a tensor of images"),
        (np.full((2, 3, 4, 4), "x"), "sample returned a ndarray, not a tensor of images"),
        (GREY[0], "of rank 3; return [n, 3, H, W]"),
        (GREY[:1], "sample(2) returned 1 images; return exactly n"),
        (
            GREY.permute(0, 2, 3, 1),
            "channels last; return [n, 3, H, W]: images.permute(0, 3, 1, 2)",
        ),
        (GREY[:, :2], "2 channels; return 3 (RGB) or 1 (grey)"),
        (GREY[..., :0], "images without pixels"),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)], "mixed sizes"),
        ([Image.new("L", (4, 4)), Image.new("L", (5, 4))], "mixed sizes"),
        (
            GREY.to(torch.int64),
            (
                "sample returned int64 images; return uint8 in 0 to 255, or float with a "
                "declared range"
            ),
        ),
        (GREY > 3, "sample returned bool images"),
        (FLOAT + float("nan"), "sample returned NaN; images must be finite"),
        (FLOAT + float("inf"), "sample returned infinite values"),
        (FLOAT + 1.5, "outside its declared range (-1, 1); clamp them, or declare the true range"),
    ],
)
def test_a_wrong_batch_is_refused_with_what_came_and_the_remedy(batch, line):
    """Each way to return rubbish has its line, and none of them gets through."""
    with pytest.raises(PluginFailed) as caught:
        checked(batch, 2, (-1.0, 1.0), "round")
    assert line in str(caught.value)


@pytest.mark.parametrize(("low", "advice"), [(0.0, "range = (0, 1)"), (-0.5, "range = (-1, 1)")])
def test_a_float_batch_without_a_range_is_told_the_line_to_add(low, advice):
    """The range proposed fits the values that came."""
    with pytest.raises(PluginFailed) as caught:
        checked(FLOAT + low, 2, None, "round")
    assert advice in str(caught.value)


def test_the_grid_holds_every_pixel_where_it_belongs():
    """The PNG shows image i at row i // columns, column i % columns, two white pixels apart,
    the last row filled up in white.
    """
    images = np.random.default_rng(0).integers(0, 255, (5, 3, 4, 6), dtype=np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(grid_png(images, 3))))
    assert sheet.shape == (2 * 4 + 2, 3 * 6 + 4, 3)
    for i, image in enumerate(images):
        top, left = (i // 3) * 6, (i % 3) * 8
        assert np.array_equal(sheet[top : top + 4, left : left + 6], image.transpose(1, 2, 0))
    assert (sheet[4:6] == 255).all()
    assert (sheet[6:, 16:] == 255).all()


def test_a_grid_of_grey_images_is_a_grey_file():
    """Images whose channels agree are stored with one channel: a third of the bytes in git."""
    assert Image.open(io.BytesIO(grid_png(GREY.numpy(), 2))).mode == "L"
