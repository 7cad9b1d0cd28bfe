"""The protocol `digits`: the embedded default, real images without any download."""

from __future__ import annotations

from genbench.rows import Measure, Protocol

_POOL, _LOGITS, _HELD = "digits.pool", "digits.logits", "heldout"

DIGITS = Protocol(
    name="digits",
    title="870 samples, labels balanced, against 870 held-out real digits: copying the training images brings no advantage over learning",
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
