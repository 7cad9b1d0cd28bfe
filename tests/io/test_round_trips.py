"""What is written is read back equal, whatever it is: sealed files, arrays, statistics, pictures,
records, gates, prompts, ratings, words in tables.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import html
import io
import json
import re
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from fuzz import base
from helpers.nvidia_files import write_pickle
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image
from safetensors.torch import save_file

from genbench._util import checksummed_files, errors, formatting
from genbench.data import prompts
from genbench.data.user_datasets import open_images
from genbench.gate import config, output_formats
from genbench.human import csv_formats
from genbench.human.answers import Study, Summary
from genbench.io import npz, zip_stream
from genbench.io.checkpoints import load_checkpoint
from genbench.io.image_decoding import decoded, heeded
from genbench.io.nvidia_pickles import load_network
from genbench.io.reference_statistics import FORMS, read_statistics, write_statistics
from genbench.leaderboards import tables
from genbench.runs.planning import plan
from genbench.runs.planning.request import Request
from genbench.runs.records import record
from genbench.statistics.moments import Moments, covariance

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | st.integers() | NUMBER | TEXT
PLAIN = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
SIDES = st.integers(1, 5)
DTYPES = st.sampled_from(["<f8", "<f4", "<f2", "|u1", "|i1", "<i2", "<i4", "<i8", "|b1"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: arrays_of.arrays(
        dtype, arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
    )
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No power is cut here, and no disk is waited for."""
    monkeypatch.setattr("genbench._util.atomic_write.os.fsync", lambda handle: None)


def drawn(examples):
    """So many examples, always the same."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def equal(ours, theirs):
    """To the bit, type and shape included."""
    return (
        ours.dtype == theirs.dtype
        and ours.shape == theirs.shape
        and ours.tobytes() == np.ascontiguousarray(theirs).tobytes()
    )


# Files of ours


@drawn(100)
@given(st.dictionaries(TEXT, PLAIN, max_size=3))
def test_sealed_json(here, content):
    """Plain data of any kind, numbers to the last digit."""
    assume("digest" not in content)
    checksummed_files.write_json(here / "a.json", content)
    again = checksummed_files.read_json(here / "a.json")
    assert again == content
    # 1 is not 1.0, nor True
    assert json.dumps(again, sort_keys=True) == json.dumps(content, sort_keys=True)


@drawn(60)
@given(
    st.dictionaries(TEXT.filter(lambda key: key != "__metadata__"), ARRAYS, max_size=3),
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.data(),
)
def test_sealed_arrays(here, arrays, meta, data):
    """Any types and shapes, none of whose bytes may change."""
    assume("sha256" not in meta)
    path = here / "a.safetensors"
    checksummed_files.write_arrays(path, arrays, meta)
    found, said = checksummed_files.read_arrays(path)
    assert said == meta
    assert set(found) == set(arrays)
    assert all(equal(found[key], arrays[key]) for key in arrays)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with contextlib.suppress(checksummed_files.Damaged):
        # a bit that says nothing: a blank in the header
        assert all(
            equal(one, arrays[key]) for key, one in checksummed_files.read_arrays(path)[0].items()
        )


@drawn(60)
@given(st.dictionaries(NAME, ARRAYS, min_size=1, max_size=3))
def test_npz(here, arrays):
    """As numpy reads it too."""
    (here / "a.npz").write_bytes(npz.packed(arrays))
    assert set(npz.keys(here / "a.npz")) == {key.removesuffix(".npy") for key in arrays}
    for key, array in arrays.items():
        assert equal(npz.whole(here / "a.npz", key), array)


@drawn(60)
@given(st.integers(1, 6), st.sampled_from(FORMS), st.integers(0, 2**32 - 1), st.integers(-8, 8))
def test_statistics(here, width, form, seed, scale):
    """Mean and covariance to the bit, in every form."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(2):
        rows = rng.standard_normal((width + 2, width)) * 10.0**scale
        centred = rows - rows.mean(0)
        made.append(Moments(len(rows), rows.mean(0), centred.T @ centred))
    write_statistics(here / "a.npz", form, made[0], made[1] if form == "adm" else None)
    found = read_statistics(here / "a.npz", {"pool": width})
    assert set(found) == ({"pool", "spatial"} if form == "adm" else {"pool"})
    for one, wanted in zip(found.values(), made, strict=False):
        assert equal(one.mean, wanted.mean)
        assert equal(covariance(one), covariance(wanted))


