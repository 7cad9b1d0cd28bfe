"""One generator, constructed on its device and called with every answer checked."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from genbench._util.errors import PluginFailed, UserError
from genbench._util.lazy_imports import np, torch
from genbench.api import hookspecs
from genbench.api.metric import Pairs
from genbench.data import image_checks
from genbench.generators import latent_paths, seeded_noise
from genbench.generators.description import Description
from genbench.generators.plugin_errors import _calling

if TYPE_CHECKING:
    from numpy import ndarray

PATHS = 2**31  # the stream of a path's t, beyond those that plugins draw from
PER_CALL = 50  # images to a call of a generator that does not take seeds, whatever the batch size


@dataclass
class Generator:
    """A constructed generator on its device."""

    description: Description
    hook: Any  # pluggy's relay
    device: Any
    quantised: str = field(default="", init=False)  # how the last batch was
    size: tuple[int, int] | None = field(default=None, init=False)

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook with what it may name; the rest is None.

        Plugin errors come out as PluginFailed.
        """
        names = [
            p for p in inspect.signature(getattr(hookspecs.Hooks, hook)).parameters if p != "self"
        ]
        with _calling(self.description.name, hook):
            return getattr(self.hook, hook)(**{name: arguments.get(name) for name in names})

    def steps(self, hook: str, **arguments: Any) -> Iterator[Any]:
        """Iterate over a hook that is a generator function;
        its errors come out as PluginFailed at whatever step they happen.
        """
        running = iter(self.call(hook, **arguments))
        while True:
            with _calling(self.description.name, hook):
                step = next(running, None)
            if step is None:
                return
            yield step

    def cost(self) -> dict[str, float]:
        """What the generator says of its cost, as plain numbers; {} where it has no such hook."""
        told = self.call("cost") if "cost" in self.description.abilities else {}
        try:
            return {str(name): float(value) for name, value in told.items()}
        except (AttributeError, TypeError, ValueError):
            raise PluginFailed(
                f'{self.description.name}: cost returned {told!r:.80}; return {{"parameters": '
                '.., "evaluations": ..}'
            ) from None

    def draw(
        self,
        indices: ndarray[Any, Any],
        first_seed: int,
        labels: ndarray[Any, Any] | None,
        batch_size: int,
        quantise: str,
        prompts: Sequence[str] | None = None,
    ) -> torch.Tensor:
        """Images uint8 [n, 3, H, W] on the device for the run's samples `indices` int64 [n];
        seed of sample i is first_seed + i.
        """
        per_call = batch_size if "seeds" in self.description.abilities["sample"] else PER_CALL
        chunks = []
        for at in range(0, len(indices), per_call):
            chunk = slice(at, at + per_call)
            texts = None if prompts is None else prompts[chunk]
            chunks.append(
                self._sample(
                    indices[chunk],
                    first_seed,
                    None if labels is None else labels[chunk],
                    texts,
                    quantise,
                )
            )
        return torch.cat(chunks)

    def _sample(
        self,
        indices: ndarray[Any, Any],
        first_seed: int,
        labels: Any,
        prompts: Sequence[str] | None,
        quantise: str,
    ) -> torch.Tensor:
        def there(values: ndarray[Any, Any] | None) -> Any:
            return (
                None
                if values is None
                else torch.as_tensor(values, dtype=torch.int64, device=self.device)
            )

        name = self.description.name
        seeds = indices + first_seed
        if "seeds" not in self.description.abilities["sample"]:
            seed_everything(int(seeds[0]))
        with torch.no_grad():
            texts = None if prompts is None else list(prompts)
            batch = self.call(
                "sample",
                n=len(indices),
                seeds=there(seeds),
                indices=there(indices),
                labels=there(labels),
                prompts=texts,
            )
            try:
                drawn, self.quantised = image_checks.checked(
                    batch, len(indices), self.description.attributes.get("range"), quantise
                )
            except PluginFailed as error:
                where = (
                    ""
                    if error.image is None
                    else f" (sample {indices[error.image]}, seed {seeds[error.image]})"
                )
                raise PluginFailed(f"{name}: {error}{where}") from None
        size = (drawn.shape[2], drawn.shape[3])
        if self.size not in (None, size):
            raise PluginFailed(
                f"{name}: sample returned images of {size[0]}x{size[1]} after "
                f"{self.size[0]}x{self.size[1]}; every image of a run has one size"
            )
        self.size = size
        return drawn.to(self.device)

    def pair(
        self,
        indices: ndarray[Any, Any],
        first_seed: int,
        labels: ndarray[Any, Any] | None,
        pairs: Pairs,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The images at the two points of each sample's path,
        float32 [n, 3, h, w] on a scale of 0 to 255; noise and labels are equal within a pair.
        """
        seeds = torch.as_tensor(indices + first_seed, device=self.device)
        own = None if labels is None else torch.as_tensor(labels, device=self.device)
        with torch.no_grad():
            a, b = (
                self.call("latents", seeds=seeds + far, labels=own, space=pairs.space)
                for far in (0, latent_paths.OTHER_END)
            )
            for latents in (a, b):
                if (
                    not isinstance(latents, torch.Tensor)
                    or not latents.is_floating_point()
                    or len(latents) != len(seeds)
                ):
                    came = (
                        f"{latents.dtype} {list(latents.shape)}"
                        if isinstance(latents, torch.Tensor)
                        else type(latents).__name__
                    )
                    raise PluginFailed(
                        f"{self.description.name}: latents returned {came}; "
                        f"return floats [{len(seeds)}, ...]"
                    )
            t = (
                seeded_noise.uniform(seeds, (1,), stream=PATHS, device=self.device)[:, 0]
                if pairs.where == "full"
                else torch.zeros(len(seeds), device=self.device)
            )
            one, other = (
                self._rendered(latent_paths.point(a, b, at, pairs.path), seeds, own, pairs)
                for at in (t, t + pairs.epsilon)
            )
        return one, other

    def _rendered(
        self, latents: torch.Tensor, seeds: torch.Tensor, labels: torch.Tensor | None, pairs: Pairs
    ) -> torch.Tensor:
        images = self.call(
            "synthesize", latents=latents, labels=labels, seeds=seeds, space=pairs.space
        )
        name = self.description.name
        if (
            not isinstance(images, torch.Tensor)
            or images.ndim != 4
            or images.shape[1] not in (1, 3)
            or not images.is_floating_point()
        ):
            came = (
                f"{images.dtype} {tuple(images.shape)}"
                if isinstance(images, torch.Tensor)
                else type(images).__name__
            )
            raise PluginFailed(
                f"{name}: synthesize returned {came}; return float [n, 3, H, W] or [n, 1, H, "
                "W] in -1 to 1, unquantised"
            )
        if len(images) != len(seeds) or min(images.shape[2:]) < 1:
            raise PluginFailed(
                f"{name}: synthesize returned {list(images.shape)} for {len(seeds)} latents; "
                f"return [{len(seeds)}, 3, H, W]"
            )
        if not torch.isfinite(images).all():
            raise PluginFailed(f"{name}: synthesize returned NaN or infinite values")
        return latent_paths.compared(images.to(self.device), pairs)


def construct(
    description: Description,
    chosen: Mapping[str, Any],
    checkpoint: Path | None,
    device: Any,
    dataset: Any,
) -> Generator:
    """The generator ready on its device, registered with a pluggy manager of its own."""
    instance = description.target
    if inspect.isclass(instance):
        given = {"checkpoint": checkpoint, "device": device, "dataset": dataset}
        with _calling(description.name, "its constructor"):
            instance = instance(**{k: given[k] for k in description.given}, **chosen)
    manager = pluggy.PluginManager("genbench")
    manager.add_hookspecs(hookspecs.Hooks)
    try:
        manager.register(instance)
        manager.check_pending()
    except pluggy.PluginValidationError as error:  # what describe() did not foresee
        raise UserError(f"{description.name}: {' '.join(str(error).split())}") from error
    return Generator(description, manager.hook, device)


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and random globally, for generators that take no seeds."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
