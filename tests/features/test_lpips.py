"""The LPIPS extractors: squared distances of phi are lpips' and torchmetrics' distances,
on every backbone, with the published heads.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import genbench
from genbench._util.errors import UserError
from genbench._util.hashing import file_sha256
from genbench.api import _registry as registry
from genbench.api.metric_inputs import Arrays
from genbench.api.validation import source_of
from genbench.io import weights
from genbench.per_class import compute_from_run

NETS = ("alex", "vgg", "squeeze")
SIZES = {"alex": 64, "vgg": 24, "squeeze": 48}
MD5 = {
    "alex": "9642209e2b57a85d20f86d812320f9e6",
    "squeeze": "6361044f0470b81956528320db0ba955",
    "vgg": "d507d7349b931f0638a25a48a722f98a",
}


SPOTS = """
import torch
import genbench

@genbench.hookimpl
def sample(n, seeds, labels):
    rough = genbench.uniform(seeds, (3, 6, 6), device="cpu") * (1 + labels[:, None, None, None]) / 10
    return (torch.nn.functional.interpolate(rough, size=({size}, {size}), mode="bilinear") * 255).round().to(torch.uint8)
"""  # noqa: E501


def row(net):
    return registry.find("extractors", f"lpips-{net}")


@pytest.fixture(scope="module")
def trunks(tmp_path_factory):
    """{net: a file of random weights in torchvision's format}, of He's scale,
    so that features are as long as those of the published weights, not 1e-3.
    """
    import torchvision.models as tv

    torch.manual_seed(0)
    files = {}
    for net, build in (("alex", tv.alexnet), ("vgg", tv.vgg16), ("squeeze", tv.squeezenet1_1)):
        with torch.device("meta"):
            whole = build(weights=None)
        state = {}
        for key, parameter in whole.state_dict().items():
            if key.startswith("features."):
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 0
                state[key] = (
                    torch.randn(parameter.shape) * (2 / fan_in) ** 0.5
                    if fan_in
                    else 0.1 * torch.randn(parameter.shape)
                )
        state["classifier.1.bias"] = torch.zeros(1)  # the classes, which LPIPS does not need
        files[net] = tmp_path_factory.mktemp("trunks") / f"{net}.pth"
        torch.save(state, files[net])
    return files


@pytest.fixture(scope="module")
def loaded(trunks):
    return {net: row(net).load("cpu", trunks[net]) for net in NETS}


def pictures(n, size, seed=1):
    """Blurred noise at several contrasts, uint8 [n, 3, size, size]."""
    random = torch.Generator().manual_seed(seed)
    rough = torch.rand(n, 3, size // 4, size // 4, generator=random)
    smooth = nn.functional.interpolate(rough, size=(size, size), mode="bilinear")
    noise = 0.2 * torch.rand(n, 3, size, size, generator=random)
    return ((smooth + noise) / 1.2 * 255).round().to(torch.uint8)


def with_trunk(peer, state):
    """A peer's LPIPS with our random trunk in place of its own;
    behind the names of its slices it keeps torchvision's numbers.
    """
    own = {
        key: next(
            state[name]
            for name in (
                "features." + part for part in (key.split(".", 1)[1], key.split(".", 2)[2])
            )
            if name in state
        )
        for key in peer.net.state_dict()
    }
    peer.net.load_state_dict(own)
    return peer.eval()


def lpips_of(net, trunk):
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on `pretrained=`
        peer = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    return with_trunk(peer, torch.load(trunk, weights_only=True))


def torchmetrics_of(net, trunk):
    from torchmetrics.functional.image.lpips import _LPIPS

    return with_trunk(_LPIPS(net=net, pnet_rand=True), torch.load(trunk, weights_only=True))


def all_pairs(peer, images):
    """A peer's distance of every pair i < j, float64 [n (n - 1) / 2]."""
    scaled = images.float() / 127.5 - 1
    i, j = torch.tensor(list(itertools.combinations(range(len(images)), 2))).T
    with torch.no_grad():
        return torch.cat(
            [
                peer(scaled[a], scaled[b]).flatten()
                for a, b in zip(i.split(64), j.split(64), strict=True)
            ]
        ).double()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("peer", [lpips_of, torchmetrics_of])
def test_distances_are_the_peers(trunks, loaded, net, peer):
    """Over all 496 pairs of 32 images the squared distances of phi are the peer's LPIPS,
    each and in the mean, to 1e-6 of it.
    """
    images = pictures(32, SIZES[net])
    phi = loaded[net](images)["phi"].double()
    ours = torch.nn.functional.pdist(phi).square()
    theirs = all_pairs(peer(net, trunks[net]), images)
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), rel=1e-6)
    assert ours.min() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=0)


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_images_are_taken_as_they_are_and_smaller_ones_enlarged(trunks, loaded, net):
    """Down to the size that lpips itself can take nothing is resized;
    below it lpips fails and ours enlarges to 32 pixels, and says so in the row.
    """
    smallest = {"alex": 31, "vgg": 16, "squeeze": 17}[net]
    peer = lpips_of(net, trunks[net])
    x = torch.randint(
        256,
        (2, 3, smallest, smallest + 3),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(3),
    )
    phi = loaded[net](x)["phi"].double()
    assert (phi[0] - phi[1]).square().sum().item() == pytest.approx(
        all_pairs(peer, x).item(), rel=1e-5
    )
    below = x[:, :, :-1]
    with pytest.raises(RuntimeError):
        all_pairs(peer, below)
    enlarged = nn.functional.interpolate(
        below.float(),
        size=[round(side * 32 / below.shape[2]) for side in below.shape[2:]],
        mode="bilinear",
    )
    torch.testing.assert_close(
        loaded[net](below)["phi"], loaded[net](enlarged)["phi"], rtol=1e-3, atol=1e-5
    )
    assert str(smallest) in row(net).resize


