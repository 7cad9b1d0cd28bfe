"""`genbench train`: through the hook, reproducible,
and read back by `genbench run --checkpoint`.
"""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from genbench._util.checksummed_files import SEAL
from genbench._util.hashing import file_sha256


def said(path):
    """What a checkpoint says of itself."""
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()[SEAL])


def train(cli, out, *words):
    status, text, err = cli(
        "train",
        "--plugin",
        "vae",
        "--dataset",
        "digits",
        "--out",
        str(out),
        "--epochs",
        "1",
        *words,
    )
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
    """The file names plugin, data, epochs and seed; a fine-tuned one holds its parent's hash,
    and the run's record repeats it.
    """
    train(cli, here / "parent.safetensors")
    train(cli, here / "child.safetensors", "--init", str(here / "parent.safetensors"))
    assert (
        said(here / "parent.safetensors")["parent"],
        said(here / "child.safetensors")["epochs"],
    ) == ("", "1")
    assert said(here / "child.safetensors")["parent"] == file_sha256(here / "parent.safetensors")
    first, second = load_file(here / "parent.safetensors"), load_file(here / "child.safetensors")
    assert first.keys() == second.keys()
    status, out, _ = cli(
        "run",
        "--plugin",
        "vae",
        "--checkpoint",
        str(here / "child.safetensors"),
        "--n",
        "40",
        "--metrics",
        "fd",
        "--json",
    )
    plan = json.loads(out)["plan"]
    assert (status, plan["parent"], plan["label"]) == (
        0,
        file_sha256(here / "parent.safetensors"),
        f"vae [child.safetensors {file_sha256(here / 'child.safetensors')[:6]}]",
    )
    assert plan["identity"]["checkpoint"] == file_sha256(here / "child.safetensors")


COUNTING = """
import genbench
import torch
seen = torch.zeros(10, dtype=torch.int64)


@genbench.hookimpl
def sample(n, labels):
    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)


@genbench.hookimpl
def train(batches, seed{abilities}):
    for step, (images, labels) in enumerate(batches, 1):
        seen.add_(torch.bincount(labels, minlength=10))
        {shown}
        yield step, len(batches), {{"loss": 1.0}}


@genbench.hookimpl
def state():
    return {{"seen": seen.clone()}}
"""
LAYERS = ("embedding", "start", "grow", "refine", "paint")  # of the decoder of vae
COUNTS = [87, 56, 36, 23, 15, 9, 6, 4, 2, 1]


def counted(cli, here, *words, abilities="", shown="pass"):
    """Train a generator that learns nothing but how often it saw each class:
    ({class counts}, what its checkpoint says).
    """
    # another text is another module, which counts anew
    (here / "counting.py").write_text(
        COUNTING.format(abilities=abilities, shown=shown) + f"# {words}\n"
    )
    status, _, err = cli("train", "--plugin", "counting.py", "--out", "counted.safetensors", *words)
    assert status == 0, err
    return load_file(here / "counted.safetensors")["seen"].tolist(), said(
        here / "counted.safetensors"
    )


def test_a_long_tailed_training_sees_the_counts(cli, here):
    """Two passes over digits of imbalance 50 show each class twice its count,
    and the checkpoint says which data, counts and passes.
    """
    seen, meta = counted(cli, here, "--imbalance", "50", "--epochs", "2")
    assert seen == [2 * count for count in COUNTS]
    assert (meta["dataset"], meta["training"]["train_counts"]) == ("digits-lt-ir50", COUNTS)
    assert meta["training"]["epochs_of_an_image"] == [2.0] * 10
    assert meta["training"]["tail"] == {"mode": "natural"}
    reversed_, meta = counted(
        cli, here, "--imbalance", "0.02", "--class-order", "reversed", "--epochs", "1"
    )
    assert (reversed_, meta["dataset"]) == (COUNTS[::-1], "digits-lt-ir50-reversed")
    assert counted(cli, here, "--dataset", "digits-lt", "--epochs", "1")[0] == COUNTS


def test_a_long_tail_is_trained_on_for_as_long_as_the_whole(cli, here):
    """Without --epochs, the steps are those of the balanced set; --steps sets them."""
    assert (
        counted(cli, here)[1]["steps"]
        == counted(cli, here, "--imbalance", "50")[1]["steps"]
        == "140"
    )
    seen, meta = counted(cli, here, "--imbalance", "50", "--steps", "3", "--batch-size", "10")
    assert (sum(seen), meta["steps"]) == (30, "3")


