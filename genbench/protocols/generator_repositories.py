"""Protocols that come with generators: StyleGAN2-ADA, EDM, EDM2, StudioGAN,
BigGAN-PyTorch and DiffAugment, a row each.

A row says what the generator's own code computes. Where a source of chance is unseeded there, ours
has seed 0 and is one draw of it.
"""

from __future__ import annotations

from genbench.api.metric import Constant, Measure, Pairs
from genbench.api.protocol import Protocol, Published

_ONE_DRAW = "The original draws its subsets unseeded: ours is one draw of it."
_TRIM: dict[str, Constant] = {"lower": 1, "upper": 99, "rule": "higher"}
_LEGACY = (
    "crops faces; StyleGAN3's code has it no more; a resolution over 256 is divided by "
    "resolution // 256 there, cropped or not"
)
_HALF = "features and radii are float16 there: expect a difference of 1e-3 from float32"

PPL_ZFULL = Measure(
    "path_length",
    "lpips-vgg.phi",
    "",
    _TRIM,
    "ppl_zfull",
    pairs=Pairs("z", "slerp_unit", "full", 1e-4, True, 256),
    note=_LEGACY,
)
PPL_WFULL = Measure(
    "path_length",
    "lpips-vgg.phi",
    "",
    _TRIM,
    "ppl_wfull",
    pairs=Pairs("w", "lerp", "full", 1e-4, True, 256),
    note=_LEGACY,
)
PPL_ZEND = Measure(
    "path_length",
    "lpips-vgg.phi",
    "",
    _TRIM,
    "ppl_zend",
    pairs=Pairs("z", "slerp_unit", "end", 1e-4, True, 256),
    note=_LEGACY,
)
PPL_WEND = Measure(
    "path_length",
    "lpips-vgg.phi",
    "",
    _TRIM,
    "ppl_wend",
    pairs=Pairs("w", "lerp", "end", 1e-4, True, 256),
    note=_LEGACY,
)

_NVIDIA = "inception-nvidia.pool"

STYLEGAN2_ADA = Protocol(
    name="stylegan2-ada",
    title=(
        "StyleGAN2-ADA and StyleGAN3: fid50k_full, kid50k_full, pr50k3_full, is50k, ppl2_wend; "
        "covariances divided by n"
    ),
    dataset="any",
    n=50_000,
    labels="training",
    quantise="round",
    measures=(
        Measure("fd", _NVIDIA, "train", {"divisor": 0}, name="fid", title="fid50k_full"),
        Measure(
            "fd",
            _NVIDIA,
            "train",
            {"divisor": 0},
            name="fid50k",
            title="legacy, of the StyleGAN2 paper: at most 50,000 of the reference",
            reference_n=50_000,
            mirrored=True,
            note=(
                "the mirror images come after all others, so they count only where the training "
                "set has fewer than 50,000 images"
            ),
        ),
        Measure(
            "kd_subsets",
            _NVIDIA,
            "train",
            {"subsets": 100, "size": 1000, "seed": 0, "shrink": 1},
            name="kid",
            title="kid50k_full",
            reference_n=1_000_000,
            precision="float32",
            note=_ONE_DRAW,
        ),
        *(
            Measure(
                metric,
                "vgg16.fc2",
                "train",
                {"k": 3, "strict": 0},
                metric,
                "pr50k3_full",
                200_000,
                precision="float16",
                note=_HALF,
            )
            for metric in ("precision", "recall")
        ),
        Measure(
            "is",
            "inception-nvidia.logits_unbiased",
            constants={"splits": 10, "shuffle": -1},
            name="is",
            title="is50k",
        ),
        Measure(
            "path_length",
            "lpips-vgg.phi",
            constants=_TRIM,
            name="ppl2_wend",
            pairs=Pairs(
                space="w",
                path="lerp",
                where="end",
                epsilon=1e-4,
                crop=False,
                size=256,
                reduce="box",
                levels="float",
            ),
        ),
    ),
    published=(
        Published(
            "cifar10",
            "StyleGAN2-ADA tuned, conditional",
            "fid",
            2.42,
            "stylegan2-ada README, best of the runs; mean of five 2.42 ± .04",
        ),
        Published(
            "cifar10",
            "StyleGAN2-ADA tuned",
            "fid",
            2.92,
            "Karras et al. 2020, arXiv:2006.06676, mean of five ± .05",
        ),
        Published(
            "cifar10",
            "StyleGAN2-ADA tuned, conditional",
            "is",
            10.14,
            "Karras et al. 2020, arXiv:2006.06676",
        ),
        Published(
            "cifar10", "StyleGAN2-ADA tuned", "is", 9.83, "Karras et al. 2020, arXiv:2006.06676"
        ),
        Published("ffhq-1024", "StyleGAN2 config F", "fid50k", 2.84, "StyleGAN2 README, ± .03"),
        Published("ffhq-1024", "StyleGAN2 config F", "is", 5.13, "StyleGAN2 README, ± .02"),
        Published("ffhq-1024", "StyleGAN2 config F", "ppl2_wend", 145.0, "StyleGAN2 README, ± .5"),
        Published("ffhq-1024", "StyleGAN2 config F", "precision", 0.689, "StyleGAN2 README"),
        Published("ffhq-1024", "StyleGAN2 config F", "recall", 0.492, "StyleGAN2 README"),
        Published("brecahad-512", "StyleGAN2-ADA", "fid", 15.71, "stylegan2-ada README"),
        Published("metfaces-1024", "StyleGAN2-ADA", "fid", 18.22, "stylegan2-ada README"),
        Published(
            "brecahad-512",
            "StyleGAN2-ADA",
            "kid",
            0.00288,
            "stylegan2-ada README, 2.88 thousandths",
        ),
        Published(
            "metfaces-1024",
            "StyleGAN2-ADA",
            "kid",
            0.00241,
            "stylegan2-ada README, 2.41 thousandths",
        ),
    ),
    paper="Karras et al. 2020, arXiv:2006.06676",
    note=(
        "Labels are those of random training images; seeds are not fixed there. ppl_zfull, "
        "ppl_wfull, ppl_zend and ppl_wend are numbers to ask for by name."
    ),
)

