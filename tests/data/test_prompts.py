"""Prompts are conditions: read from files, hashed, one to an image,
kept with the run and with what is exported.
"""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from pyarrow import parquet

import genbench
from genbench._util.errors import UserError
from genbench.data import prompts
from genbench.data.user_datasets import files_dataset
from genbench.generators.load import locate
from genbench.runs.export_samples import export
from genbench.runs.planning.plan import settle
from genbench.runs.planning.request import Request
from genbench.runs.sampling.shards import prompt_places, run_blocks

PLUGIN = """
import torch, genbench

class Painter:
    @genbench.hookimpl
    def sample(self, n, seeds, prompts):
        assert len(prompts) == n and all(isinstance(one, str) for one in prompts)
        values = torch.tensor([len(one) for one in prompts])[:, None, None, None]
        return (values + 50 + genbench.uniform(seeds, (3, 32, 32)) * 100).to(torch.uint8)
"""
WANTED = ("a cat", "ein Bär, naß", "")


@pytest.fixture
def painter(here):
    (here / "painter.py").write_text(PLUGIN)
    (here / "three.jsonl").write_text(
        "".join(json.dumps({"prompt": one, "tag": "x"}) + "\n" for one in WANTED)
    )
    return "painter.py"


def test_each_kind_of_file_is_read(tmp_path):
    """txt by lines (blank ones are none, Windows' endings and a byte order mark go),
    jsonl by its key, csv and tsv by a named column, quoted lines included.
    """
    files = {
        "a.txt": ("\ufeffa cat\r\n\r\nein Bär, naß\n", "prompt", WANTED[:2]),
        "a.jsonl": (
            "".join(json.dumps({"prompt": one}) + "\n" for one in WANTED),
            "prompt",
            WANTED,
        ),
        "b.jsonl": ('{"text": "x\\u2028y"}\n', "text", ("x\u2028y",)),
        "a.csv": ('id,caption\n1,a cat\n2,"ein Bär, naß"\n3,\n', "caption", WANTED),
        "b.csv": ('prompt\n"two\nlines"\n', "prompt", ("two\nlines",)),
        "a.tsv": ("prompt\tid\na cat\t1\n", "prompt", WANTED[:1]),
    }
    for name, (text, column, wanted) in files.items():
        (tmp_path / name).write_bytes(text.encode())
        assert prompts.read(tmp_path / name, column) == wanted, name