def test_each_strategy_gives_its_classes_what_it_says(cli, here):
    """Drop shows nothing of small classes and says which; oversampling shows all alike and how
    often an image; staged says how.
    """
    tail = ("--imbalance", "50", "--steps", "200", "--batch-size", "50")
    seen, meta = counted(cli, here, *tail, "--tail", "drop", "--min-count", "20")
    assert seen[4:] == [0] * 6
    assert (meta["training"]["dropped"], meta["training"]["tail"]) == (
        [4, 5, 6, 7, 8, 9],
        {"mode": "drop", "min_count": 20},
    )
    assert meta["training"]["epochs_of_an_image"][9] == 0
    seen, meta = counted(cli, here, *tail, "--tail", "oversample", "--power", "1")
    assert all(800 < count < 1200 for count in seen)
    assert meta["training"]["epochs_of_an_image"] == [
        round(count / there, 3) for count, there in zip(seen, COUNTS, strict=True)
    ]
    seen, meta = counted(cli, here, *tail, "--tail", "staged")
    assert all(count >= 200 for count in seen)  # the last fifth alone
    assert meta["training"]["tail"] == {
        "mode": "staged",
        "stages": "deferred",
        "last_stage": "all weights",
    }
    show = "assert late() == (step > 160)"
    _, meta = counted(cli, here, *tail, "--tail", "staged", abilities=", late", shown=show)
    assert meta["training"]["tail"]["last_stage"] == "class embeddings and last block"


def test_an_augmentation_is_given_to_a_plugin_that_names_it(cli, here):
    """The function reaches the hook, the checkpoint says so;
    without --augment the hook is given None; one that names none is refused.
    """
    show = "assert karras(images.float())[1].shape == (len(images), 9) and diffaug is None"
    _, meta = counted(
        cli, here, "--steps", "2", "--augment", "karras", abilities=", karras, diffaug", shown=show
    )
    assert meta["training"]["augment"] == "karras"
    counted(
        cli,
        here,
        "--steps",
        "2",
        abilities=", karras, diffaug",
        shown="assert karras is None and diffaug is None",
    )
    status, _, err = cli(
        "train", "--plugin", "vae", "--augment", "diffaug", "--out", "x.safetensors"
    )
    assert (status, "its train hook names none of diffaug, karras" in err) == (2, True)
    status, _, err = cli(
        "train", "--plugin", "ddpm", "--augment", "diffaug", "--out", "x.safetensors"
    )
    assert (status, "its train hook names karras" in err) == (2, True)


@pytest.mark.parametrize(("plugin", "kind"), [("dcgan", "diffaug"), ("ddpm", "karras")])
def test_the_reference_generators_take_their_augmentation(plugin, kind, cli, here):
    """Augmented training changes the weights, keeps their names and shapes, and is reproducible."""
    found = []
    for name, words in {"plain": (), "a": ("--augment", kind), "b": ("--augment", kind)}.items():
        status, _, err = cli(
            "train",
            "--plugin",
            plugin,
            "--steps",
            "2",
            "--batch-size",
            "8",
            "--out",
            f"{name}.safetensors",
            *words,
        )
        assert status == 0, err
        found.append(load_file(here / f"{name}.safetensors"))
    plain, one, again = found
    assert {name: array.shape for name, array in plain.items()} == {
        name: array.shape for name, array in one.items()
    }
    assert all((one[name] == again[name]).all() for name in one)
    assert any((one[name] != plain[name]).any() for name in one)


def test_the_last_stage_trains_class_embeddings_and_the_last_block_alone():
    """vae's weights before the last block stand still from the moment that the class-aware stage
    begins, and no others do.
    """
    from genbench_plugins.vae import VAE

    vae, at = VAE(), [0]
    batches = [
        (torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8))
        for _ in range(6)
    ]
    states = []
    for step, _, _ in vae.train(batches, 0, lambda: at[0] >= 3):
        at[0] = step
        states.append({name: tensor.clone() for name, tensor in vae.state().items()})
    moved = [
        {name.rpartition(".")[0] or name for name in one if not torch.equal(one[name], other[name])}
        for one, other in itertools.pairwise(states)
    ]
    assert (
        moved[0]
        == moved[1]
        == {
            "look.0",
            "look.2",
            "look.4",
            "code",
            "centre",
            "spread",
            *(f"decoder.{name}" for name in LAYERS),
        }
    )
    assert (
        moved[2:]
        == [{"centre", "spread", "decoder.embedding", "decoder.refine", "decoder.paint"}] * 3
    )


@pytest.mark.parametrize(
    ("plugin", "net", "last"),
    [
        ("dcgan", "generator.", {"embedding", "refine", "paint"}),
        ("ddpm", "", {"embedding", "up", "end"}),
    ],
)
def test_the_last_stage_trains_embeddings_and_last_block_alone(plugin, net, last, cli, here):
    """Of one step, all of it in the last stage, batches of 8 and of 16 images leave every layer of
    the generator but these at the seed's weights.
    """
    moved = []
    for words in (("--tail", "staged"), ()):
        found = []
        for size in ("8", "16"):
            assert (
                cli(
                    "train",
                    "--plugin",
                    plugin,
                    "--steps",
                    "1",
                    "--batch-size",
                    size,
                    "--out",
                    "x.safetensors",
                    *words,
                )[0]
                == 0
            )
            found.append(load_file(here / "x.safetensors"))
        own = {
            name
            for name in found[0]
            if name.startswith(net) and (found[0][name] != found[1][name]).any()
        }
        moved.append({name.removeprefix(net).partition(".")[0] for name in own})
    staged, plain = moved
    assert staged
    assert staged <= last
    assert plain - last


