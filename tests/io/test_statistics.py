"""Statistics files: what is read is to the bit what was written, the peers read ours,
and a wrong one ends in a line with file and key.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.data.user_datasets import dataset_of
from genbench.io.reference_statistics import FORMS, read_statistics, write_statistics
from genbench.statistics import moments

RNG = np.random.default_rng(80)
FEATURES, SPATIAL = RNG.normal(3, 1, (40, 6)), RNG.normal(size=(40, 4))
MU, SIGMA = FEATURES.mean(0), np.cov(FEATURES, rowvar=False)
IMAGES = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)


@pytest.fixture
def written(tmp_path):
    """A file of each form: written(form) -> its path."""

    def make(form):
        write_statistics(
            tmp_path / f"{form}.npz",
            form,
            moments.moments(FEATURES),
            moments.moments(SPATIAL),
            IMAGES,
        )
        return tmp_path / f"{form}.npz"

    return make


@pytest.mark.parametrize("form", FORMS)
def test_moments_come_back_to_the_bit(form, written):
    """Mean and covariance read are those written; the spatial ones where the form has them."""
    found = read_statistics(written(form), {"pool": 6, "spatial": 4})
    assert set(found) == ({"pool", "spatial"} if form == "adm" else {"pool"})
    for output, features in {"pool": FEATURES, "spatial": SPATIAL}.items():
        if output in found:
            of = moments.moments(features)
            assert np.array_equal(found[output].mean, of.mean)
            assert np.array_equal(moments.covariance(found[output]), moments.covariance(of))
            assert np.allclose(
                moments.covariance(found[output]), np.cov(features, rowvar=False), rtol=1e-12
            )


def test_pytorch_fid_reads_ours_and_we_read_its(written, tmp_path):
    """compute_statistics_of_path gives the numbers of the file;
    a compressed file as save_fid_stats writes it is read to the bit.
    """
    from pytorch_fid.fid_score import compute_statistics_of_path

    mu, sigma = compute_statistics_of_path(str(written("mu-sigma")), None, 1, 2048, "cpu")
    np.testing.assert_allclose(mu, MU, rtol=1e-14)
    np.testing.assert_allclose(sigma, SIGMA, rtol=1e-12)
    np.savez_compressed(tmp_path / "theirs.npz", mu=MU, sigma=SIGMA)
    found = read_statistics(tmp_path / "theirs.npz")["pool"]
    assert np.array_equal(found.mean, MU)
    assert np.array_equal(moments.covariance(found), SIGMA)


def test_clean_fid_reads_ours(written, monkeypatch):
    """get_reference_statistics, told where the file lies, gives its numbers."""
    from cleanfid import features

    monkeypatch.setattr(features, "check_download_url", lambda **_: str(written("clean-fid")))
    mu, sigma = features.get_reference_statistics("mine", "na", split="custom")
    np.testing.assert_allclose(mu, MU, rtol=1e-14)
    np.testing.assert_allclose(sigma, SIGMA, rtol=1e-12)


def test_the_form_adm_has_what_guided_diffusion_asks_for(written):
    """Its evaluator asks for mu, sigma, mu_s, sigma_s and, batch by batch, arr_0 NHWC;
    images and all it is a data set too.
    """
    with np.load(written("adm")) as file:
        assert sorted(file) == ["arr_0", "mu", "mu_s", "sigma", "sigma_s"]
        assert np.array_equal(file["arr_0"], IMAGES.transpose(0, 2, 3, 1))
        np.testing.assert_allclose(file["sigma_s"], np.cov(SPATIAL, rowvar=False), rtol=1e-12)
    images, _ = next(iter(dataset_of(str(written("adm"))).open("train")))
    assert np.array_equal(images.numpy(), IMAGES)


def test_equal_statistics_are_equal_bytes(written, monkeypatch):
    """Whatever the time of day."""
    first = written("adm").read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert written("adm").read_bytes() == first


def test_float32_and_columns_first_are_read(tmp_path):
    """Published files are of either precision and layout; their rounding is no asymmetry."""
    rows = FEATURES.astype(np.float32)
    sigma = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / 39 + np.triu(
        np.full((6, 6), 1e-7, np.float32), 1
    )
    np.savez(
        tmp_path / "x.npz", mu=rows.mean(0), sigma=np.asfortranarray(sigma), anything=np.zeros(3)
    )
    found = read_statistics(tmp_path / "x.npz")["pool"]
    assert np.array_equal(moments.covariance(found), sigma.astype(np.float64))
    assert (found.mean.dtype, found.scatter.dtype) == (np.float64, np.float64)


def nan(array, value=np.nan):
    array = array.copy()
    array.flat[1] = value
    return array


WRONG = {
    "no-sigma": ({"mu": MU}, "has no sigma; it has mu"),
    "no-mu": ({"sigma": SIGMA}, "has no mu; it has sigma"),
    "images": (
        {"arr_0": IMAGES},
        (
            "has no mu and no sigma, so it is no statistics file: it has arr_0; "
            "images (arr_0) can be a data set"
        ),
    ),
    "empty": ({}, "it has nothing"),
    "half-spatial": ({"mu": MU, "sigma": SIGMA, "sigma_s": SIGMA}, "has no mu_s"),
    "shape": (
        {"mu": MU, "sigma": SIGMA[:, :4]},
        "sigma is [6, 4], but mu is [6]; wanted is [6, 6]",
    ),
    "flat": ({"mu": MU, "sigma": SIGMA[0]}, "sigma is float64 [6]; wanted are floats [d, d]"),
    "row": ({"mu": MU[None], "sigma": SIGMA}, "mu is float64 [1, 6]; wanted are floats [d]"),
    "whole": ({"mu": MU.astype(int), "sigma": SIGMA}, "mu is int64 [6]; wanted are floats"),
    "nan": ({"mu": MU, "sigma": nan(SIGMA)}, "sigma has 1 values that are NaN or infinite"),
    "infinite": (
        {"mu": nan(MU, np.inf), "sigma": SIGMA},
        "mu has 1 values that are NaN or infinite",
    ),
    "crooked": (
        {"mu": MU, "sigma": SIGMA + np.triu(np.ones((6, 6)), 1)},
        "sigma is no covariance: it differs from its transpose by 1",
    ),
    "negative": (
        {"mu": MU, "sigma": SIGMA - 9 * np.eye(6)},
        "sigma is no covariance: the variance in place",
    ),
    "pickle": (
        {"mu": np.array([MU, None], dtype=object), "sigma": SIGMA},
        "mu holds Python objects (a pickle), which are never read",
    ),
    "narrow": ({"mu": MU[:5], "sigma": SIGMA[:5, :5]}, "mu is 5 wide, the features pool are 6"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_naming_file_and_key(name, tmp_path):
    """A missing key, a wrong shape, width or kind, NaN, asymmetry, a pickle inside:
    one line each.
    """
    arrays, line = WRONG[name]
    np.savez(tmp_path / f"{name}.npz", **arrays)
    with pytest.raises(UserError) as caught:
        read_statistics(tmp_path / f"{name}.npz", {"pool": 6})
    assert f"{name}.npz" in str(caught.value)
    assert line in str(caught.value)


class Evil:
    def __reduce__(self):
        return sys.exit, ("a pickle was run",)


def zipped(**members):
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(f"{name}.npy", data)
        return buffer.getvalue()


def broken(kind):
    """A whole statistics file's bytes, broken in one way, and what is said."""
    with io.BytesIO() as buffer:
        np.savez(buffer, mu=MU, sigma=SIGMA)
        data = buffer.getvalue()
    with io.BytesIO() as buffer:
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        )
        large = buffer.getvalue()
    at = data.index(SIGMA.tobytes()) + 20
    return {
        "pickle": (
            pickle.dumps(Evil()),
            "is no npz file (a zip of arrays); pickles and single arrays are not read",
        ),
        "array": (b"\x93NUMPY" + bytes(100), "is no npz file"),
        "empty": (b"", "is no npz file"),
        "cut": (
            data[: len(data) // 2],
            "cannot be read (File is not a zip file); the file is cut short or altered",
        ),
        "flipped": (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            "sigma cannot be read (Bad CRC-32",
        ),
        "members": (zipped(mu=b"hello", sigma=b"hello"), "mu cannot be read"),
        "evil": (zipped(mu=pickle.dumps(Evil()), sigma=pickle.dumps(Evil())), "mu cannot be read"),
        "bomb": (
            zipped(mu=large + bytes(10**6), sigma=large),
            "mu says that it is float64 [1000000, 1000000], more than the file holds",
        ),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["pickle", "array", "empty", "cut", "flipped", "members", "evil", "bomb"]
)
def test_a_broken_or_hostile_file_is_refused(kind, tmp_path):
    """Nothing is unpickled or unfolded; a cut file, a flipped bit and somebody else's file are
    each a line.
    """
    data, line = broken(kind)
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_statistics(tmp_path / "x.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'x.npz'}")
    assert line in str(caught.value)


def test_what_cannot_be_a_statistics_file_is_not_written(tmp_path):
    """An unknown form, spatial features that are missing, and NaN are refused,
    and no file is left.
    """
    whole = moments.moments(FEATURES)
    for form, pool, line in (
        ("ttur", whole, "form ttur: Known: adm, clean-fid, mu-sigma"),
        ("adm", whole, "the form adm holds spatial features too"),
        ("mu-sigma", moments.moments(nan(FEATURES)), "mu would have values that are NaN"),
    ):
        with pytest.raises(UserError, match=line):
            write_statistics(tmp_path / "x.npz", form, pool)
    assert not list(tmp_path.iterdir())


# genbench reference


def pooled(images):
    row = registry.find("extractors", "digits")
    return (
        row.load("cpu", source_of(row.load).with_name(row.weights.files[0].file))(images)["pool"]
        .double()
        .numpy()
    )


def test_the_command_writes_what_numpy_would(cli, here):
    """Mean and covariance of a split's features, and the line says of what;
    a folder of pictures serves as a name does.
    """
    images, _ = next(iter(dataset_of("digits").open("heldout")))
    status, out, _ = cli(
        "reference",
        "digits",
        "--extractor",
        "digits",
        "--split",
        "heldout",
        "--to",
        "new/stats.npz",
    )
    assert (status, out.split(", SHA-256")[0]) == (
        0,
        "new/stats.npz: mu-sigma of 870 images of digits heldout, digits.pool [64]",
    )
    with np.load(here / "new" / "stats.npz") as file:
        np.testing.assert_allclose(file["mu"], pooled(images).mean(0), atol=1e-6)
        np.testing.assert_allclose(file["sigma"], np.cov(pooled(images), rowvar=False), atol=1e-5)
    for i in range(20):
        (here / "f").mkdir(exist_ok=True)
        Image.fromarray(images[i].permute(1, 2, 0).numpy()).save(here / "f" / f"{i:02}.png")
    status, out, err = cli(
        "reference", "f", "--extractor", "digits", "--form", "clean-fid", "--to", "f.npz"
    )
    assert (status, "20 images are too few for 64 features" in err) == (0, True)
    np.testing.assert_allclose(
        read_statistics(here / "f.npz")["pool"].mean, pooled(images[:20]).mean(0), atol=1e-6
    )


EXTRACTOR = """
from genbench.api import Extractor

def load(device):
    return lambda x: {"pool": x.float().mean((2, 3)), "spatial": x.float()[:, 0, :1, :2].flatten(1), "wide": x.float().flatten(1)}

MINE = Extractor("mine", "mine", {"pool": 3, "spatial": 2, "wide": 0}, 8, "none", None, "nothing", load)
"""  # noqa: E501


def test_the_command_writes_the_form_adm(cli, here):
    """Pool, spatial and the first images; as many as asked for."""
    (here / "mine.py").write_text(EXTRACTOR)
    np.savez(here / "x.npz", RNG.integers(0, 256, (150, 4, 6, 3), dtype=np.uint8))
    words = (
        "reference",
        "x.npz",
        "--with",
        "mine.py",
        "--extractor",
        "mine",
        "--form",
        "adm",
        "--to",
        "a.npz",
    )
    for given, kept in (((), 150), (("--images", "120"), 120)):
        assert cli(*words, *given)[0] == 0
        with np.load(here / "a.npz") as file, np.load(here / "x.npz") as source:
            assert np.array_equal(file["arr_0"], source["arr_0"][:kept])
            np.testing.assert_allclose(file["mu"], source["arr_0"].mean((0, 1, 2)), rtol=1e-6)
            np.testing.assert_allclose(
                file["mu_s"], source["arr_0"][:, 0, :2, 0].mean(0), rtol=1e-6
            )
    assert cli(*words, "--images", "0")[0] == 0
    assert sorted(np.load(here / "a.npz")) == ["mu", "mu_s", "sigma", "sigma_s"]


REFUSED = {
    "--to x.pt": "name a file that ends in .npz",
    "--to x.npz --split nope": "has no such split: Known: heldout, rest, train",
    "--to x.npz --extractor nope": "unknown extractor 'nope'",
    "--to x.npz --extractor digits.nope": "digits has no output 'nope': Known: logits, pool",
    "--to x.npz --extractor digits --form adm": "the form adm holds pool and spatial features",
    "--to x.npz --extractor mine.wide --with mine.py": "as wide as the images make it",
    "--to x.npz --extractor digits --form fid": "Invalid value for '--form'",
    "--to x.npz --extractor digits --weights digitz=x": "there are no weights of this name",
    "--to x.npz --extractor digits --device nope": "auto, cpu, cuda or cuda:N",
    "--extractor digits": "Missing option '--to'",
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_command_refuses_in_a_line(words, cli, here):
    """Wrong words end in exit 2 and one line before anything is computed, and no file is left."""
    (here / "mine.py").write_text(EXTRACTOR)
    status, out, err = cli("reference", "digits", *words.split())
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert REFUSED[words] in err
    assert not list(here.glob("*.npz"))


def test_one_image_has_no_covariance(cli, here):
    """A folder of one picture is refused with that reason."""
    (here / "f").mkdir()
    Image.fromarray(torch.zeros(8, 8, dtype=torch.uint8).numpy()).save(here / "f" / "0.png")
    status, _, err = cli("reference", "f", "--extractor", "digits", "--to", "x.npz", "--quiet")
    assert (status, "a covariance wants at least 2" in err) == (2, True)
