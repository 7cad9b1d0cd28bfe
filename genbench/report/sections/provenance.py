"""Where the numbers come from: versions, digests, environment, licences,
and the command that repeats each run.
"""

from __future__ import annotations

import contextlib
import shlex
from typing import Any

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.report_section import Section
from genbench.generators.seeded_noise import LARGEST_SEED, first_seed

TEMPLATE = """
{% for one in found %}
<h3>{{ report.badge(one.run) }}</h3>
<p class="quiet">The command that repeats it:</p>
<pre><code>{{ one.command }}</code></pre>
{% if one.remarks %}<p class="quiet">{{ one.remarks }}</p>{% endif %}
<dl>{% for word, said in one.told.items() if said %}<dt>{{ word }}</dt>\
<dd{% if word in digests %} class="hash"{% endif %}>{{ said }}</dd>{% endfor %}</dl>
{% endfor %}
"""
DIGESTS = ("Run", "Code of the generator", "Checkpoint", "Real images", "Feature weights", "Commit")


def render(report: Any) -> Any:
    """A block for each run."""
    found = []
    for run in report.runs:
        command, remarks = repeating(run)
        found.append({"run": run, "command": command, "remarks": remarks, "told": _told(run)})
    return report.html(TEMPLATE, found=found, digests=DIGESTS)


def repeating(run: Any) -> tuple[str, str]:
    """The words of `genbench run` that make the run again, and what has to be at hand for it."""
    plan = run.record.plan
    identity, conditions = plan["identity"], plan["identity"]["conditions"]
    origin = str(plan.get("origin", ""))
    words = [
        "genbench",
        "run",
        "--plugin",
        origin if origin.endswith(".py") else identity["generator"],
        "--dataset",
        plan.get("dataset") or identity["dataset"],
    ]
    remarks = []
    for name, value in (identity.get("options") or {}).items():
        words += ["-o", f"{name}={'none' if value is None else value}"]
    for name in plan["protocols"]:
        words += ["--protocol", name]
    if metrics := _metrics(plan["protocols"]):
        words += ["--metrics", ",".join(metrics)]
    words += ["--n", str(identity["n"]), *_seeds(int(identity["first_seed"]), int(identity["n"]))]
    words += ["--labels", str(conditions["labels"])] if conditions.get("labels") else []
    words += [
        "--batch-size",
        str(plan.get("batch_size", 50)),
        "--device",
        str(plan.get("device", "cpu")),
    ]
    if "[" in str(plan["label"]):
        words += ["--checkpoint", str(plan["label"]).rpartition("[")[2].partition(" ")[0]]
        remarks.append(f"the checkpoint has the SHA-256 {identity['checkpoint']}")
    if "file" in (said := conditions.get("prompts") or {}):
        words += ["--prompts", "PROMPTS"]
        remarks.append(f"PROMPTS is the file of SHA-256 {said['file']}")
    elif "template" in said:
        words += ["--template", str(said["template"])]
    precisions = {
        one.get("precision", "float32")
        for under in plan["protocols"].values()
        for one in under["extractors"].values()
    } - {"float32"}
    words += ["--feature-precision", *sorted(precisions)[:1]] if precisions else []
    statistics = next(
        (under["statistics"] for under in plan["protocols"].values() if under.get("statistics")),
        None,
    )
    if statistics:
        words += ["--reference", "STATISTICS.npz"]
        remarks.append(f"STATISTICS.npz is the file of SHA-256 {statistics['sha256']}")
    return shlex.join(map(str, words)), "; ".join(remarks)


def _seeds(first: int, n: int) -> list[str]:
    turn = next((turn for turn in range(LARGEST_SEED + 1) if first_seed(turn) == first), None)
    return ["--seed", str(turn)] if turn is not None else ["--seeds", f"{first}-{first + n - 1}"]