VALUE = st.none() | NUMBER
SCORES = st.builds(
    record.Score, TEXT, TEXT, TEXT, NUMBER, VALUE, VALUE, NUMBER, NUMBER, TEXT,
    st.integers(0, 10**9), VALUE, VALUE, st.lists(TEXT, max_size=2).map(tuple),
    st.lists(NUMBER, min_size=2, max_size=2).map(tuple),
    st.sampled_from(record.STATUSES), TEXT, st.sampled_from(record.BETTER),
)  # fmt: skip


@drawn(60)
@given(st.lists(SCORES, max_size=3), TEXT.filter(bool), st.integers(1, 10**9))
def test_records(here, scores, label, n):
    """Scores, labels and samples of any kind that a run can leave."""
    sound = record.from_json(base.record(), "sound")
    identity = {**sound.plan["identity"], "n": n}
    made = replace(
        sound, scores=tuple(scores), plan={**sound.plan, "label": label, "identity": identity}
    )
    assert record.write(here / "run.json", made) == made
    assert record.read(here / "run.json") == made


# Files of others


@drawn(60)
@given(
    st.dictionaries(NAME, ARRAYS, min_size=1, max_size=3),
    st.sampled_from(["zip", "row", "safetensors", "bag"]),
)
def test_state_dicts(here, arrays, form):
    """In each of the containers, by each of the readers."""
    tensors = OrderedDict((key, torch.from_numpy(np.array(array))) for key, array in arrays.items())
    if form == "safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, here / "a.pt")
    else:
        bag = {"args": np.float64(1.0)} if form == "bag" else {}
        torch.save(
            {"state_dict": tensors, **bag},
            here / "a.pt",
            _use_new_zipfile_serialization=form != "row",
        )
    found = load_checkpoint(here / "a.pt")
    assert {key: equal(found[key].numpy(), arrays[key]) for key in found} == dict.fromkeys(
        arrays, True
    )


@drawn(60)
@given(st.dictionaries(TEXT, PLAIN, max_size=3))
def test_settings_in_a_pickle_of_nvidias(here, said):
    """Settings of any kind that JSON has."""
    assert load_network(write_pickle(here / "a.pkl", base.Net(), said)).settings == said


PIXELS = st.tuples(SIDES, SIDES, st.sampled_from([(), (3,)])).flatmap(
    lambda size: arrays_of.arrays(np.uint8, (size[0], size[1], *size[2]))
)
LOSSLESS = {
    "png": {},
    "bmp": {},
    "ppm": {},
    "tif": {"compression": "tiff_lzw"},
    "tiff": {"compression": "packbits"},
    "webp": {"lossless": True, "exact": True},
}


def encoded(pixels, ending):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, {"tif": "tiff"}.get(ending, ending), **LOSSLESS[ending])
    return out.getvalue()


def colours(pixels):
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, 2)


@drawn(100)
@given(PIXELS, st.sampled_from(sorted(LOSSLESS)))
def test_pictures(pixels, ending):
    """Colours and grey levels, in every format without loss."""
    with heeded():
        assert np.array_equal(decoded(f"a.{ending}", encoded(pixels, ending)), colours(pixels))


@drawn(40)
@given(
    st.dictionaries(
        st.text("abcxyzäö._- ", min_size=1, max_size=8).filter(
            lambda name: not name.startswith(".")
        ),
        arrays_of.arrays(np.uint8, (2, 3, 3)),
        min_size=1,
        max_size=5,
    )
)
def test_zips_of_pictures(here, made):
    """In the order of their names as bytes, each its own pixels."""
    members = {f"{name}.png": encoded(pixels, "png") for name, pixels in made.items()}
    (here / "a.zip").write_bytes(
        b"".join(zip_stream.zipped((name, [content]) for name, content in members.items()))
    )
    found = open_images(here / "a.zip")
    names = sorted(members, key=str.encode)
    assert [found.name(place) for place in range(len(found))] == names
    images = torch.cat(list(found.batches())).permute(0, 2, 3, 1).numpy()
    assert all(
        np.array_equal(image, made[name.removesuffix(".png")])
        for image, name in zip(images, names, strict=True)
    )


