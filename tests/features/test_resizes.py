"""Each resize equals its peer's own code, at any size, and the pixels that the protocols'
table names.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cleanfid.resize import make_resizer
from PIL import Image
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision import transforms

from genbench._util.errors import UserError
from genbench.features import resize as resizes
from genbench.features.resize import RESIZES, resize

ALLOWED = 1e-3  # grey levels; the peers' tables ask for 255 times as much
SIZES = [
    (8, 8),
    (8, 512),
    (512, 8),
    (17, 33),
    (32, 32),
    (64, 64),
    (100, 511),
    (333, 487),
    (224, 299),
    (299, 299),
    (298, 300),
    (512, 512),
]


def random_image(height, width, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def batch(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


# The peers


def by_interpolate(**how):
    return lambda image, size: F.interpolate(batch(image).float(), size=(size, size), **how)


def by_grid_sample(image, size):
    """NVIDIA's definition: the identity moved by half a source pixel less half a target pixel,
    border padding.
    """
    images = batch(image).float()
    _, channels, height, width = images.shape
    theta = torch.eye(2, 3)  # float32, as there
    theta[0, 2] += theta[0, 0] / width - theta[0, 0] / size
    theta[1, 2] += theta[1, 1] / height - theta[1, 1] / size
    grid = F.affine_grid(theta[None], [1, channels, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def by_clean_fid(library, kind):
    return lambda image, size: batch(make_resizer(library, False, kind, (size, size))(image))


def by_pil_float(image, size):
    """StudioGAN's: as clean-fid's, without the clip."""
    channels = [
        Image.fromarray(image[:, :, c].astype(np.float32)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return torch.stack([torch.from_numpy(np.array(channel)) for channel in channels])[None]


def in_two_passes(picture, width, height, kind):
    """PIL with the passes in the order of every Pillow before 13, across and then down;
    13 turns them round for tall images.
    """
    return picture.resize((width, picture.height), kind).resize((width, height), kind)


def by_pil(kind):
    return lambda image, size: batch(
        np.array(in_two_passes(Image.fromarray(image), size, size, kind))
    ).float()


PEERS = {
    "tf1": lambda image, size: interpolate_bilinear_2d_like_tensorflow1x(
        batch(image).float(), size=(size, size), align_corners=False
    ),
    "nvidia": by_grid_sample,
    "torch": by_interpolate(mode="bilinear", align_corners=False),
    "torch-aa": by_interpolate(mode="bilinear", align_corners=False, antialias=True),
    "torch-corners": by_interpolate(mode="bilinear", align_corners=True),
    "torch-bicubic-aa": by_interpolate(mode="bicubic", align_corners=False, antialias=True),
    "pil": by_clean_fid("PIL", "bicubic"),
    "pil-unclipped": by_pil_float,
    "pil-uint8": by_pil(Image.Resampling.BICUBIC),
    "pil-uint8-box": by_pil(Image.Resampling.BOX),
}


def test_every_rule_has_a_peer():
    """No rule of the table escapes the comparison."""
    assert set(PEERS) == set(RESIZES)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("target", [299, 224])
def test_equals_its_peer(name, target):
    """On random pixels, which are the worst case, of every shape from 8 to 512,
    enlarged and shrunk; the 8-bit rules to the last level.
    """
    for height, width in SIZES:
        image = random_image(height, width)
        away = (resize(batch(image), target, name) - PEERS[name](image, target)).abs().max().item()
        assert away <= (0 if RESIZES[name].levels else ALLOWED), f"{height}x{width}"


@pytest.mark.parametrize(("name", "kind"), [("torch", "bilinear"), ("pil", "bicubic")])
def test_equals_clean_fid(name, kind):
    """The two modes in which clean-fid resizes outside the network;
    legacy_tensorflow resizes inside NVIDIA's, as `nvidia` above.
    """
    for image in (random_image(48, 80), random_image(400, 310)):
        theirs = by_clean_fid("PIL" if name == "pil" else "PyTorch", kind)(image, 299)
        assert (resize(batch(image), 299, name) - theirs).abs().max() <= ALLOWED


@pytest.mark.parametrize("side", [8, 31, 32, 224, 256, 299, 512])
def test_square_images_equal_pil_in_any_version(side):
    """For square images PIL has one order, so its own single call must give the same levels."""
    image = random_image(side, side)
    for target in (224, 299, 336):
        theirs = np.array(Image.fromarray(image).resize((target, target), Image.Resampling.BICUBIC))
        assert np.array_equal(
            resize(batch(image), target, "pil-uint8")[0].permute(1, 2, 0).numpy(), theirs
        )


def test_the_imitation_is_one():
    """NVIDIA's coordinates are TensorFlow 1's but for their rounding;
    torch's own lie several grey levels away.
    """
    images = batch(random_image(32, 32))
    ours = {name: resize(images, 299, name) for name in ("tf1", "nvidia", "torch")}
    assert 0 < (ours["tf1"] - ours["nvidia"]).abs().max() < 0.02
    assert (ours["tf1"] - ours["torch"]).abs().mean() > 4


# The pixels named in the protocols' table: (channel, row, column) of one random image of 32x32


@pytest.fixture(scope="module")
def anchored():
    """The next draw of the stream that the arithmetic's constants begin."""
    stream = np.random.RandomState(0)
    stream.randn(1000, 64), stream.randn(1000, 64), stream.randn(1003, 1008)
    image = stream.randint(0, 256, (32, 32, 3)).astype(np.uint8)
    assert image[0, 0].tolist() == [83, 147, 118]
    assert image[31, 31].tolist() == [251, 156, 22]
    return batch(image)


