"""`inception-…`: the Inception of FID (2015-12-05), one row for each way in which published codes
bring images to its 299 pixels.

The network is torch-fidelity's, a patched torchvision Inception v3: average pools do not count the
padding, the last block has a max pool, 1008 classes. Here it is a table and an interpreter: batch
norm is folded into the convolutions, channels lie last, and a 1x1 convolution comes before its
average pool.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genbench._util.errors import UserError
from genbench._util.lazy_imports import F, torch
from genbench.api.extractor import PRECISIONS, Extractor
from genbench.features.extractors._inception_files import FORMS, WEIGHTS
from genbench.features.numeric_precision import (
    compiled,
    dtype_of,
    says_slow,
    with_tf32,
    worth_compiling,
)
from genbench.features.resize import RESIZES, resize
from genbench.io.checkpoints import load_tensors

if TYPE_CHECKING:
    from torch import Tensor

    Layer = Callable[[Tensor, bool], Tensor]  # (images, with its ReLU)

SIZE = 299
EPSILON = 1e-3  # of every batch norm
# images that go through the network at once on a processor: their maps stay in its cache, and
# memory is not asked for anew
CHUNK = 8
# The architecture: a branch per line, "its name = NVIDIA's, kernel, channels out". A kernel with
# "/2" has stride 2, others keep the size of the map but those with "!", which are not padded. "|"
# parts two that see the same input and are both outputs. "mean" and "max" are 3x3 pools of stride 1
# before the convolution, "pool" alone is the 3x3 max pool of stride 2.
STEM = """
Conv2d_1a_3x3=conv 3x3/2 32, Conv2d_2a_3x3=conv_1 3x3! 32, Conv2d_2b_3x3=conv_2 3x3 64, pool
Conv2d_3b_1x1=conv_3 1x1 80, Conv2d_4a_3x3=conv_4 3x3! 192, pool
"""
A = """
branch1x1=conv 1x1 64
branch5x5_1=tower.conv 1x1 48, branch5x5_2=tower.conv_1 5x5 64
branch3x3dbl_1=tower_1.conv 1x1 64, branch3x3dbl_2=tower_1.conv_1 3x3 96, \
branch3x3dbl_3=tower_1.conv_2 3x3 96
branch_pool=tower_2.conv 1x1 {c} mean
"""
B = """
branch3x3=conv 3x3/2 384
branch3x3dbl_1=tower.conv 1x1 64, branch3x3dbl_2=tower.conv_1 3x3 96, \
branch3x3dbl_3=tower.conv_2 3x3/2 96
pool
"""
C = """
branch1x1=conv 1x1 192
branch7x7_1=tower.conv 1x1 {c}, branch7x7_2=tower.conv_1 1x7 {c}, branch7x7_3=tower.conv_2 7x1 192
branch7x7dbl_1=tower_1.conv 1x1 {c}, branch7x7dbl_2=tower_1.conv_1 7x1 {c}, \
branch7x7dbl_3=tower_1.conv_2 1x7 {c}, \
branch7x7dbl_4=tower_1.conv_3 7x1 {c}, branch7x7dbl_5=tower_1.conv_4 1x7 192
branch_pool=tower_2.conv 1x1 192 mean
"""
D = """
branch3x3_1=tower.conv 1x1 192, branch3x3_2=tower.conv_1 3x3/2 320
branch7x7x3_1=tower_1.conv 1x1 192, branch7x7x3_2=tower_1.conv_1 1x7 192, \
branch7x7x3_3=tower_1.conv_2 7x1 192, branch7x7x3_4=tower_1.conv_3 3x3/2 192
pool
"""
E = """
branch1x1=conv 1x1 320
branch3x3_1=tower_conv 1x1 384, branch3x3_2a=tower_mixed_conv 1x3 384 | \
branch3x3_2b=tower_mixed_conv_1 3x1 384
branch3x3dbl_1=tower_1_conv 1x1 448, branch3x3dbl_2=tower_1_conv_1 3x3 384, \
branch3x3dbl_3a=tower_1_mixed_conv 1x3 384 | branch3x3dbl_3b=tower_1_mixed_conv_1 3x1 384
branch_pool=tower_2_conv 1x1 192 {c}
"""
# What each block is made of, and what stands for {c}. NVIDIA calls them mixed, mixed_1 .. mixed_10.
BLOCKS: dict[str, tuple[str, int | str]] = {
    "5b": (A, 32),
    "5c": (A, 64),
    "5d": (A, 64),
    "6a": (B, 0),
    "6b": (C, 128),
    "6c": (C, 160),
    "6d": (C, 160),
}
BLOCKS |= {"6e": (C, 192), "7a": (D, 0), "7b": (E, "mean"), "7c": (E, "max")}


class Conv(NamedTuple):
    """A convolution with its batch norm and ReLU: names in state dicts and in NVIDIA's file, shape,
    and the pool before it.
    """

    name: str
    nvidia: str
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    into: int
    width: int
    pool: str


Step = tuple[Conv, ...]  # (): the 3x3 max pool of stride 2; two: side by side
Branch = tuple[Step, ...]


def _branches(lines: list[str], name: str, nvidia: str, channels: int) -> Iterator[Branch]:
    """The branches that lines describe; all begin with the same channels."""
    for line in lines:
        steps: list[Step] = []
        into = channels
        for words in line.split(", "):
            steps.append(
                ()
                if words == "pool"
                else tuple(_conv(one, name, nvidia, into) for one in words.split(" | "))
            )
            into = steps[-1][-1].width if steps[-1] else into
        yield tuple(steps)


def _conv(words: str, name: str, nvidia: str, into: int) -> Conv:
    names, kernel, width, *pool = words.split()
    own, theirs = names.split("=")
    height, across = (int(side) for side in kernel.rstrip("!").removesuffix("/2").split("x"))
    stride = 2 if kernel.endswith("/2") else 1
    padding = (height // 2, across // 2) if kernel[-1].isdigit() and stride == 1 else (0, 0)
    return Conv(
        name + own,
        f"layers.{nvidia}{theirs}",
        (height, across),
        stride,
        padding,
        into,
        int(width),
        "".join(pool),
    )


@functools.cache
def architecture() -> dict[str, tuple[Branch, ...]]:
    """The stem, a single branch, and the eleven blocks in order, each with its branches,
    whose outputs are concatenated.
    """
    blocks = {"": tuple(_branches([", ".join(STEM.split("\n")[1:-1])], "", "", 3))}
    channels = 192
    for i, (name, (kind, c)) in enumerate(BLOCKS.items()):
        blocks[name] = tuple(
            _branches(
                kind.format(c=c).split("\n")[1:-1],
                f"Mixed_{name}.",
                f"mixed{f'_{i}' if i else ''}.",
                channels,
            )
        )
        channels = sum(
            sum(conv.width for conv in branch[-1]) or channels for branch in blocks[name]
        )
    return blocks


def convolutions() -> list[Conv]:
    """All 94."""
    return [
        conv
        for branches in architecture().values()
        for branch in branches
        for step in branch
        for conv in step
    ]


# The weights

# Tensor names behind a convolution's name, by form: kernel, mean, variance, shift, scale ("":
# NVIDIA's has none, it is 1). Then weight and bias of the head.
_PARTS = {
    FORMS[0]: (
        ("conv.weight", "bn.running_mean", "bn.running_var", "bn.bias", "bn.weight"),
        ("fc.weight", "fc.bias"),
    ),
    FORMS[1]: (("weight", "mean", "var", "beta", ""), ("output.weight", "output.bias")),
}


def form_of(state: Mapping[str, Tensor]) -> str:
    """Which published form tensors have, one of FORMS, or "" for none.

    torch-fidelity's and pytorch-fid's files have one hash and the same keys.
    """
    return next((form for form, (_, head) in _PARTS.items() if set(head) <= set(state)), "")


def folded(state: Mapping[str, Tensor], path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Tensors of any published form -> {name: (weight float32, bias float32)} of the 94
    convolutions and of "fc", batch norm folded in in float64.

    UserError that names the file when a tensor is missing or of another shape.
    """
    form = form_of(state)
    if not form:
        raise UserError(
            f"{path} is not the Inception of FID (2015-12-05): it has neither fc.weight nor "
            "output.weight; `genbench weights inception` names it"
        )
    parts, head = _PARTS[form]

    def tensor(name: str, *shape: int) -> Tensor:
        found = state.get(name)
        if found is None or tuple(found.shape) != shape:
            came = "is missing" if found is None else f"has shape {tuple(found.shape)}"
            raise UserError(
                f"{path} is not the Inception of FID (2015-12-05): {name} {came}, wanted {shape}; "
                "`genbench weights inception` names the files"
            )
        return found.to(torch.float64)

    ready = {"fc": (tensor(head[0], 1008, 2048), tensor(head[1], 1008))}
    for conv in convolutions():
        where = conv.nvidia if form == FORMS[1] else conv.name
        weight = tensor(f"{where}.{parts[0]}", conv.width, conv.into, *conv.kernel)
        mean, variance, shift = (tensor(f"{where}.{part}", conv.width) for part in parts[1:4])
        scale = (tensor(f"{where}.{parts[4]}", conv.width) if parts[4] else 1) / (
            variance + EPSILON
        ).sqrt()
        ready[conv.name] = weight * scale.view(-1, 1, 1, 1), shift - mean * scale
    return {
        name: (weight.to(torch.float32), bias.to(torch.float32))
        for name, (weight, bias) in ready.items()
    }


