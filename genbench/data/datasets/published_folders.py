"""Published data sets that lie as folders of pictures or as LSUN's databases, a row each:
nobody fetches them but their user.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import Image, lmdb, np
from genbench.data.image_folder import listed
from genbench.data.published_datasets import NONE_STATED, Make, Named, Preparation, published

_STYLES = """
Abstract_Expressionism Action_painting Analytical_Cubism Art_Nouveau_Modern Baroque \
Color_Field_Painting Contemporary_Realism Cubism Early_Renaissance
Expressionism Fauvism High_Renaissance Impressionism Mannerism_Late_Renaissance Minimalism \
Naive_Art_Primitivism New_Realism Northern_Renaissance
Pointillism Pop_Art Post_Impressionism Realism Rococo Romanticism Symbolism Synthetic_Cubism Ukiyo_e
"""


class _Tree:
    """The pictures under a folder, in the order of their names,
    as torchvision's ImageFolder has them.
    """

    def __init__(self, place: Path, labelled: bool) -> None:
        if not place.is_dir():
            raise FileNotFoundError(f"no folder {place.name}")
        self.place, found = place, listed(place)
        self.files, self.targets = found.names, found.labels.values if labelled else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        label = 0 if self.targets is None else int(self.targets[at])
        return Image.open(self.place / os.fsdecode(self.files[at])), label


def _tree(folder: str, labelled: bool = False) -> Make:
    """A folder of the published layout; {split} stands for the split."""

    def make(root: Path, split: str, download: bool) -> Any:
        return _Tree(root / folder.format(split=split), labelled)

    return make


class _Lmdb:
    """LSUN's pictures in the order of their keys.

    torchvision's own reader is not used: it unpickles a file of the working folder.
    """

    def __init__(self, place: Path) -> None:
        if not place.is_dir():
            raise FileNotFoundError(f"no {place.name}")
        self.place = place
        try:
            self._open = lmdb.open(
                str(place), max_readers=1, readonly=True, lock=False, readahead=False, meminit=False
            )
        except ImportError:
            raise UserError(f'{place.name} needs pip install "genbench[lsun]"') from None
        with self._open.begin(write=False) as all_of_it:
            self.files = np.fromiter(
                (key for key in all_of_it.cursor().iternext(keys=True, values=False)), dtype="S40"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        with self._open.begin(write=False) as all_of_it:
            return Image.open(io.BytesIO(all_of_it.get(bytes(self.files[at])) or b"")), 0


def _lsun(category: str) -> Make:
    def make(root: Path, split: str, download: bool) -> Any:
        return _Lmdb(root / "lsun" / f"{category}_{split}_lmdb")

    return make


_LSUN = {  # category -> training images
    "bedroom": 3_033_042,
    "bridge": 818_687,
    "church_outdoor": 126_227,
    "classroom": 168_103,
    "conference_room": 229_069,
    "dining_room": 657_571,
    "kitchen": 2_212_277,
    "living_room": 1_315_802,
    "restaurant": 626_331,
    "tower": 708_264,
}

IMAGENET = published(
    "imagenet",
    "ImageNet (ILSVRC 2012): 1,331,167 photos, 256x256, 1,000 classes",
    1000,
    Preparation(256, "adm"),
    {"train": 1_281_167, "val": 50_000},
    _tree("imagenet/{split}", labelled=True),
    files=(
        "imagenet/train/n01440764/*.JPEG and imagenet/val/n01440764/*.JPEG, a folder for each of "
        "the 1,000 classes (as torchvision's ImageNet unpacks them),"
    ),
    folder="imagenet",
    url="https://image-net.org/download-images.php",
    licence="non-commercial research",
)
COCO = published(
    "coco",
    "COCO 2017: 123,287 photos, the middle square at 256x256, unlabelled",
    1,
    Preparation(256, "lanczos"),
    {"train": 118_287, "val": 5_000},
    _tree("coco/{split}2017"),
    files="coco/train2017/*.jpg and coco/val2017/*.jpg (train2017.zip and val2017.zip unpacked)",
    folder="coco",
    url="https://cocodataset.org/#download",
    licence="CC BY 4.0, the photos their owners'",
)
FFHQ = published(
    "ffhq",
    "Flickr-Faces-HQ: 70,000 faces, 1024x1024",
    ("face",),
    Preparation(1024, "lanczos"),
    {"train": 70_000},
    _tree("ffhq/images1024x1024"),
    files="ffhq/images1024x1024/00000/00000.png ... 69000/69999.png",
    folder="ffhq/images1024x1024",
    url="https://github.com/NVlabs/ffhq-dataset",
    licence="CC BY-NC-SA 4.0",
)
WIKIART = published(
    "wikiart",
    "WikiArt as ArtGAN publishes it: 81,444 paintings, the middle square at 256x256, 27 styles",
    tuple(_STYLES.split()),
    Preparation(256, "lanczos"),
    {"train": 81_444},
    _tree("wikiart", labelled=True),
    files=(
        "wikiart/Abstract_Expressionism/*.jpg and the other 26 styles' folders "
        "(wikiart.zip unpacked)"
    ),
    folder="wikiart",
    url="https://github.com/cs-chan/ArtGAN/tree/master/WikiArt%20Dataset",
    licence="non-commercial research",
)


def _category(name: str, count: int) -> Named:
    return published(
        f"lsun-{name}",
        f"LSUN {name.replace('_', ' ')}: {count:,} photos, the middle square at 256x256",
        (name,),
        Preparation(256, "lanczos"),
        {"train": count, "val": 300},
        _lsun(name),
        files=f"lsun/{name}_train_lmdb/ and lsun/{name}_val_lmdb/",
        folder="lsun",
        url="https://github.com/fyu/lsun",
        licence=NONE_STATED,
    )


(
    LSUN_BEDROOM,
    LSUN_BRIDGE,
    LSUN_CHURCH,
    LSUN_CLASSROOM,
    LSUN_CONFERENCE,
    LSUN_DINING,
    LSUN_KITCHEN,
    LSUN_LIVING,
    LSUN_RESTAURANT,
    LSUN_TOWER,
) = (_category(name, count) for name, count in _LSUN.items())
