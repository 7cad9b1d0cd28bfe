"""The generator `diffusers`: five kinds of tiny real pipelines to a record,
the images of diffusers' own calls, and folders that are refused.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sys
from pathlib import Path

import diffusers
import pytest
import torch
from helpers.small_pipelines import CLASSES, KINDS, TEXTS, made
from safetensors.torch import load_file, save_file

import genbench
from genbench.generators.conformance import check
from genbench.generators.description import describe
from genbench.generators.load import locate, options_of

STEPS = ("steps=3",)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each kind's folder, made once."""
    folder = tmp_path_factory.mktemp("pipelines")
    found = {}

    def of(kind):
        if kind not in found:
            found[kind] = made(kind, folder)
        return found[kind]

    return of


@pytest.fixture(autouse=True)
def _quiet():
    """What the libraries warn of goes to standard error by logging."""
    for name in ("diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)


def copy_of(folder, to, index=None):
    """A copy of a pipeline's folder with changes of its index."""
    shutil.copytree(folder, to)
    if index:
        path = to / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | index))
    return to


def generator(folder, seed):
    return [torch.Generator().manual_seed(one) for one in seed]


def levels(images):
    """Images in 0 to 1 as grey levels."""
    return (torch.as_tensor(images) * 255).round()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_passes_the_conformance_checks(kind, folders):
    """A batch of 8 is 8 batches of 1, seeds repeat and differ, no global state moves;
    random weights draw no digits.
    """
    results = check(locate("diffusers"), checkpoint=folders(kind), options=STEPS)
    assert {one.check for one in results if one.verdict == "fail"} <= {"labels"}
    assert {one.check for one in results if one.verdict == "pass"} >= {
        "count",
        "images",
        "seeds repeat",
        "seeds differ",
        "batch size",
        "global state",
        "cost",
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, at the library's own lines
@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [
        ("ddpm", "DDPMScheduler"),
        ("dit", "DDPMScheduler"),
        ("ldm", "EulerAncestralDiscreteScheduler"),
        ("sd", "LCMScheduler"),
    ],
)
def test_noise_of_the_sampler_is_each_images_own(kind, scheduler, folders):
    """With schedulers that draw at every step, image 3 is the same alone and among others,
    and another without the noise.
    """
    plugin = locate("diffusers").target(folders(kind), steps=3, scheduler=scheduler)
    seeds = torch.arange(5)
    given = {
        "labels": seeds if kind == "dit" else None,
        "prompts": ["a photo of the digit 3"] * 5 if kind == "sd" else None,
    }
    together = plugin.sample(5, seeds, **given)
    one = {key: None if value is None else value[3:4] for key, value in given.items()}
    alone = plugin.sample(1, seeds[3:4], **one)
    assert (levels(together[3]) - levels(alone[0])).abs().max() <= 1
    still = (
        locate("diffusers")
        .target(folders(kind), steps=3, scheduler="DDIMScheduler")
        .sample(1, seeds[3:4], **one)
    )
    assert (levels(still[0]) - levels(alone[0])).abs().max() > 1


