"""The plugin `stylegan2`: its images against a slow second writing of the network,
what they depend on, and every form of file that it reads.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.nvidia_files import write_pickle
from helpers.small_checkpoints import SMALL, beside_json, random_net, settings_of
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy import signal

from genbench._util.errors import UserError
from genbench._util.hashing import file_sha256
from genbench.api import _registry as registry
from genbench.api.metric import Pairs
from genbench.generators import options as words
from genbench.generators.conformance import check
from genbench.generators.generator import construct
from genbench.generators.load import checkpoint_of, locate
from genbench_plugins import stylegan2
from genbench_plugins._stylegan2 import doubled, low_pass, modulated
from genbench_plugins._stylegan2_files import SETTINGS
from genbench_plugins._stylegan2_training import GAMMA, deviation, penalty
from genbench_plugins.stylegan2 import StyleGAN2

SEEDS, LABELS = torch.arange(4), torch.tensor([0, 1, 2, 0])
FORMS = ("skip", "orig", "resnet")


def saved(made, net, path="net.safetensors"):
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()},
        path,
        {SETTINGS: json.dumps(made.settings())},
    )
    return Path(path)


@pytest.fixture
def plugin(here):
    """plugin(made, **options) -> the plugin with random weights of this architecture."""

    def make(made=SMALL, **options):
        return StyleGAN2(saved(made, random_net(made)), **options)

    return make


def drawn(generator, seeds=SEEDS, labels=LABELS):
    """Images before they are clamped."""
    return generator.synthesize(generator.latents(seeds, labels, "z"), labels, seeds, "z")


# The second writing: numpy, float64, an image, a channel and a tap at a time, weights scaled as the
# paper has it


def slow_convolution(x, weight, taps=None):
    """x [i, h, w], weight [o, i, k, k] -> [o, h, w], or twice the side:
    zeros put between, both kernels, cut so that their centres (1 and 1.5) meet.
    """
    if taps is None:
        return np.stack(
            [sum(signal.correlate2d(x[i], one[i], "same") for i in range(len(x))) for one in weight]
        )
    spread = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2]))
    spread[:, ::2, ::2] = x
    kernels = [[signal.convolve2d(one[i], 4 * taps) for i in range(len(x))] for one in weight]
    whole = np.stack(
        [sum(signal.convolve2d(spread[i], one[i]) for i in range(len(x))) for one in kernels]
    )
    return whole[:, 2 : 2 + spread.shape[1], 2 : 2 + spread.shape[2]]


def slow_doubled(x, row):
    for axis in (1, 2):
        x = signal.upfirdn(2 * row, x, up=2, axis=axis)
        length = (x.shape[axis] - len(row)) // 2 + 1
        x = np.take(x, np.arange(1, 1 + 2 * length), axis)
    return x


def slow_layer(t, name, x, w, gain, clamp, taps=None):
    style = t[f"{name}.affine.weight"] @ w / math.sqrt(len(w)) + t[f"{name}.affine.bias"]
    weight = t[f"{name}.weight"] * style[None, :, None, None]
    weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    x = (
        slow_convolution(x, weight, taps)
        + t[f"{name}.noise_const"] * t[f"{name}.noise_strength"]
        + t[f"{name}.bias"][:, None, None]
    )
    return np.clip(np.where(x > 0, x, 0.2 * x) * math.sqrt(2) * gain, -clamp * gain, clamp * gain)


def slow_colours(t, name, x, w, clamp):
    style = (
        t[f"{name}.affine.weight"] @ w / math.sqrt(len(w)) + t[f"{name}.affine.bias"]
    ) / math.sqrt(len(x))
    return np.clip(
        np.tensordot(t[f"{name}.weight"][:, :, 0, 0] * style, x, 1)
        + t[f"{name}.bias"][:, None, None],
        -clamp,
        clamp,
    )


def slow_mapping(t, made, z, label):
    def unit(v):
        return v / math.sqrt((v**2).mean() + 1e-8)

    embedded = unit(
        t["mapping.embed.weight"][:, label] / math.sqrt(made.c_dim) + t["mapping.embed.bias"]
    )
    x = np.concatenate([unit(z), embedded])
    for i in range(made.num_layers):
        x = made.lr_multiplier * (
            t[f"mapping.fc{i}.weight"] @ x / math.sqrt(len(x)) + t[f"mapping.fc{i}.bias"]
        )
        x = np.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return x


def slow_image(t, made, ws):
    """An image [c, h, h] of float64 from ws [w_count, w_dim], with the stored noise."""
    row = np.asarray(made.resample_filter) / sum(made.resample_filter)
    taps, clamp = np.outer(row, row), made.conv_clamp
    x, image, at, size = t["synthesis.b4.const"], 0.0, 0, 4
    while size <= made.img_resolution:
        b, residual, other = f"synthesis.b{size}", 1.0, 0.0
        if size > 4:
            if made.architecture == "resnet":
                residual = math.sqrt(0.5)
                other = residual * slow_doubled(
                    np.tensordot(t[f"{b}.skip.weight"][:, :, 0, 0] / math.sqrt(len(x)), x, 1), row
                )
            x = slow_layer(t, f"{b}.conv0", x, ws[at], 1.0, clamp, taps)
            image = slow_doubled(image, row) if isinstance(image, np.ndarray) else image
            at += 1
        x = slow_layer(t, f"{b}.conv1", x, ws[at], residual, clamp) + other
        at += 1
        if f"{b}.torgb.weight" in t:
            image = image + slow_colours(t, f"{b}.torgb", x, ws[at], clamp)
        size *= 2
    return image


@pytest.mark.parametrize(
    ("architecture", "taps", "clamp"),
    [*((form, (1, 3, 3, 1), 256) for form in FORMS), ("resnet", (1, 2, 5, 1), 0.7)],
)
def test_images_are_those_of_the_slow_writing(architecture, taps, clamp, plugin):
    """Mapping, truncation of the first layers and synthesis agree in every architecture,
    with a lopsided filter and a clamp that bites too.
    """
    made = replace(SMALL, architecture=architecture, resample_filter=taps, conv_clamp=clamp)
    ours = plugin(made, truncation=0.6, cutoff=3, noise="const")
    t = {name: tensor.double().numpy() for name, tensor in ours.net.state_dict().items()}
    found = drawn(ours)
    for image, z, label in zip(
        found, ours.latents(SEEDS, LABELS, "z").double().numpy(), LABELS.tolist(), strict=True
    ):
        w = slow_mapping(t, made, z, label)
        near = t["mapping.w_avg"] + 0.6 * (w - t["mapping.w_avg"])
        wanted = slow_image(t, made, [near] * 3 + [w] * 3)
        np.testing.assert_allclose(image.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_doubling_is_scipys_upfirdn():
    """Filters of one to nine taps, stored as a square or as a row:
    zeros between, then the filter, cut at its centre.
    """
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for taps in ((1,), (1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 2, 5, 1), tuple(range(1, 10))):
        row = np.asarray(taps) / sum(taps)
        wanted = x.double().numpy()
        for axis in (2, 3):
            whole = np.concatenate(
                [signal.upfirdn(2 * row, wanted, up=2, axis=axis), np.zeros_like(wanted)], axis
            )
            start = (len(taps) - 2) // 2
            whole = np.insert(whole, 0, 0, axis) if start < 0 else whole
            wanted = np.take(whole, np.arange(max(start, 0), max(start, 0) + 10), axis)
        np.testing.assert_allclose(doubled(x, low_pass(taps)).numpy(), wanted, atol=1e-6)
    assert (low_pass((1,) * 9).ndim, low_pass((1,) * 7).ndim) == (1, 2)


@pytest.mark.parametrize("demodulate", [True, False])
def test_half_precision_stays_near(demodulate):
    """Styles and weights of thousands, whose products half precision cannot hold,
    give what single precision gives.
    """
    torch.manual_seed(0)
    x, weight, styles = torch.randn(2, 6, 8, 8), torch.randn(4, 6, 3, 3), torch.rand(2, 6) + 0.5
    far = 3000 if demodulate else 1
    wanted = modulated(x, weight * far, styles * far, demodulate)
    found = modulated(x.half(), weight * far, styles * far, demodulate)
    assert found.dtype == torch.float16
    torch.testing.assert_close(
        found.float(), wanted, rtol=0.01, atol=0.01 * float(wanted.abs().max())
    )


def test_layers_are_computed_in_half_precision_where_the_file_says_so(plugin, monkeypatch):
    """The highest resolutions of samples, on the devices that do so;
    never those of a path's images, whose differences are below its rounding.
    """
    made = replace(SMALL, num_fp16_res=1)
    assert [replace(SMALL, num_fp16_res=n).half_from for n in (0, 1, 2, 9)] == [32, 16, 8, 8]
    single, seen = plugin(made, noise="const"), []
    monkeypatch.setattr(stylegan2, "HALF_ON", ("cuda", "cpu"))
    half = plugin(made, noise="const")
    for ours in (single, half):
        ours.net.synthesis.b8.conv1.register_forward_hook(
            lambda layer, given, came: seen.append(came.dtype)
        )
        ours.net.synthesis.b16.conv1.register_forward_hook(
            lambda layer, given, came: seen.append(came.dtype)
        )
    images, others = (ours.sample(4, SEEDS, LABELS) for ours in (single, half))
    assert seen == [torch.float32] * 3 + [torch.float16]
    assert others.dtype == torch.float32
    assert 0 < float((images - others).abs().max()) * 127.5 < 2
    assert torch.equal(drawn(single), drawn(half))
    assert seen[4:] == [torch.float32] * 4


# What images depend on


@pytest.mark.parametrize("architecture", FORMS)
@pytest.mark.parametrize("noise", ["random", "const", "none"])
def test_an_image_depends_on_its_seed_and_class_alone(architecture, noise, plugin):
    """Shapes and range are as declared; alone, among others and in another order an image is the
    same; other seeds and classes give other images.
    """
    ours = plugin(replace(SMALL, architecture=architecture), noise=noise)
    images = ours.sample(4, SEEDS, LABELS)
    assert images.shape == (4, 3, 16, 16)
    assert not images.requires_grad
    assert images.abs().max() <= 1
    assert torch.equal(images, ours.sample(4, SEEDS, LABELS))
    torch.testing.assert_close(
        images[2:3], ours.sample(1, SEEDS[2:3], LABELS[2:3]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        images.flip(0), ours.sample(4, SEEDS.flip(0), LABELS.flip(0)), atol=1e-5, rtol=0
    )
    other = ours.sample(4, SEEDS, (LABELS + 1) % 3)
    assert all((images[i] - other[i]).abs().max() > 0.01 for i in range(4))
    assert (images[0] - images[3]).abs().max() > 0.01


def test_full_truncation_gives_one_image(plugin):
    """At psi 0 every z and class is the mean; a cutoff of 0 truncates nothing,
    one beyond the layers all of them.
    """
    one = drawn(plugin(truncation=0.0, noise="const"))
    torch.testing.assert_close(one, one[:1].expand_as(one), atol=1e-5, rtol=0)
    assert torch.equal(
        drawn(plugin(truncation=0.0, cutoff=0, noise="const")), drawn(plugin(noise="const"))
    )
    assert torch.equal(drawn(plugin(truncation=0.5, cutoff=99)), drawn(plugin(truncation=0.5)))
    assert not torch.equal(drawn(plugin(truncation=0.5, cutoff=2)), drawn(plugin(truncation=0.5)))


def test_noise_is_drawn_from_the_seed_or_stored(plugin):
    """With one w for all, random noise differs between seeds, the stored one does not,
    and both differ from none.
    """
    w = torch.ones(4, SMALL.w_dim)
    random, const, none = (
        plugin(noise=noise).synthesize(w, LABELS, SEEDS, "w")
        for noise in ("random", "const", "none")
    )
    assert (random[0] - random[1]).abs().max() > 0.01
    assert all((few - few[:1]).abs().max() < 1e-5 for few in (const, none))
    assert (const - none).abs().max() > 0.01


def test_both_spaces_paint_the_same_images(plugin):
    """w is what the mapping makes of z, and truncation is applied to either."""
    ours = plugin(truncation=0.6)
    z, w = (ours.latents(SEEDS, LABELS, space) for space in ours.spaces)
    assert (z.shape, w.shape) == ((4, 6), (4, 5))
    torch.testing.assert_close(
        ours.synthesize(z, LABELS, SEEDS, "z"), ours.synthesize(w, LABELS, SEEDS, "w")
    )


def test_their_seeds_are_theirs(plugin):
    """z is RandomState(seed).randn(1, z_dim), as generate.py draws it;
    beyond 2^32, where theirs ends, seeds still differ.
    """
    z = plugin(seeds="theirs").latents(torch.tensor([0, 600, 2**32 - 1]), LABELS[:3], "z").numpy()
    wanted = [np.random.RandomState(seed).randn(1, SMALL.z_dim)[0] for seed in (0, 600, 2**32 - 1)]
    np.testing.assert_array_equal(z, np.asarray(wanted, dtype=np.float32))
    far = plugin(seeds="theirs").latents(torch.tensor([0, 2**32, 2**40, 2**40 + 1]), LABELS, "z")
    assert len({tuple(row) for row in far.tolist()}) == 4


# Files


def old_state_dict(made, net):
    beside_json(made, Path("net.pth"))
    torch.save(net.state_dict(), "net.pth", _use_new_zipfile_serialization=False)
    return Path("net.pth")


def safetensors_beside_json(made, net):
    save_file(net.state_dict(), "plain.safetensors")
    Path("plain.json").write_text(json.dumps(settings_of(made)))
    return Path("plain.safetensors")


def in_stylegan3s_words(made, net):
    said = settings_of(made)
    said |= {**said.pop("synthesis_kwargs"), "fused_modconv_default": "inference_only"}
    del said["conv_clamp"]  # 256 is the default there
    return write_pickle("sg3.pkl", net, said)


FILES = {
    "pickle": lambda made, net: write_pickle("net.pkl", net, settings_of(made)),
    "pickle of another name": lambda made, net: write_pickle(
        "network-snapshot", net, settings_of(made), protocol=3
    ),
    "pickle of StyleGAN3's code": in_stylegan3s_words,
    "safetensors": saved,
    "safetensors beside JSON": safetensors_beside_json,
    "state dict beside JSON": lambda made, net: beside_json(made, Path("net.pth")),
    "old state dict beside JSON": old_state_dict,
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("architecture", FORMS)
def test_every_form_gives_the_same_images(form, architecture, here):
    """The images of a file are those of the network that was written,
    and what `state` gives reads back.
    """
    made = replace(SMALL, architecture=architecture, lr_multiplier=0.1)
    net = random_net(made)
    ours = StyleGAN2(FILES[form](made, net), noise="const")
    with torch.no_grad():
        wanted = net.synthesis(
            net.truncated(net.mapping(ours.latents(SEEDS, LABELS, "z"), LABELS), 1.0, None),
            lambda layer: layer.noise_const,
        )
    assert torch.equal(drawn(ours), wanted)
    save_file({k: v.contiguous() for k, v in ours.state().items()}, "state.safetensors")
    assert torch.equal(drawn(StyleGAN2(Path("state.safetensors"), noise="const")), wanted)
    assert not Path("owned.ed").exists()


def broken(change, **settings):
    """A file whose tensors were changed, or whose architecture says something else."""

    def make():
        tensors = random_net(SMALL).state_dict()
        change(tensors)
        save_file(
            {k: v.contiguous() for k, v in tensors.items()},
            "bad.safetensors",
            {SETTINGS: json.dumps({**settings_of(SMALL), **settings})},
        )
        return Path("bad.safetensors")

    return make


def texted(text):
    def make():
        save_file(random_net(SMALL).state_dict(), "bad.safetensors", {SETTINGS: text})
        return Path("bad.safetensors")

    return make


def as_it_is(tensors):
    pass


def stylegan3():
    made = replace(SMALL, architecture="orig")
    net = random_net(made)
    net.synthesis.input = torch.nn.Linear(2, 2)
    return write_pickle("three.pkl", net, {"z_dim": 4, "channel_base": 8, "first_cutoff": 2})


def bare():
    torch.save(random_net(SMALL).state_dict(), "bare.pth")
    return Path("bare.pth")


WRONG = {
    "another resolution": (
        broken(as_it_is, img_resolution=32),
        "'synthesis.b32.conv0.affine.bias' is missing",
    ),
    "a tensor too many": (
        broken(lambda t: t.update({"ex\x1btra\n": torch.ones(1)})),
        "has no place in it",
    ),
    "another shape": (
        broken(lambda t: t.update({"mapping.w_avg": torch.ones(4)})),
        r"'mapping.w_avg' is \[4\], not \[5\]",
    ),
    "gigabytes by its settings": (
        broken(as_it_is, w_dim=2**14),
        "is not of the architecture that it says",
    ),
    "a size that is none": (
        broken(as_it_is, img_resolution=48),
        "img_resolution='48'; wanted is a power of two",
    ),
    "too many layers": (
        broken(as_it_is, mapping_kwargs={"num_layers": 10**9}),
        "num_layers='1000000000'; wanted is a whole number, 1 to 64",
    ),
    "an unknown setting": (
        broken(as_it_is, mapping_kwargs={"dropout": 1}),
        "says 'dropout', which no StyleGAN2",
    ),
    "an activation of no published file": (
        broken(as_it_is, mapping_kwargs={"activation": "tanh"}),
        "activation='tanh'; wanted is \"lrelu\"",
    ),
    "a filter without end": (
        broken(as_it_is, synthesis_kwargs={"resample_filter": [1, 10**400]}),
        "wanted is a list of numbers from 0",
    ),
    "a filter of nothing": (
        broken(as_it_is, synthesis_kwargs={"resample_filter": [0, float("nan")]}),
        "wanted is a list of numbers from 0",
    ),
    "settings of another kind": (
        broken(as_it_is, mapping_kwargs=3),
        "its architecture is no JSON object",
    ),
    "no JSON": (texted("{"), "is not JSON"),
    "JSON without end": (texted("[" * 10**5), "is not JSON"),
    "no object": (texted("[]"), "is no JSON object"),
    "a setting left out": (texted("{}"), "does not say z_dim"),
    "no architecture": (bare, "put the JSON of its init_kwargs into bare.json beside it"),
    "StyleGAN3": (stylegan3, "is a generator of StyleGAN3"),
    "a discriminator": (
        lambda: write_pickle("d.pkl", torch.nn.Linear(2, 2), {}),
        "its G_ema is a 'Linear', not a Generator",
    ),
    "nothing": (lambda: Path("nowhere.pkl"), "does not exist"),
}


@pytest.mark.parametrize(("made", "line"), WRONG.values(), ids=WRONG)
def test_what_is_no_network_of_ours_is_refused(made, line, here):
    """One line with the file's name and what is wrong, before anything is allocated."""
    with pytest.raises(UserError, match=line) as refusal:
        StyleGAN2(made())
    assert str(refusal.value).startswith("checkpoint ")
    assert str(refusal.value).isprintable()


