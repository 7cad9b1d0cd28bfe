"""`path_length`: how far an image moves when its latent moves by a small step (PPL)."""

from __future__ import annotations

from genbench._util.lazy_imports import np
from genbench.api.metric import PERCENT, Measure, Metric, Pairs
from genbench.api.metric_inputs import Arrays


def path_length(
    arrays: Arrays, *, lower: float = 1, upper: float = 99, rule: str = "higher"
) -> float:
    """The mean perceptual path length without the smallest and the largest, 0 or more.

    pairs float64 [n]: squared distances over epsilon^2.

    Karras et al. (2019), section 4.1. rule "higher": those from the 1st percentile, a value of the
    sample rounded downwards, to the 99th, rounded upwards, both included (NVIDIA, torch-fidelity);
    "lower": both rounded downwards (torchmetrics); "none": all. Trimmed again for every leave-out,
    as the tail decides. What moves it most is what the pairs are: z or w, one end or the full path,
    crop, size, and **8 bits**: at epsilon 1e-4 uint8 images differ by whole grey levels or not at
    all, and a toy generator's 0.57 in float became 44.4 (78 times); 7.9 times at 1e-3, 1.2 times at
    1e-2. torch-fidelity's default is uint8: its documentation has 1147 for a model whose float
    images give 31.
    """
    pairs = arrays["pairs"]
    if rule == "none":
        return float(pairs.mean())
    if rule not in ("higher", "lower"):
        raise ValueError(f"rule is {rule!r}, allowed are higher, lower and none")
    ordered, last = np.sort(pairs), len(pairs) - 1
    low = ordered[int(np.floor(lower / 100 * last))]
    high = ordered[
        int(np.ceil(upper / 100 * last) if rule == "higher" else np.floor(upper / 100 * last))
    ]
    return float(ordered[(low <= ordered) & (ordered <= high)].mean())


PATH_LENGTH = Metric(
    name="path_length",
    title="trimmed mean perceptual path length",
    needs=("pairs",),
    better="lower",
    range=(0.0, float("inf")),
    interval="jackknife",
    value=path_length,
    paper="Karras et al. 2019, arXiv:1812.04948",
    properties=frozenset({"order_invariant"}),
    allowed={"lower": PERCENT, "upper": PERCENT, "rule": ("higher", "lower", "none")},
    # long tails: 0.92 covered at n = 32 (tests/bench/coverage.md)
    flags=lambda seen: ("interval too narrow",) if seen.n < 100 else (),
)

PPL = Measure(
    "path_length",
    "lpips-vgg.phi",
    name="ppl",
    title=(
        "perceptual path length in z, at one end, at 64 pixels (torch-fidelity's, of float images)"
    ),
    pairs=Pairs(
        space="z", path="lerp", where="end", epsilon=1e-4, size=64, reduce="resize", levels="float"
    ),
    note=(
        "torch-fidelity rounds images to 8 bits by default, which at this epsilon "
        "measures the rounding"
    ),
)
