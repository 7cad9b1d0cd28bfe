"""A run's shards computed by an engine: what a worker is told, what it does,
and what becomes of the shards of one that died.

A worker that dies while it draws a shard may have been killed for another's sake; drawn again,
alone, the shard shows whether it is to blame. Then it is left out and named, as is one that takes
longer than --shard-timeout: the others are drawn all the same.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import itertools
import os
import re
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from genbench._util import malloc
from genbench._util.checksummed_files import write_json
from genbench._util.console import aside, complain, progress
from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench.api import _registry as registry
from genbench.api.engine import Engine, Wanted, options_of
from genbench.generators.load import locate
from genbench.io import remote_storage
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.records.record import Plan
from genbench.runs.sampling import missing_shards, write_shards
from genbench.runs.sampling.batch_size import halved
from genbench.runs.sampling.cost import Clock
from genbench.runs.sampling.memory import OutOfMemory
from genbench.runs.sampling.setup import (
    constructed,
    deterministic,
    drawn_some,
    networks,
    share_of,
    shared,
    stored,
)

# the folder of a file for each shard that is being drawn, with the traceback of what ended it
DRAWING = "drawing"
PASSED_ON = re.compile(r"GENBENCH_(?!WORKER$)\w+")  # variables that every worker has
# where nobody looks for the fault first
OTHERS = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
SHOWN = 5  # of the shards that could not be drawn
SAID = 200  # characters of what an engine says
PATIENCE = 10  # seconds


@dataclass(frozen=True)
class Job:
    """What a worker needs to draw shards of a run, in words: nothing that was loaded travels."""

    request: Request
    files: tuple[str, ...]  # of --with
    out: str  # of the run folders
    run: str  # its id
    here: str  # the folder that relative paths begin in
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Drew:
    """What a call came to: images, the seconds of each stage, and what went wrong."""

    images: int
    seconds: Mapping[str, float]
    wrong: UserError | None = None


def draw(
    work: write_shards.Work, request: Request, place: remote_storage.Place
) -> tuple[Plan, int]:
    """Compute every probe of every shard that is not there and whole, of a share only its own:
    the plan as it was carried out, how many drew at once.

    Where memory is short the whole run goes on at half its batch size, unless others may be
    drawing it too.
    """
    while True:
        try:
            with malloc.kept():
                return work.plan, _draw(work, request, place)
        except OutOfMemory as error:
            if request.shard or place.root or shared(work.folder):
                there = ", and another --out: some are drawn" if drawn_some(work.folder) else ""
                raise RunFailed(
                    f"{error}; use the same words with a smaller --batch-size than "
                    f"{work.plan.batch_size} on every machine{there}"
                ) from None
            short = error.with_traceback(None)
        work = halved(work, short)
        write_json(place.folder / "plan.json", work.plan.written())


def _draw(work: write_shards.Work, request: Request, place: remote_storage.Place) -> int:
    only = share_of(work.plan, request.shard)
    count = 1
    if request.on or request.shard_timeout or (request.workers or 1) > 1:
        began, known = time.monotonic(), sum(work.clock.seconds.values())
        try:
            count = _by_engine(work, request, place, only)
        finally:  # also of a try at a batch that did not fit
            beside = time.monotonic() - began - (sum(work.clock.seconds.values()) - known)
            work.clock.seconds["workers"] = work.clock.seconds.get("workers", 0.0) + max(
                0.0, beside
            )
    write_shards.draw(work, only, place.push)
    return count


def _by_engine(
    work: write_shards.Work, request: Request, place: remote_storage.Place, only: Sequence[str]
) -> int:
    """The same by workers; RunFailed names the shards that they could not draw,
    after all others were.
    """
    if not request.plugin:
        raise UserError(
            "--workers and --on: a generator in memory cannot be drawn from by other processes: "
            "put it into a file and name that"
        )
    name, _, address = request.on.partition("://")
    engine: Engine = registry.find("engines", name or "local")
    options = options_of(
        engine,
        (*request.on_options, *([f"partition={request.partition}"] if request.partition else [])),
    )
    sizes = {
        shard.name: len(shard.indices)
        for shard, _ in missing_shards.lacking(work.plan, work.folder, only)
    }
    if not sizes:
        return 1
    wanted = Wanted(0, request.workers, work.plan.device, address, work.folder.resolve(), options)
    variables = tuple(
        (name, value) for name, value in os.environ.items() if PASSED_ON.fullmatch(name)
    )
    job = Job(
        request,
        registry.files(),
        place.root or str(work.folder.resolve().parent),
        work.plan.id,
        str(Path.cwd()),
        variables,
    )
    count = min(engine.workers(wanted), len(sizes))
    _wipe(work.folder, sizes)
    lost: dict[str, str] = {}
    with progress(
        (
            f"sampling {work.plan.label}, {count} {'worker' if count == 1 else 'workers'} "
            f"({engine.name})"
        ),
        sum(sizes.values()),
        "images",
    ) as done:

        def turn(names: Sequence[str], at_once: int) -> dict[str, str]:
            return _turn(
                work,
                engine,
                replace(wanted, workers=at_once),
                job,
                {name: sizes[name] for name in names},
                done,
            )

        left = list(sizes)
        while left and (died := turn(left, count)):
            late = {
                name: why
                for name in died
                if (why := _ended(work.folder, name)).startswith("Timeout")
            }
            if again := [name for name in died if name not in late]:
                complain(
                    "a worker died (was it killed, or short of memory?); the shard that it drew is "
                    "drawn again, alone"
                )
            lost |= late | {
                name: _ended(work.folder, name) or f"its worker ended, alone too: {end}"
                for name in again
                for end in turn([name], 1).values()
            }
            missing = _missing(work, place, sizes)
            left = [name for name in sizes if name in missing and name not in lost]
    _wipe(work.folder, sizes)
    if lost:
        told = "; ".join(f"{name}: {why}" for name, why in list(lost.items())[:SHOWN])
        raise RunFailed(
            f"{len(lost)} of {len(sizes)} shards could not be drawn: {told}. The others are kept, "
            "the same command tries these again"
        )
    if _missing(work, place, sizes, PATIENCE):
        raise RunFailed(
            f"what the workers drew is not in {work.folder}: it must be one folder for all of "
            "them; else --out URL (docs/scale.md)"
        )
    return count


def _missing(
    work: write_shards.Work, place: remote_storage.Place, names: Collection[str], patience: int = 0
) -> set[str]:
    """Which of these shards are not there; for so many seconds,
    since a folder of the network may show late what others have written.
    """
    for _ in range(patience + 1):
        place.pull()
        if not (
            missing := {
                shard.name for shard, _ in missing_shards.lacking(work.plan, work.folder, names)
            }
        ):
            break
        time.sleep(min(1, patience))
    return missing


def _turn(
    work: write_shards.Work,
    engine: Engine,
    wanted: Wanted,
    job: Job,
    sizes: Mapping[str, int],
    done: Callable[[int], None],
) -> dict[str, str]:
    """One engine's calls for these shards; those that were being drawn by a worker that died,
    and what the engine said of it.
    """
    assert wanted.workers is not None
    count = min(wanted.workers * engine.pieces or len(sizes), len(sizes))
    pieces = [list(sizes)[place::count] for place in range(count)]
    pool = engine.start(replace(wanted, pieces=len(pieces)))
    died: dict[str, BaseException] = {}
    with _stopped(pool):
        out = {pool.submit(drawn, job, tuple(piece)): piece for piece in pieces}
        for one in as_completed(out):
            # the engine's own kind: what the call itself came to is no exception
            if (end := one.exception()) is not None:
                died |= dict.fromkeys(out[one], end)
                continue
            found = one.result()
            if found.wrong:
                raise found.wrong
            work.clock.images += found.images
            # as the run saw them pass: together they took so much of its time
            for stage, spent in found.seconds.items():
                work.clock.seconds[stage] = (
                    work.clock.seconds.get(stage, 0.0) + spent / wanted.workers
                )
            done(sum(sizes[name] for name in out[one]))
    # one process's death may end the calls of all
    begun = [name for name in died if (work.folder / DRAWING / f"{name}.txt").exists()]
    if len(died) == len(sizes) > 1 and not begun:
        end = next(iter(died.values()))
        raise RunFailed(
            f"--on {engine.name}: no worker got as far as a shard: {type(end).__name__}: "
            f"{clean(str(end))}"
        )
    return {
        name: f"{type(died[name]).__name__}: {clean(str(died[name]))[:SAID]}"
        for name in begun or died
    }


@contextlib.contextmanager
def _stopped(pool: Executor) -> Iterator[None]:
    """The pool at work while the body runs; where that is left early, the pool stops at once."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(cancel_futures=True)


