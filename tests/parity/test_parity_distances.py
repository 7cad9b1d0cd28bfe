"""Distances and scores against the peers' own functions on the same features,
and the constants that were measured with them.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from cleanfid import fid as clean_fid
from pytorch_fid import fid_score as pytorch_fid
from torch_fidelity import metric_fid, metric_isc, metric_kid
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.statistics import moments

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own
# relative: at full rank, where a covariance is singular, where the peer computes in float32
FULL, SINGULAR, SINGLE = 1e-10, 1e-6, 1e-5


def value(
    name: str, constants: dict[str, float | str] | None = None, **arrays: np.ndarray
) -> float:
    return registry.find("metrics", name).value(
        Arrays({need: array.astype(np.float64) for need, array in arrays.items()}),
        **(constants or {}),
    )


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """x, y [1000, 64] and logits [1003, 1008] in float32, one stream."""
    rng = np.random.RandomState(0)
    x = rng.randn(1000, 64).astype(np.float32)
    y = (rng.randn(1000, 64) * 1.1 + 0.1).astype(np.float32)
    return {"x": x, "y": y, "logits": (rng.randn(1003, 1008) * 3).astype(np.float32)}


def sets(n: int, m: int, d: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of float64 rows with decaying spectra in opposite orders."""
    rng, spectrum = np.random.default_rng(seed), np.arange(1, d + 1) ** -0.6
    return rng.normal(size=(n, d)) * spectrum + 0.2, rng.normal(size=(m, d)) * spectrum[::-1]


# Fréchet

SIZES = [
    (300, 200, 24, FULL),
    (65, 400, 64, FULL),
    (20, 200, 24, SINGULAR),
    (200, 20, 24, SINGULAR),
    (20, 15, 24, SINGULAR),
    (24, 24, 24, SINGULAR),
]


def of_torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
    both = [metric_fid.fid_features_to_statistics(torch.from_numpy(one)) for one in (x, y)]
    return metric_fid.fid_statistics_to_metric(*both, False)["frechet_inception_distance"]


def of_sqrtm(distance, x: np.ndarray, y: np.ndarray) -> float:
    with contextlib.redirect_stdout(io.StringIO()):  # both say when they add 1e-6
        return float(
            distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
        )


PEERS = {
    "torch-fidelity": of_torch_fidelity,
    "clean-fid": lambda x, y: of_sqrtm(clean_fid.frechet_distance, x, y),
    "pytorch-fid": lambda x, y: of_sqrtm(pytorch_fid.calculate_frechet_distance, x, y),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("n", "m", "d", "tolerance"), SIZES)
def test_fd_against(peer, n, m, d, tolerance):
    """fd of float64 features is the peer's, above and below n = d and m = d."""
    x, y = sets(n, m, d)
    assert value("fd", samples=x, reference=y) == pytest.approx(PEERS[peer](x, y), rel=tolerance)


class Identity(torch.nn.Module):
    """For torchmetrics: features in, features out."""

    num_features = 24

    def forward(self, rows):
        return rows


def of_torchmetrics(metric, x: np.ndarray, y: np.ndarray):
    metric.update(torch.from_numpy(y), real=True)
    metric.update(torch.from_numpy(x), real=False)
    return metric.compute()


@pytest.mark.parametrize(("n", "m"), [(300, 200), (20, 200)])
def test_fd_against_torchmetrics(n, m):
    """fd is torchmetrics' on float32 features, which it sums in float64 and gives back
    in float32.
    """
    x, y = (one.astype(np.float32) for one in sets(n, m, 24))
    assert value("fd", samples=x, reference=y) == pytest.approx(
        float(of_torchmetrics(FrechetInceptionDistance(feature=Identity()), x, y)), rel=SINGLE
    )


