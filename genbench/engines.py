"""Who draws a run's shards: this process, or several processes of this machine, which share the run's folder.

A shard is a file that any process may make, in any order: the same bytes on one kind of device. What a process that died leaves undone is done here.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from genbench import shards, shelves
from genbench.abilities import Description
from genbench.costs import Clock
from genbench.files import Damaged, read_json
from genbench.folders import dataset_of
from genbench.generator import Generator, checkpoint_of, construct, locate, options_of
from genbench.lazy import torch
from genbench.plan import Request, divided, going_on, settle
from genbench.record import Plan
from genbench.reference import networks
from genbench.say import RunFailed, UserError, aside, complain, progress

PLACE = "GENBENCH_WORKER"  # of a worker among its fellows, in its environment


@dataclass(frozen=True)
class Job:
    """What a worker needs to draw shards of a run, in words: nothing that was loaded travels."""

    request: Request
    files: tuple[str, ...]  # of --with
    folder: Path
    run: str  # its id
    threads: int


def draw(work: shards.Work, request: Request) -> None:
    """Compute every probe of every shard that is not there and whole, by request.workers processes; of a share, only its shards."""
    only = share_of(work.plan, request.shard)
    if request.workers > 1:
        _elsewhere(work, request, only)
    shards.draw(work, only)


def share_of(plan: Plan, word: str) -> list[str]:
    """The names of the shards of a share, K/N: every N-th from the K-th on; [] of "", which is the whole run. UserError where it has none."""
    if not word:
        return []
    place, of = divided(word)
    names = [shard.name for shard in shards.shards_of(shards.run_blocks(plan))]
    if of > len(names):
        raise UserError(f"--shard {word}: the run has {len(names)} shards to share out")
    return names[place - 1 :: of]


def _elsewhere(work: shards.Work, request: Request, only: Collection[str]) -> None:
    """The same by workers; what they leave undone since one of them died is left to the caller."""
    if not request.plugin:
        raise UserError("--workers: a generator in memory cannot be drawn from by other processes: put it into a file and name that")
    sizes = {shard.name: len(shard.indices) for shard, _ in shards.lacking(work.plan, work.folder, only)}
    count = min(request.workers, len(sizes))
    if count < 2:
        return
    job = Job(request, shelves.files(), work.folder.resolve(), work.plan.id, max(1, torch.get_num_threads() // count))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_beginning, initargs=(context.Value("i", 0), work.plan.device))
    try:
        with progress(f"sampling {work.plan.label}, {count} workers", sum(sizes.values()), "images") as done:
            drawn = {pool.submit(_drawn, job, name): name for name in sizes}
            for one in as_completed(drawn):
                images, seconds = one.result()
                work.clock.images += images
                for stage, spent in seconds.items():  # as the run saw them pass: together they took so much of its time
                    work.clock.seconds[stage] = work.clock.seconds.get(stage, 0.0) + spent / count
                done(sizes[drawn[one]])
    except BrokenProcessPool:
        complain("a worker died (was it killed, or short of memory?); this process goes on alone with what is left")
    finally:
        pool.shutdown(cancel_futures=True)


def _beginning(counter: Any, device: str) -> None:
    """What a worker does first: it takes its place, and a GPU of its own, and dies with the process that it works for."""
    with counter.get_lock():
        place, counter.value = counter.value, counter.value + 1
    os.environ[PLACE] = str(place)
    take_gpu(device, place)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker"
    threading.Thread(target=lambda: (connection.wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def take_gpu(device: str, place: int) -> None:
    """Let "cuda" mean the GPU of this place among the processes of a machine."""
    if device == "cuda":
        torch.cuda.set_device(place % torch.cuda.device_count())


@functools.lru_cache(maxsize=1)
def _ready(job: Job) -> shards.Work:
    """Everything that the shards of a run are computed with, in a worker."""
    os.environ["GENBENCH_QUIET"] = "1"
    torch.set_num_threads(job.threads)
    for file in job.files:
        shelves.add_file(Path(file))
    description = locate(job.request.plugin)
    plan = stored(settle(job.request, description), job.folder)
    if plan.id != job.run:
        raise RunFailed(f"a worker would draw the run {plan.id}, not {job.run}: was {job.request.plugin}, or its checkpoint, changed just now?")
    return shards.Work.of(plan, constructed(description, job.request, plan.device), networks(plan), job.folder, Clock())


def _drawn(job: Job, name: str) -> tuple[int, dict[str, float]]:
    """Draw a shard, in a worker: how many images were made, and the seconds of each stage."""
    with deterministic(), aside():
        work = _ready(job)
        before, images = dict(work.clock.seconds), work.clock.images
        for shard, lacks in shards.lacking(work.plan, work.folder, [name]):
            shards.compute(work, shard, lacks)
    return work.clock.images - images, {stage: spent - before.get(stage, 0.0) for stage, spent in work.clock.seconds.items()}


def constructed(description: Description, request: Request, device: str) -> Generator:
    """The generator that the words ask for, ready on its device."""
    dataset = dataset_of(request.dataset)
    checkpoint = checkpoint_of(description, dataset, request.checkpoint, request.trust)
    return construct(description, options_of(description, request.options, checkpoint), checkpoint, device, dataset)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Deterministic algorithms on and TF32 off while the body runs; operations that have no deterministic form warn."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def stored(plan: Plan, folder: Path) -> Plan:
    """The plan with what an earlier call in this folder settled (batch size): images are equal to the bit at one batch size only."""
    try:
        before = read_json(folder / "plan.json")
    except FileNotFoundError:
        return plan
    except Damaged as error:
        complain(f"{error}; going on with the plan of this call")
        return plan
    try:
        return going_on(plan, int(before["batch_size"]), bool(before["keep_images"]))
    except (KeyError, TypeError, ValueError) as error:
        complain(f"{folder / 'plan.json'} is no plan ({error!r}); going on with the plan of this call")
        return plan