EDM = Protocol(
    name="edm",
    title="EDM: FID of 50,000 samples with a seed each, the lowest of three",
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(Measure("fd", _NVIDIA, "train", {"divisor": 1}, name="fid"),),
    repeats=3,
    reducer="min",
    published=(
        Published("cifar10", "EDM, conditional", "fid", 1.79, "EDM README, 18 steps"),
        Published("cifar10", "EDM", "fid", 1.97, "EDM README, 18 steps"),
        Published("ffhq-64", "EDM, VP", "fid", 2.39, "Karras et al. 2022, table 2"),
        Published("ffhq-64", "EDM, VE", "fid", 2.53, "Karras et al. 2022, table 2"),
        Published("afhqv2-64", "EDM, VP", "fid", 1.96, "Karras et al. 2022, table 2"),
        Published("afhqv2-64", "EDM, VE", "fid", 2.16, "Karras et al. 2022, table 2"),
        Published(
            "imagenet-64",
            "EDM, conditional",
            "fid",
            1.36,
            "EDM README, stochastic sampler, 256 steps",
        ),
    ),
    paper="Karras et al. 2022, arXiv:2206.00364",
    note=(
        "Seeds 0-49999, 50000-99999 and 100000-149999 there; the latents, then the label, "
        "come of each seed."
    ),
)

_512, _EDM2 = (
    "imagenet-512",
    "EDM2 preset file; the presets of FID and of FD differ in guidance and length of averaging",
)