@pytest.mark.parametrize(
    ("near", "over"), [(0.02, "reference"), (0.02, "samples"), (5.0, "reference")]
)
def test_mifd_against_torchmetrics(near, over):
    """mifd over the reference is torchmetrics' MiFID, over the samples the same with the two sets
    exchanged, on both sides of its threshold.
    """
    x, y = sets(150, 120, 24)
    x, y = (np.float32(1 + near * one) if near < 1 else np.float32(one) for one in (x, y))
    real, fake = (y, x) if over == "reference" else (x, y)
    theirs = float(
        of_torchmetrics(
            MemorizationInformedFrechetInceptionDistance(feature=Identity()), fake, real
        )
    )
    ours = value("mifd", {"over": over}, samples=x, reference=y)
    assert ours == pytest.approx(theirs, rel=SINGLE)
    assert (ours > 2 * value("fd", samples=x, reference=y)) == (near < 1)


# Kernel


def of_kid(x: np.ndarray, y: np.ndarray, **constants) -> float:
    found = metric_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), rng_seed=2020, verbose=False, **constants
    )
    return found["kernel_inception_distance_mean"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, FULL), (np.float32, SINGLE)])
@pytest.mark.parametrize("sigma", [0, 10])
def test_kd_subsets_against_torch_fidelity(dtype, tolerance, sigma):
    """kd_subsets draws torch-fidelity's subsets and gives its KID, for both of its kernels."""
    x, y = (one.astype(dtype) for one in sets(300, 250, 24))
    kernel = {"kid_kernel": "rbf", "kid_kernel_rbf_sigma": sigma} if sigma else {}
    ours = value(
        "kd_subsets",
        {"subsets": 30, "size": 100, "shrink": 0, "sigma": sigma},
        samples=x,
        reference=y,
    )
    assert ours == pytest.approx(
        of_kid(x, y, kid_subsets=30, kid_subset_size=100, **kernel), rel=tolerance
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, FULL), (np.float32, SINGLE)])
@pytest.mark.parametrize("size", [100, 1000])
def test_kd_subsets_against_clean_fid(dtype, tolerance, size):
    """The same with the reference drawn first is clean-fid's, where a size above n is n."""
    x, y = (one.astype(dtype) for one in sets(300, 250, 24))
    np.random.seed(3)  # noqa: NPY002 - clean-fid draws from the global state
    theirs = clean_fid.kernel_distance(x, y, num_subsets=30, max_subset_size=size)
    ours = value(
        "kd_subsets",
        {"subsets": 30, "size": size, "seed": 3, "first": "reference"},
        samples=x,
        reference=y,
    )
    assert ours == pytest.approx(theirs, rel=tolerance)


def test_kd_against_torchmetrics():
    """kd of the subsets that torchmetrics draws is, on average, its KID."""
    x, y = (one.astype(np.float32) for one in sets(300, 250, 24))
    torch.manual_seed(5)
    theirs, _ = of_torchmetrics(
        KernelInceptionDistance(feature=Identity(), subsets=20, subset_size=100), x, y
    )
    torch.manual_seed(5)
    subsets = [
        (torch.randperm(250)[:100].numpy(), torch.randperm(300)[:100].numpy()) for _ in range(20)
    ]
    assert np.mean(
        [value("kd", samples=x[i], reference=y[j]) for j, i in subsets]
    ) == pytest.approx(float(theirs), rel=SINGLE)


# Score


@pytest.mark.parametrize(
    ("splits", "shuffle"), [(1, False), (10, False), (7, False), (10, True), (7, True)]
)
def test_is_against_torch_fidelity(drawn, splits, shuffle):
    """is with i n // splits, in order or permuted by seed 2020, is torch-fidelity's."""
    theirs = metric_isc.isc_features_to_metric(torch.from_numpy(drawn["logits"]), splits, shuffle)[
        "inception_score_mean"
    ]
    assert value(
        "is", {"splits": splits, "shuffle": 2020 if shuffle else -1}, logits=drawn["logits"]
    ) == pytest.approx(theirs, rel=FULL)


@pytest.mark.parametrize(("n", "splits"), [(21, 10), (25, 10), (1003, 10)])
def test_is_against_torchmetrics(drawn, n, splits):
    """is with chunk = 1 has the splits of torch.chunk: 7 of 21 samples and 9 of 25,
    where 10 were asked for.
    """
    metric = InceptionScore(feature=Identity(), splits=splits)
    metric.update(torch.from_numpy(drawn["logits"][:n]))
    torch.manual_seed(1)
    theirs, _ = metric.compute()
    torch.manual_seed(1)
    order = torch.randperm(n).numpy()
    assert value(
        "is", {"splits": splits, "chunk": 1}, logits=drawn["logits"][:n][order]
    ) == pytest.approx(float(theirs), rel=SINGLE)


