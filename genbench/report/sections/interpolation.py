"""From one latent to another in small steps: smooth, or by leaps?

With the path length where it was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import PluginFailed, UserError
from genbench._util.formatting import plus_minus
from genbench._util.lazy_imports import np, torch
from genbench.api.report_section import Section
from genbench.data import image_checks
from genbench.generators import latent_paths
from genbench.report.run_data import reasons

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

STRIPS, STEPS = 5, 9
TEMPLATE = """
<p class="quiet">Row = a pair of seeds{% if classes %} of one class{% endif %}, \
column = an equal step between their latents; the outlined ends are two
seeds. The line below is how far each step moves in pixels,
root mean square, mean over the rows: level where the way is smooth, with a peak where it leaps.</p>
<div class="figures">
{% for one in found %}
<figure><p class="title">{{ report.badge(one.run) }}</p>
{% if one.reason %}<p class="reason">Not shown: {{ one.reason }}</p>
{% else %}
<div class="grid"><ul aria-hidden="true">{% for name in one.rows %}<li>{{ name }}</li>{% endfor %}\
</ul>{{ report.picture(one.sheet, one.alt) }}</div>
{{ one.plot }}
<figcaption>{{ one.words }}</figcaption>
{% endif %}</figure>
{% endfor %}
</div>
"""


def render(report: Any) -> Any:
    """A strip for each run whose generator renders latents and is the one that drew it."""
    found = []
    for run in report.runs:
        try:
            found.append(_strip(report, run))
        except UserError as error:
            if isinstance(error, PluginFailed) and len(report.runs) == 1:
                raise
            found.append({"run": run, "reason": run.why(error)})
    if all(one["reason"] for one in found):
        return "; ".join(reasons([(one["run"], one["reason"]) for one in found]))
    return report.html(
        TEMPLATE, found=found, classes=any(run.labels is not None for run in report.runs)
    )


def _strip(report: Any, run: Any) -> dict[str, Any]:
    generator = run.generator
    if not {"latents", "synthesize"} <= set(generator.description.abilities):
        raise UserError("it renders no latent space: it has no hooks latents and synthesize")
    space = next(iter(generator.description.attributes.get("spaces", ("z",))))
    path = "slerp" if space == "z" else "lerp"
    ends = _pairs(run)
    drawn = _drawn(generator, run, ends, space, path)
    moves = np.sqrt(((drawn[:, 1:].astype(np.float64) - drawn[:, :-1]) ** 2).mean((2, 3, 4))).mean(
        0
    )
    sheet = report.sheet(drawn, "third", outlined={0, STEPS - 1}, least=STEPS)
    rows = [
        run.classes[int(run.labels[a])]
        if run.labels is not None
        else f"{run.first_seed + a}, {run.first_seed + b}"
        for a, b in ends
    ]
    pairs = ", ".join(f"{run.first_seed + a} to {run.first_seed + b}" for a, b in ends)
    return {
        "run": run,
        "reason": "",
        "sheet": sheet,
        "rows": rows,
        "plot": _plot(report, run, moves),
        "alt": f"Interpolations of {run.label} in {len(ends)} rows of {STEPS} steps",
        "words": f"space {space}, {path}; seeds {pairs}. {_length(run)}"
        + (f" {sheet.note}" if sheet.note else ""),
    }


def _pairs(run: Any) -> list[tuple[int, int]]:
    """Places in the run of the two ends of each row: the first two samples of a class,
    the classes in turn; without classes, neighbours.
    """
    if run.labels is None:
        return [(at, at + 1) for at in range(0, min(2 * STRIPS, run.n - 1), 2)]
    members = [np.flatnonzero(run.labels == c)[:2].tolist() for c in np.unique(run.labels)]
    return [(one[0], one[1]) for one in members if len(one) == 2][:STRIPS]


def _drawn(generator: Any, run: Any, ends: list[tuple[int, int]], space: str, path: str) -> Array:
    """uint8 [pairs, STEPS, 3, h, w]; what a generator adds besides latents (noise) is that of the
    first end throughout.
    """
    if not ends:
        raise UserError("no class has two samples")
    firsts, seconds = (
        torch.as_tensor([run.first_seed + one[at] for one in ends], device=generator.device)
        for at in (0, 1)
    )
    labels = (
        None
        if run.labels is None
        else torch.as_tensor(run.labels[[a for a, _ in ends]], device=generator.device)
    )
    with torch.no_grad():
        a, b = (
            generator.call("latents", seeds=seeds, labels=labels, space=space)
            for seeds in (firsts, seconds)
        )
        steps = []
        for at in np.linspace(0, 1, STEPS):
            latents = latent_paths.point(
                a, b, torch.full((len(ends),), float(at), device=generator.device), path
            )
            answer = generator.call(
                "synthesize", latents=latents, labels=labels, seeds=firsts, space=space
            )
            steps.append(
                image_checks.checked(answer.clamp(-1, 1), len(ends), (-1.0, 1.0), "round")[0]
                .cpu()
                .numpy()
            )
    return np.stack(steps, 1)


def _length(run: Any) -> str:
    """The path length by the record."""
    named = {
        one["name"]
        for under in run.record.plan["protocols"].values()
        for one in under["measures"]
        if one.get("metric") == "path_length"
    }
    good = [
        one
        for one in run.record.scores
        if one.metric in named and one.status == "ok" and one.part == "all"
    ]
    if good:
        return " ".join(
            f"{one.metric} {plus_minus(one.value, one.low, one.high)} (n = {one.n})."
            for one in good
        )
    return (
        "Its path length was not measured: genbench run --metrics ppl, or another path length of "
        "genbench metrics, with the same words adds it."
    )


def _plot(report: Any, run: Any, moves: Array) -> Any:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(np.arange(1, len(moves) + 1), moves, marker="o", markersize=4, color=run.colour)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("moves by")

    return report.plot(
        draw,
        (
            f"How far each of {len(moves)} steps of {run.label} moves: "
            f"{', '.join(f'{one:.3g}' for one in moves)} grey levels"
        ),
        (4.4, 1.5),
    )


ROW = Section("interpolation", "Interpolation", 65, render, pictures=True)
