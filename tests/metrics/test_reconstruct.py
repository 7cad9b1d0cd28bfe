"""Reconstructions: PSNR and SSIM are torchmetrics', rFID is pytorch-fid's on the same features,
exact properties hold, a run measures the hook's answers.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from genbench import evaluate
from genbench._util.errors import PluginFailed, UserError
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.cli.main import main
from genbench.features.extraction import calls, wide_at_once
from genbench.generators.generator import construct
from genbench.generators.load import locate
from genbench.generators.reconstruct import reconstruct
from genbench.metrics import reconstruction
from genbench.runs.scoring.reconstructions import _parts

WORDS = ("rfd_digits", "psnr", "ssim", "reconstruction")
NAMES = (*WORDS[:3], "reconstruction_digits")
HEAD = """
import torch, genbench

@genbench.hookimpl
def sample(n, seeds):
    return (genbench.uniform(seeds, (3, 32, 32)) * 255).to(torch.uint8)

@genbench.hookimpl
def reconstruct({names}):
    {body}
"""


@pytest.fixture(scope="module")
def digits():
    """The held-out digits uint8 [870, 3, 32, 32] and their labels."""
    return next(registry.find("datasets", "digits").open("heldout"))


def written(folder, body, names="images"):
    path = folder / "coder.py"
    path.write_text(HEAD.format(names=names, body=body))
    return str(path)


def measured(path, out, metrics=WORDS, **more):
    found = evaluate(path, "digits", n=40, metrics=metrics, out=out, **more)
    return {score.metric: score for score in found.scores}


# The formulas


def off(images):
    """Other images of the same kind: noise of ten grey levels, and some contrast lost."""
    noise = 10 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (0.9 * images.float() + 12 + noise).round().clamp(0, 255).to(torch.uint8)


def test_psnr_is_torchmetrics_of_each_image(digits):
    """On real digits, in colour and not square, to 1e-5 dB, and the mean is one of decibels."""
    for images in (digits[0][:20], digits[0][:20, :, :24], digits[0][:6].roll(3, 3)):
        ours = off(images)
        theirs = [
            peak_signal_noise_ratio(b[None].double(), a[None].double(), data_range=255.0).item()
            for a, b in zip(images, ours, strict=True)
        ]
        np.testing.assert_allclose(reconstruction.decibels(images, ours).numpy(), theirs, atol=1e-5)
    # the decibels of the mean error are another number
    whole = peak_signal_noise_ratio(ours.double(), images.double(), data_range=255.0).item()
    assert abs(reconstruction.decibels(images, ours).mean().item() - whole) > 1e-3


def test_ssim_is_torchmetrics_of_each_image(digits):
    """Gaussian windows of 11 x 11, sigma 1.5, data range 255, to 1e-5,
    where no window hangs over the edge; colours that differ between channels too.
    """
    colours = torch.stack([digits[0][:20, 0], digits[0][20:40, 0], digits[0][40:60, 0]], 1)
    for images in (digits[0][:20], colours, colours[:, :, :19]):
        ours = off(images)
        _, theirs = structural_similarity_index_measure(
            ours.double(),
            images.double(),
            data_range=255.0,
            reduction="none",
            return_full_image=True,
        )
        np.testing.assert_allclose(
            reconstruction.similarity(images, ours).numpy(),
            theirs[:, :, 5:-5, 5:-5].mean((1, 2, 3)).numpy(),
            atol=1e-5,
        )


def test_equal_images(digits):
    """SSIM 1 exactly; PSNR that of one grey level in one value, above any image that differs."""
    images = digits[0][:5]
    assert reconstruction.similarity(images, images).tolist() == pytest.approx([1.0] * 5, abs=1e-12)
    nearly = images.clone()
    nearly[:, 0, 0, 0] += 1
    assert (
        reconstruction.decibels(images, images).tolist()
        == reconstruction.decibels(images, nearly).tolist()
    )
    assert reconstruction.decibels(images, images)[0].item() == pytest.approx(
        10 * np.log10(255**2 * 3 * 32 * 32)
    )
    nearly[:, 0, 0, 1] += 1
    assert (reconstruction.decibels(images, nearly) < reconstruction.decibels(images, images)).all()


def test_black_against_white():
    """PSNR 0 dB, and SSIM C1 / (255^2 + C1): no structure on either side."""
    black = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert reconstruction.decibels(black, black + 255).tolist() == pytest.approx([0.0, 0.0])
    assert reconstruction.similarity(black, black + 255).tolist() == pytest.approx(
        [6.5025 / (255**2 + 6.5025)] * 2
    )


def test_a_window_that_does_not_fit_is_one_line():
    with pytest.raises(UserError, match="11x11 does not fit into images of 8x32: leave ssim out"):
        reconstruction.similarity(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))


def test_rfd_is_the_frechet_distance_of_the_two_sides():
    """fd of the same rows, with the reconstructions as samples and the originals as reference;
    leave-outs differ, since pairs go together.
    """
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(200, 8))
    ours = 0.9 * originals + 0.1 * rng.normal(size=(200, 8))
    pair = Arrays({"originals": originals, "reconstructions": ours})
    fd = registry.find("metrics", "fd")
    assert reconstruction.rfd(pair) == pytest.approx(
        fd.value(Arrays({"samples": ours, "reference": originals})), rel=1e-9
    )
    kept = pair.keep("samples", np.arange(200) >= 10)
    assert reconstruction.rfd(kept) == pytest.approx(
        fd.value(Arrays({"samples": ours[10:], "reference": originals[10:]})), rel=1e-9
    )


def test_squared_distances_of_pixels_are_mean_squared_errors(digits):
    """The extractor pixels: what PSNR's logarithm is of."""
    images, ours = digits[0][:4], off(digits[0][:4])
    network = registry.find("extractors", "pixels").load("cpu")
    (_, a), (_, b) = (next(calls(network, side, wide_at_once(side))) for side in (images, ours))
    apart = (a["values"] - b["values"]).square().sum(1).double()
    np.testing.assert_allclose(
        (-10 * apart.log10()).numpy(), reconstruction.decibels(images, ours).numpy(), rtol=1e-5
    )