# Constants, as printed


@pytest.mark.parametrize(
    ("name", "constants", "first", "printed"),
    [
        ("fd", {}, "y", "3.94189820"),
        ("fd", {"divisor": 0}, "y", "3.93892817"),
        ("kd", {}, "y", "0.0426216"),
        ("kd_subsets", {"subsets": 1, "size": 1000}, "y", "0.0426216"),
        ("kd_subsets", {"subsets": 100, "size": 100}, "x", "0.0452427"),
        ("kd_subsets", {"subsets": 100, "size": 100, "sigma": 10}, "x", "0.0066411"),
        (
            "kd_subsets",
            {"subsets": 100, "size": 100, "seed": 0, "first": "reference"},
            "x",
            "0.0396515",
        ),
        ("mmd", {}, "y", "0.1248517"),
    ],
)
def test_constants_of_seeded_features(drawn, name, constants, first, printed):
    """The figures that the peers' functions print for x and y;
    the kernel's were float32 there, and hold to the last digit but one.
    """
    other = "x" if first == "y" else "y"
    found = value(name, constants, samples=drawn[first], reference=drawn[other])
    digits = len(printed.partition(".")[2])
    assert found == pytest.approx(
        float(printed),
        abs=0.5 * 10**-digits + (1e-5 * float(printed) if name.startswith("kd") else 0),
    )


def test_constants_of_float32_means(drawn):
    """torch-fidelity's and clean-fid's 3.94189801 is of means in float32:
    with these it is ours, and 3.94189820 is the figure without that rounding.

    How a processor adds up in float32 is its own: the figure was printed by one, and another's
    eighth digit differs.
    """
    x, y = drawn["x"], drawn["y"]
    assert of_torch_fidelity(y, x) == pytest.approx(
        of_sqrtm(clean_fid.frechet_distance, y, x), abs=1e-8
    )
    # and not the 3.94189820 without the rounding
    assert of_torch_fidelity(y, x) == pytest.approx(3.94189801, abs=1e-7)
    apart = y.mean(0) - x.mean(0)
    centred = {
        side: one - one.astype(np.float64).mean(0)
        for side, one in (("samples", y), ("reference", x))
    }
    assert value("fd", **centred) + float(apart @ apart) == pytest.approx(
        of_torch_fidelity(y, x), rel=FULL
    )


def test_constant_of_50_rows(drawn):
    """Fewer rows than dimensions: 47.252517 to six places;
    the peers' seventh and eighth are the rounding of their singular roots.
    """
    x, y = (drawn[side][:50].astype(np.float64) for side in ("x", "y"))
    assert f"{value('fd', samples=y, reference=x):.6f}" in ("47.252517", "47.252518")
    for peer in PEERS.values():
        assert value("fd", samples=y, reference=x) == pytest.approx(peer(y, x), rel=SINGULAR)


@pytest.mark.parametrize(
    ("constants", "printed"),
    [
        ({"splits": 10, "shuffle": 2020}, "21.512259"),
        ({"splits": 10}, "21.539182"),
        ({"splits": 1}, "30.811804"),
        ({"splits": 1, "block": 5000}, "30.811804"),
    ],
)
def test_constants_of_seeded_logits(drawn, constants, printed):
    """The Inception scores that torch-fidelity prints for the seeded logits."""
    assert f"{value('is', constants, logits=drawn['logits']):.6f}" == printed


def test_fd_of_unit_gaussians_in_2048_dimensions():
    """Means 0 and 1 with covariance I are 2,048 apart, as in pytorch-fid's own test;
    the reference is known by its moments.
    """
    rows = np.sqrt(4095 / 2) * np.concatenate([np.eye(2048), -np.eye(2048)])
    given = {("moments", "reference"): moments.Moments(4096, np.ones(2048), 4095 * np.eye(2048))}
    assert registry.find("metrics", "fd").value(Arrays({"samples": rows}, given)) == pytest.approx(
        2048, abs=1e-9
    )


