"""Leaderboards: no entry is lost, nothing is rewritten without need,
and what a stranger names is harmless.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import re
from dataclasses import replace

import pytest
from helpers.board_entries import PROTOCOL, _enter, contents, made
from helpers.places import ROOT

from genbench.api import _registry as registry
from genbench.leaderboards import entries, tables, write_board
from genbench.runs.records import metric_versions, record
from genbench.runs.run import evaluate


def rows_of(root, **words):
    found = entries.entries(root / "digits", **words)
    return {
        row["generator"]: row
        for row in csv.DictReader(io.StringIO(tables.shown(found, "fd_digits", "csv")))
    }


def test_fifty_processes_enter_at_once_and_none_is_lost(tmp_path):
    """Fifty processes that enter different records at the same moment leave fifty entries,
    a table of fifty rows, and a page that names them all.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "pytest",
            "pandas",
            "tabulate",
            "scipy.stats",
            "filelock",
            "genbench.leaderboards.write_board",
        ]
    )
    ready = context.Barrier(50)
    processes = [
        context.Process(target=_enter, args=(number, tmp_path, ready)) for number in range(50)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0] * 50
    names = {f"generator-{number}" for number in range(50)}
    assert len(list((tmp_path / "digits" / "entries").glob("*.json"))) == 50
    assert {
        row["generator"]
        for row in csv.DictReader((tmp_path / "digits" / "table.csv").read_text().splitlines())
    } == names
    page = (tmp_path / "digits" / "README.md").read_text()
    assert all(re.search(rf"\| {name}\b", page) for name in names)
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_entry_that_agrees_is_left_untouched(tmp_path):
    """A run whose numbers agree to a thousandth of their value or error, made later elsewhere,
    changes no byte and no time of the board's files.
    """
    write_board.enter(made("ddpm", fd=2.0), tmp_path)
    before = contents(tmp_path)
    write_board.enter(made("ddpm", fd=2.0015, created="2027-01-01T00:00:00+00:00"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("change", ["a number", "a number gone", "damage"])
def test_an_entry_that_says_something_else_is_written_again(tmp_path, change, capsys):
    """A number that differs, one that is no more there, or a damaged file make the entry new,
    and the table with it.
    """
    write_board.enter(made("ddpm", fd=2.0), tmp_path)
    ours = made("ddpm", fd=2.0 if change != "a number" else 2.01)
    if change == "a number gone":
        ours = replace(
            ours, scores=(ours.scores[0], replace(ours.scores[1], status="skipped", value=None))
        )
    path = next((tmp_path / "digits" / "entries").glob("*.json"))
    if change == "damage":
        path.write_bytes(path.read_bytes()[:-9])
    write_board.enter(ours, tmp_path)
    assert record.read(path).scores == ours.scores
    assert ("damaged entry" in capsys.readouterr().err) == (change == "damage")
    assert float(rows_of(tmp_path)["ddpm"]["fd_digits"]) == ours.scores[0].value


def test_a_board_shows_the_newest_of_each_label(tmp_path, here, cli):
    """Two runs of one label stand as one row, the newer, whatever the order of entering;
    --all shows both.
    """
    for created, seed in (("2026-05-01T00:00:00+00:00", 1), ("2026-01-01T00:00:00+00:00", 0)):
        write_board.enter(
            made("ddpm", fd=1.0 + seed, seed=seed * 2**20, created=created), here / "leaderboards"
        )
    (shown,) = json.loads(cli("leaderboard", "digits", "--json")[1])
    assert (shown["created"], shown["fd_digits"]) == ("2026-05-01T00:00:00+00:00", 2.0)
    assert len(json.loads(cli("leaderboard", "digits", "--json", "--all")[1])) == 2
    assert (
        len(
            list(
                csv.DictReader(
                    (here / "leaderboards" / "digits" / "table.csv").read_text().splitlines()
                )
            )
        )
        == 1
    )


def test_a_run_stands_on_a_board_per_protocol(tmp_path):
    """A record under two protocols enters two boards, each entry with the numbers of its own."""
    assert write_board.enter(made("ddpm", protocols=("digits", "other")), tmp_path) == [
        "digits",
        "digits-other",
    ]
    for board, protocol in (("digits", "digits"), ("digits-other", "other")):
        (entry,) = entries.entries(tmp_path / board)
        assert (
            {score.protocol for score in entry.record.scores}
            == {protocol}
            == set(entry.record.plan["protocols"])
        )


def test_only_competitors_that_fit_are_ranked(tmp_path):
    """A line of reference and a run off the protocol have the rank –,
    stand where their numbers put them, and count for nobody else's rank.
    """
    for one in (
        made("best", 1.0),
        made("real", 0.1, competitor=False),
        made("short", 0.5, fits=False),
        made("worst", 9.0),
    ):
        write_board.enter(one, tmp_path)
    found = entries.entries(tmp_path / "digits")
    frame = tables.people(found, "fd_digits")
    assert frame["generator"].tolist() == [
        "real (not ranked)",
        "short (not ranked)",
        "best",
        "worst",
    ]
    assert frame["rank"].tolist() == ["–", "–", "1", "2"]


def test_equal_generators_share_a_range_of_ranks(tmp_path):
    """Entries whose intervals do not tell them apart have the range of ranks that they share,
    by either direction.
    """
    for one in (made("a", 1.0, 0.90), made("b", 1.001, 0.90, turn=-1), made("c", 9.0, 0.1)):
        write_board.enter(one, tmp_path)
    found = entries.entries(tmp_path / "digits")
    for metric in ("fd_digits", "recall_digits"):
        assert tables.people(found, metric).set_index("generator")["rank"].to_dict() == {
            "a": "1-2",
            "b": "1-2",
            "c": "3",
        }


NASTY = [
    "a|b",
    "=cmd|'/c calc'!A1",
    "+1",
    "-1",
    "@x",
    "<script>alert(1)</script>",
    "red\x1b[31m",
    "two\nlines",
    "100% & $x_1$ #",
    "**bold** ![i](http://x/y)",
    "`<i>`",
]


@pytest.fixture
def nasty(tmp_path):
    for place, label in enumerate(NASTY):
        write_board.enter(made(label, 1.0 + place), tmp_path)
    return entries.entries(tmp_path / "digits")


@pytest.mark.parametrize("how", ["csv", "json", "markdown", "latex", "table"])
def test_every_format_has_a_row_for_each_and_no_control_character(nasty, how):
    """Each format keeps its rows apart whatever a label holds,
    and gives no control character to a terminal.
    """
    text = tables.shown(nasty, "fd_digits", how)
    assert all(c.isprintable() for line in text.split("\n") for c in line)
    if how == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["fd_digits"]) for row in rows] == [1.0 + i for i in range(len(NASTY))]
        assert not any(row["generator"].startswith(("=", "+", "-", "@")) for row in rows)
    elif how == "json":
        assert [row["fd_digits"] for row in json.loads(text)] == [
            1.0 + i for i in range(len(NASTY))
        ]
    elif how == "markdown":
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}
        assert (len(text.splitlines()), len(columns)) == (len(NASTY) + 2, 1)
        assert "<script" not in text
    elif how == "latex":
        body = re.search(r"\\midrule\n(.*)\n\\bottomrule", text, re.DOTALL)[1].splitlines()
        # rank, label, two numbers, seconds
        assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [4] * len(NASTY)
        assert not re.search(r"(?<!\\)[%#$]", "\n".join(body))
    else:
        assert len(text.splitlines()) == len(NASTY) + 1