def _wipe(folder: Path, names: Collection[str]) -> None:
    for name in names:
        (folder / DRAWING / f"{name}.txt").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / DRAWING).rmdir()


def _ended(folder: Path, name: str) -> str:
    """What ended the process that drew a shard, and in which line, of the traceback that it left;
    "" where it left none.
    """
    try:
        text = (folder / DRAWING / f"{name}.txt").read_text(errors="replace")
    except OSError:
        return ""
    what = re.search(r"^(Timeout|Fatal Python error: [^\n]*)", text, re.MULTILINE)
    # the thread that crashed is "Current"; the one that draws is the oldest, which stands last
    parts = text.split("hread 0x")
    mine = next(
        (one for before, one in itertools.pairwise(parts) if before.endswith("Current t")),
        parts[-1],
    )
    frames = re.findall(r'File "([^"]*)", line (\d+)', mine)
    where = next(
        (frame for frame in frames if not frame[0].startswith(OTHERS)),
        frames[0] if frames else None,
    )
    return (what.group(1) if what else "") + (
        f" in {where[0]}, line {where[1]}" if what and where else ""
    )


# In a worker


@functools.lru_cache(maxsize=1)
def _ready(job: Job) -> tuple[write_shards.Work, remote_storage.Place]:
    """Everything that the shards of a run are computed with, and where they lie."""
    os.environ.update(dict(job.variables), GENBENCH_QUIET="1")
    try:
        os.chdir(job.here)
    except OSError as error:
        raise RunFailed(
            f"a worker has no folder {job.here} ({error.strerror}): the run's files must lie at "
            "the same place on every machine"
        ) from None
    for file in job.files:
        registry.add_file(Path(file))
    description = locate(job.request.plugin)
    place = remote_storage.opened(job.out, job.run)
    place.pull(mend=False)
    plan = stored(settle(job.request, description), place.folder)
    if plan.id != job.run:
        raise RunFailed(
            f"a worker would draw the run {plan.id}, not {job.run}: was {job.request.plugin}, "
            "or its checkpoint, changed just now?"
        )
    return write_shards.Work.of(
        plan,
        constructed(description, job.request, plan.device),
        networks(plan),
        place.folder,
        Clock(),
    ), place


def drawn(job: Job, names: tuple[str, ...]) -> Drew:
    """Draw shards: how many images were made, and the seconds of each stage.

    What goes wrong is returned: engines lose what an exception was.
    """
    try:
        with deterministic(), aside(), malloc.kept():
            work, place = _ready(job)
            before, images = dict(work.clock.seconds), work.clock.images
            for shard, lacks in missing_shards.lacking(work.plan, work.folder, names):
                with _watched(work.folder, shard.name, job.request.shard_timeout):
                    write_shards.compute(work, shard, lacks)
                place.push([shard.name])
        return Drew(
            work.clock.images - images,
            {stage: spent - before.get(stage, 0.0) for stage, spent in work.clock.seconds.items()},
        )
    except UserError as error:
        return Drew(0, {}, error)


@contextlib.contextmanager
def _watched(folder: Path, name: str, patience: float | None) -> Iterator[None]:
    """While the body runs a file says so, and has the traceback of what ends this process:
    a crash, or more seconds than one has patience for.
    """
    path = folder / DRAWING / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        faulthandler.enable(file)
        if patience:
            # of C, so that it comes whatever Python waits for
            faulthandler.dump_traceback_later(patience, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()
    path.unlink(missing_ok=True)
