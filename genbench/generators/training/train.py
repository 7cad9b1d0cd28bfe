"""Training through the hook: batches in a seeded order, progress,
and a checkpoint that says what made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.atomic_write import folder_to_write, write
from genbench._util.checksummed_files import SEAL
from genbench._util.console import progress, tell
from genbench._util.errors import PluginFailed, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import file_sha256
from genbench._util.lazy_imports import safetensors_torch, torch
from genbench._util.package_version import VERSION
from genbench.data.subsets import BALANCED_TRAIN
from genbench.data.user_datasets import dataset_of
from genbench.generators import options
from genbench.generators.description import Description
from genbench.generators.generator import Generator, construct, seed_everything
from genbench.generators.identity import code_of
from genbench.generators.load import device_of, locate
from genbench.generators.seeded_noise import LARGEST_SEED
from genbench.generators.training import augmentation
from genbench.generators.training.long_tail_sampling import Tail, draws, dropped, last_stage

if TYPE_CHECKING:
    from genbench.api.dataset import Batch, Dataset

# bytes of training images: all of them are held in memory, and on the device, for a strategy for
# the tail draws any of them at any time
LARGEST = 2**34


@dataclass(frozen=True)
class Training:
    """The words of the user about a training."""

    dataset: str
    out: Path
    init: Path | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    seed: int = 0
    tail: Tail = field(default_factory=Tail)
    augment: str = ""
    options: tuple[str, ...] = ()
    device: str = "auto"
    every: int | None = None  # a checkpoint after so many steps, again and again, beside the last


class Batches(Sequence["Batch"]):
    """Every batch of a training, in the order that its strategy for the tail draws from the seed;
    `seen` counts the images of each class.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        length: int,
        draws: Iterator[torch.Tensor],
        *,
        counts: tuple[int, ...],
        device: str,
    ) -> None:
        self._images, self._labels, self._classes = images.to(device), labels.to(device), labels
        self._length, self._draws = length, draws
        self._counts, self.seen, self._drawn = (
            counts,
            torch.zeros(len(counts), dtype=torch.int64),
            0,
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        raise TypeError("batches are drawn in order: iterate over them")

    def __iter__(self) -> Iterator[Batch]:
        for chosen in self._draws:
            self._drawn += 1
            # on the CPU: a GPU need not be waited for
            self.seen += torch.bincount(self._classes[chosen], minlength=len(self.seen))
            yield self._images[chosen], self._labels[chosen]

    def drawn(self) -> int:
        """How many batches have been given so far."""
        return self._drawn

    def epochs(self) -> list[float]:
        """How often the training has seen an image of each class."""
        return [
            round(seen / count, 3) if count else 0.0
            for seen, count in zip(self.seen.tolist(), self._counts, strict=True)
        ]


def train(plugin: str, wish: Training) -> str:
    """Train and write the checkpoint, safetensors; returns what was written, in a line.

    UserError or PluginFailed otherwise, and no file.
    """
    description = locate(plugin)
    for hook in ("train", "state"):
        if hook not in description.abilities:
            raise UserError(f"{description.name} has no {hook} hook, so it cannot be trained here")
    if wish.out.suffix != ".safetensors":
        raise UserError(
            f"--out {wish.out}: a checkpoint is written as safetensors; "
            f"name it {wish.out.stem}.safetensors"
        )
    if wish.every is not None and wish.every < 1:
        raise UserError(f"--every {wish.every}: at least 1")
    if wish.init is not None and not wish.init.is_file():
        raise UserError(f"--init {wish.init}: there is no such file")
    folder_to_write(wish.out.absolute().parent, "the folder of --out")
    dataset = dataset_of(wish.dataset)
    can = [kind for kind in augmentation.KINDS if kind in description.abilities["train"]]
    if wish.augment and wish.augment not in can:
        why = (
            f"its train hook names {can[0]}"
            if can
            else f"its train hook names none of {', '.join(augmentation.KINDS)}"
        )
        raise UserError(f"--augment {clean(wish.augment)}: {description.name} cannot; {why}")
    if not 0 <= wish.seed <= LARGEST_SEED:
        raise UserError(f"--seed {wish.seed}: 0 to {LARGEST_SEED}")
    if wish.tail.mode != "natural" and len(dataset.classes) < 2:
        raise UserError(
            f"--tail {wish.tail.mode}: {dataset.name} has no labels, so there is no tail to "
            "treat: leave it out"
        )
    steps, size = _length(wish, dataset, description)
    images, labels = _held(dataset)
    counts = tuple(torch.bincount(labels, minlength=len(dataset.classes)).tolist())
    drawn = draws(labels, counts, wish.tail, steps, size, torch.Generator().manual_seed(wish.seed))
    seed_everything(wish.seed)
    device = device_of(wish.device)
    generator = construct(
        description,
        options.chosen(wish.options, description.options, description.name),
        wish.init,
        device,
        dataset,
    )
    batches = Batches(images, labels, steps, drawn, counts=counts, device=device)
    made = Made(wish, description, dataset, batches, size, counts)
    _step_through(generator, batches, wish, made)
    made.keep(generator, wish.out)
    done = f"{steps} steps of {dataset.name}{_strategy(wish)}"
    return (
        f"{wish.out}: {description.name}, {done}, {wish.out.stat().st_size} bytes, "
        f"SHA-256 {file_sha256(wish.out)}"
    )


@dataclass(frozen=True)
class Made:
    """What a checkpoint says of the training that it comes from, at whatever step it is written."""

    wish: Training
    description: Description
    dataset: Dataset
    batches: Batches
    size: int
    counts: tuple[int, ...]

    def keep(self, generator: Generator, path: Path) -> None:
        """The generator's state as safetensors, with its training up to now."""
        state = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in generator.call("state").items()
        }
        write(path, safetensors_torch.save(state, {SEAL: json.dumps(self.meta(), sort_keys=True)}))

    def meta(self) -> dict[str, Any]:
        steps, wish = self.batches.drawn(), self.wish
        return {
            "genbench": VERSION,
            "plugin": self.description.name,
            "code": code_of(self.description),
            "dataset": self.dataset.name,
            "fingerprint": self.dataset.fingerprint("train"),
            "epochs": f"{steps / -(-sum(self.counts) // self.size):.10g}",
            "steps": str(steps),
            "batch_size": str(self.size),
            "seed": str(wish.seed),
            "parent": file_sha256(wish.init) if wish.init else "",
            "training": {
                "train_counts": list(self.counts),
                "tail": wish.tail.says() | _last_stage(wish, self.description),
                "dropped": list(dropped(self.counts, wish.tail)),
                "augment": wish.augment,
                "epochs_of_an_image": self.batches.epochs(),
            },
        }


