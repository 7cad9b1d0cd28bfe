"""The report: one page that loads nothing, whole for any run, the same bytes for the same runs,
harmless whatever things are called.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.report_section import Section
from genbench.api.validation import RowError
from genbench.leaderboards import comparison, entries, versus_real
from genbench.report import html_page, image_sheet, run_data
from genbench.report.sections import convergence, provenance, tradeoffs, worst_samples
from genbench.runs.records import record
from genbench.runs.records.record import Score
from genbench.runs.run import evaluate
from genbench.statistics import frechet_distance

N = 870
DRAWN = {"svg", "g", "path", "defs", "clippath", "rect", "use", "text"}  # what a plot is made of
LETHAL = "</script><img src=x onerror=alert(1)>"
HOSTILE = (
    LETHAL,
    '"><svg onload=alert(2)>',
    "javascript:alert(3)",
    "=cmd|' /C calc'!A0",
    "two\r\n::error::lines",
    "\x1b[31mred\u202e",
    "{{ 7*7 }}$\\frac$",
    "&lt;b&gt;",
)


class Page(HTMLParser):
    """What a browser would make of a page: its elements in order, their attributes,
    the texts of its scripts.
    """

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.scripts, self.words, self._in = [], [], [], ""
        self.feed(page.decode() if isinstance(page, bytes) else page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data
        elif not self._in:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def section(page, name):
    """The words of one section."""
    found = re.search(rf'<section id="{name}".*?</section>', page.decode(), re.DOTALL)
    return Page(found[0]).text


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two small runs of the digits with the same seeds, in one folder:
    of the vae and of stylegan2.
    """
    out = tmp_path_factory.mktemp("report") / "runs"
    return out, [
        evaluate(name, n=N, out=out, metrics=("fd", "kd", "precision", "recall", "nearest_train"))
        for name in ("vae", "stylegan2")
    ]


def page_of(records, told=None, **words):
    told = [] if told is None else told
    return html_page.written(run_data.runs_of(records), told.append, **words)


@pytest.fixture(scope="module")
def pages(runs):
    """The page of the first run, and the page of both."""
    told = []
    found = page_of(runs[1][:1], told), page_of(runs[1], told)
    assert told == []
    return found


def test_every_section_of_the_shelf_stands_in_the_page_in_its_order(pages):
    """The page has each section once, ordered by the rows, and none failed."""
    rows = sorted(registry.every("sections").values(), key=lambda row: (row.order, row.name))
    for page in pages:
        assert [one["id"] for one in Page(page).all("section")] == [row.name for row in rows]
        assert "This part failed" not in Page(page).text


def test_a_run_alone_has_every_part_but_the_comparison(pages):
    """Of one run of a shipped model everything is shown, save what takes two runs."""
    absent = [one["id"] for one in Page(pages[0]).all("section") if one.get("class") == "absent"]
    assert absent == ["comparison"]
    assert "there is one run" in section(pages[0], "comparison")


def test_the_numbers_are_the_records(pages, runs):
    """Each number stands in the table with its interval, what real images score, and n."""
    from genbench._util.formatting import plus_minus

    words = section(pages[0], "numbers")
    for score in runs[1][0].scores:
        assert plus_minus(score.value, score.low, score.high) in words
        assert f"{score.real:#.3g}" in words
    assert f"{N}" in words


def test_two_runs_are_compared_pair_by_pair(pages, runs):
    """The difference in the page is the paired one of the leave-outs, with its sign,
    beside the rank ranges of both.
    """
    from genbench._util.formatting import plus_minus

    (block,) = comparison.blocks_of(
        [run.entries["digits"] for run in run_data.runs_of(runs[1])], by="checkpoint"
    )
    (row,) = comparison.differences(block, "fd_digits")
    a, b = (next(s for s in of.scores if s.metric == "fd_digits") for of in runs[1])
    assert row["paired"]
    # a block has the better run first
    sign = 1 if row["difference"] == pytest.approx(a.value - b.value) else -1
    assert sign * row["difference"] == pytest.approx(a.value - b.value)
    words = section(pages[1], "comparison")
    assert (
        plus_minus(sign * row["difference"], *sorted((sign * row["low"], sign * row["high"])))
        in words
    )
    assert all(word in words for word in ("Rank A", "Rank B", "A − B"))


