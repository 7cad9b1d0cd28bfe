"""Protocols of the evaluation codes: TTUR, pytorch-fid, torch-fidelity, clean-fid, the ADM suite,
dgm-eval, torchmetrics and CMMD, a row each.

A row says what its code computes when it is run as its authors run it; what that code leaves to its
user (the labels of a folder of images) is the custom of its papers, and the note says so. Where a
source of chance is unseeded there, ours has seed 0 and is one draw of it.
"""

from __future__ import annotations

from genbench.api.metric import Measure, Pairs
from genbench.api.protocol import Protocol, Published

_FOLDER = (
    "It reads image files: how many, of which labels and how they were quantised is its user's; "
    "here 50,000, of uniform random labels, rounded. "
)
_ONE_DRAW = "The original draws its subsets unseeded: ours is one draw of it."
_SCIPY = (
    "scipy.linalg.sqrtm there, eigenvalues here: equal at full rank, and exact where the original "
    "adds 1e-6 to singular covariances."
)

TTUR = Protocol(
    name="ttur",
    title=(
        "TTUR, the original FID: TensorFlow's Inception and bilinear resize, the last partial "
        "batch of 50 dropped"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure(
            "fd", "inception-tf1.pool", "train", {"divisor": 1}, name="fid", batch=50, note=_SCIPY
        ),
    ),
    published=(
        Published(
            "cifar10",
            "the 10,000 test images",
            "fid",
            3.1508,
            "pytorch-gan-metrics README, by the TensorFlow code",
        ),
        Published("cifar10", "DDPM", "fid", 3.17, "Ho et al. 2020, table 1"),
    ),
    paper="Heusel et al. 2017, arXiv:1706.08500",
    note=_FOLDER
    + (
        "Its files come in the order of glob, which is unsorted, so which are dropped is the "
        "file system's."
    ),
)

PYTORCH_FID = Protocol(
    name="pytorch-fid",
    title="pytorch-fid: bilinear resize of torch, pixels to 2x - 1",
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure("fd", "inception-torch.pool", "train", {"divisor": 1}, name="fid", note=_SCIPY),
    ),
    paper="Seitzer 2020, github.com/mseitzer/pytorch-fid",
    note=_FOLDER,
)

TORCH_FIDELITY = Protocol(
    name="torch-fidelity",
    title=(
        "torch-fidelity: FID, IS shuffled by seed 2020, KID by 100 seeded subsets of 1,000, "
        "precision and recall by VGG16, PPL"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure(
            "fd",
            "inception-tf1.pool",
            "train",
            {"divisor": 1},
            name="fid",
            note="its means are float32: 5e-8 of the value",
        ),
        Measure(
            "kd_subsets",
            "inception-tf1.pool",
            "train",
            {"subsets": 100, "size": 1000, "seed": 2020, "shrink": 0},
            name="kid",
            precision="float32",
        ),
        Measure(
            "is",
            "inception-tf1.logits_unbiased",
            constants={"splits": 10, "shuffle": 2020},
            name="is",
        ),
        Measure(
            "precision",
            "vgg16.fc2",
            "train",
            {"k": 3, "strict": 0},
            name="precision",
            precision="float32",
        ),
        Measure(
            "recall",
            "vgg16.fc2",
            "train",
            {"k": 3, "strict": 0},
            name="recall",
            precision="float32",
        ),
        Measure(
            "mind",
            "inception-tf1.pool",
            "train",
            {"projections": 1000, "seed": 2020},
            name="mind",
            precision="float32",
            note=(
                "0.5.0, unreleased; it draws as many of the larger set as the smaller has, "
                "here all count"
            ),
        ),
        Measure(
            "path_length",
            "lpips-vgg.phi",
            constants={"lower": 1, "upper": 99, "rule": "higher"},
            name="ppl",
            pairs=Pairs(
                space="z",
                path="lerp",
                where="end",
                epsilon=1e-4,
                size=64,
                reduce="resize",
                levels="uint8",
            ),
            note=(
                "uint8 images, its default, at epsilon 1e-4: mostly rounding (1147 where float "
                "images give 31, for one SNGAN)"
            ),
        ),
    ),
    published=(
        Published(
            "cifar10",
            "the 50,000 training images",
            "is",
            11.23678,
            "torch-fidelity README, ± 0.09514061 over its splits",
        ),
        Published(
            "cifar10",
            "SNGAN of torch-fidelity",
            "ppl",
            1146.89,
            "torch-fidelity documentation, uint8 at epsilon 1e-4",
        ),
    ),
    paper="Obukhov et al. 2020, doi:10.5281/zenodo.4957738",
    note=(
        "Precision and recall as since 0.4.0; before, they were exchanged. Its input is uint8: "
        "how it got there is its user's, here rounded."
    ),
)

