"""Long-tailed cuts: the counts and the images of LDAM's and CBDM's code, the names they go by,
and the groups of classes.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from genbench._util.errors import UserError
from genbench.data import long_tail
from genbench.data.long_tail import Cut, chosen, counts, groups, ratio_of, split_name, worded

CIFAR10 = {
    100: (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50),
    1000: (5000, 2320, 1077, 500, 232, 107, 50, 23, 10, 5),
    50: (5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100),
}


def kept_in_class(classes, size, ratio):
    """The positions that are kept, each counted within its class, the classes one after another."""
    labels = np.tile(np.arange(classes), size)
    return chosen(labels, counts([size] * classes, ratio)) // classes


def sha256(positions):
    return hashlib.sha256(positions.astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize("ratio", CIFAR10)
def test_the_counts_of_cifar10_are_the_published_ones(ratio):
    """n_c = int(n_max f^(c/9)), truncated."""
    assert counts([5000] * 10, ratio) == CIFAR10[ratio]


def test_the_totals_of_the_literature():
    """CIFAR-100-LT at three ratios, TinyImageNet-LT and LSUN-LT have as many images as
    their papers say.
    """
    assert [sum(counts([500] * 100, ratio)) for ratio in (100, 50, 10)] == [10_847, 12_608, 19_573]
    assert sum(counts([500] * 200, 100)) == 21_549
    assert counts([50_000] * 5, 100) == (50_000, 15_811, 5_000, 1_581, 500)


def test_the_images_are_those_of_ldams_code():
    """The kept positions of CIFAR-10 and CIFAR-100 at IR 100 are the published test vectors,
    to the last one.
    """
    ten, hundred = kept_in_class(10, 5000, 100), kept_in_class(100, 500, 100)
    assert ten[:5].tolist() == [398, 3833, 4836, 4572, 636]
    assert ten[5000:5005].tolist() == [597, 332, 521, 3935, 4800]
    assert ten[-50:-45].tolist() == [2204, 3816, 2206, 2507, 1926]
    assert hundred[-5:].tolist() == [348, 153, 363, 361, 299]
    assert sha256(ten) == "8a54f5b6fa9722952358bc99897aa969bc20f845d0b15034e5013337df1e4ec7"
    assert sha256(hundred) == "f123ec136d44ab1b224fe55bb8a73ab03432d25a81975af68f26fb6777d5aca8"


def test_the_choice_is_the_legacy_seeds_and_leaves_it_alone():
    """The images are those that numpy's global generator gives under seed 0,
    and the global generator is not touched.
    """
    labels = np.random.default_rng(3).integers(0, 4, 200)
    np.random.seed(0)  # noqa: NPY002
    expected = []
    for label in range(4):
        positions = np.where(labels == label)[0]
        np.random.shuffle(positions)  # noqa: NPY002
        expected += positions[: 10 * (label + 1)].tolist()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert chosen(labels, (10, 20, 30, 40)).tolist() == expected
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_cuts_of_one_seed_are_nested():
    """A longer tail is a part of a shorter one; another seed is another choice."""
    labels = np.tile(np.arange(10), 87)
    fifty, ten = (set(chosen(labels, counts([87] * 10, ratio)).tolist()) for ratio in (50, 10))
    assert fifty < ten
    assert fifty != set(chosen(labels, counts([87] * 10, 50), seed=1).tolist())


def test_classes_that_have_fewer_images_give_what_they_have():
    """n_c is the smaller of the formula and what there is, and the digits' counts are as told."""
    assert counts([87] * 10, 50) == (87, 56, 36, 23, 15, 9, 6, 4, 2, 1)
    assert counts([100, 30, 170], 10) == (100, 30, 10)


def test_step_imbalance():
    """The first half of the classes keeps all, the other a hundredth;
    of an odd number, the one in the middle is of the tail.
    """
    assert counts([5000] * 10, 100, "step") == (5000,) * 5 + (50,) * 5
    assert counts([200] * 5, 100, "step") == (200, 200, 2, 2, 2)


def test_the_orders_of_classes():
    """Reversed turns the tail round, size puts the largest class at its head, and a seed permutes:
    the same counts, other classes.
    """
    there = [300, 100, 400, 200]
    plain = counts(there, 10)
    assert counts([250] * 4, 10, order="reversed") == counts([250] * 4, 10)[::-1]
    assert counts(there, 10, order="size") == (116, 25, 250, 53)
    assert plain == (250, 100, 53, 25)
    one, again, other = (counts([250] * 8, 10, order=seed) for seed in ("1", "1", "2"))
    assert one == again != other
    assert sorted(one) == sorted(other) == sorted(counts([250] * 8, 10))


WRONG = [
    (
        lambda: counts([87] * 10, 100),
        "class 9 would keep none of its 87 images; at most --imbalance 87",
    ),
    (lambda: counts([5, 0], 2), "class 1 has 0 images"),
    (lambda: counts([5], 2), "two classes"),
    (lambda: counts([5, 5], 2, "linear"), "linear"),
    (lambda: counts([5, 5], 2, order="sideways"), "--class-order sideways"),
    (lambda: counts([5, 5], 2, order="99999999999"), "--class-order"),
    (lambda: ratio_of("0"), "--imbalance 0"),
    (lambda: ratio_of("a lot"), "--imbalance a lot"),
    (lambda: ratio_of("-5"), "--imbalance -5"),
    (lambda: ratio_of("nan"), "--imbalance nan"),
    (lambda: ratio_of("0.0000000001"), "--imbalance 0.0000000001: 1,000,000,000 at most"),
    (lambda: ratio_of("9" * 400), "1,000,000,000 at most"),
    (lambda: groups([5, 5], "kangs"), "unknown rule"),
    (lambda: groups([5] * 7, "utlo"), "not for 7"),
    (lambda: worded("digits", "", "reversed"), "--class-order says how"),
    (lambda: worded("digits", "", "", "step"), "--imbalance-kind says how"),
    (lambda: worded("digits-lt", "10"), "is long-tailed already"),
    (lambda: worded("digits", "10", "", "stairs"), "--imbalance-kind stairs"),
]


