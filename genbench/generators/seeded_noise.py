"""Seeds, counter-based noise, and labels by policy.

Everything here depends on a sample's own seed or place alone: never on the batch, the order of the
work or n, so that a longer run begins with a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.lazy_imports import np, torch

if TYPE_CHECKING:
    from numpy import ndarray

LARGEST_SEED = 4095
LARGEST_N = 2**20
LABEL_STREAM = -1  # label draws; generators count their streams from 0
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, SplitMix64's increment, as a signed integer
# 0xD1342543DE82EF95, an odd multiplier of good spectrum (Steele, Vigna 2021), for the counter
_COUNTING = -3372029247567499371
# 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MULTIPLIERS = (-4658895280553007687, -7723592293110705685)


def first_seed(seed: int) -> int:
    """The seed of sample 0 under `--seed S`: S * 2^20, so that `--seed 0` is seeds 0 .. n-1 as the
    papers' codes use them.
    """
    return seed * LARGEST_N


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right; torch's own is arithmetic and would drag the sign bit along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    """A Python integer as the signed 64-bit integer of the same low bits."""
    return (x + 2**63) % 2**64 - 2**63


def _mix(x: torch.Tensor) -> torch.Tensor:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
    generators"), a bijection of 64-bit integers.
    """
    x = (x ^ _shifted(x, 30)) * _MULTIPLIERS[0]
    x = (x ^ _shifted(x, 27)) * _MULTIPLIERS[1]
    return x ^ _shifted(x, 31)


def _integers(seeds: torch.Tensor, count: int, stream: int, device: Any) -> torch.Tensor:
    """int64 [n, count]: number j of (seed, stream) is mix(mix(mix(seed * g) + stream * g) ^
    mix(j * c)).

    The counter is mixed before it meets the key: were it added to it, two keys that lie a small
    multiple of g apart would give the same numbers shifted. It has a multiplier of its own: with g
    there too, number j of stream s would be number s of stream j for seed 0 (whose mix is 0), and
    number s zero.
    """
    seeds = torch.as_tensor(seeds, dtype=torch.int64, device=device)
    key = _mix(_mix(seeds * _GOLDEN) + _signed((stream + 2) * _GOLDEN))
    counter = _mix(torch.arange(1, count + 1, dtype=torch.int64, device=seeds.device) * _COUNTING)
    return _mix(key[:, None] ^ counter[None, :])


def uniform(
    seeds: torch.Tensor, shape: Sequence[int], stream: int = 0, device: Any = None
) -> torch.Tensor:
    """Uniform numbers, float32 [n, *shape] in [0, 1), in steps of 2^-24: those of row i depend on
    (seeds[i], stream) alone.

    Generator: counter-based SplitMix64 finaliser, see `_integers`; the top 24 bits of each integer.
    The same numbers on every device and in any batch. seeds int64 [n]; stream counts independent
    draws of one sample (one per step of a sampler), from 0.
    """
    bits = _integers(seeds, math.prod(shape), stream, device)
    return (_shifted(bits, 40).to(torch.float32) * 2.0**-24).reshape(-1, *shape)


def noise(
    seeds: torch.Tensor, shape: Sequence[int], stream: int = 0, device: Any = None
) -> torch.Tensor:
    """Standard normal numbers, float32 [n, *shape]: number j of row i depends on (seeds[i],
    stream, j) alone.

    Generator: counter-based SplitMix64 finaliser (see `_integers`), two integers to two normals by
    Box and Muller (1958) in float64, so that drawing alone or among many agrees to the bit after
    rounding; the integers are equal on every device, the normals up to the last bit of log and cos.
    Largest magnitude 8.6 (53 bits). seeds int64 [n]; stream counts independent draws of one sample
    (one per step of a sampler), from 0.
    """
    count = math.prod(shape)
    unit = (
        _shifted(_integers(seeds, count + count % 2, stream, device), 11).to(torch.float64) + 0.5
    ) * 2.0**-53
    radius = (-2 * unit[:, 0::2].log()).sqrt()
    angle = (2 * math.pi) * unit[:, 1::2]
    normals = torch.stack([radius * angle.cos(), radius * angle.sin()], 2).flatten(1)[:, :count]
    return normals.to(torch.float32).reshape(-1, *shape)


def labels_of(
    policy: str,
    n: int,
    classes: int,
    seeds: ndarray[Any, Any],
    frequencies: Sequence[float] | None = None,
) -> ndarray[Any, Any]:
    """The label of each of the samples 0 .. n-1, int64 [n].

    balanced: sample i has label i mod classes. iid: uniform over the classes. training: by the
    training set's class frequencies (float [classes], sum 1). The draws of the latter two come from
    a stream of their own and depend on the sample's seed alone.
    """
    if policy == "balanced":
        return np.arange(n, dtype=np.int64) % classes
    share = (
        np.full(classes, 1 / classes)
        if policy == "iid"
        else np.asarray(frequencies, dtype=np.float64)
    )
    place = (
        uniform(torch.as_tensor(seeds), (1,), LABEL_STREAM, "cpu").numpy()[:, 0].astype(np.float64)
    )
    return np.minimum(np.searchsorted(np.cumsum(share), place, side="right"), classes - 1).astype(
        np.int64
    )