WRONG = {
    "a.txt": (b"", "has no prompts"),
    "b.txt": (b"fine\nna\xefve\n", "line 2: is not UTF-8"),
    "c.txt": (b"x" * 20000, "line 1: "),
    "d.txt": (b"ok\nzero\0byte\n", "line 2: "),
    "a.jsonl": (b'{"prompt": "x"}\n{"prompt": 3}\n', "line 2: 3 is no prompt"),
    "b.jsonl": (b'{"prompt": "x"}\n\n{oops\n', "line 3: is no JSON"),
    "c.jsonl": (
        b'{"text": "x"}\n',
        "line 1: has text; wanted is the key 'prompt', or --prompt-column",
    ),
    "d.jsonl": (b'["x"]\n', "line 1: is no object"),
    "e.jsonl": (b"[" * 100000, "line 1: is no JSON"),
    "a.csv": (
        b"id,caption\n1,x\n",
        "line 1: has the columns id, caption; say which: --prompt-column NAME",
    ),
    "b.csv": (b"id,prompt\n1,x\n2\n", "line 3: has 1 columns, the first line 2"),
    "c.csv": (b'prompt\n"open\n', "line 2: cannot be read"),
    "a.xlsx": (b"x", "a name that ends in .txt, .jsonl, .csv, .tsv"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_one_line_with_its_number(name, painter, here, cli):
    content, said = WRONG[name]
    (here / name).write_bytes(content)
    status, _, err = cli("run", "-p", painter, "--prompts", name, "--dry-run")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert said in err


def test_a_file_that_is_not_there_and_a_generator_without_prompts(painter, here, cli):
    assert "No such file" in cli("run", "-p", painter, "--prompts", "none.txt", "--dry-run")[2]
    assert (
        "vae takes no prompts"
        in cli("run", "-p", "vae", "--prompts", "three.jsonl", "--dry-run")[2]
    )
    assert (
        "does not say where the class's name goes"
        in cli("run", "-p", painter, "--template", "a photo", "--dry-run")[2]
    )


def test_the_list_and_its_order_are_in_the_identity_and_its_name_is_not(painter, here):
    """The same file under another name is the same run; another order, another line,
    another template are others.
    """
    (here / "other.jsonl").write_text((here / "three.jsonl").read_text())
    (here / "turned.jsonl").write_text(
        "\n".join(reversed((here / "three.jsonl").read_text().split("\n"))).strip()
    )

    def of(**words):
        return settle(Request(n=40, **words), locate(painter)).id

    three = of(prompts=here / "three.jsonl")
    assert three == of(prompts=here / "other.jsonl")
    assert len({three, of(prompts=here / "turned.jsonl"), of(), of(template="{class}")}) == 4


def test_image_i_has_prompt_i_modulo_their_number_or_that_of_its_label(painter, here):
    plan = settle(Request(n=8, prompts=here / "three.jsonl"), locate(painter))
    assert prompt_places(plan).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert plan.prompts == WANTED
    plan = settle(Request(n=40, labels="iid", template="one {class}"), locate(painter))
    assert plan.prompts == tuple(f"one {digit}" for digit in range(10))
    assert sorted(set(prompt_places(plan).tolist())) != prompt_places(plan).tolist()[:10]
    assert plan.identity["conditions"]["labels"] == "iid"


@pytest.mark.parametrize("count", [1, 3, 10, 20, 37, 400])
def test_blocks_hold_images_and_prompts_evenly(count):
    """Each of the 20 blocks has its share of the images within a third,
    and what a longer run adds changes nothing.
    """
    found = prompts.blocks(400, count, 20)
    assert (prompts.blocks(900, count, 20)[:400] == found).all()
    sizes = np.bincount(found, minlength=20)
    assert sizes.min() >= 20 * 2 / 3
    assert sizes.max() <= 20 * 4 / 3
    for prompt in range(min(count, 5)):
        own = np.bincount(found[prompt::count], minlength=20)
        assert own.max() - own.min() <= 1


def test_a_run_with_prompts_is_kept_resumed_and_exported(painter, here, cli):
    """The prompts stand once in the run's folder, with the place of each sample;
    killed and gone on it is the same; each form of export has them.
    """
    words = (
        "run",
        "-p",
        painter,
        "--prompts",
        "three.jsonl",
        "--n",
        "120",
        "--metrics",
        "kd",
        "--leaderboards",
        "none",
    )
    assert cli(*words, "--out", "whole")[0] == 0
    (folder,) = (here / "whole").iterdir()
    kept = json.loads((folder / "prompts.json").read_text())
    assert kept["prompts"] == list(WANTED)
    assert kept["samples"] == [i % 3 for i in range(120)]
    record = json.loads((folder / "run.json").read_text())
    assert record["plan"]["identity"]["conditions"]["prompts"]["count"] == 3
    assert "prompts" not in record["plan"]
    some = sorted((folder / "shards").iterdir())[::3]
    before = {path: path.read_bytes() for path in (folder / "shards").iterdir()}
    for path in [*some, folder / "run.json", folder / "prompts.json"]:
        path.unlink()
    assert cli(*words, "--out", "whole")[0] == 0
    assert {path: path.read_bytes() for path in (folder / "shards").iterdir()} == before
    found = genbench.evaluate(painter, prompts="three.jsonl", n=120, metrics="kd", out="whole")
    asked = [WANTED[i % 3] for i in range(120)]
    export(found, "zip", here / "a.zip")
    with zipfile.ZipFile(here / "a.zip") as archive:
        listing = json.loads(archive.read("dataset.json"))
    assert [text for _, text in listing["prompts"]] == asked
    export(found, "npz", here / "a.npz")
    with np.load(here / "a.npz", allow_pickle=False) as content:
        assert content["prompts"].tolist() == asked
    export(found, "parquet", here / "a.parquet")
    assert parquet.read_table(here / "a.parquet").column("prompt").to_pylist() == asked
    assert files_dataset(here / "a.zip").fingerprint("train") == files_dataset(
        here / "a.parquet"
    ).fingerprint("train")
    (folder / "prompts.json").write_text("{}")
    with pytest.raises(UserError, match=r"prompts\.json is missing or damaged"):
        export(found, "npz", here / "b.npz")


def test_captions_stand_beside_stored_images(painter, here, cli):
    """Images that were made elsewhere take --prompts as their captions,
    in the order of the images.
    """
    found = genbench.evaluate(
        painter, prompts="three.jsonl", n=60, metrics="kd_digits", out=here / "runs"
    )
    export(found, "zip", here / "a.zip")
    status, out, err = cli(
        "run",
        "-p",
        "images",
        "--checkpoint",
        "a.zip",
        "--prompts",
        "three.jsonl",
        "--metrics",
        "kd",
        "--n",
        "60",
        "--json",
    )
    assert status == 0, err
    assert json.loads(out)["plan"]["identity"]["conditions"]["prompts"]["count"] == 3


def test_a_label_metric_speaks_of_prompts_of_class_names_and_not_of_a_file(painter, here):
    record = genbench.evaluate(
        painter, metrics=("label_accuracy", "kd_digits"), n=40, out=here / "runs"
    )
    assert record.scores[0].status == record.scores[1].status == "ok"
    record = genbench.evaluate(
        painter,
        metrics=("label_accuracy", "kd_digits"),
        n=40,
        prompts="three.jsonl",
        out=here / "runs",
    )
    assert {one.metric: one.status for one in record.scores}["label_accuracy_digits"] == "skipped"


def test_blocks_of_a_run_follow_labels_or_prompts(painter, here):
    named = run_blocks(settle(Request(n=400), locate(painter)))
    filed = run_blocks(settle(Request(n=400, prompts=here / "three.jsonl"), locate(painter)))
    assert np.bincount(named).tolist() == [20] * 20
    assert (filed == prompts.blocks(400, 3, 20)).all()