def test_the_page_of_a_board_obeys_no_label(nasty, tmp_path):
    """In a board's README no label becomes HTML, a picture from elsewhere, or a line of its own."""
    for label in NASTY:
        found = made(label, 0.01)
        (tmp_path / "grids").mkdir(exist_ok=True)
        (tmp_path / "grids" / "samples.png").write_bytes(b"png")
        write_board.enter(replace(found, folder=str(tmp_path / "grids")), tmp_path)
    page = (tmp_path / "digits" / "README.md").read_text()
    assert not re.search(r"<\w", page)
    assert "![i](" not in page
    assert all(c.isprintable() for line in page.split("\n") for c in line)
    # the sentence that names the folder, and the pictures
    assert page.count("entries/") == page.count("](entries/") + 1


def test_programs_get_every_digit(tmp_path):
    """JSON and CSV give a number to its last digit, however small,
    and null or nothing for one that is missing.
    """
    ours = made("a", 1.23456789012345e-11)
    write_board.enter(
        replace(ours, scores=(replace(ours.scores[0], se=None), ours.scores[1])), tmp_path
    )
    (row,) = json.loads(tables.shown(entries.entries(tmp_path / "digits"), "fd_digits", "json"))
    assert (row["fd_digits"], row["fd_digits_se"], row["checkpoint"], row["ranked"], row["n"]) == (
        1.23456789012345e-11,
        None,
        None,
        True,
        40,
    )
    assert float(rows_of(tmp_path)["a"]["fd_digits"]) == 1.23456789012345e-11


def test_a_damaged_entry_is_named_and_the_others_stand(tmp_path, capsys):
    """One entry cut short is left out with a line; the rest of the board is shown."""
    for label in ("a", "b"):
        write_board.enter(made(label), tmp_path)
    path = min((tmp_path / "digits" / "entries").glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])
    assert len(entries.entries(tmp_path / "digits")) == 1
    assert f"damaged entry left out: {path}" in capsys.readouterr().err


