"""What a generator can do, read off its module or class before anything of it is run:
hooks, the arguments they name, options, attributes.

Whatever would be lost in silence later is refused here, with the line to change.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_type_hints

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench.api import hookspecs
from genbench.generators import options

# constructor arguments that the harness gives; the rest are options
GIVEN = ("checkpoint", "device", "dataset")
ATTRIBUTES = (
    *(
        "range",
        "classes",
        "resolution",
        "paper",
        "licence",
        "pretrained_on",
        "checkpoints",
        "spaces",
        "training",
        "competitor",
        "holds",
        "executes",
    ),
    *("asks", "usual", "beside", "fetches"),
)
# of those, what an object in memory may say
SAID = (
    "range",
    "classes",
    "resolution",
    "paper",
    "licence",
    "pretrained_on",
    "spaces",
    "competitor",
)
HELD = "held"  # under which name the module of a generator in memory has the object itself


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


def describe(target: Any, name: str, origin: str) -> Description:
    """Read off abilities, options and attributes; UserError with the line to change when the
    generator is wrong.
    """
    if not isinstance(target, ModuleType) and not inspect.isclass(target):
        raise UserError(
            f"{name} is {type(target).__name__}; give a module or a class with "
            "@genbench.hookimpl methods"
        )
    module = (
        target
        if isinstance(target, ModuleType)
        else sys.modules.get(getattr(target, "__module__", ""))
    )
    if isinstance(target, ModuleType):
        target = _generator_in(target, name)
    where = (
        name
        if isinstance(target, ModuleType) or target.__name__.lower() == name
        else f"{name}:{target.__name__}"
    )
    implementations = _implementations(target, where)
    if "sample" not in implementations:
        raise UserError(
            f"{where} has no sample hook; write: @genbench.hookimpl above def sample(n)"
        )
    abilities = {
        hook: _arguments(function, hook, where) for hook, function in implementations.items()
    }
    found, given = _constructor(target, where) if inspect.isclass(target) else ({}, ())
    attributes = {name: getattr(target, name) for name in ATTRIBUTES if hasattr(target, name)}
    _check_attributes(attributes, where)
    return Description(name, origin, target, module, abilities, found, given, attributes)


def in_memory(thing: Any) -> ModuleType:
    """A bare function `sample(n, ...)`, or an object with a sample method,
    as the module that `describe` reads; UserError for anything else.

    Of an object every method is taken that has the name of a hook, marked or not, but those of
    training; and the attributes of the manual, also of a function: `sample.range = (-1, 1)`.
    """
    methods = {
        hook: getattr(thing, hook, None)
        for hook in hookspecs.HOOKS
        if hook not in ("train", "state")
    }
    if not callable(methods["sample"]) and callable(thing):
        methods = {"sample": thing}
    if not callable(methods["sample"]):
        raise UserError(
            f"{type(thing).__name__} in memory is no generator: give a function sample(n), "
            "or an object with a method sample(n)"
        )
    found = ModuleType(name_of(thing))
    vars(found).update({name: getattr(thing, name) for name in SAID if hasattr(thing, name)})
    vars(found)[HELD] = thing
    vars(found).update(
        {
            hook: _hook(function, found.__name__)
            for hook, function in methods.items()
            if callable(function)
        }
    )
    return found


def name_of(thing: Any) -> str:
    """What a generator in memory is called: a function by its name,
    an object by that of its class.
    """
    return (
        str(getattr(thing, "__name__", type(thing).__name__)).rpartition(".")[2].strip("<>").lower()
    )


def _hook(function: Callable[..., Any], module: str) -> Callable[..., Any]:
    """A function, bound method or callable object as a marked function that names the same
    arguments; its own attributes stay as they are.
    """

    def hook(*given: Any) -> Any:
        return function(*given)

    def of_n(n: int) -> Any:
        return function(n)

    named = function if inspect.isroutine(function) else type(function).__call__.__get__(function)
    if not hasattr(named, "__code__") and not hasattr(getattr(named, "__func__", None), "__code__"):
        of_n.__module__ = module
        return hookspecs.hookimpl(of_n)  # of a partial or a compiled function nobody knows more
    # where pluggy and inspect look for the names
    hook.__wrapped__, hook.__module__ = named, module  # type: ignore[attr-defined]
    return hookspecs.hookimpl(hook)


def _check_attributes(attributes: Mapping[str, Any], where: str) -> None:
    """Attributes that are of another kind than the manual says are refused, with what is wanted."""
    for name, (fits, wanted) in WANTED.items():
        if name in attributes and not fits(attributes[name]):
            raise UserError(
                f"{where}: its attribute {name} is {attributes[name]!r:.60}; wanted is {wanted}"
            )


def _is_range(value: Any) -> bool:
    numbers = (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    )
    return numbers and all(map(math.isfinite, value)) and value[0] < value[1]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(e, Mapping) and all(isinstance(v, str) for v in e.values())
        for e in value.values()
    )


WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "range": (_is_range, "two finite numbers, (low, high), low below high"),
    "classes": (
        lambda value: _is_count(value) or callable(value),
        "a whole number above 0, or a static method of the checkpoint's path",
    ),
    "resolution": (_is_count, "a whole number above 0"),
    "competitor": (lambda value: isinstance(value, bool), "True or False"),
    "executes": (lambda value: isinstance(value, bool), "True or False"),
    "asks": (callable, "a static method of the checkpoint's path"),
    "usual": (callable, "a static method of the checkpoint's path"),
    "beside": (callable, "a static method of the checkpoint's path"),
    "fetches": (callable, "a static method of a name on a hub"),
    "checkpoints": (_is_table, '{data set: {"file" or "url": ..}}, all texts'),
    "training": (
        lambda value: isinstance(value, Mapping) and all(map(_is_count, value.values())),
        '{"epochs": .., "batch": ..}, whole numbers above 0',
    ),
    "pretrained_on": (
        lambda value: (
            isinstance(value, str)
            or (isinstance(value, tuple | list) and all(isinstance(v, str) for v in value))
        ),
        "names",
    ),
    "spaces": (
        lambda value: isinstance(value, tuple | list) and all(isinstance(v, str) for v in value),
        "names",
    ),
}


def _generator_in(module: ModuleType, name: str) -> Any:
    """The module itself when it has hooks at its top, else its one class that has a sample hook."""
    own = [
        value
        for value in vars(module).values()
        if getattr(value, "__module__", None) == module.__name__
    ]
    if any(
        inspect.isfunction(value) and (_is_marked(value) or value.__name__ in hookspecs.HOOKS)
        for value in own
    ):
        return module
    classes = [
        value
        for value in own
        if inspect.isclass(value) and _is_marked(getattr(value, "sample", None))
    ]
    if len(classes) > 1:
        names = ", ".join(c.__name__ for c in classes)
        raise UserError(
            f"{name} has {len(classes)} generators ({names}); say which: "
            f"{name}.py:{classes[0].__name__}"
        )
    bare = [
        value
        for value in own
        if inspect.isclass(value) and inspect.isfunction(getattr(value, "sample", None))
    ]
    return classes[0] if classes else bare[0] if bare else module


def _is_marked(function: Any) -> bool:
    return getattr(function, "genbench_impl", None) is not None


def _implementations(target: Any, where: str) -> dict[str, Any]:
    """Hook name -> function.

    An unmarked function of a hook's name, and a marked one of no hook's name, are refused.
    """
    found = {}
    for scope in reversed(target.__mro__) if inspect.isclass(target) else (target,):
        if (
            scope.__module__.partition(".")[0] in ("torch", "builtins")
            if inspect.isclass(scope)
            else False
        ):
            continue  # nn.Module has a `train` of its own
        for name, function in vars(scope).items():
            if not inspect.isfunction(function) or (
                scope is target
                and isinstance(target, ModuleType)
                and function.__module__ != target.__name__
            ):
                continue
            if _is_marked(function) and name not in hookspecs.HOOKS:
                raise UserError(
                    f"{where} marks {name} as a hook, but there is none of that name: "
                    f"{choices(name, hookspecs.HOOKS)}"
                )
            if name in hookspecs.HOOKS and not _is_marked(function):
                raise UserError(
                    f"{where} has a function {name} that is not marked as a hook; "
                    "write @genbench.hookimpl above it, or rename it"
                )
            if name in hookspecs.HOOKS:
                found[name] = function
    return found


def _arguments(function: Any, hook: str, where: str) -> tuple[str, ...]:
    """The arguments a hook names, with or without default;
    the kinds that pluggy would lose in silence are refused.
    """
    known = [p for p in inspect.signature(getattr(hookspecs.Hooks, hook)).parameters if p != "self"]
    named = []
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise UserError(
                f"{where}: {hook} takes {argument}, which hides what it can do; "
                f"name the arguments it wants, of: {', '.join(known)}"
            )
        if argument.kind is argument.KEYWORD_ONLY:
            raise UserError(
                f"{where}: {hook} takes {argument.name} by keyword only; hooks are called by "
                "position, so remove the * before it"
            )
        if argument.name != "self":
            named.append(argument.name)
    unknown = [name for name in named if name not in known]
    if unknown:
        raise UserError(
            f"{where}: {hook} names {unknown[0]}, which is not an argument of that hook: "
            f"{choices(unknown[0], known)}"
        )
    if hook == "sample" and "n" not in named:
        raise UserError(
            f"{where}: sample does not name n, the number of images to draw; "
            f"write sample({', '.join(['n', *named])})"
        )
    return tuple(named)


def _constructor(target: type, where: str) -> tuple[dict[str, options.Option], tuple[str, ...]]:
    constructor = target.__init__  # type: ignore[misc]
    # nn.Module's own takes *args
    if (
        constructor is object.__init__
        or getattr(constructor, "__module__", "").partition(".")[0] == "torch"
    ):
        return {}, ()
    try:
        hints = get_type_hints(constructor, include_extras=True)
    except NameError as error:
        raise UserError(
            f"{where}: an annotation of its constructor cannot be read: {error}"
        ) from None
    parameters = [p for p in inspect.signature(constructor).parameters.values() if p.name != "self"]
    found = {
        p.name: options.read(p, hints.get(p.name), where) for p in parameters if p.name not in GIVEN
    }
    return found, tuple(p.name for p in parameters if p.name in GIVEN)
