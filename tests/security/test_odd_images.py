"""Every odd, damaged and hostile picture of the shared material has its stated outcome:
taken as it is, or refused by name; skipped ones are counted.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from genbench._util.errors import UserError
from genbench.data.user_datasets import dataset_of, open_images
from genbench.io.image_decoding import decoded, heeded, is_picture

DEEP = "more than 8 bits|has 16 bits to a channel"
OUTCOMES = {
    "16bit.MM.deflate.tif": DEEP,
    "16bit.s.tif": DEEP,
    "1x1_l.png": "",
    "DXGI_FORMAT_BC7_UNORM_SRGB.png": "is transparent",
    "anim_frame2.webp": "",
    "app13.jpg": "",
    "badbitcount.bmp": "cannot be read as a picture",
    "badcrc.png": "has one bit to a pixel",
    "badwidth.bmp": "exceeds limit",
    "basn0g16.png": DEEP,
    "basn4a08.png": "is transparent",
    "blend_transparency.png": "holds 2 pictures",
    "broken.png": "cannot be read as a picture",
    "broken_data_stream.png": "cannot be read as a picture",
    "chi.gif": r"is a \.gif",
    "comment_after_only_frame.gif": r"is a \.gif",
    "compression.tif": "holds 2 pictures",
    "crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif": "cannot be read as a picture",
    "decompression_bomb.gif": r"is a \.gif",
    "gray-16-linear-tRNS.png": DEEP,
    "hopper.jpg": "",
    "hopper.png": "",
    "hopper2I.tif": "",
    "hopper_orientation_2.jpg": r"is turned by its EXIF tag \(orientation 2\)",
    "hopper_orientation_3.jpg": r"is turned by its EXIF tag \(orientation 3\)",
    "hopper_orientation_6.jpg": r"is turned by its EXIF tag \(orientation 6\)",
    "hopper_orientation_8.jpg": r"is turned by its EXIF tag \(orientation 8\)",
    "huge_cHRM_chunk.png": "cannot be read as a picture",
    "huge_hIST_chunk.png": "cannot be read as a picture",
    "i_trns.png": DEEP,
    "icc-after-SOF.jpg": "",
    "imagedraw_polygon_1px_high.png": "",
    "l2rgb_read.bmp": "exceeds limit",
    "lab.tif": "is of mode LAB",
    "mode_palette_1bit_alpha.png": "holds 3 pictures",
    "multipage-lastframe.tif": "has a palette",
    "no_palette.gif": r"is a \.gif",
    "p_trns_single.png": "has a palette",
    "pil168.tif": "",
    "pil_sample_cmyk.jpg": "is CMYK",
    "rdf.tif": "has a palette and is transparent",
    "seek_too_large.tif": "cannot be read as a picture",
    "tRNS_null_1x1.png": "has a palette",
    "tiff_strip_cmyk_jpeg.tif": "is CMYK",
    "transparent.webp": "is transparent",
    "transparent_dispose.gif": r"is a \.gif",
    "truncated_image.png": "cannot be read as a picture",
    "truncated_jpeg.jpg": "cannot be read as a picture",
    "uint16_1_4660.tif": DEEP,
}


@pytest.mark.shared
def test_every_odd_picture_has_its_stated_outcome(shared_data):
    """Each of the 49 files, from its path and from its bytes:
    the pixels that Pillow's own conversion gives, or a line with the reason; none is forgotten.
    """
    with (shared_data / "odd-images.csv").open() as file:
        listed = {row["file"] for row in csv.DictReader(file)}
    assert listed == set(OUTCOMES)
    for name, reason in OUTCOMES.items():
        path = shared_data / "odd-images" / name
        with heeded():
            both = (decoded(name, path), decoded(name, path.read_bytes()))
        for found in both:
            if reason:
                assert isinstance(found, str), name
                assert re.search(reason, found), (name, found)
                assert str(shared_data) not in found
            else:
                with Image.open(path) as picture:
                    assert np.array_equal(found, np.asarray(picture.convert("RGB"))), name


@pytest.mark.shared
def test_skipping_counts_and_records_what_is_left_out(shared_data, tmp_path, monkeypatch, capfd):
    """Under skip the set is made of the pictures that are taken and of one size;
    a line for each of the others, which the listing and the remark show.
    """
    for name in OUTCOMES:
        shutil.copy(shared_data / "odd-images" / name, tmp_path / name)
    with pytest.raises(UserError, match=r"16bit\.MM\.deflate\.tif has 16 bits"):
        dataset_of(str(tmp_path))
    monkeypatch.setenv("GENBENCH_ON_BAD_IMAGE", "skip")
    row = dataset_of(str(tmp_path))
    refused = {line.split(" ", 1)[0]: line for line in row.left_out}
    taken = [name for name, reason in OUTCOMES.items() if not reason]
    with heeded():
        sizes = {name: decoded(name, tmp_path / name).shape for name in sorted(taken)}
    fitting = [name for name in taken if sizes[name] == next(iter(sizes.values()))]
    assert row.splits == {"train": len(fitting)}
    assert set(refused) == set(OUTCOMES) - set(fitting)
    assert "is 4x4, the first is 1x1; resize it" in refused["app13.jpg"]
    assert "48 of 49 pictures are left out" in capfd.readouterr().err
    assert row.preparation.endswith("in the order of their names; 48 refused and left out")
    assert len(open_images(tmp_path)) == 1
    monkeypatch.setenv("GENBENCH_ON_BAD_IMAGE", "guess")
    with pytest.raises(UserError, match="--on-bad-image guess: Known: error, skip"):
        dataset_of(str(tmp_path))


def test_what_is_no_picture_by_its_name_is_left_aside():
    """Endings decide, whatever the case; hidden files and others are none;
    those that are pictures and not read are refused, not passed over.
    """
    names = (
        "a.PNG",
        "b/c.jpeg",
        "x.gif",
        "y.avif",
        ".a.png",
        "b/.c.png",
        "notes.txt",
        "png",
        "dataset.json",
    )
    assert [name for name in names if is_picture(name)] == ["a.PNG", "b/c.jpeg", "x.gif", "y.avif"]
    assert "is a .avif, which is not read" in decoded("y.avif", b"")


def test_nothing_is_left(tmp_path, monkeypatch):
    """Where every picture is refused, skipping ends in a line that names one."""
    (tmp_path / "a.png").write_text("hello")
    monkeypatch.setenv("GENBENCH_ON_BAD_IMAGE", "skip")
    with pytest.raises(
        UserError, match=r"a\.png cannot be read as a picture .* none of the 1 pictures is left"
    ):
        dataset_of(str(tmp_path))


def test_a_zip_that_unfolds_to_gigabytes_is_not_unfolded(tmp_path, monkeypatch):
    """A member larger than the cap is refused before it is unpacked,
    one whose header lies while it is, and a damaged one by its checksum.
    """
    from genbench.data import image_folder

    monkeypatch.setattr(image_folder, "LARGEST_FILE", 10_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 2000
    with pytest.raises(
        UserError, match=r"bomb\.zip: a\.png cannot be unpacked \(1000000 bytes, more than 10000\)"
    ):
        dataset_of(str(tmp_path / "bomb.zip"))
    data = (
        (tmp_path / "bomb.zip")
        .read_bytes()
        .replace((1_000_000).to_bytes(4, "little"), (5_000).to_bytes(4, "little"))
    )
    (tmp_path / "lies.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"lies\.zip: a\.png cannot be unpacked"):
        dataset_of(str(tmp_path / "lies.zip"))
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(UserError, match=r"text\.zip cannot be read as a zip"):
        dataset_of(str(tmp_path / "text.zip"))


PROTOCOL = """
from genbench.api import Measure, Protocol

