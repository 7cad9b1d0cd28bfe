"""One generator: found, understood without being constructed, constructed, and called with every answer checked.

`describe` reads the abilities and options off a module or class; `construct` makes it ready on a device; `Generator.draw` is the checked call.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import random
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

import pluggy

from genbench import hookspecs, images, options, shelves
from genbench.files import code_sha256, digest
from genbench.lazy import np, torch
from genbench.say import PluginFailed, UserError, choices, clean

if TYPE_CHECKING:
    from numpy import ndarray

PER_CALL = 50  # images to a call of a generator that does not take seeds, whatever the batch size
GIVEN = ("checkpoint", "device", "dataset")  # constructor arguments that the harness gives; the rest are options
ATTRIBUTES = ("range", "classes", "resolution", "paper", "licence", "pretrained_on", "checkpoints", "spaces", "training", "competitor")


@dataclass(frozen=True)
class Description:
    """What a generator says of itself, before anything of it was run but its module."""

    name: str
    origin: str
    target: Any  # the module or class
    module: ModuleType | None
    abilities: Mapping[str, tuple[str, ...]]  # hook -> the arguments it names
    options: Mapping[str, options.Option]
    given: tuple[str, ...]  # which of GIVEN its constructor names
    attributes: Mapping[str, Any]

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(c for c in hookspecs.CONDITIONS if c in self.abilities["sample"])


def locate(word: str) -> Description:
    """The generator behind `--plugin WORD`: a name on the shelf, or file.py, or file.py:ClassName."""
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
        raise UserError(f"{file.name} has no {inner}: {choices(inner, [n for n, v in vars(module).items() if inspect.isclass(v)])}")
    return describe(getattr(module, inner) if inner else module, file.stem, path)


def describe(target: Any, name: str, origin: str) -> Description:
    """Read off abilities, options and attributes; UserError with the line to change when the generator is wrong."""
    module = target if isinstance(target, ModuleType) else sys.modules.get(getattr(target, "__module__", ""))
    if isinstance(target, ModuleType):
        target = _generator_in(target, name)
    where = name if isinstance(target, ModuleType) or target.__name__.lower() == name else f"{name}:{target.__name__}"
    implementations = _implementations(target, where)
    if "sample" not in implementations:
        raise UserError(f"{where} has no sample hook; write: @genbench.hookimpl above def sample(n)")
    abilities = {hook: _arguments(function, hook, where) for hook, function in implementations.items()}
    found, given = _constructor(target, where) if inspect.isclass(target) else ({}, ())
    attributes = {a: getattr(target, a) for a in ATTRIBUTES if hasattr(target, a)}
    return Description(name, origin, target, module, abilities, found, given, attributes)


def _generator_in(module: ModuleType, name: str) -> Any:
    """The module itself when it has hooks at its top, else its one class that has a sample hook."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    if any(inspect.isfunction(value) and (_is_marked(value) or value.__name__ in hookspecs.HOOKS) for value in own):
        return module
    classes = [value for value in own if inspect.isclass(value) and _is_marked(getattr(value, "sample", None))]
    if len(classes) > 1:
        names = ", ".join(c.__name__ for c in classes)
        raise UserError(f"{name} has {len(classes)} generators ({names}); say which: {name}.py:{classes[0].__name__}")
    bare = [value for value in own if inspect.isclass(value) and inspect.isfunction(getattr(value, "sample", None))]
    return classes[0] if classes else bare[0] if bare else module


def _is_marked(function: Any) -> bool:
    return getattr(function, "genbench_impl", None) is not None


def _implementations(target: Any, where: str) -> dict[str, Any]:
    """Hook name -> function. An unmarked function of a hook's name, and a marked one of no hook's name, are refused."""
    found = {}
    for scope in reversed(target.__mro__) if inspect.isclass(target) else (target,):
        if scope.__module__.partition(".")[0] in ("torch", "builtins") if inspect.isclass(scope) else False:
            continue  # nn.Module has a `train` of its own
        for name, function in vars(scope).items():
            if not inspect.isfunction(function) or (scope is target and isinstance(target, ModuleType) and function.__module__ != target.__name__):
                continue
            if _is_marked(function) and name not in hookspecs.HOOKS:
                raise UserError(f"{where} marks {name} as a hook, but there is none of that name: {choices(name, hookspecs.HOOKS)}")
            if name in hookspecs.HOOKS and not _is_marked(function):
                raise UserError(f"{where} has a function {name} that is not marked as a hook; write @genbench.hookimpl above it, or rename it")
            if name in hookspecs.HOOKS:
                found[name] = function
    return found


def _arguments(function: Any, hook: str, where: str) -> tuple[str, ...]:
    """The arguments a hook names, with or without default; the kinds that pluggy would lose in silence are refused."""
    known = [p for p in inspect.signature(getattr(hookspecs.Hooks, hook)).parameters if p != "self"]
    named = []
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise UserError(f"{where}: {hook} takes {argument}, which hides what it can do; name the arguments it wants, of: {', '.join(known)}")
        if argument.kind is argument.KEYWORD_ONLY:
            raise UserError(f"{where}: {hook} takes {argument.name} by keyword only; hooks are called by position, so remove the * before it")
        if argument.name != "self":
            named.append(argument.name)
    unknown = [name for name in named if name not in known]
    if unknown:
        raise UserError(f"{where}: {hook} names {unknown[0]}, which is not an argument of that hook: {choices(unknown[0], known)}")
    if hook == "sample" and "n" not in named:
        raise UserError(f"{where}: sample does not name n, the number of images to draw; write def sample({', '.join(['self'] * inspect.isclass(where) + ['n', *named])})")
    return tuple(named)


