"""Whether two records were measured alike, so that their numbers may be held against each other;
what else differs between them, which is the treatment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genbench._util.errors import NotComparable
from genbench._util.formatting import clean
from genbench._util.hashing import digest
from genbench.features.extractor_versions import same
from genbench.runs.records.record import Record, Score

# of a protocol: what decides its numbers
RULED = ("dataset", "splits", "quantise", "repeats", "reducer", "train", "statistics", "extractors")
# of which a record may know more than the other: what both know must agree
SHARED = ("splits", "extractors")
# of a measure
TAKEN = (
    "metric",
    "features",
    "reference",
    "constants",
    "reference_n",
    "mirrored",
    "precision",
    "samples_n",
    "batch",
    "pairs",
)
BOUGHT = 0.3  # a correlation of leave-outs below which pairing by seed brought nothing


def treatment_digest(found: Record) -> str:
    """What an acceptance in a gate names: the model, whatever its seeds, data and machine."""
    return digest(
        {
            key: found.plan["identity"].get(key)
            for key in ("generator", "code", "checkpoint", "options")
        }
    )[:16]


def pairing(candidate: Record, baseline: Record, name: str, *, unpaired: bool) -> tuple[bool, str]:
    """Whether the two are paired seed by seed, and what is to be said of it;
    NotComparable, naming the fields, where they were not measured alike.
    """
    common = [one for one in candidate.plan["protocols"] if one in baseline.plan["protocols"]]
    if not common:
        theirs, ours = (", ".join(one.plan["protocols"]) for one in (baseline, candidate))
        raise NotComparable(
            f"{name} has the protocol {clean(theirs)}, the candidate {clean(ours)}: "
            "run one of them with the other's --protocol"
        )
    fields = [
        pair
        for one in common
        for pair in _ruled(baseline.plan["protocols"][one], candidate.plan["protocols"][one], one)
    ]
    ours, theirs = candidate.plan["identity"], baseline.plan["identity"]
    fields += [
        (key, theirs.get(key), ours.get(key))
        for key in ("dataset", "n", "conditions")
        if theirs.get(key) != ours.get(key)
    ]
    if fields:
        said = "; ".join(
            f"{key}: {short(was)} there, {short(now)} here" for key, was, now in fields[:3]
        )
        raise NotComparable(
            f"not comparable with {name}: "
            f"{clean(said)}{f' and {len(fields) - 3} more' if len(fields) > 3 else ''}"
        )
    if ours["first_seed"] != theirs["first_seed"] and not unpaired:
        said = f"seeds: from {theirs['first_seed']} there, from {ours['first_seed']} here"
        raise NotComparable(
            f"not comparable with {name}: {said}; with the same seeds it is paired, "
            "--unpaired compares all the same"
        )
    if unpaired:
        return False, f"compared with {name} unpaired, as asked: fresh seeds need many more samples"
    per_call = [
        one.plan["label"] for one in (candidate, baseline) if one.plan.get("seeding") != "per image"
    ]
    if per_call:
        return (
            False,
            (
                f"compared with {name} unpaired: {clean(per_call[0])} is seeded per "
                "call, not per image"
            ),
        )
    there, here = (_schemes(one, common) for one in (baseline, candidate))
    if there and here and there != here:
        return (
            False,
            (
                f"compared with {name} unpaired: its leave-outs are of blocks "
                f"{clean(', '.join(there))}, here of {clean(', '.join(here))}"
            ),
        )
    return True, ""


def _schemes(found: Record, protocols: Sequence[str]) -> list[str]:
    """The versions of the rules by which a record's leave-outs were grouped."""
    return sorted(
        {
            str(one["interval"])
            for name in protocols
            for one in found.plan["protocols"][name]["measures"]
            if one.get("interval")
        }
    )


