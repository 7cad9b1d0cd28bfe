"""The shared arithmetic and the built-in metrics against slow,
obvious or foreign implementations.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest
import scipy.linalg

from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.statistics import blocks as statistics_blocks
from genbench.statistics import matrix_sqrt, moments
from genbench.statistics.blocks import blocks_of


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def value(name: str, constants: dict[str, float] | None = None, **arrays: np.ndarray) -> float:
    return registry.find("metrics", name).value(Arrays(arrays), **(constants or {}))


def two_sets(rng: np.random.Generator, n: int, m: int, d: int) -> dict[str, np.ndarray]:
    spectrum = np.arange(1, d + 1) ** -0.6
    return {
        "samples": rng.normal(size=(n, d)) * spectrum + 0.2,
        "reference": rng.normal(size=(m, d)) * spectrum[::-1],
    }


# Moments


def test_merged_moments_equal_numpys(rng):
    """Moments of parts, merged, are those of the whole, also where the mean is a million
    deviations away.
    """
    x = rng.normal(size=(501, 6)) + 1e6
    parts = [moments.moments(part) for part in np.array_split(x, 7)]
    whole = moments.merge_all(parts)
    assert whole.count == 501
    np.testing.assert_allclose(whole.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance(whole), np.cov(x, rowvar=False), atol=1e-9)
    np.testing.assert_allclose(
        moments.covariance(whole, lost=0), np.cov(x, rowvar=False, ddof=0), atol=1e-9
    )


@pytest.mark.parametrize("kind", [moments.moments, moments.diagonal_moments])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_moments_without_each_part(rng, kind, count):
    """The others' moments are the same whether merged or computed from their rows,
    in the order of the parts.
    """
    parts = np.split(
        rng.normal(size=(90, 4)), np.sort(rng.choice(np.arange(1, 90), count - 1, replace=False))
    )
    rest = list(moments.without_each([kind(part) for part in parts]))
    assert len(rest) == count
    for left, one in enumerate(rest):
        slow = kind(np.concatenate([part for place, part in enumerate(parts) if place != left]))
        assert one.count == slow.count
        np.testing.assert_allclose(one.mean, slow.mean, atol=1e-13)
        np.testing.assert_allclose(one.scatter, slow.scatter, atol=1e-12)


def test_leaving_an_outlier_out_keeps_the_others_digits(rng):
    """A block with an outlier of 1e9, left out, leaves no trace in the others' moments,
    kernel sums and means.
    """
    x = rng.normal(size=(40, 3))
    x[0] = 1e9
    blocks = np.arange(40) % 4
    kept = blocks != 0
    rest = next(iter(moments.without_each([moments.moments(x[blocks == b]) for b in range(4)])))
    np.testing.assert_allclose(rest.scatter, moments.moments(x[kept]).scatter, rtol=1e-12)
    np.testing.assert_allclose(
        statistics_blocks.means_without(x, blocks)[0], x[kept].mean(0), rtol=1e-12
    )
    kd = registry.find("metrics", "kd")
    arrays = Arrays({"samples": x, "reference": rng.normal(size=(30, 3))})
    assert kd.left_out(arrays, blocks, "samples")[0] == pytest.approx(
        kd.value(arrays.keep("samples", kept)), abs=1e-12
    )


# Roots


def test_symmetric_root_squares_to_the_matrix(rng):
    """root(C) is symmetric, its square is C, and no eigenvalue of a rank-deficient C
    turns into noise.
    """
    x = rng.normal(size=(5, 8))
    c = x.T @ x
    r = matrix_sqrt.root(c)
    np.testing.assert_allclose(r, r.T, atol=1e-12)
    np.testing.assert_allclose(r @ r, c, atol=1e-12)
    assert matrix_sqrt.trace_of_root(c) == pytest.approx(matrix_sqrt.nuclear_norm(x), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "d", "tolerance"),
    [
        (300, 200, 16, 1e-10),
        (12, 200, 16, 1e-6),
        (200, 12, 16, 1e-6),
        (10, 9, 16, 1e-6),
        (16, 17, 16, 1e-6),
    ],
)
def test_fd_against_eigenvalues_of_the_product(rng, n, m, d, tolerance):
    """fd equals the textbook formula with the eigenvalues of S C:
    to 1e-10 at full rank, to 1e-6 (their own error) when singular.
    """
    sets = two_sets(rng, n, m, d)
    x, y = sets["samples"], sets["reference"]
    S, C = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    term = np.sqrt(scipy.linalg.eigvals(S @ C).astype(complex)).real.sum()
    slow = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(S) + np.trace(C) - 2 * term
    assert value("fd", **sets) == pytest.approx(slow, abs=tolerance)


def test_fd_of_known_gaussians(rng):
    """fd of sets whitened to exact moments is |difference of means|^2 plus the squared difference
    of deviations.
    """
    x = rng.normal(size=(50, 4))
    x -= x.mean(0)
    x = x @ np.linalg.inv(matrix_sqrt.root(np.cov(x, rowvar=False)))
    assert value("fd", samples=3 * x + 0.5, reference=x) == pytest.approx(
        4 * 0.25 + 4 * (3 - 1) ** 2, abs=1e-10
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("n", "m", "tolerance"), [(300, 200, 1e-10), (20, 200, 1e-6)])
def test_fd_and_is_against_torch_fidelity(rng, n, m, tolerance):
    """torch-fidelity's functions give the same Fréchet distance and,
    with 1 and 7 splits unshuffled, the same Inception score of the same features.
    """
    from torch_fidelity import metric_fid, metric_isc

    torch = pytest.importorskip("torch")
    sets = two_sets(rng, n, m, 24)
    theirs = [metric_fid.fid_features_to_statistics(torch.from_numpy(one)) for one in sets.values()]
    assert value("fd", **sets) == pytest.approx(
        metric_fid.fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"],
        abs=tolerance,
    )
    logits = 3 * rng.normal(size=(n, 10))
    for splits in (1, 7):
        score = metric_isc.isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=False)[
            "inception_score_mean"
        ]
        assert value("is", {"splits": splits}, logits=logits) == pytest.approx(score, abs=1e-10)


# Distances and kernels


def test_kd_against_a_double_loop(rng):
    """kd is the mean kernel over pairs of different samples, pair by pair."""
    sets = two_sets(rng, 23, 17, 4)
    x, y = sets["samples"], sets["reference"]

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 4 + 1) ** 3

    within = [
        np.mean([k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])
        for a in (x, y)
    ]
    slow = sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert value("kd", **sets) == pytest.approx(slow, abs=1e-12)


def test_kd_may_be_negative(rng):
    """kd of two halves of one distribution is below zero about half the time,
    and is not clipped.
    """
    below = [
        value("kd", samples=rng.normal(size=(20, 3)), reference=rng.normal(size=(20, 3))) < 0
        for _ in range(60)
    ]
    assert 15 < sum(below) < 50


@pytest.mark.parametrize(("n", "m", "d", "k"), [(150, 120, 8, 5), (60, 200, 3, 3), (90, 90, 64, 1)])
def test_neighbours_against_prdc(rng, n, m, d, k):
    """The prdc package gives the same precision, recall, density and coverage,
    to the last bit of a count.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import prdc

        sets = {"samples": rng.normal(size=(n, d)) * 0.8, "reference": rng.normal(size=(m, d))}
        theirs = prdc.compute_prdc(sets["reference"], sets["samples"], k)
    for name, expected in theirs.items():
        assert value(name, {"k": k}, **sets) == pytest.approx(expected, abs=1e-14), name


