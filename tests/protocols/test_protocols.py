"""The protocols: every row names things that exist,
and each says what sets its paper's code apart.
"""

from __future__ import annotations

import inspect

import pytest

from genbench.api import _registry as registry
from genbench.api.metric import Measure
from genbench.api.metric_inputs import NEEDS
from genbench.api.protocol import Protocol

ROWS: dict[str, Protocol] = registry.every("protocols")
PAPERS = [
    "ttur",
    "pytorch-fid",
    "torch-fidelity",
    "clean",
    "adm",
    "stylegan2-ada",
    "edm",
    "edm2",
    "dgm-dinov2",
    "torchmetrics",
    "studiogan",
    "biggan-pytorch",
    "diffaugment-test10k",
    "cmmd",
]
LEGACY = [
    registry.find("measures", name) for name in ("ppl_zfull", "ppl_wfull", "ppl_zend", "ppl_wend")
]
MEASURES = [
    pytest.param(one, id=f"{name}:{one.name}") for name, row in ROWS.items() for one in row.measures
]
MEASURES += [pytest.param(one, id=one.name) for one in LEGACY]


def of(protocol: str, name: str) -> Measure:
    return next(one for one in ROWS[protocol].measures if one.name == name)


def test_every_paper_has_its_row():
    """The fourteen protocols of the field stand on the shelf,
    each with the paper and with a distance first.
    """
    assert set(PAPERS) <= set(ROWS)
    assert all(ROWS[name].paper and ROWS[name].dataset == "any" for name in PAPERS)
    assert {ROWS[name].measures[0].metric for name in PAPERS} == {"fd", "mmd"}


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_names_what_exists(measure):
    """Its metric and its features stand on their shelves, and the extractor has the output."""
    metric = registry.find("metrics", measure.metric)
    extractor, _, output = measure.features.partition(".")
    width = registry.find("extractors", extractor).outputs[output]
    assert width > 0 or not set(metric.needs) - {"sums", "pairs", "ahead", "labels"}, (
        "rows too wide to keep"
    )
    assert ("pairs" in metric.needs) == (measure.pairs is not None)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_is_held_against_something_exactly_if_its_metric_needs_a_reference(measure):
    """A reference is named where the metric has that side, and nowhere else."""
    needs = registry.find("metrics", measure.metric).needs
    assert bool(measure.reference) == any(NEEDS[need] == "reference" for need in needs)
    assert measure.reference or not (measure.reference_n or measure.mirrored)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_constant_is_a_keyword_of_the_metric(measure):
    """A protocol's constants are keyword arguments of the metric's value, and of its left_out,
    and of the default's kind.
    """
    metric = registry.find("metrics", measure.metric)
    for function in (metric.value, metric.left_out):
        if function is not None:
            known = {
                name: one
                for name, one in inspect.signature(function).parameters.items()
                if one.kind is one.KEYWORD_ONLY
            }
            assert set(measure.constants) <= set(known)
            assert all(
                isinstance(value, str) == isinstance(known[name].default, str)
                for name, value in measure.constants.items()
            )


@pytest.mark.parametrize("name", PAPERS)
def test_published_numbers_are_of_the_protocol_and_name_their_source(name):
    """Each published number is one of a measure that the protocol has, in its metric's range,
    with a source, and stands there once.
    """
    row = ROWS[name]
    measures = {one.name: one for one in row.measures}
    for one in row.published:
        low, high = registry.find("metrics", measures[one.metric].metric).range
        assert low <= one.value <= high
        assert one.source
    keys = [(one.dataset, one.model, one.metric) for one in row.published]
    assert len(keys) == len(set(keys))