EDM2 = Protocol(
    name="edm2",
    title=(
        "EDM2: FID and the Fréchet distance of DINOv2 after torch's antialiased bicubic resize, "
        "the lowest of three"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="truncate",
    measures=(
        Measure("fd", _NVIDIA, "train", {"divisor": 1}, name="fid"),
        Measure("fd", "dinov2-vit-l-14-edm2.cls", "train", {"divisor": 1}, name="fd_dinov2"),
    ),
    repeats=3,
    reducer="min",
    published=(
        *(
            Published(_512, f"EDM2-{size}", name, value, _EDM2)
            for size, fid, fd in (
                ("XS", 3.53, 103.39),
                ("S", 2.56, 68.64),
                ("M", 2.25, 58.44),
                ("L", 2.06, 52.25),
                ("XL", 1.96, 45.96),
                ("XXL", 1.91, 42.84),
            )
            for name, value in (("fid", fid), ("fd_dinov2", fd))
        ),
        *(
            Published("imagenet-64", f"EDM2-{size}", "fid", fid, _EDM2)
            for size, fid in (("S", 1.58), ("M", 1.43), ("L", 1.33), ("XL", 1.33))
        ),
        Published("imagenet-64", "EDM2-S, autoguidance", "fid", 1.01, _EDM2),
        Published("imagenet-64", "EDM2-S, autoguidance", "fd_dinov2", 31.85, _EDM2),
    ),
    paper="Karras et al. 2024, arXiv:2312.02696",
    note=(
        "Its latent models (ImageNet-512) truncate, as here; its pixel models (ImageNet-64) round. "
        "The number of repeats is its README's 'several'."
    ),
)

STUDIOGAN = Protocol(
    name="studiogan",
    title=(
        "StudioGAN: as many samples as the reference has images, IS of one split with "
        "the logits' bias"
    ),
    dataset="any",
    n=0,
    labels="iid",
    quantise="round",
    measures=(
        Measure("fd", "inception-torch.pool", "train", {"divisor": 1}, name="fid"),
        Measure("is", "inception-torch.logits", constants={"splits": 1, "shuffle": -1}, name="is"),
        *(
            Measure(metric, "inception-torch.pool", "train", {"k": 5, "strict": 1}, name=metric)
            for metric in ("precision", "recall", "density", "coverage")
        ),
    ),
    paper="Kang, Shin & Park 2023, arXiv:2206.09479",
    note=(
        "Its resizer `legacy`; `clean` and `friendly` are others. ImageNet takes 50,000 samples "
        "there. Its iFID is the unweighted mean of fid's classes."
    ),
)

BIGGAN_PYTORCH = Protocol(
    name="biggan-pytorch",
    title=(
        "BigGAN-PyTorch: torchvision's Inception, unquantised images; not comparable with any "
        "other FID or IS"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="none",
    measures=(
        Measure(
            "fd",
            "inception-tv.pool",
            "train",
            {"divisor": 1},
            name="fid",
            precision="float32",
            note=(
                "50 Newton-Schulz steps in float32 there, which may diverge and was seen 0.7 % "
                "off; the exact root here"
            ),
        ),
        Measure("is", "inception-tv.logits", constants={"splits": 10, "shuffle": -1}, name="is"),
    ),
    paper="Brock et al. 2019, arXiv:1809.11096",
    note=(
        "It takes every batch drawn, at least 50,000 samples, and does not trim them. "
        "The IS of its README (97.35) was taken by TensorFlow's code."
    ),
)

_DIFFAUGMENT, _CLEAN_FID = (
    "data-efficient-gans README",
    "clean-fid README, legacy, mean of ten ± .09",
)

DIFFAUGMENT_TEST10K = Protocol(
    name="diffaugment-test10k",
    title="DiffAugment on CIFAR: is10k and fid10k, 10,000 samples against the test set",
    dataset="any",
    n=10_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure("fd", "inception-tf1.pool", "heldout", {"divisor": 1}, name="fid", title="fid10k"),
        Measure(
            "is",
            "inception-tf1.logits_unbiased",
            constants={"splits": 10, "shuffle": -1},
            name="is",
            title="is10k",
        ),
    ),
    published=(
        *(
            Published("cifar10", model, name, value, _DIFFAUGMENT)
            for model, score, fid in (
                ("BigGAN", 9.06, 9.59),
                ("BigGAN + DiffAugment", 9.16, 8.70),
                ("CR-BigGAN", 9.20, 9.06),
                ("CR-BigGAN + DiffAugment", 9.17, 8.49),
            )
            for name, value in (("is", score), ("fid", fid))
        ),
        Published("cifar10", "StyleGAN2 + DiffAugment", "fid", 9.89, _CLEAN_FID),
        Published("cifar10", "StyleGAN2, mirrored", "fid", 11.07, _CLEAN_FID),
    ),
    paper="Zhao et al. 2020, arXiv:2006.10738",
    note="compare_gan's protocol is near: 10,000 unquantised samples against the test set.",
)
