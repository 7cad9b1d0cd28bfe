"""What decides an extractor's features is known by more than its code:
the precision of a run, the version of the package whose network it is.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json

import pytest
import torch
from helpers.places import ROOT

import genbench
import genbench.features.extractors.inception as leaf
from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.extractor import PRECISIONS, Extractor
from genbench.api.validation import RowError
from genbench.features import extractor_identity as used_by
from genbench.features import extractor_versions, numeric_precision
from genbench.features.extractors._inception_files import WEIGHTS

OWN = """
from genbench.api import torch
from genbench.api import Extractor, Measure, Protocol

def load(device, *, precision="float32", images=0):
    def extract(batch):
        rows = (batch.float() / 255).to(torch.bfloat16 if precision == "bfloat16" else torch.float32).float()
        return {"rows": rows.mean((1, 3)), "told": torch.full((len(batch), 1), float(images))}
    return extract

ROUGH = Extractor(
    name="rough", title="means of rows", outputs={"rows": 32, "told": 1}, size=32, resize="none", weights=None, trained_on="nothing", load=load,
    precisions=("float32", "bfloat16"), package="pluggy",
)
PROTOCOL = Protocol(
    name="rough", title="t", dataset="any", n=40, labels="balanced", quantise="round",
    measures=(Measure("fd", "rough.rows", "heldout", name="fd"), Measure("kd", "digits.pool", "heldout", name="kd")),
)
"""  # noqa: E501
TOLD = """
from genbench.api import Measure, Metric, Protocol

def first(arrays):
    return float(arrays["samples"][0, 0])

