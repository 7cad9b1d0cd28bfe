"""Sets that are too large to lie here, read from a few pictures in the layout that their publishers
give them; torchvision's checksums are taken as passed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat

from genbench.api import _registry as registry

RNG = np.random.default_rng(31)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    return tmp_path


def pixels(n: int, h: int, w: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, h, w, 3), dtype=np.uint8)


def opened(
    monkeypatch, name: str, module: str, **splits: int
) -> dict[str, tuple[np.ndarray, list[int]]]:
    """{split: (images uint8 [n, h, w, 3], labels)} of a named set,
    as if it were published with so many pictures and these files' checksums.
    """
    monkeypatch.setattr(
        getattr(torchvision.datasets, module),
        "check_integrity",
        lambda path, md5=None: Path(path).exists(),
    )
    reader = replace(registry.find("datasets", name).reader, counts=tuple(splits.items()))
    found = {}
    for split in splits:
        images, labels = zip(*reader(split), strict=True)
        found[split] = torch.cat(images).permute(0, 2, 3, 1).numpy(), torch.cat(labels).tolist()
        assert found[split][1] == np.asarray(reader.labels(split)).tolist()
    return found


def saved(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # lossless, whatever the name says: readers look at the content
    Image.fromarray(image).save(path, format="PNG")


def test_svhn(root, monkeypatch):
    """MATLAB files with pixels [32, 32, 3, n]; the class 10 is the digit 0."""
    images = {"train": pixels(3, 32, 32), "test": pixels(2, 32, 32)}
    (root / "svhn").mkdir()
    for split, classes in (("train", [1, 10, 9]), ("test", [10, 2])):
        savemat(
            root / "svhn" / f"{split}_32x32.mat",
            {
                "X": images[split].transpose(1, 2, 3, 0),
                "y": np.array(classes, dtype=np.uint8)[:, None],
            },
        )
    found = opened(monkeypatch, "svhn", "svhn", train=3, test=2)
    assert found["train"][1] == [1, 0, 9]
    assert found["test"][1] == [0, 2]
    assert all(np.array_equal(found[split][0], images[split]) for split in images)


def test_stl10_and_its_unlabelled_part(root, monkeypatch):
    """Bytes plane by plane, each plane column by column; classes count from 1;
    the unlabelled photos at 48 pixels.
    """
    images = {"train": pixels(2, 96, 96), "test": pixels(3, 96, 96), "unlabeled": pixels(2, 96, 96)}
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, of in images.items():
        of.transpose(0, 3, 2, 1).tofile(folder / f"{part}_X.bin")
    np.array([10, 1], dtype=np.uint8).tofile(folder / "train_y.bin")
    np.array([3, 2, 1], dtype=np.uint8).tofile(folder / "test_y.bin")
    (folder / "class_names.txt").write_text("\n".join(registry.find("datasets", "stl10").classes))
    (folder / "fold_indices.txt").write_text("0 1\n")
    found = opened(monkeypatch, "stl10", "stl10", train=2, test=3)
    assert found["train"][1] == [9, 0]
    assert found["test"][1] == [2, 1, 0]
    assert all(np.array_equal(found[split][0], images[split]) for split in found)
    ((small, labels),) = opened(monkeypatch, "stl10-unlabeled", "stl10", train=2).values()
    assert labels == [0, 0]
    direct = Image.fromarray(images["unlabeled"][0]).resize((48, 48), Image.Resampling.BILINEAR)
    assert np.array_equal(small[0], np.asarray(direct))


def test_celeba(root, monkeypatch):
    """Split by its list, the middle 140 pixels at 64, one class."""
    of = pixels(5, 218, 178)
    names = [f"{i + 1:06d}.jpg" for i in range(5)]
    for name, image in zip(names, of, strict=True):
        saved(root / "celeba" / "img_align_celeba" / name, image)
    lists = {
        "list_eval_partition": (0, "0"),
        "identity_CelebA": (0, "1"),
        "list_bbox_celeba": (2, "1 2 3 4"),
        "list_landmarks_align_celeba": (2, "1 2"),
    }
    for name, (heads, row) in {**lists, "list_attr_celeba": (2, "-1 1")}.items():
        rows = [
            f"{file} {split if name == 'list_eval_partition' else row}"
            for file, split in zip(names, (0, 2, 0, 1, 1), strict=True)
        ]
        (root / "celeba" / f"{name}.txt").write_text(
            "\n".join([*(["5", "a b"] if heads else []), *rows]) + "\n"
        )
    found = opened(monkeypatch, "celeba", "celeba", train=2, valid=2)
    box = of[2][39 : 39 + 140, 19 : 19 + 140]
    assert np.array_equal(
        found["train"][0][1],
        np.asarray(Image.fromarray(box).resize((64, 64), Image.Resampling.BILINEAR)),
    )
    assert found["valid"][1] == [0, 0]


def test_places365(root, monkeypatch):
    """Lists of paths and numbers, one for each split; the 256-pixel version as it is."""
    of = pixels(3, 256, 256)
    places = root / "places365"
    saved(places / "data_256_standard" / "a" / "airfield" / "00000001.jpg", of[0])
    saved(places / "data_256_standard" / "z" / "zen_garden" / "00000002.jpg", of[1])
    saved(places / "val_256" / "Places365_val_00000001.jpg", of[2])
    (places / "categories_places365.txt").write_text("/a/airfield 0\n/z/zen_garden 364\n")
    (places / "places365_train_standard.txt").write_text(
        "/a/airfield/00000001.jpg 0\n/z/zen_garden/00000002.jpg 364\n"
    )
    (places / "places365_val.txt").write_text("Places365_val_00000001.jpg 165\n")
    found = opened(monkeypatch, "places365", "places365", train=2, val=1)
    assert found["train"][1] == [0, 364]
    assert found["val"][1] == [165]
    assert np.array_equal(np.concatenate([found["train"][0], found["val"][0]]), of)


def test_flowers102(root, monkeypatch):
    """Labels count from 1 over all pictures, splits are lists of their numbers;
    the middle square at 256.
    """
    of = pixels(4, 300, 280)
    for i, image in enumerate(of, 1):
        saved(root / "flowers-102" / "jpg" / f"image_{i:05d}.jpg", image)
    savemat(root / "flowers-102" / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 5]])})
    savemat(
        root / "flowers-102" / "setid.mat",
        {"trnid": np.array([[3, 1]]), "valid": np.array([[2, 4]]), "tstid": np.array([[4, 2]])},
    )
    found = opened(monkeypatch, "flowers102", "flowers102", train=2, val=2, test=2)
    assert [found[split][1] for split in ("train", "val", "test")] == [[101, 76], [0, 4], [4, 0]]
    square = Image.fromarray(of[2][10:290]).resize((256, 256), Image.Resampling.LANCZOS)
    assert np.array_equal(found["train"][0][0], np.asarray(square))
