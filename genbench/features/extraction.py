"""Run an extractor over batches of images: its features, or their sums by block and class."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util import thread_pool
from genbench._util.console import aside
from genbench._util.errors import PluginFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import file_sha256
from genbench._util.lazy_imports import np, torch
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.io import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import ndarray

    from genbench.api.extractor import Extractor


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


# bytes of sums per class that a run keeps; beyond it only those over all classes
LARGEST_SUMS = 1 << 30


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
        parts = list(thread_pool.each(answered, places[:beside])) if beside else []
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


def network(
    name: str,
    device: str,
    file: str,
    precision: str = "float32",
    images: int = 0,
    vocabulary: str = "",
) -> Any:
    """An extractor loaded on its device, with the weights file that was found ("": it has none),
    and its vocabulary; its every answer checked.

    precision: one of the row's own. images: how many a run will show it, 0 for few.
    """
    row: Extractor = registry.find("extractors", name)
    takes = inspect.signature(row.load).parameters
    told = {
        key: value
        for key, value in {"precision": precision, "images": images}.items()
        if key in takes
    }
    with _calling(name, "loading it"):
        try:
            more = (Path(vocabulary),) if vocabulary else ()
            ready = (
                row.load(device, Path(file), *more, **told)
                if file and len(set(takes) - set(told)) > 1
                else row.load(device, **told)
            )
        except UserError as error:
            raise UserError(f"weights {name}: {error}{_hashes(row, file)}") from None

    def answer(images: torch.Tensor, *prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        with _calling(name, "calling it"):
            # a copy of its own: one that writes into it shall not change the others' images
            found = ready(images.clone(), *prompts)
        return _checked(row, found, len(images))

    extract: Any = answer
    extract.side_by_side = row.side_by_side
    return extract


def at_hand(name: str, device: str) -> Any:
    """An extractor with weights that are on this machine already; UserError where they are not."""
    row: Extractor = registry.find("extractors", name)
    found = weights.find(row.weights, source_of(row.load).parent, {}) if row.weights else None
    if row.weights and found is None:
        raise UserError(f"weights missing: genbench weights fetch {row.weights.name}")
    return network(name, device, str(found.path) if found else "")


def _hashes(row: Extractor, file: str) -> str:
    """What a weights file is and should be, for the line that refuses it."""
    published = {one.sha256 for one in row.weights.files if one.sha256} if row.weights else set()
    return (
        (
            f" (its SHA-256 is {file_sha256(Path(file))}, the published one "
            f"{' or '.join(sorted(published))})"
        )
        if file and published
        else ""
    )


def _checked(row: Extractor, found: Any, n: int) -> dict[str, torch.Tensor]:
    """An extractor's answer to n images as float32 rows; PluginFailed with what came otherwise."""
    if not isinstance(found, Mapping) or set(row.outputs) - set(found):
        came = (
            f"the outputs {', '.join(map(str, found))}"
            if isinstance(found, Mapping)
            else type(found).__name__
        )
        raise PluginFailed(
            f"extractor {row.name} returned {came}; return a dictionary with "
            f"{', '.join(row.outputs)}"
        )
    rows = {}
    for output, width in row.outputs.items():
        array = found[output]
        if not isinstance(array, torch.Tensor) or not array.is_floating_point():
            came = str(array.dtype) if isinstance(array, torch.Tensor) else type(array).__name__
            raise PluginFailed(
                f"extractor {row.name} returned {output} as {came}; return a tensor of floats "
                f"[{n}, {width or 'd'}]"
            )
        if array.ndim != 2 or len(array) != n or width not in (0, array.shape[1]):
            raise PluginFailed(
                f"extractor {row.name} returned {output} {list(array.shape)} for {n} images; "
                f"return [{n}, {width or 'd'}]"
            )
        rows[output] = array.detach().to(torch.float32)
    return rows


@contextlib.contextmanager
def _calling(name: str, what: str) -> Iterator[None]:
    """Run a stranger's extractor: its failures with its name in front."""
    try:
        with aside():
            yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit is no way to end a run unheard
        raise PluginFailed(
            f"extractor {name}: {what} raised {type(error).__name__}: {clean(str(error))}",
            traceback.format_exc(),
        ) from error
