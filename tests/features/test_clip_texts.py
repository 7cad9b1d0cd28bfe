"""CLIP's tower of texts, its encoding, and the two scores:
equal to transformers on random weights, in every published format.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.published_weights import images, save_torchscript
from helpers.small_pipelines import vocabulary
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

import genbench
from genbench.api import _registry as registry
from genbench.features import clip_tokenizer, extraction
from genbench.features.extractors.clip import compared
from genbench.features.load_network import CLIP, standardised
from genbench.features.resize import clip_crop
from genbench.generators.load import locate
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request

# the image tower; that of texts is as wide and deep
SMALL = {"img_size": 64, "patch_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 1}
LOAD = compared(SMALL, 32, (128, 2), 64)
ROWS = """
from genbench.features.extractors.clip import _text_row, B_32_WEIGHTS, compared
from genbench.api import Measure

TOWER = {"img_size": 64, "patch_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 1}
SMALL = _text_row("clip-small", "small", 64, B_32_WEIGHTS, compared(TOWER, 32, (128, 2), 64))
HESSEL = Measure("clipscore_hessel", "clip-small.cosine_depicts", name="small_hessel")
SIM = Measure("clip_sim", "clip-small.cosine", name="small_sim")
"""
TEXTS = [
    "a photo of the digit 3",
    "red square on blue",
    "",
    "blue " * 100,
    "It's 2 o'clock, in PARIS — café №5?",
    "a  photo\tof\nred &amp; blue!!",
]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A list of merges, and the vocabulary that transformers reads, in CLIP's order of numbers."""
    folder = vocabulary(tmp_path_factory.mktemp("words"))
    merges = [line for line in (folder / "merges.txt").read_text().split("\n")[1:] if line]
    letters = [*clip_tokenizer.BYTES.values()]
    pieces = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *(line.replace(" ", "") for line in merges),
        *clip_tokenizer.SPECIAL,
    ]
    (folder / "vocab.json").write_text(
        json.dumps({piece: number for number, piece in enumerate(pieces)})
    )
    return folder, len(pieces)


@pytest.fixture(scope="module")
def theirs(words):
    """CLIP of transformers with random weights, small."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = CLIPConfig(
            text_config={
                "vocab_size": words[1],
                "eos_token_id": words[1] - 1,
                "num_attention_heads": 2,
                **sized(128),
            },
            vision_config={
                "patch_size": 32,
                "image_size": 64,
                "num_attention_heads": 1,
                **sized(64),
            },
            projection_dim=32,
        )
        net = CLIPModel(config).eval()
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.data *= 1.5
            parameter.data = parameter.data.half().float()
    return net


@pytest.fixture(scope="module")
def weights(theirs, tmp_path_factory):
    """The same weights as Hugging Face and as OpenAI publish them."""
    folder = tmp_path_factory.mktemp("clip")
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()},
        folder / "hf.safetensors",
    )
    save_torchscript(openai(theirs.state_dict()), folder / "openai.pt")
    return folder


def sized(width):
    return {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 2}


def openai(state):
    """Hugging Face's parameters under OpenAI's names."""
    found = {
        "logit_scale": state["logit_scale"],
        "text_projection": state["text_projection.weight"].T,
        "visual.proj": state["visual_projection.weight"].T,
    }
    found |= {"token_embedding.weight": state["text_model.embeddings.token_embedding.weight"]}
    found |= {"positional_embedding": state["text_model.embeddings.position_embedding.weight"]}
    found |= {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
    }
    found |= {
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"]
    }
    norms = {
        "ln_final": "text_model.final_layer_norm",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
    }
    found |= {
        f"{ours}.{part}": state[f"{name}.{part}"]
        for ours, name in norms.items()
        for part in ("weight", "bias")
    }
    parts = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for prefix, model in (("", "text_model"), ("visual.", "vision_model")):
        for i in range(2):
            for kind in ("weight", "bias"):
                there, here = f"{model}.encoder.layers.{i}", f"{prefix}transformer.resblocks.{i}"
                found |= {
                    f"{here}.{a}.{kind}": state[f"{there}.{b}.{kind}"] for a, b in parts.items()
                }
                found[f"{here}.attn.in_proj_{kind}"] = torch.cat(
                    [state[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                )
    return found


def rows(folder):
    """A file with the small network's rows."""
    (folder / "small.py").write_text(ROWS)
    return folder / "small.py"