def test_safetensors_are_told_by_content(here):
    """Whatever its name and the length of its header, whose lowest byte is a pickle's first at one
    length in thirty-two, a safetensors file is read as one.
    """
    net, started = random_net(SMALL), set()
    for pad in range(0, 260, 8):
        save_file(
            net.state_dict(),
            "net.pkl",
            {SETTINGS: json.dumps(settings_of(SMALL)), "pad": "x" * pad},
        )
        started.add(Path("net.pkl").read_bytes()[:1])
        assert torch.equal(StyleGAN2(Path("net.pkl")).net.mapping.w_avg, net.mapping.w_avg)
    assert b"\x80" in started


def test_what_cannot_be_asked_is_refused(plugin):
    """Truncation without a mean, a cutoff below 0, and no file at all."""
    unkept = replace(SMALL, w_avg_beta=None)
    assert plugin(unkept).sample(4, SEEDS, LABELS).shape == (4, 3, 16, 16)
    with pytest.raises(UserError, match="does not keep the mean of its w"):
        plugin(unkept, truncation=0.7)
    with pytest.raises(UserError, match="counts layers, from 0"):
        plugin(cutoff=-1)
    with pytest.raises(UserError, match="stylegan2 needs weights: --checkpoint FILE"):
        StyleGAN2()


