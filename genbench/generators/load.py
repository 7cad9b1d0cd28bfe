"""Find a generator by name or file, and resolve its checkpoint, options, conditions and device."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench._util.did_you_mean import choices
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench._util.hashing import content_sha256
from genbench._util.lazy_imports import torch
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.api.extractor import File, Weights
from genbench.api.validation import source_of
from genbench.data import subsets
from genbench.generators import options
from genbench.generators.description import Description, describe
from genbench.generators.plugin_errors import _calling
from genbench.io.weights import need

HUB = "hf:"  # before the name of a checkpoint that is on a hub


def locate(word: str) -> Description:
    """The generator behind `--plugin WORD`: a name on the shelf, or file.py,
    or file.py:ClassName.
    """
    path, _, inner = word.partition(":")
    if not (path.endswith(".py") or "/" in path):
        one = registry.known("generators", word)
        with _calling(word, "importing it"):
            target = registry.load(one)
        return describe(target, word, one.origin)
    file = Path(path)
    if not file.is_file():
        raise UserError(f"--plugin {clean(word)}: there is no such file")
    with _calling(file.name, "importing it"):
        module = registry.module_of(file.resolve())
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
    return _trusted(description, _checkpoint(description, subsets.unhalved(dataset), named), trust)


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
