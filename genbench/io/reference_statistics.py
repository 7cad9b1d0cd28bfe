"""Published reference statistics: mean and covariance of features in npz files,
read and written in each of the forms that are about.

    mu-sigma    mu [d], sigma [d, d]: TTUR, pytorch-fid, EDM
    clean-fid   the same keys; what differs is the resize before the extractor
    adm         guided diffusion's: besides mu_s [s], sigma_s [s, s] of the spatial features, and
                images arr_0 uint8 [N, h, w, 3]

None of the files says how many images it was made of, nor by which network and resize: that is for
the reader to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import write
from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.lazy_imports import np
from genbench.io import npz
from genbench.statistics import moments
from genbench.statistics.moments import Moments

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

FORMS = ("mu-sigma", "clean-fid", "adm")
KEYS = {"pool": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}  # output -> mean, covariance
LARGEST = 1e30
WIDEST = 2**14  # a covariance of 2 GB
ASYMMETRY = 1e-5  # of the largest variance; float32 products differ by 1e-7 of it


def read_statistics(path: Path, widths: Mapping[str, int] | None = None) -> dict[str, Moments]:
    """The moments in a statistics file by output: "pool", and "spatial" where it has them.

    stats.covariance of them is the file's sigma to the bit. Their count is 2, since the file has
    none: the scatter over count - 1 is then sigma itself; do not merge them. widths: what the
    extractor's outputs have, where it is known. UserError, naming file and key, when a key is
    missing, of a wrong shape or width, not finite or not symmetric, when a variance is negative,
    and when the file is broken or holds a pickle.
    """
    there = npz.keys(path)
    if "mu" not in there and "sigma" not in there:
        came = f"it has {', '.join(map(clean, there[:12])) or 'nothing'}"
        remedy = (
            "; images (arr_0) can be a data set: --dataset"
            if "arr_0" in there
            else "; write one with genbench reference"
        )
        raise UserError(
            f"{path} has no mu and no sigma, so it is no statistics file: {came}{remedy}"
        )
    return {
        output: _moments(path, output, (widths or {}).get(output))
        for output, names in KEYS.items()
        if output == "pool" or set(names) & set(there)
    }


def _moments(path: Path, output: str, width: int | None) -> Moments:
    mean_key, covariance_key = KEYS[output]
    mean = _numbers(path, mean_key, 1)
    d = len(mean)
    if width not in (None, d):
        raise UserError(
            f"{path}: {mean_key} is {d} wide, the features {output} are {width}: "
            "the statistics of another extractor or layer"
        )
    sigma = _numbers(path, covariance_key, 2)
    if sigma.shape != (d, d):
        raise UserError(
            f"{path}: {covariance_key} is {list(sigma.shape)}, but {mean_key} is [{d}]; "
            f"wanted is [{d}, {d}]"
        )
    variances = sigma.diagonal()
    if variances.min() < 0:
        raise UserError(
            f"{path}: {covariance_key} is no covariance: the variance in place "
            f"{int(variances.argmin())} is {variances.min():.3g}"
        )
    apart = np.abs(sigma - sigma.T).max()
    if apart > ASYMMETRY * variances.max():
        raise UserError(
            f"{path}: {covariance_key} is no covariance: it differs from its transpose "
            f"by {apart:.3g}"
        )
    least = float(np.linalg.eigvalsh(sigma)[0])
    if least < -ASYMMETRY * variances.max():
        raise UserError(
            f"{path}: {covariance_key} is no covariance: its smallest eigenvalue is {least:.3g}"
        )
    return Moments(2, mean, sigma)


def _numbers(path: Path, key: str, axes: int) -> Array:
    """An array of finite numbers as float64; looked at before it is read,
    since a few kB can unfold to gigabytes.
    """
    with npz.member(path, key) as found:
        shape, dtype = found.shape, found.dtype
    if len(shape) != axes or min(shape) < 1 or max(shape) > WIDEST or dtype.kind != "f":
        wanted = "[d]" if axes == 1 else "[d, d]"
        raise UserError(
            f"{path}: {key} is {dtype} {list(shape)}; wanted are floats {wanted}, "
            f"d at most {WIDEST}"
        )
    array = npz.whole(path, key).astype(np.float64)
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise UserError(
            f"{path}: {key} has {bad} values that are NaN or infinite; fetch or make the file again"
        )
    if np.abs(array).max() > LARGEST:
        raise UserError(
            f"{path}: {key} has values beyond {LARGEST:g}, which no features have; "
            "fetch or make the file again"
        )
    return array


def write_statistics(
    path: Path,
    form: str,
    pool: Moments,
    spatial: Moments | None = None,
    images: Array | None = None,
) -> None:
    """Write moments (of scatter [d, d], count >= 2) as a statistics file;
    covariances divided by count - 1, float64, whole or not at all.

    form: one of FORMS; adm wants `spatial`, and takes images uint8 [n, 3, h, w] for the metrics of
    guided diffusion that look at images; they are held in memory three times. UserError when the
    form is unknown, spatial features are missing, or a mean or covariance is not finite.
    """
    if form not in FORMS:
        raise UserError(f"form {clean(form)}: {choices(form, FORMS)}")
    if form == "adm" and spatial is None:
        raise UserError(
            "the form adm holds spatial features too (mu_s, sigma_s); choose an extractor that has "
            "them, or another form"
        )
    arrays: dict[str, Array] = {}
    for output, of in (("pool", pool), ("spatial", spatial)):
        if of is not None and (output == "pool" or form == "adm"):
            mean_key, covariance_key = KEYS[output]
            arrays |= {
                mean_key: np.asarray(of.mean, np.float64),
                covariance_key: moments.covariance(of),
            }
    wrong = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        raise UserError(
            f"{path} is not written: {wrong[0]} would have values that are NaN or infinite; "
            "look at the images and the weights"
        )
    if form == "adm" and images is not None:
        arrays["arr_0"] = images.transpose(0, 2, 3, 1)
    write(path, npz.packed(arrays))
