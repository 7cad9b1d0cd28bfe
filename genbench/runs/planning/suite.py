"""A suite: a TOML file that says several runs, so that a paper's table is one command.

    dataset = "digits"       # what stands above holds for every run below, unless it says otherwise
    n = 870

    [[run]]
    plugin = ["vae", "ddpm"]      # a list of plugins or data sets is a run for each

    [[run]]
    plugin = "stylegan2"
    options = { truncation = 0.7 }
    checkpoint = "cats.safetensors"

Keys are the long options of `genbench run`, in the plural where several may be given: protocols,
metrics, options, weights. A list of checkpoints is one method: its trainings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.io import toml

TEXTS = (
    "plugin",
    "dataset",
    "imbalance",
    "class_order",
    "imbalance_kind",
    "seeds",
    "labels",
    "checkpoint",
    "method",
    "trust",
    "reference",
    "device",
    "feature_precision",
    "prompts",
    "prompt_column",
    "template",
)
NUMBERS = ("n", "seed", "batch_size")
LISTS = ("protocols", "metrics", "weights")
SEVERAL = ("plugin", "dataset")  # of which a list is a run for each
KEYS = (*TEXTS, *NUMBERS, *LISTS, "options", "save_samples")
LARGEST = 2**20  # bytes of a file


def read(path: Path) -> list[dict[str, Any]]:
    """The runs of a suite, each as the words of `genbench run` by name;
    UserError naming the run and the key for whatever is wrong.
    """
    shown = clean(str(path))
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"--suite {shown} is larger than a megabyte; it is no list of runs")
        content = toml.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"--suite {shown}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"--suite {shown} cannot be read as TOML: {error}") from None
    runs = content.pop("run", [])
    if not isinstance(runs, list) or not runs or not all(isinstance(one, dict) for one in runs):
        raise UserError(f"--suite {shown} has no runs: write [[run]] and below it plugin = ...")
    common = _words(content, f"--suite {shown}")
    found = []
    for place, one in enumerate(runs, 1):
        words = common | _words(one, f"--suite {shown}, run {place}")
        if "plugin" not in words:
            raise UserError(f"--suite {shown}, run {place} names no plugin")
        several = [name for name in SEVERAL if isinstance(words.get(name), list)]
        found += [
            words | dict(zip(several, each, strict=True))
            for each in itertools.product(*(words[name] for name in several))
        ]
    return found


def _words(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A table's keys as run's words."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in KEYS:
            raise UserError(f"{where}: it has no key {clean(key)!r}: {choices(name, KEYS)}")
        found[name] = _word(name, value, where)
    return found


def _word(name: str, value: Any, where: str) -> Any:
    """A value of the kind that the key wants: texts, numbers, lists of texts,
    and options as `name=value`.
    """
    texts = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
    if (
        name == "options"
        and isinstance(value, dict)
        and all(isinstance(one, str | int | float) for one in value.values())
    ):
        return tuple(
            f"{option}={str(one).lower() if isinstance(one, bool) else one}"
            for option, one in value.items()
        )
    if name in NUMBERS and type(value) is int:
        return value
    if name == "save_samples" and isinstance(value, bool):
        return value
    if name == "checkpoint" and texts:
        return tuple(value)  # trainings of one method
    if name in LISTS and (texts or isinstance(value, str)):
        return (value,) if isinstance(value, str) else tuple(value)
    if name in TEXTS and (
        isinstance(value, str)
        or (name == "imbalance" and type(value) in (int, float))
        or (texts and name in SEVERAL)
    ):
        return value if isinstance(value, str | list) else str(value)
    wanted = (
        "a whole number"
        if name in NUMBERS
        else "a table, { steps = 10 }"
        if name == "options"
        else "a text" + " or a list of texts" * (name in (*LISTS, *SEVERAL, "checkpoint"))
    )
    raise UserError(f"{where}: {name} = {clean(str(value))[:60]}; wanted is {wanted}")