def _constructor(target: type, where: str) -> tuple[dict[str, options.Option], tuple[str, ...]]:
    if target.__init__ is object.__init__:  # type: ignore[misc]
        return {}, ()
    try:
        hints = get_type_hints(target.__init__, include_extras=True)  # type: ignore[misc]
    except NameError as error:
        raise UserError(f"{where}: an annotation of its constructor cannot be read: {error}") from None
    parameters = [p for p in inspect.signature(target.__init__).parameters.values() if p.name != "self"]  # type: ignore[misc]
    found = {p.name: options.read(p, hints.get(p.name), where) for p in parameters if p.name not in GIVEN}
    return found, tuple(p.name for p in parameters if p.name in GIVEN)


def code_of(description: Description) -> str:
    """SHA-256 of the generator's source without docstrings, its neighbours in the same folder that it imports included; "" for one made in memory."""
    file = getattr(description.module, "__file__", None)
    if file is None or getattr(description.module, "__name__", "") == "__main__":
        return ""
    waiting, seen = [Path(file)], {}
    while waiting:
        path = waiting.pop()
        source = path.read_text(encoding="utf-8")
        seen[path.name] = code_sha256(source)
        waiting += [near for near in _neighbours(source, path.parent) if near.name not in seen]
    return digest(seen)


def _neighbours(source: str, folder: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
    return [folder / f"{name}.py" for name in sorted(names) if name and (folder / f"{name}.py").is_file()]


@dataclass
class Generator:
    """A constructed generator on its device."""

    description: Description
    hook: Any  # pluggy's relay
    device: Any
    quantised: str = field(default="", init=False)  # how the last batch was
    size: tuple[int, int] | None = field(default=None, init=False)

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook with what it may name; the rest is None. Plugin errors come out as PluginFailed."""
        names = [p for p in inspect.signature(getattr(hookspecs.Hooks, hook)).parameters if p != "self"]
        with _calling(self.description.name, hook):
            return getattr(self.hook, hook)(**{name: arguments.get(name) for name in names})

    def steps(self, hook: str, **arguments: Any) -> Iterator[Any]:
        """Iterate over a hook that is a generator function; its errors come out as PluginFailed at whatever step they happen."""
        running = iter(self.call(hook, **arguments))
        while True:
            with _calling(self.description.name, hook):
                step = next(running, None)
            if step is None:
                return
            yield step

    def draw(self, indices: ndarray[Any, Any], first_seed: int, labels: ndarray[Any, Any] | None, batch_size: int, quantise: str) -> torch.Tensor:
        """Images uint8 [n, 3, H, W] on the device for the run's samples `indices` int64 [n]; seed of sample i is first_seed + i."""
        per_call = batch_size if "seeds" in self.description.abilities["sample"] else PER_CALL
        chunks = []
        for at in range(0, len(indices), per_call):
            chunk = slice(at, at + per_call)
            chunks.append(self._sample(indices[chunk], first_seed, None if labels is None else labels[chunk], quantise))
        return torch.cat(chunks)

    def _sample(self, indices: ndarray[Any, Any], first_seed: int, labels: ndarray[Any, Any] | None, quantise: str) -> torch.Tensor:
        def there(values: ndarray[Any, Any] | None) -> Any:
            return None if values is None else torch.as_tensor(values, dtype=torch.int64, device=self.device)

        name = self.description.name
        seeds = indices + first_seed
        if "seeds" not in self.description.abilities["sample"]:
            seed_everything(int(seeds[0]))
        with torch.no_grad():
            batch = self.call("sample", n=len(indices), seeds=there(seeds), indices=there(indices), labels=there(labels))
            try:
                drawn, self.quantised = images.checked(batch, len(indices), self.description.attributes.get("range"), quantise)
            except PluginFailed as error:
                raise PluginFailed(f"{name}: {error}") from None
        size = (drawn.shape[2], drawn.shape[3])
        if self.size not in (None, size):
            raise PluginFailed(f"{name}: sample returned images of {size[0]}x{size[1]} after {self.size[0]}x{self.size[1]}; every image of a run has one size")
        self.size = size
        return drawn.to(self.device)


def construct(description: Description, chosen: Mapping[str, Any], checkpoint: Path | None, device: Any, dataset: Any) -> Generator:
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
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a plugin may use the global state, so it is the one to seed
    torch.manual_seed(seed)


class _Aside(io.TextIOBase):
    """Where a plugin's prints go: standard error, since standard output is the answer; closing it closes nothing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        pass


@contextlib.contextmanager
def _calling(name: str, what: str) -> Iterator[None]:
    """Run a stranger's code: its prints to standard error, its failures with its name in front and its own traceback."""
    try:
        with contextlib.redirect_stdout(_Aside()):
            yield
    except (UserError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise PluginFailed(f"{name}: {what} exited ({error.code}); a plugin returns images or raises") from error
    except Exception as error:
        raise PluginFailed(f"{name}: {what} raised {type(error).__name__}: {clean(str(error))}", _own_trace(error)) from error


def _own_trace(error: BaseException) -> str:
    """The plugin's part of a traceback: from its first frame on."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(__file__).parent), str(Path(pluggy.__file__).parent), "importlib", str(Path(contextlib.__file__)))
    theirs = next((i for i, f in enumerate(frames) if not any(o in f.filename for o in ours)), len(frames))
    own = list(frames[theirs:]) or list(frames[-1:])
    return "".join(["Traceback (most recent call last):\n", *traceback.format_list(own), *traceback.format_exception_only(error)])
