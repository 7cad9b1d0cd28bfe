"""A job array of a SLURM cluster, by submitit: a job that is preempted or reaches its time is put
into the queue again and goes on with what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import Any

from genbench._util.errors import RunFailed, UserError
from genbench._util.formatting import clean
from genbench.api.engine import Engine, Wanted, whole

HOURS = 4  # of a job, where nothing was said
# option -> submitit's name
NUMBERS = {
    "time": "timeout_min",
    "gpus": "gpus_per_node",
    "cpus": "cpus_per_task",
    "memory": "mem_gb",
}
WORDS = {
    "partition": "slurm_partition",
    "account": "slurm_account",
    "qos": "slurm_qos",
    "constraint": "slurm_constraint",
}


class Piece:
    """A call that may be put into the queue again."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fn, self.args = fn, args

    def __call__(self) -> Any:
        return self.fn(*self.args)

    def checkpoint(self) -> Any:
        """What submitit submits when the job is preempted: the same,
        since finished shards are skipped.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Array(Executor):
    """One job array, submitted when the last of its calls is there."""

    def __init__(self, wanted: Wanted) -> None:
        self._submitit, self._wanted = _executor(wanted), wanted
        self._pieces: list[tuple[Piece, Future[Any]]] = []
        self._jobs: list[Any] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._pieces.append((Piece(fn, args), future))
        if len(self._pieces) == self._wanted.pieces:
            try:
                with self._submitit.batch():
                    self._jobs = [self._submitit.submit(piece) for piece, _ in self._pieces]
            except Exception as error:  # submitit's own, where sbatch refuses
                raise RunFailed(
                    f"--on slurm: the jobs were not taken: {clean(str(error))}"
                ) from error
            for job, (_, waiting) in zip(self._jobs, self._pieces, strict=True):
                Thread(target=_wait, args=(job, waiting), daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if not wait:
            for job in self._jobs:
                job.cancel(check=False)


def _wait(job: Any, future: Future[Any]) -> None:
    try:
        future.set_result(job.result())
    except Exception as error:  # submitit's own; the call itself raises nothing
        future.set_exception(error)


def _executor(wanted: Wanted) -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            '--on slurm wants the package submitit: pip install "genbench[slurm]"'
        ) from None
    cluster = wanted.options.get("cluster", "slurm")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "--on slurm: there is no sbatch here; run it on a machine that submits to SLURM, "
            "or try it with --on-option cluster=local"
        )
    executor = submitit.AutoExecutor(wanted.folder / "slurm", cluster=cluster)
    said = {ours: whole(wanted, name) for name, ours in NUMBERS.items()} | {
        ours: wanted.options.get(name) for name, ours in WORDS.items()
    }
    usual: dict[str, Any] = {
        "name": "genbench",
        "timeout_min": 60 * HOURS,
        "gpus_per_node": int(wanted.device == "cuda"),
    }
    usual |= {"slurm_array_parallelism": wanted.workers}
    executor.update_parameters(
        **usual | {name: value for name, value in said.items() if value is not None}
    )
    return executor


def _workers(wanted: Wanted) -> int:
    if wanted.workers is None:
        raise UserError("--on slurm: how many jobs at once? --workers N")
    return wanted.workers


SLURM = Engine(
    name="slurm",
    title="a job array of a SLURM cluster, by submitit",
    start=Array,
    workers=_workers,
    pieces=4,  # finer than a job to a worker: a lost one costs less, and the quick ones do more
    options={
        "partition": "of the cluster",
        "time": "minutes of a job (240)",
        "gpus": "GPUs of a job, 1 where the run is on GPUs",
        "cpus": "processors of a job",
        "memory": "GB of a job",
        "account": "that pays",
        "qos": "quality of service",
        "constraint": "on nodes",
        "cluster": "slurm, or local: processes of this machine, to try it",
    },
)