def test_a_number_that_one_entry_lacks_is_a_gap(tmp_path):
    """An entry without a number has – for people and an empty cell for programs,
    and the others keep theirs.
    """
    ours = made("a", 1.0)
    write_board.enter(
        replace(
            ours,
            scores=(
                replace(ours.scores[0], status="failed", value=None, reason="x"),
                ours.scores[1],
            ),
        ),
        tmp_path,
    )
    write_board.enter(made("b", 2.0), tmp_path)
    found = entries.entries(tmp_path / "digits")
    assert tables.people(found, "fd_digits")["fd_digits ↓"].tolist() == ["2.00 ± 0.10", "–"]
    assert (rows_of(tmp_path)["a"]["fd_digits"], rows_of(tmp_path)["b"]["fd_digits"]) == ("", "2")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("leaderboard",), "there is no board in leaderboards: genbench run writes one"),
        (
            ("leaderboard", "--leaderboards", "full", "digit"),
            "no board 'digit' in full: did you mean digits? Known: digits",
        ),
        (("leaderboard", "--leaderboards", "full", "--sort", "fd"), "--sort fd: "),
    ],
)
def test_a_wrong_board_is_a_line(here, cli, words, line):
    """A board that is not there and a number that it has not are refused in one line with
    exit 2.
    """
    write_board.enter(made("a"), here / "full")
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"genbench: {line}")


def test_what_was_found_stands_on_the_boards_page(tmp_path):
    """finding*.md in a board's folder is part of README.md, a level down,
    and stays when an entry comes in.
    """
    write_board.enter(made("a"), tmp_path)
    (tmp_path / "digits" / "finding_a.md").write_text("# Collapse\n\nOf nines.\n\n## How\n")
    write_board.enter(made("b"), tmp_path)
    assert (
        "\n\n## Collapse\n\nOf nines.\n\n### How\n"
        in (tmp_path / "digits" / "README.md").read_text()
    )


def by_formula(label, formula, fd=1.0, **rest):
    """A record whose first number was taken by a formula; None: it does not say by which."""
    found = made(label, fd, **rest)
    measures = [
        {"name": "fd_digits", **({"formula": formula} if formula else {})},
        {"name": "recall_digits"},
    ]
    return replace(
        found, plan={**found.plan, "protocols": {"digits": {**PROTOCOL, "measures": measures}}}
    )


def test_numbers_of_two_formulas_are_not_ranked_together(tmp_path):
    """The newest entry's formula decides: an entry of another stands unranked;
    one that does not say its formula is ranked as ever.
    """
    write_board.enter(by_formula("older", "a", 1.0), tmp_path)
    write_board.enter(by_formula("unsaid", None, 2.0), tmp_path)
    write_board.enter(by_formula("newer", "b", 3.0, created="2026-02-01T00:00:00+00:00"), tmp_path)
    write_board.enter(by_formula("other", "b", 4.0, created="2026-02-02T00:00:00+00:00"), tmp_path)
    ranks = (
        tables.people(entries.entries(tmp_path / "digits"), "fd_digits")
        .set_index("generator")["rank"]
        .to_dict()
    )
    assert ranks == {"older (not ranked)": "–", "unsaid": "1", "newer": "2", "other": "3"}


def test_a_run_taken_again_by_the_new_formula_is_ranked(tmp_path):
    """The same numbers by another formula are another entry's text:
    it is written again and stands with the newest; by the same formula it is left.
    """
    write_board.enter(by_formula("a", "a", 1.0), tmp_path)
    write_board.enter(by_formula("b", "b", 2.0, created="2026-02-01T00:00:00+00:00"), tmp_path)
    write_board.enter(by_formula("a", "b", 1.0), tmp_path)
    assert [entry.ranked for entry in entries.entries(tmp_path / "digits")] == [True, True]
    before = contents(tmp_path)
    write_board.enter(by_formula("a", "b", 1.0, created="2027-01-01T00:00:00+00:00"), tmp_path)
    assert contents(tmp_path) == before


def test_every_measure_of_a_run_says_its_versions(here):
    """What a new run's record holds for each number: of its formula, of its interval's blocks,
    of the leave-outs and of the real-vs-real line.
    """
    found = evaluate("noise", n=40, metrics=("fd", "is"), out=here / "runs")
    measures = found.plan["protocols"]["digits"]["measures"]
    assert [m["formula"] for m in measures] == ["fd/1", "is/1"]
    assert {(m["interval"], m["leave_outs"], m["real_vs_real"]) for m in measures} == {
        ("balanced/1", "exact", "splits/1")
    }
    assert found.plan["protocols"]["digits"]["extractors"]["digits"]["code"] == "digits/1"


def test_the_committed_boards_were_measured_by_the_versions_that_are_here():
    """Every number of every committed entry has the version that a run of today would name,
    so that none of them stands unranked beside it.
    """
    root = ROOT / "leaderboards"
    taken = [
        (entry.id, m)
        for board in entries.boards(root)
        for entry in entries.entries(root / board)
        for m in entry.protocol["measures"]
        if not m["skip"]
    ]
    assert taken
    stale = {
        (entry, m["name"])
        for entry, m in taken
        if m["formula"] != metric_versions.formula_of(registry.find("metrics", m["metric"]))
    }
    assert not stale