# Through the harness


def test_a_pickle_is_converted(cli, here):
    """`genbench convert` writes the same tensors and settings as safetensors, paints the same,
    says whose child it is, and overwrites nothing.
    """
    net = random_net(SMALL)
    path = write_pickle("net.pkl", net, settings_of(SMALL))
    status, out, err = cli("convert", path, "net.safetensors")
    assert (status, out.split(":")[0], len(out.splitlines())) == (0, "net.safetensors", 1), err
    assert f"G_ema of net.pkl (SHA-256 {file_sha256(path)})" in out
    assert out.strip().endswith(f"SHA-256 {file_sha256(Path('net.safetensors'))}")
    assert torch.equal(drawn(StyleGAN2(Path("net.safetensors"))), drawn(StyleGAN2(path)))
    with safe_open("net.safetensors", "pt") as file:
        assert json.loads(file.metadata()["init_kwargs"]) == settings_of(SMALL)
        assert json.loads(file.metadata()["genbench"])["parent"] == file_sha256(path)
    for given, line in (
        ((path, "net.safetensors"), "is there already; remove it, choose another name, or --force"),
        ((path, "net.pt"), "name it net.safetensors"),
        (("net.json", "a.safetensors"), "not a file"),
        (("--plugin", "noise", path, "a.safetensors"), "noise has no `state` hook"),
        (("--plugin", "jit", path, "a.safetensors"), "jit has no `state` hook"),
        (("--plugin", "stylegan", path, "a.safetensors"), "did you mean stylegan2"),
        (
            ("--network", "G", "net.safetensors", "a.safetensors"),
            "--network names one of a pickle's",
        ),
        (
            ("--network", "D", path, "a.safetensors"),
            "checkpoint net.pkl cannot be read as NVIDIA's pickle: it holds no network D",
        ),
    ):
        status, _, err = cli("convert", *given)
        assert (status, len(err.strip().splitlines())) == (2, 1)
        assert line in err
    assert not Path("a.safetensors").exists()