MINE = Protocol("mine", "mine", "any", 0, "balanced", "round", (Measure("precision", "digits.pool", "train", {"k": 3}),))
"""  # noqa: E501


def test_a_run_records_what_was_left_out(cli, here):
    """By default a run ends in a line that names the picture; with --on-bad-image skip it measures
    the others, as data set and as samples, and its record counts what was left out.
    """
    (here / "mine.py").write_text(PROTOCOL)
    (here / "a").mkdir()
    for i, image in enumerate(
        np.random.default_rng(3).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    ):
        Image.fromarray(image).save(here / "a" / f"{i:02}.png")
    (here / "a" / "05.png").write_bytes((here / "a" / "05.png").read_bytes()[:80])
    words = (
        "run",
        "--plugin",
        "images",
        "--checkpoint",
        "a",
        "--dataset",
        "./a",
        "--with",
        "mine.py",
        "--protocol",
        "mine",
        "--leaderboards",
        "none",
        "--json",
    )
    status, _, err = cli(*words)
    assert (status, "a/05.png cannot be read as a picture" in err) == (2, True)
    status, out, err = cli(*words, "--on-bad-image", "skip")
    assert status == 0, err
    found = json.loads(out)
    assert (
        found["dataset"]["left_out"]["count"],
        found["plan"]["identity"]["n"],
        found["scores"][0]["value"],
    ) == (1, 11, 1.0)
    assert found["dataset"]["left_out"]["first"][0].startswith("05.png cannot be read")
    assert "1 of 12 pictures are left out: 05.png" in err