def test_density_of_identical_sets_counts_its_own_ball(rng):
    """Each row of identical sets lies in its own ball and in k others on average:
    density is (k + 1) / k.
    """
    x = rng.normal(size=(80, 6))
    assert value("density", samples=x, reference=x.copy()) == pytest.approx(1.2, abs=1e-12)


def test_label_accuracy_counts_hits():
    """Two of four largest logits at the asked labels are an accuracy of one half."""
    assert value("label_accuracy", logits=np.eye(4), labels=np.array([0, 1, 0, 0])) == 0.5


def test_is_of_perfect_and_useless_logits():
    """The score is the number of classes for certain balanced logits, and 1 for uniform ones."""
    assert value("is", logits=1e4 * np.eye(5)[np.arange(50) % 5]) == pytest.approx(5, abs=1e-9)
    assert value("is", logits=np.zeros((50, 5))) == pytest.approx(1, abs=1e-12)


def test_is_leave_out_keeps_the_splits(rng):
    """With several splits, leaving a block out takes its members out of their splits and moves
    nobody else.
    """
    logits, blocks = 2 * rng.normal(size=(40, 3)), blocks_of(np.zeros(40, dtype=int))
    metric = registry.find("metrics", "is")
    split = np.arange(40) // 20
    for b, found in enumerate(
        metric.left_out(Arrays({"logits": logits}), blocks, "samples", splits=2)
    ):
        parts = [
            metric.value(Arrays({"logits": logits[(split == s) & (blocks != b)]})) for s in range(2)
        ]
        assert found == pytest.approx(np.mean(parts), abs=1e-12)