def _held(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """All training images uint8 [n, 3, h, w] and their labels int64 [n];
    refused from the first of them where all would be too many.
    """
    wanted = next(iter(dataset.open("train")))[0][0].numel() * dataset.splits["train"]
    if wanted > LARGEST:
        came = (
            f"{dataset.splits['train']:,} training images of {dataset.name} take "
            f"{wanted / 2**30:,.0f} GB"
        )
        raise UserError(
            f"{came}, and training here holds them all, {LARGEST / 2**30:.0f} GB at most; "
            "bring fewer or smaller ones"
        )
    images, labels = (torch.cat(parts) for parts in zip(*dataset.open("train"), strict=True))
    return images, labels


def _strategy(wish: Training) -> str:
    """How a training treats the tail, for people; "" for the usual way."""
    said = wish.tail.says()
    words = [] if wish.tail.mode == "natural" else [" ".join(str(value) for value in said.values())]
    return "".join(f", {word}" for word in [*words, *([wish.augment] if wish.augment else [])])


def _last_stage(wish: Training, description: Description) -> dict[str, str]:
    """What a deferred training's last stage trains, for the record."""
    if not wish.tail.deferred:
        return {}
    return {
        "last_stage": "class embeddings and last block"
        if "late" in description.abilities["train"]
        else "all weights"
    }


def _length(wish: Training, dataset: Dataset, description: Description) -> tuple[int, int]:
    """How many steps of how many images.

    Epochs are passes over the training split. By default a long-tailed split is trained on for as
    many steps as the whole one: compared are then data, not lengths.
    """
    usual = description.attributes.get("training", {})
    size = usual.get("batch", 64) if wish.batch_size is None else wish.batch_size
    epochs = usual.get("epochs", 10) if wish.epochs is None else wish.epochs
    if epochs < 1 or size < 1 or (wish.steps is not None and wish.steps < 1):
        raise UserError(
            f"--epochs {epochs}, --batch-size "
            f"{size}{'' if wish.steps is None else f', --steps {wish.steps}'}: each at least 1"
        )
    if wish.steps is not None and wish.epochs is not None:
        raise UserError(f"--epochs {epochs} and --steps {wish.steps}: give one of them")
    if "train" not in dataset.splits:
        raise UserError(
            f"the data set {dataset.name} has no training split, it has {', '.join(dataset.splits)}"
        )
    there = dataset.splits["train"]
    whole = dataset.splits.get(BALANCED_TRAIN, there) if wish.epochs is None else there
    size = min(size, there)
    return wish.steps or epochs * -(-whole // size), size


def kept_at(out: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, beside the last one."""
    return out.with_name(f"{out.stem}-{step:06d}{out.suffix}")


def _step_through(generator: Generator, batches: Batches, wish: Training, made: Made) -> None:
    given: dict[str, Any] = {wish.augment: augmentation.KINDS[wish.augment]} if wish.augment else {}
    if (begins := last_stage(wish.tail, len(batches))) < len(batches):
        given["late"] = lambda: batches.drawn() > begins
    with (
        progress(f"training {generator.description.name}", len(batches), "steps") as done,
        torch.enable_grad(),
    ):
        before = saved = 0
        losses: dict[str, float] = {}
        for step, of, losses in generator.steps("train", batches=batches, seed=wish.seed, **given):
            done((step - before) * len(batches) / max(of, 1))
            before = step
            if any(loss != loss for loss in losses.values()):
                raise PluginFailed(
                    f"{generator.description.name}: its loss became NaN at step {step} of {of}: "
                    f"{losses}; lower the learning rate"
                )
            if (
                wish.every
                and batches.drawn() // wish.every > saved
                and batches.drawn() < len(batches)
            ):
                saved = batches.drawn() // wish.every
                made.keep(generator, kept_at(wish.out, batches.drawn()))
    tell(
        f"trained {before} steps; last "
        + ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
    )
