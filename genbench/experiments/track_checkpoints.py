"""A training followed: every checkpoint of a folder under the same seeds,
a number against the steps; the best chosen on one half, measured on the other.

Whoever takes the best of ten checkpoints has taken its luck too. So the choice is made on one half
of the real images under one range of seeds, and what is reported of it is its number on the other
half under the next.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench._util.checksummed_files import SEAL
from genbench._util.console import tell
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean, number, plus_minus, table
from genbench._util.lazy_imports import mpl_agg, mpl_figure, safetensors
from genbench.experiments.tune_options import MEASURED, SEARCHED, number_named
from genbench.generators.description import Description
from genbench.generators.seeded_noise import LARGEST_SEED
from genbench.leaderboards import comparison
from genbench.leaderboards.entries import number as there
from genbench.leaderboards.tradeoff_plots import LINES
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.records.record import Record, Score
from genbench.runs.run import execute

ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt", ".pkl", ".bin")
Point = dict[str, Any]


@dataclass(frozen=True)
class Track:
    """What is followed: checkpoints by step, the words of a run without one,
    and the number that chooses.
    """

    checkpoints: tuple[tuple[int, Path], ...]
    request: Request
    description: Description
    by: str  # its word, as the user gave it; "" for the protocol's first
    halves: bool = True  # False: against all real images, and nothing is chosen


def checkpoints(folder: Path) -> tuple[tuple[int, Path], ...]:
    """(step, file) of every checkpoint in a folder, by step:
    the one that the file says of its training, else the last number in its name.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder; genbench train --every STEPS leaves its checkpoints "
            "beside the last"
        )
    found: dict[int, Path] = {}
    for path in sorted(
        path for path in folder.iterdir() if path.suffix in ENDINGS and path.is_file()
    ):
        step = _step(path)
        if step is None:
            raise UserError(
                f"{path}: neither the file nor its name says a step; name it like "
                f"NAME-1000{path.suffix}, or move it"
            )
        if step in found:
            raise UserError(
                f"{found[step].name} and {path.name} in {folder} are both of step {step}; "
                "leave one of them there"
            )
        found[step] = path
    if len(found) < 2:
        raise UserError(
            f"{folder} has {len(found) or 'no'} checkpoint{'s' * (not found)} "
            f"({', '.join(ENDINGS)}); a track wants two and more"
        )
    return tuple(sorted(found.items()))


def _step(path: Path) -> int | None:
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(path, "np") as file:
                said = json.loads((file.metadata() or {}).get(SEAL, "{}")).get("steps")
        except Exception as error:  # safetensors raises its own types
            raise UserError(f"checkpoint {path} is not a safetensors file: {error}") from None
        if said is not None and str(said).isdigit():
            return int(said)
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def tracked(track: Track, out: Path) -> tuple[dict[str, Any], Record | None]:
    """The track as plain data, and the record of the chosen checkpoint on the other half;
    every plan is settled before the first image is drawn.
    """
    dataset = f"{track.request.dataset}-{SEARCHED}" if track.halves else track.request.dataset
    requests = [
        replace(track.request, dataset=dataset, checkpoint=path) for _, path in track.checkpoints
    ]
    plans = [settle(request, track.description) for request in requests]
    protocol = next(iter(plans[0].protocols.values()))
    name, row = number_named(
        plans[0], track.by or next(one["name"] for one in protocol["measures"] if not one["skip"])
    )
    points: list[Point] = []
    runs = []
    for (step, path), plan, request in zip(track.checkpoints, plans, requests, strict=True):
        tell(f"step {step}: {path.name}")
        try:
            found = execute(plan, track.description, request, out)
        except RunFailed as error:
            points.append(
                {
                    "step": step,
                    "checkpoint": clean(path.name),
                    "run": plan.id,
                    "value": None,
                    "reason": clean(str(error)),
                }
            )
            continue
        runs.append(found)
        points.append(_point(step, path, found, name))
    able = [point for point in points if point["value"] is not None]
    if not able:
        raise RunFailed(
            f"none of {len(points)} checkpoints has a value of {name}: {points[0]['reason']}"
        )
    best = (min if row.better == "lower" else max)(able, key=lambda point: float(point["value"]))
    _against(points, best, runs, name)
    said = {
        "dataset": dataset,
        "metric": name,
        "better": row.better,
        "n": plans[0].n,
        "seed": track.request.seed,
        "points": points,
        "chosen": best["step"],
    }
    if not track.halves:
        return {**said, "reported": None}, None
    chosen = _measured(track, said, best, len(able), out)
    return {
        **said,
        "reported": _point(best["step"], Path(best["checkpoint"]), chosen, name)
        | {"dataset": chosen.plan["dataset"]},
    }, chosen


def _score(found: Record, name: str) -> Score | None:
    return next((one for one in found.scores if (one.metric, one.part) == (name, "all")), None)


def _point(step: int, path: Path, found: Record, name: str) -> Point:
    score = _score(found, name)
    point = {
        "step": step,
        "checkpoint": clean(path.name),
        "sha256": found.plan["identity"]["checkpoint"],
        "run": found.id,
    }
    if score is None or score.status != "ok":
        return point | {"value": None, "reason": score.reason if score else "not measured"}
    return (
        point
        | {key: getattr(score, key) for key in ("value", "low", "high", "se", "real", "real_high")}
        | {"reason": ""}
    )


