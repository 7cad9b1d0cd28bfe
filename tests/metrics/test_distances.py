"""Distances and scores against slow or obvious forms: moments for rows, degenerate sets,
leave-outs of what was drawn, extrapolation, slices.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.statistics import frechet_distance, jackknife, moments
from genbench.statistics.blocks import blocks_of


def value(
    name: str, constants: dict[str, float | str] | None = None, **arrays: np.ndarray
) -> float:
    return registry.find("metrics", name).value(Arrays(arrays), **(constants or {}))


def left_out(
    name: str,
    blocks: np.ndarray,
    side: str,
    constants: dict[str, float | str] | None = None,
    **arrays: np.ndarray,
) -> np.ndarray:
    return registry.find("metrics", name).left_out(
        Arrays(arrays), blocks, side, **(constants or {})
    )


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def two_sets(rng: np.random.Generator, n: int, m: int, d: int) -> dict[str, np.ndarray]:
    spectrum = np.arange(1, d + 1) ** -0.6
    return {
        "samples": rng.normal(size=(n, d)) * spectrum + 0.2,
        "reference": rng.normal(size=(m, d)) * spectrum[::-1],
    }


# Fréchet


@pytest.mark.parametrize("name", ["fd", "fd_infinity", "fd_extrapolated"])
@pytest.mark.parametrize(("n", "m"), [(90, 70), (20, 70), (90, 15)])
def test_moments_stand_for_the_rows_of_the_reference(rng, name, n, m):
    """Value and leave-outs of the samples are the same from the reference's moments,
    of full rank or not; without either the reference is missed.
    """
    row, of = registry.find("metrics", name), two_sets(rng, n, m, 24)
    blocks = blocks_of(np.arange(n) % 4)
    rows, known = (
        Arrays(of),
        Arrays(
            {"samples": of["samples"]}, {("moments", "reference"): moments.moments(of["reference"])}
        ),
    )
    assert row.from_moments
    divided = Arrays(
        {"samples": of["samples"]},
        {
            ("moments", "reference"): moments.Moments(
                2, of["reference"].mean(0), np.cov(of["reference"].T, bias=True)
            )
        },
    )
    # a file's covariance stands as it is, whoever divided it
    for constants, there in (({}, known), ({"divisor": 0}, divided)):
        assert row.value(there, **constants) == pytest.approx(
            row.value(rows, **constants), rel=1e-7
        )
        np.testing.assert_allclose(
            row.left_out(there, blocks, "samples", **constants),
            row.left_out(rows, blocks, "samples", **constants),
            rtol=1e-7,
        )
    with pytest.raises(KeyError, match="reference"):
        row.value(Arrays({"samples": of["samples"]}))


def test_fd_with_divisor_n(rng):
    """divisor = 0 takes maximum likelihood covariances: each of N - 1 over N times the other."""
    of = two_sets(rng, 60, 60, 8)
    means = ((of["samples"].mean(0) - of["reference"].mean(0)) ** 2).sum()
    assert value("fd", {"divisor": 0}, **of) - means == pytest.approx(
        59 / 60 * (value("fd", **of) - means), rel=1e-12
    )


@pytest.mark.parametrize("count", [5, 40, 400])
def test_fd_of_diagonal_gaussians_with_dead_columns(rng, count):
    """Rows whose covariances are exactly diagonal, some entries 0 on one side or on both:
    the sum of the squared differences of deviations.
    """
    rows = np.concatenate([np.eye(count), -np.eye(count)]) * np.sqrt((2 * count - 1) / 2)
    one, other = rng.random(count) + 0.1, rng.random(count) + 0.1
    one[: count // 5], other[count // 10 : count // 3] = 0.0, 0.0
    assert value("fd", samples=rows * one + 3, reference=rows * other) == pytest.approx(
        9 * count + ((one - other) ** 2).sum(), rel=1e-9
    )


def test_fd_of_equal_images(rng):
    """A set of one image many times has covariance 0: what is left is the distance of the means and
    the other's trace; nothing is perturbed.
    """
    y = rng.normal(size=(50, 6))
    x = np.ones((30, 6))
    expected = ((1 - y.mean(0)) ** 2).sum() + np.cov(y, rowvar=False).trace()
    assert value("fd", samples=x, reference=y) == pytest.approx(expected, rel=1e-12)
    assert value("fd", samples=y, reference=x) == pytest.approx(expected, rel=1e-12)
    assert value("fd", samples=x, reference=x + 1) == 6.0


@pytest.mark.parametrize(("n", "m"), [(60, 60), (42, 42), (30, 200), (200, 30)])
def test_small_roots_keep_their_digits(rng, n, m):
    """With spectra over ten decades fd is right to eight digits:
    eigenvalues below the rounding of the largest are not taken as 0.
    """
    spectrum = 10 ** np.linspace(0, -5, 40)
    x, y = (rng.normal(size=(size, 40)) * spectrum for size in (n, m))
    centred = [(rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (x, y)]
    term = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    slow = ((x.mean(0) - y.mean(0)) ** 2).sum() + sum((one**2).sum() for one in centred) - 2 * term
    assert value("fd", samples=x, reference=y) == pytest.approx(slow, rel=1e-8)


# Extrapolation


def slow_infinity(
    x: np.ndarray, y: np.ndarray, keep: np.ndarray, points: int = 15, seed: int = 0
) -> float:
    """The intercept by numpy's polyfit over subsets drawn of all x,
    of which only the rows in `keep` stay.
    """
    rng = np.random.default_rng(seed)
    sizes = np.linspace(min(5000, max(len(x) / 10, 2)), len(x), points).astype(int)
    subsets = [of[keep[of]] for of in (rng.choice(len(x), size, replace=False) for size in sizes)]
    subsets = [of for of in subsets if len(of) > 1]
    return np.polyfit(
        [1 / len(of) for of in subsets],
        [value("fd", samples=x[of], reference=y) for of in subsets],
        1,
    )[1]


def test_fd_infinity_against_a_slow_form(rng):
    """The value, and the leave-outs of either side, are those of subsets drawn once,
    with a block's members taken out.
    """
    of = two_sets(rng, 90, 70, 5)
    x, y = of["samples"], of["reference"]
    assert value("fd_infinity", **of) == pytest.approx(
        slow_infinity(x, y, np.ones(90, dtype=bool)), rel=1e-9
    )
    assert value("fd_infinity", {"points": 5, "seed": 3}, **of) == pytest.approx(
        slow_infinity(x, y, np.ones(90, dtype=bool), 5, 3), rel=1e-9
    )
    blocks = np.minimum(np.arange(90) % 11, 6)
    np.testing.assert_allclose(
        left_out("fd_infinity", blocks, "samples", **of),
        [slow_infinity(x, y, blocks != b) for b in range(7)],
        rtol=1e-8,
    )
    others = np.arange(70) % 7
    slow = [slow_infinity(x, y[others != b], np.ones(90, dtype=bool)) for b in range(7)]
    np.testing.assert_allclose(left_out("fd_infinity", others, "reference", **of), slow, rtol=1e-8)


def test_fd_extrapolated_is_the_line_through_two_sizes(rng):
    """2 fd(n) - the mean of the halves, where these are equal;
    without a block its members are taken out of their half.
    """
    of = two_sets(rng, 80, 70, 5)
    x, y = of["samples"], of["reference"]
    halves = [value("fd", samples=half, reference=y) for half in (x[:40], x[40:])]
    assert value("fd_extrapolated", **of) == pytest.approx(
        2 * value("fd", **of) - np.mean(halves), rel=1e-9
    )
    blocks = np.arange(80) // 20
    parts = [x[20:], x[20:40], x[40:]]
    slow = np.polyfit(
        [1 / len(one) for one in parts], [value("fd", samples=one, reference=y) for one in parts], 1
    )[1]
    assert left_out("fd_extrapolated", blocks, "samples", **of)[0] == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("name", ["fd_infinity", "fd_extrapolated"])
def test_extrapolation_takes_the_bias_out_and_knows_its_error(rng, name):
    """Over draws the mean is the distance to the population where fd's is far above,
    and the jackknife's error is the spread, within a third.
    """
    d, n, draws = 8, 200, 60
    y = rng.normal(size=(400, d))
    still = frechet_distance.fit(y)
    roots = np.linalg.svd(still.factor, compute_uv=False).sum()
    population = ((still.mean - 0.1) ** 2).sum() + 0.49 * d + still.trace - 2 * 0.7 * roots
    blocks, found, errors, plain = np.arange(n) % 20, [], [], []
    for _ in range(draws):
        arrays = {"samples": 0.7 * rng.normal(size=(n, d)) + 0.1, "reference": y}
        found.append(value(name, **arrays))
        plain.append(value("fd", **arrays))
        errors.append(
            jackknife.jackknife(
                left_out(name, blocks, "samples", **arrays), np.bincount(blocks), found[-1]
            )
        )
    spread = np.std(found)
    assert abs(np.mean(found) - population) < 4 * spread / np.sqrt(draws)
    assert np.mean(plain) - population > 5 * np.std(plain) / np.sqrt(draws)
    assert 0.67 < np.mean(errors) / spread < 1.5


# Memorisation


def slow_mifd(x: np.ndarray, y: np.ndarray, eps: float = 0.1) -> float:
    near = [
        min(1 - abs(a @ b) / np.sqrt((a @ a) * (b @ b)) for b in y if b.any()) for a in x if a.any()
    ]
    return value("fd", samples=x, reference=y) / (np.mean(near) if np.mean(near) < eps else 1)


def test_mifd_against_a_slow_form(rng):
    """The value, with rows of length 0 that do not count, on both sides of the threshold,
    and its leave-outs on both sides.
    """
    x, y = 1 + 0.2 * rng.normal(size=(40, 6)), 1 + 0.2 * rng.normal(size=(30, 6))
    x[7], y[[3, 8]] = 0.0, 0.0
    assert value("mifd", samples=x, reference=y) == pytest.approx(slow_mifd(x, y), rel=1e-9)
    assert value("mifd", {"eps": 1e-3}, samples=x, reference=y) == pytest.approx(
        value("fd", samples=x, reference=y), rel=1e-9
    )
    for side, rows in (("samples", 40), ("reference", 30)):
        blocks = np.arange(rows) % 7
        slow = [
            slow_mifd(*((x[blocks != b], y) if side == "samples" else (x, y[blocks != b])))
            for b in range(7)
        ]
        np.testing.assert_allclose(
            left_out("mifd", blocks, side, samples=x, reference=y), slow, rtol=1e-9
        )
        swapped = {"samples": y, "reference": x}
        other = "reference" if side == "samples" else "samples"
        np.testing.assert_allclose(
            left_out("mifd", blocks, other, {"over": "reference"}, **swapped), slow, rtol=1e-9
        )


def test_mifd_punishes_copies(rng):
    """Samples that are copies of the reference with one stranger among them score worse than fresh
    ones, though their fd is better.
    """
    y, fresh = (1 + 0.3 * rng.random(size=(200, 8)) for _ in range(2))
    copies = y.copy()
    copies[0] += 0.2
    assert value("fd", samples=copies, reference=y) < value("fd", samples=fresh, reference=y)
    assert value("mifd", samples=copies, reference=y) > 2 * value(
        "mifd", samples=fresh, reference=y
    )


# Kernels


def slow_mmd2(x: np.ndarray, y: np.ndarray, kernel, biased: bool) -> float:
    xx, yy, xy = (
        [[kernel(a, b) for b in right] for a in left] for left, right in ((x, x), (y, y), (x, y))
    )
    within = [
        np.mean(k) if biased else (np.sum(k) - np.trace(k)) / (len(k) * (len(k) - 1))
        for k in (np.array(xx), np.array(yy))
    ]
    return sum(within) - 2 * np.mean(xy)


def test_mmd_against_a_slow_form(rng):
    """mmd and its unbiased form are 1,000 times the means of a Gaussian kernel of rows of length 1,
    with and without the diagonal.
    """
    x, y = rng.normal(size=(23, 4)) + 1, rng.normal(size=(17, 4))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y)]
    for sigma in (10, 0.5):
        kernel = lambda a, b, s=sigma: np.exp(-((a - b) ** 2).sum() / (2 * s**2))  # noqa: E731
        for name, biased in (("mmd", True), ("mmd_unbiased", False)):
            assert value(name, {"sigma": sigma}, samples=x, reference=y) == pytest.approx(
                1000 * slow_mmd2(*unit, kernel, biased), abs=1e-9
            )


@pytest.mark.parametrize("side", ["samples", "reference"])
def test_leave_outs_of_kd_subsets_take_members_out_of_what_was_drawn(rng, side):
    """Subsets are drawn once over all rows, samples first;
    a block's members leave the subsets they are in.
    """
    x, y = rng.normal(size=(60, 4)), rng.normal(size=(50, 4)) + 0.3
    blocks = np.arange(len(x if side == "samples" else y)) % 6
    draw, subsets = np.random.RandomState(5), []
    for _ in range(7):
        subsets.append((draw.choice(60, 20, replace=False), draw.choice(50, 20, replace=False)))
    slow = []
    for b in range(6):
        stay = [
            (i[blocks[i] != b], j) if side == "samples" else (i, j[blocks[j] != b])
            for i, j in subsets
        ]
        slow.append(np.mean([value("kd", samples=x[i], reference=y[j]) for i, j in stay]))
    constants = {"subsets": 7, "size": 20, "seed": 5}
    np.testing.assert_allclose(
        left_out("kd_subsets", blocks, side, constants, samples=x, reference=y), slow, rtol=1e-9
    )


def test_kd_subsets_of_too_few_rows(rng):
    """With shrink = 0 a subset larger than a side is refused, saying how many rows there are;
    with shrink = 1 it is the whole side.
    """
    of = two_sets(rng, 30, 40, 4)
    with pytest.raises(
        UserError, match=r"subsets of 1000 need as many rows on each side, and there are 30"
    ):
        value("kd_subsets", {"shrink": 0}, **of)
    assert value(
        "kd_subsets", {"subsets": 3}, samples=of["samples"], reference=of["reference"][:30]
    ) == pytest.approx(value("kd", samples=of["samples"], reference=of["reference"][:30]), rel=1e-9)


def test_kernel_sums_in_pieces(rng, monkeypatch):
    """kd and mmd are the same however few rows are held at once, and so are their leave-outs."""
    of, blocks = two_sets(rng, 41, 30, 5), np.arange(41) % 4
    whole = [
        [value(name, **of), *left_out(name, blocks, "samples", **of)]
        for name in ("kd", "mmd", "mmd_unbiased", "mifd", "mind")
    ]
    monkeypatch.setattr(moments, "CHUNK", 64)
    pieces = [
        [value(name, **of), *left_out(name, blocks, "samples", **of)]
        for name in ("kd", "mmd", "mmd_unbiased", "mifd", "mind")
    ]
    np.testing.assert_allclose(pieces, whole, rtol=1e-9)


# Scores


def slow_is(logits: np.ndarray, parts: list[np.ndarray]) -> float:
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.mean([np.exp((p[of] * np.log(p[of] / p[of].mean(0))).sum(1).mean()) for of in parts])


@pytest.mark.parametrize(
    ("constants", "parts"),
    [
        ({"splits": 4}, [[0, 1], [2, 3, 4], [5, 6, 7], [8, 9, 10]]),
        ({"splits": 4, "chunk": 1}, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]),
        ({"block": 5}, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]),
    ],
)
@pytest.mark.parametrize("shuffle", [-1, 4])
def test_splits_of_the_inception_score(rng, constants, parts, shuffle):
    """Each rule's splits of 11 samples, in order or permuted first;
    without a block its members leave their splits.
    """
    logits = 2 * rng.normal(size=(11, 5))
    order = np.arange(11) if shuffle < 0 else np.random.RandomState(shuffle).permutation(11)
    drawn = [order[of] for of in parts]
    assert value("is", {**constants, "shuffle": shuffle}, logits=logits) == pytest.approx(
        slow_is(logits, drawn), rel=1e-12
    )
    blocks = np.arange(11) // 2
    slow = [
        slow_is(logits, [of[blocks[of] != b] for of in drawn if (blocks[of] != b).any()])
        for b in range(6)
    ]
    np.testing.assert_allclose(
        left_out("is", blocks, "samples", {**constants, "shuffle": shuffle}, logits=logits),
        slow,
        rtol=1e-9,
    )


def test_more_splits_than_samples_are_refused(rng):
    """Ten splits of nine samples have no score, and the line says how many samples there are."""
    with pytest.raises(UserError, match=r"10 splits needs twice as many samples, .* there are 9"):
        value("is", {"splits": 10}, logits=rng.normal(size=(9, 4)))


def test_top1_histogram_gap_by_hand():
    """Samples 3:1 on two classes, the reference 1:1 on the second and third: three quarters apart;
    without half the samples as told.
    """
    logits, reference = np.eye(3)[[0, 0, 0, 1]], np.eye(3)[[1, 2]]
    assert value("top1_histogram_gap", logits=logits, reference_logits=reference) == 0.75
    found = left_out(
        "top1_histogram_gap",
        np.array([0, 0, 1, 1]),
        "samples",
        logits=logits,
        reference_logits=reference,
    )
    np.testing.assert_allclose(found, [0.5, 1.0])


# Slices


def directions(d: int, count: int, seed: int) -> np.ndarray:
    u = torch.randn(count, d, generator=torch.Generator().manual_seed(seed))
    return (u / u.norm(dim=1, keepdim=True)).double().numpy()


@pytest.mark.parametrize(("n", "m"), [(24, 24), (24, 36), (7, 30), (13, 5)])
def test_mind_against_sorted_copies(rng, n, m):
    """Each row as often as makes both sets equally large does not change a distribution:
    then sorted projections pair up.
    """
    x, y = rng.normal(size=(n, 6)), rng.normal(size=(m, 6)) + 0.4
    u = directions(6, 50, 8)
    a, b = (
        np.sort(np.repeat(rows @ u.T, times, axis=0), axis=0) for rows, times in ((x, m), (y, n))
    )
    assert value("mind", {"projections": 50, "seed": 8}, samples=x, reference=y) == pytest.approx(
        18 * ((a - b) ** 2).mean(), rel=1e-10
    )


def test_mind_of_a_shift(rng):
    """Sets that differ by a shift alone have three times its squared length,
    on average over directions; equal sets 0.
    """
    x, shift = rng.normal(size=(50, 5)), np.array([1.0, 0, 2, 0, 0])
    assert value("mind", {"projections": 20_000}, samples=x + shift, reference=x) == pytest.approx(
        3 * 5, rel=0.05
    )
    assert value("mind", samples=x, reference=x[::-1]) == 0.0