@pytest.mark.parametrize(("call", "line"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_words_are_refused_in_a_line(call, line):
    """What cannot be cut, counted or grouped says so in one line."""
    with pytest.raises(UserError) as error:
        call()
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "ratio"),
    [
        ("100", 100),
        ("0.01", 100),
        ("ir50", 50),
        ("IMF100", 100),
        ("IF100", 100),
        ("IR=50", 50),
        ("rho 0.1", 10),
        ("1000", 1000),
        ("2.5", 2.5),
        ("0.02", 50),
    ],
)
def test_every_name_of_a_ratio_is_the_ratio(word, ratio):
    """LDAM's factor, UTLO's IMF, IF and IR are one number, and IR is what is stored."""
    assert ratio_of(word) == ratio


@pytest.mark.parametrize(
    "cut",
    [
        Cut(100.0),
        Cut(50.0, "step"),
        Cut(2.5, "exp", "reversed"),
        Cut(10.0, "step", "7"),
        Cut(1000.0, "exp", "size"),
    ],
)
def test_names_read_back(cut):
    """A cut is told by its name alone, whatever its base is called."""
    assert split_name(cut.named("my-lt.d/cifar10")) == ("my-lt.d/cifar10", cut)


def test_names_of_others_are_left_alone():
    """A ratio left open is the usual one; what is no such name is none."""
    assert split_name("cifar10-lt") == ("cifar10", None)
    assert [
        split_name(name) for name in ("cifar10", "belt", "cifar10-lt-step", "a-lt-ir", "-lt")
    ] == [None] * 5
    assert (long_tail.usual([5000] * 10).ratio, long_tail.usual([87] * 10).ratio) == (100, 50)
    assert (worded("cifar10", "0.02"), worded("cifar10", "50", "3", "step")) == (
        "cifar10-lt-ir50",
        "cifar10-lt-ir50-step-order3",
    )
    assert worded("cifar10", "") == "cifar10"


@pytest.mark.parametrize(
    ("classes", "size", "ratio", "rule", "sizes"),
    [
        (100, 500, 100, "shots", [35, 35, 30]),
        (100, 500, 50, "shots", [41, 41, 18]),
        (200, 500, 100, "shots", [70, 70, 60]),
        (10, 5000, 1000, "shots", [6, 2, 2]),
        (10, 5000, 100, "shots", [4, 3, 3]),  # thirds: no class has fewer than 20
        (100, 500, 100, "utlo", [35, 35, 30]),
        (10, 5000, 100, "utlo", [3, 3, 4]),
        (10, 5000, 100, "334", [3, 4, 3]),
        (100, 500, 100, "thirds", [34, 33, 33]),
        (10, 5000, 100, "gsr", [8, 2]),
        (10, 5000, 100, "gsr-sampler", [5, 3, 2]),
    ],
)
def test_the_groups_have_the_sizes_of_the_literature(classes, size, ratio, rule, sizes):
    """Many, medium and few by each rule in use; an empty group is absent."""
    found = groups(counts([size] * classes, ratio), rule)
    assert [len(of) for of in found.of.values()] == sizes
    assert sorted(c for of in found.of.values() for c in of) == list(range(classes))


def test_the_rules_differ_at_their_borders():
    """Kang's many begins above 100 and few ends below 20; OLTR's borders are inclusive;
    gSR's few ends at 40.
    """
    sizes = (101, 100, 41, 40, 21, 20, 19)
    assert groups(sizes).of == {"many": (0,), "medium": (1, 2, 3, 4, 5), "few": (6,)}
    assert groups(sizes, "oltr").of == {"many": (0, 1), "medium": (2, 3, 4), "few": (5, 6)}
    assert groups(sizes, "gsr").of == {"many": (0,), "medium": (1, 2), "few": (3, 4, 5, 6)}


def test_thirds_stand_in_and_say_so_where_a_group_is_empty():
    """CIFAR10-LT has no class below 20: thirds by rank, named;
    the groups follow the counts and not the labels; a balanced set keeps its one group.
    """
    found = groups(counts([5000] * 10, 100, order="reversed"))
    assert found.rule == "thirds (shots leaves few empty)"
    assert found.of == {"many": (6, 7, 8, 9), "medium": (3, 4, 5), "few": (0, 1, 2)}
    assert groups([87] * 10).of == {"medium": tuple(range(10))}


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ((980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009), ["many"]),  # MNIST's test images
        ((488, 513, 500), ["many"]),
        ((101, 150, 199, 201), ["many"]),
        ((101, 150, 199, 202), ["many", "medium", "few"]),
    ],
)
def test_a_set_that_is_nearly_balanced_is_not_torn_into_thirds(sizes, names):
    """Thirds stand in only where the largest class has twice the images of the smallest,
    or more.
    """
    assert list(groups(sizes).of) == names