def _against(points: Sequence[Point], best: Point, runs: Sequence[Record], name: str) -> None:
    """Each point's paired difference from the best, p adjusted over all pairs of checkpoints:
    which of them were as good, for all that is shown.
    """
    (block, *_) = comparison.blocks(runs, [name], by="checkpoint")
    of = {unit.name: unit.entry.record.id for unit in block.units}
    for row in comparison.differences(block, name):
        ids = of[row["first"]], of[row["second"]]
        if best["run"] in ids:
            sign = 1 if ids[1] == best["run"] else -1
            other = ids[0] if ids[1] == best["run"] else ids[1]
            low, high = sorted((sign * row["low"], sign * row["high"]))
            told = {
                "difference": sign * row["difference"],
                "difference_low": low,
                "difference_high": high,
                "p_adjusted": row["p_adjusted"],
            }
            next(point for point in points if point["run"] == other).update(told)


def _measured(track: Track, said: Mapping[str, Any], best: Point, able: int, out: Path) -> Record:
    """The chosen checkpoint on the other half with seeds that the choice did not see;
    its record says what it was chosen by.
    """
    path = next(path for step, path in track.checkpoints if step == best["step"])
    seed = track.request.seed + 1 if track.request.seed < LARGEST_SEED else 0
    request = replace(
        track.request, dataset=f"{track.request.dataset}-{MEASURED}", checkpoint=path, seed=seed
    )
    names = [path.name for _, path in track.checkpoints]
    told = {
        "metric": said["metric"],
        "half": said["dataset"],
        "seed": said["seed"],
        "options": {"checkpoint": {"of": names}},
        "of": "checkpoints",
    }
    told |= {
        "trials": len(names),
        "different": len(names),
        "failed": len(names) - able,
        "chosen": [path.name],
        "best": best["value"],
    }
    tell(
        f"the best of {len(names)} checkpoints: step {best['step']}, {said['metric']} "
        f"{best['value']:.4g}; now on the other half, seed {seed}"
    )
    return execute(
        replace(settle(request, track.description), tuned=told), track.description, request, out
    )


def shown(said: Mapping[str, Any], label: str) -> str:
    """The track for people."""
    rows = []
    for point in said["points"]:
        chosen = point["step"] == said["chosen"]
        value = (
            plus_minus(point["value"], point["low"], point["high"])
            if point["value"] is not None
            else f"failed: {point['reason']}"
        )
        rows.append(
            [
                str(point["step"]),
                clean(point["checkpoint"]),
                value,
                "chosen" if chosen else _apart(point),
            ]
        )
    lines = [
        (
            f"track of {clean(label)} · {clean(said['dataset'])} · n = {said['n']} · seeds of "
            f"{said['seed']}, the same for every checkpoint"
        )
    ]
    lines.append(table(["step", "checkpoint", said["metric"], "against the chosen"], rows, left=2))
    reported = said["reported"]
    if reported and reported["value"] is not None:
        value = plus_minus(reported["value"], reported["low"], reported["high"])
        lines.append(
            f"Chosen of {len(rows)}: step {said['chosen']}. On the other half, "
            f"{clean(reported['dataset'])}, with other seeds: {said['metric']} {value}."
        )
    elif not reported:
        lines.append(
            "Against all real images: the best of these numbers is too good by its luck; "
            "without --whole it is chosen on one half and measured on the other."
        )
    return "\n\n".join(lines)


def _apart(point: Point) -> str:
    if "difference" not in point:
        return "–"
    half = (point["difference_high"] - point["difference_low"]) / 2
    if math.isnan(half):
        return f"{point['difference']:+.3g}"
    told = "" if point["p_adjusted"] <= 0.05 else ", no difference shown"
    return f"{number(point['difference'], half)} ± {number(half, half)}{told}"


def picture(said: Mapping[str, Any], label: str) -> bytes:
    """A PNG: the number against the step with 95 % bars, what real images score,
    the chosen checkpoint, and what it scores on the other half.
    """
    points = [point for point in said["points"] if point["value"] is not None]
    figure = mpl_figure.Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    _bars(
        axes,
        points,
        LINES[0],
        "o-",
        f"chosen on: {said['dataset']}" if said["reported"] else said["dataset"],
    )
    if said["reported"] and said["reported"]["value"] is not None:
        _bars(
            axes,
            [said["reported"]],
            LINES[1],
            "D",
            f"reported: {said['reported']['dataset']}, other seeds",
        )
    axes.axvline(said["chosen"], color="#bbbbbb", linewidth=0.8, linestyle=":", zorder=0)
    real = next((point["real"] for point in points if point["real"] is not None), None)
    if real is not None:
        axes.axhline(real, color="#888888", linewidth=0.8, linestyle="--", zorder=0)
    lows = [there(point["low"]) for point in points]
    if min(lows) > 0 and max(point["high"] for point in points) > 10 * min(lows):
        axes.set_yscale("log")
    axes.set_xlabel("training steps", fontsize=8)
    axes.set_ylabel(
        f"{said['metric']} ({said['better']} is better; dashed: real images)", fontsize=8
    )
    axes.set_title(
        f"{label} on {said['dataset']}, n = {said['n']}; bars: 95 %",
        fontsize=9,
        loc="left",
        parse_math=False,
    )
    axes.tick_params(labelsize=7)
    legend = axes.legend(fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)
    with io.BytesIO() as buffer:
        canvas: Any = mpl_agg.FigureCanvasAgg(figure)
        canvas.print_png(buffer)
        return buffer.getvalue()


def _bars(axes: Any, points: Sequence[Point], colour: str, kind: str, label: str) -> None:
    bars = [
        [point["value"] - point["low"] for point in points],
        [point["high"] - point["value"] for point in points],
    ]
    steps, values = [point["step"] for point in points], [point["value"] for point in points]
    axes.errorbar(
        steps,
        values,
        yerr=bars,
        fmt=kind,
        markersize=4,
        linewidth=1,
        elinewidth=0.8,
        capsize=2,
        color=colour,
        label=label,
    )
