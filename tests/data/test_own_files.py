"""Real images in the user's own files: sub-folders, dataset.json, zip, idx, parquet and the hub;
one content whatever the form; streamed by workers.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from genbench._util.errors import UserError
from genbench.data import huggingface, image_array, parallel_loading
from genbench.data.user_datasets import dataset_of, open_images

RNG = np.random.default_rng(12)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)


def png(image):
    with io.BytesIO() as buffer:
        Image.fromarray(image).save(buffer, format="PNG")
        return buffer.getvalue()


def filled(folder, names, pixels=PIXELS):
    for name, image in zip(names, pixels, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(image))
    return folder


def whole(row, split="train"):
    images, labels = zip(*row.open(split), strict=True)
    return torch.cat(images).permute(0, 2, 3, 1).numpy(), torch.cat(labels).tolist()


def test_sub_folders_are_classes(tmp_path):
    """The first folder of a name is its class, sorted as torchvision's ImageFolder sorts them,
    with its pictures in whatever depth; the order is by name.
    """
    from torchvision.datasets import ImageFolder

    names = ["dog/b.png", "cat/z.png", "cat/deep/er/a.png", "dog/a.png", "eel/1.png"]
    row = dataset_of(str(filled(tmp_path / "a", names)))
    images, labels = whole(row)
    order = np.argsort(names)
    assert np.array_equal(images, PIXELS[order])
    theirs = dict(ImageFolder(tmp_path / "a").samples)
    assert labels == [theirs[str(tmp_path / "a" / names[i])] for i in order] == [0, 0, 1, 1, 2]
    assert (row.classes, row.splits) == (("cat", "dog", "eel"), {"train": 5})


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a.png", "cat/b.png"], ("all",)),
        (["only/a.png", "only/b.png"], ("all",)),
        (["00000/a.png", "01000/b.png"], ("all",)),
        (["1/a.png", "2/b.png"], ("1", "2")),
    ],
)
def test_folders_that_are_no_classes(names, classes, tmp_path):
    """Pictures beside sub-folders, a single folder, and the numbered folders of FFHQ and StyleGAN's
    tools are one class.
    """
    assert dataset_of(str(filled(tmp_path / "a", names))).classes == classes


def test_train_and_test_are_splits(tmp_path):
    """A folder of the folders train and test has these splits;
    without a train folder, the line names them.
    """
    filled(tmp_path / "a", ["train/x/1.png", "train/y/2.png", "test/x/3.png", "test/y/4.png"])
    row = dataset_of(str(tmp_path / "a"))
    assert (row.classes, row.splits) == (("x", "y"), {"train": 2, "test": 2})
    assert np.array_equal(whole(row, "test")[0], PIXELS[2:4])
    assert row.fingerprint("train") == dataset_of(str(tmp_path / "a" / "train")).fingerprint(
        "train"
    )
    filled(tmp_path / "b", ["val/1.png", "test/2.png"])
    with pytest.raises(UserError, match="has the splits test, val, not classes: name one of them"):
        dataset_of(str(tmp_path / "b"))
    filled(tmp_path / "c", ["train/x/1.png", "train/y/2.png", "test/1.png"])
    with pytest.raises(
        UserError,
        match=(
            r"its splits differ: test has 5x6 pixels and 1 classes, train 5x6 pixels and 2 "
            r"classes, all in one of them alone;"
        ),
    ):
        dataset_of(str(tmp_path / "c"))


def packed(path, names, listing=None):
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in zip(names, PIXELS, strict=False):
            archive.writestr(name, png(image))
        archive.writestr("__MACOSX/._a.png", b"no picture")
        if listing is not None:
            archive.writestr("dataset.json", json.dumps(listing))
    return path


NAMES = [f"00000/img{i:08d}.png" for i in range(4)]


def test_stylegans_zip_and_folder_are_one_content(tmp_path):
    """dataset.json gives the labels, in a zip and in a folder;
    a table of labels is read as a list of them; names that are given are kept.
    """
    listing = {"labels": [[name, label] for name, label in zip(NAMES, (2, 0, 1, 2), strict=True)]}
    row = dataset_of(str(packed(tmp_path / "a.zip", NAMES, listing)))
    images, labels = whole(row)
    assert np.array_equal(images, PIXELS[:4])
    assert (labels, row.classes) == ([2, 0, 1, 2], ("0", "1", "2"))
    filled(tmp_path / "b", NAMES[:4])
    (tmp_path / "b" / "dataset.json").write_text(
        json.dumps({"labels": dict(listing["labels"]), "classes": ["x", "y", "z"]})
    )
    same = dataset_of(str(tmp_path / "b"))
    assert same.fingerprint("train") == row.fingerprint("train")
    assert same.classes == ("x", "y", "z")
    assert dataset_of(str(packed(tmp_path / "c.zip", NAMES, {"labels": None}))).classes == ("all",)


WRONG = {
    "lacks one": (
        {"labels": [[NAMES[0], 1]]},
        r"dataset\.json has no label for 00000/img00000001\.png",
    ),
    "vectors": (
        {"labels": [[name, [0.0, 1.0]] for name in NAMES]},
        "has the label .*; wanted are classes",
    ),
    "negative": ({"labels": [[name, -1] for name in NAMES]}, "has the label -1"),
    "no list": ({"labels": 7}, "labels in dataset.json are no list"),
    "other": ([], "dataset.json cannot be read"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_dataset_json_that_says_otherwise(what, tmp_path):
    """Labels that are missing or no classes are refused, never guessed."""
    listing, line = WRONG[what]
    with pytest.raises(UserError, match=line):
        dataset_of(str(packed(tmp_path / "a.zip", NAMES, listing)))


def idx(array):
    return (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(zipped, tmp_path):
    """MNIST's files, plain or gzipped, with the labels beside them;
    what is cut short, longer or something else is refused.
    """
    ending, write = (".gz", gzip.compress) if zipped else ("", bytes)
    images, labels = PIXELS[..., 0], np.arange(12) % 3
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    path.write_bytes(write(idx(images)))
    assert dataset_of(str(path)).classes == ("all",)
    (tmp_path / f"train-labels-idx1-ubyte{ending}").write_bytes(write(idx(labels)))
    row = dataset_of(str(path))
    found, classes = whole(row)
    assert np.array_equal(found, np.repeat(images[..., None], 3, -1))
    assert (classes, row.classes) == (labels.tolist(), ("0", "1", "2"))
    assert np.array_equal(open_images(path).read([5, 2]).numpy()[:, 0], images[[5, 2]])
    (tmp_path / f"train-labels-idx1-ubyte{ending}").write_bytes(write(idx(labels[:11])))
    with pytest.raises(UserError, match=r"12 images, .* 11 labels"):
        dataset_of(str(path))
    for data in (idx(images)[:-1], idx(images) + b"x", b"hello", b""):
        path.write_bytes(write(data))
        with pytest.raises(UserError, match=r"says that it is \[12, 6, 5\]|is not an idx file"):
            dataset_of(str(path))


@pytest.mark.shared
def test_fashion_mnists_own_file(shared_data, tmp_path):
    """The original test images through our reader are those of torchvision's."""
    from torchvision.datasets.mnist import read_image_file

    path = shared_data / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    row = dataset_of(str(path))
    assert (row.splits, len(row.classes), row.resolution) == ({"train": 10_000}, 10, 28)
    (tmp_path / "unpacked").write_bytes(gzip.decompress(path.read_bytes()))
    assert torch.equal(
        open_images(path).read(range(10_000))[:, 0], read_image_file(str(tmp_path / "unpacked"))
    )


