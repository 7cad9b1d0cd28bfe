"""Studies of raters: what a study file holds, blind to those who answer;
results, records, and the columns of the published study.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.human_studies import N, first, rated, study, told, truths
from PIL import Image

from genbench.human import answers, csv_formats, results
from genbench.human.create_study import png
from genbench.human.session import Session
from genbench.human.store import OF_A_RATER, Given, Store
from genbench.leaderboards.entries import entries
from genbench.runs.records import find, record

HOSTILE = "</script>\x1b[31m=cmd|'::error"
# Of the published per-participant files: the share of fakes taken for real (LDM of
# ImageNet is .32346).
PUBLISHED = {
    "cifar10": (
        "RESFLOW .086 ACGAN .116 NVAE .134 WGAN-GP .181 LOGAN .208 MHGAN .341 ReACGAN .345 BigGAN "
        ".393 StyleGAN2-ada .399 iDDPM-DDIM .410 StyleGAN-XL .420 PFGMPP .450 LSGM-ODE .456"
    ),
    "imagenet256": (
        "BigGAN .161 StyleGAN-XL .162 Mask-GIT .203 GigaGAN .212 RQ-Transformer .242 ADMG .259 ADM "
        ".279 ADMG-ADMU .298 DiT-XL-2 .307 LDM .324 DiT-XL-2-guided .330"
    ),
    "ffhq256": (
        "efficient-vdvae .096 projected-gan .134 stylegan-xl .158 styleswin .161 ldm .178 "
        "unleashing .203 stylegan2-ada .216 insgen .236 stylenat .283"
    ),
    "lsun256": (
        "projected-gan .140 diffusion-projected-gan .167 ct2 .179 unleashing-transformers .240 "
        "stylegan .254 ddpm .276 iddpm .331 admnet-dropout .440"
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two small finished runs of digits, one labelled, in a folder of their own."""
    from genbench.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    for plugin in ("vae", "noise"):
        words = [
            "run",
            "--plugin",
            plugin,
            "--dataset",
            "digits",
            "--n",
            N,
            "--metrics",
            "fd",
            "--out",
            folder,
            "--leaderboards",
            "none",
            "--quiet",
        ]
        assert main([str(word) for word in words]) == 0
    found = {
        json.loads(path.read_text())["plan"]["label"]: path.parent
        for path in folder.glob("*/run.json")
    }
    return found["vae"], found["noise"]


def test_a_study_tells_nothing_by_its_pictures(runs, tmp_path):
    """All pictures are PNG of one size to the byte, of three chunks;
    ids are in the order of chance; pixels are the run's and the data set's own.
    """
    store = Store(study(tmp_path, runs))
    rows = store.rows("SELECT blind, png, model, place FROM pictures ORDER BY rowid")
    assert len({len(data) for _, data, _, _ in rows}) == 1
    assert [blind for blind, *_ in rows] == sorted(blind for blind, *_ in rows)
    for _, data, _, _ in rows:
        kinds, at = [], 8
        while at < len(data):
            kinds.append(data[at + 4 : at + 8])
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    models = [model for *_, model, _ in rows]
    assert Counter(models) == {"vae": N, "noise": N, "real": 2 * N, "": 10}
    assert models != sorted(models)
    from genbench.runs.export_samples import samples_of

    found = next(samples_of(find.find(str(runs[0]), tmp_path)).pieces())
    data, place = next((data, place) for _, data, model, place in rows if model == "vae")
    assert (np.asarray(Image.open(io.BytesIO(data))) == found[place]).all()
    assert oct(store.path.stat().st_mode & 0o777) == "0o600"


