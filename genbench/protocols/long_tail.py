"""Protocols of long-tailed training, by what the samples are held against:
references are never mixed on one board.

balanced-train is the reference of CBDM and its family (UTLO, CORAL, CM, T2H), balanced-test that of
StudioGAN's (NoisyTwins, gSR), longtailed-train what the generator saw, which nobody's table has and
which rewards a missing tail. Each wants a data set cut by --imbalance or named NAME-lt.
"""

from __future__ import annotations

from genbench.api.metric import Measure
from genbench.api.protocol import Protocol

_ROUNDED = (
    "Its float samples are never rounded to 8 bits; a plugin that returns uint8 is judged as it is."
)
_CLUSTERS = (
    "The F_8 of its tables takes 20 clusters a class, mini-batch k-means, run twice: f8 by name, "
    "whose 20 clusters are for one class."
)

CBDM = Protocol(
    name="balanced-train",
    title=(
        "long tails, CBDM's family: 50,000 samples of uniform random labels against the whole "
        "balanced training set"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="none",
    measures=(
        Measure("fd", "inception-torch.pool", "balanced-train", {"divisor": 1}, name="fid"),
        Measure(
            "is",
            "inception-torch.logits_unbiased",
            constants={"splits": 10, "shuffle": -1},
            name="is",
        ),
        *(
            Measure(
                metric, "inception-torch.pool", "balanced-train", {"k": 5, "strict": 1}, name=metric
            )
            for metric in ("precision", "recall")
        ),
    ),
    paper="Qin et al. 2023, Class-balancing diffusion models, arXiv:2305.00562",
    note=(
        f"{_ROUNDED} {_CLUSTERS} Its guidance eps_c + w (eps_c - eps_u) is s = 1 + w in others' "
        "form: each method of its table has its own w."
    ),
)

NOISY_TWINS = Protocol(
    name="balanced-test",
    title=(
        "long tails, StudioGAN's family (NoisyTwins, gSR): 50,000 samples of uniform random labels "
        "against the balanced test set"
    ),
    dataset="any",
    n=50_000,
    labels="iid",
    quantise="round",
    measures=(
        Measure("fd", "inception-torch.pool", "balanced-test", {"divisor": 1}, name="fid"),
        Measure("is", "inception-torch.logits", constants={"splits": 1, "shuffle": -1}, name="is"),
        *(
            Measure(
                metric, "inception-torch.pool", "balanced-test", {"k": 5, "strict": 1}, name=metric
            )
            for metric in ("precision", "recall", "density", "coverage")
        ),
    ),
    paper="Rangwani et al. 2023, NoisyTwins, arXiv:2304.05866",
    note=(
        "StudioGAN's resizer `legacy`. n is 10,000 while it trains and 50,000 at the end; "
        "its intra-class FID takes 5,000 samples of each class."
    ),
)

LONG_TAILED_TRAIN = Protocol(
    name="longtailed-train",
    title=(
        "long tails against the long-tailed training set itself: what a generator that reproduces "
        "its data would match"
    ),
    dataset="any",
    n=50_000,
    labels="training",
    quantise="round",
    measures=(Measure("fd", "inception-torch.pool", "train", {"divisor": 1}, name="fid"),),
    note=(
        "Labels are drawn by the training frequencies. A generator that leaves out the tail loses "
        "little here: read it beside a balanced reference."
    ),
)

_POOL, _LOGITS = "digits.pool", "digits.logits"


def _digits(
    name: str, title: str, reference: str, labels: str = "balanced", note: str = ""
) -> Protocol:
    """The digits' protocol against another reference."""
    near = ("precision", "recall", "density", "coverage")
    return Protocol(
        name=name,
        title=title,
        dataset="digits",
        n=870,
        labels="training" if labels == "training" else "balanced",
        quantise="round",
        measures=(
            *(Measure(metric, _POOL, reference) for metric in ("fd", "kd")),
            *(Measure(metric, _POOL, reference, {"k": 5}) for metric in near),
            Measure("is", _LOGITS, constants={"splits": 1}),
            Measure("label_accuracy", _LOGITS),
        ),
        real=("train", "heldout"),
        note=note,
    )


DIGITS_TEST = _digits(
    "digits-balanced-test",
    "long-tailed digits: 870 samples, labels balanced, against 870 held-out balanced digits",
    "heldout",
)
DIGITS_TRAIN = _digits(
    "digits-balanced-train",
    "long-tailed digits: 870 samples, labels balanced, against the whole balanced training set",
    "balanced-train",
    note="It holds the images of the long-tailed training set: copying them brings an advantage.",
)
DIGITS_LONG_TAILED = _digits(
    "digits-longtailed-train",
    (
        "long-tailed digits: 870 samples, labels by the training frequencies, "
        "against the long-tailed training set itself"
    ),
    "train",
    labels="training",
    note=(
        "A generator that leaves out the tail loses little here: read it beside a "
        "balanced reference."
    ),
)
