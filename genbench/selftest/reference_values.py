"""Values that any installation must reproduce without network:
the published codes' own answers on seeded arrays, a row each with its source.

An answer is written as it was printed; half a unit of its last digit is the tolerance. Metrics and
resizes are asked as a run asks them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.features.resize import resize
from genbench.statistics import moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]


class NotRun(Exception):
    """What an anchor is measured on is not on this machine; the message says what:
    "weights missing".
    """


@dataclass(frozen=True)
class Anchor:
    """A value, as it was printed, how ours is measured, and who printed it.

    delta: the tolerance that the source states, where it states one.
    """

    name: str
    printed: str
    measure: Callable[[], float]
    source: str
    delta: float | None = None

    @property
    def expected(self) -> float:
        return float(self.printed)

    @property
    def tolerance(self) -> float:
        """The stated one, or half a unit of the last printed digit."""
        return (
            0.5 * 10.0 ** -len(self.printed.partition(".")[2]) if self.delta is None else self.delta
        )


# Seeded data: one stream, in this order


@functools.cache
def seeded() -> dict[str, Array]:
    """x, y float32 [1000, 64], logits float32 [1003, 1008], image uint8 [32, 32, 3]:
    one stream of numpy's RandomState(0), which never changes.
    """
    rng = np.random.RandomState(0)
    x = rng.randn(1000, 64).astype(np.float32)
    y = (rng.randn(1000, 64) * 1.1 + 0.1).astype(np.float32)
    logits = (rng.randn(1003, 1008) * 3).astype(np.float32)
    return {
        "x": x,
        "y": y,
        "logits": logits,
        "image": rng.randint(0, 256, (32, 32, 3)).astype(np.uint8),
    }


def metric(name: str, arrays: dict[str, Array], **constants: Any) -> float:
    """A metric of the shelf on arrays by need."""
    plain = {
        need: array.astype(np.float64) if array.dtype.kind == "f" else array
        for need, array in arrays.items()
    }
    return float(registry.find("metrics", name).value(Arrays(plain), **constants))


def _xy(name: str, **constants: Any) -> float:
    """A metric with reals x and samples y."""
    return metric(name, {"samples": seeded()["y"], "reference": seeded()["x"]}, **constants)


def _yx(name: str, **constants: Any) -> float:
    """The same with x as the samples: sources that draw from both sides draw from x first."""
    return metric(name, {"samples": seeded()["x"], "reference": seeded()["y"]}, **constants)


def _score(**constants: Any) -> float:
    return metric("is", {"logits": seeded()["logits"]}, **constants)


def _spread(order: Array) -> float:
    """The standard deviation of the scores of ten consecutive parts of the logits in that order."""
    rows, n = seeded()["logits"][order], len(order)
    return float(
        np.std([metric("is", {"logits": rows[i * n // 10 : (i + 1) * n // 10]}) for i in range(10)])
    )


def _kernel_spread(sigma: float) -> float:
    """The standard deviation of the kernel distances of 100 pairs of subsets of 100,
    drawn with seed 2020.
    """
    rng, found = np.random.RandomState(2020), []
    for _ in range(100):
        drawn = {
            need: seeded()[side][rng.choice(1000, 100, replace=False)]
            for need, side in (("samples", "x"), ("reference", "y"))
        }
        found.append(metric("kd_subsets", drawn, subsets=1, size=100, sigma=sigma))
    return float(np.std(found))


def _single_means() -> float:
    """fd as torch-fidelity and clean-fid take it of float32 features:
    means, and the distance of the means, in float32; covariances in float64.
    """
    x, y = seeded()["x"], seeded()["y"]
    apart = x.mean(0) - y.mean(0)
    centred = {
        side: a.astype(np.float64) - a.astype(np.float64).mean(0)
        for side, a in (("samples", y), ("reference", x))
    }
    return metric("fd", centred) + float(apart @ apart)


def _fifty(name: str) -> float:
    """A metric of the first 50 rows of each side, in 64 dimensions: covariances are singular."""
    return metric(name, {"samples": seeded()["y"][:50], "reference": seeded()["x"][:50]})


def _unit_apart() -> float:
    """fd of two sets in 2048 dimensions with exactly the identity as covariance and means 0 and 1:
    plus and minus a length along each axis.
    """
    rows = np.sqrt((2 * 2048 - 1) / 2) * np.concatenate([np.eye(2048), -np.eye(2048)])
    return metric("fd", {"samples": rows, "reference": rows + 1})


def _grey_covariance() -> float:
    """The entry farthest from 1/4 of the covariance of three constant images, 0, 1/2 and 1."""
    whole = moments.covariance(
        moments.moments(np.repeat([[0.0], [0.5], [1.0]], 12, axis=1))
    ).ravel()
    return float(whole[np.abs(whole - 0.25).argmax()])


def _narrow(name: str) -> float:
    """A share of narrow samples 0.1 N(0, 1) and wide reals 3 N(0, 1),
    200 of each in 16 dimensions.
    """
    draw = torch.Generator().manual_seed(42)
    samples, reals = (
        0.1 * torch.randn(200, 16, generator=draw),
        3.0 * torch.randn(200, 16, generator=draw),
    )
    return metric(name, {"samples": samples.numpy(), "reference": reals.numpy()}, k=3, strict=0)


def _two_places(samples: float, reference: float) -> float:
    """f8 of samples and reference of which these shares lie in the second of two places."""
    rows = {
        need: np.repeat([[0.0, 0.0], [1.0, 1.0]], [20 - int(20 * share), int(20 * share)], 0)
        for need, share in (("samples", samples), ("reference", reference))
    }
    return metric("f8", rows, clusters=2, runs=1)


def _unit(a: Array) -> Array:
    whole = a.astype(np.float64)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True)


_PRDC = "prdc 0.2 on RandomState(0)"
_TFID = "torch-fidelity 0.4.0 on RandomState(0)"
_FEW = {"subsets": 100, "size": 100, "shrink": 0}

FORMULAS = (
    Anchor(
        "Fréchet, float64",
        "3.94189820",
        lambda: _xy("fd"),
        "pytorch-fid in float64 on RandomState(0)",
    ),
    Anchor(
        "Fréchet, float32 means",
        "3.94189801",
        _single_means,
        f"{_TFID}; clean-fid; the eighth digit is the processor's",
        1e-7,
    ),
    Anchor(
        "Fréchet, divided by n",
        "3.93892817",
        lambda: _xy("fd", divisor=0),
        "StyleGAN2-ADA's form on RandomState(0)",
    ),
    Anchor(
        "Fréchet of 50 rows, exact",
        "47.25251791",
        lambda: _fifty("fd"),
        "40-digit arithmetic on RandomState(0)",
    ),
    Anchor(
        "Fréchet of 50 rows, as others",
        "47.2525173",
        lambda: _fifty("fd"),
        f"{_TFID}; pytorch-fid: their singular roots are 1e-8 off",
        1e-6,
    ),
    Anchor(
        "Fréchet, unit means apart in 2048", "2048.000000", _unit_apart, "pytorch-fid's own test"
    ),
    Anchor(
        "covariance of three grey images",
        "0.2500000000",
        _grey_covariance,
        "pytorch-fid's own test",
    ),
    Anchor(
        "kernel, one subset of all",
        "0.0426216",
        lambda: _yx("kd_subsets", subsets=1, size=1000, seed=2020, shrink=0),
        _TFID,
    ),
    Anchor(
        "kernel, 100 subsets, seed 2020",
        "0.0452427",
        lambda: _yx("kd_subsets", seed=2020, **_FEW),
        f"{_TFID}, float32",
        1e-5 * 0.0452427,
    ),
    Anchor("kernel, spread of 100 subsets", "0.0149425", lambda: _kernel_spread(0), _TFID),
    Anchor(
        "Gaussian kernel, spread of 100 subsets", "0.0016100", lambda: _kernel_spread(10), _TFID
    ),
    Anchor(
        "Gaussian kernel, 100 subsets",
        "0.0066411",
        lambda: _yx("kd_subsets", seed=2020, sigma=10, **_FEW),
        _TFID,
    ),
    Anchor(
        "kernel, 100 subsets, seed 0",
        "0.0396515",
        lambda: _yx("kd_subsets", seed=0, first="reference", **_FEW),
        "clean-fid after numpy.random.seed(0)",
    ),
    Anchor(
        "Inception score, shuffled", "21.512259", lambda: _score(splits=10, shuffle=2020), _TFID
    ),
    Anchor("Inception score, in order", "21.539182", lambda: _score(splits=10), _TFID),
    Anchor(
        "Inception score, spread, shuffled",
        "0.825934",
        lambda: _spread(np.random.RandomState(2020).permutation(1003)),
        _TFID,
    ),
    Anchor(
        "Inception score, spread, in order", "0.467242", lambda: _spread(np.arange(1003)), _TFID
    ),
    Anchor("Inception score, one split", "30.811804", lambda: _score(splits=1), _TFID),
    Anchor(
        "precision, k 3, <=",
        "0.251",
        lambda: _xy("precision", k=3, strict=0),
        "improved-precision-and-recall's rule; torch-fidelity 0.4.0",
    ),
    Anchor(
        "recall, k 3, <=",
        "0.883",
        lambda: _xy("recall", k=3, strict=0),
        "improved-precision-and-recall's rule; torch-fidelity 0.4.0",
    ),
    *(
        Anchor(f"{name}, k {k}, <", printed, functools.partial(_xy, name, k=k, strict=1), _PRDC)
        for k, values in (
            (5, ("0.351", "0.930", "0.2132", "0.601")),
            (3, ("0.251", "0.883", "0.195333", "0.407")),
        )
        for name, printed in zip(
            ("precision", "recall", "density", "coverage"), values, strict=True
        )
    ),
    Anchor(
        "precision of narrow samples",
        "0.9",
        functools.partial(_narrow, "precision"),
        "torch-fidelity's test of the convention: over 0.8",
        0.1,
    ),
    Anchor(
        "recall of narrow samples",
        "0.15",
        functools.partial(_narrow, "recall"),
        "torch-fidelity's test of the convention: below 0.3",
        0.15,
    ),
    Anchor(
        "F8 of equal histograms",
        "1.000000",
        lambda: _two_places(0.5, 0.5),
        "compare_gan's test of PRD",
    ),
    Anchor(
        "F8 of disjoint histograms",
        "0.000000",
        lambda: _two_places(1, 0),
        "compare_gan's test of PRD",
    ),
    Anchor(
        "AuthPct",
        "93.9",
        lambda: metric("authpct", {"samples": seeded()["y"], "train": seeded()["x"]}),
        "dgm-eval's formula on RandomState(0)",
    ),
    Anchor(
        "CMMD's arithmetic",
        "0.1248517",
        lambda: metric(
            "mmd", {"samples": _unit(seeded()["x"]), "reference": _unit(seeded()["y"])}, sigma=10
        ),
        "CMMD's formula in float64 on RandomState(0)",
    ),
)

# Pixels after a resize of the seeded image: (channel, row, column), or the mean, least and
# largest of all

# the sources' means of 268,203 pixels were taken in float32, which is so far from the mean of the
# same pixels in float64
FLOAT32_MEAN = 2e-5
_TO_299 = ("0,0,1", "0,150,150", "1,298,298", "2,10,200", "mean", "min", "max")
_TO_224 = ("0,0,1", "0,112,112", "1,223,223", "2,10,150", "mean")
_PIXELS = (
    (
        "tf1",
        299,
        "torch-fidelity's resize",
        _TO_299,
        "77.0067 126.4338 156.0000 220.3615 126.31516 0.9823 253.3679",
    ),
    (
        "torch",
        299,
        "torch's bilinear",
        _TO_299,
        "83.0000 109.8134 156.0000 147.5025 126.35429 1.1013 253.8646",
    ),
    (
        "torch-corners",
        299,
        "torch's bilinear with aligned corners",
        _TO_299,
        "77.1745 109.7396 156.0000 167.2263 126.59708 0.5783 253.2752",
    ),
    (
        "pil-unclipped",
        299,
        "PIL bicubic of floats",
        _TO_299,
        "102.2965 87.7993 179.1984 150.8702 126.34519 -27.6206 288.9733",
    ),
    (
        "pil",
        299,
        "clean-fid's resize",
        _TO_299,
        "102.2965 87.7993 179.1984 150.8702 126.35164 0.0000 255.0000",
    ),
    (
        "pil-uint8",
        299,
        "PIL bicubic of bytes",
        _TO_299,
        "100.0000 88.0000 179.0000 151.0000 126.35491 0.0000 255.0000",
    ),
    ("pil-uint8", 224, "dgm-eval's resize", _TO_224, "98.0000 86.0000 179.0000 207.0000 126.3509"),
    (
        "torch-bicubic-aa",
        224,
        "EDM2's resize",
        _TO_224,
        "101.1843 86.1102 178.7919 207.0002 126.34524",
    ),
)


@functools.cache
def _resized(name: str, size: int) -> Array:
    image = torch.from_numpy(seeded()["image"].transpose(2, 0, 1).copy())[None]
    found: Array = resize(image, size, name)[0].numpy().astype(np.float64)
    return found


def _pixel(name: str, size: int, place: str) -> float:
    image = _resized(name, size)
    return float(
        image[tuple(map(int, place.split(",")))] if "," in place else getattr(image, place)()
    )


def pixels() -> Iterator[Anchor]:
    """Every pixel of the table above."""
    for name, size, source, places, printed in _PIXELS:
        for place, one in zip(places, printed.split(), strict=True):
            delta = FLOAT32_MEAN if place == "mean" else None
            yield Anchor(
                f"{name} to {size}, {place}",
                one,
                functools.partial(_pixel, name, size, place),
                f"{source} on RandomState(0)",
                delta,
            )
