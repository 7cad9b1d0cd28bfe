"""Published data sets that torchvision reads and fetches, a row each;
it is imported when one is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import Image, np, torchvision_datasets
from genbench.data.published_datasets import NONE_STATED, Make, Preparation, published
from genbench.io import idx

_TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_STL = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly \
camel can castle caterpillar cattle chair chimpanzee
clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl \
hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange \
orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk \
skyscraper snail snake spider squirrel streetcar sunflower
sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale \
willow_tree wolf woman worm
"""


def _flagged(kind: str) -> Make:
    """torchvision's sets whose split is the flag `train`."""

    def make(root: Path, split: str, download: bool) -> Any:
        return getattr(torchvision_datasets, kind)(root, train=split == "train", download=download)

    return make


class _Gzipped:
    """MNIST's or Fashion-MNIST's files as they are published,
    which torchvision reads only when they are unpacked.
    """

    def __init__(self, images: Path, labels: Path) -> None:
        self.data, self.targets = idx.read(images, 3), idx.read(labels, 1).astype(np.int64)
        if len(self.data) != len(self.targets):
            raise UserError(
                f"{images} has {len(self.data)} images, {labels.name} {len(self.targets)} labels; "
                "fetch them again"
            )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return Image.fromarray(self.data[at]), int(self.targets[at])


def _idx(kind: str) -> Make:
    """torchvision's sets of idx files, gzipped ones too."""

    def make(root: Path, split: str, download: bool) -> Any:
        plain = [
            root / kind / "raw" / f"{'train' if split == 'train' else 't10k'}-{part}"
            for part in (idx.IMAGES, idx.LABELS)
        ]
        files = [file if file.is_file() else file.with_name(f"{file.name}.gz") for file in plain]
        if files != plain and all(file.is_file() for file in files):
            return _Gzipped(*files)
        return _flagged(kind)(root, split, download)

    return make


def _split(kind: str, folder: str = "", words: dict[str, str] | None = None, **fixed: Any) -> Make:
    """torchvision's sets whose split is a word; folder: where those that write beside one another
    get their own.
    """

    def make(root: Path, split: str, download: bool) -> Any:
        place = root / folder
        if download:
            place.mkdir(parents=True, exist_ok=True)
        return getattr(torchvision_datasets, kind)(
            place, split=(words or {}).get(split, split), download=download, **fixed
        )

    return make


_TRAIN_TEST = {"train": 50_000, "test": 10_000}
CIFAR10 = published(
    "cifar10",
    "CIFAR-10: 60,000 photos, 32x32, 10 classes",
    _TEN,
    Preparation(32),
    _TRAIN_TEST,
    _flagged("CIFAR10"),
    files="cifar-10-batches-py/ (cifar-10-python.tar.gz unpacked)",
    folder="cifar-10-batches-py",
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence=NONE_STATED,
    downloads=True,
)
CIFAR100 = published(
    "cifar100",
    "CIFAR-100: 60,000 photos, 32x32, 100 classes",
    tuple(_HUNDRED.split()),
    Preparation(32),
    _TRAIN_TEST,
    _flagged("CIFAR100"),
    files="cifar-100-python/ (cifar-100-python.tar.gz unpacked)",
    folder="cifar-100-python",
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence=NONE_STATED,
    downloads=True,
)
MNIST = published(
    "mnist",
    "MNIST: 70,000 handwritten digits, 28x28 grey, 10 classes",
    tuple("0123456789"),
    Preparation(28),
    {"train": 60_000, "test": 10_000},
    _idx("MNIST"),
    files="MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz, or those unpacked,",
    folder="MNIST/raw",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    licence=NONE_STATED,
    downloads=True,
)
FASHION_MNIST = published(
    "fashion-mnist",
    "Fashion-MNIST: 70,000 articles of clothing, 28x28 grey, 10 classes",
    _CLOTHES,
    Preparation(28),
    {"train": 60_000, "test": 10_000},
    _idx("FashionMNIST"),
    files="FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz, or those unpacked,",
    folder="FashionMNIST/raw",
    url="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    downloads=True,
)
SVHN = published(
    "svhn",
    "Street View House Numbers: 99,289 digits, 32x32, 10 classes (without its extra part)",
    tuple("0123456789"),
    Preparation(32),
    {"train": 73_257, "test": 26_032},
    _split("SVHN", "svhn"),
    files="svhn/train_32x32.mat, svhn/test_32x32.mat",
    folder="svhn",
    url="http://ufldl.stanford.edu/housenumbers/",
    licence="non-commercial use",
    downloads=True,
)
STL10 = published(
    "stl10",
    "STL-10: 13,000 labelled photos, 96x96, 10 classes",
    _STL,
    Preparation(96),
    {"train": 5_000, "test": 8_000},
    _split("STL10"),
    files="stl10_binary/ (stl10_binary.tar.gz unpacked)",
    folder="stl10_binary",
    url="https://cs.stanford.edu/~acoates/stl10/",
    licence=NONE_STATED,
    downloads=True,
)
STL10_UNLABELED = published(
    "stl10-unlabeled",
    "STL-10's 100,000 unlabelled photos, 48x48 as generators are trained on them",
    1,
    Preparation(48, "bilinear"),
    {"train": 100_000},
    _split("STL10", words={"train": "unlabeled"}),
    files="stl10_binary/ (stl10_binary.tar.gz unpacked)",
    folder="stl10_binary",
    url="https://cs.stanford.edu/~acoates/stl10/",
    licence=NONE_STATED,
    downloads=True,
)
CELEBA = published(
    "celeba",
    "CelebA: 202,599 faces, aligned, the middle 140 pixels at 64x64",
    ("face",),
    Preparation(64, "bilinear", crop=140),
    {"train": 162_770, "valid": 19_867, "test": 19_962},
    _split("CelebA", target_type=[]),
    files=(
        "celeba/img_align_celeba/ and celeba/{list_eval_partition,list_attr_celeba,identity_CelebA,"
        "list_bbox_celeba,list_landmarks_align_celeba}.txt"
    ),
    folder="celeba",
    url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    licence="non-commercial research",
    downloads=True,
)
PLACES365 = published(
    "places365",
    "Places365-Standard: 1,839,960 scenes, 256x256, 365 classes",
    365,
    Preparation(256, "lanczos"),
    {"train": 1_803_460, "val": 36_500},
    _split("Places365", "places365", {"train": "train-standard"}, small=True),
    files=(
        "places365/data_256_standard/, places365/val_256/ and the lists of "
        "filelist_places365-standard.tar"
    ),
    folder="places365",
    url="http://places2.csail.mit.edu/download.html",
    licence="research and education",
    downloads=True,
)
FLOWERS102 = published(
    "flowers102",
    "Oxford 102 flowers: 8,189 photos, the middle square at 256x256, 102 classes",
    102,
    Preparation(256, "lanczos"),
    {"train": 1_020, "val": 1_020, "test": 6_149},
    _split("Flowers102"),
    files=(
        "flowers-102/jpg/ (102flowers.tgz unpacked), flowers-102/imagelabels.mat and "
        "flowers-102/setid.mat"
    ),
    folder="flowers-102",
    url="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    licence=NONE_STATED,
    downloads=True,
)
