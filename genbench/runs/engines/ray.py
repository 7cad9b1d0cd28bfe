"""A Ray cluster: one that is there (--on ray://host:port, or where RAY_ADDRESS says),
or one of this machine that ends with the run.

Ray puts a task where a GPU (or a processor) is free, and repeats it elsewhere when its node or its
process is lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from genbench._util.errors import RunFailed, UserError
from genbench.api.engine import Engine, Wanted, whole

RETRIES = 3  # of a task whose process or node was lost
STORE = 100 << 20  # bytes of a local cluster's store of objects: tasks pass words, never images


class Tasks(ThreadPoolExecutor):
    """A thread waits for each task, so that no more of them are out than there are workers."""

    def __init__(self, wanted: Wanted) -> None:
        self._ray, self._out, self._lock = _connected(wanted), set[Any](), threading.Lock()
        self._needs = {
            **_needs(wanted),
            "max_retries": RETRIES,
            # a worker keeps what it loaded; Ray's default for GPU tasks is a new process each
            "max_calls": 0,
        }
        self._tasks: dict[Callable[..., Any], Any] = {}
        super().__init__(_workers(wanted))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn not in self._tasks:
            self._tasks[fn] = self._ray.remote(**self._needs)(fn)
        return super().submit(self._called, self._tasks[fn], args, kwargs)

    def _called(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = task.remote(*args, **kwargs)
        with self._lock:
            self._out.add(out)
        try:
            return self._ray.get(out)
        finally:
            with self._lock:
                self._out.discard(out)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        if not wait:
            with self._lock:
                out = list(self._out)
            for one in out:
                self._ray.cancel(one, force=True)
        super().shutdown(wait=True)
        self._ray.shutdown()


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told
    # of a cluster that begins here: its workers are the run, no background
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UserError('--on ray wants the package ray: pip install "genbench[ray]"') from None
    return ray


def _connected(wanted: Wanted) -> Any:
    ray = _imported()
    if ray.is_initialized():
        return ray
    address = f"ray://{wanted.address}" if wanted.address else os.environ.get("RAY_ADDRESS", "")
    said: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "error",
        "ignore_reinit_error": True,
    }
    local = {
        "address": "local",
        "num_cpus": wanted.workers,
        "include_dashboard": False,
        "object_store_memory": STORE,
    }
    try:
        ray.init(**said, **({"address": address} if address else local))
    except Exception as error:  # Ray raises its own, grpc's and OSError
        asked = (
            "is its head up (ray start --head), and its port for clients open? "
            f"{type(error).__name__}: {error}"
        )
        raise RunFailed(f"--on ray: no cluster at {address or 'this machine'}; {asked}") from error
    return ray


def _needs(wanted: Wanted) -> dict[str, int]:
    """What of the cluster's a task takes."""
    gpus = whole(wanted, "gpus", 0)
    return {
        "num_cpus": whole(wanted, "cpus") or 1,
        "num_gpus": gpus if gpus is not None else int(wanted.device == "cuda"),
    }


def _workers(wanted: Wanted) -> int:
    if wanted.workers:
        return wanted.workers
    there, needs = _connected(wanted).cluster_resources(), _needs(wanted)
    return max(
        1,
        min(
            int(there.get(kind, 0) // needs[need])
            for kind, need in (("CPU", "num_cpus"), ("GPU", "num_gpus"))
            if needs[need]
        ),
    )


RAY = Engine(
    name="ray",
    title="a Ray cluster, at ray://host:port or of this machine",
    start=Tasks,
    workers=_workers,
    options={"cpus": "processors to a task", "gpus": "GPUs to a task, 1 where the run is on GPUs"},
)