# Words and numbers of users

SHARE = st.floats(0, 99.99)


def _about(rule):
    return rule.metric, rule.part, rule.protocol


RULES = st.builds(
    config.Rule, NAME, NAME, NAME, SHARE, st.sampled_from(config.LEVELS),
    st.none() | st.builds(config.Acceptance, st.dates(datetime.date(1970, 1, 1)), NAME, NAME),
)  # fmt: skip
GATES = st.builds(
    config.Gate,
    st.floats(1e-9, 0.499),
    st.integers(1, config.LOOKS),
    SHARE,
    SHARE,
    SHARE,
    st.sampled_from(["fail", "warn", "pass"]),
    st.sampled_from(config.LEVELS),
    NAME,
    st.integers(1, 10**9),
    st.floats(1e-9, 0.499),
    st.lists(RULES, max_size=3, unique_by=_about).map(tuple),
    st.lists(
        st.builds(
            config.CostRule,
            st.sampled_from(sorted(config.COSTS)),
            SHARE,
            st.sampled_from(config.LEVELS),
        ),
        max_size=2,
    ).map(tuple),
)


def toml(value):
    """A value as TOML writes it."""
    if isinstance(value, config.Acceptance):
        return (
            f"{{ until = {value.until}, reason = {toml(value.reason)}, "
            f"digest = {toml(value.digest)} }}"
        )
    return json.dumps(value).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def table(of, head=""):
    return head + "".join(
        f"{key} = {toml(value)}\n"
        for key, value in vars(of).items()
        if value is not None and key not in ("rules", "costs")
    )


@drawn(100)
@given(GATES)
def test_gates(here, gate):
    """Every key of a gate, its rules and its costs; percents are the same as shares."""
    text = (
        table(gate)
        + "".join(table(one, "[[rule]]\n") for one in gate.rules)
        + "".join(table(one, "[[cost]]\n") for one in gate.costs)
    )
    (here / "gate.toml").write_text(json_free(text), encoding="utf-8")
    assert config.read(here / "gate.toml") == gate
    assert config.share(f"{gate.margin * 100!r} %") == pytest.approx(gate.margin, rel=1e-15)


def json_free(text):
    """JSON's pairs of surrogates as the sign that they mean, which TOML wants."""
    return re.sub(
        r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})",
        lambda found: json.loads(f'"{found[0]}"'),
        text,
    )


@drawn(100)
@given(st.integers(0, 10**18 - 1), st.integers(1, 10**6))
def test_seeds_from_first_to_last(first, count):
    """--seeds A-B is the seeds A .. B, as many as there are."""
    assume(first + count - 1 < 10**18)
    assert plan._seeds(Request(seeds=f"{first}-{first + count - 1}"), 7) == (first, count)


@drawn(200)
@given(
    st.one_of(
        st.text(max_size=8), st.from_regex(r"-?\d{1,20}-?-?\d{0,20}\n?", fullmatch=True)
    ).filter(bool)
)
def test_seeds_of_any_words(word):
    """Anything else is refused in a line that says how to write it."""
    first = None
    with contextlib.suppress(errors.UserError):
        first, n = plan._seeds(Request(seeds=word), 7)
    if first is not None:
        low, _, high = word.partition("-")
        assert (int(low), int(high) - int(low) + 1) == (first, n)
        assert 0 <= first <= int(high) < 10**18


PROMPTS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20),
    min_size=1,
    max_size=5,
)