# Runs


def test_an_identity_is_perfect(tmp_path):
    """rFID 0, SSIM 1, PSNR finite, distances of features 0;
    over all 870 held-out images, whatever n is.
    """
    found = measured(written(tmp_path, "return images"), tmp_path / "runs")
    assert {name: found[name].status for name in NAMES} == dict.fromkeys(NAMES, "ok")
    assert {one.n for one in found.values()} == {870}
    assert found["rfd_digits"].value == pytest.approx(0, abs=1e-9)
    assert found["ssim"].value == pytest.approx(1, abs=1e-12)
    assert found["psnr"].value == pytest.approx(83.0, abs=0.1)
    assert found["reconstruction_digits"].value == 0


def test_a_run_measures_what_the_hook_answers(tmp_path, digits):
    """Contrast lost by a coder: the numbers are those of its answers, computed by hand;
    intervals hold them and have the error of a mean.
    """
    images, _ = digits
    found = measured(written(tmp_path, "return (images // 2)"), tmp_path / "runs")
    decibels, alike = (
        reconstruction.decibels(images, images // 2).numpy(),
        reconstruction.similarity(images, images // 2).numpy(),
    )
    assert found["psnr"].value == pytest.approx(decibels.mean(), rel=1e-12)
    assert found["ssim"].value == pytest.approx(alike.mean(), rel=1e-12)
    # of 20 blocks: t with 19 degrees of freedom
    assert found["psnr"].se == pytest.approx(decibels.std() / 870**0.5, rel=0.4)
    assert all(one.low < one.value < one.high for one in found.values())
    assert found["rfd_digits"].value > 0.1
    assert found["psnr"].real is None


def test_again_nothing_is_reconstructed_and_more_numbers_go_on(tmp_path, monkeypatch):
    """What is kept is read; a number asked for later is added to the run."""
    path = written(tmp_path, "return images // 2")
    first = measured(path, tmp_path / "runs", metrics=("psnr", "fd"))
    assert set(first) == {"psnr", "fd_digits"}
    count = []
    monkeypatch.setattr(
        "genbench.runs.scoring.reconstructions.reconstruct",
        lambda *args: count.append(1) or reconstruct(*args),
    )
    assert measured(path, tmp_path / "runs", metrics=("psnr",))["psnr"] == first["psnr"]
    assert count == []
    more = measured(path, tmp_path / "runs", metrics=("ssim", "psnr"))
    assert (count, more["psnr"].value, "ssim" in more) == ([1], first["psnr"].value, True)
    for file in (tmp_path / "runs").rglob("*~ssim.safetensors"):
        file.write_bytes(b"damaged")
    assert measured(path, tmp_path / "runs", metrics=("ssim", "kd"))["ssim"] == more["ssim"]
    assert count == [1, 1]


def test_a_generator_without_the_hook_is_skipped_with_the_reason(tmp_path):
    """Under --metrics all; asked for by name it is refused in one line."""
    found = measured("noise", tmp_path / "runs", metrics=("all",))
    assert {found[name].status for name in NAMES} == {"skipped"}
    assert found["psnr"].reason == "noise has no hook reconstruct"
    with pytest.raises(UserError, match="psnr: noise has no hook reconstruct"):
        measured("noise", tmp_path / "runs", metrics=("psnr",))


def test_a_checkpoint_without_an_encoder_is_skipped_with_the_reason(tmp_path):
    found = measured(written(tmp_path, "return None"), tmp_path / "runs", metrics=("psnr", "fd"))
    assert (found["psnr"].status, found["fd_digits"].status) == ("skipped", "ok")
    assert (
        found["psnr"].reason
        == "coder has no encoder with this checkpoint: its reconstruct returned None"
    )


def test_a_statistics_file_has_no_images_to_reconstruct(tmp_path):
    assert (
        main(
            [
                "reference",
                "digits",
                "--to",
                str(tmp_path / "stats.npz"),
                "--split",
                "heldout",
                "--extractor",
                "digits",
            ]
        )
        == 0
    )
    with pytest.raises(
        UserError,
        match=(
            r"psnr: reconstructs the reference's images, and the statistics file "
            r"stats\.npz has none"
        ),
    ):
        measured("vae", tmp_path / "runs", metrics=("psnr",), reference=tmp_path / "stats.npz")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return images[:-1]", r"reconstruct\(50\) returned 49 images"),
        ("return images[..., :16]", "reconstruct returned images of 32x16, given 32x32"),
        ("return images / 255", "reconstruct returned float32 images without a range"),
        ("raise ValueError('no')", "reconstruct raised ValueError: no"),
    ],
)
def test_a_wrong_answer_is_one_line(tmp_path, body, said):
    with pytest.raises(PluginFailed, match=said):
        measured(written(tmp_path, body), tmp_path / "runs")


