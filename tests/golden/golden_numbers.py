"""Golden numbers: what is computed, how it is stored, and when two values are equal.

A golden file holds the numbers of one version of one name: tests/golden/KIND/NAME-VERSION.json.
A case is a list of numbers; the first of them is the scale of its tolerance, unless the file gives
the case another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import golden_inputs as inputs
import numpy as np

from genbench.api import _registry as registry
from genbench.api.metric import Measure
from genbench.features import resize
from genbench.generators import latent_paths
from genbench.runs.records import metric_versions
from genbench.runs.scoring import real_vs_real
from genbench.statistics import blocks, confidence_intervals

GOLDEN = Path(__file__).resolve().parent
CHECKOUT = GOLDEN.parents[1]

#: Versions that no row and no module has: of the formula of an interval, and of the resizes.
INTERVALS = {"jackknife": 1}
RESIZES = 1

NEAR_ZERO = 1e-3  # a metric's value below it is compared on this scale
ROUGHER = {"mind": 1e-7}  # its float32 directions follow the processor's instructions: 2e-8 seen
PROJECTIONS = 4  # of a row of features or of an image on vectors of +1 and -1
ALIGNED = 10.0  # errors add up in a projection: 4e-5 of the norm seen between processors


@dataclasses.dataclass(frozen=True)
class Kind:
    """One folder of golden files."""

    name: str
    versions: Callable[[], dict[str, int]]  # by name, in the order of the shelf
    compute: Callable[
        [str, Iterable[str]], dict[str, list[float]]
    ]  # name, cases of its golden -> numbers by case
    tolerance: Callable[[str], float]  # relative to a case's scale
    where: Callable[[str], str]  # what is raised when a number moves on purpose
    spread: float = 1.0  # how much more the numbers of a case after the first may move
    scale: Callable[[list[float]], float] = lambda numbers: abs(numbers[0])


# Metrics


def find_rows(shelf):
    """Return the rows of this package on a shelf by name; nobody holds the numbers of others."""
    own = (name for name, one in registry.standing(shelf).items() if one.origin == "built in")
    return {name: registry.find(shelf, name) for name in own}


def list_constants(name):
    """Return the sets of constants with which a metric must have golden numbers.

    They are the defaults, and those of every shipped protocol and measure.
    """
    protocols = (
        measure for protocol in find_rows("protocols").values() for measure in protocol.measures
    )
    measures = [*protocols, *find_rows("measures").values()]
    sets = [{}, *(dict(measure.constants) for measure in measures if measure.metric == name)]
    return list({json.dumps(one, sort_keys=True): one for one in sets}.values())


def list_metric_cases(name):
    """Return the labels of a metric's cases: a data set and constants, "wide {"k": 3}"."""
    return [
        f"{data} {json.dumps(one, sort_keys=True)}"
        for one in list_constants(name)
        for data in _list_data(one)
    ]


def _list_data(constants):
    """Return the data sets for a set of constants; some ask for thousands of rows."""
    if constants.get("shrink", 1) == 0:  # a hundred such subsets take seconds: for one seed only
        return ("large",) if constants["seed"] == 2020 else ("many",)
    usual = ("wide", "narrow", "uneven", "tied", "near", "many")
    return (*usual, *(("large",) if constants.get("block") else ()))