def test_a_conversion_overwrites_where_it_is_told_to(cli, here):
    path = write_pickle("net.pkl", random_net(SMALL), settings_of(SMALL))
    Path("net.safetensors").write_text("old")
    assert cli("convert", "--force", path, "net.safetensors")[0] == 0
    assert torch.equal(drawn(StyleGAN2(Path("net.safetensors"))), drawn(StyleGAN2(path)))
    Path("folder.safetensors").mkdir()
    assert "is there already" in cli("convert", "--force", path, "folder.safetensors")[2]
    torch.save({"weight": torch.ones(1)}, "other.pt")
    status, _, err = cli("convert", "--force", "other.pt", "net.safetensors")
    assert (status, "another generator's: --plugin NAME" in err) == (2, True)
    assert torch.equal(drawn(StyleGAN2(Path("net.safetensors"))), drawn(StyleGAN2(path)))


def test_it_conforms(here):
    """Every check passes with random weights, but for labels, which nobody can recognise."""
    made = replace(SMALL, c_dim=10, img_channels=1)
    net = random_net(made)
    net.synthesis.b16.torgb.weight.mul_(0.02)
    for block in (net.synthesis.b4, net.synthesis.b8):
        block.torgb.weight.mul_(0.02)
        block.torgb.bias.zero_()
    results = {r.check: r for r in check(locate("stylegan2"), checkpoint=saved(made, net))}
    assert {
        name: r.came
        for name, r in results.items()
        if r.verdict != "pass" and name not in ("labels", "reconstruct")
    } == {}


