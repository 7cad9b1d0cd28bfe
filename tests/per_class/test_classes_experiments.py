"""Known answers that the table of classes must give: dose and response, shares of a long tail,
one class at many sizes, and what must change nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.planted_classes import CLASSES, digits, halves, kernel_distance, real, sides
from scipy import stats as scipy_stats

import genbench
from genbench.api._registry import find
from genbench.api.metric_inputs import Arrays
from genbench.data import long_tail
from genbench.features.extraction import at_hand, rows_of
from genbench.generators.seeded_noise import labels_of
from genbench.per_class import class_shares, compute_from_run, pairwise
from genbench.per_class.inputs import Sides
from genbench.per_class.label_classifier import fitted
from genbench.per_class.table import table
from genbench.runs.records.find import find as record_of
from genbench.statistics import frechet_distance, rank_ranges


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    monkeypatch.setattr("genbench.per_class.class_intervals.SPLITS", 4)


# Dose and response (LONGTAIL's experiment 5)

# samples of each class; which class is faulty, and where what is not of it comes from
EACH, VICTIM, DONOR = 43, 3, 8
DOSES = (0, 11, 22, 33, 43)  # of the victim's samples


@cache
def blurred():
    """pool and logits of held-out digits, each pixel the mean of the 9 x 9 about it:
    two of the pixels that they were drawn in.
    """
    images = torch.cat([batch for batch, _ in find("datasets", "digits").open("heldout")])
    soft = F.avg_pool2d(images.float(), 9, 1, 4, count_include_pad=False).round().to(torch.uint8)
    found = rows_of(at_hand("digits", "cpu"), soft, ["pool", "logits"])
    return found["pool"].double().numpy(), found["logits"].double().numpy()


def faulty(fault, dose, seed=0):
    """The null with 43 samples of each class, `dose` of the victim's replaced:
    those of a smaller dose are among those of a larger.
    """
    pool, logits, labels = digits()["heldout"]
    ours, theirs = halves(seed)
    ours = np.concatenate([ours[labels[ours] == c][:EACH] for c in range(CLASSES)])
    right = logits[ours].argmax(1) == labels[ours]
    places, donors = (np.flatnonzero(labels[ours] == c) for c in (VICTIM, DONOR))
    # those that are recognised first
    places, donors = (of[np.argsort(~right[of], kind="stable")] for of in (places, donors))
    gone, stay = places[:dose], places[dose:] if dose < EACH else places[-1:]
    rows, seen = pool[ours].copy(), logits[ours].copy()
    taken = {
        "another class": donors[:dose],
        "copies of the rest": stay[np.arange(dose) % len(stay)],
    }
    if fault == "blurred":
        rows[gone], seen[gone] = (of[ours[gone]] for of in blurred())
    else:
        rows[gone], seen[gone] = pool[ours[taken[fault]]], logits[ours[taken[fault]]]
    return sides(rows, seen, labels[ours], theirs, permutations=9)


@pytest.mark.parametrize("fault", ["another class", "copies of the rest", "blurred"])
def test_the_kernel_distance_grows_with_the_dose(fault):
    """The victim's kd, the mean of 8 draws, rises with each larger share q that is replaced;
    by what is not of the class as q^2, as a mixture's must.
    """

    def distance(given):
        return kernel_distance(
            given.samples[given.labels == VICTIM], given.reference[given.reference_labels == VICTIM]
        )

    means = np.mean(
        [[distance(faulty(fault, dose, seed)) for dose in DOSES] for seed in range(8)], 0
    )
    assert (np.diff(means) > 0).all()
    if fault != "copies of the rest":
        assert means == pytest.approx(
            means[-1] * (np.array(DOSES) / EACH) ** 2, rel=0.1, abs=0.02 * means[-1]
        )


def test_accuracy_and_share_move_by_exactly_the_dose():
    """q of the victim replaced by another class: its accuracy falls by q, its share by q / C,
    the other's rises by that; no other class's row changes.
    """
    clean, *others = (table(faulty("another class", dose)).rows for dose in DOSES[:-1])
    for dose, rows in zip(DOSES[1:], others, strict=False):
        q = dose / EACH
        assert rows[VICTIM]["accuracy"] == pytest.approx(clean[VICTIM]["accuracy"] - q, abs=1e-12)
        assert rows[VICTIM]["share"] == pytest.approx(
            clean[VICTIM]["share"] - q / CLASSES, abs=1e-12
        )
        assert rows[DONOR]["share"] == pytest.approx(clean[DONOR]["share"] + q / CLASSES, abs=1e-12)
        assert rows[VICTIM]["confusion"][str(DONOR)] == pytest.approx(q, abs=1e-12)
        for c in set(range(CLASSES)) - {VICTIM, DONOR}:
            assert [
                rows[c][key] for key in ("kd", "fd", "spread_ratio", "share", "accuracy", "z")
            ] == [clean[c][key] for key in ("kd", "fd", "spread_ratio", "share", "accuracy", "z")]


# Shares of a long tail (experiment 6)

DRAWS = 1000
TEN, HUNDRED = (
    np.array(long_tail.counts([each] * classes, 100), dtype=np.float64)
    for each, classes in ((5000, 10), (500, 100))
)


@cache
def interval(count, n):
    return class_shares.jeffreys(count, n)


def counted(shares, n, draws=DRAWS):
    """How many of n labels each class has, drawn as a run with the labels `training` draws them:
    int64 [draws, C].
    """
    labels = labels_of("training", n * draws, len(shares), np.arange(n * draws), shares)
    return np.stack([np.bincount(one, minlength=len(shares)) for one in labels.reshape(draws, n)])


def covering(counts, n, shares):
    """How often Jeffreys' interval of each class's count holds its share: float64 [C]."""
    limits = np.array([[interval(int(x), n) for x in one] for one in counts])
    return ((limits[:, :, 0] <= shares) & (shares <= limits[:, :, 1])).mean(0)


@pytest.mark.parametrize(
    ("sizes", "n", "least"),
    [(TEN, 1000, 0.94), (HUNDRED, 2000, 0.90)],
    ids=["cifar10-lt", "cifar100-lt"],
)
def test_intervals_of_shares_cover(sizes, n, least):
    """Labels by the frequencies of CIFAR-LT, 1,000 draws: 95 +- 1 % over the classes,
    each class as often as its exact law says, head and tail.

    That is 94 to 96 % where four samples of a class or more are expected; where one is
    (CIFAR-100-LT at 2,000) counts are too coarse for it: 91 to 99 %.
    """
    shares = sizes / sizes.sum()
    covers = covering(counted(shares, n), n, shares)
    assert covers.mean() == pytest.approx(0.95, abs=0.01)
    x = np.arange(n + 1)
    low, high = (scipy_stats.beta.ppf(at, x + 0.5, n - x + 0.5) for at in (0.025, 0.975))
    low[0], high[-1] = 0, 1
    law = np.array([scipy_stats.binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum() for p in shares])
    assert (np.abs(covers - law) < 4 * np.sqrt(law * (1 - law) / DRAWS)).all()
    assert law.min() > least


@pytest.mark.parametrize(
    ("sizes", "n"),
    [(TEN, 1000), (TEN, 5000), (HUNDRED, 10_000)],
    ids=["cifar10-lt", "cifar10-lt-5000", "cifar100-lt"],
)
def test_intervals_of_all_shares_together_cover(sizes, n):
    """At the level 1 - 0.05 / C (Bonferroni; Goodman 1965 takes chi-square's quantile of the same)
    all classes' intervals hold their shares at once in 95 %.
    """
    shares, level = sizes / sizes.sum(), 1 - 0.05 / len(sizes)
    counts = counted(shares, n)
    limits = {int(x): class_shares.jeffreys(int(x), n, level) for x in np.unique(counts)}
    low, high = (np.vectorize(lambda x, at=at: limits[x][at])(counts) for at in (0, 1))
    together = ((low <= shares) & (shares <= high)).all(1).mean()
    assert together == pytest.approx(0.95, abs=0.01)


@cache
def exact(count, n, share):
    return class_shares.binomial(count, n, share)


def exact_tests(counts, n, shares):
    """The p of each class's count, float64 [draws, C]."""
    return np.array(
        [[exact(int(x), n, float(p)) for x, p in zip(one, shares, strict=True)] for one in counts]
    )


def halved(shares, c):
    """The shares of a generator that draws class c half as often, and the others in proportion."""
    found = np.where(np.arange(len(shares)) == c, shares / 2, shares)
    return found / found.sum()


def closed_form(n, share, actual, level):
    """The power of the exact test of `share` where `actual` is true:
    the probability of the counts that scipy's test refuses.
    """
    refused = [
        x
        for x in range(int(3 * n * share) + 10)
        if scipy_stats.binomtest(x, n, share).pvalue <= level
    ]
    return float(scipy_stats.binom.pmf(refused, n, actual).sum())


def test_the_power_of_the_share_test_is_the_binomials():
    """One class at half its share: found as often as the binomial law has counts that the exact
    test refuses; and faithful shares in 5 % of runs or fewer.
    """
    n, level, shares = 1000, 0.05 / len(TEN), TEN / TEN.sum()
    power = closed_form(n, shares[5], halved(shares, 5)[5], level)
    p = exact_tests(counted(halved(shares, 5), n), n, shares)
    found = (p[:, 5] <= level).mean()
    assert 0.2 < power < 0.95  # or nothing is shown
    assert found == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / DRAWS))
    flagged = np.array([rank_ranges.holm(one) <= 0.05 for one in p])
    assert flagged[:, 5].mean() >= found  # Holm's flag is never behind the test at 5 % / C
    null = exact_tests(counted(shares, n), n, shares)
    assert 0 < np.mean([(rank_ranges.holm(one) <= 0.05).any() for one in null]) <= 0.05


