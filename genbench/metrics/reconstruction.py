"""How near an autoencoder's reconstructions come to the images:
`rfd` (rFID), `psnr`, `ssim`, and `reconstruction`, the mean distance of features (LPIPS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench._util.errors import UserError
from genbench._util.lazy_imports import F, torch
from genbench.api.metric import FLAG, Measure, Metric
from genbench.api.metric_inputs import Arrays, Sighting
from genbench.statistics import frechet_distance

if TYPE_CHECKING:
    from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian
K1, K2 = 0.01, 0.03
LEVELS = 255.0  # the range of the data


def rfd(arrays: Arrays, *, divisor: float = 1) -> float:
    """fd of the reconstructions against their originals, 0 to infinity.

    reconstructions, originals float64 [m, d], row for row.

    Rombach et al. (2022), table 8, as rFID; Esser et al. (2021) call it FID of reconstructions. No
    draw enters it: what varies is the images, and a leave-out takes an image and its reconstruction
    out together.
    """
    return frechet_distance.distance(
        arrays["reconstructions"], frechet_distance.fit(arrays["originals"], int(divisor))
    )


def mean(arrays: Arrays) -> float:
    """The mean over the images. between float64 [m]."""
    return float(arrays["between"].mean())


def decibels(a: Tensor, b: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each pair of images [n, c, h, w] in 0 to 255, dB,
    float64 [n]: 10 log10(255^2 / mean squared error).

    Its mean is one of decibels, as BasicSR has it, not the decibels of the mean error. Equal images
    have an infinite one, and no mean; they count as if a single value were off by one grey level,
    the least that 8 bits can be: 83.0 dB at 32 x 32 in colour.
    """
    error = (a.to(torch.float64) - b.to(torch.float64)).square().mean((1, 2, 3))
    return 10 * (LEVELS**2 / error.clamp(min=1 / a[0].numel())).log10()


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """The mean structural similarity of each pair of images [n, c, h, w] in 0 to 255, -1 to 1,
    float64 [n].

    Wang, Bovik, Sheikh & Simoncelli (2004), eq. 13: Gaussian windows of 11 x 11, sigma 1.5,
    wherever one lies inside the image; each channel of its own, then the mean. Other codes take
    grey images, uniform windows of 7 x 7 (scikit-image's default), or mirror the image at its edges
    and count windows there (torchmetrics from 1.9), which on digits, whose edges are flat,
    moves it by 0.2.
    """
    if min(a.shape[2:]) < WINDOW:
        raise UserError(
            f"SSIM's window of {WINDOW}x{WINDOW} does not fit into images of "
            f"{a.shape[2]}x{a.shape[3]}: leave ssim out of --metrics"
        )
    place = torch.arange(WINDOW, dtype=torch.float64, device=a.device) - WINDOW // 2
    bell = (-(place**2) / (2 * SIGMA**2)).exp()
    bell = bell / bell.sum()

    def local(x: Tensor) -> Tensor:
        return F.conv2d(
            F.conv2d(x.flatten(0, 1)[:, None], bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1)
        ).view(*x.shape[:2], -1)

    a, b = a.to(torch.float64), b.to(torch.float64)
    mean_a, mean_b = local(a), local(b)
    spread_a, spread_b, both = (
        local(a * a) - mean_a**2,
        local(b * b) - mean_b**2,
        local(a * b) - mean_a * mean_b,
    )
    c1, c2 = (K1 * LEVELS) ** 2, (K2 * LEVELS) ** 2
    alike = (
        (2 * mean_a * mean_b + c1)
        * (2 * both + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2))
    )
    return alike.mean((1, 2))


def small_sample(seen: Sighting) -> tuple[str, ...]:
    """The jackknife of a Fréchet distance is too wide below n = 2d (tests/bench/coverage.md)."""
    return ("small sample",) if seen.n < 2 * seen.d else ()


_MEAN = frozenset({"order_invariant", "unbiased"})

RFD = Metric(
    name="rfd",
    title="Fréchet distance of reconstructions to their originals",
    needs=("reconstructions", "originals"),
    better="lower",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=rfd,
    paper="Rombach et al. 2022, arXiv:2112.10752",
    properties=frozenset(
        {"symmetric", "order_invariant", "rotation_invariant", "zero_on_identical"}
    ),
    flags=small_sample,
    allowed={"divisor": FLAG},
)

PSNR = Metric(
    name="psnr",
    title="peak signal-to-noise ratio of reconstructions, dB, mean over images",
    needs=("between",),
    better="higher",
    range=(-float("inf"), float("inf")),
    interval="mean",
    value=mean,
    paper="Wang et al. 2018, ESRGAN, arXiv:1809.00219, and its code BasicSR",
    properties=_MEAN,
    between=decibels,
)

SSIM = Metric(
    name="ssim",
    title="structural similarity of reconstructions, mean over images",
    needs=("between",),
    better="higher",
    range=(-1.0, 1.0),
    interval="mean",
    value=mean,
    paper="Wang et al. 2004, doi:10.1109/TIP.2003.819861",
    properties=_MEAN,
    between=similarity,
)

RECONSTRUCTION = Metric(
    name="reconstruction",
    title="squared distance of features between an image and its reconstruction, mean over images",
    needs=("between",),
    better="lower",
    range=(0.0, float("inf")),
    interval="mean",
    value=mean,
    paper="Zhang et al. 2018, arXiv:1801.03924",
    properties=_MEAN,
)

RFID = Measure(
    "rfd",
    "inception-tf1.pool",
    name="rfid",
    title="rFID: Fréchet distance of reconstructions to their originals in Inception's features",
)
RFD_DIGITS = Measure("rfd", "digits.pool", title="rFID in the features of the digits' recogniser")
PSNR_OF_PIXELS = Measure(
    "psnr",
    "pixels.values",
    name="psnr",
    title="PSNR of reconstructions, dB: 8 bits, mean over images",
)
SSIM_OF_PIXELS = Measure(
    "ssim",
    "pixels.values",
    name="ssim",
    title="SSIM of reconstructions: each channel, Gaussian windows of 11 x 11, mean over images",
)
LPIPS = Measure(
    "reconstruction",
    "lpips-alex.phi",
    name="lpips_reconstruction",
    title="LPIPS (AlexNet, 0.1) of reconstructions, mean over images",
)