@pytest.mark.parametrize("net", NETS)
def test_rows_are_independent_and_float_images_are_taken_unrounded(loaded, net):
    """An image's phi is float32, does not depend on its batch,
    is as wide as the row promises (0: it depends on the size), and sees halves of grey levels.
    """
    images = pictures(4, SIZES[net])
    phi = loaded[net](images)["phi"]
    assert row(net).outputs == {"phi": 0}
    assert phi.dtype == torch.float32
    assert not phi.requires_grad
    torch.testing.assert_close(
        torch.cat([loaded[net](one[None])["phi"] for one in images]), phi, rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(loaded[net](images.float())["phi"], phi)
    assert (loaded[net](images.float() + 0.5)["phi"] - phi).abs().max() > 1e-5


@pytest.mark.parametrize("size", [32, 48])
def test_sampled_pairs_of_a_run_are_the_peers(trunks, tmp_path, size):
    """StarGAN v2's and BicycleGAN's diversity of a run on LPIPS, which keeps no rows:
    lpips' own distances of the same pairs of its images.
    """
    (tmp_path / "spots.py").write_text(SPOTS.format(size=size))
    names = ("lpips_diversity_starganv2", "lpips_diversity_bicyclegan")
    words = {
        "metrics": names,
        "n": 240,
        "weights": f"lpips-alex={trunks['alex']}",
        "out": tmp_path / "runs",
    }
    record = genbench.evaluate(tmp_path / "spots.py", **words)
    found = {score.metric: score for score in record.scores}
    i = torch.arange(240)
    images = registry.module_of(tmp_path / "spots.py").sample(240, i, i % 10)
    own, peer = [images[i % 10 == c] for c in range(10)], lpips_of("alex", trunks["alex"])
    groups = torch.stack(
        [
            torch.stack(
                [all_pairs(peer, part).mean() for part in (of[:10], of[10:20], of[20:])]
            ).mean()
            for of in own
        ]
    )
    scaled = [of.float() / 127.5 - 1 for of in own]
    with torch.no_grad():
        consecutive = torch.stack([peer(of[:-1], of[1:]).double().mean() for of in scaled])
    assert found[names[0]].value == pytest.approx(groups.mean().item(), rel=1e-6)
    assert found[names[1]].value == pytest.approx(consecutive.mean().item(), rel=1e-6)
    for score in found.values():
        assert score.status == "ok"
        assert 0 < score.low < score.value < score.high
        assert len(score.left_out) == 20
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    (tmp_path / "runs" / record.id / "run.json").unlink()
    assert genbench.evaluate(tmp_path / "spots.py", **words).scores == record.scores
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")
    } == files


def test_sampled_pairs_need_classes_and_kept_images(trunks, tmp_path, monkeypatch):
    """A generator without labels, and a run that keeps no images,
    are each told so before anything is drawn.
    """
    (tmp_path / "plain.py").write_text(
        "import torch, genbench\n\n@genbench.hookimpl\n"
        "def sample(n):\n    return torch.zeros(n, 3, 32, 32, dtype=torch.uint8)\n"
    )
    (tmp_path / "spots.py").write_text(SPOTS.format(size=32))
    words = {
        "metrics": "lpips_diversity_starganv2",
        "n": 40,
        "weights": f"lpips-alex={trunks['alex']}",
        "out": tmp_path / "runs",
    }
    with pytest.raises(UserError, match=r"plain takes no labels"):
        genbench.evaluate(tmp_path / "plain.py", **words)
    monkeypatch.setattr("genbench.runs.planning.plan.KEPT", 0)
    with pytest.raises(UserError, match=r"would not keep them: --save-samples"):
        genbench.evaluate(tmp_path / "spots.py", **words)
    assert (
        genbench.evaluate(tmp_path / "spots.py", save_samples=True, **words).scores[0].status
        == "ok"
    )