def test_the_table_takes_that_test():
    """Of samples without labels, each class's p is scipy's binomial test of its count against the
    training frequencies.
    """
    shares, rng = TEN / TEN.sum(), np.random.default_rng(0)
    labels, held = labels_of("training", 400, 10, np.arange(400), shares), np.arange(100) % 10
    both = {
        "samples": rng.standard_normal((400, 2)),
        "reference": rng.standard_normal((100, 2)),
        "pool": rng.standard_normal((200, 2)),
    }
    given = Sides(
        **both, labels=labels, reference_labels=held, pool_labels=np.tile(held, 2),
        names=tuple("0123456789"), groups={}, train_counts=(), permutations=9, conditional=False,
        expected=shares,
    )  # fmt: skip
    for row in table(given).rows:
        share = row["tests"]["share"]["p"]
        assert share == pytest.approx(
            scipy_stats.binomtest(
                int((labels == row["class"]).sum()), 400, shares[row["class"]]
            ).pvalue
        )


def test_shares_through_a_recogniser_cover_what_it_sees():
    """Real digits by the frequencies of CIFAR-LT, read by a poor recogniser: intervals hold the
    shares times its confusion, which the table expects; those of some class do not hold its
    share itself.

    A class at half its share is found as often as the binomial law of what is seen says.
    """
    n, shares, rng = 1000, TEN / TEN.sum(), np.random.default_rng(0)
    pool, _, labels = digits()["heldout"]
    poor = fitted(pool[:, :4], pool[:, :4], labels, CLASSES)
    assert 0.7 < poor.accuracy < 0.9
    whole = replace(real(0), conditional=False, reader=poor)
    confusion = poor.confusion / poor.confusion.sum(1, keepdims=True)
    # these digits are all there are: the confusion is the truth, and what the table expects lies
    # within its error of it
    expected = shares @ confusion
    foretold, errors = compute_from_run._expected(whole, TEN.astype(int).tolist(), "training", None)
    assert (np.abs(foretold - expected) < errors / 2).all()

    def read(shares):
        drawn = labels_of("training", n * DRAWS, CLASSES, np.arange(n * DRAWS), shares)
        images = np.empty(len(drawn), dtype=np.int64)
        for c in range(CLASSES):
            images[drawn == c] = rng.choice(np.flatnonzero(labels == c), int((drawn == c).sum()))
        return np.stack(
            [
                np.bincount(one, minlength=CLASSES)
                for one in poor.reference[images].reshape(DRAWS, n)
            ]
        )

    counts = read(shares)
    assert covering(counts, n, expected).mean() == pytest.approx(0.95, abs=0.01)
    assert covering(counts, n, expected).min() > 0.93
    assert covering(counts, n, shares).min() < 0.5
    assert (
        np.mean([(rank_ranges.holm(one) <= 0.05).any() for one in exact_tests(counts, n, expected)])
        <= 0.05
    )
    power = closed_form(n, expected[5], (halved(shares, 5) @ confusion)[5], 0.005)
    found = (exact_tests(read(halved(shares, 5)), n, expected)[:, 5] <= 0.005).mean()
    assert found == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / DRAWS))
    # what is read into the class hides what it lacks
    assert power < closed_form(n, shares[5], halved(shares, 5)[5], 0.005)


