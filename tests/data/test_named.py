"""Published data sets by name: read through torchvision from files in its layout,
prepared by a stated rule, refused in one line where they are missing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.data import fingerprint, published_datasets
from genbench.data.published_datasets import Preparation
from genbench.data.user_datasets import dataset_of

RNG = np.random.default_rng(14)
NAMES = (  # noqa: SIM905
    "cifar10 cifar100 mnist fashion-mnist svhn stl10 celeba imagenet places365 coco flowers102 "
    "ffhq wikiart lsun-bedroom lsun-tower digits"
).split()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root of the test's own, and no network."""
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def shrunk(monkeypatch, name, **splits):
    """The row of a published set as if it were published with these sizes."""
    row = registry.find("datasets", name)
    reader = replace(row.reader, counts=tuple(splits.items()))
    small = replace(row, splits=splits, reader=reader, open=reader)
    monkeypatch.setattr(
        registry,
        "find",
        lambda shelf, word, find=registry.find: small if word == name else find(shelf, word),
    )
    return small


def whole(row, split):
    images, labels = zip(*row.open(split), strict=True)
    return torch.cat(images).permute(0, 2, 3, 1).numpy(), torch.cat(labels).tolist()


def test_every_named_set_has_a_row():
    """The sets of the list stand on the shelf; each says its sizes,
    its preparation and its default protocol, which exists.
    """
    rows = registry.every("datasets")
    assert set(NAMES) <= set(rows)
    assert {row.protocol for row in rows.values()} <= set(registry.standing("protocols"))
    assert sum(name.startswith("lsun-") for name in rows) == 10
    for name in NAMES[:-1]:
        assert rows[name].preparation == str(rows[name].reader.prepare), name
        assert rows[name].reader.counts == tuple(rows[name].splits.items()), name
        assert (rows[name].reader.prepare.filter == "") == (
            rows[name].resolution in (28, 32, 96)
        ), name
    assert {
        len(rows[name].classes)
        for name in ("cifar100", "imagenet", "places365", "flowers102", "wikiart")
    } == {100, 1000, 365, 102, 27}


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_set_that_is_missing_ends_in_one_line(name, root):
    """Offline, nothing is fetched or made; the line says which files, from where,
    and into which folder.
    """
    row = dataset_of(name)
    for ask in (row.fingerprint, lambda split: list(row.open(split))):
        with pytest.raises(UserError) as caught:
            ask("train")
        line = str(caught.value)
        assert line.startswith(f"{name} is not here (")
        assert f"under {root}, or name another place with --data-root or $GENBENCH_DATA" in line
        assert row.reader.files in line
        assert "\n" not in line
    assert list(root.iterdir()) == []


