"""How small a fault of one class the flags of the table of classes find,
and what a recogniser's own error does to the test of shares.

    GENBENCH_TEST_DATA=FOLDER python tests/bench/classes_power.py --draws 100 --out tests/bench/classes_power.md
    GENBENCH_TEST_DATA=FOLDER python tests/bench/classes_power.py --shares --draws 200 --out tests/bench/classes_shares.md

FOLDER holds cifar10-test-5k.npz, cifar10-resnet20-12fca82f.th and fashion-mnist/ (tests/conftest.py
says where it is looked for).
"""  # noqa: E501

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from genbench._util.atomic_write import write
from genbench.api._registry import module_of
from genbench.data import long_tail
from genbench.features.extraction import at_hand, rows_of
from genbench.per_class import class_shares, pairwise, table
from genbench.per_class.class_shares import confusion
from genbench.per_class.label_classifier import Reader, fitted
from genbench.statistics import permutation_tests, rank_ranges

HERE = Path(__file__).parents[1]
DATA = Path(os.environ.get("GENBENCH_TEST_DATA") or HERE.parents[1] / "shared" / "data")
DOSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # the share of the class that is replaced
# samples of the class: real images of it, permutations
SIZES = {50: (50, permutation_tests.COUNT), 200: (200, permutation_tests.COUNT), 1000: (500, 499)}
CLASSES, TESTS = 10, 30  # distance, spread and label of ten classes
ENOUGH, HARDLY = 0.8, 0.1
FAULTS = ("another class", "copies of the rest", "one image", "blurred")

TEXT = """# How small a fault of one class is found

One class of ten has a share q of its n samples replaced; its other samples and n real images (500 \
for n = 1,000) are real images that nobody has trained on.
The cells are how often the class was flagged in {draws} draws of class and images, \
by the tests that the table makes: permutation tests of the kernel distance
and of the spread ({permutations} permutations, 499 for n = 1,000) and an exact test of the \
accuracy, at p <= 0.05 / {tests}: Holm's first step among three
tests of ten classes. Standard error of a cell at 80 %: {error:.0%}. \
In brackets the tests that found the fault in more than half of the draws in which any did.
A dash is less than one image, or a fault that is hardly found at the largest q. \
Made by `python tests/bench/classes_power.py --draws {draws}` in {minutes:.0f}
minutes of a core.

Replaced by images of another class, by copies of the images that stay (in turn), \
by copies of one image, or blurred (means of {blur} x {blur} pixels).

{tables}

Copies of the rest are not found, as they should not be by these tests: half of the images, \
each twice, are a fair sample of the class. That samples repeat
each other no test of the table looks at; it looks at copies of training images.
"""

SHARES = """# The test of shares through a recogniser

Faithful samples without labels, by the frequencies of CIFAR10-LT IR 100, \
read by a recogniser that is right in {right:.1%} of real images (with the confusion
of the first 5,000 test images). The table expects of each class the frequencies times the \
confusion that the recogniser has on m real images, which is an
estimate too. How often any class is flagged, of {draws} draws (5 % are allowed): \
with the estimate taken for the truth, and (bold) with its error, as the
table tests it. Made by `python tests/bench/classes_power.py --shares --draws {draws}`.

{shares}
"""


@dataclass(frozen=True)
class Real:
    """Real images as an extractor and a recogniser see them, and the same images blurred:
    rows float64 [N, d], what is seen int64 [N], labels int64 [N].
    """

    name: str
    labels: np.ndarray
    rows: np.ndarray
    seen: np.ndarray
    soft: np.ndarray
    soft_seen: np.ndarray


BLUR = 3  # pixels


