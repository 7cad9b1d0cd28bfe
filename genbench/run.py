"""A run as five calls: plan, reference, shards, scoring, record. `evaluate` is what `genbench run` does, from Python."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genbench import __version__, options, record, shards
from genbench.abilities import Description, describe
from genbench.draws import rank_in_class
from genbench.files import Damaged, folder_to_write, locked, read_json, sweep, write, write_json
from genbench.generator import Generator, checkpoint_of, construct, locate
from genbench.images import grid_png
from genbench.lazy import np, torch
from genbench.plan import Request, going_on, settle
from genbench.record import Plan, Record, Score
from genbench.reference import networks, real_features
from genbench.say import RunFailed, complain, tell
from genbench.scoring import Drawn, score
from genbench.shelves import find

COLUMNS = 10  # of the grid of samples: seeds


def evaluate(
    plugin: Any, dataset: str = "digits", *, out: str | Path = "runs", fresh: bool = False, settings: Sequence[str] | dict[str, Any] = (), **request: Any
) -> Record:
    """Draw samples from a generator, measure them, and return the Record; finished work in `out` is taken over.

    plugin: a name, a path to a file, or a module or class with hooks. settings: the generator's options, {"steps": 10} or ["steps=10"]. request: the fields of
    genbench.plan.Request (protocols, metrics, n, seed, seeds, labels, checkpoint, batch_size, device, save_samples). Raises UserError.
    """
    words = tuple(f"{k}={v}" for k, v in settings.items()) if isinstance(settings, dict) else tuple(settings)
    description = locate(plugin) if isinstance(plugin, str) else describe(plugin, getattr(plugin, "__name__", "memory").rpartition(".")[2].lower(), "memory")
    asked = Request(dataset=dataset, options=words, **request)
    return execute(settle(asked, description), description, asked, Path(out), fresh=fresh)


def execute(plan: Plan, description: Description, request: Request, out: Path, *, fresh: bool = False) -> Record:
    """Carry a plan out in out/<run id>, going on where an earlier call stopped; raises RunFailed after keeping what was finished."""
    folder = folder_to_write(folder_to_write(out, "--out") / plan.id, "the run's folder")
    with locked(folder / ".lock", f"another genbench is at work in {folder}; waiting for it"), deterministic():
        if fresh:
            _forget(folder)
        sweep(folder)
        plan = _stored(plan, folder)
        earlier = _earlier(folder)
        if earlier and _answers(earlier, plan):
            tell(f"{folder} is finished; --fresh does it again")
            return earlier
        return _carried_out(plan, description, request, folder, earlier)


def _carried_out(plan: Plan, description: Description, request: Request, folder: Path, earlier: Record | None) -> Record:
    clock = shards.Clock()
    then = time.monotonic()
    generator = _constructed(plan, description, request)
    loaded = networks(plan)
    then = clock.add("load", then)
    real = real_features(plan, loaded)
    clock.add("reference", then)
    write_json(folder / "plan.json", asdict(plan))
    shards.draw(plan, generator, loaded, folder, clock)
    then = time.monotonic()
    gathered = {f"{name}.{output}": array.astype(np.float64) for name in loaded for output, array in shards.gather(plan, folder, name).items()}
    scores = score(plan, Drawn(gathered, shards.labels_for(plan), shards.run_blocks(plan)), real)
    clock.add("scoring", then)
    done = replace(plan, quantised=shards.quantised(plan, folder), block_sizes=tuple(np.unique(shards.run_blocks(plan), return_counts=True)[1].tolist()))
    if plan.keep_images:
        write(folder / "samples.png", samples_png(plan, folder))
    found = Record(
        id=plan.id,
        plan=asdict(_with_earlier(done, earlier)),
        scores=(*scores, *_kept(earlier, plan)),
        environment=record.environment(plan.device),
        cost=_cost(generator, clock, plan, earlier),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        genbench=__version__,
    )
    return record.write(folder / "run.json", found)


def failed(found: Record) -> None:
    """RunFailed when a metric failed; asked after the record was kept."""
    wrong = [one for one in found.scores if one.status == "failed"]
    if wrong:
        raise RunFailed(f"{', '.join(one.metric for one in wrong)} failed: {wrong[0].reason}; the record keeps the rest")


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Deterministic algorithms on and TF32 off while the body runs; operations that have no deterministic form warn."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cuda.matmul.allow_tf32
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cuda.matmul.allow_tf32 = before[2]


def _forget(folder: Path) -> None:
    for path in [*folder.glob("shards/*.safetensors"), folder / "run.json", folder / "plan.json"]:
        path.unlink(missing_ok=True)


def _stored(plan: Plan, folder: Path) -> Plan:
    """The plan with what an earlier call in this folder settled (batch size): images are equal to the bit at one batch size only."""
    try:
        before = read_json(folder / "plan.json")
    except FileNotFoundError:
        return plan
    except Damaged as error:
        complain(f"{error}; going on with the plan of this call")
        return plan
    return going_on(plan, before["batch_size"], before["keep_images"])


def _earlier(folder: Path) -> Record | None:
    try:
        return record.read(folder / "run.json")
    except FileNotFoundError:
        return None
    except Damaged as error:
        complain(f"damaged record: {error}; making it again from the shards")
        return None


def _answers(earlier: Record, plan: Plan) -> bool:
    """Whether a record holds every number that the plan asks for, made from the same data by the same code."""
    before = earlier.plan["protocols"]
    asked = asdict(plan)["protocols"]
    for name, protocol in asked.items():
        known = before.get(name)
        if known is None or any(known[key] != protocol[key] for key in ("splits", "extractors", "real")):
            return False
        failed_ones = {one.metric for one in earlier.scores if one.protocol == name and one.status == "failed"}
        if any(measure not in known["measures"] or measure["name"] in failed_ones for measure in protocol["measures"]):
            return False
    return True


def _kept(earlier: Record | None, plan: Plan) -> tuple[Score, ...]:
    """Scores of an earlier call that this one did not take again."""
    again = {(name, measure["name"]) for name, protocol in plan.protocols.items() for measure in protocol["measures"]}
    return tuple(one for one in (earlier.scores if earlier else ()) if (one.protocol, one.metric) not in again)


def _with_earlier(plan: Plan, earlier: Record | None) -> Plan:
    """The plan with the protocols and measures of earlier calls beside its own, so that the record describes every score it holds."""
    merged = {name: dict(protocol) for name, protocol in (earlier.plan["protocols"] if earlier else {}).items()}
    for name, protocol in plan.protocols.items():
        names = {measure["name"] for measure in protocol["measures"]}
        others = [m for m in merged.get(name, {}).get("measures", []) if m["name"] not in names]
        merged[name] = {**protocol, "measures": [*protocol["measures"], *others]}
    return replace(plan, protocols=merged)


def _constructed(plan: Plan, description: Description, request: Request) -> Generator:
    dataset = find("datasets", request.dataset)
    chosen = options.chosen(request.options, description.options, description.name)
    return construct(description, chosen, checkpoint_of(description, dataset, request.checkpoint), plan.device, dataset)


def samples_png(plan: Plan, folder: Path) -> bytes:
    """The grid of samples: row = class, column = seed, the first ten of each; an unconditional run in reading order."""
    labels = shards.labels_for(plan)
    if labels is None:
        return grid_png(shards.images_at(plan, folder, list(range(min(plan.n, COLUMNS**2)))), COLUMNS)
    rank = rank_in_class(labels)
    shown = np.flatnonzero(rank < COLUMNS)
    columns = int(rank[shown].max()) + 1
    found = shards.images_at(plan, folder, shown.tolist())
    sheet = np.full((plan.identity["conditions"]["classes"] * columns, *found.shape[1:]), 255, dtype=np.uint8)
    sheet[labels[shown] * columns + rank[shown]] = found
    return grid_png(sheet, columns)


def _cost(generator: Generator, clock: shards.Clock, plan: Plan, earlier: Record | None) -> dict[str, Any]:
    """What the run cost, measured; never a Score. A call that drew nothing keeps what the drawing call measured."""
    import resource
    import sys

    told = generator.call("cost") if "cost" in generator.description.abilities else None
    before = earlier.cost if earlier else {}
    drew = clock.images > 0
    gpu = torch.cuda.max_memory_allocated() if plan.device.startswith("cuda") else None
    return {
        "seconds": {stage: round(seconds, 4) for stage, seconds in clock.seconds.items()},
        "images_drawn": clock.images or before.get("images_drawn", 0),
        "images_per_second": round(clock.images / clock.seconds["sample"], 3) if drew else before.get("images_per_second"),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "peak_gpu_memory_bytes": gpu,
        "parameters": (told or {}).get("parameters"),
        "evaluations_per_image": (told or {}).get("evaluations"),
        "batch_size": plan.batch_size,
        "device": plan.device,
    }
