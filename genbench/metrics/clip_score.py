"""`clipscore_hessel`, `clip_sim`: how near images lie to their prompts by CLIP.

The two scales, and the captions behind them, are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np
from genbench.api.metric import Measure, Metric
from genbench.api.metric_inputs import Arrays, Side
from genbench.statistics import blocks as statistics_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import ndarray

    Array = ndarray[Any, Any]

HESSEL, PERCENT = 2.5, 100.0


def clipscore_hessel(arrays: Arrays) -> float:
    """The mean of 2.5 max(cos, 0), 0 to 2.5.

    prompts float64 [n, 1]: the cosine of each image and its caption.

    Hessel et al. (2021), section 3, eq. 1: of CLIP ViT-B/32, the caption after "A photo depicts ",
    cut to 77 pieces. Their code runs in float16 on a GPU.
    """
    return float(_scaled(arrays, HESSEL).mean())


def clip_sim(arrays: Arrays) -> float:
    """The mean of 100 max(cos, 0), 0 to 100, of the caption as it is. prompts float64 [n, 1].

    What torchmetrics calls CLIPScore, there of ViT-L/14 unless told otherwise; it takes the maximum
    with 0 of the mean, here of each pair.
    """
    return float(_scaled(arrays, PERCENT).mean())


def _scaled(arrays: Arrays, weight: float) -> Array:
    return weight * np.maximum(arrays["prompts"][:, 0], 0.0)


def _left_out(weight: float) -> Callable[[Arrays, Array, Side], Array]:
    def left_out(arrays: Arrays, blocks: Array, side: Side) -> Array:
        """The mean without each block, float64 [B]."""
        assert side == "samples", "there is no reference"
        return statistics_blocks.means_without(_scaled(arrays, weight), blocks)

    return left_out


CLIPSCORE_HESSEL = Metric(
    name="clipscore_hessel",
    title="CLIPScore: 2.5 times the cosine of image and caption",
    needs=("prompts",),
    better="higher",
    range=(0.0, HESSEL),
    interval="mean",
    value=clipscore_hessel,
    left_out=_left_out(HESSEL),
    paper="Hessel et al. 2021, arXiv:2104.08718",
    properties=frozenset({"order_invariant", "unbiased"}),
)
CLIP_SIM = Metric(
    name="clip_sim",
    title="100 times the cosine of image and prompt",
    needs=("prompts",),
    better="higher",
    range=(0.0, PERCENT),
    interval="mean",
    value=clip_sim,
    left_out=_left_out(PERCENT),
    paper="torchmetrics' CLIPScore",
    properties=frozenset({"order_invariant", "unbiased"}),
)

HESSELS = Measure(
    "clipscore_hessel",
    "clip-text-b-32.cosine_depicts",
    name="clipscore_hessel",
    title='CLIPScore of ViT-B/32, after "A photo depicts "',
)
SIM_B_32 = Measure(
    "clip_sim", "clip-text-b-32.cosine", name="clip_sim", title="100 times the cosine, ViT-B/32"
)
SIM_L_14 = Measure(
    "clip_sim",
    "clip-text-l-14-336.cosine",
    name="clip_sim_l14_336",
    title="100 times the cosine, ViT-L/14 at 336 pixels",
)
