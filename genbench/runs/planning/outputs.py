"""What a run computes of its samples: the images themselves, rows or sums of features, distances of
latent pairs (one file per shard and probe), and distances within classes (one file in all).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench import shelves, threads
from genbench.arrays import RECONSTRUCTED
from genbench.files import digest
from genbench.large import streams
from genbench.lazy import np, torch
from genbench.rows import Metric, Pairs
from genbench.say import aside
from genbench.versions import PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import ndarray

    from genbench.record import Plan

# Images to a call of an extractor, always exactly so many: a network's kernels follow the shape of
# the batch, and another shape gives another last bit. The remainder of a shard or split is filled
# up, so that an image has the same features wherever it stands, equal images equal ones, and a
# radius of 0 holds its copies. Few on a processor, where small calls cost nothing and filling up
# does; a multiple of the 8 in which `inception` takes them there.
AT_ONCE = {"cpu": 8, "cuda": 64}
# of a class, to which the distances of each sample are kept where rows are too wide: groups of ten
# with one left out
AHEAD = 10
# in a call for an output that is as wide as the images make it: 32 images of 64 x 64
WIDE_PIXELS = 2**17
PAIRS_AT_ONCE = 8
# bytes of sums per class that a run keeps; beyond it only those over all classes
LARGEST_SUMS = 1 << 30


@dataclass(frozen=True)
class Probe:
    """A source (the samples' images, or latent pairs) seen through an extractor's output."""

    name: str
    # what its files say of themselves; a file that says otherwise is of another time and done again
    says: Mapping[str, str]
    extractor: str = ""  # "": the images themselves
    output: str = ""
    sums: bool = False  # sums by class in place of rows
    pairs: Pairs | None = None
    first: int = 0  # of pairs: only those of the first so many samples are rendered
    ahead: bool = False  # distances within classes, of the whole run at once

    @property
    def of_images(self) -> bool:
        """Whether a shard computes it from its own images."""
        return not (self.pairs or self.ahead)

    def wanted(self, indices: ndarray[Any, Any]) -> int:
        """How many of a shard's samples, in order, it is computed of."""
        return int((indices < self.first).sum()) if self.pairs else len(indices)


def kept_images(plan: Plan) -> Probe:
    """The images of a run that keeps them: what reads them needs no row of the shelves."""
    return Probe("images", _common(plan))


def _common(plan: Plan) -> dict[str, str]:
    return {"run": plan.id, "quantise": plan.quantise, "device": plan.device.split(":")[0]}


def probes_of(plan: Plan) -> dict[str, Probe]:
    """Every probe of a run by name."""
    common = _common(plan)
    found = {"images": kept_images(plan)} if plan.keep_images else {}
    for protocol in plan.protocols.values():
        for measure in protocol["measures"]:
            if not (measure["skip"] or reconstructs(measure)):
                name, probe = _probe(
                    measure,
                    {**common, **protocol["extractors"][measure["features"].partition(".")[0]]},
                )
                first = reach(measure, int(protocol["repeats"]), plan.n) if probe.pairs else 0
                found[name] = replace(
                    probe, first=max(first, found[name].first if name in found else 0)
                )
    return found


def rounded(rows: ndarray[Any, Any], measure: Mapping[str, Any]) -> ndarray[Any, Any]:
    """Rows to the precision that a measure asks for, as float64;
    those of float64 as they are, for they may be gigabytes.
    """
    return rows.astype(measure["precision"], copy=False).astype(np.float64, copy=False)


def taken_n(measure: Mapping[str, Any], n: int) -> int:
    """How many of n samples, or of n images of the reference, whole batches leave."""
    return int(n // measure["batch"] * measure["batch"]) if measure["batch"] else n


def one_repeat(measure: Mapping[str, Any], repeats: int, n: int) -> int:
    """How many samples of a run of n one value of a measure is taken of."""
    return taken_n(measure, min(measure["samples_n"] or n, n // repeats))


def reach(measure: Mapping[str, Any], repeats: int, n: int) -> int:
    """Up to which sample of a run of n a measure looks at any, its repeats one after the other."""
    return (repeats - 1) * (n // repeats) + one_repeat(measure, repeats, n)


def streamed(measure: Mapping[str, Any], repeats: int, n: int) -> bool:
    """Whether a measure of a run of n samples is taken from moments by block,
    and its rows are not held.
    """
    metric: Metric = shelves.find("metrics", measure["metric"])
    return repeats == 1 and streams(metric, width_of(measure), one_repeat(measure, repeats, n))


def held_rows(plan: Plan, probe: Probe) -> int:
    """Up to which sample the measures of a run need the rows of a probe at once; 0:
    they need none.
    """
    found = [0]
    for protocol in plan.protocols.values():
        repeats = int(protocol["repeats"])
        of_it = [
            m
            for m in protocol["measures"]
            if not (m["skip"] or reconstructs(m)) and probe_name(m) == probe.name
        ]
        found += [
            reach(measure, repeats, plan.n)
            for measure in of_it
            if not streamed(measure, repeats, plan.n)
        ]
    return max(found)


def _probe(measure: Mapping[str, Any], says: Mapping[str, str]) -> tuple[str, Probe]:
    name = probe_name(measure)
    extractor, _, output = measure["features"].partition(".")
    pairs = Pairs(**measure["pairs"]) if ".pairs-" in name else None
    if pairs:
        says = {**says, "paths": PAIRS}
    sums, ahead = name.endswith(".sums"), name.endswith(".ahead")
    if not (sums or pairs or ahead):
        says = {**says, "at_once": str(AT_ONCE[says["device"]])}
    return name, Probe(name, says, extractor, output, sums, pairs, ahead=ahead)


def reconstructs(measure: Mapping[str, Any]) -> bool:
    """Whether a measure is taken of reconstructions of the reference's images, and of no sample."""
    return bool(RECONSTRUCTED & set(shelves.find("metrics", measure["metric"]).needs))


def width_of(measure: Mapping[str, Any]) -> int:
    """How wide a measure's features are; 0 of those that are too wide to keep."""
    extractor, _, output = measure["features"].partition(".")
    return int(shelves.find("extractors", extractor).outputs[output])


def probe_name(measure: Mapping[str, Any]) -> str:
    """The probe that a measure is taken from: rows of its features;
    where they are too wide to keep, their sums or distances; or those of latent pairs.
    """
    needs = shelves.find("metrics", measure["metric"]).needs
    extractor, _, output = measure["features"].partition(".")
    if "pairs" in needs:
        return f"{measure['features']}.pairs-{digest(dict(measure['pairs']))[:8]}"
    wide = shelves.find("extractors", extractor).outputs[output] == 0
    return (
        f"{measure['features']}.{'ahead' if 'ahead' in needs else 'sums'}"
        if wide
        else str(measure["features"])
    )


def calls(
    network: Any, images: torch.Tensor, at_once: int
) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
    """An extractor's answers on images [n, 3, h, w], some to a call:
    (rows, {output: float32 [rows, width]}).
    """
    for at in range(0, len(images), at_once):
        rows = slice(at, min(at + at_once, len(images)))
        yield rows, network(images[rows])


def rows_of(
    network: Any, images: torch.Tensor, outputs: list[str], prompts: list[str] | None = None
) -> dict[str, torch.Tensor]:
    """Features of images, or of images with their prompts:
    {output: float32 [n, width]} of these outputs.

    As many calls as there are threads are made at once where the network allows it, a thread each;
    what is left over has all threads, call by call.
    """
    at_once = AT_ONCE[images.device.type]
    lacks = -len(images) % at_once
    filled = torch.cat([images, images[-1:].expand(lacks, -1, -1, -1)]) if lacks else images
    texts = None if prompts is None else prompts + prompts[-1:] * lacks

    def answered(at: int) -> dict[str, torch.Tensor]:
        some = filled[at : at + at_once]
        answer = network(some) if texts is None else network(some, texts[at : at + at_once])
        return {output: answer[output] for output in outputs}

    places = range(0, len(filled), at_once)
    allowed = (
        images.device.type == "cpu" and prompts is None and getattr(network, "side_by_side", False)
    )
    together = torch.get_num_threads() if allowed else 1
    beside = len(places) // together * together if together > 1 else 0
    with aside():  # which each call enters and leaves, and in threads not one within the other
        parts = list(threads.each(answered, places[:beside])) if beside else []
    parts += map(answered, places[beside:])
    return {
        output: torch.cat([part[output] for part in parts])[: len(images)] for output in outputs
    }


def wide_at_once(images: torch.Tensor) -> int:
    """How many images [n, 3, h, w] go to a call for an output that is as wide as they make it."""
    return max(2, min(50, WIDE_PIXELS // (images.shape[2] * images.shape[3])))


def sums_of(
    network: Any,
    images: torch.Tensor,
    output: str,
    classes: ndarray[Any, Any],
    count: int,
    shards: int,
) -> ndarray[Any, Any]:
    """Sums over the images of each class of an output too wide to keep, float64 [C, d + 2]:
    of features, of their squared lengths, and counts.

    classes int64 [n] in 0 .. count-1. C is 1 where sums per class would exceed LARGEST_SUMS over
    the run's shards.
    """
    total: torch.Tensor | None = None
    for rows, answer in calls(network, images, wide_at_once(images)):
        features = answer[output].to(torch.float64)
        if total is None:
            per_class = count * (features.shape[1] + 2) * 8 * shards <= LARGEST_SUMS
            total = torch.zeros(
                count if per_class else 1,
                features.shape[1] + 2,
                dtype=torch.float64,
                device=features.device,
            )
        of = (
            torch.as_tensor(classes[rows], device=features.device)
            if len(total) == count
            else torch.zeros(len(features), dtype=torch.int64, device=features.device)
        )
        squares = (features * features).sum(1, keepdim=True)
        total.index_add_(0, of, torch.cat([features, squares, torch.ones_like(squares)], 1))
    assert total is not None, "a shard has images"
    return total.cpu().numpy()


def sums_of_rows(
    rows: ndarray[Any, Any], blocks: ndarray[Any, Any], classes: ndarray[Any, Any] | None
) -> ndarray[Any, Any]:
    """The same sums by block of rows that were kept: float64 [B, C, d + 2].

    rows [n, d], blocks int64 [n], classes int64 [n] or None for one class.
    """
    of = np.zeros(len(rows), dtype=np.int64) if classes is None else classes
    found = np.zeros((int(blocks.max()) + 1, int(of.max()) + 1, rows.shape[1] + 2))
    squares = (rows * rows).sum(1, keepdims=True)
    np.add.at(found, (blocks, of), np.concatenate([rows, squares, np.ones_like(squares)], 1))
    return found


def ahead_of_rows(rows: ndarray[Any, Any], classes: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """The need `ahead` of rows [n, d] that were kept: float64 [n, 1 + AHEAD]. classes int64 [n]."""
    return ahead_of(classes, lambda places: rows[places])


def ahead_of(
    classes: ndarray[Any, Any],
    features: Callable[[ndarray[Any, Any]], ndarray[Any, Any]],
    at_once: int = 1000,
) -> ndarray[Any, Any]:
    """Each sample's place in its class, and its squared distances to the next AHEAD of it,
    0 where there is none: float64 [n, 1 + AHEAD].

    classes int64 [n]; features(places) are the rows of these samples, float64 [k, d], asked for in
    the order of a class, at_once at a time, each once.
    """
    found = np.zeros((len(classes), 1 + AHEAD))
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        found[members, 0] = np.arange(len(members))
        held = np.zeros((0, 0))
        for at in range(0, len(members), at_once):
            new = features(members[at : at + at_once])
            held = np.concatenate([held[-AHEAD:], new]) if len(held) else new
            old = len(held) - len(new)
            own = members[at - old : at + len(new)]
            for step in range(1, min(AHEAD + 1, len(held))):
                later = slice(max(old, step), len(held))
                first = slice(later.start - step, later.stop - step)
                found[own[first], step] = ((held[later] - held[first]) ** 2).sum(1)
    return found