def test_the_design_is_written_down_and_sealed(runs, tmp_path):
    """Kind, models with their runs, real split, trials, raters,
    exclusion rule and analysis are in the design, whose digest names it.
    """
    from genbench._util.hashing import digest

    design = Store(study(tmp_path, runs)).about["design"]
    assert [one["run"] for one in design["models"]] == [run.name for run in runs]
    assert (
        design["real"]["dataset"],
        design["real"]["split"],
        design["trials"],
        design["raters"],
    ) == ("digits", "heldout", 20, 4)
    assert set(design["exclusion"]) == {"catch_accuracy", "median_ms", "streak"}
    assert (
        digest({key: value for key, value in design.items() if key != "digest"}) == design["digest"]
    )
    assert "secret" not in design
    again, other = (Store(study(tmp_path, runs, seed=seed)) for seed in (1, 2))
    assert again.about["secret"] != Store(tmp_path / "study-0.db").about["secret"]
    assert other.about["design"]["digest"] != again.about["design"]["digest"]


def test_a_png_is_of_one_size_whatever_it_shows():
    """Flat and noisy pictures take the same bytes."""
    flat, noisy = (
        np.zeros((19, 23, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (19, 23, 3), dtype=np.uint8),
    )
    assert len(png(flat)) == len(png(noisy))
    assert (np.asarray(Image.open(io.BytesIO(png(noisy)))) == noisy).all()


def test_a_rater_who_sees_everything(runs, tmp_path):
    """No fake is taken for real, no real for fake; d' is large;
    the rater counts, and the number of answers leaves the catch trials out.
    """
    path = study(tmp_path, runs)
    for _ in range(3):
        rated(path, told)
    found = results.found(answers.read(Store(path)))
    by = {(row["model"], row["number"]): row for row in found["registered"]["numbers"]}
    assert (found["raters"]["joined"], found["raters"]["counted"], found["repeats_agree"]) == (
        3,
        3,
        1.0,
    )
    for model in ("vae", "noise"):
        assert (by[model, "error_fakes"]["value"], by[model, "error_reals"]["value"]) == (0, 0)
        assert by[model, "dprime"]["value"] > 2
        assert by[model, "error_fakes"]["high"] > 0.05  # Wilson's, for the few fakes there were
    assert (
        by["vae", "error_fakes"]["answers"]
        + by["noise", "error_fakes"]["answers"]
        + by["vae", "error_reals"]["answers"]
        == 3 * 18
    )


def test_ranks_are_ranges_of_what_was_shown():
    """Only differences that Holm's rule shows separate; of preferences one half is the middle;
    one of a pair that is not shown may be either.
    """

    def row(a, b, value, p, number="error_fakes"):
        return {"model": a, "than": b, "number": number, "value": value, "p_holm": p}

    got = results.ranks(
        [
            row("a", "b", 0.2, 0.01),
            row("a", "c", 0.3, 0.01),
            row("b", "c", 0.1, 0.2),
            row("a", "b", 0.4, 0.01, "preferred"),
        ]
    )
    assert got == {
        "error_fakes": {"a": (1, 1), "b": (2, 3), "c": (2, 3)},
        "preferred": {"a": (2, 2), "b": (1, 1)},
    }


def test_exclusions_are_counted_and_both_results_shown(runs, tmp_path, cli):
    """A rater who always says fake is excluded by no rule but the streak, one too fast by time,
    one who stopped as unfinished; all are in the other table.
    """
    path = study(tmp_path, runs, trials=40)
    rated(path, told)
    rated(path, told)
    rated(
        path, lambda session, rater, k, truth: ("left", "right")[session.keys(rater).index("fake")]
    )
    rated(path, told, ms=300.0)
    rated(path, told, upto=7)
    status, out, _ = cli("human", "results", path)
    assert status == 0
    assert (
        "5 joined (planned 4), 2 counted, 3 excluded: median time < 400 ms 1, "
        "one key > 15 times in a row 1, unfinished 1"
    ) in out
    assert "as registered" in out
    assert "without exclusions" in out
    found = json.loads(cli("human", "results", path, "--json")[1])
    assert {row["raters"] for row in found["registered"]["numbers"]} == {2}
    assert {row["raters"] for row in found["all"]["numbers"]} == {5}


def test_pairs_and_ratings(runs, tmp_path, cli):
    """Which is better: who always takes the first gets real first, whatever the sides;
    which is real: always right; ratings: their mean and alpha.
    """
    better, real = (
        study(tmp_path, runs, kind="which-is-better", trials=30),
        study(tmp_path, runs, kind="which-is-real", trials=30),
    )
    questions = tmp_path / "q.toml"
    questions.write_text(
        '[[question]]\ntext = "How sharp?"\n'
        'name = "sharp"\n[[question]]\ntext = "How nice?"\nname = "nice"\npoints = 7\n'
    )
    rating = study(tmp_path, runs, kind="rating", questions=questions, trials=40, pictures=10)
    for _ in range(5):
        rated(better, first)
        rated(real, first)
        rated(
            rating,
            lambda session, rater, k, truth: {"real": "5", "vae": "3", "noise": "1", "": "1"}[
                truth[0]
            ],
        )
    found = results.found(answers.read(Store(better)))["registered"]
    by = {row["model"]: row["value"] for row in found["numbers"]}
    assert by["real"] > by["vae"] > by["noise"]
    found = results.found(answers.read(Store(real)))["registered"]
    assert {row["model"]: row["value"] for row in found["numbers"]} == {"vae": 0, "noise": 0}
    found = results.found(answers.read(Store(rating)))["registered"]
    assert {
        row["model"]: row["value"] for row in found["numbers"] if row["number"] == "rating_sharp"
    } == {"vae": 3, "noise": 1, "real": 5}
    assert found["notes"] == [
        f"Krippendorff's alpha of {name} over raters: 1.00 (ordinal)" for name in ("sharp", "nice")
    ]
    for path in (better, real, rating):
        assert cli("human", "results", path)[0] == 0


def test_pairs_are_of_one_class(runs, tmp_path):
    """Where run and data set have labels, the two pictures of a pair are of one class,
    and no picture is in two pairs of a stratum.
    """
    from genbench.data.user_datasets import dataset_of

    store = Store(study(tmp_path, runs[:1], kind="which-is-real", trials=20))
    pairs = store.rows(
        "SELECT p.place, q.place FROM items JOIN pictures p ON p.blind = first JOIN pictures q ON "
        "q.blind = second WHERE p.model = 'real' AND q.model = 'vae'"
    )
    labels = next(iter(dataset_of("digits").open("heldout")))[1].numpy()
    assert len(pairs) > 20
    assert all(labels[real] == fake % 10 for real, fake in pairs)
    assert len({real for real, _ in pairs}) == len({fake for _, fake in pairs}) == len(pairs)


def test_an_answer_sent_again_changes_nothing(runs, tmp_path):
    """The first answer stays, also where another is sent for the same trial;
    a trial that was not given out takes none.
    """
    session = Session(Store(study(tmp_path, runs)))
    rater = session.store.rater_of(session.join())
    body = {"trial": 0, "pressed": "left", "reaction_ms": 500, "shown_ms": 500}
    assert (
        session.answer(rater, body)
        == session.answer(rater, body)
        == session.answer(rater, {**body, "pressed": "right"})
        == ""
    )
    assert session.store.rows("SELECT trial, pressed FROM answers") == [(0, "left")]
    assert session.answer(rater, {**body, "trial": 2}) == "that trial comes later"
    assert session.answer(rater, {**body, "trial": 999}) == "there is no such trial"


@pytest.mark.parametrize(
    "body",
    [
        {"trial": True},
        {"trial": -1},
        {"trial": 2**40},
        {"trial": "0"},
        {"pressed": "5"},
        {"pressed": ["left"]},
        {"reaction_ms": float("nan")},
        {"shown_ms": 1e300},
        {"reaction_ms": None},
    ],
)
def test_what_is_no_answer_is_refused(runs, tmp_path, body):
    """Other types, other keys and impossible times keep nothing."""
    session = Session(Store(study(tmp_path, runs)))
    rater = session.store.rater_of(session.join())
    assert session.answer(
        rater, {"trial": 0, "pressed": "left", "reaction_ms": 500, "shown_ms": 500} | body
    )
    assert session.store.rows("SELECT * FROM answers") == []


def test_one_step_back_once(runs, tmp_path):
    """The last answer can be taken back, once and one step; what was taken back is kept aside."""
    path = study(tmp_path, runs)
    rater, _ = rated(path, told, upto=3)
    session = Session(Store(path))
    assert session.state(rater)["back"]
    assert not session.undo(rater, {"trial": 2})
    assert session.undo(rater, {"trial": 3})
    assert (session.state(rater)["trial"], session.state(rater)["back"]) == (2, False)
    assert not session.undo(rater, {"trial": 2})
    assert (
        session.answer(rater, {"trial": 2, "pressed": "left", "reaction_ms": 500, "shown_ms": 500})
        == ""
    )
    assert not session.undo(rater, {"trial": 3})  # each answer once
    assert session.store.rows("SELECT COUNT(*) FROM undone") == [(1,)]


def test_raters_at_once_lose_nothing(runs, tmp_path):
    """Eight raters in eight threads: all have joined under numbers of their own,
    and every answer is there.
    """
    path = study(tmp_path, runs)
    Store(path).serve()
    threads = [threading.Thread(target=rated, args=(path, told)) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert Store(path).rows("SELECT rater, COUNT(*) FROM answers GROUP BY rater") == [
        (k, 20) for k in range(1, 9)
    ]


def test_a_deleted_rater_is_gone_from_the_file(runs, tmp_path):
    """After deletion no row, key or answer is left, in the file or in its log;
    that one withdrew is counted, and the number is not given again.
    """
    path = study(tmp_path, runs)
    Store(path).serve()
    rater, key = rated(path, told, ms=7531.25)
    rated(path, told)
    Store(path).forget(rater)
    assert Store(path).rater_of(key) is None
    assert [
        Store(path).rows(f"SELECT COUNT(*) FROM {table} WHERE rater = ?", rater)  # noqa: S608
        for table in OF_A_RATER
    ] == [[(0,)]] * 4
    left = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert np.float64(7531.25).byteswap().tobytes() not in left
    assert answers.read(Store(path)).withdrawn == 1
    assert rated(path, told)[0] == 3


def test_every_other_rater_has_real_on_the_left(runs, tmp_path):
    """The meaning of the keys is balanced over raters, and answers are kept by meaning."""
    path = study(tmp_path, runs)
    for _ in range(2):
        rated(path, told)
    session = Session(Store(path))
    assert [session.keys(rater) for rater in (1, 2)] == [("real", "fake"), ("fake", "real")]
    rows = answers.read(Store(path)).answers
    assert all((one.answer == "real") == (one.first == "real") for one in rows)


def test_the_state_tells_nothing(runs, tmp_path):
    """What the page is told has the same keys for real and fake, no model's name,
    and another id each time a picture comes.
    """
    path = study(tmp_path, runs)
    session = Session(Store(path))
    seen, ids = set(), []
    for _ in range(3):
        rater = session.store.rater_of(session.join())
        for k in range(20):
            state = session.state(rater)
            text = json.dumps(state)
            seen.add(tuple(state))
            ids += state["pictures"]
            assert not any(
                name in text.lower() for name in ("vae", "noise", "catch", "repeat", "stratum")
            )
            session.answer(
                rater, {"trial": k, "pressed": "left", "reaction_ms": 500, "shown_ms": 500}
            )
    assert len(seen) == 1
    assert len(ids) == len(set(ids)) == 60
    blind = {one for (one,) in session.store.rows("SELECT blind FROM pictures")}
    assert not blind & set(ids)


def test_refusals_of_a_new_study(runs, tmp_path, cli):
    """A file that exists, a run twice, too many trials, a run without images,
    unknown keys and names of questions: one line each, exit 2.
    """
    file = tmp_path / "s.db"
    new = ["human", "new", file, "--run", runs[0], "--out", tmp_path]
    assert cli(*new, "--run", runs[0])[::2] == (2, "genbench: one run is named twice\n")
    assert "are enough for" in cli(*new, "--trials", "2000")[2]
    (tmp_path / "q.toml").write_text('[[question]]\ntxt = "?"\n')
    assert "did you mean text?" in cli(*new, "--questions", tmp_path / "q.toml")[2]
    (tmp_path / "q.toml").write_text('[[question]]\ntext = "a"\n[[question]]\ntext = "b"\n')
    assert "--kind rating several" in cli(*new, "--questions", tmp_path / "q.toml")[2]
    assert cli(*new, "--kind", "rating", "--questions", tmp_path / "q.toml")[0] == 2
    (tmp_path / "q.toml").write_text("a = [")
    assert "is not TOML" in cli(*new, "--questions", tmp_path / "q.toml")[2]
    assert not file.exists()
    assert cli(*new)[0] == 0
    assert "exists already" in cli(*new)[2]


@pytest.mark.parametrize(
    "content", [b"", b"not a database at all, but long enough to be read as one" * 50, None]
)
def test_a_file_that_is_no_study(tmp_path, cli, content):
    """Empty files, other files and other programs' databases are refused with one line."""
    path = tmp_path / "s.db"
    if content is None:
        base = sqlite3.connect(path)
        base.execute("CREATE TABLE study(name TEXT, value TEXT)")
        base.commit()
        base.close()
    else:
        path.write_bytes(content)
    for command in (["results", path], ["serve", path], ["export", path, tmp_path / "out.csv"]):
        status, out, err = cli("human", *command)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "is no study of genbench human" in err
    assert "is no file" in cli("human", "results", tmp_path / "none.db")[2]


def test_exposing_needs_the_word(runs, tmp_path, cli):
    """Another machine's way in needs --unsafe-expose, and an address that raters can type;
    a missing extra is one line.
    """
    path = study(tmp_path, runs)
    assert "--unsafe-expose" in cli("human", "serve", path, "--host", "192.0.2.7")[2]
    assert (
        "answers to one name alone"
        in cli("human", "serve", path, "--host", "::", "--unsafe-expose")[2]
    )
    assert "an address such as" in cli("human", "serve", path, "--host", "example.org")[2]


def test_a_missing_extra_is_one_line(runs, tmp_path, cli, monkeypatch):
    """Without starlette or evalica the line to type is printed."""
    import sys

    path = study(tmp_path, runs, kind="which-is-better", trials=10)
    import genbench.human

    monkeypatch.delattr(genbench.human, "server", raising=False)
    monkeypatch.setitem(sys.modules, "genbench.human.server", None)
    assert 'pip install "genbench[human]"' in cli("human", "serve", path)[2]
    monkeypatch.setitem(sys.modules, "evalica", None)
    assert cli("human", "results", path)[::2] == (
        2,
        'genbench: genbench human needs pip install "genbench[human]"\n',
    )


def test_human_numbers_enter_record_and_board_and_leave_the_rest_alone(runs, tmp_path, cli):
    """Rows of method raters stand in record and board with n raters, unranked;
    the others and their ranks stay; twice is once; a rerun keeps them.
    """
    boards = tmp_path / "boards"
    common = (
        "--dataset",
        "digits",
        "--n",
        str(N),
        "--metrics",
        "fd",
        "--out",
        runs[0].parent,
        "--leaderboards",
        boards,
    )
    for plugin in ("vae", "noise"):
        assert cli("run", "--plugin", plugin, *common)[0] == 0
    before = {run: find.find(str(run), tmp_path) for run in runs}
    shown = cli(
        "leaderboard", next(boards.iterdir()).name, "--leaderboards", boards, "--format", "json"
    )[1]
    path = study(tmp_path, runs)
    for _ in range(5):
        rated(path, told)
    for _ in range(2):
        assert (
            cli(
                "human",
                "results",
                path,
                "--record",
                "--out",
                runs[0].parent,
                "--leaderboards",
                boards,
            )[0]
            == 0
        )
    try:
        for run, old in before.items():
            now = find.find(str(run), tmp_path)
            human = [one for one in now.scores if one.method == record.RATERS]
            assert [(one.metric, one.n) for one in human] == [
                ("human_error_rate", 5),
                ("human_dprime", 5),
            ]
            assert tuple(one for one in now.scores if one.method != record.RATERS) == old.scores
        board = next(boards.iterdir())
        assert {
            one.metric
            for entry in entries(board)
            for one in entry.record.scores
            if one.method == record.RATERS
        } == {"human_error_rate", "human_dprime"}
        after = json.loads(
            cli("leaderboard", board.name, "--leaderboards", boards, "--format", "json")[1]
        )
        for old, new in zip(json.loads(shown), after, strict=True):
            assert {key: new[key] for key in old} == old
        by_hand = cli(
            "leaderboard",
            board.name,
            "--leaderboards",
            boards,
            "--format",
            "table",
            "--sort",
            "human_error_rate",
        )
        assert by_hand[0] == 0
        assert "human_error_rate ↑" in by_hand[1]
        assert "human_error_rate ↑" in cli("show", runs[0])[1]
        assert cli("run", "--plugin", "vae", *common, "--metrics", "fd,kd")[0] == 0
        assert "human_dprime" in {one.metric for one in find.find(str(runs[0]), tmp_path).scores}
        assert cli("selftest", "--help")[0] == 0
    finally:
        for run, old in before.items():
            record.write(run / "run.json", old)


def test_hostile_names_are_harmless_everywhere(runs, tmp_path, cli):
    """A label with markup, an escape sequence and a formula stays text:
    in the file of the study, in results, in CSV.
    """
    found = find.find(str(runs[0]), tmp_path)
    run = tmp_path / "hostile"
    run.mkdir()
    (run / "shards").symlink_to(runs[0] / "shards")
    record.write(run / "run.json", replace(found, plan={**found.plan, "label": f"={HOSTILE}"}))
    path = study(tmp_path, [run])
    for _ in range(2):
        rated(path, told)
    for words in (
        ["results", path],
        ["results", path, "--json"],
        ["export", path, tmp_path / "out.csv"],
    ):
        status, out, err = cli("human", *words)
        assert status == 0
        assert "\x1b" not in out + err
    cells = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert all(one["model"].startswith("'=") and "\x1b" not in one["model"] for one in cells)


def test_export_and_import_agree(runs, tmp_path, cli):
    """A study that is exported in the published columns and imported again has the same rates."""
    path = study(tmp_path, runs, trials=40)
    rng = np.random.default_rng(0)
    for _ in range(4):
        rated(path, lambda session, rater, k, truth: ("left", "right")[int(rng.integers(2))])
    assert cli("human", "export", path, tmp_path / "out.csv")[:2] == (
        0,
        f"{tmp_path / 'out.csv'}: 8 rows\n",
    )
    assert cli("human", "import", tmp_path / "out.csv", tmp_path / "again.db")[0] == 0
    ours = results.of(answers.read(Store(path)), answers.read(Store(path)).raters)
    theirs = results.found(answers.read(Store(tmp_path / "again.db")))["registered"]
    rates = [
        {
            (row["model"], row["number"]): pytest.approx(row["value"])
            for row in found["numbers"]
            if row["number"] in ("error_fakes", "error_reals", "dprime")
        }
        for found in (ours, theirs)
    ]
    assert len(rates[0]) == 6
    assert rates[0] == {key: value.expected for key, value in rates[1].items()}
    assert cli("human", "export", tmp_path / "again.db", tmp_path / "twice.csv")[0] == 0
    again, once = ((tmp_path / name).read_text().splitlines() for name in ("twice.csv", "out.csv"))
    assert sorted(again) == sorted(once)
    assert "made elsewhere" in cli("human", "serve", tmp_path / "again.db")[2]
    assert "made elsewhere" in cli("human", "results", tmp_path / "again.db", "--record")[2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,model\n1,a\n", "lacks the columns num_correct"),
        ("", "lacks the columns"),
        (",".join(csv_formats.COLUMNS) + "\n", "no row in it"),
        (",".join(csv_formats.COLUMNS) + "\np,m,x,.1,.1,.1,.5,1,1,1\n", "line 2: num_correct"),
        (",".join(csv_formats.COLUMNS) + "\np,m,180,.1,nan,.1,.5,1,1,1\n", "line 2: f_err_rt"),
        (",".join(csv_formats.COLUMNS) + "\np,m,180,.1,1.5,.1,.5,1,1,1\n", "line 2: f_err_rt"),
        (",".join(csv_formats.COLUMNS) + "\np,m,180,.1,.1,.1,.99,1,1,1\n", "contradict each other"),
        (",".join(csv_formats.COLUMNS) + "\n" + "p,m,180,.1,.1,.1,.5,1,1,1\n" * 2, "two rows"),
        (",".join(csv_formats.COLUMNS) + "\n,m,180,.1,.1,.1,.5,1,1,1\n", "without an id"),
    ],
)
def test_a_csv_file_that_is_wrong_names_its_line(tmp_path, cli, text, why):
    """Missing columns, words for numbers, rates beyond 0 to 1 or against each other, doubles:
    one line, exit 2, and no study is left.
    """
    (tmp_path / "in.csv").write_text(text)
    status, _, err = cli("human", "import", tmp_path / "in.csv", tmp_path / "s.db")
    assert (status, err.count("\n")) == (2, 1)
    assert why in err
    assert not (tmp_path / "s.db").exists()


@pytest.mark.shared
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_rates_are_reproduced(name, tmp_path, cli, shared_data):
    """The published study's files give the printed rates of every model, to the digits printed,
    with an interval over raters around each.
    """
    file = (
        Path(os.environ.get("GENBENCH_HUMAN_DATA") or shared_data / "human-evaluation-realism")
        / f"{name}.csv"
    )
    if not file.is_file():
        pytest.skip(f"not run: files missing: {file}")
    assert cli("human", "import", file, tmp_path / "s.db")[0] == 0
    found = json.loads(cli("human", "results", tmp_path / "s.db", "--json")[1])
    rates = {
        row["model"]: row
        for row in found["registered"]["numbers"]
        if row["number"] == "error_fakes"
    }
    words = PUBLISHED[name].split()
    printed = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert {model: rates[model]["value"] for model in printed} == {
        model: pytest.approx(rate, abs=6e-4) for model, rate in printed.items()
    }
    assert len(rates) == len(printed)
    assert all(
        0.005 < row["se"] < 0.06 and row["low"] < row["value"] < row["high"]
        for row in rates.values()
    )
    with file.open() as lines:
        assert found["raters"]["joined"] == len({line["id"] for line in csv.DictReader(lines)})


def test_a_design_that_was_changed_is_refused(runs, tmp_path, cli):
    """After raters have answered the rule cannot be made another one without its being seen."""
    path = study(tmp_path, runs)
    base = sqlite3.connect(path)
    base.execute(
        'UPDATE study SET value = replace(value, \'"median_ms": 400\', \'"median_ms": '
        "40') WHERE name = 'design'"
    )
    base.commit()
    base.close()
    assert "the design was changed after it was registered" in cli("human", "results", path)[2]


def test_a_given_answer_is_plain_data():
    """What the store keeps of an answer has no field that could name a person."""
    assert set(Given.__dataclass_fields__) == {
        "trial",
        "pressed",
        "answer",
        "reaction_ms",
        "shown_ms",
    }


def test_the_trials_of_a_rater_are_fixed_at_joining(runs, tmp_path):
    """Half of what counts is real, one in ten a catch trial,
    and the trials do not change when the study is opened again.
    """
    path = study(tmp_path, runs, trials=40)
    session = Session(Store(path))
    rater = session.store.rater_of(session.join())
    before = truths(session.store, rater)
    assert Counter(one[0] == "real" for one in before if not one[2])[True] == 18
    assert sum(bool(one[2]) for one in before) == 4
    assert truths(Store(path), rater) == before
