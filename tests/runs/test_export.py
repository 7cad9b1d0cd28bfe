"""Samples leave in the forms that others read, and come back as a data set and as a generator:
the same images, labels and order in every form.
"""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from genbench._util.errors import UserError
from genbench.data.user_datasets import dataset_of, open_images
from genbench.generators.generator import construct
from genbench.generators.load import locate
from genbench.runs import export_samples
from genbench.runs.records.find import find

N = 45
PLUGIN = """
import torch, genbench

@genbench.hookimpl
def sample(n, seeds, {more}):
    return torch.stack([torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(int(s))) for s in seeds])
"""  # noqa: E501


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A class-conditional and an unconditional run of noise."""
    from genbench.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("classes", "labels"), ("plain", "indices")):
        (folder / f"{name}.py").write_text(PLUGIN.format(more=more))
        words = [
            "run",
            "--plugin",
            folder / f"{name}.py",
            "--n",
            N,
            "--metrics",
            "fd",
            "--out",
            folder / name,
            "--leaderboards",
            "none",
            "--quiet",
        ]
        assert main([str(word) for word in words]) == 0
    return folder


PLACES = {
    "folder": "out",
    "zip": "out.zip",
    "npz": "out.npz",
    "adm": "out.npz",
    "parquet": "out.parquet",
}


@pytest.mark.parametrize("kind", ["classes", "plain"])
@pytest.mark.parametrize("form", PLACES)
def test_every_form_comes_back(form, kind, runs, tmp_path):
    """The fingerprint of what is read back is that of the samples, labels included;
    the generator `images` serves sample i as picture i, in any order.
    """
    if form == "parquet":
        pytest.importorskip("pyarrow")
    found = find(None, runs / kind)
    path, name, count = export_samples.export(found, form, tmp_path / PLACES[form])
    samples = export_samples.samples_of(found)
    pixels = torch.from_numpy(np.concatenate(list(samples.pieces()))).permute(0, 3, 1, 2)
    row = dataset_of(str(path))
    images, labels = (torch.cat(parts) for parts in zip(*row.open("train"), strict=True))
    assert torch.equal(images, pixels)
    assert labels.tolist() == ([i % 10 for i in range(N)] if kind == "classes" else [0] * N)
    assert (row.name, row.fingerprint("train"), count) == (name, samples.content(), N)
    if kind == "classes" and form in ("folder", "zip", "parquet"):
        assert row.classes == tuple("0123456789")
    generator = construct(locate("images"), {}, path, "cpu", None)
    drawn = generator.draw(np.array([N - 1, 0, 7]), 0, None, 2, "round")
    assert torch.equal(drawn, pixels[[N - 1, 0, 7]])


def test_the_forms_are_those_of_others(runs, tmp_path):
    """StyleGAN's names and dataset.json, ADM's name and arrays by numpy alone,
    the datasets library's columns, and the same bytes each time.
    """
    found = find(None, runs / "classes")
    for again in ("a", "b"):
        for form, name in PLACES.items():
            export_samples.export(found, form, tmp_path / f"{again}-{form}{name[3:]}")
    for form, name in PLACES.items():
        if form != "folder":
            assert (tmp_path / f"a-{form}{name[3:]}").read_bytes() == (
                tmp_path / f"b-{form}{name[3:]}"
            ).read_bytes(), form
    with zipfile.ZipFile(tmp_path / "a-zip.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert names == [f"00000/img{i:08d}.png" for i in range(N)] == sorted(names)
        assert json.loads(archive.read("dataset.json"))["labels"] == [
            [name, i % 10] for i, name in enumerate(names)
        ]
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open(names[3]) as file, Image.open(file) as picture:
            third = np.asarray(picture)
    for form, keys in (("adm", ["arr_0", "arr_1"]), ("npz", ["images", "labels"])):
        with np.load(tmp_path / f"a-{form}.npz", allow_pickle=False) as arrays:
            assert list(arrays) == keys
            assert np.array_equal(arrays[keys[0]][3], third)
            assert (arrays[keys[0]].shape, arrays[keys[1]].tolist()) == (
                (N, 32, 32, 3),
                [i % 10 for i in range(N)],
            )
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_parquet(
        str(tmp_path / "a-parquet.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert table.features == datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list("0123456789"))}
    )
    assert np.array_equal(np.asarray(table[3]["image"]), third)


def test_the_command(cli, here, runs):
    """The newest run, to a name by itself; what is there already, a wrong ending,
    and a run without its images end in a line.
    """
    status, out, _ = cli("export", "--to", "adm", "--runs", runs / "classes")
    assert (status, out.split(":")[0]) == (0, f"samples_{N}x32x32x3.npz")
    status, out, err = cli("export", "--to", "adm", "--runs", runs / "classes")
    assert (status, "exists already: --out another place" in err) == (2, True)
    assert (
        "a name that ends in .zip"
        in cli("export", "--to", "zip", "--out", "a.npz", "--runs", runs / "classes")[2]
    )
    assert (
        "a folder's name has no ending"
        in cli("export", "--to", "folder", "--out", "a.d", "--runs", runs / "classes")[2]
    )
    assert "there is no finished run" in cli("export", "--to", "zip")[2]
    status, out, _ = cli(
        "run",
        "--plugin",
        "images",
        "--checkpoint",
        f"samples_{N}x32x32x3.npz",
        "--metrics",
        "fd",
        "--leaderboards",
        "none",
        "--json",
    )
    assert (status, json.loads(out)["plan"]["identity"]["n"]) == (0, N)
    assert len(open_images(here / f"samples_{N}x32x32x3.npz")) == N


def test_samples_that_are_not_there(runs, tmp_path, monkeypatch):
    """A run that did not keep its images, and one whose shards were removed."""
    from dataclasses import replace

    found = find(None, runs / "plain")
    with pytest.raises(UserError, match="did not keep its images: genbench run --save-samples"):
        export_samples.samples_of(replace(found, plan={**found.plan, "keep_images": False}))
    with pytest.raises(UserError, match="has no samples any more"):
        export_samples.samples_of(replace(found, folder=str(tmp_path)))


def test_nothing_is_left_of_a_folder_that_failed(tmp_path):
    """A folder is whole or absent: what was written before the failure is taken away."""
    from genbench._util.atomic_write import write_folder

    def pieces():
        yield "a/1.png", b"1"
        raise UserError("the sample 2 is missing")

    with pytest.raises(UserError, match="the sample 2"):
        write_folder(tmp_path / "out", pieces())
    assert list(tmp_path.iterdir()) == []
