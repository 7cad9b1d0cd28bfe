"""Numbers that others report stand below a board's own, marked and with their source,
and are never ranked with them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from helpers.board_entries import contents, made

from genbench.api import _registry as registry
from genbench.leaderboards import entries, reported_values, write_board

OWN = """generator,metric,value,source
DDPM,fd_digits,0.5,"Ho et al., table 1"
DDPM,recall_digits,0.61234567,"Ho et al., table 1"
DDPM,fid,3.17,another table
=cmd|1,fd_digits,1e-12,"<script>alert(1)</script> | $x_1$ & 5 %"
"""


@pytest.fixture
def board(here):
    """Two generators, and a user's reported.csv with better numbers than either."""
    write_board.enter(made("ours", 1.0), here / "leaderboards")
    (here / "leaderboards/digits/reported.csv").write_text(OWN)
    write_board.enter(made("theirs", 9.0), here / "leaderboards")
    return here / "leaderboards/digits"


def test_they_stand_in_a_block_below_and_are_not_ranked(board, cli):
    """The best reported number takes no rank from a measured one."""
    _, out, _ = cli("leaderboard", "digits")
    own, others = out.split(f"\n\n{reported_values.WORDS}\n\n")
    assert [line.split()[:2] for line in own.splitlines()[1:]] == [["1", "ours"], ["2", "theirs"]]
    lines = others.strip().splitlines()
    assert [line.split()[0] for line in lines] == ["rank", "reported", "reported", "reported"]
    assert re.fullmatch(r"reported +DDPM +Ho et al., table 1 +0.5 +0.612346 +–", lines[1])
    assert re.fullmatch(r"reported +DDPM +another table +– +– +3.17", lines[2])
    assert lines[0].split() == [
        "rank",
        "generator",
        "source",
        "fd_digits",
        "↓",
        "recall_digits",
        "↑",
        "fid",
    ]


def test_the_boards_page_and_its_csv_have_them_too(board):
    """README.md in a second table, table.csv in rows at its end with their source and
    without a rank.
    """
    page = (board / "README.md").read_text()
    assert (
        page.index("| ours") < page.index(reported_values.WORDS) < page.index("| reported | DDPM")
    )
    rows = list(csv.DictReader(io.StringIO((board / "table.csv").read_text())))
    assert [
        (row["generator"], row["rank_low"], row["ranked"], row["reported"]) for row in rows
    ] == [
        ("ours", "1", "True", "False"),
        ("theirs", "2", "True", "False"),
        *[(name, "", "False", "True") for name in ("DDPM", "DDPM", "'=cmd|1")],
    ]
    assert (rows[2]["recall_digits"], rows[2]["source"], rows[3]["fid"], rows[4]["fd_digits"]) == (
        "0.61234567",
        "Ho et al., table 1",
        "3.17",
        "1e-12",
    )


def test_json_has_them_to_the_last_digit(board, cli):
    rows = json.loads(cli("leaderboard", "digits", "--json")[1])
    assert [row["reported"] for row in rows] == [False, False, True, True, True]
    assert (rows[4]["fd_digits"], rows[4]["rank_low"], rows[0]["source"], rows[0]["rank_low"]) == (
        1e-12,
        None,
        None,
        1,
    )


@pytest.mark.parametrize("how", ["markdown", "latex"])
def test_a_papers_table_has_two_blocks_and_obeys_no_source(board, how, cli):
    """Strangers' words are escaped as in the board itself."""
    _, out, _ = cli("leaderboard", "digits", "--format", how)
    assert "<script" not in out or how == "latex"
    if how == "latex":
        assert (out.count(r"\begin{tabular}"), out.count("reported & ")) == (2, 3)
        body = "\n".join(line for line in out.splitlines() if "reported &" in line)
        assert not re.search(r"(?<!\\)[%#$]", body)
        assert f"% {reported_values.WORDS}" in out
    else:
        assert (
            len(
                {
                    len(re.findall(r"(?<!\\)\|", line))
                    for line in out.split(reported_values.WORDS)[1].strip().splitlines()
                }
            )
            == 1
        )


def test_a_board_without_them_is_as_it_was(here, cli):
    """No block, and no columns for it."""
    write_board.enter(made("ours", 1.0), here / "leaderboards")
    _, out, _ = cli("leaderboard", "digits", "--json")
    assert "reported" not in json.loads(out)[0]
    assert (
        reported_values.WORDS
        not in (here / "leaderboards/digits/README.md").read_text()
        + cli("leaderboard", "digits")[1]
    )


def test_a_protocols_published_numbers_stand_there_by_themselves(tmp_path):
    """Those of the board's own data set, from the protocol's row;
    an entry that agrees rewrites nothing.
    """
    found = made("ours", protocols=("ttur",))
    protocols = {
        name: {**one, "dataset": "cifar10"} for name, one in found.plan["protocols"].items()
    }
    found = replace(found, plan={**found.plan, "protocols": protocols})
    (name,) = write_board.enter(found, tmp_path)
    row = registry.find("protocols", "ttur")
    wanted = [one for one in row.published if one.dataset == "cifar10"]
    assert wanted
    assert entries.others_of(tmp_path / name, entries.entries(tmp_path / name)) == wanted
    page = (tmp_path / name / "README.md").read_text()
    assert "| reported | DDPM" in page
    assert "Ho et al. 2020, table 1" in page
    before = contents(tmp_path)
    write_board.enter(found, tmp_path)
    assert contents(tmp_path) == before


WRONG = {
    "generator,metric,value\nDDPM,fid,3\n": "its first line must be generator,metric,value,source",
    "": "its first line must be",
    "generator,metric,value,source\nDDPM,fid,low,paper\n": "line 2: could not convert",
    "generator,metric,value,source\nDDPM,fid,nan,paper\n": "line 2: nan is no finite number",
    "generator,metric,value,source\nDDPM,fid,3,\n": (
        "line 2: wanted are 4 fields, none of them empty"
    ),
    "generator,metric,value,source\nDDPM,fid,3,paper,more\n": "line 2: wanted are 4 fields",
    "generator,metric,value,source\nDDPM,ranked,3,paper\n": "line 2: ranked is no name of a metric",
    "generator,metric,value,source\nDDPM,FID 50k,3,paper\n": (
        "line 2: FID 50k is no name of a metric"
    ),
    "\xff\xfe": "reported.csv: ",
    "x" * (2**20 + 1): "it is longer than",
}


@pytest.mark.parametrize(("text", "line"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_in_the_file_is_named_and_left_out(text, line, here, cli):
    """The board is shown without it, with a line that says where."""
    write_board.enter(made("ours", 1.0), here / "leaderboards")
    (here / "leaderboards/digits/reported.csv").write_bytes(text.encode("latin-1"))
    status, out, err = cli("leaderboard", "digits")
    assert (status, "ours" in out, reported_values.WORDS in out, len(err.splitlines())) == (
        0,
        True,
        False,
        1,
    )
    assert err.startswith("left out: leaderboards/digits/reported.csv")
    assert line in err