def embedded(net, tokenizer, texts):
    numbers = tokenizer(
        texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    found = net.get_text_features(**numbers)
    return found if isinstance(found, torch.Tensor) else found.pooler_output


@pytest.mark.parametrize("file", ["hf.safetensors", "openai.pt"])
def test_cosines_are_transformers_own(file, weights, words, theirs):
    """Of images of another shape (prepared by ours, which has a test of its own) and of texts long
    and empty; the other output's captions have words before.
    """
    # entities are unfolded in OpenAI's code and here
    shown, texts = images(len(TEXTS) - 1, 60, 90), TEXTS[:-1]
    ours = LOAD("cpu", weights / file, words[0] / "merges.txt")(shown, texts)
    tokenizer = CLIPTokenizer.from_pretrained(words[0], model_max_length=77)
    with torch.no_grad():
        image = theirs.get_image_features(pixel_values=standardised(clip_crop(shown, 64), CLIP))
        image = image if isinstance(image, torch.Tensor) else image.pooler_output
        for output, before in (("cosine", ""), ("cosine_depicts", "A photo depicts ")):
            text = embedded(theirs, tokenizer, [before + one for one in texts])
            wanted = torch.nn.functional.cosine_similarity(image, text)[:, None]
            assert (ours[output] - wanted).abs().max() < 1e-5
            assert wanted.std() > 1e-3


def test_texts_are_cut_as_transformers_cuts_them(words):
    """The numbers of every text but those with entities, which OpenAI's code unfolds first."""
    own, tokenizer = (
        clip_tokenizer.read(words[0] / "merges.txt"),
        CLIPTokenizer.from_pretrained(words[0], model_max_length=77),
    )
    for text in [*TEXTS[:-1], "x" * 300, "don't we'll 1234 ½ ²", "İstanbul ﬁne e\u0301te\u0301"]:
        assert own.encoded(text) == tokenizer(text, truncation=True, max_length=77)["input_ids"], (
            text
        )
    assert own.encoded(TEXTS[-1]) == own.encoded("a photo of red & blue!!")


def test_a_text_is_the_same_alone_and_among_others(weights, words, here):
    shown = images(5, 64, 64)
    registry.add_file(rows(here))
    network = extraction.network(
        "clip-small",
        "cpu",
        str(weights / "hf.safetensors"),
        vocabulary=str(words[0] / "merges.txt"),
    )
    prompts = TEXTS[:5]
    together = network(shown, prompts)["cosine"]
    alone = torch.cat([network(shown[i : i + 1], prompts[i : i + 1])["cosine"] for i in range(5)])
    assert (together - alone).abs().max() < 1e-6


PLUGIN = """
import torch, genbench

class Painter:
    @genbench.hookimpl
    def sample(self, n, seeds, prompts):
        assert len(prompts) == n and all(isinstance(one, str) for one in prompts)
        value = torch.tensor([sum(map(ord, one)) % 200 for one in prompts])
        return (value[:, None, None, None] + torch.zeros(n, 3, 32, 32) + genbench.uniform(seeds, (3, 32, 32)) * 50).to(torch.uint8)
"""  # noqa: E501


def test_a_run_takes_both_scores_and_they_are_the_means_of_the_cosines(weights, words, here):
    """From the run's own images: 2.5 and 100 times max(cos, 0),
    of captions with and without the words before.
    """
    (here / "painter.py").write_text(PLUGIN)
    (here / "prompts.txt").write_text("red square\na photo of the digit 3\n\nblue\n")
    names = (f"clip-vit-b-32={weights / 'hf.safetensors'}", f"clip-bpe={words[0] / 'merges.txt'}")
    registry.add_file(rows(here))
    metrics = ("small_hessel", "small_sim")
    record = genbench.evaluate(
        "painter.py", metrics=metrics, n=24, weights=names, prompts="prompts.txt", out=here / "runs"
    )
    values = {one.metric: one.value for one in record.scores}
    assert [one.status for one in record.scores] == ["ok", "ok"]
    assert all("weights are not the published ones" in one.flags for one in record.scores)
    asked = ["red square", "a photo of the digit 3", "blue"]
    assert json.loads((here / "runs" / record.id / "prompts.json").read_text())["prompts"] == asked
    from genbench.runs.export_samples import samples_of

    shown = torch.from_numpy(
        np.concatenate(list(samples_of(record).pieces())).transpose(0, 3, 1, 2).copy()
    )
    cosines = LOAD("cpu", weights / "hf.safetensors", words[0] / "merges.txt")(
        shown, [asked[i % 3] for i in range(24)]
    )
    assert values["small_sim"] == pytest.approx(
        100 * float(cosines["cosine"].clamp(min=0).mean()), rel=1e-4
    )
    assert values["small_hessel"] == pytest.approx(
        2.5 * float(cosines["cosine_depicts"].clamp(min=0).mean()), rel=1e-4
    )


def skipped(plan):
    return {one["name"]: one["skip"] for one in plan.protocols["digits"]["measures"]}


def test_without_prompts_or_weights_the_scores_are_skipped_with_a_reason(here, monkeypatch):
    """Of all numbers they are left out, and named they are refused, in one line each."""
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    (here / "painter.py").write_text(PLUGIN)
    plan = settle(Request(metrics=("all",), n=30), locate("noise"))
    assert all(
        "there are no prompts" in skipped(plan)[name]
        for name in ("clipscore_hessel", "clip_sim", "clip_sim_l14_336")
    )
    with pytest.raises(genbench.UserError, match="there are no prompts"):
        genbench.evaluate("noise", metrics="clip_sim", n=30, out=here / "runs")
    plan = settle(Request(metrics=("all",), n=30), locate("painter.py"))
    assert skipped(plan)["clip_sim"] == "weights missing: genbench weights fetch clip-vit-b-32"
    with pytest.raises(genbench.UserError, match="weights clip-vit-b-32 are missing"):
        genbench.evaluate("painter.py", metrics="clip_sim", n=30, out=here / "runs")


def test_the_published_list_of_merges_has_clips_numbers(tmp_path):
    """The numbers of a caption as OpenAI's package has them,
    where its list is installed with open_clip; a list that is none is one line.
    """
    (tmp_path / "merges.txt").write_text("#version\na b\nabc\n")
    with pytest.raises(genbench.UserError, match="line 3: it is no list of merges"):
        clip_tokenizer.read(tmp_path / "merges.txt")
    (tmp_path / "merges.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(genbench.UserError, match="cannot be read"):
        clip_tokenizer.read(tmp_path / "merges.txt.gz")
