"""One generator: found, constructed on its device, and called with every answer checked."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from genbench import cuts, draws, hookspecs, images, options, paths, shelves
from genbench.abilities import Description, describe
from genbench.files import content_sha256
from genbench.lazy import np, torch
from genbench.rows import Dataset, File, Pairs, Weights, source_of
from genbench.say import PluginFailed, UserError, aside, choices, clean
from genbench.weights import need

if TYPE_CHECKING:
    from numpy import ndarray

PATHS = 2**31  # the stream of a path's t, beyond those that plugins draw from
HUB = "hf:"  # before the name of a checkpoint that is on a hub
PER_CALL = 50  # images to a call of a generator that does not take seeds, whatever the batch size


def locate(word: str) -> Description:
    """The generator behind `--plugin WORD`: a name on the shelf, or file.py,
    or file.py:ClassName.
    """
    path, _, inner = word.partition(":")
    if not (path.endswith(".py") or "/" in path):
        one = shelves.known("generators", word)
        with _calling(word, "importing it"):
            target = shelves.load(one)
        return describe(target, word, one.origin)
    file = Path(path)
    if not file.is_file():
        raise UserError(f"--plugin {clean(word)}: there is no such file")
    with _calling(file.name, "importing it"):
        module = shelves.module_of(file.resolve())
    if inner and not hasattr(module, inner):
        raise UserError(
            f"{file.name} has no {inner}: "
            f"{choices(inner, [n for n, v in vars(module).items() if inspect.isclass(v)])}"
        )
    return describe(getattr(module, inner) if inner else module, file.stem, path)


def checkpoint_of(
    description: Description, dataset: Dataset, named: Path | None, trust: str = ""
) -> Path | None:
    """The checkpoint, a file or a folder: the one named, else the generator's own for this data
    set, else None; a program only where its hash is trusted.
    """
    return _trusted(description, _checkpoint(description, cuts.unhalved(dataset), named), trust)


def _trusted(description: Description, checkpoint: Path | None, trust: str) -> Path | None:
    """The checkpoint; UserError unless one that is a program is the very one that the
    user trusts.
    """
    executes = description.attributes.get("executes", False)
    if trust and not executes:
        raise UserError(
            f"--trust is for checkpoints that are programs; what {description.name} reads is data, "
            "and nothing in it is run"
        )
    seal = content_sha256(checkpoint) if checkpoint and executes else ""
    if seal and not trust:
        raise UserError(
            f"{description.name} runs the program that lies in {checkpoint}; "
            f"if you trust whoever made it: --trust {seal}"
        )
    if seal != trust.lower():
        raise UserError(
            f"--trust {clean(trust)[:64]}: {checkpoint} is not the file of that SHA-256, "
            f"its own is {seal}; nothing in it was run"
        )
    return checkpoint


def _checkpoint(description: Description, dataset: Dataset, named: Path | None) -> Path | None:
    if named is not None:
        if "checkpoint" not in description.given:
            raise UserError(
                f"{description.name} takes no checkpoint: its constructor does not name one"
            )
        if str(named).startswith(HUB):
            if "fetches" not in description.attributes:
                raise UserError(
                    f"--checkpoint {clean(str(named))}: {description.name} reads files; "
                    "give it the path of one"
                )
            return Path(description.attributes["fetches"](str(named).removeprefix(HUB)))
        if not named.exists():
            raise UserError(f"--checkpoint {named}: there is no such file or folder")
        return named
    table: Mapping[str, Mapping[str, str]] = description.attributes.get("checkpoints", {})
    if "checkpoint" not in description.given or not table:
        return None
    if dataset.name not in table:
        trains = (
            f", or genbench train -p {description.name} -d {dataset.name} -O FILE.safetensors first"
            if "train" in description.abilities
            else ""
        )
        raise UserError(
            f"{description.name} has no weights for {dataset.name}, only for {', '.join(table)}: "
            f"--checkpoint FILE{trains}"
        )
    entry = table[dataset.name]
    if "file" not in entry:
        return need(
            _published(description.name, dataset.name, entry),
            source_of(description.target).parent,
            {},
            "--checkpoint ",
        ).path
    path = source_of(description.target).parent / entry["file"]
    if not path.is_file():
        raise UserError(
            f"{description.name}: its weights {path} are missing; install the package again, "
            "or give --checkpoint FILE"
        )
    return path


def _published(name: str, dataset: str, entry: Mapping[str, str]) -> Weights:
    """A published checkpoint as a row of weights; in the cache its file's name begins with the
    generator's, since data sets' names are many files'.
    """
    file = File(
        f"{name}-{entry['url'].rpartition('/')[2]}", entry.get("sha256", ""), url=entry["url"]
    )
    return Weights(f"{name}-{dataset}", entry.get("licence", "not said"), (file,))


def conditions_of(description: Description, checkpoint: Path | None) -> tuple[str, ...]:
    """What is asked of a generator, image by image: what its `sample` names and its checkpoint's
    network wants.
    """
    asks = description.attributes.get("asks")
    if asks is not None and checkpoint is not None:
        wanted = tuple(asks(checkpoint))
        return tuple(condition for condition in description.conditions if condition in wanted)
    own = description.attributes.get("classes")
    unconditional = callable(own) and checkpoint is not None and own(checkpoint) == 0
    return tuple(
        condition
        for condition in description.conditions
        if not (unconditional and condition == "labels")
    )


def options_of(
    description: Description, words: Sequence[str], checkpoint: Path | None
) -> dict[str, Any]:
    """Every option's value: the words', else what is usual for the checkpoint, else the default."""
    return options.chosen(
        words, description.options, description.name, usual_of(description, checkpoint)
    )


def usual_of(description: Description, checkpoint: Path | None) -> dict[str, Any]:
    """The options' values that a checkpoint has unless told otherwise."""
    usual = description.attributes.get("usual")
    return dict(usual(checkpoint)) if usual is not None and checkpoint is not None else {}


