"""A run as five calls: plan, reference, shards, scoring, record.

`evaluate` is what `genbench run` does, from Python.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from genbench._util import malloc
from genbench._util.atomic_write import sweep
from genbench._util.checksummed_files import Damaged, write_json
from genbench._util.console import aside, complain, tell
from genbench._util.did_you_mean import choices
from genbench._util.errors import RunFailed, UserError
from genbench._util.lazy_imports import np
from genbench._util.locks import locked
from genbench._util.package_version import VERSION
from genbench.api.engine import take_gpu
from genbench.data.subsets import described
from genbench.data.user_datasets import dataset_of
from genbench.features.extractor_versions import same
from genbench.generators.description import Description, describe, in_memory, name_of
from genbench.generators.generator import Generator
from genbench.generators.load import checkpoint_of, locate
from genbench.io import remote_storage
from genbench.runs import sample_grids
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.records import environment, record
from genbench.runs.records.record import PROMPTS, Plan, Record, Score
from genbench.runs.sampling import cost, missing_shards, read_shards, shards, workers, write_shards
from genbench.runs.sampling.batch_size import fitted
from genbench.runs.sampling.setup import (
    constructed,
    deterministic,
    going_on,
    networks,
    share_of,
    shared,
)
from genbench.runs.scoring import reconstructions
from genbench.runs.scoring.reference_features import real_features
from genbench.runs.scoring.score import score


def evaluate(
    plugin: Any,
    dataset: str = "digits",
    *,
    out: str | Path = "runs",
    fresh: bool = False,
    settings: Sequence[str] | dict[str, Any] = (),
    **request: Any,
) -> Record:
    """Draw samples from a generator, measure them, and return the Record;
    finished work in `out` is taken over.

    plugin: a name, a path to a file, a module or class with hooks, a function sample(n), or an
    object with a method sample(n).
    settings: the generator's options, {"steps": 10} or ["steps=10"].
    request: the fields of genbench.runs.planning.request.Request (protocols, metrics, n, seed,
    seeds, labels,
    checkpoint, batch_size, device, feature_precision, ...). A generator without a source file has
    no identity: its run gets a fresh id. Raises UserError.
    """
    words = (
        tuple(f"{k}={v}" for k, v in settings.items())
        if isinstance(settings, dict)
        else tuple(settings)
    )
    given: dict[str, Any] = {
        name: (value,)
        if name in ("protocols", "metrics", "weights") and isinstance(value, str)
        else value
        for name, value in request.items()
    }
    given |= {
        name: Path(given[name])
        for name in ("checkpoint", "reference", "prompts")
        if given.get(name) is not None
    }
    known = {"settings", "out", "fresh", *Request.__dataclass_fields__} - {"options", "plugin"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UserError(f"evaluate has no argument {unknown[0]!r}: {choices(unknown[0], known)}")
    named = isinstance(plugin, str | Path)
    target = plugin if named or isinstance(plugin, type | ModuleType) else in_memory(plugin)
    description = locate(str(plugin)) if named else describe(target, name_of(plugin), "memory")
    asked = Request(dataset=dataset, options=words, plugin=str(plugin) if named else "", **given)
    return execute(settle(asked, description), description, asked, out, fresh=fresh)


def share(
    plan: Plan, description: Description, request: Request, out: str | Path
) -> tuple[Path, int]:
    """Draw a share of a run's shards (request.shard) into out/<run id>,
    beside others who draw theirs: the folder, and how many shards it is.
    """
    place = remote_storage.opened(out, plan.id)
    folder = place.folder
    take_gpu(plan.device, int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0))
    lock = folder / f".lock-{request.shard.replace('/', '-')}"
    with (
        locked(lock, f"another genbench draws this share in {folder}; waiting for it"),
        deterministic(),
        aside(),
    ):
        place.pull()
        plan = going_on(plan, folder)
        work = write_shards.Work.of(
            plan,
            constructed(description, request, plan.device),
            networks(plan),
            folder,
            cost.Clock(),
        )
        _begin(plan, place)
        workers.draw(work, request, place)
        return folder, len(share_of(plan, request.shard))


def execute(
    plan: Plan,
    description: Description,
    request: Request,
    out: str | Path,
    *,
    fresh: bool = False,
    since: float | None = None,
) -> Record:
    """Carry a plan out in out/<run id>, going on where an earlier call stopped;
    raises RunFailed after keeping what was finished.

    out: a folder, or a URL that fsspec knows; then the Record's folder is the copy on this machine.
    since: the time.monotonic() from which its start counts.
    """
    clock = cost.Clock(since=time.monotonic() if since is None else since)
    place = remote_storage.opened(out, plan.id)
    folder = place.folder
    with (
        locked(folder / ".lock", f"another genbench is at work in {folder}; waiting for it"),
        deterministic(),
        aside(),
    ):
        if fresh:
            _forget(folder)
            place.forget()
        if not drawn_elsewhere(folder):
            sweep(folder)
        place.pull()
        plan = going_on(plan, folder)
        earlier = _earlier(folder)
        if (
            earlier
            and _answers(earlier, plan)
            and not (place.root and missing_shards.lacking(plan, folder))
        ):
            place.push()  # what was lost there
            tell(f"{remote_storage.whereabouts(out, folder)} is finished; --fresh does it again")
            return earlier
        return _carried_out(plan, description, request, place, earlier, clock)


def _begin(plan: Plan, place: remote_storage.Place) -> None:
    """Write down what is going to be drawn, before anything is."""
    write_json(place.folder / "plan.json", plan.written())
    place.put("plan.json")
    if plan.prompts:
        write_json(place.folder / PROMPTS, shards.prompted(plan))
        place.put(PROMPTS)


def _carried_out(
    plan: Plan,
    description: Description,
    request: Request,
    place: remote_storage.Place,
    earlier: Record | None,
    clock: cost.Clock,
) -> Record:
    folder = place.folder
    then = clock.add("start", clock.since)
    checkpoint = checkpoint_of(
        description, dataset_of(request.dataset), request.checkpoint, request.trust
    )
    generator = constructed(description, request, plan.device)
    generator.cost()  # a wrong answer is better heard before the first sample than after the last
    loaded = networks(plan)
    then = clock.add("load", then)
    plan = fitted(plan, generator, request)
    then = clock.add("batch", then)
    real = real_features(plan, dataset_of(request.dataset), loaded)
    clock.add("reference", then)
    _begin(plan, place)
    plan, at_once = workers.draw(
        write_shards.Work.of(plan, generator, loaded, folder, clock), request, place
    )
    then = time.monotonic()
    real = reconstructions.added(real, plan, dataset_of(request.dataset), generator, loaded, folder)
    then = clock.add("reconstruct", then)
    told = read_shards.told(plan, folder)
    then = clock.add("gather", then)
    scores, closest = score(plan, read_shards.drawn(plan, folder), real)
    then = clock.add("scoring", then)
    sizes = np.unique(shards.run_blocks(plan), return_counts=True)[1].tolist()
    quantised = next((one["quantised"] for one in told.values()), "")
    done = _as_drawn(
        replace(plan, block_sizes=tuple(sizes)), quantised, stored="holds" in description.attributes
    )
    if plan.keep_images:
        sample_grids.drawn(plan, folder, dataset_of(request.dataset), closest)
    clock.add("pictures", then)
    found = Record(
        id=plan.id,
        plan=_with_earlier(done, earlier).written(),
        scores=(*scores, *_kept(earlier, plan)),
        environment=environment.environment(plan.device),
        cost={
            **_cost(generator, clock, plan, checkpoint, earlier.cost if earlier else {}),
            "batch_size": plan.batch_size,
            **({"workers": at_once} if at_once > 1 else {}),
        },
        dataset=described(dataset_of(request.dataset)),
        shards={
            name: [one["images"][: record.MARK], one.get("sketch", "")]
            for name, one in told.items()
        },
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        genbench=VERSION,
    )
    found = record.write(folder / "run.json", found)
    place.push()
    return found


def _as_drawn(plan: Plan, quantised: str, *, stored: bool) -> Plan:
    """The plan with how its images became 8 bits: a plugin that does it itself does not fit a
    protocol that asks for something else than rounding.

    stored: its images were made elsewhere, and are judged as they are.
    """
    off = quantised == "by the plugin" and not stored
    protocols = {
        name: {**p, "fits": p["fits"] and not (off and p["quantise"] != "round")}
        for name, p in plan.protocols.items()
    }
    first = next(iter(protocols))
    boards = {
        name: {**p, "board": p["board"] and (p["fits"] or name == first)}
        for name, p in protocols.items()
    }
    return replace(plan, quantised=quantised, protocols=boards)


def failed(found: Record) -> None:
    """RunFailed when a metric failed; asked after the record was kept."""
    wrong = [one for one in found.scores if one.status == "failed"]
    if wrong:
        raise RunFailed(
            f"{', '.join(one.metric for one in wrong)} failed: {wrong[0].reason}; "
            "the record keeps the rest"
        )


def drawn_elsewhere(folder: Path) -> bool:
    """Whether another process draws a share of the run just now:
    then its temporary files are no leftovers.
    """
    held = shared(folder)
    if held:
        complain(
            f"{', '.join(held)}: still drawn by another genbench; what is missing is drawn here "
            "too, and comes out the same"
        )
    return bool(held)


def _forget(folder: Path) -> None:
    for path in [
        *folder.glob("shards/*.safetensors"),
        folder / "run.json",
        folder / "plan.json",
        folder / "nearest.png",
    ]:
        path.unlink(missing_ok=True)


def _earlier(folder: Path) -> Record | None:
    """The record of an earlier call without what failed in it:
    that is no result, and it is done again when it is asked for.
    """
    try:
        found = record.read(folder / "run.json")
        if why := record.lacking(found):
            raise UserError(f"{folder / 'run.json'} {why}")
        return replace(found, scores=tuple(one for one in found.scores if one.status != "failed"))
    except FileNotFoundError:
        return None
    except Damaged as error:
        complain(f"damaged record: {error}; making it again from the shards")
        return None
    except UserError as error:
        raise UserError(f"{error}; genbench run --fresh does the run again") from None


def _answers(earlier: Record, plan: Plan) -> bool:
    """Whether a record holds every number that the plan asks for,
    made from the same data by the same code.
    """
    before = earlier.plan["protocols"]
    asked = asdict(plan)["protocols"]
    if earlier.plan["quantise"] != plan.quantise or any(
        (now := getattr(plan, key)) and now != earlier.plan.get(key) for key in ("tuned", "method")
    ):
        return False
    for name, protocol in asked.items():
        known = before.get(name)
        if (
            known is None
            or known["real"] != protocol["real"]
            or not _still_stands(earlier, plan, name)
        ):
            return False
        there = {one.metric for one in earlier.scores if one.protocol == name}
        if any(
            measure not in known["measures"] or measure["name"] not in there
            for measure in protocol["measures"]
        ):
            return False
    return True


def _kept(earlier: Record | None, plan: Plan) -> tuple[Score, ...]:
    """Scores of an earlier call that this one did not take again and that still stand:
    of the same real images, extractors and quantisation.
    """
    again = {
        (name, measure["name"])
        for name, protocol in plan.protocols.items()
        for measure in protocol["measures"]
    }
    return tuple(
        one
        for one in (earlier.scores if earlier else ())
        if (one.protocol, one.metric) not in again
        and earlier is not None
        and _still_stands(earlier, plan, one.protocol)
    )


def _still_stands(earlier: Record, plan: Plan, protocol: str) -> bool:
    """Whether what an earlier call measured under a protocol contradicts nothing of this one."""
    before, now = earlier.plan["protocols"][protocol], plan.protocols.get(protocol, {})
    agrees = all(
        same(before[part].get(name, value), value)
        for part in ("splits", "extractors")
        for name, value in now.get(part, {}).items()
    )
    ruled = all(
        before.get(key) == now[key]
        for key in ("repeats", "reducer", "train", "statistics")
        if key in now
    )
    return agrees and ruled and earlier.plan["quantise"] == plan.quantise


def _with_earlier(plan: Plan, earlier: Record | None) -> Plan:
    """The plan with the protocols and measures of kept scores beside its own,
    so that the record describes every score it holds.
    """
    kept = {(one.protocol, one.metric) for one in _kept(earlier, plan)}
    merged = {name: dict(protocol) for name, protocol in plan.protocols.items()}
    for name, before in (earlier.plan["protocols"] if earlier else {}).items():
        others = [measure for measure in before["measures"] if (name, measure["name"]) in kept]
        if others:
            now = merged.get(name, {**before, "measures": []})
            parts = {part: {**before[part], **now[part]} for part in ("splits", "extractors")}
            # a kept number of foreign weights keeps the whole off boards
            board = now["board"] and before.get("board", True)
            merged[name] = {**now, **parts, "board": board, "measures": [*now["measures"], *others]}
    said: dict[str, Any] = {
        key: getattr(plan, key) or (earlier.plan.get(key, empty) if earlier else empty)
        for key, empty in (("tuned", {}), ("method", ""))
    }
    return replace(plan, protocols=merged, **said)  # what was once chosen, or named, stays so


def _cost(
    generator: Generator,
    clock: cost.Clock,
    plan: Plan,
    checkpoint: Path | None,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """What the run cost; the latency of one image is measured where images were drawn."""
    # of any prompt: the first
    drawn = (
        plan.identity["first_seed"],
        shards.labels_for(plan),
        plan.quantise,
        plan.prompts or None,
    )
    then = time.monotonic()
    with malloc.kept():
        alone = cost.latency(generator, *drawn) if clock.images else {}
    clock.add("latency", then)
    return cost.cost(generator, clock, alone, checkpoint, before)