@pytest.mark.parametrize("dataset", ["digits", "photos"])
def test_a_few_steps_of_training(dataset, here, cli):
    """`genbench train` makes a network for the digits' own pixels, and for a folder's at its size;
    it can be drawn from, and trained on from there.
    """
    if dataset == "photos":
        for i, pixels in enumerate(
            np.random.default_rng(0).integers(256, size=(8, 16, 16, 3), dtype=np.uint8)
        ):
            Path("photos").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(f"photos/{i}.png")
    words = ("-p", "stylegan2", "-d", dataset if dataset == "digits" else "./photos")
    status, _, err = cli(
        "train", *words, "-O", "few.safetensors", "--steps", "9", "--batch-size", "8"
    )
    assert status == 0, err
    ours = StyleGAN2(Path("few.safetensors"))
    labels = LABELS if ours.made.c_dim else LABELS * 0
    assert (ours.made.c_dim, ours.made.img_resolution) == (
        (10, 8) if dataset == "digits" else (0, 16)
    )
    images = ours.sample(4, SEEDS, labels)
    assert images.shape == ((4, 1, 32, 32) if dataset == "digits" else (4, 3, 16, 16))
    assert ours.net.mapping.w_avg.abs().max() > 0
    status, _, err = cli(
        "train",
        *words,
        "-O",
        "more.safetensors",
        "--init",
        "few.safetensors",
        "--steps",
        "1",
        "--batch-size",
        "8",
        "--augment",
        "diffaug",
    )
    assert status == 0, err
    before, after = (load_file(name) for name in ("few.safetensors", "more.safetensors"))
    moved = {
        name: float((after[name].float() - before[name].float()).abs().max()) for name in before
    }
    assert 0 < moved["discriminator.start.weight"] < 0.1
    # a step from where it was, not a new network
    assert 0 < moved["synthesis.b4.conv1.weight"] < 0.1