def test_moments_of_three_grey_images():
    """Constant images 0, 0.5 and 1 have mean 0.5 and covariance 0.25 everywhere,
    as in pytorch-fid's own test.
    """
    found = moments.moments(np.repeat([[0.0], [0.5], [1.0]], 12, axis=1))
    np.testing.assert_array_equal(found.mean, 0.5)
    np.testing.assert_array_equal(moments.covariance(found), 0.25)


# Real features


@pytest.fixture(scope="module")
def flowers(shared_data) -> dict[str, np.ndarray]:
    """FID-Inception's pool features [3670, 2048] of real photos, by class."""
    with np.load(shared_data / "flowers-inception-pool3.npz") as found:
        features, labels = found["features"].astype(np.float64), found["labels"]
    return {name: features[labels == c] for c, name in enumerate(FLOWERS)}


FLOWERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
CLASSES = [(a, b) for i, a in enumerate(FLOWERS) for b in FLOWERS[i + 1 :]]


def exactly(x: np.ndarray, y: np.ndarray) -> float:
    """The Fréchet distance by singular values of the product of the centred rows:
    nothing is squared, nothing is lost where covariances are singular.
    """
    a, b = ((one - one.mean(0)) / np.sqrt(len(one) - 1) for one in (x, y))
    return (
        ((x.mean(0) - y.mean(0)) ** 2).sum()
        + (a**2).sum()
        + (b**2).sum()
        - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    )


@pytest.mark.shared
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("one", "other"), CLASSES)
def test_fd_of_real_classes(flowers, one, other):
    """633 to 898 photos of each class in 2,048 dimensions, every pair:
    torch-fidelity's to 1e-6, most of which is its own error.
    """
    x, y = flowers[one], flowers[other]
    found = value("fd", samples=x, reference=y)
    assert found == pytest.approx(exactly(x, y), rel=FULL)
    assert found == pytest.approx(of_torch_fidelity(x, y), rel=SINGULAR)


@pytest.mark.shared
@pytest.mark.timeout(600)
def test_fd_of_real_classes_against_clean_fid(flowers):
    """One pair by clean-fid, whose root takes a minute at this width:
    the others would show the same code again.
    """
    x, y = flowers["roses"], flowers["tulips"]
    assert value("fd", samples=x, reference=y) == pytest.approx(
        PEERS["clean-fid"](x, y), rel=SINGULAR
    )


@pytest.mark.shared
@pytest.mark.timeout(600)
def test_fd_of_real_halves(flowers):
    """One random half of the photos against the other, 1,835 each and so 214 ranks short:
    torch-fidelity's to 1e-6, the exact form to 1e-10.
    """
    rows = np.concatenate(list(flowers.values()))
    order = np.random.default_rng(0).permutation(len(rows))
    x, y = rows[order[:1835]], rows[order[1835:]]
    found = value("fd", samples=x, reference=y)
    assert found == pytest.approx(exactly(x, y), rel=FULL)
    assert found == pytest.approx(of_torch_fidelity(x, y), rel=SINGULAR)


@pytest.mark.shared
def test_fd_of_real_features_above_the_dimension(flowers):
    """2,100 photos against 2,600, many of them the same: covariances have full rank,
    spectra of nine decades, and eigenvalues lose none of it.
    """
    rows = np.concatenate(list(flowers.values()))
    draw = np.random.default_rng(1)
    x, y = rows[draw.permutation(len(rows))[:2100]], rows[draw.permutation(len(rows))[:2600]]
    assert value("fd", samples=x, reference=y) == pytest.approx(exactly(x, y), rel=FULL)


@pytest.mark.shared
def test_kid_of_real_classes(flowers):
    """KID over ten subsets of 500 as torch-fidelity takes it, in float64."""
    x, y = flowers["roses"], flowers["tulips"]
    theirs = of_kid(x, y, kid_subsets=10, kid_subset_size=500)
    assert value(
        "kd_subsets", {"subsets": 10, "size": 500, "shrink": 0}, samples=x, reference=y
    ) == pytest.approx(theirs, rel=FULL)
