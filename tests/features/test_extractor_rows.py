"""Every extractor on the shelf says what it is, names its weights and their licence,
and never runs without them in silence.
"""

import inspect
import itertools
import re

import pytest

from genbench._util.errors import UserError
from genbench._util.hashing import file_sha256
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.io import weights

ROWS = registry.every("extractors")
WEIGHED = {name: row for name, row in ROWS.items() if row.weights is not None}


def test_the_shelf_is_not_empty():
    """The laws below have something to hold: the digits' reader, torchvision's,
    CLIP's and DINOv2's networks are rows with weights.
    """
    assert {
        "digits",
        "inception-tv",
        "vgg16",
        "clip-vit-b-32",
        "clip-vit-l-14-336",
        "dinov2-vit-l-14",
        "dinov2-vit-l-14-edm2",
    } <= set(WEIGHED)


@pytest.mark.parametrize("name", ROWS)
def test_row_says_what_it_is(name):
    """Outputs have names and widths, the resize names the size that the network sees,
    and the training set stands there.
    """
    row = ROWS[name]
    assert row.title
    assert row.trained_on
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", output) for output in row.outputs)
    # as wide as the image makes it
    assert all(
        isinstance(width, int) and (width > 0 or row.size == 0) for width in row.outputs.values()
    )
    assert str(row.size) in row.resize if row.size else "none" in row.resize


def test_no_two_rows_are_one():
    """Rows of the same weights differ in what they do to the pixels, and the resize says so."""
    assert len({(row.weights.name, row.resize) for row in WEIGHED.values()}) == len(WEIGHED)


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_are_named(name):
    """A licence, and files that are published under https (the address ends in their name) or lie
    beside the row with their hash.
    """
    row = WEIGHED[name]
    assert row.weights.licence
    for file in row.weights.files:
        if file.url:
            assert re.fullmatch(rf"https://\S+/{re.escape(file.file)}", file.url)
        else:
            assert (
                weights.wanted(file)
                == file.sha256
                == file_sha256(source_of(row.load).parent / file.file)
            )
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256)
        said = re.search(r"-([0-9a-f]{8})\.\w+$", file.file)  # torch.hub's names
        assert not (said and file.sha256) or file.sha256.startswith(said[1])


def test_one_name_one_file():
    """Weights of one name are one row, and a file of one name has one hash and one address,
    whoever names it.
    """
    for one, other in itertools.combinations((row.weights for row in WEIGHED.values()), 2):
        assert one.name != other.name or one == other
        for a, b in itertools.product(one.files, other.files):
            assert a.file != b.file or (a.sha256, a.url) == (b.sha256, b.url)


@pytest.mark.parametrize("name", WEIGHED)
def test_load_takes_the_file_that_was_found(name, tmp_path):
    """Given a file that does not exist, or one that is no weights file,
    load fails in one line that names it: it never takes another instead.
    """
    row = WEIGHED[name]
    needed = [
        one for one in inspect.signature(row.load).parameters.values() if one.default is one.empty
    ]
    assert len(needed) == (3 if row.vocabulary else 2)
    (tmp_path / "rubbish.pth").write_bytes(b"this is no weights file")
    for path in (tmp_path / "missing.pth", tmp_path / "rubbish.pth"):
        with pytest.raises(UserError) as refused:
            row.load("cpu", path, *([path] if row.vocabulary else []))
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", [name for name, row in WEIGHED.items() if all(file.url for file in row.weights.files)]
)
def test_missing_weights_are_one_line(name, tmp_path, monkeypatch):
    """Without network and without the file, one line says which file to bring, from where,
    and what to call it.
    """
    row = WEIGHED[name]
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    monkeypatch.delenv("GENBENCH_WEIGHTS", raising=False)
    with pytest.raises(UserError) as refused:
        weights.need(row.weights, source_of(row.load).parent, {})
    line, file = str(refused.value), row.weights.files[0]
    assert all(
        word in line
        for word in (file.file, file.url, file.sha256, f"--weights {row.weights.name}=")
    )
    assert "\n" not in line