# The network


def _layer(conv: Conv, weight: Tensor, bias: Tensor, fused: bool) -> Layer:
    """A convolution with its ReLU on the weights' device and in their precision."""
    stride = (conv.stride, conv.stride)

    def plain(x: Tensor, relu: bool) -> Tensor:
        return (
            F.conv2d(x, weight, bias, stride, conv.padding).relu_()
            if relu
            else F.conv2d(x, weight, bias, stride, conv.padding)
        )

    @functools.cache
    # oneDNN would turn the weights into its own layout at every call
    def packed(*shape: int) -> Tensor:
        return torch.ops.mkldnn._reorder_convolution_weight(
            weight, conv.padding, stride, (1, 1), 1, shape
        )

    def at_once(x: Tensor, relu: bool) -> Tensor:
        ready = packed(CHUNK, *x.shape[1:])
        return torch.ops.mkldnn._convolution_pointwise(
            x, ready, bias, conv.padding, stride, (1, 1), 1, "relu" if relu else "none", [], ""
        )

    return at_once if fused else plain


def _has_fused(dtype: torch.dtype) -> bool:
    """Whether this build of torch has oneDNN's convolution with a ReLU in it,
    which is not in torch's public interface: it is tried, not trusted.
    """
    x, weight = (
        torch.linspace(-1, 1, 200).to(dtype).view(1, 8, 5, 5),
        torch.linspace(-1, 1, 576).to(dtype).view(8, 8, 3, 3),
    )
    try:
        found, wanted = (
            _layer(Conv("", "", (3, 3), 1, (1, 1), 8, 8, ""), weight, x.flatten()[:8], fused)(
                x, True
            )
            for fused in (True, False)
        )
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(found, wanted, rtol=0.02, atol=0.02)