def blurred(images: torch.Tensor) -> torch.Tensor:
    """Images uint8 [n, 3, h, w], each pixel the mean of those about it."""
    return (
        F.avg_pool2d(images.float(), BLUR, 1, BLUR // 2, count_include_pad=False)
        .round()
        .to(torch.uint8)
    )


def features(network, images: torch.Tensor, outputs: list[str]) -> list[np.ndarray]:
    """Outputs of an extractor, float64 [n, d] each, some hundreds of images at a time."""
    parts = [rows_of(network, images[at : at + 400], outputs) for at in range(0, len(images), 400)]
    return [torch.cat([part[output] for part in parts]).double().numpy() for output in outputs]


def cifar10() -> Real:
    """CIFAR-10's first 5,000 test images through a published ResNet-20,
    which is the recogniser too.
    """
    os.environ["GENBENCH_TEST_DATA"] = str(DATA)
    rows = module_of(HERE / "plugins" / "cifar10.py")
    with np.load(DATA / "cifar10-test-5k.npz", allow_pickle=False) as file:
        images, labels = (
            torch.from_numpy(file["arr_0"]).permute(0, 3, 1, 2).contiguous(),
            file["arr_1"].astype(np.int64),
        )
    network = rows.load_resnet("cpu", DATA / "cifar10-resnet20-12fca82f.th")
    (pool, logits), (soft, soft_logits) = (
        features(network, one, ["pool", "logits"]) for one in (images, blurred(images))
    )
    return Real("CIFAR-10, ResNet-20", labels, pool, logits.argmax(1), soft, soft_logits.argmax(1))


def idx(name: str) -> np.ndarray:
    """An idx file of bytes: its header is four bytes to a dimension, and four more."""
    with gzip.open(DATA / "fashion-mnist" / name) as file:
        content = file.read()
    shape = np.frombuffer(content, ">i4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def fashion_mnist(each: int) -> Real:
    """`each` training images of every class of Fashion-MNIST through the extractor `digits`,
    which has seen none; a classifier fitted on the test images.
    """
    network = at_hand("digits", "cpu")
    labels, held = (
        idx("train-labels-idx1-ubyte.gz").astype(np.int64),
        idx("t10k-labels-idx1-ubyte.gz").astype(np.int64),
    )
    kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[:each] for c in range(CLASSES)]))
    images, test = (
        torch.from_numpy(of.copy())[:, None].repeat(1, 3, 1, 1)
        for of in (idx("train-images-idx3-ubyte.gz")[kept], idx("t10k-images-idx3-ubyte.gz"))
    )
    ((rows,), (soft,), (known,)) = (
        features(network, one, ["pool"]) for one in (images, blurred(images), test)
    )
    seen = fitted(np.concatenate([rows, soft]), known, held, CLASSES).samples
    return Real(
        "Fashion-MNIST, digits", labels[kept], rows, seen[: len(kept)], soft, seen[len(kept) :]
    )


def tests_of(
    x: np.ndarray, seen: np.ndarray, y: np.ndarray, right_real: int, victim: int
) -> dict[str, float]:
    """A class's p by test, as genbench/per_class/table.py takes them.

    x, y [n, d]; seen int64 [n]: what the recogniser sees in x.
    """
    of = pairwise.pairs(np.concatenate([x, y]))
    chosen = permutation_tests.arrangements(len(x), len(y), SIZES[len(x)][1])
    distance = permutation_tests.standardised(permutation_tests.kernel_distances(of.kernel, chosen))
    spread = np.abs(
        permutation_tests.standardised(permutation_tests.log_spreads(of.squares, chosen))
    )
    label = class_shares.fisher(int((seen == victim).sum()), len(x), right_real, len(y), "less")
    return {
        "distance": permutation_tests.p_value(distance),
        "spread": permutation_tests.p_value(spread),
        "label": label,
    }