@pytest.mark.parametrize("kind", ["ddpm", "ddim", "ldm", "sd", "dit"])
def test_the_images_are_those_of_the_pipeline_called_directly(kind, folders, monkeypatch):
    """With the same generators and steps, within one level.

    DiT's own call has 1000 as the null class, which ten classes do not have: guidance 1 there.
    """
    seeds = torch.tensor([5, 2**33 + 1, 7])
    own = {"dit": {"guidance": 1.0}}.get(kind, {})
    plugin = locate("diffusers").target(folders(kind), steps=4, **own)
    labels, prompts = torch.tensor([3, 1, 9]), ["a photo of the digit 3", "red square", "blue"]
    ours = plugin.sample(
        3, seeds, labels if kind == "dit" else None, prompts if kind == "sd" else None
    )
    pipe = diffusers.DiffusionPipeline.from_pretrained(folders(kind), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    words = {
        "sd": {"prompt": prompts},
        "dit": {"class_labels": labels.tolist(), "guidance_scale": 1.0},
    }.get(kind, {"batch_size": 3})
    theirs = pipe(
        generator=[torch.Generator().manual_seed(seed) for seed in seeds.tolist()],
        num_inference_steps=4,
        output_type="np",
        **words,
    ).images
    apart = (levels(ours) - levels(theirs).permute(0, 3, 1, 2)).abs()
    assert apart.max() <= 1
    assert levels(ours).std() > 5


def test_dits_guidance_is_towards_the_class_and_away_from_its_own_null_class(folders):
    """guidance g is uncond + g (cond - uncond) of eps, by hand for one step of DDIM;
    the null class is the embedding after the ten.
    """
    plugin = locate("diffusers").target(folders("dit"), steps=1, guidance=3.0)
    pipe, seeds = plugin.pipe, torch.tensor([4, 8])
    x = torch.cat(
        [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (4, 8)]
    )
    pipe.scheduler.set_timesteps(1)
    t = pipe.scheduler.timesteps[0]
    with torch.no_grad():
        eps, none = (
            pipe.transformer(x, timestep=t.expand(2), class_labels=torch.tensor(y)).sample[:, :4]
            for y in ([3, 1], [CLASSES] * 2)
        )
        x = pipe.scheduler.step(none + 3 * (eps - none), t, x).prev_sample
        wanted = (pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        assert torch.allclose(
            plugin.sample(2, seeds, torch.tensor([3, 1]), None), wanted, atol=1e-4
        )


def test_the_class_reaches_a_unet_and_its_null_class_guides_it(folders):
    """Other labels are other images; a further embedding is the null class,
    without which guidance is refused.
    """
    seeds = torch.tensor([1, 2])
    digits = type("D", (), {"classes": ("x",) * CLASSES, "name": "digits"})
    for kind in ("classes", "guided"):
        plugin = locate("diffusers").target(folders(kind), dataset=digits, steps=2)
        a, b = (plugin.sample(2, seeds, torch.tensor(y), None) for y in ([0, 1], [5, 6]))
        assert (a - b).abs().max() > 0
    strong = locate("diffusers").target(folders("guided"), dataset=digits, steps=2, guidance=8.0)
    assert strong.cost()["evaluations"] == 4
    assert (strong.sample(2, seeds, torch.tensor([5, 6]), None) - b).abs().max() > 0
    with pytest.raises(genbench.UserError, match="has no null class"):
        locate("diffusers").target(folders("classes"), dataset=digits, guidance=2.0)
    with pytest.raises(genbench.UserError, match="has 10 classes, the data set three 3"):
        locate("diffusers").target(
            folders("classes"), dataset=type("T", (), {"classes": "abc", "name": "three"})
        )


def test_half_precision_is_the_weights_own(folders):
    plugin = locate("diffusers").target(folders("ddpm"), steps=2, dtype="bfloat16")
    assert {p.dtype for p in plugin.pipe.unet.parameters()} == {torch.bfloat16}
    assert torch.isfinite(plugin.sample(2, torch.tensor([1, 2]), None, None)).all()


# of 1024 pixels by themselves
SMALL = {
    "ldmtext": {"guidance": 8.0},
    "pixart": {"size": 32},
    "flux": {"size": 32},
    "schnell": {"size": 32},
}
# classifier-free, and as a number
GUIDED = {
    "sdxl": (5.0, None),
    "sd3": (7.0, None),
    "pixart": (4.5, None),
    "sigma": (4.5, None),
    "flux": (1.0, 3.5),
}
TOKENS = {"sd3": 256, "pixart": 120, "sigma": 300, "flux": 512, "schnell": 256}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, at the library's own lines
@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_a_prompt_and_a_seed_are_an_image_in_any_batch(kind, folders):
    """Alone as among four, again as before; another prompt is another image;
    the network was called as often as it is told.
    """
    plugin = locate("diffusers").target(folders(kind), steps=2, **SMALL.get(kind, {}))
    seeds, prompts, asked = (
        torch.tensor([5, 6, 7, 2**33 + 1]),
        ["a photo of the digit 3", "red square", "blue", "on"],
        [],
    )
    seen = plugin.net.register_forward_pre_hook(
        lambda _, given, named: asked.append(len((*given, named.get("hidden_states"))[0])),
        with_kwargs=True,
    )
    together = plugin.sample(4, seeds, None, prompts)
    seen.remove()
    assert sum(asked) == 4 * plugin.cost()["evaluations"]
    assert together.shape == (4, 3, plugin.settings.size, plugin.settings.size)
    assert levels(together).std() > 5
    assert torch.equal(together, plugin.sample(4, seeds, None, prompts))
    alone = torch.cat(
        [plugin.sample(1, seeds[i : i + 1], None, prompts[i : i + 1]) for i in range(4)]
    )
    assert (together - alone).abs().max() < 1e-4
    others = plugin.sample(4, seeds, None, prompts[::-1])
    assert (together - others).abs().amax((1, 2, 3)).min() > 1e-3
    usual = locate("diffusers").target.usual(folders(kind))
    assert (usual["guidance"], usual["distilled"], usual["tokens"]) == (
        *GUIDED.get(kind, (1.0, None)),
        TOKENS.get(kind),
    )


def test_flux_has_both_forms_of_guidance_and_the_record_has_both(folders, tmp_path):
    """The number that its network is told, and two calls of it;
    schnell has the second alone, and takes four steps.
    """
    words = {"checkpoint": folders("flux"), "n": 40, "metrics": "kd_digits", "out": tmp_path}
    own = {"steps": 2, "size": 16, "tokens": 8, "distilled": 2.5, "guidance": 3.0}
    record = genbench.evaluate("diffusers", settings=own, **words)
    assert {name: record.plan["identity"]["options"][name] for name in own} == own
    assert (record.cost["evaluations_per_image"], record.cost["dtype"]) == (4, "float32")
    assert record.cost["latency_p50_seconds"] > 0  # of the first prompt
    seeds, prompts, images = torch.tensor([1, 2]), ["red", "blue"], []
    for given in ({}, {"distilled": 1.0}, {"guidance": 3.0}):
        images.append(
            locate("diffusers")
            .target(folders("flux"), steps=2, size=16, **given)
            .sample(2, seeds, None, prompts)
        )
    assert all((images[0] - one).abs().max() > 1e-2 for one in images[1:])
    assert locate("diffusers").target.usual(folders("schnell"))["steps"] == 4
    with pytest.raises(genbench.UserError, match="takes no such number"):
        locate("diffusers").target(folders("schnell"), size=16, distilled=1.0)


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("flux", {"size": 40}, "a multiple of 16"),
        ("sd3", {"size": 40}, "a multiple of 16"),
        ("sd3", {"size": 144}, "has places for 128 at most"),
        ("ddpm", {"size": 15}, "a multiple of 2"),
        ("schnell", {"size": 16, "tokens": 257}, "1 to 256"),
        ("sdxl", {"tokens": 9}, "no T5"),
        ("flux", {"size": 16, "scheduler": "FlowMatchHeunDiscreteScheduler"}, "takes no sigmas"),
        ("sdxl", {"scheduler": "FlowMatchEulerDiscreteScheduler"}, "trained with flow matching"),
        ("ldmtext", {"scheduler": "EulerDiscreteScheduler"}, "its call scales no noise"),
    ],
)
def test_what_a_pipelines_own_call_would_round_or_get_wrong_is_refused(kind, words, said, folders):
    with pytest.raises(genbench.UserError, match=said):
        locate("diffusers").target(folders(kind), steps=2, **words)


