"""Training through the hook: batches in a seeded order, progress, and a checkpoint that says what made it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import options, shelves
from genbench.draws import LARGEST_SEED
from genbench.files import SEAL, file_sha256, folder_to_write, write
from genbench.generator import Generator, code_of, construct, device_of, locate, seed_everything
from genbench.lazy import safetensors_torch, torch
from genbench.say import VERSION, PluginFailed, UserError, progress, tell

if TYPE_CHECKING:
    from genbench.rows import Batch, Dataset


@dataclass(frozen=True)
class Training:
    """The words of the user about a training."""

    dataset: str
    out: Path
    init: Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    options: tuple[str, ...] = ()
    device: str = "auto"


class Batches(Sequence["Batch"]):
    """Every batch of a training: `epochs` passes over the images, each in an order drawn from the seed; the last batch of a pass may be smaller."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, epochs: int, size: int, seed: int, device: str) -> None:
        self._images, self._labels = images.to(device), labels.to(device)
        self._size = min(size, len(images))
        self._per_epoch = -(-len(images) // self._size)
        self._length = epochs * self._per_epoch
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        raise TypeError("batches are drawn in order: iterate over them")

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._length // self._per_epoch):
            order = torch.randperm(len(self._images), generator=self._generator)
            for chosen in order.split(self._size):
                yield self._images[chosen], self._labels[chosen]


def train(plugin: str, wish: Training) -> str:
    """Train and write the checkpoint, safetensors; returns what was written, in a line. UserError or PluginFailed otherwise, and no file."""
    description = locate(plugin)
    for hook in ("train", "state"):
        if hook not in description.abilities:
            raise UserError(f"{description.name} has no {hook} hook, so it cannot be trained here")
    if wish.out.suffix != ".safetensors":
        raise UserError(f"--out {wish.out}: a checkpoint is written as safetensors; name it {wish.out.stem}.safetensors")
    if wish.init is not None and not wish.init.is_file():
        raise UserError(f"--init {wish.init}: there is no such file")
    folder_to_write(wish.out.absolute().parent, "the folder of --out")
    dataset: Dataset = shelves.find("datasets", wish.dataset)
    usual = description.attributes.get("training", {})
    epochs = usual.get("epochs", 10) if wish.epochs is None else wish.epochs
    size = usual.get("batch", 64) if wish.batch_size is None else wish.batch_size
    if epochs < 1 or size < 1:
        raise UserError(f"--epochs {epochs}, --batch-size {size}: each at least 1")
    if not 0 <= wish.seed <= LARGEST_SEED:
        raise UserError(f"--seed {wish.seed}: 0 to {LARGEST_SEED}")
    seed_everything(wish.seed)
    device = device_of(wish.device)
    chosen = options.chosen(wish.options, description.options, description.name)
    generator = construct(description, chosen, wish.init, device, dataset)
    images, labels = (torch.cat(parts) for parts in zip(*dataset.open("train"), strict=True))
    _step_through(generator, Batches(images, labels, epochs, size, wish.seed, device), wish.seed)
    meta = {
        "genbench": VERSION,
        "plugin": description.name,
        "code": code_of(description),
        "dataset": wish.dataset,
        "fingerprint": dataset.fingerprint("train"),
        "epochs": str(epochs),
        "batch_size": str(size),
        "seed": str(wish.seed),
        "parent": file_sha256(wish.init) if wish.init else "",
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.call("state").items()}
    write(wish.out, safetensors_torch.save(state, {SEAL: json.dumps(meta, sort_keys=True)}))
    return f"{wish.out}: {description.name}, {epochs} epochs of {wish.dataset}, {wish.out.stat().st_size} bytes, SHA-256 {file_sha256(wish.out)}"


def _step_through(generator: Generator, batches: Batches, seed: int) -> None:
    with progress(f"training {generator.description.name}", len(batches), "steps") as done, torch.enable_grad():
        before = 0
        losses: dict[str, float] = {}
        for step, of, losses in generator.steps("train", batches=batches, seed=seed):
            done((step - before) * len(batches) / max(of, 1))
            before = step
            if any(loss != loss for loss in losses.values()):
                raise PluginFailed(f"{generator.description.name}: its loss became NaN at step {step} of {of}: {losses}; lower the learning rate")
    tell(f"trained {before} steps; last " + ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items()))