CLEAN = Protocol(
    name="clean",
    title="clean-fid: antialiased bicubic resize of unquantised images",
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="none",
    measures=(
        Measure("fd", "inception-clean.pool", "train", {"divisor": 1}, name="fid", note=_SCIPY),
        Measure(
            "kd_subsets",
            "inception-clean.pool",
            "train",
            {"subsets": 100, "size": 1000, "seed": 0, "shrink": 1},
            name="kid",
            precision="float32",
            note=_ONE_DRAW + " Papers print 1,000 times the value.",
        ),
        Measure(
            "fd", "clip-vit-b-32.embedding", "train", {"divisor": 1}, name="fid_clip", note=_SCIPY
        ),
    ),
    published=(
        Published("ffhq-1024", "StyleGAN2 config F", "fid", 3.06, "clean-fid README, ± 0.02"),
        Published("lsun-church-256", "StyleGAN2", "fid", 4.08, "clean-fid README"),
        Published("lsun-horse-256", "StyleGAN2", "fid", 3.62, "clean-fid README"),
        Published("lsun-cat-256", "StyleGAN2", "fid", 7.47, "clean-fid README"),
        Published("brecahad-512", "StyleGAN2-ADA", "fid", 15.63, "clean-fid README"),
        Published("metfaces-1024", "StyleGAN2-ADA", "fid", 19.60, "clean-fid README"),
        Published(
            "brecahad-512", "StyleGAN2-ADA", "kid", 0.00308, "clean-fid README, 3.08 thousandths"
        ),
        Published(
            "metfaces-1024", "StyleGAN2-ADA", "kid", 0.00286, "clean-fid README, 2.86 thousandths"
        ),
    ),
    paper="Parmar, Zhang & Zhu 2022, arXiv:2104.11222",
    note=(
        "As with a generator, whose images it does not quantise; a plugin that returns uint8 is "
        "judged as its README's folders are."
    ),
)

_ADM_256 = ("imagenet-256", "ADM-G, ADM-U")
_ADM_ROW = (
    "guided-diffusion README, VIRTUAL_imagenet256_labeled.npz against "
    "admnet_guided_upsampled_imagenet256.npz"
)

