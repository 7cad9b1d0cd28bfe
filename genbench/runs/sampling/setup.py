"""What every process that draws shards does first: the generator on its device,
deterministic algorithms, the plan as its folder holds it, its share.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.checksummed_files import Damaged, read_json
from genbench._util.console import complain
from genbench._util.errors import UserError
from genbench._util.lazy_imports import torch
from genbench._util.locks import taken
from genbench.data.user_datasets import dataset_of
from genbench.features.extraction import network
from genbench.features.extractor_identity import place_of_vocabulary
from genbench.generators.description import Description
from genbench.generators.generator import Generator, construct
from genbench.generators.load import checkpoint_of, options_of
from genbench.runs.planning.plan import AUTO, with_settled
from genbench.runs.planning.request import Request, divided
from genbench.runs.records.record import Plan
from genbench.runs.sampling import shards

if TYPE_CHECKING:
    from genbench.runs.records.record import Plan

# the variable that torch's compiler reads when it is imported
INDUCTOR = "TORCHINDUCTOR_DETERMINISTIC"


def constructed(description: Description, request: Request, device: str) -> Generator:
    """The generator that the words ask for, ready on its device."""
    dataset = dataset_of(request.dataset)
    checkpoint = checkpoint_of(description, dataset, request.checkpoint, request.trust)
    return construct(
        description,
        options_of(description, request.options, checkpoint),
        checkpoint,
        device,
        dataset,
    )


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Deterministic algorithms on and TF32 off while the body runs;
    operations that have no deterministic form warn.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    before, inductor = torch.get_deterministic_debug_mode(), os.environ.get(INDUCTOR)
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    os.environ.setdefault(INDUCTOR, "1")
    _determined(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if inductor is None:
            os.environ.pop(INDUCTOR, None)
        _determined(before)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def _determined(mode: int) -> None:
    """Torch's deterministic algorithms: 0 off, 1 where there are any,
    2 an error where there are none.

    torch.use_deterministic_algorithms imports torch's compiler to tell it so, two seconds of every
    start; a compiler that is not there yet reads INDUCTOR.
    """
    if "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(mode > 0, warn_only=mode == 1)
    else:
        torch.set_deterministic_debug_mode(mode)


def shared(folder: Path) -> list[str]:
    """The shares of a run that other processes draw in its folder just now."""
    return [
        path.name.removeprefix(".lock-") for path in sorted(folder.glob(".lock-*")) if taken(path)
    ]


def drawn_some(folder: Path) -> bool:
    """Whether any shard is there."""
    return any(folder.glob("shards/[!.]*"))


def stored(plan: Plan, folder: Path) -> Plan:
    """The plan with what an earlier call in this folder settled (batch size):
    images are equal to the bit at one batch size only.
    """
    try:
        before = read_json(folder / "plan.json")
    except FileNotFoundError:
        return plan
    except Damaged as error:
        complain(f"{error}; going on with the plan of this call")
        return plan
    try:
        return with_settled(plan, int(before["batch_size"]), bool(before["keep_images"]))
    except (KeyError, TypeError, ValueError) as error:
        complain(
            f"{folder / 'plan.json'} is no plan ({error!r}); going on with the plan of this call"
        )
        return plan


def going_on(plan: Plan, folder: Path) -> Plan:
    """The same, but where no shard was drawn and this call names a batch size:
    then nothing binds it.
    """
    return stored(plan, folder) if drawn_some(folder) or plan.batch_size == AUTO else plan


def share_of(plan: Plan, word: str) -> list[str]:
    """The names of the shards of a share, K/N: every N-th from the K-th on;
    [] of "", which is the whole run.

    UserError where it has none.
    """
    if not word:
        return []
    place, of = divided(word)
    names = [shard.name for shard in shards.shards_of(shards.run_blocks(plan))]
    if of > len(names):
        raise UserError(f"--shard {word}: the run has {len(names)} shards to share out")
    return names[place - 1 :: of]


def networks(plan: Plan) -> dict[str, Any]:
    """Every extractor that the plan names, loaded on its device."""
    used = {
        name: one
        for protocol in plan.protocols.values()
        for name, one in protocol["extractors"].items()
    }
    files = {
        name: (plan.places.get(name, ""), plan.places.get(place_of_vocabulary(name), ""))
        for name in sorted(used)
    }
    return {
        name: network(name, plan.device, one, used[name].get("precision", "float32"), plan.n, more)
        for name, (one, more) in files.items()
    }