def test_npz_in_any_order(tmp_path):
    """Images of an npz are served in any order, from the disk where it is stored plainly,
    and a flipped bit is found before the first is served.
    """
    for name, save in (("plain", np.savez), ("small", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", images=PIXELS, labels=np.arange(12) % 2)
        found = open_images(tmp_path / f"{name}.npz")
        assert np.array_equal(
            found.read(torch.tensor([11, 0])).permute(0, 2, 3, 1), PIXELS[[11, 0]]
        )
        assert found.labels.values.tolist() == [0, 1] * 6
    data = bytearray((tmp_path / "plain.npz").read_bytes())
    data[400] ^= 1
    (tmp_path / "plain.npz").write_bytes(data)
    with pytest.raises(UserError, match="cut short or altered"):
        open_images(tmp_path / "plain.npz").read([0])


def test_a_compressed_npz_too_large_for_memory(tmp_path, monkeypatch):
    """What would unfold beyond the cap in memory is refused with the remedy."""
    np.savez_compressed(tmp_path / "a.npz", PIXELS)
    monkeypatch.setattr(image_array, "LARGEST_UNPACKED", 100)
    with pytest.raises(UserError, match="save it uncompressed"):
        open_images(tmp_path / "a.npz").read([0])


def test_workers_read_the_same(tmp_path, monkeypatch):
    """Two worker processes give the batches of none, in order, from a folder and a zip,
    and a refusal is one line.
    """
    names = [f"{i:04d}.png" for i in range(250)]
    pixels = RNG.integers(0, 256, (250, 4, 4, 3), dtype=np.uint8)
    filled(tmp_path / "a", names, pixels)
    packed(tmp_path / "b.zip", NAMES)
    plain = whole(dataset_of(str(tmp_path / "a")))[0]
    monkeypatch.setenv("GENBENCH_WORKERS", "2")
    assert np.array_equal(
        np.concatenate([b.permute(0, 2, 3, 1) for b in open_images(tmp_path / "a").batches()]),
        plain,
    )
    assert np.array_equal(
        np.concatenate([b.permute(0, 2, 3, 1) for b in open_images(tmp_path / "b.zip").batches()]),
        PIXELS[:4],
    )
    (tmp_path / "a" / "0200.png").write_text("hello")
    with pytest.raises(UserError) as caught:
        list(open_images(tmp_path / "a").batches())
    assert str(caught.value).startswith(str(tmp_path / "a" / "0200.png"))
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("GENBENCH_WORKERS", "many")
    with pytest.raises(UserError, match="GENBENCH_WORKERS is 'many'"):
        parallel_loading.workers(1)


def test_names_take_no_more_memory_than_their_bytes(tmp_path):
    """The names of a folder are bytes side by side: no object is kept for each."""
    for i in range(3000):
        (tmp_path / f"{i:06d}.png").touch()
    (tmp_path / "000000.png").write_bytes(png(PIXELS[0]))
    found = open_images(tmp_path)
    assert (len(found), found.names.nbytes, found.names.dtype.kind) == (3000, 3000 * 10, "S")


def jpeg(image):
    with io.BytesIO() as buffer:
        Image.fromarray(image).save(buffer, format="JPEG")
        return buffer.getvalue()


def test_jpeg_is_told_whatever_holds_it(tmp_path, capfd, monkeypatch):
    """JPEG within a zip under another ending, in a parquet's bytes,
    and behind a parquet's path brings the remark, once to a data set; PNG does not.
    """
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, make in enumerate((jpeg, png, jpeg)):
            archive.writestr(f"{i}.png", make(PIXELS[i]))
    (tmp_path / "one.png").write_bytes(jpeg(PIXELS[0]))
    cells = [
        {"bytes": jpeg(PIXELS[0]), "path": None},
        {"bytes": png(PIXELS[1]), "path": None},
        {"bytes": None, "path": str(tmp_path / "one.png")},
    ]
    parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "a.parquet")
    parquet.write_table(
        pyarrow.table({"image": [png(image) for image in PIXELS]}), tmp_path / "b.parquet"
    )
    for file in ("a.zip", "a.parquet", "b.parquet"):
        whole(dataset_of(str(tmp_path / file)))
        whole(dataset_of(str(tmp_path / file)))
    told = [line for line in capfd.readouterr().err.splitlines() if "JPEG" in line]
    assert [
        line.split(": ")[-2:][0].endswith("2 of 3 pictures are JPEG, whose losses move distances")
        for line in told
    ] == [True, True], told
    monkeypatch.setenv("GENBENCH_ON_BAD_IMAGE", "skip")
    (tmp_path / "a.zip").rename(tmp_path / "c.zip")
    open_images(tmp_path / "c.zip")
    assert capfd.readouterr().err.count("2 of 3 pictures are JPEG") == 1


def test_parquet_and_the_hub(tmp_path, monkeypatch):
    """A parquet file of the datasets library's kind, alone and through load_dataset,
    is the same content with its class names.
    """
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y", "z"])}
    )
    table = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": png(p), "path": None} for p in PIXELS],
            "label": [i % 3 for i in range(12)],
        },
        features=features,
    )
    (tmp_path / "set").mkdir()
    table.to_parquet(tmp_path / "set" / "train.parquet")
    row = dataset_of(str(tmp_path / "set" / "train.parquet"))
    images, labels = whole(row)
    assert np.array_equal(images, PIXELS)
    assert (labels, row.classes) == ([0, 1, 2] * 4, ("x", "y", "z"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub = dataset_of(f"hf:{tmp_path / 'set'}")
    assert hub.fingerprint("train") == row.fingerprint("train")
    assert (hub.classes, hub.splits) == (("x", "y", "z"), {"train": 12})
    with monkeypatch.context() as patch:
        patch.setattr(huggingface, "LARGEST", 100)
        with pytest.raises(UserError, match=r"unfolds to \d+ bytes, more than 100; split it"):
            dataset_of(str(tmp_path / "set" / "train.parquet"))
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        dataset_of(str(tmp_path / "bad.parquet"))
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hf:nobody/nothing cannot be opened"):
        dataset_of("hf:nobody/nothing")


def test_without_the_library(tmp_path, monkeypatch):
    """Parquet and the hub name the extra to install."""
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()
    for word in ("hf:a/b", str(tmp_path / "a.parquet")):
        with pytest.raises(UserError, match=r'needs pip install "genbench\[hf\]"'):
            dataset_of(word)
