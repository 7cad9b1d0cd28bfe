"""How a balanced training set is cut to a long tail, as the literature does it,
and which classes are then many, medium and few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np

if TYPE_CHECKING:
    from numpy import ndarray

KINDS = ("exp", "step")
ORDERS = ("index", "reversed", "size")  # or a seed
# the ratio of NAME-lt; and where it would leave a class without an image
USUAL, SMALL = 100.0, 50.0
LARGEST_SEED = 2**32 - 1  # of numpy's legacy generator
LARGEST_RATIO = 10**9  # more than any training set has images; the names of data sets write it out
_RATIO = r"\d+(?:\.\d+)?"
_NAMED = re.compile(
    rf"(?P<base>.+)-lt(?:-ir(?P<ratio>{_RATIO}))?(?:-(?P<kind>step))?(?:-(?P<order>reversed|"
    r"size|order\d+))?"
)


@dataclass(frozen=True)
class Cut:
    """How a training set is cut: `ratio` of the largest class to the smallest;
    `order` says which class is the head.
    """

    ratio: float
    kind: Literal["exp", "step"] = "exp"
    order: str = "index"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(
                f"--imbalance-kind {clean(str(self.kind))}: {choices(str(self.kind), KINDS)}"
            )
        if self.order not in ORDERS and not (
            re.fullmatch(r"\d{1,10}", self.order) and int(self.order) <= LARGEST_SEED
        ):
            raise UserError(
                f"--class-order {clean(self.order)}: {', '.join(ORDERS)}, or a seed from 0 to "
                f"{LARGEST_SEED}"
            )

    def named(self, base: str) -> str:
        """The name of a data set cut like this: `cifar10-lt-ir100`,
        `-step` and the order behind it where they are not the usual ones.
        """
        order = (
            ""
            if self.order == "index"
            else f"-{self.order if self.order in ORDERS else f'order{self.order}'}"
        )
        return (
            f"{base}-lt-ir{self.ratio:.10g}{'' if self.kind == 'exp' else f'-{self.kind}'}{order}"
        )


def ratio_of(word: str) -> float:
    """The imbalance ratio IR behind the names it goes by: 100, ir100, imf100, if100,
    or LDAM's imb_factor 0.01.

    UserError otherwise.
    """
    found = re.fullmatch(rf"(?:ir|imf|if|rho)?[ =]?({_RATIO})", word.strip().lower())
    value = float(found[1]) if found else 0.0
    if value <= 0:
        raise UserError(
            f"--imbalance {clean(word)}: the ratio of the largest class to the smallest, "
            "as in 100, or 0.01 as LDAM's code writes it"
        )
    # 1 / 0.01 is exactly 100 in binary; other factors (0.07) are rounded to what was meant
    ratio = value if value >= 1 else float(f"{1 / value:.10g}")
    if ratio > LARGEST_RATIO:
        raise UserError(
            f"--imbalance {clean(word)}: {LARGEST_RATIO:,} at most, and no class may be left "
            "without an image"
        )
    return ratio


def split_name(name: str) -> tuple[str, Cut | None] | None:
    """A data set's name with `-lt` in it as base and Cut, None in its place where the name leaves
    the ratio open; None for any other name.
    """
    found = _NAMED.fullmatch(name)
    if not found:
        return None
    order = (found["order"] or "index").removeprefix("order")
    ratio = ratio_of(found["ratio"]) if found["ratio"] else 0.0
    if not ratio and (found["kind"] or found["order"]):
        return None  # cifar10-lt-step says too little
    return found["base"], Cut(ratio, "step" if found["kind"] else "exp", order) if ratio else None


def worded(dataset: str, imbalance: str, order: str = "", kind: str = "") -> str:
    """The data set that `--dataset`, `--imbalance`, `--class-order` and `--imbalance-kind` mean
    together, as one word.
    """
    if not imbalance:
        given = next(
            (
                word
                for word, value in (("--class-order", order), ("--imbalance-kind", kind))
                if value
            ),
            None,
        )
        if given:
            raise UserError(
                f"{given} says how --imbalance cuts the training set: give --imbalance 100 too"
            )
        return dataset
    if split_name(dataset):
        raise UserError(
            f"--dataset {clean(dataset)} is long-tailed already: leave out --imbalance, "
            "or name the whole data set"
        )
    # it refuses other kinds
    return Cut(ratio_of(imbalance), kind or "exp", order or "index").named(dataset)  # type: ignore[arg-type]


def usual(available: Sequence[int]) -> Cut:
    """The cut that NAME-lt means: IR 100, or 50 where a class would be left without an
    image (digits).
    """
    return Cut(USUAL if sum(available) // len(available) >= USUAL else SMALL)


def ranks(available: Sequence[int], order: str) -> ndarray[Any, Any]:
    """The place of each class in the tail, int64 [C], 0 for the head.

    The literature's orders are different data sets.

    index: by label, as LDAM, CBDM and their family. reversed: the last label is the head (UTLO,
    which relabels too; here labels keep their numbers). size: the largest class is the head. A
    seed: a permutation of numpy's legacy generator.
    """
    classes = len(available)
    if order == "index":
        return np.arange(classes)
    if order == "reversed":
        return np.arange(classes)[::-1].copy()
    heads = (
        np.argsort(-np.asarray(available), kind="stable")
        if order == "size"
        else np.random.RandomState(int(order)).permutation(classes)
    )
    return np.argsort(heads, kind="stable")


def counts(
    available: Sequence[int], ratio: float, kind: str = "exp", order: str = "index"
) -> tuple[int, ...]:
    """How many images of each class a long-tailed cut keeps;
    UserError where a class would keep none.

    exp: n_c = int(n_max f^(c/(C-1))), f = 1/ratio, n_max = int(N/C), truncated (Cui et al. 2019;
    LDAM's code, which all others took over). step: the first C // 2 classes keep n_max, the next
    C // 2 int(n_max f); the original loses the last of an odd number, here it is of the tail. Where
    a class has fewer images than the formula asks for, all of them are kept.
    """
    cut, classes = Cut(ratio, "step" if kind == "step" else "exp", order), len(available)
    if kind not in KINDS or classes < 2:
        raise UserError(
            f"a long tail needs two classes or more, and a kind of {', '.join(KINDS)}; "
            f"here are {classes}, {clean(kind)}"
        )
    largest, factor = int(sum(available) / classes), 1 / ratio
    if kind == "exp":
        wanted = [int(largest * factor ** (place / (classes - 1.0))) for place in range(classes)]
    else:
        wanted = [
            largest if place < classes // 2 else int(largest * factor) for place in range(classes)
        ]
    kept = tuple(
        min(wanted[place], there)
        for place, there in zip(ranks(available, cut.order).tolist(), available, strict=True)
    )
    if min(kept) < 1:
        lost = kept.index(0)
        why = (
            f"has {available[lost]} images"
            if available[lost] == 0
            else f"would keep none of its {available[lost]} images"
        )
        raise UserError(
            f"--imbalance {ratio:.10g}: class {lost} {why}; at most --imbalance {largest}"
        )
    return kept


def chosen(labels: ndarray[Any, Any], counts: Sequence[int], seed: int = 0) -> ndarray[Any, Any]:
    """The positions of the images that are kept, int64 [sum of counts],
    the classes one after another, each in the order it was drawn.

    labels int64 [N]. LDAM's choice: numpy's legacy generator; per class its positions shuffled, the
    first n_c kept. What the shuffle draws depends on the size of the class alone, so that cuts of
    one seed are nested in each other.
    """
    draw = np.random.RandomState(seed)
    kept = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        draw.shuffle(positions)
        kept.append(positions[:count])
    return np.concatenate(kept).astype(np.int64)


@dataclass(frozen=True)
class Groups:
    """The classes by how many training images they have: of["many"], of["medium"], of["few"],
    an empty group is absent; `rule` says by what.
    """

    rule: str
    of: dict[str, tuple[int, ...]]


Sizes = Sequence[int]
Rule = Callable[[Sizes], list[int]]  # counts -> of each class 0 (many), 1 (medium) or 2 (few)
NAMES = ("many", "medium", "few")
# UTLO's groups are by place in the tail, one pair of borders for each data set it knows, here by
# its number of classes
_UTLO = {5: (3, 4), 10: (3, 6), 20: (5, 10), 100: (35, 70), 102: (20, 50)}


def _by_count(many: int, few: int, *, border: bool = False) -> Rule:
    """Above `many` is many, below `few` is few; border: the borders belong to many and few."""

    def rule(sizes: Sizes) -> list[int]:
        return [
            0
            if n > many or (border and n == many)
            else 2
            if n < few or (border and n == few)
            else 1
            for n in sizes
        ]

    return rule


def _places(sizes: Sizes) -> list[int]:
    """The place of each class from the largest to the smallest;
    of equal ones the lower label first.
    """
    return [int(place) for place in np.argsort(np.argsort(-np.asarray(sizes), kind="stable"))]


def _by_place(borders: Callable[[int], tuple[int, int]]) -> Rule:
    def rule(sizes: Sizes) -> list[int]:
        medium, few = borders(len(sizes))
        return [0 if place < medium else 1 if place < few else 2 for place in _places(sizes)]

    return rule


def _utlo(classes: int) -> tuple[int, int]:
    if classes not in _UTLO:
        raise UserError(
            f"the groups of UTLO are known for {', '.join(map(str, _UTLO))} classes, "
            f"not for {classes}: take another rule"
        )
    return _UTLO[classes]


def _thirds(classes: int) -> tuple[int, int]:
    return -(-classes // 3), classes - classes // 3


RULES: dict[str, Rule] = {
    "shots": _by_count(100, 20),  # Kang et al. 2020, KaihuaTang: > 100, 20 to 100, < 20
    "oltr": _by_count(100, 20, border=True),  # Liu et al. 2019: >= 100, 21 to 99, <= 20
    "utlo": _by_place(_utlo),
    # of ten classes 0-2, 3-6, 7-9
    "334": _by_place(lambda classes: (3 * classes // 10, 7 * classes // 10)),
    "thirds": _by_place(_thirds),  # CM: by frequency rank
    "gsr": _by_count(100, 41),  # gSR's intra-FID: > 100, 41 to 100, <= 40;
    "gsr-sampler": _by_count(400, 101),  # and its sampler: > 400, 101 to 400, <= 100
}


def groups(counts: Sizes, rule: str = "shots") -> Groups:
    """Many, medium and few by the training counts of the classes; UserError for an unknown rule.

    Where "shots" leaves a group empty, thirds by rank stand in, and the rule says so; but not where
    the largest class has less than twice the images of the smallest (MNIST's test images, 892 to
    1135): a set that is balanced, or nearly so, is not torn into thirds.
    """
    if rule not in RULES:
        raise UserError(f"unknown rule of groups {clean(rule)!r}: {choices(rule, RULES)}")
    of = RULES[rule](counts)
    empty = [name for place, name in enumerate(NAMES) if place not in of]
    if (
        rule == "shots"
        and empty
        and len(counts) > 2
        and len(set(counts)) > 1
        and max(counts) >= 2 * min(counts)
    ):
        rule, of = f"thirds (shots leaves {' and '.join(empty)} empty)", RULES["thirds"](counts)
    found = {
        name: tuple(c for c, group in enumerate(of) if group == place)
        for place, name in enumerate(NAMES)
    }
    return Groups(rule, {name: classes for name, classes in found.items() if classes})