def test_labels_are_those_of_the_images(tmp_path, digits):
    """A coder that paints the label: each image is told its own."""
    generator = construct(
        locate(
            written(
                tmp_path,
                "return images * 0 + labels[:, None, None, None].to(torch.uint8)",
                "images, labels",
            )
        ),
        {},
        None,
        "cpu",
        None,
    )
    images, labels = digits[0][:70], digits[1][:70]
    assert (
        reconstruct(generator, images, labels, 50, "round")[:, 0, 0, 0].tolist() == labels.tolist()
    )


@pytest.mark.parametrize("size", [1, 400, 999, 1000, 2500])
def test_parts_are_the_split_again(size):
    """Whatever batches a data set opens in: parts of a thousand, in order, none lost."""
    images = torch.arange(2600)[:, None]
    parts = list(_parts(zip(images.split(size), (images + 5).split(size), strict=True)))
    assert [(at, len(part)) for at, part, _ in parts] == [(0, 1000), (1000, 1000), (2000, 600)]
    assert torch.equal(torch.cat([part for _, part, _ in parts]), images)
    assert torch.equal(torch.cat([labels for *_, labels in parts]), images + 5)


def test_the_vae_reconstructs_digits(tmp_path, capsys):
    """Trained on digits, its reconstructions come near: closer than its samples by far,
    and far from perfect; the names of the command line.
    """
    words = [
        "--metrics",
        "rfd_digits,psnr,ssim,fd",
        "--n",
        "870",
        "--out",
        str(tmp_path / "runs"),
        "--leaderboards",
        str(tmp_path / "boards"),
        "--json",
    ]
    assert main(["run", "--plugin", "vae", "--dataset", "digits", *words]) == 0
    found = {one["metric"]: one for one in json.loads(capsys.readouterr().out)["scores"]}
    assert 18 < found["psnr"]["value"] < 30
    assert 0.8 < found["ssim"]["value"] < 0.99
    assert 0 < found["rfd_digits"]["high"] < found["fd_digits"]["low"]
    assert "psnr" in (tmp_path / "boards" / "digits" / "README.md").read_text()


def test_pytorchs_example_has_no_encoder(tmp_path):
    """Its file is read for the decoder alone, and the hook says so."""
    state = {
        "fc3.weight": torch.zeros(8, 4),
        "fc3.bias": torch.zeros(8),
        "fc4.weight": torch.zeros(784, 8),
        "fc4.bias": torch.zeros(784),
    }
    torch.save(state, tmp_path / "vae.pth")
    generator = construct(locate("vae"), {}, tmp_path / "vae.pth", "cpu", None)
    assert (
        reconstruct(
            generator,
            torch.zeros(2, 3, 28, 28, dtype=torch.uint8),
            torch.zeros(2, dtype=torch.int64),
            50,
            "round",
        )
        is None
    )