FIRST = Metric(name="first", title="t", needs=("samples",), better="lower", range=(0, 1e9), interval="jackknife", value=first, paper="none")
TOLD = Protocol(name="told", title="t", dataset="any", n=40, labels="balanced", quantise="round", measures=(Measure("first", "rough.told"),))
"""  # noqa: E501


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def ran(cli, own, *words):
    status, out, err = cli(
        "run", "--plugin", "noise", "--with", own, "--protocol", "rough", "--json", *words
    )
    assert status == 0, err
    return json.loads(out)


def identity(found, name="rough"):
    return found["plan"]["protocols"]["rough"]["extractors"][name]


def test_a_precision_is_part_of_what_the_numbers_are(cli, here, own):
    """The same run in float32 and in bfloat16: other numbers,
    from features of their own on both sides; the record says which; back again, the first.
    """
    exact = ran(cli, own)
    rough = ran(cli, own, "--feature-precision", "bfloat16")
    again = ran(cli, own)
    assert exact["id"] == rough["id"]
    values = [
        next(s["value"] for s in found["scores"] if s["metric"] == "fd")
        for found in (exact, rough, again)
    ]
    assert values[0] == values[2] != values[1] == pytest.approx(values[0], rel=0.01)
    assert (identity(rough)["precision"], "precision" in identity(exact)) == ("bfloat16", False)
    assert identity(rough)["code"] != identity(exact)["code"]
    assert extractor_versions.seal_of(identity(rough)) != extractor_versions.seal_of(
        identity(exact)
    )


def test_another_precision_is_a_ruler_only(cli, here, own):
    """Its numbers carry a flag, are said to be a ruler only and enter no board;
    the number of an extractor without it is skipped with the reason.
    """
    status, out, err = cli(
        "run",
        "--plugin",
        "noise",
        "--with",
        own,
        "--protocol",
        "rough",
        "--feature-precision",
        "bfloat16",
    )
    assert status == 0, err
    assert "40 samples · ruler only" in out
    assert "* fd: features in bfloat16" in out
    assert (
        "kd skipped: extractor digits computes in float32 alone: "
        "leave out --feature-precision bfloat16"
    ) in out
    assert not list(here.glob("leaderboards/*"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("bfloat16",),
            (
                "protocol digits: extractor digits computes in float32 alone: "
                "leave out --feature-precision bfloat16"
            ),
        ),
        (
            ("float16", "--device", "cpu"),
            (
                "--feature-precision float16 needs --device cuda; on a processor there are "
                "float32 and bfloat16"
            ),
        ),
        (
            ("tf32", "--device", "cpu"),
            (
                "--feature-precision tf32 needs --device cuda; on a processor there are "
                "float32 and bfloat16"
            ),
        ),
        (("bfloat", "--device", "cpu"), "--feature-precision bfloat: did you mean bfloat16"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cli, here, words, line):
    """An extractor without the option, a device that cannot, and an unknown word:
    exit 2 before anything is drawn.
    """
    status, out, err = cli(
        "run", "--plugin", "noise", "--dataset", "digits", "--feature-precision", *words
    )
    assert (status, out) == (2, "")
    assert err.startswith(f"genbench: {line}")
    assert err.count("\n") == 1
    assert not (here / "runs").exists()


def test_a_graphics_card_can_all_of_them():
    """Every precision is possible there."""
    assert [numeric_precision.possible(one, "cuda:1") for one in PRECISIONS] == list(PRECISIONS)


def test_a_row_names_known_precisions():
    """A row that leaves out float32, or invents one, is refused."""
    for wrong in (("bfloat16",), ("float32", "int8")):
        with pytest.raises(RowError, match="precisions are float32 and others"):
            Extractor(
                "a",
                "a",
                {"pool": 1},
                1,
                "none",
                None,
                "nothing",
                lambda device: None,
                precisions=wrong,
            )


def test_a_network_is_told_how_many_images_a_run_has(here, own):
    """load may name `images`: 40 samples, 40."""
    registry.add_file(own)
    (here / "told.py").write_text(TOLD)
    registry.add_file(here / "told.py")
    (score,) = genbench.evaluate("noise", protocols=("told",), out=here / "runs").scores
    assert score.value == 40


# Versions of packages


def test_a_package_is_part_of_what_the_features_are(cli, here, own, monkeypatch, home):
    """The record names package and version; under another version the real features are computed
    anew, and on the board the older entry is not ranked.
    """
    here_now = f"pluggy {importlib.metadata.version('pluggy')}"
    assert identity(ran(cli, own))["package"] == here_now
    before = set((home / "features").glob("*rough.rows*"))
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99.0" if name == "pluggy" else real(name)
    )
    found = ran(cli, own, "--seed", "1")
    assert identity(found)["package"] == "pluggy 99.0"
    assert set((home / "features").glob("*rough.rows*")) - before
    status, out, _ = cli("leaderboard", "digits-rough", "--all", "--format", "csv")
    assert (status, sorted(line.split(",")[3] for line in out.splitlines()[1:])) == (
        0,
        ["False", "True"],
    )


def test_an_extractor_of_nobodys_package_is_identified_by_weights_and_version():
    """The digits extractor, whose entries are committed: what they say of its code, a hash then,
    is what its version means today.
    """
    row = registry.find("extractors", "digits")
    used = used_by.Used(
        "weights", extractor_versions.version_of(row), package=used_by.package_of(row)
    ).identity()
    committed = json.loads(next(ROOT.glob("leaderboards/digits/entries/*.json")).read_text())
    assert used == {"weights": "weights", "code": "digits/1"}
    then = committed["plan"]["protocols"]["digits"]["extractors"]["digits"]["code"]
    assert (extractor_versions.seal_of(used), extractor_versions.earlier_seal_of(used)) == (
        "v1",
        then[:16],
    )
    assert extractor_versions.of_hash("digits", then) == "digits/1"


def test_every_network_of_a_package_says_so():
    """A built-in extractor whose file builds a network of timm or torchvision names that package,
    and no other does.
    """
    for name, row in registry.every("extractors").items():
        source = inspect.getsource(inspect.getmodule(row.load))
        wanted = (
            "torchvision"
            if "torchvision_models" in source
            else "timm"
            if "vision_transformer" in source
            else ""
        )
        assert row.package == wanted, name


# The Inception's network


def test_the_network_can_be_compiled(monkeypatch):
    """It is one graph to torch's tracer, oneDNN's own operators aside,
    and gives the same features.
    """
    monkeypatch.setattr(leaf, "_has_fused", lambda dtype: False)  # as on a graphics card
    weights = {
        conv.name: (
            torch.randn(conv.width, conv.into, *conv.kernel) * 0.03,
            torch.zeros(conv.width),
        )
        for conv in leaf.convolutions()
    }
    plain, images = (
        leaf.network({**weights, "fc": (torch.randn(1008, 2048), torch.zeros(1008))}, "cpu"),
        torch.rand(1, 3, 299, 299),
    )
    with torch.no_grad():
        found = torch.compile(plain, backend="eager", fullgraph=True)(images)
        for output, features in plain(images).items():
            torch.testing.assert_close(found[output], features, rtol=1e-5, atol=1e-5)


def test_a_network_that_cannot_be_compiled_runs_as_it_is(monkeypatch, capsys):
    """The first call says so in one line, later ones nothing, and all have their features."""

    def broken(forward):
        def call(images):
            raise RuntimeError("no compiler\nsecond line")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    ready = numeric_precision.compiled(lambda images: {"pool": images + 1}, "inception")
    for _ in range(2):
        assert ready(torch.ones(2))["pool"].tolist() == [2, 2]
    assert capsys.readouterr().err == (
        "inception runs uncompiled, as this machine cannot compile it: RuntimeError: no compiler\n"
    )


def test_only_many_images_on_a_graphics_card_are_worth_compiling():
    """Not on a processor, not for a few."""
    asked = [("cuda", 20_000), ("cuda:1", 50_000), ("cuda", 19_999), ("cpu", 50_000)]
    assert [numeric_precision.worth_compiling(*one) for one in asked] == [True, True, False, False]


def test_tf32_is_on_while_the_network_runs_and_not_after(monkeypatch):
    """Whatever it was before, and also when the network raises."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert numeric_precision.with_tf32(lambda images: torch.backends.cudnn.allow_tf32)(None) is True
    assert torch.backends.cudnn.allow_tf32 is False
    with pytest.raises(ZeroDivisionError):
        numeric_precision.with_tf32(lambda images: 1 / 0)(None)
    assert torch.backends.cudnn.allow_tf32 is False