def network(
    weights: Mapping[str, tuple[Tensor, Tensor]], device: Any, precision: str = "float32"
) -> Callable[[Tensor], dict[str, Tensor]]:
    """The network: images float32 [n, 3, 299, 299] in about -1 to 1 on the device -> the row's
    outputs, float32.

    weights: as `folded` gives them. precision: of the convolutions, one of PRECISIONS (tf32: the
    caller lets the device round);
    means and logits are float32 in each.
    """
    dtype, blocks = dtype_of(precision), architecture()
    fused = torch.device(device).type == "cpu" and _has_fused(dtype)
    layers = {}
    for conv in convolutions():
        weight, bias = (one.to(device, dtype) for one in weights[conv.name])
        layers[conv.name] = _layer(
            conv, weight.contiguous(memory_format=torch.channels_last), bias, fused
        )
    head, shift = (one.to(device) for one in weights["fc"])

    def forward(images: Tensor) -> dict[str, Tensor]:
        x = images.to(dtype).contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        for block, branches in blocks.items():
            ends = [end for branch in branches for end in _branch(x, branch, layers, found)]
            x = torch.cat(ends, 1) if len(ends) > 1 else ends[0]
            # its 1x1 branch comes first; rows, columns, channels in this order, as the
            # graph has them
            if block == "6d":
                found["spatial"] = x[:, :7].permute(0, 2, 3, 1).flatten(1).to(torch.float32)
            elif block == "6e":
                found["pool768"] = x.mean((2, 3), dtype=torch.float32)
        pool = x.mean((2, 3), dtype=torch.float32)
        unbiased = pool @ head.T
        return {"pool": pool, "logits_unbiased": unbiased, "logits": unbiased + shift, **found}

    return forward