def test_the_class_table_has_real_images_lpips(trunks, tmp_path, monkeypatch):
    """LPIPS by class stands beside that of the class's real images, by lpips' own distances;
    weights named by hand are not looked for again, which is said.
    """
    (tmp_path / "spots.py").write_text(SPOTS.format(size=32))
    words = {
        "metrics": ("kd", "lpips_diversity"),
        "n": 200,
        "weights": f"lpips-alex={trunks['alex']}",
        "out": tmp_path / "runs",
    }
    record = genbench.evaluate(tmp_path / "spots.py", **words)
    row = compute_from_run.table_of(record).rows[4]
    assert row["diversity_low"] < row["diversity"] < row["diversity_high"]
    assert row["diversity_real"] is None
    assert any("weights of lpips-alex are not where" in note for note in row["notes"])

    known = weights.find(
        registry.find("extractors", "lpips-alex").weights, tmp_path, {"lpips-alex": trunks["alex"]}
    )
    find = weights.find
    monkeypatch.setattr(
        weights, "find", lambda of, *rest: known if of.name == "lpips-alex" else find(of, *rest)
    )
    row = compute_from_run.table_of(record).rows[4]
    dataset = registry.find("datasets", "digits")
    splits = next(iter(record.plan["protocols"].values()))["real"]
    fours = torch.cat(
        [images[labels == 4] for split in splits for images, labels in dataset.open(split)]
    )[:100]
    wanted = all_pairs(lpips_of("alex", trunks["alex"]), fours).mean().item()
    assert row["diversity_real_low"] < wanted < row["diversity_real_high"]
    assert row["diversity_real"] == pytest.approx(wanted, rel=0.02)
    assert not any(note.startswith("diversity") for note in row["notes"])


def test_widths(loaded):
    """phi of a 32 x 32 image is 5,760 wide under AlexNet and 124,928 under VGG16."""
    images = pictures(1, 32)
    assert loaded["alex"](images)["phi"].shape == (1, 5760)
    assert loaded["vgg"](images)["phi"].shape == (1, 124928)


@pytest.mark.parametrize("net", NETS)
def test_heads_are_the_published_ones(net):
    """The heads of the installed package are those of LPIPS 0.1 by the MD5 that
    PerceptualSimilarity's users quote, none is negative, and ours reads them.
    """
    import lpips

    path = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    leaf = __import__("genbench.features.extractors.lpips", fromlist=["heads"])
    assert hashlib.md5(path.read_bytes()).hexdigest() == MD5[net]  # noqa: S324
    assert leaf.HEADS[net] == file_sha256(path)
    assert min(float(w.min()) for w in leaf.heads(net)) >= 0


def test_changed_heads_are_refused(monkeypatch):
    """Another version of the package, whose heads differ, is refused with both hashes
    and the remedy.
    """
    leaf = __import__("genbench.features.extractors.lpips", fromlist=["heads"])
    monkeypatch.setitem(leaf.HEADS, "alex", "0" * 64)
    with pytest.raises(
        UserError,
        match=(
            r"alex\.pth has SHA-256 df73285e\w* instead of 0{64}: pip install --force-reinstall "
            r"lpips==0\.1\.4"
        ),
    ):
        leaf.heads("alex")


def test_another_networks_weights_are_refused(trunks):
    """A file of another network is a line that names the file and the first key that does not fit,
    and nothing is downloaded.
    """
    with pytest.raises(UserError, match="features"):
        row("alex").load("cpu", trunks["vgg"])


def test_rows_name_their_files():
    """Each row's file is torchvision's published one: its URL and the hash that begins as its name
    ends; and each row's code is found in its file.
    """
    import torchvision.models as tv

    urls = {
        "alex": tv.AlexNet_Weights,
        "vgg": tv.VGG16_Weights,
        "squeeze": tv.SqueezeNet1_1_Weights,
    }
    for net in NETS:
        (file,) = row(net).weights.files
        assert file.url == urls[net].IMAGENET1K_V1.url
        assert file.sha256.startswith(file.file[-12:-4])
        assert source_of(row(net).load).name == "lpips.py"


def test_eight_bits_at_a_small_epsilon_measure_rounding(loaded):
    """A smooth toy generator's path length: float images give the same at steps 1e-4 and 1e-2;
    rounded to 8 bits it is more than ten times that at 1e-4.
    """
    random = torch.Generator().manual_seed(0)
    basis = nn.functional.interpolate(
        torch.randn(8, 3, 8, 8, generator=random), size=(64, 64), mode="bicubic"
    ).flatten(1)
    z, other = torch.randn(2, 40, 8, generator=random)

    def length(epsilon, rounded):
        shown = [
            127.5 * (1 + torch.tanh(0.3 * ends @ basis)).reshape(-1, 3, 64, 64)
            for ends in (z, z + epsilon * (other - z))
        ]
        a, b = (
            loaded["alex"](images.round() if rounded else images)["phi"].double()
            for images in shown
        )
        pairs = (a - b).square().sum(1).numpy() / epsilon**2
        return registry.find("metrics", "path_length").value(Arrays({"pairs": pairs}))

    smooth = length(1e-4, False)
    assert length(1e-2, False) == pytest.approx(smooth, rel=0.05)
    assert length(1e-4, True) > 10 * smooth
    assert length(1e-2, True) < 3 * smooth