def test_r1_is_the_squared_slope(here):
    """Of a discriminator that is linear in the pixels the penalty is half of gamma times the
    squared length of its weights, and of none in what is shown.
    """
    weights = torch.arange(4.0).reshape(1, 1, 2, 2)
    x, labels = torch.randn(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64)

    def linear(images, _):
        return (images * weights).sum((1, 2, 3))

    assert float(penalty(linear, x.clone(), labels, lambda images: images)) == pytest.approx(
        GAMMA / 2 * 14
    )
    assert float(penalty(linear, x.clone(), labels, lambda images: 2 * images)) == pytest.approx(
        GAMMA / 2 * 56
    )


def test_the_groups_deviation_is_seen(here):
    """Equal images of a group deviate by nothing, others by their standard deviation over the
    group, and every image of a group is told the same.
    """
    # the k-th of a group is image k, k + n/4, ...: equal neighbours lie in other groups
    x = torch.randn(4, 2, 3, 3).repeat_interleave(2, 0)
    found = deviation(x)
    grouped = x.reshape(4, 2, 2, 3, 3).double()
    wanted = ((grouped - grouped.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    assert found.shape == (8, 1, 3, 3)
    for i in range(8):
        assert (
            float(found[i].min())
            == float(found[i].max())
            == pytest.approx(float(wanted[i % 2]), rel=1e-5)
        )
    assert float(deviation(torch.ones(8, 2, 3, 3)).max()) == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("seeds", ["ours", "theirs"])
def test_path_lengths_are_those_of_the_path(space, seeds, here):
    """Two images at a distance of 1e-4 on a path differ by little and not by nothing:
    noise and class are the pair's, the other end another seed's.
    """
    made = replace(SMALL, c_dim=10, img_channels=1)
    description = locate("stylegan2")
    options = words.chosen([f"seeds={seeds}"], description.options, "stylegan2")
    generator = construct(
        description,
        options,
        saved(made, random_net(made)),
        "cpu",
        registry.find("datasets", "digits"),
    )
    for where in ("full", "end"):
        pairs = Pairs(space, "slerp_unit" if space == "z" else "lerp", where, 1e-4, False, 0)
        one, other = generator.pair(np.arange(4), 0, np.arange(4), pairs)
        assert one.shape == (4, 3, 16, 16)
        assert all(1e-5 < float(d.abs().max()) < 0.5 for d in one - other)


def test_classes_are_the_checkpoints(cli, here):
    """A network of other classes than the data set's is refused;
    an unconditional one is asked for no classes, and no number of classes is made of it.
    """
    settings = replace(SMALL, img_channels=1)
    three, none = (
        saved(made, random_net(made), f"{made.c_dim}.safetensors")
        for made in (settings, replace(settings, c_dim=0))
    )
    words = (
        "run",
        "--plugin",
        "stylegan2",
        "--n",
        "40",
        "--leaderboards",
        "none",
        "--json",
        "--metrics",
        "fd,label_accuracy",
    )
    status, _, err = cli(*words, "--checkpoint", three)
    assert (status, "stylegan2 has 3 classes, the data set digits 10" in err) == (2, True)
    status, out, err = cli(*words, "--checkpoint", none)
    assert status == 0, err
    assert {
        row["metric"]: row["status"] for row in json.loads(out)["scores"] if row["part"] == "all"
    } == {
        "fd_digits": "ok",
        "label_accuracy_digits": "skipped",
    }
    verdicts = {r.check: r.verdict for r in check(locate("stylegan2"), checkpoint=none)}
    assert (verdicts["labels"], verdicts["batch size"], verdicts["checkpoint"]) == (
        "skip",
        "pass",
        "pass",
    )
    status, out, err = cli("plugins", "stylegan2", "--json")
    assert (status, "classes" in json.loads(out)) == (0, False), err


def test_published_weights_are_named(cli, here, monkeypatch):
    """A data set that NVIDIA's files are of ends in one line:
    the file's address, where to put it, how else it is given; there it is found, its hash held.
    """
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    monkeypatch.setenv("GENBENCH_HOME", str(here / "home"))
    status, out, err = cli("run", "--plugin", "stylegan2", "--dataset", "cifar10")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert (
        "put stylegan2-cifar10.pkl from "
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/cifar10.pkl into "
        f"{here}/home/weights"
    ) in err
    assert "or name it: --checkpoint PATH" in err
    place = here / "home" / "weights" / "stylegan2-cifar10.pkl"
    place.parent.mkdir(parents=True)
    made = replace(SMALL, c_dim=10)
    write_pickle(place, random_net(made), settings_of(made))
    description, dataset = locate("stylegan2"), registry.find("datasets", "cifar10")
    assert checkpoint_of(description, dataset, None) == place
    write_pickle(place, random_net(made, 1), settings_of(made))
    with pytest.raises(
        UserError,
        match=(
            r"stylegan2-cifar10.pkl has SHA-256 .*the first one seen.*; remove it, or use it by "
            r"name: --checkpoint "
        ),
    ):
        checkpoint_of(description, dataset, None)