@pytest.mark.shared
def test_fashion_mnist_from_its_own_files(root, shared_data):
    """torchvision reads the original files; grey is repeated, the order is the file's,
    the labels are its own; the content is remembered.
    """
    (root / "FashionMNIST" / "raw").mkdir(parents=True)
    for file in (shared_data / "fashion-mnist").glob("*.gz"):
        (root / "FashionMNIST" / "raw" / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    row = dataset_of("fashion-mnist")
    images, labels = whole(row, "test")
    raw = np.frombuffer(
        (root / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16
    ).reshape(-1, 28, 28)
    assert np.array_equal(images, np.repeat(raw[..., None], 3, -1))
    assert np.bincount(labels).tolist() == [1000] * 10
    assert labels == row.labels("test").tolist()
    same = dataset_of(str(shared_data / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"))
    assert row.fingerprint("test") == same.fingerprint("train")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("mnist", "MNIST")]
)
def test_mnists_files_are_read_as_they_are_published(name, folder, root, shared_data):
    """Gzipped files under raw/ are the same content as the unpacked ones, pictures and labels,
    and one of each kind will do; nothing is written there.
    """
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (raw / part).write_bytes((shared_data / name / part).read_bytes())
    row = dataset_of(name)
    images, labels = whole(row, "test")
    own = dataset_of(str(shared_data / name / "t10k-images-idx3-ubyte.gz"))
    assert np.array_equal(images, whole(own, "train")[0])
    assert labels == row.labels("test").tolist() == own.labels("train").tolist()
    assert row.fingerprint("test") == own.fingerprint("train")
    with pytest.raises(
        UserError, match=rf"{name} is not here .*idx3,labels-idx1}}-ubyte\.gz, or those unpacked"
    ):
        whole(row, "train")
    assert len(list(raw.iterdir())) == 2
    (raw / "t10k-labels-idx1-ubyte").write_bytes(
        gzip.decompress((raw / "t10k-labels-idx1-ubyte.gz").read_bytes())
    )
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    assert whole(row, "test")[1] == labels


def test_the_objects_of_lsun_are_not_known():
    """The line names the ten scenes; a category's short name brings it too."""
    for word in ("lsun-cat", "lsun-cat-256", "lsun-church"):
        with pytest.raises(
            UserError,
            match=(
                r"of LSUN only scenes are known, .*lsun-bedroom, "
                r".*lsun-church_outdoor, .*lsun-tower"
            ),
        ):
            dataset_of(word)


def fake_cifar(root, monkeypatch):
    """CIFAR-10's layout with 20 images to a batch,
    its published checksums replaced by the fakes'.
    """
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    md5, kept = {}, {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        kept[name] = {
            "data": RNG.integers(0, 256, (20, 3072), dtype=np.uint8),
            "labels": [i % 10 for i in range(20)],
            "label_names": list("0123456789"),
        }
        (folder / name).write_bytes(pickle.dumps(kept[name]))
        md5[name] = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5["batches.meta"]})
    return folder, kept


def test_cifar10_is_opened_only_with_its_checksum(root, monkeypatch):
    """The batches in their order; a changed file is never unpickled,
    and the content that was known is known no more.
    """
    monkeypatch.setattr(fingerprint, "SETTLED", -1)
    folder, kept = fake_cifar(root, monkeypatch)
    row = shrunk(monkeypatch, "cifar10", train=100, test=20)
    images, labels = whole(row, "test")
    assert np.array_equal(
        images, kept["test_batch"]["data"].reshape(20, 3, 32, 32).transpose(0, 2, 3, 1)
    )
    assert labels == kept["test_batch"]["labels"] == row.labels("test").tolist()
    assert len(row.fingerprint("train")) == 64
    with monkeypatch.context() as patch:
        patch.setattr(published_datasets.Reader, "made", lambda *_: pytest.fail("read again"))
        assert len(row.fingerprint("train")) == 64

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a file of another checksum was unpickled",))

    (folder / "data_batch_3").write_bytes(pickle.dumps(Bomb()))
    for ask in (row.fingerprint, lambda split: list(row.open(split))):
        with pytest.raises(UserError, match="cifar10 is not here"):
            ask("train")


def test_another_number_of_pictures_than_published(root, monkeypatch):
    """A part of a published set does not pass for it."""
    fake_cifar(root, monkeypatch)
    with pytest.raises(
        UserError, match="cifar10 test has 10000 pictures as published, 20 lie under"
    ):
        list(dataset_of("cifar10").open("test"))


def test_imagenets_folders(root, monkeypatch, cli):
    """A folder for each class, pictures of mixed sizes and modes as torchvision opens them,
    cropped by guided diffusion's rule; at another size by name.
    """
    sizes = [(300, 200), (70, 90), (129, 64), (64, 64)]
    kept = {}
    for i, size in enumerate(sizes):
        place = root / "imagenet" / "train" / f"n0000000{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        kept[place / f"{i}.JPEG"] = RNG.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(kept[place / f"{i}.JPEG"]).convert("CMYK" if i == 3 else "RGB").save(
            place / f"{i}.JPEG"
        )
    shrunk(monkeypatch, "imagenet", train=4, val=0)
    row = dataset_of("imagenet-32")
    images, labels = whole(row, "train")
    assert (images.shape, labels, row.resolution) == ((4, 32, 32, 3), [0, 0, 1, 1], 32)
    assert row.labels("train").tolist() == labels
    for image, path in zip(images, sorted(kept), strict=True):
        with Image.open(path) as picture:
            assert np.array_equal(image, center_crop_arr(picture.convert("RGB"), 32))
    assert row.preparation == (
        "guided diffusion's center_crop_arr to 32: halved by box averages while twice as "
        "large, bicubic, the centre square"
    )
    other = dataset_of("imagenet-32-lanczos")
    assert other.fingerprint("train") != row.fingerprint("train")
    assert other.preparation == (
        "the centre square, resized to 32 by Pillow's lanczos (antialiased, "
        "rounded across, then down)"
    )
    min(kept).write_text("hello")
    with pytest.raises(UserError, match=r"imagenet: b?'?n00000000/0\.JPEG'? cannot be read"):
        whole(row, "train")
    status, _, err = cli("datasets", "imagenet-32-nearest")
    assert (status, "unknown dataset" in err) == (2, True)
    assert cli("datasets", "cifar10-64")[0] == 2