def drawn(real: Real, n: int, seed: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """A class, places of n samples and of other images of it,
    and places of n images of another class.
    """
    rng = np.random.default_rng([n, seed])
    victim, donor = rng.permutation(CLASSES)[:2]
    members, others = (rng.permutation(np.flatnonzero(real.labels == c)) for c in (victim, donor))
    return int(victim), members[:n], members[n : n + SIZES[n][0]], others[:n]


def faulty(
    real: Real, fault: str, dose: int, ours: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows [n, d] of the class's samples and what is seen in them,
    the first `dose` replaced.
    """
    rows, seen, stay = real.rows[ours].copy(), real.seen[ours].copy(), ours[dose:]
    if fault == "blurred":
        rows[:dose], seen[:dose] = real.soft[ours[:dose]], real.soft_seen[ours[:dose]]
        return rows, seen
    taken = {
        "another class": others[:dose],
        "copies of the rest": stay[np.arange(dose) % len(stay)],
        "one image": stay[np.zeros(dose, dtype=np.int64)],
    }[fault]
    rows[:dose], seen[:dose] = real.rows[taken], real.seen[taken]
    return rows, seen


def flagged(real: Real, fault: str, n: int, q: float, draws: int) -> dict[str, float]:
    """How often each test, and any of them, finds the fault."""
    found = []
    for seed in range(draws):
        victim, ours, real_places, others = drawn(real, n, seed)
        rows, seen = faulty(real, fault, round(q * n), ours, others)
        p = tests_of(
            rows,
            seen,
            real.rows[real_places],
            int((real.seen[real_places] == victim).sum()),
            victim,
        )
        found.append([one <= table.LEVEL / TESTS for one in p.values()])
    each = np.array(found)
    return {
        "any": each.any(1).mean(),
        **dict(zip(("distance", "spread", "label"), each.mean(0), strict=True)),
    }


def curve(real: Real, fault: str, n: int, draws: int) -> Iterator[dict[str, float]]:
    """What each dose gives; once all draws are found, larger doses are not tried,
    and where the largest is hardly found, no other.
    """
    largest = flagged(real, fault, n, DOSES[-1], draws)
    found = {"any": float("nan")}
    for q in DOSES[1:-1]:
        if round(q * n) > 0 and largest["any"] > HARDLY and found["any"] != 1:
            found = flagged(real, fault, n, q, draws)
        yield found
    yield largest


def agree(real: Real) -> None:
    """The tests here are the table's: one draw through both."""
    n = 50
    parts = [
        [np.flatnonzero(real.labels == c)[at : at + n] for c in range(CLASSES)] for at in (0, n)
    ]
    ours, theirs = map(np.concatenate, parts)
    labels = np.repeat(np.arange(CLASSES), n)
    reader = Reader(
        "", real.seen[ours], real.seen[theirs], confusion(labels, real.seen[theirs], CLASSES)
    )
    given = table.Sides(
        real.rows[ours], labels, real.rows[theirs], labels, real.rows[theirs], labels,
        tuple(map(str, range(CLASSES))), {}, (), reader=reader
    )  # fmt: skip
    found = table.table(given)
    assert found.tests == TESTS, found.tests
    for row, own, held in zip(found.rows, *parts, strict=True):
        p = tests_of(
            real.rows[own],
            real.seen[own],
            real.rows[held],
            int((real.seen[held] == row["class"]).sum()),
            row["class"],
        )
        assert {name: row["tests"][name]["p"] for name in p} == p


def table_of(real: Real, draws: int) -> str:
    """The power of every fault and size that the images suffice for, as Markdown."""
    there = np.bincount(real.labels).min()
    sizes = [n for n, (m, _) in SIZES.items() if n + m <= there]
    null = ", ".join(
        (
            f"{flagged(real, FAULTS[0], n, 0, 4 * draws if n < 500 else draws)['any']:.1%} of "
            f"classes at n = {n}"
        )
        for n in sizes
    )
    headings = [
        "replaced by",
        "n",
        *(f"{q:.0%}" for q in DOSES[1:]),
        f"smallest q found at {ENOUGH:.0%}",
    ]
    lines = [
        f"## {real.name}",
        "",
        f"Flagged without a fault: {null}.",
        "",
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
    ]
    for fault in FAULTS:
        for n in sizes:
            began, found = time.monotonic(), list(curve(real, fault, n, draws))
            smallest = next(
                (
                    f"{q:.0%}"
                    for q, one in zip(DOSES[1:], found, strict=True)
                    if one["any"] >= ENOUGH
                ),
                f"above {DOSES[-1]:.0%}",
            )
            lines.append(f"| {fault} | {n} | " + " | ".join(map(cell, found)) + f" | {smallest} |")
            print(lines[-1], f"{time.monotonic() - began:.0f} s", flush=True)
    return "\n".join(lines)


def cell(found: dict[str, float]) -> str:
    """A share in words, with the tests that found most of it."""
    if np.isnan(found["any"]):
        return "–"
    by = [
        name for name, share in found.items() if name != "any" and share > found["any"] / 2 >= 0.05
    ]
    return f"{found['any']:.0%}" + (f" ({', '.join(by)})" if by else "")


def shares_table(real: Real, draws: int) -> str:
    """How often faithful samples are flagged by their shares,
    by the number of samples and of images behind the confusion.
    """
    truth = confusion(real.labels, real.seen, CLASSES) / np.bincount(real.labels)[:, None]
    sizes = np.array(long_tail.counts([5000] * CLASSES, 100), dtype=np.float64)
    shares, rng = sizes / sizes.sum(), np.random.default_rng(0)
    lines = [
        "| n | confusion known | m = 100,000 | m = 10,000 | m = 1,000 |",
        "|---|---|---|---|---|",
    ]
    for n in (1000, 10_000, 50_000):
        cells = []
        for m in (0, 100_000, 10_000, 1000):
            hits = np.zeros(2)
            for _ in range(draws):
                known = rng.multinomial(m // CLASSES, truth) if m else truth
                counts = rng.multinomial(n, shares @ truth).tolist()
                plain = shares @ (known / known.sum(1, keepdims=True))
                naive = [
                    class_shares.binomial(x, n, float(share))
                    for x, share in zip(counts, plain, strict=True)
                ]
                tested = (
                    [
                        class_shares.beta_binomial(x, n, *of)
                        for x, *of in zip(counts, *class_shares.seen(shares, known), strict=True)
                    ]
                    if m
                    else [1.0]
                )
                hits += [(rank_ranges.holm(p) <= table.LEVEL).any() for p in (naive, tested)]
            cells.append(f"{hits[0] / draws:.1%}" + (f" **{hits[1] / draws:.1%}**" if m else ""))
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def shares_page(real: Real, draws: int) -> str:
    return SHARES.format(
        right=(real.seen == real.labels).mean(), draws=draws, shares=shares_table(real, draws)
    )


def power_page(colour: Real, draws: int, began: float) -> str:
    agree(colour)
    tables = [table_of(colour, draws), table_of(fashion_mnist(2000), draws)]
    return TEXT.format(
        draws=draws, permutations=f"{permutation_tests.COUNT:,}", tests=TESTS,
        error=(ENOUGH * (1 - ENOUGH) / draws) ** 0.5, blur=BLUR, tables="\n\n".join(tables),
        minutes=(time.process_time() - began) / 60,
    )  # fmt: skip


def main() -> int:
    """Draw, count, write."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--draws", type=int, default=100)
    words.add_argument("--out", type=Path)
    words.add_argument(
        "--shares", action="store_true", help="the test of shares in place of the faults"
    )
    given = words.parse_args()
    os.environ["GENBENCH_QUIET"] = "1"
    torch.set_num_threads(1)
    began = time.process_time()
    colour = cifar10()
    text = (
        shares_page(colour, given.draws) if given.shares else power_page(colour, given.draws, began)
    )
    print(text)
    if given.out:
        write(given.out, text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
