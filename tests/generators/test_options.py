"""A generator's options: read off its constructor, cast from words, refused with the remedy."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, get_type_hints

import pytest

from genbench._util.errors import UserError
from genbench.generators import options


class Good:
    def __init__(
        self,
        steps: int = 50,
        scale: Annotated[float, "guidance, from 1"] = 1.5,
        mode: Literal["fast", "exact"] = "fast",
        levels: Literal[1, 2, 4] = 1,
        ema: bool = True,
        folder: Path = Path("here"),
        name: str | None = None,
        # (the older spelling is meant)
        psi: Annotated[Optional[float], "truncation"] = None,  # noqa: UP045
    ) -> None: ...


def known_of(target):
    hints = get_type_hints(target.__init__, include_extras=True)
    return {
        p.name: options.read(p, hints.get(p.name), "mine")
        for p in inspect.signature(target.__init__).parameters.values()
        if p.name != "self"
    }


KNOWN = known_of(Good)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("steps=10", 10),
        ("steps=-3", -3),
        ("scale=2", 2.0),
        ("scale=1e-3", 0.001),
        ("scale=inf", math.inf),
        ("mode=exact", "exact"),
        ("levels=4", 4),
        ("ema=no", False),
        ("ema=TRUE", True),
        ("ema=0", False),
        ("folder=/a b/c", Path("/a b/c")),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=none", None),
        ("psi=None", None),
        ("psi=0.7", 0.7),
    ],
)
def test_a_word_becomes_a_value_of_its_kind(word, value):
    """A word is cast to the annotated kind, and the other options keep their defaults."""
    name = word.partition("=")[0]
    found = options.chosen([word], KNOWN, "mine")
    assert found[name] == value
    assert type(found[name]) is type(value) or isinstance(value, Path)
    assert {k: v for k, v in found.items() if k != name} == {
        k: o.default for k, o in KNOWN.items() if k != name
    }


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("steps", "-o steps: write it as name=value"),
        ("step=3", "mine has no option 'step': did you mean steps?"),
        ("steps=ten", "-o steps=ten: wanted is int; the default is 50"),
        ("steps=1.5", "-o steps=1.5: wanted is int; the default is 50"),
        ("steps=none", "-o steps=none: wanted is int; the default is 50"),
        ("mode=slow", "-o mode=slow: wanted is fast | exact; the default is fast"),
        ("levels=3", "-o levels=3: wanted is 1 | 2 | 4; the default is 1"),
        ("ema=maybe", "-o ema=maybe: wanted is bool; the default is True"),
        ("psi=x", "-o psi=x: wanted is float | none; the default is None"),
        ("st\x1beps=1", "mine has no option 'st?eps'"),
    ],
)
def test_a_wrong_word_is_refused_with_what_is_wanted(word, line):
    """Each wrong word has its line: what came, what is allowed, the default or the near misses."""
    with pytest.raises(UserError) as caught:
        options.chosen([word], KNOWN, "mine")
    assert line in str(caught.value)


class NoDefault:
    def __init__(self, steps: int) -> None: ...


class NoAnnotation:
    def __init__(self, steps=50) -> None: ...


class Unreadable:
    def __init__(self, steps: list[int] = [1]) -> None: ...  # noqa: B006


class Starred:
    def __init__(self, **anything: Any) -> None: ...


class Arguments:
    def __init__(self, *anything: int) -> None: ...


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (NoDefault, "wants steps, which has no default; give it one"),
        (NoAnnotation, "annotate it: steps: int = 50"),
        (Unreadable, "option steps has no annotation that can be read from words"),
        (Starred, "takes **anything, which hides its options"),
        (Arguments, "takes *anything, which hides its options"),
    ],
)
def test_a_constructor_that_hides_its_options_is_refused(target, line):
    """An option without default or readable annotation, and starred arguments,
    are refused with the line to change.
    """
    with pytest.raises(UserError) as caught:
        known_of(target)
    assert line in str(caught.value)


def test_what_an_option_says_of_itself():
    """The help text of Annotated and the allowed values reach the option."""
    assert (KNOWN["scale"].help, KNOWN["scale"].wanted) == ("guidance, from 1", "float")
    assert (KNOWN["psi"].help, KNOWN["psi"].wanted) == ("truncation", "float | none")


def test_values_go_to_json_as_plain_data():
    """A path becomes its text, and so does infinity (S_max of EDM), which JSON has not;
    everything else is as it was.
    """
    values = {"folder": Path("a/b"), "steps": 3, "psi": None, "scale": 0.5, "S_max": math.inf}
    assert options.plain(values) == {
        "folder": "a/b",
        "steps": 3,
        "psi": None,
        "scale": 0.5,
        "S_max": "inf",
    }
    json.dumps(options.plain(values), allow_nan=False)