def test_sd3_goes_without_its_t5_and_a_model_of_sentencepiece_asks_for_its_library(
    folders, tmp_path, monkeypatch
):
    """A part that the index leaves out is none; the files that most published T5 tokenizers have
    are named with the line to type.
    """
    lean = copy_of(
        folders("sd3"),
        tmp_path / "lean",
        {"text_encoder_3": [None, None], "tokenizer_3": [None, None]},
    )
    assert locate("diffusers").target(lean, steps=2).sample(
        1, torch.tensor([1]), None, ["red"]
    ).shape == (1, 3, 64, 64)
    old = copy_of(folders("sd3"), tmp_path / "old")
    (old / "tokenizer_3" / "tokenizer.json").rename(old / "tokenizer_3" / "spiece.model")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(genbench.UserError, match="pip install sentencepiece protobuf"):
        locate("diffusers").target(old, steps=2)


WRONG = {
    "steps=0": "1 to 100",
    "steps=101": "1 to 100",
    "eta=2": "0 to 1",
    "scheduler=os.system": "wanted is DDIMScheduler",
    "guidance=-1": "0 or more",
    "guidance=2": "no null class",
    "distilled=3": "takes no such number",
    "size=-8": "give the side in pixels",
    "eta=0.5": "DDPMScheduler has no eta",
    "scheduler=PNDMScheduler -o steps=3": "cannot be loaded: ValueError",
}


