"""The protocol `digits`: the embedded default, real images without any download."""

from __future__ import annotations

from genbench.api.metric import Measure, Pairs
from genbench.api.protocol import Protocol

_POOL, _LOGITS, _HELD = "digits.pool", "digits.logits", "heldout"

DIGITS = Protocol(
    name="digits",
    title=(
        "870 samples, labels balanced, against 870 held-out real digits: copying the training "
        "images brings no advantage over learning"
    ),
    dataset="digits",
    n=870,
    labels="balanced",
    quantise="round",
    measures=(
        Measure("fd", _POOL, _HELD),
        Measure("kd", _POOL, _HELD),
        Measure("precision", _POOL, _HELD, {"k": 5}),
        Measure("recall", _POOL, _HELD, {"k": 5}),
        Measure("density", _POOL, _HELD, {"k": 5}),
        Measure("coverage", _POOL, _HELD, {"k": 5}),
        Measure("is", _LOGITS, constants={"splits": 1}),
        Measure("label_accuracy", _LOGITS),
    ),
    real=("train", "heldout"),
)

_PPL = (
    "perceptual path length in {}, at one end, of float images in the features that the board's "
    "distances have: numbers to ask for by name"
)
PPL_Z = Measure("path_length", _POOL, name="ppl_z_digits", title=_PPL.format("z"), pairs=Pairs("z"))
PPL_W = Measure("path_length", _POOL, name="ppl_w_digits", title=_PPL.format("w"), pairs=Pairs("w"))
