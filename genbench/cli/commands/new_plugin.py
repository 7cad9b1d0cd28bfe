"""`genbench new-plugin`: a generator of one's own to begin from,
as a file that runs at once or as a package.
"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--package",
    is_flag=True,
    help=(
        "A folder to install with pip: an entry point, and a test that calls the "
        "conformance checks."
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="Where to write. Default: here.",
)
def command(name: str, package: bool, out: Path) -> None:
    """Write a generator to begin from: NAME.py, which runs as it is.

    \b
    genbench new-plugin mine && genbench run --plugin mine.py --dataset digits
    genbench new-plugin mine --package && pip install -e mine && genbench run --plugin mine --dataset digits
    """  # noqa: E501
    from genbench._util.console import answer

    answer(begin(name, out, package))


def begin(name: str, out: Path, package: bool) -> str:
    """Write the file, or the package's folder; returns what to type next.

    UserError, and nothing written, where something is in the way.
    """
    import importlib.util
    import keyword
    import re

    from genbench._util.atomic_write import folder_to_write, write
    from genbench._util.errors import UserError
    from genbench._util.formatting import clean
    from genbench.api import _registry as registry

    word = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", word) or keyword.iskeyword(word):
        raise UserError(
            f"{clean(name)!r} cannot be a plugin's name: a small letter first, then small letters, "
            "digits and _, at most 40, as in my_gan"
        )
    if word in registry.standing("generators"):
        raise UserError(
            f"there is a generator {word} already (genbench plugins); choose another name"
        )
    if importlib.util.find_spec(word) is not None:
        raise UserError(
            f"{word} is the name of a Python module that is installed here, which the plugin would "
            "hide; choose another name"
        )
    top = out / word if package else out / f"{word}.py"
    if top.exists() or top.is_symlink():
        raise UserError(f"{clean(str(top))} is there already; remove it or choose another name")
    kind = "".join(part.capitalize() for part in word.split("_"))
    made = {**PACKAGE, "{word}/model.py": MODEL} if package else {"{word}.py": MODEL}
    where = top if package else out
    for place, text in made.items():
        path = where / place.replace("{word}", word)
        folder_to_write(path.parent, "the folder of NEW-PLUGIN")
        write(path, text.replace("{word}", word).replace("{Kind}", kind).encode())
    if package:
        return (
            f"{top}: now pip install -e {top}, genbench run --plugin {word} --dataset "
            f"digits, pytest {top}"
        )
    return f"{top}: now genbench test-plugin {top}, genbench run --plugin {top} --dataset digits"


MODEL = '''"""A generator for genbench: what it is, in a sentence."""

from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

import genbench

LATENT = 16


class {Kind}:
    """A network of untrained weights: put your own in its place. Only `sample` is needed; what you do not have, take out."""

    range = (-1.0, 1.0)  # of the floats that sample returns: the protocol rounds them to 8 bits. uint8 images need no range
    spaces = ("z",)  # the latent spaces, for perceptual path length
    # classes = 10  # of a class-conditional network: sample(self, n, seeds, labels) then gets labels int64 [n]
    # resolution = 32
    # paper = "Authors year, title, arXiv:..."
    # licence = "MIT"
    # pretrained_on = ("imagenet",)  # what the weights have seen: numbers that look at the same data are marked

    def __init__(
        self,
        checkpoint: Path | None = None,  # of --checkpoint
        device: Any = "cpu",  # of --device
        dataset: Any = None,  # its name, classes and resolution
        truncation: Annotated[float, "scales z: below 1 more likely images, and fewer"] = 1.0,  # an option: -o truncation=0.7
    ) -> None:
        if truncation <= 0:
            raise genbench.UserError(f"truncation lies above 0, not at {truncation:g}")  # one line, exit status 2
        side = 32 if dataset is None else dataset.resolution
        torch.manual_seed(0)  # of the untrained weights; a trained network needs none
        self.net = nn.Sequential(
            nn.Linear(LATENT, 3 * 8 * 8), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)), nn.Upsample(size=(side, side), mode="bilinear")
        )
        if checkpoint is not None:  # safetensors or a state dict; nothing in the file is executed
            self.net.load_state_dict(genbench.load_checkpoint(checkpoint))
        self.net.to(device).eval()
        self.device, self.truncation = device, truncation

    @genbench.hookimpl
    def sample(self, n: int, seeds: Tensor) -> Tensor:
        """n images, [n, 3, h, w]. Naming seeds, int64 [n], promises that image i depends on seeds[i] alone, in whatever batch it is drawn."""
        return self.synthesize(self.latents(seeds))

    @genbench.hookimpl
    def latents(self, seeds: Tensor) -> Tensor:
        """genbench.noise: the same standard normal numbers for a seed, alone or in a batch, on every device. A second noise takes stream=1."""
        return self.truncation * genbench.noise(seeds, (LATENT,), device=self.device)

    @genbench.hookimpl
    def synthesize(self, latents: Tensor) -> Tensor:
        """Images of latents, float in -1 to 1."""
        return self.net(latents)

    @genbench.hookimpl
    def state(self) -> dict[str, Tensor]:
        """The weights, as --checkpoint reads them back."""
        return self.net.state_dict()

    @genbench.hookimpl
    def cost(self) -> dict[str, float]:
        """Parameters, and evaluations of the network to an image."""
        return {"parameters": sum(p.numel() for p in self.net.parameters()), "evaluations": 1}
'''  # noqa: E501

PACKAGE = {
    "pyproject.toml": """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{word}"
version = "0.1.0"
description = "A generator of images for genbench"
requires-python = ">=3.11"
dependencies = ["genbench", "torch"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."genbench.generators"]
{word} = "{word}.model:{Kind}"

[tool.setuptools]
packages = ["{word}"]
""",
    "README.md": """# {word}

    pip install -e ".[test]"
    genbench run --plugin {word} --dataset digits
    pytest
""",
    "{word}/__init__.py": '"""A generator of images for genbench: model.py."""\n',
    "tests/test_{word}.py": '''"""The generator does what its hooks promise; needs `pip install -e .`, which makes its name known."""

import genbench


def test_conformance():
    assert [result for result in genbench.check_plugin("{word}") if result.verdict == "fail"] == []
''',  # noqa: E501
}