# What sets them apart: (protocol, field, what it is). A field is one of the protocol, or
# NUMBER.FIELD of a measure, or NUMBER.constants.NAME.
FACTS = [
    ("ttur", "fid.features", "inception-tf1.pool"),
    ("ttur", "fid.batch", 50),
    ("ttur", "fid.constants.divisor", 1),
    ("pytorch-fid", "fid.features", "inception-torch.pool"),
    ("pytorch-fid", "fid.batch", 0),
    ("torch-fidelity", "fid.features", "inception-tf1.pool"),
    ("torch-fidelity", "is.features", "inception-tf1.logits_unbiased"),
    ("torch-fidelity", "is.constants.shuffle", 2020),
    ("torch-fidelity", "is.constants.splits", 10),
    ("torch-fidelity", "kid.constants.seed", 2020),
    ("torch-fidelity", "kid.constants.shrink", 0),
    ("torch-fidelity", "precision.features", "vgg16.fc2"),
    ("torch-fidelity", "precision.constants.k", 3),
    ("torch-fidelity", "ppl.pairs.levels", "uint8"),
    ("torch-fidelity", "ppl.pairs.space", "z"),
    ("torch-fidelity", "ppl.pairs.size", 64),
    ("clean", "quantise", "none"),
    ("clean", "fid.features", "inception-clean.pool"),
    ("clean", "kid.constants.shrink", 1),
    ("adm", "quantise", "truncate"),
    ("adm", "labels", "iid"),
    ("adm", "fid.reference_n", 0),
    ("adm", "sfid.features", "inception-tf1.spatial"),
    ("adm", "is.constants.block", 5000),
    ("adm", "is.constants.shuffle", -1),
    ("adm", "precision.features", "inception-tf1.pool"),
    ("adm", "precision.reference_n", 10_000),
    ("adm", "recall.reference_n", 10_000),
    ("adm", "precision.precision", "float16"),
    ("stylegan2-ada", "labels", "training"),
    ("stylegan2-ada", "fid.constants.divisor", 0),
    ("stylegan2-ada", "fid.mirrored", False),
    ("stylegan2-ada", "fid50k.mirrored", True),
    ("stylegan2-ada", "fid50k.reference_n", 50_000),
    ("stylegan2-ada", "precision.features", "vgg16.fc2"),
    ("stylegan2-ada", "precision.precision", "float16"),
    ("stylegan2-ada", "precision.constants.strict", 0),
    ("stylegan2-ada", "is.features", "inception-nvidia.logits_unbiased"),
    ("stylegan2-ada", "is.constants.shuffle", -1),
    ("stylegan2-ada", "ppl2_wend.pairs.space", "w"),
    ("stylegan2-ada", "ppl2_wend.pairs.crop", False),
    ("stylegan2-ada", "ppl2_wend.pairs.levels", "float"),
    ("edm", "fid.features", "inception-nvidia.pool"),
    ("edm", "fid.constants.divisor", 1),
    ("edm", "repeats", 3),
    ("edm", "reducer", "min"),
    ("edm", "quantise", "round"),
    ("edm2", "fd_dinov2.features", "dinov2-vit-l-14-edm2.cls"),
    ("edm2", "reducer", "min"),
    ("edm2", "quantise", "truncate"),
    ("dgm-dinov2", "fd_dinov2.features", "dinov2-vit-l-14.cls"),
    ("dgm-dinov2", "fd_infinity_dinov2.constants.points", 15),
    ("dgm-dinov2", "density_dinov2.constants.k", 5),
    ("dgm-dinov2", "density_dinov2.constants.strict", 1),
    ("dgm-dinov2", "density_dinov2.reference_n", 10_000),
    ("torchmetrics", "fid.features", "inception-torch-aa.pool"),
    ("torchmetrics", "is.constants.chunk", 1),
    ("torchmetrics", "quantise", "truncate"),
    ("torchmetrics", "ppl.constants.rule", "lower"),
    ("torchmetrics", "mifid.constants.over", "reference"),
    ("stylegan2-ada", "ppl2_wend.constants.rule", "higher"),
    ("studiogan", "n", 0),
    ("studiogan", "is.features", "inception-torch.logits"),
    ("studiogan", "is.constants.splits", 1),
    ("studiogan", "coverage.constants.strict", 1),
    ("studiogan", "coverage.constants.k", 5),
    ("biggan-pytorch", "fid.features", "inception-tv.pool"),
    ("biggan-pytorch", "is.features", "inception-tv.logits"),
    ("biggan-pytorch", "quantise", "none"),
    ("diffaugment-test10k", "n", 10_000),
    ("diffaugment-test10k", "fid.reference", "heldout"),
    ("cmmd", "cmmd.features", "clip-vit-l-14-336.embedding"),
    ("cmmd", "cmmd.constants.sigma", 10.0),
    ("cmmd", "cmmd.batch", 32),
]


@pytest.mark.parametrize(("protocol", "field", "expected"), FACTS, ids=str)
def test_what_sets_a_protocol_apart(protocol, field, expected):
    """The facts by which papers' codes differ stand in the rows."""
    words = field.split(".")
    found = ROWS[protocol] if len(words) == 1 else of(protocol, words.pop(0))
    for word in words:
        found = (
            found[word]
            if word in (found if isinstance(found, dict) else ())
            else getattr(found, word)
        )
    assert found == expected


def test_every_other_protocol_takes_fifty_thousand_against_the_training_set():
    """What no fact above says is the field's custom: 50,000 samples, the training split, one run,
    uniform random labels.
    """
    for name in set(PAPERS) - {"diffaugment-test10k", "studiogan", "cmmd"}:
        assert ROWS[name].n == 50_000
        assert ROWS[name].measures[0].reference == "train"
    assert {name for name in PAPERS if ROWS[name].repeats > 1} == {"edm", "edm2"}
    assert {name for name in PAPERS if ROWS[name].labels != "iid"} == {"stylegan2-ada"}
    assert {name for name in PAPERS if ROWS[name].quantise == "truncate"} == {
        "adm",
        "edm2",
        "torchmetrics",
    }


def test_an_unseeded_source_says_that_ours_is_one_draw_of_it():
    """A seed of ours where the original has none is said in the note;
    where it has one, ours is that one.
    """
    for name in PAPERS:
        for one in ROWS[name].measures:
            if one.constants.get("seed", one.constants.get("shuffle", -1)) == 0:
                assert "one draw of it" in one.note


def test_the_table_shows_them_side_by_side(cli):
    """A line per protocol under one heading, and what differs between two papers can be
    read off it.
    """
    status, out, err = cli("protocols")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert (status, err) == (0, "")
    assert {"protocol", *ROWS} <= set(lines)
    assert "min of 3" in lines["edm"]
    assert "as reference" in lines["studiogan"]
    assert lines["stylegan2-ada"].index(" n  ") == lines["adm"].index(" n - 1")
    assert "vgg16.fc2, k 3 <= of 200000" in lines["stylegan2-ada"]
    assert "blocks of 5000" in lines["adm"]


def test_a_protocol_shown_alone_says_its_measures_and_the_published_numbers(cli):
    """`genbench protocols edm` has a line per measure and per published number,
    without the fields that say nothing.
    """
    status, out, _ = cli("protocols", "edm")
    assert status == 0
    assert "measures fid" in out
    assert "EDM README" in out
    assert "mirrored" not in out