def compute_metric(name, kept=()):
    """Compute a metric with today's constants and with those of its golden file.

    A metric with a function of two images has the numbers of that function too.
    """
    row, found = registry.find("metrics", name), {}
    labels = [label for label in kept if not label.startswith("between ")]
    for label in dict.fromkeys([*list_metric_cases(name), *labels]):
        data, _, constants = label.partition(" ")
        found[label] = [
            float(row.value(inputs.make_arrays(data, row.needs), **json.loads(constants)))
        ]
    if row.between is not None:
        first, second = inputs.make_images(4, 24, 20), inputs.make_images(4, 24, 20, seed=4)
        second[1] = first[1]
        second[2] = (first[2] // 4) * 4
        found |= {
            f"between {i}": [float(value)] for i, value in enumerate(row.between(first, second))
        }
    return found


# Extractors


def compute_extractor(name, kept=()):
    """Compute the norm and projections of an extractor's features of four images of two sizes."""
    row, found = registry.find("extractors", name), {}
    settings = inputs.find_transformer_settings(row.weights.name) if row.weights else None
    if settings:
        found["settings of the published network"] = settings
    with inputs.shallow_transformers():
        extract = row.load("cpu", *inputs.find_weights(row))
        for number, (height, width) in enumerate(inputs.make_image_sizes(row.size)):
            prompts = [list(inputs.PROMPTS[2 * number : 2 * number + 2])] if row.wants else []
            for output, rows in extract(inputs.make_images(2, height, width), *prompts).items():
                found |= {
                    f"{output} of {height}x{width}, image {i}": _summarise(one)
                    for i, one in enumerate(rows)
                }
    return found


def _summarise(values):
    """Return a vector's norm and products with seeded vectors of +1 and -1; a number as it is."""
    values = values.detach().double().numpy().ravel()
    if len(values) == 1:
        return [float(values[0])]
    return [
        float(np.linalg.norm(values)),
        *(float(signs @ values) for signs in _draw_signs(len(values))),
    ]


def _draw_signs(width):
    return 2.0 * np.random.RandomState(width).randint(0, 2, (PROJECTIONS, width)) - 1


# Resizes


def compute_resize(name, kept=()):
    """Compute a resize or a crop of images enlarged, shrunk and both, and of float images."""
    found = {}
    for (height, width), (down, across) in (
        ((24, 30), (64, 50)),
        ((90, 70), (32, 41)),
        ((40, 70), (75, 33)),
    ):
        images = inputs.make_images(2, height, width)
        for kind, given in (("uint8", images), ("float", images.float() * 0.98 + 0.3)):
            if name in CROPS:
                if kind == "float" and name != "centre-square":
                    continue
                shown, words = CROPS[name](given, down), f"{down}"
            else:
                shown, words = resize.resize(given, (down, across), name), f"{down}x{across}"
            found |= {
                f"{kind} {height}x{width} to {words}, image {i}": _summarise(one)
                for i, one in enumerate(shown)
            }
    return found


CROPS = {
    "centre-square": lambda images, size: resize.centre_square(images),
    "adm-crop": resize.adm_crop,
    "clip-crop": resize.clip_crop,
}


def _resize_tolerance(name):
    """Whole grey levels are exact."""
    exact = name in CROPS or resize.RESIZES[name].levels
    return 1e-12 if exact else 1e-6  # of a norm, which is a root


# Blocks, real against real, intervals


def compute_blocks(name, kept=()):
    """Compute the block of each sample under a label policy, of few and of many samples."""
    rng = np.random.RandomState(5)
    shares = {
        "balanced": None,
        "iid": [0.25, 0.25, 0.25, 0.25],
        "training": [0.6, 0.3, 0.08, 0.02],
    }[name]
    found = {}
    for case, n in (("few", 15), ("many", 150)):
        labels = np.arange(n) % 4 if shares is None else rng.choice(4, n, p=shares)
        found |= {
            f"{case} samples of four classes": labels,
            f"{case} samples of one class": np.zeros(n, dtype=np.int64),
        }
    return {
        case: [1.0, *map(float, blocks.blocks_of(labels))] for case, labels in found.items()
    }  # 1: the scale


def compute_real_vs_real(name, kept=()):
    """Compute median and 95th percentile of real data against real data.

    The pool suffices for the first sizes and not for the second; the third is of repeats.
    """
    rng = np.random.RandomState(6)
    labels = np.arange(120) % 4
    rows = np.round(rng.randn(120, 6) * 1024 + 300 * labels[:, None]) / 1024
    pool = real_vs_real.Pool({"golden.rows": rows}, labels, ("golden",), {})
    measures = []
    for metric in ("fd", "kd", "recall"):
        plain = dataclasses.asdict(Measure(metric, "golden.rows", "heldout"))
        measures.append(
            {
                **plain,
                "constants": {},
                **metric_versions.of_measure(registry.find("metrics", metric), "balanced"),
            }
        )
    found = {}
    for case, n, held, least in (
        ("whole", 40, 60, 1),
        ("shrunk", 100, 110, 1),
        ("least of 3", 40, 60, 3),
    ):
        counts = {measure["name"]: np.full(4, n // 4) for measure in measures}
        with _home():
            lines = real_vs_real.real_lines(
                measures, pool, counts, {"heldout": held}, "train", least
            )
        for measure, line in lines.items():
            found |= {
                f"{case}, {measure}, median": [line.median],
                f"{case}, {measure}, 95th percentile": [line.high],
            }
            found[f"{case}, {measure}, samples of each split"] = [float(line.used)]
    return found


@contextlib.contextmanager
def _home():
    """Give GENBENCH_HOME a folder without any cached line, and keep quiet."""
    before = {name: os.environ.get(name) for name in ("GENBENCH_HOME", "GENBENCH_QUIET")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"GENBENCH_HOME": folder, "GENBENCH_QUIET": "1"}
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def compute_pairs(name, kept=()):
    """Compute points on each path between two latents, and images as each measure compares them."""
    import torch

    rng = np.random.RandomState(8)
    a, b = (torch.from_numpy(np.round(rng.randn(4, 12) * 1024) / 1024) for _ in range(2))
    t = torch.tensor([0.0, 0.25, 0.5, 1.0])
    found = {
        f"point of {path} at {t[i]:g}": _summarise(one)
        for path in PATHS
        for i, one in enumerate(latent_paths.point(a, b, t, path))
    }
    images = inputs.make_images(1, 540, 540).float() / 127.5 - 1.02
    for pairs in list_pairs():
        shown = json.dumps(
            {key: getattr(pairs, key) for key in ("crop", "size", "reduce", "levels")}
        )
        found |= {
            f"{side} pixels compared with {shown}": _summarise(
                latent_paths.compared(images[..., :side, :side], pairs)[0]
            )
            for side in (48, 540)
        }
    return found


PATHS = ("lerp", "slerp", "slerp_unit")


def list_pairs():
    """Return the settings of latent pairs of every shipped protocol and measure."""
    protocols = (
        measure for protocol in find_rows("protocols").values() for measure in protocol.measures
    )
    return [
        measure.pairs for measure in (*protocols, *find_rows("measures").values()) if measure.pairs
    ]


def compute_interval(name, kept=()):
    """Compute standard error, low and high by each method, of equal and unequal blocks."""
    rng, found = np.random.RandomState(7), {}
    for case, sizes in (
        ("equal blocks", [6] * 20),
        ("unequal blocks", [*range(3, 15)]),
        ("two blocks", [10, 7]),
    ):
        for method in ("jackknife", "wilson", "mean"):
            value, left_out = 0.625, 0.625 + np.round(rng.randn(len(sizes)) * 64) / 4096
            found |= _name_ends(
                f"{method}, {case}",
                confidence_intervals.interval(method, value, left_out, np.array(sizes)),
            )
    for share in (0.0, 1.0):
        found |= _name_ends(
            f"wilson, share {share:g}",
            confidence_intervals.interval("wilson", share, np.full(20, share), np.full(20, 6)),
        )
    return found


def _name_ends(case, found):
    return {
        f"{case}, {end}": [float(number)]
        for end, number in zip(("standard error", "low", "high"), found, strict=True)
    }


# The kinds


def _version_of(row):
    return getattr(row, "version", 1)


def _file_of(function):
    """Return the file of a function, from the checkout's folder."""
    path = Path(inspect.getsourcefile(function)).resolve()
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path


def _split(version):
    name, _, number = version.partition("/")
    return {name: int(number)}


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "metrics",
            lambda: {name: _version_of(row) for name, row in find_rows("metrics").items()},
            compute_metric,
            lambda name: ROUGHER.get(name, 1e-9),
            lambda name: (
                f"Metric.version of {name} in {_file_of(registry.find('metrics', name).value)}"
            ),
            scale=lambda numbers: max(abs(numbers[0]), NEAR_ZERO),
        ),
        Kind(
            "extractors",
            lambda: {name: _version_of(row) for name, row in find_rows("extractors").items()},
            compute_extractor,
            lambda name: 1e-5,
            lambda name: (
                f"Extractor.version of {name} in {_file_of(registry.find('extractors', name).load)}"
            ),
            spread=ALIGNED,
            scale=lambda numbers: abs(numbers[0]) if len(numbers) > 1 else 1.0,  # a cosine
        ),
        Kind(
            "resizes",
            lambda: dict.fromkeys((*resize.RESIZES, *CROPS), RESIZES),
            compute_resize,
            _resize_tolerance,
            lambda name: (
                "RESIZES in tests/golden/golden_numbers.py and Extractor.version of every "
                f"extractor that uses {name}"
            ),
            spread=ALIGNED,
        ),
        Kind(
            "blocks",
            lambda: dict(metric_versions.BLOCKS),
            compute_blocks,
            lambda name: 1e-9,
            lambda name: f"BLOCKS[{name!r}] in {_file_of(metric_versions.of_measure)}",
        ),
        Kind(
            "real_vs_real",
            lambda: _split(metric_versions.REAL_VS_REAL),
            compute_real_vs_real,
            lambda name: 1e-9,
            lambda name: f"REAL_VS_REAL in {_file_of(metric_versions.of_measure)}",
        ),
        Kind(
            "latent_pairs",
            lambda: _split(metric_versions.PAIRS),
            compute_pairs,
            lambda name: 1e-5,
            lambda name: f"PAIRS in {_file_of(metric_versions.of_measure)}",
        ),
        Kind(
            "intervals",
            lambda: dict(INTERVALS),
            compute_interval,
            lambda name: 1e-9,
            lambda name: "INTERVALS in tests/golden/golden_numbers.py",
            scale=lambda numbers: max(abs(numbers[0]), NEAR_ZERO),
        ),
    )
}


