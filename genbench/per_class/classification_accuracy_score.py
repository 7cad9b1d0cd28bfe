"""Classification accuracy score (CAS): a ResNet trained on samples alone and tested on held-out
real images; Ravuri & Vinyals (2019), section 3.

What it says no distance of features says: whether the samples teach what tells the classes apart.
It costs a training for each seed and training set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench._util.console import progress
from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, torch, torchvision_models
from genbench.statistics.confidence_intervals import t_interval, wilson

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
    Labelled = tuple[Array, Array]  # images uint8 [n, 3, h, w], labels int64 [n]

BATCH, EPOCHS = 128, 20  # epochs of the samples: the other sets are given as many steps
# He et al. (2016), section 4.2, with a cosine in place of its stairs
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4
SMALL = 64  # pixels of a side, up to which a network of CIFAR-10's is taken
# images are shifted by up to an eighth of their side; none is mirrored, since a mirrored
# digit is another
SHIFT = 8


def score(
    sets: Mapping[str, Labelled],
    test: Labelled,
    classes: int,
    groups: Mapping[str, Sequence[int]],
    seeds: int,
    device: str = "cpu",
) -> dict[str, Any]:
    """{"seeds", "steps", "test", "sets": {name: {"n", "accuracy", "low", "high", "seconds",
    "by_group": {group: share}, "by_class": [C shares or None]}}}.

    sets: what each network is trained on, the samples first: all are given the samples' number of
    steps. accuracy: of the network after its last step, 0 to 1, the mean over seeds; its interval
    holds what the seeds vary (t) and what the m test images do (Wilson), added as if independent.
    UserError for a set without images or with fewer than two classes.
    """
    for name, (images, labels) in sets.items():
        if len(images) < 2 or len(np.unique(labels)) < 2:
            raise UserError(
                f"--cas: the set {name} has {len(images)} images of {len(np.unique(labels))} "
                "classes: two of each are needed to train on"
            )
    steps = max(1, EPOCHS * len(next(iter(sets.values()))[1]) // BATCH)
    there = np.bincount(test[1], minlength=classes)
    found = {}
    for name, given in sets.items():
        began = time.monotonic()
        # [seeds, C]
        right = np.stack(
            [
                _right(trained(*given, classes, seed, steps, device, name), test, classes, device)
                for seed in range(seeds)
            ]
        )
        shares = right.sum(1) / there.sum()
        by_class = np.where(there > 0, right.mean(0) / np.maximum(there, 1), math.nan)
        low, high = _interval(shares, int(there.sum()))
        found[name] = {
            "n": len(given[1]),
            "accuracy": float(shares.mean()),
            "low": low,
            "high": high,
            "seconds": time.monotonic() - began,
            "by_group": {
                group: float(right[:, of].sum() / seeds / there[of].sum())
                for group, of in _places(groups)
                if there[of].sum()
            },
            "by_class": [None if math.isnan(one) else float(one) for one in by_class],
        }
    return {
        "network": network(classes, test[0].shape[-1])[0],
        "seeds": seeds,
        "steps": steps,
        "batch": BATCH,
        "test": int(there.sum()),
        "sets": found,
    }


def filled(real: Labelled, samples: Labelled) -> Labelled:
    """Real images and, of each class, as many samples as it takes to have as many as the largest:
    what samples are worth beside a long tail.
    """
    counts = np.bincount(real[1], minlength=int(samples[1].max()) + 1)
    added = np.concatenate(
        [np.flatnonzero(samples[1] == c)[: counts.max() - count] for c, count in enumerate(counts)]
    )
    return np.concatenate([real[0], samples[0][added]]), np.concatenate(
        [real[1], samples[1][added]]
    )


def _places(groups: Mapping[str, Sequence[int]]) -> list[tuple[str, list[int]]]:
    return [(name, list(members)) for name, members in groups.items() if members]


def _interval(shares: Array, m: int) -> tuple[float, float]:
    """Of the mean over seeds: the seeds' own half and the test images' (Wilson's),
    added in squares; the test images' alone for one seed.
    """
    value = float(shares.mean())
    low, high = wilson(value, m)
    own = (
        t_interval(0.0, float(shares.std(ddof=1)) / math.sqrt(len(shares)), len(shares))[1]
        if len(shares) > 1
        else 0.0
    )
    return max(0.0, value - math.hypot(value - low, own)), min(
        1.0, value + math.hypot(high - value, own)
    )


def network(classes: int, side: int) -> tuple[str, Any]:
    """(name, network without weights): the paper's ResNet-50;
    for sides up to SMALL ResNet-20, which He et al. made for CIFAR-10 (section 4.2).
    """
    if side > SMALL:
        return "resnet50", torchvision_models.resnet50(weights=None, num_classes=classes)
    block = torchvision_models.resnet.BasicBlock
    layers: list[Any] = [*_convolution(3, 16, 3), torch.nn.ReLU()]
    for before, width, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        shortcut = (
            torch.nn.Sequential(*_convolution(before, width, 1, stride)) if stride > 1 else None
        )
        layers += [block(before, width, stride, shortcut), block(width, width), block(width, width)]
    return "resnet20", torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, classes)
    )


def _convolution(before: int, width: int, size: int, stride: int = 1) -> list[Any]:
    return [
        torch.nn.Conv2d(before, width, size, stride, padding=size // 2, bias=False),
        torch.nn.BatchNorm2d(width),
    ]


def trained(
    images: Array,
    labels: Array,
    classes: int,
    seed: int,
    steps: int,
    device: str = "cpu",
    name: str = "",
) -> Any:
    """The network after its last step, in evaluation mode;
    drawn, ordered and shifted by the seed alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = (
            network(classes, images.shape[-1])[1].to(device).to(memory_format=torch.channels_last)
        )
        optimiser = torch.optim.SGD(
            made.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)
        waiting: list[torch.Tensor] = []
        with progress(f"training on {name}, seed {seed}", steps, "steps") as done:
            for _ in range(steps):
                if not waiting:
                    waiting = list(torch.randperm(len(pixels)).split(BATCH))
                chosen = waiting.pop()
                if len(chosen) < 2:  # batch norm has no variance of one image
                    chosen = torch.cat([chosen, torch.randint(len(pixels), (1,))])
                loss = torch.nn.functional.cross_entropy(
                    made(_seen(_shifted(pixels[chosen]), device)), targets[chosen].to(device)
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                done(1)
        return made.eval()


def _shifted(images: torch.Tensor) -> torch.Tensor:
    """Images [b, 3, h, w], each shifted by its own number of pixels on a ground of the
    edge's own.
    """
    most = max(1, images.shape[-1] // SHIFT)
    padded = torch.nn.functional.pad(images.float(), [most] * 4, mode="replicate")
    moves = torch.randint(2 * most + 1, (len(images), 2)).tolist()
    h, w = images.shape[-2:]
    return torch.stack(
        [
            one[:, down : down + h, right : right + w]
            for one, (down, right) in zip(padded, moves, strict=True)
        ]
    )


def _seen(images: torch.Tensor, device: str) -> torch.Tensor:
    return (images.to(device) / 127.5 - 1).to(memory_format=torch.channels_last)


def _right(made: Any, test: Labelled, classes: int, device: str) -> Array:
    """How many test images of each class the network names rightly, int64 [C]."""
    images, labels = test
    with torch.inference_mode():
        parts = [
            made(_seen(torch.from_numpy(images[at : at + BATCH]).float(), device))
            .argmax(1)
            .cpu()
            .numpy()
            for at in range(0, len(images), BATCH)
        ]
    return np.bincount(labels[np.concatenate(parts) == labels], minlength=classes)