def _ruled(
    was: Mapping[str, Any], now: Mapping[str, Any], protocol: str
) -> Iterator[tuple[str, Any, Any]]:
    """The fields of a protocol that decide its numbers and differ."""
    for key in RULED:
        pairs = (
            [
                (f"{key}.{name}", was[key][name], one)
                for name, one in now[key].items()
                if name in was.get(key, {})
            ]
            if key in SHARED
            else []
        )
        for name, there, here in pairs or [(key, was.get(key), now.get(key))]:
            if there != here and key not in SHARED:
                yield f"{protocol}.{name}", there, here
            elif not same(there, here):
                yield from _within(f"{protocol}.{name}", there, here)


def _within(name: str, there: Any, here: Any) -> Iterator[tuple[str, Any, Any]]:
    """Of two dictionaries the keys that differ, of anything else the whole."""
    if not (isinstance(there, Mapping) and isinstance(here, Mapping)):
        yield name, there, here
        return
    yield from (
        (f"{name}.{key}", there.get(key), here.get(key))
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    )


def short(value: Any) -> str:
    """A value for a line: hashes by their beginning."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text[:12] + "..." if len(text) >= 64 and text.isalnum() else text[:60]


def otherwise(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """By what two measures of one name differ, "formula" being the version of the number;
    what one of them does not say agrees with anything.
    """
    return [
        key
        for key in (*TAKEN, "formula")
        if None not in (was.get(key), now.get(key)) and not same(was[key], now[key])
    ]


def interval_of(found: Record, score: Score) -> str:
    """The version of the rule by which a score's leave-outs were grouped;
    "" where the record does not say it.
    """
    measures = found.plan["protocols"].get(score.protocol, {}).get("measures", ())
    return next(
        (str(one.get("interval", "")) for one in measures if one.get("name") == score.metric), ""
    )


def one_ruler(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether what two protocols were measured with, real images,
    extractors and each number that both have, is equal by content.
    """
    ours, theirs = (
        {m["name"]: m for m in one["measures"] if not m.get("skip")} for one in (was, now)
    )
    shared = all(
        same(was[part].get(name, value), value)
        for part in SHARED
        for name, value in now[part].items()
    )
    return shared and not any(
        otherwise(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()
    )


def apart(
    was: Mapping[str, Any], now: Mapping[str, Any], protocol: str
) -> list[tuple[str, Any, Any]]:
    """What keeps two plans of one protocol from being set against each other,
    whatever drew their samples: (field, there, here); none where nothing does.
    """
    ours, theirs = was["protocols"][protocol], now["protocols"][protocol]
    sides: Sequence[tuple[str, Any, Any]] = [
        ("n", was["identity"]["n"], now["identity"]["n"]),
        (
            "labels",
            *(
                one["identity"]["conditions"].get("labels", "")
                or one["protocols"][protocol]["labels"]
                for one in (was, now)
            ),
        ),
        ("prompts", *(one["identity"]["conditions"].get("prompts") for one in (was, now))),
        ("rounding", was["quantise"], now["quantise"]),
    ]
    found = [*(side for side in sides if side[1] != side[2]), *_ruled(ours, theirs, protocol)]
    return found or ([] if one_ruler(ours, theirs) else [("formulas", "one", "another")])


def treatment(candidate: Record, baseline: Record) -> Iterator[tuple[str, str, str]]:
    """What differs between the two and may: the model, its code, the machine."""
    sides = []
    for one in (baseline, candidate):
        plan, here = one.plan, one.environment
        sides.append(
            {
                "label": plan["label"],
                **{
                    key: plan["identity"].get(key)
                    for key in ("generator", "code", "checkpoint", "options", "first_seed")
                },
            }
            | {
                key: here.get(key)
                for key in ("device", "platform", "python", "threads", "tf32", "git_commit")
            }
            | {f"version of {key}": value for key, value in dict(here.get("versions", {})).items()}
            | {"batch size": plan.get("batch_size"), "genbench": one.genbench}
        )
    for key in sides[0]:
        if sides[0][key] != sides[1].get(key):
            yield key, clean(short(sides[0][key])), clean(short(sides[1].get(key)))