def test_runs_of_other_n_are_not_set_against_each_other(runs):
    """A distance moves by n: runs of 870 and of fewer samples have no difference in the page,
    which says what keeps them apart; compare refuses them too.
    """
    one, other = runs[1]
    fewer = replace(
        other,
        plan={
            **other.plan,
            "identity": {**other.plan["identity"], "n": other.plan["identity"]["n"] // 2},
        },
    )
    assert (
        len(
            comparison.grouped(
                [
                    entries.entry_of(of, "digits", of.plan["protocols"]["digits"])
                    for of in (one, other)
                ]
            )
        )
        == 1
    )
    first, second = (
        entries.entry_of(of, "digits", of.plan["protocols"]["digits"]) for of in (one, fewer)
    )
    assert len(comparison.grouped([first, second])) == 2
    assert [field for field, *_ in comparison.kept_apart(first, second)] == ["n"]


def test_the_only_script_that_runs_is_the_one_that_the_policy_names(pages):
    """The policy allows no request and one script by its hash, which is the script's;
    the other script element is JSON.
    """
    for page in pages:
        found = Page(page)
        policy = next(
            one["content"]
            for one in found.all("meta")
            if one.get("http-equiv") == "Content-Security-Policy"
        )
        seal = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
        said = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
        assert said["default-src"] == "'none'"
        assert (said["img-src"], said["style-src"], said["script-src"]) == (
            "data:",
            "'unsafe-inline'",
            f"'sha256-{seal}'",
        )
        assert [one.get("type") for one in found.all("script")] == [None, "application/json"]


def harmless(page, *, whole=True):
    """No element that could load or run anything, no address beyond the page, no handler;
    the page's elements.
    """
    found = Page(page)
    for tag, attributes in found.elements:
        assert tag not in (
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "foreignobject",
            "animate",
            "set",
        )
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value.startswith(("#", "data:image/")) or value == "data:,", (
                    tag,
                    name,
                    value[:60],
                )
            if name == "style":
                assert not re.search(r"url\((?!#)", value)
    for style in re.findall(r"<style>(.*?)</style>", page.decode(), re.DOTALL):
        assert "url(" not in style
        assert "@import" not in style
    assert page.count(b"<style") == int(whole)
    return [tag for tag, _ in found.elements]


def test_nothing_in_the_page_loads_or_runs(pages):
    """Every address lies within the page, and no element has a handler."""
    for page in pages:
        assert harmless(page)


def test_the_page_is_small_and_the_same_bytes_in_another_process(
    pages, runs, cli_process, tmp_path
):
    """Under 3 MB, and made again by another process, of other hash seeds, byte by byte the same."""
    out, (first, _) = runs
    assert max(map(len, pages)) < html_page.SIZE
    done = cli_process(
        "report",
        first.id[:8],
        "-o",
        tmp_path / "again.html",
        "--out",
        out,
        env={"PYTHONHASHSEED": "77"},
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "again.html")), done.stderr
    assert (tmp_path / "again.html").read_bytes() == pages[0]


def test_the_record_lies_in_the_page_as_json(pages, runs):
    """The recipe that the page prints reads the records back, whole."""
    text = pages[1].decode()
    found = json.loads(
        re.search(r'<script type="application/json" id="records">(.*?)</script>', text, re.DOTALL)[
            1
        ]
    )
    assert found["runs"] == json.loads(json.dumps([one.to_json() for one in runs[1]]))


def test_the_command_that_the_page_prints_repeats_the_run(pages, runs, cli, here):
    """Its words make a run of the same id with the same numbers, in an empty folder."""
    first = runs[1][0]
    words = shlex.split(provenance.repeating(run_data.runs_of([first])[0])[0])
    assert f"--n {N}" in section(pages[0], "provenance")
    status, said, err = cli(*words[1:], "--leaderboards", "none", "--out", here / "runs", "--json")
    assert status == 0, err
    again = json.loads(said)
    assert again["id"] == first.id
    assert [one["value"] for one in again["scores"]] == [one.value for one in first.scores]


