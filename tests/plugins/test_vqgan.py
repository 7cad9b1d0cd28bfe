"""VQGAN: the numbers that taming-transformers' own code made of the same weights,
the laws of its sampling, and files that are something else.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import yaml
from helpers.small_checkpoints import vqgan as saved

import genbench
from genbench.cli.main import main
from genbench.generators.conformance import check
from genbench.generators.load import locate
from genbench_plugins._vqgan_transformer import drawn

CASES = ["class", "plain", "gumbel"]
CLOSE = 1e-2  # grey levels


def plugin(checkpoint, **options):
    return locate("vqgan").target(checkpoint, **options)


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    folder, found = saved(request.param, tmp_path)
    return plugin(folder), found


def test_their_transformer_says_the_same(case):
    ours, found = case
    tokens = torch.cat(
        [torch.from_numpy(found["first"])[:, None], torch.from_numpy(found["tokens"])[:, :-1]], 1
    )
    with torch.no_grad():
        logits = ours.net.transformer(tokens)[:, ::9].numpy()
    assert found["logits"].std() > 0.3
    np.testing.assert_allclose(logits, found["logits"], atol=1e-5)


def test_their_decoder_paints_the_same(case):
    ours, found = case
    tokens = torch.from_numpy(found["tokens"])
    if ours.made.permuted:
        tokens = tokens[:, ours.net.permuter.backward_shuffle_idx]
    images = ours.painted(tokens.unflatten(1, (8, 8))).numpy()[:, :, ::2, ::2]
    assert found["images"].std() > 0.3
    assert np.abs(images - found["images"]).max() * 127.5 < CLOSE


def test_their_encoder_finds_the_same_codes(case):
    ours, found = case
    codes = ours.coder.quantize.codes(ours.coder.encode(torch.from_numpy(found["x"])))
    assert len(np.unique(found["codes"])) > 2
    np.testing.assert_array_equal(codes.numpy(), found["codes"])


def test_the_likeliest_codes_are_theirs(tmp_path):
    """sample_fast.py with top_k = 1, whatever the seed; the order of the permuter undone."""
    for name in CASES:
        (tmp_path / name).mkdir()
        folder, found = saved(name, tmp_path / name)
        ours = plugin(folder, top_k=1)
        tokens = torch.from_numpy(found["greedy"])
        assert len(tokens.unique()) > 2
        if ours.made.permuted:
            tokens = tokens[:, ours.net.permuter.backward_shuffle_idx]
        labels = torch.from_numpy(found["first"]) if ours.made.classes else None
        torch.testing.assert_close(
            ours.sample(3, torch.tensor([5, 6, 7]), labels),
            ours.painted(tokens.unflatten(1, (8, 8))),
        )


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 0, 1.0), (0.5, 0, 1.0), (1.0, 3, 1.0), (1.0, 0, 0.6), (2.0, 4, 0.7)],
)
def test_codes_are_drawn_by_their_probabilities(temperature, top_k, top_p):
    """Shares of 20,000 draws against the softmax cut to the likeliest k,
    then to the fewest that reach p.
    """
    logits = torch.tensor([0.3, 1.2, -0.5, 2.0, 0.1, 1.0])
    n = 20_000
    shares = (logits.double() / temperature).softmax(0).numpy()
    order = np.argsort(-shares)
    kept_ = order[: top_k or len(order)]
    inside = shares[kept_] / shares[kept_].sum()
    count = int((np.cumsum(inside) < top_p - 1e-12).sum()) + 1
    wanted = np.zeros(6)
    wanted[kept_[:count]] = inside[:count] / inside[:count].sum()
    uniform = genbench.uniform(torch.arange(n), ())
    found = (
        np.bincount(
            drawn(logits.repeat(n, 1), uniform, temperature, top_k, top_p).numpy(), minlength=6
        )
        / n
    )
    assert set(np.flatnonzero(found)) == set(np.flatnonzero(wanted))
    assert np.abs(found - wanted).max() < 4 * math.sqrt(0.25 / n)


def test_the_transformer_knows_some_codes_only(tmp_path):
    """With `used` (taming's remap) a token stands for one of the codes listed."""
    folder, _ = saved("class", tmp_path)
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    used = torch.tensor([20, 3, 7, 11])
    content["state_dict"]["first_stage_model.quantize.used"] = used
    torch.save(content, folder / "checkpoints/last.ckpt")
    ours = plugin(folder)
    heard = []
    ours.painted = lambda codes: heard.append(codes) or torch.zeros(1)
    ours.sample(4, torch.arange(4), torch.arange(4))
    assert set(heard[0].unique().tolist()) <= set(used.tolist())
    assert len(heard[0].unique()) > 1


def test_conformance(tmp_path):
    """What ships, and a file of theirs."""
    folder, _ = saved("class", tmp_path)
    for checkpoint in (folder, None):
        found = check(locate("vqgan"), checkpoint=checkpoint)
        failed = {one.check: one.came for one in found if one.verdict == "fail"}
        # random weights show no digits
        assert set(failed) <= ({"labels", "reconstruct"} if checkpoint else set()), failed


def test_what_training_writes_is_read_to_the_same_images(here, cli):
    status, _, err = cli("train", "-p", "vqgan", "--steps", "4", "--out", "a.safetensors")
    assert status == 0, err
    first, again = plugin(here / "a.safetensors"), plugin(here / "a.safetensors")
    seeds, labels = torch.arange(5), torch.arange(5)
    torch.testing.assert_close(
        first.sample(5, seeds, labels), again.sample(5, seeds, labels), rtol=0, atol=0
    )
    assert (
        cli(
            "train",
            "-p",
            "vqgan",
            "--steps",
            "4",
            "--init",
            "a.safetensors",
            "--out",
            "b.safetensors",
        )[0]
        == 0
    )


def _edited(folder, edit):
    path = next((folder / "configs").iterdir())
    config = yaml.safe_load(path.read_text())
    edit(config["model"]["params"])
    path.write_text(yaml.safe_dump(config))


def _deep(params):
    params["lossconfig"] = {}
    inner = params["lossconfig"]
    for _ in range(40):
        inner["a"] = {}
        inner = inner["a"]


HOSTILE = {
    "os.system": lambda p: p["transformer_config"].update(
        target="os.system", params={"command": "touch owned"}
    ),
    "subprocess.Popen": lambda p: p["first_stage_config"]["params"]["lossconfig"].update(
        target="subprocess.Popen"
    ),
    "nested more than 32 deep": _deep,
    "n_embd='a lot'": lambda p: p["transformer_config"]["params"].update(n_embd="a lot"),
    "a multiple of 32": lambda p: p["first_stage_config"]["params"]["ddconfig"].update(ch=30),
    "n_layer='100000'": lambda p: p["transformer_config"]["params"].update(n_layer=100_000),
    "sees 10 tokens": lambda p: p["transformer_config"]["params"].update(block_size=10),
    "taming.modules.misc.coord.CoordStage": lambda p: p.update(
        cond_stage_config={"target": "taming.modules.misc.coord.CoordStage", "params": {}}
    ),
    "does not say resolution": lambda p: p["first_stage_config"]["params"]["ddconfig"].pop(
        "resolution"
    ),
    "is [24, 32], not [25, 32]": lambda p: p["transformer_config"]["params"].update(vocab_size=25),
}


@pytest.mark.parametrize("said", HOSTILE)
def test_a_yaml_that_asks_for_something_else(said, here):
    """One line, and nothing that it names is imported or run."""
    (here / "logs").mkdir()
    folder, _ = saved("class", here / "logs")
    _edited(folder, HOSTILE[said])
    with pytest.raises(genbench.UserError) as refused:
        plugin(folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (here / "owned").exists()


def test_yaml_tags_make_nothing(here):
    (here / "logs").mkdir()
    folder, _ = saved("class", here / "logs")
    next((folder / "configs").iterdir()).write_text(
        "model: !!python/object/apply:os.system ['touch owned']\n"
    )
    with pytest.raises(genbench.UserError, match="is not plain YAML"):
        plugin(folder)
    assert not (here / "owned").exists()


def test_files_are_looked_for_where_they_lie(tmp_path):
    """The .ckpt alone finds ../configs and the YAML beside it;
    none, or several, are asked for by name.
    """
    folder, _ = saved("class", tmp_path)
    file, config = folder / "checkpoints/last.ckpt", next((folder / "configs").iterdir())
    assert plugin(file).made.classes == 10
    other = config.with_name("2022-project.yaml")
    other.write_text(config.read_text())
    with pytest.raises(genbench.UserError, match=r"name it last\.yaml"):
        plugin(file)
    config.rename(file.with_name("last.yaml"))
    assert plugin(file).made.classes == 10
    file.with_name("last.yaml").unlink()
    other.unlink()
    with pytest.raises(genbench.UserError, match=r"bring it as last\.yaml"):
        plugin(file)
    with pytest.raises(genbench.UserError, match="has no checkpoints"):
        plugin(folder / "configs")


def test_an_autoencoder_alone_reconstructs(tmp_path):
    """VQModel's own files have no transformer: they are read,
    and say why they cannot be sampled.
    """
    folder, found = saved("class", tmp_path)
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    stage = "first_stage_model."
    torch.save(
        {
            "state_dict": {
                k.removeprefix(stage): v for k, v in content.items() if k.startswith(stage)
            }
        },
        folder / "checkpoints/last.ckpt",
    )
    model = json.loads(str(found["config"]))["model"]["params"]["first_stage_config"]
    next((folder / "configs").iterdir()).write_text(yaml.safe_dump({"model": model}))
    ours = plugin(folder)
    images = (torch.rand(2, 3, 16, 16) * 255).to(torch.uint8)
    assert ours.reconstruct(images).shape == (2, 3, 16, 16)
    with pytest.raises(genbench.UserError, match="an autoencoder alone"):
        ours.sample(2, torch.arange(2), None)
    with pytest.raises(genbench.UserError, match="these are 15x15"):
        ours.reconstruct(images[:, :, :15, :15])


@pytest.mark.parametrize(
    "words", [("temperature=0",), ("top_k=-1",), ("top_p=0",), ("top_p=1.5",), ("temperature=nan",)]
)
def test_options_out_of_range(words, capsys):
    assert (
        main(
            [
                "run",
                "-p",
                "vqgan",
                "-d",
                "digits",
                "--dry-run",
                *(part for word in words for part in ("-o", word)),
            ]
        )
        == 2
    )
    assert capsys.readouterr().err.count("\n") == 1