@pytest.mark.parametrize(("classes", "m"), [(10, 1000), (100, 10_000)])
def test_a_confusion_that_is_an_estimate_flags_no_faithful_run(classes, m):
    """A recogniser right in 95 %, its confusion known from m images, 10,000 faithful samples of a
    long tail: taken for the truth it flags a quarter of the runs and more, with its error one in
    twelve at most; and a class at a third of its share is still found.
    """
    n, draws, rng = 10_000, 60, np.random.default_rng(1)
    shares = 0.01 ** (np.arange(classes) / (classes - 1))
    shares /= shares.sum()
    others = rng.dirichlet(np.full(classes - 1, 0.3), classes) * 0.05
    truth = np.stack([np.insert(row, c, 0.95) for c, row in enumerate(others)])
    short = np.where(np.arange(classes) == classes // 4, shares / 3, shares)
    naive, found, power = [], [], []
    for _ in range(draws):
        known = np.stack([rng.multinomial(m // classes, row) for row in truth])
        expected, errors = class_shares.seen(shares, known)
        counts = rng.multinomial(n, shares @ truth)
        plain = shares @ (known / known.sum(1, keepdims=True))
        naive.append(
            [
                class_shares.binomial(int(x), n, max(p, 1e-9))
                for x, p in zip(counts, plain, strict=True)
            ]
        )
        found.append(
            [
                class_shares.beta_binomial(int(x), n, p, se)
                for x, p, se in zip(counts, expected, errors, strict=True)
            ]
        )
        lacking = rng.multinomial(n, short @ truth / short.sum())[classes // 4]
        power.append(
            class_shares.beta_binomial(
                int(lacking), n, expected[classes // 4], errors[classes // 4]
            )
            <= 0.05 / classes
        )
    assert np.mean([(rank_ranges.holm(one) <= 0.05).any() for one in naive]) > 0.25
    assert np.mean([(rank_ranges.holm(one) <= 0.05).any() for one in found]) <= 1 / 12
    assert np.mean(power) > 0.8


# One real class at many sizes (experiment 7)

SIZES = (5, 20, 50, 200, 500)


def inception_like(rng, n, d=2048):
    """Gaussian rows [n, d] with the spectrum 1/k and trace 100:
    LONGTAIL's model of Inception's features.
    """
    spectrum = 1 / np.arange(1, d + 1)
    return rng.standard_normal((n, d)) * np.sqrt(100 * spectrum / spectrum.sum())


def test_frechet_falls_with_n_and_the_kernel_distance_does_not():
    """Equal laws in 2,048 dimensions: from 5 to 500 samples against 500 the Fréchet distance falls
    to 47, as LONGTAIL has it; kd is 0 at every n.
    """
    rng = np.random.default_rng(0)
    reference = [inception_like(rng, 500) for _ in range(8)]
    still = frechet_distance.fit(reference[0])
    largest = inception_like(rng, SIZES[-1])
    falls = [frechet_distance.distance(largest[:n], still) for n in SIZES]
    assert (np.diff(falls) < 0).all(), falls
    assert falls[-1] == pytest.approx(47, abs=1.5)
    for n in SIZES:
        kernel = [kernel_distance(inception_like(rng, n), y) for y in reference]
        assert abs(np.mean(kernel)) < 3 * np.std(kernel, ddof=1) / np.sqrt(len(kernel)), n


def test_the_biased_kernel_distance_falls_as_one_over_n_and_the_unbiased_is_flat():
    """Equal laws: CMMD's form is 1000 (1 - E k)(1/n + 1/m),
    which is what it is at 20 samples and a fiftieth at 1,000; without each row's own pair it is 0.
    """
    rng = np.random.default_rng(0)
    biased, unbiased = (find("metrics", name).value for name in ("mmd", "mmd_unbiased"))
    for n in (20, 100, 1000):
        found, fair, spread = [], [], []
        for _ in range(12):
            x, y = rng.standard_normal((2, n, 24))
            arrays = Arrays({"samples": x, "reference": y})
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            spread.append(1 - np.exp(-(((unit[0] - unit[1:]) ** 2).sum(1)) / 200).mean())
            found.append(biased(arrays))
            fair.append(unbiased(arrays))
        assert np.mean(found) == pytest.approx(1000 * np.mean(spread) * 2 / n, rel=0.1), n
        assert abs(np.mean(fair)) < 3 * np.std(fair, ddof=1) / np.sqrt(len(fair)), n


def test_a_number_that_is_mostly_bias_is_marked():
    """Of two classes one is faithful, one lies 8 away: the first is marked at every n,
    the second while what equal laws give at its n is more than the 8.
    """
    d, rng = 32, np.random.default_rng(0)
    apart = np.full(d, np.sqrt(8 / d))
    for n, mostly in ((8, True), (20, True), (150, False), (400, False)):
        floor = np.mean(
            [
                frechet_distance.distance(
                    rng.standard_normal((n, d)), frechet_distance.fit(rng.standard_normal((n, d)))
                )
                for _ in range(6)
            ]
        )
        assert (floor > 8) == mostly, floor
        labels = np.repeat([0, 1], n)
        rows, held, more = (rng.standard_normal((2 * n, d)) for _ in range(3))
        rows[labels == 1] += apart
        pool = {"pool": np.concatenate([held, more]), "pool_labels": np.tile(labels, 2)}
        given = Sides(
            rows,
            labels,
            held,
            labels,
            **pool,
            names=("faithful", "apart"),
            groups={},
            train_counts=(),
            permutations=9,
        )
        faithful, away = table(given).rows
        assert (faithful["fd_bias"], away["fd_bias"]) == (True, mostly), n
        assert away["fd"] - faithful["fd"] == pytest.approx(8, abs=4.5)


def test_frechet_of_a_real_class_falls_with_n_and_its_kernel_distance_does_not():
    """Held-out digits of one class against others of it, 12 draws of each:
    from 5 to 40 samples fd falls to a third, kd is 0, and fd is marked as bias.
    """
    pool, _, labels = digits()["heldout"]
    rng, found = np.random.default_rng(0), {n: [] for n in (5, 10, 20, 40)}
    for c in range(CLASSES):
        for _ in range(12):
            members = rng.permutation(np.flatnonzero(labels == c))
            of = pairwise.pairs(pool[members])
            for n, kept in found.items():
                one = pairwise.measured(of, np.arange(n), np.arange(43, len(members)))
                kept.append((one["fd"], one["kd"]))
    fd, kd = (np.array([[one[at] for one in kept] for kept in found.values()]) for at in (0, 1))
    assert (np.diff(fd.mean(1)) < 0).all()
    assert fd.mean(1)[-1] < fd.mean(1)[0] / 3
    assert (np.abs(kd.mean(1)) < 3 * kd.std(1, ddof=1) / np.sqrt(kd.shape[1])).all()
    assert all(row["fd_bias"] for row in table(real(0, permutations=9)).rows)


# What must change nothing (experiment 10)

VALUES = (
    "n",
    "m",
    "kd",
    "fd",
    "spread_ratio",
    "precision",
    "recall",
    "density",
    "coverage",
    "accuracy",
    "share",
    "fd_share",
    "nearest_ratio",
    "copies",
)


def reordered(whole, order):
    return replace(
        whole,
        samples=whole.samples[order],
        labels=whole.labels[order],
        reader=replace(whole.reader, samples=whole.reader.samples[order]),
    )


def test_the_order_of_samples_changes_no_value():
    """Samples class by class, the classes in turn: the same table, intervals and p included.

    In any order: the same values, and nearly the same intervals.
    """
    whole = real(0, permutations=199)
    place = np.concatenate([np.arange((whole.labels == c).sum()) for c in range(CLASSES)])
    before = table(whole)
    turns, mixed = (
        table(reordered(whole, order))
        for order in (
            np.argsort(place, kind="stable"),
            np.random.default_rng(0).permutation(len(place)),
        )
    )
    for old, new, other in zip(before.rows, turns.rows, mixed.rows, strict=True):
        numbers = {key: value for key, value in old.items() if isinstance(value, float)}
        assert {key: new[key] for key in numbers} == pytest.approx(numbers, rel=1e-9)
        assert (new["flags"], new["notes"]) == (old["flags"], old["notes"])
        assert {key: other[key] for key in VALUES} == pytest.approx(
            {key: old[key] for key in VALUES}, rel=1e-9
        )
        assert other["kd_high"] - other["kd"] == pytest.approx(old["kd_high"] - old["kd"], rel=0.5)
    for found in (turns, mixed):
        assert found.over["fd_total"] == pytest.approx(before.over["fd_total"], rel=1e-9)
        assert found.over["groups"]["medium"]["kd"] == pytest.approx(
            before.over["groups"]["medium"]["kd"], rel=1e-9
        )


def test_the_batch_size_changes_no_row(tmp_path):
    """A generator asked for 50 images at a time, and for 7: the same table."""
    runs = [
        genbench.evaluate(
            "dcgan", out=tmp_path / str(size), n=200, metrics=("kd",), batch_size=size
        )
        for size in (50, 7)
    ]
    one, other = (compute_from_run.table_of(run) for run in runs)
    assert runs[0].plan["batch_size"] != runs[1].plan["batch_size"]
    for row, same in zip(one.rows, other.rows, strict=True):
        assert {key: same[key] for key in VALUES} == pytest.approx(
            {key: row[key] for key in VALUES}, rel=1e-3, abs=1e-3
        )
        assert same["flags"] == row["flags"]


# Groups by a recogniser of one's own

OWN = """
from genbench.api import torch
from genbench.api import Extractor

def load(device):
    def extract(images):
        light = images.float().mean((1, 2, 3))
        return {"ink": torch.stack([127.5 - light, light - 127.5], 1), "wide": light[:, None]}
    return extract

load.classes = ("dark", "light")

def load_bare(device):
    return lambda images: {"three": images.float().mean((2, 3)).where(images[:, :, 0, 0] < 255, float("nan"))}

INK = Extractor("ink", "dark or light", {"ink": 2, "wide": 1}, 32, "none", None, "nothing", load)
BARE = Extractor("bare", "red, green or blue", {"three": 3}, 32, "none", None, "nothing", load_bare)
"""  # noqa: E501
GENERATOR = """
import genbench
from genbench.data.datasets import digits

@genbench.hookimpl
def sample(n, indices, labels):
    images, _ = next(digits.open_digits("heldout"))
    some = images[indices]
    some[indices % 8 == 0] = 255 - some[indices % 8 == 0]  # an eighth are light
    return some
"""


@pytest.fixture(scope="module")
def inverted(tmp_path_factory):
    """A run of real digits of which every eighth is inverted, its folder,
    and a file with recognisers of light and dark.
    """
    folder = tmp_path_factory.mktemp("groups")
    for name, text in (("own.py", OWN), ("inverted.py", GENERATOR)):
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_QUIET", "1")
        return (
            genbench.evaluate(folder / "inverted.py", out=folder / "runs", n=200, metrics=("kd",)),
            folder / "runs",
            folder / "own.py",
        )


def test_groups_are_told_by_a_recogniser_of_ones_own(inverted, cli):
    """An extractor from --with: each group's share of the samples with its interval,
    beside that of the real images, under the names that it gives.
    """
    run, folder, own = inverted
    status, out, err = cli(
        "classes", run.id, "--out", folder, "--with", own, "--groups", "ink.ink", "--json"
    )
    assert status == 0, err
    found = json.loads(out)["over"][run.id]["attributes"]
    images, _ = next(find("datasets", "digits").open("heldout"))
    light = images.float().mean((1, 2, 3)).numpy() > 127.5
    drawn = np.where(np.arange(200) % 8 == 0, ~light[:200], light[:200])
    assert list(found) == ["dark", "light"]
    assert found["light"]["n"] == drawn.sum()
    assert found["light"]["share"] == pytest.approx(drawn.mean())
    assert found["light"]["share_low"] < drawn.mean() < found["light"]["share_high"]
    assert found["light"]["share_real"] == pytest.approx(light.mean())
    assert found["light"]["share_real_high"] < found["light"]["share_low"]
    assert found["dark"]["share"] == pytest.approx(1 - drawn.mean())
    assert (found["dark"]["m"], found["light"]["m"]) == ((~light).sum(), light.sum())
    dark = found["dark"]  # its samples beside its real images; of the other group there are none
    assert dark["kd_low"] < dark["kd"] < dark["kd_high"]
    assert dark["kd_real_low"] < dark["kd_real_high"]
    assert (found["light"]["m"] < 2, found["light"]["kd"]) == (True, None)
    assert (
        f"light (n {drawn.sum()}): share {drawn.mean():.3g} ("
        in cli("classes", run.id, "--out", folder, "--with", own, "--groups", "ink.ink")[1]
    )


def test_groups_without_names_are_numbers(inverted, cli):
    """The data set's own recogniser names no groups: they are its classes' numbers,
    as often as labels asked for them.
    """
    run, folder, _ = inverted
    status, out, err = cli("classes", run.id, "--out", folder, "--groups", "digits", "--json")
    assert status == 0, err
    found = json.loads(out)["over"][run.id]["attributes"]
    assert list(found) == list("0123456789")
    assert sum(one["n"] for one in found.values()) == 200
    _, logits, _ = digits()["heldout"]
    assert [one["share_real"] for one in found.values()] == pytest.approx(
        np.bincount(logits.argmax(1)) / 870
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "inc",
            "--groups inc: there is neither such a file nor such an extractor: did you mean ink?",
        ),
        (
            "ink",
            (
                "wanted is an output with a number for each of several groups, "
                "here are ink (2), wide (1)"
            ),
        ),
        ("ink.wide", "2 groups; wanted is an output"),
        ("bare", "it gives NaN or infinite numbers"),
    ],
)
def test_a_recogniser_that_tells_no_groups_is_refused(inverted, cli, word, said):
    """What is no extractor, or gives no number to a group, is refused in one line."""
    run, folder, own = inverted
    status, out, err = cli("classes", run.id, "--out", folder, "--with", own, "--groups", word)
    assert (status, out) == (2, "")
    assert said in err.splitlines()[-1]


def test_groups_need_the_images(inverted):
    """A run that has kept no images cannot be looked at again:
    the line names the option that keeps them.
    """
    run, folder, _ = inverted
    found = record_of(run.id, folder)
    with pytest.raises(genbench.UserError, match="--save-samples"):
        compute_from_run.table_of(
            replace(found, plan={**found.plan, "keep_images": False}), groups="digits"
        )