def compute(kind, name, kept=()):
    """Compute the numbers of a name by case, on one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            found = KINDS[kind].compute(name, kept)
    finally:
        torch.set_num_threads(threads)
    wrong = [case for case, numbers in found.items() if not all(map(math.isfinite, numbers))]
    assert not wrong, f"{kind}/{name}: not finite in {wrong}"
    return found


# Files


def path_of(kind, name, version):
    """Return the file of the golden numbers of one version."""
    return GOLDEN / kind / f"{name}-{version}.json"


def read(path):
    """Read a golden file: numbers by case, and the scales of those that have one of their own."""
    content = json.loads(path.read_text())
    return content["cases"], content.get("scales", {})


def write(kind, name, version, cases):
    """Write a golden file, a line to a case."""
    scales = {
        case: scale
        for case, numbers in cases.items()
        if (scale := KINDS[kind].scale(numbers)) != abs(numbers[0])
    }
    parts = [f'"name": {json.dumps(name)}', f'"version": {version}', f'"cases": {_lay_out(cases)}']
    parts += [f'"scales": {_lay_out(scales)}'] if scales else []
    path = path_of(kind, name, version)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{" + ",\n".join(parts) + "}\n")


def _lay_out(table):
    return (
        "{\n"
        + ",\n".join(
            f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}"
            for key, value in table.items()
        )
        + "}"
    )


def find_moved(kind, name, golden, scales, found):
    """Return a line for each case that is in both and has other numbers than the golden file."""
    tolerance, lines = KINDS[kind].tolerance(name), []
    for case in golden.keys() & found.keys():
        old, new = golden[case], found[case]
        allowed = tolerance * scales.get(case, abs(old[0]))
        limits = [allowed, *[allowed * KINDS[kind].spread] * (len(old) - 1)]
        if len(old) != len(new):
            lines.append(f"{case}: {len(new)} numbers, golden are {len(old)}")
            continue
        pairs = zip(old, new, limits, strict=True)
        if off := [(before, now) for before, now, limit in pairs if not abs(before - now) <= limit]:
            lines.append(f"{case}: {off[0][1]!r}, golden is {off[0][0]!r}")
    return sorted(lines)


def list_golden_versions(kind):
    """Return the versions that have a golden file by name, in order."""
    found = {}
    for path in sorted((GOLDEN / kind).glob("*.json")):
        name, _, version = path.stem.rpartition("-")
        found.setdefault(name, []).append(int(version))
    return {name: sorted(versions) for name, versions in found.items()}


def label_of(kind, name):
    """Return the word for a name that make.py takes: alone where no other kind has it."""
    return name if sum(name in one.versions() for one in KINDS.values()) == 1 else f"{kind}/{name}"
