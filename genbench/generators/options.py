"""A generator's options: read off its constructor's signature,
cast from the command line's words.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean

PLAIN = (str, int, float, bool, Path)
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """One option of a generator."""

    name: str
    default: Any
    kind: Any  # one of PLAIN, or Literal[...]
    optional: bool  # "none" is allowed
    help: str

    @property
    def wanted(self) -> str:
        values = (
            " | ".join(map(str, get_args(self.kind)))
            if get_origin(self.kind) is Literal
            else self.kind.__name__.lower()
        )
        return values + (" | none" if self.optional else "")

    def cast(self, word: str) -> Any:
        """The word as the option's kind; UserError saying what is wanted."""
        if self.optional and word.lower() == "none":
            return None
        try:
            if get_origin(self.kind) is Literal:
                return next(value for value in get_args(self.kind) if str(value) == word)
            return WORDS[word.lower()] if self.kind is bool else self.kind(word)
        except (ValueError, KeyError, StopIteration):
            raise UserError(
                f"-o {self.name}={clean(word)}: wanted is {self.wanted}; "
                f"the default is {self.default}"
            ) from None


def read(parameter: inspect.Parameter, annotation: Any, where: str) -> Option:
    """An option from a constructor's parameter and its resolved annotation;
    UserError naming the line to change.
    """
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise UserError(
            f"{where}: its constructor takes {stars}{parameter.name}, which hides its options; "
            "name each, with a default and an annotation"
        )
    if parameter.default is parameter.empty:
        raise UserError(
            f"{where}: its constructor wants {parameter.name}, which has no default; give it one, "
            "then it is an option"
        )
    text = ""
    if get_origin(annotation) is Annotated:
        annotation, text, *_ = get_args(annotation)
    optional = get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)
    if optional:
        annotation = next(kind for kind in get_args(annotation) if kind is not NoneType)
    if annotation not in PLAIN and get_origin(annotation) is not Literal:
        remedy = (
            f"annotate it: {parameter.name}: {type(parameter.default).__name__} = "
            f"{parameter.default!r}"
        )
        raise UserError(
            f"{where}: option {parameter.name} has no annotation that can be read from "
            f"words; {remedy}"
        )
    return Option(parameter.name, parameter.default, annotation, optional, str(text))


def chosen(
    words: Sequence[str],
    known: Mapping[str, Option],
    where: str,
    usual: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Every option's value: those of the words `name=value` cast, the others as usual,
    or at their default.
    """
    values = {name: option.default for name, option in known.items()} | dict(usual or {})
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"-o {clean(word)}: write it as name=value")
        if name not in known:
            raise UserError(f"{where} has no option {clean(name)!r}: {choices(name, known)}")
        values[name] = known[name].cast(text)
    return values


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them: a path, and a float that JSON has not (inf is a usual bound),
    as text.
    """
    return {
        name: str(value)
        if isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value))
        else value
        for name, value in values.items()
    }
