"""`genbench compare` of different models: what shares a protocol is compared with intervals,
what does not is never ranked, and no name does harm.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.places import ROOT
from scipy import stats

from genbench.cli.commands.compare import FORMATS
from genbench.leaderboards import comparison, entries, ranking
from genbench.runs.records import record
from genbench.statistics import confidence_intervals

BOARD = ROOT / "leaderboards" / "digits"
ENTRIES = {entry.label: entry for entry in entries.entries(BOARD)}
DDPM, VAE = ENTRIES["ddpm"].record, ENTRIES["vae"].record
HOSTILE = [
    "</script><script>alert(1)</script>",
    "x\r\n::error file=a::b",
    "\x1b[31mred\x9b31m",
    "=cmd|' /C calc'!A0",
    "a | b",
    "\\input{x} $ % _",
]


def made(name, blocks=None, *, of=DDPM, seed=0, metric="fd_digits", parts=(), **plan):
    """A record of one number from the values of its blocks [B], under a label;
    its mean is the number.
    """
    identity = {**of.plan["identity"], "first_seed": seed * 2**20, **plan.pop("identity", {})}
    scores = (
        [
            score_from(one, "all" if part is None else part, metric, of)
            for part, one in [(None, blocks), *parts]
        ]
        if blocks is not None
        else of.scores
    )
    whole = {**of.plan, "label": name, "identity": identity, "block_sizes": [44] * 20, **plan}
    return replace(
        of,
        id=f"{abs(hash((name, seed, str(identity)))):016x}"[:16],
        plan=whole,
        scores=tuple(scores),
        folder="",
    )


def score_from(blocks, part, metric, of):
    blocks = np.asarray(blocks, dtype=np.float64)
    value = float(blocks.mean())
    left_out = (blocks.sum() - blocks) / (len(blocks) - 1)
    base = next(one for one in of.scores if one.metric == metric)
    se, low, high = confidence_intervals.interval(
        "jackknife", value, left_out, np.full(len(blocks), 44)
    )
    return replace(
        base,
        part=part,
        value=value,
        se=se,
        low=low,
        high=high,
        left_out=tuple(left_out.tolist()),
        sizes=(44,) * len(blocks),
    )


def written(folder, *records):
    """Records as entry files."""
    paths = []
    for place, one in enumerate(records):
        path = folder / f"entry{place}.json"
        record.write(path, one)
        paths.append(path)
    return paths


def compared(*records, metric="fd_digits"):
    (block,) = comparison.blocks(records)
    return comparison.differences(block, metric)


# The difference of two


def test_the_difference_of_two_blockwise_means_is_the_paired_t_test():
    """Of a mean the jackknife over blocks is exact: the interval and p are scipy's paired t test
    of the blocks.
    """
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 0.3, 20), rng.normal(1.2, 0.3, 20)
    (row,) = compared(made("one", a), made("other", b))
    test = stats.ttest_rel(a, b)
    assert (row["first"], row["second"], row["paired"]) == ("one", "other", True)
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert row["p"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_pairing_by_seed_narrows_the_interval():
    """Two models that follow their seeds alike: the paired interval is a fraction of what the same
    numbers have with other seeds.
    """
    rng = np.random.default_rng(1)
    common = rng.normal(1.0, 0.5, 20)
    a, b = common + rng.normal(0, 0.05, 20), common + 0.1 + rng.normal(0, 0.05, 20)
    (paired,) = compared(made("one", a), made("other", b))
    (apart,) = compared(made("one", a), made("other", b, seed=1))
    assert paired["paired"]
    assert not apart["paired"]
    assert apart["how"] == "unpaired: other seeds"
    assert apart["p"] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert paired["high"] - paired["low"] < 0.3 * (apart["high"] - apart["low"])
    assert paired["better"] == "one"
    assert apart["better"] == ""


def test_runs_that_draw_other_labels_or_take_no_seeds_are_not_paired():
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 0.3, 20), rng.normal(1, 0.3, 20)
    (row,) = compared(made("one", a), made("other", b, seeding="per call"))
    assert (row["paired"], row["how"]) == (False, "unpaired: other takes no seeds")
    unconditional = {
        key: value for key, value in DDPM.plan["identity"].items() if key != "conditions"
    } | {"conditions": {}}
    (row,) = compared(made("one", a), made("other", b, identity=unconditional))
    assert (row["paired"], row["how"]) == (False, "unpaired: other labels")


@pytest.mark.parametrize("models", [2, 5])
def test_models_of_equal_quality_are_separated_in_five_of_a_hundred_comparisons(models):
    """Family-wise: of boards of equal models, paired by seed, at most 5 % name any better,
    and the true ranks lie in all ranges in 95 %.
    """
    rng, wrong, tried = np.random.default_rng(3), 0, 400
    for _ in range(tried):
        common = rng.normal(1.0, 0.3, 20)
        (block,) = comparison.blocks(
            [made(f"m{k}", common + rng.normal(0, 0.2, 20)) for k in range(models)]
        )
        wrong += any(row["better"] for row in comparison.differences(block, "fd_digits"))
        assert (
            all(
                low == 1 and high == models
                for low, high in comparison.ranks(block, "fd_digits").values()
            )
            or wrong
        )
    assert wrong <= tried * 0.05 + 2.5 * math.sqrt(tried * 0.05 * 0.95)


def test_a_true_difference_is_found_and_the_ranks_say_so():
    rng = np.random.default_rng(4)
    common = rng.normal(1.0, 0.3, 20)
    (block,) = comparison.blocks(
        [
            made(name, common + add + rng.normal(0, 0.05, 20))
            for name, add in (("best", 0), ("mid", 0.3), ("last", 0.6))
        ]
    )
    assert comparison.ranks(block, "fd_digits") == {"best": (1, 1), "mid": (2, 2), "last": (3, 3)}


def test_ranks_are_those_of_the_boards_where_all_pairs_are_paired():
    """On the committed board, among runs of the same seeds and labels,
    both ways of ranking agree.
    """
    labelled = [
        entry
        for entry in ENTRIES.values()
        if entry.ranked and entry.record.plan["identity"]["conditions"]
    ]
    (block,) = comparison.blocks_of(labelled)
    for metric in ("fd_digits", "recall_digits"):
        theirs = {
            entry.label: pair
            for entry in labelled
            for pair in [ranking.ranks(labelled, metric)[entry.id]]
        }
        assert comparison.ranks(block, metric) == theirs


# What shares a protocol


def off(protocol, **changed):
    return {"protocols": {"digits": {**protocol, **changed}}}


def test_what_does_not_share_a_protocol_is_in_blocks_of_its_own():
    """Other real images, extractors, formulas, n, labels or rounding: each a block by itself;
    the same under another label is not.
    """
    protocol = DDPM.plan["protocols"]["digits"]
    identity = DDPM.plan["identity"]
    others = [
        made("splits", **off(protocol, splits={**protocol["splits"], "heldout": "other"})),
        made(
            "extractor",
            **off(
                protocol,
                extractors={"digits": {**protocol["extractors"]["digits"], "weights": "other"}},
            ),
        ),
        made(
            "formula",
            **off(protocol, measures=[{**one, "formula": "other"} for one in protocol["measures"]]),
        ),
        made("data", **off(protocol, dataset="other")),
        made("reducer", **off(protocol, reducer="min")),
        made("n", identity={**identity, "n": 200}),
        made("labels", identity={**identity, "conditions": {"labels": "iid", "classes": 10}}),
        made("rounding", quantise="truncate"),
    ]
    for one in others:
        found = comparison.blocks([DDPM, one])
        assert [len(block.entries) for block in found] == [1, 1], one.plan["label"]
        with pytest.raises(
            comparison.NotComparable, match="nothing to compare: no two share a protocol"
        ):
            comparison.refuse(found)
    assert len(comparison.blocks([DDPM, made("the same")])) == 1


def test_exit_statuses(cli, here):
    """0 where something is compared, with blocks beside it;
    3 with one line where nothing is, or a run is missing; 2 for an unknown number.
    """
    small = made("small", of=VAE, identity={"n": 200})
    paths = written(here, DDPM, VAE, small)
    status, out, err = cli("compare", *paths)
    assert (status, err) == (0, "")
    assert "block 2: protocol digits on digits · n = 200" in out
    status, out, err = cli("compare", paths[0], paths[2])
    assert (status, out) == (3, "")
    assert "they differ in n (870 and 200)" in err
    assert err.count("\n") == 1
    assert cli("compare", paths[0], "nowhere")[0] == 3
    status, _, err = cli("compare", *paths, "--metrics", "fid_digits")
    assert (status, "did you mean fd_digits" in err) == (2, True)


def test_an_unranked_block_has_no_rank_of_the_other(cli, here):
    """A run off the protocol's n stands below, and the ranks of the first block are out of
    its own two.
    """
    paths = written(
        here,
        DDPM,
        VAE,
        made("small", of=VAE, identity={"n": 200}),
        made("smaller", of=DDPM, identity={"n": 200}),
    )
    told = json.loads(cli("compare", *paths, "--json")[1])["blocks"]
    assert [block["n"] for block in told] == [870, 200]
    for block in told:
        assert {row["rank_high"] for row in block["value"] if row["metric"] == "fd_digits"} <= {
            1,
            2,
        }
        assert {(row["first"], row["second"]) for row in block["difference"]} == {
            tuple(one["label"] for one in sorted(block["runs"], key=order))
        }


def order(run):
    return {"ddpm": 0, "smaller": 0}.get(run["label"], 1)


def test_runs_of_one_model_are_still_read_as_readings(cli, here):
    """The same words but for the seeds: how far the numbers lie apart,
    and no comparison of models.
    """
    paths = written(here, DDPM, made("ddpm", seed=1))
    status, out, _ = cli("compare", *paths)
    assert status == 0
    assert "sd over seeds" in out
    assert cli("compare", *paths, "--format", "latex")[0] == 2


def test_a_line_of_reference_is_compared_and_not_ranked():
    rows = [ENTRIES[name].record for name in ("ddpm", "vae", "real")]
    (block,) = comparison.blocks(rows)
    assert set(comparison.ranks(block, "fd_digits")) == {"ddpm", "vae"}
    found = comparison.differences(block, "fd_digits")
    assert {frozenset((row["first"], row["second"])) for row in found} == {
        frozenset(pair) for pair in itertools.combinations(("ddpm", "vae", "real"), 2)
    }


# Classes


def test_classes_are_compared_one_by_one_with_their_names_and_holm_over_all():
    """One class of ten is worse by much: it alone is named, first;
    in equal models no class is, at 5 % over all classes.
    """
    rng = np.random.default_rng(5)
    common = {c: rng.normal(1.0, 0.3, 20) for c in range(10)}

    def own(worse):
        return [
            (f"class {c}", common[c] + (1.0 if c == worse else 0) + rng.normal(0, 0.1, 20))
            for c in range(10)
        ]

    (block,) = comparison.blocks(
        [
            made("one", common[0], parts=own(-1)),
            made("other", common[0] + 1e-3 * rng.normal(size=20), parts=own(7)),
        ]
    )
    rows = comparison.class_differences(block, "fd_digits")
    assert [row["class"] for row in rows if row["better"]] == ["7"]
    assert rows[0]["better"] == "one"
    assert len(rows) == 10


# Methods


def trained(name, values, steps="100", **more):
    """A record to each training of a method."""
    rng = np.random.default_rng(int(100 * sum(values)))
    for seed, value in enumerate(values):
        training = {
            "dataset": "digits",
            "steps": steps,
            "batch_size": "64",
            "seed": str(seed),
            **more,
        }
        identity = {"checkpoint": f"{name}{steps}{seed}", "generator": name}
        wobble = rng.normal(0, 0.05, 20)
        yield made(
            f"{name} [c{seed}.safetensors {seed:06d}]",
            value + wobble - wobble.mean(),
            identity=identity,
            training=training,
        )


def test_a_method_is_the_mean_of_its_trainings_with_the_t_interval():
    """Mean, sd and interval over three trainings are the textbook's,
    and two methods are compared by Welch's t over trainings.
    """
    a, b = [1.0, 1.2, 1.1], [2.0, 2.3, 1.9, 2.2]
    (block,) = comparison.blocks([*trained("alpha", a), *trained("beta", b)])
    rows = {row["first"]: row for row in comparison.spreads(block, "fd_digits")}
    half = stats.t.ppf(0.975, 2) * np.std(a, ddof=1) / math.sqrt(3)
    assert rows["alpha"]["mean"] == pytest.approx(1.1)
    assert rows["alpha"]["sd"] == pytest.approx(np.std(a, ddof=1))
    assert (rows["alpha"]["low"], rows["alpha"]["high"]) == pytest.approx((1.1 - half, 1.1 + half))
    (row,) = comparison.differences(block, "fd_digits")
    test = stats.ttest_ind(a, b, equal_var=False)
    assert row["p"] == pytest.approx(test.pvalue)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))
    assert row["how"] == "Welch over 3 and 4 trainings"


def test_methods_of_one_quality_are_separated_in_five_of_a_hundred():
    rng, wrong = np.random.default_rng(6), 0
    for _ in range(200):
        (block,) = comparison.blocks(
            [*trained("alpha", rng.normal(1, 0.2, 3)), *trained("beta", rng.normal(1, 0.2, 3))]
        )
        wrong += bool(comparison.differences(block, "fd_digits")[0]["better"])
    assert wrong <= 10 + 2.5 * math.sqrt(9.5)


def test_one_training_is_no_method(cli, here):
    """Two trainings are shown and not compared; against a method of three nothing is said,
    unless checkpoints are asked for.
    """
    three, one = list(trained("alpha", [1.0, 1.2, 1.1])), next(trained("beta", [2.0]))
    (block,) = comparison.blocks([*three, one])
    assert comparison.differences(block, "fd_digits") == []
    paths = written(here, *three, one)
    status, _, err = cli("compare", *paths)
    assert status == 3, err
    assert "is one training, no method of 3; --by checkpoint compares runs" in err
    status, out, _ = cli("compare", *paths, "--by", "checkpoint")
    assert status == 0
    assert out.count("one training ") >= 4
    (block,) = comparison.blocks([*three[:2], one])
    assert all(unit.method is None for unit in block.units)
    assert [row["trainings"] for row in comparison.spreads(block, "fd_digits")] == [2]


def test_another_recipe_is_another_method_and_another_seed_of_sampling_is_no_training():
    """Steps are part of the recipe; the same checkpoint drawn under two seeds is one training."""
    (block,) = comparison.blocks(
        [*trained("alpha", [1.0, 1.2, 1.1]), *trained("alpha", [1.5, 1.6, 1.4], steps="900")]
    )
    assert sorted(unit.name for unit in block.units) == ["alpha 100 steps", "alpha 900 steps"]
    one = next(trained("alpha", [1.0]))
    again = replace(
        one,
        id="0" * 16,
        plan={**one.plan, "identity": {**one.plan["identity"], "first_seed": 2**20}},
    )
    (block,) = comparison.blocks([one, again, *list(trained("alpha", [1.0, 1.2]))[1:]])
    assert [row["trainings"] for row in comparison.spreads(block, "fd_digits")] == [2]


def test_checkpoints_of_strangers_are_a_method_where_the_user_says_so():
    """Without a recipe in the files nothing is pooled, but under a name."""

    def strangers(method):
        return [
            made(
                f"alpha [{k}]",
                np.full(20, value) + np.arange(20) / 100,
                identity={"checkpoint": f"{k}"},
                training={},
                method=method,
            )
            for k, value in enumerate((1.0, 1.2, 1.1))
        ]

    (block,) = comparison.blocks(strangers(""))
    assert comparison.spreads(block, "fd_digits") == []
    (block,) = comparison.blocks(strangers("Ours"))
    assert [unit.name for unit in block.units] == ["Ours"]


# Names from strangers


@pytest.fixture
def hostile(here):
    """Two runs to each hostile name, which is label, data set, class and method."""
    found = []
    for place, name in enumerate(HOSTILE):
        rng = np.random.default_rng(place)
        parts = [("class 0", rng.normal(1, 0.3, 20))]
        protocol = {**DDPM.plan["protocols"]["digits"], "dataset": name}
        for side in "ab":
            own = {
                "identity": {"checkpoint": side},
                "training": {},
                "protocols": {"digits": protocol},
                "method": name,
            }
            one = made(name + side, rng.normal(1, 0.3, 20), parts=parts, **own)
            found.append(
                replace(
                    one,
                    dataset={**one.dataset, "classes": [name]},
                    environment={**one.environment, "device": name},
                )
            )
    return written(here, *found)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


@pytest.mark.parametrize("how", FORMATS)
def test_hostile_names_do_no_harm(cli, hostile, how):
    """No format has a control character, a workflow command at a line's beginning, a formula,
    an open tag or a torn table.
    """
    status, out, err = cli("compare", *hostile, "--format", how)
    assert status == 0, err
    assert all(c == "\n" or c.isprintable() for c in out)
    assert not re.search(r"^\s*(::|##\[)", out, re.MULTILINE)
    if how == "html":
        tags = _Tags()
        tags.feed(out)
        assert tags.tags <= {
            "html",
            "meta",
            "title",
            "style",
            "h1",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "img",
        }
        assert "default-src 'none'" in out
        assert re.findall(r"https?://", re.sub(r'base64,[^"]*', "", out)) == []
    if how == "csv":
        rows = list(csv.reader(io.StringIO(out)))
        assert len({len(row) for row in rows}) == 1
        assert not any(cell[:1] in ("=", "@") for row in rows for cell in row)
    if how == "markdown":
        assert "<script" not in out
        tables = re.findall(r"(?:^\|.*\n?)+", out, re.MULTILINE)
        assert all(
            len({len(re.findall(r"(?<!\\)\|", line)) for line in one.splitlines()}) == 1
            for one in tables
        )
    if how == "latex":
        typeset = [line for line in out.splitlines() if not line.startswith("%")]
        assert not any(re.search(r"\\input|(?<!\\)[%#]", line) for line in typeset)
    if how == "json":
        assert json.loads(out)["blocks"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_trade_off_plane_is_a_picture_whatever_the_names(cli, here):
    """A point to a run; names that matplotlib would read as mathematics are letters."""
    paths = written(
        here,
        DDPM,
        VAE,
        replace(
            VAE,
            id="1" * 16,
            plan={
                **VAE.plan,
                "label": "$\\frac{",
                "identity": {**VAE.plan["identity"], "checkpoint": "x"},
            },
        ),
    )
    assert cli("compare", *paths, "--picture", "plane.png")[0] == 0
    assert (here / "plane.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_the_plane_of_each_block(cli, here):
    """One picture to a block of several runs, in the page itself,
    with words for those who do not see it.
    """
    status, out, _ = cli("compare", *written(here, DDPM, VAE), "--format", "html")
    assert status == 0
    (found,) = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', out)
    assert found[0].startswith("Trade-off plane of protocol digits on digits")
    assert base64.b64decode(found[1]).startswith(b"\x89PNG")


def test_a_comparison_is_written_where_it_is_told(cli, here):
    paths = written(here, DDPM, VAE)
    status, out, _ = cli("compare", *paths, "--format", "html", "--to", "page.html")
    assert (status, out.strip()) == (0, "page.html")
    assert (here / "page.html").read_text().startswith("<!doctype html>")
