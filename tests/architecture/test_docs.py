"""README says what is true: its commands exist and run, its table is what they print,
its example is the manual's.
"""

from __future__ import annotations

import re
import shutil

import click
import pytest
from helpers.places import ROOT

from genbench.api import _registry as registry
from genbench.api import hookspecs
from genbench.cli.main import group
from genbench.leaderboards.entries import entries

README = (ROOT / "README.md").read_text(encoding="utf-8")
# generators that judge files which somebody brings
BROUGHT = {"images", "biggan", "diffusers", "jit", "onnx"}
BOARD = ROOT / "leaderboards" / "digits"
COMMANDS = sorted(set(re.findall(r"`(genbench [^`]+)`", README)))


def blocks(kind):
    """The README's fenced blocks of a language, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_stand_on_the_first_screen_and_in_ci():
    """README's two commands are its first code, and CI runs both as they stand."""
    first = re.findall(r"^    (\S.*)$", README, re.MULTILINE)[:2]
    script = (ROOT / ".ci" / "run").read_text()
    assert first == [
        "pip install . && genbench run --plugin ddpm --dataset digits",
        'pip install -e ".[test]" && pytest',
    ]
    assert all(command in script for command in first)


def test_the_table_of_the_first_screen_is_what_the_command_prints(cli, here):
    """Alone on an empty board, the committed ddpm entry prints README's table to the letter;
    CI compares the entry with a fresh run.
    """
    entry = next(e for e in entries(BOARD) if e.label == "ddpm")
    folder = here / "leaderboards" / "digits" / "entries"
    folder.mkdir(parents=True)
    shutil.copy(BOARD / "entries" / f"{entry.id}.json", folder)
    status, out, _ = cli("show", folder / f"{entry.id}.json")
    assert (status, out.strip()) == (0, blocks("")[0].strip())


def test_the_pictures_of_readme_exist():
    """Every picture and file that README links to is in the repository."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_least_plugin_is_the_manuals_and_runs(cli, here):
    """README's least plugin stands in the author's manual too, and runs from an empty folder."""
    least = next(block for block in blocks("python") if "randint" in block)
    manual = re.sub(r"^    ", "", hookspecs.__doc__ or "", flags=re.MULTILINE)
    assert least.strip() in manual
    (here / "file.py").write_text(least)
    assert (
        cli("run", "--plugin", "file.py", "--dataset", "digits", "--n", "60", "--metrics", "fd")[0]
        == 0
    )


def test_the_python_example_runs(cli, here):
    """README's example of genbench.evaluate runs as it stands (with fewer samples and one
    metric, for time).
    """
    example = next(block for block in blocks("python") if "evaluate" in block).replace(
        'dataset="digits"', 'dataset="digits", n=40, metrics=("fd",)'
    )
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own README


def test_the_example_of_a_model_in_memory_runs(here):
    """README's function goes through genbench.evaluate as it stands."""
    example = next(block for block in blocks("python") if "def sample(n, seeds)" in block)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own README


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_option_named_in_readme_exists(words):
    """A command or an option that README names is one that genbench has."""
    name, *rest = words.split()[1:] if len(words.split()) > 1 else ["--help"]
    command = group.get_command(click.Context(group), name)
    assert command is not None, name
    known = {opt for parameter in command.params for opt in parameter.opts} | {"--help"}
    assert {word for word in rest if word.startswith("-")} <= known


def test_every_shipped_generator_is_named_in_readme_and_on_the_board():
    """The generators that ship are in README, and each has an entry on the committed board;
    `images` draws nothing of its own.
    """
    names = {
        name for name, one in registry.standing("generators").items() if one.origin == "built in"
    }
    assert names <= set(re.findall(r"`([a-z0-9]+)`", README))
    assert names - BROUGHT <= {entry.label for entry in entries(BOARD)}


def test_every_hook_has_a_text_and_every_argument_is_in_it():
    """The manual describes each hook, and names each of its arguments."""
    for hook in hookspecs.HOOKS:
        function = getattr(hookspecs.Hooks, hook)
        assert function.__doc__, hook
        for argument in function.__annotations__:
            if argument != "return":
                assert re.search(rf"\b{argument}\b|\bspace \(", function.__doc__), (hook, argument)


def test_noise_is_last_and_the_order_is_the_metrics():
    """On the committed board noise is last by the first metric,
    and no generator is ranked before a better value.
    """
    from genbench.leaderboards.ranking import ordered, ranks, sorting

    found = entries(BOARD)
    shown = ordered(found, sorting(found, None))
    place = ranks(found, sorting(found, None))
    assert shown[-1].label == "noise"
    assert {e.label for e in found if e.id not in place} == {"real"}
    assert place[shown[-1].id] == (len(place), len(place))
