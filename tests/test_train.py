"""`genbench train`: through the hook, reproducible, and read back by `genbench run --checkpoint`."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from genbench.files import SEAL, file_sha256


def said(path):
    """What a checkpoint says of itself."""
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()[SEAL])


def train(cli, out, *words):
    status, text, err = cli("train", "--plugin", "vae", "--dataset", "digits", "--out", str(out), "--epochs", "1", *words)
    assert status == 0, err
    return text


def test_training_twice_with_one_seed_gives_the_same_weights(cli, here):
    """The same seed gives the same file to the byte, another seed another one."""
    train(cli, here / "a.safetensors")
    train(cli, here / "b.safetensors")
    train(cli, here / "c.safetensors", "--seed", "1")
    a, b, c = ((here / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_checkpoint_says_what_made_it_and_who_its_parent_is(cli, here):
    """The file names plugin, data, epochs and seed; a fine-tuned one holds its parent's hash, and the run's record repeats it."""
    train(cli, here / "parent.safetensors")
    train(cli, here / "child.safetensors", "--init", str(here / "parent.safetensors"))
    assert (said(here / "parent.safetensors")["parent"], said(here / "child.safetensors")["epochs"]) == ("", "1")
    assert said(here / "child.safetensors")["parent"] == file_sha256(here / "parent.safetensors")
    first, second = load_file(here / "parent.safetensors"), load_file(here / "child.safetensors")
    assert first.keys() == second.keys()
    status, out, _ = cli("run", "--plugin", "vae", "--checkpoint", str(here / "child.safetensors"), "--n", "40", "--metrics", "fd", "--json")
    plan = json.loads(out)["plan"]
    assert (status, plan["parent"], plan["label"]) == (
        0,
        file_sha256(here / "parent.safetensors"),
        f"vae [child.safetensors {file_sha256(here / 'child.safetensors')[:6]}]",
    )
    assert plan["identity"]["checkpoint"] == file_sha256(here / "child.safetensors")


WRONG = [
    (("--plugin", "noise", "--out", "x.safetensors"), "noise has no train hook"),
    (("--plugin", "vae", "--out", "x.pt"), "name it x.safetensors"),
    (("--plugin", "vae", "--out", "x.safetensors", "--init", "none.safetensors"), "--init none.safetensors: there is no such file"),
    (("--plugin", "vae", "--out", "x.safetensors", "--epochs", "0"), "--epochs 0"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda v: v[1] if isinstance(v, tuple) else "")
def test_wrong_words_end_in_one_line(words, line, cli, here):
    """A training that cannot work ends in exit 2 and one line, before it begins."""
    status, out, err = cli("train", "--dataset", "digits", *words)
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    assert line in err
    assert not list(here.iterdir())


def test_a_foreign_checkpoint_is_refused_by_its_keys(cli, here):
    """Weights of another generator are refused in one line that names the first key that does not fit."""
    train(cli, here / "vae.safetensors")
    status, out, err = cli("run", "--plugin", "ddpm", "--checkpoint", str(here / "vae.safetensors"), "--n", "40")
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    (here / "junk.safetensors").write_bytes(b"junk" * 100)
    assert cli("run", "--plugin", "vae", "--checkpoint", str(here / "junk.safetensors"), "--n", "40")[0] == 2


def test_a_loss_that_becomes_nan_ends_the_training(cli, here):
    """A training whose loss is NaN ends in exit 5 with the step, and writes no checkpoint."""
    (here / "lost.py").write_text(
        "import genbench\nimport torch\n\n\n@genbench.hookimpl\ndef sample(n):\n    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)\n\n\n"
        "@genbench.hookimpl\ndef train(batches, seed):\n    for step, _ in enumerate(batches, 1):\n"
        "        yield step, len(batches), {'loss': float('nan')}\n\n\n"
        "@genbench.hookimpl\ndef state():\n    return {}\n"
    )
    status, _, err = cli("train", "--plugin", "lost.py", "--out", "lost.safetensors")
    assert (status, "its loss became NaN at step 1" in err) == (5, True)
    assert not (here / "lost.safetensors").exists()