ADM = Protocol(
    name="adm",
    title=(
        "ADM suite (guided-diffusion): FID, sFID, IS in blocks of 5,000, precision and recall "
        "against 10,000 images by Inception"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="truncate",
    measures=(
        Measure("fd", "inception-tf1.pool", "train", {"divisor": 1}, name="fid", note=_SCIPY),
        Measure("fd", "inception-tf1.spatial", "train", {"divisor": 1}, name="sfid", note=_SCIPY),
        Measure(
            "is",
            "inception-tf1.logits_unbiased",
            constants={"block": 5000, "shuffle": -1},
            name="is",
        ),
        *(
            Measure(
                metric,
                "inception-tf1.pool",
                "train",
                {"k": 3, "strict": 0},
                name=metric,
                reference_n=10_000,
                precision="float16",
                note=(
                    "the original computes distances in float16, and a block of them in float32 if "
                    "one overflows: expect a difference of 1e-3"
                ),
            )
            for metric in ("precision", "recall")
        ),
    ),
    published=(
        Published(*_ADM_256, "fid", 3.9425574129223264, _ADM_ROW),
        Published(*_ADM_256, "sfid", 6.140433703346162, _ADM_ROW),
        Published(*_ADM_256, "is", 215.8370361328125, _ADM_ROW),
        Published(*_ADM_256, "precision", 0.8265, _ADM_ROW),
        Published(*_ADM_256, "recall", 0.5309, _ADM_ROW),
        Published(
            "imagenet-64",
            "ADM without dropout (admnet_imagenet64.npz)",
            "fid",
            2.6141597041162186,
            "guided-diffusion#75",
        ),
        Published("imagenet-64", "ADM with dropout", "fid", 2.07, "guided-diffusion README"),
        Published("imagenet-128", "ADM-G", "fid", 2.97, "guided-diffusion README"),
        Published("imagenet-256", "ADM-G", "fid", 4.59, "guided-diffusion README"),
        Published("imagenet-512", "ADM-G", "fid", 7.72, "guided-diffusion README"),
        Published("lsun-bedroom-256", "ADM with dropout", "fid", 1.90, "guided-diffusion README"),
        Published("lsun-cat-256", "ADM with dropout", "fid", 5.57, "guided-diffusion README"),
        Published("lsun-horse-256", "ADM with dropout", "fid", 2.57, "guided-diffusion README"),
        Published("imagenet-256", "DiT-XL/2, guided", "fid", 2.27, "DiT README"),
        Published("imagenet-256", "DiT-XL/2, guided", "is", 278.24, "DiT README"),
    ),
    paper="Dhariwal & Nichol 2021, arXiv:2105.05233",
    note=(
        "Its reference files hold moments of the whole training set and 10,000 images of it, "
        "which ones is not said; here the first, the classes in turn."
    ),
)

_DINO = "dinov2-vit-l-14.cls"
_PRDC = {"k": 5, "strict": 1}

DGM_DINOV2 = Protocol(
    name="dgm-dinov2",
    title=(
        "dgm-eval: DINOv2 ViT-L/14 after PIL's bicubic resize; Fréchet, its limit, kernel, "
        "neighbours, memorisation"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure("fd", _DINO, "train", {"divisor": 1}, name="fd_dinov2", note=_SCIPY),
        Measure(
            "fd_infinity",
            _DINO,
            "train",
            {"points": 15, "seed": 0},
            name="fd_infinity_dinov2",
            note=_ONE_DRAW,
        ),
        Measure(
            "kd_subsets",
            _DINO,
            "train",
            {"subsets": 100, "size": 1000, "seed": 0, "shrink": 1},
            name="kd_dinov2",
            note=_ONE_DRAW,
        ),
        *(
            Measure(
                metric,
                _DINO,
                "train",
                _PRDC,
                name=f"{metric}_dinov2",
                samples_n=10_000,
                reference_n=10_000,
                note="10,000 at random of each side there",
            )
            for metric in ("precision", "recall", "density", "coverage")
        ),
        Measure("authpct", _DINO, name="authpct_dinov2"),
        Measure("ct", _DINO, "heldout", name="ct_dinov2"),
        Measure("fls", _DINO, "heldout", name="fls_dinov2"),
        Measure("fls_overfit", _DINO, "heldout", name="fls_overfit_dinov2"),
    ),
    paper="Stein et al. 2023, arXiv:2306.04675",
    note=_FOLDER
    + "DINOv2 comes from the unpinned main branch of a hub there, from a file of known hash here.",
)

TORCHMETRICS = Protocol(
    name="torchmetrics",
    title="torchmetrics 1.8 and later: antialiased bilinear resize of torch, normalize=True",
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="truncate",
    measures=(
        Measure(
            "fd",
            "inception-torch-aa.pool",
            "train",
            {"divisor": 1},
            name="fid",
            note="the result is cast to float32 there",
        ),
        Measure(
            "kd_subsets",
            "inception-torch-aa.pool",
            "train",
            {"subsets": 100, "size": 1000, "seed": 0, "shrink": 0},
            name="kid",
            precision="float32",
            note=_ONE_DRAW,
        ),
        Measure(
            "is",
            "inception-torch-aa.logits_unbiased",
            constants={"splits": 10, "shuffle": 0, "chunk": 1},
            name="is",
            note=(
                "shuffled unseeded there: ours is one draw of it; split by torch.chunk, "
                "which gives fewer splits of few images"
            ),
        ),
        Measure(
            "mifd",
            "inception-torch-aa.pool",
            "train",
            {"eps": 0.1, "over": "reference"},
            name="mifid",
        ),
        Measure(
            "path_length",
            "lpips-vgg.phi",
            constants={"lower": 1, "upper": 99, "rule": "lower"},
            name="ppl",
            pairs=Pairs(
                space="z",
                path="lerp",
                where="end",
                epsilon=1e-4,
                size=64,
                reduce="resize",
                levels="float",
            ),
            samples_n=10_000,
        ),
    ),
    paper="Detlefsen et al. 2022, doi:10.21105/joss.04101",
    note=(
        "It takes what its user gives: 50,000, of uniform random labels. Float images in 0 to 1 "
        "become (255 x) cut to bytes."
    ),
)

CMMD = Protocol(
    name="cmmd",
    title="CMMD: CLIP ViT-L/14@336, Gaussian kernel of width 10, the biased estimate times 1,000",
    dataset="any",
    n=30_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure(
            "mmd",
            "clip-vit-l-14-336.embedding",
            "train",
            {"sigma": 10.0},
            name="cmmd",
            batch=32,
            note=(
                "float32 there; Google's code drops the last partial batch of either side, "
                "the torch port keeps it"
            ),
        ),
    ),
    paper="Jayasumana et al. 2024, arXiv:2401.09603",
    note=(
        "The original reads every file of a folder; 30,000 is the paper's number. "
        "Its JAX resize antialiases, the torch port's does not: equal where PIL has brought the "
        "image to 336 before, as both do."
    ),
)
