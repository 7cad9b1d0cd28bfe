"""Check that a generator does what its hooks promise; for `genbench test-plugin` and for anybody's
pytest:

import genbench

def test_my_plugin():
    assert [r for r in genbench.check_plugin("mine.py") if r.verdict == "fail"] == []
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genbench._util.errors import UserError
from genbench._util.lazy_imports import np, safetensors_torch, torch
from genbench.api import _registry as registry
from genbench.data.prompts import TEMPLATE, of_classes
from genbench.features.extraction import at_hand
from genbench.generators.description import Description
from genbench.generators.generator import Generator, construct, seed_everything
from genbench.generators.load import checkpoint_of, conditions_of, device_of, locate, options_of
from genbench.generators.reconstruct import reconstruct
from genbench.statistics.confidence_intervals import wilson

if TYPE_CHECKING:
    from genbench.api.dataset import Dataset

FEW = 8  # images of most checks
PER_CLASS = 10
RANDOM = "draw with genbench.noise(seeds, ...), and nothing else random"
LARGE_SHARE = 1e-3  # of pixels that may differ by more than one grey level between batch sizes


@dataclass(frozen=True)
class Result:
    """The outcome of one check. A check that does not apply passes by "skip", with the reason."""

    check: str
    verdict: Literal["pass", "fail", "skip"]
    came: str
    remedy: str = ""


@dataclass(frozen=True)
class Trial:
    """What every check is given."""

    description: Description
    generator: Generator
    dataset: Dataset
    again: Callable[[Path | None], Generator]  # constructs another, with these weights
    conditions: tuple[str, ...] = ()

    def has(self, hook: str, *arguments: str) -> bool:
        return (
            set(arguments) <= set(self.description.abilities.get(hook, ()))
            and hook in self.description.abilities
        )

    def draw(
        self, indices: Sequence[int], batch_size: int = 50, generator: Generator | None = None
    ) -> Any:
        """Images uint8 [n, 3, H, W] of these samples under --seed 0 and balanced labels,
        as numpy.
        """
        places = np.array(indices, dtype=np.int64)
        labels = places % len(self.dataset.classes) if self.conditions else None
        named = of_classes(TEMPLATE, self.dataset.classes) if "prompts" in self.conditions else None
        texts = None if named is None or labels is None else [named[label] for label in labels]
        return (
            (generator or self.generator)
            .draw(places, 0, labels, batch_size, "round", texts)
            .cpu()
            .numpy()
        )


def check(
    description: Description,
    *,
    dataset: str = "digits",
    options: Sequence[str] = (),
    checkpoint: Path | None = None,
    trust: str = "",
    device: str = "cpu",
) -> list[Result]:
    """Run every check; UserError when the generator cannot even be constructed."""
    row = registry.find("datasets", dataset)
    where = device_of(device)

    weights = checkpoint_of(description, row, checkpoint, trust)
    chosen = options_of(description, options, weights)

    def again(weights: Path | None) -> Generator:
        return construct(description, chosen, weights, where, row)

    trial = Trial(description, again(weights), row, again, conditions_of(description, weights))
    return [_one(name, function, trial) for name, function in CHECKS.items()]


def check_plugin(
    plugin: str | Path,
    *,
    dataset: str = "digits",
    options: Sequence[str] = (),
    checkpoint: str | Path | None = None,
    trust: str = "",
    device: str = "cpu",
) -> list[Result]:
    """Run the conformance checks on a generator.

    Args:
        plugin: a name (`genbench plugins`), the path of a file, or "file.py:ClassName".
        dataset: the data set whose classes and size the generator is given.
        options: of the generator, as "name=value".
        checkpoint: the weights; None for the generator's own.
        trust: the SHA-256 of a checkpoint that is a program.
        device: "cpu", "cuda", "cuda:N" or "auto".

    Returns:
        A Result (check, verdict, came, remedy) per check; `verdict` is "pass", "fail" or "skip".

    Raises:
        UserError: the generator cannot be found or constructed.
    """
    weights = None if checkpoint is None else Path(checkpoint)
    return check(
        locate(str(plugin)),
        dataset=dataset,
        options=options,
        checkpoint=weights,
        trust=trust,
        device=device,
    )


def _one(name: str, function: Callable[[Trial], Result | tuple[Any, ...]], trial: Trial) -> Result:
    try:
        return Result(name, *function(trial))  # type: ignore[misc]
    except UserError as error:  # PluginFailed names plugin, what came and the remedy
        return Result(name, "fail", " ".join(str(error).split()))


def _count(trial: Trial) -> tuple[str, str]:
    for n in (1, 7):
        trial.draw(range(n), batch_size=n)
    return "pass", "sample(1) and sample(7) return as many images"


def _images(trial: Trial) -> tuple[str, str]:
    found = trial.draw(range(FEW))
    if found.min() == found.max():
        return "fail", f"every pixel of {FEW} images is {found.min()}"
    return (
        "pass",
        (
            f"{found.shape[2]}x{found.shape[3]}, quantised {trial.generator.quantised}, "
            f"grey levels {found.min()} to {found.max()}"
        ),
    )


def _repeatable(trial: Trial) -> tuple[str, ...]:
    first, second = trial.draw(range(FEW)), trial.draw(range(FEW))
    if not np.array_equal(first, second):
        return (
            "fail",
            f"{_differing(first, second)} of pixels differ between two draws of the same seeds",
            RANDOM,
        )
    return "pass", "the same seeds give the same images"


def _various(trial: Trial) -> tuple[str, ...]:
    classes = len(trial.dataset.classes)
    # the same label under the balanced policy
    first, second = trial.draw([0]), trial.draw([classes])
    if np.array_equal(first, second):
        return (
            "fail",
            "two seeds give the same image",
            "make the noise depend on seeds (or on indices)",
        )
    return "pass", "other seeds give other images"


def _alone(trial: Trial) -> tuple[str, ...]:
    if not trial.has("sample", "seeds"):
        return "skip", "sample names no seeds: it is called once per 50 images, seeded globally"
    together = trial.draw(range(FEW), batch_size=FEW).astype(np.int64)
    alone = trial.draw(range(FEW), batch_size=1).astype(np.int64)
    share = float((np.abs(together - alone) > 1).mean())
    if share > LARGE_SHARE:
        came = (
            f"{share:.2%} of pixels differ by more than a grey level between batches of "
            f"{FEW} and of 1"
        )
        return (
            "fail",
            came,
            "image i must depend on seeds[i] alone: no batch statistics, no shared noise",
        )
    return (
        "pass",
        f"batches of {FEW} and of 1 agree ({share:.2%} of pixels differ by more than a grey level)",
    )


def _differing(a: Any, b: Any) -> str:
    return f"{float((a != b).mean()):.2%}"


def _labels(trial: Trial) -> tuple[str, ...]:
    if not trial.conditions:
        return "skip", "it is unconditional"
    classes = len(trial.dataset.classes)
    extractor, output = trial.dataset.recogniser.split(".")
    network = at_hand(extractor, str(trial.generator.device))
    images = torch.from_numpy(trial.draw(range(PER_CLASS * classes))).to(trial.generator.device)
    recognised = network(images)[output].argmax(1).cpu().numpy()
    right = float((recognised == np.arange(PER_CLASS * classes) % classes).mean())
    if wilson(right, PER_CLASS * classes)[0] <= 1 / classes:
        return (
            "fail",
            (
                f"{right:.0%} of images are recognised as the class asked for, "
                f"chance is {1 / classes:.0%}"
            ),
            "use labels[i] for image i",
        )
    return (
        "pass",
        (
            f"{right:.0%} of images are recognised as the class asked for "
            f"(by {trial.dataset.recogniser})"
        ),
    )


def _state() -> dict[str, Any]:
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's threads": torch.get_num_threads(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "the working folder": str(Path.cwd()),
        "the environment variables": dict(os.environ),
    }


def _random_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
    }


def _clean(trial: Trial) -> tuple[str, ...]:
    seed_everything(0)
    before, dice = _state(), _random_state()
    trial.draw(range(FEW))
    changed = [name for name, value in _state().items() if value != before[name]]
    if trial.has("sample", "seeds"):
        changed += [
            f"the global random state of {name}"
            for name, value in _random_state().items()
            if value != dice[name]
        ]
    if changed:
        return (
            "fail",
            f"sample changes {', '.join(changed)}",
            "put it back, or draw with genbench.noise(seeds, ...)",
        )
    return "pass", "no global state is changed"


def _latents(trial: Trial) -> tuple[str, ...]:
    if not (trial.has("latents") and trial.has("synthesize")):
        return "skip", "no latents and synthesize hooks"
    seeds = torch.arange(FEW, device=trial.generator.device)
    labels = seeds % len(trial.dataset.classes) if trial.conditions else None
    space = next(iter(trial.description.attributes.get("spaces", ("z",))))
    with torch.no_grad():
        z = trial.generator.call("latents", seeds=seeds, labels=labels, space=space)
        images = trial.generator.call(
            "synthesize", latents=z, labels=labels, seeds=seeds, space=space
        )
    if len(z) != FEW or len(images) != FEW or not images.is_floating_point() or images.ndim != 4:
        came = f"latents {tuple(z.shape)}, images {tuple(images.shape)} {images.dtype}"
        return (
            "fail",
            came,
            "return float latents [n, ...] and float images [n, 3, H, W] in -1 to 1",
        )
    if not torch.isfinite(images).all() or images.abs().max() > 1.001:
        return (
            "fail",
            f"synthesize returns {float(images.min()):.3g} to {float(images.max()):.3g}",
            "return images in -1 to 1",
        )
    return (
        "pass",
        (
            f"latents {tuple(z.shape[1:])} in {space}, images float in {float(images.min()):.2f} "
            f"to {float(images.max()):.2f}"
        ),
    )


def _checkpoint(trial: Trial) -> tuple[str, ...]:
    if not trial.has("state") or "checkpoint" not in trial.description.given:
        return "skip", "no state hook with a checkpoint argument"
    state = trial.generator.call("state")
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        return "fail", f"state returned {type(state).__name__}", "return a dictionary of tensors"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        path.write_bytes(
            safetensors_torch.save({k: v.detach().cpu().contiguous() for k, v in state.items()})
        )
        reread = trial.draw(range(FEW), generator=trial.again(path))
    if not np.array_equal(reread, trial.draw(range(FEW))):
        return (
            "fail",
            "weights saved and read back give other images",
            "state must hold everything that checkpoint reads",
        )
    return "pass", f"{len(state)} tensors saved and read back give the same images"


def _reconstruct(trial: Trial) -> tuple[str, ...]:
    if not trial.has("reconstruct"):
        return "skip", "no reconstruct hook"
    images, labels = (
        part[:FEW] for part in next(trial.dataset.open(next(iter(trial.dataset.splits))))
    )
    where = trial.generator.device
    ours = reconstruct(trial.generator, images.to(where), labels.to(where), FEW, "round")
    if ours is None:
        return "skip", "reconstruct returned None: this checkpoint has no encoder"
    # [reconstruction, image]
    apart = (ours.cpu()[:, None].float() - images[None].float()).square().mean((2, 3, 4)).sqrt()
    wrong = int((apart.argmin(1) != torch.arange(len(images))).sum())
    if wrong:
        return (
            "fail",
            (
                f"{wrong} of {len(images)} reconstructions are closer to another image "
                "than to their own"
            ),
            "reconstruct image i from images[i]",
        )
    return (
        "pass",
        (
            f"{len(images)} images come back {float(apart.diagonal().mean()):.3g} grey levels off "
            "(root mean square), closer than to any other"
        ),
    )


def _cost(trial: Trial) -> tuple[str, ...]:
    if not trial.has("cost"):
        return "skip", "no cost hook"
    cost = trial.generator.call("cost")
    if not isinstance(cost, dict) or not all(isinstance(v, int | float) for v in cost.values()):
        return "fail", f"cost returned {cost!r}", 'return {"parameters": .., "evaluations": ..}'
    return "pass", ", ".join(f"{k} {v:g}" for k, v in cost.items())


CHECKS: dict[str, Callable[[Trial], Any]] = {
    "count": _count,
    "images": _images,
    "seeds repeat": _repeatable,
    "seeds differ": _various,
    "batch size": _alone,
    "labels": _labels,
    "global state": _clean,
    "latents": _latents,
    "reconstruct": _reconstruct,
    "checkpoint": _checkpoint,
    "cost": _cost,
}
