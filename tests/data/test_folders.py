"""Folders of pictures and npz files of images: read as they are, in the peers' order, streamed;
what is odd is refused by name, what changed is seen.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import genbench
from genbench._util.errors import RunFailed, UserError
from genbench._util.hashing import content_sha256, file_sha256
from genbench.data import fingerprint, image_folder, user_datasets
from genbench.data.image_folder import Pictures
from genbench.data.user_datasets import dataset_of, open_images
from genbench.generators.generator import construct
from genbench.generators.load import checkpoint_of, locate
from genbench.io import image_decoding

RNG = np.random.default_rng(8)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)


def filled(folder, pixels=PIXELS, ending="png"):
    """A folder of pictures 000.png, 001.png, ..."""
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03}.{ending}")
    return folder


def whole(dataset):
    images, labels = zip(*dataset.open("train"), strict=True)
    return torch.cat(images), torch.cat(labels), [len(batch) for batch in images]


def test_a_folder_is_a_data_set_in_the_order_of_its_names(tmp_path):
    """Every picture comes once, pixels as the files hold them, in batches of 100,
    grey three times the same; the name ends in the content's hash.
    """
    pixels = RNG.integers(0, 256, (205, 4, 3, 3), dtype=np.uint8)
    filled(tmp_path / "My Röntgen (2)", pixels)
    Image.fromarray(pixels[7, ..., 0]).save(tmp_path / "My Röntgen (2)" / "007.png")
    row = dataset_of(str(tmp_path / "My Röntgen (2)"))
    images, labels, sizes = whole(row)
    pixels[7] = pixels[7, ..., :1]
    assert torch.equal(images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert (images.dtype, labels.dtype, labels.unique().tolist(), sizes) == (
        torch.uint8,
        torch.int64,
        [0],
        [100, 100, 5],
    )
    assert (row.classes, row.resolution, row.splits, row.recogniser) == (
        ("all",),
        4,
        {"train": 205},
        "",
    )
    assert row.name == f"my-r-ntgen-2-{row.fingerprint('train')[:8]}"
    assert row.fingerprint("train") == super(user_datasets.Stored, row).fingerprint("train")


def test_order_and_pixels_are_the_peers(tmp_path):
    """pytorch-fid's and torch-fidelity's own readers see the same pictures in the same order."""
    from pytorch_fid.fid_score import ImagePathDataset
    from torch_fidelity.datasets import ImagesPathDataset
    from torchvision.transforms import ToTensor

    filled(tmp_path, PIXELS[:9])
    for name, image in zip(("a10", "a9", "B"), PIXELS[9:], strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    ours = open_images(tmp_path).read(range(12))
    theirs = ImagePathDataset(sorted(tmp_path.glob("*.png")), ToTensor())
    assert torch.equal(
        ours, torch.stack([theirs[i] for i in range(12)]).mul(255).round().to(torch.uint8)
    )
    other = ImagesPathDataset(sorted(map(str, tmp_path.glob("*.png"))))
    assert torch.equal(ours, torch.stack([other[i] for i in range(12)]))


def test_what_decides_a_folder_is_its_pixels(tmp_path):
    """The same pixels in another format and place are the same content;
    one grey level, or another order, is another.
    """
    png = dataset_of(str(filled(tmp_path / "a")))
    bmp = dataset_of(str(filled(tmp_path / "b", ending="bmp")))
    changed = PIXELS.copy()
    changed[3, 0, 0, 0] ^= 1
    assert png.fingerprint("train") == bmp.fingerprint("train")
    assert dataset_of(str(filled(tmp_path / "c", changed))).fingerprint("train") != png.fingerprint(
        "train"
    )
    assert dataset_of(str(filled(tmp_path / "d", PIXELS[::-1]))).fingerprint(
        "train"
    ) != png.fingerprint("train")


def test_a_folder_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    """The second time no pixel is read; a file of the same name,
    size and time with other pixels is seen, and so is one that came or went.
    """
    monkeypatch.setattr(fingerprint, "SETTLED", -1)
    where = filled(tmp_path / "a", ending="bmp")
    first = dataset_of(str(where)).name
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "read", lambda *_: pytest.fail("read again"))
        assert dataset_of(str(where)).name == first
    before = (where / "003.bmp").stat()
    time.sleep(0.02)  # the clock of the file system has a grain
    shutil.copyfile(where / "004.bmp", where / "003.bmp")
    os.utime(where / "003.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (where / "003.bmp").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = dataset_of(str(where)).name
    (where / "003.bmp").unlink()
    assert len({first, second, dataset_of(str(where)).name}) == 3


def test_a_folder_written_this_moment_is_not_remembered(tmp_path, monkeypatch):
    """Files younger than the clock's grain could change and look the same,
    so they are read again.
    """
    where = filled(tmp_path / "a")
    dataset_of(str(where))
    monkeypatch.setattr(Pictures, "read", lambda *_: pytest.fail("read again"))
    with pytest.raises(pytest.fail.Exception):
        dataset_of(str(where))


def test_a_folder_that_changes_while_it_is_read_says_so(tmp_path):
    """A picture that comes between naming the data set and reading it ends in a line,
    not in a data set under a wrong name.
    """
    row = dataset_of(str(filled(tmp_path / "a")))
    Image.fromarray(PIXELS[0]).save(tmp_path / "a" / "new.png")
    with pytest.raises(RunFailed, match="was changed while it was being read"):
        whole(row)


def deep_png(levels=2):
    """16 bits to a channel, which Pillow writes for grey alone."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    lines = b"".join(b"\0" + bytes(row.astype(">u2") * 257) for row in PIXELS[0])
    head = struct.pack(">IIBBBBB", 5, 6, 8 * levels, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


IMAGE = Image.fromarray(PIXELS[0])
ODD = {
    "palette.png": (
        lambda path: IMAGE.quantize(8).save(path),
        "has a palette; save it as 8-bit RGB or grey",
    ),
    "alpha.png": (
        lambda path: IMAGE.convert("RGBA").save(path),
        "is transparent; save it as 8-bit RGB or grey, over the background",
    ),
    "colour-key.png": (
        lambda path: IMAGE.save(path, transparency=(1, 2, 3)),
        "has a transparent colour",
    ),
    "cmyk.tif": (lambda path: IMAGE.convert("CMYK").save(path), "is CMYK; save it as"),
    "bits.png": (lambda path: IMAGE.convert("1").save(path), "has one bit to a pixel"),
    "grey16.png": (
        lambda path: Image.fromarray(PIXELS[0, ..., 0].astype(np.uint16)).save(path),
        "has 16 bits to a channel",
    ),
    "rgb16.png": (lambda path: path.write_bytes(deep_png()), "has other than 8 bits to a channel"),
    "rgb16.ppm": (
        lambda path: path.write_bytes(b"P6 5 6 65535\n" + bytes(180)),
        "has other than 8 bits to a channel",
    ),
    "animated.png": (
        lambda path: IMAGE.save(path, save_all=True, append_images=[IMAGE.rotate(180)]),
        "holds 2 pictures",
    ),
    "pages.tif": (
        lambda path: IMAGE.save(path, save_all=True, append_images=[IMAGE.rotate(180)]),
        "holds 2 pictures",
    ),
    "half.png": (
        lambda path: (IMAGE.save(path), path.write_bytes(path.read_bytes()[:90])),
        "cannot be read as a picture",
    ),
    "text.png": (lambda path: path.write_text("hello"), "cannot be read as a picture"),
    "gif.png": (lambda path: IMAGE.save(path, format="GIF"), "cannot be read as a picture"),
    "dangling.png": (lambda path: path.symlink_to("nowhere"), "cannot be read (No such file"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_picture_that_is_not_plain_is_refused_by_name(name, tmp_path):
    """Palettes, alpha, CMYK, other depths, animations, cut, foreign and missing files:
    one line each that names the file and what to do.
    """
    make, line = ODD[name]
    filled(tmp_path, PIXELS[:2])
    make(tmp_path / name)
    with pytest.raises(UserError) as caught:
        dataset_of(str(tmp_path))
    assert f"{name} {line}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_sizes_are_refused_naming_both(tmp_path):
    """A folder has one size; the line names a file of each."""
    filled(tmp_path, PIXELS[:3])
    Image.fromarray(PIXELS[0, :4]).save(tmp_path / "z.png")
    with pytest.raises(UserError, match=r"000\.png is 5x6, z\.png is 5x4; a data set has one size"):
        dataset_of(str(tmp_path))


def test_a_file_that_unfolds_to_gigabytes_is_not_unfolded(tmp_path, monkeypatch):
    """More pixels than the cap are refused by the header, below and above the size at which Pillow
    itself complains.
    """
    path = tmp_path / "0.png"
    for side in (9000, 12000, 60000):
        path.write_bytes(
            deep_png().replace(struct.pack(">II", 5, 6), struct.pack(">II", side, side))
        )
        data = path.read_bytes()
        path.write_bytes(data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:])
        with pytest.raises(UserError, match=r"0\.png .*pixels"):
            open_images(tmp_path)
    filled(tmp_path, PIXELS[:1])
    path.unlink()
    monkeypatch.setattr(image_decoding, "LARGEST", 29)
    with pytest.raises(UserError, match=r"000\.png has 5x6 pixels, more than 29"):
        open_images(tmp_path)


def test_what_is_left_aside_and_what_is_lossy_is_told(tmp_path, capfd):
    """Hidden and other files are no pictures; JPEG is told by its content, once;
    a folder without pictures says what else it has.
    """
    filled(tmp_path / "a", PIXELS[:2])
    Image.fromarray(PIXELS[2]).save(tmp_path / "a" / "x.JPEG")
    Image.fromarray(PIXELS[2]).save(tmp_path / "a" / "y.png", format="JPEG")
    Image.fromarray(PIXELS[2]).save(tmp_path / "a" / "z.jpg", format="PNG")
    filled(tmp_path / "a" / ".thumbnails")
    for name in (".hidden.png", "notes.txt", "png"):
        (tmp_path / "a" / name).write_text("hello")
    assert len(open_images(tmp_path / "a")) == 5
    assert len(open_images(tmp_path / "a")) == 5
    assert capfd.readouterr().err.count("2 of 5 pictures are JPEG") == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures; read are bmp, jpeg"):
        open_images(tmp_path / "empty")
    (tmp_path / "empty" / "t10k-images-idx3-ubyte.gz").touch()
    with pytest.raises(UserError, match=r"it has t10k-images-idx3-ubyte\.gz: name that"):
        open_images(tmp_path / "empty")


def test_of_many_pictures_some_are_looked_at(tmp_path, capfd, monkeypatch):
    """Beyond LOOKED pictures evenly chosen ones, and those that are JPEG by their names,
    are looked at, and the remark says how many they were.
    """
    monkeypatch.setattr(image_folder, "LOOKED", 4)
    filled(tmp_path)
    assert len(open_images(tmp_path)) == 12
    assert capfd.readouterr().err == ""
    (tmp_path / "005.png").rename(tmp_path / "005.jpg")
    Image.fromarray(PIXELS[5]).save(tmp_path / "005.jpg")
    assert len(open_images(tmp_path)) == 12
    assert "of 12 pictures 1 of the 5 looked at are JPEG" in capfd.readouterr().err


def test_words_for_data_sets(here):
    """A name is the shelf's even where a folder has it; ./name is the folder;
    anything else brings the near misses, or that it is missing.
    """
    filled(here / "digits")
    filled(here / "mine")
    assert dataset_of("digits").name == "digits"
    assert dataset_of("./digits").name == dataset_of("digits/").name != "digits"
    assert dataset_of("mine").splits == {"train": 12}
    for word, line in {
        "digts": "did you mean digits",
        "": "unknown dataset",
        "no/such": "there is no such folder",
        "no.npz": "there is no such file",
    }.items():
        with pytest.raises(UserError, match=line):
            dataset_of(word)


# Images in an npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_npz_of_images_is_a_data_set(save, channels, tmp_path):
    """arr_0 as guided diffusion writes it is streamed in its order, arr_1 are its classes;
    the content is that of the same images in a folder.
    """
    pixels = RNG.integers(0, 256, (130, 4, 3, channels), dtype=np.uint8)
    labels = np.arange(130) % 4
    save(tmp_path / "both.npz", pixels, labels)
    save(tmp_path / "plain.npz", pixels)
    row = dataset_of(str(tmp_path / "both.npz"))
    images, classes, sizes = whole(row)
    assert torch.equal(images, torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1))
    assert (classes.tolist(), row.classes, sizes, row.resolution) == (
        labels.tolist(),
        tuple("0123"),
        [100, 30],
        4,
    )
    plain = dataset_of(str(tmp_path / "plain.npz"))
    assert plain.classes == ("all",)
    same = dataset_of(str(filled(tmp_path / "f", np.broadcast_to(pixels, (130, 4, 3, 3)))))
    assert plain.fingerprint("train") == same.fingerprint("train") != row.fingerprint("train")


WRONG = {
    "float": (
        {"arr_0": PIXELS / 255},
        "arr_0 is float64 [12, 6, 5, 3]; wanted are images, uint8 [N, height, width, 3]",
    ),
    "chw": ({"arr_0": PIXELS.transpose(0, 3, 1, 2)}, "arr_0 is uint8 [12, 3, 6, 5]; wanted"),
    "none": ({"arr_0": PIXELS[:0]}, "arr_0 is uint8 [0, 6, 5, 3]; wanted"),
    "statistics": ({"mu": PIXELS}, "has no arr_0; it has mu"),
    "one-hot": (
        {"arr_0": PIXELS, "arr_1": np.eye(12)},
        "arr_1 is float64 [12, 12]; wanted are the classes",
    ),
    "negative": (
        {"arr_0": PIXELS, "arr_1": np.arange(12) - 1},
        "arr_1 is int64 [12]; wanted are the classes",
    ),
    "columns": ({"arr_0": np.asfortranarray(PIXELS)}, "arr_0 is stored column by column"),
    "objects": (
        {"arr_0": np.array([{}], dtype=object)},
        "arr_0 holds Python objects (a pickle), which are never read",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_npz_that_is_no_data_set_is_refused_by_key(name, tmp_path):
    """Another dtype, layout, label or content: one line that names file and key."""
    arrays, line = WRONG[name]
    np.savez(tmp_path / f"{name}.npz", **arrays)
    with pytest.raises(UserError) as caught:
        dataset_of(str(tmp_path / f"{name}.npz"))
    assert f"{name}.npz" in str(caught.value)
    assert line in str(caught.value)


def test_a_pixel_altered_in_an_npz_is_found(tmp_path):
    """A flipped bit in the stored images is caught by the zip's own checksum,
    a cut file by its missing end.
    """
    np.savez(tmp_path / "x.npz", PIXELS)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[400] ^= 1
    for broken in (data, data[:500]):
        (tmp_path / "x.npz").write_bytes(broken)
        with pytest.raises(
            UserError, match=r"x\.npz.* cannot be read .*cut short or altered|x\.npz is no npz"
        ):
            dataset_of(str(tmp_path / "x.npz"))


# The generator


def test_the_generator_serves_the_pictures_in_order(tmp_path):
    """Sample i is picture i, in any batch; the folder is the checkpoint."""
    described = locate("images")
    folder = checkpoint_of(described, dataset_of("digits"), filled(tmp_path / "a"))
    generator = construct(described, {}, folder, "cpu", dataset_of("digits"))
    drawn = generator.draw(np.array([11, 0, 5]), 0, None, 2, "round")
    assert torch.equal(drawn, torch.from_numpy(PIXELS[[11, 0, 5]]).permute(0, 3, 1, 2))
    assert generator.quantised == "by the plugin"
    assert described.conditions == ()
    with pytest.raises(UserError, match=r"holds 12 pictures and picture 13 is asked for: --n 12"):
        generator.draw(np.array([11, 12]), 0, None, 50, "round")


def test_the_generator_without_a_folder(tmp_path):
    """No folder, a missing one, and a file in its place: one line each."""
    described = locate("images")
    for given, line in (
        (None, "--checkpoint FOLDER"),
        (tmp_path / "no", "no such folder"),
        (filled(tmp_path / "a") / "000.png", "is not a folder"),
    ):
        with pytest.raises(UserError, match=line):
            construct(described, {}, given, "cpu", None)
    with pytest.raises(UserError, match="there is no such file"):
        checkpoint_of(described, dataset_of("digits"), tmp_path / "no")


PROTOCOL = """
from genbench.api import Measure, Protocol

MINE = Protocol("mine", "mine", "any", 0, "balanced", "round", (Measure("precision", "digits.pool", "train", {"k": 3}),))
"""  # noqa: E501


def test_a_folder_is_judged_against_a_folder(cli, here):
    """From two folders to a number: a folder against itself is precise;
    a changed picture is another run; more samples than pictures is a line.
    """
    (here / "mine.py").write_text(PROTOCOL)
    filled(here / "a")
    filled(here / "b")
    words = (
        "run",
        "--plugin",
        "images",
        "--checkpoint",
        "a",
        "--dataset",
        "./b",
        "--with",
        "mine.py",
        "--protocol",
        "mine",
        "--leaderboards",
        "none",
        "--json",
    )
    status, out, _ = cli(*words)
    first = json.loads(out)
    assert (status, first["plan"]["identity"]["n"], first["scores"][0]["value"]) == (0, 12, 1.0)
    Image.fromarray(PIXELS[0]).save(here / "a" / "005.png")
    assert json.loads(cli(*words)[1])["id"] != first["id"]
    Image.fromarray(PIXELS[0]).save(here / "b" / "005.png")
    assert (
        json.loads(cli(*words)[1])["plan"]["identity"]["dataset"]
        == dataset_of("./b").name
        != first["plan"]["identity"]["dataset"]
    )
    status, out, err = cli(*words, "--n", "13")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "genbench: 13 images are asked for, a has 12: --n 12, or fewer"


EXACT = """
from genbench.api import Measure, Protocol

MEASURES = tuple(Measure(name, "digits.pool", "train", {"k": 3}) for name in ("precision", "recall", "coverage"))
EXACT = Protocol("exact", "exact", "any", 0, "balanced", "round", MEASURES)
"""  # noqa: E501


@pytest.mark.parametrize(("ours", "theirs"), [(115, 115), (42, 107)])
def test_equal_pictures_are_within_a_radius_of_0(cli, here, ours, theirs):
    """Folders of one picture alone: every radius is 0, and holds the copies of its picture,
    in whatever shard, batch or folder they lie.
    """
    (here / "exact.py").write_text(EXACT)
    filled(here / "a", np.repeat(PIXELS[:1], ours, 0))
    filled(here / "b", np.repeat(PIXELS[:1], theirs, 0))
    words = ("--dataset", "./b", "--with", "exact.py", "--protocol", "exact", "--n", ours)
    status, out, err = cli(
        "run", "--plugin", "images", "--checkpoint", "a", *words, "--leaderboards", "none", "--json"
    )
    assert status == 0, err
    found = {score["metric"]: score["value"] for score in json.loads(out)["scores"]}
    assert found == {"precision_digits": 1.0, "recall_digits": 1.0, "coverage_digits": 1.0}


def test_open_images_is_public(tmp_path):
    """Strangers' generators read folders as ours does."""
    assert torch.equal(
        genbench.open_images(str(filled(tmp_path / "a"))).read(torch.tensor([1])),
        torch.from_numpy(PIXELS[1:2]).permute(0, 3, 1, 2),
    )


def test_a_folder_has_a_hash_of_names_and_contents(tmp_path):
    """Moving a folder changes nothing; another byte, another name or a file deeper does.

    A file's is the plain SHA-256.
    """
    filled(tmp_path / "a", PIXELS[:3])
    first = content_sha256(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert content_sha256(tmp_path / "b") == first
    assert content_sha256(tmp_path / "a" / "000.png") == file_sha256(tmp_path / "a" / "000.png")
    (tmp_path / "b" / "000.png").rename(tmp_path / "b" / "00.png")
    found = {first, content_sha256(tmp_path / "b")}
    filled(tmp_path / "a" / "deeper", PIXELS[:1])
    found.add(content_sha256(tmp_path / "a"))
    (tmp_path / "a" / "deeper" / "000.png").write_bytes(b"x")
    assert len(found | {content_sha256(tmp_path / "a")}) == 4