def _branch(
    x: Tensor, branch: Branch, layers: Mapping[str, Layer], found: dict[str, Tensor]
) -> list[Tensor]:
    """The outputs of one branch; the stem's means, after its two pools, are noted."""
    ends = [x]
    for step in branch:
        ends = [_apply(ends[0], conv, layers[conv.name]) for conv in step] or [
            F.max_pool2d(ends[0], 3, 2)
        ]
        if not step and len(branch) > 1:
            found[f"pool{ends[0].shape[1]}"] = ends[0].mean((2, 3), dtype=torch.float32)
    return ends


def _apply(x: Tensor, conv: Conv, layer: Layer) -> Tensor:
    # the weights of a mean sum to 1, so a 1x1 convolution may come first: fewer channels
    # are averaged
    if conv.pool == "mean":
        return F.avg_pool2d(layer(x, False), 3, 1, 1, count_include_pad=False).relu_()
    return layer(F.max_pool2d(x, 3, 1, 1) if conv.pool else x, True)


# The rows

# 0 .. 255 to about -1 .. 1: less this, over this; they part by 0.008 at white
RANGES = {"(x - 128) / 128": 128.0, "2x / 255 - 1": 127.5}


@functools.lru_cache(maxsize=1)
def _shared(
    weights: Path, changed: int, device: str, precision: str, many: bool
) -> Callable[[Tensor], dict[str, Tensor]]:
    """The network of a file as it was at a time, compiled for many images:
    the rows differ in what they feed it, so they share one.
    """
    says_slow(precision, device)
    found = network(folded(load_tensors(weights), weights), device, precision)
    found = compiled(found, "inception") if many else found
    return with_tf32(found) if precision == "tf32" else found


def extractor(
    weights: Path, device: Any, rule: str, span: str, precision: str = "float32", images: int = 0
) -> Callable[[Tensor], dict[str, Tensor]]:
    """images uint8 or float32 [n, 3, h, w] in 0 .. 255 on the device -> the row's outputs, float32:
    resized by a rule of RESIZES, brought to a range.

    precision: one of PRECISIONS. images: how many there will be.
    """
    changed = weights.stat().st_mtime_ns if weights.exists() else 0
    net, middle = (
        _shared(weights, changed, str(device), precision, worth_compiling(str(device), images)),
        RANGES[span],
    )

    def extract(images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            chunks = images.split(CHUNK if images.device.type == "cpu" else max(len(images), 1))
            found = [net(resize(chunk, SIZE, rule).sub_(middle).div_(middle)) for chunk in chunks]
            return {name: torch.cat([one[name] for one in found]) for name in found[0]}

    return extract


def _row(name: str, rule: str, span: str, whose: str) -> Extractor:
    def load(
        device: Any, weights: Path, *, precision: str = "float32", images: int = 0
    ) -> Callable[[Tensor], dict[str, Tensor]]:
        return extractor(weights, device, rule, span, precision, images)

    return Extractor(
        name=f"inception-{name}",
        title=f"the Inception of FID (2015-12-05), as {whose}",
        outputs={
            "pool": 2048,
            "logits_unbiased": 1008,
            "logits": 1008,
            "spatial": 2023,
            "pool64": 64,
            "pool192": 192,
            "pool768": 768,
        },
        size=SIZE,
        resize=f"{RESIZES[rule].title}; to {SIZE}x{SIZE}, then {span}",
        weights=WEIGHTS,
        trained_on="ImageNet-1k (ILSVRC 2012), its training images",
        load=load,
        precisions=PRECISIONS,
        side_by_side=True,
    )


TF1 = _row("tf1", "tf1", "(x - 128) / 128", "TTUR, the ADM suite and torch-fidelity take it")
NVIDIA = _row(
    "nvidia",
    "nvidia",
    "(x - 128) / 128",
    "StyleGAN2-ADA, StyleGAN3, EDM and clean-fid's legacy_tensorflow take it",
)
TORCH = _row(
    "torch",
    "torch",
    "2x / 255 - 1",
    "pytorch-fid, clean-fid's legacy_pytorch, dgm-eval and StudioGAN's legacy take it",
)
TORCH_AA = _row("torch-aa", "torch-aa", "(x - 128) / 128", "torchmetrics takes it since 1.8")
CLEAN = _row("clean", "pil", "(x - 128) / 128", "clean-fid takes it")
CLEAN_UNCLIPPED = _row(
    "clean-unclipped", "pil-unclipped", "2x / 255 - 1", "StudioGAN's clean takes it"
)