@pytest.mark.parametrize("name", ["fd", "kd", "recall", "coverage"])
def test_leave_outs_that_leave_too_little_are_undefined(rng, name):
    """Where a leave-out keeps too few rows for the metric, it is NaN and nothing fails."""
    sets = {"samples": rng.normal(size=(7, 2)), "reference": rng.normal(size=(7, 2))}
    blocks = np.array([0, 0, 0, 0, 0, 0, 1])
    side = "reference" if name == "coverage" else "samples"
    found = registry.find("metrics", name).left_out(Arrays(sets), blocks, side)
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


@pytest.mark.parametrize(
    ("rank", "decades", "by_squares"), [(300, 4, True), (300, 9, False), (280, 4, False)]
)
def test_a_wide_nuclear_norm_is_that_of_the_singular_values(
    monkeypatch, rng, rank, decades, by_squares
):
    """At 300 x 400, where squares are taken if they may be:
    of few decades of spectrum, of many, of lower rank; nothing is tried where it could not hold.
    """
    taken, eigenvalues = [], matrix_sqrt._eigenvalues
    monkeypatch.setattr(matrix_sqrt, "_eigenvalues", lambda c: taken.append(c) or eigenvalues(c))
    left, right = (np.linalg.qr(rng.normal(size=(size, rank)))[0] for size in (300, 400))
    values = 10 ** np.linspace(0, -decades, rank)
    assert matrix_sqrt.nuclear_norm((left * values) @ right.T) == pytest.approx(
        values.sum(), rel=1e-11
    )
    assert bool(taken) is by_squares


def test_contrasts_have_the_scatter_of_the_rows(rng):
    """One row fewer, the same scatter, and no mean left in it."""
    x = rng.normal(size=(7, 12)) + 5
    found = matrix_sqrt.contrasts(x)
    assert found.shape == (6, 12)
    assert np.allclose(found.T @ found, np.cov(x, rowvar=False) * 6, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(900, 800), (300, 280), (290, 900)])
def test_both_libraries_give_the_same_distance(monkeypatch, rng, n, m):
    """torch's and scipy's LAPACK, of which a processor gets the quicker,
    agree to rounding with and without each block: full rank, few rows, one side few.
    """
    arrays, blocks, fd = two_sets(rng, n, m, 320), np.arange(n) % 5, registry.find("metrics", "fd")
    found = []
    for mkl in (True, False):
        monkeypatch.setattr(matrix_sqrt, "_mkl", lambda mkl=mkl: mkl)
        found.append(
            [
                fd.value(Arrays(arrays)),
                *fd.left_out(Arrays(arrays), blocks, "samples"),
                *fd.left_out(Arrays(arrays), np.arange(m) % 5, "reference"),
            ]
        )
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