TO_299 = [(0, 0, 1), (0, 150, 150), (1, 298, 298), (2, 10, 200)]
TO_224 = [(0, 0, 1), (0, 112, 112), (1, 223, 223), (2, 10, 150)]
ANCHORS = [  # rule, size, values at the four places, mean, least, most
    ("tf1", 299, [77.0067, 126.4338, 156.0, 220.3615], 126.31516, 0.9823, 253.3679),
    ("torch", 299, [83.0, 109.8134, 156.0, 147.5025], 126.35429, 1.1013, 253.8646),
    ("torch-corners", 299, [77.1745, 109.7396, 156.0, 167.2263], 126.59708, 0.5783, 253.2752),
    ("pil-unclipped", 299, [102.2965, 87.7993, 179.1984, 150.8702], 126.34519, -27.6206, 288.9733),
    ("pil", 299, [102.2965, 87.7993, 179.1984, 150.8702], 126.35164, 0, 255),
    ("pil-uint8", 299, [100, 88, 179, 151], 126.35491, 0, 255),
    ("pil-uint8", 224, [98, 86, 179, 207], 126.3509, 0, 255),
    ("torch-bicubic-aa", 224, [101.1843, 86.1102, 178.7919, 207.0002], 126.34524, None, None),
]


@pytest.mark.parametrize(("name", "size", "values", "mean", "least", "most"), ANCHORS)
def test_anchors(anchored, name, size, values, mean, least, most):
    """Pixels, mean and range are those measured with the peers' code, to the digits printed."""
    image = resize(anchored, size, name)[0].double()
    at = [image[place].item() for place in (TO_299 if size == 299 else TO_224)]
    assert at == pytest.approx(values, abs=1.1e-4)
    assert image.mean().item() == pytest.approx(mean, abs=1.5e-5)
    if least is not None:
        assert [image.min().item(), image.max().item()] == pytest.approx([least, most], abs=1.1e-4)


# What all share


@pytest.mark.parametrize("name", RESIZES)
def test_what_every_rule_keeps(name):
    """A flat image stays flat, an image of the size asked for stays itself,
    rows of a batch are independent, and the answer is float32.
    """
    flat = torch.full((1, 3, 40, 70), 77, dtype=torch.uint8)
    assert resize(flat, (90, 33), name) == pytest.approx(77, abs=1e-3)
    images = torch.cat([batch(random_image(40, 40, seed)) for seed in range(3)])
    torch.testing.assert_close(resize(images, 40, name), images.float(), rtol=0, atol=ALLOWED)
    together = resize(images, (50, 30), name)
    assert together.dtype == torch.float32
    assert together.shape == (3, 3, 50, 30)
    torch.testing.assert_close(
        torch.cat([resize(image[None], (50, 30), name) for image in images]),
        together,
        rtol=0,
        atol=1e-4,
    )


def test_float_images():
    """Float images are resized as they are, and rounded first where a rule works on
    whole levels.
    """
    images = batch(random_image(20, 30)).float() + 0.3
    assert (resize(images, 299, "tf1") - resize(images - 0.3, 299, "tf1")).mean() == pytest.approx(
        0.3, abs=1e-3
    )
    assert torch.equal(
        resize(images, 299, "pil-uint8"), resize(images.round().to(torch.uint8), 299, "pil-uint8")
    )


def test_an_unknown_rule_is_refused():
    """The line names what there is."""
    with pytest.raises(UserError, match=r"no resize is called 'tf2'; did you mean tf1"):
        resize(torch.zeros(1, 3, 8, 8), 299, "tf2")


# Crops


@pytest.mark.parametrize(("height", "width"), [(33, 20), (20, 33), (40, 40)])
def test_centre_square(height, width):
    """CMMD's crop: PIL's box at the floor of half of what is left."""
    image = random_image(height, width)
    side, left, top = (
        min(height, width),
        (width - min(height, width)) // 2,
        (height - min(height, width)) // 2,
    )
    theirs = np.array(Image.fromarray(image).crop((left, top, left + side, top + side)))
    assert np.array_equal(resizes.centre_square(batch(image))[0].permute(1, 2, 0).numpy(), theirs)


@pytest.mark.parametrize(
    ("height", "width"), [(70, 101), (131, 260), (300, 65), (64, 64), (40, 57)]
)
def test_adm_crop(height, width):
    """Guided diffusion's crop, step by step with PIL: halved while it can be, then bicubic,
    then the middle.
    """
    image = random_image(height, width)
    picture, size = Image.fromarray(image), 32
    while min(picture.size) >= 2 * size:
        picture = in_two_passes(
            picture, picture.width // 2, picture.height // 2, Image.Resampling.BOX
        )
    scale = size / min(picture.size)
    picture = in_two_passes(
        picture,
        round(picture.width * scale),
        round(picture.height * scale),
        Image.Resampling.BICUBIC,
    )
    top, left = (picture.height - size) // 2, (picture.width - size) // 2
    theirs = np.array(picture)[top : top + size, left : left + size]
    assert np.array_equal(resizes.adm_crop(batch(image), size)[0].permute(1, 2, 0).numpy(), theirs)


@pytest.mark.parametrize(("height", "width"), [(48, 81), (33, 33), (300, 450)])
def test_clip_crop(height, width):
    """OpenAI's transforms, with torchvision's own classes."""
    image = random_image(height, width)
    both = transforms.Compose(
        [transforms.Resize(64, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(64)]
    )
    assert np.array_equal(
        resizes.clip_crop(batch(image), 64)[0].permute(1, 2, 0).numpy(),
        np.array(both(Image.fromarray(image))),
    )