@drawn(100)
@given(PROMPTS, st.sampled_from([".csv", ".tsv", ".jsonl", ".txt"]))
def test_prompts(here, said, ending):
    """Quotes, commas, tabs, line breaks and signs of every script,
    in each form that can hold them.
    """
    out = io.StringIO()
    if ending == ".jsonl":
        out.write("".join(json.dumps({"prompt": one, "more": 1}) + "\n" for one in said))
    elif ending == ".txt":
        said = [one.strip() for one in said if one.strip() and "\n" not in one]
        assume(said)
        out.write("\n".join(said))
    else:
        csv.writer(
            out, dialect="excel" if ending == ".csv" else "excel-tab", lineterminator="\n"
        ).writerows([["id", "prompt"], *enumerate_words(said)])
    (here / f"a{ending}").write_text(out.getvalue(), encoding="utf-8", newline="")
    assert prompts.read(here / f"a{ending}") == tuple(said)


def enumerate_words(said):
    return [[str(place), one] for place, one in enumerate(said)]


COUNTS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
RATERS = st.builds(
    lambda name, model, fakes, reals, *seconds: Summary(name, model, *fakes, *reals, *seconds),
    NAME,
    NAME,
    COUNTS,
    COUNTS,
    st.integers(0, 999),
    st.integers(0, 999),
)


@drawn(100)
@given(
    st.lists(
        RATERS,
        min_size=1,
        max_size=4,
        unique_by=lambda one: (formatting.clean(one.rater), formatting.clean(one.model)),
    )
)
def test_ratings(here, rows):
    """Counts are found again from the rates in the columns of the published study,
    where they decide them.
    """
    rows = [row for row in rows if row.wrong_fakes + row.wrong_reals < row.fakes + row.reals]
    assume(rows)
    (here / "a.csv").unlink(missing_ok=True)
    assert csv_formats.exported(
        Study({"kind": "real-or-fake"}, (), (), 0, tuple(rows)), here / "a.csv"
    ) == len(rows)
    for ours, theirs in zip(rows, csv_formats.summaries(here / "a.csv"), strict=True):
        assert theirs.rater == formatting.cell_of_csv(ours.rater)
        assert theirs.fakes + theirs.reals == ours.fakes + ours.reals
        assert theirs.wrong_fakes + theirs.wrong_reals == pytest.approx(
            ours.wrong_fakes + ours.wrong_reals, abs=1
        )


HOSTILE = (
    st.text(st.sampled_from("=+-@\t\r\n'\",;|`*_[]()<>&#\\~!:/ w.aé\u202e\x1b＝＠"), max_size=16)
    | TEXT
)


@drawn(200)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_cells_of_csv(words):
    """No cell begins as a formula does, and a reader of CSV has the words back but for signs
    that are none.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([formatting.cell_of_csv(word) for word in words])
    found = next(csv.reader(io.StringIO(out.getvalue())), [])
    assert not any(cell.startswith(tuple("=+-@＝＋－＠")) for cell in found)
    assert [
        cell.removeprefix("'") if cell[1:] == formatting.clean(word) else cell
        for cell, word in zip(found, words, strict=True)
    ] == [formatting.clean(word) for word in words]


@pytest.mark.parametrize("escape", [output_formats._escaped, tables.escaped])
def test_words_in_markdown(escape):
    """Escaped words are one line without an open sign, and mean what they were."""
    signs = r"\\`*_|~\[\]#@" if escape is output_formats._escaped else r"\\`*|\[\]"

    @drawn(200)
    @given(HOSTILE)
    def words(said):
        made = escape(said)
        assert made.isprintable()
        assert not re.search(rf"(?<!\\)(?:\\\\)*[{signs.removeprefix(chr(92) * 2)}]", made)
        assert "<" not in made
        assert "://" not in made or escape is tables.escaped
        assert re.sub(rf"\\([{signs}])", r"\1", html.unescape(made)).replace(
            "\u200b", ""
        ) == formatting.clean(said)

    words()


@drawn(100)
@given(st.lists(st.lists(HOSTILE, min_size=2, max_size=2), max_size=3))
def test_words_in_a_table(rows):
    """A row of a table is a line, whatever stands in it."""
    text = formatting.table(["a", "b"], rows)
    assert len(text.split("\n")) == 1 + len(rows)
    assert all(line.isprintable() for line in text.split("\n"))