def center_crop_arr(pil_image, image_size):
    """guided_diffusion/image_datasets.py at 22e0df8, as it stands there."""
    while min(*pil_image.size) >= 2 * image_size:
        pil_image = pil_image.resize(tuple(x // 2 for x in pil_image.size), resample=Image.BOX)
    scale = image_size / min(*pil_image.size)
    pil_image = pil_image.resize(
        tuple(round(x * scale) for x in pil_image.size), resample=Image.BICUBIC
    )
    arr = np.array(pil_image)
    crop_y = (arr.shape[0] - image_size) // 2
    crop_x = (arr.shape[1] - image_size) // 2
    return arr[crop_y : crop_y + image_size, crop_x : crop_x + image_size]


def test_preparation_by_hand():
    """The centre square in whole pixels, and a crop of so many pixels first;
    box averages by hand, rounded in each direction.
    """
    pixels = RNG.integers(0, 256, (4, 8, 3), dtype=np.uint8)
    square = pixels[:, 2:6].astype(float)
    across = np.floor(square.reshape(4, 2, 2, 3).mean(2) + 0.5)
    by_hand = np.floor(across.reshape(2, 2, 2, 3).mean(1) + 0.5)
    assert np.array_equal(Preparation(2, "box")(Image.fromarray(pixels)), by_hand)
    assert np.array_equal(Preparation(2, "box", crop=2)(Image.fromarray(pixels)), pixels[1:3, 3:5])
    grey = Preparation(4)(Image.fromarray(pixels[..., 0]))
    assert np.array_equal(grey, np.repeat(pixels[..., :1], 3, -1))


def test_lsun_is_read_without_pickles(root, monkeypatch):
    """The pictures of an LMDB in the order of their keys; torchvision's reader,
    which unpickles a file of the working folder, is not used.
    """
    lmdb = pytest.importorskip("lmdb")
    pixels = RNG.integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    (root / "lsun").mkdir()
    with (
        lmdb.open(str(root / "lsun" / "tower_train_lmdb"), map_size=2**20) as base,
        base.begin(write=True) as all_of_it,
    ):
        for key, image in zip((b"c", b"a", b"b"), pixels, strict=True):
            with io.BytesIO() as buffer:
                Image.fromarray(image).save(buffer, format="WEBP", lossless=True)
                all_of_it.put(key, buffer.getvalue())
    shrunk(monkeypatch, "lsun-tower", train=3, val=300)
    images, labels = whole(dataset_of("lsun-tower-20-box"), "train")
    assert np.array_equal(images, pixels[[1, 2, 0], :, 5:25])
    assert labels == dataset_of("lsun-tower").labels("train").tolist() == [0, 0, 0]
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UserError, match=r'needs pip install "genbench\[lsun\]"'):
        whole(dataset_of("lsun-tower"), "train")


def test_the_page_of_a_set(cli, root, monkeypatch, tmp_path):
    """`genbench datasets NAME`: size, splits, classes, counts, groups and a picture;
    what is missing is said, and nothing is fetched.
    """
    status, out, _ = cli("datasets", "digits-lt-ir50", "--json", "--picture", tmp_path / "a.png")
    page = json.loads(out[: out.rindex("}") + 1])
    assert (status, page["splits"]["train"], page["train_counts"][0], page["train_counts"][-1]) == (
        0,
        sum(page["train_counts"]),
        87,
        1,
    )
    assert page["groups"]["rule"].startswith("shots") or page["groups"]["rule"].startswith("thirds")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (10 * 34 - 2, 10 * 34 - 2)
    status, out, _ = cli("datasets", "celeba")
    assert (status, "celeba is not here (" in out, "or let genbench run fetch it" in out) == (
        0,
        True,
        True,
    )
    assert cli("datasets", "digits", "--picture", tmp_path / "a.jpg")[0] == 2
    assert cli("datasets", "--picture", tmp_path / "b.png")[0] == 2


PROTOCOL = """
from genbench.api import Measure, Protocol

MINE = Protocol("mine", "mine", "any", 0, "balanced", "round", (Measure("precision", "digits.pool", "train", {"k": 3}),))
"""  # noqa: E501


def test_a_run_on_a_published_set(root, monkeypatch, cli, here):
    """`--data-root` names the place; the record says how the pixels were prepared and how many
    images each class has; without files the run ends in a line.
    """
    (here / "mine.py").write_text(PROTOCOL)
    fake_cifar(root, monkeypatch)
    shrunk(monkeypatch, "cifar10", train=100, test=20)
    words = (
        "run",
        "--plugin",
        "noise",
        "--dataset",
        "cifar10",
        "--with",
        "mine.py",
        "--protocol",
        "mine",
        "--n",
        40,
        "--leaderboards",
        "none",
        "--json",
    )
    monkeypatch.setenv("GENBENCH_DATA", str(here / "elsewhere"))
    status, _, err = cli(*words)
    assert (status, "cifar10 is not here (GENBENCH_OFFLINE is set)" in err) == (2, True)
    status, out, err = cli(*words, "--data-root", root)
    assert status == 0, err
    said = json.loads(out)["dataset"]
    assert (
        said["preparation"]
        == "none: 8-bit pixels as they are published, grey repeated to three channels"
    )
    assert said["train_counts"] == [10] * 10


@pytest.mark.parametrize("reached", [True, False])
def test_what_is_missing_is_fetched(reached, root, monkeypatch):
    """A set that torchvision can fetch is fetched when it is opened, once,
    and not where its page is shown; a network that fails ends in the same line.
    """
    monkeypatch.setenv("GENBENCH_OFFLINE", "")
    calls = []

    def make(place, split, download):
        calls.append(download)
        if not any(calls):
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        if not reached:
            raise OSError("no route to host")
        return [(Image.new("RGB", (4, 4), (9, 8, 7)), 3)] * 2

    words = {
        "files": "mine/",
        "folder": "mine",
        "url": "https://example.org",
        "licence": "none",
        "downloads": True,
    }
    row = published_datasets.published(
        "mine", "mine", 5, Preparation(4), {"train": 2}, make, **words
    )
    assert row.reader.missing().startswith("mine is not here (Dataset not found)")
    assert calls == [False]
    if reached:
        images, labels = whole(row, "train")
        assert (images[1, 0, 0].tolist(), labels, calls) == (
            [9, 8, 7],
            [3, 3],
            [False, False, True],
        )
    else:
        with pytest.raises(
            UserError,
            match=(
                r"mine is not here \(no route to host\): put mine/ from https://example.org under"
            ),
        ):
            whole(row, "train")