@pytest.mark.parametrize("word", WRONG)
def test_options_that_cannot_be_are_one_line(word, folders):
    description = locate("diffusers")
    with pytest.raises(genbench.UserError) as caught:
        description.target(
            folders("ddpm"), **options_of(description, word.split(" -o "), folders("ddpm"))
        )
    assert WRONG[word] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_name_code_are_refused_and_nothing_runs(folders, tmp_path, cli):
    """A custom pipeline, a class of another library, one by a path, an old pickle, a missing file:
    one line each, and no marker is made.
    """
    marker = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
    cases = {
        "custom": ({"_class_name": ["mine", "DDPMPipeline"]}, "is a ['mine', 'DDPMPipeline']"),
        "unknown": (
            {"_class_name": "WanPipeline"},
            "is a 'WanPipeline'; wanted is one of DDPMPipeline",
        ),
        "foreign": (
            {"unet": ["os", "system"]},
            "its unet is 'os.system', not a class of diffusers or transformers",
        ),
        "beside": ({"unet": ["mine", "Net"]}, "its unet is 'mine.Net'"),
        "dotted": ({"unet": ["diffusers", "x.y"]}, "its unet is"),
        "nothing": ({"unet": [None, None]}, "names no unet"),
        "sde": (
            {"scheduler": ["diffusers", "DPMSolverSDEScheduler"]},
            "DPMSolverSDEScheduler is not on the list",
        ),
    }
    for name, (index, said) in cases.items():
        folder = copy_of(folders("ddpm"), tmp_path / name, index)
        for place in (folder, folder / "unet"):
            (place / "mine.py").write_text(code)
        status, _, err = cli("run", "-p", "diffusers", "--checkpoint", folder, "--dry-run")
        assert (status, len(err.strip().splitlines())) == (2, 1), (name, err)
        assert said in err
    hidden = copy_of(folders("ddpm"), tmp_path / "hidden")
    # which the library would take for a part of one's own
    (hidden / "unet" / "diffusers.py").write_text(code)
    assert cli("run", "-p", "diffusers", "--checkpoint", hidden, "--dry-run")[0] in (0, 2)
    assert not marker.exists()


def test_weights_that_are_no_safetensors_or_not_whole_are_one_line(folders, tmp_path, cli):
    """A pickle is never read in a file's place, and a tensor that is missing is not made up."""
    pickled = copy_of(folders("ddpm"), tmp_path / "pickled")
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    lacking = copy_of(folders("ddpm"), tmp_path / "lacking")
    weights = lacking / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_in.weight"]
    save_file(tensors, weights, {"format": "pt"})
    texts = copy_of(folders("sd"), tmp_path / "texts")
    weights = texts / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    del tensors[next(name for name in tensors if name.endswith("q_proj.weight"))]
    save_file(tensors, weights, {"format": "pt"})
    for folder in (pickled, lacking, texts):
        status, _, err = cli("run", "-p", "diffusers", "--checkpoint", folder, "--dry-run")
        lines = [line for line in err.strip().splitlines() if line.startswith("genbench")]
        assert (status, len(lines)) == (2, 1), (folder, err)


def test_without_a_network_a_name_of_the_hub_is_what_lies_in_its_cache(
    folders, tmp_path, cli, monkeypatch
):
    """GENBENCH_OFFLINE opens no connection: a name that is not there is one line,
    one that is there runs.
    """
    import huggingface_hub.constants

    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    words = ("run", "-p", "diffusers", "--dry-run", "-o", "steps=2", "--checkpoint")
    status, _, err = cli(*words, "hf:nobody/nothing")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "GENBENCH_OFFLINE is set" in err
    place = tmp_path / "models--somebody--ddpm"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    shutil.copytree(folders("ddpm"), place / "snapshots" / ("a" * 40))
    status, out, err = cli(*words, "hf:somebody/ddpm")
    assert (status, "diffusers steps=2" in out) == (0, True), err
    assert cli("run", "-p", "vae", "--checkpoint", "hf:somebody/vae", "--dry-run")[0] == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy, at the libraries' own lines
def test_every_scheduler_on_the_list_is_one_of_the_librarys(folders):
    """Each can be made from a DDPM's configuration, or is of another family of models,
    and each draws an image.
    """
    from genbench_plugins._diffusers_files import Scheduler

    for name in Scheduler.__args__:
        if name.startswith("FlowMatch"):
            with pytest.raises(genbench.UserError, match="trained with flow matching"):
                locate("diffusers").target(folders("ddpm"), steps=3, scheduler=name)
            continue
        plugin = locate("diffusers").target(folders("ddpm"), steps=4, scheduler=name)
        seeds = torch.tensor([3, 4])
        both = plugin.sample(2, seeds, None, None)
        assert torch.isfinite(both).all(), name
        assert torch.allclose(both[1:], plugin.sample(1, seeds[1:], None, None), atol=1e-3), name


def test_a_missing_library_is_one_line(monkeypatch, folders):
    folder = folders("ddpm")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(genbench.UserError, match=r'pip install "genbench\[diffusers\]"'):
        describe(locate("diffusers").target, "diffusers", "built in").target(folder)


def test_a_folder_is_needed_and_a_file_is_none(tmp_path, cli):
    (tmp_path / "file").write_text("x")
    for words, said in (
        (("--checkpoint", tmp_path / "file"), "no folder of a diffusers pipeline"),
        ((), "diffusers needs a pipeline"),
    ):
        status, _, err = cli("run", "-p", "diffusers", *words, "--dry-run")
        assert (status, len(err.strip().splitlines())) == (2, 1)
        assert said in err
    assert Path(tmp_path / "file").exists()