def test_tables_have_scopes_and_pictures_words(pages):
    """Every heading of a table says what it heads, every picture and plot says what it shows,
    and the language is named.
    """
    found = Page(pages[1])
    assert all(one.get("scope") in ("row", "col") for one in found.all("th"))
    assert all(one.get("alt") for one in found.all("img"))
    assert all(one.get("aria-label") for one in found.all("svg"))
    assert found.all("html") == [{"lang": "en"}]
    ids = [one["id"] for _, one in found.elements if "id" in one]
    assert len(ids) == len(set(ids))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


def test_words_have_contrast_in_both_themes():
    """Words stand 4.5 to 1 against both grounds of their theme, the runs' colours 3 to 1."""
    style = (html_page.PAGE / "page.css").read_text()
    themes = re.findall(r":root(?:\[data-theme=\"dark\"\])? \{ (--ground.*?) color-scheme", style)
    assert len(themes) == 2
    for theme in themes:
        said = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for name, least in {
            "text": 4.5,
            "quiet": 4.5,
            "link": 4.5,
            "good": 4.5,
            "bad": 4.5,
            **{f"run-{k}": 3.0 for k in range(1, 7)},
        }.items():
            for ground in ("ground", "raised"):
                high, low = sorted((luminance(said[name]), luminance(said[ground])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= (
                    least if ground == "ground" or least > 3 else 2.8
                ), (name, ground)


DATASET = """
from genbench.api import torch
from genbench.api import Dataset, Measure, Protocol

NAMES = {names}

def opened(split):
    labels = torch.arange(160) % len(NAMES)
    images = torch.randint(60, (160, 3, 8, 8), generator=torch.Generator().manual_seed(len(split)))
    images[torch.arange(160), :, labels] += 150
    yield images.to(torch.uint8), labels

ROW = Dataset(
    name="odd", title="odd", classes=NAMES, resolution=8, splits={{"train": 160, "heldout": 160}}, open=opened,
    preparation="none", source="here", licence=NAMES[0], recogniser="digits.logits", protocol="odd",
)
USUAL = Protocol(
    name="odd", title="odd", dataset="odd", n=160, labels="balanced", quantise="round", real=("train", "heldout"),
    measures=(Measure("fd", "digits.pool", "heldout"), Measure("kd", "digits.pool", "heldout"), Measure("precision", "digits.pool", "heldout")),
)
"""  # noqa: E501
GENERATOR = """
import torch, genbench

@genbench.hookimpl
def sample(n, seeds, labels):
    images = (genbench.uniform(seeds, (3, 8, 8)) * 60).to(torch.uint8)
    images[torch.arange(n), :, labels] += 150
    return images
"""


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """called(names) -> the record of a run of a data set whose classes have these names."""

    def make(names):
        folder = tmp_path_factory.mktemp("odd")
        (folder / "data.py").write_text(DATASET.format(names=tuple(names)))
        (folder / "model.py").write_text(GENERATOR)
        registry.add_file(folder / "data.py")
        return evaluate(str(folder / "model.py"), dataset="odd", out=folder / "runs")

    return make


def test_hostile_names_of_classes_appear_as_words(called, monkeypatch):
    """Of a run whose classes have hostile names the page has the very elements that it has with
    harmless ones, and shows the names.
    """
    made = {}
    for kind, names in {
        "hostile": HOSTILE,
        "plain": [f"class {k}" for k in range(len(HOSTILE))],
    }.items():
        monkeypatch.setattr(registry, "_with", [])
        told = []
        made[kind] = page_of([called(names)], told)
        assert told == []
    without_plots = [
        re.sub(rb'<svg class="plot".*?</svg>', b"", made[kind], flags=re.DOTALL) for kind in made
    ]
    assert harmless(without_plots[0]) == harmless(without_plots[1])
    assert (
        set(
            harmless(
                b"".join(re.findall(rb'<svg class="plot".*?</svg>', made["hostile"], re.DOTALL)),
                whole=False,
            )
        )
        <= DRAWN
    )
    found = Page(made["hostile"])
    assert LETHAL in found.text
    assert not [
        one
        for one in made["hostile"].decode()
        if one != "\n" and (ord(one) < 32 or one in "\u202e\x7f")
    ]
    assert len(json.loads(found.scripts[1])["runs"][0]["dataset"]["classes"]) == len(HOSTILE)


def test_hostile_words_of_a_record_appear_as_words(runs, tmp_path):
    """Whatever stands in a stranger's record, its label, reasons, flags, environment, constants,
    is shown and does nothing.
    """
    one = runs[1][0]
    plan = json.loads(json.dumps(one.plan))
    plan |= {
        "label": " ".join(HOSTILE),
        "origin": HOSTILE[1],
        "quantise": LETHAL,
        "dataset": LETHAL,
    }
    plan["identity"] |= {
        "generator": HOSTILE[2],
        "options": {LETHAL: HOSTILE[1], "o": HOSTILE[4]},
        "dataset": LETHAL,
    }
    plan["protocols"] = {LETHAL: {**plan["protocols"]["digits"], "dataset": HOSTILE[3]}}
    scores = [
        replace(score, protocol=LETHAL, metric=HOSTILE[1] if at else LETHAL, flags=HOSTILE)
        for at, score in enumerate(one.scores[:2])
    ]
    scores.append(Score(LETHAL, "x", status="failed", reason=" ".join(HOSTILE)))
    plan["protocols"][LETHAL]["measures"] = [
        {**plan["protocols"][LETHAL]["measures"][at], "name": scores[at].metric, "title": LETHAL}
        for at in (0, 1)
    ]
    environment = {
        **one.environment,
        "platform": LETHAL,
        "device": HOSTILE[1],
        "versions": {LETHAL: HOSTILE[5]},
    }
    odd = replace(
        one,
        plan=plan,
        scores=tuple(scores),
        environment=environment,
        created=LETHAL,
        dataset={"classes": list(HOSTILE)},
    )
    record.write(tmp_path / "run.json", odd)
    for page in (
        page_of([record.read(tmp_path / "run.json")]),
        page_of([one, replace(record.read(tmp_path / "run.json"), id="0")]),
    ):
        harmless(page)
        assert LETHAL in Page(page).text
        assert len(Page(page).scripts) == 2
        assert not [c for c in page.decode() if c != "\n" and (ord(c) < 32 or c in "\u202e\x7f")]


def test_a_record_without_its_folder_says_what_it_lacks(runs, tmp_path):
    """Of an entry alone numbers, provenance and record are there,
    and each picture says why it is not.
    """
    shutil.copy(f"{runs[1][0].folder}/run.json", tmp_path / "run.json")
    told = []
    page = page_of([record.read(tmp_path / "run.json")], told)
    assert told == []
    assert str(tmp_path).encode() not in page  # where it lies is nobody's business
    for name in ("samples", "classes", "convergence", "neighbours", "worst"):
        assert "Not shown" in section(page, name)
        assert "only the record is here" in section(page, name), section(page, name)
    assert "fd_digits" in section(page, "numbers")


def test_a_generator_without_latents_says_so(called):
    """The strip of interpolations names the hooks that are lacking."""
    page = page_of([called([f"class {k}" for k in range(8)])])
    assert "no hooks latents and synthesize" in section(page, "interpolation")


def test_runs_without_a_common_protocol_are_not_compared(runs, called):
    """Numbers of different protocols stand in tables of their own,
    and the comparison says why there is none.
    """
    page = page_of([runs[1][0], called([f"class {k}" for k in range(8)])])
    assert "no two of the runs share a protocol" in section(page, "comparison")
    assert "Protocol odd" in section(page, "numbers")


FAILING = """
from genbench.api import Section

def broken(report):
    raise ZeroDivisionError("<b>no</b>")

def number(report):
    return 7

def raw(report):
    return "<img src=x onerror=alert(1)>"

BROKEN = Section("broken", "Broken", 5, broken)
NUMBER = Section("number", "A number", 115, number)
RAW = Section("raw", "Raw", 116, raw)
"""


def test_a_section_that_fails_costs_no_other(runs, cli, here):
    """It says so in its place, the command warns, everything else is there;
    a plain string is a reason and never HTML.
    """
    out, (first, _) = runs
    (here / "own.py").write_text(FAILING)
    status, said, err = cli(
        "report", first.id[:8], "--out", out, "--with", "own.py", "-o", "page.html"
    )
    page = (here / "page.html").read_bytes()
    assert (status, said) == (0, "page.html\n")
    assert "section broken failed: ZeroDivisionError: <b>no</b> (own.py:5)" in err
    assert "This part failed: failed: ZeroDivisionError: <b>no</b>" in section(page, "broken")
    assert "render returned int" in section(page, "number")
    assert "<img src=x onerror=alert(1)>" in section(page, "raw")
    harmless(page)
    assert "fd_digits" in section(page, "numbers")


def test_pictures_are_given_up_where_the_page_would_grow_too_large(runs, pages, monkeypatch):
    """The largest picture goes first, each says so in its place;
    a page that is too large without any is refused.
    """
    parts = html_page.parts_of(html_page.Report(run_data.runs_of(runs[1][:1])), print)
    monkeypatch.setattr(html_page, "parts_of", lambda of, told: parts)
    told = []
    small = page_of(runs[1][:1], told, size=150_000)
    assert told
    assert all("left out: with its" in line for line in told)
    assert len(small) < len(pages[0])
    assert "more than 0.15 MB" in section(small, told[0].split()[1])
    monkeypatch.setattr(html_page, "STOP", 1000)
    with pytest.raises(UserError, match="name fewer runs"):
        page_of(runs[1][:1], size=1000)


def test_the_command_refuses_in_a_line(cli, here):
    """No run, an unknown run and a folder as the output end in exit 2 and one line."""
    for words in (("report",), ("report", "nothing"), ("report", "-o", here)):
        status, out, err = cli(*words)
        assert (status, out, len(err.splitlines())) == (2, "", 1), err


@pytest.mark.parametrize(
    "wrong", [{"name": "Upper"}, {"name": "a-b"}, {"title": ""}, {"order": "1"}, {"render": None}]
)
def test_a_wrong_section_is_refused(wrong):
    """A row that cannot stand in a page refuses itself."""
    with pytest.raises(RowError):
        Section(
            **{"name": "fine", "title": "Fine", "order": 1, "render": lambda report: "no", **wrong}
        )


def test_the_influence_is_the_derivative_of_the_distance():
    """ψ(x) is what a small weight on x adds to the Fréchet distance over that weight,
    and its mean over the samples is 0.
    """
    rng = np.random.default_rng(3)
    rows, held = rng.normal(size=(400, 5)) * [1, 2, 1, 1, 0.5] + 0.3, rng.normal(size=(500, 5))
    found = worst_samples.influence(rows, held)
    still = frechet_distance.fit(held)
    whole = frechet_distance.distance(rows, still)
    without = np.array([frechet_distance.distance(np.delete(rows, k, 0), still) for k in range(40)])
    assert np.corrcoef(whole - without, found[:40])[0, 1] > 0.999
    assert (whole - without) * 399 == pytest.approx(found[:40], rel=0.1, abs=0.2)
    assert found.mean() == pytest.approx(0, abs=0.02)


def test_the_worst_samples_cost_more_than_others():
    """Planted outliers are found, and without them the distance falls further than without as
    many others.
    """
    rng = np.random.default_rng(4)
    rows, held = rng.normal(size=(600, 6)), rng.normal(size=(600, 6))
    rows[:10] += 6
    value, places = worst_samples._costly(rows, held)
    assert set(range(10)) <= set(places.tolist())
    still = frechet_distance.fit(held)
    assert (
        frechet_distance.distance(np.delete(rows, places, 0), still)
        < frechet_distance.distance(rows, still) / 2
    )
    assert value[places[0]] == value.max()


def test_the_line_in_1_over_n_meets_its_intercept():
    """Values that are 2 + 30 / n give this line; of an interval it is asked only where
    that is bounded.
    """
    blocks = np.arange(400) % 20
    line = convergence.fitted(blocks, lambda rows: 2 + 30 / rows.sum(), 50, True)
    assert (line.intercept, line.slope) == (pytest.approx(2), pytest.approx(30))
    assert line.low <= 2 + 1e-9
    assert line.high >= 2 - 1e-9
    assert line.sizes == (80, 100, 200, 400)
    assert np.isnan(convergence.fitted(blocks, lambda rows: 2 + 30 / rows.sum(), 50, False).low)
    with pytest.raises(UserError, match="a part needs at least 300"):
        convergence.fitted(blocks, lambda rows: 1.0, 300, True)


@pytest.mark.parametrize("rate", [0.106, 31.31, 1581443162.989])
def test_one_run_of_any_speed_has_its_point(rate, runs):
    """A single point on a logarithmic axis is drawn without a remark of matplotlib's,
    whatever its place.
    """
    one = replace(runs[1][0], cost={**runs[1][0].cost, "images_per_second": rate})
    assert hasattr(tradeoffs.render(html_page.Report(run_data.runs_of([one]))), "__html__")


SCORE = Score(
    "p",
    "m",
    value=1.0,
    se=0.05,
    se_reference=0.05,
    low=0.9,
    high=1.1,
    n=200,
    real=0.3,
    real_high=0.4,
)


@pytest.mark.parametrize(
    ("changed", "measure", "kind"),
    [
        ({}, {}, "worse"),
        ({"value": 0.35, "low": 0.3, "high": 0.4}, {}, "same"),
        (
            {"value": 0.01, "low": 0.0, "high": 0.02, "se": 0.005, "se_reference": 0.01},
            {},
            "beyond",
        ),
        ({"real": None}, {}, "none"),
        ({"n": 100}, {"metric": "fd", "features": "digits.pool"}, "none"),
        ({"better": "higher", "real": 0.98, "real_high": 0.99}, {}, "same"),
        ({"better": "higher", "real": 1.5, "real_high": 1.6}, {}, "worse"),
        ({"better": "higher"}, {}, "beyond"),
    ],
)
def test_what_is_said_of_a_number_against_real_images(changed, measure, kind):
    """Above the 95 % point it differs, below no difference is shown;
    beyond both errors on the good side it is beyond; few samples allow no statement.
    """
    assert versus_real.against_real(replace(SCORE, **changed), measure).kind == kind


def test_a_sheet_fits_and_says_what_it_gave_up():
    """Too large a sheet loses its last columns, then halves its images;
    what fits is kept pixel by pixel.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(6, 10, 3, 128, 128), dtype=np.uint8)
    whole = image_sheet.sheet(images, 10**9)
    assert (whole.note, whole.rows, whole.columns, whole.width) == ("", 6, 10, 1298)
    few = image_sheet.sheet(images, len(whole.address) // 3)
    assert few.columns < 10
    assert few.note.startswith("the first")
    least = image_sheet.sheet(images, 100_000)
    assert "reduced" in least.note
    assert len(least.address) < 300_000


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; without playwright or the browser the tests are reported as not run."""
    program = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )
    if program is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("not run: no browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, pages, tmp_path):
    """opened(page, **what a context takes) -> the page in the browser,
    and what was said on its console or asked of the network.
    """
    contexts = []

    def call(page=pages[1], **words):
        (tmp_path / "report.html").write_bytes(page)
        contexts.append(browser.new_context(**words))
        tab, heard = contexts[-1].new_page(), []
        tab.on("console", lambda message: heard.append(message.text))
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.on(
            "request",
            lambda asked: (
                heard.append(asked.url[:80])
                if not asked.url.startswith(("file:", "data:"))
                else None
            ),
        )
        tab.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        tab.goto((tmp_path / "report.html").as_uri())
        return tab, heard

    yield call
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_a_browser_hears_no_error_and_no_request(opened):
    """In both themes, on a desk and on a phone, nothing is said on the console,
    nothing asked of the network, and nothing overflows the page.
    """
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            tab, heard = opened(color_scheme=scheme, viewport={"width": width, "height": 800})
            assert heard == []
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            assert tab.evaluate(
                "[...document.images].every((one) => one.complete && one.naturalWidth > 0)"
            )


@pytest.mark.browser
def test_the_policy_is_in_force(opened):
    """A script or a picture from elsewhere that got into the page would not run and not load."""
    tab, heard = opened()
    tab.evaluate("""() => {
        const script = document.createElement("script"); script.textContent = "window.ran = true"; document.body.append(script);
        const image = new Image(); image.src = "http://127.0.0.1:9/x.png"; document.body.append(image);
    }""")  # noqa: E501
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.ran") is None
    assert len(heard) >= 2
    assert all(
        "Content Security Policy" in line or line.startswith("http://127.0.0.1:9") for line in heard
    ), heard


@pytest.mark.browser
def test_tables_are_sorted_by_keyboard(opened):
    """Enter on a heading sorts ascending, then descending, then as it was;
    the heading says which, and what is no number stands last.
    """
    tab, _ = opened()
    heading = tab.locator("#numbers thead th").nth(1)
    values = (
        "[...document.querySelectorAll('#numbers tbody tr')].map((row) => "
        "Number(row.cells[1].dataset.value))"
    )
    before = tab.evaluate(values)
    heading.locator("button").focus()
    for said, expected in (
        ("ascending", sorted(before)),
        ("descending", sorted(before, reverse=True)),
        (None, before),
    ):
        tab.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == said
        assert tab.evaluate(values) == expected


@pytest.mark.browser
def test_pictures_are_enlarged_by_keyboard(opened):
    """Enter on a picture opens it larger, plus and minus change its size,
    Escape goes back to it.
    """
    tab, heard = opened()
    button = tab.locator("#samples button.zoom").first
    button.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#zoom").evaluate("(one) => one.open")
    width = "document.querySelector('#zoom-place img').width"
    first = tab.evaluate(width)
    tab.keyboard.press("+")
    assert tab.evaluate(width) > first
    tab.keyboard.press("-")
    assert tab.evaluate(width) == first
    tab.keyboard.press("Escape")
    assert not tab.locator("#zoom").evaluate("(one) => one.open")
    assert button.evaluate("(one) => one === document.activeElement")
    assert heard == []


@pytest.mark.browser
def test_the_theme_follows_the_system_and_then_the_reader(opened):
    """Light and dark by the system; the button changes it,
    and it stays so when the page is opened again.
    """
    ground = "getComputedStyle(document.body).backgroundColor"
    tab, _ = opened(color_scheme="dark")
    dark = tab.evaluate(ground)
    other, _ = opened(color_scheme="light")
    light = other.evaluate(ground)
    assert dark != light
    tab.locator("#theme").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate(ground) == light
    tab.reload()
    assert tab.evaluate(ground) == light


@pytest.mark.browser
def test_on_paper_the_page_is_light_and_fits(opened):
    """Printed from a dark theme the ground is white, tables fit an A4 page,
    and what was folded is open.
    """
    tab, _ = opened(color_scheme="dark", viewport={"width": 760, "height": 1000})
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 760
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("[...document.querySelectorAll('details')].every((one) => one.open)")


@pytest.mark.browser
def test_without_scripts_everything_can_be_read(opened):
    """Where no script runs, numbers, pictures and plots are seen,
    and no control that would need one.
    """
    tab, _ = opened(java_script_enabled=False)
    assert tab.locator("#numbers tbody tr").first.is_visible()
    assert tab.locator("#samples img").first.is_visible()
    assert tab.locator("#convergence svg").first.is_visible()
    assert not tab.locator("#theme").is_visible()
    assert tab.locator("button.zoom").count() == 0