WRONG = [
    (("--plugin", "vae", "--out", "x.safetensors", "--tail", "trim"), "--tail trim"),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--power", "1"),
        "--power belongs to --tail oversample, and --tail is natural",
    ),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--tail", "drop", "--min-count", "88"),
        "--min-count 88 leaves no class",
    ),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--tail", "oversample", "--power", "nan"),
        "--power nan: 0 (natural) to 2",
    ),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--tail", "oversample", "--power", "-1"),
        "--power -1.0: 0 (natural) to 2",
    ),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--steps", "5", "--epochs", "5"),
        "give one of them",
    ),
    (("--plugin", "vae", "--out", "x.safetensors", "--steps", "0"), "--steps 0"),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--class-order", "size"),
        "give --imbalance 100 too",
    ),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--imbalance", "100"),
        "class 9 would keep none of its 87 images",
    ),
    (("--plugin", "vae", "--out", "x.safetensors", "--augment", "mixup"), "--augment mixup"),
    (
        ("--plugin", "ddpm", "--out", "x.safetensors", "--augment", "batches"),
        "--augment batches: ddpm cannot; its train hook names karras",
    ),
    (("--plugin", "noise", "--out", "x.safetensors"), "noise has no train hook"),
    (("--plugin", "vae", "--out", "x.pt"), "name it x.safetensors"),
    (
        ("--plugin", "vae", "--out", "x.safetensors", "--init", "none.safetensors"),
        "--init none.safetensors: there is no such file",
    ),
    (("--plugin", "vae", "--out", "x.safetensors", "--epochs", "0"), "--epochs 0"),
]


@pytest.mark.parametrize(
    ("words", "line"), WRONG, ids=lambda v: v[1] if isinstance(v, tuple) else ""
)
def test_wrong_words_end_in_one_line(words, line, cli, here):
    """A training that cannot work ends in exit 2 and one line, before it begins."""
    status, out, err = cli("train", "--dataset", "digits", *words)
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    assert line in err
    assert not list(here.iterdir())


@pytest.mark.parametrize("mode", ["drop", "oversample", "staged"])
def test_without_labels_there_is_no_tail(mode, cli, here):
    """A strategy for the tail of images without labels would train on as if nothing had been asked:
    it is refused.
    """
    (here / "flat").mkdir()
    for place in range(3):
        Image.new("RGB", (32, 32), (place * 80,) * 3).save(here / "flat" / f"{place}.png")
    status, out, err = cli(
        "train", "--plugin", "vae", "--dataset", "./flat", "--tail", mode, "--out", "x.safetensors"
    )
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    assert f"--tail {mode}: flat-" in err
    assert "has no labels, so there is no tail to treat" in err


def test_a_foreign_checkpoint_is_refused_by_its_keys(cli, here):
    """Weights of another generator are refused in one line that names the first key that
    does not fit.
    """
    train(cli, here / "vae.safetensors")
    status, out, err = cli(
        "run", "--plugin", "ddpm", "--checkpoint", str(here / "vae.safetensors"), "--n", "40"
    )
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    (here / "junk.safetensors").write_bytes(b"junk" * 100)
    assert (
        cli("run", "--plugin", "vae", "--checkpoint", str(here / "junk.safetensors"), "--n", "40")[
            0
        ]
        == 2
    )


def test_a_loss_that_becomes_nan_ends_the_training(cli, here):
    """A training whose loss is NaN ends in exit 5 with the step, and writes no checkpoint."""
    (here / "lost.py").write_text(
        "import genbench\nimport torch\n\n\n@genbench.hookimpl\n"
        "def sample(n):\n    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)\n\n\n"
        "@genbench.hookimpl\ndef train(batches, seed):\n    for step, _ in enumerate(batches, 1):\n"
        "        yield step, len(batches), {'loss': float('nan')}\n\n\n"
        "@genbench.hookimpl\ndef state():\n    return {}\n"
    )
    status, _, err = cli("train", "--plugin", "lost.py", "--out", "lost.safetensors")
    assert (status, "its loss became NaN at step 1" in err) == (5, True)
    assert not (here / "lost.safetensors").exists()


def test_more_images_than_memory_holds_are_refused_from_the_first(cli, here, monkeypatch):
    """Training holds its whole split; one that is too large ends in a line with its size before it
    is read, and no file is left.
    """
    monkeypatch.setattr("genbench.generators.training.train.LARGEST", 2**20)
    status, out, err = cli(
        "train", "--plugin", "vae", "--dataset", "digits", "--out", str(here / "a.safetensors")
    )
    assert (status, out) == (2, "")
    assert err.startswith("genbench: 870 training images of digits take ")
    assert "bring fewer or smaller ones" in err
    assert not (here / "a.safetensors").exists()
