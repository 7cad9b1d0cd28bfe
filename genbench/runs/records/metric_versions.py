"""What numbers are known by: the version of a metric's value, of the interval around it,
and of what real data scores beside it.

The first alone decides whether two numbers may be compared and ranked, the second whether their
leave-outs may be paired, the third is shown. A version is raised by hand when numbers change, with
a line in CHANGELOG.md; tests/golden holds the two together. Until the end of November 2026 one hash
of source text stood in place of all three: the table below gives the hashes that mean version 1, so
that boards and baselines of then stay whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genbench._util.hashing import digest
from genbench._util.source_files import code_of_files
from genbench.api.metric import Metric
from genbench.api.validation import source_of
from genbench.features.extractor_versions import bare, is_ours, of_hash

# label policy -> version of the rule which sample lies in which block
BLOCKS = {"balanced": 1, "iid": 1, "training": 1}
LEAVE_OUTS = "exact"  # how the values without each block are computed; that parts no two records
REAL_VS_REAL = "splits/1"  # random splits of the pool of real images, as real_vs_real.py makes them
PAIRS = "pairs/1"  # how latent pairs are rendered and compared


def formula_of(metric: Metric) -> str:
    """What a number's formula is known by: "fd/1"; of a stranger's metric "NAME/1@SHA-256" of its
    file and of those that it imports.
    """
    named = f"{metric.name}/{metric.version}"
    return (
        named
        if is_ours(metric.value)
        else f"{named}@{digest([code_of_files(source_of(metric.value)), *SHARED_CODE_1])}"
    )


def between_of(metric: Metric) -> str:
    """What the numbers between images and their reconstructions are known by,
    in the files that hold them.
    """
    named = f"{metric.name}/{metric.version}"
    return named if is_ours(metric.value) else f"{named}@{code_of_files(source_of(metric.value))}"


def blocks_of(labels: str) -> str:
    """The version of an interval's blocks under a label policy;
    without labels a run is one class, which is balanced.
    """
    policy = labels or "balanced"
    return f"{policy}/{BLOCKS[policy]}"


def of_measure(metric: Metric, labels: str) -> dict[str, str]:
    """Every version of a measure of a run under a label policy, as the record names them."""
    return {
        "formula": formula_of(metric),
        "interval": blocks_of(labels),
        "leave_outs": LEAVE_OUTS,
        "real_vs_real": REAL_VS_REAL,
    }


def of_earlier_measure(measure: Mapping[str, Any], labels: str) -> dict[str, Any]:
    """A measure of a record of schema 1 with the versions of then;
    a formula that nobody knows stays the hash that it is.
    """
    formula = (
        {"formula": of_formula(measure["metric"], measure["formula"])}
        if {"formula", "metric"} <= measure.keys()
        else {}
    )
    policy = labels if labels in BLOCKS else "balanced"
    return {
        **measure,
        **formula,
        "interval": f"{policy}/1",
        "leave_outs": "exact",
        "real_vs_real": "splits/1",
    }


def of_earlier_extractor(name: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """An extractor of a record of schema 1 with the version that its hash means;
    a hash that nobody knows stays.
    """
    return (
        {**identity, "code": of_hash(name, identity["code"])}
        if "code" in identity
        else dict(identity)
    )


def of_formula(metric: str, formula: str) -> str:
    """A formula's word of an earlier genbench, a bare hash, as today's:
    the version that it means, or itself where nobody knows what it means.
    """
    return f"{metric}/1" if metric in FORMULAS_1.get(formula, "").split() else formula


def earlier_measure(measure: Mapping[str, Any]) -> dict[str, Any]:
    """A measure as an earlier genbench wrote it, for the names of its files:
    the hash that means its version 1, and no other versions.
    """
    formula, metric = measure["formula"], measure["metric"]
    known = next(
        (
            code
            for code, metrics in FORMULAS_1.items()
            if formula == f"{metric}/1" and metric in metrics.split()
        ),
        bare(formula),
    )
    return {
        key: value
        for key, value in measure.items()
        if key not in ("interval", "leave_outs", "real_vs_real")
    } | {"formula": known}


def agrees(
    said: Mapping[str, str], wanted: Mapping[str, str], extractor: str, metric: str = ""
) -> bool:
    """Whether what a file of shards says of itself, today's words or an earlier genbench's,
    is all that is wanted.
    """
    words = {**said}
    if "code" in words:
        words["code"] = of_hash(extractor, words["code"])
    if words.get("paths") == PAIRS_1:
        words["paths"] = "pairs/1"
    if words.get("between") == BETWEEN_1:
        words["between"] = f"{metric}/1"
    return all(bare(words.get(key, "")) == bare(value) for key, value in wanted.items())


# The code hashes of what all metrics shared at the last hash: part of the hash of a stranger's
# metric, so that it is what it was.
SHARED_CODE_1: Sequence[str] = (
    "bebd55ffb1e65110d9590061c04e8f95e7aafd37ab12b55afb60e1d423f8ab80",
    "f6cdde4d4002f1daef159c89ac4a118764afdddb0ce6b8c10bd1691b0afb8f0e",
    "0a17bb29b1c5cd49049f966f8a19525f11cdd4b227705b383d0b144e78cdf897",
    "67435203f300b074e592fc6697c112a43e135d1e1ccca37bee6d8495900f3136",
    "70cf5cd65928d125ebc66a9db25dd03ad4e7ccd7b4192374b443310fae926428",
    "afb1410de4ef4c52cd943d8a7779e7363b3c59730953554d0cd508621ccc5f2a",
    "c29be937492071f8595539aa3bbf0ad5ee5c26130b1b5eab0794e803cf629d7f",
    "31a216c9369a06d6dc01778d00516d05c815ed09552c928f50638410ab02d02d",
    "d03fc0363ee7a96a323a10490e6ca39db363b8760e2d0cf1040e740ed7a2848f",
    "056c19541bf0ef23b5df16b19d42df1eb38645e10ca1aeea5fa5671aee33a8e6",
    "826899fc629907aa94e53b0e0902412d42bbb04a734f577c5668ecf0f4f92b40",
)
PAIRS_1 = "af397e1162a25943115bd999ad0495be87d6070d277aa33c646511057b435eac"
BETWEEN_1 = "60c756bb264e78e69c0ded69bac5e18024955a2a259be92b1aa17dcedad81297"
#: The hashes of formulas that mean version 1 -> the metrics whose formula it is.
FORMULAS_1: Mapping[str, str] = {
    "c0487d5fd2047b68830746406082a34d672433497308e6db1ff674714104904a": "ct",
    "d9eee7f88c5aab04058ac52ccc1c46a32b54fcbc0814d5c371891aa354f12235": (
        "fd fd_infinity fd_extrapolated mifd"
    ),
    "5b74832062d1629bc801b3bf22436b00d9c6ad6c7455fed59cd4ecbfd12565ef": (
        "kd kd_subsets mmd mmd_unbiased"
    ),
    "d5c833f1507c4c1026785f4a8a5a8fc36eee08396138565e0736002d484a13b3": "fls fls_overfit",
    "ffad0d2ce725972728f92c57308ee926b1c8b067b2038413901cf485ed24d182": (
        "authpct nearest_train duplicates"
    ),
    "298ba7b5155e7f1ca5411347b8d64739e5eaba0e0f83d936e6458aed652fba07": (
        "precision recall density coverage"
    ),
    "ccac9d091c9f40fd0e99217696a3f29c7d7bc399a0fe85d4de7d2aee696230aa": "path_length",
    "4ba323a6b5bacdb476454c0633d0e3c5ad80fbd6c1113f84051f5059471b3e71": (
        "diversity diversity_within stability diversity_bicyclegan diversity_starganv2"
    ),
    "f828020fce0a0293fdc8ea52435445c672d6dfb606cfb9f5de2acbb5d909a79e": "f8 f1_8",
    "2517ff283b7ed2fddcc5509b1c30ba15656cab8e5dc19b0a5c6416d3748b5dfe": (
        "rfd psnr ssim reconstruction"
    ),
    "14c63f75f1818de13f47c18f6486d6ce5c4309475bb272b25cc31d129a537310": (
        "is label_accuracy top1_histogram_gap"
    ),
    "c112e71ea2523fb1866bf720f778fcd03c978d4367f4e08daf19fc7425c2f52e": "mind",
    "2f1e79ea1b297b501d77044ec43313f58942fec80a1c323bd1bad0333ee29598": "clipscore_hessel clip_sim",
}
