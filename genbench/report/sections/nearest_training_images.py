"""Samples beside their nearest training images, in features and in pixels: is anything copied?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.formatting import plus_minus
from genbench._util.lazy_imports import np
from genbench.api.report_section import Section
from genbench.report.run_data import reasons
from genbench.report.svg_plots import FAINT, INK
from genbench.statistics import nearest_neighbours

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

SHOWN, NEAR, PIXELS = 8, 4, 2
TO_TRAIN, TO_HELD, AMONG = (
    "samples to training images",
    "samples to held-out images",
    "training images to each other",
)
LARGEST = 5_000  # samples that are searched, the first so many
COPYING = ("authpct", "nearest_train", "duplicates", "ct")
TEMPLATE = """
<p class="quiet">Chosen by a rule: the {{ shown }} samples whose nearest training image is \
nearest{% if held %} beside their nearest held-out image
(smallest ratio of the two){% endif %}, in the features of
the protocol. In each row: the sample, outlined; its {{ near }} nearest training images by \
features; its {{ pixels }} nearest by pixels. <b>Percentile</b>:
how many of 100 {{ 'held-out' if held else 'other training' }} images lie
nearer to a training image than this sample does; 0 for a copy. These are the closest of all \
samples, so small figures are usual: whether there are too
many, the curves below say.</p>
<div class="figures">
{% for one in found %}
<figure><p class="title">{{ report.badge(one.run) }}</p>
{% if one.reason %}<p class="reason">Not shown: {{ one.reason }}</p>
{% else %}
<div class="grid"><ul aria-hidden="true">{% for row in one.rows %}<li>{{ row.seed }}<small>\
{{ '%.0f'|format(row.percentile) }} %</small>
</li>{% endfor %}</ul>
{{ report.picture(one.sheet, one.alt) }}</div>
<figcaption>{{ one.words }}</figcaption>
{% endif %}</figure>
{% endfor %}
</div>
<div class="figures plots">{% for one in found if not one.reason %}<figure>
<p class="title">{{ one.run.name }}</p>{{ one.plot }}<figcaption>{{ one.says }}</figcaption>\
</figure>{% endfor %}</div>
{% if scores %}<ul>{% for line in scores %}<li>{{ line }}</li>{% endfor %}</ul>{% else %}\
<p class="quiet">No number of memorisation was taken:
<code>genbench run --metrics authpct,nearest_train,duplicates</code> with the same words adds \
them.</p>{% endif %}
"""


def render(report: Any) -> Any:
    """A picture and a plot of distances for each run; what the record says of copying."""
    found = []
    for run in report.runs:
        try:
            found.append(_found(report, run))
        except UserError as error:
            found.append({"run": run, "reason": run.why(error)})
    if all(one["reason"] for one in found):
        return "; ".join(reasons([(one["run"], one["reason"]) for one in found]))
    held = all(one.get("held") for one in found if not one["reason"])
    return report.html(
        TEMPLATE,
        found=found,
        shown=SHOWN,
        near=NEAR,
        pixels=PIXELS,
        held=held,
        scores=[line for run in report.runs for line in _scores(run)],
    )


def _scores(run: Any) -> list[str]:
    of = {
        one["name"]
        for under in run.record.plan["protocols"].values()
        for one in under["measures"]
        if one.get("metric") in COPYING
    }
    good = [
        one
        for one in run.record.scores
        if one.metric in of and one.part == "all" and one.status == "ok"
    ]
    return [
        f"{run.name}: {one.metric} {plus_minus(one.value, one.low, one.high)}"
        + (f", real {one.real:.3g}" if one.real is not None else "")
        for one in good
    ]


def _found(report: Any, run: Any) -> dict[str, Any]:
    if run.train not in run.dataset.splits:
        raise UserError(f"the data set {run.dataset.name} has no training split")
    samples, (train, _) = run.samples[:LARGEST], run.real(run.train)
    if len(train) < NEAR + 1:
        raise UserError(f"{len(train)} training images are too few")
    squares, places = nearest_neighbours.nearest(samples, train, NEAR)
    held = run.real(run.reference)[0] if run.reference != run.train else None
    usual = np.sqrt(
        (
            nearest_neighbours.nearest_others(train, 1)
            if held is None
            else nearest_neighbours.nearest(held, train, 1)
        )[0][:, 0]
    )
    apart = np.sqrt(squares[:, 0])
    ratio = (
        apart / np.maximum(np.sqrt(nearest_neighbours.nearest(samples, held, 1)[0][:, 0]), 1e-12)
        if held is not None
        else apart
    )
    chosen = np.lexsort((apart, ratio))[:SHOWN]
    curves = (
        dict(zip((TO_TRAIN, TO_HELD), _fair(samples, train, held), strict=True))
        if held is not None
        else {TO_TRAIN: apart, AMONG: usual}
    )
    rows = [
        {
            "seed": f"seed {run.first_seed + int(at)}",
            "percentile": 100 * float((usual < apart[at]).mean()),
        }
        for at in chosen
    ]
    sheet = report.sheet(
        _pictures(run, chosen, places[chosen]), "half", outlined={0}, least=1 + NEAR
    )
    return {
        "run": run,
        "reason": "",
        "held": held is not None,
        "rows": rows,
        "sheet": sheet,
        "alt": (
            f"Samples of {run.label}, each beside its nearest training images by "
            "features and by pixels"
        ),
        "words": _words(run, sheet.note),
        "plot": _plot(report, run, curves),
        "says": _says(curves),
    }


def _words(run: Any, note: str) -> str:
    words = [
        f"features {run.measured[2]['features']}, training split {run.train}",
        *([f"of the first {LARGEST} samples"] if run.n > LARGEST else []),
    ]
    return "; ".join([*words, *([note] if note else [])])


def _fair(samples: Array, train: Array, held: Array) -> tuple[Array, Array]:
    """Distances of each sample to the nearest of equally many training and held-out images:
    of the larger set, a choice by seed 0.
    """
    count = min(len(train), len(held))
    rng = np.random.default_rng(0)
    sides = [
        one if len(one) == count else one[rng.choice(len(one), count, replace=False)]
        for one in (train, held)
    ]
    return tuple(  # type: ignore[return-value]
        np.sqrt(nearest_neighbours.nearest(samples, one, 1)[0][:, 0]) for one in sides
    )


def _says(curves: dict[str, Array]) -> str:
    medians = ", ".join(f"{name} {np.median(values):.3g}" for name, values in curves.items())
    return f"Median distances: {medians}. " + (
        "Both sets have equally many images, so a generator that knows neither better gives "
        "one curve twice. Where that to training images lies to the left, it is drawn to them: "
        "it remembers, or the two sets hold their classes in other shares."
        if TO_HELD in curves
        else "There is no held-out split: samples that are merely typical lie to the left too."
    )


def _pictures(run: Any, chosen: Array, near: Array) -> Array:
    """Sample, nearest by features, nearest by pixels: uint8 [rows, 1 + NEAR + PIXELS, 3, h, w] of
    the samples' size.
    """
    ours = run.images(chosen.tolist())
    wanted = {int(place) for place in near.ravel()}
    pixels, best = {}, [[] for _ in chosen]  # type: ignore[var-annotated]
    flat = ours.reshape(len(ours), -1).astype(np.float32)
    for at, images in run.real_images(run.train):
        pixels |= {place: images[place - at] for place in wanted if at <= place < at + len(images)}
        if images.shape[1:] != ours.shape[1:]:
            continue
        theirs = images.reshape(len(images), -1).astype(np.float32)
        squares = (flat**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * flat @ theirs.T
        for row, own in enumerate(squares):
            first = np.argsort(own, kind="stable")[:PIXELS]
            best[row] = sorted(
                [*best[row], *((float(own[i]), at + int(i), images[i]) for i in first)],
                key=lambda one: one[:2],
            )[:PIXELS]
    size = ours.shape[1:]
    return np.stack(
        [
            np.stack(
                [
                    ours[row],
                    *(_fitting(pixels[int(p)], size) for p in near[row]),
                    *(one[2] for one in best[row]),
                ]
            )
            for row in range(len(ours))
        ]
    )


def _fitting(image: Array, size: tuple[int, ...]) -> Array:
    """An image of another size from its upper left, on grey."""
    if image.shape == size:
        return image
    found = np.full(size, 128, dtype=np.uint8)
    h, w = min(size[1], image.shape[1]), min(size[2], image.shape[2])
    found[:, :h, :w] = image[:, :h, :w]
    return found


def _plot(report: Any, run: Any, curves: dict[str, Array]) -> Any:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.grid(color=FAINT)
        styles = (
            {"color": run.colour, "linewidth": 2.2},
            {"color": INK, "linestyle": "--", "linewidth": 1.3},
        )
        for (name, values), style in zip(curves.items(), styles, strict=True):
            points = np.quantile(values, np.linspace(0, 1, min(len(values), 200)))
            axes.plot(points, np.linspace(0, 1, len(points)), label=name, **style)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1)
        axes.set_xlabel("distance to the nearest")
        axes.set_ylabel("share below")
        axes.legend(loc="lower right")

    return report.plot(
        draw,
        f"{run.label}: share below each distance, of {' and of '.join(curves)}. {_says(curves)}",
    )


ROW = Section("neighbours", "Memorisation", 70, render, pictures=True)