def device_of(word: str) -> str:
    """cpu, cuda or cuda:N; auto takes the GPU where there is one."""
    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", word):
        raise UserError(f"--device {clean(word)}: auto, cpu, cuda or cuda:N")
    if word.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"--device {word}: torch sees no CUDA device here; --device cpu, "
            "or install torch for your GPU"
        )
    return word


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
                drawn, self.quantised = images.checked(
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
                for far in (0, paths.OTHER_END)
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
                draws.uniform(seeds, (1,), stream=PATHS, device=self.device)[:, 0]
                if pairs.where == "full"
                else torch.zeros(len(seeds), device=self.device)
            )
            one, other = (
                self._rendered(paths.point(a, b, at, pairs.path), seeds, own, pairs)
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
        return paths.compared(images.to(self.device), pairs)


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


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _calling(name: str, what: str) -> Iterator[None]:
    """Run a stranger's code: its prints to standard error,
    its failures with its name in front and its own traceback.
    """
    there = _is_open(1)
    try:
        with aside():
            yield
            if there and not _is_open(1):
                raise PluginFailed(
                    f"{name}: {what} closed standard output, which carries the answer; "
                    "finished shards are kept"
                )
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise PluginFailed(
            f"{name}: {what} exited ({error.code}); a plugin returns images or raises"
        ) from error
    except BaseException as error:
        # GeneratorExit and the like are no way for a plugin to end the run unheard
        raise PluginFailed(
            f"{name}: {what} raised {type(error).__name__}: {_text_of(error)}", _own_trace(error)
        ) from error


def _text_of(error: BaseException) -> str:
    try:
        return clean(" ".join(str(error).split()))
    except Exception:  # an exception whose own text raises
        return "(no text)"


def _own_trace(error: BaseException) -> str:
    """The plugin's part of a traceback: from its first frame on."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    ours = (
        str(Path(__file__).parent),
        str(Path(pluggy.__file__).parent),
        "importlib",
        str(Path(contextlib.__file__)),
    )
    theirs = next(
        (i for i, f in enumerate(frames) if not any(o in f.filename for o in ours)), len(frames)
    )
    own = list(frames[theirs:]) or list(frames[-1:])
    return "".join(
        [
            "Traceback (most recent call last):\n",
            *traceback.format_list(own),
            *traceback.format_exception_only(error),
        ]
    )
