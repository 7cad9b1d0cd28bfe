"""The samples that carry most of the distance, by the first-order influence of each,
and what the distance is without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np
from genbench.api.report_section import Section
from genbench.report.run_data import reasons
from genbench.statistics import frechet_distance, nearest_neighbours
from genbench.statistics.influence_function import influence

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

SHOWN, COLUMNS = 24, 8
WIDEST = 512  # features, up to which the worst are taken out one by one
TEMPLATE = """
<p class="quiet">Chosen by a rule, not by looks: {{ rule }}</p>
<div class="figures">
{% for one in found %}
<figure><p class="title">{{ report.badge(one.run) }}</p>
{% if one.reason %}<p class="reason">Not shown: {{ one.reason }}</p>
{% else %}
{{ report.picture(one.sheet, one.alt) }}
<figcaption>{{ one.words }}</figcaption>
<details><summary>Which they are</summary>\
<div class="scroll" tabindex="0" role="region" aria-label="Worst samples of {{ one.run.name }}">
<table class="sortable">
<thead><tr><th scope="col">Rank</th><th scope="col">Seed</th><th scope="col">Class</th>\
<th scope="col">{{ one.column }}</th></tr></thead><tbody>
{% for row in one.rows %}<tr><th scope="row">{{ row.rank }}</th><td>{{ row.seed }}</td><td>\
{{ row.of }}</td>
<td data-value="{{ row.value }}">{{ '%.3g'|format(row.value) }}</td></tr>
{% endfor %}</tbody></table></div></details>
{% endif %}</figure>
{% endfor %}
</div>
"""
INFLUENCE = (
    "the largest first-order influence ψ(x) = 2(μ−m)·(x−μ) + (x−μ)ᵀ(I−T)(x−μ) − tr((I−T)S) on "
    "the Fréchet distance, where T takes the Gaussian of the samples to that of the reference; "
    "{}, left to right in this order. Some of any faithful generator's samples stand here too."
)
TURNS = "the largest goes out, ψ is taken again of those that are left, and so on"
AT_ONCE = (
    "the largest of all at once, which overstates what they cost together where they are alike"
)
FARTHEST = (
    "farthest from their nearest real image of the reference, since there are fewer than twice as "
    "many samples as features."
)


def render(report: Any) -> Any:
    """The worst of each run, by influence where the samples suffice for it."""
    found = []
    for run in report.runs:
        try:
            found.append(_worst(report, run))
        except UserError as error:
            found.append({"run": run, "places": [], "reason": run.why(error), "rule": ""})
    if all(one["reason"] for one in found):
        return "; ".join(reasons([(one["run"], one["reason"]) for one in found]))
    rules = dict.fromkeys(one["rule"] for one in found if one["rule"])
    return report.html(TEMPLATE, found=found, rule=" Or, where marked: ".join(rules))


def _worst(report: Any, run: Any) -> dict[str, Any]:
    rows, (held, _) = run.samples, run.real(run.reference)
    many = len(rows) >= 2 * rows.shape[1] and len(held) > rows.shape[1]
    value, places = _costly(rows, held) if many else _far(rows, held)
    rule = INFLUENCE.format(TURNS if rows.shape[1] <= WIDEST else AT_ONCE) if many else FARTHEST
    images = run.images(places.tolist())
    columns = min(COLUMNS, len(places))
    shaped = images[: len(images) // columns * columns].reshape(-1, columns, *images.shape[1:])
    sheet = report.sheet(shaped, "third", least=columns)
    table = [
        {
            "rank": at + 1,
            "seed": run.first_seed + int(place),
            "of": run.classes[int(run.labels[place])] if run.labels is not None else "–",
            "value": float(value[place]),
        }
        for at, place in enumerate(places)
    ]
    return {
        "run": run, "reason": "", "places": places, "sheet": sheet, "rows": table, "rule": rule,
        "column": "ψ" if many else "distance",
        "words": _without(run, rows, held, places) if many else FARTHEST,
        "alt": f"The {len(places)} worst samples of {run.label}",
    }  # fmt: skip


def _far(rows: Array, held: Array) -> tuple[Array, Array]:
    """Each sample's distance to its nearest real image, and the places of the farthest."""
    value = np.sqrt(nearest_neighbours.nearest(rows, held, 1)[0][:, 0])
    return value, np.lexsort((np.arange(len(value)), -value))[:SHOWN]


def _costly(rows: Array, held: Array) -> tuple[Array, Array]:
    """ψ of each sample when it is taken out, one after the other, each time of those that are left:
    of many alike the first would else name them all, and without all of them the samples
    spread too little.

    Of wide features all at once, as each turn costs an eigenvalue problem.
    """
    left, value, places = np.arange(len(rows)), np.zeros(len(rows)), []
    turns = SHOWN if rows.shape[1] <= WIDEST else 1
    for _ in range(turns):
        now = influence(rows[left], held)
        worst = np.lexsort((left, -now))[: SHOWN // turns]
        places += left[worst].tolist()
        value[left[worst]] = now[worst]
        left = np.delete(left, worst)
    return value, np.array(places)


def _without(run: Any, rows: Array, held: Array, places: Array) -> str:
    """What the distance is with and without the worst, and without as many drawn at random."""
    still = frechet_distance.fit(held)
    whole, less = (
        frechet_distance.distance(rows, still),
        frechet_distance.distance(np.delete(rows, places, 0), still),
    )
    chance = np.random.default_rng(0).choice(len(rows), len(places), replace=False)
    usual = frechet_distance.distance(np.delete(rows, chance, 0), still)
    told = (
        f"The worst {len(places)} of {len(rows)}. The Fréchet distance of all is {whole:.3g}; "
        f"without these {less:.3g}"
    )
    return f"{told}, without {len(places)} drawn at random {usual:.3g}."


ROW = Section("worst", "Worst samples", 80, render, pictures=True)
