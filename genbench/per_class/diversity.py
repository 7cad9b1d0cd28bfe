"""The diversity that a run has measured class by class, beside that of real images.

LPIPS is too wide for a run to keep: real images' is taken here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.console import progress
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.features.extraction import calls, network, wide_at_once
from genbench.io import weights
from genbench.per_class.class_intervals import DRAWS, Line
from genbench.per_class.pairwise import mean_within

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.api.dataset import Dataset
    from genbench.runs.records.record import Plan, Record, Score

    Array = ndarray[Any, Any]

# real images of a class that are looked at, and below how many there is no line
MOST, LEAST = 100, 8
# bytes of images held at once: where the classes are many and the images large, fewer of each
HELD = 2**30
COLUMNS = 2**16  # of an output that are multiplied at a time in float64


def of_run(
    found: Record, plan: Plan, dataset: Dataset, splits: Sequence[str], kept: Callable[[], Array]
) -> tuple[dict[int, tuple[float, float, float]], dict[int, Line], tuple[str, ...]]:
    """{class: (value, low, high)} of the first measure that a run has taken class by class,
    {class: Line} of real images, and why these are missing.

    splits: where the real images are. kept: the run's first image uint8 [1, 3, h, w], asked for
    where the run keeps images.
    """
    first, own = _by_class(found)
    values = {
        label: (float(one.value or 0.0), float(one.low or 0.0), float(one.high or 0.0))
        for label, one in own.items()
    }
    if first is None:
        return {}, {}, ()
    under = plan.protocols[first.protocol]
    extractor, _, output = next(
        m["features"] for m in under["measures"] if m["name"] == first.metric
    ).partition(".")
    row = registry.find("extractors", extractor)
    at = weights.find(row.weights, source_of(row.load).parent, {}) if row.weights else None
    if row.weights and (at is None or at.sha256 != under["extractors"][extractor]["weights"]):
        return (
            values,
            {},
            (
                (
                    f"diversity: no line of real images, since the run's weights of {extractor} "
                    "are not where weights are looked for"
                ),
            ),
        )
    if plan.keep_images and kept().shape[2:] != next(iter(dataset.open(splits[0])))[0].shape[2:]:
        return (
            values,
            {},
            ("diversity: no line of real images, which are of another size than the samples",),
        )
    device = plan.device.split(":")[0]
    sizes = {label: one.n for label, one in own.items()}
    loaded = network(extractor, device, str(at.path) if at else "")
    return values, real_diversity(dataset, splits, loaded, output, sizes, device), ()


def _by_class(found: Record) -> tuple[Score | None, dict[int, Score]]:
    """The scores of single classes with an interval, of the first measure that has any,
    and one of them.
    """
    own = [
        one
        for one in found.scores
        if one.part.startswith("class ")
        and one.status == "ok"
        and None not in (one.value, one.low, one.high)
    ]
    first = own[0] if own else None
    return first, {
        int(one.part.removeprefix("class ")): one
        for one in own
        if first and (one.protocol, one.metric) == (first.protocol, first.metric)
    }


def real_diversity(
    dataset: Dataset,
    splits: Sequence[str],
    loaded: Any,
    output: str,
    n: Mapping[int, int],
    device: str,
) -> dict[int, Line]:
    """{class: Line} of the mean squared distance over all pairs of real images of each class in n,
    from the first of its images in these splits.

    Each draw takes as many images as there are samples, n, or half of the class's where that is
    less: an unbiased estimate does not move with n, its spread does. loaded: images [k, 3, h, w] ->
    {output: float32 [k, d]}. Classes with fewer than LEAST images have no line.
    """
    images = _first(dataset, splits, n)
    lines = {}
    with progress(f"diversity of real images of {dataset.name}", len(images), "classes") as done:
        for label, of in images.items():
            if len(of) >= LEAST:
                lines[label] = line(squares_of(loaded, of.to(device), output), n[label])
            done(1)
    return lines


def line(squares: Array, n: int, seed: int = 0) -> Line:
    """Median, 2.5 % and 97.5 % point of the mean over pairs within random sets of min(n, p // 2) of
    p rows; squares float64 [p, p].
    """
    p = len(squares)
    k, rng = max(2, min(n, p // 2)), np.random.default_rng([seed, p, n])
    means = [mean_within(squares, rng.permutation(p)[:k]) for _ in range(DRAWS)]
    median, low, high = np.quantile(means, (0.5, 0.025, 0.975)).tolist()
    return Line(median, low, high, k, 0)


def squares_of(loaded: Any, images: torch.Tensor, output: str) -> Array:
    """Squared distances of an output between all images, float64 [p, p]."""
    rows = torch.cat([answer[output] for _, answer in calls(loaded, images, wide_at_once(images))])
    inner = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for at in range(0, rows.shape[1], COLUMNS):
        part = rows[:, at : at + COLUMNS].double()
        inner += part @ part.T
    lengths = inner.diagonal()
    return (lengths[:, None] + lengths - 2 * inner).clamp_min(0).cpu().numpy()


def _first(
    dataset: Dataset, splits: Sequence[str], wanted: Iterable[int]
) -> dict[int, torch.Tensor]:
    """Up to MOST images of each wanted class uint8 [k, 3, h, w],
    the first in the order of the splits.
    """
    found: dict[int, list[torch.Tensor]] = {label: [] for label in wanted}
    most = MOST
    for split in splits:
        for images, labels in dataset.open(split):
            most = min(most, HELD // max(1, len(found) * images[0].numel()))
            for label in set(labels.tolist()) & set(found):
                lacks = most - len(found[label])
                found[label] += list(images[labels == label][:lacks].clone()) if lacks > 0 else []
    return {label: torch.stack(of) for label, of in found.items() if of}