def _metrics(protocols: Any) -> list[str]:
    """The numbers to be named: none where the protocols' own are what was taken."""
    words: list[str] = []
    own: set[str] = set()
    for name, under in protocols.items():
        row = registry.find("protocols", name) if name in registry.standing("protocols") else None
        own |= {one.name for one in row.measures} if row else set()
        words += [_word(one, row) for one in under["measures"]]
    return [] if set(words) == own else list(dict.fromkeys(words))


def _word(measure: Any, row: Any) -> str:
    placed = measure["name"] in {one.name for one in row.measures} if row else False
    return str(
        measure["name"]
        if placed or measure["name"] in registry.standing("measures")
        else measure.get("metric", measure["name"])
    )


def _told(run: Any) -> dict[str, str]:
    plan, environment = run.record.plan, run.record.environment
    identity = plan["identity"]
    versions = {"python": environment.get("python"), **(environment.get("versions") or {})}
    splits = {
        split: seal
        for under in plan["protocols"].values()
        for split, seal in under["splits"].items()
    }
    weights = {
        name: one.get("weights")
        for under in plan["protocols"].values()
        for name, one in under["extractors"].items()
    }
    measures = [
        one
        for under in plan["protocols"].values()
        for one in under["measures"]
        if not one.get("skip")
    ]
    dirty = " with changes" if environment.get("git_dirty") else ""
    return {
        "Run": f"{run.record.id}, made {run.record.created} by genbench {run.record.genbench}",
        "Generator": (
            f"{identity['generator']} ({plan.get('origin', '')}); "
            f"seeds {plan.get('seeding', 'per image')}"
        ),
        "Code of the generator": str(identity.get("code", "")),
        "Checkpoint": str(identity["checkpoint"] or "none"),
        "Training": ", ".join(
            f"{name} {value}"
            for name, value in (plan.get("training") or {}).items()
            if isinstance(value, str | int) and value != ""
        ),
        "Chosen by": run.entries[next(iter(run.entries))].tuned,
        "Real images": ", ".join(f"{split} {seal}" for split, seal in sorted(splits.items())),
        "Formulas": ", ".join(
            dict.fromkeys(str(one.get("formula", "")) for one in measures if one.get("formula"))
        ),
        "Intervals": ", ".join(
            dict.fromkeys(
                f"blocks {one['interval']}, leave-outs {one['leave_outs']}"
                for one in measures
                if "interval" in one
            )
        ),
        "Real-vs-real": ", ".join(
            dict.fromkeys(str(one["real_vs_real"]) for one in measures if "real_vs_real" in one)
        ),
        "Feature weights": ", ".join(
            f"{name} {seal}" for name, seal in sorted(weights.items()) if seal
        ),
        "Licences": _licences(run, sorted(weights)),
        "Versions": ", ".join(
            f"{name} {version}" for name, version in sorted(versions.items()) if version
        ),
        "Machine": ", ".join(
            str(one)
            for one in (
                environment.get("platform"),
                environment.get("device"),
                _threads(environment),
            )
            if one
        ),
        "Arithmetic": (
            f"deterministic algorithms {'on' if environment.get('deterministic') else 'off'}, "
            f"TF32 {'on' if environment.get('tf32') else 'off'}"
        ),
        "Commit": f"{environment['git_commit']}{dirty}" if environment.get("git_commit") else "",
    }


def _threads(environment: Any) -> str:
    return (
        f"{environment['threads']} threads of {environment.get('cpus')} processors"
        if environment.get("threads")
        else ""
    )


def _licences(run: Any, extractors: list[str]) -> str:
    """Of the real images and of the feature weights, as their rows say;
    what no row says is left out.
    """
    found = []
    with contextlib.suppress(UserError):
        found.append(f"{run.dataset.name}: {run.dataset.licence}")
    known = registry.standing("extractors")
    rows = [registry.find("extractors", name) for name in extractors if name in known]
    return "; ".join(
        [*found, *(f"{row.name}: {row.weights.licence}" for row in rows if row.weights)]
    )


ROW = Section("provenance", "Provenance", 100, render)