def test_half_precision_without_its_instructions_says_that_it_is_slow(monkeypatch, capsys):
    """One line on such a processor, none on another, nor for float32."""
    monkeypatch.setattr(numeric_precision, "_has_bfloat16", lambda: False)
    numeric_precision.says_slow("bfloat16", "cpu")
    assert capsys.readouterr().err == (
        "bfloat16: this processor has no instructions for it, so it is slower than float32 here\n"
    )
    for one, device in (("float32", "cpu"), ("bfloat16", "cuda")):
        numeric_precision.says_slow(one, device)
    monkeypatch.setattr(numeric_precision, "_has_bfloat16", lambda: True)
    numeric_precision.says_slow("bfloat16", "cpu")
    assert capsys.readouterr().err == ""


def test_every_row_of_the_inception_takes_every_precision():
    """The rows of one file of weights say which precisions they have,
    and their load names the option.
    """
    rows = [row for row in registry.every("extractors").values() if row.weights is WEIGHTS]
    assert len(rows) == 6
    for row in rows:
        assert row.precisions == PRECISIONS
        assert {"precision", "images"} <= set(inspect.signature(row.load).parameters)


def test_no_such_word_from_python(here):
    """evaluate takes the option by its name."""
    with pytest.raises(UserError, match="--feature-precision half"):
        genbench.evaluate("noise", feature_precision="half", out=here / "runs")
