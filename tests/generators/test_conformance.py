"""`genbench test-plugin`: shipped generators pass every check,
and each planted fault is found by the check made for it.
"""

from __future__ import annotations

import json

import pytest
from helpers.generators_brought import BROUGHT

from genbench.api import _registry as registry
from genbench.generators.conformance import CHECKS, check
from genbench.generators.load import locate

HEAD = "import random\nimport genbench\nimport torch\n\nS = (3, 8, 8)\n\n\n@genbench.hookimpl\n"
GOOD = "def sample(n, seeds):\n    return (genbench.uniform(seeds, S) * 255).to(torch.uint8)\n"
FAULTS = {
    "count": "def sample(n):\n    return torch.zeros(max(n, 2), *S, dtype=torch.uint8)\n",
    "images": "def sample(n):\n    return torch.zeros(n, *S, dtype=torch.uint8)\n",
    "seeds repeat": (
        "def sample(n, seeds):\n    return torch.tensor(list(random.SystemRandom().randbytes(192 * "
        "n)), dtype=torch.uint8).reshape(n, *S)\n"
    ),
    "seeds differ": (
        "def sample(n, labels):\n"
        "    return (labels * 20).to(torch.uint8)[:, None, None, None].expand(n, *S)\n"
    ),
    "batch size": (
        "def sample(n, seeds):\n    x = genbench.uniform(seeds, S)\n"
        "    return ((x - x.mean(0) + 0.5) * 255).clamp(0, 255).to(torch.uint8)\n"
    ),
    "labels": (
        "def sample(n, seeds, labels):\n"
        "    return (genbench.uniform(seeds, (3, 32, 32)) * 255).to(torch.uint8)\n"
    ),
    "global state": (
        "def sample(n, seeds):\n"
        "    random.random()\n    return (genbench.uniform(seeds, S) * 255).to(torch.uint8)\n"
    ),
    "latents": (
        GOOD + "\n\n@genbench.hookimpl\ndef latents(seeds):\n"
        "    return genbench.noise(seeds, (4,))\n\n\n@genbench.hookimpl\n"
        "def synthesize(latents):\n    return torch.full((len(latents), *S), 7.0)\n"
    ),
    "reconstruct": GOOD
    + "\n\n@genbench.hookimpl\ndef reconstruct(images):\n    return images.flip(0)\n",
    "cost": GOOD + "\n\n@genbench.hookimpl\ndef cost():\n    return 'much'\n",
    "checkpoint": (
        "class G:\n    def __init__(self, checkpoint=None):\n"
        "        self.w = torch.tensor([random.SystemRandom().random()])\n\n"
        "    @genbench.hookimpl\n    def sample(self, n, seeds):\n"
        "        return (genbench.uniform(seeds, S) * self.w * 255).to(torch.uint8)\n\n"
        "    @genbench.hookimpl\n    def state(self):\n        return {'w': self.w}\n"
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_check_finds_the_fault_made_for_it(fault, here):
    """A generator with one planted fault fails that check, with what came in the line."""
    head = HEAD.removesuffix("@genbench.hookimpl\n") if FAULTS[fault].startswith("class") else HEAD
    (here / f"{fault.replace(' ', '_')}_fault.py").write_text(head + FAULTS[fault])
    results = {r.check: r for r in check(locate(f"{fault.replace(' ', '_')}_fault.py"))}
    assert results[fault].verdict == "fail", results[fault]
    assert results[fault].came


def test_no_check_escapes_its_fault():
    """Every check of the suite has a planted fault that it must find."""
    assert set(FAULTS) == set(CHECKS)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, one in registry.standing("generators").items()
        if one.origin == "built in" and name not in BROUGHT
    ],
)
def test_every_shipped_generator_conforms(name):
    """No check fails on a generator that the package ships;
    those of brought files are checked where their files are made.
    """
    assert [r for r in check(locate(name)) if r.verdict == "fail"] == []


def test_the_command_prints_a_line_per_check(cli, here):
    """`genbench test-plugin` prints one line per check and exits 0;
    a plugin with a fault exits 5 and names the remedy.
    """
    status, out, _ = cli("test-plugin", "noise")
    assert (
        status,
        [line.split()[0] for line in out.splitlines()].count("fail"),
        len(out.splitlines()),
    ) == (0, 0, len(CHECKS))
    (here / "same.py").write_text(HEAD + FAULTS["seeds differ"])
    status, out, _ = cli("test-plugin", "same.py", "--json")
    assert status == 5
    assert next(r for r in json.loads(out) if r["check"] == "seeds differ")["remedy"]
